"""The peers' real wrappers and ours give results with the same meaning in the same environment.

``algorithms/twice_*`` has the same algorithm for each wrapper. ``DIFFERENCES`` (in ``by_hand/differences.py``) has the
intended differences with their reasons.
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

from algotools.data.parquet import encode
from algotools.federation.contract.prepare import encode_value
from algotools.runtime.logs import read_failure
from algotools.task import Database

from ..conftest import examples
from ..data.conftest import frames
from .by_hand import wrappers
from .by_hand.differences import DIFFERENCES
from .by_hand.node import (
    ENCODED,
    FAILS,
    NOTHING,
    PLAIN,
    TABLE,
    V3_CASE,
    V5_CASE,
    Case,
    NodeWithSession,
    WrapperNode,
    is_same_json,
)
from .by_hand.wrappers import Starter, WrapperPair

pytestmark = [pytest.mark.peers, pytest.mark.sample(5)]  # each case starts the real wrapper and ours

FILES = {
    "first": "age,name\n71,Jane\n58,\n",
    "second": "weight\n80.5\n",
    "third": "when\n2024-03-01\n2024-03-02\n",
}


def check_both_fail(node: WrapperNode, case: Case) -> None:
    """Check that both fail. Ours must report a failure, which shows that the task failed and not the test itself."""
    result = node.run(case)
    assert (node.researcher_result(result.theirs), node.researcher_result(result.ours)) == (FAILS, FAILS)
    assert result.ours.output == b""
    assert read_failure(result.ours.log) is not None


@pytest.fixture(scope="module")
def ours() -> Iterator[Starter]:
    starter = wrappers.make_our_starter()
    yield starter
    starter.close()


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Database]:
    folder = tmp_path_factory.mktemp("databases")
    for label, text in FILES.items():
        (folder / f"{label}.csv").write_text(text, encoding="utf-8")
    databases = {label: Database(label, str(folder / f"{label}.csv"), "csv") for label in FILES}
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
    databases |= {name: Database(name, str(folder / f"{name}.csv"), "csv") for name in ("semicolons", "empty", "gone")}
    pd.DataFrame({"age": [71, 58], "when": pd.to_datetime(["2024-03-01", None])}).to_parquet(folder / "columns.parquet")
    databases["columns"] = Database("columns", str(folder / "columns.parquet"), "parquet")
    pd.DataFrame({"weight": [80.5]}).to_excel(folder / "numbers.xlsx", index=False)
    databases["numbers"] = Database("numbers", str(folder / "numbers.xlsx"), "excel")
    sqlite3.connect(folder / "another.db").close()
    databases["another"] = Database("another", str(folder / "another.db"), "sql")
    databases["book"] = Database("book", str(folder / "book.xlsx"), "excel")
    return databases | {"base": Database("base", str(folder / "base.sqlite"), "sql")}


@pytest.fixture(scope="module")
def v4(peer_python, ours, databases, tmp_path_factory) -> Iterator[WrapperNode]:
    theirs = Starter(peer_python("v4"), "vantage6.algorithm.tools.wrap", "vantage6.algorithm.tools.decorators")
    yield WrapperNode(WrapperPair(tmp_path_factory.mktemp("v4"), theirs, ours, "v4"), databases, json.loads)
    theirs.close()


@pytest.fixture(scope="module")
def v3(peer_python, ours, databases, tmp_path_factory) -> Iterator[WrapperNode]:
    theirs = Starter(peer_python("v3"), "vantage6.tools.docker_wrapper", "vantage6.client.deserialization")
    folder = tmp_path_factory.mktemp("researcher")

    def decode(output: bytes) -> Any:
        """Decode with the real client in its own interpreter, because the client unpickles."""
        (folder / "output").write_bytes(output)
        if theirs.run(READ_BY_THE_V3_CLIENT, {"FOLDER": str(folder)}, folder / "log"):
            raise ValueError((folder / "log").read_text(encoding="utf-8"))
        return json.loads((folder / "value").read_text(encoding="utf-8"))

    yield WrapperNode(WrapperPair(tmp_path_factory.mktemp("v3"), theirs, ours, "v3"), databases, decode)
    theirs.close()


@pytest.fixture(scope="module")
def v5(peer_python, ours, databases, tmp_path_factory) -> Iterator[NodeWithSession]:
    theirs = Starter(
        peer_python("v5"), "vantage6.algorithm.tools.wrap", *(f"vantage6.algorithm.{x}" for x in V5_MODULES)
    )
    folder = tmp_path_factory.mktemp("v5-node")

    def decode(output: bytes) -> Any:
        """Decode a result like the client, or read a table like the node."""
        if not output.startswith(TABLE):
            return json.loads(output)
        (folder / "output").write_bytes(output)
        environment = {"FOLDER": str(folder), **wrappers.algorithm_path("v5")}
        assert theirs.run(READ_BY_THE_V5_NODE, environment, folder / "log") == 0, (folder / "log").read_text()
        return json.loads((folder / "value").read_text(encoding="utf-8"))

    node = NodeWithSession(WrapperPair(tmp_path_factory.mktemp("v5"), theirs, ours, "v5"), databases, decode)
    node.session.mkdir()
    for label in FILES:
        node.put(label, pd.read_csv(databases[label].uri).to_parquet())
    yield node
    theirs.close()


V5_MODULES = ("decorator", "data_extraction")

READ_BY_THE_V5_NODE = """
import json, os, pathlib
import pyarrow.parquet as pq
from rows import describe_frame, to_rows
folder = pathlib.Path(os.environ["FOLDER"])
table = pq.read_table(folder / "output")
frame = table.to_pandas()
types = {field.name: str(field.type) for field in table.schema}
value = {"types": types, "frame": describe_frame(frame), "rows": to_rows(frame)}
(folder / "value").write_text(json.dumps(value, default=str))
"""

READ_BY_THE_V3_CLIENT = """
import json, os, pathlib
from vantage6.client.deserialization import load_data
folder = pathlib.Path(os.environ["FOLDER"])
value = load_data((folder / "output").read_bytes())
(folder / "value").write_text(json.dumps(value, default=lambda value: {"python": type(value).__name__}))
"""


# Results with the same meaning

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
SEVERAL = settings(
    max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SEVERAL_TABLES = settings(SEVERAL, max_examples=examples(5))
NAMES = ("first", "second", "third")


@SEVERAL
@given(st.lists(JSON, min_size=1, max_size=3), st.integers(0, 3), st.booleans(), st.sampled_from([ENCODED, PLAIN]))
def test_v4_any_json_by_position_and_by_name_is_returned_unchanged(v4, values, cut, leave_out, contract) -> None:
    args, kwargs = values[:cut], dict(list(zip(NAMES, values, strict=False))[cut:])
    content = {"method": "arguments", "args": args, "kwargs": kwargs}
    posted = json.dumps({key: value for key, value in content.items() if value or not leave_out})
    theirs, ours = v4.run_both(Case(posted=posted.encode(), contract=contract))
    assert is_same_json(theirs, [*values, 2, 3][: len(values)] + [2, 3][len(values) - 1 :])
    assert is_same_json(ours, theirs)


@SEVERAL
@given(st.lists(JSON, min_size=1, max_size=3), st.integers(0, 3), st.sampled_from([{"output_format": "json"}, {}]))
def test_v3_any_json_is_the_same_for_the_real_client_from_pickle_and_from_our_json(v3, values, cut, input_keys) -> None:
    content = {"args": values[:cut], **input_keys}
    kwargs = dict(list(zip(NAMES, values, strict=False))[cut:])
    theirs, ours = v3.run_both(V3_CASE._replace(method="arguments", kwargs=kwargs, input_keys=content))
    assert is_same_json(theirs, values + [2, 3][len(values) - 1 :])
    assert is_same_json(ours, theirs)


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
    theirs, ours = replace(v4, databases={"written": Database("written", str(path), "csv")}).run_both(case)
    assert is_same_json(theirs, ours)


@pytest.mark.parametrize(
    "case",
    [
        Case("echo"),
        Case("table"),
        Case("table", contract=PLAIN),
        Case("table", labels=("second",)),
        Case("table", labels=("second", "first")),  # more tables than parameters: the first is used
        Case("table", types={"first": None}),
        Case("table", types={"first": "CSV"}),
        Case("total", {"column": "age"}),
        Case("table", labels=("book",)),
        Case("table", labels=("book",), database_options={"sheet_name": "visits"}),
        Case("table", labels=("book",), types={"book": "Excel"}, contract=PLAIN),
        Case("table", labels=("base",), database_options={"query": "select * from people order by age"}),
        Case(
            "table", labels=("base",), database_options={"query": "select count(*) as n from people where age > 1000"}
        ),
        Case("table", labels=("base",), database_options={"query": "select age from people where age > 1000"}),
        Case("total", {"column": "weight"}, labels=("base",), database_options={"query": "select * from people"}),
        *(
            Case(
                "table",
                database_options={
                    "preprocessing": json.dumps([{"function": "filter_range", "parameters": parameters}])
                },
            )
            for parameters in ({"column": "age", "min_": 60}, {"column": "age", "max_": 58, "include_max": True})
        ),
        Case("table", database_options={"preprocessing": '[{"function": "dummy_preprocess", "parameters": {}}]'}),
        Case("run_metadata"),
        Case("run_metadata", contract=PLAIN),
        Case("prints"),
        Case("central", {"number": 3}),
        Case("central", input_keys={"master": True}),
        Case("echo", input_keys={"master": False}),
        Case("echo", labels=()),
        Case("echo", input_keys={"something": "else"}),
        Case("echo", unknown=("nowhere",), labels=()),  # the function does not read it
        Case("odd", {"kind": "a tuple"}),
        Case("odd", {"kind": "keys that are not strings"}),
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
def test_v4_the_same_result(v4, case) -> None:
    theirs, ours = v4.run_both(case)
    assert theirs not in (FAILS, NOTHING)
    assert is_same_json(ours, theirs)


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
        Case("echo", input_keys={"args": [1, 2]}),
        Case("echo", {"value": 1}, {"args": [2]}),
        Case("total", {"column": "height"}),
        Case("total", {"column": "name"}),
        Case("table", unknown=("nowhere",), labels=()),
        Case("two_tables", unknown=("nowhere",)),
        Case("two_tables"),
        Case("table", labels=()),
        Case("table", types={"first": "other"}),
        Case("table", types={"first": "omop"}),
        Case("table", labels=("book",), database_options={"sheet_name": "nowhere"}),
        Case("table", labels=("book",), types={"book": "csv"}),
        Case("table", labels=("base",)),
        Case("table", labels=("base",), database_options={"query": "select * from nowhere"}),
        Case("table", labels=("base",), database_options={"query": "not sql"}),
        Case("table", types={"first": "excel"}),
        Case("odd", {"kind": "a set"}),
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
def test_v4_both_fail_without_output(v4, case) -> None:
    check_both_fail(v4, case)


V3_VALID = [
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
    ("odd", {"kind": "keys that are not strings"}, {}),
    ("odd", {"kind": "a large number"}, {}),
    ("echo", {}, {"output_format": "JSON"}),  # theirs copies the value, ours is always lower case
]


@pytest.mark.parametrize("command", [wrappers.V3, wrappers.V3_CSV], ids=["auto_wrapper", "docker_wrapper"])
@pytest.mark.parametrize(("method", "kwargs", "input_keys"), V3_VALID, ids=str)
def test_v3_the_same_result(v3, command, method, kwargs, input_keys) -> None:
    case = V3_CASE._replace(
        method=method, kwargs=kwargs, input_keys={**V3_CASE.input_keys, **input_keys}, command=command
    )
    theirs, ours = v3.run_both(case)
    assert theirs not in (FAILS, NOTHING)
    assert is_same_json(ours, theirs)


@pytest.mark.parametrize(
    "case",
    [
        V3_CASE._replace(method="table", types={"first": None}, command=wrappers.V3_CSV),
        V3_CASE._replace(method="table", labels=("second",)),
        *(
            V3_CASE._replace(method="variable", kwargs={"name": "PLAYER"}, variables={"PLAYER": value})
            for value in ("Alice", "", "ABCDEFGH", "MFRGGZDF", "größer")
        ),
        V3_CASE._replace(posted=b'JSON.{"method": "echo", "output_format": "json"}'),
    ],
    ids=str,
)
def test_v3_the_same_result_for_databases_and_variables_of_the_node(v3, case) -> None:
    theirs, ours = v3.run_both(case)
    assert theirs not in (FAILS, NOTHING)
    assert is_same_json(ours, theirs)


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
        V3_CASE._replace(method="table", labels=(), command=wrappers.V3_CSV),
        *(
            V3_CASE._replace(posted=posted)
            for posted in (b"", b'{"method": "echo"}', b"json.", b"json.[1]", b'xml.{"method": "echo"}', b"json.{}")
        ),
    ],
    ids=str,
)
def test_v3_both_fail_without_a_readable_output(v3, case) -> None:
    check_both_fail(v3, case)


@pytest.mark.parametrize("name", ["v3", "v4", "v5"])
def test_fresh_processes_give_the_same_results_as_forked_processes(name, peer_python, request) -> None:
    node = request.getfixturevalue(name)
    case = {"v3": V3_CASE, "v4": Case(), "v5": V5_CASE}[name]._replace(method="total", kwargs={"column": "age"})
    environment, output = node.prepare(case), node.pair.folder / "output"
    results = []
    for command, python, source in ((case.command, peer_python(name), name), (wrappers.OURS, sys.executable, "ours")):
        output.write_bytes(b"")
        assert wrappers.run_in_fresh_process(command, python, environment, source) == 0
        results.append(node.decode(output.read_bytes()))
    assert results == [129.0, 129.0]


# v5


@SEVERAL
@given(st.lists(JSON, min_size=1, max_size=3))
def test_v5_any_json_by_name_is_returned_unchanged(v5, values) -> None:
    kwargs = dict(zip(NAMES, values, strict=False))
    theirs, ours = v5.run_both(V5_CASE._replace(method="arguments", kwargs=kwargs))
    assert is_same_json(theirs, values + [2, 3][len(values) - 1 :])
    assert is_same_json(ours, theirs)


def v5_case(method: str, kwargs: dict[str, object] | None = None, **fields: Any) -> Case:
    return V5_CASE._replace(method=method, kwargs=kwargs or {}, **fields)


def extraction(method: str, label: str = "first", /, types: dict[str, str | None] | None = None, **kwargs: Any) -> Case:
    return v5_case(method, kwargs, step="data_extraction", labels=(label,), types=types or {})


def preprocessing(method: str, *labels: str, **kwargs: Any) -> Case:
    return v5_case(method, kwargs, step="preprocessing", labels=labels or ("first",))


@pytest.mark.parametrize(
    "case",
    [
        v5_case("echo"),
        v5_case("echo", {"value": 1}),
        v5_case("echo", posted=b"null"),
        v5_case("echo", posted=b" null\n"),
        v5_case("echo", posted=b"{}"),
        v5_case("echo", posted=b'{"value": 1, "value": 2}'),
        v5_case("echo", labels=()),
        v5_case("table"),
        v5_case("table", labels=("second",)),
        v5_case("table", labels=("second", "first")),  # more tables than parameters: the first is used
        v5_case("table", labels=("second,first",)),  # the first of the group
        v5_case("total", {"column": "age"}),
        v5_case("length"),
        v5_case("two_tables", labels=("second", "first")),
        v5_case("two_tables", labels=("first", "first")),
        v5_case("two_tables", labels=("first,second", "third")),  # the first of each group
        v5_case("grouped"),
        v5_case("grouped", labels=("second,first",)),
        v5_case("three_tables", labels=("third", "first", "second")),
        v5_case("prints"),
        v5_case("central", {"number": 3}, role="master"),
        v5_case("odd", {"kind": "a tuple"}),
        v5_case("odd", {"kind": "keys that are not strings"}),
        v5_case("odd", {"kind": "a large number"}),
        v5_case("odd", {"kind": "nothing"}),
        *(
            v5_case("variable", {"name": "PLAYER"}, variables={"PLAYER": value})
            for value in ("Alice", "", "ABCDEFGH", "MFRGGZDF", "MFRGG!!!", "größer\n", "http://proxy:3128")
        ),
    ],
    ids=str,
)
def test_v5_the_same_result(v5, case) -> None:
    theirs, ours = v5.run_both(case)
    assert theirs not in (FAILS, NOTHING)
    assert is_same_json(ours, theirs)


def are_same_frames(*descriptions: Any) -> bool:
    """Whether frames are the same. Dtypes are compared only if both versions of pandas are the same.

    Names of columns are compared as texts: ours reads a number or a date as a text, as from every other source.
    """
    several = len({frame["pandas"] for frame in descriptions}) > 1

    def normalize(frame: Any) -> str:
        dtypes = None if several else frame["dtypes"][:-1]  # the last one is the dtype of the names
        names = [text for _, text in frame["columns"]]
        return json.dumps({**frame, "columns": names, "dtypes": dtypes, "pandas": None}, sort_keys=True)

    return len(set(map(normalize, descriptions))) == 1


PANDAS_3 = int(pd.__version__.partition(".")[0]) >= 3
"""Whether pandas is the same major version as the peer's, on which some types depend."""


