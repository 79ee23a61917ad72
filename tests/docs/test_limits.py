"""The page of limits has the numbers that the code has."""

from __future__ import annotations

import pytest

from algotools import check, report
from algotools.client import http, results
from algotools.contract import connection
from algotools.federation.runners import container, containers, foreign
from algotools.image import trial
from algotools.payload import size

from .conftest import DOCS

ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (DOCS / "concepts" / "limits.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("|")
]
BY_DEFAULT = {row[0]: row[1] for row in ROWS}

IN_WORDS = {0.1: "a tenth", 3.0: "three times", 3600.0: "an hour", 7 * 24 * 3600.0: "a week"}
PAUSE = (
    f"{results.FIRST_PAUSE} s, then {IN_WORDS[results.SHARE]} of the time waited, {results.LONGEST_PAUSE:g} s at most; "
    f"{IN_WORDS[results.BETWEEN_QUESTIONS]} as long as the platform took to answer"
)


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("time, on the laptop", f"none; {IN_WORDS[container.LIMIT]} in runner `container`"),
        ("processes and threads, in runner `container`", str(container.PROCESSES)),
        ("a line of its log", f"{report._LONGEST:,} characters"),
        (
            "a result between rpc and master, as it is encoded",
            f"{size.largest_rich() / 1e6:g} MB: {size.largest_rich() / 8e6:g} million numbers of 8 bytes",
        ),
        ("a result in JSON, for a researcher", f"{size.LARGEST / 1e6:g} MB"),
        ("waiting for results", IN_WORDS[results.LONGEST_WAIT]),
        ("a node that stays offline", f"{results.OFFLINE_LIMIT / 60:g} minutes"),
        ("a request that creates a task is sent", f"{http.ATTEMPTS_TO_CREATE} times"),
        (
            "a request to the node's proxy that only reads is tried again for",
            f"{http.PATIENCE:g} s; {connection.PATIENCE_WHILE_WAITING / 60:g} minutes while results are waited for",
        ),
        ("a pause between two looks", PAUSE),
        ("importing an algorithm, for `check`", f"{check.LIMIT:g} s"),
        ("trying a new image, for `build`", f"{trial.LIMIT / 60:g} minutes"),
    ],
)
def test_a_limit_is_what_the_page_says(limit: str, told: str) -> None:
    assert BY_DEFAULT[limit] == told


def test_the_grace_is_the_same_wherever_there_is_one() -> None:
    told = {containers.GRACE, foreign.GRACE}
    assert [f"{grace:g} s" for grace in told] == [BY_DEFAULT["time to say that it is overdue, before it is killed"]]
