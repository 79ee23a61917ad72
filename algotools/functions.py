"""@master, @rpc, and the algorithm that they make up.

A decorated function is still that function: it can be called, pickled, copied and inspected as before.
Decorating registers it; only what is registered can be called by a task.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, NoReturn, TypeVar, cast, overload

import wrapt

from algotools.arguments import Specification, check_declaration, specify
from algotools.errors import DeclarationError, UnknownMethod, WrongRole
from algotools.task import Role, Step

F = TypeVar("F", bound=Callable[..., Any])


class RegisteredFunction(wrapt.CallableObjectProxy):  # type: ignore[misc]  # wrapt 1 carries no types
    """A function that a task can call; in everything else the author's function itself."""

    def __init__(self, function: Callable[..., object], role: Role, name: str, step: Step = "compute") -> None:
        super().__init__(function)
        self._self_role: Role = role
        self._self_step: Step = step
        self._self_name: str = name
        self._self_specification: Specification | None = None

    @property
    def method(self) -> str:
        """The name by which a task calls the function."""
        return self._self_name

    @property
    def role(self) -> Role:
        """``master`` or ``rpc``."""
        return self._self_role

    @property
    def step(self) -> Step:
        """What the function is for; tables that are not computed with stay at their node."""
        return self._self_step

    @property
    def specification(self) -> Specification:
        """What the function takes, its annotations resolved at the first look.

        Raises:
            DeclarationError: an annotation cannot be resolved, or has no possible JSON form.
        """
        if self._self_specification is None:
            self._self_specification = specify(self.__wrapped__, self.role, self.step)
        return self._self_specification

    @property
    def origin(self) -> tuple[str, str]:
        """Module and qualified name of the author's function."""
        return self.__wrapped__.__module__, self.__wrapped__.__qualname__

    def literals(self) -> frozenset[str]:
        """The texts and names that stand in the function's own source, which a message may therefore show."""
        code = inspect.unwrap(self.__wrapped__).__code__
        return frozenset(_literals(code)) | {p.name for p in self.specification.parameters}

    def __reduce__(self) -> str:
        return cast("str", self.__wrapped__.__qualname__)

    def __reduce_ex__(self, protocol: object) -> str:
        return self.__reduce__()

    def __copy__(self) -> RegisteredFunction:
        return self

    def __deepcopy__(self, memo: object) -> RegisteredFunction:
        return self


def _literals(code: Any) -> Iterable[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, tuple):
            yield from (item for item in constant if isinstance(item, str))
        elif hasattr(constant, "co_consts"):
            yield from _literals(constant)


_ROLES: dict[Role, str] = {"master": "a master", "rpc": "an rpc"}
_STEPS: dict[Step, str] = {
    "compute": "computes a result",
    "data_extraction": "extracts a table from a database (data_extraction)",
    "preprocessing": "prepares a table (preprocessing)",
}

_registry: dict[str, dict[str, RegisteredFunction]] = {}
"""Top-level package of the author's module -> method -> function."""


@overload
def rpc(function: F, /) -> F: ...
@overload
def rpc(*, name: str | None = None, step: Step = "compute") -> Callable[[F], F]: ...
def rpc(function: Callable[..., Any] | None = None, /, *, name: str | None = None, step: Step = "compute") -> object:
    """Register a function that works on one node's data and whose result goes to whoever asked.

    ``name`` is the method's name in a task, by default the function's own. With ``step`` the function is one of those
    by which a v5 session gets its tables: ``data_extraction`` makes one of the node's database, ``preprocessing``
    another of that. They return a table (of pandas, Polars, Arrow, DuckDB or Ibis), which stays at the node. Only v5
    runs them.

    >>> @rpc
    ... def count(data: Database) -> int:
    ...     return 1
    """
    return _decorator("rpc", function, name, step)


@overload
def master(function: F, /) -> F: ...
@overload
def master(*, name: str | None = None) -> Callable[[F], F]: ...
def master(function: Callable[..., Any] | None = None, /, *, name: str | None = None) -> object:
    """Register a function that asks other nodes, through an ``AlgorithmClient``, and puts their answers together.

    ``name`` is the method's name in a task, by default the function's own.
    """
    return _decorator("master", function, name)


