"""What it costs to read data: the average's partial of one column of twenty, beside the peers and the bare engines.

    python benchmarks/data.py [--only PARTS] [--rows 100000,1000000] [--rounds 7,5] [--cache FOLDER] [--json FILE]
    python benchmarks/data.py --page [FILE]

Installs the peers in environments of their own, makes the tables, starts a PostgreSQL server where there is one, and
prints ratios of one run with medians and spread, as the tables of ``docs/performance.md``. ``--page`` measures nothing:
it writes that page from what ``--json benchmarks/data.json`` has stored.

Every time is a whole process, every memory its kernel's ``ru_maxrss``; contestants take turns (A, B, …, A, B, …), and
their answers must agree. Environments, tables and the database are kept for the next time: 10 GB, most of them for ten
million rows. Parts, for ``--only``: csv, parquet, postgresql, width (of rows in PostgreSQL), sessions (v5), start (of
100 rows), results (from rpc to master), images (what an engine adds to one).
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
    Ended,
    Figures,
    Node,
    Spread,
    Target,
    alternate,
    cache_folder,
    checkout_digest,
    environment,
    execute,
    installed,
    measure,
    say,
    system,
    write_table,
)
from performance import BARE, FORMS, INSIDE, OF_WIDTH, key
from server import Server, running

PEER_5 = "vantage6-algorithm-tools==5.0.3"
FOR_PEER_5 = ("3.13", "3.14")
"""The Pythons that it can be installed for."""
DRIVER = "psycopg[binary]"
"""What its SQLAlchemy takes for PostgreSQL; it brings another."""

COLUMN = "age"
ASKED = {"column_name": COLUMN}
ROUNDS = {100_000: 5, 1_000_000: 5, 10_000_000: 2}
"""How often each is measured, by the number of rows."""

LARGE = 10_000_000
"""Rows of which not everybody's way is measured (``too_large``), and nobody's in a round that does not count."""

PARTS = ("csv", "parquet", "postgresql", "width", "sessions", "start", "results", "images")
WIDTHS = (5, 20, 80)
STARTS, OF_RESULTS = 10, 3
"""How often a start is measured, and results, of which the peer's take long."""

Turn = Callable[[], tuple[Ended, object]]
"""A whole process, how it ended and what it answered."""


# --- Who takes part. ---


@dataclass(frozen=True)
class Environments:
    """Interpreters: ours and the peer's, with the same pandas; and once more for v5's peer."""

    ours: Path
    peer: Path
    peer_with_arrow: Path
    """Without it the peer reads no Parquet; with it, its pandas takes longer to import."""
    ours_5: Path | None
    peer_5: Path | None


def make_environments(cache: Path) -> Environments:
    """Make what is not there yet; the peers come first, and ours takes their pandas."""
    version = platform.python_version()
    peer = environment(cache / f"peer-{version}", PEER, [PEER])
    with_arrow = environment(cache / f"peer-arrow-{version}", PEER, [PEER, "pyarrow"])
    base = interpreter(FOR_PEER_5)
    peer_5 = environment(cache / "peer-5", f"{PEER_5} {DRIVER}", [PEER_5, DRIVER], base=base) if base else None
    if peer_5 is None:
        say(f"{PEER_5} is left out: there is no Python {' or '.join(FOR_PEER_5)}")
    return Environments(
        our_environment(cache / f"data-{version}", peer, sys.executable),
        peer,
        with_arrow,
        our_environment(cache / "data-5", peer_5, base) if peer_5 and base else None,
        peer_5,
    )


def our_environment(folder: Path, peer: Path, base: str) -> Path:
    """This checkout with all engines, and the peer's pandas and numpy."""
    pins = [f"{name}=={installed(peer, name)}" for name in ("pandas", "numpy")]
    wanted = [str(ROOT), *sizes.ENGINES]
    key_ = f"{checkout_digest()} {pins} {sizes.ENGINES}"
    return environment(folder, key_, [*wanted, *pins], otherwise=wanted, base=base)


