"""Errors of the author's code: which names and texts a researcher can read."""

import enum
import types
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest

from algotools import Column, Federation, RunsFailed, UserError, aggregate, rpc
from algotools.data import load
from algotools.errors import CODES, AlgotoolsError, DatabaseUnreadable
from algotools.payload import encode_plain
from algotools.task import Database

SECRET = f"Jane-Doe-{4700 + 11}"  # not a constant of the source
FRAME = pd.DataFrame({"name": [SECRET], "age": [51]})


class Kind(enum.Enum):
    TEXTS = "texts"


class NotFit(UserError):
    text = "{count} values of {column} are {kind}, not {wanted} ({share:.0%}): {reason}"
    count: int
    column: Column
    kind: Kind
    wanted: Literal["numbers", "dates"]
    share: float
    reason: str


def make_error(**changed: object) -> NotFit:
    fields = {
        "count": np.int64(2),
        "column": "age",
        "kind": Kind.TEXTS,
        "wanted": "numbers",
        "share": 1,
        "reason": "constant",
    }
    return NotFit(**{**fields, **changed})


def read_failure(function: Callable[..., object], **arguments: object) -> tuple[int, str]:
    """Return the code and the message that the researcher reads, and check that the owner reads more."""
    with Federation([FRAME], algorithm=[function]) as federation, pytest.raises(RunsFailed) as caught:
        federation.run(function, **arguments)
    (failure,) = caught.value.failures.values()
    return failure.exit_code, failure.message


@rpc
def raise_with_fields(data: pd.DataFrame, column: Column, field: str) -> int:
    value = data["name"].iloc[0]
    match field:
        case "none":
            raise make_error()
        case "reason" | "column":
            raise make_error(**{field: value})
        case "changed":
            error = make_error()
            error.message = error.args = value
            raise error
        case "attribute":
            error = make_error()
            error.reason = value
            raise error
        case "computed":
            raise make_error(reason="con" + "stant"[:2] + str(len(value)))
    raise make_error(reason=field)


class Overridden(UserError):
    text = "constant"

    def failure(self):
        raise ValueError(SECRET)

    def __str__(self) -> str:
        return SECRET


@rpc
def raise_overridden(data: pd.DataFrame, column: Column) -> int:
    raise Overridden


EXPECTED = "2 values of age are texts, not numbers (100%): "


@pytest.mark.parametrize(
    ("field", "message"), [("none", "constant"), ("changed", "constant"), ("a task's text", "a task's text")]
)
def test_a_field_may_hold_texts_of_the_task_and_of_the_source(field, message):
    assert read_failure(raise_with_fields, column="name", field=field) == (41, EXPECTED + message)


@pytest.mark.parametrize("field", ["reason", "attribute", "computed"])
def test_a_field_with_another_text_is_not_shown(field):
    code, text = read_failure(raise_with_fields, column="name", field=field)
    assert code == 40
    assert text.startswith("NotFit in raise_with_fields at test_public_messages.py, line ")
    assert text.endswith("without its text: the text in field reason is neither in the task nor in the source")


def test_methods_of_an_error_are_not_called():
    assert read_failure(raise_overridden, column="age") == (41, "constant")


@pytest.mark.parametrize(
    "changed",
    [
        {"count": 1.5},
        {"count": True},
        {"count": "2"},
        {"wanted": "texts"},
        {"kind": "texts"},
        {"share": "all"},
        {"reason": 1},
        {"reason": None},
    ],
)  # fmt: skip
def test_a_field_has_the_declared_type(changed):
    (name,) = changed
    with pytest.raises(TypeError, match=f"field {name} of NotFit must be ") as caught:
        make_error(**changed)
    assert "'texts'" not in str(caught.value).partition(", not")[2]


@pytest.mark.parametrize("kind", [kind for _, kind in sorted(CODES.items()) if kind is not UserError])
def test_no_error_of_algotools_carries_a_text_of_the_author(kind: type[AlgotoolsError]):
    def leak(data: pd.DataFrame, column: Column) -> int:
        raise kind(data["name"].iloc[0])

    code, message = read_failure(rpc(leak), column="name")
    assert code in (40, 49)
    assert SECRET not in message


def compile_data(name: str) -> None:
    compile("(", f"/data/{name}.xml", "exec")


@rpc
def raise_syntax_error(data: pd.DataFrame, column: Column) -> int:
    compile_data(data["name"].iloc[0])
    return 1


@rpc
def raise_in_compiled_code(data: pd.DataFrame, column: Column) -> int:
    exec(compile("1 / 0", str(Path(__file__).with_name(f"{data['name'].iloc[0]}.py")), "exec"))
    return 1


@rpc
def raise_made_class(data: pd.DataFrame, column: Column) -> int:
    raise type(data["name"].iloc[0], (ArithmeticError,), {})


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (raise_syntax_error, "SyntaxError"),
        (raise_in_compiled_code, "ZeroDivisionError"),
        (raise_made_class, "ArithmeticError"),
    ],
)
def test_only_the_source_of_the_algorithm_is_named(function, name):
    code, message = read_failure(function, column="name")
    assert code == 40
    assert message.startswith(f"{name} in {function.method} at test_public_messages.py, line ")
    assert SECRET not in message


