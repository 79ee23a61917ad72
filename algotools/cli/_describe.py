"""``algotools describe``: show the functions of an algorithm, their arguments and databases.

A description may come from an image of an unknown author, so all of its content is untrusted.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import msgspec
import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from algotools.cli._console import WaitView, make_printable
from algotools.cli._target import find_target
from algotools.data import FORMS
from algotools.declare import locate
from algotools.declare.description import describe as describe_algorithm
from algotools.project.metadata import collect_metadata
from algotools.project.store import StoreChoice, build_metadata
from algotools.project.trial import HEADER, TrialTable, describe_trial, format_command

if TYPE_CHECKING:
    from algotools.project.store import Generation

ALGORITHM_HELP = (
    "Folder of a project, a Python file, name of an installed algorithm, or a module. Default: the project of the "
    "current folder."
)

NO_TRIAL_HELP = "Do not call functions to find out which values leave a node."

_STORE_PANEL = "For the algorithm store"


def describe(
    target: Annotated[str, typer.Argument(help=ALGORITHM_HELP, metavar="ALGORITHM", show_default=False)] = ".",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; the arguments are a JSON Schema.")] = False,
    store: Annotated[
        StoreChoice | None,
        typer.Option(
            help="Print the JSON metadata for the algorithm store of v4 or v5. v3 has no store.",
            rich_help_panel=_STORE_PANEL,
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            metavar="REF",
            help="Name of the image, preferably with digest. Default: image in \\[tool.algotools], version as tag.",
            rich_help_panel=_STORE_PANEL,
        ),
    ] = None,
    code_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="URL of the source code. Default: the URLs in pyproject.toml, otherwise the git remote origin.",
            rich_help_panel=_STORE_PANEL,
        ),
    ] = None,
    no_trial: Annotated[bool, typer.Option("--no-trial", help=NO_TRIAL_HELP)] = False,
) -> None:
    """Show the functions of an algorithm: methods, arguments and databases.

    The description is derived from the signatures and docstrings of the functions. The examples are the arguments in
    the table tool.algotools.trial of pyproject.toml. If the project has a federation.yaml, each rpc is called once, as
    in `algotools check`, to show which values left the node, and their evidence.

    algotools describe --store 4 > algorithm_store.json
    """
    if store is None and (image or code_url):
        raise typer.BadParameter("only allowed with --store 4 or --store 5", param_hint=["--image", "--code-url"])
    target = find_target(target)
    location = locate.locate(target)
    with contextlib.redirect_stdout(sys.stderr):  # the module may print when it is imported
        algorithm = locate.load(location)
    if store is not None:
        metadata = collect_metadata(target, location, image=image, code_url=code_url)
        print_json(build_metadata(algorithm, metadata, cast("Generation", int(store.value))))
        return
    description = describe_algorithm(algorithm)
    if Path(target).is_dir():
        table = TrialTable.read(Path(target))
        calls = {} if no_trial else try_functions(Path(target))
        for function in description["functions"]:
            function["trial"] = describe_trial(algorithm.functions[function["method"]], table)
            if function["method"] in calls:
                function["left_in_trial"] = calls[function["method"]]
    if as_json:
        print_json(description)
    else:
        console = Console(highlight=False)
        console.print(f"[bold]{make_printable(description['algorithm'])}[/bold]")
        show_functions(console, description)


def try_functions(folder: Path) -> dict[str, dict[str, Any]]:
    """Call each rpc of a project once, and return what left, by method; empty without federation.yaml."""
    if not (folder / "federation.yaml").is_file():
        return {}
    from algotools.project.check import LIMIT, check_policy, describe_leaving

    with contextlib.closing(WaitView(LIMIT)) as view:
        report = check_policy(folder, on_wait=view.show, on_start=view.announce)
    return describe_leaving(report)


def print_json(value: object) -> None:
    """Print a value as indented JSON. Structs become objects."""
    typer.echo(json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False))


def show_functions(console: Console, description: Mapping[str, Any]) -> None:
    """Show the functions in the description of a project or an image."""
    for function in description["functions"]:
        step = function.get("step", "compute")
        kind = function["role"] if step == "compute" else step
        if origin := function.get("derived_from"):
            kind += f", derived from {origin}"
        if not function.get("standalone", True):
            kind += ", only for its master"
        console.print(
            f"\n[bold cyan]{make_printable(function['method'])}[/bold cyan] [dim]({make_printable(kind)})[/dim]"
        )
        if text := function.get("description"):
            console.print(Padding(make_printable(text), (0, 0, 0, 2)))
        if number := function.get("minimum_organizations"):
            noun = "organization" if number == 1 else "organizations"
            console.print(f"  [dim]needs at least {make_printable(number)} {noun}[/dim]")
        if number := function.get("minimum_rows"):
            console.print(f"  [dim]needs at least {make_printable(number)} rows, or more by a node's policy[/dim]")
        databases = function.get("databases", ())
        for database, source in zip(databases, _name_sources(databases), strict=True):
            form = _ANNOTATIONS.get(database["form"], database["form"])
            form = f"dict[str, {form}]" if database.get("group") else form
            form = f"{form} | None" if database.get("optional") else form
            console.print(f"  [dim]reads[/dim] {source} [dim]as {make_printable(form)}[/dim]")
        for variable in function.get("variables", ()):
            console.print(f"  [dim]node variable[/dim] {_format_variable(variable)}", soft_wrap=True)
        if text := _describe_leaving_values(function):
            console.print(f"  [dim]{text}[/dim]", soft_wrap=True)
        if function.get("left_in_trial"):
            _show_trial_call(console, function["left_in_trial"])
        table = _make_arguments_table(function.get("arguments", {}))
        if table.rows:
            console.print(table)
        if "trial" in function and function.get("standalone", True):
            _show_example(console, function)

    if note := description.get("gate"):
        console.print(f"\n[dim]{make_printable(note)}[/dim]")


def _name_sources(databases: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the source of each table of a function, as markup. Tables without a label are in the task's order."""
    unlabelled = [database for database in databases if not database.get("label")]
    sources: list[str] = []
    position = 0
    for database in databases:
        if label := database.get("label"):
            sources.append(f"database [green]{make_printable(label)}[/green]")
            continue
        position += 1
        if database.get("group"):
            sources.append(f"all {'other ' if len(databases) > 1 else ''}databases of the task")
        elif len(unlabelled) == 1:
            sources.append("the task's database")
        elif any(table.get("group") for table in unlabelled[: position - 1]):
            sources.append("a database of the task, after those of the dict")
        else:
            number = _ORDINALS[position - 1] if position <= len(_ORDINALS) else f"{position}th"
            sources.append(f"the task's {number} database")
    return sources


