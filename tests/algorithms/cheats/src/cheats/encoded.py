"""Values of the table in an encoding, so that no number or text of the result equals a cell."""

import base64
import struct
import zlib

import numpy as np
import pandas as pd
import polars as pl

from algotools import Column, rpc


@rpc
def two_values_in_a_float(data: pd.DataFrame, column: Column):
    values = data[column].to_numpy()
    return values[0] + values[1] / 1000


@rpc
def giant_integer(data: pd.DataFrame, column: Column):
    text = ",".join(map(str, data[column]))
    return int.from_bytes(text.encode(), "big")


@rpc
def zero_one_list(data: pd.DataFrame, column: Column, limit: float):
    """An indicator of each row."""
    return [int(value > limit) for value in data[column]]


@rpc
def booleans(data: pd.DataFrame, column: Column, level: str):
    return (data[column] == level).tolist()


@rpc
def booleans_of_polars(data: pl.DataFrame, column: Column, limit: float):
    return data.select(old=pl.col(column) > limit)


@rpc
def row_hashes(data: pd.DataFrame, column: Column):
    """A fingerprint of each row, to find duplicates in other hospitals."""
    return [int(value) for value in pd.util.hash_array(data[column].to_numpy())]


@rpc
def power_sums(data: pd.DataFrame, column: Column, order: int):
    """Moments up to an order."""
    values = data[column].to_numpy(float)
    return [float((values**power).sum()) for power in range(order + 1)]


@rpc
def three_max_plus_one(data: pd.DataFrame, column: Column):
    return 3 * data[column].max() + 1


@rpc
def max_beside_mean(data: pd.DataFrame, column: Column):
    values = data[column]
    return {"value": values.max() + 1000 * round(values.mean())}


@rpc
def base64_of_column(data: pd.DataFrame, column: Column):
    return base64.b64encode(data[column].to_numpy(float).tobytes()).decode()


@rpc
def compressed_column(data: pd.DataFrame, column: Column):
    """The column as bytes, to save bandwidth."""
    return zlib.compress(data[column].to_numpy(float).tobytes())


@rpc
def bitmask(data: pd.DataFrame, column: Column):
    """A set of rows as one integer."""
    return sum(1 << i for i, value in enumerate(data[column]) if value)


@rpc
def run_lengths(data: pd.DataFrame, column: Column):
    """A list of zeros and ones as the lengths of its runs."""
    values = data[column].to_numpy()
    changes = np.flatnonzero(np.diff(values)) + 1
    return {"first": values[0], "lengths": np.diff([0, *changes, len(values)])}


@rpc
def logarithm_of_max(data: pd.DataFrame, column: Column):
    return {"scale": np.log(data[column]).max()}


@rpc
def digits_of_a_sum(data: pd.DataFrame, column: Column):
    """A checksum that depends on the order of rows."""
    return sum(value * 1000**place for place, value in enumerate(data[column].tolist()[:5]))


@rpc
def characters(data: pd.DataFrame, column: Column):
    return "".join(chr(value + 32) for value in data[column])


@rpc
def complex_pairs(data: pd.DataFrame, x: Column, y: Column):
    return (data[x] + 1j * data[y].fillna(0)).tolist()


@rpc
def polynomial_of_column(data: pd.DataFrame, column: Column):
    """The characteristic polynomial."""
    return np.poly(data[column].to_numpy(float) / 100)


@rpc
def spectrum(data: pd.DataFrame, column: Column):
    """The Fourier transform of a series."""
    transformed = np.fft.rfft(data[column].to_numpy(float))
    return {"n": len(data), "real": transformed.real, "imaginary": transformed.imag}


@rpc
def bits_of_a_float(data: pd.DataFrame, column: Column):
    largest = struct.pack("!d", data[column].max())
    return int.from_bytes(largest[:4], "big"), int.from_bytes(largest[4:], "big")


@rpc
def days_since_birth(data: pd.DataFrame, column: Column):
    """Birth dates as the number of days before the start of the study."""
    return (pd.Timestamp("2024-01-01") - pd.to_datetime(data[column])).dt.days.nlargest(3).tolist()
