"""The history of a project: every task, with its call, versions, fingerprints of the data, results and logs.

The history is a file on the researcher's machine. It contains what the results contain, so only its owner can read it.
``_recording`` fills it while a federation runs, and ``algotools history`` shows it.
"""

from __future__ import annotations

import functools
import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Union

import msgspec

from algotools.errors import Failure, FederationError
from algotools.federation._completeness import Completeness
from algotools.federation._file_hashes import identify_file
from algotools.federation._history_file import FILE_NAME, WAY_OUT, HistoryProblem, open_database
from algotools.federation._probing import read_method
from algotools.federation._results import explain_failure
from algotools.federation.contract import get_contract
from algotools.federation.contract.rest import RunRecord, TaskRecord
from algotools.federation.folders import has_exited
from algotools.task import Role

__all__ = [
    "FILE_NAME",
    "PROJECT_FOLDER",
    "VARIABLE",
    "ContributorsChanged",
    "Fingerprint",
    "HistoryEntry",
    "HistoryProblem",
    "StoredTask",
    "TaskHistory",
    "find_project_folder",
    "find_project_history",
    "hash_secret",
    "is_switched_off",
]

PROJECT_FOLDER = ".algotools"
"""The folder of a project with its history and ledger. The folder ignores itself in Git, and no image contains it."""

VARIABLE = "ALGOTOOLS_HISTORY"
"""The environment variable that switches the history off: ``ALGOTOOLS_HISTORY=off``."""

LARGEST_RECORD = 32 << 20
"""Maximum size of the results and logs of one task in bytes, compressed. Larger results are not stored."""

LARGEST_TOTAL = 512 << 20
"""Maximum size of all results and logs in bytes. Above it, the results of the oldest tasks are removed."""

MOST_TASKS = 10_000
"""Maximum number of tasks. Above it, the oldest tasks are removed."""

_SELECT_ENTRY = "SELECT number, status, owner, entry, record IS NULL FROM tasks "
"""The beginning of a query for entries, with the columns in the order of the parameters of ``_decode_entry``."""

RUNNING = "running"
INTERRUPTED = "interrupted"
"""The status of a task whose process was killed before the task finished."""


class ContributorsChanged(UserWarning):
    """Other nodes contributed to the result than to the previous result of the same question."""


class Fingerprint(msgspec.Struct, frozen=True, omit_defaults=True):
    """The identity of the data of one database."""

    kind: str
    """``file``, ``folder`` or ``frame``; ``uri`` (of a server, whose content is unknown) or ``missing``."""
    name: str = ""
    """The path of a file, or the URI without credentials."""
    hash: str = ""
    """The hash of the content; empty if the content is unknown."""


