"""Probing: a node runs a function again on other rows, and refuses values that depend on few records."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import ibis
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from algotools import Aggregator, Federation, RunInfo, aggregate, federated, log, progress, rpc
from algotools.declare.functions import RegisteredFunction
from algotools.errors import RunsFailed

from ..conftest import ALGORITHMS, AVERAGE

PROBE = {"undeclared": "probe"}
AGES = [71, 34, 58, 45, 39, 62, 50, 28, 66, 41, 55, 47, 36, 60, 52, 44, 31, 69, 57, 48, 38, 64, 53, 42]


@pytest.fixture
def frame() -> pd.DataFrame:
    """100 patients, of whom one is 97 years old."""
    ages = (AGES * 5)[:100]
    return pd.DataFrame({"age": [97, *ages[1:]], "weight": [60 + (7 * i) % 41 / 2 for i in range(100)]})


def run(
    function: RegisteredFunction | Callable[..., Any],
    data: pd.DataFrame,
    policy: Mapping[str, object] = PROBE,
    runner: Any = "inline",
    **arguments: object,
) -> Any:
    """Return the result of a run at a node with the data."""
    with Federation({"alpha": data}, algorithm=[function], policy=policy, runner=runner) as federation:
        return federation.run(function, at="alpha", arguments=arguments)[0]


def find_rule(function: Any, data: pd.DataFrame, policy: Mapping[str, object] = PROBE, **arguments: object) -> str:
    """Return the rule that refuses a run, and the part of the result."""
    with pytest.raises(RunsFailed) as caught:
        run(function, data, policy, **arguments)
    message = str(caught.value).partition("result withheld: ")[2]
    return f"{message.partition('(rule ')[2].partition(')')[0]}: {message}"


@rpc
def summary(data: pd.DataFrame) -> dict[str, float]:
    return {"sum": float(data["age"].sum()), "mean": float(data["weight"].mean()), "rows": len(data)}


@rpc
def hidden_maximum(data: pd.DataFrame) -> dict[str, float]:
    return {"rows": len(data), "best": float(data["age"].max()) / 3 + 100}


@rpc
def dominant(data: pd.DataFrame) -> dict[str, float]:
    return {"cost": float((data["age"].astype(float) ** 40).sum() / 1e60)}


@rpc
def first_rows(data: pd.DataFrame) -> dict[str, float]:
    return {"mean": float(data["weight"].iloc[:50].mean())}


@rpc
def all_and_without_one(data: pd.DataFrame) -> dict[str, float]:
    return {"all": float(data["weight"].sum()), "others": float(data["weight"].iloc[1:].sum())}


@rpc
def all_and_without_oldest(data: pd.DataFrame) -> dict[str, float]:
    weights = data["weight"]
    return {"all": float(weights.sum()), "others": float(weights[data["age"] < 90].sum())}


def test_statistics_of_many_records_pass(frame: pd.DataFrame) -> None:
    assert run(summary, frame)["rows"] == 100


@pytest.mark.parametrize(
    ("function", "rule", "path"),
    [
        (hidden_maximum, "few", "['best']"),
        (dominant, "dominance", "['cost']"),
        (first_rows, "order", "['mean']"),
        (all_and_without_oldest, "pair", "['all']"),
    ],
)
def test_values_of_few_records_are_refused(frame: pd.DataFrame, function: Any, rule: str, path: str) -> None:
    run(function, frame, {})  # the structure of the result shows nothing
    message = find_rule(function, frame)
    assert message.startswith(f"{rule}: ")
    assert path in message


def test_a_position_of_rows_is_a_dependence_on_their_order(frame: pd.DataFrame) -> None:
    assert find_rule(all_and_without_one, frame).startswith("order: ")


@rpc
def polars_maximum(data: pl.DataFrame) -> dict[str, float]:
    return {"sum": float(data["age"].sum()), "best": float(data["age"].max()) / 3}


@rpc
def lazy_maximum(data: pl.LazyFrame) -> dict[str, float]:
    row = data.select(sum=pl.col("age").sum(), best=pl.col("age").max() / 3).collect().row(0, named=True)
    return {"sum": float(row["sum"]), "best": float(row["best"])}


@rpc
def arrow_maximum(data: pa.Table) -> dict[str, float]:
    return {"sum": float(pc.sum(data["age"]).as_py()), "best": pc.max(data["age"]).as_py() / 3}


@rpc
def batches_maximum(data: pa.RecordBatchReader) -> dict[str, float]:
    table = data.read_all()
    return {"sum": float(pc.sum(table["age"]).as_py()), "best": pc.max(table["age"]).as_py() / 3}


@rpc
def duckdb_maximum(data: duckdb.DuckDBPyRelation) -> dict[str, float]:
    total, best = data.aggregate("sum(age), max(age)").fetchall()[0]
    return {"sum": float(total), "best": best / 3}


@rpc
def ibis_maximum(data: ibis.Table) -> dict[str, float]:
    row = data.aggregate(total=data.age.sum(), best=data.age.max()).to_pyarrow().to_pylist()[0]
    return {"sum": float(row["total"]), "best": row["best"] / 3}


@pytest.mark.parametrize(
    "function", [polars_maximum, lazy_maximum, arrow_maximum, batches_maximum, duckdb_maximum, ibis_maximum]
)
def test_all_forms_of_data_are_probed(frame: pd.DataFrame, function: Any) -> None:
    assert run(function, frame, {})["sum"] > 1000
    message = find_rule(function, frame)
    assert message.startswith("few: ")
    assert "['best']" in message


def test_a_table_of_the_example_of_the_manual_passes() -> None:
    data = pd.read_csv(AVERAGE / "data" / "org1.csv")
    with Federation({"alpha": data}, algorithm=AVERAGE, policy=PROBE, runner="inline") as federation:
        result = federation.run("average_partial", at="alpha", arguments={"column_name": "age"})
    assert list(result) == [{"sum": float(data["age"].sum()), "count": 4}]


@federated
def pooled_mean(total: Aggregator, data: pd.DataFrame) -> dict[str, float]:
    mean = total.sum(data["age"]) / total.count(data["age"])
    return {"squares": float(total.add(float(((data["age"] - mean) ** 2).sum())))}


@federated
def pooled_maximum(total: Aggregator, data: pd.DataFrame) -> dict[str, float]:
    rows = total.count(data["age"])
    return {"best": float(total.add(float(data["age"].max()) / 3 + 100) / rows)}


@pytest.mark.parametrize(("function", "rule"), [(pooled_mean, ""), (pooled_maximum, "few")])
def test_the_contributions_of_each_round_are_probed(frame: pd.DataFrame, function: Any, rule: str) -> None:
    frames = {"alpha": frame, "beta": frame.iloc[::-1], "gamma": frame.iloc[:70]}
    with Federation(frames, algorithm=[function], policy=PROBE, runner="inline") as federation:
        if not rule:
            assert federation.run(function, arguments={})[0]["squares"] > 0
            return
        with pytest.raises(RunsFailed, match=rf"the add in line \d+ changes only .* \(rule {rule}\)"):
            federation.run(function, arguments={})


def test_the_verdict_can_be_repeated(frame: pd.DataFrame) -> None:
    assert len({find_rule(hidden_maximum, frame) for _ in range(3)}) == 1


@rpc
def changing(data: pd.DataFrame, weights: list[float]) -> dict[str, float]:
    data["age"] *= 2
    data.loc[0, "weight"] = 0.0
    weights.append(1.0)
    return {"sum": float(data["age"].sum()), "weights": sum(weights) + data["weight"].sum()}


def test_a_function_may_change_its_data_and_arguments(frame: pd.DataFrame) -> None:
    assert run(changing, frame.sample(frac=1, random_state=0), weights=[0.5, 7.0])["sum"] == 2.0 * frame["age"].sum()


@rpc
def failing(data: pd.DataFrame) -> dict[str, float]:
    if len(data) < 100:
        raise ValueError(data["age"].iloc[0])
    return {"sum": float(data["age"].sum())}


@rpc
def exiting_once(data: pd.DataFrame) -> dict[str, float]:
    if 97 not in set(data["age"]):
        raise SystemExit(3)
    return {"sum": float(data["age"].sum())}


def test_without_enough_groups_the_result_is_unprobed(frame: pd.DataFrame) -> None:
    assert find_rule(failing, frame).startswith("unprobed: ")


def test_a_group_without_which_the_function_fails_is_left_out(frame: pd.DataFrame) -> None:
    assert run(exiting_once, frame) == {"sum": float(frame["age"].sum())}


@pytest.mark.parametrize(("cells", "rule"), [(200, ""), (199, "unprobed")])
def test_large_tables_are_not_probed(frame: pd.DataFrame, cells: int, rule: str) -> None:
    policy = {**PROBE, "probe_cells": cells}
    if not rule:
        run(summary, frame, policy)
    else:
        assert find_rule(summary, frame, policy).startswith(rule)


@rpc
def wide(data: pd.DataFrame, count: int) -> list[float]:
    return [float(data["age"].sum())] * count


def test_a_result_with_many_values_is_not_probed(frame: pd.DataFrame) -> None:
    policy = {**PROBE, "numbers": 1.0}
    data = pd.concat([frame] * 120)
    assert len(run(wide, data, policy, count=20_000)) == 20_000
    assert find_rule(wide, data, policy, count=20_001).startswith("large: ")


@rpc
def talking(data: pd.DataFrame, info: RunInfo, path: str) -> dict[str, float]:
    sys.stdout.write("printed\n")
    log("summing up")
    progress(0.5)
    assert info.temporary_folder is not None
    (info.temporary_folder / "own").write_text("")
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{info.temporary_folder}\n")
    return {"sum": float(data["age"].sum())}


def test_probe_runs_are_muted_and_have_scratch_folders(
    frame: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "folders"
    with Federation({"alpha": frame}, algorithm=[talking], policy=PROBE, runner="inline") as federation:
        federation.run(talking, at="alpha", arguments={"path": str(path)})
        run_log = federation.tasks()[-1].runs[0].log
        own, *scratch = map(Path, path.read_text().splitlines())
        assert own.exists()
    assert len(scratch) == len(set(scratch)) == 16 + 3
    assert own not in scratch
    assert not any(folder.exists() for folder in scratch)
    assert run_log.count("summing up") == run_log.count("50%") == 1
    assert capsys.readouterr().out.count("printed") == 1


@rpc
def with_evidence(data: pd.DataFrame, path: str) -> dict[str, float]:
    with open(path, "a", encoding="utf-8") as file:
        file.write("x")
    return {"sum": aggregate.sum(data["age"]), "rows": aggregate.count(data["age"])}


def test_a_result_with_evidence_is_not_probed(frame: pd.DataFrame, tmp_path: Path) -> None:
    assert run(with_evidence, frame, path=str(tmp_path / "calls"))["rows"] == 100
    assert (tmp_path / "calls").read_text() == "x"


@rpc
def of_person(data: pd.DataFrame, person: int) -> dict[str, float]:
    return {"mean": float(data.loc[data["patient"] == person, "weight"].mean())}


def test_groups_are_groups_of_persons_if_the_owner_names_their_column(frame: pd.DataFrame) -> None:
    visits = frame.assign(patient=np.arange(100) % 10, weight=frame["weight"] + np.arange(100) / 7)
    assert run(of_person, visits, person=4)["mean"] > 0
    message = find_rule(of_person, visits, {**PROBE, "persons": ["default=patient"]}, person=4)
    assert message.startswith("few: ")


@rpc
def has_old(data: pd.DataFrame) -> dict[str, object]:
    return {"old": bool((data["age"] > 90).any()), "group": "elderly" if (data["age"] > 90).any() else "mixed"}


def test_booleans_and_texts_are_probed(frame: pd.DataFrame) -> None:
    assert find_rule(has_old, frame).startswith("few: ")


def test_a_process_probes_like_a_thread(frame: pd.DataFrame) -> None:
    cheats = Federation({"alpha": frame}, algorithm=ALGORITHMS / "cheats", policy=PROBE, runner="process")
    with cheats as federation, pytest.raises(RunsFailed, match="rule few"):
        federation.run("scaling", at="alpha", arguments={"columns": ["age"]})
