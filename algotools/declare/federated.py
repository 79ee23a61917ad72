"""The decorator @federated: one function over the rows of all nodes, from which a master and an rpc are derived.

The author writes a function as if the rows of all nodes were in one table, and requests totals from an ``Aggregator``.
The derived rpc runs the function at each node with the totals that are known so far; the derived master adds up what
the nodes contribute, round after round. ``runtime.pooled`` performs both.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, Union, cast, overload

import msgspec

from algotools.declare.annotations import Kind, Organization, has_reference
from algotools.declare.arguments import Parameter, Specification, specify
from algotools.declare.functions import (
    RegisteredFunction,
    add_to_registry,
    check_function,
    remove_from_registry,
)
from algotools.declare.options import DEFAULTS, Options, explain_minimum_rows
from algotools.errors import DeclarationError
from algotools.task import Role, RunInfo

F = TypeVar("F", bound=Callable[..., Any])

CLIENT, REQUEST, RUN = "_client", "_request", "_run"
"""The parameters of the derived functions that the author's function does not have."""

ORGANIZATIONS = "organizations"
"""The argument of each derived master."""

_Organizations = Annotated[
    Union[list[Organization], None],
    msgspec.Meta(description="The organizations whose rows count; default: those that the task is sent to."),
]


class Pooling(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a pooled function; see ``federated``."""

    minimum_organizations: int = 3
    quorum: int | None = None
    tolerance: float = 1e-9
    minimum_rows: int | None = None


class PooledFunction(RegisteredFunction):
    """A function that ``@federated`` derives: the master, or the rpc. A plain call calls the author's function."""

    def __init__(
        self,
        function: Callable[..., object],
        role: Role,
        name: str,
        pooling: Pooling,
        derived_from: str | None = None,
    ) -> None:
        # The master reads no table. The rpc runs only under its master.
        is_rpc = role == "rpc"
        options = Options(minimum_rows=pooling.minimum_rows, standalone=False) if is_rpc else DEFAULTS
        super().__init__(function, role, name, options)
        self._self_pooling = pooling
        self._self_partial: PooledFunction | None = None
        self._self_declared: Specification | None = None
        self._self_derived_from = derived_from
        if role == "master":
            self._self_partial = PooledFunction(function, "rpc", f"{function.__name__}_partial", pooling, name)

    @property
    def pooling(self) -> Pooling:
        """The options of the decorator."""
        return self._self_pooling

    @property
    def partial(self) -> PooledFunction:
        """The rpc that runs the function at one node; the rpc's own partial is itself."""
        return self._self_partial or self

    @property
    def derived_from(self) -> str | None:
        """See ``RegisteredFunction``."""
        return self._self_derived_from

    @property
    def kind(self) -> str:
        """See ``RegisteredFunction``."""
        return "a pooled function"

    @property
    def parts(self) -> tuple[RegisteredFunction, ...]:
        """See ``RegisteredFunction``."""
        return (self,) if self._self_partial is None else (self, self._self_partial)

    @property
    def origin(self) -> tuple[str, str]:
        """See ``RegisteredFunction``. The rpc has a name of its own, which pickle finds, too."""
        module, name = super().origin
        return module, name if self._self_partial else f"{name}.partial"

    @property
    def specification(self) -> Specification:
        """The parameters of the derived function; see ``RegisteredFunction``."""
        if self._self_specification is None:
            declared = self.declared
            _check_parameters(self.__wrapped__, declared)
            if self._self_partial is None:
                parameters = [p for p in declared.parameters if p.kind != "total"]
                parameters += [_make_parameter(RUN, "run_info", RunInfo), _make_parameter(REQUEST, "argument", str, "")]
            else:
                parameters = [p for p in declared.parameters if p.kind == "argument"]
                organizations = _make_parameter(ORGANIZATIONS, "argument", _Organizations, None)
                parameters += [msgspec.structs.replace(organizations, is_hidden=False)]
                # The module of the client may not be imported yet, and the annotation of a client is not used.
                parameters += [_make_parameter(CLIENT, "client", object)]
            self._self_specification = Specification(tuple(parameters))
        return self._self_specification

    @property
    def declared(self) -> Specification:
        """The parameters of the author's function."""
        if self._self_declared is None:  # read several times in each round
            self._self_declared = specify(self.__wrapped__, "federated")
        return self._self_declared

    def __reduce__(self) -> str:
        return self.origin[1]


def _make_parameter(name: str, kind: Kind, annotation: Any, *default: object) -> Parameter:
    return Parameter(
        name=name,
        kind=kind,
        annotation=annotation,
        positional_only=False,
        keyword_only=True,
        required=not default,
        default=default[0] if default else None,
        is_hidden=True,
    )


def _check_parameters(function: Callable[..., object], declared: Specification) -> None:
    kinds = [p.kind for p in declared.parameters]
    arguments = {p.name for p in declared.arguments}
    reserved = sorted({CLIENT, REQUEST, RUN} & {p.name for p in declared.parameters})
    fault = ""
    if kinds.count("total") != 1:
        fault = "declare exactly one parameter for the totals, for instance `total: Aggregator`"
    elif "data" not in kinds:
        fault = "declare a parameter for the rows, for instance `data: pd.DataFrame`"
    elif ORGANIZATIONS in arguments:
        fault = f"the derived master has an argument `{ORGANIZATIONS}`; rename this parameter"
    elif reserved:
        fault = f"the derived functions have a parameter `{reserved[0]}`; rename this parameter"
    if fault:
        raise DeclarationError(f"{function.__qualname__}: {fault}")


@overload
def federated(function: F, /) -> F: ...
@overload
def federated(
    *,
    name: str | None = None,
    minimum_organizations: int = 3,
    quorum: int | None = None,
    secure: bool = False,
    tolerance: float = 1e-9,
    minimum_rows: int | None = None,
) -> Callable[[F], F]: ...
def federated(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    minimum_organizations: int = 3,
    quorum: int | None = None,
    secure: bool = False,
    tolerance: float = 1e-9,
    minimum_rows: int | None = None,
) -> object:
    """Register a function that is written as if the rows of all nodes were in one table.

    The function requests totals over all rows from its ``Aggregator``, and returns only what it computes from totals
    and arguments. Tasks call it as a master; the master runs the rpc ``<function>_partial`` at the nodes in rounds.
    ``f(frame, Pooled(), …)`` calls the function on one table.

    Args:
        function: the function.
        name: the method's name of the master in a task; default: the name of the function.
        minimum_organizations: the fewest organizations; a task with fewer is refused before anything is sent. Every
            node receives every total, so with two nodes each could compute the totals of the other.
        quorum: start again without the organizations that fail, if at least this many are left; default: a failure
            ends the task.
        secure: hide the contribution of each node from the master. Not available in this version.
        tolerance: the relative difference at which two results, or two computations of one contribution, are different.
            The processors of two nodes round differently, so results are never compared bit by bit.
        minimum_rows: make the policy of each node's owner stricter for this function: a node with fewer rows
            contributes nothing, and its run fails. It never makes the policy looser: the larger number holds.

    Raises:
        DeclarationError: the declaration or an option is wrong.

    >>> @federated
    ... def mean(data: DataFrame, total: Aggregator, column: Column) -> float:
    ...     return total.sum(data[column]) / total.count(data[column])
    """
    pooling = Pooling(
        minimum_organizations=minimum_organizations, quorum=quorum, tolerance=tolerance, minimum_rows=minimum_rows
    )

    def decorate(function: Callable[..., Any]) -> PooledFunction:
        return register_pooled(function, name, pooling, secure=secure)

    if function is None:
        return decorate
    if not callable(function):
        raise DeclarationError("@federated accepts the method name only by keyword: @federated(name=...)")
    return cast("Any", decorate(function))


def register_pooled(
    function: Callable[..., Any], name: str | None, pooling: Pooling, *, secure: bool = False
) -> PooledFunction:
    """Register the master and the rpc of a pooled function.

    Raises:
        DeclarationError: the declaration or an option is wrong, or another function has one of the method names.
    """
    check_function(function, "federated")
    _check_options(function, name, pooling, secure=secure)
    if (declared := _specify_early(function)) is not None:
        _check_parameters(function, declared)
    master = PooledFunction(function, "master", name or function.__name__, pooling)
    add_to_registry(master)
    try:
        add_to_registry(master.partial)
    except DeclarationError:
        remove_from_registry(master)
        raise
    return master


def _specify_early(function: Callable[..., object]) -> Specification | None:
    """Return the parameters of the author's function; None if an annotation can be resolved only later."""
    if any(has_reference(p.annotation) for p in inspect.signature(function).parameters.values()):
        return None
    with contextlib.suppress(DeclarationError):  # a field of a class has a forward reference
        return specify(function, "federated")
    return None


def _check_options(function: Callable[..., object], name: object, pooling: Pooling, *, secure: object) -> None:
    fault = ""
    if secure:
        fault = "secure=True is not available in this version; remove the option"
    elif name is not None and (not isinstance(name, str) or not name):
        fault = "name= must be the name of a method, for instance name='master'"
    elif not _is_count(pooling.minimum_organizations):
        fault = "minimum_organizations must be a whole number of at least 1"
    elif pooling.quorum is not None and not _is_count(pooling.quorum):
        fault = "quorum must be a whole number of at least 1"
    elif not _is_tolerance(pooling.tolerance):
        fault = "tolerance must be a number from 0 to 1, for instance 1e-9"
    else:
        fault = explain_minimum_rows(pooling.minimum_rows)
    if fault:
        raise DeclarationError(f"{function.__qualname__}: {fault}")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_tolerance(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1
