"""The ledger of a node and of a project: runs of a local federation, from the function to the entry."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pytest

from algotools import (
    Aggregator,
    AlgorithmClient,
    Column,
    Database,
    Federation,
    RunsFailed,
    UserError,
    aggregate,
    federated,
    master,
    rpc,
)
from algotools.disclosure.ledger import read_entries, read_heads, verify_ledger
from algotools.federation.contract.prepare import list_ledger_mount
from algotools.runtime.contract import get_contract
from algotools.task import Task

from ..conftest import ALGORITHMS

FRAME = pd.DataFrame({"age": range(60), "cost": [index * 1.5 + 0.25 for index in range(60)]})


class TooFew(UserError):
    text = "too few"


@rpc
def sum_up_to(data: pd.DataFrame, column: str, limit: float) -> dict[str, float]:
    values = data[column][data["age"] <= limit]
    return {"sum": aggregate.sum(values), "count": aggregate.count(values)}


@rpc
def fails(data: pd.DataFrame) -> int:
    raise TooFew


@rpc
def highest(data: pd.DataFrame) -> float:
    return float(data["cost"].max())


@rpc
def reads_the_ledger(ledger: Annotated[Database, Database("algotools_ledger")]) -> str:
    return ledger.uri


@rpc
def describe(data: pd.DataFrame, column: Column) -> dict[str, object]:
    values = data[column]
    return {"column": column, "sum": aggregate.sum(values), "is_complete": True, "count": aggregate.count(values)}


@federated
def average(data: pd.DataFrame, total: Aggregator, column: Column) -> float:
    return float(total.sum(data[column]) / total.count(data[column]))


@master
def combine(client: AlgorithmClient) -> float:
    return float(sum(result["sum"] for result in client.run(sum_up_to, column="cost", limit=50)))


FUNCTIONS = [sum_up_to, fails, highest, reads_the_ledger]


def read(folder: Path):
    return list(read_entries(folder / "ledger.jsonl"))


def open_federation(policy: Any, **options: Any) -> Federation:
    return Federation([FRAME], algorithm=FUNCTIONS, policy=policy, **options)


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"])
def test_a_second_task_about_one_more_record_is_withheld(tmp_path, contract):
    with open_federation({"ledger": str(tmp_path)}, contract=contract) as federation:
        federation.run("sum_up_to", column="cost", limit=40)
        with pytest.raises(RunsFailed, match=r"fewer than 3 records .* \(rule ledger\)"):
            federation.run("sum_up_to", column="cost", limit=41)
        federation.run("sum_up_to", column="cost", limit=43)
        log = "\n".join(run.log for task in federation.tasks() for run in task.runs)
    entries = read(tmp_path)
    assert [entry.verdict for entry in entries] == ["left", "withheld", "left"]
    assert [head.number for head in read_heads(log)] == [1, 2, 3]
    assert verify_ledger(tmp_path / "ledger.jsonl", read_heads(log)).missing == ()
    assert [(n.path, n.records) for n in entries[0].numbers] == [("result['sum']", 41), ("result['count']", 41)]
    assert (entries[0].organization, entries[0].databases[0].rows) == (2, 60)


def test_two_runs_in_processes_share_the_ledger(tmp_path):
    policy = {"ledger": str(tmp_path)}
    with Federation([FRAME], algorithm=ALGORITHMS / "judged", policy=policy, runner="process") as federation:
        for _ in range(2):
            federation.run("sums", column="cost")
    assert [entry.number for entry in read(tmp_path)] == [1, 2]
    assert verify_ledger(tmp_path / "ledger.jsonl").fault is None


def test_refusals_and_failures_are_entries(tmp_path):
    with open_federation({"ledger": str(tmp_path)}) as federation:
        for method in ("fails", "highest"):
            with pytest.raises(RunsFailed):
                federation.run(method)
    with open_federation({"ledger": str(tmp_path), "functions": ["other"]}) as federation, pytest.raises(RunsFailed):
        federation.run("highest")
    entries = read(tmp_path)
    assert [(entry.verdict, entry.exit_code) for entry in entries] == [
        ("failed", 41),
        ("withheld", 54),
        ("withheld", 54),
    ]
    assert [[refusal.rule for refusal in entry.refusals] for entry in entries] == [[], ["echo"], ["functions"]]
    assert "88.75" not in str(entries[1].numbers)


def test_numbers_among_other_values_have_their_own_path(tmp_path):
    with Federation([FRAME], algorithm=[describe], policy={"ledger": str(tmp_path)}) as federation:
        federation.run(describe, column="cost")
    (entry,) = read(tmp_path)
    assert [numbers.path for numbers in entry.numbers] == ["result['sum']", "result['count']"]


def test_the_totals_of_a_pooled_function_have_names_and_its_protocol_is_not_counted(tmp_path):
    with Federation([FRAME] * 3, algorithm=[average], policy={"ledger": str(tmp_path)}) as federation:
        federation.ask(average, column="cost")
    line = average.__code__.co_firstlineno + 2
    for entry in read(tmp_path):
        assert [numbers.path for numbers in entry.numbers] == [f"the sum in line {line}", f"the count in line {line}"]
        assert entry.undeclared == 0


def test_a_master_that_reads_no_table_has_no_entry(tmp_path):
    with Federation([FRAME], algorithm=[sum_up_to, combine], policy={"ledger": str(tmp_path)}) as federation:
        federation.run("combine")
    assert [entry.method for entry in read(tmp_path)] == ["sum_up_to"]


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"])
def test_repetitions_are_counted_over_federations(tmp_path, contract):
    """The ids of each local federation begin at 1, so two tasks have the same id without being a resend."""
    for _ in range(2):
        with open_federation({"ledger": str(tmp_path), "repeats": 2}, contract=contract) as federation:
            federation.run("sum_up_to", column="cost", limit=40)
    with open_federation({"ledger": str(tmp_path), "repeats": 2}, contract=contract) as federation:
        federation.run("sum_up_to", column="cost", limit=40)
        with pytest.raises(RunsFailed, match="rule repeats"):
            federation.run("sum_up_to", column="cost", limit=40)


def test_the_ledger_of_a_project_records_and_warns(tmp_path):
    folder = tmp_path / ".algotools"
    with open_federation("standard", ledger=folder) as federation:
        federation.run("sum_up_to", column="cost", limit=40)
        federation.run("sum_up_to", column="cost", limit=41)
        log = federation.tasks()[-1].runs[0].log
    assert "warning: a node with a ledger would withhold the result: its rows differ by fewer than 3 records" in log
    assert "(rule ledger); use the same rows in both tasks, see docs/concepts/ledger.md" in log
    entries = read(folder)
    assert [(entry.verdict, entry.is_warning) for entry in entries] == [("left", False), ("left", True)]
    assert (folder / ".gitignore").read_text() == "*\n"


def test_a_project_ledger_that_cannot_be_written_does_not_fail_the_run(tmp_path):
    (tmp_path / "file").write_text("")
    with open_federation("standard", ledger=tmp_path / "file" / "ledger") as federation:
        federation.run("sum_up_to", column="cost", limit=40)
        assert "the run is not recorded in the project's ledger" in federation.tasks()[-1].runs[0].log


def test_a_node_without_a_policy_records_nothing(tmp_path):
    with open_federation("off", ledger=tmp_path / "ledger") as federation:
        federation.run("sum_up_to", column="cost", limit=40)
    assert not (tmp_path / "ledger").exists()


def test_the_policys_ledger_must_be_usable(tmp_path):
    with (
        open_federation({"ledger": str(tmp_path / "missing")}) as federation,
        pytest.raises(RunsFailed, match=r"the ledger cannot be opened .* \(setting ledger\).* \[exit code 55\]"),
    ):
        federation.run("sum_up_to", column="cost", limit=40)


@pytest.mark.parametrize("label", ["algotools_ledger", "ALGOTOOLS_LEDGER"])
def test_no_function_can_read_the_database_with_the_ledger(tmp_path, label):
    """The configuration of a real node of v4, with the path of the ledger in a container."""
    # Imported here: a function in the namespace of `average` is read for questions, which cost another round.
    from ..conftest import fail_at_nodes

    (tmp_path / "patients.csv").write_text(FRAME.to_csv(index=False))
    (tmp_path / "ledger").mkdir()
    file = tmp_path / "federation.yaml"
    file.write_text(
        "organizations:\n- name: a\n  databases:\n    default: patients.csv\n"
        f"    {label}: ledger\n  algorithm_env:\n    ALGOTOOLS_POLICY_LEDGER: /mnt/algotools_ledger\n"
    )
    with Federation.from_file(file, algorithm=FUNCTIONS) as federation:
        federation.run("sum_up_to", column="cost", limit=40)
        assert [code for code, _ in fail_at_nodes(federation, "reads_the_ledger").values()] == [30]
    assert read(tmp_path / "ledger")[0].method == "sum_up_to"


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_a_container_hides_the_ledger_of_a_real_node(tmp_path, version):
    (tmp_path / "input").write_text(("json." if version == "v3" else "") + '{"method": "f", "master": false}')
    values = {
        "INPUT_FILE": str(tmp_path / "input"),
        "OUTPUT_FILE": "/mnt/data/output",
        "DEFAULT_DATABASE_URI": "/mnt/data/default.csv",
        "ALGOTOOLS_LEDGER_DATABASE_URI": "/mnt/algotools_ledger",
        "ALGOTOOLS_POLICY_LEDGER": "/mnt/algotools_ledger",
    }
    if version == "v3":
        environ = {**values, "DB_LABELS": '["default", "algotools_ledger"]', "USER_REQUESTED_DATABASE_LABEL": "default"}
    else:
        values |= {
            "DB_LABELS": "default,algotools_ledger",
            "USER_REQUESTED_DATABASE_LABELS": "default,algotools_ledger",
        }
        environ = {name: base64.b32encode(text.encode()).decode().replace("=", "!") for name, text in values.items()}
    contract = get_contract(version)
    task = contract.read(environ)
    assert [database.uri for database in (*task.databases, *task.configured) if database.uri] == [
        "/mnt/data/default.csv"
    ]
    assert {"ALGOTOOLS_LEDGER_DATABASE_URI", "ALGOTOOLS_POLICY_LEDGER"} <= contract.list_secrets(environ)


@pytest.mark.parametrize("variables", [{"policy_variables"}, {"variables"}])
@pytest.mark.parametrize("version", ["v3", "v4", "v5"])
def test_a_container_has_the_ledger_at_a_path_of_its_own(tmp_path, version, variables):
    from algotools.federation.contract import get_contract as get_node_contract

    name = "ALGOTOOLS_POLICY_LEDGER" if variables == {"policy_variables"} else "ALGOTOOLS_LEDGER"
    task = Task(
        method="f",
        input_file=tmp_path / "run" / "input",
        output_file=tmp_path / "run" / "output",
        temporary_folder=tmp_path / "session" / "algotools",
        **{field: {name: str(tmp_path)} for field in variables},
    )
    mapped = get_node_contract(version).map_to_container(task, "http://127.0.0.1:1")
    assert {**mapped.variables, **mapped.policy_variables} == {name: "/mnt/algotools_ledger"}
    assert {str(path): target for path, target in list_ledger_mount(task).items()} == {
        "/mnt/algotools_ledger": tmp_path
    }
