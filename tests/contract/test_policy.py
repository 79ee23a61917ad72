"""The policy of the node's owner in each generation: read before data, and hidden from the author's code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from algotools.federation.contract import Request, get_contract
from algotools.federation.contract.prepare import encode_value
from algotools.runtime.contract import NAMES, detect
from algotools.runtime.dispatch.supervisor import Run
from algotools.runtime.run import read_task, run_task
from algotools.task import Database, Task

from ..conftest import ALGORITHMS, OFF, OFF_LINE, CompletedRun, ManualNode

each_generation = pytest.mark.parametrize("contract", NAMES)
each_with_file = pytest.mark.parametrize("contract", ["v3", "v4"])
CELL = "ALGOTOOLS_POLICY_MINIMUM_CELL"


@pytest.fixture
def algorithm() -> Path:
    return ALGORITHMS / "looking"


def request(contract: str, method: str = "look") -> bytes | Request:
    return get_contract(contract).make_request({"method": method, "kwargs": {}, "master": False})


def read_failure(run: CompletedRun) -> dict:
    [line] = [line for line in run.log.splitlines() if line.startswith("algotools.failure ")]
    assert run.output == b""
    return json.loads(line.removeprefix("algotools.failure "))


def run_without_worker(node: ManualNode, environ: Mapping[str, str]) -> CompletedRun:
    """Run a task in this process until the call of the function, which would start a worker."""

    def call(_run: Run) -> bytes:
        raise AssertionError("the function is called")

    lines: list[str] = []
    code = run_task(lambda: read_task(environ), call, lines.append)
    return CompletedRun(code, "", "\n".join(lines), (node.folder / "output").read_bytes())


def read_names(node: ManualNode) -> dict[str, list[str]]:
    [path] = [path for path in node.folder.parent.rglob("names") if path.is_file()]
    return json.loads(path.read_text(encoding="utf-8"))


@each_generation
def test_the_author_sees_no_setting_of_the_owner(contract, by_hand, algorithm):
    variables = {CELL: "5", "ALGOTOOLS_POLICY": "standard", "PLAYER": "Alice"}
    environ = by_hand.environment(algorithm, request(contract), contract, variables=variables)
    task = detect(environ).read(environ)
    assert task.policy_variables == {CELL: "5", "ALGOTOOLS_POLICY": "standard"}
    assert task.variables == {"PLAYER": "Alice"}

    run = by_hand.run(environ)

    assert run.code == 0, run.log
    assert OFF_LINE not in run.log
    names = read_names(by_hand)
    assert names["node"] == ["PLAYER"]
    assert not any(name.startswith("PLAYER") for name in names["initial"])  # it arrives after the start
    for view in ("own", "child"):
        assert any(name.startswith("PLAYER") for name in names[view])
    for view in ("own", "child", "initial"):
        assert not [name for name in names[view] if name.upper().startswith("ALGOTOOLS_POLICY")]


@each_generation
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ALGOTOOLS_POLICY_MINIMUM_CEL": "5"}, f"unknown setting ALGOTOOLS_POLICY_MINIMUM_CEL (did you mean {CELL}?)"),
        ({CELL: "five"}, f"{CELL} must be an integer of at least 1"),
        ({CELL: ""}, f"{CELL} must be an integer of at least 1"),
        ({CELL: "\x01\x02"}, f"{CELL} must be an integer of at least 1"),
        ({"ALGOTOOLS_POLICY": "Off"}, "ALGOTOOLS_POLICY must be one of off, standard, strict"),
    ],
)
def test_a_wrong_policy_stops_the_run_before_the_function(contract, variables, message, by_hand, algorithm):
    environ = by_hand.environment(algorithm, request(contract), contract, variables=variables)

    run = run_without_worker(by_hand, environ)

    assert run.code == 55
    assert read_failure(run) == {"code": 55, "message": f"{message}; no data was read"}


def test_a_policy_is_read_before_the_algorithm_is_imported(by_hand, tmp_path):
    run = by_hand.run(by_hand.environment(tmp_path / "no-algorithm", request("v4"), variables={CELL: "0"}))

    assert read_failure(run)["code"] == 55


@pytest.mark.parametrize(("contract", "value"), [("v4", "off"), ("v5", "1"), ("v5", "OFF"), ("v4", "ABCDEFGH")])
def test_a_setting_of_the_image_is_ignored(contract, value, by_hand, algorithm):
    environ = by_hand.environment(algorithm, request(contract), contract, variables={CELL: "5"})
    environ["ALGOTOOLS_POLICY"] = value
    environ["ALGOTOOLS_POLICY_ZZZ"] = value
    task = detect(environ).read(environ)
    assert task.policy_variables == {CELL: "5"}
    assert task.ignored_policy_variables == ("ALGOTOOLS_POLICY", "ALGOTOOLS_POLICY_ZZZ")
    assert task.variables == {}


def test_a_setting_of_the_image_is_reported_and_hidden(by_hand, algorithm):
    environ = by_hand.environment(algorithm, request("v4"), variables={CELL: "5"})
    environ |= {"ALGOTOOLS_POLICY": "off", "ALGOTOOLS_POLICY_ZZZ": "off"}

    run = by_hand.run(environ)

    assert run.code == 0, run.log
    for name in ("ALGOTOOLS_POLICY", "ALGOTOOLS_POLICY_ZZZ"):
        assert f"info > {name} is set by the image, not by the node's owner; it is ignored\n" in run.log
    assert not [name for name in read_names(by_hand)["own"] if name.startswith("ALGOTOOLS_POLICY")]


def test_a_plain_value_that_is_base32_by_chance_stops_the_run(by_hand, algorithm):
    environ = by_hand.environment(algorithm, request("v4"))
    environ["ALGOTOOLS_POLICY"] = "MFRGGZDF"  # the text abcde

    assert read_failure(run_without_worker(by_hand, environ))["code"] == 55


def test_a_plain_setting_is_the_owners_at_nodes_that_do_not_encode(by_hand, algorithm):
    environ = by_hand.environment(algorithm, request("v3"), "v3")
    environ[CELL] = "0"

    assert read_failure(run_without_worker(by_hand, environ))["code"] == 55


@each_generation
def test_each_log_reports_that_the_policy_is_off(contract, by_hand, algorithm):
    run = run_without_worker(by_hand, by_hand.environment(algorithm, request(contract), contract))

    assert run.log.splitlines().count(OFF_LINE) == 1


@each_with_file
def test_the_policy_file_is_read_and_hidden(contract, by_hand, algorithm, tmp_path):
    by_hand.policy_file = tmp_path / "policy.toml"
    by_hand.policy_file.write_text("minimum_cell = 5\n", encoding="utf-8")
    environ = by_hand.environment(algorithm, request(contract), contract)
    task = detect(environ).read(environ)
    assert task.policy_file == by_hand.policy_file
    assert [database.label for database in (*task.databases, *task.configured)] == ["default"]
    assert "ALGOTOOLS_RULES_DATABASE_URI" in environ
    assert not [name for name in task.variables if "RULES" in name]

    run = by_hand.run(environ)

    assert run.code == 0, run.log
    names = read_names(by_hand)
    for view in ("own", "child", "initial", "node"):
        assert not [name for name in names[view] if "RULES" in name or "policy.toml" in name]


@each_with_file
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("minimum_cel = 5\n", "the policy file: unknown key minimum_cel (did you mean minimum_cell?)"),
        ("minimum_cell =\n", "the policy file is not TOML (line 1)"),
        (None, "the policy file cannot be read (FileNotFoundError)"),
    ],
)
def test_a_wrong_policy_file_stops_the_run_before_the_function(
    contract, content, message, by_hand, algorithm, tmp_path
):
    by_hand.policy_file = tmp_path / "policy.toml"
    if content is not None:
        by_hand.policy_file.write_text(content, encoding="utf-8")

    run = run_without_worker(by_hand, by_hand.environment(algorithm, request(contract), contract))

    assert run.code == 55
    assert read_failure(run) == {"code": 55, "message": f"{message}; no data was read"}


@each_with_file
def test_a_database_of_the_owner_without_a_path_is_not_a_missing_policy(contract, by_hand, algorithm, tmp_path):
    by_hand.policy_file = tmp_path / "policy.toml"
    by_hand.policy_file.write_text("minimum_cell = 5\n", encoding="utf-8")
    environ = by_hand.environment(algorithm, request(contract), contract)
    del environ["ALGOTOOLS_RULES_DATABASE_URI"]

    assert read_failure(run_without_worker(by_hand, environ)) == {
        "code": 55,
        "message": "the policy file is not a file; no data was read",
    }


@pytest.mark.parametrize(("contract", "label"), [("v3", "algotools_rules"), ("v4", "Algotools_Rules")])
def test_a_task_that_requests_the_policy_file_is_refused(contract, label, by_hand, algorithm, tmp_path):
    by_hand.policy_file = tmp_path / "policy.toml"
    by_hand.policy_file.write_text("minimum_cell = 5\n", encoding="utf-8")
    environ = by_hand.environment(algorithm, request(contract), contract, requested=())
    if contract == "v3":
        environ |= {"USER_REQUESTED_DATABASE_LABEL": label, "DATABASE_URI": str(by_hand.policy_file)}
    else:
        environ["USER_REQUESTED_DATABASE_LABELS"] = encode_value(label)
    secrets = detect(environ).list_secrets(environ)
    assert "ALGOTOOLS_RULES_DATABASE_URI" in secrets
    assert contract != "v3" or "DATABASE_URI" in secrets

    failure = read_failure(by_hand.run(environ))

    assert failure == {"code": 30, "message": f"this node has no database {label!r}; it has: default"}


def test_an_old_v3_node_names_the_requested_database_by_its_path(by_hand, algorithm, tmp_path):
    by_hand.policy_file = tmp_path / "policy.toml"
    by_hand.policy_file.write_text("minimum_cell = 5\n", encoding="utf-8")
    environ = by_hand.environment(algorithm, request("v3"), "v3", requested=())
    del environ["DB_LABELS"]
    environ["DATABASE_URI"] = "/mnt/data/policy.toml"
    task = detect(environ).read(environ)
    assert task.policy_file == by_hand.policy_file
    assert task.databases == (Database("algotools_rules"),)
    assert {"DATABASE_URI", "ALGOTOOLS_RULES_DATABASE_URI"} <= detect(environ).list_secrets(environ)

    assert read_failure(by_hand.run(environ))["code"] == 30


@each_with_file
def test_a_function_cannot_name_the_policy_file(contract, by_hand, algorithm, tmp_path):
    by_hand.policy_file = tmp_path / "policy.toml"
    by_hand.policy_file.write_text("minimum_cell = 5\n", encoding="utf-8")

    run = by_hand.run(by_hand.environment(algorithm, request(contract, "rules"), contract))

    failure = read_failure(run)
    assert failure["code"] == 30
    assert "has: default" in failure["message"]


@each_with_file
def test_a_container_gets_the_policy_file_as_a_database(contract, tmp_path):
    path = tmp_path / "policy.toml"
    path.write_text("minimum_cell = 5\n", encoding="utf-8")
    folder = tmp_path / "task-000000001"
    task = Task(method="look", role="rpc", input_file=folder / "input", output_file=folder / "output", policy_file=path)
    generation = get_contract(contract)

    inside = generation.map_to_container(task, "http://proxy:80")

    assert inside.policy_file == Path("/mnt/data/algotools_rules.toml")
    assert {str(target): source for target, source in generation.list_database_mounts(task).items()} == {
        "/mnt/data/algotools_rules.toml": path
    }


@each_generation
def test_all_names_with_the_prefix_are_secrets(contract, by_hand, algorithm):
    environ = by_hand.environment(algorithm, request(contract), contract)
    names = {"ALGOTOOLS_POLICY", "ALGOTOOLS_POLICY_KEY", "algotools_policy_key", "ALGOTOOLS_POLICYX"}

    assert names <= detect(environ).list_secrets({**environ, **dict.fromkeys(names, "x")})


@each_with_file
def test_a_database_whose_label_begins_like_a_setting_is_still_a_database(contract, by_hand, algorithm, patients):
    by_hand.databases = {"algotools_policy": patients}
    environ = by_hand.environment(algorithm, request(contract), contract, requested=("algotools_policy",))
    task = detect(environ).read(environ)

    assert [(database.label, database.uri) for database in task.databases] == [("algotools_policy", str(patients))]
    assert task.policy_variables == OFF
