"""algotools: write algorithms for federated analysis.

Decorate functions with ``@rpc`` and ``@master``, run them over several nodes on a laptop, and ship the same
functions as one image that any vantage6 node can run. Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from algotools.arguments import Column, Columns, Organization
    from algotools.client import AlgorithmClient
    from algotools.errors import AlgotoolsError, PartialFailure, RunsFailed, UserError
    from algotools.federation import Federation
    from algotools.functions import master, rpc
    from algotools.report import log, progress
    from algotools.task import Database, RunInfo

_HOMES = {
    # Declaring functions.
    "master": "functions",
    "rpc": "functions",
    # What a signature can ask for.
    "AlgorithmClient": "client",
    "Column": "arguments",
    "Columns": "arguments",
    "Database": "task",
    "Organization": "arguments",
    "RunInfo": "task",
    # What a function can say.
    "AlgotoolsError": "errors",
    "PartialFailure": "errors",
    "UserError": "errors",
    "log": "report",
    "progress": "report",
    # Running functions on this machine.
    "Federation": "federation",
    "RunsFailed": "errors",
}

__all__ = [  # noqa: RUF022 - in the order in which an author meets them
    "master",
    "rpc",
    "AlgorithmClient",
    "Column",
    "Columns",
    "Database",
    "Organization",
    "RunInfo",
    "AlgotoolsError",
    "PartialFailure",
    "UserError",
    "log",
    "progress",
    "Federation",
    "RunsFailed",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'algotools' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"algotools.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
