"""The researcher's client: the calls of each generation's own client, with its items, over a real federation."""

from __future__ import annotations

import inspect
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from algotools import AlgorithmClient, Column, Database, Federation, master, rpc
from algotools.errors import FederationError
from algotools.federation import Client, Dead
from algotools.federation.client.selection import like

CONTRACTS = ("v3", "v4", "v5")
FRAMES = {
    "first": pd.DataFrame({"x": [1.0, 2.0]}),
    "second": pd.DataFrame({"x": [5.0]}),
    "third": pd.DataFrame({"x": []}),
}

GATE = threading.Event()
"""Until it is set, ``held`` does not answer."""


@rpc
def sum_up(data: pd.DataFrame, column: Column) -> dict[str, float]:
    return {"sum_up": data[column].sum(), "count": data[column].size}


@rpc
def few(data: pd.DataFrame, column: Column) -> float:
    return float(data[column].iloc[0])  # the third organization has none


@rpc
def held(data: Database) -> str:
    assert GATE.wait(60)
    return "let go"


@master
def everywhere(client: AlgorithmClient, column: str) -> list[object]:
    return list(client.run(sum_up, column=column))


@master
def holds_everybody(client: AlgorithmClient) -> list[object]:
    return list(client.run(held))


FUNCTIONS = [sum_up, few, held, everywhere, holds_everybody]


@pytest.fixture(scope="module", params=CONTRACTS)
def asked(request: pytest.FixtureRequest) -> Iterator[Federation]:
    """With tasks 1 (totals), 2 (a master's), 3 (the subtask of that) and 4 (which failed at one organization)."""
    with Federation(FRAMES, algorithm=FUNCTIONS, contract=request.param) as federation:
        client = federation.client()
        client.task.create(1, [4, 2, 3], "totals", "an/image:1", "of all", posted("sum_up"))
        client.wait_for_results(1)
        client.task.create(1, [2], "the master's", "an/image:2", "", posted("everywhere"))
        client.wait_for_results(2)
        client.task.create(1, [2, 3, 4], "one fails", "an/image:2", "", posted("few"))
        client.wait_for_results(4)
        yield federation


@pytest.fixture
def client(asked: Federation) -> Client:
    return asked.client()


@pytest.fixture(params=CONTRACTS)
def working(request: pytest.FixtureRequest) -> Iterator[Federation]:
    """One to hold up and to kill in."""
    GATE.clear()
    with Federation(FRAMES, algorithm=FUNCTIONS, contract=request.param) as federation:
        yield federation
        GATE.set()


def posted(method: str) -> dict[str, Any]:
    function = next(f for f in FUNCTIONS if f.method == method)
    column = {} if function in (held, holds_everybody) else {"column": "x"}
    return {"method": method, "kwargs": column, "master": function.role == "master"}


def until(there: Callable[[], object]) -> None:
    for _ in range(3000):
        if there():
            return
        time.sleep(0.01)
    pytest.fail("it does not come to that")


def is_v3(client: Client) -> bool:
    return client._view.is_v3


# Items: what §6 and §7 of the contract have recorded, and what the manual shows besides.

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


def test_items_have_the_fields_of_the_generation(asked: Federation, client: Client) -> None:
    results = client.result.from_task(1)
    items = {
        "task": client.task.get(1),
        "run": client.run.get(1),
        "result": results[0] if is_v3(client) else results["data"][0],
        "organization": client.organization.get(2),
        "collaboration": client.collaboration.get(1),
        "node": client.node.get(1),
    }
    assert {kind: item.keys() for kind, item in items.items()} == KEYS[asked.contract]
    json.dumps({kind: item for kind, item in items.items() if asked.contract != "v3"})  # v3 has bytes in them


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


def test_the_manual_s_own_fields_are_there_on_every_contract(client: Client) -> None:
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


