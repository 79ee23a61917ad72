"""How long a master waits, what it knows at the end, and how many requests it sends meanwhile."""

import itertools
import math
import random

import pytest

from algotools.errors import ArgumentsError, Failure, PartialFailure
from algotools.runtime.client._polling import REQUEST_CREDIT
from algotools.runtime.logs import format_failure

BAD_COLUMN = format_failure(Failure(16, "no column 'age' in database 'default'"))


@pytest.fixture(params=["list", "first", "as_completed"])
def read(request):
    """A way of reading results."""
    ways = {"list": list, "first": lambda results: results[0], "as_completed": lambda r: list(r.as_completed())}
    return ways[request.param]


# polling


DURATIONS = [
    0.01,
    0.05,
    0.3,
    0.7,
    1,
    1.5,
    2,
    2.5,
    3,
    5,
    10,
    20,
    40,
    49,
    51,
    60,
    75,
    90,
    100,
    120,
    300,
    1000,
    3600,
    86400,
]


@pytest.mark.parametrize("after", DURATIONS)
@pytest.mark.parametrize("count", [3, 100])
@pytest.mark.parametrize("latency", [0.0, 0.04, 0.1])
@pytest.mark.parametrize("generation", ["v4", "v5"])
def test_a_result_is_noticed_soon_with_one_request_a_second(
    collaboration, answer, clock, after, count, latency, generation
):
    nodes = collaboration({o: f"org{o}" for o in range(1, count + 1)})
    nodes.answers = {o: answer(o, after=after * o / count) for o in nodes.names}
    nodes.latency, nodes.may_lose_results = latency, generation == "v5"
    start = clock.now
    assert nodes.client().run("count")[0] == 1
    late = clock.now - nodes.created[0][2] - after
    # A poll that has just missed the end, the poll that notices it, a full check, and the request for the results.
    assert 0 <= late <= max(1, 0.02 * after) + 4 * latency + 1e-3
    assert late <= after or after >= 0.3 or latency
    # No schedule needs less than 4 requests, and one in each of the first 50 seconds. v5 also needs the durations.
    beyond = nodes.requests - (clock.now - start) - (2 if generation == "v5" else 0)
    assert beyond <= {0.0: REQUEST_CREDIT - 1, 0.04: 8.5, 0.1: 4.6}[latency]
    assert beyond <= 0 or after < 100


@pytest.mark.parametrize("random_seed", range(5))
def test_a_master_of_many_subtasks_keeps_both_limits(collaboration, answer, clock, random_seed):
    numbers = random.Random(random_seed)
    nodes = collaboration({1: "org1", 2: "org2", 3: "org3"})
    client, start, subtasks = nodes.client(), clock.now, 0
    while clock.now - start < 3000:
        after = numbers.choice([1.1, 3, 10, 60]) * numbers.uniform(0.95, 2)
        nodes.answers, sent = {2: answer(2, after=after)}, clock.now
        assert client.run("count")[1] == 2
        assert clock.now - sent - after <= max(1, 0.02 * after) + 1e-3
        subtasks += 1
        assert nodes.requests <= clock.now - start + 2 * subtasks + REQUEST_CREDIT
        clock.sleep(numbers.choice([0, 0, 5]))  # the master works on the result


def test_the_time_between_two_polls_is_at_most_15_seconds(client, nodes, answer):
    nodes.answers = {3: answer(3, after=86400)}
    assert client.run("count", organizations=[3])[0] == 3
    polls = sorted({*nodes.checks, *nodes.status_polls})
    assert max(later - earlier for earlier, later in itertools.pairwise(polls)) <= 15.01


@pytest.mark.parametrize("seconds", [0.5, 1.5, 3.0, 20.0])
def test_the_requests_of_many_rounds_are_bounded(client, nodes, clock, answer, seconds):
    nodes.answers = {o: answer(o, after=seconds) for o in nodes.names}
    start, rounds = clock.now, 100
    for _ in range(rounds):
        assert list(client.run("count")) == [5, 2, 3]
    elapsed = clock.now - start
    assert elapsed <= rounds * max(1.1 * seconds, math.ceil(seconds)) + 2
    # Every round sends the task, polls once a second, and fetches the results.
    assert nodes.requests <= elapsed + 2 * rounds + REQUEST_CREDIT or seconds < 1
    assert nodes.requests <= 12 * rounds or seconds > 10


