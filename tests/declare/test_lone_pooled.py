"""A pooled function alone: its algorithm imports neither ``AlgorithmClient`` nor a federation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ..processes import LIMIT

MODULE = """
import sys
import pandas as pd
from algotools import Aggregator, federated

@federated
def mean(data: pd.DataFrame, total: Aggregator, column: str) -> float:
    return total.mean(data[column])

assert "algotools.runtime.client" not in sys.modules
print([p.name for p in mean.specification.arguments], [p.kind for p in mean.specification.parameters])
"""


def test_an_algorithm_that_does_not_import_the_client_can_be_described(tmp_path: Path) -> None:
    (tmp_path / "lone.py").write_text(MODULE)
    completed = subprocess.run(
        [sys.executable, "lone.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=LIMIT
    )
    assert completed.stdout == "['column', 'organizations'] ['argument', 'argument', 'client']\n", completed.stderr
