"""The task of the commands ``run`` and ``ask``, checked before it is created."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from algotools.cli._arguments import make_usage_error, parse_organizations
from algotools.cli._details import suggest_operators
from algotools.cli._task_options import TaskOptions
from algotools.cli._variables import parse_variables, warn_about_misspelt_variables
from algotools.errors import ArgumentsError, FederationError, UnknownLabel
from algotools.federation import Federation
from algotools.federation.contract import Request
from algotools.federation.contract.rest import TaskRecord
from algotools.task import Database


def prepare_task(
    federation: Federation, method: str | None, arguments: Mapping[str, object], options: TaskOptions, *, at_one: bool
) -> Callable[[], TaskRecord]:
    """Check the call of a command once, and return the function that creates its task.

    With ``at_one``, only one node runs the task.

    Raises:
        AlgotoolsError: no node could run the call.
        FederationError: an rpc would run at one of several nodes.
    """
    databases = read_databases(options, federation)
    if options.query is not None and options.input_file is not None and federation.contract == "v3":
        raise make_usage_error("--query", "not allowed with --input on v3, because the raw input has the query")
    members = read_recipients(options, federation)
    if options.input_file is not None:
        call: str | Request = _read_request(options.input_file, method, federation)
    else:
        call = str(method)
    try:
        with explain_joined_labels(databases, federation):
            request = federation.prepare(call, members, databases, arguments, options.algorithm)
    except ArgumentsError as error:
        error.detail = "\n".join(suggest_operators(error.message, arguments))
        raise
    warn_about_misspelt_variables(federation, parse_variables(options.variable or []), method)
    only = None
    if at_one:
        ids = federation.find_ids(members)
        refuse_rpc(federation, str(method), ids)
        only = federation.choose_node(ids)
    return lambda: federation.post(members, request, databases, image=options.algorithm, only_organization=only)


def refuse_rpc(federation: Federation, method: str, ids: Sequence[int]) -> None:
    """Refuse that an rpc runs at one of several nodes.

    Raises:
        FederationError: the method is an rpc, and the task names several organizations.
    """
    if len(ids) > 1 and federation.find_role(method) == "rpc":
        raise FederationError(
            f"{method} is an rpc, which has a separate result at each node: use `algotools run`, or name one "
            "organization with --organizations"
        )


def read_recipients(options: TaskOptions, federation: Federation) -> list[int | str]:
    """Return the organizations of the task, by id or name."""
    members = federation.organizations()
    return parse_organizations(options.organizations, members) if options.organizations else list(members)


def read_databases(options: TaskOptions, federation: Federation) -> list[Database]:
    """Return the requested databases. On v5, labels that are joined by commas are one argument: a group of tables."""
    databases: list[Database] = []
    for number, text in enumerate(options.database or ["default"]):
        labels = text.split(",") if federation.contract == "v5" else [text]
        group = number if len(labels) > 1 else None
        databases += [Database(label, query=options.query, group=group) for label in labels]
    return databases


@contextmanager
def explain_joined_labels(databases: Sequence[Database], federation: Federation) -> Iterator[None]:
    """Replace the error about a label such as ``a,b``, which names several databases only on v5.

    Raises:
        UnknownLabel: no node has a database with one of the labels.
    """
    try:
        yield
    except UnknownLabel:
        joined = next((database.label for database in databases if "," in database.label), None)
        if joined is None or federation.contract == "v5":
            raise
        options = " ".join(f"--database {shlex.quote(label)}" for label in joined.split(",") if label)
        hint = "a task of v3 has only one database" if federation.contract == "v3" else f"write {options}"
        raise UnknownLabel(f"no node has a database {joined!r}, and only v5 has groups of tables; {hint}") from None


def _read_request(file: Path, method: str | None, federation: Federation) -> Request:
    """Read the task's input from a file.

    An input of v5 contains only the arguments, so METHOD is required in addition to the file.
    """
    if federation.contract == "v5" and method is None:
        raise make_usage_error("METHOD", "required on v5, because the raw input has only the arguments")
    if federation.contract != "v5" and method is not None:
        reason = f"not allowed with METHOD on {federation.contract}, because the raw input contains the method"
        raise make_usage_error("--input", reason)
    try:
        return Request(file.read_bytes(), method or "")
    except OSError as error:
        raise make_usage_error("--input", f"{str(file)!r} cannot be read ({error.strerror})") from None