@pytest.mark.parametrize(("interval", "latest"), [(0.1, 0.1), (0.5, 0.5), (60.0, 20.0)])
def test_the_interval_is_the_longest_time_between_two_polls(client, nodes, clock, answer, interval, latest):
    nodes.answers = {3: answer(3, after=1000)}
    start = clock.now
    assert client.run("count", organizations=[3], interval=interval)[0] == 3
    assert clock.now - start - 1000 <= latest + 1e-3
    assert max(clock.slept) == pytest.approx(min(interval, 20.0), rel=0.05)


@pytest.mark.parametrize("limit", [{"timeout": "60"}, {"timeout": math.nan}, {"timeout": -1}, {"timeout": True}])
@pytest.mark.parametrize("name", ["timeout", "grace", "interval"])
def test_an_invalid_time_is_refused_before_the_task_is_sent(client, nodes, limit, name):
    with pytest.raises(ArgumentsError, match=f"{name} must be a number of seconds, not less than 0"):
        client.run("count", quorum=1, **{name: limit["timeout"]})
    assert nodes.created == []


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"grace": 3}, "grace needs quorum="),
        ({"grace": 3, "quorum": 1, "wait_for_all": True}, "excludes wait_for_all=True"),
        ({"wait_for_all": 1}, "wait_for_all must be True or False"),
        ({"wait_for_all": None}, "wait_for_all must be True or False"),
        ({"quorum": "2"}, "quorum must be an integer from 1 to 3"),
        ({"quorum": True}, "quorum must be an integer from 1 to 3"),
        ({"quorum": 1.5}, "quorum must be an integer from 1 to 3"),
    ],
)
def test_invalid_limits_are_refused_before_the_task_is_sent(client, nodes, limits, message):
    with pytest.raises(ArgumentsError, match=message):
        client.run("count", **limits)
    assert nodes.created == []


def test_all_limits_are_names_of_arguments_as_well(client, nodes):
    arguments = dict.fromkeys(["timeout", "quorum", "grace", "wait_for_all", "interval", "organizations"], 1)
    client.run("count", organizations=[2], arguments=arguments)
    client.run("count", arguments={2: arguments, 3: {}})
    assert [sent for _, sent, _ in nodes.created] == [{2: arguments}, {2: arguments, 3: {}}]


# slow full checks


@pytest.fixture
def large(nodes):
    """Nodes whose server needs four seconds to return all runs, because of their large inputs."""
    nodes.answers = {5: nodes.answer(5, after=20), 2: nodes.answer(2, after=40), 3: nodes.answer(3, after=100)}

    def read_run_states(task_id):
        nodes.clock.now += 4.0
        return type(nodes).read_run_states(nodes, task_id)

    nodes.read_run_states = read_run_states
    return nodes


@pytest.mark.parametrize("may_lose_results", [False, True])
def test_a_slow_full_check_does_not_delay_the_last_result(client, large, clock, may_lose_results):
    large.may_lose_results = may_lose_results
    start = clock.now
    assert list(client.run("count")) == [5, 2, 3]
    assert clock.now - start - 100 <= 2
    assert len(large.checks) <= 1 + 100 / 80, "at most 5 % of the time, and none at the end"
    assert large.fetches == [clock.now]


def test_a_slow_full_check_is_left_out_while_the_number_of_results_is_unchanged(client, large, clock):
    start = clock.now
    arrived = [(organization, clock.now - start) for organization, _ in client.run("count").as_completed()]
    assert [organization for organization, _ in arrived] == [5, 2, 3]
    for (_, moment), after in zip(arrived, (20, 40, 100), strict=True):
        assert moment - after <= 6.1
    assert len(large.checks) <= 5
    assert len(large.counts) >= 40


def test_a_slow_full_check_is_repeated_if_the_platform_cannot_count(client, large, clock):
    large.can_count = False
    start = clock.now
    assert list(client.run("count", quorum=2, grace=0)) == [5, 2]
    assert clock.now - start - 40 <= 17
    assert len(large.checks) <= 4


@pytest.mark.parametrize("wait_for_all", [False, True])
def test_a_failure_is_noticed_without_waiting_for_a_slow_full_check(client, large, clock, wait_for_all):
    large.answers[2] = large.answer(status="crashed", log=BAD_COLUMN, after=40)
    start = clock.now
    with pytest.raises(PartialFailure, match="alpha"):
        list(client.run("count", wait_for_all=wait_for_all))
    assert clock.now - start <= (106 if wait_for_all else 47)
    assert len(large.checks) <= 5


# failures