def types_agree(ours: dict[str, str], theirs: dict[str, str]) -> bool:
    """Whether the types of columns are the same; versions of pandas differ in ``string`` and ``large_string``.

    pandas before 3 stores the index of selected rows, and has no type for a column of texts without values.
    """

    def normalize(types: dict[str, str]) -> dict[str, str]:
        names = [name for name in types if PANDAS_3 or not name.startswith("__index_level_")]
        return {name: types[name].replace("large_", "") for name in names}

    ours, theirs = normalize(ours), normalize(theirs)
    untyped = {name for name, type_ in ours.items() if type_ == "null" and not PANDAS_3}
    return list(ours) == list(theirs) and all(ours[name] == theirs[name] for name in ours if name not in untyped)


def check_the_same_table(v5: NodeWithSession, case: Case) -> Any:
    """Check that both write the same table, for the node and for later runs; return the table as the node reads it."""
    result = v5.run(case)
    assert (result.theirs.code, result.ours.code) == (0, 0), result
    theirs, ours = tables = [v5.decode(run.output) for run in result]
    assert types_agree(ours["types"], theirs["types"])
    for name, output in zip(("theirs", "ours"), (result.theirs.output, result.ours.output), strict=True):
        v5.put(name, output)
    frames_read = v5.run_both(v5_case("two_described", labels=("theirs", "ours")))
    assert are_same_frames(*(table["frame"] for table in tables), *itertools.chain(*frames_read))
    return theirs["frame"]