@pytest.mark.parametrize("path", ["/", "/none/output", "/dev/null/output"])
def test_an_error_does_not_show_whether_a_file_exists(path):
    @rpc
    def open_file(path: str) -> int:
        with open(path, "wb"):
            return 1

    code, message = read_failure(open_file, path=path)
    assert code == 40
    assert message.startswith("OSError in open_file at test_public_messages.py, line ")


class Reassigned(UserError):
    text = "constant"


@rpc
def raise_made_user_error(data: pd.DataFrame, column: Column, way: str) -> int:
    value = data["name"].iloc[0]
    kind = enum.Enum("Kind", {"a": value})
    match way:
        case "text":
            raise type("Made", (UserError,), {"text": f"the value is {value}"})
        case "changed text":
            Reassigned.text = value
            raise Reassigned
        case "literal":
            error_class = type("Made", (UserError,), {"text": "{kind}", "__annotations__": {"kind": Literal[value]}})
            raise error_class(kind=value)
    raise type("Made", (UserError,), {"text": "{kind}", "__annotations__": {"kind": kind}})(kind=kind.a)


@pytest.mark.parametrize("way", ["text", "changed text", "literal", "enum"])
def test_a_class_that_a_function_makes_has_no_constants(way):
    code, message = read_failure(raise_made_user_error, column="name", way=way)
    assert code == 40
    assert SECRET not in message


@rpc
def call_own_functions(data: pd.DataFrame, column: Column, way: str) -> object:
    value = data["name"].iloc[0]
    match way:
        case "load":
            return load(Database(value, f"/nothing/{value}", "csv"), "pandas", None)
        case "declare":
            return rpc(type(value, (), {}))
        case "change":
            try:
                load(Database("default", "/nothing/x", "csv"), "pandas", None)
            except DatabaseUnreadable as error:
                error.message = value
                raise
    return encode_plain({value: {value}, "way": type(value, (), {})()})


@pytest.mark.parametrize("way", ["load", "declare", "change", "encode"])
def test_a_call_of_our_functions_does_not_name_its_arguments(way):
    code, message = read_failure(call_own_functions, column="name", way=way)
    assert code == 40
    assert SECRET not in message


class RevealingList(list):
    def __iter__(self):
        raise KeyboardInterrupt(self[0])


@rpc
def return_or_raise(data: pd.DataFrame, column: Column, way: str) -> object:
    value = data["name"].iloc[0]
    match way:
        case "object":
            return {"a": type(value, (), {})()}
        case "list":
            return RevealingList([value, value])
        case "circle":
            first, second = ValueError(value), KeyError(value)
            first.__cause__, second.__cause__ = second, first
            raise first
    raise KeyboardInterrupt(value)


@pytest.mark.parametrize(
    ("way", "code", "message"),
    [
        ("object", 42, "result['a']: a value of type object has no JSON form"),
        ("list", 40, "KeyboardInterrupt in the result of return_or_raise at test_public_messages.py, line "),
        ("circle", 40, "ValueError in return_or_raise at test_public_messages.py, line "),
        ("interrupt", 40, "KeyboardInterrupt in return_or_raise at test_public_messages.py, line "),
    ],
)
def test_an_object_of_the_author_is_not_a_fault_of_ours(way, code, message):
    actual = read_failure(return_or_raise, column="name", way=way)
    assert actual[0] == code
    assert actual[1].startswith(message)
    assert SECRET not in actual[1]


@rpc
def fail_in_a_made_line(data: pd.DataFrame, column: Column, way: str) -> object:
    line = int(data["age"].iloc[0]) + 90_000
    source = "\n" * (line - 1) + "def fail(values): raise ValueError(aggregate.sum(values))\n"
    match way:
        case "compile":
            namespace = {"aggregate": aggregate}
            exec(compile(source, __file__, "exec"), namespace)
            return namespace["fail"](data["age"])
        case "reduction":
            namespace = {"aggregate": aggregate}
            exec(compile(source, __file__, "exec"), namespace)
            return namespace["fail"]("a text")
        case "replace":
            code = make_error.__code__.replace(co_firstlineno=line, co_name="make_error")
            return types.FunctionType(code, {})()
        case "other lines":
            code = (lambda: {}[1]).__code__
            start = code.co_firstlineno
            code = compile("\n" * (line - 1) + "{}[1]", __file__, "exec").replace(
                co_firstlineno=start, co_name="<lambda>"
            )
            exec(code, {})
    raise SyntaxError("", (__file__, line, 1, ""))


@pytest.mark.parametrize("way", ["compile", "reduction", "replace", "other lines", "syntax error"])
def test_a_line_that_the_source_does_not_have_is_not_named(way):
    code, message = read_failure(fail_in_a_made_line, column="age", way=way)
    assert code == (58 if way == "reduction" else 40)
    assert "900" not in message
    if way == "reduction":
        assert message.startswith("the value of aggregate.sum in generated code")
