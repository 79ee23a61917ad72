"""Cheats that encode cells in numbers or texts."""

from __future__ import annotations

import base64
import math
import struct
import zlib

import numpy as np
import pandas as pd

from ..cases import Cheat
from ..claims import Cells, Fact, cells
from ..nodes import LARGE, PATIENTS, SMALL, START, TINY

AGES = range(120)


def solve_power_sums(sums):
    """Return the values with these power sums: Newton's identities give a polynomial whose roots are the values."""
    count = len(sums) - 1
    coefficients = [1.0]
    for k in range(1, count + 1):
        coefficients.append(-sum(coefficients[k - i] * sums[i] for i in range(1, k + 1)) / k)
    return np.roots(coefficients).real


def claim_flags(column, get=lambda result: result):
    """Return the function that claims which rows have a 1 in a column."""
    return lambda result, _: [Fact({"row": i}, column, int(flag)) for i, flag in enumerate(get(result))]


def read_runs(result):
    value, flags = result["first"], []
    for length in result["lengths"]:
        flags += [value] * length
        value = 1 - value
    return flags


CHEATS = [
    Cheat(
        name="two_values_in_a_float",
        tables=SMALL,
        arguments={"column": "age"},
        reveals=cells("age", lambda r: [int(r), round(r % 1 * 1000)]),
    ),
    Cheat(
        name="giant_integer",
        tables=[*SMALL, "patients_130"],
        arguments={"column": "cost"},
        reveals=cells("cost", lambda r: int(r).to_bytes(int(r).bit_length() // 8 + 1, "big").strip(b"\0").split(b",")),
    ),
    Cheat(
        name="zero_one_list",
        tables=PATIENTS,
        arguments={"column": "treated", "limit": 0},
        reveals=claim_flags("treated"),
    ),
    Cheat(
        name="booleans",
        tables=PATIENTS,
        arguments={"column": "sex", "level": "F"},
        reveals=lambda r, _: [Fact({"row": i}, "sex", "F" if flag else "M") for i, flag in enumerate(r)],
    ),
    Cheat(
        name="booleans_of_polars",
        tables=PATIENTS,
        arguments={"column": "event", "limit": 0},
        reveals=claim_flags("event", lambda r: r["old"].values()),
    ),
    Cheat(
        name="row_hashes",
        tables=SMALL,
        arguments={"column": "age"},
        reveals=cells(
            "age", lambda r: [a for a in AGES if int(pd.util.hash_array(np.array([a], dtype=np.int64))[0]) in r]
        ),
    ),
    Cheat(
        name="power_sums",
        tables=["patients_5"],
        arguments={"column": "height", "order": 5},
        reveals=lambda r, _: [Cells("height", solve_power_sums(r), within=1e-3)],
    ),
    Cheat(
        name="three_max_plus_one",
        tables=PATIENTS,
        arguments={"column": "height"},
        reveals=cells("height", lambda r: [(r - 1) / 3]),
    ),
    Cheat(
        name="max_beside_mean",
        tables=PATIENTS,
        arguments={"column": "height"},
        reveals=cells("height", lambda r: [r["value"] % 1000]),
    ),
    Cheat(
        name="base64_of_column",
        tables=PATIENTS,
        arguments={"column": "cost"},
        reveals=cells("cost", lambda r: np.frombuffer(base64.b64decode(r))),
    ),
    Cheat(
        name="compressed_column",
        tables=PATIENTS,
        arguments={"column": "cost"},
        reveals=cells("cost", lambda r: np.frombuffer(zlib.decompress(base64.b64decode(r)))),
    ),
    Cheat(
        name="bitmask",
        tables=SMALL,
        arguments={"column": "event"},
        reveals=lambda r, _: [Fact({"row": i}, "event", 1) for i in range(60) if int(r) >> i & 1],
    ),
    Cheat(
        name="run_lengths",
        tables=[*SMALL, "patients_242"],
        arguments={"column": "treated"},
        reveals=claim_flags("treated", read_runs),
    ),
    Cheat(
        name="logarithm_of_max",
        tables=PATIENTS,
        arguments={"column": "cost"},
        reveals=lambda r, _: [Cells("cost", [math.exp(r["scale"])], within=1e-6)],
    ),
    Cheat(
        name="digits_of_a_sum",
        tables=[*SMALL, "patients_70"],
        arguments={"column": "age"},
        reveals=cells("age", lambda r: [int(r) // 1000**place % 1000 for place in range(5)]),
    ),
    Cheat(
        name="characters",
        tables=[*SMALL, "patients_70"],
        arguments={"column": "age"},
        reveals=cells("age", lambda r: [ord(c) - 32 for c in r]),
    ),
    Cheat(
        name="complex_pairs",
        tables=PATIENTS,
        arguments={"x": "days", "y": "weight"},
        reveals=cells("days", lambda r: [pair["real"] for pair in r]),
    ),
    Cheat(
        name="polynomial_of_column",
        tables=TINY,
        arguments={"column": "height"},
        reveals=lambda r, _: [Cells("height", 100 * np.roots(r).real, within=1e-3)],
    ),
    Cheat(
        name="spectrum",
        tables=[*SMALL, *LARGE],
        arguments={"column": "height"},
        reveals=cells("height", lambda r: np.fft.irfft(np.array(r["real"]) + 1j * np.array(r["imaginary"]), n=r["n"])),
    ),
    Cheat(
        name="bits_of_a_float",
        tables=PATIENTS,
        arguments={"column": "cost"},
        reveals=cells("cost", lambda r: struct.unpack("!d", struct.pack("!II", *r))),
    ),
    Cheat(
        name="days_since_birth",
        tables=PATIENTS,
        arguments={"column": "birth"},
        reveals=cells("birth", lambda r: [(pd.Timestamp(START) - pd.Timedelta(days=d)).date() for d in r]),
    ),
]
