"""The container's side of each generation of the platform: read variables and files, write the output.

``vN.py`` reads the task that a node of generation N has prepared. A master's connection to the node's proxy
(``_proxy.py``) is loaded only if a function needs it. The node's side is in ``algotools.federation.contract``, which no
image contains.
"""

from __future__ import annotations

import enum
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

import msgspec

from algotools.errors import ContractError
from algotools.payload import RICH, encode_arguments
from algotools.runtime.contract.environment import decode
from algotools.runtime.contract.files import sign_input
from algotools.task import Task

if TYPE_CHECKING:
    from algotools.runtime.client import Connection

__all__ = ["FINAL_STATUSES", "NAMES", "Contract", "ContractChoice", "detect", "get_contract"]


class ContractChoice(str, enum.Enum):
    """The generations as a choice on the command line; Python callers pass a plain string."""

    V3 = "v3"
    V4 = "v4"
    V5 = "v5"


NAMES = tuple(choice.value for choice in ContractChoice)

FINAL_STATUSES = frozenset(
    {
        "completed", "failed", "start failed", "non-existing Docker image", "crashed", "killed by user", "not allowed",
        "unknown error", "dataframe not found", "depended on failed task", "unexpected output",
    }
)  # fmt: skip
"""The statuses of a finished run."""

_WRAPPED = b'["' + RICH + b'","'
"""First bytes of a rich encoding inside a JSON document; base64 follows."""


class Contract(ABC):
    """One generation of the platform, on the container's side."""

    name: str
    prefix = b""
    """Bytes before the JSON of inputs and outputs (v3)."""
    has_sessions = False
    """Whether a task uses the tables of a session instead of the node's databases."""
    knows_origin = True
    """Whether the run of an rpc can ask the server which task has created its own (v3, v4)."""

    @abstractmethod
    def read(self, environ: Mapping[str, str]) -> Task:
        """Return the task that the node's variables and files describe.

        Raises:
            ContractError: a variable is missing or malformed.
            InputError: the input file does not have this generation's format.
            PickleRefused: the input file is a pickle.
        """

    @abstractmethod
    def list_secrets(self, environ: Mapping[str, str]) -> set[str]:
        """Return the variables in *environ* that the author's code must not see.

        These are the token, and the databases that the task does not request. A function receives them in other ways
        if its signature names them.
        """

    @abstractmethod
    def connect(self, task: Task, token: str) -> Connection:
        """Return a master's connection to the node's proxy.

        Raises:
            TokenError: the token does not have the platform's format.
        """

    def encode_input(self, content: Mapping[str, object]) -> bytes:
        """Encode a task's input, as a researcher or a master posts it.

        Raises:
            NotSerializable: a value has no JSON form.
            ContractError: the generation cannot express the input.
        """
        return self.prefix + encode_arguments(content, str(content.get("method", "")), depth=1)

    def sign_input(self, data: bytes, sign: Callable[[str], str]) -> bytes:
        """Add a signature to the encoded input of a subtask; *sign* returns the signature for the hash of an input."""
        return self.prefix + sign_input(data.removeprefix(self.prefix), sign)

    def wrap_result(self, data: bytes) -> bytes:
        """Return the content of the output file for an encoded result.

        The rich encoding becomes a text in a JSON document. Plain JSON, and a table (v5), are written unchanged.
        """
        # The rich encoding alone would be shorter. But a v4 proxy that decrypts results accepts only text, and v3's
        # client fails to read anything except JSON.
        return self.prefix + (msgspec.json.encode([RICH.decode(), data]) if data.startswith(RICH) else data)

    def unwrap_result(self, output: bytes) -> bytes:
        """Return the encoded result in an output file's content: the inverse of ``wrap_result``.

        Raises:
            ValueError: the output does not have this generation's format.
        """
        start = len(self.prefix) if output.startswith(self.prefix) else 0
        if not output.startswith(_WRAPPED, start):
            return output[start:]
        return msgspec.json.decode(memoryview(output)[start:], type=tuple[str, bytes])[1]


def get_contract(name: str) -> Contract:
    """Return the contract of a generation.

    Raises:
        ContractError: the generation is unknown.
    """
    if name not in NAMES:
        raise ContractError(f"unknown contract {name!r} (choose from {', '.join(NAMES)})")
    return cast("Contract", importlib.import_module(f"{__name__}.{name}").CONTRACT)


def detect(environ: Mapping[str, str]) -> Contract:
    """Return the contract of the node that set these variables.

    Raises:
        ContractError: the variables are not those of a node of a supported generation.
    """
    # No variable names the generation, so the first difference decides:
    # - only v5 names the action of a function;
    # - of the others, only v4 encodes its variables, so INPUT_FILE is not a path;
    # - 4.0 and 4.1 do not encode yet, but can request several databases, so the name of a variable is in the plural.
    if "FUNCTION_ACTION" in environ and "ALGORITHM_METHOD" in environ:
        return get_contract("v5")
    input_file = environ.get("INPUT_FILE")
    if input_file is None:
        raise ContractError(
            "this process was not started by a node: the variable INPUT_FILE is missing "
            "(`python -m algotools` is a container's entry point; on a laptop, use `algotools run`)"
        )
    plain = input_file.startswith("/")
    if not plain and decode(input_file) is None:
        raise ContractError("the variable INPUT_FILE is neither an absolute path nor a base32 text")
    return get_contract("v4" if not plain or "USER_REQUESTED_DATABASE_LABELS" in environ else "v3")
