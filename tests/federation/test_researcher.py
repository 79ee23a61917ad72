"""The researcher's client: the calls and items of each generation's own client, with a real federation."""

from __future__ import annotations

import inspect
import json
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from algotools import AlgorithmClient, Column, Database, Federation, master, rpc
from algotools.errors import FederationError
from algotools.federation import Client, Dead
from algotools.federation.client._view import matches

from ..processes import LIMIT, wait_until

CONTRACTS = ("v3", "v4", "v5")
FRAMES = {
    "first": pd.DataFrame({"x": [1.0, 2.0]}),
    "second": pd.DataFrame({"x": [5.0]}),
    "third": pd.DataFrame({"x": []}),
}

GATE = threading.Event()
"""``wait_for_gate`` returns when this event is set."""


@rpc
def sum_up(data: pd.DataFrame, column: Column) -> dict[str, float]:
    return {"sum_up": data[column].sum(), "count": data[column].size}


@rpc
def read_first_value(data: pd.DataFrame, column: Column) -> float:
    return float(data[column].iloc[0])  # the third organization has no rows


@rpc
def wait_for_gate(data: Database) -> str:
    assert GATE.wait(LIMIT)
    return "let go"


@master
def sum_up_everywhere(client: AlgorithmClient, column: str) -> list[object]:
    return list(client.run(sum_up, column=column))


@master
def wait_at_all_nodes(client: AlgorithmClient) -> list[object]:
    return list(client.run(wait_for_gate))


FUNCTIONS = [sum_up, read_first_value, wait_for_gate, sum_up_everywhere, wait_at_all_nodes]


on_each_contract = pytest.mark.parametrize("federation_with_tasks", CONTRACTS, indirect=True)
"""For items and calls that differ between the generations."""


@pytest.fixture(scope="module")
def federation_with_tasks(request: pytest.FixtureRequest) -> Iterator[Federation]:
    """A federation with four tasks: 1 (totals), 2 (a master), 3 (its subtask) and 4 (one of its runs failed)."""
    with Federation(FRAMES, algorithm=FUNCTIONS, contract=getattr(request, "param", "v4")) as federation:
        client = federation.client()
        client.task.create(1, [4, 2, 3], "totals", "an/image:1", "of all", make_input("sum_up"))
        client.wait_for_results(1)
        client.task.create(1, [2], "the master's", "an/image:2", "", make_input("sum_up_everywhere"))
        client.wait_for_results(2)
        client.task.create(1, [2, 3, 4], "one fails", "an/image:2", "", make_input("read_first_value"))
        client.wait_for_results(4)
        yield federation


@pytest.fixture
def client(federation_with_tasks: Federation) -> Client:
    return federation_with_tasks.client()


@pytest.fixture
def federation(request: pytest.FixtureRequest) -> Iterator[Federation]:
    """A federation for tasks that wait and are killed."""
    GATE.clear()
    with Federation(FRAMES, algorithm=FUNCTIONS, contract=getattr(request, "param", "v4")) as federation:
        yield federation
        GATE.set()


def make_input(method: str) -> dict[str, Any]:
    function = next(f for f in FUNCTIONS if f.method == method)
    column = {} if function in (wait_for_gate, wait_at_all_nodes) else {"column": "x"}
    return {"method": method, "kwargs": column, "master": function.role == "master"}


def is_v3(client: Client) -> bool:
    return client._view.is_v3


# Items: the fields that §6 and §7 of the contract recorded, and the additional fields of the manual.

