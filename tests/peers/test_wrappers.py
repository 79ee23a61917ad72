"""The peers' real wrappers and ours, started by hand with one environment, agree on the meaning of every result.

The same algorithm is there once for each (``algorithms/twice_*``). Where ours differs on purpose, ``DIFFERENCES`` (in
``by_hand/differences.py``) says from what, and why.
"""

from __future__ import annotations

import csv
import itertools
import json
import pickle
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from algotools.contract import environment
from algotools.data.parquet import encode
from algotools.report import read_failure
from algotools.task import Database

from ..data.conftest import frames
from .by_hand import both
from .by_hand.both import Both, Starter
from .by_hand.differences import DIFFERENCES
from .by_hand.node import ENCODED, FAILS, NOTHING, PLAIN, TABLE, V3_CASE, V5_CASE, Case, Node, NodeWithSession, same

pytestmark = pytest.mark.peers

FILES = {
    "first": "age,name\n71,Jane\n58,\n",
    "second": "weight\n80.5\n",
    "third": "when\n2024-03-01\n2024-03-02\n",
}


def check_both_fail(node: Node, case: Case) -> None:
    """Both fail, and ours says why: what fails is the task, and not the test's own machinery."""
    ended = node.run(case)
    assert (node.means(ended.theirs), node.means(ended.ours)) == (FAILS, FAILS)
    assert ended.ours.output == b""
    assert read_failure(ended.ours.log) is not None


@pytest.fixture(scope="module")
def ours() -> Iterator[Starter]:
    starter = both.our_starter()
    yield starter
    starter.close()


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Database]:
    folder = tmp_path_factory.mktemp("databases")
    for label, text in FILES.items():
        (folder / f"{label}.csv").write_text(text, encoding="utf-8")
    found = {label: Database(label, str(folder / f"{label}.csv"), "csv") for label in FILES}
    with pd.ExcelWriter(folder / "book.xlsx") as book:
        pd.DataFrame({"age": [71, 58], "name": ["Jane", None]}).to_excel(book, sheet_name="people", index=False)
        pd.DataFrame({"when": [2024.5], "größe": [True]}).to_excel(book, sheet_name="visits", index=False)
    with closing(sqlite3.connect(folder / "base.sqlite")) as base:
        base.executescript(
            "create table people (age integer, name text, weight real);"
            "insert into people values (71, 'Jane', 80.5), (58, null, null)"
        )
    (folder / "semicolons.csv").write_text("age;name\n71;Jane\n58;\n", encoding="utf-8")
    (folder / "empty.csv").touch()
    found |= {name: Database(name, str(folder / f"{name}.csv"), "csv") for name in ("semicolons", "empty", "gone")}
    pd.DataFrame({"age": [71, 58], "when": pd.to_datetime(["2024-03-01", None])}).to_parquet(folder / "columns.parquet")
    found["columns"] = Database("columns", str(folder / "columns.parquet"), "parquet")
    pd.DataFrame({"weight": [80.5]}).to_excel(folder / "numbers.xlsx", index=False)
    found["numbers"] = Database("numbers", str(folder / "numbers.xlsx"), "excel")
    sqlite3.connect(folder / "another.db").close()
    found["another"] = Database("another", str(folder / "another.db"), "sql")
    found["book"] = Database("book", str(folder / "book.xlsx"), "excel")
    return found | {"base": Database("base", str(folder / "base.sqlite"), "sql")}


@pytest.fixture(scope="module")
def v4(peer_python, ours, databases, tmp_path_factory) -> Iterator[Node]:
    theirs = Starter(peer_python("v4"), "vantage6.algorithm.tools.wrap", "vantage6.algorithm.tools.decorators")
    yield Node(Both(tmp_path_factory.mktemp("v4"), theirs, ours, "v4"), databases, json.loads)
    theirs.close()


