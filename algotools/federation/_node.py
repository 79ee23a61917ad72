"""The node of one organization: prepare a task as a real node does, run it, and report the outcome to the server."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from algotools.disclosure import FEDERATION, LEDGER
from algotools.disclosure.ledger import LedgerProblem, prepare_folder
from algotools.errors import (
    AlgotoolsError,
    DatabaseUnreadable,
    EngineError,
    Failure,
    TimedOut,
    UnknownLabel,
    UnsupportedDatabase,
    Withheld,
)
from algotools.federation import _probing
from algotools.federation._frames import ensure_file
from algotools.federation._sessions import SessionFolders, Sessions
from algotools.federation._store import Store
from algotools.federation.configuration import Member
from algotools.federation.contract import NodeContract, PreparedRun
from algotools.federation.contract.prepare import LEDGER_FOLDER, POLICY_LEDGER, split_variables
from algotools.federation.contract.rest import RunRecord, TaskRecord
from algotools.federation.faults import Faults, Rounds
from algotools.federation.folders import Folders
from algotools.federation.policy import NodePolicy, check_generation
from algotools.federation.runners import Cancellation, Job, Runner
from algotools.payload import check_size
from algotools.runtime import logs
from algotools.runtime.contract import v5
from algotools.runtime.run import TIMEOUT
from algotools.task import Database, Identity, Task

_NO_GATE = (
    "the node's policy has no effect: this algorithm is made with other tools, or with an earlier version of "
    "algotools, so it has no disclosure gate"
)


class NodeContext(NamedTuple):
    """The things that all nodes of a platform share."""

    contract: NodeContract
    store: Store
    sessions: Sessions
    folders: Folders
    timeout: float | None
    """Seconds after which a run is cancelled."""
    pause: Callable[[RunRecord, float], object]
    """Delays a run; raises ``CancelledError`` when the platform is closed meanwhile."""
    policy: NodePolicy
    """The policy of each node whose owner has no other."""
    policy_file: Path | None
    """The file of ``policy``; None if the policy has no file."""
    ledger: Path | None
    """The folder of the project's ledger, in which the nodes without a ledger of their own record runs."""
    federation: str
    """A random name for the entries of ledgers, because the ids of each local federation begin at 1."""


