"""The class ``Federation``: its arguments and files, concurrent runs, and cleanup."""

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
from algotools.errors import AlgorithmNotFound, FederationError, PickleRefused
from algotools.federation import ResultMismatch
from algotools.federation.contract import get_contract
from algotools.task import Database as TaskDatabase

from ..conftest import ALGORITHMS, AVERAGE
from ..processes import LIMIT, wait_until

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
def in_order(first: pd.DataFrame, second: pd.DataFrame, info: RunInfo) -> object:
    return [list(first["x"]), list(second["x"])]


@rpc
def nap(data: Database, seconds: float) -> float:
    time.sleep(seconds)
    return time.monotonic()


MEETING = threading.Barrier(4)


@rpc
def meet(data: Database) -> int:
    """Wait until four runs of this function have begun."""
    MEETING.wait(LIMIT)
    return MEETING.parties


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
    arguments = {2: {"seconds": 2.0}, 3: {"seconds": 0.0}}
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


FUNCTIONS = [
    forgets,
    needs_more,
    looks_up,
    table,
    total,
    columns,
    in_order,
    meet,
    nap,
    nothing,
    gather,
    naps,
    as_completed,
]


def run(federation: Federation, method: str, organizations: list[int] | None = None, **kwargs: object) -> list[object]:
    """Run a method, by default at all organizations, and return the results or failures."""
    function = next(f for f in FUNCTIONS if f.method == method)
    input_ = {"method": method, "kwargs": kwargs, "master": function.role == "master"}
    ids = organizations or list(federation.organizations())
    task = federation.client().task.create(collaboration=1, organizations=ids, input=input_)
    assert federation.wait(task["id"], LIMIT)
    return [federation.failure(r) or federation.answer(r) for r in federation.task(task["id"]).runs]


def test_a_federation_of_frames_and_functions() -> None:
    with Federation(FRAMES, algorithm=FUNCTIONS) as federation:
        assert run(federation, "total", column="x") == [3.0, 5.0]
        assert federation.organizations() == {2: "organization_2", 3: "organization_3"}


def test_functions_of_the_script_run_in_processes() -> None:
    with Federation(FRAMES, algorithm=FUNCTIONS, runner="process") as federation:
        assert run(federation, "total", column="x") == [3.0, 5.0]
        assert run(federation, "gather")[0] == [["float64", "datetime64[us]"], ["float64"]] or pd.__version__ < "3"


def test_frames_are_exact_for_masters_and_json_for_researchers() -> None:
    with Federation({"a": FRAMES[0]}, algorithm=FUNCTIONS) as federation:
        (types,) = run(federation, "gather")
        assert types == [FRAMES[0].dtypes.astype(str).tolist()]
        (content,) = run(federation, "table")
        assert isinstance(content, dict)
        assert content["x"] == {"0": 1.0, "1": 2.0, "2": None}


def test_only_requested_columns_are_read() -> None:
    with Federation(FRAMES[:1], algorithm=FUNCTIONS) as federation:
        assert run(federation, "columns", column="x") == [["x"]]


def test_several_databases_come_in_the_order_of_the_task() -> None:
    nodes = [{"one": pd.DataFrame({"x": [1]}), "two": pd.DataFrame({"x": [2]})}]
    with Federation(nodes, algorithm=FUNCTIONS) as federation:
        client = federation.client()
        for labels, expected in ((["one", "two"], [[1], [2]]), (["two", "one"], [[2], [1]])):
            databases = [{"label": label} for label in labels]
            task = client.task.create(1, [2], input={"method": "in_order"}, databases=databases)
            assert federation.wait(task["id"], LIMIT)
            assert client.result.list(task=task["id"])["data"][0]["result"] == expected


def test_nodes_run_at_the_same_time() -> None:
    with Federation(FRAMES * 2, algorithm=FUNCTIONS) as federation:
        assert run(federation, "meet") == [4] * 4


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_waiting_masters_do_not_occupy_slots(runner) -> None:
    processors = os.cpu_count() or 1
    number = 2 * processors + 6 if runner == "inline" else processors + 3  # more masters than slots
    with Federation([FRAMES[1]] * number, algorithm=FUNCTIONS, runner=runner) as federation:
        results = run(federation, "naps", seconds=0.01)
        assert [len(r) for r in results] == [number] * number  # type: ignore[arg-type]  # lists, as `naps` returns


def test_as_completed_yields_results_in_order_of_arrival() -> None:
    with Federation(FRAMES, algorithm=FUNCTIONS) as federation:
        assert run(federation, "as_completed") == [[3, 2], [3, 2]]


def test_results_that_a_master_never_read_are_logged() -> None:
    with Federation(FRAMES, algorithm=FUNCTIONS) as federation:
        assert run(federation, "forgets", [2]) == ["done"]
        assert "the results of nothing were never read" in federation.task(1).runs[0].log


