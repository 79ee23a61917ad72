"""Tables as JSON values, converted by the same code for all tools, and unusual results."""


def to_plain(value):
    if type(value).__name__ == "NAType":
        return None
    value = value.tolist() if hasattr(value, "tolist") else value
    return None if value != value else value


def to_rows(frame):
    return {
        "columns": [str(name) for name in frame.columns],
        "rows": [[to_plain(value) for value in row] for row in frame.itertuples(index=False, name=None)],
    }


def describe_frame(frame):
    """Return all values, names and dtypes of a frame. The dtypes depend on the version of pandas."""
    import pandas as pd

    def describe(values):
        plain_values = map(to_plain, values)
        return [None if value is None else [type(value).__name__, str(value)] for value in plain_values]

    return {
        "pandas": pd.__version__.partition(".")[0],
        "dtypes": [str(dtype) for dtype in [*frame.dtypes, *frame.index.to_frame().dtypes, frame.columns.dtype]],
        "columns": describe(frame.columns),
        "names": [str(name) for name in frame.index.names],
        "index": describe(frame.index),
        "rows": [describe(frame.iloc[:, number]) for number in range(frame.shape[1])],
    }


def make_table_result(kind):
    """Return a table, or a value that a function for tables may return by mistake."""
    import pandas as pd
    import pyarrow as pa

    frame = pd.DataFrame({"age": [71, 58], "name": ["Jane", None]})
    return {
        "a frame": frame,
        "an Arrow table": pa.table({"age": [71, None], "name": ["Jane", None]}),
        "a subclass of DataFrame": type("Frame", (pd.DataFrame,), {})(frame),
        "a series": frame["age"],
        "a dictionary": {"age": [71, 58]},
        "nothing": None,
        "several types in a column": pd.DataFrame({"age": [71, "old"]}),
        "two columns with the same name": pd.DataFrame([[1, 2]], columns=["age", "age"]),
        "lists": pd.DataFrame({"ages": [[71, 58], []]}),
        "names that are not strings": pd.DataFrame({1.5: [71], 2.5: [58]}),
        "an index": frame.set_index("name"),
        "no rows": frame.head(0),
        "no columns": frame[[]],
    }[kind]


def make_unusual_value(kind):
    """Return a value that JSON does not have, or that only Python's json module accepts."""
    import datetime

    import numpy as np
    import pandas as pd

    frame = pd.DataFrame({"age": [71, 58], "mean": [0.12345678901234, None]})
    return {
        "a set": {1, 2},
        "bytes": b"abc",
        "an object": object(),
        "a tuple": (1, (2, "three")),
        "keys that are not strings": {7: "a", 2.5: "b", True: "c", None: "d"},
        "two keys with the same text": {1: "a", "1": "b"},
        "a lone surrogate": "\ud800",
        "a numpy integer": np.int64(7),
        "an array": np.array([[1.5, 2.5]]),
        "an array with NaN": np.array([1.5, np.nan]),
        "a frame": frame,
        "a series": frame["age"],
        "a frame with a date": pd.DataFrame({"when": [pd.Timestamp("2024-03-01 12:00:00")]}),
        "a date": datetime.date(2024, 3, 1),
        "not a number": {"mean": float("nan"), "more": [1.0, float("inf"), -float("inf")]},
        "a large number": 10**400,
        "nothing": None,
    }[kind]
