"""Series of tasks that disclose a record together, at a node with a ledger."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from algotools import Federation, RunsFailed
from algotools.disclosure.ledger import read_entries

from ..conftest import ALGORITHMS
from .cases import Arguments
from .cheats.differencing import CHEATS
from .nodes import read_table

BY_NAME = {cheat.name: cheat for cheat in CHEATS}


PORTED = ALGORITHMS / "cheats_with_evidence"
"""The functions of the cheats with the reductions of ``aggregate``."""


def run_task(federation: Federation, method: str, arguments: Arguments) -> str:
    """Return the text of the failure; empty for a result that left."""
    # The costs of few patients dominate a sum of costs, which another rule refuses.
    column = "height" if arguments["column"] == "cost" else arguments["column"]
    try:
        federation.run(method, **{**arguments, "column": column})
    except RunsFailed as error:
        return str(error)
    return ""


def run_tasks(federation: Federation, method: str, tasks: list[Arguments]) -> list[str]:
    return [run_task(federation, method, arguments) for arguments in tasks]


@pytest.mark.parametrize("table", ["patients_21", "patients_70"])
@pytest.mark.parametrize("name", ["limit_twice", "exclusion_twice", "bisection_of_largest", "folds_of_one"])
def test_a_ledger_finds_differences_of_few_records(tmp_path: Path, name: str, table: str) -> None:
    cheat = BY_NAME[name]
    tasks = cheat.list_tasks(table)
    with Federation([read_table(table)], algorithm=PORTED, policy={"ledger": str(tmp_path)}) as federation:
        failures = run_tasks(federation, cheat.method, tasks)
    first = next((i for i, failure in enumerate(failures) if "rule ledger" in failure), None)
    assert first is not None, failures
    assert first > 0, "the first task is no difference"
    verdicts = [entry.verdict for entry in read_entries(tmp_path / "ledger.jsonl")]
    assert verdicts == ["withheld" if failure else "left" for failure in failures]


def test_a_ledger_does_not_find_random_halves(tmp_path: Path) -> None:
    """Sums of many different sets can be solved for each record. Only a limit on the number of tasks helps."""
    tasks = BY_NAME["random_halves"].list_tasks("patients_70")[:40]
    with Federation([read_table("patients_70")], algorithm=PORTED, policy={"ledger": str(tmp_path)}) as federation:
        assert set(run_tasks(federation, "sum_of_half", tasks)) == {""}


@pytest.mark.parametrize("table", ["patients_21", "patients_70", "patients_242"])
def test_an_analysis_that_is_refined_step_by_step_may_continue(tmp_path: Path, table: str) -> None:
    """The same rows again, and limits with enough records in between."""
    frame = read_table(table)
    limits = np.quantile(frame["days"], [1.0, 0.75, 0.5]).tolist()
    tasks: list[Arguments] = [{"column": "height", "by": "days", "limit": limit} for limit in [*limits, *limits]]
    with Federation([frame], algorithm=PORTED, policy={"ledger": str(tmp_path)}) as federation:
        assert set(run_tasks(federation, "sum_up_to", tasks)) == {""}


@pytest.mark.parametrize("table", ["patients_70", "patients_242"])
@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("limit_twice", "cheats"),
        ("limit_twice_of_polars", "cheats"),
        ("exclusion_twice", "cheats"),
        ("sql_twice", "cheats"),
    ],
)
def test_a_ledger_with_probing_finds_differences_of_unknown_rows(
    tmp_path: Path, name: str, algorithm: str, table: str
) -> None:
    cheat = BY_NAME[name]
    policy = {"ledger": str(tmp_path), "undeclared": "probe"}
    with Federation([read_table(table)], algorithm=ALGORITHMS / algorithm, policy=policy) as federation:
        failures = run_tasks(federation, cheat.method, cheat.list_tasks(table))
    assert failures[0] == ""
    assert "(rule earlier)" in failures[-1]
    first, last = read_entries(tmp_path / "ledger.jsonl")
    assert first.fingerprints
    assert [(refusal.rule, refusal.earlier) for refusal in last.refusals] == [("earlier", 1)]


def test_honest_tasks_of_plain_functions_are_not_refused_because_of_earlier_ones(tmp_path: Path) -> None:
    frame = read_table("patients_242")
    limits = np.quantile(frame["days"], [1.0, 0.75, 0.5]).tolist()
    policy = {"ledger": str(tmp_path), "undeclared": "probe"}
    tasks: list[Arguments] = [
        {"column": column, "by": "days", "limit": limit}
        for column in ("height", "weight")
        for limit in [*limits, *limits]
    ]
    with Federation([frame], algorithm=ALGORITHMS / "cheats", policy=policy) as federation:
        assert set(run_tasks(federation, "sum_up_to", tasks)) == {""}
