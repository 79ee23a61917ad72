"""Judge a case of the corpus with the structural rules, at one node and with one policy."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pandas as pd

from algotools.declare.annotations import COLUMN
from algotools.disclosure._content import Content, list_numbers, list_texts, read_content
from algotools.disclosure.facts import Known, LevelFacts, Matches, TableFacts
from algotools.disclosure.policy import Policy
from algotools.disclosure.rules import Refusal, judge
from algotools.payload import encode_plain, encode_rich

from ..conftest import ALGORITHMS
from .cases import Arguments, Case, call
from .claims import walk
from .nodes import read_table


class Run(NamedTuple):
    """One task of a case at one node: what the worker reports to the supervisor."""

    content: Content
    known: Known
    matches: Matches

    def judge(self, k: int = 3, **settings: object) -> list[Refusal]:
        policy = Policy(minimum_rows=k, minimum_cell=k, **settings)  # type: ignore[arg-type]
        return judge(self.content, self.known, self.matches, policy)


def run_case(case: Case, table: str, *, is_rich: bool = False) -> list[Run]:
    """Run the tasks of a case on one table."""
    frame = read_table(table)
    return [make_run(case, frame, arguments, is_rich=is_rich) for arguments in case.list_tasks(table)]


def make_run(case: Case, frame: pd.DataFrame, arguments: Arguments, *, is_rich: bool = False) -> Run:
    value = call(case.function, frame.copy(), arguments)
    content = read_content(encode_rich(value) if is_rich else encode_plain(value).data)
    (data,) = case.function.specification.data
    values = case.function.specification.validate([], dict(arguments))
    columns = data.columns.select(case.function.specification.find_marked(values, COLUMN))
    if columns is not None:
        frame = frame[[column for column in frame if column in columns]]
    known = find_known(arguments, frame, case.function.collect_literals())
    has_rows = data.form not in {"path", "database"}
    matches = find_matches(frame, list_numbers(content), list_texts(content), has_rows=has_rows)
    return Run(content, known, Matches(**{**_to_dict(matches), "texts": list_source_texts(case.algorithm)}))


def _to_dict(matches: Matches) -> dict[str, object]:
    return {name: getattr(matches, name) for name in matches.__struct_fields__}


def find_known(arguments: Arguments, frame: pd.DataFrame, literals: frozenset[str] = frozenset()) -> Known:
    leaves = [leaf for _, leaf in walk(dict(arguments))]
    texts = {leaf for leaf in leaves if isinstance(leaf, str)}
    numbers = {float(leaf) for leaf in leaves if isinstance(leaf, (int, float)) and not isinstance(leaf, bool)}
    lengths = frozenset(len(part) for part in _list_lists(dict(arguments)))
    dtypes = {str(dtype) for dtype in frame.dtypes}
    return Known(
        texts=frozenset(texts | {*map(str, frame.columns)} | dtypes | literals),
        numbers=frozenset(numbers),
        lengths=lengths,
    )


def _list_lists(value: object) -> Iterator[list[object]]:
    if isinstance(value, list):
        yield value
    for part in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _list_lists(part)


def find_matches(frame: pd.DataFrame, numbers: set[float], texts: set[str], *, has_rows: bool = True) -> Matches:
    """Return the facts about one table, the numbers and the texts."""
    cells: dict[float, int] = {}
    extremes: dict[float, int] = {}
    levels = []
    for column in frame:
        counts = frame[column].dropna().value_counts()
        if pd.api.types.is_numeric_dtype(frame[column]):
            by_number = dict(zip(map(float, counts.index), counts.tolist(), strict=True))
            for number in numbers & by_number.keys():
                cells[number] = max(cells.get(number, 0), by_number[number])
            for number in {min(by_number), max(by_number)} & numbers if by_number else ():
                extremes[number] = min(extremes.get(number, len(frame)), by_number[number])
        else:
            by_text = dict(zip(map(str, counts.index), counts.tolist(), strict=True))
            if records := {text: by_text[text] for text in texts & by_text.keys()}:
                levels.append(
                    LevelFacts(column=str(column), level_count=len(by_text), row_count=len(frame), records=records)
                )
    table = TableFacts(
        label="default",
        rows=len(frame) if has_rows else None,
        columns=tuple(map(str, frame.columns)),
        dtypes=tuple({str(dtype) for dtype in frame.dtypes}),
    )
    return Matches(
        tables=(table,),
        numbers=cells if has_rows else {},
        extremes=extremes if has_rows else {},
        levels=tuple(levels) if has_rows else (),
    )


@functools.cache
def list_source_texts(algorithm: str) -> tuple[str, ...]:
    """Return the texts in the source of an algorithm of tests/algorithms."""
    files = (ALGORITHMS / algorithm).rglob("*.py")
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    return tuple({node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)})
