"""Nodes that are slow, dead or wrong, and how masters bear them; and tasks in one call, by ``run`` and ``ask``."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from algotools import Federation, UserError, rpc
from algotools import errors as all_errors
from algotools.errors import Failure, FederationError, RunsFailed
from algotools.federation import Dead, Slow, Wrong

from ..conftest import ALGORITHMS

TALLY = ALGORITHMS / "tally"
FRAMES = [pd.DataFrame({"x": [1.0, 2.0]}), pd.DataFrame({"x": [6.0]}), pd.DataFrame({"x": [3.0]})]
LONG = 3600.0
"""Seconds that no test waits for: who waits at all, waits too long."""

Make = Callable[..., Federation]


@pytest.fixture(params=["v3", "v4", "v5"])
def contract(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["inline", "process"])
def make(request: pytest.FixtureRequest, contract: str) -> Make:
    """A federation of three nodes, closed at the end."""

    def make(**options: Any) -> Federation:
        made = Federation(FRAMES, **{"algorithm": TALLY, "runner": request.param, "contract": contract, **options})
        request.addfinalizer(made.close)
        return made

    return make


@pytest.fixture
def nodes(make: Make) -> Federation:
    return make()


@pytest.fixture
def inline(request: pytest.FixtureRequest) -> Make:
    """A federation for what does not depend on runner and contract."""

    def make(**options: Any) -> Federation:
        made = Federation(FRAMES, **{"algorithm": TALLY, **options})
        request.addfinalizer(made.close)
        return made

    return make


def sums(answers: list[Any]) -> list[float]:
    return [answer["sum"] for answer in answers]


# run and ask


def test_run_gives_the_answers_in_the_order_of_the_organizations(nodes: Federation) -> None:
    assert sums(nodes.run("tally", column="x")) == [3.0, 6.0, 3.0]
    assert sums(nodes.run("tally", at=[3, "organization_2"], column="x")) == [6.0, 3.0]
    assert sums(nodes.run("tally", at=3, column="x")) == [6.0]


def test_run_gives_what_a_researcher_gets(inline: Make) -> None:
    (answer,) = inline().run("tally", at=2, column="x")
    assert answer == {"sum": 3.0, "count": 2, "squares": [1.0, 4.0]}


def test_a_master_is_run_by_every_node_and_asked_at_one(nodes: Federation) -> None:
    assert nodes.run("mean", column="x") == [{"mean": 3.0, "failures": {}}] * 3
    assert len(nodes.subtasks(1)) == 3
    assert nodes.ask("mean", column="x") == {"mean": 3.0, "failures": {}}
    (subtask,) = nodes.subtasks(5)
    assert [run.organization_id for run in subtask.runs] == [2, 3, 4]
    assert nodes.task(5).complete, "the runs that no node fetched do not wait for ever"


def test_a_master_asks_those_that_its_task_was_sent_to_or_that_an_argument_names(nodes: Federation) -> None:
    assert nodes.ask("mean", at=[4, 3], column="x")["mean"] == 4.5
    assert nodes.ask("mean", at=3, organizations=[2, 4], column="x")["mean"] == 2.0


def test_the_one_that_is_asked_is_the_first_that_has_no_fault(inline: Make) -> None:
    assert inline().ask("who") == 2
    assert inline(faults={2: Dead(), 3: Slow(LONG)}).ask("who") == 4
    assert inline(faults={2: Wrong("?"), 3: Wrong("!"), 4: Wrong("…")}).ask("who", at=[3, 2]) == "!"


def test_a_function_may_stand_for_its_name(inline: Make) -> None:
    @rpc
    def wide(data: pd.DataFrame, at: int, arguments: list[int]) -> list[int]:
        return [*data.shape, at, *arguments]

    def plain() -> None: ...

    nodes = inline(algorithm=(function for function in [wide]))
    assert nodes.run(wide, arguments={"at": 7, "arguments": [8]}) == [[2, 1, 7, 8], [1, 1, 7, 8], [1, 1, 7, 8]]
    assert nodes.ask("wide", at=2, arguments={"at": 7, "arguments": [8]}) == [2, 1, 7, 8]
    with pytest.raises(FederationError, match="plain is decorated neither with @rpc nor with @master"):
        nodes.run(plain)


def test_databases_are_named_by_label() -> None:
    nodes = [{"one": FRAMES[0], "two": FRAMES[1]}]
    with Federation(nodes, algorithm=TALLY) as federation:
        assert federation.run("rows", databases=["two", "one"], column="x") == [[1, 2]]
        assert federation.run("tally", databases="two", column="x")[0]["count"] == 1


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ({"at": 9}, "not in the collaboration: 9; it has 2 (organization_2), 3 (organization_3), 4 (organization_4)"),
        ({"at": ["organization_2", "nobody"]}, "not in the collaboration: nobody"),
        ({"at": [2, "organization_2"]}, "each organization once"),
        ({"at": []}, "at least one"),
        ({"arguments": {"column": "y"}}, "given twice: column"),
    ],
)
def test_a_call_that_cannot_be_right_says_why(inline: Make, call: dict[str, Any], says: str) -> None:
    with pytest.raises(FederationError) as raised:
        inline().run("tally", column="x", **call)
    assert says in str(raised.value)


def test_an_rpc_has_no_single_answer(inline: Make) -> None:
    with pytest.raises(FederationError, match="tally is an rpc, of which every node has an answer of its own"):
        inline().ask("tally", column="x")


def test_a_federation_without_an_algorithm_of_its_own_says_so(tmp_path: Path) -> None:
    (tmp_path / "federation.yaml").write_text("organizations:\n  - name: a\n", encoding="utf-8")
    with (
        Federation.from_file(tmp_path / "federation.yaml") as federation,
        pytest.raises(FederationError, match="no algorithm of its own"),
    ):
        federation.run("tally")


def test_nothing_is_sent_after_the_end(inline: Make) -> None:
    nodes = inline()
    nodes.close()
    with pytest.raises(FederationError, match="closed"):
        nodes.run("tally", column="x")


# What fails


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


def test_what_many_share_is_told_once(nodes: Federation) -> None:
    with pytest.raises(RunsFailed) as raised:
        nodes.run("tally", column="y")
    assert str(raised.value).count("no column 'y' in database 'default'") == 1
    assert "organization_2 (id 2), organization_3 (id 3), organization_4 (id 4)" in raised.value.message
    assert raised.value.detail.endswith("columns of default: x")


def test_the_authors_own_message_is_there(nodes: Federation) -> None:
    with pytest.raises(
        RunsFailed, match=r"organization_3 \(id 3\), .*: fewer than 2 rows have a value \[exit code 41\]"
    ):
        nodes.run("tally", column="x", minimum=2)


def test_a_master_that_fails_tells_of_its_subtasks(nodes: Federation) -> None:
    with pytest.raises(RunsFailed) as raised:
        nodes.ask("asks_for_a_failure", column="x", arguments={"at": 4})
    assert "asks_for_a_failure failed at 1 of 1 organization\n" in raised.value.message
    assert "1 of 3 organizations failed: organization_4 (id 4): crashed: ValueError in fails" in raised.value.message
    assert "organization_4 (id 4):\nTraceback" in raised.value.detail
    assert raised.value.failures[2].exit_code == 52


def test_an_unknown_method_is_told_by_the_run(make: Make) -> None:
    with pytest.raises(RunsFailed, match=r"has no method 'taly' .*did you mean 'tally'"):
        make().ask("taly", column="x")


def test_an_algorithm_that_cannot_be_imported_is_told_by_the_run() -> None:
    with (
        Federation(FRAMES, algorithm=ALGORITHMS / "raises_at_import") as nodes,
        pytest.raises(RunsFailed, match=r"cannot be imported .*\[exit code 21\]"),
    ):
        nodes.run("anything")


# Slow


def test_a_slow_node_answers_later(make: Make) -> None:
    nodes = make(faults={3: Slow(0.3)})
    began = time.monotonic()
    assert sums(nodes.run("tally", column="x")) == [3.0, 6.0, 3.0]
    assert time.monotonic() - began >= 0.3


def test_a_slow_node_takes_nobodys_place(inline: Make) -> None:
    nodes = inline(faults={"organization_3": Slow(LONG)})
    nodes._schedule._places = 1
    slow = [nodes.client().task.create(1, 3, input={"method": "tally", "kwargs": {"column": "x"}}) for _ in range(3)]
    assert sums(nodes.run("tally", at=[2, 4], column="x")) == [3.0, 3.0]
    assert not any(nodes.task(task["id"]).complete for task in slow)


def test_a_run_that_is_too_slow_for_its_limit_is_overdue(make: Make) -> None:
    nodes = make(faults={3: Slow(LONG)}, timeout=1)
    with pytest.raises(RunsFailed) as raised:
        nodes.run("tally", at=3, column="x")
    assert raised.value.failures[3][:2] == (45, "the run did not end within its limit of 1 s")


def test_a_slow_node_that_keeps_its_limit_answers(make: Make) -> None:
    assert make(faults={3: Slow(0.1)}, timeout=60).run("tally", at=3, column="x")[0]["sum"] == 6.0


def test_closing_ends_the_wait_for_a_slow_node(make: Make) -> None:
    before = set(threading.enumerate())
    nodes = make(faults={3: Slow(LONG)})
    task = nodes.client().task.create(1, [2, 3], input={"method": "tally", "kwargs": {"column": "x"}, "master": False})
    assert nodes._store.wait(nodes.task(task["id"]).runs[:1], 60)
    until(lambda: nodes.task(task["id"]).runs[1].status == "active")
    nodes.close()
    assert nodes.wait(task["id"], 30)
    assert nodes.task(task["id"]).runs[1].status == "killed by user"
    until(lambda: not set(threading.enumerate()) - before)


def test_who_has_not_answered_is_named(inline: Make) -> None:
    with pytest.raises(RunsFailed) as raised:
        inline(faults={3: Slow(LONG)}).run("tally", column="x", timeout=1)
    assert list(raised.value.failures) == [3]
    why = "organization_3 (id 3): no answer within 1 s (status: active; its node is slow by 3600 s) [exit code 45]"
    assert why in raised.value.message


# Dead


def test_a_dead_node_leaves_its_runs_pending(make: Make) -> None:
    before = set(threading.enumerate())
    nodes = make(faults={4: Dead()})
    nodes._schedule._places = 1
    with pytest.raises(RunsFailed) as raised:
        nodes.run("tally", column="x", timeout=LONG)  # nobody waits for the dead
    assert raised.value.failures == {4: Failure(45, "no answer, for its node is dead")}
    run = nodes.task(1).runs[2]
    assert (run.status, run.log, run.started_at) == ("pending", "", None)
    assert sums(nodes.run("tally", at=[2, 3], column="x")) == [3.0, 6.0]
    nodes.close()
    assert nodes.task(1).runs[2].status == "killed by user"
    until(lambda: not set(threading.enumerate()) - before)


def test_a_master_with_a_limit_and_a_quorum_does_without_slow_and_dead_nodes(make: Make) -> None:
    answer = make(faults={3: Slow(LONG), 4: Dead()}).ask("mean", column="x", arguments={"timeout": 3, "quorum": 1})
    late = {"3": "no answer within 3 s (status: active)"}
    offline = {"4": "no answer within 3 s (status: pending; its node is offline)"}
    assert answer == {"mean": 1.5, "failures": {**late, **offline}}


def test_a_master_without_a_quorum_fails_and_names_the_node(inline: Make) -> None:
    with pytest.raises(RunsFailed) as raised:
        inline(faults={4: Dead()}).ask("mean", column="x", arguments={"timeout": 1})
    assert raised.value.failures[2].exit_code == 52
    assert "organization_4 (id 4): no answer within 1 s (status: pending; its node is offline)" in raised.value.message


def test_a_master_without_a_limit_gives_up_on_a_node_that_stays_offline(inline: Make, monkeypatch) -> None:
    from algotools.client import results

    monkeypatch.setattr(results, "OFFLINE_LIMIT", 0.5)
    with pytest.raises(
        RunsFailed, match=r"organization_4 \(id 4\): its node has been offline for .* \(status: pending\)"
    ):
        inline(faults={4: Dead()}).ask("mean", column="x")


def test_a_master_that_waits_for_a_dead_node_is_not_waited_for(inline: Make) -> None:
    with pytest.raises(RunsFailed) as raised:
        inline(faults={4: Dead()}).ask("mean", column="x", timeout=2)
    waits = "no answer within 2 s (status: active; it waits for organization_4 (id 4), whose node is dead)"
    assert raised.value.failures == {2: Failure(45, waits)}


# Wrong


def test_a_wrong_node_answers_something_else(make: Make) -> None:
    nodes = make(faults={2: Wrong({"sum": 0.0}), 3: Wrong(lambda answer: {**answer, "count": -1})})
    assert nodes.run("tally", column="x") == [
        {"sum": 0.0},
        {"sum": 6.0, "count": -1, "squares": [36.0]},
        {"sum": 3.0, "count": 1, "squares": [9.0]},
    ]


def test_a_wrong_answer_is_encoded_as_the_true_one_is(make: Make) -> None:
    seen = []

    def more(answer: Any) -> Any:
        seen.append(type(answer["squares"]).__name__)
        return {**answer, "sum": math.inf}

    nodes = make(faults={3: Wrong(more)})
    assert nodes.ask("mean", column="x")["mean"] is None, "infinity, which reached the master as it is"
    assert sums(nodes.run("tally", at=3, column="x")) == [None]
    assert seen == ["ndarray", "list"], "what the master gets, what the researcher gets"


def test_a_wrong_node_may_crash(make: Make) -> None:
    class Tired(UserError):
        text = "closed for today"

    error = ZeroDivisionError("secret")
    nodes = make(faults={2: Wrong(error), 3: Wrong(Tired), 4: Wrong(lambda answer: answer["nothing"])})
    with pytest.raises(RunsFailed) as raised:
        nodes.run("tally", column="x")
    failures = {o: (f.exit_code, f.message) for o, f in raised.value.failures.items()}
    assert failures == {
        2: (40, "ZeroDivisionError, by the fault that its node was given"),
        3: (41, "closed for today"),
        4: (40, "KeyError, by the fault that its node was given"),
    }
    assert raised.value.failures[2].detail == "ZeroDivisionError: secret\n"
    assert "test_faults.py" in raised.value.failures[4].detail
    assert [run.status for run in nodes.task(1).runs] == ["crashed"] * 3


def test_a_wrong_node_may_end_its_process_or_answer_what_cannot_travel(inline: Make) -> None:
    nodes = inline(faults={2: Wrong(SystemExit), 3: Wrong({1, 2})})
    with pytest.raises(RunsFailed) as raised:
        nodes.run("tally", column="x")
    assert [raised.value.failures[o].exit_code for o in (2, 3)] == [43, 42]


def test_a_run_that_fails_of_itself_stays_as_it_is(inline: Make) -> None:
    with pytest.raises(RunsFailed, match="no column"):
        inline(faults={2: Wrong(1)}).run("tally", at=2, column="y")


def test_a_master_meets_a_wrong_answer(make: Make) -> None:
    nodes = make(faults={3: Wrong(ValueError)})
    with pytest.raises(RunsFailed, match=r"organization_3 \(id 3\): crashed: ValueError, by the fault"):
        nodes.ask("mean", column="x")
    assert nodes.ask("mean", column="x", arguments={"quorum": 2})["mean"] == 2.0


def test_a_node_can_be_slow_and_wrong(make: Make) -> None:
    began = time.monotonic()
    assert make(faults={3: [Slow(0.2), Wrong(7)]}).run("tally", at=3, column="x") == [7]
    assert time.monotonic() - began >= 0.2


@pytest.mark.docker
def test_faults_are_the_nodes_and_work_with_containers(engine, contract: str) -> None:
    runner: Any = {"v3": "as-node", "v4": "container", "v5": "container"}[contract]
    faults = {2: Wrong(lambda answer: {**answer, "sum": 5.0}), 3: Slow(0.2), 4: Dead()}
    with Federation(FRAMES, algorithm=TALLY, runner=runner, contract=contract, faults=faults) as nodes:
        answer = nodes.ask("mean", at=[3, 2, 4], column="x", arguments={"timeout": 12, "quorum": 2}, timeout=100)
        assert answer["mean"] == pytest.approx(11 / 3)
        assert answer["failures"] == {"4": "no answer within 12 s (status: pending; its node is offline)"}


# Faults that cannot be


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        ({5: Dead()}, "not in the collaboration: 5; it has 2 (organization_2)"),
        ({"nobody": Dead()}, "not in the collaboration: nobody"),
        ({2: Dead(), "organization_2": Slow(1)}, "once, by its id or by its name"),
        ({2: [Slow(1), Slow(2)]}, "one fault of each kind"),
        ({2: ["slow"]}, "'slow' is no fault; there are Slow(seconds), Dead() and Wrong(answer)"),
        ({2: Dead}, "is no fault"),
    ],
)
def test_faults_that_cannot_be_right_say_why(faults: Any, says: str) -> None:
    with pytest.raises(FederationError) as raised:
        Federation(FRAMES, algorithm=TALLY, runner="process", faults=faults)
    assert says in str(raised.value)


@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan])
def test_slowness_is_a_positive_number_of_seconds(seconds: float) -> None:
    with pytest.raises(FederationError, match="positive number of seconds"):
        Slow(seconds)


def test_faults_are_told_of_a_file_too(tmp_path: Path) -> None:
    FRAMES[0].to_csv(tmp_path / "a.csv")
    file = tmp_path / "federation.yaml"
    file.write_text("organizations:\n  - name: a\n    databases: {default: a.csv}\n", encoding="utf-8")
    with Federation.from_file(file, algorithm=TALLY, faults={"a": Wrong("?")}) as federation:
        assert federation.run("tally", column="x") == ["?"]


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens soon."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
