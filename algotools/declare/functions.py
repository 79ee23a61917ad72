"""The decorators @master and @rpc, their registry, and the class Algorithm.

A decorated function behaves like the undecorated function: it can be called, pickled, copied and inspected.
A decorator registers its function. A task can call only registered functions.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, NoReturn, TypeVar, cast, overload

import wrapt

from algotools.declare._scopes import have_same_scope, is_local
from algotools.declare.arguments import Declared, Specification, check_declaration, specify
from algotools.declare.options import DEFAULTS, STEPS, Options, explain_options
from algotools.errors import DeclarationError, UnknownMethod, WrongRole
from algotools.task import Role, Step

F = TypeVar("F", bound=Callable[..., Any])


class RegisteredFunction(wrapt.CallableObjectProxy):  # type: ignore[misc]  # wrapt 1 has no type hints
    """A proxy of the author's function that adds its method name, role and specification."""

    def __init__(self, function: Callable[..., object], role: Role, name: str, options: Options = DEFAULTS) -> None:
        super().__init__(function)
        self._self_role: Role = role
        self._self_name: str = name
        self._self_options = options
        self._self_specification: Specification | None = None
        self._self_is_local = is_local(function)

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
        """``compute``, or the step of a v5 session that the function performs."""
        return self._self_options.step

    @property
    def minimum_rows(self) -> int | None:
        """The fewest rows of a table that the function reads, if the author requires more than the node's policy."""
        return self._self_options.minimum_rows

    @property
    def standalone(self) -> bool:
        """Whether a researcher may call the function; otherwise only a master of the same image."""
        return self._self_options.standalone

    @property
    def specification(self) -> Specification:
        """The parameters of the function. The annotations are resolved on first access.

        Raises:
            DeclarationError: an annotation cannot be resolved, or cannot be written as JSON.
        """
        if self._self_specification is None:
            self._self_specification = specify(self.__wrapped__, self.role, self.step)
        return self._self_specification

    @property
    def origin(self) -> tuple[str, str]:
        """Module and qualified name of the author's function."""
        return self.__wrapped__.__module__, self.__wrapped__.__qualname__

    @property
    def is_local(self) -> bool:
        """Whether another function made this one after the import of its module, for instance a test."""
        return self._self_is_local

    @property
    def parts(self) -> tuple[RegisteredFunction, ...]:
        """The functions that a task can call: this one, and those that are derived from it."""
        return (self,)

    @property
    def derived_from(self) -> str | None:
        """The method of the master from whose function ``@federated`` has derived this rpc; otherwise None."""
        return None

    @property
    def kind(self) -> str:
        """The kind of the function, for a message."""
        return _ROLES[self.role]

    def collect_literals(self) -> frozenset[str]:
        """Return the strings and names in the function's source. They are not data, so a message may contain them."""
        code = inspect.unwrap(self.__wrapped__).__code__
        literals = (literal for literal in _collect_literals(code) if isinstance(literal, str))
        return frozenset(literals) | {p.name for p in self.specification.parameters}

    def collect_numbers(self) -> frozenset[float]:
        """Return the numbers in the function's source, with both signs."""
        code = inspect.unwrap(self.__wrapped__).__code__
        literals = [item for item in _collect_literals(code) if isinstance(item, (int, float))]
        numbers = {float(item) for item in literals if abs(item) <= _LARGEST}  # no NaN or infinity
        return frozenset(sign * number for number in numbers for sign in (1, -1))

    def __reduce__(self) -> str:
        return cast("str", self.__wrapped__.__qualname__)

    def __reduce_ex__(self, protocol: object) -> str:
        return self.__reduce__()

    def __copy__(self) -> RegisteredFunction:
        return self

    def __deepcopy__(self, memo: object) -> RegisteredFunction:
        return self


def _collect_literals(code: Any) -> Iterable[object]:
    """Yield the names and the constants of a function, and the items of tuples."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, tuple):
            yield from constant
        elif hasattr(constant, "co_consts"):
            yield from _collect_literals(constant)
        else:
            yield constant


_LARGEST = 2**53
"""The largest integer of a number in the source that a result may contain."""

_ROLES: dict[Role, str] = {"master": "a master", "rpc": "an rpc"}

_ACTIONS: dict[Role, str] = {"master": "central_compute", "rpc": "federated_compute"}
"""Role of a function that computes a result -> v5's action."""

_MOST_METHODS = 10
"""Number of methods that a message lists."""

_registry: dict[str, dict[str, RegisteredFunction]] = {}
"""Top-level package of the author's module -> method -> function."""


