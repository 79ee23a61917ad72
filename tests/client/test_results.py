"""What a master gets back: every answer, or the reason why there is none."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from algotools.client import results
from algotools.errors import Failure, PartialFailure
from algotools.payload import encode_plain, encode_rich
from algotools.report import failure_line

BAD_COLUMN = "info > reading\n" + failure_line(Failure(16, "no column 'age' in database 'default'"))


def test_results_are_in_the_order_of_the_organizations(client, nodes, answer):
    nodes.answers = {5: answer("five", after=30), 2: answer("two", after=20), 3: answer("three", after=10)}
    found = client.run("count")
    assert list(found) == ["five", "two", "three"]
    assert len(found) == 3
    assert found[0] == "five"
    assert found[-1] == "three"
    assert found[1:] == ["two", "three"]
    assert "two" in found
    assert found.failures == {}


def test_as_completed_gives_them_in_the_order_of_arrival(client, nodes, clock, answer):
    nodes.answers = {5: answer("five", after=300), 2: answer("two", after=20), 3: answer("three", after=100)}
    began = clock.now
    arrived = [(organization, value, clock.now - began) for organization, value in client.run("count").as_completed()]
    assert [(organization, value) for organization, value, _ in arrived] == [(2, "two"), (3, "three"), (5, "five")]
    for (_, _, seen), after in zip(arrived, [20, 100, 300], strict=True):
        assert after <= seen <= after * 1.26 + 0.1


def test_as_completed_and_the_list_can_both_be_asked_again(client, nodes, answer):
    nodes.answers = {5: answer(5), 2: answer(2, after=10), 3: answer(3)}
    found = client.run("count")
    assert sorted(found.as_completed()) == [(2, 2), (3, 3), (5, 5)]
    looks = len(nodes.looks)
    assert list(found) == [5, 2, 3]
    assert sorted(found.as_completed()) == [(2, 2), (3, 3), (5, 5)]
    assert len(nodes.looks) == looks


def test_leaving_as_completed_early_loses_nothing(client, nodes, answer):
    nodes.answers = {5: answer(5, after=10), 2: answer(2), 3: answer(3, after=5)}
    found = client.run("count")
    assert next(found.as_completed()) == (2, 2)
    assert list(found) == [5, 2, 3]


FRAME = pd.DataFrame({"a": np.array([1, 2], "int16"), "b": [math.nan, 0.5]}, index=["x", "y"])


def test_rich_answers_come_back_as_they_were(client, nodes, answer):
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


def test_plain_answers_are_read_too(client, nodes, answer):
    nodes.answers = {2: answer(output=encode_plain({"sum": [1, 2.5, None]}).data)}
    assert client.run("count", organizations=[2])[0] == {"sum": [1, 2.5, None]}


@pytest.mark.parametrize("value", [None, 0, False, "", [], {}])
def test_an_answer_that_counts_as_false_is_an_answer(client, nodes, answer, value):
    nodes.answers = {2: answer(value), 3: answer(output=encode_rich(value))}
    assert list(client.run("count", organizations=[2, 3])) == [value, value]


def test_a_failure_raises_naming_organization_and_reason(client, nodes, answer):
    nodes.answers = {3: answer(status="crashed", log=BAD_COLUMN)}
    found = client.run("count")
    with pytest.raises(PartialFailure) as failed:
        list(found)
    assert str(failed.value) == (
        "1 of 3 organizations failed: beta (id 3): crashed: no column 'age' in database 'default' [exit code 16]"
    )
    assert found.failures == {3: "crashed: no column 'age' in database 'default' [exit code 16]"}


@pytest.mark.parametrize("look", [list, len, lambda r: r[0], lambda r: r[:1], lambda r: list(r.as_completed()), bool])
def test_every_way_of_looking_raises(client, nodes, answer, look):
    nodes.answers = {3: answer(status="failed")}
    with pytest.raises(PartialFailure, match="beta"):
        look(client.run("count"))


def test_as_completed_gives_what_there_is_before_it_raises(client, nodes, answer):
    nodes.answers = {5: answer(5, after=20), 2: answer(status="failed"), 3: answer(3, after=10)}
    completed = client.run("count").as_completed()
    assert next(completed) == (3, 3)
    assert next(completed) == (5, 5)
    with pytest.raises(PartialFailure, match="alpha"):
        next(completed)


@pytest.mark.parametrize("log", ["", "Container failed", "Node does not allow sharing algorithm logs", "Killed\n"])
def test_a_log_that_does_not_say_why_is_said_so(client, nodes, answer, log):
    nodes.answers = {3: answer(status="non-existing Docker image", log=log)}
    assert client.run("count").failures == {3: "non-existing Docker image: its log does not say why"}


def test_completed_without_a_result_is_a_failure(client, nodes, answer):
    nodes.answers = {3: answer(output=b"")}
    assert client.run("count").failures == {3: "completed, but without a result"}


@pytest.mark.parametrize("output", [b"\x80\x04K\x01.", b"{", b"algotools.\xc1", b"\xff"])
def test_a_result_that_cannot_be_read_is_a_failure_of_that_organization(client, nodes, answer, output):
    nodes.answers = {5: answer(5), 2: answer(2), 3: answer(output=output)}
    found = client.run("count", quorum=2)
    assert list(found) == [5, 2]
    assert found.failures[3].startswith("completed, but its result cannot be read (")


def test_an_organization_for_which_there_is_no_run_is_a_failure(client, nodes):
    nodes.forgets = {3}
    assert client.run("count", timeout=60).failures == {3: "no answer within 60 s (status: no run)"}


def test_failures_do_not_raise_and_wait_for_all(client, nodes, clock, answer):
    nodes.answers = {5: answer(5, after=100), 2: answer(status="failed"), 3: answer(status="crashed", after=50)}
    began = clock.now
    assert set(client.run("count").failures) == {2, 3}
    assert clock.now - began >= 100


def test_a_quorum_that_is_reached_gives_the_others_and_logs_the_failures(client, nodes, answer, log):
    nodes.answers = {5: answer(5), 2: answer(status="failed"), 3: answer(3)}
    found = client.run("count", quorum=2)
    assert list(found) == [5, 3]
    assert list(found.failures) == [2]
    assert any("1 of 3 organizations failed: alpha (id 2): failed" in line for line in log)


def test_a_quorum_that_is_missed_raises_and_says_so(client, nodes, answer):
    nodes.answers = {5: answer(5), 2: answer(status="failed"), 3: answer(status="crashed")}
    with pytest.raises(PartialFailure) as failed:
        list(client.run("count", quorum=2))
    assert str(failed.value).startswith("2 of 3 organizations failed: alpha (id 2)")
    assert "; beta (id 3): crashed: " in str(failed.value)
    assert str(failed.value).endswith("(quorum: 2)")


def test_an_answer_too_late_is_a_failure_at_the_limit(client, nodes, clock, answer):
    nodes.answers = {3: answer(3, after=61)}
    began = clock.now
    found = client.run("count", timeout=60)
    assert found.failures == {3: "no answer within 60 s (status: active)"}
    assert 60 <= clock.now - began < 60.1


def test_an_answer_just_in_time_is_an_answer(client, nodes, answer):
    nodes.answers = {3: answer(3, after=60)}
    assert client.run("count", timeout=60, organizations=[3])[0] == 3


def test_a_limit_counts_from_the_sending(client, nodes, clock, answer):
    nodes.answers = {3: answer(3, after=None)}
    found = client.run("count", timeout=60, organizations=[3])
    clock.now += 100
    assert found.failures == {3: "no answer within 60 s (status: active)"}
    assert clock.slept == []


def test_without_a_limit_work_of_hours_is_waited_for(client, nodes, answer):
    nodes.answers = {3: answer(3, after=30 * 3600)}
    assert client.run("count", organizations=[3])[0] == 3


def test_nothing_is_waited_for_without_end(client, nodes, clock, answer, monkeypatch):
    monkeypatch.setattr(results, "LONGEST_WAIT", 100.0)
    nodes.answers = {3: answer(3, after=None)}
    assert client.run("count", organizations=[3]).failures == {3: "no answer within 100 s (status: active)"}


def test_a_node_that_stays_offline_is_given_up(client, nodes, clock, answer, monkeypatch):
    monkeypatch.setattr(results, "OFFLINE_LIMIT", 120.0)
    nodes.answers = {3: answer(3, after=None, offline=(0, math.inf))}
    began = clock.now
    assert client.run("count").failures == {3: "its node has been offline for 2 minutes (status: active)"}
    assert 120 <= clock.now - began <= 140


def test_a_node_that_comes_back_is_waited_for(client, nodes, answer, monkeypatch):
    monkeypatch.setattr(results, "OFFLINE_LIMIT", 120.0)
    nodes.answers = {3: answer(3, after=900, offline=(10, 100))}
    assert client.run("count", organizations=[3])[0] == 3


def test_being_offline_twice_for_a_while_is_not_being_offline_for_long(client, nodes, clock, answer, monkeypatch):
    monkeypatch.setattr(results, "OFFLINE_LIMIT", 120.0)
    nodes.answers = {3: answer(3, after=None, offline=(0, 100))}
    found = client.run("count", organizations=[3])
    states = nodes.runs

    def twice(task_id: int):
        elapsed = clock.now - nodes.created[0][2]
        nodes.answers[3].offline = (200, math.inf) if elapsed >= 150 else (0, 100)
        return states(task_id)

    nodes.runs = twice
    began = clock.now
    assert "offline for 2 minutes" in found.failures[3]
    assert clock.now - began >= 320


def test_an_offline_node_whose_run_is_done_gives_its_answer(client, nodes, answer):
    nodes.answers = {3: answer(3, offline=(0, math.inf))}
    assert client.run("count", organizations=[3])[0] == 3


def test_the_first_quick_answer_is_not_waited_for(client, nodes, clock):
    assert len(client.run("count")) == 3
    assert len(nodes.looks) == 1
    assert clock.slept == []


@pytest.mark.parametrize(
    ("after", "most_looks", "latest"),
    [(0.05, 5, 0.1), (1, 30, 1.1), (60, 75, 66), (3600, 320, 3616), (86400, 5900, 86416)],
)
def test_slow_answers_are_not_hammered_for_and_quick_ones_come_at_once(
    client, nodes, clock, answer, after, most_looks, latest
):
    nodes.answers = {3: answer(3, after=after)}
    began = clock.now
    assert client.run("count", organizations=[3])[0] == 3
    assert clock.now - began <= latest
    asked = sorted({*nodes.looks, *nodes.questions})
    assert 1 < len(asked) <= most_looks
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert max(pauses) <= 15.01
    assert all(later >= earlier - 1e-6 for earlier, later in itertools.pairwise(pauses))


def test_two_runs_go_on_at_the_same_time(client, nodes, clock, answer):
    nodes.answers = {2: answer(2, after=100), 3: answer(3, after=100)}
    began = clock.now
    first, second = client.run("count", organizations=[2]), client.run("total", organizations=[3])
    assert [*first, *second] == [2, 3]
    assert clock.now - began < 130


def test_a_look_from_outside_tells_how_far_it_is(client, nodes, answer):
    nodes.answers = {2: answer(status="failed")}
    found = client.run("count")
    assert repr(found) == "<results of task 1: 0 of 3 in, 0 failed>"
    assert found.failures
    assert repr(found) == "<results of task 1: 2 of 3 in, 1 failed>"


statuses = st.sampled_from(["completed", "failed", "crashed", "killed by user"])
afters = st.one_of(st.none(), st.floats(0, 200))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    runs=st.lists(st.tuples(statuses, afters, st.booleans()), min_size=1, max_size=5),
    quorum=st.one_of(st.none(), st.integers(1, 5)),
)
def test_nothing_is_dropped_in_silence(collaboration, runs, quorum):
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
    found = client.run("count", timeout=100, quorum=quorum)
    assert sorted([*good, *found.failures]) == list(nodes.names)
    if len(good) >= (len(runs) if quorum is None else quorum):
        assert list(found) == good
    else:
        with pytest.raises(PartialFailure) as failed:
            list(found)
        assert all(f"org{o} (id {o})" in str(failed.value) for o in found.failures)


def test_while_all_goes_well_each_run_is_looked_at_once_a_minute(client, nodes, answer):
    nodes.answers = {5: answer(5, after=3600), 2: answer(2, after=10), 3: answer(3, after=20)}
    assert list(client.run("count")) == [5, 2, 3]
    assert 50 <= len(nodes.looks) <= 62
    assert len(nodes.questions) > 3 * len(nodes.looks)
    assert len(nodes.takes) == 1


def test_once_one_has_failed_the_others_are_still_waited_for(client, nodes, answer):
    nodes.answers = {5: answer(5, after=3600), 2: answer(status="crashed", after=10)}
    found = client.run("count", quorum=1)
    assert list(found) == [5, None]
    assert found.failures == {2: "crashed: its log does not say why"}


@pytest.mark.parametrize("wait", [list, lambda results: list(results.as_completed())])
def test_answers_that_take_the_platform_long_are_not_asked_for_without_rest(collaboration, answer, clock, wait):
    nodes = collaboration({o: f"org{o}" for o in range(1, 101)})
    nodes.costs = 5.0
    nodes.answers = {o: answer(o, after=2.0 * o) for o in nodes.names}
    began = clock.now
    assert len(wait(nodes.client().run("count"))) == 100
    busy = nodes.costs * (len(nodes.looks) + len(nodes.takes))
    assert busy <= (clock.now - began) / 3 + 2 * nodes.costs
    assert clock.now - began <= 240
