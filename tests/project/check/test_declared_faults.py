"""Faults in single functions. One project has all faults, each in a separate module, so it is imported only once."""

from __future__ import annotations

import re

import pytest

from algotools.project.check import Finding, check

from .conftest import add, create_project

HEAD = """from collections.abc import Callable

import pandas as pd

from algotools import AlgorithmClient, Column, master, rpc
from average.algorithm import average, average_partial

"""
LATE = """from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from algotools import rpc

if TYPE_CHECKING:
    from decimal import Decimal
"""


def rpc(body: str, parameters: str = "data: pd.DataFrame", returns: str = "object") -> str:
    return f"\n@rpc\ndef more({parameters}) -> {returns}:\n    {body}\n"


def step(body: str, parameters: str = "", returns: str = "object") -> str:
    return f"\n@rpc(step='preprocessing')\ndef more(data: pd.DataFrame, {parameters}) -> {returns}:\n    {body}\n"


def master(body: str, returns: str = "object") -> str:
    return f"\n@master\ndef more(client: AlgorithmClient) -> {returns}:\n    {body}\n"


def call(arguments: str) -> str:
    """Return the source of a master that calls an rpc, together with other functions."""
    return (
        "\n@rpc\ndef counted(data: pd.DataFrame, column: Column, at_least: int, kind: str = 'a') -> int:\n"
        "    return 1\n\n\ndef plain(data: pd.DataFrame) -> int:\n    return 1\n\n\n"
        "@master\ndef counts(client: AlgorithmClient, column: str) -> list[int]:\n"
        f"    return list(client.run({arguments}))\n"
    )


def create(arguments: str) -> str:
    """Return the same source with a call in the style of v4."""
    return call("").replace("list(client.run())", f"client.wait_for_results(client.task.create({arguments})['id'])")


FAULTS: dict[str, tuple[str, str]] = {
    # Declarations.
    "no annotation": (rpc("return 1", "number"), "no-annotation"),
    "arbitrary positional arguments": (rpc("return 1", "*numbers: int"), "star-arguments"),
    "arbitrary keyword arguments": (rpc("return 1", "**numbers: int"), "star-arguments"),
    "an argument without a JSON form": (rpc("return 1", "number: complex"), "no-json-form"),
    "a callable as an argument": (rpc("return 1", "how: Callable[[int], int]"), "no-json-form"),
    "bounds of a text on a number": (
        "\nfrom typing import Annotated\nMETA = __import__('msgspec').Meta(ge=0)\n"
        + rpc("return 1", "number: Annotated[str, META]"),
        "unchecked-bounds",
    ),
    "a default of None": (rpc("return 1", "number: int = None"), "wrong-default"),
    "a default of another type": (rpc("return 1", "number: int = 'three'"), "wrong-default"),
    "an annotation for type checkers": (LATE + rpc("return 1", "number: Decimal"), "hidden-annotation"),
    "a table from two sources": (step("return data", "other: pd.DataFrame"), "table-source"),
    "two dicts of tables": (
        rpc("return 1", "years: dict[str, pd.DataFrame], sites: dict[str, pd.DataFrame]"),
        "table-group",
    ),
    "a table function that returns a dict": (step("return {}", returns="dict[str, int]"), "table-result"),
    "an rpc with a client": (rpc("return 1", "client: AlgorithmClient"), "rpc-with-client"),
    "two methods of one name": ("\n@rpc(name='average_partial')\ndef more() -> int:\n    return 1\n", "same-name"),
    "async": ("\n@rpc\nasync def more() -> int:\n    return 1\n", "not-plain"),
    "a generator": (rpc("yield 1"), "not-plain"),
    "a class": ("\n@rpc\nclass More:\n    pass\n", "not-plain"),
    "decorated twice": ("\n@master\n@rpc\ndef more() -> int:\n    return 1\n", "not-plain"),
    "an annotation that is not a type": (rpc("return 1", "number: 'int['"), "declaration"),
    # Results.
    "a set": (rpc("return {1, 2}"), "result-not-serializable"),
    "a set in a variable": (rpc("names = set(data.columns)\n    return names"), "result-not-serializable"),
    "a nested set": (rpc("return {'all': [1, {2}]}"), "result-not-serializable"),
    "a set or None": (rpc("return {1} if data.size else None"), "result-not-serializable"),
    "a generator expression": (rpc("return (c for c in data.columns)"), "result-not-serializable"),
    "a map": (rpc("return map(str, data.columns)"), "result-not-serializable"),
    "a range": (rpc("return dict(rows=range(3))"), "result-not-serializable"),
    "a set in the annotation": (rpc("return helper(data)", returns="set[str]"), "result-not-serializable"),
    "a mapping of sets in the annotation": (
        rpc("return helper(data)", returns="dict[str, set[str]]"), "result-not-serializable"),
    "results that are not put into a list": (
        master("partials = client.run(average_partial, column_name='age')\n    return {'all': partials}"),
        "result-not-serializable"),
    "a set of a master in the annotation": (master("return helper()", returns="list[set]"), "result-not-serializable"),
    "a set that a trial finds": (rpc("return data.columns.to_series().pipe(set)"), "result-not-serializable"),
    "an object that a trial finds": (
        rpc("return data.groupby(column)", "data: pd.DataFrame, column: Column"), "result-not-serializable"),
    "a misspelt name": (rpc("return len(dat)"), "function-fails"),
    "a variable before its value": (rpc("n += 1\n    return n"), "function-fails"),
    "an import in a function": (rpc("from math import nothing\n    return nothing"), "function-fails"),
    # Masters.
    "a misspelt method": (call("'count', column=column, at_least=1"), "unknown-function"),
    "a function without a decorator": (call("plain"), "unknown-function"),
    "an undefined function": (call("plan"), "unknown-function"),
    "a master": (call("average, column_name=column"), "unknown-function"),
    "a master by name": (call("'master', column_name=column"), "unknown-function"),
    "a lambda": (call("lambda data: 1"), "unknown-function"),
    "an unknown argument": (call("counted, colum=column, column=column, at_least=1"), "wrong-arguments"),
    "a missing argument": (call("counted, column=column"), "wrong-arguments"),
    "a misspelt argument": (call("counted, colum=column, at_least=1"), "wrong-arguments"),
    "a text for a number": (call("counted, column=column, at_least='5'"), "wrong-arguments"),
    "a set as an argument": (call("counted, column=column, at_least={1}"), "wrong-arguments"),
    "an argument by position": (call("counted, column, at_least=1"), "wrong-arguments"),
    "the function by keyword": (call("function=counted, column=column, at_least=1"), "wrong-arguments"),
    "a wrong argument in arguments": (
        call("counted, arguments={'column': 3, 'at_least': 1}"), "wrong-arguments"),
    "a wrong argument behind options": (call("counted, column=column, at_least='5', **{}"), "wrong-arguments"),
    "a call that v3's client had": (master("return client.get_results(1)"), "unknown-client-call"),
    "a call that no client has": (master("return client.result.get(1)"), "unknown-client-call"),
    "a subtask of an unknown method": (create("input_={'method': 'count', 'kwargs': {}}"), "unknown-function"),
    "a subtask of a master": (create("{'method': 'master', 'kwargs': {'column_name': column}}"), "unknown-function"),
    "a subtask without its arguments": (create("input_={'method': 'counted'}"), "wrong-arguments"),
    "a subtask with a misspelt argument": (
        create("input_={'method': 'counted', 'kwargs': {'colum': column, 'at_least': 1}}"), "wrong-arguments"),
    "a subtask with a text for a number": (
        create("input_={'method': 'counted', 'args': [column, '5']}"), "wrong-arguments"),
    "a subtask with too many positional arguments": (
        create("input_={'method': 'counted', 'args': [column, 5, 6]}"), "wrong-arguments"),
    "a subtask without a method": (create("input_={'kwargs': {'column': column}}"), "wrong-arguments"),
    "a subtask with an unknown key": (
        create("input_={'method': 'counted', 'arguments': {'column': column}}"), "wrong-arguments"),
    "an input in a variable": (
        master("input_ = {'method': 'counts', 'kwargs': {}}\n    return client.task.create(input_=input_)"),
        "unknown-function"),
    "v5's form of a call with a misspelt method": (create("method='count', arguments={}"), "unknown-function"),
    "v5's form of a call without an argument": (
        create("method=counted, arguments={'column': column}"), "wrong-arguments"),
    "an argument of the researcher's client": (
        create("{'method': 'counted', 'args': [column, 1]}, image='i'"), "wrong-arguments"),
    "a call in a helper": (
        "\ndef ask(api: 'AlgorithmClient', column: str):\n    c = api\n    return c.run('average_part')\n",
        "unknown-function"),
}  # fmt: skip
"""Name of the fault -> the code and the rule."""


