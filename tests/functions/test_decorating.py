"""A decorated function is still that function."""

import copy
import functools
import inspect
import pickle
import typing

import pandas as pd
import pytest

from algotools import Column, locate, master, rpc
from algotools.functions import Algorithm, RegisteredFunction, registered_in
from algotools.locate import Place

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


def test_what_a_direct_call_raises_is_not_wrapped(decorated):
    with pytest.raises(KeyError, match="height"):
        decorated(FRAME, "height")


def test_name_docstring_module_signature_and_types_survive(decorated):
    assert decorated.__name__ == plain.__name__
    assert decorated.__qualname__ == plain.__qualname__
    assert decorated.__doc__ == plain.__doc__
    assert decorated.__module__ == plain.__module__
    assert decorated.__annotations__ == plain.__annotations__
    assert inspect.signature(decorated) == inspect.signature(plain)
    assert inspect.getsource(decorated) == inspect.getsource(plain)
    assert typing.get_type_hints(decorated, include_extras=True) == typing.get_type_hints(plain, include_extras=True)


def test_tools_take_it_for_a_function(decorated):
    assert callable(decorated)
    assert inspect.unwrap(decorated) is plain
    assert functools.partial(decorated, FRAME)("age") == {"sum": 12.0}


@pytest.mark.parametrize("decorator", [rpc, master])
def test_the_role_is_the_decorators(decorator):
    assert decorator(plain).role == decorator.__name__


def test_the_method_is_the_functions_own_name(decorated):
    assert decorated.method == "plain"
    assert registered_in(__name__) == {"plain": decorated}


@pytest.mark.parametrize("decorator", [rpc, master])
def test_another_name_for_the_method_leaves_the_function_its_own(decorator):
    named = decorator(name="sum_of_all")(plain)
    assert named.method == "sum_of_all"
    assert named.__name__ == "plain"
    assert list(registered_in(__name__)) == ["sum_of_all"]


def test_a_function_that_wraps_another_is_described_by_the_inner_one():
    @functools.wraps(plain)
    def timed(*args, **kwargs):
        return plain(*args, **kwargs)

    names = [p.name for p in rpc(timed).specification.parameters]
    assert names == ["data", "column", "factor"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_gives_the_same_object(survey, protocol):
    function = locate.load(locate.locate(survey)).functions["count"]
    assert pickle.loads(pickle.dumps(function, protocol)) is function


def test_a_function_with_another_method_name_is_pickled_by_its_own(survey):
    function = locate.load(locate.locate(survey)).functions["summary_of_all"]
    assert pickle.loads(pickle.dumps(function)) is function


def test_copying_gives_the_same_object(decorated):
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


def test_the_literals_are_those_of_the_functions_own_source():
    @rpc
    def sums(data: pd.DataFrame, column: Column) -> dict[str, object]:
        parts = {"upper": [data[column].max()], "both": {key: len(key) for key in ("left", "right")}}
        return {**parts, "inner": ["deep" for value in parts["upper"] if value]}

    assert {"upper", "both", "left", "right", "inner", "deep", "column"} <= sums.literals()
    assert "age" not in sums.literals()


def test_an_algorithm_is_made_of_given_functions(decorated):
    algorithm = Algorithm.of([decorated])
    assert algorithm.find("plain", "rpc") is decorated


def test_functions_of_a_notebook_are_an_algorithm(survey):
    @rpc
    def count() -> int:
        return 1

    count.__wrapped__.__module__ = "__main__"
    again = rpc(count.__wrapped__)
    assert locate.load_notebook().functions == {"count": again}


def test_a_module_of_a_package_shares_the_packages_functions(survey):
    algorithm = locate.load(Place("survey.functions", survey / "src"))
    assert set(algorithm.functions) == {"count", "summary_of_all"}
