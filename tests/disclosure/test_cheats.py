"""Every cheat leaks: a reader of its results, or of its log, can make true claims about fewer than 3 persons."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from algotools import Federation
from algotools.errors import RunsFailed
from algotools.payload import decode_rich, encode_rich

from .cases import Cheat, load
from .claims import leaks
from .corpus import CHEATS, MODULES
from .nodes import read_table

OF_RESULTS = [cheat for cheat in CHEATS if cheat.leak in {"result", "several tasks"}]
OF_CHANNELS = [cheat for cheat in CHEATS if cheat.leak not in {"result", "several tasks"}]

FEWEST_OF_GROUP = {
    "rows": 14,
    "texts": 12,
    "encoded": 12,
    "small groups": 14,
    "extremes": 12,
    "tables": 9,
    "survival": 5,
    "models": 16,
    "differencing": 8,
    "channels": 12,
}


def names_of(cases: list[Cheat]) -> list[str]:
    return [case.name for case in cases]


@pytest.mark.parametrize("cheat", OF_RESULTS, ids=names_of(OF_RESULTS))
def test_a_result_discloses_fewer_than_three_persons(cheat: Cheat) -> None:
    assert any(cheat.leaks_on(table) for table in cheat.tables)


@pytest.mark.parametrize("cheat", OF_RESULTS, ids=names_of(OF_RESULTS))
def test_a_result_also_travels_to_a_master(cheat: Cheat) -> None:
    assert decode_rich(encode_rich(cheat.run(cheat.tables[0]))) is not None


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    tables = {table for cheat in OF_CHANNELS for table in cheat.tables}
    functions = [load("cheats").functions[cheat.method or cheat.name] for cheat in OF_CHANNELS]
    with Federation({table: read_table(table) for table in sorted(tables)}, algorithm=functions) as federation:
        yield federation


def read_log(federation: Federation, cheat: Cheat, table: str) -> str:
    """Run a task at one node, and return the run's log."""
    try:
        federation.run(cheat.function, at=table, timeout=None, arguments=cheat.list_tasks(table)[0])
    except RunsFailed:
        assert cheat.leak == "error"
    return federation.tasks()[-1].runs[0].log


@pytest.mark.parametrize("cheat", OF_CHANNELS, ids=names_of(OF_CHANNELS))
def test_a_log_discloses_fewer_than_three_persons(cheat: Cheat, federation: Federation) -> None:
    found = []
    for table in cheat.tables:
        log = read_log(federation, cheat, table)
        found.append(leaks(cheat.reveals(log, cheat.list_tasks(table)[0]), read_table(table)))
    assert any(found) is not bool(cheat.closed)


def test_a_task_through_the_federation_gives_the_same_result() -> None:
    cheat = next(cheat for cheat in CHEATS if cheat.name == "means_by_group")
    with Federation([read_table("patients_21")], algorithm=[cheat.function]) as federation:
        (result,) = federation.run(cheat.function, arguments=cheat.list_tasks("patients_21")[0])
    assert result == json.loads(json.dumps(cheat.read("patients_21")[0]))


def test_each_group_has_enough_cheats() -> None:
    counts = Counter(cheat.group for cheat in CHEATS)
    assert list(counts) == list(MODULES)
    assert all(counts[group] >= fewest for group, fewest in FEWEST_OF_GROUP.items())
    assert sum(cheat.leak == "result" for cheat in CHEATS) >= 105


def test_every_function_is_a_case() -> None:
    assert {cheat.method or cheat.name for cheat in CHEATS} == load("cheats").functions.keys()
