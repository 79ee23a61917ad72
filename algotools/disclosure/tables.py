"""The tables that a function reads, as the worker sees them: facts before the call, and matches of its result."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from algotools.disclosure.facts import LevelFacts, Matches, TableFacts, is_valid

if TYPE_CHECKING:
    from algotools.disclosure._cells import Cells
    from algotools.disclosure.register import Register
    from algotools.disclosure.row_samples import RowSamples


def _select_valid(counts: dict[str, int]) -> dict[str, int]:
    return {text: records for text, records in counts.items() if is_valid(text)}


def _list_names(tables: Iterable[TableFacts]) -> set[str]:
    """Return the names of the columns and of their types."""
    return {name for table in tables for name in (*table.columns, *table.dtypes)}


class _ReadTable(NamedTuple):
    cells: Cells
    form: str
    value: object
    person: str | None
    keeps_person: bool
    is_lazy: bool
    facts: TableFacts
    """The facts before the call of the function. The rows of a lazy table are counted afterwards."""


def _count(cells: Cells, facts: TableFacts) -> TableFacts:
    """Return the facts with the number of rows and persons."""
    return msgspec.structs.replace(facts, rows=cells.count_rows(), persons=cells.count_persons())


def _find_lazy_class(form: str) -> Callable[[object, str | None], Cells]:
    from algotools.disclosure import _lazy_cells

    return _lazy_cells.MAKE_LAZY_CELLS[form]


class ReadTables:
    """The tables of one run."""

    def __init__(self) -> None:
        self._tables: list[_ReadTable] = []

    def add(
        self, label: str, form: str, value: object, person: str | None = None, *, keeps_person: bool = True
    ) -> object:
        """Remember a table, and return the object that the function receives.

        Args:
            label: the label of the database.
            form: the form of the data.
            value: the data. A stream is replaced by one that counts the rows which the function reads.
            person: the column with the person of a row; None if each row is a record.
            keeps_person: whether the function receives the column of persons.
        """
        from algotools.disclosure import _cells  # here and below, because numpy takes long to import

        make = _cells.MAKE_CELLS.get(form)
        cells = (make or _find_lazy_class(form))(value, person)
        columns = cells.list_columns()
        facts = TableFacts(
            label=label,
            columns=tuple(name for name, _ in columns if is_valid(name)),
            dtypes=tuple(dict.fromkeys(dtype for _, dtype in columns)),
        )
        is_lazy = make is None
        facts = facts if is_lazy else _count(cells, facts)
        self._tables.append(_ReadTable(cells, form, value, person, keeps_person, is_lazy, facts))
        return cells.get_value(drop_person=not keeps_person)

    def list_cells(self) -> list[Cells]:
        """Return the cells of each table."""
        return [table.cells for table in self._tables]

    def make_samples(
        self, names: Sequence[tuple[str, str | None]], most_cells: int, stack: ExitStack
    ) -> RowSamples[ReadTables]:
        """Return the tables for runs on other rows; see ``RowSamples``.

        *names* are the parameter of each table, and its key if the parameter is a dict of tables.
        """
        from algotools.disclosure.row_samples import RowSamples, SampledTable

        tables = [
            SampledTable(
                name, key, table.facts.label, table.form, table.value, table.cells, table.person, table.keeps_person
            )
            for (name, key), table in zip(names, self._tables, strict=True)
        ]
        return RowSamples(tables, most_cells, stack, ReadTables)

    def describe(self, *, with_lazy: bool) -> tuple[TableFacts, ...]:
        """Return the facts about the tables. The rows of lazy tables are counted only with *with_lazy*."""
        return tuple(
            _count(table.cells, table.facts) if with_lazy and table.is_lazy else table.facts for table in self._tables
        )

    def match_result(
        self,
        data: bytes,
        known_texts: Collection[str],
        list_source_texts: Callable[[], Iterable[str]],
        register: Register | None = None,
        *,
        is_pooled: bool = False,
    ) -> Matches:
        """Return the values of an encoded result that are cells.

        Args:
            data: the encoded result.
            known_texts: texts that the researcher knows; they are not searched.
            list_source_texts: returns the texts in the source of the algorithm's package. Called only for unknown
                texts.
            register: the numbers and texts that reductions have returned; by default, none.
            is_pooled: whether the result is the reply of a pooled function, of which only some parts are judged.
        """
        from algotools.disclosure import _content

        content = _content.read_content(data)
        if is_pooled:
            from algotools.disclosure.replies import select_parts

            content = select_parts(content)
        tables = self.describe(with_lazy=True)
        unknown_texts = _content.list_texts(content) - _list_names(tables) - set(known_texts)
        source_texts = list_source_texts() if unknown_texts else ()
        numbers = _content.list_numbers(content)
        evidence = Matches() if register is None else register.collect(numbers, _content.list_texts(content))
        numbers |= {-number for number in numbers if number % 1}  # a negated cell, as the result of a minimization
        matches = msgspec.structs.replace(self.match_numbers(numbers, source_texts), tables=tables)
        return msgspec.structs.replace(
            matches,
            levels=self._count_levels(unknown_texts, matches),
            evidence=evidence.evidence,
            row_sets=evidence.row_sets,
            summand_sets=evidence.summand_sets,
            texts_with_evidence=evidence.texts_with_evidence,
            hidden_cells=evidence.hidden_cells,
            withheld=evidence.withheld,
        )

    def match_line(self, line: str, source_texts: Collection[str]) -> Matches:
        """Return the numbers and texts of a message that are cells. The rows of lazy tables are not counted.

        Args:
            line: the message.
            source_texts: the texts in the source of the algorithm's package.
        """
        from algotools.disclosure import messages

        matches = self.match_numbers(messages.list_line_numbers(line), source_texts)
        return msgspec.structs.replace(matches, levels=self._count_levels(messages.list_line_texts(line), matches))

    def _count_levels(self, texts: Collection[str], matches: Matches) -> tuple[LevelFacts, ...]:
        """Return the columns that contain texts of unknown origin."""
        unknown_texts = set(texts) - _list_names(matches.tables) - set(matches.texts)
        if not unknown_texts:
            return ()
        return tuple(
            LevelFacts(column=name, level_count=level_count, row_count=facts.rows or 0, records=_select_valid(counts))
            for table, facts in zip(self._tables, matches.tables, strict=True)
            for name, level_count, counts in table.cells.count_texts(unknown_texts)
        )

    def match_numbers(self, numbers: Collection[float], source_texts: Iterable[str] = ()) -> Matches:
        """Return the numbers that are cells. The rows of lazy tables are not counted."""
        matches: dict[float, int] = {}
        extremes: dict[float, int] = {}
        for table in self._tables if numbers else ():
            from algotools.disclosure import _cells

            own_matches, own_extremes = _cells.find_matches(table.cells, numbers)
            for merged, own_counts in ((matches, own_matches), (extremes, own_extremes)):
                for number, records in own_counts.items():
                    merged[number] = max(merged.get(number, 0), records)
        return Matches(
            tables=self.describe(with_lazy=False),
            numbers=matches,
            extremes=extremes,
            texts=tuple(filter(is_valid, source_texts)),
        )
