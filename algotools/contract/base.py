"""What every generation's contract offers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from algotools.client import Connection
from algotools.contract.platform import Platform
from algotools.task import Database, Identity, Task


class Prepared(NamedTuple):
    """What a node hands a container: variables, and files with their content."""

    environment: dict[str, str]
    files: dict[Path, bytes]

    def write(self) -> None:
        """Put the files where the variables say."""
        for path, content in self.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


class Contract(Protocol):
    """One generation of the platform. For every task that it can express, ``read(prepare(task)) == task``."""

    name: str
    tells_unknown_labels: bool
    """Whether a node that does not have a requested database names it to the container all the same."""

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
        """The researcher's side: a task's input as it is posted.

        Raises:
            NotSerializable: something in it has no JSON form.
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

    def databases(self, requested: list[Database]) -> str | list[dict[str, object]]:
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
