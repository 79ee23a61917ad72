"""One node in small: it prepares a task as a real node does, has it run, and tells the server the outcome."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from algotools import container, data, debug
from algotools.contract import Contract, v5
from algotools.contract.base import Prepared
from algotools.contract.platform import Run
from algotools.contract.platform import Task as TaskRecord
from algotools.errors import (
    AlgotoolsError,
    DatabaseUnreadable,
    EngineError,
    TimedOut,
    UnknownLabel,
    UnsupportedDatabase,
)
from algotools.federation.configuration import Member
from algotools.federation.faults import Faults
from algotools.federation.runners import Ending, Job, Runner
from algotools.federation.sessions import Sessions
from algotools.federation.store import Store
from algotools.payload import check_size
from algotools.task import Database, Identity, Task

if TYPE_CHECKING:
    from algotools.federation.tables import SessionFolders

Pause = Callable[[Run, float], object]
"""Lets a run wait for so many seconds; raises ``CancelledError`` when the federation is closed meanwhile."""


class Node:
    """The node of one organization.

    Args:
        member: the organization, and what its node has.
        contract: the generation that it speaks.
        store: the server.
        folder: for what it keeps: the temporary folders of jobs, the tables of sessions.
        runs: for the files of each run, which go with it.
        faults: what is wrong with it.
        pause: see ``Pause``.
        sessions: those of the server.
    """

    def __init__(
        self,
        member: Member,
        contract: Contract,
        store: Store,
        folder: Path,
        runs: Path,
        faults: Faults,
        pause: Pause,
        sessions: Sessions,
    ) -> None:
        self.faults = faults
        self._endings: dict[int, Ending] = {}
        self._tables: SessionFolders | None = None
        if contract.has_sessions:
            from algotools.federation.tables import SessionFolders  # here: it needs pandas, which no other node does

            self._tables = SessionFolders(member, folder, sessions)
        self._pause = pause
        self._member = member
        self._contract = contract
        self._store = store
        self._folder = folder
        self._runs = runs

    @property
    def labels(self) -> list[str]:
        """The labels of its databases."""
        return list(self._member.databases)

    def identity(self, run: Run, task: TaskRecord) -> Identity:
        """Whom the token of a run speaks for."""
        return Identity(
            task_id=task.id,
            node_id=run.node_id,
            organization_id=run.organization_id,
            collaboration_id=self._store.collaboration_id,
            image=task.image,
            databases=task.databases,
            session_id=task.session_id,
        )

    def end(self, run: Run) -> None:
        """End a run that has begun."""
        if (ending := self._endings.get(run.id)) is not None:
            ending.ask()

    def execute(self, run: Run, task: TaskRecord, token: str, runner: Runner, url: str, timeout: float | None) -> None:
        """Run a task to its end, whatever that is. ``token`` is what its container may speak to the API with."""
        self._endings[run.id] = ending = Ending()
        folder = self._runs / f"task-{run.id:09d}"
        try:
            self._execute(run, task, token, runner, url, timeout, ending, folder)
        finally:
            del self._endings[run.id]
            shutil.rmtree(folder, ignore_errors=True)  # what is in it is the server's now

    def _execute(
        self,
        run: Run,
        task: TaskRecord,
        token: str,
        runner: Runner,
        url: str,
        timeout: float | None,
        ending: Ending,
        folder: Path,
    ) -> None:
        self._store.fetched(run)
        if run.finished_at:
            return  # killed since it was submitted
        details = folder / "details.log"
        variables = {debug.VARIABLE: str(details), **({container.TIMEOUT: str(timeout)} if timeout else {})}

        def prepare(seen: Task) -> Prepared:
            return self._contract.prepare(seen, token, run.input)

        try:
            known = self._task(task, folder, variables)
            prepared_for = self._contract.hand_over(known, url, self.identity(run, task), token, folder)
            prepared = prepare(prepared_for)
            prepared.write()
            if not runner.sees_frames:
                for database in (*known.databases, *known.configured):
                    data.place(database)
            self._store.started(run)
            began = time.monotonic()
            job = Job(prepared_for, prepared.environment, prepare, self._contract, ending)
            code = runner.run(job, lambda line: self._store.said(run, line), timeout)
        except AlgotoolsError as error:
            self._store.ended(run, _status(error, task), failure=error.failure())
            return
        detail = details.read_text(encoding="utf-8", errors="backslashreplace") if details.exists() else ""
        try:
            if self.faults.delay:
                self._delay(run, began, timeout)
            output = b"" if code else self._answer((folder / "output").read_bytes())
            if task.step == "compute":
                check_size(len(output))  # whatever made it: the server could not keep it
            if self._tables and task.step != "compute" and not code:
                self._tables.keep(task, run, output)
                output = b""  # a table stays here
        except AlgotoolsError as error:
            status = "unexpected output" if isinstance(error, DatabaseUnreadable) else "crashed"
            self._store.ended(run, status, detail=detail, failure=error.failure())
            return
        self._store.ended(run, "crashed" if code else "completed", output, detail)

    def _delay(self, run: Run, began: float, timeout: float | None) -> None:
        """Hold back the answer of a slow node, no longer than its run may take."""
        left = math.inf if timeout is None else timeout - (time.monotonic() - began)
        self._pause(run, max(0.0, min(self.faults.delay, left)))
        if timeout is not None and self.faults.delay > left:
            raise TimedOut(f"the run did not end within its limit of {timeout:g} s")

    def _answer(self, output: bytes) -> bytes:
        """What the node answers; other than its output if it is wrong."""
        wrong = self.faults.wrong
        return self._contract.output(wrong.instead_of(self._contract.result(output))) if wrong else output

    def _task(self, task: TaskRecord, folder: Path, variables: Mapping[str, str]) -> Task:
        """The task as the node knows it; its input is passed on unread."""
        if self._tables:
            temporary = self._tables.folder(task) / v5.JOBS
            requested = self._tables.asked(task)
            configured: tuple[Database, ...] = ()
        else:
            temporary = self._folder / f"job-{task.job_id}-tmp"  # made for who asks for it
            requested = tuple(self._requested(task.databases))
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
            variables={**self._member.variables, **variables},
        )

    def _requested(self, asked: str | list[Any]) -> list[Database]:
        """The databases that a task asks for, as the node has them."""
        items = asked if isinstance(asked, list) else [{"label": asked}] if asked else []
        found = []
        for item in items:
            label = str(item["label"])
            rest = {key: str(text) for key, text in item.items() if key != "label"}
            if label in self._member.databases:
                found.append(msgspec.structs.replace(self._member.databases[label], **rest))
            elif self._contract.tells_unknown_labels:
                found.append(Database(label))
        return found


def _status(error: AlgotoolsError, task: TaskRecord) -> str:
    """How a run ends that a node could not start."""
    if isinstance(error, EngineError):
        return "start failed"
    no_data = isinstance(error, (UnknownLabel, DatabaseUnreadable, UnsupportedDatabase))
    return "dataframe not found" if no_data and task.step != "data_extraction" else "failed"
