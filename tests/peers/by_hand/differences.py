"""What the peers' wrappers do otherwise than ours, and why ours does it so."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NamedTuple

from .node import FAILS, NOTHING, PLAIN, V3_CASE, V5_CASE, Case


class Difference(NamedTuple):
    """What a peer's wrapper makes of a case, what ours makes of it, and why that is not the same."""

    case: Case
    theirs: Any
    ours: Any
    why: str


def rows(label: str) -> dict[str, object]:
    return {
        "first": {"columns": ["age", "name"], "rows": [[71, "Jane"], [58, None]]},
        "second": {"columns": ["weight"], "rows": [[80.5]]},
        "third": {"columns": ["when"], "rows": [["2024-03-01"], ["2024-03-02"]]},
    }[label]


PICKLED = pickle.dumps({"method": "echo", "kwargs": {"value": 1}, "output_format": "json"})
NAN, INFINITE = float("nan"), float("inf")

NUMPY_AND_PANDAS: dict[str, object] = {
    "an integer of numpy": 7,
    "an array": [[1.5, 2.5]],
    "an array with NaN": [1.5, None],
    "a frame": {"age": {"0": 71, "1": 58}, "mean": {"0": 0.12345678901234, "1": None}},
    "a series": {"0": 71, "1": 58},
    "a frame with a date": {"when": {"0": "2024-03-01T12:00:00"}},
    "a date": "2024-03-01",
}

EXTRACTION = V5_CASE._replace(step="data_extraction")


def details(**details: str) -> dict[str, object]:
    """What a function that extracts is told of its database."""
    return {"columns": ["key", "value"], "rows": [[key, value] for key, value in details.items()]}


