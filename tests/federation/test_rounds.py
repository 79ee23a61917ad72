"""An iterative master whose nodes keep their rows between rounds gives the pooled fit, and no rows remain."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as statsmodels
from sklearn.datasets import load_breast_cancer

from algotools import Federation
from algotools.errors import ArgumentsError, Failure, RunsFailed
from algotools.federation.contract.rest import RunRecord

from ..conftest import ALGORITHMS

ALGORITHM = ALGORITHMS / "newton"
PREDICTORS = ["mean radius", "mean texture", "mean smoothness"]
MODEL: dict[str, Any] = {"outcome": "malignant", "predictors": PREDICTORS}
ALL = [2, 3, 4]


def load_patients() -> pd.DataFrame:
    """Return real patients (Wolberg and others, 1995): 569 tumours, of which 212 are malignant."""
    table = load_breast_cancer(as_frame=True).frame
    return table[PREDICTORS].assign(malignant=1 - table["target"])


PATIENTS = load_patients()


def split_rows(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Split a table unevenly over three organizations."""
    return [table.iloc[:60], table.iloc[60:200], table.iloc[200:]]


def fit_pooled(predictors: list[str]) -> Any:
    """Return the fit of the pooled patients."""
    model = statsmodels.Logit(PATIENTS["malignant"], statsmodels.add_constant(PATIENTS[predictors]))
    return model.fit(method="newton", maxiter=100, tol=1e-10, disp=False)


class Hospitals(NamedTuple):
    """A federation with the files of its nodes, the lines of its logs, and listeners for the lines."""

    federation: Federation
    files: list[Path]
    lines: list[str]
    listeners: list[Callable[[RunRecord, str], object]]

    def list_kept_files(self) -> list[Path]:
        """Return the files that the nodes keep for any fit."""
        return [path for path in self.federation._platform.folders.base.rglob("*") if path.name.startswith("newton-")]

    def run(self, method: str, **arguments: Any) -> Any:
        """Run a master at the second hospital, and return its result."""
        [answer] = self.federation.run(method, at=[3], arguments={"organizations": ALL, **MODEL, **arguments})
        return answer

    def failure(self, method: str, **arguments: Any) -> Failure:
        """Run a master at the second hospital, and return its failure."""
        with pytest.raises(RunsFailed) as failed:
            self.run(method, **arguments)
        return failed.value.failures[3]


@pytest.fixture
def way(request: pytest.FixtureRequest) -> tuple[Any, str]:
    """The runner and the generation. Each process of a run reads the files of earlier runs."""
    return getattr(request, "param", ("process", "v4"))


@pytest.fixture
def hospitals(way: tuple[Any, str], tmp_path: Path) -> Iterator[Hospitals]:
    """Three hospitals with a runner and a generation."""
    files = [tmp_path / f"hospital{number}.csv" for number in range(3)]
    for file, table in zip(files, split_rows(PATIENTS), strict=True):
        table.to_csv(file, index=False)
    lines: list[str] = []
    listeners: list[Callable[[RunRecord, str], object]] = []

    def listen(run: RunRecord, line: str) -> None:
        lines.append(line)
        for tell in listeners:
            tell(run, line)

    runner, contract = way
    with Federation(files, algorithm=ALGORITHM, runner=runner, contract=contract, listen=listen) as federation:
        yield Hospitals(federation, files, lines, listeners)


# Nodes of v3 and v4 read their database; nodes of v5 read a table of a session.
each_way = pytest.mark.parametrize("way", [("process", "v4"), ("inline", "v5")], ids="-".join, indirect=True)


def check_equals_pooled(fit: dict[str, Any], predictors: list[str]) -> None:
    expected = fit_pooled(predictors)
    assert list(fit["coefficients"]) == ["intercept", *predictors]
    np.testing.assert_allclose(list(fit["coefficients"].values()), expected.params, rtol=1e-8)
    np.testing.assert_allclose(list(fit["standard_errors"].values()), expected.bse, rtol=1e-8)
    np.testing.assert_allclose(fit["log_likelihood"], expected.llf, rtol=1e-8)
    assert fit["rows"] == len(PATIENTS)


