"""The outputs of runs: the result of a function at another node, and the cells that the node has withheld."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from algotools.payload import RICH, WithheldCells, decode_rich, read_withheld
from algotools.runtime.logs import format_count


def describe_withheld(withheld: Collection[WithheldCells]) -> str:
    """Return the line for the log of a master about the cells that nodes have withheld."""
    minimums = {minimum for _, minimum in withheld}
    records = f"fewer than {minimums.pop()} records" if len(minimums) == 1 else "too few records"
    cells = format_count(sum(cells for cells, _ in withheld), "cell")
    return f"{format_count(len(withheld), 'organization')} withheld {cells} with {records}"


def decode_output(output: bytes) -> tuple[WithheldCells | None, Any]:
    """Decode the output of another node's function: the rich encoding, or plain JSON from other tools."""
    if output.startswith(RICH):
        return read_withheld(output), decode_rich(output)
    return None, json.loads(output)
