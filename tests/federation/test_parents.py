"""A node runs an internal function only for its master: forged calls over the API of each generation are refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from algotools import Federation, RunsFailed
from algotools.federation.contract import Request, get_contract
from algotools.task import Database

from ..conftest import ALGORITHMS, algotools, default_policy, fail_at_nodes

INTERNAL = ALGORITHMS / "internal"
KEY = "the secret of the collaboration!"
FRAMES = [pd.DataFrame({"age": [20.5 + i + k for i in range(12)], "size": [150.5] * 12}) for k in range(3)]
CONTRACTS = ("v3", "v4", "v5")
DIRECT = "it runs only for its master, and the task was not created by a master"
UNSIGNED = "the task has no signature of a master's node"
COUNT = {"column": "age"}


class Nodes:
    """A federation with the lines of its logs."""

    def __init__(self, contract: str, policy: Mapping[str, object], **options: Any) -> None:
        self.lines: list[str] = []
        self.contract = contract
        self.federation = Federation(
            FRAMES,
            algorithm=INTERNAL,
            contract=contract,
            policy=policy,
            listen=lambda _run, line: self.lines.append(line),
            **options,
        )

    def refuse(self, method: str, **arguments: object) -> str:
        """Return the message about a call that all nodes refuse with the code 54."""
        with pytest.raises(RunsFailed) as raised:
            self.federation.run(method, arguments=arguments)
        failures = raised.value.failures
        assert {failure.exit_code for failure in failures.values()} == {54}
        assert len(failures) == len(FRAMES)
        [message] = {failure.message for failure in failures.values()}
        return message

    def get_signed_input(self) -> bytes:
        """Return the input of a subtask that a master has sent."""
        assert self.federation.ask("count", column="age") == {"count": 36}
        [subtask] = self.federation.subtasks(self.federation.tasks()[-2].id)
        assert len({run.input for run in subtask.runs}) == 1
        return subtask.runs[0].input

    def forward(self, data: bytes, organizations: tuple[int, ...] = (2, 3, 4), image: str = "") -> list[str]:
        """Return the last log lines of a subtask with an input that another master posts over HTTP."""
        text = base64.b64encode(data).decode()
        arguments = {"method": "count_partial", "inputs": dict.fromkeys(map(str, organizations), text), "image": image}
        contract = get_contract(self.contract)
        request = contract.make_request({"method": "forward", "kwargs": arguments, "master": True})
        [run, *_] = self._create_task(request, only_organization=2).runs
        lines = self.federation.answer(run)
        assert isinstance(lines, list), run.log
        return lines

    def post(self, data: bytes) -> list[str]:
        """Return the messages about a task that a researcher posts."""
        task = self._create_task(Request(data, "count_partial", "rpc"))
        return [failure.message if (failure := self.federation.failure(run)) else "" for run in task.runs]

    def _create_task(self, request: Request, only_organization: int | None = None) -> Any:
        """Create a task that reads the table of the first one, so on v5 in the same session, and wait for its end."""
        session = 1 if self.contract == "v5" else None
        task = self.federation._platform.create_task(
            [2, 3, 4], request, [Database("default")], session=session, only_organization=only_organization
        )
        runs = [run for run in task.runs if only_organization in (None, run.organization_id)]
        assert self.federation._platform.store.wait(runs, 30)
        return task


@pytest.fixture
def open_nodes() -> Iterator[Any]:
    """Return a function that opens a federation; it is closed at the end of the test."""
    opened: list[Nodes] = []

    def open_(contract: str, policy: Mapping[str, object] | None = None, **options: Any) -> Nodes:
        opened.append(Nodes(contract, policy or {}, **options))
        return opened[-1]

    yield open_
    for nodes in opened:
        nodes.federation.close()


in_each_generation = pytest.mark.parametrize("contract", CONTRACTS)
with_a_server = pytest.mark.parametrize("contract", ["v3", "v4"])


@with_a_server
@pytest.mark.parametrize("policy", [{}, {"key": KEY}, {"parent": "require"}], ids=["default", "key", "require"])
def test_a_direct_call_is_refused_and_the_master_is_named(open_nodes, contract, policy):
    nodes = open_nodes(contract, policy)
    assert nodes.refuse("count_partial", column="age") == (
        f"count_partial: {DIRECT} (setting parent); call the master 'count'"
    )
    assert nodes.refuse("whole").endswith("; call its master")
    assert nodes.federation.ask("count", column="age") == {"count": 36}


@in_each_generation
@pytest.mark.parametrize("policy", [{}, {"key": KEY}], ids=["without key", "key"])
def test_the_partial_of_a_pooled_function_is_internal(open_nodes, contract, policy):
    nodes = open_nodes(contract, policy)
    ages = pd.concat(FRAMES)["age"]
    expected = {"mean": ages.mean(), "spread": ((ages - ages.mean()) ** 2).sum()}
    assert nodes.federation.ask("mean", column="age") == pytest.approx(expected)
    if policy or contract != "v5":
        assert "call the master 'mean'" in nodes.refuse("mean_partial", column="age")


def test_v5_without_a_key_runs_a_direct_call_and_logs_it(open_nodes):
    nodes = open_nodes("v5")
    assert nodes.federation.run("count_partial", column="age") == [{"count": 12}] * 3
    [line] = {line for line in nodes.lines if "ALGOTOOLS_POLICY_PARENT is verify" in line}
    assert line == (
        "info > count_partial runs only for its master, and this node cannot know which task has created this one; it "
        "runs, because ALGOTOOLS_POLICY_PARENT is verify"
    )


def test_v5_without_a_key_refuses_if_the_parent_is_required(open_nodes):
    nodes = open_nodes("v5", {"parent": "require"})
    message = nodes.refuse("count_partial", column="age")
    assert "this node cannot know which task has created this one (setting parent)" in message
    with pytest.raises(RunsFailed, match="ask the owners of the nodes to set ALGOTOOLS_POLICY_KEY"):
        nodes.federation.ask("count", column="age")


def test_v5_with_a_key_refuses_a_direct_call(open_nodes):
    nodes = open_nodes("v5", {"key": KEY, "parent": "require"})
    message = nodes.refuse("count_partial", column="age")
    assert f"{UNSIGNED} (setting key); call the master 'count'" in message
    assert nodes.federation.ask("count", column="age") == {"count": 36}


@in_each_generation
def test_a_function_that_is_standalone_runs_in_a_direct_call(open_nodes, contract):
    nodes = open_nodes(contract, {"key": KEY, "parent": "require"})
    assert nodes.federation.run("size") == [12] * 3


@with_a_server
def test_nothing_is_checked_if_the_policy_is_off(open_nodes, contract):
    assert open_nodes(contract, {"preset": "off"}).federation.run("count_partial", column="age") == [{"count": 12}] * 3


def test_the_call_is_refused_before_data_is_read(tmp_path):
    missing = tmp_path / "missing.csv"
    with Federation([missing], algorithm=INTERNAL, policy={}) as federation:
        [(code, message)] = fail_at_nodes(federation, "count_partial", column="age").values()
        assert code == 54
        assert "call the master 'count'" in message
        [(code, message)] = fail_at_nodes(federation, "size").values()
        assert code == 31


def test_v3_compares_the_image_of_the_parent_exactly(open_nodes):
    # The server accepts each image whose name ends with that of the parent's image.
    nodes = open_nodes("v3")
    data = b'json.{"method": "count_partial", "kwargs": {"column": "age"}, "master": false}'
    [line, *_] = nodes.forward(data, image="registry.example.org/internal:1")
    assert "the task was created by a run of another image (setting parent)" in line
    assert nodes.forward(data) == ["completed"] * 3


@in_each_generation
def test_the_call_of_a_master_without_a_signature_is_refused(open_nodes, contract):
    nodes = open_nodes(contract, {"key": KEY})
    data = nodes.get_signed_input()
    start, end = data.rindex(b'"algotools:') + len(b'"algotools'), data.rindex(b'"}')
    for forged in (data[:start] + data[end:], data[:start] + b":none" + data[end:]):
        assert all("signature" in line for line in nodes.forward(forged))
        assert all("(setting " in message for message in nodes.post(forged))


@in_each_generation
def test_a_signature_is_not_valid_in_another_task(open_nodes, contract):
    nodes = open_nodes(contract, {"key": KEY})
    data = nodes.get_signed_input()
    reason = "another task has used the signature" if contract == "v5" else "the signature belongs to another task"
    assert [reason in line for line in nodes.forward(data)] == [True] * 3
    direct = reason if contract == "v5" else DIRECT
    assert [direct in message for message in nodes.post(data)] == [True] * 3


@in_each_generation
def test_a_signature_is_not_valid_for_another_call(open_nodes, contract):
    nodes = open_nodes(contract, {"key": KEY})
    with pytest.raises(RunsFailed, match="the signature of the task is not valid"):
        nodes.federation.ask("alter", column="age", other="size")


@in_each_generation
def test_a_signature_is_not_valid_for_another_organization(open_nodes, contract):
    nodes = open_nodes(contract, {"key": KEY})
    data = nodes.get_signed_input()
    with pytest.raises(RunsFailed, match="the signature belongs to another task"):
        nodes.federation.ask("narrow", column="age", organizations=[2, 3], other=4)
    assert data


@in_each_generation
def test_nodes_with_different_keys_refuse_each_other(tmp_path, contract):
    lines = ["organizations:"]
    for number in (1, 2):
        (tmp_path / f"{number}.csv").write_text(FRAMES[0].to_csv(index=False), encoding="utf-8")
        lines += [f"- name: org{number}", f"  databases: {{default: {number}.csv}}"]
        lines += [f"  algorithm_env: {{ALGOTOOLS_POLICY_KEY: '{str(number) * 32}'}}"]
    file = tmp_path / "federation.yaml"
    file.write_text("\n".join(lines), encoding="utf-8")
    with Federation.from_file(file, algorithm=INTERNAL, contract=contract) as federation:
        with pytest.raises(RunsFailed) as raised:
            federation.ask("count", column="age")
        [failure] = raised.value.failures.values()
        assert "1 of 2 organizations failed" in failure.message
        assert "all nodes of the collaboration need the same ALGOTOOLS_POLICY_KEY" in failure.message


@with_a_server
def test_a_task_with_too_few_organizations_is_refused(open_nodes, contract):
    nodes = open_nodes(contract, {"organizations": 3})
    assert nodes.federation.run("size") == [12] * 3
    assert nodes.federation.ask("sizes", organizations=[2, 3, 4]) == [12] * 3
    with pytest.raises(RunsFailed) as raised:
        nodes.federation.run("size", at=[2, 3])
    assert raised.value.failures[2].message == (
        "size: the task was sent to 2 of at least 3 organizations (setting organizations); send the task to more "
        "organizations"
    )
    with pytest.raises(RunsFailed, match="the task was sent to 1 of at least 3 organizations"):
        nodes.federation.ask("sizes", organizations=[4])


def test_v5_counts_the_organizations_of_a_signature(open_nodes):
    nodes = open_nodes("v5", {"organizations": 3, "key": KEY})
    assert nodes.federation.ask("sizes", organizations=[2, 3, 4]) == [12] * 3
    with pytest.raises(RunsFailed, match="the task was sent to 2 of at least 3 organizations"):
        nodes.federation.ask("sizes", organizations=[2, 3])
    assert "cannot know how many organizations" in nodes.refuse("size")


def test_v5_without_a_key_logs_that_the_organizations_are_unknown(open_nodes):
    nodes = open_nodes("v5", {"organizations": 3})
    assert nodes.federation.run("size", at=2) == [12]
    [line] = [line for line in nodes.lines if "ALGOTOOLS_POLICY_ORGANIZATIONS=3 is not checked" in line]
    assert line.startswith("info > this node cannot know how many organizations")


@in_each_generation
@pytest.mark.parametrize("runner", ["inline", "process"])
def test_the_key_reaches_neither_the_worker_nor_a_log(open_nodes, contract, runner, monkeypatch):
    monkeypatch.delenv("ALGOTOOLS_POLICY")
    nodes = open_nodes(contract, {"key": KEY, "texts": "any"}, runner=runner)
    assert nodes.federation.ask("reveal") == []
    assert nodes.federation.ask("count", column="age") == {"count": 36}
    with pytest.raises(RunsFailed) as raised:
        nodes.federation.ask("alter", column="age", other="size")
    records = [run for task in nodes.federation.tasks() for run in task.runs]
    texts = [*nodes.lines, str(raised.value), *(f"{run.input!r}{run.output!r}{run.detail}{run.log}" for run in records)]
    assert not [text for text in texts if KEY in text]


def test_the_command_line_refuses_the_direct_call_and_checks_the_function_without_a_master(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(FRAMES[0].to_csv(index=False), encoding="utf-8")
    file = tmp_path / "federation.yaml"
    names = "\n".join(f"- {{name: {name}, databases: {{default: a.csv}}}}" for name in ("a", "b", "c"))
    file.write_text(f"organizations:\n{names}\n", encoding="utf-8")
    with default_policy():
        options = ["--federation", str(file)]
        direct = algotools("run", "count_partial", "column=age", "--algorithm", str(INTERNAL), *options, cwd=tmp_path)
        assert "call the master 'count'" in direct.stderr + direct.stdout
        assert direct.returncode == 61
        whole = algotools("run", "count", "column=age", "--algorithm", str(INTERNAL), *options, cwd=tmp_path)
        assert whole.returncode == 0, whole.stderr
        checked = algotools("policy", "check", str(INTERNAL), "--data", str(tmp_path / "a.csv"), "--json")
        verdicts = {row["method"]: row["verdict"] for row in json.loads(checked.stdout)["functions"]}
        assert verdicts["count_partial"] == "passes"


@pytest.mark.docker
@pytest.mark.parametrize(("runner", "contract"), [("container", "v5"), ("as-node", "v4")])
@pytest.mark.usefixtures("base_image")
def test_the_supervisor_in_a_container_checks_the_parent(open_nodes, runner, contract):
    nodes = open_nodes(contract, {"key": KEY, "organizations": 3}, runner=runner)
    assert nodes.federation.ask("count", column="age") == {"count": 36}
    assert "call the master 'count'" in nodes.refuse("count_partial", column="age")
