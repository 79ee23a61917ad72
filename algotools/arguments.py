"""The signature is the specification: parameters -> validated arguments, JSON Schema, what to inject.

Annotations are resolved when the algorithm is loaded (``specify``); what can be seen without resolving
is refused when the function is declared (``check_declaration``).
"""

from __future__ import annotations

import contextlib
import enum
import inspect
import json
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias, Union

import msgspec

from algotools.client import AlgorithmClient
from algotools.data import form_of
from algotools.errors import ArgumentsError, DeclarationError
from algotools.task import Database, Role, RunInfo, Step


class Marker(msgspec.Struct, frozen=True):
    """Says in an annotation what a text or a number stands for."""

    meaning: Literal["column", "organization"]


COLUMN = Marker("column")
ORGANIZATION = Marker("organization")

Column: TypeAlias = Annotated[str, COLUMN, msgspec.Meta(extra_json_schema={"format": "column"})]
"""The name of a column of the injected data; only such columns are read."""

Organization: TypeAlias = Annotated[int, ORGANIZATION, msgspec.Meta(extra_json_schema={"format": "organization"})]
"""The id of an organization of the collaboration; checked in masters, which can ask who is in it."""


class Columns(msgspec.Struct, frozen=True):
    """``Annotated[DataFrame, Columns.of("sex")]``: columns to read besides those that arguments name.

    ``Columns.all()`` reads every column, whatever the arguments name.
    """

    names: tuple[str, ...] | None

    @classmethod
    def of(cls, *names: str) -> Columns:
        """These columns, besides those that arguments name."""
        return cls(names)

    @classmethod
    def all(cls) -> Columns:
        """Every column there is."""
        return cls(None)


Kind = Literal["argument", "client", "run_info", "data"]


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of a function: an argument of the task, or something injected."""

    name: str
    kind: Kind
    annotation: Any
    positional_only: bool
    keyword_only: bool
    required: bool
    default: Any = None
    form: str = ""
    label: str | None = None
    columns: Columns = Columns(())


class Specification(msgspec.Struct, frozen=True):
    """What a function takes, as its signature says."""

    parameters: tuple[Parameter, ...]

    @property
    def arguments(self) -> tuple[Parameter, ...]:
        """The parameters that a task gives."""
        return tuple(p for p in self.parameters if p.kind == "argument")

    @property
    def positional(self) -> list[str]:
        """The names of the arguments that may be given by position, in order."""
        return [p.name for p in self.arguments if not p.keyword_only]

    @property
    def data(self) -> tuple[Parameter, ...]:
        """The parameters that get data, in order."""
        return tuple(p for p in self.parameters if p.kind == "data")

    def injects(self, kind: Kind) -> bool:
        """Whether a parameter of this kind is there."""
        return any(p.kind == kind for p in self.parameters)

    def validate(self, args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object]:
        """The task's arguments, checked and converted; absent ones that have a default stay absent.

        Raises:
            ArgumentsError: names everything that is wrong at once, and quotes no value.
        """
        expected = {p.name: p for p in self.arguments}
        by_position = self.positional
        given = dict(zip(by_position, args, strict=False))
        problems = []
        if len(args) > len(by_position):
            problems.append(f"{len(args)} positional arguments where {len(by_position)} are taken")
        problems += [f"{name}: given twice, by position and by name" for name in kwargs if name in given]
        given |= kwargs
        if unknown := [name for name in given if name not in expected]:
            problems.append(f"unknown: {', '.join(map(_shown, unknown))}")
        if missing := [p.name for p in expected.values() if p.required and p.name not in given]:
            problems.append(f"missing: {', '.join(missing)}")
        validated = {}
        for name, parameter in expected.items():
            if name in given:
                try:
                    validated[name] = _convert(given[name], parameter.annotation)
                except Exception as error:  # an author's `__post_init__` raises what it likes
                    problems.append(f"{name}: {_problem(error, parameter.annotation)}")
        if problems:
            takes = ", ".join(f"{p.name}: {describe(p.annotation)}" for p in expected.values()) or "no arguments"
            raise ArgumentsError(f"{'; '.join(problems)} (it takes {takes})")
        return validated

    def marked(self, arguments: Mapping[str, object], marker: Marker) -> list[Any]:
        """Every value among the validated arguments that carries the marker, each once, in order."""
        found = (
            value
            for p in self.arguments
            if p.name in arguments or not p.required
            for value in _marked(p.annotation, arguments.get(p.name, p.default), marker)
        )
        return list(dict.fromkeys(found))

    def schema(self) -> dict[str, object]:
        """JSON Schema (2020-12) of the task's keyword arguments."""
        annotations = [p.annotation for p in self.arguments]
        schemas, definitions = msgspec.json.schema_components(annotations, ref_template="#/$defs/{name}")
        properties: dict[str, object] = {}
        for parameter, schema in zip(self.arguments, schemas, strict=True):
            properties[parameter.name] = {**schema, **_default(parameter)}
        result: dict[str, object] = {
            "type": "object",
            "properties": properties,
            "required": [p.name for p in self.arguments if p.required],
            "additionalProperties": False,
        }
        return {**result, "$defs": definitions} if definitions else result


