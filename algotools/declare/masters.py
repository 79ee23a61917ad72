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
