"""Several processes append to one ledger, and are killed at random."""

from __future__ import annotations

from algotools.disclosure.ledger import read_entries, verify_ledger

from .ledger_writers import write_together


def test_nothing_is_lost_but_the_line_of_a_killed_writer(tmp_path):
    """``benchmarks/ledger.py`` does the same with 8 writers and 1,000 entries each."""
    outcome = write_together(tmp_path, writers=4, entries=60, lifetimes=(0.0, 0.05))
    path = tmp_path / "ledger.jsonl"
    verification = verify_ledger(path)
    assert verification.fault is None
    entries = {entry.number: (entry.organization, entry.task) for entry in read_entries(path)}
    assert sorted(entries) == list(range(1, verification.head.number + 1))
    assert len(outcome.acknowledged) == 4 * 60
    assert {entries[number]: number for number in outcome.acknowledged.values()} == outcome.acknowledged
    # An entry that a writer has written, and not reported before it was killed, is written again by the next process.
    assert len(outcome.acknowledged) <= len(entries) <= len(outcome.acknowledged) + outcome.kills
    assert outcome.kills
