"""``algotools run`` and ``algotools ask``: run a task on a local federation."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from algotools.cli._arguments import list_nodes, make_usage_error, parse_arguments
from algotools.cli._console import show_note
from algotools.cli._grid import check_grid, parse_grid, show_grid
from algotools.cli._history import find_history
from algotools.cli._output import check_output, report_unchanged, write_grid, write_output
from algotools.cli._probes import show_probes
from algotools.cli._request import explain_joined_labels, prepare_task, read_databases, read_recipients, refuse_rpc
from algotools.cli._results import show_results
from algotools.cli._signals import handle_stop_signals
from algotools.cli._target import find_target
from algotools.cli._task_options import Arguments, Method, TaskOptions, accept_task_options
from algotools.cli._task_view import follow_task, open_results_stream, open_view, show_warnings
from algotools.cli._variables import (
    assign_variables,
    parse_variables,
    read_members,
)
from algotools.declare.projects import find_project_below, is_project
from algotools.errors import AlgotoolsError, FederationError, RunsFailed, RunsIncomplete
from algotools.federation import Federation
from algotools.federation.algorithms import IN_CONTAINERS, RunnerChoice, locate_algorithm
from algotools.federation.contract.rest import RunRecord
from algotools.federation.folders import make_prefix
from algotools.federation.history import find_project_folder
from algotools.federation.mismatches import list_mismatches
from algotools.federation.progress import Overview
from algotools.runtime.logs import format_count

ASK_EXAMPLES = """
[bold]Examples[/bold]

algotools ask master column_name=age

algotools ask master column_name=age --output average.json

algotools ask fit columns:='["age", "sex"]' --organizations 2,3 --require-all

[dim]`algotools run --help` explains how arguments are passed.[/dim]
"""

RUN_EXAMPLES = """
[bold]Examples[/bold]

algotools run master column_name=age

algotools run master column_name=age --organizations 2,3,4 --json

algotools run master column_name=age --data hospital1.csv --data hospital2.csv --data hospital3.csv

algotools ask master column_name=age --data 'sites/*.csv'

algotools run fit columns:='["age", "sex"]' tolerance:=1e-6

algotools run master column_name=age --grid seed:=1..100 --json

algotools run master column_name=age --runner dask --scheduler tcp://login1:8786

algotools run central column=age --algorithm REGISTRY/IMAGE:TAG --runner container --data a.csv --data b.csv

algotools run central column=age --algorithm my_pkg --python venv/bin/python --data a.csv --data b.csv