@pytest.fixture(scope="module")
def v3(peer_python, ours, databases, tmp_path_factory) -> Iterator[Node]:
    theirs = Starter(peer_python("v3"), "vantage6.tools.docker_wrapper", "vantage6.client.deserialization")
    folder = tmp_path_factory.mktemp("researcher")

    def decode(output: bytes) -> Any:
        """By the real client, in its own interpreter: it unpickles."""
        (folder / "output").write_bytes(output)
        if theirs.run(READ_BY_THE_V3_CLIENT, {"FOLDER": str(folder)}, folder / "log"):
            raise ValueError((folder / "log").read_text(encoding="utf-8"))
        return json.loads((folder / "value").read_text(encoding="utf-8"))

    yield Node(Both(tmp_path_factory.mktemp("v3"), theirs, ours, "v3"), databases, decode)
    theirs.close()


@pytest.fixture(scope="module")
def v5(peer_python, ours, databases, tmp_path_factory) -> Iterator[NodeWithSession]:
    theirs = Starter(peer_python("v5"), "vantage6.algorithm.tools.wrap", *(f"vantage6.algorithm.{x}" for x in OF_V5))
    folder = tmp_path_factory.mktemp("v5-node")

    def decode(output: bytes) -> Any:
        """As the client decodes an answer, or as the node reads a table that stays with it."""
        if not output.startswith(TABLE):
            return json.loads(output)
        (folder / "output").write_bytes(output)
        environment = {"FOLDER": str(folder), **both.installed("v5")}
        assert theirs.run(READ_BY_THE_V5_NODE, environment, folder / "log") == 0, (folder / "log").read_text()
        return json.loads((folder / "value").read_text(encoding="utf-8"))

    node = NodeWithSession(Both(tmp_path_factory.mktemp("v5"), theirs, ours, "v5"), databases, decode)
    node.session.mkdir()
    for label in FILES:
        node.put(label, pd.read_csv(databases[label].uri).to_parquet())
    yield node
    theirs.close()


OF_V5 = ("decorator", "data_extraction")

READ_BY_THE_V5_NODE = """
import json, os, pathlib
import pyarrow.parquet as pq
from rows import described, rows
folder = pathlib.Path(os.environ["FOLDER"])
table = pq.read_table(folder / "output")
frame = table.to_pandas()
types = {field.name: str(field.type) for field in table.schema}
value = {"types": types, "frame": described(frame), "rows": rows(frame)}
(folder / "value").write_text(json.dumps(value, default=str))
"""

READ_BY_THE_V3_CLIENT = """
import json, os, pathlib
from vantage6.client.deserialization import load_data
folder = pathlib.Path(os.environ["FOLDER"])
value = load_data((folder / "output").read_bytes())
(folder / "value").write_text(json.dumps(value, default=lambda found: {"python": type(found).__name__}))
"""


# What means the same

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SEVERAL = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SEVERAL_TABLES = settings(SEVERAL, max_examples=8)
NAMES = ("first", "second", "third")


@SEVERAL
@given(st.lists(JSON, min_size=1, max_size=3), st.integers(0, 3), st.booleans(), st.sampled_from([ENCODED, PLAIN]))
def test_v4_any_json_goes_in_by_place_and_by_name_and_comes_out_the_same(v4, values, cut, leave_out, contract) -> None:
    args, kwargs = values[:cut], dict(list(zip(NAMES, values, strict=False))[cut:])
    given_ = {"method": "arguments", "args": args, "kwargs": kwargs}
    posted = json.dumps({key: value for key, value in given_.items() if value or not leave_out})
    theirs, ours = v4.ask(Case(posted=posted.encode(), contract=contract))
    assert same(theirs, [*values, 2, 3][: len(values)] + [2, 3][len(values) - 1 :])
    assert same(ours, theirs)


@SEVERAL
@given(st.lists(JSON, min_size=1, max_size=3), st.integers(0, 3), st.sampled_from([{"output_format": "json"}, {}]))
def test_v3_any_json_goes_in_and_the_real_client_reads_the_same_out_of_pickle_and_our_json(
    v3, values, cut, more
) -> None:
    content = {"args": values[:cut], **more}
    kwargs = dict(list(zip(NAMES, values, strict=False))[cut:])
    theirs, ours = v3.ask(V3_CASE._replace(method="arguments", kwargs=kwargs, more=content))
    assert same(theirs, values + [2, 3][len(values) - 1 :])
    assert same(ours, theirs)


