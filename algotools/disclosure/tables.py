"""The tables that a function reads, as the worker sees them: facts before the call, and matches of its result."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

import msgspec

from algotools.disclosure.facts import LevelFacts, Matches, TableFacts, is_valid

if TYPE_CHECKING:
    from algotools.disclosure._cells import Cells


def _select_valid(counts: dict[str, int]) -> dict[str, int]:
    return {text: records for text, records in counts.items() if is_valid(text)}


def _find_lazy_class(form: str) -> Callable[[object, str | None], Cells]:
    from algotools.disclosure import _lazy_cells

    return _lazy_cells.MAKE_LAZY_CELLS[form]


class ReadTables:
    """The tables of one run."""

    def __init__(self) -> None:
        self._cells: list[tuple[str, Cells, bool]] = []

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
        self._cells.append((label, cells, make is None))
        return cells.get_value(drop_person=not keeps_person)

    def describe(self, *, with_lazy: bool) -> tuple[TableFacts, ...]:
        """Return the facts about the tables. The rows of lazy tables are counted only with *with_lazy*."""
        tables = []
        for label, cells, is_lazy in self._cells:
            columns = cells.list_columns()
            is_counted = with_lazy or not is_lazy
            facts = TableFacts(
                label=label,
                rows=cells.count_rows() if is_counted else None,
                persons=cells.count_persons() if is_counted else None,
                columns=tuple(name for name, _ in columns if is_valid(name)),
                dtypes=tuple(dict.fromkeys(dtype for _, dtype in columns)),
            )
            tables.append(facts)
        return tuple(tables)

    def match_result(
        self,
        data: bytes,
        known_texts: Collection[str],
        list_source_texts: Callable[[], Iterable[str]],
        *,
        is_pooled: bool = False,
    ) -> Matches:
        """Return the values of an encoded result that are cells.

        Args:
            data: the encoded result.
            known_texts: texts that the researcher knows; they are not searched.
            list_source_texts: returns the texts in the source of the algorithm's package. Called only for unknown
                texts.
            is_pooled: whether the result is the reply of a pooled function, of which only some parts are judged.
        """
        from algotools.disclosure import _content

        content = _content.read_content(data)
        if is_pooled:
            from algotools.disclosure.replies import select_parts

            content = select_parts(content)
        tables = self.describe(with_lazy=True)
        names = {name for table in tables for name in (*table.columns, *table.dtypes)}
        unknown_texts = _content.list_texts(content) - names - set(known_texts)
        source_texts = tuple(filter(is_valid, list_source_texts())) if unknown_texts else ()
        unknown_texts.difference_update(source_texts)
        numbers = _content.list_numbers(content)
        numbers |= {-number for number in numbers if number % 1}  # a negated cell, as the result of a minimization
        matches = self.match_numbers(numbers, source_texts)
        matches = msgspec.structs.replace(matches, tables=tables)
        return msgspec.structs.replace(matches, levels=self._count_levels(unknown_texts, matches))

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
        names = {name for table in matches.tables for name in (*table.columns, *table.dtypes)}
        unknown_texts = set(texts) - names - set(matches.texts)
        if not unknown_texts:
            return ()
        return tuple(
            LevelFacts(column=name, level_count=level_count, row_count=table.rows or 0, records=_select_valid(counts))
            for (_, cells, _), table in zip(self._cells, matches.tables, strict=True)
            for name, level_count, counts in cells.count_texts(unknown_texts)
        )

    def match_numbers(self, numbers: Collection[float], source_texts: Iterable[str] = ()) -> Matches:
        """Return the numbers that are cells. The rows of lazy tables are not counted."""
        matches: dict[float, int] = {}
        extremes: dict[float, int] = {}
        for _, cells, _ in self._cells if numbers else ():
            from algotools.disclosure import _cells

            own_matches, own_extremes = _cells.find_matches(cells, numbers)
            for merged, own in ((matches, own_matches), (extremes, own_extremes)):
                for number, records in own.items():
                    merged[number] = max(merged.get(number, 0), records)
        return Matches(
            tables=self.describe(with_lazy=False),
            numbers=matches,
            extremes=extremes,
            texts=tuple(filter(is_valid, source_texts)),
        )