# What a task is called by, on each generation.


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_v3_script_runs_as_it_is(contract: str) -> None:
    with Federation(FRAMES, algorithm=FUNCTIONS, contract=contract) as federation:
        client = federation.client()
        client.authenticate("researcher", "password")
        client.setup_encryption(None)
        task = client.task.create(
            1, [2, 3], "n", "image", "d", posted("sum_up"), data_format="json", database="default"
        )
        found = client.wait_for_results(task["id"], sleep=0.5)
        decoded = client.result.list(task=task["id"], include_metadata=False)
        assert [item["result"]["sum_up"] for item in decoded] == [3.0, 5.0]
        if contract == "v3":
            assert [item["result"] for item in found] == [
                b'json.{"sum_up":3.0,"count":2}',
                b'json.{"sum_up":5.0,"count":1}',
            ]
            assert client.result.from_task(task["id"]) == decoded
            assert client.result.get(1) == decoded[0]


@pytest.mark.parametrize("contract", ["v4", "v5"])
@pytest.mark.parametrize("databases", ["default", [{"label": "default"}]], ids=["a bare label", "a list"])
def test_a_v4_script_runs_as_it_is(contract: str, databases: Any) -> None:
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
        given = runs[0]["arguments"] if contract == "v5" else runs[0]["input"]
        assert json.loads(given) in ({"column": "x"}, {"method": "sum_up", "kwargs": {"column": "x"}})


