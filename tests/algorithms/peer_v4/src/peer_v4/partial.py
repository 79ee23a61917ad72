import os
import sys
import time

import pandas as pd

from vantage6.algorithm.tools.decorators import RunMetaData, data, metadata
from vantage6.algorithm.tools.util import warn


@data(1)
def partial(df: pd.DataFrame, column: str):
    values = df[column].dropna()
    return {"sum": float(values.sum()), "count": int(values.count())}


@data(2)
def two(first: pd.DataFrame, other: pd.DataFrame):
    return [list(first.columns), list(other.columns)]


@data(1)
def queries(df: pd.DataFrame):
    """Return the table of a database with a query."""
    return df.to_dict("list")


@data(1)
def sheet(df: pd.DataFrame):
    """Return the table of a worksheet."""
    return df.to_dict("list")


@metadata
def variables(metadata: RunMetaData, name: str = "kept"):
    (metadata.temporary_directory / name).write_text("kept")
    return {
        "greeting": os.environ.get("GREETING"),
        "kept": sorted(path.name for path in metadata.temporary_directory.iterdir()),
        "labels": os.environ["DB_LABELS"],
        "type": os.environ["DEFAULT_DATABASE_TYPE"],
        "option": os.environ.get("DEFAULT_DB_PARAM_USER"),
        "ids": [metadata.task_id, metadata.node_id, metadata.collaboration_id, metadata.organization_id],
        "files": [path.exists() for path in (metadata.input_file, metadata.output_file, metadata.token_file)],
    }


@data(1)
def fails(df: pd.DataFrame):
    raise ValueError("it is broken")


def exits():
    sys.exit(3)


def waits(seconds: float):
    print("waiting", os.getpid(), flush=True)
    time.sleep(seconds)


def prints():
    print("printed")
    print("to standard error", file=sys.stderr)
    warn("warned")
