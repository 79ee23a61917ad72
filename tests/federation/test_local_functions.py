"""Functions of a test or a notebook as the algorithm of a federation, in one process."""

import pandas as pd
import pytest

from algotools import AlgorithmClient, Column, Federation, master, rpc

NODES = {"first": pd.DataFrame({"age": [1, 2]}), "second": pd.DataFrame({"age": [4]})}


def declare_count(factor: int):
    @rpc
    def count(data: pd.DataFrame, columns: list[Column] = []) -> dict[str, int]:  # noqa: B006 - the subject
        columns.append("seen")
        return {"rows": len(data) * factor, "columns": len(columns)}

    @master
    def total(client: AlgorithmClient) -> list[dict[str, int]]:
        return list(client.run(count))

    return [count, total]


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_each_federation_runs_the_local_functions_that_it_was_made_with(runner):
    first, second = declare_count(1), declare_count(10)
    with Federation(NODES, algorithm=first, runner=runner) as one, Federation(NODES, algorithm=second) as ten:
        assert [answer["rows"] for answer in one.ask(first[1])] == [2, 1]
        assert [answer["rows"] for answer in ten.ask(second[1])] == [20, 10]


def test_each_call_gets_its_own_copy_of_a_default():
    functions = declare_count(1)
    with Federation(NODES, algorithm=functions, runner="inline") as federation:
        for _ in range(2):
            assert [answer["columns"] for answer in federation.run(functions[0])] == [1, 1]
    assert functions[0].__defaults__ == ([],)