@overload
def rpc(function: F, /) -> F: ...
@overload
def rpc(
    *, name: str | None = None, step: Step = "compute", minimum_rows: int | None = None, standalone: bool = True
) -> Callable[[F], F]: ...
def rpc(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    step: Step = "compute",
    minimum_rows: int | None = None,
    standalone: bool = True,
) -> object:
    """Register a function that runs on the data of one node and sends its result to the caller.

    ``name`` is the method's name in a task; default: the name of the function. ``step`` is for functions that create
    the tables of a v5 session: ``data_extraction`` reads a table from the node's database, ``preprocessing`` derives a
    table from another table. Such a function returns a table (pandas, Polars, Arrow, DuckDB or Ibis), which stays at
    the node. Only v5 nodes run these steps.

    ``minimum_rows`` makes the policy of the node's owner stricter for this function: a node withholds the result if a
    table that the function reads has fewer rows. It never makes the policy looser: the larger number holds.

    ``standalone=False`` is for the part of a master that runs at each node: a node refuses the task of a researcher
    that calls the function directly, and runs it only for a master of this image.

    >>> @rpc
    ... def count(data: Database) -> int:
    ...     return 1
    """
    return _make_decorator("rpc", function, name, Options(step, minimum_rows, standalone))


@overload
def master(function: F, /) -> F: ...
@overload
def master(*, name: str | None = None) -> Callable[[F], F]: ...
def master(function: Callable[..., Any] | None = None, /, *, name: str | None = None) -> object:
    """Register a function that runs rpcs at other nodes through an ``AlgorithmClient`` and combines their results.

    ``name`` is the method's name in a task; default: the name of the function.
    """
    return _make_decorator("master", function, name)


def _make_decorator(
    role: Role,
    function: Callable[..., Any] | None,
    name: str | None,
    options: Options = DEFAULTS,
) -> object:
    if options.step not in STEPS:
        raise DeclarationError(f"unknown step {options.step!r} (choose from {', '.join(STEPS)})")

    def decorate(function: Callable[..., Any]) -> RegisteredFunction:
        return register(function, role, name, options)

    if function is None:
        return decorate
    if not callable(function):
        raise DeclarationError(f"@{role} accepts the method name only by keyword: @{role}(name=...)")
    return decorate(function)


def register(
    function: Callable[..., Any], role: Role, name: str | None = None, options: Options = DEFAULTS
) -> RegisteredFunction:
    """Register a function, so that tasks can call it. A function with the same module and qualified name is replaced.

    Raises:
        DeclarationError: the declaration is wrong, or another function has the same method name.
    """
    check_function(function, role)
    if fault := explain_options(options):
        raise DeclarationError(f"{function.__qualname__}: {fault}")
    return add_to_registry(RegisteredFunction(function, role, name or function.__name__, options))


def check_function(function: Callable[..., Any], role: Declared) -> None:
    """Refuse what is not a plain function, or is declared wrongly.

    Raises:
        DeclarationError: names the function, the reason and the fix.
    """
    if isinstance(function, RegisteredFunction):
        raise DeclarationError(
            f"{function.__qualname__} is already {function.kind}; remove one of the decorators",
            rule="not-plain",
        )
    if any(is_kind(function) for is_kind in (iscoroutinefunction, isgeneratorfunction, isasyncgenfunction)):
        raise DeclarationError(
            f"{function.__qualname__}: `async` and `yield` are not supported; write a plain function", rule="not-plain"
        )
    if not inspect.isfunction(function):
        raise DeclarationError(f"{function!r} is not a function; decorate a function", rule="not-plain")
    check_declaration(function, role)


def add_to_registry(new_function: RegisteredFunction) -> RegisteredFunction:
    """Add a function to the registry, and return it; see ``register``.

    A local function may have the name of a function of another scope. It replaces a local one, but not one of a module.
    """
    functions = _registry.setdefault(_get_top_level_package(new_function.__module__), {})
    namesake = functions.get(new_function.method)
    has_local = namesake is not None and (namesake.is_local or new_function.is_local)
    if namesake is not None and has_local and not have_same_scope(namesake.origin, new_function.origin):
        if not namesake.is_local:
            return new_function
    elif namesake is not None and namesake.origin != new_function.origin:
        raise DeclarationError(
            f"two functions have the method name {new_function.method!r}: {'.'.join(namesake.origin)} and "
            f"{'.'.join(new_function.origin)}; rename one of the functions, or pass another method name with name=",
            rule="same-name",
        )
    # A notebook cell that runs again may register its function under a new method name.
    for method in [method for method, function in functions.items() if function.origin == new_function.origin]:
        del functions[method]
    functions[new_function.method] = new_function
    return new_function


def remove_from_registry(function: RegisteredFunction) -> None:
    """Remove a function from the registry, because a function that belongs to it is refused."""
    functions = _registry.get(_get_top_level_package(function.__module__), {})
    if functions.get(function.method) is function:
        del functions[function.method]


