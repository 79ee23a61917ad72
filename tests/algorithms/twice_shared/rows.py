"""A table as JSON has it, made by the same lines whoever loaded it."""


def plain(value):
    if type(value).__name__ == "NAType":
        return None
    value = value.tolist() if hasattr(value, "tolist") else value
    return None if value != value else value


def rows(frame):
    return {
        "columns": [str(name) for name in frame.columns],
        "rows": [[plain(value) for value in row] for row in frame.itertuples(index=False, name=None)],
    }


def described(frame):
    """All that a frame is, with its dtypes, which are another pandas' own."""
    import pandas as pd

    def told(values):
        return [None if plain(value) is None else [type(plain(value)).__name__, str(value)] for value in values]

    return {
        "pandas": pd.__version__.partition(".")[0],
        "dtypes": [str(dtype) for dtype in [*frame.dtypes, *frame.index.to_frame().dtypes, frame.columns.dtype]],
        "columns": told(frame.columns),
        "names": [str(name) for name in frame.index.names],
        "index": told(frame.index),
        "rows": [told(frame.iloc[:, number]) for number in range(frame.shape[1])],
    }


def no_table(kind):
    """What a function for a table may return."""
    import pandas as pd
    import pyarrow as pa

    frame = pd.DataFrame({"age": [71, 58], "name": ["Jane", None]})
    return {
        "a frame": frame,
        "an Arrow table": pa.table({"age": [71, None], "name": ["Jane", None]}),
        "a class of its own": type("Frame", (pd.DataFrame,), {})(frame),
        "a series": frame["age"],
        "a dictionary": {"age": [71, 58]},
        "nothing": None,
        "several types in a column": pd.DataFrame({"age": [71, "old"]}),
        "two columns of one name": pd.DataFrame([[1, 2]], columns=["age", "age"]),
        "lists": pd.DataFrame({"ages": [[71, 58], []]}),
        "names that are no texts": pd.DataFrame({1.5: [71], 2.5: [58]}),
        "an index": frame.set_index("name"),
        "no rows": frame.head(0),
        "no columns": frame[[]],
    }[kind]


class Odd:
    """Values that are no JSON, or that only Python's json takes for it."""

    @staticmethod
    def of(kind):
        import datetime

        import numpy as np
        import pandas as pd

        frame = pd.DataFrame({"age": [71, 58], "mean": [0.12345678901234, None]})
        return {
            "a set": {1, 2},
            "bytes": b"abc",
            "an object": object(),
            "a tuple": (1, (2, "three")),
            "keys that are no texts": {7: "a", 2.5: "b", True: "c", None: "d"},
            "two keys of one text": {1: "a", "1": "b"},
            "half a character": "\ud800",
            "an integer of numpy": np.int64(7),
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
