"""``algotools new`` and ``algotools check``: commands for a project."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from algotools.cli._arguments import parse_timeout
from algotools.cli._console import WaitView, make_printable, show_note
from algotools.cli._describe import ALGORITHM_HELP, print_json
from algotools.cli._target import find_target
from algotools.errors import CheckFailed, ScaffoldError
from algotools.project import scaffold
from algotools.runtime.logs import format_count

if TYPE_CHECKING:
    from algotools.project.check import Report


NEW_EXAMPLES = """
[bold]Examples[/bold]

algotools new "Cohort Mean"

algotools new "Event Model" --kind iterative --author "Jane Roe" --registry harbor.example.org --no-input

algotools new "Cohort Mean" --no-input --dry-run
"""


def new(
    title: Annotated[
        str | None,
        typer.Argument(
            help="Title of the algorithm. [i]Cohort Mean[/i] creates the folder cohort-mean.", metavar="TITLE"
        ),
    ] = None,
    kind: Annotated[
        scaffold.ProjectKind | None,
        typer.Option(
            help="[i]pooled[/i] (default): one function over all rows. [i]average[/i]: an rpc and a master, one round. "
            "[i]iterative[/i]: an rpc and a master, rounds until convergence."
        ),
    ] = None,
    description: Annotated[str | None, typer.Option(help="Description of the algorithm in one sentence.")] = None,
    author: Annotated[str | None, typer.Option(help="Copyright holder.")] = None,
    licence: Annotated[
        scaffold.Licence | None,
        typer.Option("--licence", "--license", help=f"One of {', '.join(scaffold.Licence)}.", metavar="LICENCE"),
    ] = None,
    registry: Annotated[str | None, typer.Option(help="Registry for the image.")] = None,
    image_name: Annotated[str | None, typer.Option(help="Name of the image in the registry.")] = None,
    algotools_from: Annotated[
        str | None,
        typer.Option(
            "--algotools",
            help="Requirement with which pip installs algotools in the CI pipelines, for instance a git+https URL.",
            metavar="REQUIREMENT",
        ),
    ] = None,
    parent: Annotated[
        Path,
        typer.Option("--in", help="Parent folder of the project. Default: .", metavar="FOLDER", show_default=False),
    ] = Path(),
    no_input: Annotated[bool, typer.Option("--no-input", help="Do not prompt; use the defaults.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files without writing them.")] = False,
) -> None:
    """Create a project: example functions, tests, test data, Dockerfile and CI pipelines.

    Prompts for all values that are not passed as options.
    """
    options = {
        "title": title,
        "kind": kind and kind.value,
        "description": description,
        "author": author,
        "licence": licence and licence.value,
        "registry": registry,
        "image_name": image_name,
        "__algotools": scaffold.read_installation_source() if algotools_from is None else algotools_from,
    }
    values = {question: text for question, text in options.items() if text is not None}
    if no_input and title is None:
        raise typer.BadParameter(
            'required with --no-input: algotools new "Cohort Mean" --no-input', param_hint="'TITLE'"
        )
    answers = scaffold.collect_answers(values, None if no_input else _prompt)
    if dry_run:
        for name in scaffold.preview_project(answers, parent).files:
            typer.echo(f"{parent / answers['__project'] / name}")
        return
    project = scaffold.create_project(answers, parent)
    console = Console(highlight=False)
    console.print(f"{project.folder}: {len(project.files)} files", markup=False, soft_wrap=True)
    console.print(f"\n  cd {shlex.quote(str(project.folder))}\n  {answers['__run']}", markup=False, soft_wrap=True)


def _prompt(question: scaffold.Question, problem: Callable[[str], str]) -> str:
    """Prompt on standard error until the answer is valid. An empty answer selects the default."""
    console = Console(stderr=True, highlight=False)
    console.print(f"\n{question.prompt}", markup=False, soft_wrap=True)
    for meaning in question.choices.values():
        console.print(f"  {meaning}", markup=False, soft_wrap=True)
    while True:
        try:
            typed = console.input(f"[bold]{question.name}[/bold] [dim]\\[{escape(question.default)}][/dim]: ")
        except EOFError:
            raise ScaffoldError(
                f"no answer for {question.name}; pass the value as an option, or use --no-input"
            ) from None
        answer = typed.strip() or question.default
        if not (message := problem(answer)):
            return answer
        console.print(f"[red]{escape(message)}[/red]", soft_wrap=True)


CHECK_EXAMPLES = """
[bold]Examples[/bold]

