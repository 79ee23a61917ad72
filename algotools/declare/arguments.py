"""The signature is the specification: the source of validation, JSON Schema and injection.

A declaration is checked twice. ``check_declaration`` runs in the decorator and refuses what is wrong without resolving
annotations. ``specify`` runs when the algorithm is loaded and resolves the annotations.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from algotools import data
from algotools.data.reading import Loaded
from algotools.declare._conversion import convert_argument
from algotools.declare._markers import can_contain, find_marked_values
from algotools.declare._parameter_checks import (
    check_argument,
    check_variable,
    make_declaration_error,
    make_default_schema,
)
from algotools.declare._schema import build_schemas
from algotools.declare._table_annotations import (
    TableAnnotation,
    explain_group,
    explain_groups,
    read_table_annotation,
)
from algotools.declare.annotations import (
    ARGUMENT,
    Columns,
    Kind,
    Marker,
    classify_annotation,
    format_annotation,
    has_reference,
    resolve_hints,
)
from algotools.declare.packing import find_array_classes, pack_arguments
from algotools.declare.variables import explain_conflict
from algotools.errors import ArgumentsError, DeclarationError
from algotools.task import Database, Step


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter of a function: an argument of the task, or an injected value."""

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
    variable: str = ""
    """The name of the node variable; empty for a parameter of another kind."""
    is_group: bool = False
    """Whether the parameter receives a dict with the tables of several databases, by label."""
    is_optional: bool = False
    """Whether the parameter receives None if there is no database."""
    is_hidden: bool = False
    """Whether the argument belongs to the exchange between a master and its rpc, so that no list shows it."""

    def load(
        self,
        database: Database,
        names: Sequence[str],
        stack: contextlib.ExitStack,
        *,
        all_columns: bool = False,
        extra_columns: Sequence[str] = (),
    ) -> Loaded:
        """Return the data for this parameter, with the columns that arguments and the annotation name.

        Args:
            database: the parameter's database.
            names: the columns that arguments name.
            stack: see ``data.load``.
            all_columns: whether every column is read.
            extra_columns: columns that are read in addition to a selection.

        Raises:
            AlgotoolsError: see ``data.load``.
        """
        selection = None if all_columns else self.columns.select(names)
        if selection is not None:
            selection = selection.union(extra_columns)
        return data.load(database, self.form, selection, stack, (*names, *(self.columns.names or ())))


