"""Numbers with evidence at nodes of all generations, and what a master and a researcher learn of withheld cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest

from algotools import Federation, RunsFailed

from ..conftest import ALGORITHMS, default_policy

FRAMES = {
    "north": pd.DataFrame({"group": list("aaaaaaabbbcd"), "age": [40.5 + i for i in range(12)]}),
    "south": pd.DataFrame({"group": list("aaaabbbbcccc"), "age": [50.5 + i for i in range(12)]}),
    "west": pd.DataFrame({"group": list("aaaaabbbbccd"), "age": [60.5 + i for i in range(12)]}),
}

FEW = "represents fewer than 3 records (rule threshold); merge small groups, or leave them out"
UNDECLARED = (
    "has a number without evidence, which this node requires (rule undeclared); use algotools.aggregate, "
    "or aggregate.derive for computed numbers, see docs/concepts/gate.md#undeclared"
)

Make = Callable[..., Federation]


@pytest.fixture(params=[("process", "v3"), ("process", "v4"), ("inline", "v5")], ids="-".join)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Make a federation of three nodes with twelve rows each."""
    runner, contract = request.param
    opened: list[Federation] = []

    def make(**options: Any) -> Federation:
        with default_policy():
            federation = Federation(
                FRAMES, algorithm=ALGORITHMS / "reduces", runner=runner, contract=contract, **options
            )
        opened.append(federation)
        return federation

    yield make
    for federation in opened:
        federation.close()


def refuse(federation: Federation, function: str, **arguments: object) -> list[str]:
    """Return the reason of the failed run of each organization."""
    with pytest.raises(RunsFailed) as raised:
        federation.run(function, **arguments)
    assert {failure.exit_code for failure in raised.value.failures.values()} == {54}
    return [failure.message for failure in raised.value.failures.values()]


def test_a_master_and_a_researcher_learn_how_many_cells_are_withheld(make: Make) -> None:
    nodes = make()
    result = nodes.ask("frequencies_everywhere", column="group")
    assert result["total"] == {"a": 16.0, "b": 11.0, "c": 4.0, "d": 0.0}
    assert result["withheld"] == {"2": 2, "4": 2}
    logs = [run.log for task in (1, 2) for run in nodes.task(task).runs]
    assert sum("info > 2 organizations withheld 4 cells with fewer than 3 records" in log for log in logs) == 1
    assert sum("info > 2 cells with fewer than 3 records are withheld" in log for log in logs) == 2


def test_plain_results_have_null_and_a_line_in_the_log(make: Make) -> None:
    nodes = make()
    results = nodes.run("frequencies", column="group")
    assert results[1] == {"a": 4, "b": 4, "c": 4, "d": 0}
    assert results[0] == {"a": 7, "b": 3, "c": None, "d": None}
    lines = [run.log for run in nodes.task(1).runs]
    assert ["cells with fewer" in line for line in lines] == [True, False, True]
    assert nodes.run("frequencies_of_present", column="group")[0] == {"a": 7, "b": 3}


def test_cells_are_rounded_or_refused_as_the_owner_says(make: Make) -> None:
    rounded = make(policy={"small_cells": "round"})
    assert rounded.run("frequencies", column="group")[0] == {"a": 5, "b": 5, "c": 0, "d": 0}
    assert "2 cells with fewer than 3 records are rounded to a multiple of 5" in rounded.task(1).runs[0].log
    messages = refuse(make(policy={"small_cells": "refuse"}), "frequencies", column="group")
    assert messages == [f"frequencies: result withheld: result['c'] {FEW}"] * 2


def test_numbers_of_few_records_are_refused(make: Make) -> None:
    nodes = make()
    assert nodes.run("sum_above", column="age", limit=47.0)[0] == {"sum": 247.5, "count": 5}
    messages = refuse(nodes, "sum_above", column="age", limit=49.5)
    assert messages == [f"sum_above: result withheld: result['sum'] {FEW}"]
    messages = refuse(nodes, "sums_with_and_without", column="age", limit=50.5)
    assert messages[0].endswith(
        "result['all'] and result['without'] differ by fewer than 3 records (rule difference); return only one of them"
    )


def test_numbers_without_evidence_are_refused_by_an_owner_who_requires_it(make: Make) -> None:
    nodes = make(policy={"undeclared": "refuse"})
    assert nodes.run("sum_above", column="age", limit=47.0)[0] == {"sum": 247.5, "count": 5}
    messages = refuse(nodes, "plain_sum", column="age")
    assert set(messages) == {f"plain_sum: result withheld: result['sum'] {UNDECLARED}"}


def test_a_value_that_cannot_be_reduced_is_explained_to_the_researcher(make: Make) -> None:
    with pytest.raises(RunsFailed) as raised:
        make().run("sum_of_first", column="age")
    assert {failure.exit_code for failure in raised.value.failures.values()} == {58}
    for failure in raised.value.failures.values():
        assert "the value of aggregate.sum in line" in failure.message
        assert "not rows; aggregate.declare" in failure.message


def test_the_preset_strict_lets_numbers_of_enough_records_pass(make: Make) -> None:
    nodes = make(policy={"preset": "strict", "key": "k" * 32})
    assert nodes.run("sum_above", column="age", limit=40.0)[0] == {"sum": 552.0, "count": 12}
    assert nodes.ask("mean_above", column="age", limit=40.0) == pytest.approx(56.0)
    assert (
        "represents fewer than 10 records (rule threshold)" in refuse(nodes, "sum_above", column="age", limit=47.0)[0]
    )
    assert UNDECLARED in refuse(nodes, "plain_sum", column="age")[0]


def test_totals_of_a_pooled_function_have_evidence(make: Make) -> None:
    nodes = make(policy={"undeclared": "refuse", "minimum_cell": 5})
    assert nodes.ask("mean_above", column="age", limit=40.0) == pytest.approx(56.0)
    with pytest.raises(RunsFailed, match=r"the sum in line \d+ represents fewer than 5 records \(rule threshold\)"):
        nodes.ask("mean_above", column="age", limit=49.0)
    with pytest.raises(RunsFailed, match=r"the add in line \d+ has a number without evidence.*; state records="):
        nodes.ask("bare_sum", column="age")
    assert make().ask("bare_sum", column="age") == pytest.approx(sum(frame["age"].sum() for frame in FRAMES.values()))
