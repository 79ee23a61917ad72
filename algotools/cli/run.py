"""``algotools run``: a task on a local federation."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console

from algotools.cli.ending import Ending
from algotools.cli.live import view
from algotools.cli.outcome import Outcome
from algotools.contract import Request, by_name
from algotools.errors import FederationError, RunsFailed
from algotools.federation import Federation
from algotools.task import Database

EXAMPLES = """
[bold]Examples[/bold]

algotools run master column_name=age

algotools run average_partial column_name=age --organizations 2,3 --json

algotools run master column_name=age --data hospital1.csv --data hospital2.csv

algotools run fit columns:='["age", "sex"]' tolerance:=1e-6

algotools run central column=age --algorithm REGISTRY/IMAGE:TAG --runner container --data a.csv --data b.csv

algotools run central column=age --algorithm my_pkg --python venv/bin/python --data a.csv --data b.csv

[dim]name=value is a text; name:=json is anything that JSON has: numbers, lists, true, null.
`algotools describe` shows the methods and their arguments.
The last two are for algorithms made with other tools, too; which generation they speak is found out.[/dim]
"""


def run(
    method: Annotated[
        str | None,
        typer.Argument(help="The function to call, by its method's name.", metavar="METHOD", show_default=False),
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            help="The function's arguments: name=text or name:=json.", metavar="[name=value | name:=json]..."
        ),
    ] = None,
    algorithm: Annotated[
        str,
        typer.Option(
            help="A project's folder, an installed algorithm, a module, or (with --runner container) an image. "
            "Default: the folder you are in."
        ),
    ] = ".",
    data: Annotated[
        list[Path] | None, typer.Option(help="A node's database; give it once for each node.", show_default=False)
    ] = None,
    federation: Annotated[
        Path | None, typer.Option(help="Organizations and databases. Default: federation.yaml of the project.")
    ] = None,
    organizations: Annotated[
        list[str] | None,
        typer.Option(help="Ids to send the task to, for instance 2,3. Default: all.", show_default=False),
    ] = None,
    database: Annotated[
        list[str] | None, typer.Option(help="Label of the database to use; several times for several.")
    ] = None,
    query: Annotated[
        str | None, typer.Option(help="What to ask of the database, if it takes a query.", show_default=False)
    ] = None,
    runner: Annotated[
        str,
        typer.Option(
            help="process isolates each run; inline lets you set breakpoints; container runs the image, hardened."
        ),
    ] = "process",
    as_node: Annotated[
        bool, typer.Option("--as-node", help="Run the image just as a real node does: as root, with the node's files.")
    ] = False,
    python: Annotated[
        Path | None,
        typer.Option(
            help="The interpreter in which the algorithm is installed, if it has one of its own (runner process). "
            "What was made with vantage6's own tools runs there with its own wrapper.",
            show_default=False,
        ),
    ] = None,
    contract: Annotated[
        str | None,
        typer.Option(
            help="The generation of vantage6 to act like: v3, v4 or v5. Default: found out of an image or with "
            "--python; else v4.",
            show_default=False,
        ),
    ] = None,
    input_file: Annotated[
        Path | None,
        typer.Option("--input", help="The raw input of the task, instead of METHOD and arguments (on v5 with METHOD)."),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Only the results on standard output, as JSON. A result that is not JSON (a pickle) is not opened: "
            "its item has result_base64 instead of result.",
        ),
    ] = False,
    timeout: Annotated[float | None, typer.Option(help="Seconds after which a run is ended.")] = None,
    memory: Annotated[
        str | None,
        typer.Option(help="What a run may use, for instance 4g (runners process and container).", show_default=False),
    ] = None,
) -> None:
    """Run a task over several nodes on this machine, and show the results.

    Organizations are numbered from 2; each has a node with databases of its own. The function runs as it would
    at a real node: same input, same files, same answers.
    """
    if method is None and input_file is None:
        raise FederationError("name either a METHOD (see `algotools describe`) or a raw task input with --input")
    if input_file is not None and arguments:
        raise FederationError("the arguments are in the raw input already: give either them or --input")
    if query is not None and len(database or ()) > 1:
        raise FederationError("--query is for one database; a task with a query for each is created with a client")
    runner = "as-node" if as_node else runner
    options: dict[str, Any] = {"algorithm": algorithm, "runner": runner, "contract": contract, "timeout": timeout}
    options |= {"memory": memory, "python": python}
    with _ending() as ending, _results_alone() as out, view() as shown:
        running = _federation(algorithm, data, federation, {**options, "listen": shown.hear})
        ending.patient = True
        with running:
            if input_file is not None:
                posted = _raw(input_file, method, running)
            else:
                posted = by_name(running.contract).request(_input(str(method), arguments or [], running))
            labels = [Database(label, query=query) for label in database or ["default"]]
            asked = _ids(",".join(organizations)) if organizations else list(running.organizations())
            task = running.client().task.post(asked, posted, labels, image=algorithm)
            shown.follow(running, task)
            while not ending.code and not running.wait(task.id, shown.pause):
                shown.look()
            shown.close()
            if ending.code:
                sys.stderr.write("ending all that was started …\n")
            ending.check()
            outcome = Outcome(running, task)
            _show(outcome, out, as_json=as_json)
    ending.check()
    if outcome.failed:
        raise RunsFailed(f"{len(outcome.failed)} of {len(task.runs)} runs failed")


@contextmanager
def _ending() -> Iterator[Ending]:
    """Ctrl-C and its kin end all that was started; then it is said so."""
    with Ending() as ending:
        try:
            yield ending
        finally:
            if ending.code is not None:
                sys.stderr.write("stopped; nothing is left running\n")


def _show(outcome: Outcome, out: TextIO, *, as_json: bool) -> None:
    """The results, and below on standard error what there is to say of them."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if as_json:
        out.write(json.dumps(outcome.items(), ensure_ascii=False) + "\n")
    elif outcome.show(out):
        out.flush()
        console.print("… stands for what has no room here; --json gives every result whole", style="dim")
    out.flush()
    outcome.explain(console)