def test_the_first_failure_decides(client, nodes, clock, answer, log, read):
    nodes.answers = {
        5: answer(5, after=4000),
        2: answer(2, after=3),
        3: answer(status="crashed", log=BAD_COLUMN, after=5),
    }
    results, start = client.run("count"), clock.now
    with pytest.raises(PartialFailure) as failed:
        read(results)
    assert 5 <= clock.now - start <= 7
    assert str(failed.value) == (
        "1 of 3 organizations failed: beta (id 3): crashed: no column 'age' in database 'default' [exit code 16]; "
        "not finished: gamma (id 5)"
    )
    assert log[-1] == (
        "info > a run has failed. The runs at gamma (id 5) continue at their nodes, because a master cannot stop them"
    )
    before = clock.now, len(log)
    with pytest.raises(PartialFailure, match="not finished: gamma"):
        read(results)
    assert list(results.failures) == [3]
    assert (clock.now, len(log)) == before


@pytest.mark.parametrize(("after", "latest"), [(0.01, 0.25), (0.3, 0.85), (30, 32.6)])
def test_failures_within_a_moment_are_reported_together(client, nodes, clock, answer, read, after, latest):
    nodes.answers = {o: answer(status="crashed", after=after * (1 + 0.01 * o), log=BAD_COLUMN) for o in (5, 2, 3)}
    start = clock.now
    with pytest.raises(
        PartialFailure, match=r"^3 of 3 organizations failed: gamma \(id 5\), alpha .*, beta .*: crashed"
    ):
        read(client.run("count"))
    assert clock.now - start <= latest


def test_as_completed_yields_the_results_before_the_failure(client, nodes, answer):
    nodes.answers = {5: answer(5, after=4000), 2: answer(2, after=3), 3: answer(status="crashed", after=5)}
    arrived = []
    with pytest.raises(PartialFailure, match="beta"):
        arrived += client.run("count").as_completed()
    completed = client.run("count").as_completed()
    assert next(completed) == (2, 2)


def test_wait_for_all_waits_for_the_slowest_run(client, nodes, clock, answer, log, read):
    nodes.answers = {5: answer(5, after=4000), 2: answer(2, after=3), 3: answer(status="crashed", after=5)}
    results, start = client.run("count", wait_for_all=True), clock.now
    with pytest.raises(PartialFailure) as failed:
        read(results)
    assert clock.now - start >= 4000
    assert "not finished" not in str(failed.value)
    assert not any("continue" in line for line in log)


@pytest.mark.parametrize("wait_for_all", [False, True])
def test_a_quorum_that_cannot_be_reached_any_more_fails_at_once(client, nodes, clock, answer, wait_for_all):
    nodes.answers = {5: answer(5, after=4000), 2: answer(status="failed"), 3: answer(status="crashed", after=5)}
    results, start = client.run("count", quorum=2, wait_for_all=wait_for_all), clock.now
    with pytest.raises(PartialFailure, match=r"\(quorum: 2\)"):
        list(results)
    assert clock.now - start >= 4000 if wait_for_all else clock.now - start <= 7.1


def test_the_v4_calls_fail_fast_as_well(client, nodes, clock, answer):
    nodes.answers = {5: answer(5, after=4000), 3: answer(status="crashed", after=5)}
    for read in (client.wait_for_results, client.result.from_task):
        start = clock.now
        with pytest.raises(PartialFailure, match="beta"):
            read(client.task.create({"method": "count"})["id"])
        assert clock.now - start <= 7.1
    with pytest.raises(PartialFailure, match="beta"):
        client.wait_for_results(1, wait_for_all=True)
    assert clock.now - start >= 4000 - 20


def test_a_message_names_at_most_ten_unfinished_organizations(collaboration, answer):
    nodes = collaboration({o: f"org{o}" for o in range(1, 101)})
    nodes.answers = {o: answer(o, after=1000) for o in range(2, 101)} | {1: answer(status="crashed")}
    with pytest.raises(PartialFailure, match=r"not finished: org2 \(id 2\), .*org11 \(id 11\) and 89 more$"):
        list(nodes.client().run("count"))


# quorum


