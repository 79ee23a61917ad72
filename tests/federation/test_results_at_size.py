"""Many numbers between rpc and master: bit for bit, and a clear end where there are more than may be."""

from __future__ import annotations

import pandas as pd
import pytest

from algotools import Federation
from algotools.contract import NAMES
from algotools.errors import ResultTooLarge, RunsFailed
from algotools.federation import Wrong
from algotools.payload import size

from ..conftest import ALGORITHMS

ALGORITHM = ALGORITHMS / "at_size"
NODES = [pd.DataFrame({"x": [1]})]
RUNNERS = ["inline", "process"]
CODE = ResultTooLarge.exit_code


@pytest.mark.parametrize("contract", NAMES)
@pytest.mark.parametrize("runner", RUNNERS)
def test_numbers_come_back_bit_for_bit_and_can_be_written_to(runner: str, contract: str) -> None:
    with Federation(NODES, algorithm=ALGORITHM, runner=runner, contract=contract) as federation:
        assert federation.ask("taken", size=300_000) == [True] * 4


@pytest.mark.parametrize("contract", NAMES)
@pytest.mark.parametrize("runner", RUNNERS)
def test_one_number_more_than_may_be_ends_the_run_by_name(runner: str, contract: str) -> None:
    limit = 75_000_000  # of 8 bytes
    with (
        Federation(NODES, algorithm=ALGORITHM, runner=runner, contract=contract) as federation,
        pytest.raises(RunsFailed, match=rf"600 MB here; return aggregates, .* in parts.*\[exit code {CODE}\]"),
    ):
        federation.ask("asks", method="too_many", amount=limit + 1)


def test_a_researcher_gets_more_bytes_than_a_master_but_no_more_than_the_server_holds() -> None:
    with (
        Federation(NODES, algorithm=ALGORITHM, runner="process") as federation,
        pytest.raises(RunsFailed, match="has 800 MB or more, and one result may have 800 MB here"),
    ):
        federation.run("too_many", size=400_000_001)


def test_the_limit_leaves_room_in_the_text_that_a_server_stores() -> None:
    in_base64 = -(-size.LARGEST // 3) * 4

    assert in_base64 + 2**20 < 2**30
    assert -(-size.largest_rich() // 3) * 4 <= size.LARGEST


@pytest.fixture
def lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size, "LARGEST", 100_000)


@pytest.mark.usefixtures("lowered")
@pytest.mark.parametrize(("method", "fits", "more"), [("too_many", 9_000, 9_376), ("too_long", 74_000, 75_001)])
def test_up_to_the_limit_all_comes_and_past_it_nothing(method: str, fits: int, more: int) -> None:
    with Federation(NODES, algorithm=ALGORITHM) as federation:
        assert federation.ask("asks", method=method, amount=fits) in (1, fits)
        with pytest.raises(RunsFailed, match=rf"has 0\.075\d* MB or more.*\[exit code {CODE}\]"):
            federation.ask("asks", method=method, amount=more)


@pytest.mark.usefixtures("lowered")
def test_a_stream_is_not_read_any_further() -> None:
    lines: list[str] = []
    with (
        Federation(NODES, algorithm=ALGORITHM, listen=lambda _run, line: lines.append(line)) as federation,
        pytest.raises(RunsFailed, match=rf"\[exit code {CODE}\]"),
    ):
        federation.ask("asks", method="too_many_batches", amount=1000)

    assert sum("a batch" in line for line in lines) < 20


@pytest.mark.usefixtures("lowered")
def test_json_that_is_too_long_is_none() -> None:
    with Federation(NODES, algorithm=ALGORITHM) as federation:
        assert federation.run("too_long", size=99_000) == [["x" * 99_000]]
        with pytest.raises(RunsFailed, match=r"has 0\.1 MB or more"):
            federation.run("too_long", size=99_997)


@pytest.mark.usefixtures("lowered")
def test_a_node_refuses_what_no_server_would_keep_whoever_made_it() -> None:
    with (
        Federation(NODES, algorithm=ALGORITHM, faults={2: Wrong("x" * 100_000)}) as federation,
        pytest.raises(RunsFailed, match=rf"more, and one result may have 0\.1 MB here.*\[exit code {CODE}\]"),
    ):
        federation.run("few")
