"""``algotools describe``: what an algorithm's functions take."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from algotools import locate
from algotools.arguments import describe as type_of
from algotools.describe import describe as describe_algorithm
from algotools.functions import Algorithm

WHAT_HELP = "A project's folder, the name of an installed algorithm, or a module. Default: the folder you are in."


def describe(
    what: Annotated[str, typer.Argument(help=WHAT_HELP, metavar="[WHAT]", show_default=False)] = ".",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, arguments as JSON Schema.")] = False,
) -> None:
    """Show the functions of an algorithm: methods, arguments and databases.

    All of it comes from the functions' signatures and docstrings.
    """
    algorithm = locate.load(locate.locate(what))
    description = describe_algorithm(algorithm)
    if as_json:
        typer.echo(json.dumps(description, indent=2, ensure_ascii=False))
    else:
        _show(algorithm, description)


def _show(algorithm: Algorithm, description: dict[str, Any]) -> None:
    console = Console(highlight=False)
    console.print(f"[bold]{escape(algorithm.name)}[/bold]")
    for told in description["functions"]:
        function = algorithm.functions[told["method"]]
        console.print(f"\n[bold cyan]{escape(function.method)}[/bold cyan] [dim]({function.role})[/dim]")
        if told["description"]:
            console.print(f"  {escape(told['description'])}")
        for database in told["databases"]:
            label = (
                f"database [green]{escape(database['label'])}[/green]" if database["label"] else "the task's database"
            )
            console.print(f"  [dim]reads[/dim] {label} [dim]as {database['form']}[/dim]")
        table = Table(box=None, show_header=False, padding=(0, 1))
        for parameter in function.specification.arguments:
            said = told["arguments"]["properties"][parameter.name].get("description", "")
            default = "" if parameter.required else f"default: {parameter.default!r}"
            table.add_row(
                "", escape(parameter.name), escape(type_of(parameter.annotation)), escape(default), escape(said)
            )
        if table.rows:
            console.print(table)