DIFFERENCES: dict[str, Difference] = {
    "v4: NaN and infinity become null": Difference(
        Case("odd", {"kind": "not a number"}),
        {"mean": NAN, "more": [1.0, INFINITE, -INFINITE]},
        {"mean": None, "more": [1.0, None, None]},
        "JSON has no such numbers, and few readers but Python's take them; a line of the log says where they were",
    ),
    "v4: two tables come in the order of the task": Difference(
        Case("two_tables", labels=("first", "second")),
        [rows("second"), rows("first")],
        [rows("first"), rows("second")],
        "their wrapper puts each table in front of those before it, against its own documentation and its own mock",
    ),
    "v4: three tables come in the order of the task": Difference(
        Case("three_tables", labels=("third", "first", "second")),
        [rows("second"), rows("first"), rows("third")],
        [rows("third"), rows("first"), rows("second")],
        "as with two",
    ),
    "v4: a name that is merely imported is no method": Difference(
        Case("getcwd"), str(Path.cwd()), FAILS, "whoever posts a task could call anything that a module has imported"
    ),
    "v4: a function that is not decorated is no method": Difference(
        Case("helper"), "not meant to be called", FAILS, "only what the author registers can be called"
    ),
    "v4: a method's role is kept, where the task tells it": Difference(
        Case("echo", more={"master": True}), "nothing", FAILS, "the manual's tasks say which kind of method they mean"
    ),
    "v4: an argument has the annotated type": Difference(
        Case("twofold", {"number": "ab"}), "abab", FAILS, "refused by name, before any data is read"
    ),
    "v4: a text of arguments is not a list of them": Difference(
        Case(posted=b'{"method": "arguments", "args": "abc"}'), ["a", "b", "c"], FAILS, "`args` is a list"
    ),
    "v4: the input is UTF-8": Difference(
        Case(posted='{"method": "echo"}'.encode("utf-16")), "nothing", FAILS, "as every client writes it"
    ),
    "v4: the input has no byte order mark": Difference(
        Case(posted=b'\xef\xbb\xbf{"method": "echo"}'), "nothing", FAILS, "JSON has none (RFC 8259, section 8.1)"
    ),
    "v4: a database of no type is read by its name's ending": Difference(
        Case("table", labels=("book",), types={"book": None}),
        FAILS,
        rows("first"),
        "their wrapper takes every database of no type for a CSV file",
    ),
    "v4: sys.exit() is no result": Difference(
        Case("exits", {"code": 0}), NOTHING, FAILS, "a function that ends the process has not answered"
    ),
    "v4: os._exit(0) is no result": Difference(
        Case("ends_the_process", {"code": 0}), NOTHING, FAILS, "a function that ends the process has not answered"
    ),
    "v4: half a character is no text": Difference(
        Case("odd", {"kind": "half a character"}), "\ud800", FAILS, "it has no UTF-8, and many readers refuse it"
    ),
    "v4: keys with one text do not fall on one another": Difference(
        Case("odd", {"kind": "two keys of one text"}), {"1": "b"}, FAILS, "one of the two values would be lost"
    ),
    "v4: a variable of the image that looks encoded is left alone": Difference(
        Case("raw_variable", {"name": "MODE"}, image={"MODE": "MFRGGZDF"}),
        "abcde",
        "MFRGGZDF",
        "their wrapper rewrites every variable of the process whose value is base32 by chance",
    ),
    "v4: a variable of the image whose value decodes to no text is left alone": Difference(
        Case("raw_variable", {"name": "MODE"}, image={"MODE": "ABCDEFGH"}),
        FAILS,
        "ABCDEFGH",
        "their wrapper ends with a UnicodeDecodeError before it has read the input",
    ),
    "v4.0: a variable of a node that does not encode is left alone": Difference(
        Case("variable", {"name": "MODE"}, variables={"MODE": "MFRGGZDF"}, contract=PLAIN),
        "abcde",
        "MFRGGZDF",
        "INPUT_FILE tells whether this node encodes",
    ),
    "v4.0: a variable whose value decodes to no text is left alone": Difference(
        Case("variable", {"name": "MODE"}, variables={"MODE": "ABCDEFGH"}, contract=PLAIN),
        FAILS,
        "ABCDEFGH",
        "INPUT_FILE tells whether this node encodes",
    ),
    **{
        f"v4: {kind} is a result": Difference(
            Case("odd", {"kind": kind}),
            FAILS,
            value,
            "encoded by what it is; their wrapper takes Python's own types only",
        )
        for kind, value in NUMPY_AND_PANDAS.items()
    },
    "v3: a label that the node does not have fails the run": Difference(
        V3_CASE._replace(method="table", labels=()),
        NOTHING,
        FAILS,
        "their auto_wrapper prints a line and ends well: the researcher gets `completed` and no result",
    ),
    "v3: a type of database that cannot be read fails the run": Difference(
        V3_CASE._replace(method="table", types={"first": "other"}), NOTHING, FAILS, "as with an unknown label"
    ),
    "v3: a database of no type is read by its name's ending": Difference(
        V3_CASE._replace(method="table", types={"first": None}),
        NOTHING,
        rows("first"),
        "nodes write the text None where the configuration says no type, which their auto_wrapper does not know",
    ),
    "v3: a method that reads no data needs no database": Difference(
        V3_CASE._replace(method="echo", labels=()), NOTHING, "nothing", "their wrapper loads data for every method"
    ),
    "v3: a database is queried by SQL": Difference(
        V3_CASE._replace(method="table", labels=("base",), more={**V3_CASE.more, "query": "select age from people"}),
        FAILS,
        {"columns": ["age"], "rows": [[71], [58]]},
        "their wrapper gives pandas.read_sql its arguments in the wrong order",
    ),
    "v3: pickled input is refused": Difference(
        V3_CASE._replace(posted=PICKLED), 1, FAILS, "unpickling lets whoever posts a task run code at the node"
    ),
    "v3: pickled input with its prefix is refused": Difference(
        V3_CASE._replace(posted=b"pickle." + PICKLED), 1, FAILS, "as without"
    ),
    "v3: a frame is JSON, whatever the task says of the output": Difference(
        V3_CASE._replace(method="odd", kwargs={"kind": "a frame"}, more={}),
        {"python": "DataFrame"},
        {"age": {"0": 71, "1": 58}, "mean": {"0": 0.12345678901234, "1": None}},
        "theirs is pickled; a researcher who unpickles runs code that a node chose",
    ),
    "v3: a set is no result, whatever the task says of the output": Difference(
        V3_CASE._replace(method="odd", kwargs={"kind": "a set"}, more={}),
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
        "their DataFrame.to_json() cuts after ten",
    ),
    "v3: a date in a frame is a date": Difference(
        V3_CASE._replace(method="odd", kwargs={"kind": "a frame with a date"}),
        {"when": {"0": 1709294400000}},
        {"when": {"0": "2024-03-01T12:00:00"}},
        "their DataFrame.to_json() writes milliseconds since 1970",
    ),
    "v3: an array is a result": Difference(
        V3_CASE._replace(method="odd", kwargs={"kind": "an array"}), FAILS, [[1.5, 2.5]], "as in v4"
    ),
    "v3: sys.exit() is no result": Difference(
        V3_CASE._replace(method="exits", kwargs={"code": 0}), NOTHING, FAILS, "as in v4"
    ),
    "v5: NaN and infinity become null": Difference(
        V5_CASE._replace(method="odd", kwargs={"kind": "not a number"}),
        {"mean": NAN, "more": [1.0, INFINITE, -INFINITE]},
        {"mean": None, "more": [1.0, None, None]},
        "as in v4",
    ),
    **{
        f"v5: {kind} is a result": Difference(
            V5_CASE._replace(method="odd", kwargs={"kind": kind}), FAILS, value, "as in v4"
        )
        for kind, value in NUMPY_AND_PANDAS.items()
    },
    "v5: sys.exit() is no result": Difference(
        V5_CASE._replace(method="exits", kwargs={"code": 0}), NOTHING, FAILS, "as in v4"
    ),
    "v5: os._exit(0) is no result": Difference(
        V5_CASE._replace(method="ends_the_process", kwargs={"code": 0}), NOTHING, FAILS, "as in v4"
    ),
    "v5: half a character is no text": Difference(
        V5_CASE._replace(method="odd", kwargs={"kind": "half a character"}), "\ud800", FAILS, "as in v4"
    ),
    "v5: keys with one text do not fall on one another": Difference(
        V5_CASE._replace(method="odd", kwargs={"kind": "two keys of one text"}), {"1": "b"}, FAILS, "as in v4"
    ),
    "v5: an argument has the annotated type": Difference(
        V5_CASE._replace(method="twofold", kwargs={"number": "ab"}), "abab", FAILS, "as in v4"
    ),
    **{
        f"v5: {posted.decode()} as input is no call without arguments": Difference(
            V5_CASE._replace(method="echo", posted=posted),
            "nothing",
            FAILS,
            "the input is an object, or null; theirs takes all that Python finds false for none",
        )
        for posted in (b"[]", b"0", b"false", b'""')
    },
    "v5: the input is UTF-8": Difference(
        V5_CASE._replace(method="echo", posted='{"value": 1}'.encode("utf-16")), 1, FAILS, "as in v4"
    ),
    "v5: the input has no byte order mark": Difference(
        V5_CASE._replace(method="echo", posted=b'\xef\xbb\xbf{"value": 1}'), 1, FAILS, "as in v4"
    ),
    "v5: the ids of a run are integers": Difference(
        V5_CASE._replace(method="ids"),
        {"task": "7", "node": "5", "organization": "3", "collaboration": "1"},
        {"task": 7, "node": 5, "organization": 3, "collaboration": 1},
        "as on v3 and v4, and as in the client's answers, so that they can be compared; theirs gives texts",
    ),
    "v5: the temporary folder holds no tables": Difference(
        V5_CASE._replace(method="sees_tables"),
        True,
        False,
        "theirs is the session's own folder, with every table of it; ours a folder of our own in that",
    ),
    "v5: a group of tables is one parameter after the other": Difference(
        V5_CASE._replace(method="grouped", labels=("first,second",)),
        {"first": rows("first"), "second": rows("second")},
        [rows("first"), rows("second")],
        "a function has the same parameters in every generation; theirs gets a dictionary",
    ),
    "v5: an argument `mock_data` does not stand in for the table": Difference(
        V5_CASE._replace(method="length", kwargs={"mock_data": [[1, 2, 3]]}),
        3,
        FAILS,
        "their decorators take what is meant for tests from whoever posts a task",
    ),
    "v5: an argument `mock_client` does not stand in for the client": Difference(
        V5_CASE._replace(method="central", kwargs={"mock_client": "mine", "number": 3}, role="master"),
        {"number": 3, "master": True},
        FAILS,
        "as with `mock_data`",
    ),
    "v5: an argument `mock_uri` is refused": Difference(
        EXTRACTION._replace(method="connection", kwargs={"mock_uri": "elsewhere"}, uri="postgresql://base"),
        details(uri="postgresql://base", type="csv"),
        FAILS,
        "as with `mock_data`; theirs ignores it where the node names a URI",
    ),
    "v5: a secret that looks encoded is left alone": Difference(
        EXTRACTION._replace(method="connection", uri="base", options={"PASSWORD": "MFRGGZDF"}),
        details(uri="base", type="csv", PASSWORD="abcde"),
        details(uri="base", type="csv", PASSWORD="MFRGGZDF"),
        "their wrapper decodes every variable of the process, and secrets are not encoded",
    ),
    "v5: a secret whose value decodes to no text is left alone": Difference(
        EXTRACTION._replace(method="connection", uri="base", options={"PASSWORD": "ABCDEFGH"}),
        FAILS,
        details(uri="base", type="csv", PASSWORD="ABCDEFGH"),
        "their wrapper ends with a UnicodeDecodeError before it has read the input",
    ),
    "v5: a secret fails no run that does not ask for it": Difference(
        EXTRACTION._replace(method="read_csv", labels=("second",), options={"PASSWORD": "ABCDEFGH"}),
        FAILS,
        rows("second"),
        "as above",
    ),
    "v5: a URI that looks encoded is left alone": Difference(
        EXTRACTION._replace(method="connection", uri="MFRGGZDF"),
        details(uri="abcde", type="csv"),
        details(uri="MFRGGZDF", type="csv"),
        "their decorator decodes URI and type a second time",
    ),
    "v5: a variable of the image that looks encoded is left alone": Difference(
        V5_CASE._replace(method="raw_variable", kwargs={"name": "MODE"}, image={"MODE": "MFRGGZDF"}),
        "abcde",
        "MFRGGZDF",
        "as in v4",
    ),
    "v5: a database of no type can be extracted from": Difference(
        EXTRACTION._replace(method="read_csv", labels=("second",), types={"second": None}),
        FAILS,
        rows("second"),
        "the function's name tells the type; their decorator demands one",
    ),
    "v5: a file of SQLite is one by the ending .db, too": Difference(
        EXTRACTION._replace(method="read_sql_database", kwargs={"query": "select 1.5 as one"}, labels=("another",)),
        FAILS,
        {"columns": ["one"], "rows": [[1.5]]},
        "theirs knows the ending .sqlite only",
    ),
    "v5: a sheet without a name is no sheet": Difference(
        EXTRACTION._replace(method="read_excel", kwargs={"sheet_name": ""}, labels=("numbers",)),
        rows("second"),
        FAILS,
        "theirs takes the first",
    ),
    "v5: a frame of a class of its own is a table": Difference(
        EXTRACTION._replace(method="extracts", kwargs={"kind": "a class of its own"}),
        FAILS,
        rows("first"),
        "as geopandas has them; theirs takes pandas' own class only",
    ),
}
"""Name -> a difference that is meant. docs/compatibility.md cites these."""
