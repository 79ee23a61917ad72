"""``algotools run``: a task on a local federation."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from algotools.contract import Request, by_name
from algotools.contract.files import is_pickle
from algotools.contract.platform import Run
from algotools.errors import ArgumentsError, Failure, FederationError, RunsFailed
from algotools.federation import Federation
from algotools.report import read_failure
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
        str | None, typer.Option(help="What a run in a container may use, for instance 4g.", show_default=False)
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
    runner = "as-node" if as_node else runner
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended on the way out
    options: dict[str, Any] = {"algorithm": algorithm, "runner": runner, "contract": contract, "timeout": timeout}
    options |= {"memory": memory, "python": python}
    with _results_alone() as out, _federation(algorithm, data, federation, {**options, "listen": _tell}) as running:
        if input_file is not None:
            posted = _raw(input_file, method, running)
        else:
            posted = by_name(running.contract).request(_input(str(method), arguments or [], running))
        labels = [Database(label) for label in database or ["default"]]
        asked = _ids(",".join(organizations)) if organizations else list(running.organizations())
        task = running.client().task.post(asked, posted, labels, image=algorithm)
        _wait(running, task.id)
        names = running.organizations()
        failures = {run.id: failure for run in task.runs if (failure := running.failure(run)) is not None}
        if as_json:
            items = [_item(run, names, running, failures.get(run.id)) for run in task.runs]
            out.write(json.dumps(items, ensure_ascii=False) + "\n")
        else:
            _show(task.runs, names, running, failures, out)
        out.flush()
        _explain(running, task.id, names, failures)
    if failures:
        raise RunsFailed(f"{len(failures)} of {len(task.runs)} runs failed")


def _raw(file: Path, method: str | None, running: Federation) -> Request:
    """An input as it is; v5's has the arguments alone, so there the method stands beside it."""
    if running.contract == "v5" and method is None:
        raise FederationError("on v5 an input has the arguments by name alone: name the METHOD as well")
    if running.contract != "v5" and method is not None:
        raise FederationError(f"on {running.contract} the raw input names the method: give either METHOD or --input")
    return Request(_read(file), method or "")


def _wait(running: Federation, task_id: int) -> None:
    """Wait for a task; Ctrl-C ends all that was started."""
    try:
        running.wait(task_id)
    except KeyboardInterrupt:
        running.close()
        sys.stderr.write("stopped; nothing is left running\n")
        raise typer.Exit(130) from None


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


def _tell(run: Run, line: str) -> None:
    """Show a line of a run's log at once; why it failed is told at the end."""
    if read_failure(line) is None:
        sys.stderr.write(f"organization {run.organization_id}, task {run.task_id}: {line}\n")


def _item(run: Run, names: dict[int, str], running: Federation, failure: Failure | None) -> dict[str, object]:
    organization = {"id": run.organization_id, "name": names[run.organization_id]}
    if failure is not None:
        error = {"code": failure.exit_code, "message": failure.message}
        return {"organization": organization, "status": run.status, "error": error}
    answer = running.answer(run)
    told = {"result_base64": base64.b64encode(answer).decode()} if isinstance(answer, bytes) else {"result": answer}
    return {"organization": organization, "status": run.status, **told}


def _show(
    runs: Sequence[Run], names: dict[int, str], running: Federation, failures: dict[int, Failure], out: TextIO
) -> None:
    table = Table("organization", "status", "result")
    for run in runs:
        failure = failures.get(run.id)
        shown = f"[red]{escape(_short(failure))}[/red]" if failure else escape(_shown(running.answer(run)))
        status = f"[red]{run.status}[/red]" if failure else run.status
        table.add_row(f"{escape(names[run.organization_id])} ({run.organization_id})", status, shown)
    Console(file=out, highlight=False).print(table)


def _shown(answer: object) -> str:
    """An answer for a cell of a table. Bytes are none of ours: whoever opens a pickle runs what is in it."""
    if isinstance(answer, bytes):
        return f"<{len(answer)} bytes of {'pickle' if is_pickle(answer) else 'something else than JSON'}, unopened>"
    return json.dumps(answer, ensure_ascii=False)


def _short(failure: Failure) -> str:
    """A failure for a cell of a table; the whole of it is told below."""
    return (
        f"[{failure.exit_code}] {failure.message}" if len(failure.message) <= 80 else f"[{failure.exit_code}] see below"
    )


def _explain(running: Federation, task_id: int, names: dict[int, str], failures: dict[int, Failure]) -> None:
    """What the author, who is every node's owner here, may see: prints and details of failures, subtasks first."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    subruns = [run for task in running.subtasks(task_id) for run in task.runs]
    told: dict[Failure, list[str]] = {}
    for run in [*subruns, *running.task(task_id).runs]:
        name = f"{names[run.organization_id]} ({run.organization_id})"
        if (failure := failures.get(run.id) or running.failure(run)) is not None:
            told.setdefault(failure, []).append(name)
        elif run.detail:
            console.print(f"[cyan]{escape(name)}[/cyan] printed:\n{escape(run.detail.rstrip())}")
    for (code, message, detail), organizations in told.items():
        console.print(f"[red]{escape(', '.join(dict.fromkeys(organizations)))}[/red]: [{code}] {escape(message)}")
        if detail:
            console.print(escape(detail.rstrip()), style="dim")
        if code == ArgumentsError.exit_code:
            console.print("name=value gives a text; name:=json gives numbers, lists, true and null: n:=3", style="dim")
