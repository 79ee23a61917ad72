"""Functions whose numbers have evidence, for tests/federation/test_evidence.py."""

from __future__ import annotations

from typing import Any

import pandas as pd

from algotools import Aggregator, AlgorithmClient, Column, aggregate, federated, master, rpc


@rpc
def frequencies(data: pd.DataFrame, column: Column) -> dict[str, Any]:
    return aggregate.count(data[column], by=data[column], levels=["a", "b", "c", "d"]).to_dict()


@rpc
def frequencies_of_present(data: pd.DataFrame, column: Column) -> pd.Series:
    return aggregate.count(data[column], by=data[column])


@master
def frequencies_everywhere(client: AlgorithmClient, column: str) -> dict[str, Any]:
    results = client.run(frequencies, column=column)
    tables = [pd.Series(result, dtype=float) for result in results]
    return {
        "total": sum(table.fillna(0) for table in tables).to_dict(),
        "withheld": {str(organization): cells for organization, cells in results.withheld.items()},
    }


@rpc
def sum_above(data: pd.DataFrame, column: Column, limit: float) -> dict[str, float]:
    values = data[column][data[column] > limit]
    return {"sum": aggregate.sum(values), "count": aggregate.count(values)}


@rpc
def sums_with_and_without(data: pd.DataFrame, column: Column, limit: float) -> dict[str, float]:
    values = data[column]
    return {"all": aggregate.sum(values), "without": aggregate.sum(values[values <= limit])}


@rpc
def plain_sum(data: pd.DataFrame, column: Column) -> dict[str, float]:
    return {"sum": data[column].sum(), "count": len(data)}


@rpc
def sum_of_first(data: pd.DataFrame, column: Column) -> float:
    return aggregate.sum(data[column].iloc[0])


@federated
def mean_above(data: pd.DataFrame, total: Aggregator, column: Column, limit: float) -> float:
    values = data[column][data[column] > limit]
    return total.sum(values) / total.count(values)


@federated
def bare_sum(data: pd.DataFrame, total: Aggregator, column: Column) -> float:
    return total.add(data[column].sum())