algotools check

algotools check examples/average --json

algotools check --no-trial

[bold]Keys of --json[/bold]

algorithm (the module; null: unknown), findings and warnings (lists of objects with rule, file, line (null: the whole
file), reason, way_out), not_tried (list of objects with method, reason), chosen_arguments (list of objects with method,
arguments), left_in_trial (method -> object with values (list of objects with path, kind, evidence), omitted (number of
further entries), withheld (rule; empty: the result left); only of functions that were called and judged)
"""


TrialTimeout = Annotated[
    float | None,
    typer.Option(
        help="Time limit of the import and of each call of a function, in seconds. Default: 60.",
        metavar="SECONDS",
        parser=parse_timeout,
        show_default=False,
    ),
]
"""The option of the commands that call the project's functions."""


def check(
    target: Annotated[str, typer.Argument(help=ALGORITHM_HELP, metavar="ALGORITHM", show_default=False)] = ".",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object; see below.")] = False,
    timeout: TrialTimeout = None,
    no_trial: Annotated[
        bool, typer.Option("--no-trial", help="Do not call any function. The module is still imported.")
    ] = False,
) -> None:
    """Report problems that would occur at a node or in the build of the image.

    In a project, all files are checked; in an installed algorithm or a module, only the functions. Docker and git are
    not required. The exit code is 67 if there are findings, but not for warnings. docs/check.md explains each rule.

    The command runs the algorithm's code: it imports the module, and if the project has a federation.yaml, it calls
    functions on its data, with the arguments in the table tool.algotools.trial of pyproject.toml, or with columns as
    the required arguments: each rpc once, and each pooled function with many splits of the rows. On Linux the code runs
    in a sandbox: no privileges, no network, only the project's files and data, and limits of memory and time. The
    command shows what runs before it runs, and the parts of the sandbox that are missing here.
    """
    from algotools.project.check import LIMIT, TRIAL_RULES, describe_leaving  # importing the docker package is slow
    from algotools.project.check import check as check_algorithm

    limit = LIMIT if timeout is None else timeout
    target = find_target(target)
    with contextlib.closing(WaitView(limit)) as view:
        report = check_algorithm(target, limit=limit, trial=not no_trial, on_wait=view.show, on_start=view.announce)
    if no_trial:
        show_note(
            f"--no-trial left out the calls of functions, so results were not probed; the calls can find: "
            f"{', '.join(TRIAL_RULES)}"
        )
    if as_json:
        keys = ("algorithm", "findings", "warnings", "not_tried", "chosen_arguments")
        print_json({**{key: getattr(report, key) for key in keys}, "left_in_trial": describe_leaving(report)})
    else:
        _show_report(report)
    if report.findings:
        raise CheckFailed(format_count(len(report.findings), "finding"))


def _show_report(report: Report) -> None:
    from algotools.project.check import format_arguments, summarize_verdict

    console = Console(highlight=False)
    for finding in (*report.findings, *report.warnings):
        rule = make_printable(finding.rule)
        rule = f"[yellow]warning: {rule}[/yellow]" if finding.is_warning else f"[red]{rule}[/red]"
        console.print(f"[bold]{make_printable(finding.location)}[/bold]  {rule}", soft_wrap=True)
        console.print(f"  {make_printable(finding.reason)}", soft_wrap=True)
        console.print(f"  [green]→[/green] {make_printable(finding.way_out)}\n", soft_wrap=True)
    for function in report.not_tried:
        text = f"not tried: {function.method} ({function.reason})"
        console.print(f"[yellow]{make_printable(text)}[/yellow]", soft_wrap=True)
    for call in report.chosen_arguments:
        text = f"called: {call.method} with {format_arguments(call.arguments)}"
        console.print(f"[dim]{make_printable(text)}[/dim]", soft_wrap=True)
    for verdict in report.verdicts:
        if sentence := summarize_verdict(verdict):
            console.print(f"[dim]{make_printable(f'left: {verdict.method}: {sentence}')}[/dim]", soft_wrap=True)
    number = format_count(len(report.findings), "finding") if report.findings else "no findings"
    number += f", {format_count(len(report.warnings), 'warning')}" if report.warnings else ""
    extent = f"{format_count(report.functions, 'function')} and {format_count(report.files, 'file')}"
    console.print(f"{number}  [dim]({extent} checked)[/dim]", soft_wrap=True)
