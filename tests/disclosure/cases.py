"""The cases of the corpus: a function of an algorithm, the arguments of its tasks, and the nodes at which it runs."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa

from algotools import Federation
from algotools.declare import locate
from algotools.declare.annotations import COLUMN
from algotools.declare.functions import Algorithm, RegisteredFunction
from algotools.errors import RunsFailed
from algotools.payload import encode_plain

from ..conftest import ALGORITHMS
from .claims import Claim, Reveals, leaks
from .nodes import read_other_table, read_table

Leak = Literal["result", "several tasks", "log", "progress", "error"]
Arguments = Mapping[str, object]
MakeArguments = Callable[[pd.DataFrame], Arguments | list[Arguments]]
"""Arguments of a researcher who knows something about the node: the id of one patient, for instance."""

FORMS: dict[str, Callable[[pd.DataFrame], object]] = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "lazy": lambda frame: pl.from_pandas(frame).lazy(),
    "arrow": pa.Table.from_pandas,
    "duckdb": lambda frame: duckdb.connect().from_df(frame),
}


@functools.cache
def load(algorithm: str) -> Algorithm:
    """Import an algorithm of tests/algorithms."""
    return locate.load(locate.locate(ALGORITHMS / algorithm))


def is_kept_back(name: str) -> bool:
    """Whether the case is in the third that is not looked at while the rules are tuned."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % 3 == 0


@dataclass(kw_only=True)
class Case:
    """A function, its arguments and its nodes.

    ``arguments`` is a mapping, a list of mappings for several tasks, or a function of the node's table.
    """

    name: str
    tables: Sequence[str]
    method: str = ""
    arguments: Arguments | list[Arguments] | MakeArguments = field(default_factory=dict)
    algorithm: str = ""

    @property
    def function(self) -> RegisteredFunction:
        return load(self.algorithm).functions[self.method or self.name]

    @property
    def kept_back(self) -> bool:
        return is_kept_back(self.name)

    def list_tasks(self, table: str) -> list[Arguments]:
        """Return the arguments of each task for one node."""
        arguments = self.arguments(read_table(table)) if callable(self.arguments) else self.arguments
        return arguments if isinstance(arguments, list) else [arguments]

    def run(self, table: str) -> list[object]:
        """Run the tasks on one table; return what the function returned for each."""
        frame = read_table(table)
        return [call(self.function, frame, arguments) for arguments in self.list_tasks(table)]

    def read(self, table: str) -> list[object]:
        """Run the tasks on one table; return the results that a researcher reads."""
        return [json.loads(encode_plain(value).data) for value in self.run(table)]

    def read_log(self, federation: Federation, table: str) -> str:
        """Run the first task at the node with this table; return the log of the run, which may fail."""
        with contextlib.suppress(RunsFailed):
            federation.run(self.function, at=table, timeout=None, arguments=self.list_tasks(table)[0])
        return federation.tasks()[-1].runs[0].log


@dataclass(kw_only=True)
class Cheat(Case):
    """A function that must be refused, or whose message must be withheld.

    ``reveals`` makes the claims of a reader. The reader has the results or, for the channels, the log of the run.
    ``closed`` is the reason why a channel leaks nothing already, before there is a gate.
    """

    group: str = ""
    reveals: Reveals
    leak: Leak = "result"
    closed: str = ""
    algorithm: str = "cheats"

    def list_claims(self, table: str) -> list[Claim]:
        """Return the claims of a reader of the results of the tasks."""
        results, tasks = self.read(table), self.list_tasks(table)
        several = self.leak == "several tasks"
        return list(self.reveals(results, tasks) if several else self.reveals(results[0], tasks[0]))

    def leaks_on(self, table: str) -> bool:
        """Whether the results of the tasks disclose fewer than 3 persons of this table."""
        return is_leak(self.list_claims(table), table)


@dataclass(kw_only=True)
class Honest(Case):
    """A function that must pass.

    ``rare_cells`` is the reason why its results contain cells of fewer than 3 rows, and ``small_numbers`` why they
    contain the numbers 1 and 2, which look like counts. ``right_refusals`` maps a table to the reason why a refusal of
    its result is right. ``log`` has the messages of a function that must reach the researcher.
    """

    rare_cells: str = ""
    small_numbers: str = ""
    right_refusals: Mapping[str, str] = field(default_factory=dict)
    log: Sequence[str] = ()
    algorithm: str = "honest"


def is_leak(claims: list[Claim], table: str) -> bool:
    """Whether the claims hold, and come from the result.

    A claim that needs no result also holds for other persons: "somebody is older than 50".
    """
    return leaks(claims, read_table(table)) and not leaks(claims, read_other_table(table))


def make_federation(cases: Sequence[Case], policy: str = "off") -> Federation:
    """Return a federation with a node for each table of the cases. Organizations have the names of the tables."""
    tables = sorted({table for case in cases for table in case.tables})
    return Federation(
        {table: read_table(table) for table in tables}, algorithm=[case.function for case in cases], policy=policy
    )


def call(function: RegisteredFunction, frame: pd.DataFrame, arguments: Arguments) -> object:
    """Call a function with validated arguments, and with the columns and the form of data that it requests."""
    specification = function.specification
    values = specification.validate([], dict(arguments))
    (data,) = specification.data
    columns = data.columns.select(specification.find_marked(values, COLUMN))
    if columns is not None:
        frame = frame[[column for column in frame if column in columns]]
    if data.form == "path":
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "data.csv"
            frame.to_csv(file, index=False)
            return function(**values, **{data.name: file})
    return function(**values, **{data.name: FORMS[data.form](frame)})