class Specification(msgspec.Struct, frozen=True):
    """The parameters of a function, from its signature."""

    parameters: tuple[Parameter, ...]

    @property
    def arguments(self) -> tuple[Parameter, ...]:
        """The parameters whose values come from the task."""
        return tuple(p for p in self.parameters if p.kind == "argument")

    @property
    def positional(self) -> list[str]:
        """The names of the arguments that a task can pass by position, in order."""
        return [p.name for p in self.arguments if not p.keyword_only]

    @property
    def data(self) -> tuple[Parameter, ...]:
        """The parameters into which data is injected, in order."""
        return tuple(p for p in self.parameters if p.kind == "data")

    @property
    def variables(self) -> tuple[Parameter, ...]:
        """The parameters into which variables of the node are injected."""
        return tuple(p for p in self.parameters if p.kind == "variable")

    def injects(self, kind: Kind) -> bool:
        """Whether the function has a parameter of this kind."""
        return any(p.kind == kind for p in self.parameters)

    def validate(self, args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object]:
        """Check and convert the arguments of a task. An absent argument that has a default stays absent.

        Raises:
            ArgumentsError: lists all problems. The message contains no value, because values may come from data.
        """
        expected = {p.name: p for p in self.arguments}
        values = dict(zip(self.positional, args, strict=False))
        problems = []
        if len(args) > len(self.positional):
            problems.append(f"{len(args)} positional arguments, but the function takes {len(self.positional)}")
        problems += [f"{name}: passed twice, by position and by name" for name in kwargs if name in values]
        values |= kwargs
        variables = {p.name: p.variable for p in self.variables}
        problems += [
            f"{name}: only the node's owner sets it, with the node variable {variables[name]}"
            for name in values
            if name in variables
        ]
        if unknown := [name for name in values if name not in expected and name not in variables]:
            problems.append(f"unknown: {', '.join(map(_format_name, unknown))}")
        if missing := [p.name for p in expected.values() if p.required and p.name not in values]:
            problems.append(f"missing: {', '.join(missing)}")
        validated = {}
        for name, parameter in expected.items():
            if name in values:
                validated[name], faults = convert_argument(values[name], parameter.annotation)
                problems += [f"{name}: {fault}" for fault in faults]
        if problems:
            signature = ", ".join(_format_parameter(p) for p in expected.values() if not p.is_hidden)
            raise ArgumentsError(f"{'; '.join(problems)} (the function takes {signature or 'no arguments'})")
        return validated

    def bind(self, values: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return the positional and the keyword arguments of one call of the function.

        Python makes a default once, so all calls in one process would share the list of ``columns: list[Column] = []``.
        Each call therefore gets a copy of its own.
        """
        optional = [p for p in self.parameters if p.name not in values and not p.required]
        copies = {p.name: copy.deepcopy(p.default) for p in optional}
        values = {**values, **{p.name: copies[p.name] for p in optional if copies[p.name] is not p.default}}
        positional = [values.get(p.name, p.default) for p in self.parameters if p.positional_only]
        return positional, {
            p.name: values[p.name] for p in self.parameters if not p.positional_only and p.name in values
        }

    def pack(self, arguments: Mapping[str, object], method: str) -> dict[str, object]:
        """Return arguments for a task's input: arrays and tables are encoded if the function declares them.

        Raises:
            NotSerializable, ResultTooLarge: an array or a table cannot be encoded.
        """
        return pack_arguments(arguments, {p.name: p.annotation for p in self.arguments}, method)

    def list_arrays(self) -> dict[str, str]:
        """Return argument -> package and name of its class, for arguments that are arrays or tables as a whole."""
        return find_array_classes({p.name: p.annotation for p in self.arguments})

    def find_marked(self, arguments: Mapping[str, object], marker: Marker) -> list[Any]:
        """Return the values of validated arguments whose annotation has the marker, without duplicates, in order."""
        values = (
            value
            for p in self.arguments
            if p.name in arguments or not p.required
            for value in find_marked_values(p.annotation, arguments.get(p.name, p.default), marker)
        )
        return list(dict.fromkeys(values))

    def list_marked(self, marker: Marker) -> frozenset[str]:
        """Return the names of the arguments of which a part has the marker."""
        return frozenset(p.name for p in self.arguments if can_contain(p.annotation, marker))

    def schema(self) -> dict[str, object]:
        """Return the JSON Schema (2020-12) of the task's keyword arguments."""
        visible = [p for p in self.arguments if not p.is_hidden]
        schemas, definitions = build_schemas([p.annotation for p in visible])
        properties: dict[str, object] = {}
        for parameter, schema in zip(visible, schemas, strict=True):
            properties[parameter.name] = {
                **schema,
                **({} if parameter.required else make_default_schema(parameter.default)),
            }
        result: dict[str, object] = {
            "type": "object",
            "properties": properties,
            "required": [p.name for p in visible if p.required],
            "additionalProperties": False,
        }
        return {**result, "$defs": definitions} if definitions else result


Declared = Literal["master", "rpc", "federated"]
"""The decorator of a function."""


def check_declaration(function: Callable[..., object], role: Declared) -> None:
    """Refuse a declaration that is wrong independently of unresolved annotations.

    Raises:
        DeclarationError: names the function and the parameter, the reason and the fix.
    """
    resolved: list[Parameter] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            raise make_declaration_error(
                function,
                f"{stars}{parameter.name} accepts any arguments; declare and annotate each argument",
                rule="star-arguments",
            )
        if parameter.annotation is parameter.empty:
            raise make_declaration_error(
                function,
                f"parameter {parameter.name} has no annotation; annotate it with its type, for instance `int`",
                rule="no-annotation",
            )
        if not has_reference(parameter.annotation):
            with contextlib.suppress(NameError):  # a field of a class has a forward reference; `specify` resolves it
                resolved.append(_make_parameter(function, role, parameter, parameter.annotation))
    _check_parameters(function, resolved)


def specify(function: Callable[..., object], role: Declared, step: Step = "compute") -> Specification:
    """Resolve the annotations of a function, and return its parameters.

    Raises:
        DeclarationError: an annotation cannot be resolved, or cannot be written as JSON.
    """
    try:
        hints = resolve_hints(function)
        specification = Specification(
            tuple(
                _make_parameter(function, role, p, hints[p.name])
                for p in inspect.signature(function).parameters.values()
            )
        )
    except DeclarationError:
        raise
    except NameError as error:
        raise make_declaration_error(
            function,
            f"the annotation {error.name!r} cannot be resolved when the function is called; "
            "if it is imported under `if TYPE_CHECKING:`, import it at the top of the module instead",
            rule="hidden-annotation",
        ) from None
    except Exception as error:  # an annotation can be any expression
        raise make_declaration_error(function, f"an annotation cannot be resolved: {error}") from None
    _check_parameters(function, specification.parameters)
    if step != "compute" and [(p.is_group, p.is_optional) for p in specification.data] != [(False, False)]:
        raise make_declaration_error(function, _TABLE_SOURCE[step], rule="table-source")
    return specification


def _check_parameters(function: Callable[..., object], parameters: Sequence[Parameter]) -> None:
    """Refuse parameters that exclude each other."""
    if conflict := explain_conflict(parameters):
        raise make_declaration_error(function, conflict)
    if fault := explain_groups([p.name for p in parameters if p.is_group]):
        raise make_declaration_error(function, fault, rule="table-group")


_TABLE_SOURCE = {
    "data_extraction": "declare exactly one parameter for the database, for instance `source: Database`",
    "preprocessing": "declare exactly one parameter for the table, for instance `data: pd.DataFrame`",
}


def _make_parameter(
    function: Callable[..., object], role: Declared, parameter: inspect.Parameter, annotation: Any
) -> Parameter:
    bare: Any = annotation
    metadata: Sequence[Any] = ()
    if typing.get_origin(annotation) is Annotated:
        bare, *metadata = typing.get_args(annotation)
    kind, form = classify_annotation(bare)
    tables = read_table_annotation(annotation) or TableAnnotation("", ())
    if tables.form:
        kind, form, metadata = "data", tables.form, tables.metadata
    if fault := explain_group(tables):
        raise make_declaration_error(function, f"parameter {parameter.name}: {fault}", rule="table-group")
    if kind == "client" and role == "federated":
        raise make_declaration_error(
            function,
            "a pooled function requests totals instead of using an AlgorithmClient; remove the parameter",
            rule="rpc-with-client",
        )
    if kind == "total" and role != "federated":
        raise make_declaration_error(
            function, f"only a pooled function requests totals; decorate it with @federated instead of @{role}"
        )
    if kind == "client" and role == "rpc":
        raise make_declaration_error(
            function,
            "only a master can use an AlgorithmClient; decorate the function with @master, or remove the parameter",
            rule="rpc-with-client",
        )
    if kind == "data" and ARGUMENT in metadata:
        kind, form = "argument", ""
        if any(isinstance(item, (Database, Columns)) for item in metadata):
            reason = f"parameter {parameter.name}: Argument[…] is sent by the task, but Database and Columns select "
            raise make_declaration_error(function, f"{reason}data of the node; remove one of them", rule="no-json-form")
    variable = ""
    if kind in ("argument", "data"):
        variable, annotation = check_variable(function, parameter, annotation)
        kind = "variable" if variable else kind
    if kind == "argument":
        annotation = check_argument(function, parameter, annotation)
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
        variable=variable,
        is_group=tables.is_group,
        is_optional=tables.is_optional,
    )


def _format_parameter(parameter: Parameter) -> str:
    """Format an argument for a message; in brackets if it is optional."""
    text = f"{parameter.name}: {format_annotation(parameter.annotation)}"
    return text if parameter.required else f"[{text}]"


def _format_name(name: str) -> str:
    """Quote and shorten a name from a task unless it is a short identifier, so that it cannot break a line."""
    return name if name.isidentifier() and len(name) <= 60 else f"{name[:60]!r}"
