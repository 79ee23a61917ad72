"""What a researcher writes in a task: what is called."""

from __future__ import annotations

from collections.abc import Mapping

from algotools.contract import v5
from algotools.errors import FederationError
from algotools.federation.client.selection import Item


def called(method: str, arguments: Mapping[str, object] | None, action: str | None) -> Item:
    """A call as an input says it.

    Raises:
        FederationError: there is no such action.
    """
    roles = {name: role for name, (role, step) in v5.ACTIONS.items() if step == "compute"}
    if action is not None and action not in roles:
        raise FederationError(f"action {action!r}: a task has one of {', '.join(roles)}")
    master = {} if action is None else {"master": roles[action] == "master"}
    return {"method": method, "kwargs": dict(arguments or {}), **master}
