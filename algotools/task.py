"""A task as one node sees it: plain data, the same for every generation of the platform."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Union

from msgspec import Struct, field

Role = Literal["master", "rpc"]
Encoding = Literal["plain", "rich"]
Step = Literal["compute", "data_extraction", "preprocessing"]
"""What a function is for. Tables that the latter two return stay at their node, in a session, which only v5 has."""


class Database(Struct, frozen=True):
    """One database of the node.

    Also what an author writes in a signature: ``Annotated[pandas.DataFrame, Database("label")]`` asks for
    the database of that label, a parameter annotated ``Database`` gets path, type and options, unread.
    """

    label: str
    uri: str = ""
    """A path or a connection URI, as the node's owner configured it."""
    type: str | None = None
    """``csv``, ``sql``, …; None if the node does not say."""
    options: Mapping[str, str] = {}
    """What else the owner configured, by upper-case name."""
    query: str | None = None
    """The query that the task asks for, where the database takes one."""
    sheet_name: str | None = None
    preprocessing: str | None = None
    """JSON text of v4's list of preprocessing steps."""
    group: int | None = None
    """Databases of one number make up one argument, where a task groups them (v5)."""


class Proxy(Struct, frozen=True):
    """Where the node's proxy listens, and the token that it wants to see: in a file, or by itself (v5)."""

    url: str
    token_file: Union[Path, None] = None
    token: str = ""


class Identity(Struct, frozen=True, kw_only=True):
    """Whom a run's token speaks for; ``task_id`` is the parent of every task it creates."""

    task_id: int
    node_id: int
    organization_id: int
    collaboration_id: int
    image: str = ""
    databases: Union[str, list[Union[dict[str, object], list[dict[str, object]]]], None] = None
    """The databases that the task asks for, in the generation's own words; subtasks use the same."""
    study_id: int | None = None
    store_id: int | None = None
    session_id: int | None = None


class Task(Struct, frozen=True, kw_only=True):
    """What a node asks of a container, whatever its generation."""

    method: str
    role: Role | None = None
    """None where the generation does not tell (v4)."""
    step: Step = "compute"
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = {}
    encoding: Encoding = "plain"
    """``rich`` is what our own master asks of our own rpc."""
    databases: tuple[Database, ...] = ()
    """The databases that the task asks for, in its order."""
    configured: tuple[Database, ...] = ()
    """The node's other databases."""
    input_file: Path
    output_file: Path
    temporary_folder: Path | None = None
    proxy: Proxy | None = None
    identity: Identity | None = None
    """Only where the environment tells (v5); else the token does, which is opened when a function asks."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """The node's own variables for algorithms."""


class RunInfo(Struct, frozen=True, kw_only=True):
    """Injected where a function annotates it: which run this is, and what the node lends it."""

    task_id: int
    node_id: int
    organization_id: int
    collaboration_id: int
    temporary_folder: Path | None
    """Shared by all runs of the same job (v5: session) at this node; None if the node lends none."""
    variables: Mapping[str, str]
    """The node's own variables for algorithms, decoded."""
