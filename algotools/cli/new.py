"""``algotools new``: a project that is green on arrival."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from algotools import scaffold
from algotools.errors import ScaffoldError

EXAMPLES = """
[bold]Examples[/bold]

algotools new "Cohort Mean"

algotools new "Event Model" --kind iterative --author "Jane Roe" --registry harbor.example.org --no-input

algotools new "Cohort Mean" --no-input --dry-run
"""


def new(
    title: Annotated[
        str | None,
        typer.Argument(
            help="The algorithm's title, in words: [i]Cohort Mean[/i] makes cohort-mean/.", metavar="[TITLE]"
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            help="[i]average[/i]: one round, each node answers once. [i]iterative[/i]: rounds until it converges."
        ),
    ] = None,
    description: Annotated[str | None, typer.Option(help="What it computes, in one sentence.")] = None,
    author: Annotated[str | None, typer.Option(help="Who holds the copyright.")] = None,
    licence: Annotated[
        str | None,
        typer.Option("--licence", "--license", help="Apache-2.0, MIT, BSD-3-Clause, GPL-3.0-or-later or none."),
    ] = None,
    registry: Annotated[str | None, typer.Option(help="The registry that the image is pushed to.")] = None,
    image_name: Annotated[str | None, typer.Option(help="The image's name in that registry.")] = None,
    algotools_from: Annotated[
        str | None,
        typer.Option(
            "--algotools",
            help="What pip installs algotools from in the project's pipelines, for instance a git+https address.",
            metavar="REQUIREMENT",
        ),
    ] = None,
    where: Annotated[
        Path, typer.Option("--in", help="The folder to make the project in.", metavar="FOLDER", show_default=False)
    ] = Path(),
    no_input: Annotated[bool, typer.Option("--no-input", help="Ask nothing; take defaults.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files, and write nothing.")] = False,
) -> None:
    """Make a project: functions that work, tests, data to try them on, Dockerfile and pipelines.

    Asks for what no option gives.
    """
    options = {
        "title": title,
        "kind": kind,
        "description": description,
        "author": author,
        "licence": licence,
        "registry": registry,
        "image_name": image_name,
        "__algotools": scaffold.origin() if algotools_from is None else algotools_from,
    }
    given = {question: text for question, text in options.items() if text is not None}
    if no_input and title is None:
        raise ScaffoldError('give the algorithm a title: algotools new "Cohort Mean" --no-input')
    answers = scaffold.answer(given, None if no_input else _ask)
    if dry_run:
        for name in scaffold.preview(answers, where).files:
            typer.echo(f"{where / answers['__project'] / name}")
        return
    project = scaffold.make(answers, where)
    console = Console(highlight=False)
    console.print(f"{project.folder}: {len(project.files)} files", markup=False, soft_wrap=True)
    console.print(f"\n  cd {shlex.quote(str(project.folder))}\n  {answers['__run']}", markup=False, soft_wrap=True)


def _ask(question: scaffold.Question, problem: Callable[[str], str]) -> str:
    """Ask on standard error until the answer can be taken; nothing typed is the default."""
    console = Console(stderr=True, highlight=False)
    console.print(f"\n{question.prompt}", markup=False, soft_wrap=True)
    for meaning in question.choices.values():
        console.print(f"  {meaning}", markup=False, soft_wrap=True)
    while True:
        try:
            typed = console.input(f"[bold]{question.name}[/bold] [dim]\\[{escape(question.default)}][/dim]: ")
        except EOFError:
            raise ScaffoldError(f"no answer for {question.name}; give it as an option, or --no-input") from None
        answer = typed.strip() or question.default
        if not (why := problem(answer)):
            return answer
        console.print(f"[red]{escape(why)}[/red]", soft_wrap=True)
