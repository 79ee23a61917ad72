"""The ledger of a node: what left it, and what was withheld, so that a task is judged together with earlier tasks.

With a folder in the policy (``ALGOTOOLS_POLICY_LEDGER``) the ledger refuses results. On a laptop, the ledger of a
project records, and warns of results that such a node would refuse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from algotools.disclosure import FEDERATION, LEDGER, LEDGER_LINE, _ledger_file, _ledger_rules
from algotools.disclosure._ledger_entry import (
    LedgerEntry,
    LedgerHead,
    NumbersEntry,
    RefusalEntry,
    decode_entry,
    hash_bytes,
)
from algotools.disclosure._ledger_file import LedgerProblem, Verification, read_entries, verify_ledger
from algotools.disclosure._ledger_record import make_entry
from algotools.disclosure._ledger_rules import Conflict
from algotools.disclosure.gate import Decision, Gate
from algotools.disclosure.policy import Policy
from algotools.errors import Failure, PolicyError, Withheld
from algotools.task import Identity, Task

__all__ = [
    "FILE_NAME",
    "Ledger",
    "LedgerEntry",
    "LedgerHead",
    "LedgerProblem",
    "NumbersEntry",
    "Verification",
    "find_entries",
    "open_ledger",
    "prepare_folder",
    "read_entries",
    "read_heads",
    "verify_ledger",
]  # fmt: skip

FILE_NAME = _ledger_file.NAME
"""The ledger in its folder; its key is in the same folder."""

_HEAD = re.compile(rf"{re.escape(LEDGER_LINE)} ([0-9]{{1,18}}) (sha256:[0-9a-f]{{64}})")


def open_ledger(policy: Policy, task: Task, identity: Identity | None, log: Callable[[str], None]) -> Ledger | None:
    """Return the ledger for a run; None if the node has none. The log is called with lines for the researcher.

    Raises:
        PolicyError: the policy names a ledger that cannot be used. No data was read.
    """
    folder = policy.ledger or task.variables.get(LEDGER, "")
    if policy.is_off or not folder:
        return None
    file = _ledger_file.LedgerFile(Path(folder))
    try:
        return Ledger(file, file.read_key(), task, identity, log, refuses=bool(policy.ledger))
    except LedgerProblem as problem:
        if policy.ledger:
            raise _make_policy_error(problem) from None
        log(f"the run is not recorded in the project's ledger: {problem}")
        return None


class Ledger:
    """Records one run.

    Args:
        file: the ledger.
        key: the secret key of the sketches of row sets.
        task: the task of the run.
        identity: the ids of the run; None if the node does not provide them.
        log: writes a line to the run's log.
        refuses: whether the ledger refuses results, because the policy names it; otherwise it warns.
    """

    def __init__(
        self,
        file: _ledger_file.LedgerFile,
        key: bytes,
        task: Task,
        identity: Identity | None,
        log: Callable[[str], None],
        *,
        refuses: bool,
    ) -> None:
        self._file = file
        self.key = key
        self._task = task
        self._identity = identity
        self._is_recorded = False
        self._log = log
        self._refuses = refuses

    def record_result(self, gate: Gate, output: bytes) -> None:
        """Record that a result leaves, before it is written to the output file, and log the head of the ledger.

        Raises:
            Withheld: the result and that of an earlier task disclose few records together, or the task was repeated
                too often. The refusal is recorded.
            PolicyError: the ledger, which the policy names, cannot be written.
        """
        entry = self._make_entry(gate)
        if entry is None:
            return
        error: Withheld | None = None
        try:
            with self._file.lock() as ledger:
                conflicts = list(self._find_conflicts(ledger, entry, gate))
                if conflicts and self._refuses:
                    error = gate.withhold(_decide(conflicts[0], gate), conflicts[0].detail)
                    entry = _refuse(entry, error.exit_code, gate)
                else:
                    verdict = "left" if entry.step == "compute" else "kept"
                    entry = msgspec.structs.replace(entry, verdict=verdict, size=len(output), output=hash_bytes(output))
                refusals = tuple(RefusalEntry(rule=c.rule, earlier=c.number) for c in conflicts)
                entry = msgspec.structs.replace(entry, refusals=refusals, is_warning=bool(refusals) and error is None)
                head = ledger.append(entry)
        except LedgerProblem as problem:
            if self._refuses:
                raise _make_policy_error(problem) from None
            self._log(f"the run is not recorded in the project's ledger: {problem}")
            return
        self._log(str(head))
        if error is not None:
            raise error
        for conflict in conflicts:
            decision = _decide(conflict, gate)
            reason = f"{decision.reason} (rule {conflict.rule}); {decision.way_out}"
            self._log(f"warning: a node with a ledger would withhold the result: {reason}")

    def record_failure(self, gate: Gate, failure: Failure) -> None:
        """Record a run that failed, or whose result was withheld. A ledger that cannot be written is logged."""
        entry = self._make_entry(gate)
        if entry is None:
            return
        try:
            with self._file.lock() as ledger:
                head = ledger.append(_refuse(entry, failure.exit_code, gate))
        except LedgerProblem as problem:
            self._log(f"the run is not recorded: {problem}")
        else:
            self._log(str(head))

    def _make_entry(self, gate: Gate) -> LedgerEntry | None:
        """Return the entry of the run; None if the run is recorded, or read no table, so that nothing can leave."""
        facts = gate.facts
        if self._is_recorded or facts is None or not facts.intent.databases:
            return None
        self._is_recorded = True
        return make_entry(self._task, self._identity, self._task.variables.get(FEDERATION, ""), facts)

    def _find_conflicts(self, ledger: _ledger_file.LockedLedger, entry: LedgerEntry, gate: Gate) -> Iterator[Conflict]:
        """Yield the reasons why a result may not leave because of earlier ones."""
        repeats = gate.policy.repeats
        if repeats is not None:
            count, last = _ledger_rules.count_repetitions(ledger, entry)
            if count > repeats:
                yield Conflict("repeats", last, f"{count} earlier tasks made the same call; the limit is {repeats}")
        if not entry.row_sets and not entry.fingerprints:
            return
        earlier_entries = list(_ledger_rules.select_earlier(ledger, entry))
        for find_conflict in (_ledger_rules.find_close_rows, _ledger_rules.find_similar_change):
            if (conflict := find_conflict(entry, earlier_entries, gate.policy.minimum_cell)) is not None:
                yield conflict


def prepare_folder(folder: Path) -> None:
    """Make the folder of a project's ledger, with the ledger and its key.

    Containers may run as root. The files then still belong to this user, because they exist already.

    Raises:
        LedgerProblem: the folder cannot be made, or contains a ledger that cannot be used.
    """
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / ".gitignore").write_text("*\n", encoding="utf-8")  # the key is a secret
    except OSError as error:
        raise LedgerProblem(f"the folder of the ledger cannot be made ({error.strerror})") from error
    _ledger_file.LedgerFile(folder).read_key()


def find_entries(folder: Path, federation: str) -> list[LedgerEntry]:
    """Return the entries that the runs of a local federation made; empty if the ledger cannot be read."""
    if not (folder / FILE_NAME).is_file():
        return []
    try:
        with _ledger_file.LedgerFile(folder).lock() as ledger:
            lines = list(ledger.find_lines(b'"federation":' + msgspec.json.encode(federation)))
    except (LedgerProblem, OSError):
        return []
    return [decode_entry(line) for line in reversed(lines)]


def read_heads(text: str) -> list[LedgerHead]:
    """Return the heads of ledgers that the logs of runs contain."""
    return [LedgerHead(int(number), hash_) for number, hash_ in _HEAD.findall(text)]


def _decide(conflict: Conflict, gate: Gate) -> Decision:
    """Return the reason why a result may not leave, and the way out."""
    if conflict.rule == "repeats":
        reason = "the node has returned the result of the same task as often as its policy allows"
        return Decision("repeats", reason, "use the result of an earlier task", "the result")
    minimum = gate.policy.minimum_cell
    if conflict.rule == "earlier":
        reason = f"a number of it and one of an earlier task depend on the same records, except fewer than {minimum}"
        return Decision("earlier", reason, "use the same rows in both tasks, see docs/concepts/ledger.md", "the result")
    reason = f"its rows differ by fewer than {minimum} records from the rows of an earlier task's result"
    return Decision("ledger", reason, "use the same rows in both tasks, see docs/concepts/ledger.md", "the result")


def _refuse(entry: LedgerEntry, exit_code: int, gate: Gate) -> LedgerEntry:
    """Return the entry of a run whose result does not leave."""
    decision = gate.decision
    refusals = () if decision is None else (RefusalEntry(rule=decision.rule, path=decision.path),)
    verdict = "withheld" if exit_code == Withheld.exit_code else "failed"
    return msgspec.structs.replace(entry, verdict=verdict, refusals=refusals, exit_code=exit_code)


def _make_policy_error(problem: LedgerProblem) -> PolicyError:
    """Return the error of a node whose policy names a ledger that cannot be used."""
    cause = problem.__cause__
    text = f"{problem} (setting ledger); the node's owner must repair it"
    return PolicyError(text, detail="" if cause is None else str(cause))
