"""What a project asks for, read as pip reads it, and what pip installs along with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name


def read(text: str) -> Requirement | None:
    """One dependency; None if pip cannot read it."""
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


def name_of(requirement: Requirement) -> str:
    """The distribution's name, as the package index compares names."""
    return canonicalize_name(requirement.name)


def with_what_they_need(asked: Iterable[Requirement], *, alone: str = "") -> set[str]:
    """The names of distributions, and of all that pip installs along with them as far as they are installed here.

    Of the distribution ``alone`` only itself counts.
    """
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = list(asked)
    while waiting:
        requirement = waiting.pop()
        known = (name_of(requirement), frozenset(requirement.extras))
        if known not in found:
            found.add(known)
            waiting += _needs(*known) if known[0] != alone else ()
    return {name for name, _ in found}


def _needs(name: str, extras: frozenset[str]) -> Iterator[Requirement]:
    """What a distribution needs on this Python, with the optional parts that are asked for."""
    try:
        texts = requires(name) or ()
    except PackageNotFoundError:
        return
    for requirement in filter(None, map(read, texts)):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement
