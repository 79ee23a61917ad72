"""The local federation itself: what it is made from, how much goes on at once, what it leaves behind."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from algotools import AlgorithmClient, Column, Database, Federation, RunInfo, UserError, master, rpc
from algotools.contract import by_name
from algotools.errors import AlgorithmNotFound, FederationError, PickleRefused
from algotools.task import Database as TaskDatabase

from ..conftest import ALGORITHMS, AVERAGE

FRAMES = [pd.DataFrame({"x": [1.0, 2.0, np.nan], "when": pd.date_range("2024", periods=3)}), pd.DataFrame({"x": [5.0]})]


@rpc
def table(data: pd.DataFrame) -> object:
    return data


@rpc
def total(data: pd.DataFrame, column: Column) -> object:
    return data[column].sum()


@rpc
def columns(data: pd.DataFrame, column: Column) -> object:
    return list(data.columns)


@rpc
def in_order(first: pd.DataFrame, other: pd.DataFrame, info: RunInfo) -> object:  # as in the task
    return [list(first["x"]), list(other["x"])]


@rpc
def nap(data: Database, seconds: float) -> float:
    time.sleep(seconds)
    return time.monotonic()


class Nothing(UserError):
    text = "nothing to see"


@rpc
def nothing(data: Database) -> None:
    raise Nothing


@master
def gather(client: AlgorithmClient) -> object:
    tables = client.run(table)
    assert [type(t) for t in tables] == [pd.DataFrame] * len(tables)
    return [t.dtypes.astype(str).tolist() for t in tables]


@master
def naps(client: AlgorithmClient, seconds: float) -> list[float]:
    return list(client.run(nap, seconds=seconds))


@master
def as_completed(client: AlgorithmClient) -> list[int]:
    arguments = {2: {"seconds": 0.6}, 3: {"seconds": 0.0}}
    return [organization for organization, _ in client.run(nap, arguments=arguments).as_completed()]


@master
def forgets(client: AlgorithmClient) -> str:
    client.run(nothing)
    return "done"


@rpc
def needs_more(data: pd.DataFrame, column: Column) -> object:
    return data.groupby("when")[column].sum()


@rpc
def looks_up(column: Column) -> object:
    return {}[column]


FUNCTIONS = [forgets, needs_more, looks_up, table, total, columns, in_order, nap, nothing, gather, naps, as_completed]


def run(federation: Federation, method: str, organizations: list[int] | None = None, **kwargs: object) -> list[object]:
    """Run a method everywhere and give the results."""
    function = next(f for f in FUNCTIONS if f.method == method)
    input_ = {"method": method, "kwargs": kwargs, "master": function.role == "master"}
    ids = organizations or list(federation.organizations())
    task = federation.client().task.create(collaboration=1, organizations=ids, input=input_)
    assert federation.wait(task["id"], 60)
    return [federation.failure(r) or federation.answer(r) for r in federation.task(task["id"]).runs]


def test_it_is_made_of_frames_and_functions() -> None:
    with Federation(FRAMES, algorithm=FUNCTIONS) as federation:
        assert run(federation, "total", column="x") == [3.0, 5.0]
        assert federation.organizations() == {2: "organization_2", 3: "organization_3"}


def test_functions_that_are_nowhere_else_run_in_processes_too() -> None:
    with Federation(FRAMES, algorithm=FUNCTIONS, runner="process") as federation:
        assert run(federation, "total", column="x") == [3.0, 5.0]
        assert run(federation, "gather")[0] == [["float64", "datetime64[us]"], ["float64"]] or pd.__version__ < "3"


def test_frames_travel_exactly_between_nodes_and_plainly_to_the_researcher() -> None:
    with Federation({"a": FRAMES[0]}, algorithm=FUNCTIONS) as federation:
        (told,) = run(federation, "gather")
        assert told == [FRAMES[0].dtypes.astype(str).tolist()]
        (plain,) = run(federation, "table")
        assert isinstance(plain, dict)
        assert plain["x"] == {"0": 1.0, "1": 2.0, "2": None}


def test_only_the_columns_that_are_asked_for_are_read() -> None:
    with Federation(FRAMES[:1], algorithm=FUNCTIONS) as federation:
        assert run(federation, "columns", column="x") == [["x"]]


def test_several_databases_come_in_the_order_of_the_task() -> None:
    nodes = [{"one": pd.DataFrame({"x": [1]}), "two": pd.DataFrame({"x": [2]})}]
    with Federation(nodes, algorithm=FUNCTIONS) as federation:
        client = federation.client()
        for labels, expected in ((["one", "two"], [[1], [2]]), (["two", "one"], [[2], [1]])):
            databases = [{"label": label} for label in labels]
            task = client.task.create(1, [2], input={"method": "in_order"}, databases=databases)
            assert federation.wait(task["id"], 60)
            assert client.result.list(task=task["id"])["data"][0]["result"] == expected


def test_nodes_work_at_the_same_time() -> None:
    with Federation(FRAMES * 3, algorithm=FUNCTIONS) as federation:
        began = time.monotonic()
        run(federation, "nap", seconds=0.5)
        assert time.monotonic() - began < 6 * 0.5


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_masters_that_wait_take_no_workers_place(runner) -> None:
    with Federation([FRAMES[1]] * 12, algorithm=FUNCTIONS, runner=runner) as federation:
        results = run(federation, "naps", seconds=0.01)
        assert [len(r) for r in results] == [12] * 12  # type: ignore[arg-type]  # lists, as `naps` returns


def test_results_can_be_taken_as_they_come() -> None:
    with Federation(FRAMES, algorithm=FUNCTIONS) as federation:
        assert run(federation, "as_completed") == [[3, 2], [3, 2]]


def test_results_that_a_master_never_looked_at_are_told() -> None:
    with Federation(FRAMES, algorithm=FUNCTIONS) as federation:
        assert run(federation, "forgets", [2]) == ["done"]
        assert "the results of nothing were never looked at" in federation.task(1).runs[0].log


def test_a_column_that_was_not_read_is_explained_to_the_author() -> None:
    with Federation(FRAMES[:1], algorithm=needs_more) as federation:
        (failure,) = run(federation, "needs_more", column="x")
        assert "KeyError in needs_more" in failure.message  # type: ignore[attr-defined]  # a Failure
        assert "only these columns were read: x" in failure.detail  # type: ignore[attr-defined]


def test_a_key_of_something_else_is_not_taken_for_a_column() -> None:
    with Federation(FRAMES[:1], algorithm=FUNCTIONS) as federation:
        (failure,) = run(federation, "looks_up", column="x")
        assert "KeyError in looks_up" in failure.message  # type: ignore[attr-defined]
        assert "only these columns were read" not in failure.detail  # type: ignore[attr-defined]


def test_one_organization_may_stand_by_itself() -> None:
    with Federation(FRAMES[1:], algorithm=FUNCTIONS) as federation:
        task = federation.client().task.create(1, 2, input={"method": "total", "kwargs": {"column": "x"}})
        assert federation.wait(task["id"], 10)
        assert federation.answer(federation.task(task["id"]).runs[0]) == 5.0
        for no_list in (FRAMES[0], "data.csv", Path("federation.yaml")):
            with pytest.raises(FederationError, match="give a list of nodes"):
                Federation(no_list, algorithm=FUNCTIONS)


def test_an_image_that_nobody_knows_does_not_exist(tmp_path: Path) -> None:
    file = tmp_path / "federation.yaml"
    file.write_text("organizations:\n  - name: a\n")
    with Federation.from_file(file) as federation:
        task = federation.client().task.create(1, [2], image="nobody/knows:it", input={"method": "m"})
        assert federation.wait(task["id"], 10)
        assert federation.client().task.get(task["id"])["status"] == "non-existing Docker image"


def test_an_image_stands_for_the_algorithm_that_the_file_says() -> None:
    with Federation.from_file(AVERAGE / "federation.yaml") as federation:
        client = federation.client()
        input_ = {"method": "average_partial", "kwargs": {"column_name": "age"}}
        task = client.task.create(1, [2], image="harbor2.vantage6.ai/demo/average", input=input_)
        assert federation.wait(task["id"], 60)
        assert client.result.list(task=task["id"])["data"][0]["result"] == {"sum": 253, "count": 4}


def test_the_same_package_from_two_folders_is_not_mixed_up(tmp_path: Path) -> None:
    for number in (1, 2):
        package = tmp_path / str(number) / "src" / "twice"
        package.mkdir(parents=True)
        (tmp_path / str(number) / "pyproject.toml").write_text(
            '[project]\nname = "twice"\n[project.entry-points."algotools.algorithms"]\ntwice = "twice"\n'
        )
        (package / "__init__.py").write_text(
            f"from algotools import rpc\n@rpc\ndef which() -> int:\n    return {number}\n"
        )
    for number in (1, 2, 1):
        with Federation([FRAMES[0]], algorithm=tmp_path / str(number)) as federation:
            task = federation.client().task.create(1, [2], input={"method": "which"})
            assert federation.wait(task["id"], 10)
            assert federation.answer(federation.task(task["id"]).runs[0]) == number


def test_every_line_of_a_log_is_heard() -> None:
    heard = []
    with Federation(
        FRAMES, algorithm=FUNCTIONS, listen=lambda run, line: heard.append((run.organization_id, line))
    ) as f:
        run(f, "gather", [2])
    assert (2, "info > asked 1 of 2 organizations for table") in heard


def children() -> set[str]:
    """The processes that this one has started, but for those that look."""
    listed = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "pid=,comm="], capture_output=True, text=True, check=True
    )
    return {line for line in listed.stdout.splitlines() if not line.endswith(" ps")}


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_nothing_is_left_when_it_is_closed(runner) -> None:
    threads, processes = set(threading.enumerate()), children()
    federation = Federation(FRAMES, algorithm=ALGORITHMS / "misbehaving", runner=runner)
    task = federation.client().task.create(
        1, [2, 3], input={"method": "never_returns" if runner == "process" else "well"}
    )
    time.sleep(1.0)
    federation.close()
    assert federation.wait(task["id"], 10)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and set(threading.enumerate()) - threads:
        time.sleep(0.05)
    assert set(threading.enumerate()) - threads == set()
    assert children() <= processes
    with pytest.raises(FederationError, match="closed"):
        federation.client().task.create(1, [2], input={"method": "well"})


def test_a_federation_that_nobody_holds_ends_by_itself() -> None:
    client = Federation(FRAMES, algorithm=ALGORITHMS / "misbehaving", runner="process").client()
    task = client.task.create(1, [2], input={"method": "well"})
    while not client.task.get(task["id"])["complete"]:
        time.sleep(0.05)
    folder = client.task._view.federation._folder
    assert folder.exists()
    del client
    gc.collect()
    deadline = time.monotonic() + 10
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"collaboration": 2}, FederationError, "there is no collaboration 2"),
        ({"organizations": [2, 9]}, FederationError, "not in the collaboration: 9; it has 2 (organization_2)"),
        ({"organizations": []}, FederationError, "at least one"),
        ({"organizations": [2, 2]}, FederationError, "once"),
        ({"organizations": ["2"]}, FederationError, "which are integers"),
        ({"data_format": "legacy"}, PickleRefused, "use data_format='json'"),
        ({"data_format": "xml"}, FederationError, "JSON only"),
        ({"input": None}, FederationError, "`input` must be a mapping"),
        ({"databases": [{"name": "x"}]}, FederationError, "`label`"),
    ],
)
def test_a_call_that_cannot_be_right_says_why(arguments: dict, error: type[Exception], says: str) -> None:
    call = {"collaboration": 1, "organizations": [2], "input": {"method": "table"}, **arguments}
    with Federation(FRAMES, algorithm=FUNCTIONS) as federation, pytest.raises(error) as raised:
        federation.client().task.create(**call)
    assert says in str(raised.value)


def test_a_field_that_does_not_exist_is_named() -> None:
    with Federation(FRAMES, algorithm=FUNCTIONS) as federation, pytest.raises(FederationError, match="no field nmae"):
        federation.client().organization.list(fields=["nmae"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"runner": "rocket"}, "there is no runner 'rocket'"),
        ({"contract": "v2"}, "there is no contract 'v2'"),
        ({"timeout": 0}, "positive"),
        ({"runner": "as-node", "contract": "v5"}, "as-node starts images as the Docker nodes of v3 and v4 do"),
    ],
)
def test_an_option_that_cannot_be_right_says_why(options: dict, says: str) -> None:
    with pytest.raises(Exception, match=says):
        Federation(FRAMES, algorithm=FUNCTIONS, **options)


def test_an_algorithm_that_is_nowhere_is_refused_at_once() -> None:
    with pytest.raises(AlgorithmNotFound, match="neither an existing folder"):
        Federation(FRAMES, algorithm="no-such-algorithm-anywhere")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("organizations: []", "names no organization"),
        ("organisations: []", "unknown field `organisations`"),
        ("collaboration: x", "missing required field `organizations`"),
        ("organizations: [{name: a}, {name: a}]", "two organizations are called a"),
        ("organizations: [{name: a, databases: {default: 3}}]", "Expected `str | object`, got `int`"),
        ("organizations: [{name: a, databases: {default: {type: csv}}}]", "missing required field `uri`"),
        ("organizations: [", "not valid YAML"),
        ("", "Expected `object`, got `null`"),
    ],
)
def test_a_file_that_cannot_be_right_says_where(tmp_path: Path, content: str, says: str) -> None:
    file = tmp_path / "federation.yaml"
    file.write_text(content)
    with pytest.raises(FederationError) as raised:
        Federation.from_file(file)
    assert says in str(raised.value)
    assert str(file) in str(raised.value)


def test_a_file_tells_types_options_and_the_nodes_variables(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "odd.name").write_text("name\nx\n")
    file = tmp_path / "federation.yaml"
    file.write_text(
        "organizations:\n  - name: a\n    databases:\n      default: {uri: data/odd.name, type: CSV, dbms: none}\n"
        "    algorithm_env: {PLAYER: Alice, DEPTH: 3}\n"
    )
    with Federation.from_file(file, algorithm=ALGORITHMS / "misbehaving") as federation:
        task = federation.client().task.create(1, [2], input={"method": "knows_its_run"})
        assert federation.wait(task["id"], 60)
        answer = federation.answer(federation.task(task["id"]).runs[0])
        assert isinstance(answer, dict)
        assert {"PLAYER": "Alice", "DEPTH": "3"}.items() <= answer["variables"].items()


def test_a_pickle_from_a_researcher_goes_no_further_than_the_node() -> None:
    import pickle

    with Federation(FRAMES, algorithm=FUNCTIONS, contract="v3") as federation:
        posted = pickle.dumps({"method": "table", "kwargs": {}})
        task = federation.client().task.post([2], posted, [TaskDatabase("default")])
        assert federation.wait(task.id, 10)
        failure = federation.failure(task.runs[0])
        assert failure is not None
        assert failure.exit_code == 12


def test_a_stranger_gets_nothing_from_the_api() -> None:
    import urllib.request

    with Federation(FRAMES, algorithm=FUNCTIONS) as federation:
        run(federation, "total", column="x")
        request = urllib.request.Request(f"{federation._api.url}/task/1", headers={"Authorization": "Bearer guess"})
        with pytest.raises(urllib.error.HTTPError, match="500"):
            urllib.request.urlopen(request)


def test_the_functions_of_a_script_are_its_algorithm(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import pandas as pd\n"
        "from algotools import Column, Federation, rpc\n"
        "@rpc\n"
        "def total(data: pd.DataFrame, column: Column) -> float:\n"
        "    return data[column].sum()\n"
        "for runner in ('inline', 'process'):\n"
        "    with Federation([pd.DataFrame({'x': [1, 2]})], runner=runner) as federation:\n"
        "        client = federation.client()\n"
        "        task = client.task.create(1, [2], input={'method': 'total', 'kwargs': {'column': 'x'}})\n"
        "        federation.wait(task['id'], 30)\n"
        "        print(client.result.list(task=task['id'])['data'][0]['result'])\n"
    )
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "3\n3\n", "")


def test_contracts_agree_on_what_a_researcher_gets() -> None:
    answers = []
    for contract in ("v3", "v4", "v5"):
        with Federation(FRAMES, algorithm=FUNCTIONS, contract=contract) as federation:
            answers.append([run(federation, "table"), run(federation, "nothing")[0]])
    assert answers[0] == answers[1]
    assert by_name("v3").input({}) != by_name("v4").input({})