TASK_V3 = {
    *("initiator", "description", "run_id", "status", "collaboration", "id", "finished_at", "parent", "init_user"),
    *("children", "complete", "image", "results", "name", "database", "created_at"),
}
TASK_V4 = {
    *("status", "finished_at", "collaboration", "runs", "results", "parent", "children", "init_org", "init_user"),
    *("databases", "study", "algorithm_store", "id", "name", "description", "image", "job_id", "created_at"),
}
RUN_V4 = {
    *("organization", "task", "results", "node", "ports", "id", "input", "assigned_at", "started_at", "finished_at"),
    *("status", "log", "cleanup_at", "blob_storage_used"),
}
RESULT_V3 = {
    *("assigned_at", "finished_at", "id", "input", "log", "node", "organization", "ports", "result", "started_at"),
    *("status", "task"),
}
RESULT_V4 = {"run", "task", "id", "result", "cleanup_at", "blob_storage_used"}
ORGANIZATION_V3 = {
    *("id", "name", "domain", "address1", "address2", "zipcode", "country", "public_key"),
    *("collaborations", "nodes", "users", "roles", "results"),
}
ORGANIZATION_V4 = {
    *("collaborations", "nodes", "users", "tasks", "runs", "studies", "public_key", "id", "name", "domain"),
    *("address1", "address2", "zipcode", "country"),
}
COLLABORATION_V4 = {"organizations", "nodes", "tasks", "algorithm_stores", "studies", "id", "name", "encrypted"}
NODE_V4 = {"id", "name", "status", "organization", "collaboration", "type", "ip", "last_seen", "config"}
KEYS = {
    "v3": {
        "task": TASK_V3,
        "run": RESULT_V3 - {"result"},
        "result": RESULT_V3,
        "organization": ORGANIZATION_V3,
        "collaboration": {"id", "name", "encrypted", "organizations"},
        "node": NODE_V4,
    },
    "v4": {
        "task": TASK_V4 | {"complete"},
        "run": RUN_V4,
        "result": RESULT_V4,
        "organization": ORGANIZATION_V4,
        "collaboration": COLLABORATION_V4,
        "node": NODE_V4,
    },
    "v5": {
        "task": TASK_V4 | {"complete", "action", "method", "depends_on", "required_by", "session", "dataframe"},
        "run": RUN_V4 - {"input", "ports"} | {"arguments", "action"},
        "result": RESULT_V4 | {"action"},
        "organization": ORGANIZATION_V4,
        "collaboration": COLLABORATION_V4 | {"session_restrict_to_same_image"},
        "node": NODE_V4 - {"ip"} | {"keycloak_id", "keycloak_client_id"},
    },
}


@on_each_contract
def test_items_have_the_fields_of_the_generation(federation_with_tasks: Federation, client: Client) -> None:
    results = client.result.from_task(1)
    items = {
        "task": client.task.get(1),
        "run": client.run.get(1),
        "result": results[0] if is_v3(client) else results["data"][0],
        "organization": client.organization.get(2),
        "collaboration": client.collaboration.get(1),
        "node": client.node.get(1),
    }
    assert {kind: item.keys() for kind, item in items.items()} == KEYS[federation_with_tasks.contract]
    json.dumps(
        {kind: item for kind, item in items.items() if federation_with_tasks.contract != "v3"}
    )  # items of v3 contain bytes


@on_each_contract
@pytest.mark.parametrize("kind", ["collaboration", "organization", "node", "task", "run", "result"])
def test_a_list_has_the_items_that_get_gives(client: Client, kind: str) -> None:
    part = getattr(client, kind)
    listed = part.list(include_metadata=False)
    assert listed
    if kind != "result" or is_v3(client):
        assert listed == [part.get(item["id"]) for item in listed]
    page = part.list(scope="global") if kind == "collaboration" else part.list()
    assert page["data"] == listed
    assert page["links"].keys() >= {"first", "self", "last"}


@on_each_contract
def test_every_contract_has_the_fields_of_the_manual(client: Client) -> None:
    assert client.task.get(1)["complete"] is True
    assert client.collaboration.list(field="organizations") == [
        {"organizations": [{"id": i, "link": f"/api/organization/{i}", "methods": ["GET", "PATCH"]} for i in (2, 3, 4)]}
    ]
    items = client.result.list(task=1)["data"]
    assert [item["organization"]["id"] for item in items] == [4, 2, 3]
    assert [item["result"] for item in items] == [
        {"sum_up": sum_up, "count": count} for sum_up, count in ((0.0, 0), (3.0, 2), (5.0, 1))
    ]
    assert all(item.keys() == RESULT_V3 for item in items)


