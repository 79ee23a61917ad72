"""What every generation's contract offers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol

from algotools.client import Connection
from algotools.contract.platform import Platform
from algotools.task import Database, Identity, Role, Step, Task


class Prepared(NamedTuple):
    """What a node hands a container: variables, and files with their content."""

    environment: dict[str, str]
    files: dict[Path, bytes]

    def write(self) -> None:
        """Put the files where the variables say."""
        for path, content in self.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


class Request(NamedTuple):
    """What a researcher posts: an input, and what is called where the input does not say (v5)."""

    data: bytes
    method: str = ""
    role: Role | None = None
    step: Step = "compute"


class Contract(Protocol):
    """One generation of the platform. For every task that it can express, ``read(prepare(task)) == task``."""

    name: str
    tells_unknown_labels: bool
    """Whether a node that does not have a requested database names it to the container all the same."""
    has_sessions: bool
    """Whether a task works on a session's tables, instead of on the node's databases."""
    secrets: tuple[str, ...]
    """How variables begin that the author's code is not to find: it gets what is meant for it by other ways."""

    def prepare(self, task: Task, token: str = "", posted: bytes | None = None) -> Prepared:
        """The node's side: variables and files for a task; ``posted`` is its input where a node passes it on unread.

        Raises:
            ContractError: names what of the task this generation cannot express.
        """

    def read(self, environ: Mapping[str, str]) -> Task:
        """The container's side: the task that variables and files tell of.

        Raises:
            ContractError: a variable is missing or malformed.
            InputError, PickleRefused: the input file is not what this generation writes.
        """

    def input(self, content: Mapping[str, object]) -> bytes:
        """A task's input as it is posted, by a researcher or by a master.

        Raises:
            NotSerializable: something in it has no JSON form.
            ContractError: the generation cannot express it.
        """

    def request(self, content: Mapping[str, object], step: Step = "compute") -> Request:
        """The researcher's side: a call with ``method``, ``args``, ``kwargs`` and ``master``, answered in JSON.

        Raises:
            NotSerializable, ContractError: see ``input``.
        """

    def output(self, data: bytes) -> bytes:
        """The container's side: an encoded result as the output file has it."""

    def result(self, output: bytes) -> bytes:
        """The master's side: the encoded result that ``output`` was given.

        Raises:
            ValueError: the output is none that this generation writes.
        """

    def answer(self, output: bytes) -> object:
        """The researcher's side: the value in an output file; the bytes themselves where it is not JSON."""

    def databases(self, requested: list[Database]) -> str | list[Any]:
        """How a task's token names the databases that it asks for."""

    def connect(self, task: Task, token: str) -> Connection:
        """The container's side of the node's proxy.

        Raises:
            TokenError: the token is not one that a node hands out.
        """

    def respond(
        self, method: str, path: str, query: Mapping[str, str], body: bytes, caller: Identity, platform: Platform
    ) -> tuple[int, object]:
        """The proxy's side: status and JSON that a request is answered with."""

    def hand_over(self, task: Task, url: str, identity: Identity, token: str, folder: Path) -> Task:
        """The node's side: a task with the proxy at ``url``, and whom it speaks for there.

        ``folder`` has the run's files.
        """

    def inside(self, task: Task, url: str) -> Task:
        """The node's side: a task with the paths that its container sees, and the proxy where it does."""

    def mounted(self, task: Task) -> dict[PurePosixPath, Path]:
        """The node's side: which files and folders of a run a container may write to, and where it has them."""

    def mounted_databases(self, task: Task) -> dict[PurePosixPath, Path]:
        """The node's side: databases that are files and folders, and where a container has them."""
