"""Calls with the same outcome on every generation and with every runner: status, result, exit code, failure line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from algotools import Federation
from algotools.federation.contract.rest import RunRecord
from algotools.runtime.logs import read_failure

from ..conftest import SECRET
from ..processes import LIMIT
from .conftest import CONFORMANCE, WAYS, Way, is_tested, parameters


class Failed(NamedTuple):
    """The expected failure of a run."""

    code: int
    message: str
    """The beginning of the message."""


class Call(NamedTuple):
    """A call of a method, and its expected outcome."""

    method: str
    arguments: dict[str, Any]
    expected: object
    """The result, or a ``Failed``."""
    lines: tuple[str, ...] = ()
    """Texts in the run's log."""


AGE = {"column": "age"}
TYPES = {
    "number": 3,
    "share": 0.5,
    "text": "ü",
    "flag": True,
    "items": [1, 2],
    "counts": {"a": 1},
    "unit": "visits",
    "choice": "b",
    "group": {"column": "age", "values": ["x"]},
    "day": "2024-02-29",
    "organization": 3,
    "anything": {"x": [None, "ü"]},
}
REFUSED = {
    "number": "3",
    "share": "0.5",
    "text": 3,
    "flag": 1,
    "items": [1, "2"],
    "counts": {"a": None},
    "unit": "persons and visits",
    "choice": "c",
    "group": {"column": "age", "valus": []},
    "day": "yesterday",
    "organization": True,
}

RPCS = {
    "an rpc": Call("sum_and_count", AGE, {"sum": 129, "count": 2}),
    "the columns that are read": Call("columns", AGE, ["age"]),
    "a database by its path": Call("first_value", {}, SECRET),
    "arguments of many types": Call(
        "echo",
        TYPES,
        {
            "number": "3",
            "share": "0.5",
            "text": "'ü'",
            "flag": "True",
            "items": "[1, 2]",
            "counts": "{'a': 1}",
            "unit": "<CountedUnit.VISITS: 'visits'>",
            "choice": "'b'",
            "group": "ColumnGroup(column='age', values=['x'])",
            "day": "datetime.date(2024, 2, 29)",
            "organization": "3",
            "anything": "{'x': [None, 'ü']}",
            "optional": "None",
        },
    ),
    "node variables and the run's own numbers": Call(
        "describe_run",
        {"variables": ["PLAYER", "GREETING", "OTHER"]},
        [2, 1, 1, "Alice", "hello world", None, [1, 2], True, "Alice"],
    ),
    "a folder of another job": Call("keep", {"text": "c"}, ""),
    "log and progress": Call("report", {}, "reported", (r"info > half\nway", "progress > 50% of the rows")),
    "NaN, for a researcher": Call("return_nan", {}, {"mean": None, SECRET: None}, ("result['mean'] is NaN",)),
    "a cross table, for a researcher": Call(
        "return_a_cross_table",
        {},
        {
            "index": [["f", True], ["m", None]],
            "columns": ["count"],
            "data": [[1], [2]],
            "index_names": ["sex", "smoker"],
            "column_names": [None],
        },
        ("result[key 1][1][1] is NaN, infinite or missing",),
    ),
    "an unknown method": Call(
        "sum_and_cuont", AGE, Failed(13, "this algorithm has no method 'sum_and_cuont'; did you mean 'sum_and_")
    ),
    "a master as an rpc": Call(
        "mean_of_all", AGE, Failed(14, "method 'mean_of_all' is a master, but the task requests an rpc")
    ),
    "a missing and an unknown argument": Call(
        "keep", {"txt": 3}, Failed(15, "unknown: txt; missing: text (the function takes text: str)")
    ),
    "arguments of other types": Call("echo", REFUSED, Failed(15, "missing: anything; number: expected int, got str; ")),
    "an unknown column": Call(
        "sum_and_count", {"column": "agee"}, Failed(16, "no column 'agee' in database 'default'")
    ),
    "one database for two parameters": Call(
        "rows", {}, Failed(30, "the function takes 2 databases, the task requests 'default'; this node has: default")
    ),
    "an author's error": Call("raise_an_error", {}, Failed(40, "ValueError in raise_an_error at __init__.py, line ")),
    "an author's message": Call("refuse", {}, Failed(41, "fewer than 10 rows have a value")),
    "a result without a JSON form": Call("return_a_set", {}, Failed(42, "result['names']: a set has no JSON form")),
    "an exit": Call("exit_at_once", {}, Failed(43, "exit_at_once ended the process (SystemExit) instead of returning")),
}