# The scripts of each generation.


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_v3_script_runs_unchanged(contract: str) -> None:
    with Federation(FRAMES, algorithm=FUNCTIONS, contract=contract) as federation:
        client = federation.client()
        client.authenticate("researcher", "password")
        client.setup_encryption(None)
        task = client.task.create(
            1, [2, 3], "n", "image", "d", make_input("sum_up"), data_format="json", database="default"
        )
        results = client.wait_for_results(task["id"], sleep=0.5)
        decoded = client.result.list(task=task["id"], include_metadata=False)
        assert [item["result"]["sum_up"] for item in decoded] == [3.0, 5.0]
        if contract == "v3":
            assert [item["result"] for item in results] == [
                b'json.{"sum_up":3.0,"count":2}',
                b'json.{"sum_up":5.0,"count":1}',
            ]
            assert client.result.from_task(task["id"]) == decoded
            assert client.result.get(1) == decoded[0]


@pytest.mark.parametrize("contract", ["v4", "v5"])
@pytest.mark.parametrize("databases", ["default", [{"label": "default"}]], ids=["a bare label", "a list"])
def test_a_v4_script_runs_unchanged(contract: str, databases: Any) -> None:
    with Federation(FRAMES, algorithm=FUNCTIONS, contract=contract) as federation:
        client = federation.client()
        client.authenticate("researcher", "password", mfa_code=123456)
        client.setup_encryption(None)
        client.setup_collaboration(1)
        task = client.task.create(
            organizations=[2, 3],
            name="n",
            image="image",
            description="d",
            input_={"method": "sum_up", "kwargs": {"column": "x"}},
            databases=databases,
        )
        results = client.wait_for_results(task["id"], interval=1)
        assert [(item["run"]["id"], json.loads(item["result"])["sum_up"]) for item in results["data"]] == [
            (2, 5.0),
            (1, 3.0),
        ]
        assert results == client.result.from_task(task["id"])
        assert json.loads(client.result.get(1))["count"] == 2
        runs = client.run.from_task(task["id"])["data"]
        assert [(run["id"], run["status"], run["organization"]["id"]) for run in runs] == [
            (2, "completed", 3),
            (1, "completed", 2),
        ]
        input_ = runs[0]["arguments"] if contract == "v5" else runs[0]["input"]
        assert json.loads(input_) in ({"column": "x"}, {"method": "sum_up", "kwargs": {"column": "x"}})


def test_a_v5_script_runs_unchanged(tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.csv" for name in ("first", "second")}
    for name, file in files.items():
        FRAMES[name].to_csv(file, index=False)
    with Federation(files, algorithm=FUNCTIONS, contract="v5") as federation:
        client = federation.client()
        client.authenticate()
        client.setup_encryption(None)
        client.setup_collaboration(1)
        session = client.session.create(name="s1", collaboration=1, scope="collaboration")
        table = client.dataframe.create(
            label="default", image="image", method="read_csv", session=session["id"], name="d"
        )
        client.wait_for_results(client.dataframe.get(table["id"])["last_session_task"]["id"])
        task = client.task.create(
            organizations=[2, 3],
            name="n",
            image="image",
            description="d",
            method="sum_up",
            arguments={"column": "x"},
            session=session["id"],
            collaboration=1,
            databases=[{"type": "dataframe", "dataframe_id": table["id"]}],
            action="federated_compute",
        )
        results = client.wait_for_results(task["id"])["data"]
        assert [(json.loads(item["result"])["sum_up"], item["action"]) for item in results] == [
            (5.0, "federated_compute"),
            (3.0, "federated_compute"),
        ]
        assert client.session.list(fields=["id", "name"], name="s%") == [{"id": 1, "name": "s1"}]
        assert client.session.get(1, field="name") == {"name": "s1"}
        assert client.dataframe.list(1, fields=["name", "ready"]) == [{"name": "d", "ready": True}]
        assert client.dataframe.get(1, field="db_label") == {"db_label": "default"}
        assert client.task.list(dataframe=1, field="id") == [{"id": 1}]
        assert client.task.list(session=1, field="id") == [{"id": 2}, {"id": 1}]
        assert client.task.list(database="d", field="id") == [{"id": 2}]


def test_a_task_with_input__has_no_default_database() -> None:
    with Federation(FRAMES, algorithm=FUNCTIONS) as federation:
        client = federation.client()
        call = {"method": "sum_up", "kwargs": {"column": "x"}}
        as_on_v4, as_in_the_manual = (
            client.task.create(organizations=2, input_=call),
            client.task.create(1, 2, input=call),
        )
        assert [as_on_v4["databases"], len(as_in_the_manual["databases"])] == [[], 1]
        assert [item["result"] for item in client.wait_for_results(as_on_v4["id"])["data"]] == [None]
        assert [item["result"] is None for item in client.wait_for_results(as_in_the_manual["id"])["data"]] == [False]


# Lists.


def list_ids(listed: Any) -> list[int]:
    return [item["id"] for item in (listed if isinstance(listed, list) else listed["data"])]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [4, 3, 2, 1]),
        ({"name": "%s"}, [4, 2, 1]),
        ({"name": "total_"}, [1]),
        ({"image": "an/image:2"}, [4, 3, 2]),
        ({"description": "of all"}, [1]),
        ({"status": "completed"}, [3, 2, 1]),
        ({"collaboration": 1}, [4, 3, 2, 1]),
        ({"parent": 2}, [3]),
        ({"job": 2}, [3, 2]),
        ({"initiator": 2}, [3]),
        ({"initiating_org": 1}, [4, 2, 1]),
        ({"user_created": True}, [4, 2, 1]),
        ({"user_created": False}, [3]),
        ({"result": 5}, [3]),
        ({"database": "default"}, [4, 3, 2, 1]),
        ({"database": "other"}, []),
        ({"name": "%s", "image": "%2"}, [4, 2]),
        ({"per_page": 3}, [4, 3, 2]),
        ({"per_page": 3, "page": 2}, [1]),
        ({"filter_": ("name", "totals")}, [1]),
        ({"filters": [("image", "an/image:2"), ("description", "")]}, [4, 2]),
        ({"include_metadata": False}, [4, 3, 2, 1]),
    ],
    ids=str,
)
def test_tasks_are_listed_newest_first_and_filtered(
    client: Client, filters: dict[str, Any], expected: list[int]
) -> None:
    assert list_ids(client.task.list(**filters)) == expected


