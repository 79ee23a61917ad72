"""The rules about a function's result: its annotation, its ``return`` statements, and a trial call.

Whether a result can be encoded is not decided by a list of types: the encoders get a sample of each type. The result
of an rpc may go to a researcher or to the algorithm's own master, so both encodings must accept it.

A trial calls an rpc once on the first node's data, if its arguments can be chosen without guessing. A trial reports
only faults that occur with any data: a result that cannot be encoded, and a name that does not exist. If the algorithm
has a master, a result with two keys of the same text in JSON is not reported, because the master can get it.
"""

from __future__ import annotations

import ast
import builtins
import collections
import inspect
import tempfile
import traceback
import types
import typing
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NoReturn, Union

from algotools import data
from algotools.declare.annotations import Column
from algotools.declare.arguments import Parameter
from algotools.declare.functions import Algorithm, RegisteredFunction
from algotools.errors import AlgotoolsError, FunctionExited, FunctionRaised, NotSerializable
from algotools.federation.configuration import Member
from algotools.federation.imports import SourceFile
from algotools.payload import decode_rich, encode_plain, encode_rich
from algotools.project.check._rules import Finding, TrialCall
from algotools.project.check._source import (
    FunctionNode,
    find_clients,
    find_function,
    locate_definition,
    read_bindings,
    walk_body,
)
from algotools.runtime.client import Results
from algotools.runtime.dispatch.perform import NodeAccess, perform
from algotools.task import Database, Identity, Role, Task

_SAMPLES: dict[Any, object] = {
    set: set(),
    frozenset: frozenset(),
    collections.abc.Set: frozenset(),
    collections.abc.MutableSet: set(),
    collections.abc.KeysView: {}.keys(),
    collections.abc.ValuesView: {}.values(),
    collections.abc.ItemsView: {}.items(),
    collections.deque: collections.deque(),
    complex: 1j,
    bytes: b"",
    bytearray: bytearray(),
    memoryview: memoryview(b""),
    range: range(0),
    slice: slice(0),
    object: object(),
    map: map(str, ()),
    filter: filter(None, ()),
    zip: zip((), strict=False),
    enumerate: enumerate(()),
    reversed: reversed(()),
    iter: iter(()),
    Iterator: iter(()),
    Generator: (_ for _ in ()),
    collections.abc.Callable: len,
    types.FunctionType: len,
    Results: Results.__new__(Results),
}
"""Type or builtin, as annotations and calls name it -> a sample value."""

_ANYTHING = frozenset({object, collections.abc.Callable})
"""Annotations that are too general to be checked."""

_LARGEST_TRIAL = 20_000_000
"""Bytes of a data file; a trial call on a larger file would take too long."""


def check_result(function: RegisteredFunction, files: Sequence[SourceFile]) -> list[Finding]:
    """Check the ``return`` statements of a function, and its annotation if they have no fault."""
    wrapped = function.__wrapped__
    location = locate_definition(function)
    if location is None or inspect.unwrap(wrapped) is not wrapped:  # another decorator may change the result
        return []
    path, line = location
    hint = _read_return_hint(wrapped)
    if function.step != "compute":
        if hint in (None, Any, object) or data.find_form(hint) not in (None, *data.UNREAD):
            return []
        kind = _add_article(getattr(hint, "__name__", str(hint)))
        return [Finding.of("table-result", path, line, f"{function.method}: the annotation of its result is {kind}")]
    file = next((file for file in files if str(file.path) == path), None)
    node = find_function(file, line) if file else None
    faults = _ReturnReader(function.role, node, wrapped.__globals__).read() if node else []
    if not faults and (unencodable := _find_unencodable_type(hint, function.role)):
        faults = [(line, f"the annotation of its result is {unencodable}")]
    return [Finding.of("result-not-serializable", path, line, f"{function.method}: {text}") for line, text in faults]


def _read_return_hint(function: Callable[..., object]) -> Any:
    try:
        return typing.get_type_hints(function, include_extras=True).get("return")
    except Exception:  # an annotation is any expression; an invalid one is not a fault of the result
        return None


def _can_encode(value: object, role: Role) -> bool:
    """Whether all encodings for the result of a function accept a value."""
    try:
        encode_plain(value)
        if role == "rpc":
            encode_rich(value)
    except NotSerializable:
        return False
    return True


