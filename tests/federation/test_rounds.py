"""A master that asks in rounds, of nodes that keep their rows meanwhile: the pooled fit, and nothing is left."""

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

from algotools import Federation, RunInfo, UserError, locate
from algotools.contract.platform import Run
from algotools.errors import Failure, RunsFailed

from ..conftest import ALGORITHMS

ALGORITHM = ALGORITHMS / "newton"
PREDICTORS = ["mean radius", "mean texture", "mean smoothness"]
MODEL: dict[str, Any] = {"outcome": "malignant", "predictors": PREDICTORS}
ALL = [2, 3, 4]


def patients() -> pd.DataFrame:
    """Real patients (Wolberg and others, 1995): 569 tumours, of which 212 are malignant."""
    table = load_breast_cancer(as_frame=True).frame
    return table[PREDICTORS].assign(malignant=1 - table["target"])


PATIENTS = patients()


def split(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Unevenly over three organizations."""
    return [table.iloc[:60], table.iloc[60:200], table.iloc[200:]]


def pooled(predictors: list[str]) -> Any:
    """The fit of all patients together."""
    model = statsmodels.Logit(PATIENTS["malignant"], statsmodels.add_constant(PATIENTS[predictors]))
    return model.fit(method="newton", maxiter=100, tol=1e-14, disp=False)


class Hospitals(NamedTuple):
    """A federation, and where its nodes keep what."""

    federation: Federation
    files: list[Path]
    said: list[str]
    on_line: list[Callable[[Run, str], object]]

    def kept(self) -> list[Path]:
        """What the nodes keep of any fit."""
        return [path for path in self.federation._folder.rglob("*") if path.name.startswith("newton-")]

    def run(self, method: str, **arguments: Any) -> Any:
        """A master's answer, sent to the second hospital."""
        [answer] = self.federation.run(method, at=[3], arguments={"organizations": ALL, **MODEL, **arguments})
        return answer

    def failure(self, method: str, **arguments: Any) -> Failure:
        """Why it fails."""
        with pytest.raises(RunsFailed) as failed:
            self.run(method, **arguments)
        return failed.value.failures[3]


@pytest.fixture
def hospitals(way: tuple[Any, str], tmp_path: Path) -> Iterator[Hospitals]:
    """Three hospitals, by a runner and a generation."""
    files = [tmp_path / f"hospital{number}.csv" for number in range(3)]
    for file, table in zip(files, split(PATIENTS), strict=True):
        table.to_csv(file, index=False)
    said: list[str] = []
    on_line: list[Callable[[Run, str], object]] = []

    def listen(run: Run, line: str) -> None:
        said.append(line)
        for tell in on_line:
            tell(run, line)

    runner, contract = way
    with Federation(files, algorithm=ALGORITHM, runner=runner, contract=contract, listen=listen) as made:
        yield Hospitals(made, files, said, on_line)


all_ways = pytest.mark.parametrize(
    "way", [(r, c) for r in ("inline", "process") for c in ("v3", "v4", "v5")], ids="-".join
)
few_ways = pytest.mark.parametrize("way", [("inline", "v3"), ("process", "v4"), ("inline", "v5")], ids="-".join)
"""Every runner and every generation, but not each with each."""


def equals_pooled(found: dict[str, Any], predictors: list[str]) -> None:
    expected = pooled(predictors)
    assert list(found["coefficients"]) == ["intercept", *predictors]
    np.testing.assert_allclose(list(found["coefficients"].values()), expected.params, rtol=1e-8)
    np.testing.assert_allclose(list(found["standard_errors"].values()), expected.bse, rtol=1e-8)
    np.testing.assert_allclose(found["log_likelihood"], expected.llf, rtol=1e-8)
    assert found["rows"] == len(PATIENTS)


@all_ways
def test_the_fit_is_that_of_the_pooled_patients(hospitals: Hospitals) -> None:
    """The nodes' databases are of no use after the first round: the rows come from what the nodes have kept."""
    seen: list[list[Path]] = []

    def after_the_first_round(_run: Run, line: str) -> None:
        if "round 1:" in line:
            seen.append(hospitals.kept())
            for path in (*hospitals.files, *hospitals.federation._folder.rglob("default.parquet")):
                path.write_text("gone")

    hospitals.on_line.append(after_the_first_round)
    found = hospitals.run("fit")

    equals_pooled(found, PREDICTORS)
    assert [len(files) for files in seen] == [3]
    told = [line for line in hospitals.said if line.startswith("progress > ")]
    assert len(told) == found["rounds"] > 3
    assert told[0].startswith("progress > 0% round 1: the coefficients change by ")
    assert told[-1].startswith("progress > 100% round ")
    [master] = [task for task in hospitals.federation.client().task.list()["data"] if task["parent"] is None]
    log = hospitals.federation.task(master["id"]).runs[0].log
    assert [line for line in log.splitlines() if line.startswith("progress > ")] == told
    assert hospitals.kept() == []


@all_ways
def test_two_fits_at_the_same_time_do_not_mix(hospitals: Hospitals) -> None:
    most: list[int] = []
    hospitals.on_line.append(lambda _run, line: most.append(len(hospitals.kept())) if "round 2:" in line else None)
    found = hospitals.run("likelihood_ratio", without=["mean texture"])

    equals_pooled(found["large"], PREDICTORS)
    equals_pooled(found["small"], ["mean radius", "mean smoothness"])
    expected = 2 * (pooled(PREDICTORS).llf - pooled(["mean radius", "mean smoothness"]).llf)
    assert found["ratio"] == pytest.approx(expected, rel=1e-8)
    assert most == [6]
    assert hospitals.kept() == []


@few_ways
def test_a_master_that_fails_leaves_no_rows_behind(hospitals: Hospitals) -> None:
    failure = hospitals.failure("fit", max_rounds=2)
    assert (failure.exit_code, "no convergence within 2 rounds" in failure.message) == (41, True)
    assert "round 2:" in "".join(hospitals.said)
    assert hospitals.kept() == []


@few_ways
def test_a_node_that_refuses_is_named_and_the_others_keep_nothing(hospitals: Hospitals) -> None:
    split(PATIENTS)[0].head(9).to_csv(hospitals.files[0], index=False)
    failure = hospitals.failure("fit")
    assert failure.exit_code == 52
    assert "organization_2 (id 2): crashed: fewer than 10 rows are complete [exit code 41]" in failure.message
    assert hospitals.kept() == []


@few_ways
def test_a_node_without_rows_of_the_fit_says_so(hospitals: Hospitals) -> None:
    with pytest.raises(RunsFailed, match="this node has kept no rows for this fit") as failed:
        hospitals.federation.run("derivatives", at=[2], fit="0" * 32, coefficients=[0.0] * 4)
    assert failed.value.failures[2].exit_code == 41
    assert hospitals.federation.run("forget", at=[2], fit="0" * 32) == [False]


@few_ways
def test_rows_are_kept_for_the_nodes_own_user_alone_and_nowhere_else(hospitals: Hospitals) -> None:
    arguments = {"outcome": "malignant", "predictors": PREDICTORS}
    assert hospitals.federation.run("prepare", fit="1" * 32, arguments=arguments) == [60, 140, 369]
    assert [os.stat(path).st_mode & 0o777 for path in hospitals.kept()] == [0o600] * 3
    with pytest.raises(RunsFailed, match="fit: "):
        hospitals.federation.run("prepare", fit="../" * 10 + "0" * 2, arguments=arguments)


def test_a_node_that_lends_no_folder_says_so() -> None:
    forget = locate.load(locate.locate(ALGORITHM)).functions["forget"]
    info = RunInfo(task_id=1, node_id=1, organization_id=2, collaboration_id=1, temporary_folder=None, variables={})
    with pytest.raises(UserError, match="this node lends no temporary folder"):
        forget(fit="0" * 32, info=info)