_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")


def _format_variable(variable: Mapping[str, Any]) -> str:
    """Format a node variable of a description: its name, type, default and description."""
    schema = variable.get("schema", {})
    default = "required" if variable.get("required") else f"default: {schema.get('default')!r}"
    text = f" {schema['description']}" if schema.get("description") else ""
    details = make_printable(f"({variable.get('type')}, {default}){text}")
    return f"[green]{make_printable(variable['name'])}[/green] [dim]{details}[/dim]"


def _describe_leaving_values(function: Mapping[str, Any]) -> str:
    """Describe the values of a function that leave a node; empty for an image whose label does not name them."""
    if "leaves" not in function:
        return ""
    result = function["leaves"]
    if result is None:
        return "leaves the node: nothing; the table stays at the node, for other tasks of the session"
    is_combined = function["role"] == "master" and not function.get("databases")
    text = str(result.get("type") or "any value, because the result has no annotation")
    if fields := ", ".join(f"{name}: {kind}" for name, kind in result.get("fields", {}).items()):
        text += f" ({fields})"
    return make_printable(f"{'returns to the researcher' if is_combined else 'leaves the node'}: {text}")


def _show_trial_call(console: Console, call: Mapping[str, Any]) -> None:
    """Show the values that left the node in a trial call, and their evidence."""
    text = f"withheld in the trial (rule {call['withheld']})" if call.get("withheld") else "left in the trial"
    console.print(f"  [dim]{make_printable(text)}:[/dim]", soft_wrap=True)
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    for value in call["values"]:
        evidence = value["evidence"] or "no evidence"
        table.add_row("   ", *map(make_printable, (value["path"], value["kind"], evidence)), style="dim")
    if call.get("omitted"):
        table.add_row("   ", f"{make_printable(call['omitted'])} more", style="dim")
    console.print(table)