@on_each_contract
def test_the_argument_run_is_a_job_on_v3_and_a_run_later(client: Client) -> None:
    assert list_ids(client.task.list(run=2)) == ([3, 2] if is_v3(client) else [1])


def test_pages_have_links_to_other_pages(client: Client) -> None:
    first = client.task.list(per_page=3)
    assert first["links"]["next"].endswith("page=2")
    assert "next" not in client.task.list(per_page=3, page=2)["links"]
    assert client.run.list(per_page=None)["links"]["self"] == client.run.list(per_page=None)["links"]["last"]


def test_the_default_page_of_tasks_has_twenty_items() -> None:
    with Federation(FRAMES, algorithm=FUNCTIONS, faults={2: Dead()}) as federation:
        client = federation.client()
        for _ in range(22):
            client.task.create(1, 2, input=make_input("sum_up"))
        assert len(client.task.list()["data"]) == 20
        assert [len(client.task.list(page=n, fields=["id"])) for n in (1, 2)] == [20, 2]
        assert len(client.task.list(page=None, per_page=None)["data"]) == 22


@on_each_contract
def test_results_can_include_their_task_and_tasks_their_results(client: Client) -> None:
    task = client.task.get(1, include_results=True)
    assert [item["id"] for item in task["results"]] == [1, 2, 3]
    assert all(isinstance(item["result"], str) for item in task["results"])  # base64, as on the platform
    assert client.task.list(name="totals", include_results=True)["data"] == [task]
    assert client.result.list(task=1, include_task=True)["data"][0]["task"]["name"] == "totals"
    assert client.run.get(1, include_task=True)["task"]["id"] == 1
    assert [item["task"]["id"] for item in client.run.from_task(2, include_task=True)["data"]] == [2]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"task": 1}, [3, 2, 1]),
        ({"task": 1, "organization": 4}, [1]),
        ({"node": 1}, [6, 5, 4, 2]),
        ({"status": "crashed"}, [8]),
        ({"state": "open"}, []),
        ({"started": ("2000-01-01", "2000-01-02")}, []),
        ({"task": 2, "assigned": ("2000-01-01", "2999-01-01"), "finished": ("2000-01-01", "2999-01-01")}, [4]),
        ({"task": 1, "filter_": ("id", 2)}, [2]),
    ],
    ids=str,
)
def test_runs_are_listed_newest_first_and_filtered(
    client: Client, filters: dict[str, Any], expected: list[int]
) -> None:
    assert list_ids(client.run.list(**filters)) == expected
    if "status" not in filters:
        assert set(list_ids(client.result.list(**filters))) == set(expected)


