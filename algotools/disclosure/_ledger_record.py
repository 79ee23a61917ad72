"""Make the entry of a run from the facts that its gate has: paths, records and hashes, and no value of the data."""

from __future__ import annotations

import array
import contextlib
import hashlib
import sys
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import msgspec

from algotools.disclosure._ledger_entry import DatabaseEntry, LedgerEntry, NumbersEntry
from algotools.disclosure.facts import Matches, NumbersWithEvidence
from algotools.disclosure.gate import RunFacts
from algotools.disclosure.replies import KEYS, split_reply
from algotools.payload import show_path
from algotools.task import Database, Identity, Task

if TYPE_CHECKING:
    from algotools.disclosure._content import Content

_HASH_DIGITS = 16
"""Hexadecimal digits of the hashes that only tell a few databases apart."""


def make_entry(task: Task, identity: Identity | None, federation: str, facts: RunFacts) -> LedgerEntry:
    """Return the entry of a run, without a verdict.

    Args:
        task: the task of the run.
        identity: the ids of the run; None if the node does not provide them.
        federation: the name of a local federation; empty at a node.
        facts: what the gate knows about the run.
    """
    matches = facts.matches or Matches()
    labels = facts.intent.databases
    requested = {database.label: database for database in task.databases}
    selections = {label: _hash_selection(requested.get(label)) for label in labels}
    organization = None if identity is None else identity.organization_id
    tables = {table.label: table for table in (*matches.tables, *facts.tables)}
    databases = tuple(
        DatabaseEntry(label=label, selection=selections[label])
        if (table := tables.get(label)) is None
        else DatabaseEntry(
            label=label,
            selection=selections[label],
            rows=table.rows,
            persons=table.persons,
            columns=table.columns,
        )
        for label in labels
    )
    numbers, undeclared = _describe_numbers(facts, matches)
    return LedgerEntry(
        scope=_hash([organization, list(selections.items())])[:_HASH_DIGITS],
        organization=organization,
        task=None if identity is None else identity.task_id,
        resend_of=task.resend_of,
        federation=federation,
        image="" if identity is None else identity.image,
        method=task.method,
        step=task.step,
        arguments=f"sha256:{_hash([task.method, list(task.args), dict(task.kwargs)])}",
        databases=databases,
        minimum=facts.policy.minimum_cell,
        numbers=numbers,
        undeclared=undeclared,
        hidden=matches.withheld,
        row_sets=matches.row_sets,
        fingerprints=() if matches.probes is None else matches.probes.fingerprints,
    )


def _describe_numbers(facts: RunFacts, matches: Matches) -> tuple[tuple[NumbersEntry, ...], int]:
    """Return the evidence of the numbers, with the path to the first of them, and how many numbers have no evidence."""
    groups = [(item, read_numbers(item)) for item in matches.evidence]
    declared = {number for _, numbers in groups for number in numbers}
    paths: dict[float, str] = {}
    undeclared = sum(
        _locate(content, declared, known_texts, paths, root) for root, content, known_texts in list_parts(facts)
    )
    entries = []
    for item, numbers in groups:
        fields = msgspec.structs.asdict(item.evidence)
        del fields["summand_set"]  # summands are compared within a result only, so their sketches are not recorded
        path = next((paths[number] for number in numbers if number in paths), "")
        entries.append(NumbersEntry(count=len(numbers), path=path, **fields))
    return tuple(entries), undeclared


def list_parts(facts: RunFacts) -> Iterator[tuple[str, Content, Collection[str]]]:
    """Yield the name of each part of the result, its content, and the texts that are public in it.

    The reply of a pooled function has a part for each total. Its other numbers are the protocol of algotools.
    """
    if facts.content is None:
        return
    if not facts.intent.is_pooled:
        yield "result", facts.content, facts.known_texts
        return
    with contextlib.suppress(ValueError):  # not a reply; the gate refuses it
        for part in split_reply(facts.content):
            yield part.name, part.content, facts.known_texts | KEYS


def read_numbers(item: NumbersWithEvidence) -> array.array[float]:
    """Return the numbers that have the same evidence."""
    numbers = array.array("d", item.numbers)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _locate(
    content: Content, numbers: set[float], known_texts: Collection[str], paths: dict[float, str], root: str
) -> int:
    """Add the path to the first occurrence of each number; return how many values of a part are other numbers."""
    other_count = 0
    for block in content.numbers:
        for position, value in enumerate(block.list_values()):
            if value not in numbers:
                other_count += 1
            elif value not in paths:
                paths[value] = show_path(block.get_path(position), known_texts, root)
    return other_count


def _hash_selection(database: Database | None) -> str:
    """Return the hash of what a task requests of a database; empty if it requests the whole database."""
    if database is None:
        return ""
    parts = [
        part for part in (database.query, database.sheet_name, database.preprocessing) if part not in (None, "None")
    ]
    return _hash(parts)[:_HASH_DIGITS] if parts else ""


def _hash(value: object) -> str:
    """Return the hash of a value in JSON, in which the order of keys does not matter."""
    return hashlib.sha256(msgspec.json.encode(value, enc_hook=repr, order="deterministic")).hexdigest()
