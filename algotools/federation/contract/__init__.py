"""The node's side of each generation: it prepares a run's variables and files, and responds as the node's proxy.

``vN.py`` contains the variables, files and proxy of a generation. The container's side, which reads the variables and
files, is in ``algotools.runtime.contract``. Each contract in this package extends the contract in the other.
"""

from __future__ import annotations

import importlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, cast

from algotools.federation.contract import rest
from algotools.federation.contract.rest import OrganizationRecord, Platform, RunRecord, TaskRecord
from algotools.runtime import contract
from algotools.runtime.contract import NAMES, Contract
from algotools.task import Database, Identity, Role, Step, Task

__all__ = ["NAMES", "Item", "NodeContract", "PreparedRun", "Request", "decode_input", "get_contract"]

Item = dict[str, object]
"""A record as the API shows it in a response."""


class PreparedRun(NamedTuple):
    """The environment variables and the files, with their content, that a node prepares for a container."""

    environment: dict[str, str]
    files: dict[Path, bytes]

    def write(self) -> None:
        """Write the files."""
        for path, content in self.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


class Request(NamedTuple):
    """A request of a researcher: the input and, on v5, the parts of the call that the input does not contain."""

    data: bytes
    method: str = ""
    role: Role | None = None
    step: Step = "compute"
    chosen_organizations: tuple[int, ...] | None = None
    """The organizations that arguments of a master name; None if the algorithm's signature is not known."""


def decode_input(data: bytes) -> dict[str, Any] | None:
    """Return the input of a task of any generation; None if it is not JSON, such as a pickle, which is not opened."""
    try:
        content = json.loads(data[max(0, data.find(b"{")) :])  # v3 has a prefix
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


class NodeContract(Contract):
    """A generation of the platform, on both sides.

    ``read(prepare(task)) == task`` for every task that the generation can express.
    """

    passes_unknown_labels = True
    """Whether a node passes the label of a requested database that it does not have to the container."""

    @abstractmethod
    def prepare(self, task: Task, token: str = "", posted: bytes | None = None) -> PreparedRun:
        """Return the variables and files for a task.

        Args:
            task: the task.
            token: the token of the run.
            posted: the input as the researcher posted it, which a node passes on unread; default: make the input from
                the task.

        Raises:
            ContractError: this generation cannot express a part of the task; the message names the part.
        """

    def make_request(self, content: Mapping[str, object], step: Step = "compute") -> Request:
        """Return the request for a call with ``method``, ``args``, ``kwargs`` and ``master``.

        Raises:
            NotSerializable, ContractError: see ``encode_input``.
        """
        return Request(self.encode_input(content), step=step)

    def add_query(self, content: Mapping[str, object], databases: Sequence[object]) -> Mapping[str, object]:
        """Return the content of a request, with the query if this generation sends queries in the input (v3)."""
        del databases
        return content

    def decode_output(self, output: bytes) -> object:
        """Return the value of an output file; its bytes if they are not JSON, or lack the prefix of v3.

        NaN and Infinity are accepted, because images made with other tools write them and the platform's own clients
        read them.
        """
        if not output:
            return None
        if not output.startswith(self.prefix):
            return output
        try:
            return json.loads(output[len(self.prefix) :].decode())
        except (ValueError, RecursionError):
            return output

    @abstractmethod
    def name_databases(self, requested: list[Database]) -> str | list[Any]:
        """Return the databases that a task requests in the format of the run's token."""

    @abstractmethod
    def respond(
        self, method: str, path: str, query: Mapping[str, str], body: bytes, caller: Identity, platform: Platform
    ) -> tuple[int, object]:
        """Return the proxy's response to a request of a container: status and JSON."""

    @abstractmethod
    def show_task(self, task: TaskRecord, platform: Platform) -> Item:
        """Return a task as the API shows it."""

    @abstractmethod
    def show_run(self, run: RunRecord, platform: Platform) -> Item:
        """Return a run as the API shows it, without its result."""

    @abstractmethod
    def show_result(self, run: RunRecord, platform: Platform) -> Item:
        """Return the result of a run as the API shows it. Its bytes become base64 in JSON."""

    @abstractmethod
    def show_organization(self, organization: OrganizationRecord) -> Item:
        """Return an organization as the API shows it."""

    @abstractmethod
    def show_collaboration(self, platform: Platform) -> Item:
        """Return the collaboration as the API shows it."""

    def show_node(self, organization: OrganizationRecord, platform: Platform) -> Item:
        """Return the node of an organization as the API shows it."""
        id_ = platform.node_id(organization.id)
        return {
            "id": id_,
            "name": platform.node_name(id_),
            "status": platform.node_status(id_),
            "organization": rest.make_reference("organization", organization.id),
            "collaboration": rest.make_reference("collaboration", platform.collaboration_id),
            "type": "node",
            "ip": None,
            "last_seen": None,
            "config": [],
        }

    @abstractmethod
    def add_proxy(self, task: Task, url: str, identity: Identity, token: str, folder: Path) -> Task:
        """Return a task with the proxy at ``url`` and the run's identity. ``folder`` contains the run's files."""

    @abstractmethod
    def map_to_container(self, task: Task, url: str) -> Task:
        """Return a task with the paths in its container, and ``url`` as the proxy's URL."""

    @abstractmethod
    def list_mounts(self, task: Task) -> dict[PurePosixPath, Path]:
        """Return the files and folders that a run may write to: path in the container -> path on this machine."""

    @abstractmethod
    def list_database_mounts(self, task: Task) -> dict[PurePosixPath, Path]:
        """Return the databases that are files or folders: path in the container -> path on this machine."""


def get_contract(name: str) -> NodeContract:
    """Return the contract of a generation.

    Raises:
        ContractError: the generation is unknown. The message lists the known generations.
    """
    contract.get_contract(name)
    return cast("NodeContract", importlib.import_module(f"{__name__}.{name}").CONTRACT)
