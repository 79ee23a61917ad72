"""The rounds: the nodes' sums are sums over all rows, so the fit is that of the pooled data."""

import math
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from algotools import AlgorithmClient, AlgotoolsError, Column, Organization, UserError, log, master, progress
from newton.node import derivatives, forget, prepare

TOLERANCE = 1e-10
"""A round that changes no coefficient by more than so many of its standard errors is the last one."""


class NotIdentified(UserError):
    text = "the coefficients are not identified; leave out a predictor that follows from the others"


class NotConverged(UserError):
    text = "no convergence within {rounds} rounds; does a predictor tell the outcome for sure?"
    rounds: int


class Fit(AbstractContextManager["Fit"]):
    """One model on the rows of some organizations. Within ``with``, the nodes keep their rows; behind it, none does."""

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
        """The largest of the last round's changes, in standard errors."""

    def __enter__(self) -> "Fit":
        try:
            self.rows = sum(self._run(prepare, **self._model))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            left = self._run(forget).failures
        except AlgotoolsError as error:
            left = error
        if left:
            log(f"rows may still be kept at nodes: {left}")

    def ask(self) -> None:
        """Begin a round."""
        self._asked = self._run(derivatives, coefficients=self.coefficients.tolist())

    def step(self) -> None:
        """End it: a step towards the maximum, of a length that the change tells."""
        parts = list(self._asked)
        information = sum(part["information"] for part in parts)
        scale = np.sqrt(np.diag(information))  # predictors of different units would cost digits
        if not scale.all() or np.linalg.matrix_rank(information / np.outer(scale, scale), hermitian=True) < len(scale):
            raise NotIdentified
        covariance = np.linalg.inv(information / np.outer(scale, scale)) / np.outer(scale, scale)
        step = covariance @ sum(part["score"] for part in parts)
        self.standard_errors = np.sqrt(np.diag(covariance))
        self.log_likelihood = sum(part["log_likelihood"] for part in parts)
        self.change = float(np.max(np.abs(step) / self.standard_errors))
        self.coefficients = self.coefficients + step

    def told(self) -> dict[str, Any]:
        return {
            "coefficients": dict(zip(self.names, self.coefficients, strict=True)),
            "standard_errors": dict(zip(self.names, self.standard_errors, strict=True)),
            "log_likelihood": self.log_likelihood,
            "rows": self.rows,
        }

    def _run(self, function: Any, **arguments: Any) -> Any:
        return self._client.run(function, organizations=self._organizations, fit=self._name, **arguments)


def repeat(fits: list[Fit], max_rounds: int) -> int:
    """Rounds until all fits have converged, the fits' rounds at the same time; gives how many they were."""
    for number in range(1, max_rounds + 1):
        for one in fits:
            one.ask()
        for one in fits:
            one.step()
        change = max(one.change for one in fits)
        settled = math.log(change) / math.log(TOLERANCE) if change else 1.0  # the share of the digits that are
        progress(settled, f"round {number}: the coefficients change by {change:.1e} standard errors")
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
    """The model on the rows of all organizations: coefficients, standard errors, log-likelihood, rows and rounds."""
    with Fit(client, organizations, outcome, predictors) as one:
        rounds = repeat([one], max_rounds)
        return {**one.told(), "rounds": rounds}


@master
def likelihood_ratio(
    client: AlgorithmClient,
    outcome: Column,
    predictors: list[Column],
    without: list[Column],
    organizations: list[Organization] | None = None,
    max_rounds: int = 25,
) -> dict[str, Any]:
    """Twice the log of the likelihoods' ratio of a model and of the same without some predictors, fitted side by side."""
    fewer = [predictor for predictor in predictors if predictor not in without]
    with (
        Fit(client, organizations, outcome, predictors) as large,
        Fit(client, organizations, outcome, fewer) as small,
    ):
        repeat([large, small], max_rounds)
        return {
            "ratio": 2 * (large.log_likelihood - small.log_likelihood),
            "large": large.told(),
            "small": small.told(),
        }
