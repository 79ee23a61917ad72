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
from algotools.declare._result_types import describe_result_type
from algotools.declare.arguments import Parameter
from algotools.declare.federated import PooledFunction
from algotools.declare.functions import Algorithm, RegisteredFunction
from algotools.declare.variables import describe_variables
from algotools.disclosure.policy import Policy
from algotools.errors import AlgotoolsError


def describe(algorithm: Algorithm) -> dict[str, Any]:
    """Return the name and the functions of an algorithm as JSON-compatible data.

    Each function has ``method``, ``role``, ``step``, ``standalone``, ``description``, ``databases`` (parameter, form,
    label; ``group`` if the parameter receives a dict with all remaining databases; ``optional`` if it can be None) and
    ``arguments``: a JSON Schema that contains the docstring's description of each argument. ``function`` is the name of
    the author's function, if it differs from the method. A pooled
    function's master has ``minimum_organizations``, and its rpc has ``derived_from``: the method of the master.
    ``leaves`` is the type of the result and its fields, or None if only a table of a session is made, which stays at
    the node. ``minimum_rows`` is the author's number, if there is one. ``gate`` is the sentence about the policy of a
    node.
    """
    functions = [_describe_function(function) for function in algorithm.functions.values()]
    return {"algorithm": algorithm.name, "functions": functions, "gate": GATE_NOTE}


DEFAULT_NOTE = f"by default, no number of fewer than {Policy().minimum_cell} records leaves a node"
"""The default policy in one clause."""

GATE_NOTE = f"results are judged by the policy of the node's owner; {DEFAULT_NOTE}"


def add_default_policy(description: str) -> str:
    """Add the default policy to the author's description of an algorithm, unless the description contains it."""
    if DEFAULT_NOTE.lower() in description.lower():
        return description
    text = description.rstrip()
    end = "." if text and text[-1] not in ".!?:;" else ""
    return f"{text}{end} {DEFAULT_NOTE[0].upper()}{DEFAULT_NOTE[1:]}.".lstrip()


def _describe_leaving_values(function: RegisteredFunction) -> dict[str, object] | None:
    """Return the type of the values that leave a node; None if a function leaves a table at the node."""
    if function.step != "compute":
        return None
    if function.derived_from is not None:
        return {"type": "contributions to totals", "fields": {}}
    type_, fields = describe_result_type(function.__wrapped__)
    return {"type": type_, "fields": fields}


def _describe_function(function: RegisteredFunction) -> dict[str, Any]:
    docstring = docstring_parser.parse(function.__doc__ or "")
    specification = function.specification
    schema: dict[str, Any] = specification.schema()
    variables = {item["parameter"]: item for item in describe_variables(specification.variables)}
    for parameter in docstring.params:
        if parameter.arg_name in variables and parameter.description:
            variables[parameter.arg_name]["schema"] |= {"description": " ".join(parameter.description.split())}
        if parameter.arg_name in schema["properties"] and parameter.description:
            schema["properties"][parameter.arg_name] |= {"description": " ".join(parameter.description.split())}
    description = "\n\n".join(text for text in (docstring.short_description, docstring.long_description) if text)
    pooling: dict[str, object] = {}
    if function.derived_from is not None:
        pooling = {"derived_from": function.derived_from}
        description = f"The part of {function.derived_from} that runs at each node. Its master calls it."
    elif isinstance(function, PooledFunction):
        pooling = {"minimum_organizations": function.pooling.minimum_organizations}
    own_name = "" if function.derived_from else function.origin[1].rpartition(".")[2]
    return {
        "method": function.method,
        **({} if own_name in (function.method, "") else {"function": own_name}),
        "role": function.role,
        "step": function.step,
        "standalone": function.standalone,
        **pooling,
        **({} if function.minimum_rows is None else {"minimum_rows": function.minimum_rows}),
        "description": description,
        "variables": list(variables.values()),
        "databases": list(map(_describe_database, specification.data)),
        "leaves": _describe_leaving_values(function),
        "arguments": schema,
    }


def _describe_database(parameter: Parameter) -> dict[str, object]:
    item: dict[str, object] = {"parameter": parameter.name, "form": parameter.form, "label": parameter.label}
    if parameter.is_group:
        item["group"] = True
    if parameter.is_optional:
        item["optional"] = True
    return item


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