def check_declaration(function: Callable[..., object], role: Role) -> None:
    """Refuse what cannot work whatever the annotations resolve to.

    Raises:
        DeclarationError: says which parameter of which function, why, and what to write instead.
    """
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            raise _refused(function, f"{stars}{parameter.name} takes anything; name and annotate each argument")
        if parameter.annotation is parameter.empty:
            raise _refused(
                function, f"parameter {parameter.name} has no annotation; write what it is, for instance `int`"
            )
        if not _refers(parameter.annotation):
            with contextlib.suppress(NameError):  # a reference in a field of a class; `specify` resolves it
                _parameter(function, role, parameter, parameter.annotation)


def specify(function: Callable[..., object], role: Role, step: Step = "compute") -> Specification:
    """Resolve the annotations of a declared function.

    Raises:
        DeclarationError: an annotation cannot be resolved, or has no possible JSON form.
    """
    try:
        hints = _hints(function)
        specification = Specification(
            tuple(_parameter(function, role, p, hints[p.name]) for p in inspect.signature(function).parameters.values())
        )
    except DeclarationError:
        raise
    except NameError as error:
        raise _refused(
            function,
            f"the annotation {error.name!r} cannot be resolved when the function is called; "
            "if it is imported under `if TYPE_CHECKING:`, import it at the top of the module instead",
        ) from None
    except Exception as error:  # an annotation is any expression
        raise _refused(function, f"an annotation cannot be resolved: {error}") from None
    if step != "compute" and len(specification.data) != 1:
        raise _refused(function, _ONE_SOURCE[step])
    return specification


_ONE_SOURCE = {
    "data_extraction": "it must take the one database to extract a table from: `source: Database`, or a DataFrame",
    "preprocessing": "it must take the one table that another is made of: `data: pd.DataFrame`",
}


def describe(annotation: object) -> str:
    """An annotation in a reader's words: ``list[Column]``, ``int | None``."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        marker = _marker(annotation)
        return marker.meaning.capitalize() if marker else describe(arguments[0])
    if origin in (Union, types.UnionType):
        return " | ".join(map(describe, arguments))
    if origin is Literal:
        return " | ".join(map(repr, arguments))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return " | ".join(repr(member.value) for member in annotation)
    if origin is not None and arguments:
        inner = ", ".join("..." if a is ... else describe(a) for a in arguments)
        return f"{describe(origin)}[{inner}]"
    return "None" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def _refused(function: Callable[..., object], why: str) -> DeclarationError:
    return DeclarationError(f"{getattr(function, '__qualname__', function)}: {why}")


def _hints(function: Callable[..., object]) -> dict[str, Any]:
    """The resolved annotations, without a look at the defaults: Python 3.10 makes ``x: int = None`` optional."""
    bare = types.SimpleNamespace(
        __annotations__=function.__annotations__, __globals__=getattr(inspect.unwrap(function), "__globals__", {})
    )
    return typing.get_type_hints(bare, include_extras=True)


def _refers(annotation: object) -> bool:
    """Whether there is a text or forward reference in an annotation, to be resolved when the algorithm is loaded."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return False
    if origin is Annotated:
        return _refers(arguments[0])
    return isinstance(annotation, (str, typing.ForwardRef)) or any(map(_refers, arguments))


def _parameter(function: Callable[..., object], role: Role, parameter: inspect.Parameter, annotation: Any) -> Parameter:
    bare: Any = annotation
    metadata: list[Any] = []
    if typing.get_origin(annotation) is Annotated:
        bare, *metadata = typing.get_args(annotation)
    kind, form = _kind(bare)
    if kind == "client" and role == "rpc":
        raise _refused(
            function,
            "an rpc works on one node's data and gets no AlgorithmClient; make it a @master, or drop the parameter",
        )
    if kind == "argument":
        _check_argument(function, parameter, annotation)
    database = next((m for m in metadata if isinstance(m, Database)), None)
    columns = next((m for m in metadata if isinstance(m, Columns)), Columns(()))
    return Parameter(
        name=parameter.name,
        kind=kind,
        annotation=annotation,
        positional_only=parameter.kind is parameter.POSITIONAL_ONLY,
        keyword_only=parameter.kind is parameter.KEYWORD_ONLY,
        required=parameter.default is parameter.empty,
        default=None if parameter.default is parameter.empty else parameter.default,
        form=form,
        label=database.label if database else None,
        columns=columns,
    )


