"""Canary runs: algorithms and databases that fail while they hold canaries. Nothing that a researcher reads has one."""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import duckdb
import pandas as pd

from algotools import Federation
from algotools.declare import locate
from algotools.errors import AlgotoolsError
from algotools.federation.contract import get_contract
from algotools.federation.contract.rest import RunRecord
from algotools.task import Database

from ..conftest import ALGORITHMS
from .canaries import (
    COLUMN,
    FILE,
    FOLDER,
    HOST,
    NUMBER,
    OPTION,
    PASSWORD,
    SCHEME,
    SHEET,
    TABLE,
    USER,
    VALUE,
    find_canaries,
)
from .scoreboard import AttackGroup

CONTRACTS = ("v3", "v4", "v5")
FORMS = ("pandas", "polars", "lazy", "arrow", "batches", "duckdb", "ibis", "path")
OWN_WAYS = ("cast", "column", "group", "sort", "query")
FORMS_PER_WAY = 1
FORMS_PER_DATABASE = 4
BAD_REQUESTS = ("argument", "method", "keyword", "organization", "object", "key", "surrogate", "task", "none")
LIMIT = 200.0
"""Seconds for a run. A run that takes longer is a hang."""
ROWS = pd.DataFrame({"patient": [VALUE.text, "b"], COLUMN.text: ["c", "d"], "number": [int(NUMBER.text), 2]})


class Attempt(NamedTuple):
    """A task for one node."""

    name: str
    method: str
    arguments: dict[str, object]
    database: Database = Database("default")
    role: str = "rpc"
    is_deliberate: bool = False


def attack(group: AttackGroup, seed: int, share: float = 1.0, only: str = "") -> None:
    """Run all attempts, or a random share of them, on each generation; *only* selects the deliberate ones."""
    chosen = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        all_databases = write_databases(Path(scratch))
        for contract in CONTRACTS:
            has_options = contract != "v3"
            databases = {label: d for label, d in all_databases.items() if has_options or not d.options}
            with Federation(
                [databases], algorithm=ALGORITHMS / "leaks", runner="process", contract=contract, timeout=LIMIT
            ) as federation:
                attempts = [
                    a
                    for a in list_attempts(contract, databases, chosen)
                    if (share == 1 or chosen.random() < share) and (not only or a.is_deliberate)
                ]
                for batch in _split(attempts, 12):
                    tasks = [(attempt, _post(federation, attempt)) for attempt in batch]
                    for attempt, task in tasks:
                        _judge(group, federation, attempt, task)


def list_attempts(contract: str, databases: dict[str, Database], chance: random.Random) -> list[Attempt]:
    """Return the attempts for a generation: each way to fail with some forms, and each database with all forms."""
    algorithm = locate.load(locate.locate(str(ALGORITHMS / "leaks")))
    module = algorithm.functions["by_pandas"].__globals__
    ways, channels = [*OWN_WAYS, *module["WAYS"]], [*module["CHANNELS"]]
    attempts = [
        Attempt(f"{form}, {way}", f"by_{form}", {"way": way})
        for way in ways
        for form in (FORMS if way in OWN_WAYS else chance.sample(FORMS, FORMS_PER_WAY))
    ]
    attempts += [
        Attempt(f"{form}, {way}", f"by_{form}", {"way": way}, is_deliberate=True) for form in FORMS for way in channels
    ]
    attempts += [
        Attempt(f"master of {way}", "collect", {"method": "by_pandas", "way": way}, role="master") for way in ways
    ]
    attempts += [
        Attempt(f"master asks by {way}", "ask_badly", {"way": way}, role="master", is_deliberate=way == "method")
        for way in BAD_REQUESTS
    ]
    for label in databases:
        methods = [f"read_by_{form}" for form in chance.sample((*FORMS, "database"), FORMS_PER_DATABASE)]
        attempts += [Attempt(f"{label}, {method}", method, {}, Database(label)) for method in methods]
        attempts += [
            Attempt(f"{label}, column {name}", "read_column", {"column": name}, Database(label))
            for name in ("number", "none")
        ]
    if contract == "v4":
        for label, query in itertools.product(("hidden_tables", "duckdb", "late_type_in_SQL"), QUERIES):
            attempts += [
                Attempt(f"{label}, {query}, {form}", f"read_by_{form}", {}, Database(label, query=query))
                for form in FORMS
            ]
        for label, sheet in itertools.product(("sheets", "default"), ("none", "", "0", "Sheet1")):
            attempts.append(Attempt(f"{label}, sheet {sheet}", "read_by_pandas", {}, Database(label, sheet_name=sheet)))
    return attempts