def interpreter(versions: Sequence[str]) -> str | None:
    """A Python of one of these versions: from PATH, or from pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for version in versions:
        for found in (shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))):
            if found and subprocess.run([found, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
                return str(found)
    return None


OUR_WAY = ("-m", "algotools")
PEER_WAY = ("-c", "from vantage6.algorithm.tools.wrap import wrap_algorithm; wrap_algorithm()")


def ours(python: Path, form: str) -> Contestant:
    """Our partial in one of the forms."""
    if form == "pandas":
        return Contestant(python, OUR_WAY, "average", ROOT / "examples/average/src")
    return Contestant(python, OUR_WAY, f"average_{form}", HERE / "algorithms")


def peers(python: Path, package: str = "vantage6_average") -> Contestant:
    """The peer's partial."""
    return Contestant(python, PEER_WAY, package, HERE / "peers")


def at_node(node: Node, contestant: Contestant) -> tuple[Ended, object]:
    """A node's turn."""
    return node.run(contestant), node.answer()


def by_itself(python: Path, folder: Path, engine: str, *told: str) -> tuple[Ended, object]:
    """A bare engine's turn."""
    ended = measure([str(python), str(HERE / "children/bare.py"), engine, *told], system(), folder)
    return ended, json.loads((folder / "log").read_text(encoding="utf-8"))


# --- How they are measured. ---


@dataclass
class Contest:
    """Takes the measurements, and keeps what came out."""

    python: Environments
    cache: Path
    folder: Path
    rounds: Mapping[int, int]
    figures: Figures = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """Who gave no answer -> what it said last."""

    def hold(
        self,
        part: str,
        rows: int,
        turns: Mapping[str, Turn],
        server: Server | None = None,
        rounds: int | None = None,
    ) -> None:
        """Let each take its turn in every round, and keep time, memory and how many rows a server has sent.

        Whoever fails is left out from then on. The answers must agree.
        """
        found: dict[str, list[float]] = {}
        answers: dict[str, tuple[float, float]] = {}

        def take(name: str, turn: Turn) -> None:
            if key(part, rows, name) in self.failed:
                return
            if server:
                server.forget()
            try:
                ended, answer = turn()
            except SystemExit as error:
                told = next((line for line in reversed(str(error).splitlines()) if line.strip()), "no word")
                say(f"{part}, {rows} rows: {name} gives no answer: {error}")
                self.failed[key(part, rows, name)] = told
                return
            values = {"time": ended.wall_ms, "memory": ended.peak_mb}
            if server:
                values["sent"] = server.sent()
            for what, value in values.items():
                found.setdefault(key(part, rows, name, what), []).append(round(value, 1))
            if isinstance(answer, dict):
                answers[name] = (float(answer["sum"]), float(answer["count"]))

        say(f"{part}, {rows:,} rows")
        rounds = rounds or self.rounds.get(rows, ROUNDS[1_000_000])
        warm_up = rows < LARGE
        alternate(rounds, {name: partial(take, name, turn) for name, turn in turns.items()}, warm_up=warm_up)
        if len(set(answers.values())) > 1:
            raise SystemExit(f"the answers differ, so nothing can be compared: {answers}")
        for name, samples in found.items():
            if len(samples) == rounds + warm_up:
                self.figures[name] = Spread(UNITS[name.rpartition(", ")[2]], samples[warm_up:])

    def node(self, name: str, **told: Any) -> Node:
        """A node with a prepared task."""
        python = self.python.ours_5 if told.get("contract") == "v5" else self.python.ours
        return Node(self.folder / name, python or self.python.ours, **{"method": "average_partial", **told})

    def table(self, rows: int, kind: str) -> Path:
        """The table of so many rows, as a file; made if it is not there."""
        paths = [self.cache / f"rows-{rows}.{ending}" for ending in ("csv", "parquet")]
        made = hashed(HERE / "children/tables.py")
        ready = self.cache / f"rows-{rows}.ready"
        if not ready.exists() or ready.read_text(encoding="ascii") != made:
            say(f"writing {rows:,} rows")
            execute([str(self.python.ours), str(HERE / "children/tables.py"), *map(str, paths), str(rows)])
            ready.write_text(made, encoding="ascii")
        path = paths[kind == "parquet"]
        with path.open("rb") as file:  # into the disk's cache, wherever the first round counts
            while rows >= LARGE and file.read(2**24):
                pass
        return path


UNITS = {"time": "ms", "memory": "MB", "sent": "rows"}


