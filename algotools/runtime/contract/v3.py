"""v3: plain variables, one requested database, input and output prefixed with their format.

Oddities: before 3.6.1, no variable lists the labels of the databases. Before 3.8, the requested database is given by a
path instead of its label. The prefix is ``json.``, in upper or lower case.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from algotools.errors import ContractError, InputError
from algotools.runtime.contract import Contract
from algotools.runtime.contract.environment import (
    LOCATION_VARIABLES,
    REQUIRED,
    RULES_FILE,
    RULES_LABEL,
    find_policy_file,
    hide_owner_database,
    is_owner_label,
    list_policy_variables,
    read_database,
    read_locations,
    read_node_variables,
    read_policy_variables,
    read_variables,
)
from algotools.runtime.contract.files import parse_object, read_call, read_input
from algotools.task import Database, Task

if TYPE_CHECKING:
    from algotools.runtime.client import Connection

VARIABLES = (*LOCATION_VARIABLES, "USER_REQUESTED_DATABASE_LABEL", "DB_LABELS", "DATABASE_URI")
"""The names of the contract's variables, without the two of every database."""


def list_variables(labels: list[str]) -> set[str]:
    """Return the names of all variables of the contract, for databases with these labels."""
    return {*VARIABLES, *(f"{label.upper()}_DATABASE_{ending}" for label in labels for ending in ("URI", "TYPE"))}


class V3(Contract):
    """The container's side of generation 3."""

    name = "v3"
    prefix = b"json."

    def read(self, environ: Mapping[str, str]) -> Task:
        """See ``Contract.read``."""
        locations = read_locations(read_variables(environ, VARIABLES, REQUIRED, encoded=False))
        data = read_input(locations["input_file"], self.prefix)
        content = parse_object(data)
        call = read_call(content, data)
        labels = _read_labels(environ)
        visible_labels = _list_visible_labels(environ)
        names = list_variables(visible_labels)
        values = read_variables(environ, names, encoded=False)
        databases = [read_database(values, label) for label in labels if not is_owner_label(label)]
        requested = _read_requested(environ, databases, content)
        return Task(
            role="master" if content.get("master") else "rpc",
            databases=requested,
            configured=tuple(d for d in databases if d.label not in {r.label for r in requested}),
            variables=read_node_variables(environ, names, encoded=False),
            policy_file=find_policy_file(values, visible_labels),
            **read_policy_variables(environ, names, encoded=False),
            **call,
            **locations,
        )

    def list_secrets(self, environ: Mapping[str, str]) -> set[str]:
        """See ``Contract.list_secrets``."""
        labels = _list_visible_labels(environ)
        databases = [read_database(environ, label) for label in labels]
        requested = [database.label for database in _read_requested(environ, databases, {})]
        visible_labels = [label for label in requested if not is_owner_label(label)]
        visible = list_variables(visible_labels)
        if len(visible_labels) < len(requested):
            visible.remove("DATABASE_URI")  # the path of the policy file or of the ledger
        hidden = list_variables([label for label in labels if label not in visible_labels])
        return {name for name in hidden - visible if name in environ} | list_policy_variables(environ, visible)

    def connect(self, task: Task, token: str) -> Connection:
        """See ``Contract.connect``."""
        from algotools.runtime.contract._proxy_v3 import V3Connection

        return V3Connection(task, token, self)


def _read_labels(environ: Mapping[str, str]) -> list[str]:
    """Return the labels of all configured databases; an empty list before 3.6.1."""
    try:
        labels = json.loads(environ.get("DB_LABELS") or "[]")
    except (ValueError, RecursionError):
        labels = None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ContractError("the variable DB_LABELS is not a JSON list of texts")
    return labels


def _list_visible_labels(environ: Mapping[str, str]) -> list[str]:
    """Return the labels of all databases with variables; before 3.6.1, in lower case, from the names of variables."""
    ending = "_DATABASE_URI"
    return _read_labels(environ) or [n.removesuffix(ending).lower() for n in environ if n.endswith(ending)]


def _read_requested(
    environ: Mapping[str, str], databases: list[Database], content: Mapping[str, Any]
) -> tuple[Database, ...]:
    """Return the requested database: by its label (from 3.8), otherwise by its URI; empty if none is requested."""
    label, legacy = environ.get("USER_REQUESTED_DATABASE_LABEL"), environ.get("DATABASE_URI")
    if label is not None:
        values = read_variables(environ, list_variables([label]), encoded=False)
        matches = [database for database in databases if database.label == label] or [read_database(values, label)]
        matches = [hide_owner_database(database) for database in matches]
    elif legacy:
        # The legacy variable is always /mnt/data/ and the last part of the URI, even if the URI is not a file. So only
        # the last parts can be compared.
        file_name = PurePosixPath(legacy).name
        same_file = [d for d in databases if PurePosixPath(d.uri).name == file_name]
        is_rules_file = RULES_FILE in environ and PurePosixPath(environ[RULES_FILE]).name == file_name
        matches = [Database(RULES_LABEL)] if is_rules_file else same_file or [Database("default", legacy)]
    else:
        return ()
    query, sheet_name = content.get("query"), content.get("sheet_name")
    for name, value in (("query", query), ("sheet_name", sheet_name)):
        if value is not None and not isinstance(value, str):
            raise InputError(f"the task's input has the wrong shape: `{name}` must be a text")
    return (msgspec.structs.replace(matches[0], query=query, sheet_name=sheet_name),)


CONTRACT = V3()
