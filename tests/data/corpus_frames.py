"""Awkward frames in memory, and awkward responses of SPARQL endpoints."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from algotools.federation import _frames
from algotools.task import Database

from .corpus_sql import Servers


class AwkwardFrame(NamedTuple):
    """A DataFrame of the local federation with a peculiarity."""

    name: str
    make: Callable[[], pd.DataFrame]
    kind: str = "frame"

    def make_database(self, folder: Path, _servers: Servers) -> Database:
        """Write the frame, and return the database."""
        path = folder / "x.frame"
        _frames.write_frame(self.make(), path)
        return Database("clinic", str(path), "frame")


class AwkwardResponse(NamedTuple):
    """A response of a SPARQL endpoint with a peculiarity."""

    name: str
    text: str
    kind: str = "sparql"

    def make_database(self, _folder: Path, servers: Servers) -> Database:
        """Serve the response, and return the database."""
        return Database("clinic", servers.serve(self.text), "sparql", query="SELECT ?id WHERE { ?id a ?type }")


def _column(values: object, dtype: object = None) -> Callable[[], pd.DataFrame]:
    return lambda: pd.DataFrame({"id": [1, 2, 3], "x": pd.Series(values, dtype=dtype)})  # type: ignore[call-overload]  # any dtype


_DAYS = pd.to_datetime(["2024-01-02 03:04:05", None, "2024-07-02 00:00:00"])

_FRAMES: dict[str, Callable[[], pd.DataFrame]] = {
    "integers": _column([1, 2, 3]),
    "small integers": _column([1, 2, 3], "int8"),
    "unsigned integers": _column([1, 2, 2**64 - 1], "uint64"),
    "integers that may be missing": _column([1, None, 2**53 + 1], "Int64"),
    "floats": _column([0.5, None, np.inf]),
    "small floats": _column([0.5, None, 1.5], "float32"),
    "half floats": _column([0.5, None, 1.5], "float16"),
    "floats that may be missing": _column([0.5, None, 1.5], "Float64"),
    "booleans": _column([True, False, True]),
    "booleans that may be missing": _column([True, None, False], "boolean"),
    "booleans and None": _column([True, None, False], object),
    "texts": _column(["a", None, ""]),
    "texts of pandas": _column(["a", None, ""], "string"),
    "texts in an object column": _column(["a", None, ""], object),
    "categories": _column(pd.Categorical(["a", None, "b"])),
    "categories of integers": _column(pd.Categorical([1, None, 2])),
    "categories in an order": _column(pd.Categorical(["a", "b", "a"], ordered=True)),
    "dates": _column([dt.date(2024, 1, 2), None, dt.date(1815, 1, 2)], object),
    "timestamps": _column(_DAYS),
    "timestamps with a zone": _column(_DAYS.tz_localize("Europe/Amsterdam")),
    "timestamps with an offset": _column(_DAYS.tz_localize("UTC").tz_convert("+02:00")),
    "timestamps in an object column": _column([pd.Timestamp("2024-01-02"), None, pd.Timestamp("2024-01-03")], object),
    "spans": _column(pd.to_timedelta(["3 days", None, "5 hours"])),
    "periods": _column(pd.PeriodIndex(["2024-01", "2024-02", "2024-03"], freq="M")),
    "intervals": _column(pd.interval_range(0, 3)),
    "sparse values": _column(pd.arrays.SparseArray([0, 0, 1])),
    "sparse floats": _column(pd.arrays.SparseArray([0.5, np.nan, np.nan])),
    "complex numbers": _column([1j, 2j, 3j]),
    "decimals": _column([Decimal("1.5"), None, Decimal(2)], object),
    "bytes": _column([b"a", None, b"\xff"], object),
    "lists": _column([[1, 2], None, []], object),
    "arrays of NumPy": _column([np.array([1, 2]), None, np.array([3])], object),
    "dictionaries": _column([{"a": 1}, None, {"a": 2}], object),
    "integers and texts": _column([1, "x", None], object),
    "integers and floats in an object column": _column([1, 2.5, None], object),
    "booleans and integers": _column([True, 2, None], object),
    "integers of more than 64 bits": _column([2**70, 1, None], object),
    "nothing": _column([None, None, None], object),
    "no rows": lambda: pd.DataFrame({"id": pd.Series([], dtype="int64"), "x": pd.Series([], dtype="object")}),
    "no columns": lambda: pd.DataFrame(index=range(3)),
    "a repeated name": lambda: pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]),
    "names that differ in case": lambda: pd.DataFrame([[1, 2], [3, 4]], columns=["a", "A"]),
    "an empty name": lambda: pd.DataFrame([[1, 2], [3, 4]], columns=["a", ""]),
    "names that are numbers": lambda: pd.DataFrame([[1, 2], [3, 4]], columns=[2023, 2024]),
    "names that are dates": lambda: pd.DataFrame([[1, 2]], columns=pd.to_datetime(["2024-01-01", "2024-01-02"])),
    "a number and its text as names": lambda: pd.DataFrame([[1, 2], [3, 4]], columns=[1, "1"]),
    "a missing name": lambda: pd.DataFrame([[1, 2], [3, 4]], columns=["a", None]),
    "names of two levels": lambda: pd.DataFrame(
        [[1, 2], [3, 4]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])
    ),
    "a named index": lambda: pd.DataFrame({"x": [1, 2]}, index=pd.Index([7, 8], name="id")),
    "an index with the name of a column": lambda: pd.DataFrame({"x": [1, 2]}, index=pd.Index([7, 8], name="x")),
    "several levels of an index": lambda: pd.DataFrame(
        {"x": [1, 2]}, index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])
    ),
    "a repeated index": lambda: pd.DataFrame({"x": [1, 2]}, index=[7, 7]),
    "a name of SQL": lambda: pd.DataFrame({"select": [1, 2], 'a "b"': [3, 4]}),
}

_RESPONSES = {
    "numbers": "id,x\r\n1,5\r\n2,\r\n",
    "texts": 'id,x\r\n1,"a, b"\r\n2,"say ""hi"""\r\n',
    "a newline in quotes": 'id,x\r\n1,"a\nb"\r\n2,c\r\n',
    "booleans": "id,x\r\n1,true\r\n2,false\r\n",
    "booleans and missing": "id,x\r\n1,true\r\n2,\r\n",
    "dates": "id,x\r\n1,2024-01-02\r\n2,2024-01-03Z\r\n",
    "numbers and texts": "id,x\r\n1,5\r\n2,five\r\n",
    "integers beyond 2**53 and missing": "id,x\r\n1,9007199254740993\r\n2,\r\n",
    "integers of more than 64 bits": "id,x\r\n1,99999999999999999999\r\n2,1\r\n",
    "no rows": "id,x\r\n",
    "a repeated name": "id,id\r\n1,2\r\n",
    "one column without a value": "x\r\n\r\n5\r\n",
    "names that differ in case": "id,ID\r\n1,2\r\n",
    "short rows": "id,x\r\n1\r\n2,3\r\n",
    "long rows": "id,x\r\n1,2,3\r\n4,5,6\r\n",
    "nothing": "",
    "HTML": "<html>\n<body>Sign in</body>\n</html>\n",
}

FRAMES = [
    *(AwkwardFrame(name, make) for name, make in _FRAMES.items()),
    *(AwkwardResponse(name, text) for name, text in _RESPONSES.items()),
]
"""All awkward frames and responses."""
