"""The description of an algorithm as plain data: its methods, their arguments and databases."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import distributions
from typing import Any

import docstring_parser

from algotools.declare import locate
from algotools.declare.federated import PooledFunction
from algotools.declare.functions import Algorithm, RegisteredFunction
from algotools.errors import AlgotoolsError


def describe(algorithm: Algorithm) -> dict[str, Any]:
    """Return the name and the functions of an algorithm as JSON-compatible data.

    Each function has ``method``, ``role``, ``step``, ``description``, ``databases`` (parameter, form, label) and
    ``arguments``: a JSON Schema that contains the docstring's description of each argument. A pooled function's master
    has ``minimum_organizations``, and its rpc has ``derived_from``: the method of the master.
    """
    return {"algorithm": algorithm.name, "functions": [_describe_function(f) for f in algorithm.functions.values()]}


def _describe_function(function: RegisteredFunction) -> dict[str, Any]:
    docstring = docstring_parser.parse(function.__doc__ or "")
    specification = function.specification
    schema: dict[str, Any] = specification.schema()
    for parameter in docstring.params:
        if parameter.arg_name in schema["properties"] and parameter.description:
            schema["properties"][parameter.arg_name] |= {"description": " ".join(parameter.description.split())}
    description = "\n\n".join(text for text in (docstring.short_description, docstring.long_description) if text)
    pooling: dict[str, object] = {}
    if function.derived_from is not None:
        pooling = {"derived_from": function.derived_from}
        description = f"The part of {function.derived_from} that runs at each node. Its master calls it."
    elif isinstance(function, PooledFunction):
        pooling = {"minimum_organizations": function.pooling.minimum_organizations}
    return {
        "method": function.method,
        "role": function.role,
        "step": function.step,
        **pooling,
        **({} if function.minimum_rows is None else {"minimum_rows": function.minimum_rows}),
        "description": description,
        "databases": [{"parameter": p.name, "form": p.form, "label": p.label} for p in specification.data],
        "arguments": schema,
    }


def main() -> int:
    """Print the algorithm and the packages of an image as JSON. ``algotools build`` runs this in a new image."""
    out = os.dup(1)
    os.dup2(2, 1)  # the algorithm may print when it is imported; standard output is only for the description
    try:
        description = describe(locate.load(locate.locate_in_container(os.environ)))
    except AlgotoolsError as error:
        sys.stderr.write(f"error ({error.exit_code}): {error.message}\n{error.detail}\n")
        return error.exit_code
    packages = {package.metadata["Name"]: package.version for package in distributions()}
    content = {"description": description, "packages": {"python": platform.python_version(), **packages}}
    with open(out, "w", encoding="utf-8") as file:
        file.write(json.dumps(content))
    return 0