def hashed(path: Path) -> str:
    """Changes with the file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def measure_file(contest: Contest, kind: str) -> None:
    """One column of a CSV or Parquet file."""
    peer = contest.python.peer if kind == "csv" else contest.python.peer_with_arrow
    for rows in contest.rounds:
        uri = str(contest.table(rows, kind))
        node = contest.node(f"{kind}-{rows}", kwargs=ASKED, database={"uri": uri, "type": kind})
        turns: dict[str, Turn] = {
            f"ours {form}": partial(at_node, node, ours(contest.python.ours, form)) for form in FORMS
        }
        turns["vantage6"] = partial(at_node, node, peers(peer))
        for engine in BARE[kind]:
            turns[f"bare {engine}"] = partial(by_itself, contest.python.ours, contest.folder, engine, kind, uri, COLUMN)
        contest.hold(kind, rows, turns)


def measure_server(contest: Contest, server: Server) -> None:
    """One column of a table in PostgreSQL. The task has a query, for the peer needs one: all columns of the table."""
    for rows in contest.rounds:
        fill(contest, server, rows)
        queries = {"": f"SELECT * FROM rows_{rows}", " one column": f"SELECT {COLUMN} FROM rows_{rows}"}
        nodes = {
            more: contest.node(
                f"sql-{rows}{more}", kwargs=ASKED, database={"uri": server.uri, "type": "sql", "query": query}
            )
            for more, query in queries.items()
        }
        turns: dict[str, Turn] = {
            f"ours {form}": partial(at_node, nodes[""], ours(contest.python.ours, form)) for form in FORMS
        }
        for more, node in nodes.items():
            turns[f"vantage6{more}"] = partial(at_node, node, peers(contest.python.peer))
        for engine in BARE["postgresql"]:
            turns[f"bare {engine}"] = partial(
                by_itself, contest.python.ours, contest.folder, engine, "sql", server.uri, COLUMN, f"rows_{rows}"
            )
        able = {name: turn for name, turn in turns.items() if rows < LARGE or not too_large(name)}
        contest.hold("postgresql", rows, able, server, rounds=fewer(contest.rounds[rows]) if rows >= LARGE else None)


def fewer(rounds: int) -> int:
    """For what takes long."""
    return max(1, rounds // 2)


def too_large(name: str) -> bool:
    """Whether it is not asked of ten million rows in a database: the peer's whole table takes 20 GB and two minutes."""
    return name in ("vantage6", "bare pandas")


def measure_width(contest: Contest, server: Server) -> None:
    """The same column of tables with more and more columns beside it, without an index on it and then with one."""
    rows = 1_000_000
    fill(contest, server, rows)
    widen(server, rows)
    for part, forms in {"width": OF_WIDTH, "indexed": INSIDE}.items():
        for width in WIDTHS:
            table = table_of(width, rows)
            asked = {"uri": server.uri, "type": "sql", "query": f"SELECT * FROM {table}"}
            node = contest.node(f"{part}-{width}", kwargs=ASKED, database=asked)
            turns: dict[str, Turn] = {
                f"ours {form}": partial(at_node, node, ours(contest.python.ours, form)) for form in forms
            }
            turns["bare psycopg"] = partial(
                by_itself, contest.python.ours, contest.folder, "psycopg", "sql", server.uri, COLUMN, table
            )
            if part == "indexed":
                server.ask(f"CREATE INDEX IF NOT EXISTS {table}_asked ON {table} ({COLUMN})")
            contest.hold(f"{part} {width}", rows, turns, server)
            server.ask(f"DROP INDEX IF EXISTS {table}_asked")


def table_of(width: int, rows: int) -> str:
    """The table with so many columns."""
    return f"rows_{rows}" if width == 20 else f"wide_{width}"


TYPES = {
    "bigint": ("site", "smokes", "age", "visits", "days", "alive"),
    "double precision": ("glucose", "creatinine", "risk", "sodium", "weight", "score", "change"),
    "date": ("admitted",),
}


