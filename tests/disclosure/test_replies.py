"""The reply of a pooled function: what the gate judges of it, and what a refusal says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from algotools import Aggregator, federated
from algotools.declare.federated import REQUEST, RUN
from algotools.disclosure._content import list_numbers, list_texts, read_content
from algotools.disclosure.policy import Policy
from algotools.disclosure.replies import judge_reply
from algotools.disclosure.rules import Refusal
from algotools.payload import decode_rich, encode_plain, encode_rich
from algotools.runtime.pooled._call_site import CallSite
from algotools.runtime.pooled._history import History, KnownTotal, RoundReply
from algotools.runtime.pooled.rounds import NodeReply, compute, perform_rpc
from algotools.task import RunInfo

from .judging import find_known, find_matches

FRAME = pd.DataFrame(
    {
        "age": [20.5 + i for i in range(60)],
        "grade": [1.0, 2.0, 3.0] * 20,
        "group": ["a", "b"] * 29 + ["c", "c"],
    }
)


def judge_rounds(
    function: Any, folder: Path, *, k: int = 3, frame: pd.DataFrame = FRAME, **arguments: object
) -> list[Refusal]:
    """Run a function at one node until it has a result, and judge the reply of each round."""
    info = RunInfo(task_id=1, node_id=1, organization_id=1, collaboration_id=1, temporary_folder=folder, variables={})
    known = find_known(arguments, frame, function.collect_literals())
    policy = Policy(minimum_cell=k, minimum_rows=k)
    refusals: list[Refusal] = []

    def ask(history: History) -> list[NodeReply]:
        request = history.encode()
        values = {"data": frame.copy(), **arguments, REQUEST: request, RUN: info}
        data = encode_rich(perform_rpc(function.partial, values, k))
        content = read_content(data)
        matches = find_matches(frame, list_numbers(content), list_texts(content))
        refusals.extend(judge_reply(content, known, matches, policy, request))
        return [NodeReply("node", RoundReply.from_plain(decode_rich(data)))]

    compute(function, arguments, ask, task=1)
    return refusals


@federated
def smallest_grade(data: pd.DataFrame, total: Aggregator) -> float:
    return total.minimum(data["grade"])


@federated
def few_above(data: pd.DataFrame, total: Aggregator, limit: float) -> int:
    total.sum(data["age"])
    return total.sum(data["age"] > limit)


@federated
def number_of_events(data: pd.DataFrame, total: Aggregator) -> float:
    return total.sum(data["event"])


@federated
def three_sums(data: pd.DataFrame, total: Aggregator) -> float:
    sums = total.sum(data["grade"]), total.sum(data["grade"] * 0 + 0.05), total.sum(data["grade"] - 1.95)
    return sum(sums)


@federated
def list_grades(data: pd.DataFrame, total: Aggregator) -> list[float]:
    return total.levels(data["grade"])


@federated
def list_groups(data: pd.DataFrame, total: Aggregator) -> list[str]:
    return total.levels(data["group"])


@federated
def mean_ages(data: pd.DataFrame, total: Aggregator) -> pd.Series:
    return total.mean(data["age"], by=data["group"])


@federated
def moments_of_age(data: pd.DataFrame, total: Aggregator) -> list[float]:
    return total.moments(data["age"], 3)


@federated
def median_age(data: pd.DataFrame, total: Aggregator, edges: list[float] | None = None) -> float:
    return total.quantile(data["age"], 0.5, edges=edges)


@federated
def bins_of_age(data: pd.DataFrame, total: Aggregator, edges: list[float]) -> np.ndarray:
    return total.histogram(data["age"], edges)


def list_rules(refusals: list[Refusal]) -> list[str]:
    return [refusal.rule for refusal in refusals]


def test_a_refusal_names_the_total_and_its_way_out(tmp_path: Path) -> None:
    [refusal] = judge_rounds(few_above, tmp_path, limit=78.0)
    assert refusal.rule == "small"
    assert refusal.path == f"the sum in line {few_above.__wrapped__.__code__.co_firstlineno + 3}"
    [refusal] = judge_rounds(bins_of_age, tmp_path, edges=[0.0, 60.0, 78.0, 100.0])
    assert refusal.rule == "small"
    assert refusal.path.startswith("[2] of the histogram in line ")
    assert "wider bins" in refusal.way_out


def test_the_least_and_the_greatest_value_are_refused(tmp_path: Path) -> None:
    """Also if many records have the value: the aggregator does not know that they do."""
    [refusal] = judge_rounds(smallest_grade, tmp_path)
    assert refusal.rule == "extreme"
    assert "range as an argument" in refusal.way_out


def test_the_contributions_of_a_round_are_no_list_of_counts(tmp_path: Path) -> None:
    assert judge_rounds(three_sums, tmp_path) == []


def test_an_argument_explains_no_count(tmp_path: Path) -> None:
    assert list_rules(judge_rounds(few_above, tmp_path, limit=78.0)) == ["small"]
    grid = [1.0, 2.0, 3.0]
    [refusal] = judge_rounds(bins_of_age, tmp_path, edges=[*grid, 21.0, 23.0, 100.0])
    assert refusal.rule == "small"


def test_a_single_whole_sum_is_a_count(tmp_path: Path) -> None:
    """The aggregator adds up integers as floats, because their sum could overflow."""
    frame = FRAME.assign(event=[1, 1, *[0] * 58])
    [refusal] = judge_rounds(number_of_events, tmp_path, frame=frame)
    assert refusal.rule == "small"
    assert judge_rounds(number_of_events, tmp_path, frame=frame.assign(event=[1, 1, 1, *[0] * 57])) == []
    assert judge_rounds(number_of_events, tmp_path, frame=frame.assign(event=[1.5, 0.75, *[0] * 58])) == []


def test_levels_are_no_counts_and_have_the_minimum_of_records(tmp_path: Path) -> None:
    assert judge_rounds(list_grades, tmp_path) == []
    assert judge_rounds(list_groups, tmp_path) == []
    assert judge_rounds(list_groups, tmp_path, k=10) == []


def test_labels_of_few_records_are_refused(tmp_path: Path) -> None:
    refusals = judge_rounds(mean_ages, tmp_path)[:2]
    assert list_rules(refusals) == ["text", "small"]
    assert "levels=" in refusals[0].way_out


def test_moments_have_only_texts_of_the_aggregator(tmp_path: Path) -> None:
    assert judge_rounds(moments_of_age, tmp_path) == []


def test_a_quantile_needs_bins_of_many_records(tmp_path: Path) -> None:
    assert set(list_rules(judge_rounds(median_age, tmp_path))) == {"small"}
    assert judge_rounds(median_age, tmp_path, edges=[0.0, 40.0, 60.0, 100.0], k=10) == []
    [refusal] = judge_rounds(median_age, tmp_path, edges=[0.0, 40.0, 60.0, 78.5], k=3)  # one value is above the edges
    assert refusal.rule == "small"
    assert "edges=" in refusal.way_out


def judge_result(result: object, request: str = "", frame: pd.DataFrame = FRAME) -> list[str]:
    content = read_content(encode_rich(RoundReply(is_finished=True, result=result).to_plain()))
    matches = find_matches(frame, list_numbers(content), list_texts(content))
    return list_rules(judge_reply(content, find_known({}, frame, frozenset({"n"})), matches, Policy(), request))


@pytest.mark.parametrize(
    ("result", "rule"),
    [
        ([0.5] * 60, "length"),
        ("Jane Doe", "text"),
        ({"c": 5}, "text"),
        (35.5, "echo"),
        ({35.5: 10, 36.5: 10}, "label"),
        (2**60, "kind"),
        (b"35", "kind"),
        ([0.123 + i for i in range(61)], "numbers"),
    ],
)
def test_a_result_with_values_of_few_records_is_refused(result: object, rule: str) -> None:
    assert rule in judge_result(result)


def test_a_result_may_have_small_numbers_and_the_totals_of_earlier_rounds() -> None:
    assert judge_result({"n": 1}) == []
    assert judge_result(35.5) == ["echo"]
    history = History(task=1)
    site = CallSite(operation="sum", line=1, module="", path="", loop="")
    history.totals = [KnownTotal(site, 35.5), KnownTotal(site, ["Jane"])]
    assert judge_result({"n": 35.5}, history.encode()) == []
    assert judge_result(["Jane"], history.encode()) == []
    assert judge_result({"n": 36.5}, history.encode()) == ["echo"]


def test_the_totals_of_a_request_explain_no_contribution(tmp_path: Path) -> None:
    """A researcher can write any totals into the request of an rpc."""
    history = History(task=1)
    site = CallSite(operation="sum", line=1, module="", path="", loop="")
    history.totals = [KnownTotal(site, [1, 2, "c"])]
    content = read_content(encode_rich(RoundReply(sites=[site], ways=["add"], contributions=[{"c": 2}]).to_plain()))
    matches = find_matches(FRAME, list_numbers(content), list_texts(content))
    refusals = judge_reply(content, find_known({}, FRAME), matches, Policy(), history.encode())
    assert list_rules(refusals) == ["text", "small"]


@pytest.mark.parametrize("value", [{"sum": 250}, [1, 2], "text", {"sites": [], "ways": [], "contributions": [1]}])
def test_a_result_that_is_no_reply_is_refused(value: object) -> None:
    content = read_content(encode_plain(value).data)
    matches = find_matches(FRAME, list_numbers(content), list_texts(content))
    assert list_rules(judge_reply(content, find_known({}, FRAME), matches, Policy(), "")) == ["kind"]


def test_an_unreadable_request_adds_nothing() -> None:
    assert judge_result(35.5, "not a request") == ["echo"]
    assert judge_result(35.5, "aGVsbG8=") == ["echo"]
