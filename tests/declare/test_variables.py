"""Node variables: declared in a signature, converted from texts, and never arguments of a task."""

import datetime
import decimal
import enum
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pandas as pd
import pytest
from annotated_types import Ge
from hypothesis import given
from hypothesis import strategies as st

from algotools import Column, NodeVariable, RunInfo, rpc
from algotools.declare.arguments import Specification, specify
from algotools.declare.description import describe
from algotools.declare.functions import Algorithm
from algotools.declare.variables import RESERVED, read_variables
from algotools.errors import ArgumentsError, DeclarationError, NodeVariableError
from algotools.runtime.contract import v3, v4, v5


class Site(enum.Enum):
    NORTH = "north"
    SOUTH = "south"


def specify_variable(annotation: Any, *default: Any) -> Specification:
    """Return the specification of a function with one node variable ``X``."""

    def function(value: Annotated[annotation, NodeVariable("X")]) -> int:
        return 1

    if default:
        function.__defaults__ = default
    return specify(function, "rpc")


def convert(text: str, annotation: Any) -> Any:
    return read_variables(specify_variable(annotation).variables, {"X": text})["value"]


def refuse(function: Callable[..., Any]) -> str:
    with pytest.raises(DeclarationError) as refused:
        rpc(function)
    return refused.value.message


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int, " 10 ", 10),
        (int, "-3", -3),
        (float, "0.5", 0.5),
        (float, "3", 3.0),
        (float, "1e-6", 1e-6),
        (decimal.Decimal, " 1.10 ", decimal.Decimal("1.10")),
        (tuple[str, decimal.Decimal], '["NaN", "1.5"]', ("NaN", decimal.Decimal("1.5"))),
        (bool, "true", True),
        (bool, "Yes", True),
        (bool, "0", False),
        (bool, "off", False),
        (str, "  unchanged ", "  unchanged "),
        (str, "", ""),
        (Literal["a", "b"], "b", "b"),
        (Literal[1, 2], "2", 2),
        (Site, "south", Site.SOUTH),
        (Path, "/data/codes.csv", Path("/data/codes.csv")),
        (datetime.date, "2024-02-29", datetime.date(2024, 2, 29)),
        (list[str], "age, sex", ["age", "sex"]),
        (list[str], '["a, b", "c"]', ["a, b", "c"]),
        (list[str], "", []),
        (list[int], "2,3", [2, 3]),
        (list[Path], "/a, /b", [Path("/a"), Path("/b")]),
        (list[Site], "north,south", [Site.NORTH, Site.SOUTH]),
        (tuple[int, str], "2, b", (2, "b")),
        (frozenset[int], "[2, 2]", frozenset({2})),
        (int | None, "", None),
        (int | None, "4", 4),
        (list[int] | None, "", None),
        (int | str, "4", 4),
        (str | int, "four", "four"),
        (Path | None, "/a", Path("/a")),
    ],
)
def test_a_text_becomes_a_value_of_the_type(annotation: Any, text: str, value: Any) -> None:
    converted = convert(text, annotation)
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("annotation", "text", "reason"),
    [
        (int, "SECRET", "expected int"),
        (int, "", "expected int"),
        (int, "1.0", "expected int"),
        (float, "nan", "expected float"),
        (float, "0x7", "expected float"),
        (float, "1e400", "expected float"),
        (list[float], "[0.5, 1e400]", "expected list[float]"),
        (list[float], "[NaN]", "expected list[float]"),
        (decimal.Decimal, "NaN", "expected Decimal"),
        (decimal.Decimal, "Infinity", "expected Decimal"),
        (decimal.Decimal, "1_000", "expected Decimal"),
        (decimal.Decimal, "١٢", "expected Decimal"),
        (list[decimal.Decimal], '["1_000"]', "expected list[Decimal]"),
        (bool, "SECRET", "expected bool"),
        (Literal["a", "b"], "SECRET", "expected 'a' | 'b'"),
        (Site, "SECRET", "expected 'north' | 'south'"),
        (datetime.date, "SECRET", "date"),
        (list[int], "1, SECRET", "expected list[int]"),
        (list[int], '["SECRET"]', "expected int, got str at [0]"),
        (list[int], "[SECRET", "expected list[int]"),
        (tuple[int, int], "7", "expected tuple[int, int]"),
        (Annotated[int, msgspec.Meta(ge=8)], "7", "expected int >= 8"),
        (Annotated[int, Ge(8)], "7", "expected int >= 8"),
        (list[Annotated[int, Ge(8)]], "9, 7", "expected int >= 8 at [1]"),
        (Annotated[list[str], msgspec.Meta(min_length=1)], "", "expected array of length >= 1"),
        (Annotated[str, msgspec.Meta(pattern="^[a-z]+$")], "SECRET", "matching regex"),
    ],
)
def test_a_malformed_text_is_refused_without_its_value(annotation: Any, text: str, reason: str) -> None:
    with pytest.raises(NodeVariableError) as refused:
        convert(text, annotation)
    assert "the node variable X is malformed" in refused.value.message
    assert reason in refused.value.message
    assert "node's owner" in refused.value.message
    assert "SECRET" not in refused.value.message
    assert "7" not in refused.value.message
    assert refused.value.detail == f"X={text!r}"


