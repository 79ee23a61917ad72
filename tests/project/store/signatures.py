"""Functions with any signature, for tests of signatures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

NOTHING = inspect.Parameter.empty
"""A parameter without a default."""


def function_taking(parameters: Mapping[str, tuple[Any, Any]], name: str = "function") -> Callable[..., None]:
    """Return a function with these parameters: name -> annotation and default."""

    def function(**_: object) -> None:
        pass

    function.__name__ = function.__qualname__ = name
    function.__annotations__ = {key: annotation for key, (annotation, _) in parameters.items()}
    function.__signature__ = inspect.Signature(
        [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
            for key, (annotation, default) in parameters.items()
        ]
    )
    return function
