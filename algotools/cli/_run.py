"""``algotools run``: run a task on a local federation."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from algotools.cli._ledger import find_project_ledger
from algotools.cli._probes import show_probes
from algotools.cli._progress import LineView, Overview, is_terminal
from algotools.cli._results import show_results
from algotools.cli._signals import handle_stop_signals
from algotools.cli._streams import OutputStream
from algotools.errors import FederationError, RunsFailed
from algotools.federation import Federation
from algotools.federation.algorithms import IN_CONTAINERS, RunnerChoice, locate_algorithm
from algotools.federation.contract import Request, get_contract
from algotools.runtime.contract import ContractChoice
from algotools.runtime.logs import format_count
from algotools.task import Database


def parse_timeout(text: str) -> float:
    """Return a limit in seconds. The bounds of typer would include 0 and accept NaN."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise typer.BadParameter(f"{text!r} is not a positive number of seconds, such as 60 or 0.5")
    return seconds


def _check_files(paths: list[Path] | None) -> list[Path] | None:
    """Refuse URIs. Their slashes are already lost, because a path cannot contain ``//``."""
    for path in paths or ():
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", str(path)) and not path.exists():  # the URI may contain a password
            raise typer.BadParameter("accepts files, not URIs; write the URI into federation.yaml, with --federation")
    return paths


def _make_usage_error(parameter: str, reason: str) -> typer.BadParameter:
    """Return click's error for an option or argument, which ends the command with exit code 2."""
    return typer.BadParameter(reason, param_hint=repr(parameter))


RUN_EXAMPLES = """
[bold]Examples[/bold]

algotools run master column_name=age

algotools run master column_name=age --organizations 2,3,4 --json

algotools run master column_name=age --data hospital1.csv --data hospital2.csv --data hospital3.csv

algotools run fit columns:='["age", "sex"]' tolerance:=1e-6

algotools run central column=age --algorithm REGISTRY/IMAGE:TAG --runner container --data a.csv --data b.csv

algotools run central column=age --algorithm my_pkg --python venv/bin/python --data a.csv --data b.csv

[dim]name=value passes a string. name:=json passes any JSON value: a number, a list, true, null.
name:=@file.json passes the content of a file, and name:=@file.npy an array of numpy.
`algotools describe` shows the methods and their arguments.
The last two examples also run algorithms made with vantage6's own tools. Their generation is detected.[/dim]
"""


