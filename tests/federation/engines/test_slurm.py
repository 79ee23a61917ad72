"""A job of Slurm: a scheduler and workers of Dask, and a federation on them, as on the page about engines."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from ...conftest import AVERAGE, ROOT, algotools
from ...processes import find_processes, is_alive, wait_until
from .clusters import SlurmCluster, list_started

pytestmark = pytest.mark.cluster

ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


def read_script() -> str:
    """Return the script of the page, for this machine: three tasks on the loopback address."""
    page = (ROOT / "docs/concepts/engines.md").read_text(encoding="utf-8")
    script = re.search(r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", page, re.DOTALL)
    assert script is not None
    text = script[1].replace("--ntasks=40", "--ntasks=2").replace("--time=02:00:00", "--time=5")
    for kind in ("scheduler", "worker"):
        assert f"dask {kind} --" in text
        text = text.replace(f"dask {kind} --", f"dask {kind} --host 127.0.0.1 --")
    folder = Path(sys.executable).parent
    return text.replace(
        "#SBATCH", f"#SBATCH --chdir={{folder}}\n#SBATCH --export=ALL,PATH={folder}:{os.environ['PATH']}", 1
    )


def submit(slurm: SlurmCluster, command: str, *, folder: Path) -> str:
    """Submit the script of the page with another command of algotools."""
    script = read_script().replace("{folder}", str(folder))
    call = re.search(r"algotools run .*?(?= --runner)", script)
    assert call is not None
    return slurm.submit(script.replace(call[0], command))


def test_a_job_gives_the_results_of_runner_process(slurm, tmp_path) -> None:
    call = ["run", "average_partial", "column_name=age", "--algorithm", str(AVERAGE), "--json", "--no-history"]
    job = submit(slurm, f"algotools {' '.join(call)}", folder=tmp_path)
    wait_until(lambda: slurm.read_state(job) in ENDED)
    log = (slurm.folder / "job.log").read_text(encoding="utf-8")
    assert slurm.read_state(job) == "COMPLETED", log
    expected = json.loads(algotools(*call, "--output", str(tmp_path / "process.json"), cwd=tmp_path).stdout)
    written = [json.loads((tmp_path / name).read_text(encoding="utf-8")) for name in ("result.json", "process.json")]
    assert written[0]["results"] == written[1]["results"]
    assert len(expected) == 3
    wait_until(lambda: not find_processes(f"dask-{job}.json"))


def test_a_cancelled_job_leaves_no_process(slurm, tmp_path, slow_project) -> None:
    files = [tmp_path / f"{number}.csv" for number in (2, 3)]
    for file in files:
        file.write_text("age\n1\n", encoding="utf-8")
    data = " ".join(f"--data {file}" for file in files)
    command = f"algotools run wait folder={tmp_path} seconds:=600 --algorithm {slow_project} {data} --no-history"
    job = submit(slurm, command, folder=tmp_path)
    wait_until(lambda: len(list_started(tmp_path)) == 2 or slurm.read_state(job) in ENDED)
    log = slurm.folder / "job.log"
    assert slurm.read_state(job) == "RUNNING", log.read_text(encoding="utf-8")
    pids = [pid for pids in list_started(tmp_path).values() for pid in pids]
    slurm.run("scancel", job)
    wait_until(lambda: slurm.read_state(job) in ENDED)
    assert slurm.read_state(job) == "CANCELLED"
    wait_until(lambda: not any(map(is_alive, pids)) and not find_processes(f"dask-{job}.json"))
    wait_until(lambda: "CANCELLED" in log.read_text(encoding="utf-8", errors="replace"))
    assert "Traceback" not in log.read_text(encoding="utf-8", errors="replace").partition("slurmstepd")[0]
