"""The texts of the command line as values: arguments of a method, ids, files and time limits."""

from __future__ import annotations

import glob
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import typer


def parse_timeout(text: str) -> float:
    """Return a limit in seconds. The bounds of typer would include 0 and accept NaN."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise typer.BadParameter(f"{text!r} is not a positive number of seconds, such as 60 or 0.5")
    return seconds


def check_files(paths: list[Path] | None) -> list[Path] | None:
    """Refuse URIs. Their slashes are already lost, because a path cannot contain ``//``."""
    for path in paths or ():
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", str(path)) and not path.exists():  # the URI may contain a password
            raise typer.BadParameter("accepts files, not URIs; write the URI into federation.yaml, with --federation")
    return paths


def list_nodes(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the nodes of the option ``--data``: the name of each organization, and its database.

    A path is the database of one node. A pattern such as ``sites/*.csv`` is a node for each match, in sorted order,
    with the name of the file without its ending. A number keeps the ending, because ``--organizations 10`` is an id.
    The node of a path is ``organization_ID``.
    """
    nodes: list[tuple[str, Path]] = []
    for path in paths:
        if path.exists() or not glob.has_magic(str(path)):  # a file can have the name `data[1].csv`
            nodes.append((f"organization_{len(nodes) + 2}", path))
            continue
        pattern = path.expanduser()  # the shell does not expand a quoted ~
        # `Path.glob` does not accept absolute patterns.
        matches = sorted(map(Path, glob.glob(str(pattern), recursive=True)))
        if not matches:
            raise make_usage_error("--data", f"no file matches the pattern {str(path)!r} (in {Path.cwd()})")
        nodes += [(match.name if match.stem.isdecimal() else match.stem, match) for match in matches]
    numbers = Counter(name for name, _ in nodes)
    for name, path in nodes:
        if numbers[name] > 1:
            other = next(later for later_name, later in reversed(nodes) if later_name == name)
            reason = f"two nodes would have the name {name!r}: {path} and {other}"
            raise make_usage_error("--data", f"{reason}; rename a file, or name the organizations in a federation.yaml")
    return dict(nodes)


def make_usage_error(parameter: str, reason: str) -> typer.BadParameter:
    """Return click's error for an option or argument, which ends the command with exit code 2."""
    return typer.BadParameter(reason, param_hint=repr(parameter))


def parse_arguments(texts: Sequence[str]) -> dict[str, object]:
    """Return the arguments of a method from texts like ``name=value`` and ``name:=json``."""
    arguments: dict[str, object] = {}
    for name, value in map(_parse_argument, texts):
        if name in arguments:
            raise make_usage_error(name, f"passed twice; for a list write {name}:='[…, …]'")
        arguments[name] = value
    return arguments


def _parse_argument(text: str) -> tuple[str, object]:
    match = re.fullmatch(r"([^:=]+)(:?=)(.*)", text, re.DOTALL)
    if match is None:
        hint = (
            " (for a second file repeat the option: --data FILE --data FILE, or quote the pattern: --data '*.csv')"
            if Path(text).exists()
            else ""
        )
        hint = " (separate ids with commas: --organizations 2,3)" if text.isdigit() else hint
        raise make_usage_error(text, f"write name=text or name:=json{hint}")
    name, sign, value = match.groups()
    if sign == "=":
        return name, value
    if value.startswith("@"):
        return name, _read_argument(name, Path(value[1:]))
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        reason = f'{value!r} is not valid JSON; examples: {name}:=3, {name}:=true, {name}:=\'["a", "b"]\' (in quotes)'
        raise make_usage_error(name, f"{reason}; for a string write {name}=…") from None


def _read_argument(name: str, file: Path) -> object:
    """Return the content of a JSON file, or the array in a file of numpy."""
    try:
        if file.suffix != ".npy":
            return json.loads(file.read_bytes())
        import numpy as np

        return np.load(file, allow_pickle=False)
    except OSError as error:
        reason = f"the file {str(file)!r} cannot be read ({error.strerror})"
    except (ValueError, EOFError, RecursionError):
        kind = "an array of numpy without Python objects" if file.suffix == ".npy" else "JSON"
        reason = f"the file {str(file)!r} is not {kind}"
    raise make_usage_error(name, reason)


def parse_organizations(texts: Sequence[str], members: Mapping[int, str]) -> list[int | str]:
    """Return the organizations in texts like ``2,3`` and ``Leiden, 3``, each by its id or name.

    A name may contain commas: the longest part of a text that is an id or a name counts. An id has priority over the
    same text as a name. Unknown names stay as they are written.
    """
    names = list(members.values())
    existing = {*map(str, members), *names}
    organizations: list[int | str] = []
    for text in texts:
        parts = text.split(",")
        while parts:
            candidates = [(size, ",".join(parts[:size]).strip()) for size in range(len(parts), 0, -1)]
            size, name = next(((size, name) for size, name in candidates if name in existing), candidates[-1])
            is_id = name.isdecimal() and (int(name) in members or name not in existing)
            if not is_id and names.count(name) > 1:
                raise make_usage_error("--organizations", f"{name!r} is the name of several organizations; pass an id")
            organizations.append(int(name) if is_id else name)
            parts = parts[size:]
    return organizations
