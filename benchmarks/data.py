"""Compare the cost of reading data: the partial average of one of twenty columns, with the peers and the bare engines.

    python benchmarks/data.py [--only PARTS] [--rows 100000,1000000] [--rounds 7,5] [--cache FOLDER] [--json FILE]
    python benchmarks/data.py --page [FILE]

The script installs the peers in separate environments, creates the tables, starts a PostgreSQL server if PostgreSQL is
installed, and prints the tables of ``docs/performance.md``. ``--page`` measures nothing: it writes that page from the
figures that ``--json benchmarks/data.json`` has stored.

A time is that of a whole process, the memory is the kernel's ``ru_maxrss``. Contestants take turns (A, B, …, A, B, …),
and their results must be equal. Environments, tables and the database are stored for the next run: 10 GB, mostly for
ten million rows. Parts for ``--only``: csv, parquet, postgresql, width (of rows in PostgreSQL), sessions (v5), start
(of 100 rows), results (from rpc to master), images (size of engines in an image). If the file of ``--json`` exists, the
figures of the other parts stay in it, provided that they are of the same machine and the same versions.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import performance
import results
import sizes
from dispatch import (
    HERE,
    PEER,
    ROOT,
    Contestant,
    Figures,
    PreparedTask,
    ProcessUsage,
    Spread,
    Target,
    alternate,
    checkout_digest,
    ensure_environment,
    execute,
    log,
    make_cache_folder,
    make_environ,
    measure,
    read_version,
    write_table,
)
from performance import BARE, FORMS, INSIDE, OF_WIDTH, key
from server import Server, run_server

PEER_5 = "vantage6-algorithm-tools==5.0.3"
FOR_PEER_5 = ("3.13", "3.14")
"""The versions of Python for which the v5 peer can be installed."""
DRIVER = "psycopg[binary]"
"""The PostgreSQL driver that its SQLAlchemy requires. The peer installs another driver."""

COLUMN = "age"
KWARGS = {"column_name": COLUMN}
ROUNDS = {100_000: 5, 1_000_000: 5, 10_000_000: 2}
"""Number of rows -> number of measurements."""

LARGE = 10_000_000
"""From this number of rows on, some contestants are not measured (``is_too_large``), and there is no warm-up."""

PARTS = ("csv", "parquet", "postgresql", "width", "sessions", "start", "results", "images")
WIDTHS = (5, 20, 80)
STARTS, MAX_RESULTS = 10, 3
"""Numbers of measurements of a start, and at most of results, which take long with the peer."""

Turn = Callable[[], tuple[ProcessUsage, object]]
"""Run a process; return its usage and its result."""


# --- The contestants. ---


@dataclass(frozen=True)
class Environments:
    """The interpreters of algotools and the peer, with the same pandas; and another pair for the peer of v5."""

    ours: Path
    peer: Path
    peer_with_arrow: Path
    """The peer requires pyarrow for Parquet. With pyarrow, importing pandas takes longer."""
    ours_5: Path | None
    peer_5: Path | None


def make_environments(cache: Path) -> Environments:
    """Create missing environments. The peers are installed first, because algotools gets their pandas."""
    version = platform.python_version()
    peer = ensure_environment(cache / f"peer-{version}", PEER, [PEER])
    with_arrow = ensure_environment(cache / f"peer-arrow-{version}", PEER, [PEER, "pyarrow"])
    base = find_interpreter(FOR_PEER_5)
    peer_5 = ensure_environment(cache / "peer-5", f"{PEER_5} {DRIVER}", [PEER_5, DRIVER], base=base) if base else None
    if peer_5 is None:
        log(f"{PEER_5} is omitted: Python {' or '.join(FOR_PEER_5)} is not installed")
    return Environments(
        make_our_environment(cache / f"data-{version}", peer, sys.executable),
        peer,
        with_arrow,
        make_our_environment(cache / "data-5", peer_5, base) if peer_5 and base else None,
        peer_5,
    )


def make_our_environment(folder: Path, peer: Path, base: str) -> Path:
    """Create an environment with this checkout, all engines, and the peer's pandas and numpy."""
    pins = [f"{name}=={read_version(peer, name)}" for name in ("pandas", "numpy")]
    requirements = [str(ROOT), *sizes.ENGINES]
    key_ = f"{checkout_digest()} {pins} {sizes.ENGINES}"
    return ensure_environment(folder, key_, [*requirements, *pins], fallback=requirements, base=base)


def find_interpreter(versions: Sequence[str]) -> str | None:
    """Return a Python of one of these versions, from PATH or pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for version in versions:
        for path in (shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))):
            if path and subprocess.run([path, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
                return str(path)
    return None


OUR_ARGUMENTS = ("-m", "algotools")
PEER_ARGUMENTS = ("-c", "from vantage6.algorithm.tools.wrap import wrap_algorithm; wrap_algorithm()")


def make_ours(python: Path, form: str) -> Contestant:
    """Return the partial of algotools in a form of data."""
    if form == "pandas":
        return Contestant(python, OUR_ARGUMENTS, "average", ROOT / "examples/average/src")
    return Contestant(python, OUR_ARGUMENTS, f"average_{form}", HERE / "algorithms")


def make_peer(python: Path, package: str = "vantage6_average") -> Contestant:
    """Return the partial of the peer."""
    return Contestant(python, PEER_ARGUMENTS, package, HERE / "peers")


def run_task(task: PreparedTask, contestant: Contestant) -> tuple[ProcessUsage, object]:
    """Run a task with a contestant."""
    return task.run(contestant), task.read_result()


def run_bare(python: Path, folder: Path, engine: str, *arguments: str) -> tuple[ProcessUsage, object]:
    """Run a bare engine."""
    command = [str(python), str(HERE / "children/bare.py"), engine, *arguments]
    return measure(command, make_environ(), folder), json.loads((folder / "log").read_text(encoding="utf-8"))


# --- The measurements. ---


@dataclass
class Contest:
    """Measure contestants, and store the figures."""

    python: Environments
    cache: Path
    folder: Path
    rounds: Mapping[int, int]
    figures: Figures = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """Contestant without a result -> last line of its output."""

    def measure_part(
        self,
        part: str,
        rows: int,
        turns: Mapping[str, Turn],
        server: Server | None = None,
        rounds: int | None = None,
    ) -> None:
        """Measure time, memory and the number of rows sent by the server, once per contestant and round.

        A contestant that fails is omitted from the next round on. The results must be equal.
        """
        measured: dict[str, list[float]] = {}
        results: dict[str, tuple[float, float]] = {}

        def run_turn(name: str, turn: Turn) -> None:
            if key(part, rows, name) in self.failed:
                return
            if server:
                server.reset_counter()
            try:
                usage, result = turn()
            except SystemExit as error:
                last_line = next((line for line in reversed(str(error).splitlines()) if line.strip()), "no output")
                log(f"{part}, {rows} rows: {name} has no result: {error}")
                self.failed[key(part, rows, name)] = last_line
                return
            values = {"time": usage.wall_ms, "memory": usage.peak_mb}
            if server:
                values["sent"] = server.count_sent_rows()
            for quantity, value in values.items():
                measured.setdefault(key(part, rows, name, quantity), []).append(round(value, 1))
            if isinstance(result, dict):
                results[name] = (float(result["sum"]), float(result["count"]))

        log(f"{part}, {rows:,} rows")
        rounds = rounds or self.rounds.get(rows, ROUNDS[1_000_000])
        warm_up = rows < LARGE
        alternate(rounds, {name: partial(run_turn, name, turn) for name, turn in turns.items()}, warm_up=warm_up)
        if len(set(results.values())) > 1:
            raise SystemExit(f"the results differ, so a comparison is not possible: {results}")
        for name, samples in measured.items():
            if len(samples) == rounds + warm_up:
                self.figures[name] = Spread(UNITS[name.rpartition(", ")[2]], samples[warm_up:])

    def prepare_task(self, name: str, **options: Any) -> PreparedTask:
        """Prepare a task of a node."""
        python = self.python.ours_5 if options.get("contract") == "v5" else self.python.ours
        return PreparedTask(self.folder / name, python or self.python.ours, **{"method": "average_partial", **options})

    def get_table(self, rows: int, kind: str) -> Path:
        """Return the file of the table with this number of rows, which is created if necessary."""
        paths = [self.cache / f"rows-{rows}.{ending}" for ending in ("csv", "parquet")]
        digest = compute_digest(HERE / "children/tables.py")
        ready = self.cache / f"rows-{rows}.ready"
        if not ready.exists() or ready.read_text(encoding="ascii") != digest:
            log(f"writing {rows:,} rows")
            execute([str(self.python.ours), str(HERE / "children/tables.py"), *map(str, paths), str(rows)])
            ready.write_text(digest, encoding="ascii")
        path = paths[kind == "parquet"]
        with path.open("rb") as file:  # fill the disk cache, because there is no warm-up
            while rows >= LARGE and file.read(2**24):
                pass
        return path


UNITS = {"time": "ms", "memory": "MB", "sent": "rows"}


def compute_digest(path: Path) -> str:
    """Return a digest of the content of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def measure_file(contest: Contest, kind: str) -> None:
    """Measure a column of a CSV or Parquet file."""
    peer = contest.python.peer if kind == "csv" else contest.python.peer_with_arrow
    for rows in contest.rounds:
        uri = str(contest.get_table(rows, kind))
        task = contest.prepare_task(f"{kind}-{rows}", kwargs=KWARGS, database={"uri": uri, "type": kind})
        turns: dict[str, Turn] = {
            f"ours {form}": partial(run_task, task, make_ours(contest.python.ours, form)) for form in FORMS
        }
        turns["vantage6"] = partial(run_task, task, make_peer(peer))
        for engine in BARE[kind]:
            turns[f"bare {engine}"] = partial(run_bare, contest.python.ours, contest.folder, engine, kind, uri, COLUMN)
        contest.measure_part(kind, rows, turns)


