"""The organizations whose data are in a result, and the warning about those that are missing."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest

from algotools import (
    AlgorithmClient,
    Federation,
    Organization,
    RunsFailed,
    RunsIncomplete,
    UserError,
    master,
)
from algotools import rpc as declare_rpc
from algotools.errors import FederationError
from algotools.federation import Dead, Slow

from .pooled_nodes import fail_in_round

FRAMES = [pd.DataFrame({"x": range(rows)}) for rows in (5, 2, 7)]
"""The node of organization 3 has too few rows."""

on_each_contract = pytest.mark.parametrize("contract", ["v3", "v4", "v5"])


class TooFewRows(UserError):
    text = "fewer than {minimum} rows"
    minimum: int


@declare_rpc
def count_enough(data: pd.DataFrame, minimum: int = 3) -> int:
    if len(data) < minimum:
        raise TooFewRows(minimum=minimum)
    return len(data)


@master
def sum_of_counts(client: AlgorithmClient, organizations: list[Organization] | None = None) -> int:
    return sum(client.run(count_enough, organizations=organizations, quorum=1, grace=0.3))


@master
def total_of_two(client: AlgorithmClient) -> int:
    """Ask only two organizations, although the task names three."""
    return sum(client.run(count_enough, organizations=client.recipients[::2]))


@master
def total_with_platform_calls(client: AlgorithmClient) -> int:
    """Drop failed organizations as the algorithms of v4 do: with the platform's calls, and a time limit of its own."""
    ids = [organization["id"] for organization in client.organization.list()]
    task = client.task.create(input_={"method": "count_enough", "kwargs": {}}, organizations=ids)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        runs = client.run.from_task(task["id"])
        if sum(run["status"] not in ("pending", "initializing", "active") for run in runs) >= 2:
            break
        time.sleep(0.05)
    return sum(client.wait_for_results(task["id"], quorum=1, grace=0.05))


@master
def total_with_retry(client: AlgorithmClient) -> int:
    """Send the same request to the failed organizations again."""
    results = client.run(count_enough, quorum=1, wait_for_all=True)
    results = [*results, *(client.run(count_enough, organizations=list(results.failures)) if results.failures else [])]
    return sum(results)


@master
def total_at_once(client: AlgorithmClient) -> int:
    """Fail at the first failure, without waiting for the other nodes."""
    return sum(client.run(count_enough, quorum=3))


@master
def names(client: AlgorithmClient) -> list[str]:
    return [organization["name"] for organization in client.organization.list()]


@master
def total_with_other_arguments(client: AlgorithmClient) -> int:
    """Ask the organizations that failed again, with another argument."""
    results = client.run(count_enough, quorum=1, wait_for_all=True)
    return sum([*results, *client.run(count_enough, organizations=list(results.failures), minimum=1)])


@master
def quantiles_of_two(client: AlgorithmClient, quantiles: list[int]) -> int:
    """Ask only the organizations 2 and 3. The argument has nothing to do with organizations."""
    return len(quantiles) + sum(client.run(count_enough, organizations=[2, 3], minimum=1))


ALGORITHM = [
    total_with_other_arguments,
    quantiles_of_two,
    count_enough,
    sum_of_counts,
    total_of_two,
    total_with_retry,
    names,
]


@pytest.fixture
def make() -> Iterator[Callable[..., Federation]]:
    federations: list[Federation] = []

    def make(frames: list[pd.DataFrame] = FRAMES, algorithm: Any = ALGORITHM, **options: Any) -> Federation:
        federations.append(Federation(frames, algorithm=algorithm, **options))
        return federations[-1]

    yield make
    for federation in federations:
        federation.close()


Make = Callable[..., Federation]