def test_a_v5_script_runs_as_it_is(tmp_path: Path) -> None:
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
        found = client.wait_for_results(task["id"])["data"]
        assert [(json.loads(item["result"])["sum_up"], item["action"]) for item in found] == [
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


def test_on_v4_a_task_that_names_no_database_gets_none_where_it_is_written_as_there() -> None:
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


def ids(found: Any) -> list[int]:
    return [item["id"] for item in (found if isinstance(found, list) else found["data"])]


@pytest.mark.parametrize(
    ("filters", "found"),
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
def test_tasks_are_listed_newest_first_and_found_by_what_is_known_of_them(
    client: Client, filters: dict[str, Any], found: list[int]
) -> None:
    assert ids(client.task.list(**filters)) == found


def test_a_run_is_a_job_on_v3_and_one_of_the_task_s_later(client: Client) -> None:
    assert ids(client.task.list(run=2)) == ([3, 2] if is_v3(client) else [1])


def test_pages_say_where_the_others_are(client: Client) -> None:
    first = client.task.list(per_page=3)
    assert first["links"]["next"].endswith("page=2")
    assert "next" not in client.task.list(per_page=3, page=2)["links"]
    assert client.run.list(per_page=None)["links"]["self"] == client.run.list(per_page=None)["links"]["last"]


def test_without_a_word_a_list_of_tasks_has_a_page_of_twenty() -> None:
    with Federation(FRAMES, algorithm=FUNCTIONS, faults={2: Dead()}) as federation:
        client = federation.client()
        for _ in range(22):
            client.task.create(1, 2, input=posted("sum_up"))
        assert len(client.task.list()["data"]) == 20
        assert [len(client.task.list(page=n, fields=["id"])) for n in (1, 2)] == [20, 2]
        assert len(client.task.list(page=None, per_page=None)["data"]) == 22


def test_results_can_be_had_with_their_task_and_a_task_with_its_results(client: Client) -> None:
    task = client.task.get(1, include_results=True)
    assert [item["id"] for item in task["results"]] == [1, 2, 3]
    assert all(isinstance(item["result"], str) for item in task["results"])  # base64, as the platform leaves it there
    assert client.task.list(name="totals", include_results=True)["data"] == [task]
    assert client.result.list(task=1, include_task=True)["data"][0]["task"]["name"] == "totals"
    assert client.run.get(1, include_task=True)["task"]["id"] == 1
    assert [item["task"]["id"] for item in client.run.from_task(2, include_task=True)["data"]] == [2]


@pytest.mark.parametrize(
    ("filters", "found"),
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
def test_runs_are_listed_newest_first_and_found_by_what_is_known_of_them(
    client: Client, filters: dict[str, Any], found: list[int]
) -> None:
    assert ids(client.run.list(**filters)) == found
    if "status" not in filters:
        assert set(ids(client.result.list(**filters))) == set(found)


def test_a_failed_run_is_never_missing_and_its_log_tells_why(client: Client) -> None:
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
        task = client.task.create(1, [2, 3], input=posted("sum_up"))
        until(lambda: client.run.list(task=task["id"], status="completed", field="id"))
        assert client.run.list(task=task["id"], state="open", fields=["status", "started_at"]) == [
            {"status": "pending", "started_at": None}
        ]
        assert (client.task.get(1)["status"], client.task.get(1)["complete"]) == ("pending", False)


@pytest.mark.parametrize(
    ("pattern", "text", "alike"),
    [("E%", "Ever", True), ("E%", "ever", False), ("_b", "ab", True), ("_b", "b", False), ("a.c", "abc", False)],
)
def test_names_are_alike_as_sql_has_it(pattern: str, text: str, alike: bool) -> None:
    assert like(pattern, text) is alike


# While it runs.


def test_a_killed_task_ends_with_all_that_it_had_begun(working: Federation) -> None:
    client = working.client()
    task = client.task.create(1, [2, 3, 4], input=posted("holds_everybody"))
    until(lambda: len(client.run.list(status="active", page=None, field="id")) > 3)
    assert client.task.get(task["id"])["status"] == ("awaiting" if working.contract == "v5" else "active")
    assert client.task.kill(task["id"]) == {"msg": "task 1 is killed"}

    assert client.run.list(state="open", field="id") == []
    killed = client.run.list(fields=["status", "finished_at"])
    assert {run["status"] for run in killed} == {"killed by user"}
    assert all(run["finished_at"] for run in killed)
    statuses = {item["status"] for item in client.task.list(fields=["status"])}
    assert statuses == {"killed by user" if working.contract == "v4" else "failed"}
    assert all("a request to kill its task" in run["log"].splitlines()[-1] for run in client.run.list(fields=["log"]))

    results = client.wait_for_results(task["id"])
    assert [item["result"] for item in (results if working.contract == "v3" else results["data"])] == [None] * 3
    assert client.task.kill(task["id"])["msg"].startswith("task 1 has ended already: ")


def test_a_run_that_has_ended_stays_as_it_is_when_its_task_is_killed(working: Federation) -> None:
    client = working.client()
    done = client.task.create(1, [2], input=posted("sum_up"))
    client.wait_for_results(done["id"])
    before = client.run.list(task=done["id"])
    assert "has ended already" in client.task.kill(done["id"])["msg"]
    assert client.run.list(task=done["id"]) == before


def test_waiting_ends_as_soon_as_the_task_does(working: Federation) -> None:
    client = working.client()
    task = client.task.create(1, [2], input=posted("held"))
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.append(client.wait_for_results(task["id"], interval=3600)))
    waiting.start()
    until(lambda: client.run.get(1)["status"] == "active")
    assert not found
    GATE.set()
    waiting.join(30)
    (results,) = found
    assert [item["result"] for item in (results if working.contract == "v3" else results["data"])] in (
        ['"let go"'],
        [b'json."let go"'],
    )


def test_waiting_in_a_federation_that_closes_is_an_error(working: Federation) -> None:
    client = working.client()
    task = client.task.create(1, [2], input=posted("held"))
    errors: list[Exception] = []

    def wait() -> None:
        try:
            client.wait_for_results(task["id"])
        except FederationError as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    until(lambda: client.run.get(1)["status"] == "active")
    working.close()
    waiting.join(30)
    GATE.set()
    assert [str(error) for error in errors] == ["this federation is closed; make a new one"]
    with pytest.raises(FederationError, match="closed"):
        client.authenticate()


# What cannot be.


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda c: c.task.get(9), "no task 9; there are 1 to 4"),
        (lambda c: c.task.kill(9), "no task 9; there are 1 to 4"),
        (lambda c: c.task.list(parent=9), "no task 9; there are 1 to 4"),
        (lambda c: c.task.list(result=99), "no run 99; there are 1 to 8"),
        (lambda c: c.result.list(task=9), "no task 9; there are 1 to 4"),
        (lambda c: c.result.from_task(9), "no task 9; there are 1 to 4"),
        (lambda c: c.wait_for_results(9), "no task 9; there are 1 to 4"),
        (lambda c: c.run.from_task(9), "no task 9; there are 1 to 4"),
        (lambda c: c.result.get(99), "no run 99; there are 1 to 8"),
        (lambda c: c.run.get(99), "no run 99; there are 1 to 8"),
        (lambda c: c.organization.get(9), r"no organization 9; there are: 1 \(root\), 2 \(first\)"),
        (lambda c: c.node.get(9), "no node 9; there are 1 to 3"),
        (lambda c: c.collaboration.get(9), "no collaboration 9; there is 1"),
        (lambda c: c.organization.list(collaboration=9), "no collaboration 9; there is 1"),
        (lambda c: c.setup_collaboration(9), "no collaboration 9; there is 1"),
        (lambda c: c.task.list(status="crushed"), "no status 'crushed'; there are: .*completed"),
        (lambda c: c.run.list(status="crushed"), "no status 'crushed'; there are: .*crashed"),
        (lambda c: c.run.list(state="closed"), "no state 'closed'; there are: open"),
        (lambda c: c.task.list(nmae="x"), "list has no argument nmae; there are: name, status"),
        (lambda c: c.task.get(1, nmae="x"), "get has no argument nmae; there are: id_, include_results, field, fields"),
        (lambda c: c.task.list(fields=["nmae"]), "no field nmae; there are: id, "),
        (lambda c: c.task.get(1, fields="name"), r"fields is a list of keys: fields=\['name'\]"),
        (lambda c: c.task.list(filter_=("nmae", 1)), "no field nmae; there are: id, "),
        (lambda c: c.task.list(page=0), "pages are counted from 1"),
        (lambda c: c.task.create([2], "n"), "the collaboration comes first"),
        (lambda c: c.task.create(1, [2], input={"method": "m"}, input_={"method": "m"}), "give one of them"),
        (lambda c: c.task.create(1, [2], input={"method": "m"}, database="a", databases="b"), "give one of them"),
        (lambda c: c.task.create(1, [2], input={"method": "m"}, databases=3.5), "`databases` is a label, or a list"),
        (lambda c: c.task.create(input={"method": "m"}), "name each organization once, and at least one"),
        (lambda c: c.setup_encryption("private_key.pem"), "not encrypted"),
    ],
)
def test_what_there_is_not_is_named_with_what_there_is(
    client: Client, call: Callable[[Client], object], words: str
) -> None:
    with pytest.raises(FederationError, match=words):
        call(client)
    assert len(client.task.list()["data"]) == 4  # and nothing was sent


