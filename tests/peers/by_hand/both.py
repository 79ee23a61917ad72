"""One task given twice, with one and the same environment: to a peer's real wrapper and to ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from algotools.contract import Contract, token
from algotools.task import Identity, Task

from ...conftest import ALGORITHMS, Ended

HERE = Path(__file__).parent
OURS = "import runpy; runpy.run_module('algotools', run_name='__main__')"
"""What ``python -m algotools`` does."""

V4 = "from vantage6.algorithm.tools.wrap import wrap_algorithm; wrap_algorithm()"
V5 = V4
V3 = "from vantage6.tools.docker_wrapper import auto_wrapper; auto_wrapper('twice')"
V3_CSV = "from vantage6.tools.docker_wrapper import docker_wrapper; docker_wrapper('twice')"

IMAGE = {"PATH": os.environ["PATH"], "HOME": str(Path.home()), "LANG": "C.UTF-8", "PKG_NAME": "twice"}
"""What the image sets; the node knows nothing of it."""

IDENTITY = Identity(task_id=7, node_id=5, organization_id=3, collaboration_id=1, image="image", databases="default")
KEY = b"k" * 32
TOKEN = token.make(IDENTITY, KEY)


class Starter:
    """An interpreter that has imported some modules, and runs each command in a fork of itself."""

    def __init__(self, python: str | Path, *modules: str) -> None:
        self._process = subprocess.Popen(
            [python, HERE / "starter.py", *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**IMAGE, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert self._answer() == "ready"

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def run(self, command: str, environment: Mapping[str, str], log: Path) -> int:
        """The exit status of a command, as ``python -c`` would have it."""
        assert self._process.stdin is not None
        request = {"command": command, "environment": dict(environment), "log": str(log)}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._answer())

    def close(self) -> None:
        """End it by its word: the end of the pipe may be open in processes that others have forked from this one."""
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.write("\n")
            self._process.stdin.flush()


class Pair(NamedTuple):
    """How both ended."""

    theirs: Ended
    ours: Ended


class Both:
    """A node's folder for one task after the other."""

    def __init__(self, folder: Path, theirs: Starter, ours: Starter, generation: str) -> None:
        self.folder = folder
        self._theirs, self._ours = theirs, ours
        self._generation = generation

    def prepare(self, contract: Contract, task: Task, posted: bytes, identity: Identity | None) -> dict[str, str]:
        """Write the node's files; gives its variables and the image's."""
        prepared = contract.prepare(task, token.make(identity, KEY) if identity else "", posted)
        prepared.write()
        if task.temporary_folder is not None:
            task.temporary_folder.mkdir(parents=True, exist_ok=True)
        return {**IMAGE, **prepared.environment}

    def start(self, environment: Mapping[str, str], command: str) -> Pair:
        """Start both on what is prepared; ``command`` is their image's."""
        return Pair(
            self._start(self._theirs, command, environment, self._generation),
            self._start(self._ours, OURS, environment, "ours"),
        )

    def _start(self, starter: Starter, command: str, environment: Mapping[str, str], source: str) -> Ended:
        output, log = self.folder / "output", self.folder / "log"
        output.write_bytes(b"")
        code = starter.run(command, {**environment, **installed(source)}, log)
        return Ended(code, log.read_text(encoding="utf-8"), "", output.read_bytes())


def installed(source: str) -> dict[str, str]:
    """Where an image has the algorithm: the only thing in which the environments of both differ."""
    return {"PYTHONPATH": os.pathsep.join(str(ALGORITHMS / f"twice_{name}") for name in (source, "shared"))}


def one_process(command: str, python: str | Path, environment: Mapping[str, str], source: str) -> int:
    """Start a command as an image does, without what ``Starter`` shares between starts."""
    ended = subprocess.run(
        [python, "-c", command], env={**environment, **installed(source)}, capture_output=True, check=False, timeout=60
    )
    return ended.returncode


def our_starter() -> Starter:
    """With what most runs import."""
    return Starter(sys.executable, "pandas", "pyarrow.parquet", "openpyxl", "sqlalchemy", "algotools.container")