def ask(federation: Federation, function: Any, **arguments: Any) -> Any:
    """Ask a master without the warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsIncomplete)
        return federation.ask(function, **arguments)


@on_each_contract
def test_a_node_that_failed_in_a_subtask_is_missing(make: Make, contract: str) -> None:
    federation = make(contract=contract)
    with pytest.warns(RunsIncomplete, match="organization_3 failed: fewer than 3 rows") as warned:
        assert federation.ask(sum_of_counts) == 12
    assert warned[0].filename == __file__
    completeness = federation.completeness(1)
    assert completeness.expected == (2, 3, 4)
    assert completeness.contributed == (2, 4)
    [(organization, failure)] = completeness.missing.items()
    assert (organization, failure.exit_code) == (3, 41)
    assert completeness.describe(federation.organizations()) == (
        "incomplete: 2 of 3 organizations; organization_3 failed: fewer than 3 rows [exit code 41]"
    )


@pytest.mark.parametrize("call", ["run", "ask"])
def test_all_organizations_can_be_required(make: Make, call: str) -> None:
    federation = make()
    with pytest.raises(RunsIncomplete, match="organization_3 failed") as raised:
        getattr(federation, call)(sum_of_counts, require_all=True)
    assert raised.value.exit_code == 69
    assert list(raised.value.missing) == [3]
    assert make([FRAMES[0], FRAMES[2]]).ask(sum_of_counts, require_all=True) == 12


@on_each_contract
def test_a_dead_and_a_slow_node_are_missing(make: Make, contract: str) -> None:
    federation = make([FRAMES[0]] * 3, contract=contract, faults={3: Dead(), 4: Slow(1.5)})
    assert ask(federation, sum_of_counts) == 5
    completeness = federation.completeness(1)
    assert completeness.contributed == (2,)
    messages = [failure.message for failure in completeness.missing.values() if failure]
    assert ["offline" in message for message in messages] == [True, False]


def test_the_reasons_of_a_failed_master_are_the_failures_that_happened(make: Make) -> None:
    federation = make(faults={4: Slow(1.5)}, algorithm=[count_enough, total_at_once])
    with pytest.raises(RunsFailed):
        federation.ask(total_at_once)
    codes = {id_: failure.exit_code for id_, failure in federation.completeness(1).missing.items() if failure}
    assert codes == {2: 52, 3: 41, 4: 52}


def test_a_master_that_drops_failures_with_the_calls_of_the_platform(make: Make) -> None:
    federation = make(algorithm=[count_enough, total_with_platform_calls])
    assert ask(federation, total_with_platform_calls) == 12
    assert list(federation.completeness(1).missing) == [3]


def test_organizations_that_an_argument_names_are_the_ones_that_are_wanted(make: Make) -> None:
    federation = make()
    assert federation.ask(sum_of_counts, organizations=[2, 4], require_all=True) == 12
    assert federation.completeness(1).expected == (2, 4)
    with pytest.warns(RunsIncomplete, match="incomplete: 1 of 2 organizations; organization_3 failed"):
        federation.ask(sum_of_counts, organizations=[2, 3])


def test_an_organization_that_the_master_did_not_ask_is_missing(make: Make) -> None:
    federation = make([FRAMES[0]] * 3)
    with pytest.warns(RunsIncomplete, match="incomplete: 2 of 3 organizations; organization_3 not asked"):
        federation.ask(total_of_two)
    assert federation.completeness(1).missing == {3: None}


def test_a_task_for_one_organization_only_selects_the_node_of_the_master(make: Make) -> None:
    federation = make([FRAMES[0]] * 3)
    assert federation.run(sum_of_counts, at=3, organizations=[2, 4], require_all=True) == [10]
    assert federation.completeness(1).expected == (2, 4)


def test_a_request_that_is_sent_again_with_success_is_complete(make: Make) -> None:
    fails_once = fail_in_round(1)
    federation = make([FRAMES[0]] * 3, faults={3: fails_once})
    assert federation.ask(total_with_retry, require_all=True) == 15
    assert [run.status for task in federation.subtasks(1) for run in task.runs].count("crashed") == 1


def test_a_master_without_subtasks_is_complete(make: Make) -> None:
    assert make().ask(names, require_all=True) == ["organization_2", "organization_3", "organization_4"]


def test_the_results_of_an_rpc_and_a_failed_task(make: Make) -> None:
    federation = make()
    with pytest.raises(RunsFailed):
        federation.run(count_enough)
    assert list(federation.completeness(1).missing) == [3]
    assert federation.run(count_enough, at=[2, 4]) == [5, 7]
    assert federation.completeness(2).is_complete
    with pytest.raises(FederationError, match="unknown task 9"):
        federation.completeness(9)


@on_each_contract
def test_a_failure_that_the_master_repairs_with_another_request_is_complete(make: Make, contract: str) -> None:
    assert make(contract=contract).ask(total_with_other_arguments, require_all=True) == 14


@on_each_contract
def test_a_list_that_equals_the_asked_organizations_by_chance_is_no_choice(make: Make, contract: str) -> None:
    with pytest.warns(RunsIncomplete, match="organization_4 not asked"):
        make(contract=contract).ask(quantiles_of_two, quantiles=[2, 3])