@pytest.mark.parametrize(
    "case",
    [
        extraction("read_csv"),
        extraction("read_csv", types={"first": "excel"}),  # the name of the function implies the type
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
                "names that are not strings",
            )
        ),
        preprocessing("unchanged"),
        preprocessing("unchanged", "third"),
        preprocessing("unchanged", "second", "first"),
        preprocessing("over", column="age", least=60),
        preprocessing("over", column="age"),
        preprocessing("over", column="age", least=1000),
        *(preprocessing("prepares", kind=kind) for kind in ("a frame", "an Arrow table", "an index", "no rows")),
    ],
    ids=str,
)
def test_v5_the_same_table(v5, case) -> None:
    check_the_same_table(v5, case)


@SEVERAL_TABLES
@given(frames(), st.sampled_from([encode, pd.DataFrame.to_parquet]))
def test_v5_any_table_is_the_same_for_each_writer_and_reader(v5, frame, write) -> None:
    v5.put("given", write(frame))
    frame_at_node = check_the_same_table(v5, preprocessing("unchanged", "given"))
    theirs, ours = v5.run_both(v5_case("two_described", labels=("given", "ours")))
    assert are_same_frames(frame_at_node, *theirs, *ours)


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
        v5_case("nowhere"),
        v5_case("__doc__"),
        v5_case("getcwd"),  # not decorated
        v5_case("helper"),
        v5_case("raises"),
        v5_case("exits", {"code": 3}),
        v5_case("exits", {"code": "a text"}),
        v5_case("ends_the_process", {"code": 3}),
        v5_case("echo", {"valeu": 1}),
        v5_case("arguments"),
        v5_case("total", {"column": "height"}),
        v5_case("total", {"column": "name"}),
        v5_case("table", labels=("nowhere",)),
        v5_case("table", labels=()),
        v5_case("two_tables"),
        v5_case("two_tables", labels=("first", "nowhere")),
        v5_case("odd", {"kind": "a set"}),
        v5_case("odd", {"kind": "an object"}),
        v5_case("echo", image={"PKG_NAME": "nowhere_to_be_found"}),
        # a function of another step than the requested step
        v5_case("echo", role="master"),
        v5_case("central"),
        v5_case("read_csv"),
        v5_case("unchanged"),
        preprocessing("echo"),
        preprocessing("read_csv"),
        extraction("echo"),
        extraction("unchanged"),
        v5_case("echo", image={"FUNCTION_ACTION": encode_value("postprocessing")}),
        v5_case("echo", image={"FUNCTION_ACTION": encode_value("compute")}),
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
            for kind in (
                "a series",
                "a dictionary",
                "nothing",
                "several types in a column",
                "two columns with the same name",
            )
            for case in (extraction("extracts", kind=kind), preprocessing("prepares", kind=kind))
        ),
        preprocessing("over", column="height"),
        preprocessing("unchanged", "nowhere"),
        # the input
        *(
            v5_case("echo", posted=posted)
            for posted in (
                b"", b"[1, 2]", b"3", b'"text"', b"true", b"not json", b"{} and more", b'{"value": "caf\xe9"}',
                pickle.dumps({"value": 1}), b"json.{}", b'{"method": "echo", "kwargs": {"value": 1}}',
            )
        ),
    ],
    ids=str,
)  # fmt: skip
def test_v5_both_fail_without_output(v5, case) -> None:
    check_both_fail(v5, case)


# Intended differences


@pytest.mark.parametrize("name", DIFFERENCES)
def test_intended_differences(name, request) -> None:
    case, theirs, ours, _ = DIFFERENCES[name]
    results = request.getfixturevalue(case.contract.name).run_both(case)
    assert not is_same_json(theirs, ours)
    assert is_same_json(results[0], theirs), results
    assert is_same_json(results[1], ours), results
