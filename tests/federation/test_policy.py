"""The gate of a local federation is that of a node: the same results pass, and the same results are withheld."""

from __future__ import annotations

import json
import venv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from algotools import Federation, RunsFailed
from algotools.errors import UnknownLabel
from algotools.federation.contract import get_contract
from algotools.runtime.logs import read_failure
from algotools.task import Database

from ..conftest import ALGORITHMS, AVERAGE, POLICY, ManualNode, algotools, default_policy

DISCLOSES = ALGORITHMS / "discloses"
AGES = [71, 58, 77, 47]
FRAMES = {"north": pd.DataFrame({"age": AGES}), "south": pd.DataFrame({"age": [39, 46, 35, 53]})}
SMALL_NODE = {"south": FRAMES["south"]}
WITHHELD = "values: result withheld: .*rule length"

Make = Callable[..., Federation]


Way = tuple[str, str]

# The contract passes the policy to a run, and the runner passes the facts about a result to the gate. So the outcome
# does not depend on the pair.
WAYS = [("inline", "v3"), ("process", "v4"), ("inline", "v5")]


@pytest.fixture(params=WAYS, ids="-".join)
def way(request: pytest.FixtureRequest) -> Way:
    """A runner and a contract."""
    way: Way = request.param
    return way


@pytest.fixture
def runner(way: Way) -> str:
    return way[0]


@pytest.fixture
def contract(way: Way) -> str:
    return way[1]


with_policy_file = pytest.mark.parametrize("way", WAYS[:2], ids="-".join, indirect=True)
"""v5 has no policy file; ``test_policy_sources`` tests its refusal."""


@pytest.fixture
def make(runner: str, contract: str) -> Iterator[Make]:
    """Make a federation of two nodes with four rows each; without ``policy=`` it has the default policy."""
    opened: list[Federation] = []

    def make(nodes: Any = FRAMES, **options: Any) -> Federation:
        with default_policy():
            if isinstance(nodes, Path):
                federation = Federation.from_file(
                    nodes, algorithm=DISCLOSES, runner=runner, contract=contract, **options
                )
            else:
                federation = Federation(nodes, algorithm=DISCLOSES, runner=runner, contract=contract, **options)
        opened.append(federation)
        return federation

    yield make
    for federation in opened:
        federation.close()


def write_federation(folder: Path, text: str) -> Path:
    """Write a description of two organizations with four rows each; *text* follows the second one."""
    for name, frame in FRAMES.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    file = folder / "federation.yaml"
    file.write_text(
        "organizations:\n- {name: north, databases: {default: north.csv}}\n"
        f"- name: south\n  databases: {{default: south.csv}}\n{text}",
        encoding="utf-8",
    )
    return file


def test_the_default_policy_withholds_rows_and_lets_sums_pass(make: Make) -> None:
    nodes = make()
    assert nodes.run("total", column="age") == [{"sum": 253, "count": 4}, {"sum": 173, "count": 4}]
    with pytest.raises(RunsFailed, match=WITHHELD) as raised:
        nodes.run("values", column="age")
    assert {failure.exit_code for failure in raised.value.failures.values()} == {54}
    assert not any(str(age) in raised.value.message for age in AGES)


def test_the_log_names_missing_values_only_of_a_result_that_leaves(make: Make) -> None:
    nodes = make()
    with pytest.raises(RunsFailed, match="rule length"):
        nodes.run("missing_above", column="age", limit=50)
    assert not any("missing;" in run.log for run in nodes.task(1).runs)
    assert nodes.run("missing_mean", column="age") == [{"mean": None}] * 2
    assert all("result['mean'] is NaN, infinite or missing" in run.log for run in nodes.task(2).runs)


def test_the_author_sees_the_limit_and_the_measured_numbers(make: Make) -> None:
    nodes = make(policy={"minimum_cell": 5, "minimum_rows": 3})
    with pytest.raises(RunsFailed, match="rule small") as raised:
        nodes.run("total", column="age")
    assert "rule small at result['count']: a whole number from 1 to 4" in raised.value.detail
    with pytest.raises(RunsFailed) as raised:
        nodes.run("values", column="age")
    assert "rule length at result: a list, dict or dimension has 4 entries" in raised.value.detail
    assert "rule numbers at result: the result has 4 numbers" in raised.value.detail
    assert "of 4 cells; the limit is 3" in raised.value.detail


