"""The rounds of the master. The nodes' sums add up to sums over all rows, so the fit equals the pooled fit."""

import math
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from algotools import AlgorithmClient, AlgotoolsError, Column, Organization, UserError, log, master, progress
from newton.node import derivatives, forget, prepare

TOLERANCE = 1e-10
"""Stop if no coefficient changes by more than this number of standard errors."""


class NotIdentified(UserError):
    text = "the coefficients are not identified; remove a predictor that depends on the others"


class NotConverged(UserError):
    text = "no convergence within {rounds} rounds; does a predictor determine the outcome?"
    rounds: int


class Fit(AbstractContextManager["Fit"]):
    """One model on the rows of some organizations. The nodes store their rows only inside of the ``with`` block."""

    def __init__(
        self, client: AlgorithmClient, organizations: list[int] | None, outcome: str, predictors: Sequence[str]
    ) -> None:
        self._client = client
        self._name = uuid.uuid4().hex
        self._organizations = organizations
        self._model = {"outcome": outcome, "predictors": list(predictors)}
        self.names = ["intercept", *predictors]
        self.coefficients = np.zeros(len(self.names))
        self.change = math.inf
        """The largest change of a coefficient in the last round, in standard errors."""

    def __enter__(self) -> "Fit":
        try:
            self.rows = sum(self._run(prepare, **self._model))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            failures = self._run(forget).failures
        except AlgotoolsError as error:
            failures = error
        if failures:
            log(f"rows may still be stored at nodes: {failures}")

    def start_round(self) -> None:
        """Start a round without waiting for its results."""
        self._results = self._run(derivatives, coefficients=self.coefficients.tolist())

    def finish_round(self) -> None:
        """Wait for the results of the round, and take one step towards the maximum."""
        parts = list(self._results)
        information = sum(part["information"] for part in parts)
        scale = np.sqrt(np.diag(information))  # predictors with different units would lose precision
        if not scale.all() or np.linalg.matrix_rank(information / np.outer(scale, scale), hermitian=True) < len(scale):
            raise NotIdentified
        covariance = np.linalg.inv(information / np.outer(scale, scale)) / np.outer(scale, scale)
        step = covariance @ sum(part["score"] for part in parts)
        self.standard_errors = np.sqrt(np.diag(covariance))
        self.log_likelihood = sum(part["log_likelihood"] for part in parts)
        self.change = float(np.max(np.abs(step) / self.standard_errors))
        self.coefficients = self.coefficients + step

    def to_dict(self) -> dict[str, Any]:
        return {
            "coefficients": dict(zip(self.names, self.coefficients, strict=True)),
            "standard_errors": dict(zip(self.names, self.standard_errors, strict=True)),
            "log_likelihood": self.log_likelihood,
            "rows": self.rows,
        }

    def _run(self, function: Any, **arguments: Any) -> Any:
        return self._client.run(function, organizations=self._organizations, fit=self._name, **arguments)


def repeat(fits: list[Fit], max_rounds: int) -> int:
    """Repeat rounds until all fits have converged, and return the number of rounds. The fits run at the same time."""
    for number in range(1, max_rounds + 1):
        for model in fits:
            model.start_round()
        for model in fits:
            model.finish_round()
        change = max(model.change for model in fits)
        share = math.log(change) / math.log(TOLERANCE) if change else 1.0  # share of the digits that have converged
        progress(share, f"round {number}: the coefficients change by {change:.1e} standard errors")
        if change < TOLERANCE:
            return number
    raise NotConverged(rounds=max_rounds)


@master
def fit(
    client: AlgorithmClient,
    outcome: Column,
    predictors: list[Column],
    organizations: list[Organization] | None = None,
    max_rounds: int = 25,
) -> dict[str, Any]:
    """Fit the model to the rows of all organizations."""
    with Fit(client, organizations, outcome, predictors) as model:
        rounds = repeat([model], max_rounds)
        return {**model.to_dict(), "rounds": rounds}


@master
def likelihood_ratio(
    client: AlgorithmClient,
    outcome: Column,
    predictors: list[Column],
    without: list[Column],
    organizations: list[Organization] | None = None,
    max_rounds: int = 25,
) -> dict[str, Any]:
    """Return twice the log-likelihood ratio of a model and the same model without some predictors."""
    remaining = [predictor for predictor in predictors if predictor not in without]
    with (
        Fit(client, organizations, outcome, predictors) as large,
        Fit(client, organizations, outcome, remaining) as small,
    ):
        repeat([large, small], max_rounds)
        return {
            "ratio": 2 * (large.log_likelihood - small.log_likelihood),
            "large": large.to_dict(),
            "small": small.to_dict(),
        }
