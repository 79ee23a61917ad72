"""Large results between rpc and master are exact, and results above the limit are refused."""

from __future__ import annotations

import pandas as pd
import pytest

from algotools import Federation
from algotools.errors import ResultTooLarge, RunsFailed
from algotools.federation import Wrong
from algotools.federation.contract import NAMES
from algotools.payload import values

from ..conftest import ALGORITHMS

ALGORITHM = ALGORITHMS / "at_size"
NODES = [pd.DataFrame({"x": [1]})]
CODE = ResultTooLarge.exit_code


@pytest.mark.parametrize("contract", NAMES)
def test_numbers_are_exact_and_arrays_are_writable(contract: str) -> None:
    with Federation(NODES, algorithm=ALGORITHM, runner="process", contract=contract) as federation:
        assert federation.ask("compare_values", size=300_000) == [True] * 4


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_one_number_above_the_limit_is_refused(runner: str) -> None:
    limit = 75_000_000  # of 8 bytes
    with (
        Federation(NODES, algorithm=ALGORITHM, runner=runner) as federation,
        pytest.raises(RunsFailed, match=rf"limit is 600 MB; return aggregates, or split.*\[exit code {CODE}\]"),
    ):
        federation.ask("request_values", method="return_array", amount=limit + 1)


def test_a_result_for_a_researcher_has_the_limit_of_the_server() -> None:
    with (
        Federation(NODES, algorithm=ALGORITHM, runner="process") as federation,
        pytest.raises(RunsFailed, match="has 800 MB or more, but the limit is 800 MB"),
    ):
        federation.run("return_array", size=400_000_001)


def test_the_limits_fit_into_the_text_that_a_server_stores() -> None:
    in_base64 = -(-values.LARGEST // 3) * 4

    assert in_base64 + 2**20 < 2**30
    assert -(-values.compute_rich_limit() // 3) * 4 <= values.LARGEST


@pytest.fixture
def lower_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "LARGEST", 100_000)


@pytest.mark.usefixtures("lower_limit")
@pytest.mark.parametrize(
    ("method", "allowed", "too_large"), [("return_array", 9_000, 9_376), ("return_text", 74_000, 75_001)]
)
def test_a_result_is_returned_up_to_the_limit(method: str, allowed: int, too_large: int) -> None:
    with Federation(NODES, algorithm=ALGORITHM) as federation:
        assert federation.ask("request_values", method=method, amount=allowed) in (1, allowed)
        with pytest.raises(RunsFailed, match=rf"has 0\.075\d* MB or more.*\[exit code {CODE}\]"):
            federation.ask("request_values", method=method, amount=too_large)


@pytest.mark.usefixtures("lower_limit")
def test_a_stream_is_not_read_beyond_the_limit() -> None:
    lines: list[str] = []
    with (
        Federation(NODES, algorithm=ALGORITHM, listen=lambda _run, line: lines.append(line)) as federation,
        pytest.raises(RunsFailed, match=rf"\[exit code {CODE}\]"),
    ):
        federation.ask("request_values", method="return_batches", amount=1000)

    assert sum("a batch" in line for line in lines) < 20


@pytest.mark.usefixtures("lower_limit")
def test_json_above_the_limit_is_refused() -> None:
    with Federation(NODES, algorithm=ALGORITHM) as federation:
        assert federation.run("return_text", size=99_000) == [["x" * 99_000]]
        with pytest.raises(RunsFailed, match=r"has 0\.1 MB or more"):
            federation.run("return_text", size=99_997)


@pytest.mark.usefixtures("lower_limit")
def test_a_node_refuses_any_output_above_the_limit() -> None:
    with (
        Federation(NODES, algorithm=ALGORITHM, faults={2: Wrong("x" * 100_000)}) as federation,
        pytest.raises(RunsFailed, match=rf"more, but the limit is 0\.1 MB.*\[exit code {CODE}\]"),
    ):
        federation.run("return_little")
