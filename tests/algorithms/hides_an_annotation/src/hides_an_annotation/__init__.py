from __future__ import annotations

from typing import TYPE_CHECKING

from algotools import rpc

if TYPE_CHECKING:
    from pandas import DataFrame


@rpc
def count(data: DataFrame) -> int:
    return len(data)