[dim]name=value passes a string. name:=json passes any JSON value: a number, a list, true, null.
name:=@file.json passes the content of a file, and name:=@file.npy an array of numpy.
`algotools describe` shows the methods and their arguments.
The last two examples also run algorithms made with vantage6's own tools. Their generation is detected.[/dim]
"""


@accept_task_options
def run(method: Method = None, arguments: Arguments = None, *, options: TaskOptions) -> None:
    """Run a task over several nodes on this machine, and show the results.

    Organizations have the ids 2, 3, …. Each organization has one node with its own databases. A function runs like at
    a real node: with the same input, the same files and the same results.
    """
    _run_command(method, arguments, options)


@accept_task_options
def ask(method: Method = None, arguments: Arguments = None, *, options: TaskOptions) -> None:
    """Run a master at one node, over the data of all nodes, and show its result.

    The task names all organizations, so the master runs its rpc at each of them. But only one node runs the master.
    With `algotools run`, every node would run it and combine the same results.
    """
    _run_command(method, arguments, options, at_one=True)


def _run_command(
    method: str | None, arguments: Sequence[str] | None, options: TaskOptions, *, at_one: bool = False
) -> None:
    _check_usage(method, arguments, options)
    if options.python is None:  # the tools of other packages do not need a project
        options = replace(options, algorithm=find_target(options.algorithm))
    if options.grid:
        combinations = parse_grid(options.grid, parse_arguments(arguments or []))
        with report_unchanged(options.output):
            _run_grid(str(method), combinations, options, at_one=at_one)
    else:
        with report_unchanged(options.output):
            _send_and_show(method, arguments, options, at_one=at_one)


def _check_usage(method: str | None, arguments: Sequence[str] | None, options: TaskOptions) -> None:
    """Refuse combinations of options that do not depend on the federation."""
    if method is None and options.input_file is None:
        raise make_usage_error("METHOD", "required without --input; `algotools describe` lists the methods")
    if options.input_file is not None and arguments:
        raise make_usage_error("--input", "not allowed with arguments, which are part of the raw input")
    if options.grid and options.input_file is not None:
        raise make_usage_error("--grid", "not allowed with --input, which contains the arguments")
    if options.fresh and not options.grid:
        raise make_usage_error("--fresh", "allowed only with --grid; other tasks always run")
    if options.runner is not RunnerChoice.DASK or options.as_node:
        for name, value in (("--scheduler", options.scheduler), ("--address", options.address)):
            if value is not None:
                raise make_usage_error(name, "allowed only with --runner dask")
    if options.query is not None and len(options.database or ()) > 1:
        raise make_usage_error("--query", "allowed with only one --database; for more queries use a client")
    check_output(options.output, overwrite=options.overwrite)


def _send_and_show(
    method: str | None, arguments: Sequence[str] | None, options: TaskOptions, *, at_one: bool = False
) -> None:
    """Send a task, show its progress, and show the results or the failures.

    With ``at_one``, only one node runs the method, which must be a master if the task names several organizations.

    Raises:
        RunsFailed: a run of the task failed.
        RunsIncomplete: an organization is missing in a result, with the option ``--require-all``.
    """
    with (
        handle_stop_signals() as stop,
        open_results_stream() as results_stream,
        open_view(is_quiet=options.quiet) as view,
        _find_ledger(options) as ledger,
        _open_federation(options, view.receive_line, ledger) as local_federation,
    ):
        passed = parse_arguments(arguments or [])
        try:
            post = prepare_task(local_federation, method, passed, options, at_one=at_one)
        finally:
            stop.is_deferred = True  # before, a signal exits at once, because no run has started
        overview = Overview(local_federation, post())
        follow_task(local_federation, overview, view, stop)
        show_results(overview, results_stream, as_json=options.as_json, arguments=passed, is_quiet=options.quiet)
        for text in list_mismatches([overview.task, *overview.list_subtasks()]):
            show_note(f"warning: {text}")
        error = _find_error(overview, require_all=options.require_all)
        has_result = any(overview.get_failure(run) is None for run in overview.runs)
        if options.output is not None and has_result and not isinstance(error, RunsIncomplete):
            record = local_federation.record(overview.task.id, None if options.input_file else passed)
            write_output(options.output, record)
            show_note(f"the results are in {options.output}")
        if not options.quiet:
            _suggest_ask(overview)
        if not options.no_probe:
            show_probes(local_federation, lambda: stop.exit_code is not None, is_quiet=options.quiet)
    if error is not None:
        raise error


def _find_error(overview: Overview, *, require_all: bool) -> AlgotoolsError | None:
    """Return the error with which the command ends; None if the task succeeded."""
    if number_failed := sum(overview.get_failure(run) is not None for run in overview.runs):
        return RunsFailed(f"{number_failed} of {format_count(len(overview.runs), 'run')} failed")
    completeness = overview.completeness
    if require_all and not completeness.is_complete:
        return RunsIncomplete(completeness.describe(overview.names), missing=completeness.missing)
    return None


def _suggest_ask(overview: Overview) -> None:
    """Show a hint if several nodes ran a master, which needs only one."""
    masters = {task.init_organization_id for task in overview.list_subtasks()}
    if len(masters) > 1:
        method = overview.get_method(overview.runs[0])
        show_note(f"each of {len(overview.runs)} nodes ran the master; `algotools ask {method} …` runs it once")


def _run_grid(method: str, combinations: Sequence[Mapping[str, object]], options: TaskOptions, *, at_one: bool) -> None:
    """Run a task for each combination of arguments, and show one table.

    Raises:
        RunsFailed: a run of a task failed.
    """
    with handle_stop_signals(), open_results_stream() as stream, _find_ledger(options) as ledger:
        # A signal exits at once: `map` then stops its tasks, and the federation closes.
        progress = not options.quiet
        with _open_federation(options, lambda _run, _line: None, ledger, progress=progress) as federation:
            members = read_recipients(options, federation)
            if at_one:
                refuse_rpc(federation, method, federation.find_ids(members))
            databases = read_databases(options, federation)
            with show_warnings(), explain_joined_labels(databases, federation):
                grid = federation.map(
                    method,
                    combinations,
                    at=members,
                    databases=databases,
                    timeout=None,
                    require_all=options.require_all,
                    fresh=options.fresh,
                )
        show_grid(grid, stream, as_json=options.as_json)
        if options.output is not None:
            write_grid(options.output, grid, method)
            show_note(f"the results are in {options.output}")
        check_grid(grid)


@contextmanager
def _find_ledger(options: TaskOptions) -> Iterator[Path | None]:
    """Yield the folder of the project's ledger. The file of ``--output`` needs a ledger, so otherwise one is made."""
    folder = find_project_folder(Path(options.algorithm))
    if folder is not None or options.output is None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix=make_prefix()) as temporary:
        yield Path(temporary) / "ledger"


def _open_federation(
    options: TaskOptions,
    listen: Callable[[RunRecord, str], object],
    ledger: Path | None,
    *,
    progress: bool | None = None,
) -> Federation:
    """Create the federation of a command from files of databases or from a ``federation.yaml``."""
    algorithm, file = options.algorithm, options.federation
    runner = RunnerChoice.AS_NODE if options.as_node else options.runner
    keywords: dict[str, Any] = {
        "algorithm": algorithm,
        "runner": runner.value,
        "contract": None if options.contract is None else options.contract.value,
        "python": options.python,
        "timeout": options.timeout,
        "memory": options.memory,
        "confined": options.confined,
        "scheduler": options.scheduler,
        "address": options.address,
        "policy": options.policy,
        "history": None if options.no_history else find_history(algorithm),
        "ledger": ledger,
        "listen": listen,
        "progress": progress,
    }
    variables = parse_variables(options.variable or [])
    if options.data:
        if file is not None:
            raise make_usage_error("--data", "not allowed with --federation")
        nodes = list_nodes(options.data)
        keywords["variables"] = assign_variables(variables, lambda: dict(enumerate(nodes, start=2)))
        return Federation(nodes, **keywords)
    path = Path(algorithm)
    folder = path if path.is_dir() else path.parent if path.suffix == ".py" else Path()
    default = folder / "federation.yaml"
    if file is None and not default.exists():
        if not (Path(algorithm).is_dir() or options.python or runner in IN_CONTAINERS):
            locate_algorithm(algorithm)  # a wrong name is the more likely mistake
        way_out = "name data with --data FILE, or write the organizations and their databases into a federation.yaml"
        if not (path.suffix == ".py" or is_project(folder)):
            below = find_project_below(folder)
            nearest = f" (the nearest is {below})" if below else ""
            way_out = f"change to the folder of a project{nearest}, or name data with --data FILE"
        raise FederationError(f"{folder.resolve()} has no federation.yaml; {way_out}")
    keywords["variables"] = assign_variables(variables, lambda: read_members(file or default))
    return Federation.from_file(file or default, **keywords)
