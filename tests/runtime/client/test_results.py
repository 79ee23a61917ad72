"""The results of a subtask: for each organization a result, or the reason of its failure."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from algotools.errors import Failure, PartialFailure
from algotools.payload import WithheldCells, add_withheld, encode_plain, encode_rich
from algotools.runtime.client import _limits, _results
from algotools.runtime.logs import format_failure

BAD_COLUMN = "info > reading\n" + format_failure(Failure(16, "no column 'age' in database 'default'"))


def test_results_have_the_order_of_the_organizations(client, nodes, answer):
    nodes.answers = {5: answer("five", after=30), 2: answer("two", after=20), 3: answer("three", after=10)}
    results = client.run("count")
    assert list(results) == ["five", "two", "three"]
    assert len(results) == 3
    assert results[0] == "five"
    assert results[-1] == "three"
    assert results[1:] == ["two", "three"]
    assert "two" in results
    assert results.failures == {}


def test_as_completed_yields_results_in_the_order_of_arrival(client, nodes, clock, answer):
    nodes.answers = {5: answer("five", after=300), 2: answer("two", after=20), 3: answer("three", after=100)}
    start = clock.now
    arrived = [(organization, value, clock.now - start) for organization, value in client.run("count").as_completed()]
    assert [(organization, value) for organization, value, _ in arrived] == [(2, "two"), (3, "three"), (5, "five")]
    for (_, _, seen), after in zip(arrived, [20, 100, 300], strict=True):
        assert after <= seen <= after * 1.26 + 0.1


def test_as_completed_and_the_list_can_be_read_again(client, nodes, answer):
    nodes.answers = {5: answer(5), 2: answer(2, after=10), 3: answer(3)}
    results = client.run("count")
    assert sorted(results.as_completed()) == [(2, 2), (3, 3), (5, 5)]
    checks = len(nodes.checks)
    assert list(results) == [5, 2, 3]
    assert sorted(results.as_completed()) == [(2, 2), (3, 3), (5, 5)]
    assert len(nodes.checks) == checks


def test_leaving_as_completed_early_loses_nothing(client, nodes, answer):
    nodes.answers = {5: answer(5, after=10), 2: answer(2), 3: answer(3, after=5)}
    results = client.run("count")
    assert next(results.as_completed()) == (2, 2)
    assert list(results) == [5, 2, 3]


FRAME = pd.DataFrame({"a": np.array([1, 2], "int16"), "b": [math.nan, 0.5]}, index=["x", "y"])


def test_rich_results_are_returned_unchanged(client, nodes, answer):
    nodes.answers = {
        5: answer(output=encode_rich(FRAME)),
        2: answer(output=encode_rich({"sum": np.float32(1.5), "all": np.arange(3)})),
        3: answer(output=encode_rich((math.inf, None))),
    }
    frame, mapping, pair = client.run("count")
    pd.testing.assert_frame_equal(frame, FRAME)
    assert mapping["sum"] == np.float32(1.5)
    assert mapping["sum"].dtype == np.float32
    np.testing.assert_array_equal(mapping["all"], np.arange(3))
    assert pair == (math.inf, None)


def test_plain_results_are_read(client, nodes, answer):
    nodes.answers = {2: answer(output=encode_plain({"sum": [1, 2.5, None]}).data)}
    assert client.run("count", organizations=[2])[0] == {"sum": [1, 2.5, None]}


@pytest.mark.parametrize("value", [None, 0, False, "", [], {}])
def test_a_false_value_is_a_result(client, nodes, answer, value):
    nodes.answers = {2: answer(value), 3: answer(output=encode_rich(value))}
    assert list(client.run("count", organizations=[2, 3])) == [value, value]


def test_a_failure_names_organization_and_reason(client, nodes, answer):
    nodes.answers = {3: answer(status="crashed", log=BAD_COLUMN)}
    results = client.run("count")
    with pytest.raises(PartialFailure) as failed:
        list(results)
    assert str(failed.value) == (
        "1 of 3 organizations failed: beta (id 3): crashed: no column 'age' in database 'default' [exit code 16]"
    )
    assert results.failures == {3: "crashed: no column 'age' in database 'default' [exit code 16]"}


@pytest.mark.parametrize(
    "read",
    [
        list,
        len,
        lambda r: r[0],
        lambda r: r[:1],
        lambda r: list(r.as_completed()),
        bool,
        lambda r: r.organizations,
        lambda r: r.items(),
    ],
)
def test_every_way_of_reading_raises(client, nodes, answer, read):
    nodes.answers = {3: answer(status="failed")}
    with pytest.raises(PartialFailure, match="beta"):
        read(client.run("count"))


def test_as_completed_yields_all_results_before_it_raises(client, nodes, answer):
    nodes.answers = {5: answer(5, after=20), 2: answer(status="failed"), 3: answer(3, after=10)}
    completed = client.run("count", wait_for_all=True).as_completed()
    assert next(completed) == (3, 3)
    assert next(completed) == (5, 5)
    with pytest.raises(PartialFailure, match="alpha"):
        next(completed)


@pytest.mark.parametrize("log", ["", "Container failed", "Node does not allow sharing algorithm logs", "Killed\n"])
def test_a_log_without_a_reason_is_reported(client, nodes, answer, log):
    nodes.answers = {3: answer(status="non-existing Docker image", log=log)}
    assert client.run("count").failures == {3: "non-existing Docker image: its log contains no reason"}


def test_completed_without_a_result_is_a_failure(client, nodes, answer):
    nodes.answers = {3: answer(output=b"")}
    assert client.run("count").failures == {3: "completed, but without a result"}


@pytest.mark.parametrize("output", [b"\x80\x04K\x01.", b"{", b"algotools.\xc1", b"\xff"])
def test_an_unreadable_result_is_a_failure_of_its_organization(client, nodes, answer, output):
    nodes.answers = {5: answer(5), 2: answer(2), 3: answer(output=output)}
    results = client.run("count", quorum=2)
    assert list(results) == [5, 2]
    assert results.failures[3].startswith("completed, but its result cannot be read (")


def test_an_organization_without_a_run_is_a_failure(client, nodes):
    nodes.without_run = {3}
    assert client.run("count", timeout=60).failures == {3: "no result within 60 s (status: no run)"}


def test_failures_waits_for_all_runs_and_does_not_raise(client, nodes, clock, answer):
    nodes.answers = {5: answer(5, after=100), 2: answer(status="failed"), 3: answer(status="crashed", after=50)}
    start = clock.now
    assert set(client.run("count").failures) == {2, 3}
    assert clock.now - start >= 100


def test_a_reached_quorum_returns_the_results_and_logs_the_failures(client, nodes, answer, log):
    nodes.answers = {5: answer(5), 2: answer(status="failed"), 3: answer(3)}
    results = client.run("count", quorum=2)
    assert list(results) == [5, 3]
    assert list(results.failures) == [2]
    assert any("1 of 3 organizations failed: alpha (id 2): failed" in line for line in log)


def test_results_name_their_organizations_in_the_order_of_the_results(client, nodes, answer):
    nodes.answers = {5: answer(50, after=9), 2: answer(20), 3: answer(30, after=5)}
    results = client.run("count")
    assert results.organizations == [5, 2, 3]
    assert results.items() == [(5, 50), (2, 20), (3, 30)]
    assert list(zip(results.organizations, results, strict=True)) == results.items()


def test_results_of_a_quorum_name_only_the_organizations_that_succeeded(client, nodes, answer):
    nodes.answers = {5: answer(5), 2: answer(status="failed"), 3: answer(3)}
    results = client.run("count", quorum=2)
    assert results.organizations == [5, 3]
    assert dict(results.items()) == {5: 5, 3: 3}


def withhold(value, cells, minimum):
    """Return the output of a node that has withheld cells."""
    return add_withheld(encode_rich(value), WithheldCells(cells, minimum))


@pytest.mark.parametrize("read", [list, lambda results: list(results.as_completed())], ids=["list", "as_completed"])
def test_withheld_cells_are_counted_and_logged_once(client, nodes, answer, log, read):
    nodes.answers = {5: answer(output=withhold(5, 4, 3)), 2: answer(output=withhold(2, 1, 3)), 3: answer(3)}
    results = client.run("count")
    read(results)
    assert results.withheld == {5: 4, 2: 1}
    assert list(results) == [5, 2, 3]
    assert [line for line in log if "withheld" in line] == [
        "info > 2 organizations withheld 5 cells with fewer than 3 records"
    ]


def test_withheld_waits_for_the_runs_and_does_not_raise(client, nodes, answer, log):
    nodes.answers = {5: answer(output=withhold(5, 1, 10), after=30), 2: answer(status="failed"), 3: answer(3)}
    assert client.run("count", wait_for_all=True).withheld == {5: 1}
    nodes.answers = {5: answer(output=withhold(5, 1, 10)), 2: answer(output=withhold(5, 1, 3)), 3: answer(3)}
    list(client.run("count"))
    assert log[-1] == "info > 2 organizations withheld 2 cells with too few records"


def test_a_missed_quorum_raises(client, nodes, answer):
    nodes.answers = {5: answer(5), 2: answer(status="failed"), 3: answer(status="crashed")}
    with pytest.raises(PartialFailure) as failed:
        list(client.run("count", quorum=2))
    assert str(failed.value).startswith("2 of 3 organizations failed: alpha (id 2)")
    assert "; beta (id 3): crashed: " in str(failed.value)
    assert str(failed.value).endswith("(quorum: 2)")


def test_a_late_result_is_a_failure_at_the_timeout(client, nodes, clock, answer):
    nodes.answers = {3: answer(3, after=61)}
    start = clock.now
    results = client.run("count", timeout=60)
    assert results.failures == {3: "no result within 60 s (status: active)"}
    assert 60 <= clock.now - start < 60.1


def test_a_result_just_in_time_is_accepted(client, nodes, answer):
    nodes.answers = {3: answer(3, after=60)}
    assert client.run("count", timeout=60, organizations=[3])[0] == 3


def test_a_timeout_starts_when_the_task_is_sent(client, nodes, clock, answer):
    nodes.answers = {3: answer(3, after=None)}
    results = client.run("count", timeout=60, organizations=[3])
    clock.now += 100
    assert results.failures == {3: "no result within 60 s (status: active)"}
    assert clock.slept == []


def test_without_a_timeout_a_run_may_take_hours(client, nodes, answer):
    nodes.answers = {3: answer(3, after=30 * 3600)}
    assert client.run("count", organizations=[3])[0] == 3


def test_no_run_is_awaited_without_end(client, nodes, clock, answer, monkeypatch):
    monkeypatch.setattr(_limits, "DEFAULT_TIMEOUT", 100.0)
    nodes.answers = {3: answer(3, after=None)}
    assert client.run("count", organizations=[3]).failures == {3: "no result within 100 s (status: active)"}


def test_a_run_of_a_node_that_stays_offline_fails(client, nodes, clock, answer, monkeypatch):
    monkeypatch.setattr(_results, "OFFLINE_LIMIT", 120.0)
    nodes.answers = {3: answer(3, after=None, offline=(0, math.inf))}
    start = clock.now
    assert client.run("count").failures == {3: "its node has been offline for 2 minutes (status: active)"}
    assert 120 <= clock.now - start <= 140


def test_a_node_that_comes_back_online_is_awaited(client, nodes, answer, monkeypatch):
    monkeypatch.setattr(_results, "OFFLINE_LIMIT", 120.0)
    nodes.answers = {3: answer(3, after=900, offline=(10, 100))}
    assert client.run("count", organizations=[3])[0] == 3


def test_two_short_offline_periods_are_not_added(client, nodes, clock, answer, monkeypatch):
    monkeypatch.setattr(_results, "OFFLINE_LIMIT", 120.0)
    nodes.answers = {3: answer(3, after=None, offline=(0, 100))}
    results = client.run("count", organizations=[3])
    read_run_states = nodes.read_run_states

    def read_twice_offline(task_id: int):
        elapsed = clock.now - nodes.created[0][2]
        nodes.answers[3].offline = (200, math.inf) if elapsed >= 150 else (0, 100)
        return read_run_states(task_id)

    nodes.read_run_states = read_twice_offline
    start = clock.now
    assert "offline for 2 minutes" in results.failures[3]
    assert clock.now - start >= 320


def test_a_finished_run_of_an_offline_node_has_a_result(client, nodes, answer):
    nodes.answers = {3: answer(3, offline=(0, math.inf))}
    assert client.run("count", organizations=[3])[0] == 3


def test_an_immediate_result_needs_no_pause(client, nodes, clock):
    assert len(client.run("count")) == 3
    assert len(nodes.checks) == 1
    assert clock.slept == []


def test_two_tasks_run_at_the_same_time(client, nodes, clock, answer):
    nodes.answers = {2: answer(2, after=100), 3: answer(3, after=100)}
    start = clock.now
    first, second = client.run("count", organizations=[2]), client.run("total", organizations=[3])
    assert [*first, *second] == [2, 3]
    assert clock.now - start < 130


def test_repr_shows_the_progress(client, nodes, answer):
    nodes.answers = {2: answer(status="failed")}
    results = client.run("count")
    assert repr(results) == "<results of task 1: 0 of 3 in, 0 failed>"
    assert results.failures
    assert repr(results) == "<results of task 1: 2 of 3 in, 1 failed>"


statuses = st.sampled_from(["completed", "failed", "crashed", "killed by user"])
afters = st.one_of(st.none(), st.floats(0, 200))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    runs=st.lists(st.tuples(statuses, afters, st.booleans()), min_size=1, max_size=5),
    quorum=st.one_of(st.none(), st.integers(1, 5)),
)
def test_every_organization_has_a_result_or_a_failure(collaboration, runs, quorum):
    nodes = collaboration({o: f"org{o}" for o in range(1, len(runs) + 1)})
    client, answer = nodes.client(), nodes.answer
    nodes.answers = {
        o: answer(o, after=after, status=status, output=b"" if empty else None)
        for o, (status, after, empty) in enumerate(runs, start=1)
    }
    quorum = quorum if quorum is None or quorum <= len(runs) else None
    good = [
        o
        for o, (status, after, empty) in enumerate(runs, start=1)
        if status == "completed" and after is not None and after <= 100 and not empty
    ]
    results = client.run("count", timeout=100, quorum=quorum, wait_for_all=True)
    assert sorted([*good, *results.failures]) == list(nodes.names)
    if len(good) >= (len(runs) if quorum is None else quorum):
        assert list(results) == good
    else:
        with pytest.raises(PartialFailure) as failed:
            list(results)
        assert all(f"org{o} (id {o})" in str(failed.value) for o in results.failures)


def test_without_a_failure_each_run_is_checked_once_a_minute(client, nodes, answer):
    nodes.answers = {5: answer(5, after=3600), 2: answer(2, after=10), 3: answer(3, after=20)}
    assert list(client.run("count")) == [5, 2, 3]
    assert 55 <= len(nodes.checks) <= 70
    assert len(nodes.status_polls) > 3 * len(nodes.checks)
    assert len(nodes.fetches) == 1


def test_after_a_failure_the_other_runs_are_still_awaited(client, nodes, answer):
    nodes.answers = {5: answer(5, after=3600), 2: answer(status="crashed", after=10)}
    results = client.run("count", quorum=1, wait_for_all=True)
    assert list(results) == [5, None]
    assert results.failures == {2: "crashed: its log contains no reason"}


@pytest.mark.parametrize("wait", [list, lambda results: list(results.as_completed())])
def test_a_slow_platform_gets_pauses_between_requests(collaboration, answer, clock, wait):
    nodes = collaboration({o: f"org{o}" for o in range(1, 101)})
    nodes.request_time = 5.0
    nodes.answers = {o: answer(o, after=2.0 * o) for o in nodes.names}
    start = clock.now
    assert len(wait(nodes.client().run("count"))) == 100
    busy = nodes.request_time * (len(nodes.checks) + len(nodes.fetches))
    assert busy <= (clock.now - start) / 3 + 2 * nodes.request_time
    assert clock.now - start <= 240
