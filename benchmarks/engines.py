"""Compare runs on an engine with those of runner ``process``, and a node's table on Spark with DuckDB and PostgreSQL.

    python benchmarks/engines.py [--only PARTS] [--rounds N] [--nodes 100,500] [--cache FOLDER] [--json FILE]

Parts for ``--only``: runs, growth, tables.

All contestants of a part take turns, each in a new process, and their results must be equal.

* ``runs``: the average of a column over one CSV file of 100 rows per node, read by pandas, for 100 and 500 nodes.
  ``dask`` has a scheduler and two workers with one thread each, which run before the measurement. ``bare Dask`` reads
  the files with pandas in tasks of its own, without node, supervisor and gate: the lower limit of an engine. Each
  contestant computes the average twice. *First* includes the start of templates and the imports on the workers.
* ``growth``: 1,000 nodes with 100,000 rows each, on one and on two workers. The 1,000 paths are links to ten files.
* ``tables``: the average of one column of 1,000,000 rows, by the same function for ``ibis.Table``, in a process like
  that of a node's container. The table is in Spark (Spark Connect), in PostgreSQL, and in a DuckDB file. A second
  function reads the column as ``pandas.DataFrame``. *Rows sent* and *bytes sent* go from the server to the process.

The lines show the median (minimum to maximum), and then the ratios of medians. Memory is that of the process, without
servers. Spark and PostgreSQL are omitted if they are not installed (Java, PyPI's ``pyspark``).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dispatch import (
    HERE,
    ROOT,
    Contestant,
    Figures,
    PreparedTask,
    Spread,
    Target,
    checkout_digest,
    ensure_environment,
    execute,
    log,
    make_cache_folder,
    read_version,
    show_progress,
    write_table,
)
from federation import Simulation, SimulationFailed, format_json, parse_numbers
from server import Server, run_server

PARTS = ("runs", "growth", "tables")
COLUMN = "age"

GROWTH = (1_000, 100_000, 10)
"""Nodes, rows of each node, and different files."""

ROWS = 1_000_000
"""Rows of the table in a database server."""

LIMIT = 1.5
"""The time of runs on Dask, relative to runner ``process``, is at most this."""

SPARK = "pyspark==4.0.*"
START_TIMEOUT = 120.0
"""Seconds until a server must respond."""


# --- Environments and servers. ---


def make_environment(cache: Path) -> Path:
    """Return the interpreter of the environment of algotools with all its engines."""
    folder = cache / f"engines-{platform.python_version()}"
    return ensure_environment(folder, checkout_digest(), [f"{ROOT}[adbc,dask,duckdb,ibis,polars,spark]"])


@contextlib.contextmanager
def run_processes(folder: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Yield a function that starts a server; end all of them when the block exits."""
    with contextlib.ExitStack() as stack:

        def start(*command: object, **options: Any) -> subprocess.Popen[bytes]:
            output = stack.enter_context(tempfile.TemporaryFile(dir=folder))
            process = subprocess.Popen(
                list(map(str, command)), cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process

        yield start


def find_port() -> int:
    """Return a port of this machine that no process uses."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for(is_ready: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    """Wait until a server responds. The benchmark stops if it exits, or takes too long."""
    deadline = time.monotonic() + START_TIMEOUT
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{process.args} does not respond")
        time.sleep(0.1)


@contextlib.contextmanager
def run_dask(python: Path, folder: Path, workers: int) -> Iterator[str]:
    """Run a scheduler, and workers with one thread each; yield the scheduler's address."""
    dask = python.with_name("dask")
    with run_processes(folder) as start:
        port = find_port()
        address = f"tcp://127.0.0.1:{port}"
        scheduler = start(dask, "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
        wait_for(lambda: is_open(port), scheduler)
        for _ in range(workers):
            start(
                dask, "worker", address, "--nthreads", 1, "--no-dashboard", "--memory-limit", 0, "--host", "127.0.0.1"
            )
        count = "import sys, distributed as d; d.Client(sys.argv[1]).wait_for_workers(int(sys.argv[2]), timeout=60)"
        execute([str(python), "-c", count, address, str(workers)])
        yield address


def is_open(port: int) -> bool:
    """Whether a server listens on a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


# --- Runs. ---


def make_simulations(python: Path, address: str) -> dict[str, Simulation]:
    """Return the contestants of runs."""
    child, algorithm = HERE / "children/federated.py", str(ROOT / "examples/average")
    dask = {"runner": "dask", "algorithm": algorithm, "options": {"scheduler": address}}
    return {
        "process": Simulation(python, child, parameters={"runner": "process", "algorithm": algorithm}),
        "dask": Simulation(python, child, parameters=dask),
        "bare Dask": Simulation(python, HERE / "children/bare_dask.py", parameters={"scheduler": address}),
    }


def measure_runs(python: Path, folder: Path, counts: Sequence[int], rounds: int) -> Figures:
    """Measure the average over small files, with each number of nodes."""
    databases = [str(write_table(folder / f"node-{number}.csv", number)) for number in range(max(counts))]
    samples: dict[str, list[float]] = {}
    with run_dask(python, folder, 2) as address:
        simulations = make_simulations(python, address)
        for count in counts:
            for number in range(rounds + 1):
                answers = set()
                for name, simulation in simulations.items():
                    show_progress(f"{count} nodes, {number or 'warm-up'} of {rounds}: {name}")
                    results = run_simulation(simulation, folder, {"databases": databases[:count], "column": COLUMN})
                    answers.add(results["answer"])
                    if number:
                        samples.setdefault(f"{name}, {count} nodes, first", []).append(results["task_ms"] / 1e3)
                        samples.setdefault(f"{name}, {count} nodes, once more", []).append(results["again_ms"] / 1e3)
                check_equal(answers)
    show_progress("")
    return {key: Spread("s", values) for key, values in samples.items()}


def measure_growth(python: Path, folder: Path, rounds: int) -> Figures:
    """Measure the average over many large files, on one and on two workers."""
    nodes, rows, files = GROWTH
    databases = []
    for number in range(nodes):
        path = folder / f"large-{number}.csv"
        if number < files:
            lines = (f"{20 + (row * 37 + number) % 70},{row % 2},{row}" for row in range(rows))
            path.write_text("\n".join([f"{COLUMN},sex,visit", *lines, ""]), encoding="ascii")
        else:
            path.hardlink_to(folder / f"large-{number % files}.csv")
        databases.append(str(path))
    samples: dict[str, list[float]] = {}
    for _number in range(rounds):
        answers = set()
        for workers in (1, 2):
            with run_dask(python, folder, workers) as address:
                simulation = make_simulations(python, address)["dask"]
                show_progress(f"{nodes} large nodes, {workers} workers")
                parameters = {"databases": databases, "column": COLUMN, "once": True}
                results = run_simulation(simulation, folder, parameters)
            answers.add(results["answer"])
            samples.setdefault(f"dask, {nodes} large nodes, {workers} workers", []).append(results["task_ms"] / 1e3)
        check_equal(answers)
    show_progress("")
    return {key: Spread("s", values) for key, values in samples.items()}


def run_simulation(simulation: Simulation, folder: Path, parameters: Mapping[str, object]) -> dict[str, Any]:
    """Run a contestant; the benchmark stops if it has no result."""
    try:
        return simulation.run(folder, parameters)
    except SimulationFailed as failure:
        raise SystemExit(str(failure)) from None


def check_equal(answers: set[Any]) -> None:
    """Stop the benchmark if results differ, because a comparison is then not possible."""
    if len(answers) != 1:
        raise SystemExit(f"the results differ: {answers}")


# --- Tables. ---


class CountingProxy:
    """A server that forwards one connection after another to a port, and counts the bytes that come back."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.received = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                target = socket.create_connection(("127.0.0.1", self._target))
                for source, sink, counts in ((client, target, False), (target, client, True)):
                    threading.Thread(target=self._forward, args=(source, sink, counts), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if counts:
                    self.received += len(data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def run_spark(cache: Path, folder: Path) -> Iterator[int | None]:
    """Run a Spark Connect server with the table; yield its port, or None if there is no Java."""
    if shutil.which("java") is None:
        log("Spark is omitted, because Java is not installed")
        yield None
        return
    python = ensure_environment(cache / f"spark-{platform.python_version()}", SPARK, [f"{SPARK[:-2]}", "setuptools"])
    port = find_port()
    warehouse = folder / "spark"
    warehouse.mkdir()
    with tempfile.TemporaryFile(dir=folder) as errors:
        process = subprocess.Popen(
            [str(python), str(HERE / "children/spark_server.py"), str(port), str(ROWS)],
            cwd=warehouse,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        try:
            assert process.stdout
            if not process.stdout.readline():
                errors.seek(0)
                raise SystemExit(f"Spark does not start:\n{errors.read().decode(errors='replace')}")
            yield port
        finally:
            process.communicate()


def make_duckdb_file(python: Path, path: Path) -> None:
    """Create the table in a file of DuckDB."""
    columns = "(20 + (i * 37) % 70)::INTEGER AS age, (i % 2)::INTEGER AS sex, i AS visit"
    sql = f"CREATE TABLE engine_rows AS SELECT {columns} FROM range({ROWS}) AS t(i)"
    execute([str(python), "-c", "import sys, duckdb; duckdb.connect(sys.argv[1]).execute(sys.argv[2])", str(path), sql])


def make_postgresql_table(server: Server) -> None:
    """Create the table in PostgreSQL."""
    columns = "(20 + (i * 37) % 70)::integer AS age, (i % 2)::integer AS sex, i::bigint AS visit"
    rows = f"generate_series(0, {ROWS - 1}) AS t(i)"
    server.execute("DROP TABLE IF EXISTS engine_rows")
    server.execute(f"CREATE UNLOGGED TABLE engine_rows AS SELECT {columns} FROM {rows}")
    server.execute("VACUUM ANALYZE engine_rows")


@dataclass(frozen=True)
class Source:
    """An engine with the table: its port, or 0 for a file, and its URI, with ``{port}`` for the port."""

    port: int
    uri: str

    def prepare(self, folder: Path, python: Path, port: int | None = None) -> PreparedTask:
        """Prepare a task that reads the table, through another *port* if it is given."""
        uri = self.uri.format(port=port or self.port)
        database = {"uri": uri, "type": "sql", "query": "SELECT * FROM engine_rows"}
        return PreparedTask(folder, python, "average_partial", {"column_name": COLUMN}, database=database)


def measure_tables(python: Path, cache: Path, folder: Path, rounds: int) -> Figures:
    """Measure one column of a table in each engine, for ``ibis.Table`` and for ``pandas.DataFrame``."""
    contestants = {
        "ibis": Contestant(python, ("-m", "algotools"), "average_ibis", HERE / "algorithms"),
        "pandas": Contestant(python, ("-m", "algotools"), "average", ROOT / "examples/average/src"),
    }
    make_duckdb_file(python, file := folder / "rows.duckdb")
    samples: dict[str, list[float]] = {}
    with run_spark(cache, folder) as spark, run_server(cache) as postgresql:
        sources = {"DuckDB": Source(0, f"duckdb:///{file}")}
        if spark is not None:
            sources["Spark"] = Source(spark, "sc://127.0.0.1:{port}")
        if postgresql is not None:
            make_postgresql_table(postgresql)
            sources["PostgreSQL"] = Source(postgresql.port, postgresql.uri.replace(f":{postgresql.port}/", ":{port}/"))
        tasks = {engine: source.prepare(folder / engine, python) for engine, source in sources.items()}
        answers = set()
        for number in range(rounds + 1):
            for engine, task in tasks.items():
                for form, contestant in contestants.items():
                    show_progress(f"{engine}, {form}, {number or 'warm-up'} of {rounds}")
                    usage = task.run(contestant)
                    answers.add(json.dumps(task.read_result(), sort_keys=True))
                    if number:
                        samples.setdefault(f"{engine}, {form}, s", []).append(usage.wall_ms / 1e3)
                        samples.setdefault(f"{engine}, {form}, MB", []).append(usage.peak_mb)
        check_equal(answers)
        for engine, source in sources.items():
            for form, contestant in contestants.items():
                show_progress(f"{engine}, {form}: what is sent")
                rows, size = count_sent(source, folder / f"{engine}-{form}", python, contestant, postgresql)
                samples[f"{engine}, {form}, rows sent"], samples[f"{engine}, {form}, bytes sent"] = [rows], [size]
    show_progress("")
    return {key: Spread(key.rpartition(", ")[2], values) for key, values in samples.items()}


def count_sent(
    source: Source, folder: Path, python: Path, contestant: Contestant, postgresql: Server | None
) -> tuple[int, int]:
    """Return the rows and the bytes that a server sends for a task, which runs once more."""
    if not source.port:
        return 0, 0
    proxy = CountingProxy(source.port)
    task = source.prepare(folder, python, proxy.port)
    is_postgresql = postgresql is not None and source.port == postgresql.port
    if postgresql is not None and is_postgresql:
        postgresql.reset_counter()
    counts = folder / "counts"
    counts.touch()
    path = os.pathsep.join(map(str, [contestant.source, HERE / "children/counting"]))
    task.run(replace(contestant, variables={"PYTHONCOUNTEDROWS": str(counts), "PYTHONPATH": path}))
    proxy.close()
    if postgresql is not None and is_postgresql:
        return postgresql.count_sent_rows(), proxy.received
    return sum(map(int, counts.read_text(encoding="ascii").split())), proxy.received


# --- The output. ---


def make_targets(figures: Figures, counts: Sequence[int]) -> list[Target]:
    """Return the targets of the measured figures."""
    return [
        Target(f"{count} runs on Dask, {moment}, relative to runner process", ratio, LIMIT)
        for count in counts
        for moment in ("first", "once more")
        if (ratio := compute_ratio(figures, f"dask, {count} nodes, {moment}", f"process, {count} nodes, {moment}"))
    ]


def compute_ratio(figures: Figures, key: str, other: str) -> float:
    """Return the ratio of two medians; zero if one of them was not measured."""
    return figures[key].median / figures[other].median if {key, other} <= figures.keys() else 0.0


def format_figures(figures: Figures) -> str:
    """Format all figures, a line for each."""
    width = max(map(len, figures), default=0)
    return "\n".join(
        f"{key:<{width}}  {figure.median:>14,.2f}"
        + (f"  ({min(figure.samples):,.2f} to {max(figure.samples):,.2f})" if len(figure.samples) > 1 else "")
        for key, figure in figures.items()
    )


def list_ratios(figures: Figures, counts: Sequence[int]) -> dict[str, float]:
    """Return the ratios of medians that the page states."""
    pairs = [
        (f"{name}, {count} nodes, {moment}", f"{other}, {count} nodes, {moment}")
        for count in counts
        for moment in ("first", "once more")
        for name, other in (("dask", "process"), ("dask", "bare Dask"), ("process", "bare Dask"))
    ]
    large = f"dask, {GROWTH[0]} large nodes"
    pairs.append((f"{large}, 1 workers", f"{large}, 2 workers"))
    for form in ("ibis", "pandas"):
        pairs += [(f"Spark, {form}, s", f"{other}, {form}, s") for other in ("DuckDB", "PostgreSQL")]
    ratios = {f"{key} / {other}": compute_ratio(figures, key, other) for key, other in pairs}
    return {name: ratio for name, ratio in ratios.items() if ratio}


def parse_parts(text: str) -> list[str]:
    """Parse the parts of the command line."""
    parts = text.split(",")
    if not set(parts) <= set(PARTS):
        raise ValueError(text)
    return parts


def main() -> None:
    """Measure and print. The exit code is 0 even if a target is not met, because people judge the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", type=parse_parts, default=list(PARTS), help=f"parts, of {','.join(PARTS)}")
    parser.add_argument("--nodes", type=parse_numbers, default=[100, 500], help="numbers of nodes (default: 100,500)")
    parser.add_argument("--rounds", type=int, default=5, help="number of measurements (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=None, help="folder for the environments")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write all figures to this file")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    cache = make_cache_folder(options.cache)
    python = make_environment(cache)
    before = os.getloadavg()[0]
    figures: Figures = {}
    with tempfile.TemporaryDirectory(prefix="bm-") as name:
        folder = Path(name)
        if "runs" in options.only:
            figures |= measure_runs(python, folder, options.nodes, options.rounds)
        if "growth" in options.only:
            figures |= measure_growth(python, folder, max(1, options.rounds // 2))
        if "tables" in options.only:
            figures |= measure_tables(python, cache, folder, options.rounds)
    packages = ("federated-algotools", "pandas", "distributed", "pyspark-client", "ibis-framework")
    origin: dict[str, object] = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "ours": {package: read_version(python, package) for package in packages},
        "load before and after": [round(load, 2) for load in (before, os.getloadavg()[0])],
    }
    ratios, targets = list_ratios(figures, options.nodes), make_targets(figures, options.nodes)
    print(*(f"{key}: {text}" for key, text in origin.items()), "", format_figures(figures), "", sep="\n")
    print(*(f"{ratio:8.2f}  {key}" for key, ratio in ratios.items()), "", *targets, sep="\n")
    if options.json:
        options.json.write_text(format_json(origin, figures, ratios, targets), encoding="utf-8")


if __name__ == "__main__":
    main()