CELLS = st.sampled_from(
    ["", "NA", "NaN", "null", "None", "1", "-2.5", "1e5", "007", "true", "False", "2024-03-01", "-", " left and right ",
     'a "quoted" word', "one, two", "two\nlines", "größer", "日本", "0x1F", "1,5", "'"]
) | st.text(st.characters(exclude_categories=["C"]), max_size=6)  # fmt: skip
TABLES = st.integers(1, 3).flatmap(
    lambda width: st.tuples(
        st.lists(st.sampled_from(["age", "größe", "a b", "a,b", "", "age.1"]), min_size=width, max_size=width),
        st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=4),
    )
)


@SEVERAL
@given(TABLES, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_v4_a_csv_file_is_the_same_table(v4, tmp_path_factory, table, quoting) -> None:
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=quoting).writerows([table[0], *table[1]])
    case = Case("table", labels=("written",))
    theirs, ours = replace(v4, databases={"written": Database("written", str(path), "csv")}).ask(case)
    assert same(theirs, ours)


@pytest.mark.parametrize(
    "case",
    [
        Case("echo"),
        Case("table"),
        Case("table", contract=PLAIN),
        Case("table", labels=("second",)),
        Case("table", labels=("second", "first")),  # more than it takes: the first
        Case("table", types={"first": None}),
        Case("table", types={"first": "CSV"}),
        Case("total", {"column": "age"}),
        Case("table", labels=("book",)),
        Case("table", labels=("book",), asks={"sheet_name": "visits"}),
        Case("table", labels=("book",), types={"book": "Excel"}, contract=PLAIN),
        Case("table", labels=("base",), asks={"query": "select * from people order by age"}),
        Case("table", labels=("base",), asks={"query": "select count(*) as n from people where age > 1000"}),
        Case("table", labels=("base",), asks={"query": "select age from people where age > 1000"}),
        Case("total", {"column": "weight"}, labels=("base",), asks={"query": "select * from people"}),
        *(
            Case("table", asks={"preprocessing": json.dumps([{"function": "filter_range", "parameters": parameters}])})
            for parameters in ({"column": "age", "min_": 60}, {"column": "age", "max_": 58, "include_max": True})
        ),
        Case("table", asks={"preprocessing": '[{"function": "dummy_preprocess", "parameters": {}}]'}),
        Case("who"),
        Case("who", contract=PLAIN),
        Case("prints"),
        Case("central", {"number": 3}),
        Case("central", more={"master": True}),
        Case("echo", more={"master": False}),
        Case("echo", labels=()),
        Case("echo", more={"something": "else"}),
        Case("echo", unknown=("nowhere",), labels=()),  # which it does not read
        Case("odd", {"kind": "a tuple"}),
        Case("odd", {"kind": "keys that are no texts"}),
        Case("odd", {"kind": "a large number"}),
        Case("odd", {"kind": "nothing"}),
        Case(posted=b'{"method": "echo", "kwargs": {"value": 1}, "kwargs": {"value": 2}}'),
        Case(posted=b' {"method": "echo"}\n'),
        *(
            Case("variable", {"name": "PLAYER"}, variables={"PLAYER": value})
            for value in ("Alice", "", "ABCDEFGH", "MFRGGZDF", "MFRGG!!!", "größer\n", "http://proxy:3128")
        ),
    ],
    ids=str,
)
def test_v4_the_same_answer(v4, case) -> None:
    theirs, ours = v4.ask(case)
    assert theirs not in (FAILS, NOTHING)
    assert same(ours, theirs)


