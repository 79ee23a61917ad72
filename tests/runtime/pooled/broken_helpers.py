"""Helpers of a pooled function in another module: they have returned before the next total is requested."""

from __future__ import annotations

from typing import Any

import pandas as pd


def weigh(value: Any) -> float:
    return 2.0 if type(value) is float else 3.0


def weigh_rows(rows: Any) -> float:
    return 2.0 if type(rows) is pd.DataFrame else 3.0
