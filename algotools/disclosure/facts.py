"""Facts that the worker reports to the supervisor: the tables that a function reads, and matches of its result.

The supervisor has no data. The worker has no policy, so each fact is independent of the policy's limits.
"""

from __future__ import annotations

from typing import Literal, Union

import msgspec

from algotools.task import Role, Step

SmallCells = Literal["suppress", "round", "refuse"]
"""What happens to cells of few records: they are hidden, rounded, or the result is refused."""


def is_valid(text: str) -> bool:
    """Return whether a text is valid Unicode. A lone surrogate cannot be sent to the supervisor."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


class TableFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about a table that a function reads."""

    label: str
    """The label of the database."""
    rows: Union[int, None] = None
    """Number of rows; None if the number is unknown, as for a path."""
    persons: Union[int, None] = None
    """Number of distinct persons, if the policy names the column with the person of a row; otherwise None."""
    columns: tuple[str, ...] = ()
    """The columns that the function receives."""
    dtypes: tuple[str, ...] = ()
    """Names of the columns' types, each once."""

    @property
    def records(self) -> int | None:
        """Number of records: persons if they are known, otherwise rows."""
        return self.rows if self.persons is None else self.persons


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """The function that a task calls, and the parts of the node that it reads; known before any data is read."""

    role: Role = "rpc"
    step: Step = "compute"
    is_pooled: bool = False
    """Whether the result is a node's reply in a round of a pooled function."""
    standalone: bool = True
    """Whether a researcher may call the function; otherwise only a master of the same image."""
    masters: tuple[str, ...] = ()
    """The methods of the masters that run a function that is not standalone."""
    minimum_rows: Union[int, None] = None
    """The fewest rows that the author requires; never looser than the policy."""
    databases: tuple[str, ...] = ()
    """The labels of the databases that the function reads."""
    columns: tuple[str, ...] = ()
    """The columns that arguments and annotations name."""
    texts: tuple[str, ...] = ()
    """The texts in the function's source, and the names of its parameters."""
    numbers: tuple[float, ...] = ()
    """The numbers in the function's source, such as the edges of a histogram."""


class Permission(msgspec.Struct, frozen=True, kw_only=True):
    """The policy's decisions that the worker needs to read the data."""

    persons: dict[str, str] = {}
    """Label of a database -> the column with the person of a row."""
    minimum_records: int = 3
    """The records that a level needs to be listed by ``Aggregator.levels``."""
    is_judged: bool = False
    """Whether the result and the messages are judged, so that the worker must report facts."""
    signs_subtasks: bool = False
    """Whether the supervisor signs the subtasks of a master."""
    small_cells: SmallCells = "suppress"
    """What a reduction does with the cells of a table that represent fewer records."""
    round_base: int = 5
    """The base to which cells are rounded, with ``small_cells="round"``."""
    sketch_key: bytes = b""
    """The key of the sketches of row sets: that of the ledger, or one of this run alone."""
    probe_groups: int = 0
    """The random groups of rows for probing; 0 if the function is not probed."""
    probe_cells: int = 1_000_000
    """The most cells of the tables that are read for probing."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about the records behind numbers of a result. A reduction of ``aggregate`` or a total collects them."""

    operation: str
    """The reduction, as the author calls it: ``aggregate.sum``, ``total.count``."""
    records: int
    """Number of records behind each of the numbers."""
    parameters: int = 0
    """Numbers of a model that are fitted to the records together, such as columns; 0 for other reductions."""
    largest_share: Union[float, None] = None
    """The largest share that one record has in the sum of the absolute values; None for other reductions."""
    two_largest_share: Union[float, None] = None
    """The largest share that two records have together."""
    columns: tuple[str, ...] = ()
    """The columns that are reduced. Only row sets of the same columns are compared."""
    row_set: Union[int, None] = None
    """Position in ``Matches.row_sets``; None if the rows are unknown, as for an array without an index."""
    summand_set: Union[int, None] = None
    """Position in ``Matches.summand_sets``; None if the number is no sum of values."""
    is_stated: bool = False
    """Whether the author has stated the records, and no reduction has counted them."""


class NumbersWithEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of the result that have the same evidence."""

    evidence: Evidence
    numbers: bytes
    """The numbers as float64 in little-endian order."""


class HiddenCells(msgspec.Struct, frozen=True, kw_only=True):
    """The hidden cells of a row, a column or the whole of a table. A total over the same rows would reveal them."""

    row_set: int
    """The rows of all cells, hidden or not; the position in ``Matches.row_sets``."""
    cells: int
    """Number of hidden cells."""
    records: int
    """Number of records in the hidden cells together."""
    operation: str
    """The reduction of the cells. Hidden counts are revealed by another count, and hidden sums by another sum."""
    columns: tuple[str, ...] = ()
    """The columns that are reduced."""


class LevelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Texts of a result that are values of a column."""

    column: str
    level_count: int
    """Number of distinct values of the column."""
    row_count: int
    """Number of rows of the column's table."""
    records: dict[str, int]
    """Text -> number of records that have the text in the column."""


class ProbedValue(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How a value of the result changes if the function runs again."""

    groups: int = 0
    """Number of groups of records without which the value is different."""
    share: float = 0.0
    """The share that the two strongest groups have in all changes; 0 for a text or a boolean."""
    changes_with_order: bool = False
    """Whether the value depends on the order of rows."""
    pair: int = 0
    """The fewest groups by which the changes differ from those of another number; 0 if no number changes alike."""


class ProbeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The runs of the function on other rows, and the changes of its result."""

    obstacle: Literal["", "cells", "values", "client"] = ""
    """Why there were no runs: too many cells, too many values in the result, or a client, which creates tasks."""
    size: int = 0
    """The number of cells or values in this case."""
    groups: int = 0
    """Number of groups of records that were left out, each in one run."""
    usable_groups: int = 0
    """Number of these runs that returned a result."""
    values: tuple[ProbedValue, ...] = ()
    """The values in the order of ``probes.list_blocks``."""
    fingerprints: tuple[bytes, ...] = ()
    """The fingerprints of numbers, for the ledger; empty at a node without a ledger."""


class Matches(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about a result, which the worker collects after the function has returned."""

    tables: tuple[TableFacts, ...] = ()
    numbers: dict[float, int] = {}
    """Number of the result that is a cell -> number of records that have it; the largest number over the columns."""
    extremes: dict[float, int] = {}
    """Number of the result that is the smallest or the largest value of a column -> number of records that have it."""
    levels: tuple[LevelFacts, ...] = ()
    """The columns that contain texts of the result."""
    texts: tuple[str, ...] = ()
    """The texts in the source of the algorithm's package; only if the result has texts of unknown origin."""
    evidence: tuple[NumbersWithEvidence, ...] = ()
    """The numbers of the result that a reduction has returned. A number can occur several times."""
    row_sets: tuple[bytes, ...] = ()
    """The sketches of the sets of rows behind the numbers, each once."""
    summand_sets: tuple[bytes, ...] = ()
    """The sketches of the summands of sums: pairs of a record and its value that is not 0."""
    texts_with_evidence: dict[str, int] = {}
    """Text of the result that a reduction has returned as a level or label -> number of its records."""
    hidden_cells: tuple[HiddenCells, ...] = ()
    withheld: int = 0
    """Number of cells that reductions have hidden or rounded, because they have few records."""
    probes: Union[ProbeFacts, None] = None
    """The changes of the result in further runs; None if the function was not probed."""
    notes: tuple[str, ...] = ()
    """Lines for the log that name positions in the result, such as those of NaN. They leave only with the result."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Values that the researcher knows before the task runs, so that a result may contain them."""

    texts: frozenset[str] = frozenset()
    """Texts in the source and in the task's arguments, labels of databases, and names of columns and their types."""
    numbers: frozenset[float] = frozenset()
    """Numbers in the task's arguments."""
    source_numbers: frozenset[float] = frozenset()
    """Numbers in the function's source. They need no evidence. Other rules judge them, because they may be counts."""
    lengths: frozenset[int] = frozenset()
    """Lengths of lists in the task's arguments."""