def test_a_withheld_result_fails_the_master_that_needs_it(make: Make) -> None:
    nodes = make()
    assert nodes.ask("run_at_all", method="total", column="age") == [
        {"sum": 253, "count": 4},
        {"sum": 173, "count": 4},
    ]
    with pytest.raises(RunsFailed, match="rule length"):
        nodes.ask("run_at_all", method="values", column="age")


@pytest.mark.parametrize(
    ("policy", "passes"),
    [
        ("off", True),
        ("standard", False),
        ({"preset": "off"}, True),
        ({"minimum_cell": 2}, False),
    ],
)
def test_a_preset_or_settings_hold_for_every_node(make: Make, policy: str | Mapping[str, object], passes: bool) -> None:
    nodes = make(policy=policy)
    if passes:
        assert nodes.run("values", column="age") == [frame["age"].tolist() for frame in FRAMES.values()]
    else:
        with pytest.raises(RunsFailed, match="2 organizations"):
            nodes.run("values", column="age")


def test_a_setting_forbids_a_function(make: Make) -> None:
    nodes = make(policy={"functions": ["values"]})
    with pytest.raises(RunsFailed, match=r"total: the node's policy does not allow the function.* \[exit code 54\]"):
        nodes.run("total", column="age")


@with_policy_file
def test_settings_of_one_function_reach_v3_and_v4_as_a_file(make: Make) -> None:
    nodes = make(policy={"functions": {"total": {"minimum_rows": 10}}})
    with pytest.raises(RunsFailed, match="rule rows"):
        nodes.run("total", column="age")
    nodes = make(policy={"functions": {"another": {"minimum_rows": 10}}})
    assert [result["count"] for result in nodes.run("total", column="age")] == [4, 4]


def test_a_policy_file_beside_the_federation_file_holds(tmp_path: Path, make: Make) -> None:
    (tmp_path / "policy.toml").write_text("minimum_rows = 5\n", encoding="utf-8")
    nodes = make(write_federation(tmp_path, "policy: policy.toml\n"))
    with pytest.raises(RunsFailed, match="rule rows"):
        nodes.run("total", column="age")
    nodes = make(write_federation(tmp_path, "policy: policy.toml\n"), policy="standard")
    assert len(nodes.run("total", column="age")) == 2


def test_an_owner_has_a_policy_of_its_own(tmp_path: Path, make: Make) -> None:
    file = write_federation(tmp_path, f"  algorithm_env: {{{POLICY}: 'off', PLAYER: Alice}}\n")
    with pytest.raises(RunsFailed) as raised:
        make(file).run("values", column="age")
    assert list(raised.value.failures) == [2]


@with_policy_file
def test_an_owner_of_v3_and_v4_has_a_policy_file_of_its_own(tmp_path: Path, make: Make) -> None:
    (tmp_path / "rules.toml").write_text("[functions.total]\nminimum_rows = 10\n", encoding="utf-8")
    write_federation(tmp_path, "")
    file = tmp_path / "federation.yaml"
    text = file.read_text(encoding="utf-8").replace("south.csv}", "south.csv, algotools_rules: rules.toml}")
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RunsFailed, match="rule rows") as raised:
        make(file).run("total", column="age")
    assert list(raised.value.failures) == [3]
    with pytest.raises(UnknownLabel, match="no node has a database 'algotools_rules'"):
        make(file, policy="off").run("total", column="age", databases="algotools_rules")


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_only_the_preset_of_the_callers_variables_counts(monkeypatch: pytest.MonkeyPatch, runner: str) -> None:
    monkeypatch.setenv(f"{POLICY}_MINIMUM_ROWS", "100")
    monkeypatch.setenv(POLICY, "off")
    with Federation(FRAMES, algorithm=DISCLOSES, runner=runner) as nodes:
        assert len(nodes.run("values", column="age")) == 2
    monkeypatch.setenv(POLICY, "standard")
    with Federation(FRAMES, algorithm=DISCLOSES, runner=runner) as nodes:
        assert len(nodes.run("total", column="age")) == 2
        with pytest.raises(RunsFailed, match="rule length"):
            nodes.run("values", column="age")


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"])
def test_the_authors_code_does_not_see_the_policy(contract: str) -> None:
    with (
        default_policy(),
        Federation(
            FRAMES, algorithm=DISCLOSES, runner="process", contract=contract, policy={"minimum_rows": 4}
        ) as nodes,
    ):
        assert nodes.run("visible_settings") == [[], []]


