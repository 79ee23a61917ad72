"""Prepare a run as a node does; runs in our environment, so that the driver needs nothing but Python.

Standard input: JSON with ``folder``, ``contract`` (v4 or v5), ``method``, ``kwargs``, ``database`` (``uri``, ``type``,
``query``), ``reads_data`` (whether the task asks for the database) and ``step`` (v5). Standard output: JSON with the
variables.
"""

import json
import sys
from pathlib import Path
from typing import Any

from algotools.contract.v4 import CONTRACT as V4
from algotools.contract.v5 import CONTRACT as V5
from algotools.contract.v5 import JOBS, SOURCE
from algotools.task import Database, Identity, Proxy, Task


def of_v4(asked: dict[str, Any], folder: Path) -> Task:
    """A task with the database, or with none where it is only there."""
    database = Database("default", **asked["database"])
    wanted = bool(asked["reads_data"])
    return Task(
        method=asked["method"],
        kwargs=asked["kwargs"],
        databases=(database,) if wanted else (),
        configured=() if wanted else (database,),
        input_file=folder / "input",
        output_file=folder / "output",
        temporary_folder=folder,
        proxy=Proxy("http://127.0.0.1:9", folder / "token"),  # named, as always, and nobody listens there
    )


def of_v5(asked: dict[str, Any], folder: Path) -> Task:
    """A step of a session: what extracts has the database, what computes the table ``default``."""
    jobs = folder / "session" / JOBS
    jobs.mkdir(parents=True)
    extracts = asked["step"] == "data_extraction"
    table = Database("default", str(jobs.parent / "default.parquet"), "parquet")
    return Task(
        method=asked["method"],
        role="rpc",
        step=asked["step"],
        kwargs=asked["kwargs"],
        databases=(Database(SOURCE, **asked["database"]) if extracts else table,),
        input_file=folder / "input",
        output_file=folder / "output",
        temporary_folder=jobs,
        proxy=Proxy("http://127.0.0.1:9"),
        identity=Identity(task_id=7, node_id=5, organization_id=3, collaboration_id=1),
    )


def main() -> None:
    """Write the run's files and print its variables."""
    asked = json.load(sys.stdin)
    contract, task = (V4, of_v4) if asked["contract"] == "v4" else (V5, of_v5)
    token = "a.run's.token" if contract is V4 else ""  # none of the functions opens it
    prepared = contract.prepare(task(asked, Path(asked["folder"])), token=token)
    prepared.write()
    json.dump(prepared.environment, sys.stdout)


main()
