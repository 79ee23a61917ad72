"""A trial: each rpc that can be called without guessing is called once, on the first node's data.

It takes the road of every run from the function's arguments to the encoded result. Of what may go wrong only that
counts which goes wrong with any data: a result without a form, and a name that is not there. An error of the
author's own, a column that does not suit or data that cannot be read say nothing against the function.
"""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from algotools import data
from algotools.arguments import Column, Parameter
from algotools.dispatch.perform import perform
from algotools.errors import AlgotoolsError, FunctionRaised, NotSerializable
from algotools.federation.configuration import Member
from algotools.functions import Algorithm, RegisteredFunction
from algotools.task import Database, Encoding, Identity, Task

LARGEST = 20_000_000
"""Bytes: a trial on a larger file would last."""


class Trouble(NamedTuple):
    """What a trial showed."""

    rule: str
    reason: str
    place: tuple[str, int] | None = None
    """File and line, where it is known."""


def try_out(algorithm: Algorithm, function: RegisteredFunction, member: Member) -> Trouble | None:
    """Call an rpc once at a node; None if nothing is wrong, or nothing can be told."""
    specification = function.specification
    databases = _databases(function, member)
    if databases is None:
        return None
    kwargs = _arguments([p for p in specification.arguments if p.required], specification.data, databases)
    if kwargs is None:
        return None
    trouble = None
    for encoding in _ENCODINGS:  # what a researcher cannot get, the function's own master may
        trouble = _call(algorithm, function, member, databases, kwargs, encoding)
        if trouble is None or trouble.rule != "result-not-serializable":
            return trouble
    return trouble


_ENCODINGS: tuple[Encoding, ...] = ("plain", "rich")


def _call(
    algorithm: Algorithm,
    function: RegisteredFunction,
    member: Member,
    databases: tuple[Database, ...],
    kwargs: Mapping[str, object],
    encoding: Encoding,
) -> Trouble | None:
    with tempfile.TemporaryDirectory(prefix="algotools-") as folder:
        task = Task(
            method=function.method,
            role="rpc",
            kwargs=kwargs,
            encoding=encoding,
            databases=databases,
            configured=tuple(d for d in member.databases.values() if d not in databases),
            input_file=Path(folder) / "input",
            output_file=Path(folder) / "output",
            temporary_folder=Path(folder),
            identity=_ALONE,
            variables=member.variables,
        )
        try:
            perform(task, lambda: algorithm, _no_platform)
        except NotSerializable as error:
            return Trouble("result-not-serializable", f"called on {member.name}'s data, {error.message}")
        except FunctionRaised as error:
            return _of_the_source(error.__cause__, algorithm.folder, member)
        except AlgotoolsError:
            return None
    return None


def _of_the_source(cause: BaseException | None, folder: str | None, member: Member) -> Trouble | None:
    """A name or a module that is not there, where the author's own line is at fault."""
    if not isinstance(cause, (NameError, ImportError)) or folder is None:
        return None
    innermost = traceback.extract_tb(cause.__traceback__)[-1]
    if not Path(innermost.filename).is_relative_to(folder):
        return None
    return Trouble(
        "function-fails",
        f"called on {member.name}'s data, {_in_words(cause)} ({type(cause).__name__})",
        (innermost.filename, innermost.lineno or 0),
    )


def _in_words(cause: NameError | ImportError) -> str:
    named = repr(cause.name) if cause.name else "something"
    if isinstance(cause, UnboundLocalError):
        return "it uses a variable that has no value yet"
    if isinstance(cause, ImportError) and not isinstance(cause, ModuleNotFoundError):
        return f"it imports from {named} what is not there"
    return f"it uses {named}, which is not there"


def _databases(function: RegisteredFunction, member: Member) -> tuple[Database, ...] | None:
    """As many as the function takes without a label, from the first on; None if the node has too few of them."""
    labels = {p.label for p in function.specification.data if p.label is not None}
    wanted = sum(p.label is None for p in function.specification.data)
    unlabelled = [d for label, d in member.databases.items() if label not in labels][:wanted]
    if len(unlabelled) < wanted or not labels <= member.databases.keys():
        return None
    needed = [*unlabelled, *(member.databases[label] for label in labels)]
    return tuple(unlabelled) if all(map(_is_small_file, needed)) else None


def _is_small_file(database: Database) -> bool:
    try:
        return Path(database.uri.removeprefix("file://")).stat().st_size <= LARGEST
    except (OSError, ValueError):
        return False


def _arguments(
    required: Sequence[Parameter], tables: Sequence[Parameter], databases: tuple[Database, ...]
) -> dict[str, object] | None:
    """Values for the arguments that must be given: columns that are there; None if others are needed."""
    if not required:
        return {}
    annotations = [p.annotation for p in required]
    if not databases or not all(a in (Column, list[Column]) for a in annotations):
        return None
    if not any(p.form not in data.UNREAD for p in tables):
        return None
    columns = _columns(databases[0])
    if len(columns) < len(required):
        return None
    return {p.name: name if p.annotation == Column else [name] for p, name in zip(required, columns, strict=False)}


def _columns(database: Database) -> list[str]:
    """The columns of a table, those with numbers first."""
    try:
        frame: Any = data.load(database, "pandas", None).value
    except AlgotoolsError:
        return []
    from pandas.api.types import is_numeric_dtype

    columns = [column for column in frame.columns if isinstance(column, str)]
    return sorted(columns, key=lambda column: not is_numeric_dtype(frame[column]))


_ALONE = Identity(task_id=1, node_id=1, organization_id=2, collaboration_id=1, image="image")
"""A node without a platform: it knows who it is, and reaches nobody, as no rpc does."""


def _no_platform() -> NoReturn:
    raise NotImplementedError
