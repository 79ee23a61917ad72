"""Run a pooled function in rounds over tables, without a platform, and count the rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from algotools.declare.federated import PooledFunction
from algotools.federation._prove import _Bench
from algotools.runtime.logs import use_console


class Outcome(NamedTuple):
    """Result, number of rounds, and the log lines."""

    result: Any
    rounds: int
    lines: list[str]


class CountingBench(_Bench):
    """The nodes of ``prove``, which count how often each of them runs."""

    runs = 0

    def _run(self, *arguments: Any) -> Any:
        self.runs += 1
        return super()._run(*arguments)


def run_at_nodes(function: Callable[..., Any], tables: Sequence[Any], **arguments: Any) -> Outcome:
    """Return the outcome of a function over nodes with one table each, or with a dict of tables."""
    assert isinstance(function, PooledFunction)
    name = function.declared.data[0].name
    nodes = [table if isinstance(table, dict) else {name: table} for table in tables]
    lines: list[str] = []
    with CountingBench(function, arguments) as bench, use_console(lines.append):
        result = bench.compute(nodes)
        return Outcome(result, bench.runs // len(nodes), lines)
