"""Pooled functions on the platform: nodes that fail, lose results or change their data in the middle of rounds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from algotools import Federation
from algotools.errors import Failure, RunsFailed, RunsIncomplete
from algotools.federation import Dead, Loses, Polls, Slow, Wrong
from algotools.runtime.client import _results, _runs
from algotools.runtime.logs import read_failure

from ..processes import LIMIT, wait_until
from .pooled_nodes import (
    COLUMN,
    FRAMES,
    IN_ROUNDS,
    compute_trimmed_mean,
    count_lines,
    die_after,
    fail_in_round,
    lose_result,
)

LONG = 3600.0

Make = Callable[..., Federation]


@pytest.fixture
def lines() -> list[str]:
    """The lines of all logs, in their order."""
    return []


@pytest.fixture
def make(request: pytest.FixtureRequest, lines: list[str]) -> Make:
    """Make a federation of four nodes; it is closed after the test."""

    def make(nodes: Any = FRAMES, **options: Any) -> Federation:
        listen = options.pop("listen", lambda _run, line: lines.append(line))
        federation = Federation(nodes, **{"algorithm": IN_ROUNDS, "listen": listen, **options})
        request.addfinalizer(federation.close)
        return federation

    return make


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a master that runs in this process give up early on a lost result or an offline node."""
    monkeypatch.setattr(_results, "OFFLINE_LIMIT", 0.5)
    monkeypatch.setattr(_results, "FIRST_FULL_CHECK", 0.2)
    monkeypatch.setattr(_runs, "LOSS_TIME", 1.0)
    monkeypatch.setattr(_runs, "LOSS_FACTOR", 1.5)


def ask(federation: Federation, method: str = "trimmed_mean", **call: Any) -> Any:
    return federation.ask(method, **{"timeout": LIMIT, **COLUMN, **call})


def fail(federation: Federation, method: str = "trimmed_mean", **call: Any) -> Failure:
    """Return the failure of a master."""
    with pytest.raises(RunsFailed) as raised:
        ask(federation, method, **call)
    [failure] = raised.value.failures.values()
    return failure


# Without faults


@pytest.mark.parametrize(
    "way", [("process", "v3"), ("inline", "v4"), ("process", "v4"), ("inline", "v5")], ids="-".join
)
def test_the_result_is_that_of_one_table(make: Make, lines: list[str], way: tuple[str, str]) -> None:
    federation = make(runner=way[0], contract=way[1])
    assert ask(federation) == compute_trimmed_mean(FRAMES)
    assert [len(task.runs) for task in federation.subtasks(1)] == [4, 4, 4]
    wait_until(lambda: "info > round 3: 2 totals" in lines)
    assert [line for line in lines if "totals" in line or "total" in line.split()] == [
        "info > round 1: 2 totals",
        "info > round 2: 1 total",
        "info > round 3: 2 totals",
    ]


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_each_node_logs_each_line_once_and_the_master_none(make: Make, runner: str) -> None:
    federation = make(runner=runner)
    ask(federation, at=[3, 2, 4, 5])
    for line in ("info > the mean is known", "info > the standard deviation is known"):
        assert count_lines(federation, line) == {2: 1, 3: 1, 4: 1, 5: 1}
    master_run = federation.task(1).runs[0]
    assert "is known" not in master_run.log


def test_the_organizations_are_those_of_the_task_or_of_an_argument(make: Make) -> None:
    federation = make()
    assert ask(federation, at=[2, 3, 5]) == compute_trimmed_mean([FRAMES[0], FRAMES[1], FRAMES[3]])
    assert ask(federation, at=3, organizations=[3, 4, 5]) == compute_trimmed_mean(FRAMES[1:])


@pytest.mark.parametrize("call", [{"at": [2, 3]}, {"organizations": [2, 5]}, {"organizations": [2, 2, 2, 3]}])
def test_too_few_organizations_are_refused_before_anything_is_sent(make: Make, call: dict[str, Any]) -> None:
    federation = make()
    failure = fail(federation, **call)
    assert failure.exit_code == 58
    assert "the task has 2 organizations, but totals need at least 3 (minimum_organizations=3)" in failure.message
    assert federation.subtasks(1) == []


def test_the_checksums_between_rounds_are_private_and_removed_with_the_federation(make: Make) -> None:
    federation = make()
    ask(federation)
    base = federation._platform.folders.base
    # A node does not know that the round was the last one.
    assert [path.stat().st_mode & 0o777 for path in base.rglob(".algotools-*")] == [0o600] * 4
    federation.close()
    assert not base.exists()


# A node that fails