@pytest.mark.parametrize(
    ("limits", "second", "expected"),
    [({}, 10, 20), ({}, 1000, 1100), ({"grace": 0}, 10, 10), ({"grace": 60}, 10, 70), ({"grace": 1000}, 10, 400)],
)
def test_a_reached_quorum_ends_the_wait_after_a_grace(
    client, nodes, clock, answer, log, limits, second, expected, read
):
    late = 400 if limits.get("grace") == 1000 else 4000
    nodes.answers = {5: answer(5, after=1), 2: answer(2, after=second), 3: answer(3, after=late)}
    results, start = client.run("count", quorum=2, **limits), clock.now
    read(results)
    assert expected - 0.1 <= clock.now - start <= expected * 1.02 + 1
    if late == 400:
        assert list(results) == [5, 2, 3]
        assert results.failures == {}
    else:
        assert list(results) == [5, 2]
        assert results.failures == {3: "no result when the quorum was reached (status: active)"}
        assert (
            "info > the quorum is reached. The runs at beta (id 3) continue at their nodes, "
            "because a master cannot stop them" in log
        )


def test_a_result_that_arrives_within_the_grace_is_used(client, nodes, clock, answer):
    nodes.answers = {5: answer(5), 2: answer(2), 3: answer(3, after=8)}
    results, start = client.run("count", quorum=2), clock.now
    assert list(results) == [5, 2, 3]
    assert clock.now - start <= 9.1


def test_a_quorum_of_offline_and_failed_organizations(client, nodes, clock, answer, log):
    nodes.answers = {5: answer(5), 2: answer(status="failed"), 3: answer(3, after=None, offline=(0, math.inf))}
    results, start = client.run("count", quorum=1), clock.now
    assert list(results) == [5]
    assert clock.now - start <= 11.1
    assert results.failures[3] == "no result when the quorum was reached (status: active; its node is offline)"


def test_an_unreadable_result_does_not_count_for_a_quorum(client, nodes, clock, answer):
    nodes.answers = {5: answer(output=b"{"), 2: answer(2), 3: answer(3, after=300)}
    results, start = client.run("count", quorum=2, grace=0), clock.now
    assert list(results) == [2, 3]
    assert clock.now - start >= 300


def test_wait_for_all_ignores_a_reached_quorum(client, nodes, clock, answer):
    nodes.answers = {5: answer(5), 2: answer(status="failed"), 3: answer(3, after=300)}
    assert list(client.run("count", quorum=1, wait_for_all=True)) == [5, 3]


# offline nodes


def test_offline_nodes_are_named_at_once_and_again_after_30_seconds(client, nodes, clock, answer, log):
    nodes.answers = {3: answer(3, after=200, offline=(0, 100)), 2: answer(2, after=200, offline=(20, math.inf))}
    times = {}
    start = clock.now
    results = client.run("count", wait_for_all=True, timeout=190)
    while results._list_pending():
        results._poll()
        for line in log:
            times.setdefault(line, clock.now - start)
    limit = "a run counts as failed after 15 minutes without its node"
    lines = {
        f"info > waiting for nodes that are offline: beta (id 3); {limit}": (0, 3),
        f"info > still waiting for nodes that are offline: beta (id 3); {limit}": (30, 41),
        f"info > waiting for nodes that are offline: alpha (id 2); {limit}": (20, 31),
        f"info > still waiting for nodes that are offline: alpha (id 2); {limit}": (50, 72),
        "info > the node of beta (id 3) is online again": (100, 111),
    }
    assert set(lines) <= set(log)
    for line, (earliest, latest) in lines.items():
        assert earliest <= times[line] <= latest
    assert len(log) == len(set(log))


# lost results


@pytest.fixture
def v5(nodes):
    nodes.may_lose_results = True
    return nodes


def test_a_lost_run_is_sent_again_with_the_same_request(client, v5, clock, answer, log):
    v5.answers = {5: answer(5, after=2), 2: answer(2, after=2), 3: answer(3, after=None)}
    v5.repetitions = {3: answer("again", after=2)}
    start = clock.now
    assert list(client.run("count", column="age", arguments={"limit": 3})) == [5, 2, "again"]
    assert clock.now - start <= 25
    assert [(method, sent) for method, sent, _ in v5.created] == [
        ("count", {o: {"column": "age", "limit": 3} for o in (5, 2, 3)}),
        ("count", {3: {"column": "age", "limit": 3}}),
    ]
    assert v5.repeated_tasks == [1]  # the ledger of a node does not count the second request as a repetition
    assert v5.recipients_of_repetitions == [(5, 2, 3)]  # the minimum of organizations holds for the first task
    assert any("the result of count at beta (id 3) seems to be lost" in line and "(1 of 2)" in line for line in log)


