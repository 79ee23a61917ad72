"""Ids and names of organizations and tasks, as a master's code passes them to its client."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

from algotools.errors import ArgumentsError, UnknownOrganization


def to_id(value: Any) -> int | None:
    """Return an integer of any type, for instance numpy's, as an int; None for any other value.

    A boolean is not an id, although Python counts it as an integer.
    """
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def check_id(value: object, name: str) -> int:
    """Return an id, or raise ``ArgumentsError`` if the value is not a positive integer."""
    id_ = to_id(value)
    if id_ is None or id_ < 1:
        raise ArgumentsError(f"{name} must be an id, a positive integer; a task's is task['id']")
    return id_


def find_organizations(organizations: Iterable[object], members: Mapping[int, str]) -> list[int]:
    """Return the ids of organizations that are given by id or by name, without duplicates, in order.

    Args:
        organizations: ids of any integer type, and names.
        members: id and name of each organization of the collaboration.

    Raises:
        UnknownOrganization: an id or a text is not one of the members', or two members have the same name.
        ArgumentsError: a value is neither an id nor a name, or the list is a single value.
    """
    choices = _list_members(members)
    if isinstance(organizations, (str, bytes, bytearray, memoryview)) or to_id(organizations) is not None:
        raise ArgumentsError(
            f"organizations must be a list of ids or names, not a single {type(organizations).__name__}; "
            f"write it in brackets (choose from {choices})"
        )
    try:
        items = list(organizations)
    except TypeError:
        raise ArgumentsError(
            f"organizations must be a list of ids or names, not a {type(organizations).__name__} "
            f"(choose from {choices})"
        ) from None
    ids = [
        _find_by_name(item, f"organizations[{position}]", members)
        if isinstance(item, str)
        else _check_type(item, f"organizations[{position}]", choices)
        for position, item in enumerate(items)
    ]
    if message := unknown_organizations_message(ids, members):
        raise UnknownOrganization(message)
    return list(dict.fromkeys(ids))


def _check_type(item: object, location: str, choices: str) -> int:
    id_ = to_id(item)
    if id_ is None:
        raise ArgumentsError(
            f"{location} is a {type(item).__name__}, but must be an organization's id (an integer) or its name "
            f"(choose from {choices})"
        )
    return id_


def _find_by_name(text: str, location: str, members: Mapping[int, str]) -> int:
    """Return the id of the organization with a name. The message does not quote the text, which could be data."""
    ids = [id_ for id_, name in members.items() if name == text]
    if len(ids) == 1:
        return ids[0]
    choices = _list_members(members)
    if ids:
        raise UnknownOrganization(
            f"{location} is the name of several organizations; pass an id (choose from {choices})"
        )
    hint = "; an id must be an integer, not a text" if text.strip().isdecimal() else ""
    raise UnknownOrganization(f"{location} is a text that is not an organization's name{hint} (choose from {choices})")


def unknown_organizations_message(organizations: Iterable[object], members: Mapping[int, str]) -> str:
    """Return a message about the organizations outside the collaboration; an empty text if there are none."""
    unknown = [str(o) for o in dict.fromkeys(organizations) if o not in members]
    return f"not in the collaboration: {', '.join(unknown)}; it has {_list_members(members)}" if unknown else ""


def _list_members(members: Mapping[int, str]) -> str:
    return ", ".join(f"{id_} ({name})" for id_, name in members.items())