@pytest.mark.parametrize(
    "case",
    [
        Case("nowhere"),
        Case("__doc__"),
        Case("raises"),
        Case("exits", {"code": 3}),
        Case("exits", {"code": "a text"}),
        Case("ends_the_process", {"code": 3}),
        Case("echo", {"valeu": 1}),
        Case("arguments"),
        Case("echo", more={"args": [1, 2]}),
        Case("echo", {"value": 1}, {"args": [2]}),
        Case("total", {"column": "height"}),
        Case("total", {"column": "name"}),
        Case("table", unknown=("nowhere",), labels=()),
        Case("two_tables", unknown=("nowhere",)),
        Case("two_tables"),
        Case("table", labels=()),
        Case("table", types={"first": "other"}),
        Case("table", types={"first": "omop"}),
        Case("table", labels=("book",), asks={"sheet_name": "nowhere"}),
        Case("table", labels=("book",), types={"book": "csv"}),
        Case("table", labels=("base",)),
        Case("table", labels=("base",), asks={"query": "select * from nowhere"}),
        Case("table", labels=("base",), asks={"query": "not sql"}),
        Case("table", types={"first": "excel"}),
        Case("odd", {"kind": "a set"}),
        Case("odd", {"kind": "bytes"}),
        Case("odd", {"kind": "an object"}),
        Case("echo", image={"PKG_NAME": "nowhere_to_be_found"}),
        Case(posted=b""),
        Case(posted=b"null"),
        Case(posted=b"[1, 2]"),
        Case(posted=b"{}"),
        Case(posted=b"not json"),
        Case(posted=b'{"method": "echo"} and more'),
        Case(posted=b'{"method": "caf\xe9"}'),
        Case(posted=b'{"method": "echo", "args": null}'),
        Case(posted=b'{"method": "echo", "kwargs": null}'),
        Case(posted=b'{"method": "echo", "kwargs": [1]}'),
        Case(posted=b'{"method": 3}'),
        Case(posted=pickle.dumps({"method": "echo"})),
        Case(posted=b"json." + b'{"method": "echo"}'),
    ],
    ids=str,
)
def test_v4_both_fail_and_leave_no_output(v4, case) -> None:
    check_both_fail(v4, case)


V3_WELL = [
    ("echo", {}, {}),
    ("table", {}, {}),
    ("table", {}, {"output_format": "pickle"}),
    ("table", {}, {"output_format": None}),
    ("total", {"column": "age"}, {}),
    ("central", {"number": 3}, {"master": True}),
    ("central", {}, {"master": 1}),
    ("echo", {}, {"master": 0}),
    ("odd", {"kind": "a tuple"}, {}),
    ("odd", {"kind": "a series"}, {}),
    ("odd", {"kind": "keys that are no texts"}, {}),
    ("odd", {"kind": "a large number"}, {}),
    ("echo", {}, {"output_format": "JSON"}),  # theirs repeats the spelling, ours is always lower case
]


@pytest.mark.parametrize("command", [both.V3, both.V3_CSV], ids=["auto_wrapper", "docker_wrapper"])
@pytest.mark.parametrize(("method", "kwargs", "more"), V3_WELL, ids=str)
def test_v3_the_same_answer(v3, command, method, kwargs, more) -> None:
    case = V3_CASE._replace(method=method, kwargs=kwargs, more={**V3_CASE.more, **more}, command=command)
    theirs, ours = v3.ask(case)
    assert theirs not in (FAILS, NOTHING)
    assert same(ours, theirs)


@pytest.mark.parametrize(
    "case",
    [
        V3_CASE._replace(method="table", types={"first": None}, command=both.V3_CSV),
        V3_CASE._replace(method="table", labels=("second",)),
        *(
            V3_CASE._replace(method="variable", kwargs={"name": "PLAYER"}, variables={"PLAYER": value})
            for value in ("Alice", "", "ABCDEFGH", "MFRGGZDF", "größer")
        ),
        V3_CASE._replace(posted=b'JSON.{"method": "echo", "output_format": "json"}'),
    ],
    ids=str,
)
def test_v3_the_same_answer_about_what_a_node_has(v3, case) -> None:
    theirs, ours = v3.ask(case)
    assert theirs not in (FAILS, NOTHING)
    assert same(ours, theirs)


