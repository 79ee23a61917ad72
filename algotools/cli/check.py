"""``algotools check``: what would fail at a node."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from algotools.cli.describe import WHAT_HELP, shown
from algotools.errors import CheckFailed

if TYPE_CHECKING:
    from algotools.check import Report

EXAMPLES = """
[bold]Examples[/bold]

algotools check

algotools check examples/average --json

[bold]Keys of --json[/bold]

algorithm (the module; null if nothing names it), findings: a list of rule, file, line (null: the whole file), reason,
way_out
"""


def check(
    what: Annotated[str, typer.Argument(help=WHAT_HELP, metavar="[WHAT]", show_default=False)] = ".",
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object; see below.")] = False,
) -> None:
    """Find what would fail at a node, or in the build of the image.

    A project is looked at as a whole; of an installed algorithm or a module, the functions. The module is imported, and
    with a federation.yaml its rpcs are tried once on the first organization's data. Neither Docker nor git is needed.
    The exit code is 67 if anything is found; docs/check.md explains each rule.
    """
    from algotools.check import check as check_algorithm  # here: the docker package takes long to import

    report = check_algorithm(what)
    if as_json:
        import msgspec

        told = {"algorithm": report.algorithm, "findings": msgspec.to_builtins(report.findings)}
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        _show(report)
    if report.findings:
        raise CheckFailed(_counted(len(report.findings), "finding"))


def _show(report: Report) -> None:
    console = Console(highlight=False)
    for finding in report.findings:
        console.print(f"[bold]{shown(finding.place)}[/bold]  [red]{shown(finding.rule)}[/red]", soft_wrap=True)
        console.print(f"  {shown(finding.reason)}", soft_wrap=True)
        console.print(f"  [green]→[/green] {shown(finding.way_out)}\n", soft_wrap=True)
    number = _counted(len(report.findings), "finding") if report.findings else "no findings"
    looked_at = f"{_counted(report.functions, 'function')} and {_counted(report.files, 'file')} looked at"
    console.print(f"{number}  [dim]({looked_at})[/dim]", soft_wrap=True)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