def _get_top_level_package(module: str) -> str:
    return module.partition(".")[0]


def get_registered_functions(module: str) -> dict[str, RegisteredFunction]:
    """Return the functions that a module's top-level package has registered so far, by method name."""
    return dict(_registry.get(_get_top_level_package(module), {}))


def unregister(module: str) -> None:
    """Remove the functions of a top-level package, before another copy of the package is imported."""
    _registry.pop(_get_top_level_package(module), None)


def suggest_method(name: str, functions: Mapping[str, RegisteredFunction]) -> str:
    """Return a hint for a message about an unknown method: the method with a similar name, or of a similar function.

    A function can have another method name than its own name, and its own name is in the author's source and tests.
    """
    import difflib

    methods = {method: method for method in functions}
    for method, function in functions.items():
        if function.derived_from is None:
            methods.setdefault(function.origin[1].rpartition(".")[2], method)
    similar = difflib.get_close_matches(name.removeprefix("RPC_"), methods, n=1)  # v3 has the prefix
    if not similar:
        return ""
    named = "" if similar[0] in functions else f" (the function {similar[0]})"
    return f"; did you mean {methods[similar[0]]!r}{named}?"


class Algorithm:
    """A package of registered functions."""

    def __init__(self, name: str, functions: Mapping[str, RegisteredFunction], folder: str | None = None) -> None:
        self.name = name
        self.functions = functions
        self.folder = folder
        """The folder of the package's source; None for functions of a notebook."""

    @classmethod
    def from_functions(cls, functions: Iterable[Callable[..., Any]], name: str = "functions") -> Algorithm:
        """Create an algorithm from decorated functions.

        Raises:
            DeclarationError: a function is not decorated, or two functions have the same method name.
        """
        by_method: dict[str, RegisteredFunction] = {}
        for function in functions:
            if not isinstance(function, RegisteredFunction):
                raise DeclarationError(
                    f"{getattr(function, '__qualname__', function)} is not decorated with @federated, @master or @rpc"
                )
            for part in function.parts:
                if by_method.setdefault(part.method, part) is not part:
                    raise DeclarationError(f"two functions have the method name {part.method!r}")
        return cls(name, by_method)

    def find(
        self, method: str, role: Role | None, step: Step = "compute", *, has_action: bool = False
    ) -> RegisteredFunction:
        """Return the function registered under a method.

        Args:
            method: the name in the task.
            role: the role that the task requests; None if the task does not name a role (v4).
            step: the step that the task requests.
            has_action: whether the task names role and step by an action (v5).

        Raises:
            UnknownMethod: no function has this method name. The message lists the methods and suggests a similar name.
            WrongRole: the function has another role, or belongs to another step.
        """
        function = self.functions.get(method)
        if function is None:
            self._raise_unknown_method(method)
        action = f'create the task with action="{_ACTIONS[function.role]}"'
        if function.step != step:
            is_compute = has_action and function.step == "compute"
            hint = action if is_compute else "only tasks of a v5 session create tables"
            raise WrongRole(
                f"method {method!r} {STEPS[function.step]}, but the task requests a function that "
                f"{STEPS[step]}; {hint} (methods: {self._list_methods(method)})"
            )
        if role is not None and function.role != role:
            is_master = "true" if function.role == "master" else "false"
            hint = action if has_action else f'set "master": {is_master} in the task\'s input'
            raise WrongRole(
                f"method {method!r} is {_ROLES[function.role]}, but the task requests {_ROLES[role]}; "
                f"{hint}, or call another method ({self._list_methods(method)})"
            )
        return function

    def _raise_unknown_method(self, method: str) -> NoReturn:
        method = method[:60]
        hint = suggest_method(method, self.functions)
        methods = f"methods: {self._list_methods(method)}"
        raise UnknownMethod(
            f"this algorithm has no method {method!r}{f'{hint} ({methods})' if hint else f'; {methods}'}"
        )

    def _list_methods(self, method: str) -> str:
        """Return the methods for a message; only those whose names are nearest to *method* if there are many."""
        names = list(self.functions)
        if len(names) > _MOST_METHODS:
            import difflib

            matcher = difflib.SequenceMatcher(b=method)  # prepares `b` once, and compares each name with it

            def measure(name: str) -> float:
                matcher.set_seq1(name)
                return matcher.ratio()

            names = sorted(names, key=measure, reverse=True)[:_MOST_METHODS]
        functions = map(self.functions.__getitem__, names)
        methods = [f"{f.method} ({f.role if f.step == 'compute' else f.step})" for f in functions]
        if omitted_count := len(self.functions) - len(methods):
            methods.append(f"and {omitted_count} more")
        return ", ".join(methods) or "none"