@pytest.mark.parametrize(
    "case",
    [
        *(
            V3_CASE._replace(method=method, kwargs=kwargs)
            for method, kwargs in [
                ("nowhere", {}),
                ("RPC_echo", {}),
                ("central", {}),
                ("raises", {}),
                ("exits", {"code": 3}),
                ("echo", {"valeu": 1}),
                ("arguments", {}),
                ("total", {"column": "height"}),
                ("odd", {"kind": "a set"}),
            ]
        ),
        V3_CASE._replace(method="table", labels=(), command=both.V3_CSV),
        *(
            V3_CASE._replace(posted=posted)
            for posted in (b"", b'{"method": "echo"}', b"json.", b"json.[1]", b'xml.{"method": "echo"}', b"json.{}")
        ),
    ],
    ids=str,
)
def test_v3_both_fail_and_leave_nothing_that_can_be_read(v3, case) -> None:
    check_both_fail(v3, case)


@pytest.mark.parametrize("name", ["v3", "v4", "v5"])
def test_processes_that_share_nothing_answer_as_the_forked_ones_do(name, peer_python, request) -> None:
    node = request.getfixturevalue(name)
    case = {"v3": V3_CASE, "v4": Case(), "v5": V5_CASE}[name]._replace(method="total", kwargs={"column": "age"})
    environment, output = node.prepare(case), node.both.folder / "output"
    answers = []
    for command, python, source in ((case.command, peer_python(name), name), (both.OURS, sys.executable, "ours")):
        output.write_bytes(b"")
        assert both.one_process(command, python, environment, source) == 0
        answers.append(node.decode(output.read_bytes()))
    assert answers == [129.0, 129.0]


# v5


@SEVERAL
@given(st.lists(JSON, min_size=1, max_size=3))
def test_v5_any_json_goes_in_by_name_and_comes_out_the_same(v5, values) -> None:
    kwargs = dict(zip(NAMES, values, strict=False))
    theirs, ours = v5.ask(V5_CASE._replace(method="arguments", kwargs=kwargs))
    assert same(theirs, values + [2, 3][len(values) - 1 :])
    assert same(ours, theirs)


def of_v5(method: str, kwargs: dict[str, object] | None = None, **more: Any) -> Case:
    return V5_CASE._replace(method=method, kwargs=kwargs or {}, **more)


def extraction(method: str, label: str = "first", /, types: dict[str, str | None] | None = None, **kwargs: Any) -> Case:
    return of_v5(method, kwargs, step="data_extraction", labels=(label,), types=types or {})


def preparing(method: str, *labels: str, **kwargs: Any) -> Case:
    return of_v5(method, kwargs, step="preprocessing", labels=labels or ("first",))


@pytest.mark.parametrize(
    "case",
    [
        of_v5("echo"),
        of_v5("echo", {"value": 1}),
        of_v5("echo", posted=b"null"),
        of_v5("echo", posted=b" null\n"),
        of_v5("echo", posted=b"{}"),
        of_v5("echo", posted=b'{"value": 1, "value": 2}'),
        of_v5("echo", labels=()),
        of_v5("table"),
        of_v5("table", labels=("second",)),
        of_v5("table", labels=("second", "first")),  # more than it takes: the first
        of_v5("table", labels=("second,first",)),  # the first of the group
        of_v5("total", {"column": "age"}),
        of_v5("length"),
        of_v5("two_tables", labels=("second", "first")),
        of_v5("two_tables", labels=("first", "first")),
        of_v5("two_tables", labels=("first,second", "third")),  # the first of each group
        of_v5("three_tables", labels=("third", "first", "second")),
        of_v5("prints"),
        of_v5("central", {"number": 3}, role="master"),
        of_v5("odd", {"kind": "a tuple"}),
        of_v5("odd", {"kind": "keys that are no texts"}),
        of_v5("odd", {"kind": "a large number"}),
        of_v5("odd", {"kind": "nothing"}),
        *(
            of_v5("variable", {"name": "PLAYER"}, variables={"PLAYER": value})
            for value in ("Alice", "", "ABCDEFGH", "MFRGGZDF", "MFRGG!!!", "größer\n", "http://proxy:3128")
        ),
    ],
    ids=str,
)
def test_v5_the_same_answer(v5, case) -> None:
    theirs, ours = v5.ask(case)
    assert theirs not in (FAILS, NOTHING)
    assert same(ours, theirs)


