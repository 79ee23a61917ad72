"""Where in a value something is, told without telling what is in the value; and what has no form there."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from algotools.errors import NotSerializable


class Key(NamedTuple):
    """A step into a mapping: the key, and how many came before it."""

    key: object
    position: int


Path = tuple["Key | int", ...]
"""Steps from the result down: a ``Key`` for a mapping, a number for a sequence."""


def show(path: Path, known: Collection[str] | None) -> str:
    """The path as text; keys that are not ``known`` are shown by position, for a key may be a data value.

    ``known`` are the texts that stand in the algorithm's own source; None shows every key (to the owner).

    >>> show((Key("sums", 0), Key("Jane Doe", 2), 4), {"sums"})
    "result['sums'][key 3][4]"
    """
    steps = ["result"]
    for step in path:
        if isinstance(step, int):
            steps.append(f"[{step}]")
        elif known is None or (isinstance(step.key, str) and step.key in known):
            steps.append(f"[{step.key!r}]")
        else:
            steps.append(f"[key {step.position + 1}]")
    return "".join(steps)


class Unfit(Exception):
    """Something at ``path`` has no form in the encoding; ``why`` holds type names only."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(why)
        self.path = path
        self.why = why

    def error(self, known: Iterable[str] = ()) -> NotSerializable:
        """For the researcher the place and the type; for the owner the keys as well."""
        return NotSerializable(
            f"{show(self.path, frozenset(known))}: {self.why}", detail=f"{show(self.path, None)}: {self.why}"
        )
