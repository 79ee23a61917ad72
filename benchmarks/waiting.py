"""Measure how long a researcher waits, and how many requests a master sends, at nodes that work in rounds.

    python benchmarks/waiting.py [--rounds N] [--period SECONDS] [--quick] [--json FILE]

The local federation's nodes fetch runs and send results once a second, as real nodes do (the fault ``Polls``). Every
node has its own phase. The benchmark prints:

* ``create -> result`` for an rpc over 2 nodes and a master over 3 nodes, beside the floor of the same schedule: the
  first possible round after each step, if no step takes any time. Each repetition creates its task at another phase.
* the seconds until the researcher knows of a failure, of a reached quorum, of an offline node and of a lost result
* how late a result is noticed, and the number of requests, for 3 and 100 nodes and runs of several durations

The requests are those of the masters, which run in the process of the benchmark.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd

from algotools import AlgorithmClient, Federation, master, rpc
from algotools.errors import RunsFailed
from algotools.federation import Dead, Loses, Polls, Slow, Wrong

FIRST = 2
"""Id of the first organization."""

FRAME = pd.DataFrame({"value": [1.0, 2.0]})


@rpc
def total(data: pd.DataFrame) -> float:
    """Return the sum of the values of one node."""
    return float(data["value"].sum())


@master
def overall(client: AlgorithmClient, limits: dict[str, int] | None = None) -> dict[str, float]:
    """Return the sum of all nodes, and the time at which the master knows it."""
    keywords: Any = limits or {}
    values = list(client.run(total, **keywords))
    return {"sum": sum(values), "at": time.time()}


class Rounds:
    """The times of a node's rounds, computed as by the node itself."""

    def __init__(self, organization: int, period: float) -> None:
        self._period, self._offset = period, organization * 0.618 % 1 * period

    def next(self, moment: float) -> float:
        """Return the end of the round that contains a moment of the monotonic clock."""
        return (math.floor((moment - self._offset) / self._period) + 1) * self._period + self._offset


@contextmanager
def federate(
    count: int, faults: Mapping[int, list[Any]], *, contract: str = "v4", lines: list[tuple[float, str]] | None = None
) -> Iterator[tuple[Federation, list[float]]]:
    """Yield a federation, and the list of the times of all requests of masters."""
    requests: list[float] = []

    def listen(_run: object, line: str) -> None:
        if lines is not None:
            lines.append((time.monotonic(), line))

    with Federation(
        [FRAME] * count, algorithm=[total, overall], contract=contract, faults=faults, listen=listen, policy="off"
    ) as f:
        f.run(total, at=FIRST)  # the first run imports libraries
        send = HTTPConnection.request

        def count_request(*arguments: Any, **options: Any) -> None:
            requests.append(time.monotonic())
            send(*arguments, **options)

        with patch.object(HTTPConnection, "request", count_request):
            yield f, requests


def list_nodes(count: int) -> range:
    """Return the ids of the organizations of a federation."""
    return range(FIRST, FIRST + count)


def measure_creation(rounds: int, period: float) -> dict[str, dict[str, float]]:
    """Return seconds from the creation of a task to its result, and the floor, for an rpc and a master."""
    figures = {}
    nodes = {count: {o: Rounds(o, period) for o in list_nodes(count)} for count in (2, 3)}
    for name, count in (("rpc over 2 nodes", 2), ("master over 3 nodes", 3)):
        durations, floors = [], []
        with federate(count, {o: [Polls(period)] for o in list_nodes(count)}) as (federation, _requests):
            for number in range(rounds):
                time.sleep(period * (number * 0.618 % 1))
                start = time.monotonic()
                if count == 2:
                    federation.run(total)
                    fetched = {o: node.next(start) for o, node in nodes[2].items()}
                    floor = max(nodes[2][o].next(fetched[o]) for o in fetched)
                else:
                    federation.ask(overall, at=list(nodes[3]))
                    sent = nodes[3][FIRST].next(start)
                    fetched = {o: node.next(sent) for o, node in nodes[3].items()}
                    arrived = max(nodes[3][o].next(fetched[o]) for o in fetched)
                    floor = nodes[3][FIRST].next(arrived)
                durations.append(time.monotonic() - start)
                floors.append(floor - start)
        mean, least = statistics.mean(durations), statistics.mean(floors)
        figures[name] = {"seconds": mean, "floor": least, "share": mean / least}
    return figures