@on_each_contract
def test_a_failed_run_is_never_missing_and_its_log_has_the_reason(client: Client) -> None:
    results = client.result.from_task(4)
    items = results if is_v3(client) else results["data"][::-1]
    assert [item["result"] is None for item in items] == [False, False, True]
    assert [item["result"] for item in client.result.list(task=4)["data"]] == [1.0, 5.0, None]
    waited = client.wait_for_results(4)
    assert [item["result"] is None for item in (waited if is_v3(client) else waited["data"][::-1])] == [
        False,
        False,
        True,
    ]
    (failed,) = client.run.list(task=4, status="crashed", include_metadata=False)
    assert "IndexError" in failed["log"]
    assert client.run.list(task=4, fields=["id", "status"]) == [
        {"id": failed["id"], "status": "crashed"},
        *({"id": failed["id"] - n, "status": "completed"} for n in (1, 2)),
    ]
    assert client.task.get(4)["status"] == ("crashed" if client._view.contract.name == "v4" else "failed")
    assert is_v3(client) or client.result.get(failed["id"]) is None


def test_organizations_nodes_and_collaborations_are_found_by_name(client: Client) -> None:
    assert client.organization.list(name="%d", field="name") == [{"name": "second"}, {"name": "third"}]
    assert client.organization.list(collaboration=1, field="id") == [{"id": 2}, {"id": 3}, {"id": 4}]
    assert client.organization.get(field="name") == {"name": "root"}
    assert client.node.list(organization=3, fields=["id", "status"]) == [{"id": 2, "status": "online"}]
    assert client.node.list(name="fir%", field="id") == [{"id": 1}]
    assert client.node.get(1, field="organization")["organization"]["id"] == 2
    assert client.collaboration.list(name="nothing like it", fields=["id"]) == []
    assert client.collaboration.list(encrypted=True, organization=2, fields=["id"]) == []
    assert client.collaboration.list(organization=2, fields=["id"]) == [{"id": 1}]
    client.setup_collaboration(1)
    assert client.collaboration_id == 1
    assert client.organization.list(field="id") == [{"id": 2}, {"id": 3}, {"id": 4}]


def test_a_dead_node_is_offline_and_its_run_pending() -> None:
    with Federation(FRAMES, algorithm=FUNCTIONS, faults={"second": Dead()}) as federation:
        client = federation.client()
        assert client.node.list(is_online=False, fields=["id", "status"]) == [{"id": 2, "status": "offline"}]
        task = client.task.create(1, [2, 3], input=make_input("sum_up"))
        wait_until(lambda: client.run.list(task=task["id"], status="completed", field="id"))
        assert client.run.list(task=task["id"], state="open", fields=["status", "started_at"]) == [
            {"status": "pending", "started_at": None}
        ]
        assert (client.task.get(1)["status"], client.task.get(1)["complete"]) == ("pending", False)


@pytest.mark.parametrize(
    ("pattern", "text", "is_match"),
    [("E%", "Ever", True), ("E%", "ever", False), ("_b", "ab", True), ("_b", "b", False), ("a.c", "abc", False)],
)
def test_patterns_match_as_in_sql(pattern: str, text: str, is_match: bool) -> None:
    assert matches(pattern, text) is is_match


# Running tasks.


