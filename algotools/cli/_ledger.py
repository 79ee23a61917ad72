"""``algotools ledger``: show and verify the ledger of a node or of a project."""

from __future__ import annotations

import itertools
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from algotools.cli._console import make_printable
from algotools.cli._describe import print_json
from algotools.disclosure.ledger import (
    FILE_NAME,
    LedgerEntry,
    NumbersEntry,
    Verification,
    read_entries,
    read_heads,
    verify_ledger,
)
from algotools.errors import FederationError, LedgerDamaged
from algotools.federation.history import PROJECT_FOLDER
from algotools.runtime.logs import format_count

LedgerPath = Annotated[
    Path | None,
    typer.Argument(
        help=f"The ledger, or its folder. Default: {PROJECT_FOLDER} in the current folder.",
        metavar="LEDGER",
        show_default=False,
    ),
]

LEDGER_SHOW_EXAMPLES = """
[bold]Examples[/bold]

algotools ledger show

algotools ledger show /srv/algotools_ledger --last 100 --json

[bold]Keys of --json[/bold]

entries (list of objects with number, time, verdict (left, kept, withheld or failed), method, task, organization, image,
arguments (hash), databases (label, rows, persons, columns), numbers (operation, path, count, records, parameters,
largest_share, two_largest_share, columns), undeclared, hidden, refusals (rule, path, earlier), bytes, output (hash),
previous (hash), and others; a key with its default is left out)
"""

LEDGER_VERIFY_EXAMPLES = """
[bold]Examples[/bold]

algotools ledger verify

algotools ledger verify /srv/algotools_ledger --log logs-of-the-server.txt

[bold]Keys of --json[/bold]

is_intact, entries, head (hash), bytes, fault (line and problem, or null), missing (list of objects with number, hash),
has_half_line
"""


def find_ledger(path: Path | None) -> Path:
    """Return the file of a ledger.

    Raises:
        FederationError: the file does not exist.
    """
    path = Path(PROJECT_FOLDER) if path is None else path
    file = path / FILE_NAME if path.is_dir() else path
    if not file.is_file():
        raise FederationError(
            f"the ledger {str(file)!r} does not exist; `algotools run` makes the ledger of a project, which is in the "
            "project's folder. For another ledger, name the file or its folder"
        )
    return file


def read_ledger(path: Path | None, last: int | None = None) -> list[LedgerEntry]:
    """Return the entries of a ledger, or the last ones.

    Raises:
        FederationError: the file does not exist, or cannot be read.
    """
    file = find_ledger(path)
    try:
        return list(deque(read_entries(file), maxlen=last))
    except OSError as error:
        raise FederationError(f"the ledger {str(file)!r} cannot be read ({error.strerror})") from None


