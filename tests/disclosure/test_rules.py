"""The structural rules: each at its limit, for three minimum numbers of records."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from algotools.disclosure._content import list_numbers, list_texts, read_content
from algotools.disclosure.evidence_rules import EVIDENCE_RULES
from algotools.disclosure.facts import Known, Matches, TableFacts
from algotools.disclosure.policy import Policy
from algotools.disclosure.replies import judge_reply
from algotools.disclosure.rules import FIRST_RULES, LAST_RULES, WAYS_OUT, Refusal, judge
from algotools.payload import encode_plain, encode_rich
from algotools.runtime.pooled._call_site import CallSite
from algotools.runtime.pooled._history import RoundReply

from ..conftest import ROOT
from .judging import find_known, find_matches

TEXTS = ["n", "sum", "mean", "count", "means", "a", "b", "c", "d", "squares", "by_group", "total", "x", "y", " by "]


def make_frame(rows: int = 100) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": [20 + i % 50 for i in range(rows)],
            "weight": [60.25 + i for i in range(rows)],
            "cost": [1000 + 7 * i for i in range(rows)],
            "sex": ["FM"[i % 2] for i in range(rows)],
            "name": [f"Person {chr(65 + i % 26)}{'x' * (i // 26)}" for i in range(rows)],
        }
    )


FRAME = make_frame()


def refuse(
    value: object,
    frame: pd.DataFrame | None = None,
    arguments: Mapping[str, object] | None = None,
    k: int = 3,
    *,
    is_rich: bool = False,
    has_rows: bool = True,
    **policy,
) -> list[Refusal]:
    """Return the refusals of a value that a function with the texts above returns."""
    frame = FRAME if frame is None else frame
    content = read_content(encode_rich(value) if is_rich else encode_plain(value).data)
    known = find_known(arguments or {}, frame, frozenset(TEXTS))
    matches = find_matches(frame, list_numbers(content), list_texts(content), has_rows=has_rows)
    return judge(content, known, matches, Policy(**{"minimum_rows": k, "minimum_cell": k, **policy}))


def list_rules(*arguments, **keywords) -> list[str]:
    plain = [refusal.rule for refusal in refuse(*arguments, **keywords)]
    assert plain == [refusal.rule for refusal in refuse(*arguments, **keywords, is_rich=True)]
    return plain


K = pytest.mark.parametrize("k", [3, 5, 10])


@K
def test_rows(k: int) -> None:
    assert list_rules({"sum": 253}, make_frame(k - 1), k=k) == ["rows"]
    assert list_rules({"sum": 253}, make_frame(k), k=k) == []
    assert list_rules({"sum": 0}, make_frame(0), k=k) == []
    persons = Matches(tables=(TableFacts(label="x", rows=50, persons=k - 1),))
    assert [r.rule for r in judge(read_content(b"100"), Known(), persons, Policy(minimum_rows=k))] == ["rows"]


@K
def test_length(k: int) -> None:
    values = [float(i) + 0.125 for i in range(12)]
    assert "length" in list_rules(values, make_frame(12), k=k)
    assert "length" not in list_rules(values, make_frame(11), k=k)
    assert "length" in list_rules({"means": [[value, value] for value in values]}, make_frame(12), k=k)
    assert "length" in list_rules(np.ones((2, 12)) / 3, make_frame(12), k=k)
    assert "length" in list_rules({f"{value}": 0.0 for value in values}, make_frame(12), k=k)
    assert "length" in list_rules(" ".join(map(str, values)), make_frame(12), k=k)


def test_length_of_explained_axes() -> None:
    four = make_frame(4)
    assert list_rules({"sum": 253, "count": 4}, four) == []
    assert list_rules({"n": 4, "sum": 100, "squares": 6000}, four) == []
    assert "length" not in list_rules({"a": 10, "b": 20, "c": 30, "d": 40}, four)
    assert "length" not in list_rules({"a_mean": 10, "age_mean": 20, "age by c": 30, "d": 40}, four)
    assert "length" not in list_rules([10, 0, 30, 40], four, {"edges": [0, 10, 20, 30]})
    assert "length" in list_rules([10, 0, 30, 40], four, {"edges": [0, 10, 20]})
    assert "length" not in list_rules({"20": 10, "30": 0, "40": 30, "50": 40}, four, {"limits": [20, 30, 40, 50]})
    assert "length" in list_rules([7] * 100, FRAME, {"weights": [7] * 100})


def test_length_of_lists_without_a_few_records() -> None:
    for length, is_refused in {17: False, 18: True, 19: True, 20: True, 21: True, 22: False}.items():
        assert ("length" in list_rules([0] * length, make_frame(20))) is is_refused
    assert "length" not in list_rules([0] * 18, make_frame(19))  # too few records to be certain
    assert "length" not in list_rules([0] * 19, make_frame(20), {"bins": 20})
    assert "length" not in list_rules([0] * 19, make_frame(20), {"predictors": ["a"] * 18})
    assert "length" in list_rules([0] * 20, make_frame(20), {"bins": 20})


def test_length_of_persons() -> None:
    tables = (TableFacts(label="x", rows=50, persons=12, columns=tuple("abcdefg")),)
    content = read_content(encode_plain([10.5] * 12).data)
    assert [refusal.rule for refusal in judge(content, Known(), Matches(tables=tables), Policy())] == ["length"]


def test_numbers() -> None:
    ten = make_frame(10)[["age", "weight"]]  # 20 cells: 6.6 numbers
    assert "numbers" not in list_rules([float(i) + 0.7 for i in range(6)], ten)
    assert "numbers" in list_rules([float(i) + 0.7 for i in range(7)], ten)
    assert "numbers" not in list_rules([float(i) + 0.7 for i in range(7)] + [0] * 5, make_frame(11)[["age", "weight"]])
    assert list_rules([10.7, 11.7, 12.7], make_frame(5)[["age"]]) == []
    assert "numbers" in list_rules([10.7, 11.7, 12.7, 13.7], make_frame(5)[["age"]])
    assert list_rules([0.0] * 9, make_frame(0)) == []
    assert "numbers" in list_rules(" ".join(str(i + 0.7) for i in range(7)), ten)


@K
def test_text(k: int) -> None:
    frame = pd.DataFrame({"sex": ["F"] * k + ["M"] * 50, "rare": ["G12"] * (k - 1) + ["I10"] * 51})
    for value in ({"F": 60}, ["F", "I10"], {"means": "mean F"}, pd.Series([60.5], ["F"]), [["sex", "F"]]):
        assert list_rules(value, frame, k=k) == []
    for value in ({"G12": 60}, ["F", "G12"], {"means": "mean G12"}, pd.Series([60.5], ["G12"]), "J. Bos"):
        assert list_rules(value, frame, k=k) == ["text"]
        assert list_rules(value, frame, k=k, texts="any") == []


def test_texts_that_pass() -> None:
    intervals = pd.cut(pd.Series(FRAME["age"]), [0, 20, 35, 90]).value_counts()
    assert list_rules(intervals[intervals > 2], arguments={"edges": [0, 20, 35, 90]}) == []
    assert list_rules({column: str(dtype) for column, dtype in FRAME.dtypes.items()}) == []
    table = pd.DataFrame(
        {"sum": [10.75, 20.75]}, pd.MultiIndex.from_tuples([("F", 20), ("M", 20)], names=["sex", None])
    )
    assert "text" not in list_rules(table, arguments={"limit": 20})
    assert list_rules(pd.crosstab(FRAME["sex"], FRAME["age"] > 40)) == []
    assert list_rules({True: 40, False: 60}) == []
    assert list_rules({"day": "2024-01-01", "n": 40}, arguments={"x": "2024-01-01", "day": "day"}) == []


def test_describe_is_refused() -> None:
    assert {"echo", "label"} & set(list_rules(FRAME[["weight"]].describe()))
    assert "extreme" in list_rules({"a": int(FRAME["cost"].max())})


@K
def test_echo(k: int) -> None:
    frame = pd.DataFrame({"x": [1.5] * (k - 1) + [2.5] * k + [3.0] * (k - 1) + [9.25] * 50})
    assert list_rules({"sum": 1.5}, frame, k=k) == ["echo"]
    assert list_rules({"sum": [1.5, 70.5]}, frame, k=k) == ["echo"]
    assert list_rules({"sum": 2.5}, frame, k=k) == []
    assert list_rules({"sum": 1.5}, frame, {"limit": 1.5}, k=k) == []
    assert "echo" not in list_rules({"sum": 3.0}, frame, k=k)


def test_echo_of_integers() -> None:
    assert list_rules([1035, 1070, 1105]) == ["echo"]
    assert "echo" not in list_rules([1035, 1070, 1106])
    assert "echo" not in list_rules([1035, 1070])


@K
def test_extreme(k: int) -> None:
    frame = pd.DataFrame({"x": [900] * (k - 1) + [800] * 50 + [700] * k + [20] * (k - 1)})
    assert list_rules({"a": 900}, frame, k=k) == ["extreme"]
    assert list_rules({"a": 900.0}, frame, k=k) == ["extreme"]
    assert list_rules({"a": 900}, frame, {"limit": 900}, k=k) == []
    assert list_rules({"a": 20}, frame, k=k) == []  # at most the number of rows: it may be a count
    assert list_rules({"a": 900}, frame.iloc[k - 2 :].assign(x=lambda f: f["x"].clip(0, 800)), k=k) == []


@K
def test_label(k: int) -> None:
    frame = pd.DataFrame({"level": [30] * (k - 1) + [40] * 60 + [50] * k})
    for form in (lambda d: d, lambda d: {"means": pd.Series(d)}, lambda d: {str(key): item for key, item in d.items()}):
        assert list_rules(form({30: 60.75, 40: 51.75}), frame, k=k) == ["label"]
        assert list_rules(form({50: 60.75, 40: 51.75}), frame, k=k) == []
        assert list_rules(form({30: 60.75, 40: 51.75}), frame, {"level": 30}, k=k) == []


def test_a_label_that_is_a_text_of_the_source_is_known() -> None:
    frame = pd.DataFrame({"7": [7] * 2 + [5] * 60})
    assert list_rules({"7": 60.75, "x": 51.75}, frame) == []
    assert list_rules({"7": 60.75, "x": 51.75}, frame.rename(columns={"7": "y"})) == ["label"]


def test_label_of_positions() -> None:
    frame = pd.DataFrame({"arm": [0] * 60 + [1] * 2, "age": [40] * 62})
    assert list_rules({0: 60.75, 1: 51.75}, frame) == ["label"]
    assert list_rules({0: 60.75, 1: 51.75, 2: 33.25}, frame) == []
    assert list_rules(pd.DataFrame({"mean": [60.75, 51.75, 33.25]}), frame) == []


@K
def test_small(k: int) -> None:
    for value in (
        k - 1,
        [k - 1, 60],
        {"n": 1, "sum": 60.75},
        {"means": [[60, 70], [k - 1, 80]]},
        np.array([k - 1, 60]),
    ):
        assert list_rules(value, k=k) == ["small"]
    for value in (k, [k, 60], {"n": 0, "sum": 60.75}, True, 1.0, [1.0, 0.5], {"n": 1.0}, [0.0, 1.0, 1.0]):
        assert list_rules(value, k=k) == []
    assert list_rules([1.0, 60.0], k=k) == ["small"]
    assert list_rules(np.array([[1.0, 60.0], [70.0, 80.0]]), k=k) == ["small"]
    assert list_rules(np.array([[1.0, 0.5], [0.5, 1.0]]), k=k) == []
    assert list_rules({"sum": 60, "n": k - 1}, arguments={"round": k - 1}, k=k) == []


def test_zeros() -> None:
    assert list_rules({"n": 0}) == []
    assert list_rules({"n": 0}, zeros="refuse") == ["zeros"]
    assert list_rules([0.0, 60.0], zeros="refuse") == ["zeros"]
    assert list_rules({"mean": 0.0}, zeros="refuse") == []
    assert list_rules({"n": 0}, make_frame(0), zeros="refuse") == []


def test_kind() -> None:
    assert list_rules(2**53) == []
    assert list_rules(2**53 + 1) == ["kind"]
    assert "kind" in list_rules([2**70, 60])
    assert "kind" in list_rules(np.array([2**60, 60]))
    assert list_rules({"means": [True] * 10}) == []
    assert list_rules({"means": [True] * 11}) == ["kind"]
    assert [refusal.rule for refusal in refuse(b"abc", is_rich=True)] == ["kind"]
    known, matches = find_known({}, FRAME), find_matches(FRAME, set(), set())
    for data in (b"{", b"algotools.12345678"):
        assert [refusal.rule for refusal in judge(read_content(data), known, matches, Policy())] == ["kind"]


def test_bytes() -> None:
    size = len(encode_plain([60, 70]).data)
    assert [refusal.rule for refusal in refuse([60, 70], bytes=size)] == []
    assert [refusal.rule for refusal in refuse([60, 70], bytes=size - 1)] == ["bytes"]


def test_unread() -> None:
    assert list_rules({"sum": 253}, has_rows=False) == ["unread"]
    assert list_rules({"sum": 253}, has_rows=False, unread="allow") == []
    assert list_rules({"mean": "sum"}, has_rows=False) == []
    assert "small" in list_rules({"n": 1}, has_rows=False, unread="allow")


def test_a_refusal_shows_no_value() -> None:
    frame = pd.DataFrame({"name": ["Jane Doe", *["x"] * 50], "w": [61.5, *[70.5] * 50]})
    (text, echo) = refuse({"means": {"Jane Doe": 61.5}}, frame)
    assert text.path == "result['means'][key 1]"
    assert echo.path == "result['means'][key 1]"
    assert not any("Jane" in part or "61.5" in part for refusal in (text, echo) for part in refusal)
    assert refuse({"count": 2})[0].path == "result['count']"
    assert refuse([70, [1, 60]])[0].path == "result[1][0]"


def test_each_rule_has_a_way_out() -> None:
    # `numbers`, `zeros`, and `echo` with `extreme` judge values with evidence, and those without, in two functions.
    # `test_probing` tests the rules of probing.
    of_probing = {"few", "order", "pair", "large", "unprobed"}
    assert len(FIRST_RULES) + len(LAST_RULES) + len(EVIDENCE_RULES) == len(WAYS_OUT.keys() - of_probing) + 3
    for rule, way_out in WAYS_OUT.items():
        name = f"docs/concepts/{'probing' if rule in of_probing else 'gate'}.md"
        assert len(way_out) <= 120
        assert "#" not in way_out or f"{name}#{rule}" in way_out
        page = ROOT / name
        assert not page.exists() or f"{{ #{rule} }}" in page.read_text("utf-8")


def list_rules_of_reply(reply: RoundReply, frame: pd.DataFrame, k: int = 3) -> list[str]:
    content = read_content(encode_rich(reply.to_plain()))
    known = find_known({}, frame, frozenset(TEXTS))
    matches = find_matches(frame, list_numbers(content), list_texts(content))
    policy = Policy(minimum_rows=k, minimum_cell=k)
    return [refusal.rule for refusal in judge_reply(content, known, matches, policy)]


def test_only_the_contributions_of_a_pooled_reply_are_judged() -> None:
    def make_reply(*contributions: object) -> RoundReply:
        count = len(contributions)
        site = CallSite(operation="sum", line=12, module="", path="", loop="")
        return RoundReply(
            sites=[site] * count,
            ways=["add"] * count,
            contributions=list(contributions),
            has_entry_per_row=[False] * count,
            omitted_levels=[1] * count,
        )

    assert list_rules_of_reply(make_reply(60.75, 70.75, 80.75), make_frame(3)) == []
    assert list_rules_of_reply(make_reply(np.array([60.75, 70.75, 80.75])), make_frame(3)) == ["length"]
    assert list_rules_of_reply(make_reply(2, 60.75), FRAME) == ["small"]
    assert list_rules_of_reply(make_reply(60.25, 70.3), FRAME) == ["echo"]
    assert list_rules_of_reply(make_reply({"Jane": 70.3}), FRAME) == ["text"]
    assert list_rules_of_reply(RoundReply(is_finished=True, result={"n": 60, "x": 70.3}), FRAME) == []
    assert list_rules_of_reply(RoundReply(is_finished=True, result={"n": 1}), FRAME) == []
    assert list_rules_of_reply(RoundReply(is_finished=True, result=[70.3] * 3), make_frame(3)) == ["length"]
    assert list_rules_of_reply(RoundReply(fault=(21, "a message")), FRAME) == []


@pytest.mark.parametrize(
    "value", [{"sum": 60.75, "n": 60}, np.random.default_rng(1).random(10**6)], ids=["two", "million"]
)
@pytest.mark.parametrize("encode", [lambda value: encode_plain(value).data, encode_rich], ids=["plain", "rich"])
def test_the_rules_are_fast(value: object, encode) -> None:
    data = encode(value)
    known, matches = find_known({}, FRAME, frozenset(TEXTS)), find_matches(FRAME, set(), set())

    def measure() -> float:
        start = time.process_time()
        judge(read_content(data), known, matches, Policy())
        return time.process_time() - start

    limit = 0.001 if isinstance(value, dict) else 0.6
    assert any(measure() < limit for _ in range(5))
