"""algotools: write algorithms for federated analysis.

Decorate functions with ``@rpc`` and ``@master``, run them over several nodes on a laptop, and ship the same
functions as one image that any vantage6 node can run. A name's module is imported when the name is first used.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False  # as that of `typing`, whose import would delay the start of the worker (`dispatch.child`)
if TYPE_CHECKING:
    from typing import Any

    from algotools.declare.annotations import (
        Argument,
        CategoryColumn,
        Column,
        Columns,
        NumericColumn,
        Organization,
    )
    from algotools.declare.federated import federated
    from algotools.declare.functions import master, rpc
    from algotools.errors import AlgotoolsError, PartialFailure, RunsFailed, RunsIncomplete, UserError
    from algotools.federation import Federation
    from algotools.runtime.client import AlgorithmClient
    from algotools.runtime.logs import log, progress
    from algotools.runtime.pooled import Aggregator, Pooled
    from algotools.task import Database, NodeVariable, RunInfo

_MODULES = {
    # Declaring functions.
    "federated": "declare.federated",
    "master": "declare.functions",
    "rpc": "declare.functions",
    # Annotations of a function's parameters.
    "Aggregator": "runtime.pooled",
    "AlgorithmClient": "runtime.client",
    "Argument": "declare.annotations",
    "Column": "declare.annotations",
    "NumericColumn": "declare.annotations",
    "CategoryColumn": "declare.annotations",
    "Columns": "declare.annotations",
    "Database": "task",
    "NodeVariable": "task",
    "Organization": "declare.annotations",
    "RunInfo": "task",
    # Errors and log lines of a function.
    "AlgotoolsError": "errors",
    "PartialFailure": "errors",
    "UserError": "errors",
    "log": "runtime.logs",
    "progress": "runtime.logs",
    # Running functions on this machine.
    "Pooled": "runtime.pooled",
    "Federation": "federation",
    "RunsFailed": "errors",
    "RunsIncomplete": "errors",
}

__all__ = [  # noqa: RUF022 - in the order in which an author needs them
    "federated",
    "master",
    "rpc",
    "Aggregator",
    "AlgorithmClient",
    "Argument",
    "Column",
    "NumericColumn",
    "CategoryColumn",
    "Columns",
    "Database",
    "NodeVariable",
    "Organization",
    "RunInfo",
    "AlgotoolsError",
    "PartialFailure",
    "UserError",
    "log",
    "progress",
    "Pooled",
    "Federation",
    "RunsFailed",
    "RunsIncomplete",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name == "aggregate":  # `import algotools` is enough for `algotools.aggregate.sum(…)`
        return importlib.import_module("algotools.aggregate")
    if name not in _MODULES:
        raise AttributeError(f"module 'algotools' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"algotools.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "aggregate"})