def test_the_log_is_that_of_a_node(tmp_path: Path, by_hand: ManualNode, make: Make, contract: str, runner: str) -> None:
    frame = pd.DataFrame({"age": AGES})
    (by_hand.folder.parent / "patients.csv").write_text(frame.to_csv(index=False), encoding="utf-8")
    request = get_contract(contract).make_request({"method": "values", "kwargs": {"column": "age"}, "master": False})
    outcome = by_hand.run(by_hand.environment(DISCLOSES, request, contract, variables={POLICY: "standard"}))
    assert outcome.code == 54
    nodes = make([frame])
    task = nodes.post([2], request, [Database("default")])
    assert nodes.wait(task.id, 60)
    [run] = task.runs
    assert read_failure(run.log) == read_failure(outcome.stderr)
    assert read_failure(run.log).exit_code == 54
    results = nodes.client().result.list(task=task.id)["data"]
    assert results[0]["result"] is None
    assert read_failure(results[0]["log"]) == read_failure(outcome.stderr)


def test_the_command_shows_the_whole_message_with_the_way_out_in_a_narrow_terminal(tmp_path: Path) -> None:
    FRAMES["north"].to_csv(tmp_path / "a.csv", index=False)
    command = ("run", "values", "column=age", "--algorithm", str(DISCLOSES), "--data", "a.csv")
    with default_policy():
        completed = algotools(*command, cwd=tmp_path, variables={"COLUMNS": "80"})
        as_json = algotools(*command, "--json", cwd=tmp_path)
        without = algotools(*command, "--policy", "off", "--json", cwd=tmp_path)
    assert completed.returncode == 61
    assert all(len(line) <= 80 for line in completed.stdout.splitlines())
    [item] = json.loads(as_json.stdout)
    assert item["error"]["code"] == 54
    reason, _, way_out = item["error"]["message"].partition(" (rule length); ")
    assert reason.startswith("values: result withheld: ")
    assert way_out
    assert f"organization_2 (2): [54] {item['error']['message']}\n" in completed.stderr
    assert json.loads(without.stdout)[0]["result"] == AGES


def test_the_example_passes_with_the_default_policy_on_the_command_line() -> None:
    with default_policy():
        for database in ("default", "my_other_database"):
            completed = algotools(
                "run", "average_partial", "column_name=age", "--database", database, "--json", cwd=AVERAGE
            )
            assert completed.returncode == 0, completed.stderr


@pytest.mark.parametrize(("policy", "count"), [(None, 1), ("off", 0)])
def test_the_log_of_an_algorithm_without_a_gate_says_so(tmp_path: Path, policy: str | None, count: int) -> None:
    """The interpreter has neither algotools nor vantage6's tools, so the run fails after that line."""
    venv.create(tmp_path / "other", symlinks=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/__init__.py").write_text("def total(data):\n    return {}\n", encoding="utf-8")
    with default_policy():
        federation = Federation(
            [pd.DataFrame({"age": AGES})],
            algorithm=tmp_path / "elsewhere",
            runner="process",
            python=tmp_path / "other/bin/python",
            contract="v4",
            policy=policy,
        )
    with federation:
        task = federation.client().task.create(collaboration=1, organizations=[2], input={"method": "total"})
        assert federation.wait(task["id"], 60)
        [run] = federation.task(task["id"]).runs
    assert run.log.count("info > the node's policy has no effect: this algorithm is made with other tools") == count


@pytest.mark.docker
@pytest.mark.parametrize(("runner", "contract"), [("container", "v5"), ("as-node", "v4")])
@pytest.mark.usefixtures("base_image")
def test_the_policy_reaches_a_container(runner: Any, contract: str) -> None:
    policy = {"minimum_rows": 4} if contract == "v5" else {"functions": {"total": {"minimum_rows": 4}}}
    with Federation(SMALL_NODE, algorithm=DISCLOSES, runner=runner, contract=contract, policy=policy) as nodes:
        assert nodes.run("total", column="age") == [{"sum": 173, "count": 4}]
        assert nodes.run("visible_settings") == [[]]
        with pytest.raises(RunsFailed, match=WITHHELD):
            nodes.run("values", column="age")
        [run] = nodes.tasks()[0].runs[:1]
        assert "the node's policy has no effect" not in run.log
    policy = {"minimum_rows": 5} if contract == "v5" else {"functions": {"total": {"minimum_rows": 5}}}
    nodes = Federation(SMALL_NODE, algorithm=DISCLOSES, runner=runner, contract=contract, policy=policy)
    with nodes, pytest.raises(RunsFailed, match="rule rows"):
        nodes.run("total", column="age")
