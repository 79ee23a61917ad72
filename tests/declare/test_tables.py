"""Annotations of tables, and the databases of a task that each parameter receives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Optional

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from algotools import Argument, Columns, Database
from algotools.declare.arguments import specify
from algotools.declare.tables import assign_databases
from algotools.errors import DeclarationError, UnknownLabel

Frame = pd.DataFrame
Labelled = Annotated[Frame | None, Database("extra")]


def declare(**annotations: Any) -> Any:
    """Return the specification of a function with these parameters."""

    def function() -> int:
        return 1

    names = ", ".join(f"{name}: {name}_type" for name in annotations)
    scope: dict[str, Any] = {f"{name}_type": annotation for name, annotation in annotations.items()}
    exec(f"def function({names}) -> int: return 1", scope)
    return specify(scope["function"], "rpc")


@pytest.mark.parametrize(
    ("annotation", "form", "is_group", "is_optional"),
    [
        (Frame, "pandas", False, False),
        (Frame | None, "pandas", False, True),
        (Optional[pl.LazyFrame], "lazy", False, True),
        (Labelled, "pandas", False, True),
        (Annotated[Frame, Database("extra")] | None, "pandas", False, True),
        (dict[str, Frame], "pandas", True, False),
        (Mapping[str, pa.Table], "arrow", True, False),
        (dict[str, Path] | None, "path", True, True),
        (dict[str, Database], "database", True, False),
        (Annotated[dict[str, pl.DataFrame], Columns.of("sex")], "polars", True, False),
        (dict[str, Annotated[pl.DataFrame, Columns.of("sex")]], "polars", True, False),
    ],
)
def test_an_annotation_requests_one_table_or_several(
    annotation: Any, form: str, is_group: bool, is_optional: bool
) -> None:
    [parameter] = declare(data=annotation).data
    assert (parameter.form, parameter.is_group, parameter.is_optional) == (form, is_group, is_optional)
    assert parameter.label == ("extra" if "extra" in str(annotation) else None)
    assert parameter.columns == (Columns.of("sex") if "sex" in str(annotation) else Columns(()))


@pytest.mark.parametrize("annotation", [Argument[Frame] | None, dict[str, Argument[Frame]], dict[str, int]])
def test_a_table_that_the_task_sends_stays_an_argument(annotation: Any) -> None:
    assert [p.name for p in declare(data=annotation).arguments] == ["data"]


@pytest.mark.parametrize(
    ("annotations", "reason"),
    [
        ({"a": dict[str, Frame], "b": dict[str, Frame]}, "parameters a, b: a function has at most one dict of tables"),
        ({"a": Annotated[dict[str, Frame], Database("x")]}, "a dict of tables receives all databases of the task"),
        ({"a": dict[str, Annotated[Frame, Database("x")]]}, "a dict of tables receives all databases of the task"),
        ({"a": dict[str, Frame | None]}, "neither data of the node nor an argument"),
        ({"a": dict[int, Frame]}, "or dict[str, pandas.DataFrame] for data of the node"),
    ],
)
def test_a_group_that_cannot_be_filled_is_refused(annotations: dict[str, Any], reason: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        declare(**annotations)
    assert reason in caught.value.message


@pytest.mark.parametrize("annotation", [Frame | None, dict[str, Frame]])
def test_a_function_that_makes_a_table_takes_exactly_one(annotation: Any) -> None:
    def prepare(data: Any) -> Any:
        return data

    prepare.__annotations__["data"] = annotation
    with pytest.raises(DeclarationError, match="declare exactly one parameter for the table"):
        specify(prepare, "rpc", "preprocessing")


def request(text: str) -> list[Database]:
    """Return the databases of a task: ``x y+z`` are two arguments, and the second one is a group; ``-x`` is missing."""
    arguments = [part.split("+") for part in text.split()]
    return [
        Database(label.strip("-"), "" if label.startswith("-") else label, group=i if len(labels) > 1 else None)
        for i, labels in enumerate(arguments)
        for label in labels
    ]


ONE, MANY, MAYBE = Frame, dict[str, Frame], Frame | None


@pytest.mark.parametrize(
    ("annotations", "requested", "expected"),
    [
        # A dict takes what the other parameters leave, wherever it is in the signature.
        ([MANY], "x y z", ["x y z"]),
        ([MANY], "x+y z", ["x y z"]),
        ([MANY], "x x y", ["x y"]),
        ([ONE, MANY], "x y z", ["x", "y z"]),
        ([MANY, ONE], "x y z", ["x y", "z"]),
        ([MANY, ONE], "x+y z", ["x y", "z"]),
        ([ONE, MANY], "x+y", ["x", "y"]),
        ([ONE, MANY | None], "x", ["x", ""]),
        ([MANY, Labelled], "x extra y", ["x y", "extra"]),
        # One argument of v5 for each parameter: each parameter takes its argument.
        ([ONE, MANY], "x+y z", ["x", "z"]),
        ([ONE, ONE], "x+y z", ["x", "z"]),
        ([ONE, ONE], "x+y", ["x", "y"]),
        # A parameter that may be None takes a database only if enough remain.
        ([ONE, MAYBE], "x", ["x", ""]),
        ([MAYBE, ONE], "x", ["", "x"]),
        ([MAYBE, ONE], "x y", ["x", "y"]),
        ([MAYBE], "", [""]),
        ([MAYBE, MANY, MAYBE], "x y", ["x", "y", ""]),
        ([Labelled], "x", [""]),
        ([Labelled, ONE], "x extra", ["extra", "x"]),
        ([ONE, Labelled], "x -extra", ["x", ""]),
    ],
)
def test_each_parameter_receives_its_databases(annotations: list[Any], requested: str, expected: list[str]) -> None:
    parameters = declare(**{f"p{i}": annotation for i, annotation in enumerate(annotations)}).data
    assignment = assign_databases(parameters, request(requested))
    labels = [" ".join(t.database.label for t in assignment.tables if t.parameter is p) for p in parameters]
    assert labels == expected
    assert [p.name for p in assignment.missing] == [
        p.name for p, text in zip(parameters, labels, strict=True) if not text
    ]


def test_an_optional_table_with_a_label_is_found_at_a_node_that_has_it() -> None:
    parameters = declare(data=ONE, extra=Labelled).data
    assignment = assign_databases(parameters, request("x"), [Database("extra", "file.csv")])
    assert [table.database.label for table in assignment.tables] == ["x", "extra"]


@pytest.mark.parametrize(
    ("annotations", "requested", "message"),
    [
        ([MANY], "", "the function takes at least 1 database, the task requests none; this node has: none"),
        ([ONE, MANY], "x", "the function takes at least 2 databases, the task requests 'x'; this node has: x"),
        ([ONE, MAYBE], "", "the function takes 1 database, the task requests none; this node has: none"),
        # A typo of the researcher is an error, also where a table may be missing.
        ([MAYBE], "-tpyo", "this node has no database 'tpyo'; it has: none"),
        ([MANY], "x -tpyo", "this node has no database 'tpyo'; it has: x"),
    ],
)
def test_too_few_databases_are_an_error(annotations: list[Any], requested: str, message: str) -> None:
    parameters = declare(**{f"p{i}": annotation for i, annotation in enumerate(annotations)}).data
    with pytest.raises(UnknownLabel) as caught:
        assign_databases(parameters, request(requested))
    assert caught.value.message == message