QUERIES = (
    "select",
    "select * from none",
    "select none from patients",
    "select * from patients",
    "attach 'x'",
    "drop table x",
)


def write_databases(folder: Path) -> dict[str, Database]:
    """Write databases with canaries: a sound one, and many that cannot be read."""
    folder /= FOLDER.text
    folder.mkdir()
    stem = str(folder / FILE.text)
    texts = {
        "default": ROWS.to_csv(index=False),
        "ragged": ROWS.to_csv(index=False) + f"{VALUE.text},1,2,3,{VALUE.text}\n",
        "late type": f"{COLUMN.text},number\n" + "1,2\n" * 300_000 + f"{VALUE.text},{VALUE.text}\n",
        "quotes": f'{COLUMN.text},number\n"{VALUE.text},1\n',
        "same names": f"{COLUMN.text},{COLUMN.text},number\n1,2,{VALUE.text}\n",
        "almost the same names": f"{COLUMN.text},{COLUMN.text.upper()} ,number \n1,2,3\n",
        "empty": "",
        "wrong number": f"{COLUMN.text},number\n1,{VALUE.text}\n",
    }
    result = {label: _write(f"{stem}-{label}.csv", text.encode(), label) for label, text in texts.items()}
    result |= {
        "encoding": _write(f"{stem}-encoding.csv", f"{COLUMN.text},number\n{VALUE.text}\xff,1\n".encode("latin1"), ""),
        "nulls": _write(f"{stem}-nulls.csv", f"{COLUMN.text},number\n{VALUE.text}\0,1\n".encode(), ""),
        "missing": Database("", f"{stem}-missing.csv"),
        "folder": Database("", str(folder)),
        "under a file": Database("", f"{stem}-default.csv/{FILE.text}.csv"),
        "long path": Database("", stem + "x" * 5000),
        "corrupt Parquet": _write(f"{stem}.parquet", b"PAR1" + VALUE.text.encode() * 9 + b"PAR1", ""),
        "corrupt Excel": _write(f"{stem}.xlsx", b"PK\3\4" + VALUE.text.encode(), ""),
        "corrupt SQLite": _write(f"{stem}-c.sqlite", b"SQLite format 3\0" + VALUE.text.encode() * 9, ""),
        "corrupt DuckDB": _write(f"{stem}-c.duckdb", VALUE.text.encode() * 99, ""),
        "missing SQLite": Database("", f"{stem}-none.sqlite"),
    }
    result |= _write_tables(folder, stem) | _name_servers() | _set_wrong_options(stem)
    return {label.replace(" ", "_"): database for label, database in result.items()}


def _write(path: str, data: bytes, label: str) -> Database:
    Path(path).write_bytes(data)
    return Database(label, path)


