"""The data and the policy of the trial calls."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Union

import msgspec

from algotools.declare.locate import Location
from algotools.declare.projects import is_project
from algotools.errors import AlgorithmNotFound, AlgotoolsError
from algotools.federation.configuration import Member
from algotools.federation.policy import NodePolicy
from algotools.federation.yaml_file import read_file
from algotools.project.trial import FILE, TrialTable
from algotools.task import Database


class TrialSetup(msgspec.Struct, frozen=True, kw_only=True):
    """The choices of the user, as the command passes them to its child process."""

    default: NodePolicy = NodePolicy()
    """The policy if the ``federation.yaml`` has none."""
    policy: Union[NodePolicy, None] = None
    """The policy that replaces that of the ``federation.yaml``."""
    data: str = ""
    """The file that replaces the databases in the ``federation.yaml``."""
    calls_once: bool = False
    """Whether each rpc is called once only: neither the split test nor probing follows."""


class TrialNodes(msgspec.Struct, frozen=True):
    """The organizations whose data the trial calls use, and the policy of the first one."""

    members: Sequence[Member] = ()
    policy: NodePolicy = NodePolicy()
    calls_once: bool = False
    """See ``TrialSetup``."""
    fault: str = ""
    """The reason why there are no organizations."""


def read_table(location: Location, project: Path | None) -> TrialTable:
    """Return the author's arguments: those of the project, or of the folder of a single file."""
    if location.file is None:
        return TrialTable.read(project)
    folder = location.file.parent
    with contextlib.suppress(AlgorithmNotFound):  # the file is not TOML
        # The table of a project names the project's own methods.
        if (folder / FILE).is_file() and not is_project(folder):
            return TrialTable.read(folder)
    return TrialTable.read(None)


def read_nodes(folder: Path | None, setup: TrialSetup) -> TrialNodes:
    """Return the organizations in the ``federation.yaml`` of a folder, or the node of the user's own file."""
    description = folder / "federation.yaml" if folder else None
    members: Sequence[Member] = ()
    policy = None
    fault = "no federation.yaml names data"
    if description is not None and description.is_file():
        try:
            configuration = read_file(description)
            members, policy = configuration.members, configuration.policy
            policy = (members[0].read_policy() if members else None) or policy
        except AlgotoolsError as error:  # for a project, `check_federation` reports it, too
            members, policy = (), None
            fault = error.message
    if setup.data:
        databases = {"default": Database("default", str(Path(setup.data).resolve()))}
        members = (Member(Path(setup.data).stem, databases, members[0].variables if members else {}),)
    members = [member.remove_policy() for member in members]
    return TrialNodes(members, setup.policy or policy or setup.default, setup.calls_once, fault)