def test_a_key_error_for_an_unread_column_is_explained() -> None:
    with Federation(FRAMES[:1], algorithm=needs_more) as federation:
        (failure,) = run(federation, "needs_more", column="x")
        assert "KeyError in needs_more" in failure.message  # type: ignore[attr-defined]  # a Failure
        reason = "the function uses the column 'when', which was not requested"
        fix = f'; {reason}: annotate data: Annotated[pd.DataFrame, Columns.of("when")]'
        assert failure.message.endswith(fix)  # type: ignore[attr-defined]


def test_a_forgotten_return_is_a_line_of_the_log_and_one_warning() -> None:
    @rpc
    def forgets_to_return(data: pd.DataFrame) -> float:
        data["x"].sum()

    with Federation(FRAMES, algorithm=[forgets_to_return]) as federation:
        with pytest.warns(ResultMismatch, match="is a `return` missing") as recorded:
            assert list(federation.run(forgets_to_return)) == [None] * len(FRAMES)
        assert [warning.filename for warning in recorded] == [__file__]
        line = "forgets_to_return returned None, but its result is annotated as float; is a `return` missing?"
        assert f"info > {line}" in federation.task(1).runs[0].log


def test_a_key_error_of_a_dictionary_is_not_explained_as_a_column() -> None:
    with Federation(FRAMES[:1], algorithm=FUNCTIONS) as federation:
        (failure,) = run(federation, "looks_up", column="x")
        assert "KeyError in looks_up" in failure.message  # type: ignore[attr-defined]
        assert "was not requested" not in failure.message  # type: ignore[attr-defined]


def test_one_organization_may_be_a_number_but_nodes_must_be_a_list() -> None:
    with Federation(FRAMES[1:], algorithm=FUNCTIONS) as federation:
        task = federation.client().task.create(1, 2, input={"method": "total", "kwargs": {"column": "x"}})
        assert federation.wait(task["id"], LIMIT)
        assert federation.answer(federation.task(task["id"]).runs[0]) == 5.0
        for node in (FRAMES[0], "data.csv", Path("federation.yaml")):
            with pytest.raises(FederationError, match="nodes must be a list"):
                Federation(node, algorithm=FUNCTIONS)


def test_an_unknown_image_fails_the_run(tmp_path: Path) -> None:
    file = tmp_path / "federation.yaml"
    file.write_text("organizations:\n  - name: a\n")
    with Federation.from_file(file) as federation:
        task = federation.client().task.create(1, [2], image="nobody/knows:it", input={"method": "m"})
        assert federation.wait(task["id"], LIMIT)
        assert federation.client().task.get(task["id"])["status"] == "non-existing Docker image"


def test_the_file_maps_an_image_to_an_algorithm() -> None:
    with Federation.from_file(AVERAGE / "federation.yaml") as federation:
        client = federation.client()
        input_ = {"method": "average_partial", "kwargs": {"column_name": "age"}}
        task = client.task.create(1, [2], image="harbor2.vantage6.ai/demo/average", input=input_)
        assert federation.wait(task["id"], LIMIT)
        assert client.result.list(task=task["id"])["data"][0]["result"] == {"sum": 253, "count": 4}


def test_packages_with_the_same_name_in_two_folders_are_distinct(tmp_path: Path) -> None:
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
            assert federation.wait(task["id"], LIMIT)
            assert federation.answer(federation.task(task["id"]).runs[0]) == number


def test_listen_receives_every_log_line() -> None:
    log = []
    with Federation(
        FRAMES, algorithm=FUNCTIONS, listen=lambda run, line: log.append((run.organization_id, line))
    ) as federation:
        run(federation, "gather", [2])
    assert (2, "info > sent table to 1 of 2 organizations") in log


def list_children() -> set[str]:
    """Return the child processes of this process, except the process that lists them."""
    result = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "pid=,comm="], capture_output=True, text=True, check=True
    )
    return {line for line in result.stdout.splitlines() if not line.endswith(" ps")}


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_closing_stops_all_threads_and_processes(runner) -> None:
    threads, processes = set(threading.enumerate()), list_children()
    federation = Federation(FRAMES, algorithm=ALGORITHMS / "misbehaving", runner=runner)
    task = federation.client().task.create(
        1, [2, 3], input={"method": "never_returns" if runner == "process" else "well"}
    )
    time.sleep(1.0)
    federation.close()
    assert federation.wait(task["id"], LIMIT)
    wait_until(lambda: not set(threading.enumerate()) - threads)
    assert list_children() <= processes
    with pytest.raises(FederationError, match="closed"):
        federation.client().task.create(1, [2], input={"method": "well"})


