"""Slow functions that report progress. A test creates a file (the gate) to let a function continue."""

import time
from pathlib import Path

import algotools
from algotools import AlgorithmClient, Organization, RunInfo, UserError, master, rpc


class NotToday(UserError):
    text = "organization {organization} does not take part today"
    organization: int


@rpc
def step(info: RunInfo, number: int, gate: str = "", fails_at: int = 0, seconds: float = 0.0) -> int:
    """Run one round at one node: the first half, a wait for the file ``gate``, then the second half."""
    if info.organization_id == fails_at:
        raise NotToday(organization=fails_at)
    algotools.log(f"step {number} has begun")
    for part in range(10):
        algotools.progress(part / 10, f"part {part} of 10")
        time.sleep(seconds / 10)
        if part == 5:
            wait_for(gate)
    return number


@master
def rounds(
    client: AlgorithmClient,
    number: int = 3,
    gate: str = "",
    fails_at: int = 0,
    seconds: float = 0.0,
    quorum: int | None = None,
    organizations: list[Organization] | None = None,
) -> list[int]:
    """Run rounds at all nodes; each round has its own gate: ``gate-1``, ``gate-2`` and so on."""
    counts = []
    for now in range(1, number + 1):
        algotools.progress((now - 1) / number, f"round {now} of {number}")
        options = {"number": now, "gate": f"{gate}-{now}" if gate else "", "fails_at": fails_at, "seconds": seconds}
        results = client.run(step, organizations=organizations, quorum=quorum, arguments=options)
        counts.append(len(results))
    return counts


@rpc
def chatters(times: int) -> int:
    for now in range(1, times + 1):
        algotools.progress(now / times, f"item {now}")
    return times


@rpc
def log_until_gate(gate: str) -> str:
    while not Path(gate).exists():
        algotools.log("and another thing")
        time.sleep(0.001)
    return "that is all"


@rpc
def return_long_text(length: int) -> str:
    return "x" * length


@rpc
def print_and_log(gate: str = "") -> str:
    """Print and log; with the runner inline, both go to the terminal."""
    print("printed by the function")
    algotools.log("said \x1b[31mloudly\x1b[0m")
    wait_for(gate)
    return "done"


@rpc
def asks() -> str:
    return input("a number, please: ")


@rpc
def stops(number: int) -> int:
    double = 2 * number
    breakpoint()
    return double


def wait_for(gate: str) -> None:
    while gate and not Path(gate).exists():
        time.sleep(0.01)
