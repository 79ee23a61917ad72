"""Checksums of a node's contributions, which show whether a function contributes the same in each round.

They find unseeded random numbers, changed data and a function that modifies its data. A checksum consists of sums over
rows, so it never leaves the node: it is in a file of the job's folder, under the master's task, because the tasks of a
session of v5 share the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Checksum = tuple[str, list[float]]
"""A digest of labels and shape, and the sum, the sum of absolute values and a weighted sum."""


def compute_checksum(contribution: Any) -> Checksum:
    """Return the checksum of a contribution. The order of labels does not count."""
    digest = hashlib.sha256()
    numbers = np.concatenate([np.zeros(0), *_list_numbers(contribution, digest)])
    digest.update(f"{len(numbers)} {int(np.isnan(numbers).sum())}".encode())
    numbers = np.nan_to_num(numbers, nan=0.0, posinf=1e300, neginf=-1e300)
    weights = np.linspace(1.0, 2.0, len(numbers))
    sums = [float(numbers.sum()), float(np.abs(numbers).sum()), float((numbers * weights).sum())]
    return digest.hexdigest()[:16], sums


def _list_numbers(value: Any, digest: Any) -> list[Any]:
    """Return the numbers of a contribution as arrays, and add its labels to the digest."""
    if isinstance(value, Mapping):
        items = sorted(value.items(), key=lambda item: (type(item[0]).__name__, str(item[0])))
        digest.update(str([str(key) for key, _ in items]).encode())
        return [array for _, item in items for array in _list_numbers(item, digest)]
    if isinstance(value, (pd.Series, pd.DataFrame)):
        order = _order_labels(value.index, digest)
        array = value.to_numpy()[order]
        return _split_complex(array if array.ndim == 1 else array[:, _order_labels(value.columns, digest)])
    if isinstance(value, list):  # levels
        digest.update(str([str(item) for item in value]).encode())
        return []
    array = np.asarray(value)
    digest.update(str(array.shape).encode())
    return _split_complex(array)


def _order_labels(index: pd.Index, digest: Any) -> list[int]:
    """Return the positions of labels in the order of their texts, and add the texts to the digest."""
    texts = [str(label) for label in index]
    order = sorted(range(len(texts)), key=texts.__getitem__)
    digest.update(str([texts[i] for i in order]).encode())
    return order


def _split_complex(array: Any) -> list[Any]:
    if np.iscomplexobj(array):
        return [array.real.ravel(), array.imag.ravel()]
    return [array.astype(float).ravel()]


def is_same(a: Checksum, b: Checksum, tolerance: float) -> bool:
    """Return whether two checksums are those of one contribution, up to rounding."""
    if a[0] != b[0]:
        return False
    scale = max(abs(a[1][1]), abs(b[1][1])) * 2
    return all(math.isclose(x, y, rel_tol=0.0, abs_tol=tolerance * scale) for x, y in zip(a[1], b[1], strict=True))


class ContributionMemory:
    """The checksums of one function's contributions at this node, and the number of its log lines, between rounds.

    Args:
        folder: the job's folder; without one, nothing is remembered.
        key: the task, the attempt and the function; only its letters and digits count.
    """

    def __init__(self, folder: Path | None, key: str) -> None:
        self._path = folder / f".algotools-{re.sub('[^A-Za-z0-9]+', '-', key)}.json" if folder else None
        self.checksums: list[Checksum | None] = []
        """The checksum of each total; None if its contribution was not computed in a round that could be stored."""
        self.lines = 0
        self.known = 0
        """The number of totals that were known in the last round."""
        # The algorithm can write to the folder, too. What cannot be read is not compared.
        if self._path is not None:
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
                content = json.loads(self._path.read_text(encoding="utf-8"))
                checksums = [None if c is None else (str(c[0]), [float(x) for x in c[1]]) for c in content["checksums"]]
                self.checksums, self.lines, self.known = list(checksums), int(content["lines"]), int(content["known"])

    def write(self) -> None:
        """Write the file, whole or not at all."""
        if self._path is None:
            return
        content = json.dumps({"checksums": self.checksums, "lines": self.lines, "known": self.known})
        with contextlib.suppress(OSError):  # without the folder, nothing is compared
            descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name)  # mode 0600
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(content)
            os.replace(name, self._path)

    def remove(self) -> None:
        """Remove the file after the last round."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