class Node:
    """The node of one organization.

    Args:
        context: the things that all nodes share.
        member: the organization, its databases and variables.
        organization_id: id of the organization.
        faults: the faults that the node imitates.
    """

    def __init__(self, context: NodeContext, member: Member, organization_id: int, faults: Faults) -> None:
        self.faults = faults
        self.rounds = Rounds(faults, organization_id)
        self._context = context
        self._contract = context.contract
        self._store = context.store
        self._policy = _find_policy(context, member)
        rules = member.find_rules()
        own_file = None if rules is None else Path(rules.uri.removeprefix("file://"))
        self._policy_file = context.policy_file if self._policy is context.policy else own_file
        self._ledger_variables = _make_ledger_variables(context, member, self._policy)
        self._member = member = member.remove_policy()
        self._folder = context.folders.base / f"node-{organization_id}"
        self._runs_folder = context.folders.runs / f"node-{organization_id}"
        self._cancellations: dict[int, Cancellation] = {}
        self._tables: SessionFolders | None = None
        if self._contract.has_sessions:
            self._tables = SessionFolders(member, self._folder, context.sessions)

    @property
    def ledger_folder(self) -> Path | None:
        """The folder of the node's ledger; None if the node has none."""
        folder = self._ledger_variables.get(POLICY_LEDGER) or self._ledger_variables.get(LEDGER)
        return None if folder is None else Path(folder)

    @property
    def labels(self) -> list[str]:
        """The labels of the node's databases."""
        return list(self._member.databases)

    @property
    def databases(self) -> Mapping[str, Database]:
        """The node's databases by label, without those of its policy."""
        return self._member.databases

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables that the node's owner sets for algorithms, without those of its policy."""
        return self._member.variables

    def make_identity(self, run: RunRecord, task: TaskRecord) -> Identity:
        """Return the identity that the token of a run proves."""
        return Identity(
            task_id=task.id,
            node_id=run.node_id,
            organization_id=run.organization_id,
            collaboration_id=self._store.collaboration_id,
            image=task.image,
            databases=task.databases,
            session_id=task.session_id,
        )

    def find_position(self, run: RunRecord) -> str:
        """Return " at FILE, line N": the line of the author's code where a run is; empty if it is unknown."""
        cancellation = self._cancellations.get(run.id)
        return "" if cancellation is None else cancellation.find_position()

    def cancel(self, run: RunRecord) -> None:
        """Cancel a run that has started."""
        if (cancellation := self._cancellations.get(run.id)) is not None:
            cancellation.request()

    def execute(self, run: RunRecord, task: TaskRecord, token: str, runner: Runner, url: str) -> None:
        """Run a task until it finishes. ``token`` lets its container use the API at ``url``."""
        self._cancellations[run.id] = cancellation = Cancellation()
        folder = self._runs_folder / f"task-{run.id:09d}"
        try:
            self._store.mark_fetched(run)
            if not run.finished_at:  # otherwise it was killed after it was submitted
                self._execute(run, task, token, runner, url, cancellation, folder)
        finally:
            del self._cancellations[run.id]
            shutil.rmtree(folder, ignore_errors=True)  # the store has copied its content

    def _execute(
        self,
        run: RunRecord,
        task: TaskRecord,
        token: str,
        runner: Runner,
        url: str,
        cancellation: Cancellation,
        folder: Path,
    ) -> None:
        details = folder / "details.log"
        timeout = self._context.timeout
        try:
            node_task = self._make_task(task, folder, {logs.OWNER_LOG: str(details)})
            job = self._prepare_job(node_task, run, task, token, url, cancellation, folder)
            if not runner.sees_frames:
                for database in (*node_task.databases, *node_task.configured):
                    ensure_file(Path(database.uri))
            self._store.mark_started(run)
            if not runner.has_gate and not self._policy.parse().is_off:
                self._store.log(run, logs.format_line("info", _NO_GATE))
            started = time.monotonic()
            code = runner.run(job, lambda line: self._store.log(run, line), timeout)
        except AlgotoolsError as error:
            self._store.finish(run, _start_failure_status(error, task), failure=error.failure())
            return
        failure: Failure | None = None
        detail = details.read_text(encoding="utf-8", errors="backslashreplace") if details.exists() else ""
        self._write_owner_log(run, detail, folder)
        try:
            if self.faults.delay:
                self._delay(run, started, timeout)
            output = b"" if code else self._apply_wrong((folder / "output").read_bytes())
            if task.step == "compute":
                check_size(len(output))  # a real server could not store a larger result, whichever tool encoded it
            if self._tables and task.step != "compute" and not code:
                self._tables.store_table(task, run, output)
                output = b""  # a table stays at the node
        except AlgotoolsError as error:
            status = "unexpected output" if isinstance(error, DatabaseUnreadable) else "crashed"
            failure, output = error.failure(), b""
        else:
            status = "crashed" if code else "completed"
        if self.rounds.finish(run.id, lambda seconds: self._context.pause(run, seconds)):
            self._store.finish(run, status, output, detail, failure)
        else:
            self._store.lost_run_ids.add(run.id)

    def _write_owner_log(self, run: RunRecord, detail: str, folder: Path) -> None:
        """Write the details of a run to the owner's log, as at a real node, if the author has set its path."""
        path = self._member.variables.get(logs.OWNER_LOG) or os.environ.get(logs.OWNER_LOG)
        if not path or not detail:
            return
        owner = logs.OwnersLog(path, folder / "output")
        # A local federation is one process, so all of its nodes may write to one file.
        owner.note(f"{self._member.name} (id {run.organization_id}), run {run.id}:")
        owner.write(detail.encode(errors="backslashreplace"))
        if problem := owner.close():
            self._store.log(run, logs.format_line("info", problem))

    def probe(
        self,
        run: RunRecord,
        task: TaskRecord,
        token: str,
        runner: Runner,
        url: str,
        is_stopped: Callable[[], bool],
        deadline: float,
    ) -> Failure | None:
        """Repeat a completed run as at a node that probes, and return the refusal; None for any other outcome.

        *deadline* is a time of ``time.monotonic``.
        """
        from algotools.runtime.dispatch.probing import mute  # here, because few federations probe

        timeout = min(deadline - time.monotonic(), self._context.timeout or math.inf)
        policy_variables = _probing.make_probing_policy(self._policy)
        if timeout <= 0 or policy_variables is None or not runner.has_gate:
            return None
        folder = self._runs_folder / f"probe-{run.id:09d}"
        lines: list[str] = []
        try:
            node_task = self._make_task(task, folder)
            variables = {name: text for name, text in node_task.variables.items() if name not in (LEDGER, FEDERATION)}
            variables[TIMEOUT] = f"{timeout:.3f}"
            node_task = msgspec.structs.replace(
                node_task,
                temporary_folder=node_task.temporary_folder if self._tables else folder / "temporary",
                variables=variables,
                policy_variables=policy_variables,
            )
            # The functions of the inline runner print in this process, as they already did in the run itself.
            with _probing.cancel_if_stopped(is_stopped) as cancellation, mute():
                job = self._prepare_job(node_task, run, task, token, url, cancellation, folder)
                code = runner.run(job, lines.append, timeout)
        except AlgotoolsError:
            return None
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return logs.read_failure("\n".join(lines)) if code == Withheld.exit_code else None

    def _delay(self, run: RunRecord, started: float, timeout: float | None) -> None:
        """Delay the result of a slow node, at most until the time limit of its run.

        Raises:
            TimedOut: the delay reaches the time limit.
        """
        remaining = math.inf if timeout is None else timeout - (time.monotonic() - started)
        self._context.pause(run, max(0.0, min(self.faults.delay, remaining)))
        if timeout is not None and self.faults.delay > remaining:
            raise TimedOut(f"the run did not end within its limit of {timeout:g} s")

    def _apply_wrong(self, output: bytes) -> bytes:
        """Return the output, or the replacement that the fault ``Wrong`` gives."""
        wrong = self.faults.wrong
        return (
            self._contract.wrap_result(wrong.replace_result(self._contract.unwrap_result(output))) if wrong else output
        )

    def _prepare_job(
        self,
        node_task: Task,
        run: RunRecord,
        task: TaskRecord,
        token: str,
        url: str,
        cancellation: Cancellation,
        folder: Path,
    ) -> Job:
        """Write the files of a run, and return the job for its runner."""

        def prepare(visible_task: Task) -> PreparedRun:
            return self._contract.prepare(visible_task, token, run.input)

        job_task = self._contract.add_proxy(node_task, url, self.make_identity(run, task), token, folder)
        prepared = prepare(job_task)
        prepared.write()
        return Job(job_task, prepared.environment, prepare, self._contract, cancellation)

    def _make_task(self, task: TaskRecord, folder: Path, variables: Mapping[str, str] | None = None) -> Task:
        """Return the task with this node's paths and databases. The input is forwarded without decoding it."""
        timeout = self._context.timeout
        limit = {TIMEOUT: str(timeout)} if timeout else {}
        ledger_variables, ledger_policy = split_variables(self._ledger_variables)
        if self._tables:
            temporary = self._tables.ensure_folder(task) / v5.JOB_FOLDER
            requested = self._tables.find_databases(task)
            configured: tuple[Database, ...] = ()
        else:
            temporary = self._folder / f"job-{task.job_id}-tmp"  # the runner or the worker creates it
            requested = tuple(self._find_databases(task.databases))
            labels = {database.label for database in requested}
            configured = tuple(d for label, d in self._member.databases.items() if label not in labels)
        return Task(
            method=task.method,
            role=task.role or "rpc",
            step=task.step,
            databases=requested,
            configured=configured,
            input_file=folder / "input",
            output_file=folder / "output",
            temporary_folder=temporary,
            variables={**self._member.variables, **(variables or {}), **limit, **ledger_variables},
            policy_variables={**self._policy.variables, **ledger_policy},
            policy_file=self._policy_file,
        )

    def _find_databases(self, requested: str | list[Any]) -> list[Database]:
        """Return the node's databases with the requested labels."""
        items = requested if isinstance(requested, list) else [{"label": requested}] if requested else []
        databases = []
        for item in items:
            label = str(item["label"])
            details = {key: str(text) for key, text in item.items() if key != "label"}
            if label in self._member.databases:
                databases.append(msgspec.structs.replace(self._member.databases[label], **details))
            elif self._contract.passes_unknown_labels:
                databases.append(Database(label))
        return databases


