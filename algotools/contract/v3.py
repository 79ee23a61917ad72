"""v3: plain variables, one requested database, input and output prefixed with their format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from algotools.client import Connection
from algotools.contract import environment, files
from algotools.contract.base import Prepared, Request
from algotools.contract.places import SharedVolume
from algotools.contract.platform import Platform
from algotools.errors import ContractError, InputError
from algotools.payload import encode_arguments
from algotools.task import Database, Identity, Step, Task

PREFIX = b"json."

OWN = (*files.OF_PLACES, "USER_REQUESTED_DATABASE_LABEL", "DB_LABELS", "DATABASE_URI")
"""The names of the contract's variables, besides two for every database."""


def _own(labels: list[str]) -> set[str]:
    return {*OWN, *(f"{label.upper()}_DATABASE_{what}" for label in labels for what in ("URI", "TYPE"))}


class V3(SharedVolume):
    """Both sides of generation 3."""

    name = "v3"
    tells_unknown_labels = False

    def prepare(self, task: Task, token: str = "", posted: bytes | None = None) -> Prepared:
        """See ``Contract.prepare``."""
        databases = [*task.databases, *task.configured]
        labels = [database.label for database in databases]
        _check(task, labels)
        values = files.place_variables(task)
        for database in databases:
            values[f"{database.label.upper()}_DATABASE_URI"] = database.uri
            values[f"{database.label.upper()}_DATABASE_TYPE"] = database.type or "None"
        values["DB_LABELS"] = json.dumps(labels, ensure_ascii=False)
        more: dict[str, object] = {}
        for database in task.databases:
            values |= {"USER_REQUESTED_DATABASE_LABEL": database.label, "DATABASE_URI": database.uri}
            more = {k: v for k, v in (("query", database.query), ("sheet_name", database.sheet_name)) if v is not None}
        environment.check_variables(task.variables, _own(labels), encoded=False)
        values |= task.variables
        environment.check_texts(values)
        data = self.input({**files.input_content(task), **more}) if posted is None else posted
        contents = files.contents(task, data, token)
        return Prepared(values, contents)

    def read(self, environ: Mapping[str, str]) -> Task:
        """See ``Contract.read``."""
        places = files.places(environ)
        content = _parse(places["input_file"])
        method, args, kwargs, encoding = files.call(content)
        labels = _labels(environ)
        databases = [_database(environ, label) for label in labels]
        requested = _requested(environ, databases, content)
        return Task(
            method=method,
            role="master" if content.get("master") else "rpc",
            args=args,
            kwargs=kwargs,
            encoding=encoding,
            databases=requested,
            configured=tuple(d for d in databases if d.label not in {r.label for r in requested}),
            variables=environment.variables(environ, _own(labels), encoded=False),
            **places,
        )

    def input(self, content: Mapping[str, object]) -> bytes:
        """See ``Contract.input``."""
        return PREFIX + encode_arguments(content)

    def request(self, content: Mapping[str, object], step: Step = "compute") -> Request:
        """See ``Contract.request``: without a format, images made with other tools would answer with a pickle."""
        return Request(self.input({"output_format": "json", **content}), step=step)

    def output(self, data: bytes) -> bytes:
        """See ``Contract.output``: always prefixed, which tells every client how to decode it."""
        return PREFIX + files.wrap(data)

    def result(self, output: bytes) -> bytes:
        """See ``Contract.result``."""
        return files.unwrap(output, len(PREFIX) if output.startswith(PREFIX) else 0)

    def answer(self, output: bytes) -> object:
        """See ``Contract.answer``: pickled answers stay the bytes that they are."""
        return files.parse_answer(output, output[len(PREFIX) :]) if output.startswith(PREFIX) else output or None

    def databases(self, requested: list[Database]) -> str | list[object]:
        """See ``Contract.databases``: one label."""
        if len(requested) > 1:
            raise ContractError("a v3 task asks for one database; name one, or use --contract v4")
        return requested[0].label if requested else ""

    def connect(self, task: Task, token: str) -> Connection:
        """See ``Contract.connect``."""
        from algotools.contract.v3_http import ProxyConnection

        return ProxyConnection(task, token, self)

    def respond(
        self, method: str, path: str, query: Mapping[str, str], body: bytes, caller: Identity, platform: Platform
    ) -> tuple[int, object]:
        """See ``Contract.respond``."""
        from algotools.contract import v3_http

        return v3_http.respond(method, path, query, body, caller, platform)


