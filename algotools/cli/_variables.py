"""``--variable NAME[@ORG]=VALUE``: variables of the nodes' owners on the command line."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from algotools.cli._arguments import make_usage_error
from algotools.errors import FederationError
from algotools.federation import Federation
from algotools.federation.variables import Variables, check_name, find_organization

_OPTION = "--variable"


class VariableOption(NamedTuple):
    """A variable of one organization, or of all nodes (empty)."""

    name: str
    organization: str
    value: str


def parse_variables(texts: Sequence[str]) -> list[VariableOption]:
    """Return the variables in texts like ``NAME=value`` and ``NAME@organization=value``; other texts are refused."""
    assignments: list[VariableOption] = []
    for text in texts:
        match = re.fullmatch(r"([^@=]*)(@([^=]*))?=(.*)", text, re.DOTALL)
        if match is None or match[3] == "":
            raise make_usage_error(_OPTION, f"{text!r} is not NAME=VALUE or NAME@ORGANIZATION=VALUE")
        name, organization, value = match[1], match[3] or "", match[4]
        try:
            check_name(name)
        except FederationError as error:
            raise make_usage_error(_OPTION, error.message) from None
        if (name, organization) in [(a.name, a.organization) for a in assignments]:
            raise make_usage_error(_OPTION, f"{text.partition('=')[0]} is set twice; for a list write {name}=a,b")
        assignments.append(VariableOption(name, organization, value))
    return assignments


def assign_variables(assignments: Sequence[VariableOption], read_members: Callable[[], Mapping[int, str]]) -> Variables:
    """Return the variables for ``Federation``; *read_members* returns id -> name of each organization.

    Raises:
        FederationError: an organization is unknown, as with ``--organizations``.
    """
    variables: dict[Any, Any] = {a.name: a.value for a in assignments if not a.organization}
    members = read_members() if any(a.organization for a in assignments) else {}
    by_organization: dict[int, dict[str, str]] = {}
    for assignment in assignments:
        if not assignment.organization:
            continue
        name = assignment.organization
        key = int(name) if name not in members.values() and name.isdecimal() else name
        try:
            id_ = find_organization(key, members)
        except FederationError as error:
            raise FederationError(f"{_OPTION} {assignment.name}@{name}: {error.message}") from None
        if assignment.name in by_organization.setdefault(id_, {}):
            raise make_usage_error(_OPTION, f"{assignment.name} is set twice for {members[id_]}, by id and by name")
        by_organization[id_][assignment.name] = assignment.value
    variables.update(by_organization)
    return variables


def read_members(file: Path) -> dict[int, str]:
    """Return id -> name of each organization of a ``federation.yaml``."""
    from algotools.federation.yaml_file import read_file  # here, because only files need YAML

    return {id_: member.name for id_, member in enumerate(read_file(file).members, start=2)}


def warn_about_misspelt_variables(
    federation: Federation, assignments: Sequence[VariableOption], method: str | None
) -> None:
    """Show a line for each variable that no function declares, if the called function declares a similar name."""
    if not assignments or method is None:
        return
    names = list(dict.fromkeys(assignment.name for assignment in assignments))
    for name, similar in federation.find_misspelt_variables(names, method).items():
        sys.stderr.write(f"warning: no function declares the variable {name}; did you mean {similar!r}?\n")