def _find_unencodable_type(hint: Any, role: Role) -> str:
    """Describe the first type in an annotation that cannot be encoded; empty if all can be, or if unknown.

    A union is accepted if one of its types except None can be encoded.
    """
    origin, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is Annotated:
        return _find_unencodable_type(inner[0], role)
    if origin in (Union, types.UnionType):
        parts = [_find_unencodable_type(member, role) for member in inner if member is not type(None)]
        return parts[0] if parts and all(parts) else ""
    try:
        is_known = origin in _SAMPLES and origin not in _ANYTHING
    except TypeError:  # the annotation is not hashable
        return ""
    if is_known and not _can_encode(_SAMPLES[origin], role):
        return _add_article(getattr(origin, "__name__", str(origin)))
    if origin in (dict, collections.abc.Mapping) and len(inner) == 2:
        return _add_container(_find_unencodable_type(inner[1], role), "a mapping")
    if origin in (list, tuple, collections.abc.Sequence):
        parts = [_find_unencodable_type(member, role) for member in inner if member is not ...]
        return _add_container(next(filter(None, parts), ""), f"a {origin.__name__.lower()}")
    return ""


def _add_article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeio' else 'a'} {name}"


def _add_container(description: str, outer: str) -> str:
    """Add a container to the description of a value, unless the description already has the innermost container."""
    return f"{outer} with {description} in it" if description and " in it" not in description else description


class _ReturnReader:
    """Reads the ``return`` statements of a function; *names* are the global variables of its module."""

    def __init__(self, role: Role, function: FunctionNode, names: Mapping[str, object]) -> None:
        self._role = role
        self._function = function
        self._bound = read_bindings(function)
        self._clients = find_clients(function, self._bound)
        self._names = names
        self._followed: set[str] = set()

    def read(self) -> list[tuple[int, str]]:
        """Return the line and the reason of each ``return`` whose value cannot be encoded."""
        returns = (node for node in walk_body(self._function) if isinstance(node, ast.Return) and node.value)
        return [
            (node.lineno, f"it returns {unencodable}")
            for node in returns
            if node.value and (unencodable := self._find_unencodable(node.value))
        ]

    def _find_unencodable(self, node: ast.expr) -> str:
        """Describe the part of an expression's value that cannot be encoded; empty if all can be, or if unknown."""
        if isinstance(node, ast.Constant):
            kind = type(node.value).__name__
            return "" if _can_encode(node.value, self._role) else f"a {kind}, which JSON does not have"
        if isinstance(node, (ast.Set, ast.SetComp)):
            return self._check_sample(set, "a set")
        if isinstance(node, ast.GeneratorExp):
            return self._check_sample(Generator, "a generator")
        if isinstance(node, ast.Lambda):
            return self._check_sample(types.FunctionType, "a function")
        if isinstance(node, ast.Name):
            return self._check_name(node.id)
        if isinstance(node, ast.Call):
            return self._check_call(node)
        return next(filter(None, self._check_parts(node)), "")

    def _check_parts(self, node: ast.expr) -> Iterator[str]:
        if isinstance(node, ast.Dict):
            yield from (_add_container(self._find_unencodable(value), "a dict") for value in node.values)
        elif isinstance(node, ast.DictComp):
            yield _add_container(self._find_unencodable(node.value), "a dict")
        elif isinstance(node, (ast.List, ast.Tuple)):
            kind = "a list" if isinstance(node, ast.List) else "a tuple"
            yield from (_add_container(self._find_unencodable(item), kind) for item in node.elts)
        elif isinstance(node, ast.ListComp):
            yield _add_container(self._find_unencodable(node.elt), "a list")
        elif isinstance(node, ast.IfExp):
            yield from (self._find_unencodable(part) for part in (node.body, node.orelse))
        elif isinstance(node, ast.NamedExpr):
            yield self._find_unencodable(node.value)

    def _check_name(self, name: str) -> str:
        bound = self._bound.get(name, [])
        if len(bound) != 1 or bound[0] is None or name in self._followed:
            return ""
        self._followed.add(name)
        try:
            return self._find_unencodable(bound[0])
        finally:
            self._followed.discard(name)

    def _check_call(self, node: ast.Call) -> str:
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            runs = node.func.attr == "run" and node.func.value.id in self._clients
            return self._check_sample(Results, "the results of client.run(…) without list(…)") if runs else ""
        if not isinstance(node.func, ast.Name) or node.func.id in self._bound:
            return ""
        name = node.func.id
        called = self._names.get(name, getattr(builtins, name, None))
        if called is dict:
            values = (_add_container(self._find_unencodable(k.value), "a dict") for k in node.keywords if k.arg)
            return next(filter(None, values), "")
        try:
            is_known = called in _SAMPLES
        except TypeError:  # not hashable
            return ""
        return self._check_sample(called, f"the result of {name}(…)") if is_known else ""

    def _check_sample(self, kind: object, description: str) -> str:
        return "" if _can_encode(_SAMPLES[kind], self._role) else description


class TrialArguments(NamedTuple):
    """The databases and arguments of a trial call."""

    databases: tuple[Database, ...]
    kwargs: Mapping[str, object]


def choose_trial(function: RegisteredFunction, member: Member) -> TrialArguments | None:
    """Return the arguments of a trial call of an rpc on a node's data; None if they would have to be guessed."""
    databases = _choose_databases(function, member)
    kwargs = None if databases is None else _choose_arguments(function, databases)
    return None if databases is None or kwargs is None else TrialArguments(databases, kwargs)