def test_a_client_of_an_untouched_federation_has_empty_lists() -> None:
    with Federation(FRAMES, algorithm=FUNCTIONS) as federation:
        client = federation.client()
        assert (client.task.list()["data"], client.run.list()["data"], client.result.list()["data"]) == ([], [], [])
        with pytest.raises(FederationError, match="no task 1; there is none yet"):
            client.task.get(1)


def test_every_call_explains_itself(client: Client) -> None:
    parts = [getattr(client, part) for part in vars(client) if not part.startswith("_")]
    calls = [
        call
        for part in (client, *parts)
        for name, call in inspect.getmembers(part, callable)
        if not name.startswith("_") and not inspect.isclass(call) and name not in vars(client)
    ]
    assert len(calls) > 25
    for call in calls:
        text = inspect.getdoc(call) or ""
        own = [name for name, p in inspect.signature(call).parameters.items() if p.kind is not p.VAR_KEYWORD]
        assert text, call
        assert not own or call.__name__ in ("post", "authenticate", "setup_collaboration") or "Args:" in text, call
        if "Args:" in text:
            assert [name for name in own if f"{name}:" not in text] == [], call


def test_a_list_takes_no_more_for_each_item_where_there_are_many() -> None:
    def steps(nodes: int) -> int:
        """How many functions are called to list what there is: no measure of time, so the same on every machine."""
        frame = pd.DataFrame({"x": [1.0]})
        with Federation(
            [frame] * nodes, algorithm=FUNCTIONS, faults=dict.fromkeys(range(2, nodes + 2), Dead())
        ) as many:
            client = many.client()
            client.task.create(1, list(many.organizations()), input=posted("sum_up"))
            count = 0

            def counted(_frame: object, event: str, _argument: object) -> None:
                nonlocal count
                count += event == "call"

            sys.setprofile(counted)
            try:
                assert len(client.run.list(task=1)["data"]) == nodes
                assert len(client.result.list(task=1)["data"]) == nodes
                assert len(client.node.list(per_page=nodes)["data"]) == nodes
                assert len(client.organization.list()["data"]) == nodes + 1
                assert client.task.list(include_results=True)["data"]
            finally:
                sys.setprofile(None)
            return count

    assert steps(200) < 15 * steps(20)
