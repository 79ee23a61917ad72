"""Functions that run only under their master, and masters that forge their calls over the proxy's HTTP API."""

import os

import pandas as pd

from algotools import Aggregator, AlgorithmClient, Column, RunInfo, federated, master, rpc


@rpc(standalone=False)
def count_partial(data: pd.DataFrame, column: Column) -> dict:
    return {"count": int(data[column].count())}


@master
def count(client: AlgorithmClient, column: Column) -> dict:
    results = client.run(count_partial, column=column)
    return {"count": sum(result["count"] for result in results)}


@rpc(standalone=False)
def whole(path: pd.DataFrame) -> int:
    """No master names this function."""
    return len(path)


@rpc
def size(data: pd.DataFrame) -> int:
    return len(data)


@master
def sizes(client: AlgorithmClient, organizations: list[int]) -> list[int]:
    return list(client.run(size, organizations=organizations))


@federated
def mean(data: pd.DataFrame, total: Aggregator, column: Column) -> dict:
    average = total.sum(data[column]) / total.count(data[column])
    spread = total.sum((data[column] - average) ** 2)
    return {"mean": average, "spread": spread}


@master
def forward(client: AlgorithmClient, method: str, inputs: dict, image: str = "") -> list:
    """Post inputs as they are given, and return the last log line of each run."""
    connection = client._connection
    body = {
        "name": "forged",
        "image": image or connection.identity.image,
        "collaboration_id": connection.identity.collaboration_id,
        "description": "",
        "organizations": [{"id": int(id_), connection.input_key: text} for id_, text in inputs.items()],
        **connection._make_subtask_fields(method),
    }
    task = connection._http.post("task", body)
    states = []
    while not states or not all(state.is_finished for state in states):
        states = connection.read_run_states(task["id"])
    return [state.status if state.status == "completed" else state.log.splitlines()[-1] for state in states]


class _Altered:
    def __init__(self, contract, column: str, other: str) -> None:
        self.contract, self.column, self.other = contract, column.encode(), other.encode()

    def __getattr__(self, name: str):
        return getattr(self.contract, name)

    def sign_input(self, data: bytes, sign) -> bytes:
        return self.contract.sign_input(data, sign).replace(self.column, self.other)


@master
def alter(client: AlgorithmClient, column: Column, other: str) -> list:
    """Let the supervisor sign a call, and send another one: the worker runs the author's code."""
    connection = client._connection
    connection._contract = _Altered(connection._contract, column, other)
    return list(client.run("count_partial", column=column))


@rpc(standalone=False)
def reveal_partial(data: pd.DataFrame, info: RunInfo) -> list[str]:
    return sorted(name for name in (*os.environ, *info.variables) if "POLICY" in name.upper())


@master
def reveal(client: AlgorithmClient, info: RunInfo) -> list[str]:
    own = [name for name in (*os.environ, *info.variables) if "POLICY" in name.upper()]
    return own + [name for names in client.run(reveal_partial) for name in names]


@master
def narrow(client: AlgorithmClient, column: Column, organizations: list[int], other: int) -> list:
    """Let the supervisor sign a call for some organizations, and send it to another one, too."""
    connection = client._connection
    sign = connection._sign
    connection.use_signatures(lambda method, input_hash, _ids: sign(method, input_hash, organizations))
    return list(client.run("count_partial", organizations=[*organizations, other], column=column))