def try_function(
    algorithm: Algorithm, function: RegisteredFunction, member: Member, arguments: TrialArguments
) -> list[Finding]:
    """Call an rpc once on a node's data, and return the finding of the call, if there is one."""
    finding = _call_once(algorithm, function, member, *arguments)
    return [finding] if finding else []


_IDENTITY = Identity(task_id=1, node_id=1, organization_id=2, collaboration_id=1, image="image")


def _refuse_connection() -> NoReturn:
    raise NotImplementedError  # an rpc has no client


def _call_once(
    algorithm: Algorithm,
    function: RegisteredFunction,
    member: Member,
    databases: tuple[Database, ...],
    kwargs: Mapping[str, object],
) -> Finding | None:
    with tempfile.TemporaryDirectory(prefix="algotools-") as folder:
        task = Task(
            method=function.method,
            role="rpc",
            kwargs=kwargs,
            encoding="rich",
            databases=databases,
            configured=tuple(d for d in member.databases.values() if d not in databases),
            input_file=Path(folder) / "input",
            output_file=Path(folder) / "output",
            temporary_folder=Path(folder),
            identity=_IDENTITY,
            variables=member.variables,
        )
        path, line = locate_definition(function) or ("", None)
        prefix = TrialCall(function.method, member.name, path, line).prefix
        try:
            result = perform(task, lambda: algorithm, NodeAccess(_refuse_connection))
            if not any(other.role == "master" for other in algorithm.functions.values()):
                encode_plain(decode_rich(result), function.collect_literals())
        except NotSerializable as error:
            return Finding.of("result-not-serializable", path, line, f"{prefix}{error.message}")
        except FunctionRaised as error:
            return _find_missing_name(error.__cause__, algorithm.folder, prefix)
        except FunctionExited as error:
            return Finding.of("ends-process", path, line, f"{prefix}it{error.message.removeprefix(function.method)}")
        except AlgotoolsError:  # other failures may depend on the data, so they prove nothing
            return None
    return None


def _find_missing_name(cause: BaseException | None, folder: str | None, prefix: str) -> Finding | None:
    """Return a finding if a line of the author's code uses a name or module that does not exist."""
    if not isinstance(cause, (NameError, ImportError)) or folder is None:
        return None
    innermost = traceback.extract_tb(cause.__traceback__)[-1]
    if not Path(innermost.filename).is_relative_to(folder):
        return None
    name = repr(cause.name) if cause.name else "something"
    if isinstance(cause, UnboundLocalError):
        reason = "it uses a variable before the variable has a value"
    elif isinstance(cause, ImportError) and not isinstance(cause, ModuleNotFoundError):
        reason = f"it imports a name that {name} does not have"
    else:
        reason = f"it uses {name}, which does not exist"
    reason = f"{prefix}{reason} ({type(cause).__name__})"
    return Finding.of("function-fails", innermost.filename, innermost.lineno, reason)


def _choose_databases(function: RegisteredFunction, member: Member) -> tuple[Database, ...] | None:
    """Return the node's first databases for the parameters without a label; None if one is missing or too large."""
    labels = {p.label for p in function.specification.data if p.label is not None}
    number = sum(p.label is None for p in function.specification.data)
    unlabelled = [d for label, d in member.databases.items() if label not in labels][:number]
    if len(unlabelled) < number or not labels <= member.databases.keys():
        return None
    databases = [*unlabelled, *(member.databases[label] for label in labels)]
    return tuple(unlabelled) if all(map(_is_small_file, databases)) else None


def _is_small_file(database: Database) -> bool:
    try:
        return Path(database.uri.removeprefix("file://")).stat().st_size <= _LARGEST_TRIAL
    except (OSError, ValueError):
        return False


def _choose_arguments(function: RegisteredFunction, databases: Sequence[Database]) -> dict[str, object] | None:
    """Return columns as the required arguments; None if a required argument is not a column."""
    required: list[Parameter] = [p for p in function.specification.arguments if p.required]
    if not required:
        return {}
    if not databases or not all(p.annotation in (Column, list[Column]) for p in required):
        return None
    if all(p.form in data.UNREAD for p in function.specification.data):
        return None
    columns = _read_columns(databases[0])
    if len(columns) < len(required):
        return None
    return {p.name: name if p.annotation == Column else [name] for p, name in zip(required, columns, strict=False)}


def _read_columns(database: Database) -> list[str]:
    """Return the names of a table's columns, numeric columns first."""
    try:
        frame: Any = data.load(database, "pandas", None).value
    except AlgotoolsError:
        return []
    from pandas.api.types import is_numeric_dtype

    columns = [column for column in frame.columns if isinstance(column, str)]
    return sorted(columns, key=lambda column: not is_numeric_dtype(frame[column]))
