"""The supervisor's access to the origin of its run's task: the server, the run's ids, and the used signatures."""

from __future__ import annotations

import contextlib
import fcntl
from pathlib import Path

from algotools.disclosure.parent import TaskOrigin
from algotools.runtime.contract import Contract
from algotools.runtime.contract.environment import read_identity, read_run_token
from algotools.runtime.logs import Console, format_line
from algotools.task import Identity, Task

USED_SIGNATURES = ".algotools-signatures"
"""File in the folder of a v5 session: the signatures that tasks have used, each with the id of its task."""


class NodeOrigin:
    """See ``OriginSource``."""

    def __init__(self, task: Task, contract: Contract, console: Console) -> None:
        self._task = task
        self._contract = contract
        self._console = console

    @property
    def has_sessions(self) -> bool:
        """See ``OriginSource``."""
        return self._contract.has_sessions

    def read_identity(self) -> Identity:
        """See ``OriginSource``."""
        return read_identity(self._task)

    def read_origin(self, *, with_organizations: bool) -> TaskOrigin | None:
        """See ``OriginSource``."""
        if not self._contract.knows_origin:
            return None
        with contextlib.closing(self._contract.connect(self._task, read_run_token(self._task))) as connection:
            return connection.read_origin(with_organizations=with_organizations)

    def claim_signature(self, nonce: str, task_id: int) -> bool:
        """See ``OriginSource``. The memory is the session's folder, so it does not span sessions."""
        folder = self._task.temporary_folder
        line = f"{nonce} {task_id}"
        try:
            if folder is None:
                raise FileNotFoundError
            return _claim(folder.parent / USED_SIGNATURES, nonce, line)
        except OSError as error:
            self.log(
                f"this node cannot record that the signature of the task is used ({type(error).__name__}), so it would "
                "not notice a repetition"
            )
            return True

    def log(self, text: str) -> None:
        """See ``OriginSource``."""
        self._console(format_line("info", text))


def _claim(path: Path, nonce: str, line: str) -> bool:
    """Add a line to a file unless the file has another line with the nonce; return false then."""
    with path.open("a+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        for earlier_line in file.read().splitlines():
            if earlier_line.startswith(f"{nonce} "):
                return earlier_line == line
        file.write(f"{line}\n")
        return True