class HistoryEntry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A task of the history, without its results. Times are in UTC, in ISO format without an offset."""

    number: int = 0
    started: str
    finished: Union[str, None] = None
    status: str = RUNNING
    """``running``, ``interrupted``, ``completed``, or the status of the failed runs."""
    method: str
    arguments: Any = None
    """The arguments by name; None if the input is not JSON."""
    question: str
    """The hash of method, arguments and requested databases."""
    conditions: str
    """The hash of everything else that the result depends on: versions, data, nodes and policy. Empty: unknown."""
    organizations: dict[int, str]
    """Id and name of each organization of the collaboration."""
    recipients: list[int]
    """The organizations of the task."""
    asked: Union[int, None] = None
    """The only organization whose node ran the task (``ask``); None: each recipient."""
    databases: list[Any]
    """The databases that the task requests."""
    contract: str
    runner: str
    versions: dict[str, str]
    """The versions of ``algotools``, ``python``, ``algorithm``, and ``image`` if the runs were in containers."""
    data: dict[str, dict[str, Fingerprint]]
    """Organization -> label -> fingerprint."""
    call: Union[dict[str, Any], None] = None
    """The options of the federation, with which the task can be run again; None if that is impossible."""
    expected: list[int] = []
    """The organizations whose data the result should contain; see ``Completeness``."""
    missing: dict[int, Union[Failure, None]] = {}
    """Organization whose data are missing -> reason; None if the master did not send it a subtask."""
    note: str = ""
    """Why the results are not stored; empty if they are."""

    @property
    def contributors(self) -> list[str]:
        """The names of the organizations whose data are in the result."""
        return [self.organizations.get(id_, str(id_)) for id_ in self.expected if id_ not in self.missing]


@functools.lru_cache
def hash_secret(text: str) -> str:
    """Return the hash of a text that can be a password. It is slow, so that few guesses are possible."""
    data = text.encode("utf-8", "surrogatepass")
    return hashlib.pbkdf2_hmac("sha256", data, b"algotools history", _ROUNDS).hex()[:32]


_ROUNDS = 100_000
"""About 50 ms for a text."""


class _StoredRecord(msgspec.Struct, kw_only=True):
    """The request, the runs with results and logs of a task, and its subtasks."""

    request: bytes
    role: Union[Role, None] = None
    image: str = ""
    tasks: list[TaskRecord]


class StoredTask:
    """A task of the history with its results: a ``TaskSource``, so it is shown like a task that has just finished."""

    def __init__(self, entry: HistoryEntry, record: _StoredRecord) -> None:
        self.entry = entry
        self.request = record.request
        self.role = record.role
        self.image = record.image
        task, *subtasks = record.tasks
        fetched = [run for run in task.runs if entry.asked in (None, run.organization_id)]
        self.main_task = msgspec.structs.replace(task, runs=fetched)
        """The task itself, with the runs that nodes fetched."""
        self._tasks = {member.id: member for member in (self.main_task, *subtasks)}
        self._contract = get_contract(entry.contract)

    @property
    def runs(self) -> Sequence[RunRecord]:
        """The runs of the task itself."""
        return self.main_task.runs

    def organizations(self) -> Mapping[int, str]:
        """See ``TaskSource``."""
        return self.entry.organizations

    def task(self, task_id: int) -> TaskRecord:
        """See ``TaskSource``."""
        return self._tasks[task_id]

    def subtasks(self, task_id: int) -> Sequence[TaskRecord]:
        """See ``TaskSource``."""
        return [task for task in self._tasks.values() if task.parent_id == task_id]

    def completeness(self, task_id: int, run: RunRecord | None = None) -> Completeness:
        """See ``TaskSource``; only for the task itself. The results of several masters have one record."""
        del task_id
        if run is not None and all(
            task.init_organization_id != run.organization_id for task in self.subtasks(run.task_id)
        ):
            return Completeness((run.organization_id,), {})
        return Completeness(tuple(self.entry.expected), self.entry.missing)

    def failure(self, run: RunRecord) -> Failure | None:
        """See ``TaskSource``."""
        return explain_failure(run)

    def answer(self, run: RunRecord) -> object:
        """See ``TaskSource``."""
        return self._contract.decode_output(run.output)


def find_project_folder(folder: Path) -> Path | None:
    """Return the folder with the history and the ledger of a project; None if a folder is not a project."""
    is_project = any((folder / name).is_file() for name in ("pyproject.toml", "federation.yaml"))
    return folder / PROJECT_FOLDER if is_project else None


def find_project_history(folder: Path) -> Path | None:
    """Return the file of the history of a project; None if a folder is not a project."""
    project_folder = find_project_folder(folder)
    return None if project_folder is None else project_folder / FILE_NAME


def is_switched_off() -> bool:
    """Whether the environment switches the history off.

    Raises:
        FederationError: the variable has another value than ``on`` or ``off``.
    """
    value = os.environ.get(VARIABLE, "").strip().lower()
    if value not in ("", "on", "off"):
        raise FederationError(f"{VARIABLE} must be on or off, not {value!r}")
    return value == "off"


class TaskHistory:
    """The file of a history. Every method opens the file, and raises ``HistoryProblem`` if it cannot be used.

    Args:
        path: the file, or its folder.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path).absolute()
        self.path = path / FILE_NAME if path.is_dir() or not path.suffix else path

    def exists(self) -> bool:
        """Whether a task was recorded."""
        return self.path.exists()

    def add(self, entry: HistoryEntry, owner: str) -> int:
        """Add a task that has started, and return its number; ``owner`` identifies this process."""
        with open_database(self.path) as database:
            cursor = database.execute(
                "INSERT INTO tasks (question, conditions, status, owner, entry) VALUES (?, ?, ?, ?, ?)",
                (entry.question, entry.conditions, entry.status, owner, msgspec.json.encode(entry)),
            )
            database.execute("DELETE FROM tasks WHERE number <= ?", ((cursor.lastrowid or 0) - MOST_TASKS,))
            return int(cursor.lastrowid or 0)

    def finish(self, entry: HistoryEntry, request: bytes, role: Role | None, tasks: Sequence[TaskRecord]) -> None:
        """Store the status, results and logs of a task. The first of ``tasks`` is the task, the others its subtasks."""
        record = _StoredRecord(request=request, role=role, image=tasks[0].image, tasks=_remove_inputs(tasks))
        data = zlib.compress(msgspec.msgpack.encode(record), 1)
        if len(data) > LARGEST_RECORD:
            entry.note = f"the results were not stored, because they are larger than {LARGEST_RECORD >> 20} MB"
            record.tasks = _remove_outputs(record.tasks)
            record.request = b"" if len(request) > LARGEST_RECORD else request
            data = zlib.compress(msgspec.msgpack.encode(record), 1)
        with open_database(self.path) as database:
            database.execute(
                "UPDATE tasks SET status = ?, conditions = ?, entry = ?, record = ? WHERE number = ?",
                (entry.status, entry.conditions, msgspec.json.encode(entry), data, entry.number),
            )
            _limit_total(database, entry.number)

    def list_entries(self, last: int | None = None) -> list[HistoryEntry]:
        """Return the tasks, or the last ones, in the order of their numbers."""
        query = _SELECT_ENTRY + "ORDER BY number DESC LIMIT ?"
        with open_database(self.path, create=False) as database:
            rows = database.execute(query, (-1 if last is None else last,)).fetchall()
        return [_decode_entry(*row) for row in reversed(rows)]

    def find_entry(self, number: int) -> HistoryEntry | None:
        """Return a task; None if the history does not have it."""
        with open_database(self.path, create=False) as database:
            row = database.execute(_SELECT_ENTRY + "WHERE number = ?", (number,)).fetchone()
        return None if row is None else _decode_entry(*row)

    def find_previous(
        self, question: str, before: int, is_related: Callable[[HistoryEntry], bool]
    ) -> HistoryEntry | None:
        """Return the latest completed task with a question and a number below ``before`` that is related; or None."""
        with open_database(self.path, create=False) as database:
            rows = database.execute(
                _SELECT_ENTRY + "WHERE question = ? AND number < ? AND status = 'completed' ORDER BY number DESC",
                (question, before),
            )
            return next((entry for row in rows if is_related(entry := _decode_entry(*row))), None)

    def find_completed(self, questions: Iterable[tuple[str, str]]) -> dict[str, StoredTask]:
        """Return the latest completed task for each pair of question and conditions, by question."""
        if not self.exists():
            return {}
        tasks_by_question: dict[str, StoredTask] = {}
        with open_database(self.path, create=False) as database:
            for question, conditions in questions:
                if not conditions:
                    continue
                row = database.execute(
                    _SELECT_ENTRY + "WHERE question = ? AND conditions = ? AND status = 'completed' "
                    "AND record IS NOT NULL ORDER BY number DESC LIMIT 1",
                    (question, conditions),
                ).fetchone()
                if row is not None:
                    entry = _decode_entry(*row)
                    if not entry.note and not entry.missing and (task := _read_record(database, entry)) is not None:
                        tasks_by_question[question] = task
        return tasks_by_question

    def read_task(self, entry: HistoryEntry) -> StoredTask | None:
        """Return a task with its results; None if they were removed."""
        with open_database(self.path, create=False) as database:
            return _read_record(database, entry)

    def find_hashes(self, files: Mapping[Path, os.stat_result]) -> dict[Path, str]:
        """Return the stored hashes of the files whose size, times and inode are unchanged."""
        if not self.exists() or not files:
            return {}
        hashes: dict[Path, str] = {}
        with open_database(self.path) as database:
            for path, status in files.items():
                row = database.execute(
                    "SELECT hash FROM file_hashes WHERE path = ? AND size = ? AND modified_ns = ? AND changed_ns = ? "
                    "AND inode = ?",
                    (str(path), *identify_file(status)),
                ).fetchone()
                if row is not None:
                    hashes[path] = str(row[0])
        return hashes

    def store_hashes(self, files: Iterable[tuple[Path, os.stat_result, str]]) -> None:
        """Store the hashes of files."""
        rows = [(str(path), *identify_file(status), hash_) for path, status, hash_ in files]
        with open_database(self.path) as database:
            database.executemany("INSERT OR REPLACE INTO file_hashes VALUES (?, ?, ?, ?, ?, ?)", rows)