@each_way
def test_the_fit_equals_the_pooled_fit(hospitals: Hospitals) -> None:
    """The databases are overwritten after the first round, so the rows must come from the files that the nodes keep."""
    kept_files: list[list[Path]] = []

    def after_the_first_round(_run: RunRecord, line: str) -> None:
        if "round 1:" in line:
            kept_files.append(hospitals.list_kept_files())
            for path in (*hospitals.files, *hospitals.federation._platform.folders.base.rglob("default.parquet")):
                path.write_text("gone")

    hospitals.listeners.append(after_the_first_round)
    fit = hospitals.run("fit")

    check_equals_pooled(fit, PREDICTORS)
    assert [len(files) for files in kept_files] == [3]
    progress_lines = [line for line in hospitals.lines if line.startswith("progress > ")]
    assert len(progress_lines) == fit["rounds"] > 3
    assert progress_lines[0].startswith("progress > 0% round 1: the coefficients change by ")
    assert progress_lines[-1].startswith("progress > 100% round ")
    [master] = [task for task in hospitals.federation.client().task.list()["data"] if task["parent"] is None]
    log = hospitals.federation.task(master["id"]).runs[0].log
    assert [line for line in log.splitlines() if line.startswith("progress > ")] == progress_lines
    assert hospitals.list_kept_files() == []


@each_way
def test_two_fits_at_the_same_time_do_not_mix(hospitals: Hospitals) -> None:
    counts: list[int] = []
    hospitals.listeners.append(
        lambda _run, line: counts.append(len(hospitals.list_kept_files())) if "round 2:" in line else None
    )
    result = hospitals.run("likelihood_ratio", without=["mean texture"])

    check_equals_pooled(result["large"], PREDICTORS)
    check_equals_pooled(result["small"], ["mean radius", "mean smoothness"])
    expected = 2 * (fit_pooled(PREDICTORS).llf - fit_pooled(["mean radius", "mean smoothness"]).llf)
    assert result["ratio"] == pytest.approx(expected, rel=1e-8)
    assert counts == [6]
    assert hospitals.list_kept_files() == []


def test_a_master_that_fails_leaves_no_rows(hospitals: Hospitals) -> None:
    failure = hospitals.failure("fit", max_rounds=2)
    assert (failure.exit_code, "no convergence within 2 rounds" in failure.message) == (41, True)
    assert "round 2:" in "".join(hospitals.lines)
    assert hospitals.list_kept_files() == []


def test_a_failing_node_is_named_and_the_others_keep_no_rows(hospitals: Hospitals) -> None:
    split_rows(PATIENTS)[0].head(9).to_csv(hospitals.files[0], index=False)
    failure = hospitals.failure("fit")
    assert failure.exit_code == 52
    assert "organization_2 (id 2): crashed: fewer than 10 rows are complete [exit code 41]" in failure.message
    assert hospitals.list_kept_files() == []


def test_a_node_without_rows_for_the_fit_reports_it(hospitals: Hospitals) -> None:
    with pytest.raises(RunsFailed, match="this node has no rows for this fit") as failed:
        hospitals.federation.run("derivatives", at=[2], fit="0" * 32, coefficients=[0.0] * 4)
    assert failed.value.failures[2].exit_code == 41
    assert hospitals.federation.run("forget", at=[2], fit="0" * 32) == [False]


def test_kept_rows_are_private_and_only_in_the_temporary_folder(hospitals: Hospitals) -> None:
    arguments = {"outcome": "malignant", "predictors": PREDICTORS}
    assert hospitals.federation.run("prepare", fit="1" * 32, arguments=arguments) == [60, 140, 369]
    assert [os.stat(path).st_mode & 0o777 for path in hospitals.list_kept_files()] == [0o600] * 3
    with pytest.raises(ArgumentsError, match="fit: "):
        hospitals.federation.run("prepare", fit="../" * 10 + "0" * 2, arguments=arguments)
