"""An algorithm's functions as plain data: what a task can call, with which arguments, on which databases."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import distributions
from typing import Any

import docstring_parser

from algotools import locate
from algotools.errors import AlgotoolsError
from algotools.functions import Algorithm, RegisteredFunction


def describe(algorithm: Algorithm) -> dict[str, Any]:
    """The algorithm's name and its functions, ready to be written as JSON.

    Each function has ``method``, ``role``, ``step``, ``description``, ``databases`` (parameter, form, label) and
    ``arguments``, a JSON Schema with the docstring's words for each argument.
    """
    return {"algorithm": algorithm.name, "functions": [_function(f) for f in algorithm.functions.values()]}


def _function(function: RegisteredFunction) -> dict[str, Any]:
    told = docstring_parser.parse(function.__doc__ or "")
    specification = function.specification
    schema: dict[str, Any] = specification.schema()
    for parameter in told.params:
        if parameter.arg_name in schema["properties"] and parameter.description:
            schema["properties"][parameter.arg_name] |= {"description": " ".join(parameter.description.split())}
    return {
        "method": function.method,
        "role": function.role,
        "step": function.step,
        "description": "\n\n".join(text for text in (told.short_description, told.long_description) if text),
        "databases": [{"parameter": p.name, "form": p.form, "label": p.label} for p in specification.data],
        "arguments": schema,
    }


def main() -> int:
    """Print the image's own algorithm and packages as JSON: what ``algotools build`` runs inside of a new image."""
    out = os.dup(1)
    os.dup2(2, 1)  # what the algorithm prints when it is imported is no part of its description
    try:
        description = describe(locate.load(locate.locate_in_container(os.environ)))
    except AlgotoolsError as error:
        sys.stderr.write(f"error ({error.exit_code}): {error.message}\n{error.detail}\n")
        return error.exit_code
    packages = {found.metadata["Name"]: found.version for found in distributions()}
    told = {"description": description, "packages": {"python": platform.python_version(), **packages}}
    with open(out, "w", encoding="utf-8") as file:
        file.write(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