@given(st.lists(st.text()))
def test_a_list_as_json_is_the_same_list(items: list[str]) -> None:
    assert convert(json.dumps(items), list[str]) == items


@given(st.lists(st.integers()))
def test_a_list_with_commas_is_the_same_list(items: list[int]) -> None:
    assert convert(",".join(map(str, items)), list[int]) == items


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_number_is_the_same_number(number: float) -> None:
    assert convert(repr(number), float) == number


def test_a_missing_variable_is_named_unless_it_has_a_default() -> None:
    with pytest.raises(NodeVariableError, match=r"node variable X \(int\) is not set.*node's owner"):
        read_variables(specify_variable(int).variables, {"Y": "1"})
    assert read_variables(specify_variable(int, 5).variables, {}) == {"value": 5}
    assert read_variables(specify_variable(int, 5).variables, {"X": "6"}) == {"value": 6}


def test_all_missing_and_malformed_variables_are_reported_together() -> None:
    def function(a: Annotated[int, NodeVariable("A")], b: Annotated[int, NodeVariable("B")]) -> int:
        return a + b

    with pytest.raises(NodeVariableError, match=r"variable A .* is not set; the node variable B is malformed"):
        read_variables(specify(function, "rpc").variables, {"B": "x"})


def test_a_task_cannot_send_the_value() -> None:
    def function(data: pd.DataFrame, column: str, minimum: Annotated[int, NodeVariable("MINIMUM_ROWS")] = 1) -> int:
        return 1

    specification = specify(function, "rpc")
    assert [p.name for p in specification.arguments] == ["column"]
    assert list(specification.schema()["properties"]) == ["column"]  # type: ignore[call-overload]  # a JSON object
    with pytest.raises(
        ArgumentsError, match=r"minimum: only the node's owner sets it, with the node variable MINIMUM_ROWS"
    ):
        specification.validate((), {"column": "age", "minimum": 0})
    with pytest.raises(ArgumentsError, match="takes 1"):
        specification.validate(("age", 0), {})


def test_a_plain_call_takes_the_value_as_a_parameter() -> None:
    @rpc
    def count(data: pd.DataFrame, minimum: Annotated[int, NodeVariable("MINIMUM_ROWS")] = 10) -> int:
        return len(data) if len(data) >= minimum else 0

    frame = pd.DataFrame({"age": [1, 2, 3]})
    assert count(frame, minimum=3) == 3
    assert count(frame) == 0


def test_the_description_has_variables_beside_arguments() -> None:
    @rpc
    def count(
        data: pd.DataFrame,
        column: Column,
        minimum: Annotated[int, msgspec.Meta(ge=1), NodeVariable("MINIMUM_ROWS")] = 10,
        site: Annotated[Site | None, NodeVariable("SITE")] = None,
        codes: Annotated[Path, NodeVariable("CODES")] = Path("/codes"),
        *,
        key: Annotated[str, NodeVariable("KEY")],
    ) -> int:
        """Count rows.

        Args:
            data: the table.
            column: the column.
            minimum: the fewest rows.
            site: the site.
            codes: the codes.
            key: the key.
        """
        return 1

    described = describe(Algorithm.from_functions([count]))["functions"][0]
    assert list(described["arguments"]["properties"]) == ["column"]
    minimum, site, codes, key = described["variables"]
    assert minimum == {
        "name": "MINIMUM_ROWS",
        "parameter": "minimum",
        "type": "int",
        "required": False,
        "schema": {"type": "integer", "minimum": 1, "default": 10, "description": "the fewest rows."},
    }
    assert site["schema"]["$defs"]["Site"]["enum"] == ["north", "south"]
    assert codes["schema"] == {"type": "string", "format": "path", "default": "/codes", "description": "the codes."}
    assert (key["name"], key["required"]) == ("KEY", True)


