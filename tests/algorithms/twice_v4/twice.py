"""The algorithm of all ``twice_*`` folders, written with the tools of v4."""

import os
import sys
from os import getcwd

from rows import make_unusual_value, to_rows
from vantage6.algorithm.tools.decorators import algorithm_client, data, metadata

__all__ = ["getcwd"]


def echo(value="nothing"):
    return value


def arguments(first, second=2, third=3):
    return [first, second, third]


def twofold(number):
    return number * 2


def odd(kind):
    return make_unusual_value(kind)


@data(1)
def table(frame):
    return to_rows(frame)


@data(2)
def two_tables(first, second):
    return [to_rows(first), to_rows(second)]


@data(3)
def three_tables(first, second, third):
    return [to_rows(first), to_rows(second), to_rows(third)]


@data(1)
def total(frame, column):
    return float(frame[column].sum())


def variable(name):
    return os.environ.get(name)


def raw_variable(name):
    return os.environ.get(name)


@metadata
def run_metadata(run):
    return {
        "task": run.task_id,
        "node": run.node_id,
        "organization": run.organization_id,
        "collaboration": run.collaboration_id,
        "temporary": str(run.temporary_directory),
    }


def prints():
    print("half way")
    print("half way, too", file=sys.stderr)
    return "printed"


def raises():
    raise ValueError("on purpose")


def exits(code):
    sys.exit(code)


def ends_the_process(code):
    os._exit(code)


@algorithm_client
def central(client, number=1):
    return {"number": number, "master": True}


def helper():
    return "not meant to be called"