@pytest.mark.parametrize("runner", ["inline", "process"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_failure_in_any_round_without_a_quorum_ends_the_task(make: Make, runner: str, number: int) -> None:
    federation = make(runner=runner, faults={4: fail_in_round(number)})
    failure = fail(federation)
    assert failure.exit_code == 52
    assert "organization_4 (id 4): crashed: ValueError, raised by the fault Wrong of its node" in failure.message
    assert len(federation.subtasks(1)) == number


@pytest.mark.parametrize("way", [("process", "v3"), ("inline", "v4"), ("inline", "v5")], ids="-".join)
@pytest.mark.parametrize("number", [1, 3])
def test_a_failure_with_a_quorum_starts_again_without_the_node(
    make: Make, lines: list[str], way: tuple[str, str], number: int
) -> None:
    other_frames = [FRAMES[0], FRAMES[1], FRAMES[3]]
    federation = make(runner=way[0], contract=way[1], faults={4: fail_in_round(number)})
    with pytest.warns(RunsIncomplete):
        result = ask(federation, "trimmed_mean_of_most")
    assert result == compute_trimmed_mean(other_frames)
    assert result == ask(make(other_frames), "trimmed_mean_of_most"), "equal to the last digit"
    assert [len(task.runs) for task in federation.subtasks(1)] == [4] * number + [3] * 3
    expected = (
        "info > starting again with 3 organizations, without organization_4: crashed: ValueError, raised by the fault "
        "Wrong of its node [exit code 40]"
    )
    wait_until(lambda: expected in lines)


def test_two_nodes_fail_in_different_rounds(make: Make) -> None:
    federation = make(faults={3: fail_in_round(2), 5: fail_in_round(4)})  # round 2 of the second attempt
    with pytest.warns(RunsIncomplete):
        assert ask(federation, "trimmed_mean_of_most") == compute_trimmed_mean([FRAMES[0], FRAMES[2]])
    assert [len(task.runs) for task in federation.subtasks(1)] == [4, 4, 3, 3, 2, 2, 2]
    assert federation.completeness(1).contributed == (2, 4)


def test_fewer_nodes_than_the_quorum_end_the_task(make: Make) -> None:
    federation = make(faults={organization: fail_in_round(2) for organization in (2, 3, 5)})
    failure = fail(federation, "trimmed_mean_of_most", at=[4, 2, 3, 5])
    assert failure.exit_code == 52
    assert "3 of 4 organizations failed" in failure.message
    assert len(federation.subtasks(1)) == 2


def test_an_authors_error_in_a_later_round_counts_as_a_failure(make: Make, lines: list[str]) -> None:
    federation = make()
    with pytest.warns(RunsIncomplete):
        result = ask(federation, "mean_above", fewest=1)
    assert result == pytest.approx((9.1 + 40.0) / 2), "of the mean of 2 and 5, because 3 and 4 have no value above it"
    [line] = [line for line in lines if "starting again" in line]
    assert "with 2 organizations, without organization_3, organization_4: " in line
    assert "fewer than 1 values are above the mean [exit code 41]" in line


def test_a_node_without_the_column_is_named(make: Make) -> None:
    nodes = [*FRAMES[:3], FRAMES[3].rename(columns={"x": "z"})]
    failure = fail(make(nodes))
    assert failure.exit_code == 52
    assert "organization_5 (id 5): crashed: no column 'x' in database 'default' [exit code 16]" in failure.message
    with pytest.warns(RunsIncomplete):
        assert ask(make(nodes), "trimmed_mean_of_most") == compute_trimmed_mean(FRAMES[:3])


# A node that replies late, never, or something else


def test_a_slow_node_counts(make: Make) -> None:
    federation = make(faults={4: Slow(0.3)})
    assert ask(federation, "trimmed_mean_of_most") == compute_trimmed_mean(FRAMES)
    assert len(federation.subtasks(1)) == 3


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("number", [0, 2])
def test_a_node_that_goes_offline_is_left_out_with_a_quorum(make: Make, lines: list[str], number: int) -> None:
    federation = make(faults={} if number else {5: Dead()})
    if number:
        die_after(federation, 5, number)
    with pytest.warns(RunsIncomplete):
        assert ask(federation, "trimmed_mean_of_most") == compute_trimmed_mean(FRAMES[:3])
    assert [len(task.runs) for task in federation.subtasks(1)] == [4] * (number + 1) + [3] * 3
    [line] = [line for line in lines if "starting again" in line]
    assert "with 3 organizations, without organization_5: its node has been offline for " in line


@pytest.mark.usefixtures("soon")
def test_a_node_that_goes_offline_ends_the_task_without_a_quorum(make: Make) -> None:
    federation = make()
    die_after(federation, 5, 1)
    failure = fail(federation)
    assert (failure.exit_code, "organization_5 (id 5): its node has been offline for " in failure.message) == (52, True)
    assert len(federation.subtasks(1)) == 2


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_lost_result_in_the_middle_of_rounds_is_requested_again(make: Make, lines: list[str], number: int) -> None:
    federation = make(contract="v5")
    lose_result(federation, 4, number)
    assert ask(federation) == compute_trimmed_mean(FRAMES)
    assert sum("seems to be lost" in line for line in lines) >= 1
    assert [len(task.runs) for task in federation.subtasks(1)].count(4) == 3
    # The lost run and its repetition have the same request. Its lines were logged in the lost run.
    assert count_lines(federation, "info > the mean is known")[4] == 1


@pytest.mark.usefixtures("soon")
def test_two_masters_at_nodes_that_lose_results(make: Make, lines: list[str]) -> None:
    federation = make(contract="v5", faults={4: [Loses(), Polls(0.4)], 5: [Loses(), Polls(0.4)]})
    arguments = {**COLUMN, "organizations": [2, 3, 4, 5]}
    results = federation.run("trimmed_mean", at=[2, 3], arguments=arguments, timeout=LIMIT)
    assert list(results) == [compute_trimmed_mean(FRAMES)] * 2
    lost = [run for task in federation.tasks() for run in task.runs if run.status == "active"]
    assert len(lost) <= sum("seems to be lost" in line for line in lines)


@pytest.mark.parametrize("reply", [None, {"n": 3}, {"sum": 3.0, "sites": 5}])
def test_a_wrong_reply_is_refused_with_the_name_of_the_node(make: Make, reply: Any) -> None:
    failure = fail(make(faults={4: Wrong(reply)}))
    assert failure.exit_code == 56
    assert "organization_4: its result is not that of a pooled function; all nodes must run the same image" in (
        failure.message
    )


@pytest.mark.parametrize("contributions", [[{}, 1.5], ["1.5", "1.5"], [None, None], [[1.5, 1.5], 1]], ids=str)
def test_wrong_contributions_are_refused_without_a_value(make: Make, contributions: list[Any]) -> None:
    failure = fail(make(faults={4: Wrong(lambda reply: {**reply, "contributions": contributions})}))
    assert failure.exit_code == 56
    assert "in line 5 of arithmetic.py " in failure.message
    assert "1.5" not in failure.message


# Data that change, and tasks that are stopped


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_a_database_that_changes_between_two_rounds_is_refused(make: Make, tmp_path: Path, runner: str) -> None:
    files = [tmp_path / f"{number}.csv" for number in range(4)]
    for file, frame in zip(files, FRAMES, strict=True):
        frame.to_csv(file, index=False)

    def change(reply: Any) -> Any:
        files[2].write_text("x\n-98765\n")
        return reply

    failure = fail(make(files, runner=runner, faults={4: Wrong(change)}))
    assert failure.exit_code == 57
    assert "the contribution to the sum in line " in failure.message
    assert "changed between two rounds" in failure.message
    assert "(at organization_4)" in failure.message
    assert "98765" not in failure.message


def test_a_killed_task_sends_no_further_round(make: Make) -> None:
    before = set(threading.enumerate())
    federation = make(faults={5: Slow(LONG)})
    input_ = {"method": "trimmed_mean", "kwargs": {**COLUMN, "organizations": [2, 3, 4, 5]}, "master": True}
    task = federation.task(federation.client().task.create(1, [2], input=input_)["id"])
    wait_until(
        lambda: federation.subtasks(task.id) and sum(run.status == "completed" for run in _runs_of(federation)) == 3
    )
    federation.kill(task.id)
    assert federation.wait(task.id, LIMIT)
    assert [run.status for run in task.runs] == ["killed by user"]
    assert read_failure(task.runs[0].log) == Failure(47, "the run was cancelled by a request to kill its task")
    assert sorted(run.status for run in _runs_of(federation)) == ["completed"] * 3 + ["killed by user"]
    federation.close()
    assert len(federation.subtasks(task.id)) == 1
    wait_until(lambda: not set(threading.enumerate()) - before)


def _runs_of(federation: Federation) -> list[Any]:
    return [run for subtask in federation.subtasks(1) for run in subtask.runs]


def test_a_frame_of_another_form_gives_the_same_result(make: Make) -> None:
    polars = pytest.importorskip("polars")
    assert ask(make([polars.from_pandas(frame) for frame in FRAMES])) == compute_trimmed_mean(FRAMES)
    assert ask(make([frame.astype(pd.Float64Dtype()) for frame in FRAMES])) == compute_trimmed_mean(FRAMES)