def test_a_run_is_sent_again_at_most_twice(client, v5, clock, answer, log):
    v5.answers = {5: answer(5, after=2), 2: answer(2, after=2), 3: answer(3, after=None)}
    results = client.run("count", timeout=3600)
    assert results.failures == {3: "no result within 3600 s (status: active)"}
    assert [list(sent) for _, sent, _ in v5.created] == [[5, 2, 3], [3], [3]]
    assert sum("seems to be lost" in line for line in log) == 2


@pytest.mark.parametrize("repeated_after", [5, 100, None])
def test_a_slow_run_and_its_repetition_are_used_once(client, v5, clock, answer, repeated_after):
    v5.answers = {5: answer(5, after=2), 2: answer(2, after=2), 3: answer("slow", after=40)}
    v5.repetitions = {3: answer("again", after=repeated_after)}
    results = client.run("count")
    arrived = list(results.as_completed())
    assert [organization for organization, _ in arrived] in ([5, 2, 3], [2, 5, 3])
    assert dict(arrived)[3] == ("again" if repeated_after == 5 else "slow")
    assert len(results) == 3
    assert client.wait_for_results(1) == list(results)


def test_a_repetition_that_fails_decides(client, v5, answer):
    v5.answers = {5: answer(5, after=2), 2: answer(2, after=2), 3: answer(3, after=None)}
    v5.repetitions = {3: answer(status="crashed", log=BAD_COLUMN, after=2)}
    with pytest.raises(PartialFailure, match=r"beta \(id 3\): crashed: no column"):
        list(client.run("count"))


def test_a_run_as_slow_as_its_siblings_is_not_sent_again(client, v5, answer):
    v5.answers = {5: answer(5, after=100), 2: answer(2, after=90), 3: answer(3, after=400)}
    assert list(client.run("count")) == [5, 2, 3]
    assert len(v5.created) == 1


@pytest.mark.parametrize("change", ["v4", "offline", "no comparison", "pending"])
def test_a_run_is_not_sent_again_without_evidence(client, v5, answer, change, monkeypatch):
    v5.answers = {5: answer(5, after=2), 2: answer(2, after=2), 3: answer(3, after=300)}
    organizations = None
    if change == "v4":
        v5.may_lose_results = False
    elif change == "offline":
        v5.answers[3] = answer(3, after=300, offline=(0, 300))
    elif change == "no comparison":
        organizations = [3]
    else:
        v5.pending = {3}
    assert client.run("count", organizations=organizations)[-1] == 3
    assert len(v5.created) == 1


@pytest.mark.parametrize("evidence", ["earlier round", "another master"])
def test_a_run_without_siblings_is_compared_with_other_runs(client, v5, clock, answer, evidence):
    if evidence == "another master":
        v5.durations = [1.0, 2.0]
    else:
        v5.answers = {3: answer(3, after=2)}
        assert list(client.run("count", organizations=[3])) == [3]
        v5.created.clear()
    v5.answers = {3: answer(3, after=None)}
    v5.repetitions = {3: answer("again", after=2)}
    start = clock.now
    assert list(client.run("count", organizations=[3])) == ["again"]
    assert clock.now - start <= 25
    assert v5.requests <= 50


def test_at_v5_the_runs_of_one_node_follow_each_other(client, v5, clock, answer, log):
    v5.answers = {5: answer(5, after=30), 2: answer(2, after=3), 3: answer(3, after=4)}
    start = clock.now
    first = client.run("count", organizations=[5, 2])
    second = client.run("count", organizations=[3])
    assert clock.now == start, "the two subtasks have no node in common"
    third = client.run("count", organizations=[2, 3])
    assert 4 <= clock.now - start <= 6.1
    assert any("count is sent after earlier runs at the same nodes" in line for line in log)
    assert [list(third), list(second), list(first)] == [[2, 3], [3], [5, 2]]
    assert clock.now - start <= 31.1
    client.close()
    assert not any("never read" in line for line in log)


def test_waiting_for_earlier_runs_does_not_count_as_reading_them(client, v5, log):
    client.task.create({"method": "count"})
    list(client.run("count"))
    client.close()
    assert log[-1] == "info > the results of count were never read, so a failure would go unnoticed"


def test_runs_that_continue_after_a_failure_do_not_delay_the_next_subtask(client, v5, clock, answer):
    v5.answers = {5: answer(5, after=3000), 2: answer(status="crashed"), 3: answer(3)}
    with pytest.raises(PartialFailure):
        list(client.run("count"))
    start = clock.now
    client.run("count", quorum=2)
    assert clock.now == start
