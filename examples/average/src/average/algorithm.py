"""The functions that a task can call: ``average_partial`` at each node, ``master`` to put the answers together."""

import pandas as pd
from algotools import AlgorithmClient, Column, Organization, UserError, master, rpc


class NoValues(UserError):
    """There is nothing to average."""

    text = "none of the organizations has a value in the column"


class NotNumeric(UserError):
    """Texts would be added up, too: into one long text with everybody's values, which must not leave a node."""

    text = "the column does not hold numbers"


@rpc
def average_partial(data: pd.DataFrame, column_name: Column) -> dict[str, float]:
    """Sum and count of one numeric column at one node.

    Args:
        data: the table with the column, a row for each patient.
        column_name: the column to add up; empty cells do not count.
    """
    values = data[column_name].dropna()
    if values.size and not pd.api.types.is_numeric_dtype(values):
        raise NotNumeric
    return {"sum": values.sum(), "count": values.size}


@master(name="master")
def average(
    client: AlgorithmClient, column_name: Column, organizations: list[Organization] | None = None
) -> dict[str, float]:
    """Average of a column over all nodes of the task.

    Args:
        client: the way to the other nodes.
        column_name: the column to average.
        organizations: whose data to use, by default of those that the task was sent to. On v4, send the
            task to one organization and name all of them here.
    """
    partials = client.run(average_partial, organizations=organizations, column_name=column_name)
    count = sum(partial["count"] for partial in partials)
    if count == 0:
        raise NoValues
    return {"average": sum(partial["sum"] for partial in partials) / count}
