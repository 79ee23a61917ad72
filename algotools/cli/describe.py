"""``algotools describe``: what an algorithm's functions take."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from algotools import locate
from algotools.cli.schema import in_words
from algotools.describe import describe as describe_algorithm

WHAT_HELP = "A project's folder, the name of an installed algorithm, or a module. Default: the folder you are in."


def describe(
    what: Annotated[str, typer.Argument(help=WHAT_HELP, metavar="[WHAT]", show_default=False)] = ".",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, arguments as JSON Schema.")] = False,
) -> None:
    """Show the functions of an algorithm: methods, arguments and databases.

    All of it comes from the functions' signatures and docstrings.
    """
    description = describe_algorithm(locate.load(locate.locate(what)))
    if as_json:
        typer.echo(json.dumps(description, indent=2, ensure_ascii=False))
    else:
        console = Console(highlight=False)
        console.print(f"[bold]{shown(description['algorithm'])}[/bold]")
        show_functions(console, description)


def show_functions(console: Console, description: Mapping[str, Any]) -> None:
    """Show the functions of a description, be it of a project or of an image."""
    for function in description["functions"]:
        console.print(f"\n[bold cyan]{shown(function['method'])}[/bold cyan] [dim]({shown(function['role'])})[/dim]")
        if told := function.get("description"):
            console.print(Padding(shown(told), (0, 0, 0, 2)))
        for database in function.get("databases", ()):
            label = database.get("label")
            which = f"database [green]{shown(label)}[/green]" if label else "the task's database"
            console.print(f"  [dim]reads[/dim] {which} [dim]as {shown(database['form'])}[/dim]")
        table = _arguments(function.get("arguments", {}))
        if table.rows:
            console.print(table)


def shown(text: object) -> str:
    """A text from anywhere, fit for a terminal: neither markup nor what would move the cursor or change colours."""
    return escape("".join(c if c.isprintable() or c == "\n" else "�" for c in str(text)))


def _arguments(schema: Mapping[str, Any]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    definitions = schema.get("$defs")
    for name, argument in schema.get("properties", {}).items():
        default = ""
        if name not in schema.get("required", ()):
            default = f"default: {argument['default']!r}" if "default" in argument else "optional"
        kind = in_words(argument, definitions if isinstance(definitions, Mapping) else {})
        table.add_row("", shown(name), shown(kind), shown(default), shown(argument.get("description", "")))
    return table
