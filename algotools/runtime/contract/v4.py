"""v4: base32 variables (plain ones in 4.0 and 4.1), several requested databases, input and output in JSON.

Oddities: the variables of a database begin with its label, and the node's owner chooses the labels. So only after the
labels are read is it known which variables belong to the contract. An input may omit the function's role (``master``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from algotools.runtime.contract import Contract
from algotools.runtime.contract.environment import (
    DATABASE_SUFFIXES,
    LOCATION_VARIABLES,
    OPTION_PREFIX,
    REQUIRED,
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
from algotools.task import Task

if TYPE_CHECKING:
    from algotools.runtime.client import Connection

VARIABLES = (*LOCATION_VARIABLES, "USER_REQUESTED_DATABASE_LABELS", "DB_LABELS")
"""The names of the contract's variables, without those of the databases."""


def list_variables(labels: Collection[str], names: Iterable[str]) -> set[str]:
    """Return the names of all variables of the contract, for databases with these labels; *names* may be options."""
    fixed = {f"{label.upper()}_{ending}" for label in labels for ending in DATABASE_SUFFIXES.values()}
    options = tuple(f"{label.upper()}_{OPTION_PREFIX}" for label in labels)
    return {*VARIABLES, *fixed, *(name for name in names if name.startswith(options))}


class V4(Contract):
    """The container's side of generation 4."""

    name = "v4"

    def read(self, environ: Mapping[str, str]) -> Task:
        """See ``Contract.read``."""
        encoded = _is_encoded(environ)
        values = read_variables(environ, VARIABLES, REQUIRED, encoded=encoded)
        labels, requested = _read_labels(values)
        names = list_variables([*labels, *requested], environ)
        values |= read_variables(environ, names.difference(VARIABLES), encoded=encoded)
        locations = read_locations(values)
        data = read_input(locations["input_file"])
        content = parse_object(data)
        master = content.get("master")
        return Task(
            role=None if master is None else "master" if master else "rpc",
            databases=tuple(hide_owner_database(read_database(values, label)) for label in requested),
            configured=tuple(
                read_database(values, label) for label in labels if label not in requested and not is_owner_label(label)
            ),
            variables=read_node_variables(environ, names, encoded=encoded),
            policy_file=find_policy_file(values, labels),
            **read_policy_variables(environ, names, encoded=encoded),
            **read_call(content, data),
            **locations,
        )

    def list_secrets(self, environ: Mapping[str, str]) -> set[str]:
        """See ``Contract.list_secrets``."""
        labels, requested = _read_labels(read_variables(environ, VARIABLES, encoded=_is_encoded(environ)))
        visible_labels = [label for label in requested if not is_owner_label(label)]
        visible = list_variables(visible_labels, environ)
        hidden = list_variables([label for label in (*labels, *requested) if label not in visible_labels], environ)
        return {name for name in hidden - visible if name in environ} | list_policy_variables(environ, visible)

    def connect(self, task: Task, token: str) -> Connection:
        """See ``Contract.connect``."""
        from algotools.runtime.contract._proxy import V4Connection

        return V4Connection(task, token, self)


def _is_encoded(environ: Mapping[str, str]) -> bool:
    return not environ.get("INPUT_FILE", "").startswith("/")


def _read_labels(values: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the labels of all configured databases, and those of the requested databases."""
    labels, requested = (
        values[name].split(",") if values.get(name) else [] for name in ("DB_LABELS", "USER_REQUESTED_DATABASE_LABELS")
    )
    return labels, requested


CONTRACT = V4()
