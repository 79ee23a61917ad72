"""Judge a case of the corpus with the structural rules, at one node and with one policy."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec
import pandas as pd

from algotools.declare.annotations import COLUMN
from algotools.disclosure._content import Content, read_content
from algotools.disclosure.facts import Known, Matches
from algotools.disclosure.policy import Policy
from algotools.disclosure.rules import Refusal, judge
from algotools.disclosure.tables import ReadTables
from algotools.payload import encode_plain, encode_rich

from ..conftest import ALGORITHMS
from .cases import FORMS, Arguments, Case, call
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
    data = encode_rich(value) if is_rich else encode_plain(value).data
    specification = case.function.specification
    (parameter,) = specification.data
    columns = parameter.columns.select(specification.find_marked(specification.validate([], dict(arguments)), COLUMN))
    if columns is not None:
        frame = frame[[column for column in frame if column in columns]]
    known = find_known(arguments, frame, case.function.collect_literals())
    matches = match_result(data, frame, parameter.form, known, list_source_texts(case.algorithm))
    return Run(read_content(data), known, matches)


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


def match_result(data: bytes, frame: pd.DataFrame, form: str, known: Known, source: tuple[str, ...]) -> Matches:
    """Return the facts that a worker reports about an encoded result of a function that read one table."""
    tables = ReadTables()
    tables.add("default", form, FORMS[form](frame) if form in FORMS else frame)
    return tables.match_result(data, known.texts, lambda: source)


def find_matches(frame: pd.DataFrame, numbers: set[float], texts: set[str], *, has_rows: bool = True) -> Matches:
    """Return the facts about one table, the numbers and the texts."""
    tables = ReadTables()
    tables.add("default", "pandas" if has_rows else "path", frame)
    matches = msgspec.structs.replace(tables.match_numbers(numbers), tables=tables.describe(with_lazy=True))
    return msgspec.structs.replace(matches, levels=tables._count_levels(texts, matches))


@functools.cache
def list_source_texts(algorithm: str) -> tuple[str, ...]:
    """Return the texts in the source of an algorithm of tests/algorithms."""
    files = (ALGORITHMS / algorithm).rglob("*.py")
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    return tuple({node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)})
