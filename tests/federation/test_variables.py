"""Node variables in a local federation: at all nodes or at one organization, in each generation."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pytest

from algotools import Aggregator, Federation, NodeVariable, RunInfo, RunsFailed, federated, rpc
from algotools.errors import ArgumentsError, FederationError, NodeVariableError

from ..conftest import ALGORITHMS, ManualNode, fail_at_nodes

GUARDED = ALGORITHMS / "guarded"
FRAMES = {
    "north": pd.DataFrame({"age": [10, 20, 30], "sex": [1, 2, 1]}),
    "south": pd.DataFrame({"age": [40, 50], "sex": [1, 2]}),
    "west": pd.DataFrame({"age": [60, 70], "sex": [1, 1]}),
}

Make = Callable[..., Federation]


@pytest.fixture
def make() -> Iterator[Make]:
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(
            Federation(FRAMES, **{"algorithm": GUARDED, "policy": "off", **options})
        )


@pytest.fixture
def show() -> Callable[..., Any]:
    """A function that returns a node variable of any type, and its text."""

    @rpc
    def show(info: RunInfo, site: Annotated[str, NodeVariable("SITE")] = "unset") -> list[str | None]:
        return [site, info.variables.get("SITE")]

    return show


def get_failure(federation: Federation, function: str, **arguments: Any) -> dict[int, Any]:
    with pytest.raises(RunsFailed) as failed:
        federation.run(function, **arguments)
    return failed.value.failures


@pytest.mark.parametrize(("contract", "runner"), [("v3", "inline"), ("v4", "process"), ("v5", "inline")])
def test_a_variable_is_of_all_nodes_or_of_one_organization(make: Make, contract: str, runner: str) -> None:
    variables = {"MINIMUM_ROWS": 4, "south": {"MINIMUM_ROWS": "7"}, 4: {"MINIMUM_ROWS": None}}
    federation = make(contract=contract, runner=runner, variables=variables)
    assert federation.run("show") == [[4, "4"], [7, "7"], [10, None]]


def test_variables_replace_those_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "federation.yaml"
    file.write_text(
        "organizations:\n- {name: a, algorithm_env: {MINIMUM_ROWS: 2}}\n- {name: b, algorithm_env: {MINIMUM_ROWS: 3}}\n"
    )
    with Federation.from_file(file, algorithm=GUARDED, variables={"b": {"MINIMUM_ROWS": 5}}) as federation:
        assert [minimum for minimum, _ in federation.run("show")] == [2, 5]


def test_the_owners_limits_hold(make: Make) -> None:
    variables = {"MINIMUM_ROWS": 3, "south": {"ALLOWED_COLUMNS": ["sex"]}}
    federation = make(variables=variables)
    assert federation.run("sum_and_count", at="north", column="age") == [{"sum": 60.0, "count": 3.0}]
    failures = get_failure(federation, "sum_and_count", column="age")
    assert failures[3].message == "the node's owner does not allow the column age"
    assert failures[4].message == "the node has fewer rows than its owner requires"


def test_a_master_reads_the_variables_of_its_own_node(make: Make) -> None:
    federation = make(variables={"MINIMUM_ROWS": 1, "north": {"PARTNERS": [2, 3]}})
    assert federation.ask("mean", at=["north", "south"], column="age") == 30.0
    with pytest.raises(RunsFailed, match="not a partner"):
        federation.ask("mean", column="age")


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_a_missing_variable_fails_before_data_is_read(tmp_path: Path, runner: str) -> None:
    nodes = [tmp_path / "missing.csv"]
    with Federation(nodes, algorithm=GUARDED, runner=runner) as federation:  # type: ignore[arg-type]  # a parameter
        with pytest.raises(NodeVariableError, match="MINIMUM_ROWS"):  # before a run
            federation.run("sum_and_count", column="age")
        [(code, message)] = fail_at_nodes(federation, "sum_and_count", column="age").values()
    assert code == NodeVariableError.exit_code
    assert "the node variable MINIMUM_ROWS (int) is not set" in message
    assert "node's owner" in message


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"])
@pytest.mark.parametrize("runner", ["inline", "process"])
def test_a_malformed_value_is_only_in_the_detail_for_the_owner(make: Make, contract: str, runner: str) -> None:
    federation = make(variables={"MINIMUM_ROWS": "SECRET"}, contract=contract, runner=runner)
    fail_at_nodes(federation, "show")
    failures = {run.organization_id: federation.failure(run) for run in federation.tasks()[-1].runs}
    assert {failure.exit_code for failure in failures.values()} == {33}
    assert all("SECRET" not in failure.message for failure in failures.values())
    assert all("MINIMUM_ROWS is malformed: expected int" in failure.message for failure in failures.values())
    assert all("MINIMUM_ROWS='SECRET'" in failure.detail for failure in failures.values())
    assert "SECRET" not in "".join(run.log or "" for run in federation.tasks()[-1].runs)


def test_a_malformed_value_is_in_the_log_of_the_owner_alone(by_hand: ManualNode, tmp_path: Path) -> None:
    log = tmp_path / "owner.log"
    variables = {"MINIMUM_ROWS": "SECRET", "ALGOTOOLS_DEBUG": str(log)}
    outcome = by_hand.run(by_hand.environment(GUARDED, b'{"method": "show"}', variables=variables))
    assert outcome.code == 33
    assert not outcome.output
    assert "SECRET" not in outcome.log
    assert "MINIMUM_ROWS='SECRET'" in log.read_text(encoding="utf-8")


def test_a_task_cannot_set_the_variable(make: Make) -> None:
    message = "minimum: only the node's owner sets it, with the node variable MINIMUM_ROWS"
    federation = make()
    with pytest.raises(ArgumentsError, match=message):
        federation.run("show", minimum=1)
    content = {"method": "show", "kwargs": {"minimum": 1}}
    task = federation.client().task.create(1, [2], input_=content, image="show")
    assert federation.wait(task["id"], 60)
    failure = federation.failure(federation.task(task["id"]).runs[0])
    assert failure is not None
    assert failure.exit_code == 15
    assert message in failure.message


def test_a_pooled_function_reads_the_variables_of_each_node(make: Make) -> None:
    federation = make(variables={"south": {"MINIMUM_ROWS": 3}})
    assert federation.ask("pooled_mean", column="age") == (10 + 20 + 30 + 60 + 70) / 5


def test_a_result_that_depends_on_a_nodes_variable_is_refused(make: Make) -> None:
    federation = make(variables={"south": {"MINIMUM_ROWS": 2}})
    with pytest.raises(RunsFailed, match=r"\[1\].* differs between north and south"):
        federation.ask("pooled_minimum", column="age")
    assert make(variables={"MINIMUM_ROWS": 2}).ask("pooled_minimum", column="age") == [7.0, 2]


def test_the_split_test_takes_variables() -> None:
    @federated
    def count(data: pd.DataFrame, total: Aggregator, minimum: Annotated[int, NodeVariable("MINIMUM_ROWS")]) -> float:
        return total.count(data[data["age"] >= minimum]["age"])

    frame = pd.concat(FRAMES.values(), ignore_index=True)
    assert Federation.prove(count, frame, variables={"MINIMUM_ROWS": 40}) == 4
    with pytest.raises(NodeVariableError, match="MINIMUM_ROWS"):
        Federation.prove(count, frame)


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_an_extraction_of_v5_reads_variables(tmp_path: Path, runner: str) -> None:
    FRAMES["north"].to_csv(tmp_path / "a.csv", index=False)
    with Federation(
        [tmp_path / "a.csv"],
        algorithm=GUARDED,
        contract="v5",
        runner=runner,
        variables={"FIRST_ROWS": 2},  # type: ignore[arg-type]  # a parameter
    ) as federation:
        table = federation.client().dataframe.create("default", method="first_rows")
        assert federation.wait(table["last_session_task"]["id"], 60)
        client = federation.client()
        databases = [{"dataframe_id": table["id"]}]
        task = client.task.create(1, [2], method="count", arguments={}, databases=databases)
        assert federation.wait(task["id"], 60)
        (run,) = federation.task(task["id"]).runs
        assert federation.answer(run) == 2


class Site(enum.Enum):
    NORTH = "north"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a text", "a text"),
        (True, "true"),
        (0.5, "0.5"),
        (Site.NORTH, "north"),
        (Path("/codes"), "/codes"),
        (datetime.date(2024, 2, 29), "2024-02-29"),
        (["a", "b, c"], '["a", "b, c"]'),
        ((1, 2), "[1, 2]"),
    ],
)
def test_a_value_of_python_becomes_the_text_of_an_owner(show: Callable[..., Any], value: Any, text: str) -> None:
    with Federation([FRAMES["north"]], algorithm=[show], variables={"SITE": value}, policy="off") as federation:
        assert federation.run(show) == [[text, text]]


def test_each_run_has_its_own_default_of_a_variable() -> None:
    @rpc
    def count(data: pd.DataFrame, seen: Annotated[list[int], NodeVariable("SEEN")] = []) -> int:  # noqa: B006 - the case
        seen.append(len(data))
        return len(seen)

    with Federation(FRAMES, algorithm=[count], policy="off") as federation:
        assert federation.run(count) == federation.run(count) == [1] * len(FRAMES)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"SITE": object()}, "variable SITE: the value must be"),
        ({"SITE": {"a": 1}}, "SITE"),
        ({7: {"SITE": 1}}, "7"),
        ({2: "north"}, "no mapping for organization 2"),
        ({"A-B": 1}, "the name of a variable"),
        ({"north": {"": 1}}, "the name of a variable"),
        ({"INPUT_FILE": "x"}, "INPUT_FILE belongs to the platform"),
        ({"PATH": "x"}, "PATH belongs to the platform"),
        ({"DEFAULT_DATABASE_URI": "x"}, "DEFAULT_DATABASE_URI belongs to the platform"),
        ({"DB_PARAM_SHEET": "x"}, "DB_PARAM_SHEET belongs to the platform"),
        ({"DEFAULT_DB_PARAM_SHEET": "x"}, "DEFAULT_DB_PARAM_SHEET belongs to the platform"),
        ({"north": {"KUBERNETES_PORT": "x"}}, "KUBERNETES_PORT belongs to the platform"),
    ],
)
def test_wrong_variables_are_refused(variables: Any, message: str) -> None:
    with pytest.raises(FederationError, match=message):
        Federation(FRAMES, algorithm=GUARDED, variables=variables)


def test_the_text_of_a_variable_in_a_message_is_withheld(make: Make) -> None:
    federation = make(policy="standard", variables={"SITE": "SECRET"})
    failures = get_failure(federation, "complain")
    assert all("SECRET" not in failure.message for failure in failures.values())
    assert "SECRET" not in "".join(run.log or "" for run in federation.tasks()[-1].runs)
