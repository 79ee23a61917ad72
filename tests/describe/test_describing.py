"""An algorithm's functions as plain data."""

import json

import pytest

from algotools import locate, rpc
from algotools.describe import describe
from algotools.functions import Algorithm


@pytest.fixture
def described(survey) -> dict[str, object]:
    described = describe(locate.load(locate.locate(survey)))
    assert json.loads(json.dumps(described, allow_nan=False)) == described
    return described


def test_all_functions_are_there_by_role(described):
    assert described["algorithm"] == "survey"
    assert [(f["method"], f["role"]) for f in described["functions"]] == [
        ("count", "rpc"),
        ("summary_of_all", "master"),
    ]


def test_the_docstring_tells_what_the_function_does(described):
    count, summary = described["functions"]
    assert count["description"] == "Count rows by group.\n\nRows without a value are in no group."
    assert summary["description"] == "Rows of all organizations together."


def test_databases_are_told_by_parameter_form_and_label(described):
    count, summary = described["functions"]
    assert count["databases"] == [
        {"parameter": "data", "form": "pandas", "label": None},
        {"parameter": "visits", "form": "pandas", "label": "visits"},
    ]
    assert summary["databases"] == []


def test_arguments_are_a_json_schema_with_the_docstrings_words(described):
    count, summary = described["functions"]
    assert count["arguments"] == {
        "type": "object",
        "properties": {
            "groups": {
                "type": "array",
                "items": {"$ref": "#/$defs/Group"},
                "description": "the groups, in the order of the answer.",
            },
            "unit": {"$ref": "#/$defs/Unit", "default": "persons", "description": "what to count."},
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

    (function,) = describe(Algorithm.of([count]))["functions"]
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
def test_docstrings_of_any_style_are_read(docstring):
    def count(limit: int) -> int:
        return limit

    count.__doc__ = docstring
    (function,) = describe(Algorithm.of([rpc(count)]))["functions"]
    assert function["description"] == "Count."
    assert function["arguments"]["properties"] == {"limit": {"type": "integer", "description": "at most so many."}}
