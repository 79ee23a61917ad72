"""Run one task in the same environment with a peer's real wrapper and with ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from algotools.federation.contract import NodeContract
from algotools.federation.contract.rest import make_token
from algotools.task import Identity, Task

from ...conftest import ALGORITHMS, CompletedRun

HERE = Path(__file__).parent
OURS = "import runpy; runpy.run_module('algotools', run_name='__main__')"
"""The code of ``python -m algotools``."""

V4 = "from vantage6.algorithm.tools.wrap import wrap_algorithm; wrap_algorithm()"
V5 = V4
V3 = "from vantage6.tools.docker_wrapper import auto_wrapper; auto_wrapper('twice')"
V3_CSV = "from vantage6.tools.docker_wrapper import docker_wrapper; docker_wrapper('twice')"

IMAGE = {"PATH": os.environ["PATH"], "HOME": str(Path.home()), "LANG": "C.UTF-8", "PKG_NAME": "twice"}
"""The variables of the image, which the node does not know."""

IDENTITY = Identity(task_id=7, node_id=5, organization_id=3, collaboration_id=1, image="image", databases="default")
KEY = b"k" * 32
TOKEN = make_token(IDENTITY, KEY)


class Starter:
    """An interpreter that has imported some modules, and runs each command in a forked process."""

    def __init__(self, python: str | Path, *modules: str) -> None:
        self._process = subprocess.Popen(
            [python, HERE / "starter.py", *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**IMAGE, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert self._read_reply() == "ready"

    def _read_reply(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def run(self, command: str, environment: Mapping[str, str], log: Path) -> int:
        """Run a command and return its exit status, like ``python -c``."""
        assert self._process.stdin is not None
        request = {"command": command, "environment": dict(environment), "log": str(log)}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._read_reply())

    def close(self) -> None:
        """Stop the interpreter with an empty line. The end of the pipe may be open in other forked processes."""
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.write("\n")
            self._process.stdin.flush()


class PairResult(NamedTuple):
    """The results of both wrappers."""

    theirs: CompletedRun
    ours: CompletedRun


class WrapperPair:
    """Runs tasks, one after the other, with both wrappers in one folder of a node."""

    def __init__(self, folder: Path, theirs: Starter, ours: Starter, generation: str) -> None:
        self.folder = folder
        self._theirs, self._ours = theirs, ours
        self._generation = generation

    def prepare(self, contract: NodeContract, task: Task, posted: bytes, identity: Identity | None) -> dict[str, str]:
        """Write the files of the node; return the variables of the node and of the image."""
        prepared = contract.prepare(task, make_token(identity, KEY) if identity else "", posted)
        prepared.write()
        if task.temporary_folder is not None:
            task.temporary_folder.mkdir(parents=True, exist_ok=True)
        return {**IMAGE, **prepared.environment}

    def start(self, environment: Mapping[str, str], command: str) -> PairResult:
        """Start both wrappers with a prepared environment; ``command`` is the command of the peer's image."""
        return PairResult(
            self._start(self._theirs, command, environment, self._generation),
            self._start(self._ours, OURS, environment, "ours"),
        )

    def _start(self, starter: Starter, command: str, environment: Mapping[str, str], source: str) -> CompletedRun:
        output, log = self.folder / "output", self.folder / "log"
        output.write_bytes(b"")
        code = starter.run(command, {**environment, **algorithm_path(source)}, log)
        return CompletedRun(code, log.read_text(encoding="utf-8"), "", output.read_bytes())


def algorithm_path(source: str) -> dict[str, str]:
    """Return the variable with the algorithm's folders, the only difference between both environments."""
    return {"PYTHONPATH": os.pathsep.join(str(ALGORITHMS / f"twice_{name}") for name in (source, "shared"))}


def run_in_fresh_process(command: str, python: str | Path, environment: Mapping[str, str], source: str) -> int:
    """Run a command in a process that shares nothing with other runs, like a container."""
    completed = subprocess.run(
        [python, "-c", command],
        env={**environment, **algorithm_path(source)},
        capture_output=True,
        check=False,
        timeout=300,
    )
    return completed.returncode


def make_our_starter() -> Starter:
    """Return a starter with the modules that most runs import."""
    return Starter(sys.executable, "pandas", "pyarrow.parquet", "openpyxl", "sqlalchemy", "algotools.runtime.run")