def alike(*found: Any) -> bool:
    """Whether frames are the same; their dtypes only as far as both versions of pandas have them."""
    several = len({frame["pandas"] for frame in found}) > 1
    return (
        len({json.dumps({**f, "dtypes": None, "pandas": None} if several else f, sort_keys=True) for f in found}) == 1
    )


PANDAS_3 = int(pd.__version__.partition(".")[0]) >= 3
"""As the peer's, on which some types depend."""


def types_agree(ours: dict[str, str], theirs: dict[str, str]) -> bool:
    """Whether the types of columns are the same; ``large_string`` is what another version makes of texts.

    pandas before 3 keeps the index of rows that were picked, and knows no type of texts where there are none.
    """

    def told(types: dict[str, str]) -> dict[str, str]:
        names = [name for name in types if PANDAS_3 or not name.startswith("__index_level_")]
        return {name: types[name].replace("large_", "") for name in names}

    ours, theirs = told(ours), told(theirs)
    untyped = {name for name, type_ in ours.items() if type_ == "null" and not PANDAS_3}
    return list(ours) == list(theirs) and all(ours[name] == theirs[name] for name in ours if name not in untyped)


def check_the_same_table(v5: NodeWithSession, case: Case) -> Any:
    """Both write the same table, to the node and to those that read it next; gives it as the node finds it."""
    ended = v5.run(case)
    assert (ended.theirs.code, ended.ours.code) == (0, 0), ended
    theirs, ours = found = [v5.decode(one.output) for one in ended]
    assert types_agree(ours["types"], theirs["types"])
    for name, output in zip(("theirs", "ours"), (ended.theirs.output, ended.ours.output), strict=True):
        v5.put(name, output)
    read = v5.ask(of_v5("two_described", labels=("theirs", "ours")))
    assert alike(*(f["frame"] for f in found), *itertools.chain(*read))
    return theirs["frame"]


@pytest.mark.parametrize(
    "case",
    [
        extraction("read_csv"),
        extraction("read_csv", types={"first": "excel"}),  # the function's name tells
        extraction("read_csv", "third"),
        extraction("read_parquet", "columns"),
        extraction("read_excel", "book"),
        extraction("read_excel", "book", sheet_name=None),
        extraction("read_excel", "book", sheet_name="visits"),
        extraction("read_sql_database", "base", query="select * from people order by age"),
        extraction("read_sql_database", "base", query="select name from people where name like 'J%'"),
        extraction("read_sql_database", "base", query="select count(*) as n from people where age > 1000"),
        extraction("read_sql_database", "base", query="select age, name from people where age > 1000"),
        extraction("semicolons", "semicolons"),
        extraction("semicolons", "semicolons", skip=1),
        extraction("connection"),
        extraction("connection")._replace(options={"USERNAME": "bob", "PASSWORD": "pass word!", "KEY_FILE": "abc"}),
        *(
            extraction("extracts", kind=kind)
            for kind in (
                "a frame",
                "an Arrow table",
                "an index",
                "no rows",
                "no columns",
                "lists",
                "names that are no texts",
            )
        ),
        preparing("as_it_is"),
        preparing("as_it_is", "third"),
        preparing("as_it_is", "second", "first"),
        preparing("over", column="age", least=60),
        preparing("over", column="age"),
        preparing("over", column="age", least=1000),
        *(preparing("prepares", kind=kind) for kind in ("a frame", "an Arrow table", "an index", "no rows")),
    ],
    ids=str,
)
def test_v5_the_same_table(v5, case) -> None:
    check_the_same_table(v5, case)