def show(
    ledger: LedgerPath = None,
    last: Annotated[int, typer.Option(help="Number of entries, counted from the end.", min=1)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object; see below.")] = False,
) -> None:
    """Show what left a node, and what was withheld: each number with its records, or the rule that refused it.

    The values themselves are not in the ledger. The command does not check the chain; `algotools ledger verify` does.
    """
    entries = read_ledger(ledger, last)
    if as_json:
        print_json({"entries": [_without_sketches(entry) for entry in entries]})
        return
    console = Console(highlight=False)
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    for name, options in _COLUMNS.items():
        table.add_column(name, **options)
    for entry in entries:
        for row in _list_rows(entry):
            table.add_row(*map(make_printable, row))
    console.print(table if entries else "the ledger has no entries")


_COLUMNS: dict[str, dict[str, Any]] = {
    "entry": {"justify": "right"},
    "time": {"no_wrap": True},
    "method": {"overflow": "fold"},
    "task": {"justify": "right"},
    "result": {"overflow": "fold"},
    "records": {"justify": "right"},
    "evidence or rule": {"overflow": "fold"},
}


def _list_rows(entry: LedgerEntry) -> Iterator[tuple[str, ...]]:
    """Yield the rows of an entry: the verdict, and a row for each number, or for numbers with the same evidence."""
    # The rows are unknown if the run was refused before data was read, or if the function reads the data itself.
    source = ", ".join(
        f"database {database.label}" if database.rows is None else f"read {database.label}: {database.rows} rows"
        for database in entry.databases
    )
    task = "" if entry.task is None else str(entry.task)
    beginning = (str(entry.number), entry.time[:16].replace("T", " "), entry.method, task)
    verdict = f"{entry.verdict} ({entry.exit_code})" if entry.exit_code else entry.verdict
    sizes = [database.rows if database.persons is None else database.persons for database in entry.databases]
    records = "" if len(sizes) != 1 or sizes[0] is None else str(sizes[0])
    yield (*beginning, verdict, records, source)
    for refusal in entry.refusals:
        earlier = f", entry {refusal.earlier}" if refusal.earlier else ""
        kind = "warning: " if entry.is_warning else ""
        yield ("", "", "", "", f"  {refusal.path}", "", f"{kind}rule {refusal.rule}{earlier}")
    for numbers in entry.numbers:
        path = numbers.path.removeprefix("result") or "result"
        suffix = f" (+{numbers.count - 1})" if numbers.count > 1 else ""
        yield ("", "", "", "", f"  {path}{suffix}", str(numbers.records), _describe_evidence(numbers))
    if entry.undeclared:
        yield ("", "", "", "", f"  {format_count(entry.undeclared, 'number')}", "", "no evidence")
    if entry.hidden:
        yield ("", "", "", "", f"  {format_count(entry.hidden, 'cell')} hidden", "", "")


def _describe_evidence(numbers: NumbersEntry) -> str:
    parts = [numbers.operation + (f" of {', '.join(numbers.columns)}" if numbers.columns else "")]
    shares = [share for share in (numbers.largest_share, numbers.two_largest_share) if share is not None]
    if shares:
        parts.append(f"largest share {' and '.join(f'{share:.0%}' for share in shares)}")
    if numbers.parameters:
        parts.append(format_count(numbers.parameters, "parameter"))
    if numbers.is_stated:
        parts.append("stated by the author")
    if numbers.row_set is None:
        parts.append("rows not comparable")
    return "; ".join(parts)


def _without_sketches(entry: LedgerEntry) -> dict[str, Any]:
    """Return an entry for ``--json``, without the sketches, which only the ledger's key makes useful."""
    content = msgspec.to_builtins(msgspec.structs.replace(entry, row_sets=(), fingerprints=()))
    return {**content, "verdict": entry.verdict}


def verify(
    ledger: LedgerPath = None,
    log: Annotated[
        list[Path] | None,
        typer.Option(
            help="File with logs of runs, as the server has them; - for standard input. Each head that the logs name "
            "must be in the ledger. Repeat the option for several files.",
            allow_dash=True,
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object; see below.")] = False,
) -> None:
    """Check that no entry of a ledger was changed, removed or added.

    Each entry has the hash of the entry before. The chain alone does not show that the last entries were removed; the
    logs of the runs do, because each of them names the last entry at that time. The exit code is 59 if an entry was
    changed or is missing, and 0 otherwise.
    """
    file = find_ledger(ledger)
    try:
        texts = [sys.stdin.read() if str(path) == "-" else path.read_text(errors="replace") for path in log or ()]
        verification = verify_ledger(file, itertools.chain.from_iterable(map(read_heads, texts)))
    except OSError as error:
        raise FederationError(f"{error.filename or 'a file'} cannot be read ({error.strerror})") from None
    problem = _find_problem(verification)
    if as_json:
        print_json(_describe(verification, is_intact=not problem))
    if problem:
        raise LedgerDamaged(f"{file}: {problem}")
    if not as_json:
        half = "; the half line of a writer at the end is not an entry" if verification.has_half_line else ""
        typer.echo(f"{file}: {verification.head.number} entries, intact{half}")
        typer.echo(str(verification.head))


def _find_problem(verification: Verification) -> str:
    """Return what is wrong with a ledger; empty if it is intact."""
    if verification.fault is not None:
        return f"line {verification.fault.line} {verification.fault.problem}"
    if verification.missing:
        numbers = ", ".join(str(head.number) for head in verification.missing[:10])
        return f"the logs name entries that the ledger does not have, or has with another hash: {numbers}"
    return ""


def _describe(verification: Verification, *, is_intact: bool) -> dict[str, Any]:
    fault = None if verification.fault is None else verification.fault._asdict()
    return {
        "is_intact": is_intact,
        "entries": verification.head.number,
        "head": verification.head.hash,
        "bytes": verification.bytes,
        "fault": fault,
        "missing": [head._asdict() for head in verification.missing],
        "has_half_line": verification.has_half_line,
    }