def _write_tables(folder: Path, stem: str) -> dict[str, Database]:
    with pd.ExcelWriter(f"{stem}-sheets.xlsx") as book:
        ROWS.to_excel(book, sheet_name=SHEET.text, index=False)
        ROWS.to_excel(book, sheet_name=f"{SHEET.text}2", index=False)
    parts = folder / "parts"
    parts.mkdir()
    ROWS.to_parquet(parts / f"{FILE.text}1.parquet")
    ROWS.rename(columns={"number": TABLE.text}).assign(patient=1).to_parquet(parts / f"{FILE.text}2.parquet")
    with closing(sqlite3.connect(f"{stem}.sqlite")) as connection:
        ROWS.to_sql(TABLE.text, connection, index=False)
        connection.execute(f"create table patients as select * from {TABLE.text}")
        connection.commit()
    with closing(sqlite3.connect(f"{stem}-late.sqlite")) as connection:
        connection.execute(f"create table patients ({COLUMN.text} integer, number integer)")
        connection.executemany("insert into patients values (?, ?)", [(1, 2)] * 150_000)
        connection.execute("insert into patients values (?, ?)", (VALUE.text, VALUE.text))
        connection.commit()
    with closing(duckdb.connect(f"{stem}.duckdb")) as database:
        database.execute(f"create table {TABLE.text} as select '{VALUE.text}' as {COLUMN.text}, 1 as number")
        database.execute(f"create table patients as select * from {TABLE.text}")
    cast = f"select cast({COLUMN.text} as int) as number from patients"
    return {
        "sheets": Database("", f"{stem}-sheets.xlsx"),
        "wrong sheet": Database("", f"{stem}-sheets.xlsx", None, {"SHEET_NAME": f"{SHEET.text}9"}),
        "parts": Database("", str(parts)),
        "hidden tables": Database("", f"{stem}.sqlite"),
        "wrong table": Database("", f"{stem}.sqlite", None, {"TABLE": f"{TABLE.text}9"}),
        "wrong query": Database("", f"{stem}.sqlite", None, {"QUERY": f"select {COLUMN.text}9 from {TABLE.text}"}),
        "late type in SQL": Database("", f"{stem}-late.sqlite", None, {"TABLE": "patients"}),
        "duckdb": Database("", f"{stem}.duckdb"),
        "wrong cast": Database("", f"{stem}.duckdb", None, {"QUERY": cast}),
        "wrong table in DuckDB": Database("", f"{stem}.duckdb", None, {"TABLE": f"{TABLE.text}9"}),
        "wrong path of a type": Database("", f"{stem}.sqlite", "parquet"),
    }


def _name_servers() -> dict[str, Database]:
    login = f"{USER.text}:{PASSWORD.text}@"
    uris = {
        "PostgreSQL": f"postgresql://{login}127.0.0.1:1/{TABLE.text}",
        "no host": f"postgresql://{login}{HOST.text}:1/{TABLE.text}?connect_timeout=1",
        "wrong port": f"postgresql://{login}127.0.0.1:{PASSWORD.text}/x",
        "wrong brackets": f"postgresql://{login}[{HOST.text}/x",
        "wrong parameter": f"postgresql://{login}127.0.0.1:1/x?{PASSWORD.text}={PASSWORD.text}",
        "MySQL": f"mysql://{login}127.0.0.1:1/{TABLE.text}",
        "no driver": f"mssql+pyodbc://{login}127.0.0.1:1/{TABLE.text}",
        "no such driver": f"postgresql+{SCHEME.text}://{login}127.0.0.1:1/x",
        "no such scheme": f"{SCHEME.text}://{login}127.0.0.1:1/x",
        "file with a login": f"file://{login}{HOST.text}/{FILE.text}.csv",
        "SQLite with a login": f"sqlite://{login}{HOST.text}/{FILE.text}.db",
    }
    servers = {label: Database("", uri, "sql", {"TABLE": TABLE.text}) for label, uri in uris.items()}
    return servers | {
        "SPARQL": Database("", f"http://{login}127.0.0.1:1/{TABLE.text}", "sparql", {"QUERY": TABLE.text}),
        "SPARQL without a scheme": Database("", f"{login}127.0.0.1:1/{TABLE.text}", "sparql", {"QUERY": TABLE.text}),
        "OMOP": Database("", f"postgresql://{login}127.0.0.1:1/x", "omop", {"TABLE": TABLE.text, "CDM_SCHEMA": "x"}),
        "unknown type": Database("", f"{login}{HOST.text}", SCHEME.text),
        "token in an option": Database("", "postgresql://127.0.0.1:1/x", "sql", {"PASSWORD": PASSWORD.text}),
    }


