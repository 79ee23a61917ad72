"""A job of Slurm: a scheduler and workers of Dask, and a federation on them, as on the page about engines."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from ...conftest import AVERAGE, ROOT, algotools
from ...processes import find_processes, is_alive, wait_until
from .clusters import SlurmCluster, list_started

pytestmark = pytest.mark.cluster

ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


def read_script() -> str:
    """Return the script of the page, for this machine: two tasks on the loopback address, and this environment."""
    page = (ROOT / "docs/concepts/engines.md").read_text(encoding="utf-8")
    script = re.search(r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", page, re.DOTALL)
    assert script is not None
    text = script[1]
    values = {
        "--ntasks=40": "--ntasks=2",
        " --mem-per-cpu=4G": "",  # this Slurm has no memory to allocate
        "--time=02:00:00": "--time=5",
        "source ~/venv/bin/": f"source {Path(sys.executable).parent}/",
        "dask scheduler --": "dask scheduler --host 127.0.0.1 --",
        "dask worker --": "dask worker --host 127.0.0.1 --",
    }
    for value, local_value in values.items():
        assert text.count(value) == 1, value
        text = text.replace(value, local_value)
    folders = os.environ["PATH"].split(os.pathsep)
    path = os.pathsep.join(folder for folder in folders if not Path(folder, "algotools").exists())
    return text.replace(
        "#SBATCH", f"#SBATCH --chdir={{folder}}\n#SBATCH --export=ALL,ALGOTOOLS_HISTORY=on,PATH={path}", 1
    )


def submit(slurm: SlurmCluster, command: str, *, folder: Path) -> str:
    """Submit the script of the page with another command of algotools."""
    script = read_script().replace("{folder}", str(folder))
    call = re.search(r"algotools ask .*?(?= --runner)", script)
    assert call is not None
    return slurm.submit(script.replace(call[0], command))


def test_a_job_gives_the_results_of_runner_process_and_a_second_job_continues(slurm, tmp_path) -> None:
    shutil.copytree(AVERAGE, project := tmp_path / "average", ignore=shutil.ignore_patterns(".algotools"))
    call = ["ask", "master", "column_name=age", "--grid", "organizations:=[[2,3],[3,4]]"]
    logs = []
    for _ in range(2):
        job = submit(slurm, f"algotools {shlex.join(call)}", folder=project)
        wait_until(lambda job=job: slurm.read_state(job) in ENDED)
        logs.append((slurm.folder / "job.log").read_text(encoding="utf-8"))
        assert slurm.read_state(job) == "COMPLETED", logs[-1]
        wait_until(lambda job=job: not find_processes(f"dask-{job}.json"))
        assert not list(project.glob("dask-*"))
    assert algotools(*call, "--no-history", "--output", "process.csv", cwd=project).returncode == 0
    tables = [file.read_text(encoding="utf-8") for file in (project / "process.csv", *project.glob("fits-*.csv"))]
    assert len(tables) == 3
    assert len(set(tables)) == 1
    reused = "2 of 2 tasks are in the history"
    assert [reused in log for log in logs] == [False, True], logs


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
    wait_until(lambda: not list(tmp_path.glob("dask-*")))
    wait_until(lambda: "CANCELLED" in log.read_text(encoding="utf-8", errors="replace"))
    assert "Traceback" not in log.read_text(encoding="utf-8", errors="replace").partition("slurmstepd")[0]
