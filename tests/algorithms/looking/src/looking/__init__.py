"""Functions that look for the policy of the node's owner."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pandas as pd

from algotools import Database, RunInfo, rpc


@rpc
def look(data: Database, info: RunInfo) -> None:
    """Write the names of all variables that this process can see into the folder of the job."""
    child = subprocess.run(
        [sys.executable, "-c", "import json, os; print(json.dumps(sorted(os.environ)))"],
        stdout=subprocess.PIPE,
        check=True,
    )
    initial = Path("/proc/self/environ").read_text() if os.path.exists("/proc/self/environ") else ""
    names = {"own": sorted(os.environ), "child": json.loads(child.stdout), "initial": initial.split("\0")}
    (info.temporary_folder / "names").write_text(json.dumps({**names, "node": sorted(info.variables)}))


@rpc
def rules(rules: Annotated[pd.DataFrame, Database("algotools_rules")]) -> None:
    """Read the policy file."""
