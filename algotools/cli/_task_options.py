"""The options that the commands ``run`` and ``ask`` share, each declared once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from algotools.cli._arguments import check_files, parse_timeout
from algotools.federation.algorithms import RunnerChoice
from algotools.runtime.contract import ContractChoice

Method = Annotated[
    str | None,
    typer.Argument(
        help="Name of the method. `algotools describe` lists the methods.", metavar="METHOD", show_default=False
    ),
]
Arguments = Annotated[
    list[str] | None,
    typer.Argument(help="Arguments of the method: name=text or name:=json.", metavar="name=value|name:=json"),
]


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """The options of a command that sends a task. Each field is an option of the command line."""

    algorithm: Annotated[
        str,
        typer.Option(
            help="Folder of a project, a Python file, name of an installed algorithm, a module, or (runners container "
            "and as-node) an image. Default: the project of the current folder.",
            show_default=False,
        ),
    ] = "."
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Database file of a node. Repeat the option for each node. A quoted pattern such as 'sites/*.csv' is "
            "a node for each file, with the file's name without its ending, in sorted order.",
            callback=check_files,
            metavar="FILE|PATTERN",
            show_default=False,
        ),
    ] = None
    federation: Annotated[
        Path | None,
        typer.Option(help="YAML file with organizations and databases. Default: federation.yaml of the project."),
    ] = None
    organizations: Annotated[
        list[str] | None,
        typer.Option(
            help="Ids or names of the organizations that run the task, for instance 2,3. Default: all.",
            show_default=False,
        ),
    ] = None
    database: Annotated[
        list[str] | None,
        typer.Option(
            help="Label of the database. Repeat the option for several databases. On v5, a,b is a group of tables for "
            "one argument of the function. Default: default."
        ),
    ] = None
    query: Annotated[
        str | None, typer.Option(help="Query for the database, if its type supports queries.", show_default=False)
    ] = None
    runner: Annotated[
        RunnerChoice,
        typer.Option(
            help="process: each run in its own process. inline: runs in this process, for breakpoints. container: runs "
            "in hardened containers. as-node: runs in containers like at a real node, as root, with the node's files. "
            "dask: rpcs run on the workers of a Dask cluster, each in its own process."
        ),
    ] = RunnerChoice.PROCESS
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Dask scheduler of --runner dask: its address or scheduler file. Default: a cluster on this machine.",
            metavar="tcp://HOST:PORT|FILE",
            show_default=False,
        ),
    ] = None
    address: Annotated[
        str | None,
        typer.Option(
            help="Address on which this machine listens for the workers of --runner dask. Default: the address on the "
            "route to the scheduler and its workers.",
            metavar="HOST[:PORT]",
            show_default=False,
        ),
    ] = None
    as_node: Annotated[bool, typer.Option("--as-node", help="Same as --runner as-node.")] = False
    python: Annotated[
        Path | None,
        typer.Option(
            help="Python interpreter of another environment in which the algorithm is installed (runner process). "
            "Algorithms made with vantage6's own tools run there with their own wrapper.",
            show_default=False,
        ),
    ] = None
    contract: Annotated[
        ContractChoice | None,
        typer.Option(
            help="Generation of vantage6 of the nodes. Default: detected for an image or --python; otherwise v4.",
            show_default=False,
        ),
    ] = None
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input", help="File with the raw input of the task, instead of METHOD and arguments (v5: with METHOD)."
        ),
    ] = None
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print the results as JSON. A master's result over fewer nodes than the task names has the key "
            "incomplete. A result that is not JSON (a pickle) is not opened: its item has "
            "result_base64 instead of result.",
        ),
    ] = False
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File for the results: .json (with the nodes, rows, withheld cells and versions behind the results), "
            ".csv (with these in FILE.csv.json), or .parquet (with these in the metadata).",
            show_default=False,
        ),
    ] = None
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file of --output if it exists.")] = False
    require_all: Annotated[
        bool,
        typer.Option(
            "--require-all",
            help="A result without the data of an organization, for instance because its node failed and the master "
            "went on, is an error (exit code 69).",
        ),
    ] = False
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="Show no progress, no lines of logs and no prints of functions, also not those of the wrappers of "
            "other tools. Results, failures and warnings are shown.",
        ),
    ] = False
    timeout: Annotated[
        float | None, typer.Option(help="Time limit of each run, in seconds.", metavar="SECONDS", parser=parse_timeout)
    ] = None
    memory: Annotated[
        str | None,
        typer.Option(
            help="Memory limit of each run, for instance 4g (runners process, container and dask).", show_default=False
        ),
    ] = None
    confined: Annotated[
        bool,
        typer.Option(
            "--confined",
            help="Run the algorithm's code in a sandbox (runners process and dask on Linux): no privileges, no network "
            "except servers of databases, and only the files of the algorithm and of the node's databases.",
        ),
    ] = False
    no_probe: Annotated[
        bool,
        typer.Option("--no-probe", help="Do not run functions again to find values that depend on few records."),
    ] = False
    grid: Annotated[
        list[str] | None,
        typer.Option(
            help="Values of an argument, for one task each: seed:=1..100, tolerance:=[1e-3,1e-6] or "
            "column=age,weight. With several options, every combination is a task. A completed task that the history "
            "has with the same data and versions is not run again.",
            metavar="NAME=VALUES",
            show_default=False,
        ),
    ] = None
    fresh: Annotated[bool, typer.Option("--fresh", help="With --grid, run also the tasks that the history has.")] = (
        False
    )
    no_history: Annotated[
        bool,
        typer.Option(
            "--no-history", help="Do not record the task in the history of the project; see `algotools history`."
        ),
    ] = False
    policy: Annotated[
        str | None,
        typer.Option(
            help="Policy of the nodes' owners, which decides what leaves a node: standard, strict, off, or a TOML "
            "file. Default: that of the federation.yaml, otherwise standard.",
            metavar="PRESET|FILE",
            show_default=False,
        ),
    ] = None
    variable: Annotated[
        list[str] | None,
        typer.Option(
            help="Variable that the nodes' owners set for algorithms, at all nodes or at one organization (id or "
            "name). Repeat the option for each variable. It replaces `algorithm_env` of the federation.yaml.",
            metavar="NAME[@ORG]=VALUE",
            show_default=False,
        ),
    ] = None


def accept_task_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter ``options`` of a command by one parameter for each field of ``TaskOptions``.

    typer reads the options of a command from its signature.
    """

    @functools.wraps(command)
    def call(**values: Any) -> None:
        names = [field.name for field in fields(TaskOptions)]
        options = TaskOptions(**{name: values.pop(name) for name in names})
        command(**values, options=options)

    hints = get_type_hints(TaskOptions, include_extras=True)
    own_parameters = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [parameter for parameter in own_parameters if parameter.name != "options"]
    for field in fields(TaskOptions):
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(field.name, kind, default=field.default, annotation=hints[field.name]))
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # functions have this attribute
    call.__annotations__ = {}  # those of the command include `options`
    return call
