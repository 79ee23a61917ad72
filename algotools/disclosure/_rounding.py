"""Round the numbers of a result to significant digits, as the policy's setting DIGITS requires."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from algotools.payload import RICH, decode_rich, encode_rich


def round_result(data: bytes, digits: int) -> bytes:
    """Return an encoded result whose floats have at most *digits* significant digits. Integers are counts, and stay."""
    if data.startswith(RICH):
        return encode_rich(_round(decode_rich(data), digits))
    return msgspec.json.encode(_round(msgspec.json.decode(data), digits))


def _round(value: Any, digits: int) -> Any:
    if isinstance(value, float):
        return _round_number(value, digits)
    if isinstance(value, complex):
        return complex(_round_number(value.real, digits), _round_number(value.imag, digits))
    if isinstance(value, dict):
        return {key: _round(item, digits) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_round(item, digits) for item in value)
    if isinstance(value, (bool, int, str, bytes, type(None))):
        return value
    return _round_table(value, digits)


def _round_number(number: float, digits: int) -> float:
    return float(f"{number:.{digits - 1}e}") if math.isfinite(number) else number


def _round_column(column: Any, digits: int) -> Any:
    """Round a column of pandas. Columns of other types than floats, categories and objects stay."""
    if column.dtype.kind not in "fcO":
        return column
    rounded = column.map(lambda item: _round(item, digits), na_action="ignore")
    return rounded.astype(column.dtype) if column.dtype.kind in "fc" else rounded


def _round_table(value: Any, digits: int) -> Any:
    """Round an array, or a table of pandas, Arrow or Polars. Values of other types stay."""
    import numpy as np

    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.kind == "c":
            return _round_table(value.real, digits) + 1j * _round_table(value.imag, digits)
        if value.dtype.kind == "O":
            return np.array([_round(item, digits) for item in value.ravel()], dtype=object).reshape(value.shape)
        if value.dtype.kind != "f":
            return value
        rounded = np.array([_round_number(float(number), digits) for number in np.ravel(value)], dtype=value.dtype)
        return rounded.reshape(value.shape) if isinstance(value, np.ndarray) else rounded[0]
    library = type(value).__module__.partition(".")[0]
    if library == "pandas" and hasattr(value, "apply"):
        columns = [value] if value.ndim == 1 else [value.iloc[:, i] for i in range(value.shape[1])]
        import pandas as pd

        rounded_columns = [_round_column(column, digits) for column in columns]
        if value.ndim == 1:
            return rounded_columns[0]
        table = pd.concat(rounded_columns, axis=1) if rounded_columns else value
        table.columns = value.columns
        return table
    if library == "polars":
        import polars as pl

        frame = value if isinstance(value, pl.DataFrame) else value.to_frame()
        floats = [name for name, dtype in frame.schema.items() if dtype.is_float()]
        frame = frame.with_columns(pl.col(floats).round_sig_figs(digits)) if floats else frame
        return frame if isinstance(value, pl.DataFrame) else frame.to_series()
    if library == "pyarrow" and hasattr(value, "schema"):
        import pyarrow as pa

        arrays = [
            pa.array([_round(item, digits) for item in column.to_pylist()], column.type) for column in value.columns
        ]
        return pa.Table.from_arrays(arrays, schema=value.schema)
    return value
