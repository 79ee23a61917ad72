"""``algotools ledger export``: the ledger in the format of ACRO, which output checkers of research data centres use.

The keys of a result are those of ACRO's ``results.json`` (``Record``). The key ``evidence`` has the facts that ACRO
collects for its checks: records, shares of the largest records, and degrees of freedom.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from algotools import __version__
from algotools.cli._ledger import LedgerPath, read_ledger
from algotools.disclosure.ledger import LedgerEntry, NumbersEntry
from algotools.errors import FederationError
from algotools.runtime.logs import format_count

ACRO_VERSION = "0.4.12"
"""The version of ACRO whose format the export has."""

LEDGER_EXPORT_EXAMPLES = """
[bold]Examples[/bold]

algotools ledger export

algotools ledger export /srv/algotools_ledger --output review/evidence.json
"""

_CHECKS = {"threshold": "threshold", "small": "threshold", "rows": "threshold", "dominance": "nk-rule"}
"""Rule of the gate -> name of ACRO's check."""


def export(
    ledger: LedgerPath = None,
    output: Annotated[Path, typer.Option(help="The file to write; - for standard output.", allow_dash=True)] = Path(
        "evidence.json"
    ),
) -> None:
    """Write the evidence of all results that left a node, or were withheld, in the format of ACRO.

    An output checker reviews the file as the results of ACRO. The file contains no value of a result.
    """
    document = make_document(read_ledger(ledger))
    text = json.dumps(document, indent=4, ensure_ascii=False)
    if str(output) == "-":
        typer.echo(text)
        return
    try:
        output.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise FederationError(f"the file {str(output)!r} cannot be written ({error.strerror})") from None
    typer.echo(f"{output}: {format_count(len(document['results']), 'result')}", err=True)


def make_document(entries: Iterable[LedgerEntry]) -> dict[str, Any]:
    """Return the content of the file. Runs that failed, and tables that stay at the node, are no outputs."""
    results = [_make_result(entry) for entry in entries if entry.verdict in ("left", "withheld")]
    return {
        "version": ACRO_VERSION,
        "generator": f"algotools {__version__}",
        "results": {result["uid"]: result for result in results},
    }


def _make_result(entry: LedgerEntry) -> dict[str, Any]:
    """Return the record of one run."""
    # A number without evidence passed the structural rules only, so a person should look at it.
    status = "fail" if entry.verdict == "withheld" else "review" if entry.undeclared or entry.refusals else "pass"
    rules = [refusal.rule for refusal in entry.refusals]
    summary = [f"{rule}: refused" if not entry.is_warning else f"{rule}: warning" for rule in rules]
    if entry.hidden:
        summary.append(f"threshold: {format_count(entry.hidden, 'cell')} suppressed")
    if entry.undeclared:
        summary.append(f"{format_count(entry.undeclared, 'number')} without evidence")
    return {
        "uid": f"output_{entry.number}",
        "status": status,
        "type": "regression" if _is_model(entry) else "table",
        "properties": {
            "method": entry.method,
            "task": entry.task,
            "organization": entry.organization,
            "image": entry.image,
            "databases": [
                {"label": d.label, "rows": d.rows, "persons": d.persons, "columns": list(d.columns)}
                for d in entry.databases
            ],
            "minimum_records": entry.minimum,
            "output": entry.output,
            "bytes": entry.size,
        },
        "files": [],
        "outcome": {numbers.path or "result": _find_outcome(entry, numbers) for numbers in entry.numbers},
        "command": entry.method,
        "summary": "; ".join([status, *summary]),
        "timestamp": entry.time.removesuffix("Z"),
        "comments": [],
        "exception": "",
        "sdc": _make_sdc(entry),
        "evidence": [_make_evidence(numbers) for numbers in entry.numbers],
    }


def _make_sdc(entry: LedgerEntry) -> dict[str, Any]:
    """Return the summary of the checks; ACRO counts the cells that each check refuses."""
    checks = dict.fromkeys(("negative", "missing", "threshold", "p-ratio", "nk-rule", "all-values-are-same"), 0)
    for refusal in entry.refusals:
        if name := _CHECKS.get(refusal.rule):
            checks[name] += 1
    checks["threshold"] += entry.hidden
    return {"summary": {"suppressed": entry.hidden > 0, **checks}}


def _find_outcome(entry: LedgerEntry, numbers: NumbersEntry) -> str:
    """Return the rules that refused numbers, as ACRO writes them; ``ok`` if none did."""
    rules = [r.rule for r in entry.refusals if not entry.is_warning and r.path in ("", "the result", numbers.path)]
    return "".join(f"{_CHECKS.get(rule, rule)}; " for rule in rules) or "ok"


def _make_evidence(numbers: NumbersEntry) -> dict[str, Any]:
    # As ACRO: the residual degrees of freedom of a model, and one fewer than the records of a cell of a table.
    return {
        "kind": numbers.operation,
        "path": numbers.path,
        "count": numbers.count,
        "records": numbers.records,
        "top_1_share": numbers.largest_share,
        "top_2_share": numbers.two_largest_share,
        "parameters": numbers.parameters,
        "dof": numbers.records - max(numbers.parameters, 1),
        "columns": list(numbers.columns),
        "stated_by_author": numbers.is_stated,
    }


def _is_model(entry: LedgerEntry) -> bool:
    return any(numbers.parameters for numbers in entry.numbers)
