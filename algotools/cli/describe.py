"""``algotools describe``: what an algorithm's functions take."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from algotools import locate
from algotools.cli.schema import in_words
from algotools.data import FORMS
from algotools.describe import describe as describe_algorithm

if TYPE_CHECKING:
    from algotools.store import Generation

WHAT_HELP = "A project's folder, the name of an installed algorithm, or a module. Default: the folder you are in."


FOR_THE_STORE = "For the algorithm store"


def _generation(asked: int | None) -> int | None:
    if asked == 3:
        raise typer.BadParameter("there is no algorithm store in v3; 4 and 5 have one")
    if asked not in {None, 4, 5}:
        raise typer.BadParameter("a generation that has an algorithm store: 4 or 5")
    return asked


def describe(
    what: Annotated[str, typer.Argument(help=WHAT_HELP, metavar="[WHAT]", show_default=False)] = ".",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, arguments as JSON Schema.")] = False,
    store: Annotated[
        int | None,
        typer.Option(
            metavar="4|5",
            callback=_generation,
            help="The metadata that the algorithm store of v4 or v5 wants, as JSON.",
            rich_help_panel=FOR_THE_STORE,
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            metavar="REF",
            help="The image, best by its digest. Default: that of \\[tool.algotools], with the version as tag.",
            rich_help_panel=FOR_THE_STORE,
        ),
    ] = None,
    code_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where the source is. Default: the project's URLs, else the git remote origin.",
            rich_help_panel=FOR_THE_STORE,
        ),
    ] = None,
) -> None:
    """Show the functions of an algorithm: methods, arguments and databases.

    All of it comes from the functions' signatures and docstrings.

    algotools describe --store 4 > algorithm_store.json
    """
    if store is None and (image or code_url):
        raise typer.BadParameter("--image and --code-url are for the algorithm store; say which with --store 4 or 5")
    place = locate.locate(what)
    with contextlib.redirect_stdout(sys.stderr):  # what the algorithm prints when it is imported is no description
        algorithm = locate.load(place)
    if store is not None:
        from algotools.store import facts, metadata  # here: nobody else needs them

        known = facts(what, place, image=image, code_url=code_url)
        _write(metadata(algorithm, known, cast("Generation", store)))
        return
    description = describe_algorithm(algorithm)
    if as_json:
        _write(description)
    else:
        console = Console(highlight=False)
        console.print(f"[bold]{shown(description['algorithm'])}[/bold]")
        show_functions(console, description)


def _write(description: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(description, indent=2, ensure_ascii=False))


def show_functions(console: Console, description: Mapping[str, Any]) -> None:
    """Show the functions of a description, be it of a project or of an image."""
    for function in description["functions"]:
        step = function.get("step", "compute")
        kind = function["role"] if step == "compute" else step
        console.print(f"\n[bold cyan]{shown(function['method'])}[/bold cyan] [dim]({shown(kind)})[/dim]")
        if told := function.get("description"):
            console.print(Padding(shown(told), (0, 0, 0, 2)))
        for database in function.get("databases", ()):
            label = database.get("label")
            which = f"database [green]{shown(label)}[/green]" if label else "the task's database"
            form = _CLASSES.get(database["form"], database["form"])
            console.print(f"  [dim]reads[/dim] {which} [dim]as {shown(form)}[/dim]")
        table = _arguments(function.get("arguments", {}))
        if table.rows:
            console.print(table)


_CLASSES = {form: ".".join(annotation) for annotation, form in reversed(FORMS.items())}
"""Form of data -> what an author writes to have it."""


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
