"""The worker: a child process that runs the author's code and reports to its supervisor."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn, TypeVar, cast

import msgspec

from algotools.data.reading import find_path
from algotools.declare import locate
from algotools.declare.functions import Algorithm
from algotools.disclosure.facts import Matches, Permission, TableFacts
from algotools.errors import (
    CODES,
    AlgotoolsError,
    DatabaseUnreadable,
    TokenError,
    UnknownLabel,
    UserError,
    Withheld,
)
from algotools.runtime import lifetime, logs
from algotools.runtime.contract import Contract, detect
from algotools.runtime.dispatch._attribution import get_field_text
from algotools.runtime.dispatch._scan_ahead import start_scan
from algotools.runtime.dispatch.checking import CheckRequest, check
from algotools.runtime.dispatch.messages import (
    ConfiguredReply,
    ConfiguredRequest,
    DatabaseReply,
    DatabaseRequest,
    Declaration,
    IdentityReply,
    IdentityRequest,
    Listener,
    LogLine,
    PermissionReply,
    Reply,
    Request,
    ResultMatches,
    RunFailure,
    RunResult,
    SignatureReply,
    SignatureRequest,
    Start,
    TablesRead,
    TokenReply,
    TokenRequest,
    receive,
    send,
)
from algotools.runtime.dispatch.perform import Load, MatchLine, NodeAccess, perform
from algotools.runtime.dispatch.stack import offer_stack
from algotools.runtime.unexpected import convert_unexpected
from algotools.task import Database, Identity, Task

if TYPE_CHECKING:
    from algotools.runtime.sandbox import Confinement
    from algotools.runtime.sandbox.local import LocalSandbox

Answer = TypeVar("Answer", bound=Reply)


def main(descriptor: int, supervisor: int) -> NoReturn:
    """Run a container's task in this process, which the process *supervisor* has started; *descriptor* is the channel.

    A new interpreter has no copy of the supervisor's memory and of its initial environment. Both contain what the node
    provided for the supervisor alone: the token, and the credentials of databases that the task did not request. The
    interpreter has started before the supervisor has read the task, so the first message has the variables, too.
    """
    lifetime.die_with_parent(supervisor)
    channel = socket.socket(fileno=descriptor)
    start = receive(channel, Start)
    os.environb.clear()
    os.environb.update(start.variables)
    confinement = None
    if start.confinement is not None:
        from algotools.runtime.sandbox import Confinement  # here, because only images need it

        confinement = Confinement(*start.confinement)

    def read() -> tuple[Contract, Task]:
        contract = detect(os.environ)
        return contract, msgspec.structs.replace(contract.read(os.environ), databases=start.databases)

    def load() -> Algorithm:
        start_scan(start.databases)
        return locate.load(locate.locate_in_container(os.environ))

    work(read, load, channel, confinement=confinement, parent=supervisor)


def work(
    read: Callable[[], tuple[Contract, Task]],
    load: Load,
    channel: socket.socket,
    output: int | None = None,
    confinement: Confinement | None = None,
    sandbox: LocalSandbox | None = None,
    *,
    parent: int | None = None,
    guarded_end: int | None = None,
    stack: int | None = None,
) -> NoReturn:
    """Run the task in this process, report over *channel*, and exit.

    Prints of the author's code go to the descriptor *output*; None if they already do. The confinement (in a container)
    or the sandbox (on the author's machine) is applied before the code is imported. This process is killed when its
    parent exits: with the process id *parent*, ``die_with_parent`` is called again after a change of user; with the
    descriptor *guarded_end*, which stays open, the kernel kills the group of this process. The stack can be written to
    the descriptor *stack*; see ``offer_stack``.
    """
    # The process may be forked, and then still has a copy of its parent's stack. An exception or a normal exit would
    # unwind that stack, and run its `finally` blocks and `atexit` handlers a second time. Hence `os._exit` everywhere.
    node: _SupervisedAccess | None = None
    try:
        _leave_parent(channel, output, stack, guarded_end)
        try:
            offer_stack(channel, stack)
            contract, task = read()
            for secret in contract.list_secrets(os.environ):
                del os.environ[secret]
            node = _SupervisedAccess(contract, task, channel, may_request_copies=confinement is not None)
            with logs.use_console(node.write_line):
                if confinement is not None:
                    listener = confinement.apply(task)
                    if listener is not None:
                        send(channel, Listener(), listener)
                        os.close(listener)
                if sandbox is not None:
                    sandbox.apply_and_log()
                if parent is not None:
                    lifetime.die_with_parent(parent)  # a change of user has ended the first call's effect
                data = perform(task, lambda: _load_algorithm(load), node)
            last: RunResult | RunFailure = RunResult(data)
        except AlgotoolsError as error:
            failure = (sandbox.explain_denial(error) if sandbox else error).failure()
            last = RunFailure(*failure)
            if node and isinstance(error, UserError):
                last.field_text, last.matches = get_field_text(error), node.match_line(get_field_text(error))
        except BaseException as error:  # a fault of ours: `perform` converts every error of the author's code
            last = RunFailure(*convert_unexpected(error).failure())
        # Prints are in Python's own buffers, which `os._exit` would discard.
        _flush()
        if node is not None:
            node.flush_lines()
        send(channel, last)
        os._exit(0)
    finally:
        os._exit(1)


def work_check(
    load: Load,
    channel: socket.socket,
    output: int,
    sandbox: LocalSandbox | None = None,
    *,
    guarded_end: int | None,
) -> NoReturn:
    """Check a call in this process, report over *channel*, and exit; see ``work`` for the arguments."""
    try:
        _leave_parent(channel, output, guarded_end)
        call = receive(channel, CheckRequest).call
        if sandbox is not None:
            sandbox.apply()
        with logs.use_console(lambda _line: None):
            reply = check(lambda: _load_algorithm(load), call, sandbox.explain_denial if sandbox else None)
        send(channel, reply)
        os._exit(0)
    finally:
        os._exit(1)


def _leave_parent(channel: socket.socket, output: int | None, *used: int | None) -> None:
    """Give up what a forked process has of its parent: signal handlers, temporary folder, and unused descriptors."""
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_DFL)
    if output is not None:
        _redirect(output, *filter(None, (channel.fileno(), *used)))
    if "tempfile" in sys.modules:  # imported by the template, which has another folder
        import tempfile

        tempfile.tempdir = None


def _load_algorithm(load: Load) -> Algorithm:
    """Import the algorithm with the garbage collector off: imports leave no garbage, and pandas loads 10 % faster."""
    gc.disable()
    try:
        return load()
    finally:
        gc.freeze()
        gc.enable()


def _redirect(output: int, *kept: int) -> None:
    """Redirect standard output and error to *output*, empty standard input, and close all other files but *kept*.

    A process that was forked from a template inherits descriptors of other runs. The author's code
    must not find them.
    """
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):  # the author closed the stream, or replaced it by any object
            stream.flush()


class _SupervisedAccess(NodeAccess):
    """Access over the channel: the supervisor provides what the function's signature and the task name."""

    def __init__(self, contract: Contract, task: Task, channel: socket.socket, *, may_request_copies: bool) -> None:
        super().__init__(lambda: contract.connect(task, self._request(TokenRequest(), TokenReply, TokenError).token))
        self._task = task
        self._channel = channel
        self._may_request_copies = may_request_copies
        self._match: MatchLine | None = None
        self._waiting_lines: list[str] = []
        self._lock = threading.RLock()
        """Held while a message is sent and its reply awaited."""

    def declare(self, declaration: Declaration) -> Permission:
        """See ``NodeAccess``."""
        reply = self._request(declaration, PermissionReply, Withheld)
        permission = cast("Permission", reply.permission)
        if not permission.is_judged:
            self.judge_lines(lambda _line: Matches())
        return permission

    def report_tables(self, tables: tuple[TableFacts, ...]) -> None:
        """See ``NodeAccess``."""
        self._send(TablesRead(tables))

    def report_matches(self, matches: Matches) -> None:
        """See ``NodeAccess``."""
        self._send(ResultMatches(matches))

    def judge_lines(self, match: MatchLine) -> None:
        """See ``NodeAccess``."""
        self._match = match
        self.flush_lines()

    def match_line(self, line: str) -> Matches:
        """Return the facts about a line of the author's code; none before the function is known."""
        return Matches() if self._match is None else self._match(line)

    def write_line(self, line: str) -> None:
        """Send a line of the log. The author's lines wait until the function is known, by whose source they are judged.

        An algorithm can log lines when it is imported.
        """
        if isinstance(line, logs.OwnLine):
            self._send(LogLine(str(line)))
            return
        self._waiting_lines.append(line)
        if self._match is not None:
            self.flush_lines()

    def flush_lines(self) -> None:
        """Send the lines that wait."""
        while self._waiting_lines:
            line = self._waiting_lines.pop(0)
            self._send(LogLine(line, self.match_line(line)))

    def read_identity(self) -> Identity:
        """See ``NodeAccess``."""
        return cast("Identity", self._request(IdentityRequest(), IdentityReply, TokenError).identity)

    def sign(self, method: str, input_hash: str, organizations: Sequence[int]) -> str:
        """See ``NodeAccess``."""
        request = SignatureRequest(method, input_hash, tuple(organizations))
        return self._request(request, SignatureReply, TokenError).signature

    def open_database(self, database: Database) -> Database:
        """See ``NodeAccess``."""
        if database not in self._task.databases and not database.uri:
            reply = self._request(ConfiguredRequest(database.label), ConfiguredReply, UnknownLabel)
            database = cast("Database", reply.database)
        path = find_path(database.uri)
        if path is None or not self._may_request_copies:
            return database
        from algotools.runtime.sandbox import copies  # here, because only images need it

        if copies.is_readable(path):
            return database
        uri = self._request(DatabaseRequest(database.label), DatabaseReply, DatabaseUnreadable).uri
        return msgspec.structs.replace(database, uri=uri)

    def _request(self, request: Request | Declaration, kind: type[Answer], error: type[AlgotoolsError]) -> Answer:
        """Send a request and return the reply; raise the supervisor's error, which has class *error* by default."""
        with self._lock:  # an author may send subtasks in several threads
            self._send(request)
            reply = receive(self._channel, kind)
        if reply.exit_code:
            raise CODES.get(reply.exit_code, error)(reply.message, detail=reply.detail)
        return reply

    def _send(self, message: msgspec.Struct) -> None:
        with self._lock:
            send(self._channel, message)