def fill(contest: Contest, server: Server, rows: int) -> None:
    """Copy the CSV file into a table, unless that is there."""
    made = hashed(HERE / "children/tables.py")
    table = f"rows_{rows}"
    if server.ask(f"SELECT obj_description(to_regclass('{table}'))") == made:
        return
    path = contest.table(rows, "csv")
    say(f"filling the database: {rows:,} rows")
    with path.open(encoding="utf-8") as file:
        names = file.readline().strip().split(",")
    types = {name: kind for kind, several in TYPES.items() for name in several}
    columns = ", ".join(f"{name} {types.get(name, 'text')}" for name in names)
    server.ask(f"DROP TABLE IF EXISTS {table}; CREATE UNLOGGED TABLE {table} ({columns})")
    server.ask(f"COPY {table} FROM STDIN (FORMAT csv, HEADER)", path)
    server.ask(f"VACUUM ANALYZE {table}")
    server.ask(f"COMMENT ON TABLE {table} IS '{made}'")


def widen(server: Server, rows: int) -> None:
    """Tables of the same rows with fewer and with more columns; the asked one stays in the middle, and not behind."""
    more = ", ".join(f"risk + {number} AS more_{number}" for number in range(60))
    for width, columns in {5: "patient, admitted, age, glucose, score", 80: f"*, {more}"}.items():
        table = table_of(width, rows)
        if server.ask(f"SELECT to_regclass('{table}')"):
            continue
        say(f"filling the database: {width} columns")
        server.ask(f"CREATE UNLOGGED TABLE {table} AS SELECT {columns} FROM rows_{rows}")
        server.ask(f"VACUUM ANALYZE {table}")


READERS = {"csv": "read_csv", "parquet": "read_parquet", "postgresql": "read_sql_database"}
"""The function that extracts, by the source; both sides have them."""

IN_SESSIONS = ("pandas", "lazy", "batches", "duckdb")
"""Forms of which a session's table is asked."""


def measure_sessions(contest: Contest, server: Server | None) -> None:
    """As v5 has it: a table is extracted whole, and then computed with, by either side with its own table."""
    for rows in contest.rounds:
        for kind, method in READERS.items():
            if (kind == "postgresql" and server is None) or (rows >= LARGE and kind != "csv"):
                continue
            query: dict[str, str] = {}
            if kind == "postgresql" and server:
                fill(contest, server, rows)
                database, query = {"uri": server.uri, "type": "sql"}, {"query": f"SELECT * FROM rows_{rows}"}
            else:
                database = {"uri": str(contest.table(rows, kind)), "type": kind}
            turns = of_session(contest, f"sessions-{kind}-{rows}", method, query, database)
            contest.hold(f"sessions {kind}", rows, turns, rounds=fewer(contest.rounds[rows]))


def measure_start(contest: Contest) -> None:
    """A hundred rows: what it costs to start."""
    node = contest.node("start", kwargs=ASKED)
    forms = (*FORMS, "csv")
    turns: dict[str, Turn] = {f"ours {form}": partial(at_node, node, ours(contest.python.ours, form)) for form in forms}
    turns["vantage6"] = partial(at_node, node, peers(contest.python.peer))
    uri = str(write_table(contest.folder / "start.csv"))
    for engine in BARE["csv"]:
        turns[f"bare {engine}"] = partial(by_itself, contest.python.ours, contest.folder, engine, "csv", uri, COLUMN)
    contest.hold("start", 100, turns, rounds=STARTS)
    contest.hold("sessions start", 100, of_session(contest, "start-5", "read_csv", {}, None), rounds=STARTS)


def of_session(
    contest: Contest, name: str, method: str, query: Mapping[str, str], database: Mapping[str, str] | None
) -> dict[str, Turn]:
    """The turns of a session: both sides extract, and then compute with what they have extracted."""
    python, peer = contest.python.ours_5, contest.python.peer_5
    if python is None or peer is None:
        return {}
    source = contest.node(name, method=method, kwargs=query, database=database, contract="v5", step="data_extraction")
    here, there = (contest.node(f"{name}-{side}", kwargs=ASKED, contract="v5") for side in ("ours", "vantage6"))
    theirs = peers(peer, "vantage6_average_v5")
    return {
        "ours extraction": partial(extract, source, ours(python, "pandas"), here),
        "vantage6 extraction": partial(extract, source, theirs, there),
        **{f"ours {form}": partial(at_node, here, ours(python, form)) for form in IN_SESSIONS},
        "vantage6": partial(at_node, there, theirs),
    }


def extract(source: Node, contestant: Contestant, computes: Node) -> tuple[Ended, None]:
    """Extract a table, and put it where a step that computes looks for it."""
    ended = source.run(contestant)
    computes.put(source)
    return ended, None