def test_the_variables_of_the_contracts_are_reserved() -> None:
    contract_variables = {*v3.VARIABLES, *v4.VARIABLES, *v5.VARIABLES, v5.TOKEN}
    assert contract_variables == RESERVED


@pytest.mark.parametrize("name", ["", "1X", "A-B", "A B", "Ä", "INPUT_FILE", "PATH", "PYTHONPATH", "ALGOTOOLS_DEBUG",
                                  "ALGOTOOLS_POLICY", "X_DATABASE_URI", "KUBERNETES_X"])  # fmt: skip
def test_a_name_that_no_owner_can_set_is_refused(name: str) -> None:
    def function(value: Annotated[int, NodeVariable(name)]) -> int:
        return value

    assert "function: parameter value: " in refuse(function)


@pytest.mark.parametrize("annotation", [dict[str, int], list[list[int]], bytes, Column, list[Column], pd.DataFrame,
                                        RunInfo | None])  # fmt: skip
def test_a_type_without_a_text_is_refused(annotation: Any) -> None:
    def function(value: Annotated[annotation, NodeVariable("X")]) -> int:
        return 1

    assert "parameter value: " in refuse(function)


@pytest.mark.parametrize(
    ("annotation", "default"), [(int, "5"), (int, None), (Annotated[int, Ge(3)], 2), (Path, 5), (list[str], "a")]
)
def test_a_default_of_the_wrong_type_is_refused(annotation: Any, default: Any) -> None:
    def function(value: Annotated[annotation, NodeVariable("X")] = default) -> int:
        return 1

    assert "parameter value: the default is not of type" in refuse(function)


def test_a_bound_of_another_type_is_refused() -> None:
    def function(value: Annotated[str, msgspec.Meta(ge=1), NodeVariable("X")]) -> int:
        return 1

    assert "parameter value: " in refuse(function)


def test_a_variable_inside_a_type_is_refused() -> None:
    def function(value: Annotated[int, NodeVariable("X")] | None = None) -> int:
        return 1

    assert "NodeVariable belongs to the whole annotation" in refuse(function)


def test_two_variables_in_one_annotation_are_refused() -> None:
    def function(value: Annotated[int, NodeVariable("X"), NodeVariable("Y")]) -> int:
        return 1

    assert "two node variables" in refuse(function)


def test_two_types_of_one_variable_are_refused() -> None:
    def function(a: Annotated[int, NodeVariable("X")], b: Annotated[str, NodeVariable("X")]) -> int:
        return 1

    message = "the parameters a and b give the node variable X two types (int and str)"
    assert message in refuse(function)


def test_an_extraction_step_refuses_a_wrong_declaration_too() -> None:
    def function(source: pd.DataFrame, value: Annotated[int, NodeVariable("1X")]) -> int:
        return 1

    with pytest.raises(DeclarationError, match="parameter value"):
        rpc(step="data_extraction")(function)


def test_run_info_has_defaults_for_tests() -> None:
    assert RunInfo().variables == {}
    assert RunInfo(variables={"MINIMUM_ROWS": "5"}).variables["MINIMUM_ROWS"] == "5"


def test_run_info_has_an_own_temporary_folder_in_tests_until_the_process_exits() -> None:
    code = (
        "import os; from algotools import RunInfo; first, second = RunInfo(), RunInfo()\n"
        "(first.temporary_folder / 'x').write_text('1')\n"
        "if os.fork() == 0: raise SystemExit  # a forked process does not remove it\n"
        "os.wait(); print((first.temporary_folder / 'x').read_text(), *os.listdir(second.temporary_folder))\n"
        "print(first.temporary_folder, second.temporary_folder)"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    content, folders = completed.stdout.splitlines()
    assert content == "1"
    assert [Path(folder).exists() for folder in folders.split()] == [False, False]
