"""A decorated function behaves like the undecorated function."""

import copy
import functools
import inspect
import pickle
import typing

import pandas as pd
import pytest

from algotools import Column, master, rpc
from algotools.declare import locate
from algotools.declare.description import describe
from algotools.declare.functions import Algorithm, RegisteredFunction, get_registered_functions
from algotools.declare.locate import Location

FRAME = pd.DataFrame({"age": [1, 2, 3]})


def plain(data: pd.DataFrame, column: Column, factor: float = 2.0, /) -> dict[str, float]:
    """Sum of a column, times a factor."""
    return {"sum": float(data[column].sum()) * factor}


@pytest.fixture(params=[rpc, rpc()], ids=["bare", "with parentheses"])
def decorated(request: pytest.FixtureRequest) -> RegisteredFunction:
    return request.param(plain)


def test_a_decorated_function_is_called_directly(decorated):
    assert decorated(FRAME, "age") == {"sum": 12.0}
    assert decorated(FRAME, "age", 1.5) == {"sum": 9.0}


def test_a_direct_call_does_not_wrap_exceptions(decorated):
    with pytest.raises(KeyError, match="height"):
        decorated(FRAME, "height")


def test_the_metadata_of_the_function_is_preserved(decorated):
    assert decorated.__name__ == plain.__name__
    assert decorated.__qualname__ == plain.__qualname__
    assert decorated.__doc__ == plain.__doc__
    assert decorated.__module__ == plain.__module__
    assert decorated.__annotations__ == plain.__annotations__
    assert inspect.signature(decorated) == inspect.signature(plain)
    assert inspect.getsource(decorated) == inspect.getsource(plain)
    assert typing.get_type_hints(decorated, include_extras=True) == typing.get_type_hints(plain, include_extras=True)


def test_the_standard_library_accepts_a_decorated_function(decorated):
    assert callable(decorated)
    assert inspect.unwrap(decorated) is plain
    assert functools.partial(decorated, FRAME)("age") == {"sum": 12.0}


@pytest.mark.parametrize("decorator", [rpc, master])
def test_the_decorator_determines_the_role(decorator):
    assert decorator(plain).role == decorator.__name__


def test_the_default_method_name_is_the_name_of_the_function(decorated):
    assert decorated.method == "plain"
    assert get_registered_functions(__name__) == {"plain": decorated}


@pytest.mark.parametrize("decorator", [rpc, master])
def test_a_method_name_does_not_rename_the_function(decorator):
    function = decorator(name="sum_of_all")(plain)
    assert function.method == "sum_of_all"
    assert function.__name__ == "plain"
    assert list(get_registered_functions(__name__)) == ["sum_of_all"]


def test_the_author_can_require_more_rows_than_the_node():
    assert rpc(plain).minimum_rows is None
    assert rpc(minimum_rows=10)(plain).minimum_rows == 10
    description = describe(Algorithm.from_functions([rpc(minimum_rows=10)(plain)]))
    assert description["functions"][0]["minimum_rows"] == 10
    assert "minimum_rows" not in describe(Algorithm.from_functions([rpc(plain)]))["functions"][0]


def test_only_an_rpc_can_be_internal():
    assert rpc(plain).standalone
    internal = rpc(standalone=False)(plain)
    assert not internal.standalone
    assert describe(Algorithm.from_functions([internal]))["functions"][0]["standalone"] is False
    with pytest.raises(TypeError, match="unexpected keyword argument 'standalone'"):
        master(standalone=False)  # type: ignore[call-overload]


def test_a_wrapper_has_the_signature_of_the_wrapped_function():
    @functools.wraps(plain)
    def timed(*args, **kwargs):
        return plain(*args, **kwargs)

    names = [p.name for p in rpc(timed).specification.parameters]
    assert names == ["data", "column", "factor"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_returns_the_same_object(survey, protocol):
    function = locate.load(locate.locate(survey)).functions["count"]
    assert pickle.loads(pickle.dumps(function, protocol)) is function


def test_pickling_uses_the_name_of_the_function(survey):
    function = locate.load(locate.locate(survey)).functions["summary_of_all"]
    assert pickle.loads(pickle.dumps(function)) is function


def test_copying_returns_the_same_object(decorated):
    assert copy.copy(decorated) is decorated
    assert copy.deepcopy({"functions": [decorated]})["functions"][0] is decorated


def test_annotations_may_be_strings(survey):
    algorithm = locate.load(locate.locate(survey))
    specification = algorithm.functions["count"].specification
    assert [(p.name, p.kind) for p in specification.parameters] == [
        ("data", "data"),
        ("visits", "data"),
        ("groups", "argument"),
        ("unit", "argument"),
        ("at_most", "argument"),
    ]


def test_a_decorated_function_with_string_annotations_is_called_directly(survey):
    locate.load(locate.locate(survey))
    from survey import count
    from survey.functions import Group, Unit

    groups = [Group("sex", ["m ", "f"])]
    frame = pd.DataFrame({"sex": ["m", "f", "f"]})
    assert count(frame, frame, groups, at_most=2) == {"f/m": 2}
    assert count(frame, frame.head(1), groups, Unit.VISITS) == {"f/m": 0}


def test_literals_come_from_the_source_of_the_function():
    @rpc
    def sums(data: pd.DataFrame, column: Column) -> dict[str, object]:
        parts = {"upper": [data[column].max()], "both": {key: len(key) for key in ("left", "right")}}
        return {**parts, "inner": ["deep" for value in parts["upper"] if value]}

    assert {"upper", "both", "left", "right", "inner", "deep", "column"} <= sums.collect_literals()
    assert "age" not in sums.collect_literals()


def test_an_algorithm_can_be_created_from_functions(decorated):
    algorithm = Algorithm.from_functions([decorated])
    assert algorithm.find("plain", "rpc") is decorated


def test_the_functions_of_a_notebook_form_an_algorithm(survey):
    @rpc
    def count() -> int:
        return 1

    count.__wrapped__.__module__ = "__main__"
    again = rpc(count.__wrapped__)
    assert locate.load_notebook().functions == {"count": again}


def test_a_module_has_all_functions_of_its_package(survey):
    algorithm = locate.load(Location("survey.functions", survey / "src"))
    assert set(algorithm.functions) == {"count", "summary_of_all"}