def measure_server(contest: Contest, server: Server) -> None:
    """Measure a column of a table in PostgreSQL. The task's query selects all columns; the peer requires a query."""
    for rows in contest.rounds:
        fill_table(contest, server, rows)
        queries = {"": f"SELECT * FROM rows_{rows}", " one column": f"SELECT {COLUMN} FROM rows_{rows}"}
        tasks = {
            suffix: contest.prepare_task(
                f"sql-{rows}{suffix}", kwargs=KWARGS, database={"uri": server.uri, "type": "sql", "query": query}
            )
            for suffix, query in queries.items()
        }
        turns: dict[str, Turn] = {
            f"ours {form}": partial(run_task, tasks[""], make_ours(contest.python.ours, form)) for form in FORMS
        }
        for suffix, task in tasks.items():
            turns[f"vantage6{suffix}"] = partial(run_task, task, make_peer(contest.python.peer))
        for engine in BARE["postgresql"]:
            turns[f"bare {engine}"] = partial(
                run_bare, contest.python.ours, contest.folder, engine, "sql", server.uri, COLUMN, f"rows_{rows}"
            )
        turns = {name: turn for name, turn in turns.items() if rows < LARGE or not is_too_large(name)}
        rounds = halve_rounds(contest.rounds[rows]) if rows >= LARGE else None
        contest.measure_part("postgresql", rows, turns, server, rounds=rounds)


