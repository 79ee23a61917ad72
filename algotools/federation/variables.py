"""The variables that the owners of nodes set, for a federation that is described in Python or on the command line."""

from __future__ import annotations

import datetime
import difflib
import enum
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Union

import msgspec

from algotools.declare.variables import is_reserved
from algotools.errors import FederationError
from algotools.federation._results import find_ids
from algotools.federation.configuration import Configuration
from algotools.federation.contract.prepare import NAME

Scalar = Union[str, int, float, bool, PurePath, datetime.date, enum.Enum]
Value = Union[Scalar, Sequence[Scalar], frozenset[Scalar], set[Scalar], None]
"""The value of a variable. None: the node does not have the variable."""

Variables = Mapping[Any, object]
"""Variable -> its value at all nodes; or organization (id or name) -> the variables of its node.

The keys are ``int`` or ``str``, and the values are ``Value``, or mappings from variables to ``Value``. No stricter type
accepts a dict literal with both forms, because a type checker infers ``dict[object, object]``. So ``add_variables``
checks the content.
"""


def add_variables(configuration: Configuration, variables: Variables) -> Configuration:
    """Return the configuration with variables of the nodes' owners.

    An entry whose value is a mapping belongs to the organization that its key names; any other entry belongs to all
    nodes. The variables of an organization replace those of all nodes, and both replace those of the configuration.

    Raises:
        FederationError: an organization is unknown, or a name or a value is not that of a variable.
    """
    names = {id_: member.name for id_, member in enumerate(configuration.members, start=2)}
    common: dict[str, str | None] = {}
    by_organization: dict[int, dict[str, str | None]] = {id_: {} for id_ in names}
    for key, value in variables.items():
        if isinstance(value, Mapping):
            id_ = find_organization(key, names)
            by_organization[id_] |= {name: format_value(name, item) for name, item in value.items()}
        elif isinstance(key, str):
            common[key] = format_value(key, value)
        else:
            raise FederationError(f"variables= has no mapping for organization {key}: {{{key}: {{'NAME': …}}}}")
    members = [
        msgspec.structs.replace(member, variables=_merge(member.variables, common, by_organization[id_]))
        for id_, member in enumerate(configuration.members, start=2)
    ]
    return msgspec.structs.replace(configuration, members=tuple(members))


def find_organization(key: int | str, names: Mapping[int, str]) -> int:
    """Return the id of an organization that is named by id or by name; *names* is id -> name.

    Raises:
        FederationError: the organization is unknown.
    """
    (id_,) = find_ids([key], names)
    return id_


def _merge(*layers: Mapping[str, str | None]) -> dict[str, str]:
    """Return the variables of a node; a later layer replaces an earlier one, and None removes a variable."""
    merged: dict[str, str | None] = {}
    for layer in layers:
        merged |= layer
    return {name: text for name, text in merged.items() if text is not None}


def check_name(name: object) -> None:
    """Refuse a name that is not that of a variable of a node's owner.

    Raises:
        FederationError: the message names the reason.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise FederationError(
            f"the name of a variable consists of letters, digits and underscores, and does not begin with a digit, not "
            f"{name!r}"
        )
    if is_reserved(name):
        raise FederationError(f"the variable {name} belongs to the platform or to the image; choose another name")


def format_value(name: str, value: object) -> str | None:
    """Return the text of a variable, as a node's owner writes it: ``true``, ``0.5``, ``["a", "b"]``."""
    check_name(name)
    if value is None or isinstance(value, str):
        return value.value if isinstance(value, enum.Enum) else value
    content = _make_json_value(name, value)
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def _make_json_value(name: str, value: object) -> Any:
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_make_json_value(name, item) for item in value]
    if isinstance(value, datetime.date):  # includes datetime
        return value.isoformat()
    if isinstance(value, (str, int, float)):
        return value
    raise FederationError(
        f"variable {name}: the value must be a text, a number, a boolean, a date, a path, an enum or a list of these, "
        f"not {type(value).__name__}"
    )


def find_misspelt(names: Iterable[str], method: str, variables: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return name -> the similar variable of the called function, for each name that no function declares.

    Other code can read any variable in ``RunInfo.variables``, so an unknown name alone is not a mistake.
    *variables* is method -> the variables of the function and of the rpcs that it calls.
    """
    declared = variables.get(method, ())
    variable_names = {name for names in variables.values() for name in names}
    matches = {
        name: difflib.get_close_matches(name.upper(), declared, n=1) for name in names if name not in variable_names
    }
    return {name: match[0] for name, match in matches.items() if match}