@pytest.fixture(scope="module")
def findings_by_fault(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Finding]]:
    """Name of the fault -> the findings in its module."""
    project = create_project(tmp_path_factory.mktemp("faults"))
    for number, (text, _) in enumerate(FAULTS.values()):
        source = re.sub(r"\b(more|counted|plain|counts)\b", rf"\g<1>_{number}", text)
        add(project / f"src/average/fault_{number}.py", source if text.startswith("from") else HEAD + source)
        add(project / "src/average/__init__.py", f"from average import fault_{number}\n")
    findings = check(project).findings
    by_file = {name: f"src/average/fault_{number}.py" for number, name in enumerate(FAULTS)}
    assert {finding.file for finding in findings} <= set(by_file.values())
    return {name: [finding for finding in findings if finding.file == file] for name, file in by_file.items()}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_only_by_its_rule(name: str, findings_by_fault: dict[str, list[Finding]]) -> None:
    assert [finding.rule for finding in findings_by_fault[name]] == [FAULTS[name][1]], findings_by_fault[name]
    assert findings_by_fault[name][0].line is not None


def test_a_misspelt_argument_has_one_finding_with_the_correct_arguments(
    findings_by_fault: dict[str, list[Finding]],
) -> None:
    (finding,) = findings_by_fault["a misspelt argument"]
    assert "colum" in finding.reason
    assert "column: Column" in finding.way_out


def test_a_misspelt_method_gets_a_suggestion(findings_by_fault: dict[str, list[Finding]]) -> None:
    assert "'average_partial'" in findings_by_fault["a call in a helper"][0].way_out


def test_an_argument_without_a_json_form_is_named(findings_by_fault: dict[str, list[Finding]]) -> None:
    [finding] = findings_by_fault["a set as an argument"]
    assert "the argument 'at_least' of 'counted_" in finding.reason