@SEVERAL_TABLES
@given(frames(), st.sampled_from([encode, pd.DataFrame.to_parquet]))
def test_v5_any_table_is_the_same_whoever_wrote_it_and_whoever_reads_it(v5, frame, written) -> None:
    v5.put("given", written(frame))
    found = check_the_same_table(v5, preparing("as_it_is", "given"))
    theirs, ours = v5.ask(of_v5("two_described", labels=("given", "ours")))
    assert alike(found, *theirs, *ours)


@SEVERAL_TABLES
@given(TABLES, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_v5_a_csv_file_is_extracted_to_the_same_table(v5, tmp_path_factory, table, quoting) -> None:
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=quoting).writerows([table[0], *table[1]])
    node = replace(v5, databases={"written": Database("written", str(path), "csv")})
    check_the_same_table(node, extraction("read_csv", "written"))


@pytest.mark.parametrize(
    "case",
    [
        of_v5("nowhere"),
        of_v5("__doc__"),
        of_v5("getcwd"),  # which is not decorated
        of_v5("helper"),
        of_v5("raises"),
        of_v5("exits", {"code": 3}),
        of_v5("exits", {"code": "a text"}),
        of_v5("ends_the_process", {"code": 3}),
        of_v5("echo", {"valeu": 1}),
        of_v5("arguments"),
        of_v5("total", {"column": "height"}),
        of_v5("total", {"column": "name"}),
        of_v5("table", labels=("nowhere",)),
        of_v5("table", labels=()),
        of_v5("two_tables"),
        of_v5("two_tables", labels=("first", "nowhere")),
        of_v5("odd", {"kind": "a set"}),
        of_v5("odd", {"kind": "bytes"}),
        of_v5("odd", {"kind": "an object"}),
        of_v5("echo", image={"PKG_NAME": "nowhere_to_be_found"}),
        # a function for another step than the one that is asked for
        of_v5("echo", role="master"),
        of_v5("central"),
        of_v5("read_csv"),
        of_v5("as_it_is"),
        preparing("echo"),
        preparing("read_csv"),
        extraction("echo"),
        extraction("as_it_is"),
        of_v5("echo", image={"FUNCTION_ACTION": environment.encode("postprocessing")}),
        of_v5("echo", image={"FUNCTION_ACTION": environment.encode("compute")}),
        # extractions
        extraction("nowhere"),
        extraction("read_csv", "gone"),
        extraction("read_csv", "empty"),
        extraction("read_parquet"),
        extraction("read_excel"),
        extraction("read_excel", "book", sheet_name="nowhere"),
        extraction("read_csv", sheet_name="people"),
        extraction("read_sql_database", "base"),
        extraction("read_sql_database", "base", query="select * from nowhere"),
        extraction("read_sql_database", "base", query="not sql"),
        extraction("read_sql_database", "base", query="delete from people"),
        *(
            case
            for kind in ("a series", "a dictionary", "nothing", "several types in a column", "two columns of one name")
            for case in (extraction("extracts", kind=kind), preparing("prepares", kind=kind))
        ),
        preparing("over", column="height"),
        preparing("as_it_is", "nowhere"),
        # the input
        *(
            of_v5("echo", posted=posted)
            for posted in (
                b"", b"[1, 2]", b"3", b'"text"', b"true", b"not json", b"{} and more", b'{"value": "caf\xe9"}',
                pickle.dumps({"value": 1}), b"json.{}", b'{"method": "echo", "kwargs": {"value": 1}}',
            )
        ),
    ],
    ids=str,
)  # fmt: skip
def test_v5_both_fail_and_leave_no_output(v5, case) -> None:
    check_both_fail(v5, case)


# What differs


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_difference_that_is_meant(name, request) -> None:
    case, theirs, ours, _ = DIFFERENCES[name]
    means = request.getfixturevalue(case.contract.name).ask(case)
    assert not same(theirs, ours)
    assert same(means[0], theirs), means
    assert same(means[1], ours), means
