"""Intended differences between the official wrappers and ours, with the reason for each."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NamedTuple

from .node import FAILS, NOTHING, PLAIN, V3_CASE, V5_CASE, Case


class Difference(NamedTuple):
    """The results of a case with a peer's wrapper and with ours, and the reason for the difference."""

    case: Case
    theirs: Any
    ours: Any
    reason: str


def rows(label: str) -> dict[str, object]:
    return {
        "first": {"columns": ["age", "name"], "rows": [[71, "Jane"], [58, None]]},
        "second": {"columns": ["weight"], "rows": [[80.5]]},
        "third": {"columns": ["when"], "rows": [["2024-03-01"], ["2024-03-02"]]},
    }[label]


PICKLED = pickle.dumps({"method": "echo", "kwargs": {"value": 1}, "output_format": "json"})
NAN, INFINITE = float("nan"), float("inf")

NUMPY_AND_PANDAS: dict[str, object] = {
    "a numpy integer": 7,
    "an array": [[1.5, 2.5]],
    "an array with NaN": [1.5, None],
    "a frame": {"age": {"0": 71, "1": 58}, "mean": {"0": 0.12345678901234, "1": None}},
    "a series": {"0": 71, "1": 58},
    "a frame with a date": {"when": {"0": "2024-03-01T12:00:00"}},
    "a date": "2024-03-01",
    "bytes": "YWJj",
}

EXTRACTION = V5_CASE._replace(step="data_extraction")


def details(**details: str) -> dict[str, object]:
    """Return the details of a database that an extraction function receives."""
    return {"columns": ["key", "value"], "rows": [[key, value] for key, value in details.items()]}


