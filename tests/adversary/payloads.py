"""Mutated encodings of results. A decoder raises only the documented error, in bounded time and memory."""

from __future__ import annotations

import datetime
import decimal
import random
import time
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from algotools.errors import AlgotoolsError
from algotools.federation.contract import get_contract
from algotools.payload import RICH, decode_rich, encode_rich

from .scoreboard import AttackGroup

ATTEMPTS = 1_500
MOST_SECONDS = 60.0
MOST_MEMORY = 512 << 20
"""Bytes that decoding a document of some kilobytes may take."""
NUMBERS = [0, 1, 0x7F, 0x80, 0x90, 0xC1, 0xC6, 0xC9, 0xCF, 0xD9, 0xDF, 0xFF]


def attack(group: AttackGroup, seed: int, share: float = 1.0) -> None:
    """Decode mutated documents."""
    chance = random.Random(seed)
    documents = [encode_rich(value) for value in list_values()]
    contracts = [get_contract(name) for name in ("v3", "v4", "v5")]
    for number in range(round(ATTEMPTS * share)):
        data = mutate(chance.choice(documents), chance)
        name = f"{number}: {data[:60]!r}, {len(data)} bytes"
        group.attempts += 1
        if number % 3:
            _decode(group, name, data, decode_rich)
        else:
            contract = chance.choice(contracts)
            wrapped = contract.wrap_result(data)
            wrapped = mutate(wrapped, chance) if chance.random() < 0.5 else wrapped
            _decode(group, name, wrapped, contract.decode_output)


def list_values() -> list[object]:
    """Return values of every kind that the encoding has."""
    moments = pd.date_range("2020", periods=3, tz="Europe/Amsterdam")
    frame = pd.DataFrame({
        "a": [1, 2, 3], "b": ["x", None, "z"], "c": moments, "d": pd.Categorical(["u", "v", "u"]),
        "e": pd.array([1, None, 3], dtype="Int64"), "f": pd.array(["x", "y", None], dtype="string"),
        "g": pd.period_range("2020", periods=3, freq="M"), "h": pd.interval_range(0, 3),
        "i": pd.array([0, 0, 1], dtype=pd.SparseDtype(int)),
        "j": pd.array([1, 2, None], dtype=pd.ArrowDtype(pa.int8())),
    })  # fmt: skip
    return [
        {"a": [1, 2.5, None, True, "x", b"y"], "b": {"c": (1, (2, 3))}},
        {1: 2, (1, "a"): 3, None: 4, 2.5: [10**40, -(10**40)]},
        [float("nan"), float("inf"), 1 + 2j, decimal.Decimal("1.5"), uuid.UUID(int=5)],
        [datetime.datetime(2020, 1, 2, 3, tzinfo=datetime.timezone.utc), datetime.date(2020, 1, 2)],
        [ datetime.timedelta(1), datetime.time(1)],
        np.arange(12.0).reshape(3, 4), np.array(["a", "bc"]), np.array([1, "x", None], object), np.float32(1.5),
        np.array([(1, 2.5)], [("a", int), ("b", float)]), np.ma.masked_array([1, 2], [True, False]),
        np.array("2020", "M8[D]"),
        frame, frame.set_index(["a", "b"]), frame["c"], frame.index, pd.NaT,
        pd.MultiIndex.from_product([[1, 2], ["a", "b"]]),
        pd.Timestamp("2020", tz="UTC"), pd.Timedelta(1, "s"), pd.Period("2020"), pd.Interval(1, 2),
        pa.table({"a": [1, None], "b": ["x", "y"], "c": [[1], [2, 3]]}), pa.array([1, 2]), pa.scalar(5),
        pl.DataFrame({"a": [1, 2], "b": ["x", None], "c": [[1], []]}), pl.Series("s", [1.5]),
        [frame, {"x": np.arange(1000)}, pl.DataFrame({"a": range(100)})], "x" * 1000, [],
    ]  # fmt: skip


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Return bytes with a few random changes; most keep the prefix that names the encoding."""
    changed = bytearray(data)
    start = len(RICH) if data.startswith(RICH) and chance.random() < 0.95 else 0
    for _ in range(chance.choice([1, 1, 1, 2, 4, 16])):
        position = chance.randrange(start, len(changed)) if len(changed) > start else 0
        match chance.randrange(7):
            case 0:
                changed[position : position + 1] = bytes([chance.randrange(256)])
            case 1:
                changed[position : position + 1] = bytes([chance.choice(NUMBERS)])
            case 2:
                del changed[position:]
            case 3:
                changed[position:position] = bytes(chance.choices(NUMBERS, k=chance.randrange(1, 9)))
            case 4:
                size = chance.choice([4, 8])
                changed[position : position + size] = chance.choice([b"\xff", b"\x7f", b"\0"]) * size
            case 5:
                part = changed[position : position + chance.randrange(1, 64)]
                target = chance.randrange(start, len(changed) + 1) if len(changed) >= start else 0
                changed[target : target + chance.choice([0, len(part)])] = part
            case _:
                bits = 1 << chance.randrange(8)
                changed[position : position + 1] = bytes(byte ^ bits for byte in changed[position : position + 1])
    return bytes(changed)


def _decode(group: AttackGroup, name: str, data: bytes, decode: Callable[[bytes], object]) -> None:
    before = _read_memory("VmRSS")
    _reset_peak()
    start = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            decode(data)
        except AlgotoolsError as error:
            group.check_code(error.exit_code, name)
        except BaseException as error:
            group.report("traceback", name, repr(error)[:300])
        else:
            group.notes["accepted"] += 1
    if time.monotonic() - start > MOST_SECONDS:
        group.report("hang", name, f"{time.monotonic() - start:.1f} s")
    if (size := _read_memory("VmHWM") - before) > MOST_MEMORY:
        group.report("hang", name, f"{size >> 20} MB of memory")


def _read_memory(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    return 0


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
