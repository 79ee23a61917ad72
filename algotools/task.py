"""A task as plain data, the same for all generations of the platform."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Union

from msgspec import Struct, field

Role = Literal["master", "rpc"]
Encoding = Literal["plain", "rich"]
Step = Literal["compute", "data_extraction", "preprocessing"]
"""The purpose of a function. Tables from the last two steps stay at the node, in a session; only v5 has sessions."""


class Database(Struct, frozen=True):
    """A database of the node.

    In a signature, ``Annotated[pandas.DataFrame, Database("label")]`` requests the database with that label. A
    parameter annotated ``Database`` receives path, type and options, without the data.
    """

    label: str
    uri: str = ""
    """A path or a connection URI, as the node's owner configured it."""
    type: str | None = None
    """``csv``, ``sql``, …; None if the node does not name a type."""
    options: Mapping[str, str] = {}
    """Further settings of the owner, by upper-case name."""
    query: str | None = None
    """The query that the task requests, for databases that support queries."""
    sheet_name: str | None = None
    preprocessing: str | None = None
    """The preprocessing steps of a v4 task, as JSON."""
    group: int | None = None
    """Databases with the same group number form one argument (v5)."""

    def __hash__(self) -> int:
        """Return a hash without the options, so that ``Annotated[DataFrame, Database("label")] | None`` works."""
        return hash((self.label, self.uri, self.type))


class Proxy(Struct, frozen=True):
    """The address of the node's proxy and the token for it: in a file, or as a string (v5)."""

    url: str
    token_file: Union[Path, None] = None
    token: str = ""


class Identity(Struct, frozen=True, kw_only=True):
    """The ids in a run's token; ``task_id`` is the parent of every task that the run creates."""

    task_id: int
    node_id: int
    organization_id: int
    collaboration_id: int
    image: str = ""
    databases: Union[str, list[Union[dict[str, object], list[dict[str, object]]]], None] = None
    """The databases of the task, in the generation's own format; subtasks use the same databases."""
    study_id: int | None = None
    store_id: int | None = None
    session_id: int | None = None


class Task(Struct, frozen=True, kw_only=True):
    """A task that a node passes to a container."""

    method: str
    role: Role | None = None
    """None if the generation does not send a role (v4)."""
    step: Step = "compute"
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = {}
    encoding: Encoding = "plain"
    """``rich`` between a master and an rpc that both use algotools."""
    signature: str = ""
    """The signature by the supervisor of the master that has created the task; empty without one."""
    input_hash: str = ""
    """The hash of the input without the signature; empty without a signature."""
    resend_of: int | None = None
    """The subtask whose request a master sends again, because the node seems to have lost the result (v5)."""
    databases: tuple[Database, ...] = ()
    """The databases that the task requests, in the order of the task."""
    configured: tuple[Database, ...] = ()
    """The node's other databases."""
    input_file: Path
    output_file: Path
    temporary_folder: Path | None = None
    proxy: Proxy | None = None
    identity: Identity | None = None
    """From the environment (v5). Otherwise None: the token contains the ids and is decoded on demand."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """The node's own variables for algorithms."""
    policy_variables: Mapping[str, str] = field(default_factory=dict)
    """The policy of the node's owner (``ALGOTOOLS_POLICY…``). The author's code never has these variables."""
    ignored_policy_variables: tuple[str, ...] = ()
    """Names of policy variables that the image sets, not the node's owner, in alphabetical order."""
    policy_file: Path | None = None
    """The policy file of the node's owner (v3, v4)."""


def _make_temporary_folder() -> Path:
    """Create a folder that is removed when this process exits."""
    # Imported here, because few runs need them.
    import atexit
    import os
    import shutil
    import tempfile

    folder, process = tempfile.mkdtemp(prefix="algotools-"), os.getpid()

    def remove() -> None:
        if os.getpid() == process:  # not a process that was forked from this one
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return Path(folder)


class RunInfo(Struct, frozen=True, kw_only=True):
    """The current run: its ids, its temporary folder and the node's variables. Annotate a parameter to receive it.

    The defaults are for unit tests: ``RunInfo(variables={"MINIMUM_ROWS": "5"})``.
    """

    task_id: int = 1
    node_id: int = 1
    organization_id: int = 1
    collaboration_id: int = 1
    temporary_folder: Path = field(default_factory=_make_temporary_folder)
    """Shared by all runs of the same job (v5: session) at this node.

    In a unit test, and at a node that provides no folder, it is a new folder that is removed when the process exits.
    """
    variables: Mapping[str, str] = {}
    """The node's own variables for algorithms, decoded."""


class NodeVariable(Struct, frozen=True):
    """A variable that the owner of a node sets for algorithms.

    In a signature, ``minimum: Annotated[int, NodeVariable("MINIMUM_ROWS")] = 10`` receives the variable of the node
    where the function runs, converted from its text and checked. A task cannot send the value.
    """

    name: str
    """The name among the node's variables (``algorithm_env`` in the node's configuration)."""


IMAGE_VARIABLES = frozenset(
    {
        "PATH", "HOME", "HOSTNAME", "LANG", "LANGUAGE", "PWD", "OLDPWD", "SHLVL", "_", "TERM", "USER", "LOGNAME",
        "SHELL", "TZ", "TMPDIR", "GPG_KEY", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PKG_NAME", "ALGOTOOLS_ALGORITHM",
        "ALGOTOOLS_WORKER_USER", "RUN_CONTEXT_FILE",
    }
)  # fmt: skip
"""Variables of an image, or variables that a node never encodes. No node sets them for an algorithm."""

IMAGE_PREFIXES = ("LC_", "PYTHON")


def is_image_variable(name: str) -> bool:
    """Return whether a variable belongs to the image rather than to the node."""
    return name in IMAGE_VARIABLES or name.startswith(IMAGE_PREFIXES)