DIFFERENCES: dict[str, Difference] = {
    "v4: NaN and infinity become null": Difference(
        Case("odd", {"kind": "not a number"}),
        {"mean": NAN, "more": [1.0, INFINITE, -INFINITE]},
        {"mean": None, "more": [1.0, None, None]},
        "JSON has no such numbers, and few readers except Python's accept them; the log shows their positions",
    ),
    "v4: two tables come in the order of the task": Difference(
        Case("two_tables", labels=("first", "second")),
        [rows("second"), rows("first")],
        [rows("first"), rows("second")],
        "their wrapper puts each table before the earlier tables, against its own documentation and its own mock",
    ),
    "v4: three tables come in the order of the task": Difference(
        Case("three_tables", labels=("third", "first", "second")),
        [rows("second"), rows("first"), rows("third")],
        [rows("third"), rows("first"), rows("second")],
        "as with two tables",
    ),
    "v4: an imported function without a decorator cannot be called": Difference(
        Case("getcwd"), str(Path.cwd()), FAILS, "otherwise a task could call everything that the module imports"
    ),
    "v4: a function that is not decorated cannot be called": Difference(
        Case("helper"), "not meant to be called", FAILS, "a task can call only registered functions"
    ),
    "v4: a task that requests a master cannot run an rpc": Difference(
        Case("echo", input_keys={"master": True}),
        "nothing",
        FAILS,
        "the manual's tasks state whether the method is a master",
    ),
    "v4: an argument that does not have the annotated type is refused": Difference(
        Case("twofold", {"number": "ab"}), "abab", FAILS, "the error names the argument, and no data is read before it"
    ),
    "v4: `args` as a text is refused": Difference(
        Case(posted=b'{"method": "arguments", "args": "abc"}'),
        ["a", "b", "c"],
        FAILS,
        "`args` is a list; theirs passes each character as an argument",
    ),
    "v4: input in UTF-16 is refused": Difference(
        Case(posted='{"method": "echo"}'.encode("utf-16")), "nothing", FAILS, "every client writes UTF-8"
    ),
    "v4: input with a byte order mark is refused": Difference(
        Case(posted=b'\xef\xbb\xbf{"method": "echo"}'), "nothing", FAILS, "JSON forbids it (RFC 8259, section 8.1)"
    ),
    "v4: a database without a type is read by its file extension": Difference(
        Case("table", labels=("book",), types={"book": None}),
        FAILS,
        rows("first"),
        "their wrapper reads every database without a type as a CSV file",
    ),
    "v4: sys.exit() fails the run": Difference(
        Case("exits", {"code": 0}), NOTHING, FAILS, "a function that exits the process has not returned a result"
    ),
    "v4: os._exit(0) fails the run": Difference(
        Case("ends_the_process", {"code": 0}),
        NOTHING,
        FAILS,
        "a function that exits the process has not returned a result",
    ),
    "v4: half of a surrogate pair in a text fails the run": Difference(
        Case("odd", {"kind": "a lone surrogate"}),
        "\ud800",
        FAILS,
        "it cannot be encoded in UTF-8, and many readers refuse it",
    ),
    "v4: two keys with the same text fail the run": Difference(
        Case("odd", {"kind": "two keys with the same text"}), {"1": "b"}, FAILS, "one of the two values would be lost"
    ),
    "v4: a variable of the image that looks encoded is unchanged": Difference(
        Case("raw_variable", {"name": "MODE"}, image={"MODE": "MFRGGZDF"}),
        "abcde",
        "MFRGGZDF",
        "their wrapper decodes every variable of the process whose value is base32 by chance",
    ),
    "v4: a variable of the image that does not decode to text is unchanged": Difference(
        Case("raw_variable", {"name": "MODE"}, image={"MODE": "ABCDEFGH"}),
        FAILS,
        "ABCDEFGH",
        "their wrapper fails with a UnicodeDecodeError before it reads the input",
    ),
    "v4.0: a variable is unchanged if the node does not encode": Difference(
        Case("variable", {"name": "MODE"}, variables={"MODE": "MFRGGZDF"}, contract=PLAIN),
        "abcde",
        "MFRGGZDF",
        "INPUT_FILE shows whether the node encodes",
    ),
    "v4.0: a variable that does not decode to text is unchanged": Difference(
        Case("variable", {"name": "MODE"}, variables={"MODE": "ABCDEFGH"}, contract=PLAIN),
        FAILS,
        "ABCDEFGH",
        "INPUT_FILE shows whether the node encodes",
    ),
    **{
        f"v4: {kind} can be a result": Difference(
            Case("odd", {"kind": kind}),
            FAILS,
            value,
            "ours encodes by the type of the value; their wrapper accepts only Python's own types",
        )
        for kind, value in NUMPY_AND_PANDAS.items()
    },
    "v3: a label that the node does not have fails the run": Difference(
        V3_CASE._replace(method="table", labels=()),
        NOTHING,
        FAILS,
        "their auto_wrapper prints a line and exits with 0: the researcher gets `completed` and no result",
    ),
    "v3: an unsupported type of database fails the run": Difference(
        V3_CASE._replace(method="table", types={"first": "other"}), NOTHING, FAILS, "as with an unknown label"
    ),
    "v3: a database without a type is read by its file extension": Difference(
        V3_CASE._replace(method="table", types={"first": None}),
        NOTHING,
        rows("first"),
        "nodes write the text None if the configuration has no type; their auto_wrapper does not know None",
    ),
    "v3: a method that reads no data needs no database": Difference(
        V3_CASE._replace(method="echo", labels=()), NOTHING, "nothing", "their wrapper loads data for every method"
    ),
    "v3: an SQL database can be queried": Difference(
        V3_CASE._replace(
            method="table", labels=("base",), input_keys={**V3_CASE.input_keys, "query": "select age from people"}
        ),
        FAILS,
        {"columns": ["age"], "rows": [[71], [58]]},
        "their wrapper calls pandas.read_sql with its arguments in the wrong order",
    ),
    "v3: pickled input is refused": Difference(
        V3_CASE._replace(posted=PICKLED), 1, FAILS, "unpickling lets the creator of a task run code at the node"
    ),
    "v3: pickled input with its prefix is refused": Difference(
        V3_CASE._replace(posted=b"pickle." + PICKLED), 1, FAILS, "as without the prefix"
    ),
    "v3: a frame becomes JSON, whichever output format the task requests": Difference(
        V3_CASE._replace(method="odd", kwargs={"kind": "a frame"}, input_keys={}),
        {"python": "DataFrame"},
        {"age": {"0": 71, "1": 58}, "mean": {"0": 0.12345678901234, "1": None}},
        "theirs is pickled, and a researcher who unpickles it runs code that a node chose",
    ),
    "v3: a set fails the run, whichever output format the task requests": Difference(
        V3_CASE._replace(method="odd", kwargs={"kind": "a set"}, input_keys={}),
        {"python": "set"},
        FAILS,
        "as with a frame; a set has no JSON form",
    ),
    "v3: NaN and infinity become null": Difference(
        V3_CASE._replace(method="odd", kwargs={"kind": "not a number"}),
        {"mean": NAN, "more": [1.0, INFINITE, -INFINITE]},
        {"mean": None, "more": [1.0, None, None]},
        "as in v4",
    ),
    "v3: a frame keeps all digits": Difference(
        V3_CASE._replace(method="odd", kwargs={"kind": "a frame"}),
        {"age": {"0": 71, "1": 58}, "mean": {"0": 0.123456789, "1": None}},
        {"age": {"0": 71, "1": 58}, "mean": {"0": 0.12345678901234, "1": None}},
        "their DataFrame.to_json() cuts after ten digits",
    ),
    "v3: a date in a frame becomes a date in ISO 8601": Difference(
        V3_CASE._replace(method="odd", kwargs={"kind": "a frame with a date"}),
        {"when": {"0": 1709294400000}},
        {"when": {"0": "2024-03-01T12:00:00"}},
        "their DataFrame.to_json() writes milliseconds since 1970",
    ),
    "v3: an array can be a result": Difference(
        V3_CASE._replace(method="odd", kwargs={"kind": "an array"}), FAILS, [[1.5, 2.5]], "as in v4"
    ),
    "v3: sys.exit() fails the run": Difference(
        V3_CASE._replace(method="exits", kwargs={"code": 0}), NOTHING, FAILS, "as in v4"
    ),
    "v5: NaN and infinity become null": Difference(
        V5_CASE._replace(method="odd", kwargs={"kind": "not a number"}),
        {"mean": NAN, "more": [1.0, INFINITE, -INFINITE]},
        {"mean": None, "more": [1.0, None, None]},
        "as in v4",
    ),
    **{
        f"v5: {kind} can be a result": Difference(
            V5_CASE._replace(method="odd", kwargs={"kind": kind}), FAILS, value, "as in v4"
        )
        for kind, value in NUMPY_AND_PANDAS.items()
    },
    "v5: sys.exit() fails the run": Difference(
        V5_CASE._replace(method="exits", kwargs={"code": 0}), NOTHING, FAILS, "as in v4"
    ),
    "v5: os._exit(0) fails the run": Difference(
        V5_CASE._replace(method="ends_the_process", kwargs={"code": 0}), NOTHING, FAILS, "as in v4"
    ),
    "v5: half of a surrogate pair in a text fails the run": Difference(
        V5_CASE._replace(method="odd", kwargs={"kind": "a lone surrogate"}), "\ud800", FAILS, "as in v4"
    ),
    "v5: two keys with the same text fail the run": Difference(
        V5_CASE._replace(method="odd", kwargs={"kind": "two keys with the same text"}), {"1": "b"}, FAILS, "as in v4"
    ),
    "v5: an argument that does not have the annotated type is refused": Difference(
        V5_CASE._replace(method="twofold", kwargs={"number": "ab"}), "abab", FAILS, "as in v4"
    ),
    **{
        f"v5: {posted.decode()} as input is refused": Difference(
            V5_CASE._replace(method="echo", posted=posted),
            "nothing",
            FAILS,
            "the input is an object or null; theirs accepts every empty or zero value as an empty input",
        )
        for posted in (b"[]", b"0", b"false", b'""')
    },
    "v5: input in UTF-16 is refused": Difference(
        V5_CASE._replace(method="echo", posted='{"value": 1}'.encode("utf-16")), 1, FAILS, "as in v4"
    ),
    "v5: input with a byte order mark is refused": Difference(
        V5_CASE._replace(method="echo", posted=b'\xef\xbb\xbf{"value": 1}'), 1, FAILS, "as in v4"
    ),
    "v5: the ids of a run are integers": Difference(
        V5_CASE._replace(method="ids"),
        {"task": "7", "node": "5", "organization": "3", "collaboration": "1"},
        {"task": 7, "node": 5, "organization": 3, "collaboration": 1},
        "as on v3 and v4 and in the client's items, so that ids can be compared; theirs are texts",
    ),
    "v5: the temporary folder holds no tables": Difference(
        V5_CASE._replace(method="sees_tables"),
        True,
        False,
        "theirs is the session's folder, with every table of the session; ours is a new folder inside",
    ),
    "v5: a dict of tables receives the tables of all arguments": Difference(
        V5_CASE._replace(method="grouped", labels=("first", "second")),
        {"first": rows("first")},
        {"first": rows("first"), "second": rows("second")},
        "a task names the databases in the same way in every generation; theirs passes only the first argument",
    ),
    "v5: an argument `mock_data` cannot replace the table": Difference(
        V5_CASE._replace(method="length", kwargs={"mock_data": [[1, 2, 3]]}),
        3,
        FAILS,
        "it is meant for tests; their decorators accept it from every task",
    ),
    "v5: an argument `mock_client` cannot replace the client": Difference(
        V5_CASE._replace(method="central", kwargs={"mock_client": "mine", "number": 3}, role="master"),
        {"number": 3, "master": True},
        FAILS,
        "as with `mock_data`",
    ),
    "v5: an argument `mock_uri` is refused": Difference(
        EXTRACTION._replace(method="connection", kwargs={"mock_uri": "elsewhere"}, uri="postgresql://base"),
        details(uri="postgresql://base", type="csv"),
        FAILS,
        "as with `mock_data`; theirs ignores it if the node names a URI",
    ),
    "v5: a secret that looks encoded is unchanged": Difference(
        EXTRACTION._replace(method="connection", uri="base", options={"PASSWORD": "MFRGGZDF"}),
        details(uri="base", type="csv", PASSWORD="abcde"),
        details(uri="base", type="csv", PASSWORD="MFRGGZDF"),
        "their wrapper decodes every variable of the process, and secrets are not encoded",
    ),
    "v5: a secret that does not decode to text is unchanged": Difference(
        EXTRACTION._replace(method="connection", uri="base", options={"PASSWORD": "ABCDEFGH"}),
        FAILS,
        details(uri="base", type="csv", PASSWORD="ABCDEFGH"),
        "their wrapper fails with a UnicodeDecodeError before it reads the input",
    ),
    "v5: a secret cannot fail a run that does not use it": Difference(
        EXTRACTION._replace(method="read_csv", labels=("second",), options={"PASSWORD": "ABCDEFGH"}),
        FAILS,
        rows("second"),
        "as above",
    ),
    "v5: a URI that looks encoded is unchanged": Difference(
        EXTRACTION._replace(method="connection", uri="MFRGGZDF"),
        details(uri="abcde", type="csv"),
        details(uri="MFRGGZDF", type="csv"),
        "their decorator decodes URI and type a second time",
    ),
    "v5: a variable of the image that looks encoded is unchanged": Difference(
        V5_CASE._replace(method="raw_variable", kwargs={"name": "MODE"}, image={"MODE": "MFRGGZDF"}),
        "abcde",
        "MFRGGZDF",
        "as in v4",
    ),
    "v5: a database without a type can be extracted": Difference(
        EXTRACTION._replace(method="read_csv", labels=("second",), types={"second": None}),
        FAILS,
        rows("second"),
        "the function's name implies the type; their decorator requires a type",
    ),
    "v5: a file with the extension .db is read as SQLite": Difference(
        EXTRACTION._replace(method="read_sql_database", kwargs={"query": "select 1.5 as one"}, labels=("another",)),
        FAILS,
        {"columns": ["one"], "rows": [[1.5]]},
        "theirs knows only the extension .sqlite",
    ),
    "v5: a frame of a subclass can be a table": Difference(
        EXTRACTION._replace(method="extracts", kwargs={"kind": "a subclass of DataFrame"}),
        FAILS,
        rows("first"),
        "geopandas has such a subclass; theirs accepts only pandas' own class",
    ),
}
"""Name -> intended difference. docs/compatibility.md lists them all."""