def _decorator(role: Role, function: Callable[..., Any] | None, name: str | None, step: Step = "compute") -> object:
    if step not in _STEPS:
        raise DeclarationError(f"there is no step {step!r}; there are {', '.join(_STEPS)}")

    def decorate(function: Callable[..., Any]) -> RegisteredFunction:
        return register(function, role, name, step)

    if function is None:
        return decorate
    if not callable(function):
        raise DeclarationError(f"@{role} takes its name by keyword: @{role}(name=...)")
    return decorate(function)


def register(
    function: Callable[..., Any], role: Role, name: str | None = None, step: Step = "compute"
) -> RegisteredFunction:
    """Make a function callable by tasks; the same module and qualified name again replaces it.

    Raises:
        DeclarationError: it cannot work as declared, or its name is taken by another function.
    """
    if isinstance(function, RegisteredFunction):
        raise DeclarationError(f"{function.__qualname__} is decorated twice; it is {_ROLES[function.role]} already")
    if any(is_(function) for is_ in (iscoroutinefunction, isgeneratorfunction, isasyncgenfunction)):
        raise DeclarationError(f"{function.__qualname__}: write a plain function, neither `async` nor with `yield`")
    if not inspect.isfunction(function):
        raise DeclarationError(f"{function!r} is no function; decorate a function")
    check_declaration(function, role)
    registered = RegisteredFunction(function, role, name or function.__name__, step)
    package = _registry.setdefault(_package(function.__module__), {})
    other = package.get(registered.method)
    if other is not None and other.origin != registered.origin:
        raise DeclarationError(
            f"two functions are called {registered.method!r}: {'.'.join(other.origin)} and "
            f"{'.'.join(registered.origin)}; name one of them otherwise, or give it another method name with name="
        )
    for method in [method for method, before in package.items() if before.origin == registered.origin]:
        del package[method]
    package[registered.method] = registered
    return registered


def _package(module: str) -> str:
    return module.partition(".")[0]


def registered_in(module: str) -> dict[str, RegisteredFunction]:
    """The functions registered so far by a module's top-level package."""
    return dict(_registry.get(_package(module), {}))


def forget(module: str) -> None:
    """Drop the functions of a top-level package, before another copy of it is imported."""
    _registry.pop(_package(module), None)


class Algorithm:
    """A package of registered functions."""

    def __init__(self, name: str, functions: Mapping[str, RegisteredFunction], folder: str | None = None) -> None:
        self.name = name
        self.functions = functions
        self.folder = folder
        """Where the package's source is; None for functions of a notebook."""

    @classmethod
    def of(cls, functions: Iterable[Callable[..., Any]], name: str = "functions") -> Algorithm:
        """An algorithm made of given functions.

        Raises:
            DeclarationError: one of them is not decorated, or two have one name.
        """
        named: dict[str, RegisteredFunction] = {}
        for function in functions:
            if not isinstance(function, RegisteredFunction):
                raise DeclarationError(
                    f"{getattr(function, '__qualname__', function)} is neither a @master nor an @rpc"
                )
            if function.method in named:
                raise DeclarationError(f"two functions are called {function.method!r}")
            named[function.method] = function
        return cls(name, named)

    def find(self, method: str, role: Role | None, step: Step = "compute") -> RegisteredFunction:
        """The function that a task means.

        Raises:
            UnknownMethod: lists what there is, and suggests.
            WrongRole: the method is a master where the task asks for an rpc, or the other way round; or it is for
                another step.
        """
        function = self.functions.get(method)
        if function is None:
            self._unknown(method)
        if function.step != step:
            raise WrongRole(
                f"method {method!r} of {self.name} {_STEPS[function.step]}, but the task asks for one that "
                f"{_STEPS[step]}; tables are made in a session's tasks, which only v5 has ({self._listed()})"
            )
        if role is not None and function.role != role:
            flag = "true" if function.role == "master" else "false"
            raise WrongRole(
                f"method {method!r} of {self.name} is {_ROLES[function.role]}, but the task asks for {_ROLES[role]}: "
                f'set "master": {flag} in the task\'s input, or call another method ({self._listed()})'
            )
        return function

    def _unknown(self, method: str) -> NoReturn:
        import difflib

        close = difflib.get_close_matches(method.removeprefix("RPC_"), self.functions, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise UnknownMethod(f"algorithm {self.name} has no method {method[:60]!r}{hint}; it has: {self._listed()}")

    def _listed(self) -> str:
        named = (f"{f.method} ({f.role if f.step == 'compute' else f.step})" for f in self.functions.values())
        return ", ".join(named) or "no registered functions"
