"""The functions that a task can call: ``average_partial`` runs at each node, ``master`` combines the results."""

import pandas as pd
from algotools import AlgorithmClient, Column, Organization, UserError, aggregate, master, rpc


class NoValues(UserError):
    """The column has no values at any organization."""

    text = "none of the organizations has a value in the column"


class NotNumeric(UserError):
    """A column of texts has no sum."""

    text = "the column does not hold numbers"


@rpc
def average_partial(data: pd.DataFrame, column_name: Column) -> dict[str, float]:
    """Return the sum and the count of one numeric column at one node.

    Args:
        data: the table with the column, one row per patient.
        column_name: the column to add up; empty cells are ignored.
    """
    values = data[column_name].dropna()
    if values.size and not pd.api.types.is_numeric_dtype(values):
        raise NotNumeric
    return {"sum": aggregate.sum(values), "count": aggregate.count(values)}


@master(name="master")
def average(
    client: AlgorithmClient, column_name: Column, organizations: list[Organization] | None = None
) -> dict[str, float]:
    """Return the average of a column over all nodes of the task.

    Args:
        client: sends subtasks to the nodes.
        column_name: the column to average.
        organizations: the organizations whose data is used; default: the organizations of the task. On v4,
            send the task to one organization and name all of them here.
    """
    partials = client.run(average_partial, organizations=organizations, column_name=column_name)
    count = sum(partial["count"] for partial in partials)
    if count == 0:
        raise NoValues
    return {"average": sum(partial["sum"] for partial in partials) / count}