def _raw(file: Path, method: str | None, running: Federation) -> Request:
    """An input as it is; v5's has the arguments alone, so there the method stands beside it."""
    if running.contract == "v5" and method is None:
        raise FederationError("on v5 an input has the arguments by name alone: name the METHOD as well")
    if running.contract != "v5" and method is not None:
        raise FederationError(f"on {running.contract} the raw input names the method: give either METHOD or --input")
    return Request(_read(file), method or "")


@contextmanager
def _results_alone() -> Iterator[TextIO]:
    """Standard output for the results; within, what anything else prints there goes to standard error."""
    sys.stdout.flush()
    saved = os.dup(1)
    try:
        os.dup2(2, 1)
        with open(os.dup(saved), "w", encoding="utf-8") as out:
            yield out
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)


def _federation(algorithm: str, data: Sequence[Path] | None, file: Path | None, options: dict[str, Any]) -> Federation:
    if data:
        if file is not None:
            raise FederationError("give either --data or --federation")
        return Federation(list(data), **options)
    folder = Path(algorithm) if Path(algorithm).is_dir() else Path()
    return Federation.from_file(file or folder / "federation.yaml", **options)


def _input(method: str, arguments: Sequence[str], running: Federation) -> dict[str, object]:
    """The task's input; v3 must be told whether the method is a master."""
    kwargs: dict[str, object] = {}
    for name, value in map(_argument, arguments):
        if name in kwargs:
            raise FederationError(f"argument {name} is given twice; for a list write {name}:='[…, …]'")
        kwargs[name] = value
    content: dict[str, object] = {"method": method, "kwargs": kwargs}
    if running.contract == "v3":
        content["master"] = running.role_of(method) == "master"
    return content


def _argument(text: str) -> tuple[str, object]:
    match = re.fullmatch(r"([^:=]+)(:?=)(.*)", text, re.DOTALL)
    if match is None:
        hint = " (each file after a --data of its own)" if Path(text).exists() else ""
        hint = " (ids are written with commas: --organizations 2,3)" if text.isdigit() else hint
        raise FederationError(f"argument {text!r}: write name=text or name:=json{hint}")
    name, sign, value = match.groups()
    if sign == "=":
        return name, value
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        raise FederationError(
            f"argument {name}: what follows := is not JSON, as the shell hands it on; write for instance "
            f'{name}:=3, {name}:=true or {name}:=\'["a", "b"]\', in quotes; and {name}=… for a text'
        ) from None


def _ids(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise FederationError(f"--organizations takes ids like 2,3, not {text!r}") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FederationError(f"--input: {path} cannot be read ({error.strerror})") from None
