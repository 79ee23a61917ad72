"""The message of a ``UserError`` leaves a node, unless a field of the error is a cell of few records."""

from __future__ import annotations

import pandas as pd
import pytest

from algotools import Federation, UserError, rpc
from algotools.errors import RunsFailed

from ..conftest import default_policy

OLDEST = 73
"""In no text of this file, which is the source of the algorithm."""

AGES = pd.DataFrame({"age": [50, 61, OLDEST, 48, 55, 61, 61]})

RUNNERS = pytest.mark.parametrize("runner", ["inline", "process"])


class Mismatch(UserError):
    text = "rows with the value {value}: more than {limit} %"
    value: float
    limit: int


@rpc
def refuse_limit(data: pd.DataFrame) -> int:
    raise Mismatch(value=len(data), limit=30)


@rpc
def refuse_common_value(data: pd.DataFrame) -> int:
    raise Mismatch(value=data["age"].mode()[0], limit=30)


@rpc
def refuse_oldest(data: pd.DataFrame) -> int:
    raise Mismatch(value=data["age"].max(), limit=30)


def read_failure(method: str, runner: str, policy: str | None = None) -> tuple[int, str, str]:
    """Return exit code, message and the owner's detail of the failed run of a function."""
    functions = [refuse_limit, refuse_common_value, refuse_oldest]
    with (
        default_policy(),
        Federation([AGES], algorithm=functions, runner=runner, policy=policy) as federation,
        pytest.raises(RunsFailed) as raised,
    ):
        federation.run(method)
    failure = raised.value.failures[2]
    return failure.exit_code, failure.message, failure.detail


@RUNNERS
def test_a_constant_text_with_counts_and_limits_leaves(runner: str) -> None:
    assert read_failure("refuse_limit", runner)[:2] == (41, "rows with the value 7: more than 30 %")
    assert read_failure("refuse_common_value", runner)[:2] == (41, "rows with the value 61: more than 30 %")


@RUNNERS
def test_a_cell_of_one_record_does_not_leave(runner: str) -> None:
    code, message, detail = read_failure("refuse_oldest", runner)
    assert code == 40
    assert str(OLDEST) not in message
    assert "withheld" in message
    assert str(OLDEST) in detail


@RUNNERS
def test_a_node_without_a_policy_lets_each_number_leave(runner: str) -> None:
    assert read_failure("refuse_oldest", runner, "off")[:2] == (41, f"rows with the value {OLDEST}: more than 30 %")