def _set_wrong_options(stem: str) -> dict[str, Database]:
    options = {
        "DELIMITER": PASSWORD.text,
        "DECIMAL": PASSWORD.text,
        "ENCODING": TABLE.text,
        "DTYPE": json.dumps({COLUMN.text: "int"}),
        "QUOTECHAR": TABLE.text,
        "HEADER": TABLE.text,
        "SKIP_ROWS": TABLE.text,
        "NA_VALUES": TABLE.text,
        "PARSE_DATES": json.dumps([COLUMN.text, TABLE.text]),
        "COLUMNS": TABLE.text,
        "SHEET_NAME": SHEET.text,
        "TABLE": TABLE.text,
        "QUERY": TABLE.text,
        OPTION.text: PASSWORD.text,
    }
    return {
        f"option {number}": Database("", f"{stem}-default.csv", None, {name: value})
        for number, (name, value) in enumerate(options.items())
    }


def _split(items: list[Attempt], size: int) -> Iterator[list[Attempt]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _post(federation: Federation, attempt: Attempt) -> int | str:
    """Create the task; return its id, or the message of the refusal, which a researcher reads."""
    contract = get_contract(federation.contract)
    content = {"method": attempt.method, "kwargs": attempt.arguments, "master": attempt.role == "master"}
    try:
        request = contract.make_request(contract.add_query(content, [attempt.database]))
        return federation.post([2], request, [attempt.database]).id
    except AlgotoolsError as error:
        return error.message


def _judge(group: AttackGroup, federation: Federation, attempt: Attempt, task: int | str) -> None:
    name = f"{federation.contract}, {attempt.name}"
    group.attempts += 1
    if isinstance(task, str):
        _check_readable(group, task.encode(), name)
        return
    if not federation.wait(task, 2 * LIMIT):
        group.report("hang", name, "the task does not finish")
        return
    (run,) = federation.task(task).runs
    failure = federation.failure(run)
    group.check_code(failure.exit_code if failure else 0, name)
    if failure and failure.exit_code == 45:
        group.report("hang", name, "the run does not finish")
    if failure and run.output:
        group.report("output", name, f"{len(run.output)} bytes")
    readable = [run.log, run.status, *(failure[:2] if failure else ()), *_list_views(federation, run)]
    if failure or attempt.role == "master":
        readable.append(run.output.decode("utf-8", "backslashreplace"))
    data = "\n".join(map(str, readable)).encode("utf-8", "backslashreplace")
    if attempt.is_deliberate:
        sent = bool(find_canaries(data + run.output, [VALUE, NUMBER]))
        group.notes["sent on purpose" if sent else "not sent on purpose"] += 1
        return
    if find_canaries(run.detail.encode("utf-8", "backslashreplace")):
        group.notes["read by the owner"] += 1
    _check_readable(group, data, name)


def _list_views(federation: Federation, run: RunRecord) -> Iterator[str]:
    """Yield what the researcher's client returns about the run, without its result."""
    client = federation.client()
    yield json.dumps(client.task.get(run.task_id), default=str)
    for view in client.run.list(task=run.task_id, include_task=True)["data"]:
        yield json.dumps({key: value for key, value in view.items() if key != "result"}, default=str)


def _check_readable(group: AttackGroup, data: bytes, name: str) -> None:
    text = data.decode("utf-8", "backslashreplace")
    for canary in sorted(find_canaries(data)):
        group.report(canary.kind, name, f"{canary.text} in {text[:250]}")
    group.check_text(text, name)
