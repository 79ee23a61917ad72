"""The rules of evidence: each at its limit, on encoded results with the facts that a worker reports about them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from algotools.disclosure._content import list_numbers, list_texts, read_content
from algotools.disclosure.facts import Evidence, HiddenCells, Matches, NumbersWithEvidence, TableFacts
from algotools.disclosure.policy import Policy
from algotools.disclosure.replies import judge_reply
from algotools.disclosure.rules import Refusal, judge
from algotools.disclosure.sketch import make_sketch
from algotools.payload import encode_plain, encode_rich
from algotools.runtime.pooled._call_site import CallSite
from algotools.runtime.pooled._history import History, KnownTotal, RoundReply

from .judging import find_known, find_matches

FRAME = pd.DataFrame(
    {
        "age": [20 + i % 50 for i in range(100)],
        "weight": [60.25 + i for i in range(100)],
        "name": [f"Person {i}" for i in range(100)],
        "sex": ["FM"[i % 2] for i in range(100)],
    }
)
TEXTS = frozenset({"n", "sum", "mean", "all", "without", "table", "F", "M", " years"})
KEY = b"k" * 32
K = pytest.mark.parametrize("k", [3, 5, 10])

Groups = Sequence[tuple[Evidence, Iterable[float]]]


def make_evidence(records: int = 100, operation: str = "aggregate.sum", **facts: Any) -> Evidence:
    return Evidence(operation=operation, records=records, **facts)


def add_evidence(matches: Matches, groups: Groups, sets: Sequence[range] = (), **facts: Any) -> Matches:
    numbers = tuple(
        NumbersWithEvidence(evidence=evidence, numbers=np.array([*values], "<f8").tobytes())
        for evidence, values in groups
    )
    sketches = tuple(make_sketch(np.array(rows, dtype=np.int64), KEY) for rows in sets)
    return msgspec.structs.replace(matches, evidence=numbers, row_sets=sketches, **facts)


def refuse(
    value: object,
    groups: Groups = (),
    sets: Sequence[range] = (),
    *,
    frame: pd.DataFrame = FRAME,
    is_rich: bool = False,
    has_rows: bool = True,
    arguments: Mapping[str, object] | None = None,
    k: int = 3,
    facts: Mapping[str, Any] | None = None,
    **policy: Any,
) -> list[Refusal]:
    content = read_content(encode_rich(value) if is_rich else encode_plain(value).data)
    known = find_known(arguments or {}, frame, TEXTS)
    matches = find_matches(frame, list_numbers(content), list_texts(content), has_rows=has_rows)
    matches = add_evidence(matches, groups, sets, **(facts or {}))
    return judge(content, known, matches, Policy(**{"minimum_rows": k, "minimum_cell": k, **policy}))


def list_rules(*arguments: Any, **keywords: Any) -> list[str]:
    plain = [refusal.rule for refusal in refuse(*arguments, **keywords)]
    assert plain == [refusal.rule for refusal in refuse(*arguments, **keywords, is_rich=True)]
    return plain


@K
def test_threshold(k: int) -> None:
    assert list_rules({"sum": 253.5}, [(make_evidence(k - 1), [253.5])], k=k) == ["threshold"]
    assert list_rules({"sum": 253.5}, [(make_evidence(k), [253.5])], k=k) == []
    assert list_rules({"n": 0}, [(make_evidence(0, "aggregate.count"), [0])], k=k) == []
    (refusal,) = refuse({"table": {"F": 253.5}}, [(make_evidence(2), [253.5])], k=k)
    assert refusal.path == "result['table']['F']"
    assert refusal.detail == f"a number of aggregate.sum: 2 records, the minimum is {k}"


def test_a_number_has_the_weakest_of_its_evidence() -> None:
    groups = [(make_evidence(100), [5.0]), (make_evidence(2), [5.0]), (make_evidence(50), [5.0])]
    assert list_rules({"n": 5}, groups) == ["threshold"]
    assert list_rules({"n": 5}, groups[::2]) == []


def test_evidence_of_other_numbers_does_not_matter() -> None:
    assert list_rules({"sum": 253.5}, [(make_evidence(1), [70.25, 254.0]), (make_evidence(60), [253.5])]) == []


@K
def test_texts_with_few_records(k: int) -> None:
    facts = {"texts_with_evidence": {"Person 7": k - 1, "Person 8": k}}
    assert list_rules(["Person 8"], facts=facts, k=k) == []
    assert list_rules(["Person 7"], facts=facts, k=k) == ["threshold"]
    assert list_rules({"Person 8": 61.3}, facts=facts, k=k) == []
    assert list_rules({"Person 7": 61.3}, facts=facts, k=k) == ["threshold"]
    (refusal,) = refuse({"table": {"Person 7": 61.3}}, facts=facts, k=k)
    assert refusal.path == "result['table'][key 1]"
    assert "Person" not in "".join(refusal)


def test_dominance() -> None:
    def list_shares(largest: float, two_largest: float, **policy: float) -> list[str]:
        evidence = make_evidence(largest_share=largest, two_largest_share=two_largest)
        return list_rules({"sum": 253.5}, [(evidence, [253.5])], **policy)

    assert list_shares(0.5, 0.90) == []
    assert list_shares(0.5, 0.91) == ["dominance"]
    assert list_shares(0.5, 0.81, dominance=0.8) == ["dominance"]
    # The p-ratio rule: the other records are less than a tenth of the largest.
    assert list_shares(0.9, 0.92, dominance=1.0) == ["dominance"]
    assert list_shares(0.5, 0.95, dominance=1.0) == []
    assert list_shares(0.5, 0.80, p_ratio=0.5) == ["dominance"]
    assert list_shares(0.0, 0.0) == []


def test_parameters() -> None:
    def list_model(records: int, count: int, *, is_stated: bool = False, **policy: Any) -> list[str]:
        evidence = make_evidence(records, "aggregate.declare", parameters=count, is_stated=is_stated)
        return list_rules({"mean": [0.5, 1.5]}, [(evidence, [0.5, 1.5])], **policy)

    assert list_model(100, 33) == []
    assert list_model(100, 34) == ["parameters"]
    assert list_model(100, 11, parameters=0.1) == ["parameters"]
    # An author cannot state more records than the function has read.
    assert list_model(1000, 34, is_stated=True) == ["parameters"]
    assert list_model(1000, 34) == []


def test_the_author_cannot_state_more_records_than_were_read() -> None:
    evidence = make_evidence(200, "aggregate.declare", is_stated=True)
    few = FRAME.head(5)
    assert list_rules({"mean": 0.5}, [(evidence, [0.5])], frame=few, k=5) == []
    assert list_rules({"mean": 0.5}, [(evidence, [0.5])], frame=few, k=6, minimum_rows=1) == ["threshold"]


@K
def test_difference(k: int) -> None:
    def list_sets(*sets: range, columns: Sequence[str] = ("age", "age")) -> list[Refusal]:
        groups = [
            (make_evidence(len(sets[0]), columns=(columns[0],), row_set=0), [4400.5]),
            (make_evidence(len(sets[1]), columns=(columns[1],), row_set=1), [4330.5]),
        ]
        return refuse({"all": 4400.5, "without": 4330.5}, groups, sets, k=k)

    assert list_sets(range(100), range(k, 100)) == []
    assert list_sets(range(100), range(100)) == []
    (refusal,) = list_sets(range(100), range(k - 1, 100))
    assert refusal.rule == "difference"
    assert refusal.path == "result['all'] and result['without']"
    assert refusal.way_out == "return only one of them"
    assert list_sets(range(100), range(1, 100), columns=("age", "weight")) == []
    assert [r.rule for r in list_sets(range(50), range(1, 51))] == ["difference"]


@pytest.mark.parametrize("size", [2, 3], ids=["apart", "nearly equal"])
def test_many_sets_are_compared(size: int) -> None:
    sets = [range(10 * i, 10 * i + 9) for i in range(200)]
    sets.append(range(1990 - size % 2, 1999))
    values = [1000.5 + i for i in range(201)]
    groups = [(make_evidence(9, columns=("age",), row_set=i), [values[i]]) for i in range(201)]
    start = time.process_time()
    rules = list_rules(values, groups, sets)
    assert rules == (["difference"] if size == 3 else [])
    assert time.process_time() - start < 2


def test_margin() -> None:
    def list_total(cells: int, records: int, rows: range = range(100), **policy: Any) -> list[Refusal]:
        count = make_evidence(len(rows), "aggregate.count", row_set=1)
        table = make_evidence(90, "aggregate.table")
        hidden = HiddenCells(row_set=0, cells=cells, records=records, operation="aggregate.table")
        groups = [(count, [float(len(rows))]), (table, [98.0, 97.0, 96.0])]
        value = {"all": len(rows), "table": {"F": 100 - records, "M": None}}
        return refuse(value, groups, [range(100), rows], facts={"hidden_cells": (hidden,)}, **policy)

    (refusal,) = list_total(1, 2)
    assert (refusal.rule, refusal.path) == ("margin", "result['all']")
    assert [r.rule for r in list_total(2, 2)] == ["margin"]
    assert list_total(2, 3) == []
    assert [r.rule for r in list_total(2, 3, minimum_cell=4)] == ["margin"]
    assert [r.rule for r in list_total(1, 4)] == ["margin"]
    assert list_total(1, 2, range(90)) == []


@pytest.mark.parametrize(
    ("operation", "columns", "rules"),
    [
        ("aggregate.count", ("age",), []),
        ("aggregate.mean", ("weight",), []),
        ("aggregate.mean", ("age",), ["margin"]),
        ("aggregate.sum", ("age",), ["margin"]),
    ],
)
def test_a_total_of_another_kind_reveals_no_hidden_cell(operation: str, columns: tuple[str], rules: list[str]) -> None:
    total = make_evidence(operation=operation, columns=columns, row_set=0)
    hidden = HiddenCells(row_set=0, cells=1, records=2, operation="aggregate.sum", columns=("age",))
    assert list_rules({"all": 4400}, [(total, [4400])], [range(100)], facts={"hidden_cells": (hidden,)}) == rules


@pytest.mark.parametrize(("records", "rules"), [(99, []), (100, ["margin"])])
def test_the_total_of_an_array_without_an_index_is_compared_by_its_number_of_records(
    records: int, rules: list[str]
) -> None:
    total = make_evidence(records, "aggregate.count")
    hidden = HiddenCells(row_set=0, cells=1, records=2, operation="aggregate.count")
    assert list_rules({"n": records}, [(total, [records])], [range(100)], facts={"hidden_cells": (hidden,)}) == rules


def test_the_number_of_rows_reveals_a_hidden_count() -> None:
    def list_number(value: object, operation: str) -> list[str]:
        hidden = HiddenCells(row_set=0, cells=1, records=2, operation=operation)
        return list_rules(value, (), [range(100)], facts={"hidden_cells": (hidden,)}, undeclared="refuse")

    assert list_number({"n": 100}, "aggregate.table") == ["margin"]
    assert list_number({"n": 100}, "aggregate.sum") == []
    assert list_number({"n": None}, "aggregate.table") == []


def test_numbers_of_the_same_records() -> None:
    def list_sums(count: int, operation: str = "aggregate.sum", **facts: Any) -> list[str]:
        values = [1000.5 + i for i in range(count)]
        return list_rules(values, [(make_evidence(12, operation, **facts), values)], [range(12)])

    assert list_sums(3, columns=("age",), row_set=0) == []
    assert list_sums(5, columns=("age",), row_set=0) == ["numbers"]
    assert list_sums(7, columns=("age", "weight"), row_set=0) == []
    assert list_sums(8, columns=("age", "weight"), row_set=0) == ["numbers"]
    assert list_sums(12, "aggregate.table", columns=("age",), row_set=0) == []
    assert list_sums(132) == []  # a third of the cells that were read
    assert list_sums(133) == ["numbers"]


def test_zeros() -> None:
    empty, sums = make_evidence(0, "aggregate.count"), make_evidence(50)
    assert list_rules({"n": 0}, [(empty, [0])]) == []
    assert list_rules({"n": 0}, [(empty, [0])], zeros="refuse") == ["zeros"]
    assert list_rules({"sum": 0}, [(sums, [0, 5.5])], zeros="refuse") == ["zeros"]
    assert list_rules({"sum": 5.5}, [(sums, [0, 5.5])], zeros="refuse") == []
    coefficients = make_evidence(50, "aggregate.declare", parameters=2, is_stated=True)
    assert list_rules([0.0, 5.5], [(coefficients, [0, 5.5])], zeros="refuse") == []


FRACTIONS = [float(i) + 0.125 for i in range(150)]

OVERRIDDEN: dict[str, tuple[object, list[str]]] = {
    "a small number": (2, ["small"]),
    "small numbers": ({"n": [1, 2, 7]}, ["small"]),
    "a cell": (70.25, ["echo"]),
    "all cells": ([60.25 + i for i in range(100)], ["length", "echo"]),
    "as many numbers as rows": (FRACTIONS[:100], ["length"]),
    "as many pairs as rows": ([[number, 0.5] for number in FRACTIONS[:100]], ["length", "numbers"]),
    "a numeric key": ({"table": {"20": 5.5, "70.25": 6.5}}, ["label"]),
    "as many numeric keys as rows": ({str(i + 0.1): 7.7 for i in range(100)}, ["length"]),
    "texts": (["Person 7", "Person 8"], ["text"]),
    "a text as a key": ({"Person 7": 7.7}, ["text"]),
    "many numbers": (FRACTIONS, ["numbers"]),
    "a large number": (1590, []),
}


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_evidence_overrides_the_rules_of_structure(name: str) -> None:
    value, rules = OVERRIDDEN[name]
    assert list_rules(value) == rules
    content = read_content(encode_plain(value).data)
    numbers = list_numbers(content)
    texts = dict.fromkeys(list_texts(content), 50)
    evidence = make_evidence(50, "aggregate.table")
    assert list_rules(value, [(evidence, numbers)], facts={"texts_with_evidence": texts}) == []
    assert list_rules(value, [(evidence, numbers)], facts={"texts_with_evidence": texts}, undeclared="refuse") == []


def test_the_extreme_of_a_column_with_evidence_passes() -> None:
    frame = pd.DataFrame({"cost": [1000 + 7 * i for i in range(100)]})
    assert list_rules({"n": 1693}, frame=frame) == ["extreme"]
    assert list_rules({"n": 1693}, [(make_evidence(50), [1693])], frame=frame) == []


def test_the_values_beside_evidence_are_judged_by_structure() -> None:
    evidence = [(make_evidence(50), [float(i) + 0.125 for i in range(99)])]
    values = [*(float(i) + 0.125 for i in range(99)), 2001.5]
    assert list_rules(values, evidence) == ["length"]
    assert refuse({"sum": 0.125, "mean": 70.25}, evidence)[0][:2] == ("echo", "result['mean']")
    assert refuse([0.125, 1.125, 70.25], evidence)[0].path == "result[2]"
    assert list_rules([0.125, 2, 1.125], evidence) == ["small"]
    assert list_rules({"F": 0.125, "Person 7": 1.125}, evidence) == ["text"]
    assert list_rules({str(i + 0.1): 0.125 for i in range(100)}, evidence) == ["length"]
    pairs = [[float(i) + 0.125, i + 0.5] for i in range(99)]
    assert list_rules([*pairs, [0.125, 7.5]], evidence) == ["length"]


def test_evidence_does_not_override_the_rules_of_form() -> None:
    large, few = 2**60, FRAME.head(2)
    assert list_rules(large, [(make_evidence(50), [large])]) == ["kind"]
    assert list_rules({"sum": 7.7}, [(make_evidence(50), [7.7])], frame=few) == ["rows"]
    assert list_rules({"sum": 7.7}, [(make_evidence(50), [7.7])], bytes=5) == ["bytes"]


def test_evidence_explains_numbers_of_data_that_algotools_does_not_read() -> None:
    assert list_rules({"sum": 7.7, "n": 50}, has_rows=False) == ["unread"]
    assert list_rules({"sum": 7.7, "n": 50}, [(make_evidence(50), [7.7])], has_rows=False) == ["unread"]
    assert list_rules({"sum": 7.7, "n": 50}, [(make_evidence(50), [7.7, 50])], has_rows=False) == []
    assert list_rules({"sum": 7.7}, [(make_evidence(2), [7.7])], has_rows=False) == ["threshold"]
    assert list_rules("mean 7.7", has_rows=False) == ["unread"]
    assert list_rules("mean 7.7", [(make_evidence(50), [7.7])], has_rows=False) == []


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (7.75, "result"),
        ({"sum": 5.5, "mean": 7.75}, "result['mean']"),
        ([5.5, 7.75], "result[1]"),
        ({"n": 0}, "result['n']"),
        ({"7.75": "F"}, "result"),
        ("mean 7.75", "result"),
        ({"table": ["F", "M 7.75"]}, "result['table'][1]"),
        ({"sum 7.75": 5.5}, "result[key 1]"),
        (pd.DataFrame({"sum": [5.5, 7.75]}), "result['sum'][key 2]"),
        (np.array([[5.5, 5.5], [5.5, 7.75]]), "result"),
    ],
    ids=str,
)  # fmt: skip
def test_numbers_without_evidence_are_refused_if_the_owner_requires_it(value: object, path: str) -> None:
    groups = [(make_evidence(50), [5.5, 60.5])]
    assert list_rules(value, groups) == []
    refusals = refuse(value, groups, undeclared="refuse")
    assert [(r.rule, r.path) for r in refusals] == [("undeclared", path)]
    assert [r.rule for r in refuse(value, groups, undeclared="refuse", is_rich=True)] == ["undeclared"]


@pytest.mark.parametrize(
    "value",
    [
        {"sum": 5.5, "n": 100},  # the number of rows
        {"n": 60, "mean": [5.5, None, float("nan")], "all": True, "without": "F"},
        {"60 years": 5.5, "sex": "M"},
        [[5.5], [60.5]],
        {0: 5.5, 1: 60.5},
        pd.Series([5.5, 60.5]),
        pd.Series([5.5, 60.5], [1, 2]),
        "60.5 years",
        {},
    ],
    ids=str,
)
def test_arguments_rows_and_numbers_with_evidence_pass_a_node_that_requires_evidence(value: object) -> None:
    groups = [(make_evidence(50), [5.5, 60.5])]
    assert list_rules(value, groups, undeclared="refuse", arguments={"limit": 60}) == []


def test_a_function_without_records_needs_no_evidence() -> None:
    content = read_content(b"7.75")
    known = find_known({}, FRAME)
    assert judge(content, known, Matches(), Policy(undeclared="refuse")) == []
    empty = Matches(tables=(TableFacts(label="default", rows=0),))
    assert judge(content, known, empty, Policy(undeclared="refuse")) == []


def make_reply(contributions: Mapping[int, object], operation: str = "sum", way: str = "add") -> RoundReply:
    """Return a reply with the contribution to the total in each line."""
    count = len(contributions)
    sites = [CallSite(operation=operation, line=line, module="", path="", loop="") for line in contributions]
    return RoundReply(
        sites=sites,
        ways=[way] * count,
        contributions=list(contributions.values()),
        has_entry_per_row=[False] * count,
        omitted_levels=[0] * count,
    )


def refuse_reply(
    reply: RoundReply, groups: Groups, sets: Sequence[range] = (), request: str = "", **policy: Any
) -> list[Refusal]:
    content = read_content(encode_rich(reply.to_plain()))
    matches = find_matches(FRAME, list_numbers(content), list_texts(content))
    known = find_known({}, FRAME, TEXTS)
    return judge_reply(content, known, add_evidence(matches, groups, sets), Policy(**policy), request)


@K
def test_each_contribution_has_its_own_evidence(k: int) -> None:
    reply = make_reply({6: 70.25, 7: np.array([1.5, 2.5])})
    strong, weak = make_evidence(k, "total.sum"), make_evidence(k - 1, "total.sum")
    policy = {"minimum_cell": k, "minimum_rows": k}
    assert refuse_reply(reply, [(strong, [70.25]), (strong, [1.5, 2.5])], **policy) == []
    (refusal,) = refuse_reply(reply, [(weak, [70.25]), (strong, [1.5, 2.5])], **policy)
    assert (refusal.rule, refusal.path) == ("threshold", "the sum in line 6")
    (refusal,) = refuse_reply(reply, [(strong, [70.25]), (strong, [1.5]), (weak, [2.5])], **policy)
    assert (refusal.rule, refusal.path) == ("threshold", "[1] of the sum in line 7")
    # The first contribution has no evidence, so structure judges it.
    assert [r[:2] for r in refuse_reply(reply, [(strong, [1.5, 2.5])], **policy)] == [("echo", "the sum in line 6")]


def test_two_contributions_of_nearly_equal_records_are_refused() -> None:
    groups = [
        (make_evidence(100, columns=("age",), row_set=0), [4400.5]),
        (make_evidence(99, columns=("age",), row_set=1), [4330.5]),
    ]
    (refusal,) = refuse_reply(make_reply({6: 4400.5, 9: 4330.5}), groups, [range(100), range(1, 100)])
    assert (refusal.rule, refusal.path) == ("difference", "the sum in line 6 and the sum in line 9")


def test_a_bare_contribution_is_undeclared() -> None:
    reply = make_reply({6: 7.75, 8: 100, 9: 5.5}, "add")
    assert refuse_reply(reply, [(make_evidence(50), [5.5])]) == []
    (refusal,) = refuse_reply(reply, [(make_evidence(50), [5.5])], undeclared="refuse")
    assert (refusal.rule, refusal.path) == ("undeclared", "the add in line 6")


def test_the_result_of_a_pooled_function_consists_of_totals() -> None:
    site = CallSite(operation="sum", line=6, module="", path="", loop="")
    history = History(1)
    history.totals += [KnownTotal(site, 7.75), KnownTotal(site, 3.0)]
    request = history.encode()
    weak = [(make_evidence(1), [7.75, 70.25])]

    def list_result(value: object, **policy: Any) -> list[str]:
        reply = RoundReply(is_finished=True, result=value)
        return [refusal.rule for refusal in refuse_reply(reply, weak, request=request, **policy)]

    assert list_result({"sum": 7.75}, undeclared="refuse") == []
    assert list_result({"sum": 8.25}) == []
    assert list_result({"sum": 8.25}, undeclared="refuse") == ["undeclared"]
    assert list_result({"sum": 70.25}) == ["threshold"]


@pytest.mark.parametrize("encode", [lambda value: encode_plain(value).data, encode_rich], ids=["plain", "rich"])
@pytest.mark.parametrize("groups", [1, 1000])
def test_a_large_result_with_evidence_is_judged_fast(encode: Any, groups: int) -> None:
    values = np.random.default_rng(1).random(10**6)
    data, order = encode(values), np.random.default_rng(2).permutation(values)
    parts = np.split(values if groups == 1 else order, groups)
    known, matches = find_known({}, FRAME, TEXTS), find_matches(FRAME, set(), set())
    evidence = make_evidence(50, "aggregate.cross_product", parameters=2)
    matches = add_evidence(matches, [(evidence, part) for part in parts])

    def measure(policy: Policy) -> float:
        content = read_content(data)
        start = time.process_time()
        assert judge(content, known, matches, policy) == []
        return time.process_time() - start

    for policy in (Policy(), Policy(undeclared="refuse")):
        assert any(measure(policy) < 0.6 for _ in range(3))


def test_a_small_result_is_judged_without_numpy() -> None:
    code = """if True:
        import struct, sys
        from algotools.disclosure.gate import Gate
        from algotools.disclosure import _content, rules
        from algotools.disclosure.facts import *
        from algotools.disclosure.policy import Policy
        sketches = tuple(struct.pack("<64I64Q", *[n] * 128) for n in (1, 2))
        numbers = [
            NumbersWithEvidence(
                evidence=Evidence(operation="aggregate.sum", records=50, columns=("a",), row_set=i),
                numbers=struct.pack("<d", value),
            )
            for i, value in enumerate((5.5, 6.5))
        ]
        tables = (TableFacts(label="default", rows=50),)
        matches = Matches(tables=tables, evidence=tuple(numbers), row_sets=sketches)
        content = _content.read_content(b'{"sum": 5.5, "n": 6.5}')
        assert rules.judge(content, Known(texts=frozenset({"sum", "n"})), matches, Policy(undeclared="refuse")) == []
        assert "numpy" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
