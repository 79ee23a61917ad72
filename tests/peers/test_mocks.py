"""If the mock of a peer differs from a real node, our local federation behaves like the real node."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pandas as pd
import pytest

from algotools import AlgorithmClient, Database, Federation, RunInfo, master, rpc
from algotools.errors import FederationError
from algotools.federation.contract import get_contract
from algotools.federation.contract.rest import RunRecord
from algotools.payload import decode_rich
from algotools.task import Identity

from ..processes import LIMIT
from .by_hand import wrappers
from .by_hand.wrappers import Starter

pytestmark = pytest.mark.peers

FRAMES = [pd.DataFrame({"age": [1]}), pd.DataFrame({"age": [5]}), pd.DataFrame({"age": [9]})]
calls = 0


@rpc
def ages(data: pd.DataFrame) -> Any:
    return data["age"].tolist()


@rpc
def picky(data: pd.DataFrame) -> str:
    if 5 in data["age"].tolist():
        raise ValueError("on purpose")
    return "well"


@rpc
def leaves(data: pd.DataFrame) -> None:
    raise SystemExit(3)


@rpc
def counts(data: pd.DataFrame) -> int:
    global calls  # noqa: PLW0603 - the test is about globals
    calls += 1
    return calls


@rpc(name="both")
def two_frames(first: pd.DataFrame, second: pd.DataFrame) -> Any:
    return [first["age"].tolist(), second["age"].tolist()]


@rpc
def keys(value: Any) -> list[str]:
    return [type(key).__name__ for key in value]


@rpc
def a_set(data: pd.DataFrame) -> Any:
    return {1, 2}


@rpc
def a_tuple(data: pd.DataFrame) -> Any:
    return (1, 2)


@rpc
def spoils(data: pd.DataFrame) -> Any:
    data["age"] = 0
    return data["age"].tolist()


@rpc
def has_a_folder(info: RunInfo) -> bool:
    return info.temporary_folder is not None and info.temporary_folder.is_dir()


@rpc(step="data_extraction")
def reads(source: Database) -> pd.DataFrame:
    return pd.read_csv(source.uri)


@rpc(step="data_extraction")
def mixed(source: Database) -> pd.DataFrame:
    return pd.DataFrame({"age": [1, "old"]})


@rpc(step="preprocessing")
def halves(data: pd.DataFrame) -> pd.DataFrame:
    return data / 2


@rpc
def organization_id(info: RunInfo) -> int:
    return info.organization_id


@master
def central(client: AlgorithmClient, organizations: list[int]) -> Any:
    return list(client.run(ages, organizations=organizations))


FUNCTIONS = [
    ages, picky, leaves, counts, two_frames, keys, a_set, a_tuple, spoils, has_a_folder, reads, mixed, halves,
    organization_id, central,
]  # fmt: skip


class LocalFederation:
    """A local federation that runs the same calls as the mock."""

    def __init__(self, contract: str) -> None:
        self.contract = get_contract(contract)
        self.federation = Federation(FRAMES, algorithm=FUNCTIONS, contract=contract, runner="process")

    def runs(self, method: str, organizations: list[int], /, **kwargs: object) -> list[RunRecord]:
        """Run a task; return its runs in the order of the organizations."""
        input_ = {"method": method, "kwargs": kwargs, "master": method == "central"}
        task = self.federation.client().task.create(1, organizations, input=input_)
        assert self.federation.wait(task["id"], LIMIT)
        return list(self.federation.task(task["id"]).runs)

    def results(self, method: str, organizations: list[int], /, **kwargs: object) -> list[Any]:
        return [self.federation.answer(run) for run in self.runs(method, organizations, **kwargs)]

    def statuses(self, method: str, organizations: list[int]) -> list[str]:
        return [run.status for run in self.runs(method, organizations)]

    def first_task(self) -> dict[str, Any]:
        (run,) = self.runs("ages", [2])
        return self.federation.client().task.get(run.task_id, include_results=True)


def first_organization(ours: LocalFederation) -> int:
    return min(ours.federation.organizations())


def order_for_a_container(ours: LocalFederation) -> Any:
    """Return the results that the proxy of a node sends to the container of a master, in the order of the response."""
    (run,) = ours.runs("central", [2], organizations=[3, 2, 4])
    (subtask,) = ours.federation.subtasks(run.task_id)
    caller = Identity(task_id=run.task_id, node_id=1, organization_id=2, collaboration_id=1, image="")
    query = {"task_id": str(subtask.id)}
    _, answer = ours.contract.respond("GET", "result", query, b"", caller, ours.federation._platform.store)
    assert isinstance(answer, dict)
    return [decode_rich(ours.contract.unwrap_result(item["result"])) for item in answer["data"]]  # base64 in JSON


def two_tables(ours: LocalFederation) -> Any:
    return with_two_databases(ours, "both", ["one", "two"])


def one_database_too_many(ours: LocalFederation) -> Any:
    return with_two_databases(ours, "ages", ["one", "two"])


def with_two_databases(ours: LocalFederation, method: str, labels: list[str]) -> Any:
    databases = {"one": FRAMES[0], "two": FRAMES[1]}
    with Federation([databases], algorithm=FUNCTIONS, contract=ours.contract.name) as federation:
        client = federation.client()
        task = client.task.create(1, [2], input={"method": method}, databases=[{"label": label} for label in labels])
        assert federation.wait(task["id"], LIMIT)
        return federation.answer(federation.task(task["id"]).runs[0])


def own_task(ours: LocalFederation) -> str:
    (run,) = ours.runs("ages", [2])
    same_task = ours.federation.client().task.get(run.task_id)
    return "found" if same_task["id"] == run.task_id else "another one"


def data_of_the_next_task(ours: LocalFederation) -> Any:
    ours.runs("spoils", [2])
    return ours.results("ages", [2])[0]


def subtask(ours: LocalFederation) -> Any:
    (run,) = ours.runs("central", [2], organizations=[2, 3])
    (child,) = ours.federation.subtasks(run.task_id)
    return {
        "id is new": child.id != run.task_id,
        "names its parent": child.parent_id == run.task_id,
    }


def node_of_a_run(ours: LocalFederation) -> bool:
    (run,) = ours.runs("ages", [3])
    return run.node_id == run.organization_id


def organization_of_a_run(ours: LocalFederation) -> bool:
    (run,) = ours.runs("ages", [3])
    return run.organization_id == 3


def ids_of_results_differ(ours: LocalFederation) -> bool:
    return len({run.id for run in ours.runs("ages", [2, 3])}) == 2


@contextmanager
def extract_table(folder: Path, name: str = "default") -> Iterator[tuple[Federation, dict[str, Any]]]:
    """Yield a federation whose node has a table that was extracted from a file, as in v5."""
    FRAMES[0].to_csv(folder / "first.csv", index=False)
    with Federation([folder / "first.csv"], algorithm=FUNCTIONS, contract="v5") as federation:
        table = federation.client().dataframe.create(label="default", method="reads", name=name)
        yield federation, wait_for_table(federation, table)


def wait_for_table(federation: Federation, table: dict[str, Any]) -> dict[str, Any]:
    assert federation.wait(table["last_session_task"]["id"], LIMIT)
    return federation.client().dataframe.get(table["id"])


def ages_of(federation: Federation, table: dict[str, Any], *, grouped: bool = False) -> Any:
    reference = {"type": "dataframe", "dataframe_id": table["id"]}
    databases = [[reference]] if grouped else [reference]
    task = federation.client().task.create(1, [2], method="ages", arguments={}, databases=databases)
    assert federation.wait(task["id"], LIMIT)
    return federation.answer(federation.task(task["id"]).runs[0])


def argument_with_one_table(ours: LocalFederation) -> Any:
    with TemporaryDirectory() as folder, extract_table(Path(folder)) as (federation, table):
        return ages_of(federation, table, grouped=True)


def custom_name(ours: LocalFederation) -> Any:
    with TemporaryDirectory() as folder, extract_table(Path(folder), "people") as (federation, table):
        return ages_of(federation, table)


def duplicate_name(ours: LocalFederation) -> Any:
    with TemporaryDirectory() as folder, extract_table(Path(folder)) as (federation, _):
        try:
            federation.client().dataframe.create(label="default", method="reads", name="default")
        except FederationError:
            return "refused"


def organizations_with_the_table(ours: LocalFederation) -> Any:
    with TemporaryDirectory() as folder, extract_table(Path(folder)) as (_, table):
        return table["organizations_ready"]


def preprocess(federation: Federation, table: dict[str, Any]) -> dict[str, Any]:
    return wait_for_table(federation, federation.client().dataframe.preprocess(table["id"], method="halves"))


def type_of_a_column(ours: LocalFederation) -> Any:
    with TemporaryDirectory() as folder, extract_table(Path(folder)) as (federation, table):
        return preprocess(federation, table)["columns"][0]["dtype"]


def table_with_mixed_types(ours: LocalFederation) -> Any:
    table = ours.federation.client().dataframe.create(label="default", method="mixed", name="mixed")
    task = table["last_session_task"]["id"]
    assert ours.federation.wait(task, LIMIT)
    return {run.status for run in ours.federation.task(task).runs}


class Claim(NamedTuple):
    """A result of a mock that differs from the result of a real node."""

    generation: str
    question: str
    """A function of ``by_hand/mocked/<generation>_calls.py``."""
    mock: Any
    real: Any
    reason: str
    """The behaviour of the real node, with its section in the reference."""
    ours: Callable[[LocalFederation], Any]


SERVER_IDS = "the server assigns ids, and 1 is its organization `root`"
OTHERS_CONTINUE = "a run that fails is `crashed`, and the others continue (§3.2, §3.3)"
OWN_PROCESS = "every run is a separate container (§1.1)"
JSON_INPUT = "the input is JSON (§2), whose keys are strings"
SUBTASKS = "the server counts subtasks as it counts tasks, and links each to its parent"

CLAIMS = [
    Claim("v3", "first_organization", 0, 2, SERVER_IDS, first_organization),
    Claim("v3", "protocol_first_organization", 0, 2, SERVER_IDS, first_organization),
    Claim("v3", "complete", "true", True, "a boolean (§3.3)", lambda ours: ours.first_task()["complete"]),
    Claim("v3", "protocol_complete", "true", True, "a boolean (§3.3)", lambda ours: ours.first_task()["complete"]),
    Claim("v3", "id_of_the_first_task_is_true", False, True, SERVER_IDS, lambda ours: bool(ours.first_task()["id"])),
    Claim("v3", "ids_of_results_differ", False, True, SERVER_IDS, ids_of_results_differ),
    Claim(
        "v3",
        "one_run_fails",
        "ValueError in the caller, 0 tasks on record",
        ["completed", "crashed", "completed"],
        OTHERS_CONTINUE,
        lambda ours: ours.statuses("picky", [2, 3, 4]),
    ),
    Claim(
        "v3",
        "a_set",
        "set",
        "crashed",
        "with output_format json, which the mock ignores, the wrapper fails (§3.1)",
        lambda ours: ours.statuses("a_set", [2])[0],
    ),
    Claim(
        "v3",
        "a_tuple",
        "tuple",
        "list",
        "with output_format json, which the mock ignores, it is JSON (§3.1)",
        lambda ours: type(ours.results("a_tuple", [2])[0]).__name__,
    ),
    Claim(
        "v3", "globals_of_the_module", [1, 2, 3], [1, 1, 1], OWN_PROCESS, lambda ours: ours.results("counts", [2, 3, 4])
    ),
    Claim("v3", "data_of_the_next_task", [0], [1], "every run reads the data again (§4.1)", data_of_the_next_task),
    Claim(
        "v3",
        "keys_of_an_argument",
        ["int"],
        ["str"],
        JSON_INPUT,
        lambda ours: ours.results("keys", [2], value={1: "one"})[0],
    ),
    Claim(
        "v3",
        "subtask",
        {"id is new": False, "names its parent": False},
        {"id is new": True, "names its parent": True},
        SUBTASKS,
        subtask,
    ),
    Claim("v4", "first_organization", 0, 2, SERVER_IDS, first_organization),
    Claim(
        "v4",
        "order_for_a_container",
        [[5], [1], [9]],
        [[9], [1], [5]],
        "the newest run first (§3.5, §6.4)",
        order_for_a_container,
    ),
    Claim(
        "v4",
        "one_database_too_many",
        "TypeError in the caller",
        [1],
        "the first requested databases are used, and the log has a line about it (§5.2)",
        one_database_too_many,
    ),
    Claim(
        "v4",
        "one_run_fails",
        "ValueError in the caller, 1 run on record",
        ["completed", "crashed", "completed"],
        OTHERS_CONTINUE,
        lambda ours: ours.statuses("picky", [2, 3, 4]),
    ),
    Claim(
        "v4",
        "one_run_exits",
        "the caller's process ends",
        ["crashed"],
        "`sys.exit(3)` is `crashed` (§3.4)",
        lambda ours: ours.statuses("leaves", [2]),
    ),
    Claim("v4", "own_task", "another one", "found", "a task has the id that its creation gave", own_task),
    Claim(
        "v4", "globals_of_the_module", [1, 2, 3], [1, 1, 1], OWN_PROCESS, lambda ours: ours.results("counts", [2, 3, 4])
    ),
    Claim(
        "v4",
        "keys_of_an_argument",
        ["int"],
        ["str"],
        JSON_INPUT,
        lambda ours: ours.results("keys", [2], value={1: "one"})[0],
    ),
    Claim(
        "v4",
        "own_organization",
        "KeyError in the caller",
        3,
        "the token contains the organization (§6.1)",
        lambda ours: ours.results("organization_id", [3])[0],
    ),
    Claim(
        "v4",
        "subtask",
        {"id is new": False, "names its parent": False},
        {"id is new": True, "names its parent": True},
        SUBTASKS,
        subtask,
    ),
    Claim(
        "v4",
        "node_of_a_run",
        True,
        False,
        "a run has the id of its node",
        node_of_a_run,
    ),
    Claim("v5", "first_organization", 1, 2, SERVER_IDS, first_organization),
    Claim(
        "v5",
        "order_for_a_container",
        [[5], [1], [9]],
        [[9], [1], [5]],
        "the newest run first (§6.5)",
        order_for_a_container,
    ),
    Claim(
        "v5",
        "one_database_too_many",
        "the caller's process ends",
        [1],
        "the first requested databases are used, and the log has a line about it (§5.3)",
        one_database_too_many,
    ),
    Claim(
        "v5",
        "argument_with_one_table",
        "the caller's process ends",
        [1],
        "tasks have a list of tables for each argument (§6.5); a list with one table is a table",
        argument_with_one_table,
    ),
    Claim(
        "v5",
        "one_run_fails",
        "the caller's process ends, 1 run on record",
        ["completed", "crashed", "completed"],
        OTHERS_CONTINUE,
        lambda ours: ours.statuses("picky", [2, 3, 4]),
    ),
    Claim(
        "v5",
        "one_run_exits",
        "the caller's process ends",
        ["crashed"],
        "`sys.exit(3)` is `crashed` (§3.4)",
        lambda ours: ours.statuses("leaves", [2]),
    ),
    Claim(
        "v5",
        "unknown_method",
        "the caller's process ends",
        ["crashed"],
        "the wrapper exits with 1 (§3.4)",
        lambda ours: ours.statuses("nowhere", [2]),
    ),
    Claim(
        "v5",
        "a_set",
        "TypeError in the caller",
        ["crashed"],
        "the wrapper cannot write it (§3.1)",
        lambda ours: ours.statuses("a_set", [2]),
    ),
    Claim("v5", "own_task", None, "found", "a task has the id that its creation gave", own_task),
    Claim(
        "v5",
        "collaboration",
        "AttributeError in the caller",
        1,
        "the call exists (§6.5)",
        lambda ours: ours.federation.client().collaboration.get(1)["id"],
    ),
    Claim("v5", "organization_of_a_run", False, True, "a run names its organization (§6.4)", organization_of_a_run),
    Claim(
        "v5", "globals_of_the_module", [1, 2, 3], [1, 1, 1], OWN_PROCESS, lambda ours: ours.results("counts", [2, 3, 4])
    ),
    Claim(
        "v5",
        "keys_of_an_argument",
        ["int"],
        ["str"],
        JSON_INPUT,
        lambda ours: ours.results("keys", [2], value={1: "one"})[0],
    ),
    Claim(
        "v5",
        "a_folder",
        False,
        True,
        "SESSION_FOLDER is mounted (§1.2)",
        lambda ours: ours.results("has_a_folder", [2])[0],
    ),
    Claim(
        "v5",
        "subtask",
        {"id is new": True, "names its parent": False},
        {"id is new": True, "names its parent": True},
        SUBTASKS,
        subtask,
    ),
    Claim(
        "v5",
        "table_with_mixed_types",
        [1, "old"],
        {"crashed"},
        "a table is a Parquet file (§3.1), which has no column of several types (test_wrappers.py)",
        table_with_mixed_types,
    ),
    Claim("v5", "type_of_a_column", "float64", "double", "Arrow's name of the type (§3.1)", type_of_a_column),
    Claim(
        "v5",
        "organizations_with_the_table",
        [True],
        [2],
        "ids of organizations (§7.3)",
        organizations_with_the_table,
    ),
    Claim(
        "v5",
        "custom_name",
        "the caller's process ends",
        [1],
        "a table has an id and a name (§7.3)",
        custom_name,
    ),
    Claim("v5", "duplicate_name", 2, "refused", "names are unique in a collaboration (§11.3)", duplicate_name),
]


@pytest.fixture(scope="module")
def mocks(peer_python, tmp_path_factory) -> Iterator[Callable[[str, str], Any]]:
    """Return a function that runs a call on the real mock of a generation, in a separate process."""
    folder: Path = tmp_path_factory.mktemp("mocks")
    modules = {
        "v3": "vantage6.tools.mock_client",
        "v4": "vantage6.algorithm.tools.mock_client",
        "v5": "vantage6.algorithm.mock",
    }
    starters = {name: Starter(peer_python(name), module) for name, module in modules.items()}

    def run_method(generation: str, question: str) -> Any:
        environment = {
            **wrappers.IMAGE,
            "OUTPUT_FILE": str(folder / "output"),
            "PYTHONPATH": str(wrappers.HERE / "mocked"),
        }
        command = f"import {generation}_calls; {generation}_calls.write_result({question!r})"
        code = starters[generation].run(command, environment, folder / "log")
        assert code == 0, (folder / "log").read_text(encoding="utf-8")
        return json.loads((folder / "output").read_bytes())

    yield run_method
    for starter in starters.values():
        starter.close()


@pytest.fixture(scope="module")
def federations() -> Iterator[dict[str, LocalFederation]]:
    by_generation = {name: LocalFederation(name) for name in ("v3", "v4", "v5")}
    yield by_generation
    for ours in reversed(by_generation.values()):  # a process that was forked later has earlier sockets open
        ours.federation.close()


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.generation}-{claim.question}")
def test_the_mock_differs_from_a_real_node_and_ours_does_not(mocks, federations, claim) -> None:
    assert mocks(claim.generation, claim.question) == claim.mock
    assert claim.mock != claim.real
    assert claim.ours(federations[claim.generation]) == claim.real


def test_two_tables_of_v4_are_in_order_in_the_mock_and_in_ours_but_reversed_in_the_wrapper(mocks, federations) -> None:
    assert mocks("v4", "two_tables") == two_tables(federations["v4"]) == [[1], [5]]
    # for the wrapper, see DIFFERENCES in by_hand/differences.py


def test_our_master_gets_results_in_the_order_of_its_organizations(mocks, federations) -> None:
    """The mock has the same order. A real server returns the reverse order, without failed runs."""
    for name in ("v3", "v4", "v5"):
        (result,) = federations[name].results("central", [2], organizations=[3, 2, 4])
        assert result == [[5], [1], [9]] == mocks("v4" if name == "v3" else name, "order_for_a_container")


def test_two_tables_of_v5_are_in_order_everywhere(mocks, federations) -> None:
    assert mocks("v5", "two_tables") == two_tables(federations["v5"]) == [[1], [5]]


def test_a_v5_table_is_extracted_and_preprocessed_as_by_the_mock(mocks, tmp_path) -> None:
    with extract_table(tmp_path) as (federation, table):
        assert ages_of(federation, preprocess(federation, table)) == mocks("v5", "prepared") == [0.5]
