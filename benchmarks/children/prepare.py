"""Prepare a run as a v4 node does; runs in our environment, so that the driver needs nothing but Python.

Standard input: JSON with ``folder``, ``method``, ``kwargs``, ``database`` and ``reads_data`` (whether the task asks
for the database). Standard output: JSON with the variables.
"""

import json
import sys
from pathlib import Path

from algotools.contract.v4 import CONTRACT
from algotools.task import Database, Proxy, Task


def main() -> None:
    """Write the run's files and print its variables; the proxy is named, as always, and listens nowhere."""
    asked = json.load(sys.stdin)
    folder = Path(asked["folder"])
    database = Database("default", asked["database"], "csv")
    wanted = bool(asked["reads_data"])
    prepared = CONTRACT.prepare(
        Task(
            method=asked["method"],
            kwargs=asked["kwargs"],
            databases=(database,) if wanted else (),
            configured=() if wanted else (database,),
            input_file=folder / "input",
            output_file=folder / "output",
            temporary_folder=folder,
            proxy=Proxy("http://127.0.0.1:9", folder / "token"),
        ),
        token="a.run's.token",  # neither function opens it
    )
    prepared.write()
    json.dump(prepared.environment, sys.stdout)


main()
