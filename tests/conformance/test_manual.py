"""The calls of the platform's manual, page "Creating a task", with exactly the responses that it shows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from algotools import Federation
from algotools.federation import Client

from ..conftest import AVERAGE, default_policy
from .conftest import CONTRACTS, Way, parameters

only_inline = pytest.mark.parametrize("way", parameters([Way(name, "inline") for name in CONTRACTS]), indirect=True)
"""For responses of the server, which do not depend on the runner."""


@pytest.fixture(scope="session")
def client(way_options: dict[str, Any]) -> Iterator[Client]:
    """The client of a federation whose owners have not set a policy."""
    with default_policy():
        federation = Federation.from_file(AVERAGE / "federation.yaml", algorithm=AVERAGE, **way_options)
    with federation:
        yield federation.client()


def wait_for(client: Client, average_task: dict) -> dict:
    """Wait as the manual does, with a shorter interval."""
    task_id = average_task["id"]
    task_info = client.task.get(task_id)
    while not task_info.get("complete"):
        task_info = client.task.get(task_id, include_results=True)
        time.sleep(0.02)
    return task_info


@only_inline
def test_list_the_collaborations(client: Client) -> None:
    assert client.collaboration.list(fields=["id", "name", "organizations"]) == [
        {
            "id": 1,
            "name": "example_collab1",
            "organizations": [
                {"id": 2, "link": "/api/organization/2", "methods": ["GET", "PATCH"]},
                {"id": 3, "link": "/api/organization/3", "methods": ["GET", "PATCH"]},
                {"id": 4, "link": "/api/organization/4", "methods": ["GET", "PATCH"]},
            ],
        }
    ]


@only_inline
def test_list_the_organizations(client: Client) -> None:
    assert client.organization.list(fields=["id", "name"]) == [
        {"id": 1, "name": "root"},
        {"id": 2, "name": "example_org1"},
        {"id": 3, "name": "example_org2"},
        {"id": 4, "name": "example_org3"},
    ]


def test_create_a_task_for_the_master(client: Client) -> None:
    input_ = {"method": "master", "kwargs": {"column_name": "age"}, "master": True}
    average_task = client.task.create(
        collaboration=1,
        organizations=[2, 3],
        name="an-awesome-task",
        image="harbor2.vantage6.ai/demo/average",
        description="",
        input=input_,
        data_format="json",
    )
    task_info = wait_for(client, average_task)
    result_id = task_info["id"]
    result_info = client.result.list(task=result_id)
    assert result_info["data"][0]["result"] == {"average": 53.25}


def test_create_a_task_for_the_rpc(client: Client) -> None:
    input_ = {"method": "average_partial", "kwargs": {"column_name": "age"}, "master": False}
    average_task = client.task.create(
        collaboration=1,
        organizations=[2, 3],
        name="an-awesome-task",
        image="harbor2.vantage6.ai/demo/average",
        description="",
        input=input_,
        data_format="json",
    )
    task_info = wait_for(client, average_task)
    result_info = client.result.list(task=task_info["id"])
    assert result_info["data"][0]["result"] == {"sum": 253, "count": 4}
    assert result_info["data"][1]["result"] == {"sum": 173, "count": 4}
    assert all(type(value) is int for item in result_info["data"] for value in item["result"].values())


@only_inline
def test_create_a_task_with_another_database(client: Client) -> None:
    input_ = {"method": "master", "kwargs": {"column_name": "age"}, "master": True}
    task = client.task.create(
        collaboration=1,
        organizations=[2, 3],
        name="an-awesome-task",
        image="harbor2.vantage6.ai/demo/average",
        description="",
        input=input_,
        data_format="json",
        database="my_other_database",
    )
    wait_for(client, task)
    results = [item["result"] for item in client.result.list(task=task["id"])["data"]]
    assert results == [{"average": pytest.approx((172 + 197) / 8)}] * 2


@only_inline
def test_results_come_in_the_order_of_the_organizations(client: Client) -> None:
    input_ = {"method": "average_partial", "kwargs": {"column_name": "age"}, "master": False}
    task = client.task.create(collaboration=1, organizations=[4, 3, 2], input=input_)
    wait_for(client, task)
    items = client.result.list(task=task["id"])["data"]
    assert [item["organization"]["id"] for item in items] == [4, 3, 2]
    assert [item["result"]["sum"] for item in items] == [190, 173, 253]


@only_inline
def test_an_argument_chooses_the_organizations_of_a_masters_subtask(client: Client) -> None:
    input_ = {"method": "master", "kwargs": {"column_name": "age", "organizations": [2, 3]}, "master": True}
    task = client.task.create(collaboration=1, organizations=[4], input=input_)
    wait_for(client, task)
    assert client.result.list(task=task["id"])["data"][0]["result"] == {"average": 53.25}


@only_inline
def test_help_explains_the_database(client: Client) -> None:
    assert "database: label of the database, as the nodes' owners configured it" in (client.task.create.__doc__ or "")