def run(
    method: Annotated[
        str | None,
        typer.Argument(
            help="Name of the method. `algotools describe` lists the methods.", metavar="METHOD", show_default=False
        ),
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="Arguments of the method: name=text or name:=json.", metavar="name=value|name:=json"),
    ] = None,
    algorithm: Annotated[
        str,
        typer.Option(
            help="Folder of a project, name of an installed algorithm, a module, or (runners container and as-node) an "
            "image. Default: the current folder.",
            show_default=False,
        ),
    ] = ".",
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Database file of a node. Repeat the option for each node.", callback=_check_files, show_default=False
        ),
    ] = None,
    federation: Annotated[
        Path | None,
        typer.Option(help="YAML file with organizations and databases. Default: federation.yaml of the project."),
    ] = None,
    organizations: Annotated[
        list[str] | None,
        typer.Option(
            help="Ids of the organizations that run the task, for instance 2,3. Default: all.", show_default=False
        ),
    ] = None,
    database: Annotated[
        list[str] | None,
        typer.Option(help="Label of the database. Repeat the option for several databases. Default: default."),
    ] = None,
    query: Annotated[
        str | None, typer.Option(help="Query for the database, if its type supports queries.", show_default=False)
    ] = None,
    runner: Annotated[
        RunnerChoice,
        typer.Option(
            help="process: each run in its own process. inline: runs in this process, for breakpoints. container: runs "
            "in hardened containers. as-node: runs in containers like at a real node, as root, with the node's files."
        ),
    ] = RunnerChoice.PROCESS,
    as_node: Annotated[bool, typer.Option("--as-node", help="Same as --runner as-node.")] = False,
    python: Annotated[
        Path | None,
        typer.Option(
            help="Python interpreter of another environment in which the algorithm is installed (runner process). "
            "Algorithms made with vantage6's own tools run there with their own wrapper.",
            show_default=False,
        ),
    ] = None,
    contract: Annotated[
        ContractChoice | None,
        typer.Option(
            help="Generation of vantage6 of the nodes. Default: detected for an image or --python; otherwise v4.",
            show_default=False,
        ),
    ] = None,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input", help="File with the raw input of the task, instead of METHOD and arguments (v5: with METHOD)."
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print the results as JSON. A result that is not JSON (a pickle) is not opened: its item has "
            "result_base64 instead of result.",
        ),
    ] = False,
    timeout: Annotated[
        float | None, typer.Option(help="Time limit of each run, in seconds.", metavar="SECONDS", parser=parse_timeout)
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            help="Memory limit of each run, for instance 4g (runners process and container).", show_default=False
        ),
    ] = None,
    confined: Annotated[
        bool,
        typer.Option(
            "--confined",
            help="Run the algorithm's code in a sandbox (runner process on Linux): no privileges, no network except "
            "servers of databases, and only the files of the algorithm and of the node's databases.",
        ),
    ] = False,
    no_probe: Annotated[
        bool,
        typer.Option("--no-probe", help="Do not run functions again to find values that depend on few records."),
    ] = False,
    policy: Annotated[
        str | None,
        typer.Option(
            help="Policy of the nodes' owners, which decides what leaves a node: standard, strict, off, or a TOML "
            "file. Default: that of the federation.yaml, otherwise standard.",
            metavar="PRESET|FILE",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run a task over several nodes on this machine, and show the results.

    Organizations have the ids 2, 3, …. Each organization has one node with its own databases. A function runs like at
    a real node: with the same input, the same files and the same results.
    """
    if method is None and input_file is None:
        raise _make_usage_error("METHOD", "required without --input; `algotools describe` lists the methods")
    if input_file is not None and arguments:
        raise _make_usage_error("--input", "not allowed with arguments, which are part of the raw input")
    if query is not None and len(database or ()) > 1:
        raise _make_usage_error("--query", "allowed with only one --database; for more queries use a client")
    with handle_stop_signals() as stop, _open_results_stream() as results_stream, _open_view() as view:
        options = {
            "algorithm": algorithm,
            "python": python,
            "timeout": timeout,
            "memory": memory,
            "confined": confined,
            "policy": policy,
            "ledger": find_project_ledger(algorithm),
            "listen": view.receive_line,
        }
        options["runner"] = RunnerChoice.AS_NODE.value if as_node else runner.value
        options["contract"] = None if contract is None else contract.value
        local_federation = _open_federation(algorithm, data, federation, options)
        stop.is_deferred = True
        with local_federation:
            passed = _parse_arguments(arguments or [])
            databases = [Database(label, query=query) for label in database or ["default"]]
            if query is not None and input_file is not None and local_federation.contract == "v3":
                raise _make_usage_error(
                    "--query", "not allowed with --input on v3, because the raw input has the query"
                )
            request = _make_request(method, passed, databases, input_file, local_federation)
            members = local_federation.organizations()
            ids = _parse_ids(",".join(organizations), members) if organizations else list(members)
            overview = Overview(local_federation, local_federation.post(ids, request, databases, image=algorithm))
            view.follow(overview)
            while stop.exit_code is None and not local_federation.wait(overview.task.id, view.interval):
                view.update()
            view.close()
            if stop.exit_code is not None:
                sys.stderr.write("stopping all runs …\n")
                sys.exit(stop.exit_code)
            show_results(overview, results_stream, as_json=as_json, arguments=passed)
            if not no_probe:
                show_probes(local_federation, lambda: stop.exit_code is not None)
            number_failed = sum(overview.get_failure(run) is not None for run in overview.task.runs)
    if number_failed:
        raise RunsFailed(f"{number_failed} of {format_count(len(overview.task.runs), 'run')} failed")


@contextmanager
def _open_view() -> Iterator[LineView]:
    """Show the progress of a task on standard error: as a live table on a terminal, otherwise as lines."""
    view = LineView(sys.stderr)
    if is_terminal(sys.stderr, os.environ):
        from algotools.cli._table import TableView  # imported here, because only a terminal needs the table

        view = TableView(sys.stderr)
    try:
        yield view
    finally:
        view.close()


@contextmanager
def _open_results_stream() -> Iterator[TextIO]:
    """Open standard output for the results, and redirect all other output to standard error."""
    # The descriptor itself is redirected, because child processes and compiled libraries do not write to sys.stdout.
    sys.stdout.flush()
    original_stdout = os.dup(1)
    try:
        os.dup2(2, 1)
        with OutputStream(open(os.dup(original_stdout), "wb"), encoding="utf-8") as results_stream:
            yield results_stream
    finally:
        sys.stdout.flush()
        os.dup2(original_stdout, 1)
        os.close(original_stdout)


def _open_federation(
    algorithm: str, data: Sequence[Path] | None, file: Path | None, options: dict[str, Any]
) -> Federation:
    if data:
        if file is not None:
            raise _make_usage_error("--data", "not allowed with --federation")
        return Federation(list(data), **options)
    folder = Path(algorithm) if Path(algorithm).is_dir() else Path()
    default = folder / "federation.yaml"
    if file is None and not default.exists():
        if not (Path(algorithm).is_dir() or options["python"] or options["runner"] in IN_CONTAINERS):
            locate_algorithm(algorithm)  # a wrong name is the more likely mistake
        raise FederationError(
            f"{folder.resolve()} has no federation.yaml; change to the folder of a project, or name data with "
            "--data FILE"
        )
    return Federation.from_file(file or default, **options)


def _make_request(
    method: str | None,
    kwargs: Mapping[str, object],
    databases: Sequence[Database],
    input_file: Path | None,
    federation: Federation,
) -> Request:
    """Create the task's input from METHOD and arguments, or read it from a file.

    An input of v5 contains only the arguments, so METHOD is required in addition to the file.
    """
    if input_file is not None:
        if federation.contract == "v5" and method is None:
            raise _make_usage_error("METHOD", "required on v5, because the raw input has only the arguments")
        if federation.contract != "v5" and method is not None:
            reason = f"not allowed with METHOD on {federation.contract}, because the raw input contains the method"
            raise _make_usage_error("--input", reason)
        try:
            return Request(input_file.read_bytes(), method or "")
        except OSError as error:
            reason = f"{str(input_file)!r} cannot be read ({error.strerror})"
            raise _make_usage_error("--input", reason) from None
    content: dict[str, object] = {"method": method, "kwargs": kwargs}
    if federation.contract == "v3":  # the input of v3 contains the role
        content["master"] = federation.find_role(str(method)) == "master"
    node_contract = get_contract(federation.contract)
    return node_contract.make_request(node_contract.add_query(content, databases))


def _parse_arguments(texts: Sequence[str]) -> dict[str, object]:
    arguments: dict[str, object] = {}
    for name, value in map(_parse_argument, texts):
        if name in arguments:
            raise _make_usage_error(name, f"passed twice; for a list write {name}:='[…, …]'")
        arguments[name] = value
    return arguments


def _parse_argument(text: str) -> tuple[str, object]:
    match = re.fullmatch(r"([^:=]+)(:?=)(.*)", text, re.DOTALL)
    if match is None:
        hint = " (for a second file repeat the option: --data FILE --data FILE)" if Path(text).exists() else ""
        hint = " (separate ids with commas: --organizations 2,3)" if text.isdigit() else hint
        raise _make_usage_error(text, f"write name=text or name:=json{hint}")
    name, sign, value = match.groups()
    if sign == "=":
        return name, value
    if value.startswith("@"):
        return name, _read_argument(name, Path(value[1:]))
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        reason = f'{value!r} is not valid JSON; examples: {name}:=3, {name}:=true, {name}:=\'["a", "b"]\' (in quotes)'
        raise _make_usage_error(name, f"{reason}; for a string write {name}=…") from None


def _read_argument(name: str, file: Path) -> object:
    """Return the content of a JSON file, or the array in a file of numpy."""
    try:
        if file.suffix != ".npy":
            return json.loads(file.read_bytes())
        import numpy as np

        return np.load(file, allow_pickle=False)
    except OSError as error:
        reason = f"the file {str(file)!r} cannot be read ({error.strerror})"
    except (ValueError, EOFError, RecursionError):
        kind = "an array of numpy without Python objects" if file.suffix == ".npy" else "JSON"
        reason = f"the file {str(file)!r} is not {kind}"
    raise _make_usage_error(name, reason)


def _parse_ids(text: str, members: Mapping[int, str]) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        choices = ", ".join(f"{id_} ({name})" for id_, name in members.items())
        reason = f"{text!r} is not a list of ids like 2,3 (choose from {choices})"
        raise _make_usage_error("--organizations", reason) from None
