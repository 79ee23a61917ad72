"""Functions that are local to other functions: each test can decorate one of the same name.

A function that is made during the import of its package is never local in this sense. A task could call it, so its
method name must be unique, even if a factory makes the function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

Origin = tuple[str, str]
"""Module and qualified name of a function."""


def is_local(function: Callable[..., object]) -> bool:
    """Return whether another function makes this one, after the import of its package."""
    return "<locals>" in function.__qualname__ and not _is_importing(function.__module__.partition(".")[0])


def have_same_scope(first: Origin, second: Origin) -> bool:
    """Return whether two functions are in the same module, and local to the same function if they are local."""
    scopes = {(module, name.rpartition("<locals>")[0]) for module, name in (first, second)}
    return len(scopes) == 1


def _is_importing(package: str) -> bool:
    modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == package]
    return any(getattr(getattr(module, "__spec__", None), "_initializing", False) for module in modules)
