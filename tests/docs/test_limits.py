"""The page of limits shows the numbers of the code."""

from __future__ import annotations

import pytest

from algotools.declare.federated import Pooling
from algotools.federation.runners import container, containers, foreign
from algotools.image import _credentials, build
from algotools.payload import values
from algotools.project import check
from algotools.runtime import logs
from algotools.runtime.client import _limits, _polling, _results, _runs, http
from algotools.runtime.contract import _proxy
from algotools.runtime.pooled import _quantile, rounds

from .conftest import DOCS

ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (DOCS / "concepts" / "limits.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("|")
]
DEFAULTS = {row[0]: row[1] for row in ROWS}

ARRAYS = "[arrays](functions.md#arrays-and-tables-as-arguments)"
IN_WORDS = {3600.0: "one hour", 7 * 24 * 3600.0: "one week"}
FIRST_POLLS = (
    f"the elapsed time, {_polling.FIRST_PERIOD} to {_polling.QUICK_PERIOD} s, in the first {_polling.QUICK_TIME:g} s; "
    f"at least {_polling.PAUSE_PER_RESPONSE_TIME:g} times the last response time"
)
REQUESTS = f"{_polling.REQUEST_CREDIT}, and 2 for each further subtask (3 at v5); none from 100 s on"
LATER_POLLS = (
    f"{_polling.PERIOD:g} s, or {100 * _polling.PERIOD_SHARE:g} % of the elapsed time if that is longer, "
    f"at most {_polling.LONGEST_PERIOD:g} s"
)
GRACE = f"{_limits.GRACE:g} s, or {100 * _limits.GRACE_SHARE:g} % of the time until the quorum if that is longer"
assert _results.COLLECTION_SHARE == 0.5, "half, as on the page"
COLLECTION = f"half of the elapsed time, {_results.SHORTEST_COLLECTION:g} to {_results.LONGEST_COLLECTION:g} s"
SLOW_POLLS = f"{_results.PAUSE_PER_REQUEST_TIME:g} times the platform's last response time"


@pytest.mark.parametrize(
    ("limit", "default"),
    [
        ("time, on the laptop", f"none; {IN_WORDS[container.LIMIT]} in runner `container`"),
        ("processes and threads, in runner `container`", str(container.PROCESSES)),
        ("length of a line of the run's log", f"{logs._LONGEST:,} characters"),
        (
            "result for a master, encoded",
            f"{(limit := values.compute_rich_limit()) / 1e6:g} MB: {limit / 8e6:g} million numbers of 8 bytes",
        ),
        ("result for a researcher, as JSON", f"{values.LARGEST / 1e6:g} MB"),
        (
            "arguments of a task, as JSON",
            f"{values.LARGEST / 1e6:g} MB: {limit / 8e6:g} million numbers of 8 bytes in {ARRAYS}",
        ),
        ("organizations of a task, at least", str(Pooling().minimum_organizations)),
        ("records of a value at a node, for `total.levels`", str(rounds.MINIMUM_RECORDS)),
        ("relative difference between the results of two nodes", "1e-9" if Pooling().tolerance == 1e-9 else ""),
        ("rounds of `total.quantile`", str(_quantile._ROUNDS)),
        ("wait for results", IN_WORDS[_limits.DEFAULT_TIMEOUT]),
        ("node offline, before its run counts as failed", f"{_results.OFFLINE_LIMIT / 60:g} minutes"),
        ("attempts of a request that creates a task", str(http.ATTEMPTS_TO_CREATE)),
        (
            "retries of a reading request to the node's proxy",
            f"{http.RETRY_TIME:g} s; {_proxy.RETRY_TIME_WHILE_WAITING / 60:g} minutes during a wait for results",
        ),
        ("other results after the quorum is reached", GRACE),
        ("other runs after the first failure", COLLECTION),
        ("first polling intervals", FIRST_POLLS),
        ("later polling intervals", LATER_POLLS),
        ("requests beyond one a second", REQUESTS),
        (
            "v5: active run, before its result counts as lost",
            f"{_runs.LOSS_FACTOR:g} times the longest comparable run, at least {_runs.LOSS_TIME:g} s",
        ),
        ("v5: repetitions of a request whose result is lost", str(_runs.MOST_REPETITIONS)),
        ("shortest polling interval on a slow platform", SLOW_POLLS),
        ("import of an algorithm, and each call of an rpc, for `check`", f"{check.LIMIT:g} s"),
        (
            "answer of a credential helper of Docker, for `build`, `push`, `inspect` and pulls",
            f"{_credentials.HELPER_TIMEOUT} s",
        ),
        ("trial start of a new image, for `build`", f"{build.TRIAL_TIMEOUT / 60:g} minutes"),
    ],
)
def test_the_page_shows_the_default_of_the_code(limit: str, default: str) -> None:
    assert DEFAULTS[limit] == default


def test_the_grace_period_is_the_same_in_every_runner() -> None:
    periods = {containers.GRACE, foreign.GRACE}
    assert [f"{period:g} s" for period in periods] == [DEFAULTS["time to report a timeout, before the run is killed"]]
