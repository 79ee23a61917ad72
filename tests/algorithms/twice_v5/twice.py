"""The algorithm of all ``twice_*`` folders, written with the tools of v5."""

import os
import sys
from os import getcwd

import pandas as pd
from rows import make_unusual_value, describe_frame, make_table_result, to_rows
from vantage6.algorithm.data_extraction import read_csv, read_excel, read_parquet, read_sql_database
from vantage6.algorithm.decorator import (
    algorithm_client,
    central as a_central,
    data_extraction,
    dataframe,
    dataframes,
    federated,
    metadata,
    preprocessing,
)

__all__ = ["getcwd", "read_csv", "read_excel", "read_parquet", "read_sql_database"]


@federated
def echo(value="nothing"):
    return value


@federated
def arguments(first, second=2, third=3):
    return [first, second, third]


@federated
def twofold(number):
    return number * 2


@federated
def odd(kind):
    return make_unusual_value(kind)


@federated
@dataframe(1)
def table(frame):
    return to_rows(frame)


@federated
@dataframe(2)
def two_tables(first, second):
    return [to_rows(first), to_rows(second)]


@federated
@dataframe(3)
def three_tables(first, second, third):
    return [to_rows(first), to_rows(second), to_rows(third)]


@federated
@dataframes
def grouped(tables):
    return {name: to_rows(frame) for name, frame in tables.items()}


@federated
@dataframe(1)
def total(frame, column):
    return float(frame[column].sum())


@federated
@dataframe(1)
def length(frame):
    return len(frame)


@federated
@dataframe(2)
def two_described(first, second):
    return [describe_frame(first), describe_frame(second)]


@federated
def variable(name):
    return os.environ.get(name)


@federated
def raw_variable(name):
    return os.environ.get(name)


@federated
@metadata
def ids(run):
    return {
        "task": run.task_id,
        "node": run.node_id,
        "organization": run.organization_id,
        "collaboration": run.collaboration_id,
    }


@federated
@metadata
def sees_tables(run):
    return "first.parquet" in os.listdir(run.temporary_directory)


@federated
def prints():
    print("half way")
    print("half way, too", file=sys.stderr)
    return "printed"


@federated
def raises():
    raise ValueError("on purpose")


@federated
def exits(code):
    sys.exit(code)


@federated
def ends_the_process(code):
    os._exit(code)


@a_central
@algorithm_client
def central(client, number=1):
    return {"number": number, "master": True}


def helper():
    return "not meant to be called"


@data_extraction
def connection(details):
    return pd.DataFrame({"key": list(details), "value": list(details.values())})


@data_extraction
def semicolons(details, skip=0):
    return pd.read_csv(details["uri"], sep=";", skiprows=skip)


@data_extraction
def extracts(details, kind):
    return make_table_result(kind)


@preprocessing
def unchanged(frame):
    return frame


@preprocessing
def over(frame, column, least=18):
    return frame[frame[column] >= least]


@preprocessing
def prepares(frame, kind):
    return make_table_result(kind)
