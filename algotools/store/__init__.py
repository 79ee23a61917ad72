"""The algorithm store's metadata, from signatures, docstrings and the project's own facts.

What a project's ``algorithm_store.json`` holds is the body of a store's ``POST /algorithm``; v3 has no store.
``docs/store.md`` tells it to authors.
"""

from __future__ import annotations

import inspect
import itertools
import types
from collections.abc import Iterator
from typing import Any, Literal

import docstring_parser

from algotools.describe import describe
from algotools.functions import Algorithm, RegisteredFunction
from algotools.store.arguments import argument
from algotools.store.project import Facts, facts, words
from algotools.task import Role

__all__ = ["Facts", "Generation", "facts", "metadata"]

Generation = Literal[4, 5]

VERSIONS: dict[Generation, str] = {4: "4.15", 5: "5.0"}
"""Generation -> the version of the platform that the metadata, and what they describe, are checked against."""

_STEPS: dict[Generation, tuple[str, dict[Role, str]]] = {
    4: ("type", {"master": "central", "rpc": "federated"}),
    5: ("step_type", {"master": "central_compute", "rpc": "federated_compute"}),
}


def metadata(algorithm: Algorithm, facts: Facts, generation: Generation) -> dict[str, Any]:
    """What a store of a generation wants to know of an algorithm, ready to be written as JSON."""
    told = {function["method"]: function for function in describe(algorithm)["functions"]}
    result: dict[str, Any] = {
        "name": facts.name,
        "description": facts.description,
        "image": facts.image,
        "partitioning": facts.partitioning,
        "vantage6_version": VERSIONS[generation],
        "code_url": facts.code_url,
        "documentation_url": facts.documentation_url,
        "functions": [
            _function(function, told[method], algorithm, generation)
            for method, function in algorithm.functions.items()
            if generation >= 5 or function.step == "compute"  # v4 has no tables that could be made
        ],
    }
    return {key: value for key, value in result.items() if value is not None}


def _function(
    function: RegisteredFunction, told: dict[str, Any], algorithm: Algorithm, generation: Generation
) -> dict[str, Any]:
    key, steps = _STEPS[generation]
    schema = told["arguments"]
    return {
        "name": function.method,
        "display_name": words(function.method),
        "description": told["description"],
        key: steps[function.role] if function.step == "compute" else function.step,
        "standalone": not any(_same(function, asked) for master in _masters(algorithm) for asked in _asked_by(master)),
        "databases": _databases(function, algorithm, generation),
        "arguments": [
            argument(name, one, schema.get("$defs", {}), required=name in schema["required"], native=generation >= 5)
            for name, one in schema["properties"].items()
        ],
    }


def _databases(function: RegisteredFunction, algorithm: Algorithm, generation: Generation) -> list[dict[str, Any]]:
    """What a task must name: the function's own databases, and those that a master's subtasks inherit from it.

    A database is known by its label, or by its place among those without one, as the dispatcher hands them out.
    """
    found: dict[str | int, dict[str, Any]] = {}
    for reader in (function, *_readers_for(function, algorithm)):
        told = {p.arg_name: p.description or "" for p in docstring_parser.parse(reader.__doc__ or "").params}
        places = itertools.count()
        for parameter in reader.specification.data:
            key = next(places) if parameter.label is None else parameter.label
            name = words(parameter.name) if parameter.label is None else parameter.label
            taken = {database["name"] for other, database in found.items() if other != key}
            item = {"name": f"{name} ({len(found) + 1})" if name in taken else name}  # the UI knows them by name
            if description := " ".join(told.get(parameter.name, "").split()):
                item["description"] = description
            found.setdefault(key, item)
    return [{**database, "multiple": False} if generation >= 5 else database for database in found.values()]


def _readers_for(function: RegisteredFunction, algorithm: Algorithm) -> list[RegisteredFunction]:
    """The rpcs that a master may send to the nodes: those that its code names; all, if it names none."""
    if not function.specification.injects("client"):
        return []
    rpcs = [other for other in algorithm.functions.values() if other.role == "rpc" and other.step == "compute"]
    asked = list(_asked_by(function))
    return [rpc for rpc in rpcs if any(_same(rpc, one) for one in asked)] or rpcs


def _masters(algorithm: Algorithm) -> list[RegisteredFunction]:
    return [function for function in algorithm.functions.values() if function.role == "master"]


def _asked_by(master: RegisteredFunction) -> Iterator[RegisteredFunction]:
    """The rpcs that stand by name in a master's own source: ``partial``, or ``module.partial``."""
    function = inspect.unwrap(master.__wrapped__)
    names = set(_names(function.__code__))
    values = [function.__globals__[name] for name in names if name in function.__globals__]
    modules = [vars(value) for value in values if isinstance(value, types.ModuleType)]
    values += [module[name] for module in modules for name in names if name in module]
    return (value for value in values if isinstance(value, RegisteredFunction) and value.role == "rpc")


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _same(one: RegisteredFunction, other: RegisteredFunction) -> bool:
    return one.origin == other.origin
