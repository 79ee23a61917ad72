"""One node in small: it prepares a task as a real node does, has it run, and tells the server the outcome."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from algotools import container, debug
from algotools.contract import Contract
from algotools.contract.base import Prepared
from algotools.contract.platform import Run
from algotools.contract.platform import Task as TaskRecord
from algotools.errors import AlgotoolsError, EngineError, TimedOut
from algotools.federation.configuration import Member
from algotools.federation.faults import Faults
from algotools.federation.runners import Job, Runner
from algotools.federation.store import Store
from algotools.report import failure_line
from algotools.task import Database, Identity, Proxy, Task

Pause = Callable[[Run, float], object]
"""Lets a run wait for so many seconds; raises ``CancelledError`` when the federation is closed meanwhile."""


class Node:
    """The node of one organization."""

    def __init__(
        self, member: Member, contract: Contract, store: Store, folder: Path, faults: Faults, pause: Pause
    ) -> None:
        self.faults = faults
        self._pause = pause
        self._member = member
        self._contract = contract
        self._store = store
        self._folder = folder

    def identity(self, run: Run, task: TaskRecord) -> Identity:
        """Whom the token of a run speaks for."""
        return Identity(
            task_id=task.id,
            node_id=run.node_id,
            organization_id=run.organization_id,
            collaboration_id=self._store.collaboration_id,
            image=task.image,
            databases=task.databases,
        )

    def execute(self, run: Run, task: TaskRecord, token: str, runner: Runner, url: str, timeout: float | None) -> None:
        """Run a task to its end, whatever that is. ``token`` is what its container may speak to the API with."""
        folder = self._folder / f"task-{run.id:09d}"
        temporary = self._folder / f"job-{task.job_id}-tmp"
        details = folder / "details.log"
        variables = {debug.VARIABLE: str(details), **({container.TIMEOUT: str(timeout)} if timeout else {})}

        def prepare(seen: Task) -> Prepared:
            return self._contract.prepare(seen, token, run.input)

        prepared_for = self._task(task, folder, temporary, url, variables)
        try:
            prepared = prepare(prepared_for)
            prepared.write()
            temporary.mkdir(parents=True, exist_ok=True)
            self._store.started(run)
            began = time.monotonic()
            code = runner.run(
                Job(prepared_for, prepared.environment, prepare), lambda line: self._store.said(run, line), timeout
            )
        except AlgotoolsError as error:
            self._store.said(run, failure_line(error.failure()))
            status = "start failed" if isinstance(error, EngineError) else "failed"
            self._store.ended(run, status, detail=error.detail)
            return
        detail = details.read_text(encoding="utf-8", errors="backslashreplace") if details.exists() else ""
        try:
            if self.faults.delay:
                self._delay(run, began, timeout)
            output = b"" if code else self._answer((folder / "output").read_bytes())
        except AlgotoolsError as error:
            self._store.said(run, failure_line(error.failure()))
            self._store.ended(run, "crashed", detail=detail + error.detail)
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

    def _task(self, task: TaskRecord, folder: Path, temporary: Path, url: str, variables: Mapping[str, str]) -> Task:
        """The task as the node knows it; its input is passed on unread."""
        requested = list(self._requested(task.databases))
        labels = {database.label for database in requested}
        return Task(
            method="",
            role="rpc",
            databases=tuple(requested),
            configured=tuple(d for label, d in self._member.databases.items() if label not in labels),
            input_file=folder / "input",
            output_file=folder / "output",
            temporary_folder=temporary,
            proxy=Proxy(url, folder / "token"),
            variables={**self._member.variables, **variables},
        )

    def _requested(self, asked: str | list[dict[str, object]]) -> list[Database]:
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