@pytest.mark.parametrize("federation", CONTRACTS, indirect=True)
def test_a_killed_task_is_cancelled_with_its_subtasks(federation: Federation) -> None:
    client = federation.client()
    task = client.task.create(1, [2, 3, 4], input=make_input("wait_at_all_nodes"))
    wait_until(lambda: len(client.run.list(status="active", page=None, field="id")) > 3)
    assert client.task.get(task["id"])["status"] == ("awaiting" if federation.contract == "v5" else "active")
    assert client.task.kill(task["id"]) == {"msg": "task 1 is killed"}

    assert client.run.list(state="open", field="id") == []
    killed = client.run.list(fields=["status", "finished_at"])
    assert {run["status"] for run in killed} == {"killed by user"}
    assert all(run["finished_at"] for run in killed)
    statuses = {item["status"] for item in client.task.list(fields=["status"])}
    assert statuses == {"killed by user" if federation.contract == "v4" else "failed"}
    assert all("a request to kill its task" in run["log"].splitlines()[-1] for run in client.run.list(fields=["log"]))

    results = client.wait_for_results(task["id"])
    assert [item["result"] for item in (results if federation.contract == "v3" else results["data"])] == [None] * 3
    assert client.task.kill(task["id"])["msg"].startswith("task 1 has already finished: ")


def test_a_finished_run_is_unchanged_when_its_task_is_killed(federation: Federation) -> None:
    client = federation.client()
    done = client.task.create(1, [2], input=make_input("sum_up"))
    client.wait_for_results(done["id"])
    before = client.run.list(task=done["id"])
    assert "has already finished" in client.task.kill(done["id"])["msg"]
    assert client.run.list(task=done["id"]) == before


@pytest.mark.parametrize("federation", CONTRACTS, indirect=True)
def test_waiting_returns_as_soon_as_the_task_is_complete(federation: Federation) -> None:
    client = federation.client()
    task = client.task.create(1, [2], input=make_input("wait_for_gate"))
    returned: list[Any] = []
    waiting = threading.Thread(target=lambda: returned.append(client.wait_for_results(task["id"], interval=3600)))
    waiting.start()
    wait_until(lambda: client.run.get(1)["status"] == "active")
    assert not returned
    GATE.set()
    waiting.join(LIMIT)
    (results,) = returned
    assert [item["result"] for item in (results if federation.contract == "v3" else results["data"])] in (
        ['"let go"'],
        [b'json."let go"'],
    )


def test_waiting_in_a_federation_that_closes_is_an_error(federation: Federation) -> None:
    client = federation.client()
    task = client.task.create(1, [2], input=make_input("wait_for_gate"))
    errors: list[Exception] = []

    def wait() -> None:
        try:
            client.wait_for_results(task["id"])
        except FederationError as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: client.run.get(1)["status"] == "active")
    federation.close()
    waiting.join(LIMIT)
    GATE.set()
    assert [str(error) for error in errors] == ["this federation is closed; create a new one"]
    with pytest.raises(FederationError, match="closed"):
        client.authenticate()