ALL_ORGANIZATIONS = [2, 3, 4]
MASTERS = {
    "a master": Call(
        "mean_of_all",
        {**AGE, "organizations": ALL_ORGANIZATIONS},
        45.0,
        ("info > sent sum_and_count to 3 of 3 organizations",),
    ),
    "a master in v4's manner": Call("mean_in_v4_style", AGE, 45.0),
    "results in the order of the organizations": Call(
        "gather", {"fails": 9, "organizations": [4, 2]}, {"results": [4, 2], "failures": []}
    ),
    "by default, the organizations of the master's own task": Call(
        "gather", {"fails": 9}, {"results": [2], "failures": []}
    ),
    "values of many types between rpc and master": Call("compare_values", {}, [[]]),
    "a folder that the runs of a job share": Call("keep_twice", {}, ["", "a"]),
    "results that are not used": Call("run_and_forget", {}, "done", ("info > the results of refuse were never read",)),
    "a failed subtask with a quorum": Call(
        "gather", {"fails": 3, "organizations": ALL_ORGANIZATIONS, "quorum": 2}, {"results": [2, 4], "failures": [3]}
    ),
    "a failed subtask": Call(
        "gather",
        {"fails": 3, "organizations": [2, 3]},
        Failed(52, "1 of 2 organizations failed: second (id 3): crashed: ValueError in fail_at at __init__.py, line "),
    ),
    "a missed quorum": Call(
        "gather",
        {"fails": 3, "organizations": [2, 3], "quorum": 2},
        Failed(52, "1 of 2 organizations failed: second (id 3): crashed: ValueError in fail_at at __init__.py, line "),
        ("[exit code 40] (quorum: 2)",),
    ),
    "an unknown method in a master": Call(
        "run_an_unknown_method",
        {"organizations": [2, 3]},
        Failed(52, "2 of 2 organizations failed: first (id 2), second (id 3): crashed: this algorithm has no method"),
    ),
    "an unknown organization": Call(
        "mean_of_all",
        {**AGE, "organizations": [3, 9]},
        Failed(17, "not in the collaboration: 9; it has 2 (first), 3 (second), 4 (third)"),
    ),
    "an rpc as a master": Call(
        "sum_and_count",
        AGE,
        Failed(14, "method 'sum_and_count' is an rpc, but the task requests a master"),
    ),
}
CALLS = {**RPCS, **MASTERS}

Finish = Callable[[str], RunRecord]


@pytest.fixture(scope="session")
def finish(way: Way, federation: Federation) -> Finish:
    """Wait for a call, and return its run at organization 2."""
    return post_calls(way, federation)


def post_calls(way: Way, federation: Federation) -> Finish:
    """Post all calls at once, so that containers start while earlier containers run; return ``finish``."""
    client, tasks = federation.client(), {}
    for name, call in CALLS.items():
        if not is_tested(way, name):
            continue
        input_ = {"method": call.method, "kwargs": call.arguments, "master": name in MASTERS}
        tasks[name] = client.task.create(1, [2], input=input_)["id"]

    def finish(name: str) -> RunRecord:
        assert federation.wait(tasks[name], 2 * LIMIT)  # waits for earlier calls, too
        return federation.task(tasks[name]).runs[0]

    return finish


@pytest.mark.parametrize("name", CALLS)
def test_a_call_has_the_same_outcome(federation: Federation, finish: Finish, name: str) -> None:
    call, run = CALLS[name], finish(name)
    failure = read_failure(run.log)
    assert SECRET not in run.log
    assert [line for line in call.lines if line not in run.log] == []
    if isinstance(call.expected, Failed):
        assert failure is not None, run.log
        assert (run.status, run.output, failure.exit_code) == ("crashed", b"", call.expected.code)
        assert failure.message.startswith(call.expected.message)
        assert run.log.splitlines()[-1].startswith("algotools.failure ")
    else:
        assert (run.status, failure) == ("completed", None)
        assert federation.answer(run) == call.expected


@pytest.mark.parametrize(
    "way", parameters([way for way in WAYS if is_tested(way, "arguments of other types")]), indirect=True
)
def test_all_wrong_arguments_are_named_without_their_values(finish: Finish) -> None:
    failure = read_failure(finish("arguments of other types").log)
    assert failure is not None
    problems = failure.message.partition(" (the function takes ")[0]
    assert [name for name in REFUSED if f"{name}: " in problems] == list(REFUSED)
    assert "yesterday" not in failure.message


def test_details_reach_the_owner_but_not_the_researcher(way: Way, federation: Federation, finish: Finish) -> None:
    run = finish("an author's error")
    assert f"ValueError: cannot deal with {SECRET}" in run.detail
    assert "Traceback" not in run.log
    if way.runner != "inline":  # inline runs print to the author's terminal
        assert "for the owner" in finish("log and progress").detail
    master = finish("a failed subtask")
    subruns = [run for task in federation.subtasks(master.task_id) for run in task.runs]
    assert [SECRET in run.detail for run in subruns] == [False, True]


ENGINES = [way for way in WAYS if way.needs_cluster]


@pytest.fixture(scope="session")
def process_runs(way: Way, federation_file: Path) -> Iterator[tuple[Federation, Finish]]:
    """The same calls with runner ``process``."""
    options = way._replace(runner="process")._asdict()
    with Federation.from_file(federation_file, algorithm=CONFORMANCE, **options) as federation:
        yield federation, post_calls(way, federation)


@pytest.mark.parametrize("way", parameters(ENGINES), indirect=True)
@pytest.mark.parametrize("name", CALLS)
def test_a_call_on_an_engine_equals_that_in_processes(
    federation: Federation, finish: Finish, process_runs: tuple[Federation, Finish], name: str
) -> None:
    local, finish_in_process = process_runs
    expected = list_facts(local, finish_in_process(name))
    assert list_facts(federation, finish(name)) == expected
    assert expected[0].organization == 2


class RunFacts(NamedTuple):
    """Everything that a researcher sees of a run, apart from times and ids."""

    method: str
    organization: int
    status: str
    output: bytes
    exit_code: int
    lines: list[str]


LINES_ABOUT_WAITING = ("info > the quorum is reached", "info > a run has failed.")
"""A master logs these lines only if another run has not finished at that moment, with every runner."""


def list_facts(federation: Federation, run: RunRecord) -> list[RunFacts]:
    """Return the facts about a run and the runs of its subtasks, in their order."""
    assert federation.wait(run.task_id, LIMIT)
    task = federation.task(run.task_id)
    return [
        RunFacts(
            member.method,
            run.organization_id,
            run.status,
            run.output,
            failure.exit_code if (failure := read_failure(run.log)) else 0,
            [line for line in run.log.splitlines() if not line.startswith(LINES_ABOUT_WAITING)],
        )
        for member in (task, *federation.subtasks(task.id))
        for run in member.runs
    ]