def _make_ledger_variables(context: NodeContext, member: Member, policy: NodePolicy) -> dict[str, str]:
    """Return the variables of a node's ledger: that of the policy, otherwise that of the project.

    A node of v4 has the ledger of its policy in the database ``algotools_ledger``, whose path in a container the policy
    then names.
    """
    settings = policy.parse()
    folder = Path(settings.ledger) if settings.ledger else context.ledger
    if settings.is_off or folder is None:
        return {}
    if str(folder) == str(LEDGER_FOLDER):
        folder = member.find_ledger() or folder
    if folder == context.ledger or folder.is_dir():
        with contextlib.suppress(LedgerProblem):  # each run reports the problem
            prepare_folder(folder)
    return {POLICY_LEDGER if settings.ledger else LEDGER: str(folder), FEDERATION: context.federation}


def _find_policy(context: NodeContext, member: Member) -> NodePolicy:
    """Return the policy of a node: its owner's own policy if there is one, otherwise that of the federation.

    Raises:
        PolicyError: the owner's own policy is malformed, or the generation cannot express it.
    """
    own_policy = member.read_policy()
    if own_policy is not None:
        check_generation(own_policy, context.contract.name, has_files=not context.contract.has_sessions)
    return own_policy or context.policy


def _start_failure_status(error: AlgotoolsError, task: TaskRecord) -> str:
    """Return the final status of a run that its node could not start."""
    if isinstance(error, EngineError):
        return "start failed"
    no_data = isinstance(error, (UnknownLabel, DatabaseUnreadable, UnsupportedDatabase))
    return "dataframe not found" if no_data and task.step != "data_extraction" else "failed"