# Errors.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.task.get(9), r"unknown task 9 \(existing tasks: 1 to 4\)"),
        (lambda c: c.task.kill(9), r"unknown task 9 \(existing tasks: 1 to 4\)"),
        (lambda c: c.task.list(parent=9), r"unknown task 9 \(existing tasks: 1 to 4\)"),
        (lambda c: c.task.list(result=99), r"unknown run 99 \(existing runs: 1 to 8\)"),
        (lambda c: c.result.list(task=9), r"unknown task 9 \(existing tasks: 1 to 4\)"),
        (lambda c: c.result.from_task(9), r"unknown task 9 \(existing tasks: 1 to 4\)"),
        (lambda c: c.wait_for_results(9), r"unknown task 9 \(existing tasks: 1 to 4\)"),
        (lambda c: c.run.from_task(9), r"unknown task 9 \(existing tasks: 1 to 4\)"),
        (lambda c: c.result.get(99), r"unknown run 99 \(existing runs: 1 to 8\)"),
        (lambda c: c.run.get(99), r"unknown run 99 \(existing runs: 1 to 8\)"),
        (lambda c: c.organization.get(9), r"unknown organization 9 \(choose from 1 \(root\), 2 \(first\)"),
        (lambda c: c.node.get(9), r"unknown node 9 \(existing nodes: 1 to 3\)"),
        (lambda c: c.collaboration.get(9), r"unknown collaboration 9 \(choose from 1 "),
        (lambda c: c.organization.list(collaboration=9), r"unknown collaboration 9 \(choose from 1 "),
        (lambda c: c.setup_collaboration(9), r"unknown collaboration 9 \(choose from 1 "),
        (lambda c: c.task.list(status="crushed"), r"unknown status 'crushed' \(choose from .*completed"),
        (lambda c: c.run.list(status="crushed"), r"unknown status 'crushed' \(choose from .*crashed"),
        (lambda c: c.run.list(state="closed"), r"unknown state 'closed' \(choose from open\)"),
        (lambda c: c.task.list(nmae="x"), r"list has no argument nmae \(choose from name, status"),
        (
            lambda c: c.task.get(1, nmae="x"),
            r"get has no argument nmae \(choose from id_, include_results, field, fields",
        ),
        (lambda c: c.task.list(fields=["nmae"]), r"unknown field nmae \(choose from id, "),
        (lambda c: c.task.get(1, fields="name"), r"fields must be a list of keys: write fields=\['name'\]"),
        (lambda c: c.task.list(filter_=("nmae", 1)), r"unknown field nmae \(choose from id, "),
        (lambda c: c.task.list(page=0), "pages are counted from 1"),
        (lambda c: c.task.create([2], "n"), "the first argument is the collaboration"),
        (lambda c: c.task.create(1, [2], input={"method": "m"}, input_={"method": "m"}), "pass only one of them"),
        (lambda c: c.task.create(1, [2], input={"method": "m"}, database="a", databases="b"), "pass only one of them"),
        (
            lambda c: c.task.create(1, [2], input={"method": "m"}, databases=3.5),
            "`databases` must be a label, or a list",
        ),
        (lambda c: c.task.create(input={"method": "m"}), "name at least one organization"),
        (lambda c: c.setup_encryption("private_key.pem"), "not encrypted"),
    ],
)
def test_an_unknown_id_or_value_is_refused_with_the_choices(
    client: Client, call: Callable[[Client], object], message: str
) -> None:
    with pytest.raises(FederationError, match=message):
        call(client)
    assert len(client.task.list()["data"]) == 4  # no task was created


def test_a_client_of_an_untouched_federation_has_empty_lists() -> None:
    with Federation(FRAMES, algorithm=FUNCTIONS) as federation:
        client = federation.client()
        assert (client.task.list()["data"], client.run.list()["data"], client.result.list()["data"]) == ([], [], [])
        with pytest.raises(FederationError, match=r"unknown task 1 \(existing tasks: none\)"):
            client.task.get(1)


def test_every_call_documents_its_arguments(client: Client) -> None:
    groups = [name for name, part in vars(type(client)).items() if isinstance(part, cached_property)]
    parts = [getattr(client, name) for name in groups]
    calls = [
        call
        for part in (client, *parts)
        for name, call in inspect.getmembers(part, callable)
        if not name.startswith("_") and not inspect.isclass(call) and name not in groups
    ]
    assert len(calls) > 25
    for call in calls:
        text = inspect.getdoc(call) or ""
        names = [name for name, p in inspect.signature(call).parameters.items() if p.kind is not p.VAR_KEYWORD]
        assert text, call
        assert not names or call.__name__ in ("post", "authenticate", "setup_collaboration") or "Args:" in text, call
        if "Args:" in text:
            assert [name for name in names if f"{name}:" not in text] == [], call


def test_the_calls_for_a_list_grow_linearly_with_its_items() -> None:
    def count_calls(nodes: int) -> int:
        """Count the function calls of all lists. Unlike a time, the number is the same on every machine."""
        frame = pd.DataFrame({"x": [1.0]})
        with Federation(
            [frame] * nodes, algorithm=FUNCTIONS, faults=dict.fromkeys(range(2, nodes + 2), Dead())
        ) as many:
            client = many.client()
            client.task.create(1, list(many.organizations()), input=make_input("sum_up"))
            count = 0

            def count_call(_frame: object, event: str, _argument: object) -> None:
                nonlocal count
                count += event == "call"

            sys.setprofile(count_call)
            try:
                assert len(client.run.list(task=1)["data"]) == nodes
                assert len(client.result.list(task=1)["data"]) == nodes
                assert len(client.node.list(per_page=nodes)["data"]) == nodes
                assert len(client.organization.list()["data"]) == nodes + 1
                assert client.task.list(include_results=True)["data"]
            finally:
                sys.setprofile(None)
            return count

    assert count_calls(200) < 15 * count_calls(20)
