"""Slow, dead and wrong nodes, and how masters handle them; and the methods ``run`` and ``ask``."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from algotools import AlgorithmClient, Federation, RunInfo, UserError, master, rpc
from algotools import errors as all_errors
from algotools.errors import Failure, FederationError, RunsFailed, RunsIncomplete
from algotools.federation import Dead, Loses, Polls, Slow, Wrong
from algotools.task import Database

from ..conftest import ALGORITHMS
from ..processes import LIMIT, wait_until

TALLY = ALGORITHMS / "tally"
FRAMES = [pd.DataFrame({"x": [1.0, 2.0]}), pd.DataFrame({"x": [6.0]}), pd.DataFrame({"x": [3.0]})]
LONG = 3600.0
"""Seconds of a delay that no test waits for: a test that waits for it exceeds its time limit."""

Make = Callable[..., Federation]


@pytest.fixture
def contract(request: pytest.FixtureRequest) -> str:
    """The generation: v4, unless a test chooses another. ``tests/conformance`` tries faults with every runner."""
    return str(getattr(request, "param", "v4"))


@pytest.fixture
def make(request: pytest.FixtureRequest, contract: str) -> Make:
    """Make a federation of three nodes; it is closed after the test."""

    def make(**options: Any) -> Federation:
        federation = Federation(FRAMES, **{"algorithm": TALLY, "contract": contract, **options})
        request.addfinalizer(federation.close)
        return federation

    return make


@pytest.fixture
def nodes(make: Make) -> Federation:
    return make()


def sums(answers: list[Any]) -> list[float]:
    return [answer["sum"] for answer in answers]


# run and ask


def test_run_returns_results_in_the_order_of_the_organizations(nodes: Federation) -> None:
    assert sums(nodes.run("tally", column="x")) == [3.0, 6.0, 3.0]
    assert sums(nodes.run("tally", at=[3, "organization_2"], column="x")) == [6.0, 3.0]
    assert sums(nodes.run("tally", at=3, column="x")) == [6.0]


def test_run_returns_the_results_that_a_researcher_gets(make: Make) -> None:
    (answer,) = make().run("tally", at=2, column="x")
    assert answer == {"sum": 3.0, "count": 2, "squares": [1.0, 4.0]}


def test_run_executes_a_master_at_every_node_and_ask_at_one_node(nodes: Federation) -> None:
    assert nodes.run("mean", column="x") == [{"mean": 3.0, "failures": {}}] * 3
    assert len(nodes.subtasks(1)) == 3
    assert nodes.ask("mean", column="x") == {"mean": 3.0, "failures": {}}
    (subtask,) = nodes.subtasks(5)
    assert [run.organization_id for run in subtask.runs] == [2, 3, 4]
    assert nodes.task(5).complete, "the runs that no node fetched are finished, too"


def test_a_masters_subtask_has_the_organizations_of_its_task_or_of_an_argument(nodes: Federation) -> None:
    assert nodes.ask("mean", at=[4, 3], column="x")["mean"] == 4.5
    assert nodes.ask("mean", at=3, organizations=[2, 4], column="x")["mean"] == 2.0


def test_ask_uses_the_first_node_without_a_fault(make: Make) -> None:
    assert make().ask("master_organization") == 2
    assert make(faults={2: Dead(), 3: Slow(LONG)}).ask("master_organization") == 4
    assert make(faults={2: Wrong("?"), 3: Wrong("!"), 4: Wrong("…")}).ask("master_organization", at=[3, 2]) == "!"


def test_a_function_can_be_called_by_itself_or_by_name(make: Make) -> None:
    @rpc
    def wide(data: pd.DataFrame, at: int, arguments: list[int]) -> list[int]:
        return [*data.shape, at, *arguments]

    def plain() -> None: ...

    nodes = make(algorithm=(function for function in [wide]))
    assert nodes.run(wide, arguments={"at": 7, "arguments": [8]}) == [[2, 1, 7, 8], [1, 1, 7, 8], [1, 1, 7, 8]]
    assert nodes.ask("wide", at=2, arguments={"at": 7, "arguments": [8]}) == [2, 1, 7, 8]
    with pytest.raises(FederationError, match="plain: decorate the function with @rpc or @master"):
        nodes.run(plain)


def test_databases_are_named_by_label() -> None:
    nodes = [{"one": FRAMES[0], "two": FRAMES[1]}]
    with Federation(nodes, algorithm=TALLY) as federation:
        assert federation.run("rows", databases=["two", "one"], column="x") == [[1, 2]]
        assert federation.run("tally", databases="two", column="x")[0]["count"] == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"at": 9}, "not in the collaboration: 9; it has 2 (organization_2), 3 (organization_3), 4 (organization_4)"),
        ({"at": ["organization_2", "nobody"]}, "not in the collaboration: nobody"),
        ({"at": [2, "organization_2"]}, "each organization once"),
        ({"at": []}, "at least one"),
        ({"arguments": {"column": "y"}}, "given twice: column"),
    ],
)
def test_an_invalid_call_is_refused(make: Make, call: dict[str, Any], message: str) -> None:
    with pytest.raises(FederationError) as raised:
        make().run("tally", column="x", **call)
    assert message in str(raised.value)


def test_ask_refuses_an_rpc_at_several_organizations(make: Make) -> None:
    with pytest.raises(FederationError, match="tally is an rpc, which has a separate result at each node"):
        make().ask("tally", column="x")


def test_run_needs_an_algorithm(tmp_path: Path) -> None:
    (tmp_path / "federation.yaml").write_text("organizations:\n  - name: a\n", encoding="utf-8")
    with (
        Federation.from_file(tmp_path / "federation.yaml") as federation,
        pytest.raises(FederationError, match="this federation has no algorithm"),
    ):
        federation.run("tally")


def test_a_closed_federation_refuses_tasks(make: Make) -> None:
    nodes = make()
    nodes.close()
    with pytest.raises(FederationError, match="closed"):
        nodes.run("tally", column="x")


# Failures


def test_a_failure_names_organization_reason_and_traceback(nodes: Federation) -> None:
    with pytest.raises(
        RunsFailed, match=r"organization_3 \(id 3\): ValueError in fails at .* \[exit code 40\]"
    ) as raised:
        nodes.run("fails", column="x", arguments={"at": 3})
    error = raised.value
    assert error.message.splitlines()[0] == "fails failed at 1 of 3 organizations"
    assert "cannot bear 6.0" not in error.message
    assert "ValueError: cannot bear 6.0" in str(error)
    assert list(error.failures) == [3]
    assert error.failures[3].exit_code == 40
    assert isinstance(error, all_errors.RunsFailed)


def test_a_reason_shared_by_organizations_is_reported_once() -> None:
    frames = [*(frame.iloc[:0] for frame in FRAMES), FRAMES[0].rename(columns={"x": "y"})]
    with Federation(frames, algorithm=ALGORITHMS / "tally") as nodes, pytest.raises(RunsFailed) as raised:
        nodes.run("tally", column="y")
    assert str(raised.value).count("no column 'y' in database 'default'") == 1
    assert "organization_2 (id 2), organization_3 (id 3), organization_4 (id 4)" in raised.value.message
    assert raised.value.detail.endswith("columns of default: x")


def test_the_authors_message_is_reported(nodes: Federation) -> None:
    with pytest.raises(
        RunsFailed, match=r"organization_3 \(id 3\), .*: fewer than 2 rows have a value \[exit code 41\]"
    ):
        nodes.run("tally", column="x", minimum=2)


def test_a_failed_master_reports_its_failed_subtasks(nodes: Federation) -> None:
    with pytest.raises(RunsFailed) as raised:
        nodes.ask("run_failing_rpc", column="x", arguments={"at": 4})
    assert "run_failing_rpc failed at 1 of 1 organization\n" in raised.value.message
    assert "1 of 3 organizations failed: organization_4 (id 4): crashed: ValueError in fails" in raised.value.message
    assert "organization_4 (id 4):\nTraceback" in raised.value.detail
    assert raised.value.failures[2].exit_code == 52


# Slow


def test_the_result_of_a_slow_node_comes_later(make: Make) -> None:
    nodes = make(faults={3: Slow(0.3)})
    began = time.monotonic()
    assert sums(nodes.run("tally", column="x")) == [3.0, 6.0, 3.0]
    assert time.monotonic() - began >= 0.3


def test_a_delayed_run_does_not_occupy_a_slot(make: Make) -> None:
    nodes = make(faults={"organization_3": Slow(LONG)})
    nodes._platform._schedule._slots = 1
    slow = [nodes.client().task.create(1, 3, input={"method": "tally", "kwargs": {"column": "x"}}) for _ in range(3)]
    assert sums(nodes.run("tally", at=[2, 4], column="x")) == [3.0, 3.0]
    assert not any(nodes.task(task["id"]).complete for task in slow)


def test_a_run_delayed_beyond_its_time_limit_fails(make: Make) -> None:
    nodes = make(faults={3: Slow(LONG)}, timeout=1)
    with pytest.raises(RunsFailed) as raised:
        nodes.run("tally", at=3, column="x")
    assert raised.value.failures[3][:2] == (45, "the run did not end within its limit of 1 s")


def test_a_run_delayed_within_its_time_limit_completes(make: Make) -> None:
    assert make(faults={3: Slow(0.1)}, timeout=LIMIT).run("tally", at=3, column="x")[0]["sum"] == 6.0


def test_closing_ends_the_wait_for_a_slow_node(make: Make) -> None:
    before = set(threading.enumerate())
    nodes = make(faults={3: Slow(LONG)})
    task = nodes.client().task.create(1, [2, 3], input={"method": "tally", "kwargs": {"column": "x"}, "master": False})
    assert nodes._platform.store.wait(nodes.task(task["id"]).runs[:1], LIMIT)
    wait_until(lambda: nodes.task(task["id"]).runs[1].status == "active")
    nodes.close()
    assert nodes.wait(task["id"], LIMIT)
    assert nodes.task(task["id"]).runs[1].status == "killed by user"
    wait_until(lambda: not set(threading.enumerate()) - before)


def test_organizations_without_a_result_are_named(make: Make) -> None:
    with pytest.raises(RunsFailed) as raised:
        make(faults={3: Slow(LONG)}).run("tally", column="x", timeout=5)
    assert list(raised.value.failures) == [3]
    reason = "organization_3 (id 3): no result within 5 s (status: active; its node is slow by 3600 s) [exit code 45]"
    assert reason in raised.value.message


# Dead


def test_a_dead_node_leaves_its_runs_pending(make: Make) -> None:
    before = set(threading.enumerate())
    nodes = make(faults={4: Dead()})
    nodes._platform._schedule._slots = 1
    with pytest.raises(RunsFailed) as raised:
        nodes.run("tally", column="x", timeout=LONG)  # does not wait for the dead node
    assert raised.value.failures == {4: Failure(45, "no result, because its node is dead")}
    run = nodes.task(1).runs[2]
    assert (run.status, run.log, run.started_at) == ("pending", "", None)
    assert sums(nodes.run("tally", at=[2, 3], column="x")) == [3.0, 6.0]
    nodes.close()
    assert nodes.task(1).runs[2].status == "killed by user"
    wait_until(lambda: not set(threading.enumerate()) - before)


def test_a_timeout_and_a_quorum_let_a_master_continue_without_slow_and_dead_nodes(make: Make) -> None:
    nodes = make(faults={3: Slow(LONG), 4: Dead()})
    with pytest.warns(RunsIncomplete, match=r"1 of 3 .*_3 failed: .*active.*_4 failed: .*offline"):
        answer = nodes.ask("mean", column="x", arguments={"timeout": 8, "quorum": 1})
    late = {"3": "no result within 8 s (status: active)"}
    offline = {"4": "no result within 8 s (status: pending; its node is offline)"}
    assert answer == {"mean": 1.5, "failures": {**late, **offline}}


def test_a_master_without_a_quorum_fails_and_names_the_node(make: Make) -> None:
    with pytest.raises(RunsFailed) as raised:
        make(faults={4: Dead()}).ask("mean", column="x", arguments={"timeout": 1})
    assert raised.value.failures[2].exit_code == 52
    assert "organization_4 (id 4): no result within 1 s (status: pending; its node is offline)" in raised.value.message


def test_a_master_without_a_limit_gives_up_on_a_node_that_stays_offline(make: Make, monkeypatch) -> None:
    from algotools.runtime.client import _results

    monkeypatch.setattr(_results, "OFFLINE_LIMIT", 0.5)
    with pytest.raises(
        RunsFailed, match=r"organization_4 \(id 4\): its node has been offline for .* \(status: pending\)"
    ):
        make(faults={4: Dead()}).ask("mean", column="x")


def test_ask_times_out_when_the_master_waits_for_a_dead_node(make: Make) -> None:
    with pytest.raises(RunsFailed) as raised:
        make(faults={4: Dead()}).ask("mean", column="x", timeout=5)
    reason = "no result within 5 s (status: active; it waits for organization_4 (id 4), whose node is dead)"
    assert raised.value.failures == {2: Failure(45, reason)}


# Wrong


def test_a_wrong_node_replaces_the_result(make: Make) -> None:
    nodes = make(faults={2: Wrong({"sum": 0.0}), 3: Wrong(lambda answer: {**answer, "count": -1})})
    assert nodes.run("tally", column="x") == [
        {"sum": 0.0},
        {"sum": 6.0, "count": -1, "squares": [36.0]},
        {"sum": 3.0, "count": 1, "squares": [9.0]},
    ]


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"], indirect=True)
def test_a_wrong_result_has_the_encoding_of_the_true_result(make: Make) -> None:
    types = []

    def replace_sum(answer: Any) -> Any:
        types.append(type(answer["squares"]).__name__)
        return {**answer, "sum": math.inf}

    nodes = make(faults={3: Wrong(replace_sum)})
    assert nodes.ask("mean", column="x")["mean"] is None, "the master received infinity, and JSON has no infinity"
    assert sums(nodes.run("tally", at=3, column="x")) == [None]
    assert types == ["ndarray", "list"], "the encoding for a master, the encoding for a researcher"


def test_a_wrong_node_may_crash(make: Make) -> None:
    class Tired(UserError):
        text = "closed for today"

    error = ZeroDivisionError("secret")
    nodes = make(faults={2: Wrong(error), 3: Wrong(Tired), 4: Wrong(lambda answer: answer["nothing"])})
    with pytest.raises(RunsFailed) as raised:
        nodes.run("tally", column="x")
    failures = {o: (f.exit_code, f.message) for o, f in raised.value.failures.items()}
    assert failures == {
        2: (40, "ZeroDivisionError, raised by the fault Wrong of its node"),
        3: (41, "closed for today"),
        4: (40, "KeyError, raised by the fault Wrong of its node"),
    }
    assert raised.value.failures[2].detail == "ZeroDivisionError: secret\n"
    assert "test_faults.py" in raised.value.failures[4].detail
    assert [run.status for run in nodes.task(1).runs] == ["crashed"] * 3


def test_a_wrong_node_may_exit_or_return_a_value_without_a_json_form(make: Make) -> None:
    nodes = make(faults={2: Wrong(SystemExit), 3: Wrong({1, 2})})
    with pytest.raises(RunsFailed) as raised:
        nodes.run("tally", column="x")
    assert [raised.value.failures[o].exit_code for o in (2, 3)] == [43, 42]


def test_a_failed_run_is_not_changed_by_a_wrong_node(make: Make) -> None:
    with pytest.raises(RunsFailed, match="ValueError in fails"):
        make(faults={3: Wrong(1)}).run("fails", at=3, column="x", arguments={"at": 3})


def test_a_master_handles_a_wrong_node_with_a_quorum(make: Make) -> None:
    nodes = make(faults={3: Wrong(ValueError)})
    with pytest.raises(RunsFailed, match=r"organization_3 \(id 3\): crashed: ValueError, raised by the fault"):
        nodes.ask("mean", column="x")
    with pytest.warns(RunsIncomplete, match="organization_3 failed: ValueError, raised by the fault"):
        assert nodes.ask("mean", column="x", arguments={"quorum": 2})["mean"] == 2.0


def test_a_node_can_be_slow_and_wrong(make: Make) -> None:
    began = time.monotonic()
    assert make(faults={3: [Slow(0.2), Wrong(7)]}).run("tally", at=3, column="x") == [7]
    assert time.monotonic() - began >= 0.2


# Invalid faults


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ({5: Dead()}, "not in the collaboration: 5; it has 2 (organization_2)"),
        ({"nobody": Dead()}, "not in the collaboration: nobody"),
        ({2: Dead(), "organization_2": Slow(1)}, "either by its id or by its name"),
        ({2: [Slow(1), Slow(2)]}, "one fault of each kind"),
        ({2: ["slow"]}, "'slow' is not a fault; use Slow(seconds), Dead(), Wrong(answer), Polls(seconds) or Loses()"),
        ({2: Dead}, "is not a fault"),
    ],
)
def test_invalid_faults_are_refused(faults: Any, message: str) -> None:
    with pytest.raises(FederationError) as raised:
        Federation(FRAMES, algorithm=TALLY, runner="process", faults=faults)
    assert message in str(raised.value)


@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan])
def test_slow_needs_a_positive_number_of_seconds(seconds: float) -> None:
    with pytest.raises(FederationError, match="positive number of seconds"):
        Slow(seconds)


def test_faults_work_with_a_federation_file(tmp_path: Path) -> None:
    FRAMES[0].to_csv(tmp_path / "a.csv")
    file = tmp_path / "federation.yaml"
    file.write_text("organizations:\n  - name: a\n    databases: {default: a.csv}\n", encoding="utf-8")
    with Federation.from_file(file, algorithm=TALLY, faults={"a": Wrong("?")}) as federation:
        assert federation.run("tally", column="x") == ["?"]


# Polls and Loses


def test_a_node_that_polls_fetches_and_sends_once_per_round(make: Make) -> None:
    start = time.monotonic()
    nodes = make(faults={3: Polls(0.5), 4: Polls(0.5)})
    assert sums(nodes.run("tally", column="x")) == [3.0, 6.0, 3.0]
    assert time.monotonic() - start >= 0.5
    run = nodes.task(1).runs[1]
    assert (run.status, nodes._platform._schedule.is_busy) == ("completed", False)


def test_a_run_that_waits_for_its_node_can_be_killed(make: Make) -> None:
    nodes = make(faults={3: Polls(LONG)})
    with pytest.raises(RunsFailed, match=r"no result within 0\.1 s"):
        nodes.run("tally", at=3, column="x", timeout=0.1)
    assert nodes.task(1).runs[0].status == "pending"
    nodes.kill(1)
    assert nodes.task(1).runs[0].status == "killed by user"
    before = set(threading.enumerate())
    nodes.close()
    wait_until(lambda: not any(isinstance(thread, threading.Timer) for thread in before if thread.is_alive()))


@pytest.mark.parametrize("contract", ["v4"], indirect=True)
def test_a_node_that_loses_results_sends_the_last_of_a_round(make: Make) -> None:
    nodes = make(faults={2: [Loses(), Polls(0.5)]})
    request = nodes._platform.contract.make_request({"method": "tally", "kwargs": {"column": "x"}})
    tasks = [nodes.post([2], request, [Database("default")]) for _ in range(3)]
    wait_until(lambda: any(task.complete for task in tasks))
    assert sorted(task.runs[0].status for task in tasks) == ["active", "active", "completed"]
    assert [run.output for task in tasks for run in task.runs if run.status == "active"] == [b"", b""]
    assert nodes.wait(1, 0.1) is False or nodes.task(1).complete
    assert sums(nodes.run("tally", at=[2, 3], column="x")) == [3.0, 6.0], "a single run is not lost"
    nodes.close()
    assert {task.runs[0].status for task in tasks} == {"completed", "killed by user"}


@pytest.mark.parametrize("contract", ["v5"], indirect=True)
def test_masters_at_nodes_that_lose_results_get_all_of_them(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from algotools.runtime.client import _results, _runs

    monkeypatch.setattr(_runs, "LOSS_TIME", 1.0)
    monkeypatch.setattr(_runs, "LOSS_FACTOR", 1.5)
    monkeypatch.setattr(_results, "FIRST_FULL_CHECK", 0.5)
    lines: list[str] = []
    losing = {organization: [Loses(), Polls(0.3)] for organization in (2, 3, 4)}
    nodes = make(faults=losing, listen=lambda _run, line: lines.append(line))
    assert nodes.run("mean", at=[2, 3], column="x") == [{"mean": 3.0, "failures": {}}] * 2
    lost = [run for task in nodes.tasks() for run in task.runs if run.status == "active"]
    assert len(lost) == sum("seems to be lost" in line for line in lines)
    assert lost, "two masters send runs to the same nodes at the same time"


@pytest.mark.parametrize("contract", ["v5"], indirect=True)
def test_subtasks_of_one_master_are_not_lost(make: Make) -> None:
    @rpc
    def number(value: int) -> int:
        return value

    @master
    def in_threads(client: AlgorithmClient) -> list[int]:
        with ThreadPoolExecutor(3) as threads:
            sent = threads.map(lambda value: sum(client.run(number, value=value)), range(3))
            return list(sent)

    @master
    def at_once(client: AlgorithmClient) -> list[int]:
        return [sum(results) for results in [client.run(number, value=value) for value in range(3)]]

    losing = {organization: [Loses(), Polls(0.2)] for organization in (2, 3, 4)}
    nodes = make(algorithm=[number, in_threads, at_once], faults=losing)
    assert nodes.ask(in_threads) == [0, 3, 6]
    assert nodes.ask(at_once) == [0, 3, 6]
    assert all(run.status == "completed" for task in nodes.tasks() if task.method == "number" for run in task.runs)


@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan])
def test_a_round_has_a_positive_duration(seconds: float) -> None:
    with pytest.raises(FederationError, match="a positive number of seconds"):
        Polls(seconds)


# Waiting


def test_a_failure_is_known_before_a_slow_sibling_has_finished(make: Make) -> None:
    lines: list[str] = []
    nodes = make(faults={3: Wrong(ValueError), 4: Slow(LONG)}, listen=lambda _run, line: lines.append(line))
    with pytest.raises(RunsFailed) as raised:
        nodes.ask("mean", column="x")
    assert "1 of 3 organizations failed: organization_3 (id 3): crashed: " in raised.value.message
    assert "; not finished: organization_4 (id 4)" in raised.value.message
    assert any("The runs at organization_4 (id 4) continue at their nodes" in line for line in lines)


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"], indirect=True)
def test_the_limits_of_a_wait_hold_in_every_generation(make: Make) -> None:
    @rpc
    def place(info: RunInfo) -> int:
        return info.organization_id

    @master
    def with_quorum(client: AlgorithmClient) -> list[list[int]]:
        results = client.run(place, quorum=2, grace=0.5)
        return [list(results), list(results.failures)]

    @master
    def until_failure(client: AlgorithmClient) -> list[int]:
        return list(client.run(place))

    @master
    def until_all(client: AlgorithmClient) -> list[int]:
        return list(client.run(place, wait_for_all=True, timeout=8))

    lines: list[str] = []
    algorithm = [place, with_quorum, until_failure, until_all]
    offline = make(algorithm=algorithm, faults={4: Dead()}, listen=lambda _run, line: lines.append(line))
    with pytest.warns(RunsIncomplete, match="its node is offline"):
        assert offline.ask(with_quorum) == [[2, 3], [4]]
    assert any("waiting for nodes that are offline: organization_4 (id 4)" in line for line in lines)

    failing = make(algorithm=algorithm, faults={3: Wrong(ValueError), 4: Slow(LONG)})
    with pytest.raises(RunsFailed, match="not finished: organization_4"):
        failing.ask(until_failure)
    with pytest.raises(RunsFailed, match=r"2 of 3 organizations failed: .*no result within 8 s"):
        failing.ask(until_all)