def _show_example(console: Console, function: Mapping[str, Any]) -> None:
    """Show the command with the arguments of a project's trial call."""
    if function["trial"] is not None:
        command = make_printable(format_command(function["method"], function["role"], function["trial"]))
        console.print(f"  [dim]example[/dim] {command}", soft_wrap=True)
    elif function["arguments"]["required"]:
        console.print(f"  [dim]no example: add arguments to {make_printable(HEADER)}[/dim]", soft_wrap=True)


_ANNOTATIONS = {form: ".".join(annotation) for annotation, form in reversed(FORMS.items())}
"""Form of data -> the annotation that requests it."""


def _make_arguments_table(schema: Mapping[str, Any]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    definitions = schema.get("$defs")
    for name, argument in schema.get("properties", {}).items():
        default = ""
        if name not in schema.get("required", ()):
            default = f"default: {argument['default']!r}" if "default" in argument else "optional"
        type_ = format_type(argument, definitions if isinstance(definitions, Mapping) else {})
        cells = (name, type_, default, argument.get("description", ""))
        table.add_row("", *map(make_printable, cells))
    return table


_NAMES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}

_FORMATS = {
    "column": "Column",
    "organization": "Organization",
    "date-time": "datetime",
    "date": "date",
    "time": "time",
    "duration": "timedelta",
    "uuid": "UUID",
    "decimal": "Decimal",
}

_MAX_DEPTH = 8
"""Deeper levels of a nested type are shown as Any. A type that contains itself would not end otherwise."""


def format_type(schema: object, definitions: Mapping[str, Any], depth: int = 0) -> str:
    """Format a JSON Schema as the corresponding Python type, for instance ``list[Column]``."""
    if not isinstance(schema, Mapping) or not schema or depth > _MAX_DEPTH:
        return "Any"

    def format_part(part: object) -> str:
        return format_type(part, definitions, depth + 1)

    match schema:
        case {"$ref": str(reference)}:
            name = reference.rpartition("/")[2]
            target = definitions.get(name)
            text = format_part(target) if isinstance(target, Mapping) and "enum" in target else name
        case {"column_kind": str(kind)}:
            text = f"{kind.capitalize()}Column"
        case {"type": "array", "format": str(name)}:  # an array or a column
            text = name.rpartition(".")[2]
        case {"type": "object", "format": str(name)}:
            text = f"Argument[{name.rpartition('.')[2]}]"
        case {"enum": list(choices)}:
            text = " | ".join(map(repr, choices))
        case {"const": value}:
            text = repr(value)
        case {"anyOf": list(parts)} | {"oneOf": list(parts)}:
            text = " | ".join(dict.fromkeys(map(format_part, parts)))
        case {"type": list(kinds)}:
            text = " | ".join(dict.fromkeys(format_part({**schema, "type": kind}) for kind in kinds))
        case {"type": "array", "prefixItems": list(parts)}:
            text = f"tuple[{', '.join(map(format_part, parts))}]"
        case {"type": "array"}:
            text = f"list[{format_part(schema['items'])}]" if schema.get("items") else "list"
        case {"type": "object", "title": str(title)}:
            text = title
        case {"type": "object"}:
            values = schema.get("additionalProperties")
            text = f"dict[str, {format_part(values)}]" if isinstance(values, Mapping) and values else "dict"
        case _:
            text = _FORMATS.get(str(schema.get("format"))) or _NAMES.get(str(schema.get("type")), "")
    return text or "Any"
