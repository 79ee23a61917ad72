"""The description of an algorithm's functions as plain data."""

import json

import pandas as pd
import pytest

from algotools import NumericColumn, rpc
from algotools.declare import locate
from algotools.declare.functions import Algorithm
from algotools.describe import describe


@pytest.fixture
def described(survey) -> dict[str, object]:
    described = describe(locate.load(locate.locate(survey)))
    assert json.loads(json.dumps(described, allow_nan=False)) == described
    return described


def test_the_description_has_all_functions_with_their_roles(described):
    assert described["algorithm"] == "survey"
    assert [(f["method"], f["role"]) for f in described["functions"]] == [
        ("count", "rpc"),
        ("summary_of_all", "master"),
    ]


def test_the_docstring_is_the_description_of_a_function(described):
    count, summary = described["functions"]
    assert count["description"] == "Count rows by group.\n\nRows without a value are in no group."
    assert summary["description"] == "Rows of all organizations together."


def test_databases_have_a_parameter_a_form_and_a_label(described):
    count, summary = described["functions"]
    assert count["databases"] == [
        {"parameter": "data", "form": "pandas", "label": None},
        {"parameter": "visits", "form": "pandas", "label": "visits"},
    ]
    assert summary["databases"] == []


def test_a_group_and_an_optional_table_are_marked_as_such():
    @rpc
    def count(tables: dict[str, pd.DataFrame], extra: pd.DataFrame | None, column: NumericColumn) -> int:
        return 0

    [described] = describe(Algorithm.from_functions([count]))["functions"]
    assert described["databases"] == [
        {"parameter": "tables", "form": "pandas", "label": None, "group": True},
        {"parameter": "extra", "form": "pandas", "label": None, "optional": True},
    ]
    assert described["arguments"]["properties"]["column"] == {
        "type": "string",
        "format": "column",
        "column_kind": "numeric",
    }


def test_arguments_are_a_json_schema_with_descriptions_of_the_docstring(described):
    count, summary = described["functions"]
    assert count["arguments"] == {
        "type": "object",
        "properties": {
            "groups": {
                "type": "array",
                "items": {"$ref": "#/$defs/Group"},
                "description": "the groups, in the order of the answer.",
            },
            "unit": {"$ref": "#/$defs/Unit", "default": "persons", "description": "the unit to count."},
            "at_most": {"type": "number"},
        },
        "required": ["groups"],
        "additionalProperties": False,
        "$defs": {
            "Group": {
                "title": "Group",
                "description": "Rows with some values in a column.",
                "type": "object",
                "properties": {
                    "column": {"type": "string", "format": "column"},
                    "values": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["column", "values"],
                "additionalProperties": False,
            },
            "Unit": {"title": "Unit", "description": "How to count.", "enum": ["persons", "visits"]},
        },
    }
    organizations = summary["arguments"]["properties"]["organizations"]
    assert organizations["default"] is None
    assert {"type": "array", "items": {"type": "integer", "format": "organization"}} in organizations["anyOf"]


def test_a_function_without_a_docstring_has_an_empty_description():
    @rpc
    def count(limit: int) -> int:
        return limit

    (function,) = describe(Algorithm.from_functions([count]))["functions"]
    assert function["description"] == ""
    assert function["arguments"]["properties"] == {"limit": {"type": "integer"}}


@pytest.mark.parametrize(
    "docstring",
    [
        "Count.\n\nArgs:\n    limit: at most so many.\n    gone: was an argument once.\n",
        "Count.\n\n:param limit: at most so many.\n:param gone: was an argument once.\n",
        "Count.\n\nParameters\n----------\nlimit : int\n    at most so many.\ngone : int\n    was an argument once.\n",
    ],
    ids=["google", "sphinx", "numpy"],
)
def test_all_common_docstring_styles_are_parsed(docstring):
    def count(limit: int) -> int:
        return limit

    count.__doc__ = docstring
    (function,) = describe(Algorithm.from_functions([rpc(count)]))["functions"]
    assert function["description"] == "Count."
    assert function["arguments"]["properties"] == {"limit": {"type": "integer", "description": "at most so many."}}
