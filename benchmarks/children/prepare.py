"""Prepare a run like a node. Runs in the environment of algotools, so that the driver needs only Python.

Standard input: JSON with ``folder``, ``contract`` (v4 or v5), ``method``, ``kwargs``, ``database`` (``uri``, ``type``,
``query``), ``reads_data`` (whether the task requests the database) and ``step`` (v5). Standard output: JSON with the
environment variables.
"""

import json
import sys
from pathlib import Path
from typing import Any

from algotools.federation.contract.v4 import CONTRACT as V4
from algotools.federation.contract.v5 import CONTRACT as V5
from algotools.runtime.contract.v5 import JOB_FOLDER, SOURCE
from algotools.task import Database, Identity, Proxy, Task

OFF = {"ALGOTOOLS_POLICY": "off"}
"""The owner's policy: without the disclosure gate, which the peers do not have."""


def make_v4_task(parameters: dict[str, Any], folder: Path) -> Task:
    """Create a task that requests the database, or a task for which the database is only configured."""
    database = Database("default", **parameters["database"])
    is_requested = bool(parameters["reads_data"])
    return Task(
        method=parameters["method"],
        kwargs=parameters["kwargs"],
        databases=(database,) if is_requested else (),
        configured=() if is_requested else (database,),
        input_file=folder / "input",
        output_file=folder / "output",
        temporary_folder=folder,
        proxy=Proxy("http://127.0.0.1:9", folder / "token"),  # like at a node, but no server listens there
        policy_variables=OFF,
    )


def make_v5_task(parameters: dict[str, Any], folder: Path) -> Task:
    """Create a step of a session: an extraction from the database, or a computation on the table ``default``."""
    jobs = folder / "session" / JOB_FOLDER
    jobs.mkdir(parents=True)
    extracts = parameters["step"] == "data_extraction"
    table = Database("default", str(jobs.parent / "default.parquet"), "parquet")
    return Task(
        method=parameters["method"],
        role="rpc",
        step=parameters["step"],
        kwargs=parameters["kwargs"],
        databases=(Database(SOURCE, **parameters["database"]) if extracts else table,),
        input_file=folder / "input",
        output_file=folder / "output",
        temporary_folder=jobs,
        proxy=Proxy("http://127.0.0.1:9"),
        identity=Identity(task_id=7, node_id=5, organization_id=3, collaboration_id=1),
        policy_variables=OFF,
    )


def main() -> None:
    """Write the files of the run, and print its environment variables."""
    parameters = json.load(sys.stdin)
    contract, task = (V4, make_v4_task) if parameters["contract"] == "v4" else (V5, make_v5_task)
    token = "a.run's.token" if contract is V4 else ""  # the functions do not read the token
    prepared = contract.prepare(task(parameters, Path(parameters["folder"])), token=token)
    prepared.write()
    json.dump(prepared.environment, sys.stdout)


main()
