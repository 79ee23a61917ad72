"""Values with the annotation Column or Organization are found at every depth."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Generic, NamedTuple, Optional, TypedDict, TypeVar, Union

import msgspec
import pandas as pd
import pytest

from algotools import CategoryColumn, Column, Columns, Database, NumericColumn, Organization, RunInfo
from algotools.declare.annotations import CATEGORY_COLUMN, COLUMN, NUMERIC_COLUMN, ORGANIZATION
from algotools.declare.arguments import Specification, specify
from algotools.declare.columns import list_required_kinds
from algotools.errors import ArgumentsError

if hasattr(__import__("typing"), "NotRequired"):
    from typing import NotRequired, Required
else:
    from typing_extensions import NotRequired, Required


@dataclasses.dataclass
class Regression:
    outcome: Column
    predictors: list[Column]
    note: str = "age"
    at: Organization | None = None


class Step(msgspec.Struct):
    column: Column
    models: list[Regression] = []


class Sort(TypedDict):
    by: Column
    descending: bool


class Fold(TypedDict, total=False):
    by: Required[Column]
    at: NotRequired[Organization]
    then_by: NotRequired[list[Column]]


class Ratio(NamedTuple):
    left: Column
    right: str


T = TypeVar("T")


@dataclasses.dataclass
class Container(Generic[T]):
    content: T
    items: list[T]


@dataclasses.dataclass
class Fixed:
    column: Final[Column]


def specify_argument(annotation: Any) -> Specification:
    """Return the specification of a function with one argument."""

    def function(data: pd.DataFrame, value: annotation) -> int:
        return 1

    return specify(function, "rpc")


def find_marked(annotation: Any, sent: Any) -> tuple[list[str], list[int]]:
    specification = specify_argument(annotation)
    validated = specification.validate((), {"value": sent})
    return specification.find_marked(validated, COLUMN), specification.find_marked(validated, ORGANIZATION)


MODEL = {"outcome": "a", "predictors": ["b", "c"], "note": "d", "at": 3}


@pytest.mark.parametrize(
    ("annotation", "sent", "columns", "organizations"),
    [
        (Column, "a", ["a"], []),
        (str, "a", [], []),
        (Organization, 3, [], [3]),
        (int, 3, [], []),
        (Optional[Column], None, [], []),
        (Column | None, "a", ["a"], []),
        (list[Column], ["a", "b", "a"], ["a", "b"], []),
        (Sequence[Column], ["a", "b"], ["a", "b"], []),
        (tuple[Column, ...], ["a", "b"], ["a", "b"], []),
        (tuple[str, Column, int], ["a", "b", 3], ["b"], []),
        (list[Column] | None, ["a"], ["a"], []),
        (list[Column | None], ["a", None], ["a"], []),
        (Union[Column, list[Column]], "a", ["a"], []),
        (Union[Column, list[Column]], ["a", "b"], ["a", "b"], []),
        (Union[Organization, Column], "a", ["a"], []),
        (Union[Organization, Column], 3, [], [3]),
        (Union[Organization, float], 2.5, [], []),
        (dict[Column, float], {"a": 1.0}, ["a"], []),
        (dict[str, Column], {"a": "b"}, ["b"], []),
        (Mapping[str, list[Column]], {"a": ["b", "c"]}, ["b", "c"], []),
        (dict[Organization, Column], {"3": "a", "4": "b"}, ["a", "b"], [3, 4]),
        (dict[Organization, Column] | None, {"3": "a"}, ["a"], [3]),
        (Regression, MODEL, ["a", "b", "c"], [3]),
        (Regression | None, MODEL, ["a", "b", "c"], [3]),
        (list[Regression], [MODEL, {"outcome": "e", "predictors": []}], ["a", "b", "c", "e"], [3]),
        (Step, {"column": "z", "models": [MODEL]}, ["z", "a", "b", "c"], [3]),
        (dict[str, Step], {"q": {"column": "z"}}, ["z"], []),
        (Sort, {"by": "a", "descending": True}, ["a"], []),
        (Fold, {"by": "a", "at": 3}, ["a"], [3]),
        (Fold, {"by": "a", "then_by": ["b", "c"]}, ["a", "b", "c"], []),
        (Fold, {"by": "a"}, ["a"], []),
        (Ratio, ["a", "b"], ["a"], []),
        (Fixed, {"column": "a"}, ["a"], []),
        (Container[Column], {"content": "a", "items": ["b"]}, ["a", "b"], []),
        (Container[str], {"content": "a", "items": ["b"]}, [], []),
        (Annotated[Column, msgspec.Meta(description="to add up")], "a", ["a"], []),
        (Annotated[list[Column], msgspec.Meta(max_length=2)], ["a", "b"], ["a", "b"], []),
        (Any, {"column": "a"}, [], []),
    ],
)
def test_a_marked_value_is_found(annotation, sent, columns, organizations):
    assert find_marked(annotation, sent) == (columns, organizations)


def test_the_columns_of_a_set_are_found():
    columns, _ = find_marked(set[Column], ["a", "b"])
    assert sorted(columns) == ["a", "b"]


def test_the_columns_of_all_arguments_are_unique_and_in_order():
    def function(first: Column, second: list[Column], third: str, fourth: Column = "z") -> int:
        return 1

    specification = specify(function, "rpc")
    validated = specification.validate((), {"first": "b", "second": ["a", "b"], "third": "c"})
    assert specification.find_marked(validated, COLUMN) == ["b", "a", "z"]
    validated = specification.validate((), {"first": "b", "second": [], "third": "c", "fourth": "y"})
    assert specification.find_marked(validated, COLUMN) == ["b", "y"]


def test_annotations_that_are_strings_are_resolved():
    def function(columns: "list[Column]", at: "Organization | None" = None) -> int:
        return 1

    specification = specify(function, "rpc")
    assert specification.find_marked(specification.validate((), {"columns": ["a"]}), COLUMN) == ["a"]


def test_the_annotation_determines_the_injected_value():
    def function(
        data: pd.DataFrame,
        raw: Database,
        register: Annotated[pd.DataFrame, Database("register"), Columns.of("sex")],
        all_of: Annotated[pd.DataFrame, Columns.all()],
        info: RunInfo,
        limit: int,
    ) -> int:
        return 1

    specification = specify(function, "rpc")
    assert [(p.name, p.form, p.label, p.columns.names) for p in specification.data] == [
        ("data", "pandas", None, ()),
        ("raw", "database", None, ()),
        ("register", "pandas", "register", ("sex",)),
        ("all_of", "pandas", None, None),
    ]
    assert specification.injects("run_info")
    assert not specification.injects("client")
    assert [p.name for p in specification.arguments] == ["limit"]


def test_kinds_of_columns_are_columns_at_every_depth() -> None:
    @dataclasses.dataclass
    class Model:
        outcome: NumericColumn
        groups: dict[CategoryColumn, list[NumericColumn]]

    def fit(data: pd.DataFrame, model: Model, other: Column, by: CategoryColumn | None = None) -> int:
        return 0

    fit.__annotations__["model"] = Model
    specification = specify(fit, "rpc")
    model = {"outcome": "age", "groups": {"sex": ["bmi", "age"]}}
    arguments = specification.validate((), {"model": model, "other": "sex", "by": "town"})
    assert sorted(specification.find_marked(arguments, COLUMN)) == ["age", "bmi", "sex", "town"]
    assert specification.find_marked(arguments, NUMERIC_COLUMN) == ["age", "bmi"]
    assert specification.find_marked(arguments, CATEGORY_COLUMN) == ["sex", "town"]
    required = list_required_kinds(specification, arguments)
    assert required == [("age", "numeric"), ("bmi", "numeric"), ("sex", "category"), ("town", "category")]


def test_an_error_about_an_argument_names_the_kind_of_column() -> None:
    def fit(data: pd.DataFrame, value: NumericColumn, by: list[CategoryColumn]) -> int:
        return 0

    with pytest.raises(ArgumentsError, match=r"takes value: NumericColumn, by: list\[CategoryColumn\]"):
        specify(fit, "rpc").validate((), {"value": 1})
