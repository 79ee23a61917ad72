"""The data and the policy of the trial calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Union

import msgspec

from algotools.errors import AlgotoolsError
from algotools.federation.configuration import Member
from algotools.federation.policy import NodePolicy
from algotools.federation.yaml_file import read_file
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


def read_nodes(project: Path | None, setup: TrialSetup) -> TrialNodes:
    """Return the organizations in a project's ``federation.yaml``, or the node of the user's own file."""
    description = project / "federation.yaml" if project else None
    members: Sequence[Member] = ()
    policy = None
    if description is not None and description.is_file():
        try:
            configuration = read_file(description)
            members, policy = configuration.members, configuration.policy
            policy = (members[0].read_policy() if members else None) or policy
        except AlgotoolsError:  # `check_federation` reports it
            members, policy = (), None
    if setup.data:
        databases = {"default": Database("default", str(Path(setup.data).resolve()))}
        members = (Member(Path(setup.data).stem, databases, members[0].variables if members else {}),)
    members = [member.remove_policy() for member in members]
    return TrialNodes(members, setup.policy or policy or setup.default, setup.calls_once)