def _decode_entry(number: int, status: str, owner: str, data: bytes, has_no_record: int) -> HistoryEntry:
    try:
        entry = msgspec.json.decode(data, type=HistoryEntry)
    except (msgspec.MsgspecError, ValueError) as error:
        raise HistoryProblem(f"entry {number} of the history cannot be read ({error}); {WAY_OUT}") from None
    entry.number = number
    if status == RUNNING and has_exited(owner):
        entry.status = INTERRUPTED
    if has_no_record and entry.finished and not entry.note:
        entry.note = "the results were removed, because the history has a limited size"
    return entry


def _read_record(database: Any, entry: HistoryEntry) -> StoredTask | None:
    """Return a task with its results; None if they were removed."""
    row = database.execute("SELECT record FROM tasks WHERE number = ?", (entry.number,)).fetchone()
    if row is None or row[0] is None:
        return None
    try:
        record = msgspec.msgpack.decode(zlib.decompress(row[0]), type=_StoredRecord)
    except (msgspec.MsgspecError, ValueError, zlib.error) as error:
        raise HistoryProblem(f"the results of entry {entry.number} cannot be read ({error}); {WAY_OUT}") from None
    return StoredTask(entry, record)


def _remove_inputs(tasks: Sequence[TaskRecord]) -> list[TaskRecord]:
    """Return tasks without the inputs of their runs, which repeat the request."""
    return [
        msgspec.structs.replace(
            task,
            method=(read_method(task, task.runs[0]) if task.runs else "") or task.name,
            runs=[msgspec.structs.replace(run, input=b"") for run in task.runs],
        )
        for task in tasks
    ]


def _remove_outputs(tasks: Sequence[TaskRecord]) -> list[TaskRecord]:
    return [
        msgspec.structs.replace(task, runs=[msgspec.structs.replace(run, output=b"", log="") for run in task.runs])
        for task in tasks
    ]


def _limit_total(database: Any, newest: int) -> None:
    """Remove the results of the oldest tasks above the limit of all results."""
    ((total,),) = database.execute("SELECT coalesce(sum(length(record)), 0) FROM tasks")
    if total <= LARGEST_TOTAL:
        return
    rows = database.execute(
        "SELECT number, length(record) FROM tasks WHERE record IS NOT NULL AND number < ? ORDER BY number", (newest,)
    ).fetchall()
    for number, size in rows:
        if total <= LARGEST_TOTAL:
            return
        database.execute("UPDATE tasks SET record = NULL WHERE number = ?", (number,))
        total -= size
