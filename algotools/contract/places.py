"""Where containers have a run's files and a node's databases: on the volume that all tasks of a v3 or v4 node share."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import msgspec

from algotools import debug
from algotools.task import Database, Identity, Proxy, Task

DATA = PurePosixPath("/mnt/data")
TEMPORARY = PurePosixPath("/mnt/tmp")


class SharedVolume:
    """The part of ``Contract`` that v3 and v4 have in common."""

    has_sessions = False
    secrets: tuple[str, ...] = ()

    def hand_over(self, task: Task, url: str, identity: Identity, token: str, folder: Path) -> Task:
        """See ``Contract.hand_over``: the token is in a file, and tells whom it speaks for."""
        del identity, token
        return msgspec.structs.replace(task, proxy=Proxy(url, folder / "token"))

    def inside(self, task: Task, url: str) -> Task:
        """See ``Contract.inside``: a run's files have one folder."""
        folder = Path(DATA / task.output_file.parent.name)
        return moved(
            task,
            databases=tuple(map(_moved, task.databases)),
            configured=tuple(map(_moved, task.configured)),
            input_file=folder / task.input_file.name,
            output_file=folder / task.output_file.name,
            temporary_folder=Path(TEMPORARY) if task.temporary_folder else None,
            proxy=Proxy(url, folder / task.proxy.token_file.name) if task.proxy and task.proxy.token_file else None,
            details=folder,
        )

    def mounted(self, task: Task) -> dict[PurePosixPath, Path]:
        """See ``Contract.mounted``."""
        folder = task.output_file.parent
        return {DATA / folder.name: folder, **({TEMPORARY: task.temporary_folder} if task.temporary_folder else {})}

    def mounted_databases(self, task: Task) -> dict[PurePosixPath, Path]:
        """See ``Contract.mounted_databases``."""
        there = (*task.databases, *task.configured)
        return {place: Path(database.uri) for database in there if (place := _place(database))}


def moved(task: Task, *, details: Path, **fields: object) -> Task:
    """A task with other paths; the owner's own file goes to the folder ``details``."""
    variables = dict(task.variables)
    if debug.VARIABLE in variables:
        variables[debug.VARIABLE] = str(details / Path(variables[debug.VARIABLE]).name)
    return msgspec.structs.replace(task, variables=variables, **fields)


def on_disk(database: Database) -> Path | None:
    """The file or folder of this machine that a database is; None for any other."""
    path = Path(database.uri)
    return None if not database.uri or "://" in database.uri or not path.exists() else path


def _moved(database: Database) -> Database:
    place = _place(database)
    return msgspec.structs.replace(database, uri=str(place)) if place else database


def _place(database: Database) -> PurePosixPath | None:
    """Where a container has a database that is a file or a folder here; None for any other."""
    path = on_disk(database)
    if path is None:
        return None
    return DATA.parent / database.label if path.is_dir() else DATA / f"{database.label}{path.suffix}"
