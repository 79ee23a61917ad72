"""The entries of a ledger. An entry describes what left a node, or what was withheld, and contains no value of it."""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple, Union

import msgspec

from algotools.disclosure import LEDGER_LINE

Verdict = Literal["left", "kept", "withheld", "failed"]
"""``left``: the result left; ``kept``: it is a table that stays at the node; ``failed``: the run failed otherwise."""


class DatabaseEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A table that the function read."""

    label: str
    selection: str = ""
    """Hash of the query, sheet and preprocessing that the task requested; empty if it requested none."""
    rows: Union[int, None] = None
    persons: Union[int, None] = None
    columns: tuple[str, ...] = ()


class RefusalEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rule or setting that refused the run, and the path to the part of the result."""

    rule: str
    path: str = ""
    earlier: int = 0
    """Number of the earlier entry, for a rule that compares with the ledger."""


class NumbersEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Numbers of a result that have the same evidence; see ``facts.Evidence``. The numbers are not in the ledger."""

    operation: str
    records: int
    count: int = 1
    """How many numbers of the result have the evidence."""
    path: str = ""
    """The path to the first of them. It shows no key that could be a value."""
    parameters: int = 0
    largest_share: Union[float, None] = None
    two_largest_share: Union[float, None] = None
    columns: tuple[str, ...] = ()
    row_set: Union[int, None] = None
    """Position in ``LedgerEntry.row_sets``; None if the rows are unknown, so that they cannot be compared."""
    is_stated: bool = False


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run: one line of a ledger."""

    number: int = 0
    previous: str = ""
    """Hash of the line before; empty in the first entry."""
    time: str = ""
    """Time in UTC, as ISO 8601."""
    verdict: Verdict = "left"
    refusals: tuple[RefusalEntry, ...] = ()
    exit_code: int = 0
    is_warning: bool = False
    """Whether the refusals are warnings: a ledger that no policy names refuses nothing."""
    scope: str = ""
    """Hash of the organization, the databases and their selections. Only entries with the same scope are compared."""
    organization: Union[int, None] = None
    task: Union[int, None] = None
    resend_of: Union[int, None] = None
    """The task of which this one is a repetition, because the node has lost the result (v5)."""
    federation: str = ""
    """Name of a local federation, whose ids begin at 1 again; empty at a node."""
    image: str = ""
    method: str = ""
    step: str = "compute"
    arguments: str = ""
    """Hash of the method and its arguments."""
    databases: tuple[DatabaseEntry, ...] = ()
    minimum: int = 0
    """The fewest records that the policy requires for a number."""
    numbers: tuple[NumbersEntry, ...] = ()
    undeclared: int = 0
    """Number of numbers of the result that have no evidence."""
    hidden: int = 0
    """Number of cells that reductions have hidden or rounded."""
    row_sets: tuple[bytes, ...] = ()
    """The sketches of the sets of rows, in base64."""
    fingerprints: tuple[bytes, ...] = ()
    """The fingerprints of numbers without evidence that were probed, in base64."""
    size: int = msgspec.field(default=0, name="bytes")
    """Bytes of the output file; 0 if nothing left."""
    output: str = ""
    """Hash of the output file; empty if nothing left."""


class LedgerHead(NamedTuple):
    """Number and hash of the last entry of a ledger; ``algotools.ledger 812 sha256:…`` in a run's log."""

    number: int = 0
    hash: str = ""

    def __str__(self) -> str:
        return f"{LEDGER_LINE} {self.number} {self.hash}"


class _Link(msgspec.Struct):
    """The part of an entry that the chain needs."""

    number: int
    previous: str = ""


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(LedgerEntry)
_LINK_DECODER = msgspec.json.Decoder(_Link)


def encode_entry(entry: LedgerEntry) -> bytes:
    """Return the line of an entry, with its end."""
    return _ENCODER.encode(entry) + b"\n"


def decode_entry(line: bytes) -> LedgerEntry:
    """Return the entry of a line.

    Raises:
        ValueError: the line is not an entry.
    """
    return _DECODER.decode(line)


def decode_link(line: bytes) -> tuple[int, str]:
    """Return the number of the entry of a line, and the hash of the line before.

    Raises:
        ValueError: the line is not an entry.
    """
    link = _LINK_DECODER.decode(line)
    return link.number, link.previous


def hash_bytes(data: bytes) -> str:
    """Return the hash of a line or of an output."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
