"""The supervisor's replies to the requests of a worker, and its decisions about the lines of a worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from algotools.disclosure.gate import WITHHELD_LINE, Gate
from algotools.errors import AlgotoolsError, DatabaseUnreadable, TokenError, UnknownLabel, Withheld
from algotools.runtime.contract.environment import read_run_token, read_token
from algotools.runtime.dispatch._worker_errors import make_label_error, make_misuse_error
from algotools.runtime.dispatch.messages import (
    ConfiguredReply,
    ConfiguredRequest,
    DatabaseReply,
    DatabaseRequest,
    Declaration,
    IdentityReply,
    LogLine,
    PermissionReply,
    Reply,
    Request,
    SignatureReply,
    SignatureRequest,
    TokenReply,
    TokenRequest,
)
from algotools.runtime.logs import Console, format_line
from algotools.task import Task

if TYPE_CHECKING:
    from algotools.runtime.sandbox.copies import Copies


class Replies:
    """The parts of the node that a worker may have: those that the task or the function's signature names.

    Args:
        task: the task that the worker runs.
        gate: judges the function, and signs subtasks.
        console: receives the lines of the run's log.
        note: receives the notes for the node's owner.
        pid: the worker's process.
        compute_remaining_time: returns the seconds until the deadline of the run, or raises ``TimedOut``.
        may_request_copies: whether the worker may request copies of databases that it cannot open itself.
    """

    def __init__(
        self,
        task: Task,
        gate: Gate,
        console: Console,
        note: Callable[[str], None],
        pid: int,
        compute_remaining_time: Callable[[], float],
        *,
        may_request_copies: bool,
    ) -> None:
        self._task = task
        self._gate = gate
        self._console = console
        self._note = note
        self._pid = pid
        self._compute_remaining_time = compute_remaining_time
        self._may_request_copies = may_request_copies
        self._copies: Copies | None = None
        self._declaration: Declaration | None = None
        self._reported_labels: set[str] = set()

    @property
    def source(self) -> str | None:
        """The folder of the algorithm, or the file of a notebook's cell; None before the worker has declared it."""
        return self._declaration.source if self._declaration else None

    def close(self) -> None:
        """Remove the copies of databases."""
        if self._copies is not None:
            self._copies.remove()

    def _permit(self, declaration: Declaration) -> PermissionReply:
        """Ask the gate whether the function may read its data; the worker waits for the reply."""
        if self._declaration is not None:
            raise make_misuse_error()
        self._declaration = declaration
        try:
            return PermissionReply(permission=self._gate.permit(declaration.intent))
        except Withheld as error:
            return PermissionReply(**error.failure()._asdict())

    def reply_to(self, request: Request | Declaration) -> Reply:
        """Return the reply to a request: what the task or the function's signature names, and nothing else."""
        if isinstance(request, Declaration):
            return self._permit(request)
        declaration = self._declaration or Declaration()
        if isinstance(request, DatabaseRequest):
            return self._copy_database(request.label, declaration)
        if isinstance(request, ConfiguredRequest):
            return self._provide_database(request.label, declaration)
        try:
            if isinstance(request, (TokenRequest, SignatureRequest)):
                # Only a master has a client. The local federation does not tell masters and rpcs apart in its task.
                is_rpc = self._may_request_copies and self._task.role == "rpc"
                if not declaration.token or is_rpc:
                    raise TokenError("the function has no parameter for a client, so it does not get the node's token")
                if isinstance(request, SignatureRequest):
                    return SignatureReply(signature=self._gate.sign(*msgspec.structs.astuple(request)))
                return TokenReply(token=read_run_token(self._task))
            if not declaration.identity:
                raise TokenError("the function has no parameter for the run's ids, so it does not get them")
            return IdentityReply(identity=read_token(read_run_token(self._task)))
        except AlgotoolsError as error:
            kinds: dict[type, type[Reply]] = {TokenRequest: TokenReply, SignatureRequest: SignatureReply}
            return kinds.get(type(request), IdentityReply)(**error.failure()._asdict())

    def _provide_database(self, label: str, declaration: Declaration) -> Reply:
        """Reply with a database that the signature names and the task did not request."""
        database = next((d for d in self._task.configured if d.label == label), None)
        if database is None or label not in declaration.labels:
            return ConfiguredReply(**make_label_error().failure()._asdict())
        if label not in self._reported_labels:
            self._reported_labels.add(label)
            text = f"the function reads database {label!r}, which the task did not request"
            self._console(format_line("info", text))
        return ConfiguredReply(database=database)

    def _copy_database(self, label: str, declaration: Declaration) -> Reply:
        """Copy a database for the worker, and reply with the copy's URI."""
        if not self._may_request_copies:
            raise make_misuse_error()
        if self._copies is None:
            from algotools.runtime.sandbox.copies import Copies  # here, because few runs need a copy

            self._copies = Copies(self._task, self._pid, self._note)
        try:
            if label not in {*declaration.labels, *(d.label for d in self._task.databases)}:
                raise make_label_error()
            return DatabaseReply(uri=self._copies.get(label, self._compute_remaining_time))
        except (DatabaseUnreadable, UnknownLabel) as error:
            return DatabaseReply(**error.failure()._asdict())


def judge_line(gate: Gate, message: LogLine) -> str:
    """Return the line for the run's log: the worker's line, or the note that it is withheld."""
    level, _, text = message.line.partition(" > ")
    percent = ""
    if level == "progress":
        percent, _, text = text.partition(" ")
    if message.matches is None or gate.check_line(text, message.matches):
        return message.line
    return f"progress > {percent}" if percent else format_line("info", WITHHELD_LINE)