def _kind(bare: object) -> tuple[Kind, str]:
    if bare is AlgorithmClient:
        return "client", ""
    if bare is RunInfo:
        return "run_info", ""
    form = form_of(bare)
    return ("data", form) if form else ("argument", "")


def _check_argument(function: Callable[..., object], parameter: inspect.Parameter, annotation: Any) -> None:
    try:
        msgspec.json.schema(annotation)
    except TypeError:
        raise _refused(
            function,
            f"parameter {parameter.name}: {describe(annotation)} has no possible JSON form, so no task can give it; "
            "use numbers, texts, lists, dicts, dataclasses or enums",
        ) from None
    if parameter.default is not parameter.empty:
        try:
            _convert(msgspec.to_builtins(parameter.default, str_keys=True), annotation)
        except (msgspec.ValidationError, TypeError):
            raise _refused(
                function,
                f"parameter {parameter.name}: its default is not {describe(annotation)}; "
                "mend the default, or widen the annotation (`| None`)",
            ) from None


def _convert(value: object, annotation: Any) -> Any:
    """A value as JSON gives it, strictly as what the annotation says. JSON has no keys but texts: ``{"3": 1.5}``."""
    return msgspec.convert(value, annotation, strict=True, str_keys=True)


def _default(parameter: Parameter) -> dict[str, object]:
    """The default as JSON Schema shows it; nothing if there is none, or none in JSON (infinity)."""
    if parameter.required:
        return {}
    default = msgspec.to_builtins(parameter.default, str_keys=True)
    try:
        json.dumps(default, allow_nan=False)
    except ValueError:
        return {}
    return {"default": default}


def _problem(error: Exception, annotation: Any) -> str:
    """Msgspec's words, without the value that it quotes for an enum, a tagged union or an unknown key."""
    if isinstance(error, (RecursionError, OverflowError)):
        return "nested too deeply, or too large a number"
    if not isinstance(error, msgspec.ValidationError) or error.__cause__ is not None:
        raised = error if error.__cause__ is None else error.__cause__
        return f"{describe(annotation)} does not accept it ({type(raised).__name__})"
    text = str(error)
    if text.startswith("Invalid enum value"):
        return f"not one of the values that are allowed ({describe(annotation)})"
    if text.startswith("Invalid value"):
        return "an object of none of the kinds that are allowed"
    if text.startswith("Object contains unknown field"):
        return "an object with a field that is unknown"
    text, _, place = text.partition(" - at ")
    where = " in a key" if place.startswith("`key`") else f" at {place.strip('`').removeprefix('$')}" if place else ""
    return f"{text[0].lower()}{text[1:].replace('`', '')}{where}"


def _shown(name: str) -> str:
    """A name that somebody sent, fit for a line of text."""
    return name if name.isidentifier() and len(name) <= 60 else f"{name[:60]!r}"


def _marker(annotation: object) -> Marker | None:
    return next((m for m in typing.get_args(annotation)[1:] if isinstance(m, Marker)), None)


def _marked(annotation: Any, value: Any, marker: Marker) -> Iterator[Any]:
    """The parts of a value whose annotation carries the marker."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if value is None:
        return
    if origin is Annotated:
        if _marker(annotation) == marker:
            yield value
        else:
            yield from _marked(arguments[0], value, marker)
    elif getattr(origin, "_name", "") in _QUALIFIERS:
        yield from _marked(arguments[0], value, marker)
    elif origin in (Union, types.UnionType):
        for member in arguments:
            if _fits(value, member):
                yield from _marked(member, value, marker)
                return
    elif isinstance(value, Mapping) and len(arguments) == 2:
        for key, item in value.items():
            yield from _marked(arguments[0], key, marker)
            yield from _marked(arguments[1], item, marker)
    elif isinstance(value, (list, tuple, set, frozenset)) and arguments:
        fixed = origin is tuple and arguments[-1] is not ...
        for position, item in enumerate(value):
            yield from _marked(arguments[position] if fixed else arguments[0], item, marker)
    elif isinstance(kind := origin or annotation, type):
        given = dict(zip(getattr(kind, "__parameters__", ()), arguments, strict=False))
        for name, hint in typing.get_type_hints(kind, include_extras=True).items():
            part = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
            open_ = getattr(hint, "__parameters__", ())
            yield from _marked(given.get(hint) or (hint[tuple(map(given.get, open_))] if open_ else hint), part, marker)


_QUALIFIERS = ("Required", "NotRequired", "ReadOnly", "Final")
"""What may stand around the annotation of a field, by name: ``typing`` and ``typing_extensions`` each have theirs."""


def _fits(value: object, annotation: Any) -> bool:
    try:
        _convert(msgspec.to_builtins(value, str_keys=True), annotation)
    except (msgspec.ValidationError, TypeError):
        return False
    return True
