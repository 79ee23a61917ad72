"""The rpcs that the code of a master names, and the masters of an rpc."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator

from algotools.declare.functions import Algorithm, RegisteredFunction


def find_masters(function: RegisteredFunction, algorithm: Algorithm) -> list[str]:
    """Return the methods of the masters whose code names an rpc."""
    masters = [candidate for candidate in algorithm.functions.values() if candidate.role == "master"]
    return [m.method for m in masters if any(rpc.origin == function.origin for rpc in find_named_rpcs(m))]


def list_variables(algorithm: Algorithm) -> dict[str, list[str]]:
    """Return method -> the node variables of the function, and of the rpcs that a master's code names."""
    variables: dict[str, list[str]] = {}
    if not any(function.specification.variables for function in algorithm.functions.values()):
        return variables
    for method, function in algorithm.functions.items():
        called = [function, *function.parts]
        if function.role == "master":
            called += find_named_rpcs(function)
        variables[method] = list(dict.fromkeys(p.variable for part in called for p in part.specification.variables))
    return variables


def find_named_rpcs(master: RegisteredFunction) -> Iterator[RegisteredFunction]:
    """Return the rpcs that the code of a master names: ``partial``, or ``module.partial``.

    The rpc of a pooled function is derived from the function itself.
    """
    yield from master.parts[1:]
    function = inspect.unwrap(master.__wrapped__)
    names = set(_read_code_names(function.__code__))
    values = [function.__globals__[name] for name in names if name in function.__globals__]
    modules = [vars(value) for value in values if isinstance(value, types.ModuleType)]
    values += [module[name] for module in modules for name in names if name in module]
    yield from (value for value in values if isinstance(value, RegisteredFunction) and value.role == "rpc")


def _read_code_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _read_code_names(constant)