def test_an_unreferenced_federation_closes_itself() -> None:
    client = Federation(FRAMES, algorithm=ALGORITHMS / "misbehaving", runner="process").client()
    task = client.task.create(1, [2], input={"method": "well"})
    while not client.task.get(task["id"])["complete"]:  # a function that waits would refer to the client
        time.sleep(0.05)
    folder = client.task._view.platform.folders.base
    assert folder.exists()
    del client
    gc.collect()
    wait_until(lambda: not folder.exists())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"collaboration": 2}, FederationError, "unknown collaboration 2"),
        ({"organizations": [2, 9]}, FederationError, "not in the collaboration: 9; it has 2 (organization_2)"),
        ({"organizations": []}, FederationError, "at least one"),
        ({"organizations": [2, 2]}, FederationError, "once"),
        ({"organizations": ["2"]}, FederationError, "which are integers"),
        ({"data_format": "legacy"}, PickleRefused, "use data_format='json'"),
        ({"data_format": "xml"}, FederationError, "the input must be JSON"),
        ({"input": None}, FederationError, "`input` must be a mapping"),
        ({"databases": [{"name": "x"}]}, FederationError, "`label`"),
    ],
)
def test_an_invalid_call_is_refused(arguments: dict, error: type[Exception], message: str) -> None:
    call = {"collaboration": 1, "organizations": [2], "input": {"method": "table"}, **arguments}
    with Federation(FRAMES, algorithm=FUNCTIONS) as federation, pytest.raises(error) as raised:
        federation.client().task.create(**call)
    assert message in str(raised.value)


def test_an_unknown_field_is_refused() -> None:
    with (
        Federation(FRAMES, algorithm=FUNCTIONS) as federation,
        pytest.raises(FederationError, match="unknown field nmae"),
    ):
        federation.client().organization.list(fields=["nmae"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runner": "rocket"}, "unknown runner 'rocket'"),
        ({"contract": "v2"}, "unknown contract 'v2'"),
        ({"timeout": 0}, "positive"),
        ({"runner": "as-node", "contract": "v5"}, "as-node imitates the Docker nodes of v3 and v4"),
    ],
)
def test_an_invalid_option_is_refused(options: dict, message: str) -> None:
    with pytest.raises(Exception, match=message):
        Federation(FRAMES, algorithm=FUNCTIONS, **options)


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(AlgorithmNotFound, match="not an existing folder"):
        Federation(FRAMES, algorithm="no-such-algorithm-anywhere")


def test_a_federation_file_has_types_options_and_variables(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "odd.name").write_text("name\nx\n")
    file = tmp_path / "federation.yaml"
    file.write_text(
        "organizations:\n  - name: a\n    databases:\n      default: {uri: data/odd.name, type: CSV, dbms: none}\n"
        "    algorithm_env: {PLAYER: Alice, DEPTH: 3}\n"
    )
    with Federation.from_file(file, algorithm=ALGORITHMS / "misbehaving") as federation:
        task = federation.client().task.create(1, [2], input={"method": "describes_its_run"})
        assert federation.wait(task["id"], LIMIT)
        answer = federation.answer(federation.task(task["id"]).runs[0])
        assert isinstance(answer, dict)
        assert {"PLAYER": "Alice", "DEPTH": "3"}.items() <= answer["variables"].items()


def test_a_pickled_input_is_refused() -> None:
    import pickle

    with Federation(FRAMES, algorithm=FUNCTIONS, contract="v3") as federation:
        posted = pickle.dumps({"method": "table", "kwargs": {}})
        task = federation.post([2], posted, [TaskDatabase("default")])
        assert federation.wait(task.id, LIMIT)
        failure = federation.failure(task.runs[0])
        assert failure is not None
        assert failure.exit_code == 12


def test_the_api_refuses_an_unknown_token() -> None:
    import urllib.request

    with Federation(FRAMES, algorithm=FUNCTIONS) as federation:
        run(federation, "total", column="x")
        request = urllib.request.Request(
            f"{federation._platform._api.url}/task/1", headers={"Authorization": "Bearer guess"}
        )
        with pytest.raises(urllib.error.HTTPError, match="500"):
            urllib.request.urlopen(request)


def test_the_functions_of_a_script_are_the_default_algorithm(tmp_path: Path) -> None:
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
        "        federation.wait(task['id'], 300)\n"
        "        print(client.result.list(task=task['id'])['data'][0]['result'])\n"
    )
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "3\n3\n", "")


def test_researchers_get_the_same_results_with_every_contract() -> None:
    answers = []
    for contract in ("v3", "v4", "v5"):
        with Federation(FRAMES, algorithm=FUNCTIONS, contract=contract) as federation:
            answers.append([run(federation, "table"), run(federation, "nothing")[0]])
    assert answers[0] == answers[1]
    assert get_contract("v3").encode_input({}) != get_contract("v4").encode_input({})