def measure_knowledge(period: float) -> dict[str, float]:
    """Return the seconds from the creation of a task until the researcher knows of an event.

    The failing, quorate and lost runs finish in the nodes' second round. One sibling takes a minute longer.
    """
    rounds = {o: [Polls(period)] for o in list_nodes(3)}
    slow: dict[int, list[Any]] = {**rounds, 4: [Polls(period), Slow(60.0)]}
    events: dict[str, float] = {}

    with federate(3, {**slow, 3: [Polls(period), Wrong(ValueError)]}) as (federation, _):
        start = time.monotonic()
        try:
            federation.ask(overall, at=list(list_nodes(3)))
        except RunsFailed:
            events["failure, with a sibling of 60 s"] = time.monotonic() - start
    for grace in (0, 5):
        with federate(3, slow) as (federation, _):
            start = time.monotonic()
            federation.ask(overall, at=list(list_nodes(3)), limits={"quorum": 2, "grace": grace})
            events[f"quorum of 2 of 3, grace of {grace} s"] = time.monotonic() - start
    lines: list[tuple[float, str]] = []
    with federate(3, {**rounds, 4: [Dead()]}, lines=lines) as (federation, _):
        start = time.monotonic()
        federation.ask(overall, at=list(list_nodes(3)), limits={"quorum": 2, "grace": 32})
        times = [moment - start for moment, line in lines if "nodes that are offline" in line]
        events["offline node, named"] = times[0]
        events["offline node, named again"] = times[1]
    lines = []
    losing = {o: [Polls(period), Loses()] for o in list_nodes(2)}
    with federate(2, losing, contract="v5", lines=lines) as (federation, _):
        start = time.monotonic()
        federation.run(overall)
        events["lost result, noticed"] = next(m - start for m, line in lines if "seems to be lost" in line)
        events["lost result, repaired"] = time.monotonic() - start
    return events


def measure_requests(durations: list[float]) -> list[dict[str, float]]:
    """Return the delay of the master, and its requests, for runs of several durations at 3 and 100 nodes."""
    figures = []
    for count in (3, 100):
        for seconds in durations:
            with federate(count, {FIRST + 1: [Slow(seconds)]}) as (federation, requests):
                start = time.monotonic()
                noticed = federation.ask(overall, at=list(list_nodes(count)), timeout=None)["at"]
                run = next(r for r in federation.task(3).runs if r.organization_id == FIRST + 1)
                assert run.finished_at
                finished = pd.Timestamp(run.finished_at, tz="UTC").timestamp()
                waited = time.monotonic() - start
            figures.append(
                {
                    "nodes": count,
                    "seconds": seconds,
                    "delay": noticed - finished,
                    "allowed": max(1.0, 0.02 * seconds),
                    "requests": len(requests),
                    "per second": len(requests) / waited,
                }
            )
    return figures


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="tasks for each creation")
    parser.add_argument("--period", type=float, default=1.0, help="seconds between two rounds of a node")
    parser.add_argument("--quick", action="store_true", help="only short runs")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    options = parser.parse_args()
    creation = measure_creation(options.rounds, options.period)
    print("create -> result, seconds")
    for name, figure in creation.items():
        print(f"  {name:36} {figure['seconds']:6.2f}   floor {figure['floor']:6.2f}   {figure['share']:.2f} times")
    knowledge = measure_knowledge(options.period)
    print("seconds until the researcher knows")
    for name, seconds in knowledge.items():
        print(f"  {name:36} {seconds:6.2f}")
    requests = measure_requests([3.0, 10.0] if options.quick else [3.0, 10.0, 30.0, 60.0, 120.0, 180.0])
    print("runs of one slow node: delay of the master, and requests")
    for figure in requests:
        print(
            f"  {figure['nodes']:4.0f} nodes, {figure['seconds']:5.0f} s: {figure['delay']:5.2f} s late "
            f"(allowed {figure['allowed']:.2f}), "
            f"{figure['requests']:4.0f} requests, {figure['per second']:.2f} a second"
        )
    if options.json:
        figures = {"creation": creation, "knowledge": knowledge, "requests": requests}
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
