"""The functions that run at each node."""

from typing import Any

import numpy as np
import pandas as pd

from algotools import Column, RunInfo, UserError, rpc
from newton.store import FitName, store_rows, load_rows, remove_rows

MINIMUM_ROWS = 10
"""The sums of fewer complete rows could reveal single patients."""


class TooFewCases(UserError):
    text = "fewer than {minimum} rows are complete"
    minimum: int


class NotNumeric(UserError):
    text = "outcome and predictors must hold numbers"


class NotBinary(UserError):
    text = "the outcome must be 0 or 1 in every row"


@rpc
def prepare(data: pd.DataFrame, outcome: Column, predictors: list[Column], fit: FitName, info: RunInfo) -> int:
    """Check the complete rows, store outcome, intercept and predictors, and return the number of rows."""
    complete = data[[outcome, *predictors]].dropna()
    if len(complete) < MINIMUM_ROWS:
        raise TooFewCases(minimum=MINIMUM_ROWS)
    if not all(pd.api.types.is_numeric_dtype(dtype) for dtype in complete.dtypes):
        raise NotNumeric
    rows = complete.to_numpy(dtype=float)
    if not np.isin(rows[:, 0], (0, 1)).all():
        raise NotBinary
    store_rows(info, fit, np.insert(rows, 1, 1.0, axis=1))
    return len(rows)


@rpc
def derivatives(coefficients: list[float], fit: FitName, info: RunInfo) -> dict[str, Any]:
    """Return log-likelihood, score (k) and information (k x k) of the stored rows at k coefficients."""
    rows = load_rows(info, fit)
    y, x = rows[:, 0], rows[:, 1:]
    eta = x @ np.asarray(coefficients)
    mean = np.exp(-np.logaddexp(0, -eta))  # 1 / (1 + exp(-eta)), without overflow
    return {
        "log_likelihood": np.sum(y * eta - np.logaddexp(0, eta)),
        "score": x.T @ (y - mean),
        "information": (x.T * (mean * (1 - mean))) @ x,
    }


@rpc
def forget(fit: FitName, info: RunInfo) -> bool:
    """Remove the stored rows; return whether they existed."""
    return remove_rows(info, fit)
