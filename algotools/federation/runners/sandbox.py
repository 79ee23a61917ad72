"""The sandbox of a worker that the process runner starts: the rights that a run at one node needs (``--confined``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from algotools.declare.functions import Algorithm
from algotools.declare.locate import Location
from algotools.errors import FederationError
from algotools.federation.runners import Job
from algotools.runtime.dispatch import scratch
from algotools.runtime.sandbox.local import LocalSandbox


def make_sandbox(
    job: Job, algorithm: Location | Algorithm, variables: Mapping[str, str], memory: int | None
) -> LocalSandbox:
    """Return the sandbox for a run: it allows the algorithm, the databases of the run's node, and temporary files.

    Args:
        job: the run.
        algorithm: the algorithm that the worker imports.
        variables: the variable of the run's folder for temporary files.
        memory: the memory limit of a run in bytes.

    Raises:
        FederationError: no folder for temporary files can be created.
    """
    folder = _get_scratch_folder(variables)
    task = job.task
    # On v3 and v4 the role is in the input, so every run may reach the proxy, which requires a master's token.
    needs_proxy = task.proxy is not None and (task.role == "master" or not job.contract.has_sessions)
    proxy = urlsplit(task.proxy.url).port if task.proxy is not None and needs_proxy else None
    return LocalSandbox(
        folder=folder,
        readable=find_code(algorithm),
        writable=() if task.temporary_folder is None else (str(task.temporary_folder),),
        databases=tuple(database.uri for database in (*task.databases, *task.configured)),
        ports=() if proxy is None else (proxy,),
        memory=memory,
    )


def make_check_sandbox(algorithm: Location, variables: Mapping[str, str], memory: int | None) -> LocalSandbox:
    """Return the sandbox for the check of a call, which needs only the algorithm; see ``make_sandbox``."""
    return LocalSandbox(folder=_get_scratch_folder(variables), readable=find_code(algorithm), memory=memory)


def _get_scratch_folder(variables: Mapping[str, str]) -> str:
    if scratch.VARIABLE not in variables:
        raise FederationError("a sandbox (--confined) needs a folder for temporary files; set TMPDIR to a writable one")
    return variables[scratch.VARIABLE]


def find_code(algorithm: Location | Algorithm) -> tuple[str, ...]:
    """Return the folders of an algorithm: the project, or the folders of functions that are not in a project."""
    if isinstance(algorithm, Location):
        root = algorithm.root
        if algorithm.file is not None:
            return (str(algorithm.file),)  # its folder may be the user's home
        if root is None:
            return ()  # installed, so Python's own folders contain it
        return (str(next((f for f in (root, root.parent) if (f / "pyproject.toml").is_file()), root)),)
    files = {Path(function.__code__.co_filename) for function in algorithm.functions.values()}
    return tuple(str(file) for file in files if file.is_file())
