"""``algotools policy``: the policy of a node's owner, and its effect on an algorithm."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from algotools.cli._console import WaitView, make_printable
from algotools.cli._describe import ALGORITHM_HELP, print_json
from algotools.cli._project import TrialTimeout
from algotools.errors import CheckFailed, Withheld
from algotools.federation.policy import load_policy
from algotools.runtime.logs import format_count

if TYPE_CHECKING:
    from algotools.project.check import Report

POLICY_HELP = "Policy of the node's owner: standard, strict, off, or a TOML file."

POLICY_CHECK_EXAMPLES = """
[bold]Examples[/bold]

algotools policy check

algotools policy check --data patients.csv --policy policy.toml --json

[bold]Keys of --json[/bold]

functions (list of objects with method, verdict (passes, refused or not tried), rule, path, reason, way_out)
"""


def check(
    target: Annotated[str, typer.Argument(help=ALGORITHM_HELP, metavar="ALGORITHM", show_default=False)] = ".",
    data: Annotated[
        Path | None,
        typer.Option(
            help="Database file of the node. Default: the first organization of the project's federation.yaml.",
            exists=True,
            show_default=False,
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help=f"{POLICY_HELP} Default: that of the federation.yaml, otherwise standard.",
            metavar="PRESET|FILE",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object; see below.")] = False,
    timeout: TrialTimeout = None,
) -> None:
    """Show which results of an algorithm the policy of a node's owner would withhold.

    The command calls each rpc once, with the arguments and in the sandbox of `algotools check`. The exit code is 54 if
    a result would be withheld, 67 if the algorithm cannot be imported, and 0 otherwise.
    """
    from algotools.project.check import LIMIT, NO_TRIAL_HINT, check_policy  # importing the docker package is slow

    limit = LIMIT if timeout is None else timeout
    chosen = None if policy is None else load_policy(policy)
    with contextlib.closing(WaitView(limit)) as view:
        report = check_policy(
            target,
            policy=chosen,
            data="" if data is None else str(data),
            limit=limit,
            on_wait=view.show,
            on_start=lambda text: view.announce(text.removesuffix(NO_TRIAL_HINT)),
        )
    rows = list_rows(report)
    if as_json:
        print_json({"functions": rows})
    else:
        _show_rows(rows)
    failures = [finding for finding in report.findings if finding.rule != "withheld"]
    for finding in failures:
        text = f"{finding.location}: {finding.reason} ({finding.rule}); `algotools check` shows the way out"
        Console(stderr=True, highlight=False).print(make_printable(text), soft_wrap=True)
    if number := sum(row["verdict"] == "refused" for row in rows):
        raise Withheld(f"{number} of {format_count(len(rows), 'function')} would be withheld")
    if failures and not rows:
        raise CheckFailed(format_count(len(failures), "finding"))


def list_rows(report: Report) -> list[dict[str, str]]:
    """Return the verdict about each function, as ``--json`` prints it."""
    rows = []
    for verdict in report.verdicts:
        content = {"rule": verdict.rule, "path": verdict.path, "reason": verdict.reason, "way_out": verdict.way_out}
        rows.append({"method": verdict.method, "verdict": "refused" if verdict.rule else "passes", **content})
    for function in report.not_tried:
        content = {"rule": "", "path": "", "reason": function.reason, "way_out": ""}
        rows.append({"method": function.method, "verdict": "not tried", **content})
    return rows


def _show_rows(rows: list[dict[str, str]]) -> None:
    console = Console(highlight=False)
    styles = {"passes": "green", "refused": "red", "not tried": "yellow"}
    width = max((len(row["method"]) for row in rows), default=0)
    for row in rows:
        rule = f"  rule {row['rule']}" if row["rule"] else ""
        verdict = f"[{styles[row['verdict']]}]{row['verdict']}[/]"
        console.print(f"[bold]{make_printable(row['method']):{width}}[/bold]  {verdict}{rule}", soft_wrap=True)
        if row["reason"]:
            console.print(f"  {make_printable(row['reason'])}", soft_wrap=True)
        if row["way_out"]:
            console.print(f"  [green]→[/green] {make_printable(row['way_out'])}", soft_wrap=True)
    if not rows:
        console.print("no function was called", style="dim")
