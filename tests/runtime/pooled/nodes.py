"""Run a pooled function in rounds over tables, without a platform, and count the rounds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from algotools.declare.federated import REQUEST, RUN, PooledFunction
from algotools.federation._prove import _Bench
from algotools.payload import decode_rich, encode_rich
from algotools.runtime.logs import use_console
from algotools.runtime.pooled._history import History, RoundReply
from algotools.runtime.pooled.rounds import NodeReply, compute, perform_rpc
from algotools.task import RunInfo


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
    tables_by_name = [table if isinstance(table, dict) else {name: table} for table in tables]
    nodes = [{(name, None): table for name, table in named.items()} for named in tables_by_name]
    lines: list[str] = []
    with CountingBench(function, arguments, {}) as bench, use_console(lines.append):
        result = bench.compute(nodes)
        return Outcome(result, bench.runs // len(nodes), lines)


def run_directly(
    function: PooledFunction, tables: Sequence[Any], folder: Path, *, minimum_records: int = 1, **arguments: Any
) -> Outcome:
    """Return the outcome without encoding tables, which is faster: for tests with many functions."""
    lines: list[str] = []
    runs: list[int] = []
    name = function.declared.data[0].name
    folders = [Path(tempfile.mkdtemp(dir=folder)) for _ in tables]

    def ask(history: History) -> list[NodeReply]:
        replies = []
        for i, table in enumerate(tables):
            runs.append(i)
            info = RunInfo(
                task_id=1, node_id=i, organization_id=i, collaboration_id=1, temporary_folder=folders[i], variables={}
            )
            values = {name: table.copy(), **arguments, REQUEST: history.encode(), RUN: info}
            plain = perform_rpc(function.partial, values, minimum_records)
            reply = RoundReply.from_plain(decode_rich(encode_rich(plain)))
            replies.append(NodeReply(f"node {i + 1}", reply))
        return replies

    with use_console(lines.append):
        result = compute(function, arguments, ask, task=1)
    return Outcome(result, len(runs) // len(tables), lines)