def halve_rounds(rounds: int) -> int:
    """Return the number of rounds for slow measurements."""
    return max(1, rounds // 2)


def is_too_large(name: str) -> bool:
    """Whether 10 million rows of a database are too many: the whole table takes the peer 20 GB and two minutes."""
    return name in ("vantage6", "bare pandas")


def measure_width(contest: Contest, server: Server) -> None:
    """Measure the same column of tables with more and more columns, without and with an index on the column."""
    rows = 1_000_000
    fill_table(contest, server, rows)
    make_wide_tables(server, rows)
    for part, forms in {"width": OF_WIDTH, "indexed": INSIDE}.items():
        for width in WIDTHS:
            table = get_table_name(width, rows)
            database = {"uri": server.uri, "type": "sql", "query": f"SELECT * FROM {table}"}
            task = contest.prepare_task(f"{part}-{width}", kwargs=KWARGS, database=database)
            turns: dict[str, Turn] = {
                f"ours {form}": partial(run_task, task, make_ours(contest.python.ours, form)) for form in forms
            }
            turns["bare psycopg"] = partial(
                run_bare, contest.python.ours, contest.folder, "psycopg", "sql", server.uri, COLUMN, table
            )
            if part == "indexed":
                server.execute(f"CREATE INDEX IF NOT EXISTS {table}_asked ON {table} ({COLUMN})")
            contest.measure_part(f"{part} {width}", rows, turns, server)
            server.execute(f"DROP INDEX IF EXISTS {table}_asked")


def get_table_name(width: int, rows: int) -> str:
    """Return the name of the table with this number of columns."""
    return f"rows_{rows}" if width == 20 else f"wide_{width}"


TYPES = {
    "bigint": ("site", "smokes", "age", "visits", "days", "alive"),
    "double precision": ("glucose", "creatinine", "risk", "sodium", "weight", "score", "change"),
    "date": ("admitted",),
}


def fill_table(contest: Contest, server: Server, rows: int) -> None:
    """Copy the CSV file into a table, unless the table is up to date."""
    digest = compute_digest(HERE / "children/tables.py")
    table = f"rows_{rows}"
    if server.execute(f"SELECT obj_description(to_regclass('{table}'))") == digest:
        return
    path = contest.get_table(rows, "csv")
    log(f"filling the database: {rows:,} rows")
    with path.open(encoding="utf-8") as file:
        names = file.readline().strip().split(",")
    types = {name: kind for kind, type_names in TYPES.items() for name in type_names}
    columns = ", ".join(f"{name} {types.get(name, 'text')}" for name in names)
    server.execute(f"DROP TABLE IF EXISTS {table}; CREATE UNLOGGED TABLE {table} ({columns})")
    server.execute(f"COPY {table} FROM STDIN (FORMAT csv, HEADER)", path)
    server.execute(f"VACUUM ANALYZE {table}")
    server.execute(f"COMMENT ON TABLE {table} IS '{digest}'")


def make_wide_tables(server: Server, rows: int) -> None:
    """Create tables of the same rows with fewer and more columns. The selected column is never the last column."""
    extra = ", ".join(f"risk + {number} AS more_{number}" for number in range(60))
    for width, columns in {5: "patient, admitted, age, glucose, score", 80: f"*, {extra}"}.items():
        table = get_table_name(width, rows)
        if server.execute(f"SELECT to_regclass('{table}')"):
            continue
        log(f"filling the database: {width} columns")
        server.execute(f"CREATE UNLOGGED TABLE {table} AS SELECT {columns} FROM rows_{rows}")
        server.execute(f"VACUUM ANALYZE {table}")


READERS = {"csv": "read_csv", "parquet": "read_parquet", "postgresql": "read_sql_database"}
"""Source -> extraction function, which both sides have."""

SESSION_FORMS = ("pandas", "lazy", "batches", "duckdb")
"""Forms of data in which the table of a session is read."""


def measure_sessions(contest: Contest, server: Server | None) -> None:
    """Measure sessions of v5: each side extracts a complete table, and then computes with its own table."""
    for rows in contest.rounds:
        for kind, method in READERS.items():
            if (kind == "postgresql" and server is None) or (rows >= LARGE and kind != "csv"):
                continue
            query: dict[str, str] = {}
            if kind == "postgresql" and server:
                fill_table(contest, server, rows)
                database, query = {"uri": server.uri, "type": "sql"}, {"query": f"SELECT * FROM rows_{rows}"}
            else:
                database = {"uri": str(contest.get_table(rows, kind)), "type": kind}
            turns = make_session_turns(contest, f"sessions-{kind}-{rows}", method, query, database)
            contest.measure_part(f"sessions {kind}", rows, turns, rounds=halve_rounds(contest.rounds[rows]))


def measure_start(contest: Contest) -> None:
    """Measure the start: a table of 100 rows."""
    task = contest.prepare_task("start", kwargs=KWARGS)
    forms = (*FORMS, "csv")
    turns: dict[str, Turn] = {
        f"ours {form}": partial(run_task, task, make_ours(contest.python.ours, form)) for form in forms
    }
    turns["vantage6"] = partial(run_task, task, make_peer(contest.python.peer))
    uri = str(write_table(contest.folder / "start.csv"))
    for engine in BARE["csv"]:
        turns[f"bare {engine}"] = partial(run_bare, contest.python.ours, contest.folder, engine, "csv", uri, COLUMN)
    contest.measure_part("start", 100, turns, rounds=STARTS)
    contest.measure_part(
        "sessions start", 100, make_session_turns(contest, "start-5", "read_csv", {}, None), rounds=STARTS
    )


def make_session_turns(
    contest: Contest, name: str, method: str, query: Mapping[str, str], database: Mapping[str, str] | None
) -> dict[str, Turn]:
    """Return the turns of a session: both sides extract a table, and then compute with the table."""
    python, peer = contest.python.ours_5, contest.python.peer_5
    if python is None or peer is None:
        return {}
    source = contest.prepare_task(
        name, method=method, kwargs=query, database=database, contract="v5", step="data_extraction"
    )
    our_task, peer_task = (
        contest.prepare_task(f"{name}-{side}", kwargs=KWARGS, contract="v5") for side in ("ours", "vantage6")
    )
    peer_contestant = make_peer(peer, "vantage6_average_v5")
    return {
        "ours extraction": partial(extract, source, make_ours(python, "pandas"), our_task),
        "vantage6 extraction": partial(extract, source, peer_contestant, peer_task),
        **{f"ours {form}": partial(run_task, our_task, make_ours(python, form)) for form in SESSION_FORMS},
        "vantage6": partial(run_task, peer_task, peer_contestant),
    }


def extract(source: PreparedTask, contestant: Contestant, computation: PreparedTask) -> tuple[ProcessUsage, None]:
    """Extract a table, and store the table for a computation."""
    usage = source.run(contestant)
    computation.store_table(source)
    return usage, None


def measure_results(contest: Contest) -> None:
    """Measure the transfer of arrays from rpc to master."""
    log("results")
    rounds = min(MAX_RESULTS, contest.rounds.get(1_000_000, MAX_RESULTS))
    measured = results.measure(rounds, cache=contest.cache)
    contest.figures |= {
        f"results, {name}": Spread(spread.unit, [round(sample, 3) for sample in spread.samples])
        for name, spread in measured.items()
    }


# --- The output. ---


def describe_origin(python: Environments, server: Server | None) -> dict[str, object]:
    """Return the versions and the machine, without which the figures cannot be interpreted."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    engines = ("pandas", "numpy", "pyarrow", "polars", "duckdb", "ibis-framework", "adbc-driver-postgresql", "psycopg")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "memory": f"{memory / 1e9:.0f} GB",
        "python": platform.python_version(),
        "versions": {name: read_version(python.ours, name) for name in engines},
        "peer": read_version(python.peer, PEER.partition("==")[0]),
        "postgresql": server.read_version() if server else None,
        "5": {
            "python": read_python_version(python.ours_5),
            "peer": read_version(python.peer_5, PEER.partition("==")[0]),
            "pandas": read_version(python.ours_5, "pandas"),
        }
        if python.ours_5 and python.peer_5
        else None,
    }


def read_python_version(python: Path) -> str:
    """Return the version of an interpreter."""
    return execute([str(python), "-c", "import platform; print(platform.python_version())"]).strip()


def read_stored(path: Path | None, parts: Sequence[str], origin: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the stored content that the measured parts are added to; None if all parts are measured.

    The figures of the page are compared with each other, so they must have the same origin.
    """
    if path is None or not path.exists() or set(parts) == set(PARTS):
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    stored = content["about"]
    if different := [name for name in origin if name != "load before and after" and origin[name] != stored.get(name)]:
        details = "; ".join(f"{name}: {stored.get(name)}, now {origin[name]}" for name in different)
        raise SystemExit(f"{path} has figures of another origin ({details}); measure all parts, or choose another file")
    return content


def add_stored(content: dict[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content with the stored figures of the parts and sizes that were not measured again."""

    def is_measured(name: str) -> bool:
        return tuple(name.split(", ")[:2]) in measured

    measured = {tuple(name.split(", ")[:2]) for name in (*content["figures"], *content["failed"])}
    merged = dict(content)
    for kind in ("figures", "failed"):
        others = {
            name: value
            for name, value in stored[kind].items()
            if name in content[kind] or not is_measured(name)  # the order of names stays
        }
        merged[kind] = {**others, **content[kind]}
    targets = performance.targets(performance.load_figures(merged))
    return {**merged, "targets": [encode_target(target) for target in targets]}


def encode_target(target: Target) -> dict[str, object]:
    """Return a target as JSON-compatible data, with null instead of infinity."""
    return {**asdict(target), "measured": target.measured if target.measured < math.inf else None, "met": target.met}


def format_json(content: Mapping[str, Any]) -> str:
    """Format the figures with all samples as JSON, one figure per line."""
    figures = content["figures"]
    lines = [f"    {json.dumps(name)}: {json.dumps(figures[name], ensure_ascii=False)}" for name in figures]
    outline = {**content, "figures": "FIGURES"}
    text = json.dumps(outline, indent=2, ensure_ascii=False)
    return text.replace('"FIGURES"', "{\n" + ",\n".join(lines) + "\n  }") + "\n"


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), metavar="PARTS", help="parts, separated by commas")
    parser.add_argument("--rows", default=",".join(map(str, ROUNDS)), help="numbers of rows (default: %(default)s)")
    parser.add_argument("--rounds", default=None, help="numbers of measurements for --rows; or one number for all")
    parser.add_argument("--cache", type=Path, default=None, help="folder for environments, tables and database")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write all figures to this file")
    parser.add_argument(
        "--page",
        type=Path,
        nargs="?",
        const=ROOT / "docs/performance.md",
        default=None,
        metavar="FILE",
        help="write the page from the figures in --json (default: data.json beside this script), without measuring",
    )
    options = parser.parse_args()
    rows = [int(float(number)) for number in options.rows.split(",")]
    texts = options.rounds.split(",") if options.rounds else [ROUNDS.get(number, 5) for number in rows]
    rounds = [int(text) for text in (texts if len(texts) == len(rows) else texts * len(rows))]
    options.rounds = dict(zip(rows, rounds, strict=True))
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(PARTS):
        parser.error(f"unknown part of --only: {', '.join(unknown)} (choose from {', '.join(PARTS)})")
    if min(rounds) < 1:
        parser.error("--rounds must be at least 1")
    return options


def main() -> None:
    """Measure and print. The exit code is 0 even if a target is not met, because people judge the figures."""
    options = parse_arguments()
    if options.page:
        content = json.loads((options.json or HERE / "data.json").read_text(encoding="utf-8"))
        options.page.write_text(performance.page(content), encoding="utf-8")
        return
    cache = make_cache_folder(options.cache)
    python = make_environments(cache)
    before = os.getloadavg()[0]  # load of other processes increases times, but hardly changes ratios
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name, run_server(cache) as server:
        contest = Contest(python, cache, Path(name), options.rounds)
        origin = describe_origin(python, server)
        stored = read_stored(options.json, options.only, origin)
        for part in (kind for kind in ("csv", "parquet") if kind in options.only):
            measure_file(contest, part)
        if server and "postgresql" in options.only:
            measure_server(contest, server)
        if server and "width" in options.only:
            measure_width(contest, server)
        if "sessions" in options.only:
            measure_sessions(contest, server)
        if "start" in options.only:
            measure_start(contest)
        if "results" in options.only:
            measure_results(contest)
        if "images" in options.only:
            contest.figures |= sizes.measure(cache)
    origin["load before and after"] = [round(load, 2) for load in (before, os.getloadavg()[0])]
    content = {
        "about": origin,
        "targets": [encode_target(target) for target in performance.targets(contest.figures)],
        "failed": contest.failed,
        "figures": {name: {"median": round(f.median, 3), **asdict(f)} for name, f in contest.figures.items()},
    }
    if stored:
        content = add_stored(content, stored)
    print(performance.tables(content))
    if options.json:
        options.json.write_text(format_json(content), encoding="utf-8")


if __name__ == "__main__":
    main()