def measure_results(contest: Contest) -> None:
    """Arrays between rpc and master."""
    say("results")
    rounds = min(OF_RESULTS, contest.rounds.get(1_000_000, OF_RESULTS))
    found = results.measure(rounds, cache=contest.cache)
    contest.figures |= {
        f"results, {name}": Spread(spread.unit, [round(sample, 3) for sample in spread.samples])
        for name, spread in found.items()
    }


# --- What comes out. ---


def about(python: Environments, server: Server | None) -> dict[str, object]:
    """Where the figures come from: they mean nothing without."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    engines = ("pandas", "numpy", "pyarrow", "polars", "duckdb", "ibis-framework", "adbc-driver-postgresql", "psycopg")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "memory": f"{memory / 1e9:.0f} GB",
        "python": platform.python_version(),
        "versions": {name: installed(python.ours, name) for name in engines},
        "peer": installed(python.peer, PEER.partition("==")[0]),
        "postgresql": server.version() if server else None,
        "5": {
            "python": version_of(python.ours_5),
            "peer": installed(python.peer_5, PEER.partition("==")[0]),
            "pandas": installed(python.ours_5, "pandas"),
        }
        if python.ours_5 and python.peer_5
        else None,
    }


def version_of(python: Path) -> str:
    """The version of an interpreter."""
    return execute([str(python), "-c", "import platform; print(platform.python_version())"]).strip()


def stored(target: Target) -> dict[str, object]:
    """A target as JSON has it, which knows no infinity."""
    return {**asdict(target), "measured": target.measured if target.measured < math.inf else None, "met": target.met}


def as_json(content: Mapping[str, Any]) -> str:
    """Everything, a figure a line, every single measurement included."""
    figures = content["figures"]
    lines = [f"    {json.dumps(name)}: {json.dumps(figures[name], ensure_ascii=False)}" for name in figures]
    rest = {**content, "figures": "FIGURES"}
    text = json.dumps(rest, indent=2, ensure_ascii=False)
    return text.replace('"FIGURES"', "{\n" + ",\n".join(lines) + "\n  }") + "\n"


def arguments() -> argparse.Namespace:
    """What is asked of this benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), metavar="PARTS", help="parts, with commas between them")
    parser.add_argument("--rows", default=",".join(map(str, ROUNDS)), help="numbers of rows (default: %(default)s)")
    parser.add_argument("--rounds", default=None, help="how often each is measured, by --rows; or one number for all")
    parser.add_argument("--cache", type=Path, default=None, help="folder that keeps environments, tables, database")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--page",
        type=Path,
        nargs="?",
        const=ROOT / "docs/performance.md",
        default=None,
        metavar="FILE",
        help="measure nothing; write the page, from --json (by default what is stored beside this script)",
    )
    options = parser.parse_args()
    rows = [int(float(number)) for number in options.rows.split(",")]
    several = options.rounds.split(",") if options.rounds else [ROUNDS.get(number, 5) for number in rows]
    rounds = [int(number) for number in (several if len(several) == len(rows) else several * len(rows))]
    options.rounds = dict(zip(rows, rounds, strict=True))
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(PARTS):
        parser.error(f"--only knows {', '.join(PARTS)}; not {', '.join(unknown)}")
    if min(rounds) < 1:
        parser.error("--rounds must be at least 1")
    return options


def main() -> None:
    """Measure, print, and end well whether or not the targets are met: figures are judged by people."""
    options = arguments()
    if options.page:
        content = json.loads((options.json or HERE / "data.json").read_text(encoding="utf-8"))
        options.page.write_text(performance.page(content), encoding="utf-8")
        return
    cache = (options.cache or cache_folder()).absolute()
    cache.mkdir(parents=True, exist_ok=True)
    python = make_environments(cache)
    before = os.getloadavg()[0]  # with others at work, times that stand alone come out too high; ratios bear it
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name, running(cache) as server:
        contest = Contest(python, cache, Path(name), options.rounds)
        origin = about(python, server)
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
        "targets": [stored(target) for target in performance.targets(contest.figures)],
        "failed": contest.failed,
        "figures": {name: {"median": round(f.median, 3), **asdict(f)} for name, f in contest.figures.items()},
    }
    print(performance.tables(content))
    if options.json:
        options.json.write_text(as_json(content), encoding="utf-8")


if __name__ == "__main__":
    main()
