"""The origin of a task: its master and its organizations, which the policy can require before data is read.

The supervisor reads these facts itself: from the server (v3, v4), or from the signature of the master's supervisor.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from algotools.disclosure.facts import Intent
from algotools.disclosure.policy import Policy
from algotools.disclosure.signature import Signature, SignedCall, sign
from algotools.task import Identity, Task

REQUEST = "_request"
"""The argument with the totals of earlier rounds of a pooled function. The researcher does not choose it."""


class TaskOrigin(Struct, frozen=True, kw_only=True):
    """Facts about a task that its server reports."""

    parent: int | None
    """The id of the task whose run has created this task; None for the task of a researcher."""
    has_same_image: bool
    """Whether the parent runs exactly the image of this task; false without a parent."""
    organizations: int
    """Number of organizations that the task was sent to; 0 if the number was not requested."""


class OriginSource(Protocol):
    """The supervisor's access to the facts about the task of a run."""

    @property
    def has_sessions(self) -> bool:
        """Whether a task requests tables of a session (v5)."""

    def read_identity(self) -> Identity:
        """Return the ids of the run.

        Raises:
            TokenError: the node gives no ids.
        """

    def read_origin(self, *, with_organizations: bool) -> TaskOrigin | None:
        """Return the facts that the server reports; None if a node of this generation cannot request them (v5).

        Raises:
            ProxyError: the server does not respond.
        """

    def claim_signature(self, nonce: str, task_id: int) -> bool:
        """Record that a task uses a signature; return false if another task has used the signature."""

    def log(self, text: str) -> None:
        """Write a line to the log of the run."""


class TaskRefusal(NamedTuple):
    """The reason why a task may not run, before data is read."""

    setting: str
    reason: str
    way_out: str


class OriginCheck:
    """Checks the origin of a run's task, and signs the subtasks of the run if it is a master."""

    def __init__(self, task: Task, source: OriginSource) -> None:
        self._task = task
        self._source = source
        self._key = ""
        self._rounds: defaultdict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))
        """Method -> the numbers of the next subtasks."""

    def find_refusal(self, intent: Intent, policy: Policy) -> TaskRefusal | None:
        """Return the reason why the policy does not let the function run; None if the function may run."""
        self._key = policy.key
        is_internal = not intent.standalone
        has_minimum = policy.organizations > 1 and intent.step == "compute" and bool(intent.databases)
        if not is_internal and not has_minimum:
            return None
        origin = self._source.read_origin(with_organizations=has_minimum)
        masters = _name_masters(intent.masters)
        if is_internal and origin is not None:
            if origin.parent is None:
                reason = "it runs only for its master, and the task was not created by a master"
                return TaskRefusal("parent", reason, f"call {masters}")
            if not origin.has_same_image:
                reason = "it runs only for its master, and the task was created by a run of another image"
                return TaskRefusal("parent", reason, f"call {masters} of the same image")
        signature = Signature.parse(self._task.signature) if self._key else None
        if self._key and (is_internal or self._task.signature):
            if fault := self._find_fault(signature, intent, origin):
                return TaskRefusal(
                    "key",
                    f"it runs only for its master, and {fault}",
                    f"call {masters}; all nodes of the collaboration need the same ALGOTOOLS_POLICY_KEY",
                )
        elif is_internal and origin is None:
            if policy.parent == "require":
                reason = "it runs only for its master, and this node cannot know which task has created this one"
                return TaskRefusal("parent", reason, "ask the owners of the nodes to set ALGOTOOLS_POLICY_KEY")
            self._source.log(
                f"{self._task.method} runs only for its master, and this node cannot know which task has created this "
                "one; it runs, because ALGOTOOLS_POLICY_PARENT is verify"
            )
        return self._check_organizations(policy, origin, signature) if has_minimum else None

    def sign(self, method: str, input_hash: str, organizations: Sequence[int]) -> str:
        """Return the signature of a subtask of this run; empty if the policy has no key.

        The method, the input and the organizations are those that the worker names. The master's task and the round
        are known to the supervisor.
        """
        if not self._key:
            return ""
        task = self._source.read_identity().task_id
        call = SignedCall(method, input_hash, self._list_tables())
        return str(sign(self._key, call, task, next(self._rounds[method]), organizations))

    def _list_tables(self) -> tuple[str, ...]:
        """Return the tables of a v5 session that the task requests; a subtask requests the same tables."""
        return tuple(database.label for database in self._task.databases) if self._source.has_sessions else ()

    def _find_fault(self, signature: Signature | None, intent: Intent, origin: TaskOrigin | None) -> str:
        """Return the fault of a signature; empty if it is valid for this task."""
        if not self._task.signature:
            return "the task has no signature of a master's node"
        call = SignedCall(self._task.method, self._task.input_hash, self._list_tables())
        if signature is None or not signature.is_valid(self._key, call):
            return "the signature of the task is not valid"
        identity = self._source.read_identity()
        is_replay = origin is not None and origin.parent != signature.task
        if is_replay or identity.organization_id not in signature.organizations:
            return "the signature belongs to another task"
        if intent.is_pooled and signature.round == 1 and self._has_totals():
            return "the signature belongs to another round"
        if origin is None and not self._source.claim_signature(signature.nonce, identity.task_id):
            return "another task has used the signature"
        return ""

    def _has_totals(self) -> bool:
        """Return whether the call of a pooled function has totals, which only earlier rounds compute."""
        from algotools.disclosure import replies  # here, because most runs need no rules

        return replies.has_totals(str(self._task.kwargs.get(REQUEST, "")))

    def _check_organizations(
        self, policy: Policy, origin: TaskOrigin | None, signature: Signature | None
    ) -> TaskRefusal | None:
        """Return the refusal of a task with too few organizations."""
        least = policy.organizations
        if origin is None and signature is None:
            reason = "this node cannot know how many organizations the task was sent to"
            if self._key or policy.parent == "require":
                return TaskRefusal("organizations", reason, "call a master, whose node signs the number")
            self._source.log(
                f"{reason}, so ALGOTOOLS_POLICY_ORGANIZATIONS={least} is not checked; it is checked with the "
                "collaboration's ALGOTOOLS_POLICY_KEY"
            )
            return None
        count = origin.organizations if origin is not None else len(set(signature.organizations)) if signature else 0
        if count >= least:
            return None
        reason = f"the task was sent to {count} of at least {least} organizations"
        return TaskRefusal("organizations", reason, "send the task to more organizations")


def _name_masters(methods: Sequence[str]) -> str:
    """Return the masters for a message."""
    return f"the master {' or '.join(map(repr, methods))}" if methods else "its master"