def _check(task: Task, labels: list[str]) -> None:
    """Refuse by name what the generation cannot express."""
    if task.step != "compute" or any(d.group is not None for d in (*task.databases, *task.configured)):
        raise ContractError("v3 cannot express sessions: neither a step but compute, nor groups of tables")
    if task.role is None:
        raise ContractError("v3 cannot express a task without a role: its input says `master` or not")
    if task.identity is not None:
        raise ContractError("v3 cannot express `identity` in the environment: its token tells")
    if len(task.databases) > 1:
        raise ContractError("v3 cannot express several requested databases")
    if len({label.upper() for label in labels}) < len(labels) or "" in labels:
        raise ContractError("v3 cannot express database labels that are empty or differ only in case")
    for database in (*task.databases, *task.configured):
        if database.options or database.preprocessing is not None:
            raise ContractError(f"v3 cannot express options or preprocessing of a database ({database.label})")
        if database.type in ("", "None"):
            raise ContractError(f"v3 cannot express the type {database.type!r} of database {database.label}")
    if any(not database.uri for database in task.databases):
        raise ContractError("v3 cannot express a requested database that the node does not have")
    for database in task.configured:
        if database.query is not None or database.sheet_name is not None:
            raise ContractError(f"v3 cannot express a query of a database that is not asked for ({database.label})")
    if taken := {f"{label.upper()}_DATABASE_URI" for label in labels} & set(OWN):
        raise ContractError(f"v3 cannot express a database label whose variable is its own: {taken.pop()}")


def _parse(path: Path) -> dict[str, Any]:
    data = files.read_input(path)
    if data[: len(PREFIX)].lower() != PREFIX:
        raise InputError(
            "the task's input does not begin with 'json.', as a v3 input must; create the task with data_format='json'"
        )
    return files.parse_object(data[len(PREFIX) :])


def _labels(environ: Mapping[str, str]) -> list[str]:
    """The labels of all configured databases; none before 3.6.1, which did not list them."""
    try:
        labels = json.loads(environ.get("DB_LABELS") or "[]")
    except (ValueError, RecursionError):
        labels = None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ContractError("the variable DB_LABELS is not a JSON list of texts")
    return labels


def _database(environ: Mapping[str, str], label: str) -> Database:
    type_ = environ.get(f"{label.upper()}_DATABASE_TYPE")
    return Database(
        label, environ.get(f"{label.upper()}_DATABASE_URI", ""), None if type_ in (None, "", "None") else type_
    )


def _requested(
    environ: Mapping[str, str], databases: list[Database], content: Mapping[str, Any]
) -> tuple[Database, ...]:
    """The one requested database: by label (from 3.8), else by legacy URI; none if the node has no such label."""
    label, legacy = environ.get("USER_REQUESTED_DATABASE_LABEL"), environ.get("DATABASE_URI")
    if label is not None:
        found = [database for database in databases if database.label == label] or [_database(environ, label)]
    elif legacy:
        same_file = [d for d in databases if PurePosixPath(d.uri).name == PurePosixPath(legacy).name]
        found = same_file or [Database("default", legacy)]
    else:
        return ()
    query, sheet_name = content.get("query"), content.get("sheet_name")
    for name, value in (("query", query), ("sheet_name", sheet_name)):
        if value is not None and not isinstance(value, str):
            raise InputError(f"the task's input has the wrong shape: `{name}` must be a text")
    return (msgspec.structs.replace(found[0], query=query, sheet_name=sheet_name),)


CONTRACT = V3()
