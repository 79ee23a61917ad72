"""What has come of a task: as JSON, as a table, and for those who look for a failure's cause in all detail."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from algotools.cli.frame import fit
from algotools.cli.overview import Overview
from algotools.contract.files import is_pickle
from algotools.contract.platform import Run, Task
from algotools.errors import ArgumentsError
from algotools.federation import Federation
from algotools.report import visible

MANY = 20
"""Organizations from which on those whose answers are equal share a row."""

NAMES = 3
"""Organizations that are named in a row that they share."""

NAMES_BELOW = 20
"""Organizations that are named where a failure is told in all detail."""

DETAILS = 3
"""Different details that are shown of one failure."""


class Outcome:
    """Of a task whose runs have all ended."""

    def __init__(self, running: Federation, task: Task) -> None:
        self._running = running
        self._task = task
        self._names = running.organizations()
        self._overview = Overview(running, task, {})

    @property
    def failed(self) -> Sequence[Run]:
        """The task's own runs that failed."""
        return [run for run in self._task.runs if self._overview.failure(run) is not None]

    def items(self) -> list[dict[str, object]]:
        """An item for each run, in the order of the organizations."""
        return list(map(self._item, self._task.runs))

    def show(self, out: TextIO) -> bool:
        """A table as wide as there is room for; tells whether a result had to be cut for that.

        Below the task's own runs are those that failed under masters that failed.
        """
        console = Console(file=out, highlight=False)
        rows = [*self._rows(), *self._rows_below()]
        state = max(len("status"), *(cell_len(row.status) for row in rows))
        whose = min(max(len("organization"), *(cell_len(row.whose) for row in rows)), console.width // 2)
        room = max(len("result"), console.width - state - whose - len("│  │  │  │"))
        table = Table("organization", "status", "result")
        below = False
        for row in rows:
            if row.below and not below:
                table.add_section()
                below = True
            style = "red" if row.failed else ""
            cells = (row.whose, ""), (row.status, style), (cut(row.told, room), style)
            table.add_row(*(Text(*cell, overflow="fold") for cell in cells))
        console.print(table)
        return any(cell_len(row.told) > room for row in rows if not row.failed)

    def explain(self, console: Console) -> None:
        """What the author, who is every node's owner here, may see: prints and details of failures, subtasks first."""
        printed: dict[str, list[Run]] = {}
        failures: dict[tuple[int, str], dict[str, list[Run]]] = {}
        for run in [*self._below(), *self._task.runs]:
            if (failure := self._overview.failure(run)) is not None:
                found = failures.setdefault((failure.exit_code, failure.message), {})
                found.setdefault(failure.detail.rstrip(), []).append(run)
            elif run.detail:
                printed.setdefault(run.detail.rstrip(), []).append(run)
        for text, runs in printed.items():
            console.print(Text.assemble((self._listed(runs, NAMES_BELOW), "cyan"), " printed:"))
            console.print(Text.from_ansi(text))
        for (code, message), details in failures.items():
            whose = self._listed([run for runs in details.values() for run in runs], NAMES_BELOW)
            console.print(Text.assemble((whose, "red"), f": [{code}] {message}"))
            for text, runs in list(details.items())[:DETAILS]:
                if text and len(details) > 1:
                    console.print(Text(f"{self._listed(runs, NAMES)}:", style="dim"))
                if text:
                    console.print(Text.from_ansi(text, style="dim"))
            if (more := len(details) - DETAILS) > 0:
                console.print(f"and {more} more with details of their own; --organizations asks one alone", style="dim")
            if code == ArgumentsError.exit_code:
                console.print(
                    "name=value gives a text; name:=json gives numbers, lists, true and null: n:=3", style="dim"
                )

    def _item(self, run: Run) -> dict[str, object]:
        organization = {"id": run.organization_id, "name": self._names[run.organization_id]}
        if (failure := self._overview.failure(run)) is not None:
            error = {"code": failure.exit_code, "message": failure.message}
            return {"organization": organization, "status": run.status, "error": error}
        answer = self._running.answer(run)
        told = {"result_base64": base64.b64encode(answer).decode()} if isinstance(answer, bytes) else {"result": answer}
        return {"organization": organization, "status": run.status, **told}

    def _rows(self) -> Iterator[_Row]:
        """A row for each run; if there are many, one for those that ended alike."""
        alike: dict[object, tuple[str, list[Run]]] = {}
        for run in self._task.runs:
            told = self._told(run)
            key = (run.status, told) if len(self._task.runs) > MANY else run.id
            alike.setdefault(key, (told, []))[1].append(run)
        for told, runs in alike.values():
            failed = self._overview.failure(runs[0]) is not None
            yield _Row(self._listed(runs, NAMES), runs[0].status, told, failed)

    def _rows_below(self) -> Iterator[_Row]:
        """A row for each failure of runs that masters asked for in vain."""
        vain = {run.organization_id for run in self.failed}
        alike: dict[tuple[str, str, str], list[Run]] = {}
        for run in self._below(vain):
            if self._overview.failure(run) is not None:
                alike.setdefault((self._overview.method(run), run.status, self._told(run)), []).append(run)
        for (method, status, told), runs in alike.items():
            yield _Row(f"{method}: {self._listed(runs, NAMES)}", status, told, failed=True, below=True)

    def _below(self, masters: Iterable[int] | None = None) -> list[Run]:
        """The runs that masters asked for; of all masters, or of those of some organizations."""
        tasks = self._running.subtasks(self._task.id)
        return [run for task in tasks if masters is None or task.init_organization_id in masters for run in task.runs]

    def _told(self, run: Run) -> str:
        """An answer or a failure for a cell of a table."""
        if (failure := self._overview.failure(run)) is not None:
            return visible(f"[{failure.exit_code}] {failure.message}")
        answer = self._running.answer(run)
        if isinstance(answer, bytes):  # none of ours: whoever opens a pickle runs what is in it
            kind = "pickle" if is_pickle(answer) else "something else than JSON"
            return f"<{len(answer)} bytes of {kind}, unopened>"
        return json.dumps(answer, ensure_ascii=False)

    def _listed(self, runs: Sequence[Run], most: int) -> str:
        """The organizations of runs, each once, and no more names than can be read."""
        names = list(dict.fromkeys(map(self._overview.organization, runs)))
        if len(names) <= most + 1:
            return ", ".join(names)
        return f"{', '.join(names[:most])} and {len(names) - most} more"


class _Row(NamedTuple):
    whose: str
    status: str
    told: str
    failed: bool
    below: bool = False


def cut(text: str, width: int) -> str:
    """A text that takes no more room than that; an ellipsis stands for the rest."""
    return text if cell_len(text) <= width else fit(text, width)
