"""What cannot work is refused when it is declared, with a message that says what to do."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, Optional

import msgspec
import pandas as pd
import pytest

from algotools import AlgorithmClient, Column, Database, RunInfo, locate, master, rpc
from algotools.errors import DeclarationError
from algotools.functions import Algorithm, registered_in


def refusal(decorator: Callable[..., Any], function: Any) -> str:
    with pytest.raises(DeclarationError) as refused:
        decorator(function)
    return str(refused.value)


@pytest.fixture(params=[rpc, master])
def decorator(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return request.param


def test_a_function_that_is_decorated_already(decorator):
    @rpc
    def count() -> int:
        return 1

    assert "count is decorated twice; it is an rpc already" in refusal(decorator, count)


def test_arguments_without_names(decorator):
    def count(*columns: str) -> int:
        return len(columns)

    def total(**columns: str) -> int:
        return len(columns)

    assert refusal(decorator, count).endswith("*columns takes anything; name and annotate each argument")
    assert refusal(decorator, total).endswith("**columns takes anything; name and annotate each argument")


def test_a_parameter_without_an_annotation(decorator):
    def count(data: pd.DataFrame, limit) -> int:
        return min(len(data), limit)

    message = refusal(decorator, count)
    assert "parameter limit has no annotation" in message
    assert "`int`" in message


IMPOSSIBLE = {
    "object": object,
    "Series": pd.Series,
    "set[DataFrame]": set[pd.DataFrame],
    "Callable": Callable,
    "Callable[[int], int]": Callable[[int], int],
    "complex": complex,
    "list[AlgorithmClient]": list[AlgorithmClient],
    "DataFrame | None": pd.DataFrame | None,
}


@pytest.mark.parametrize("annotation", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_annotation_that_has_no_json_form(decorator, annotation):
    def count(value: annotation) -> int:
        return 1

    message = refusal(decorator, count)
    assert "parameter value" in message
    assert "no possible JSON form" in message
    assert "use numbers, texts, lists, dicts, dataclasses or enums" in message


def test_an_annotation_that_has_no_json_form_is_refused_at_load_if_it_is_a_string(decorator):
    def count(value: "complex") -> int:
        return 1

    declared = decorator(count)
    with pytest.raises(DeclarationError, match="parameter value: complex has no possible JSON form"):
        _ = declared.specification


@pytest.mark.parametrize("annotation", [Literal["a", "b"], Annotated[int, "how many"]])
def test_a_text_that_is_no_reference_does_not_put_off_the_refusal(decorator, annotation):
    def count(value: annotation = "c") -> int:
        return 1

    assert "parameter value: its default is not" in refusal(decorator, count)


def test_a_default_of_another_type(decorator):
    def count(limit: int = None) -> int:  # noqa: RUF013 - the point
        return limit

    def total(limit: "int" = None) -> int:  # noqa: RUF013
        return limit

    told = "parameter limit: its default is not int; mend the default, or widen the annotation (`| None`)"
    assert told in refusal(decorator, count)
    with pytest.raises(DeclarationError) as refused:
        _ = decorator(total).specification
    assert told in str(refused.value)


def test_an_injected_parameter_may_have_a_default(decorator):
    def count(data: pd.DataFrame = None, info: RunInfo = None) -> int:
        return 1

    assert [p.kind for p in decorator(count).specification.parameters] == ["data", "run_info"]


async def coroutine() -> int:
    return 1


def generator():
    yield 1


async def asynchronous_generator():
    yield 1


@pytest.mark.parametrize("function", [coroutine, generator, asynchronous_generator])
def test_a_function_that_does_not_simply_return(decorator, function):
    assert "write a plain function, neither `async` nor with `yield`" in refusal(decorator, function)


@pytest.mark.parametrize("thing", [int, print, type("Thing", (), {"__call__": lambda self: 1})()])
def test_what_is_no_function(decorator, thing):
    assert "decorate a function" in refusal(decorator, thing)


def test_a_name_that_is_not_given_by_keyword(decorator):
    message = refusal(decorator, "sum_of_all")
    assert f"@{decorator.__name__}(name=...)" in message


def test_an_rpc_that_asks_for_the_client():
    def count(client: AlgorithmClient) -> int:
        return 1

    message = refusal(rpc, count)
    assert "an rpc works on one node's data" in message
    assert "make it a @master, or drop the parameter" in message
    assert master(count).specification.injects("client")


def test_a_step_that_there_is_none_of():
    with pytest.raises(DeclarationError) as refused:
        rpc(step="extraction")
    assert str(refused.value) == ("there is no step 'extraction'; there are compute, data_extraction, preprocessing")


def test_a_master_has_no_step():
    with pytest.raises(TypeError, match="step"):
        master(step="preprocessing")


def without(number: int) -> pd.DataFrame:
    return pd.DataFrame({"x": [number]})


def with_two(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    return one


def with_both(data: pd.DataFrame, source: Database) -> pd.DataFrame:
    return data


@pytest.mark.parametrize("function", [without, with_two, with_both])
@pytest.mark.parametrize(
    ("step", "says"),
    [
        (
            "data_extraction",
            "it must take the one database to extract a table from: `source: Database`, or a DataFrame",
        ),
        ("preprocessing", "it must take the one table that another is made of: `data: pd.DataFrame`"),
    ],
)
def test_a_step_that_makes_a_table_of_other_than_one(function, step, says):
    declared = rpc(step=step)(function)
    with pytest.raises(DeclarationError) as refused:
        _ = declared.specification
    assert str(refused.value) == f"{function.__name__}: {says}"


@pytest.mark.parametrize("step", ["data_extraction", "preprocessing"])
def test_a_step_that_asks_for_the_client(step):
    def prepare(data: pd.DataFrame, client: AlgorithmClient) -> pd.DataFrame:
        return data

    assert "make it a @master, or drop the parameter" in refusal(rpc(step=step), prepare)


@pytest.mark.parametrize("second", [rpc, master])
def test_two_functions_of_one_name(second):
    def count(data: pd.DataFrame) -> int:
        return len(data)

    def total(data: pd.DataFrame) -> int:
        return len(data)

    first = rpc(count)
    message = refusal(second(name="count"), total)
    assert "two functions are called 'count'" in message
    assert count.__qualname__ in message
    assert total.__qualname__ in message
    assert "name=" in message
    assert registered_in(__name__) == {"count": first}


def test_a_refused_second_name_leaves_the_function_under_its_first():
    def count() -> int:
        return 1

    def total() -> int:
        return 2

    before = {"count": rpc(count), "total": rpc(total)}
    refusal(rpc(name="total"), count)
    assert registered_in(__name__) == before


def test_the_same_function_again_replaces_it():
    def declare(result: int):
        @rpc
        def count() -> int:
            return result

        return count

    declare(1)
    second = declare(2)
    assert registered_in(__name__) == {"count": second}
    assert registered_in(__name__)["count"]() == 2


def test_the_same_function_under_another_name_is_called_by_that_alone():
    def declare(name: str):
        @rpc(name=name)
        def count() -> int:
            return 1

        return count

    declare("first")
    second = declare("second")
    assert registered_in(__name__) == {"second": second}


def test_packages_do_not_share_names():
    def count() -> int:
        return 1

    def total() -> int:
        return 2

    count.__module__, total.__module__ = "one_package.inner", "another_package"
    first, second = rpc(count), rpc(name="count")(total)
    assert registered_in("one_package") == {"count": first}
    assert registered_in("another_package.inner") == {"count": second}


def test_a_hidden_import_is_refused_at_load(survey):
    with pytest.raises(DeclarationError) as refused:
        locate.load(locate.locate(survey.parent / "hides_an_annotation"))
    message = str(refused.value)
    assert message.startswith("count: ")
    assert "'DataFrame'" in message
    assert "`if TYPE_CHECKING:`" in message
    assert "import it at the top of the module instead" in message


def test_a_hidden_import_in_the_field_of_a_class_is_refused_at_load():
    import dataclasses

    @dataclasses.dataclass
    class Settings:
        limit: "Hidden"  # noqa: F821 - the point

    @rpc
    def count(settings: Settings) -> int:
        return 1

    with pytest.raises(DeclarationError, match="'Hidden' cannot be resolved"):
        _ = count.specification


class Later(msgspec.Struct):
    limit: int


def test_a_reference_to_what_is_declared_later_is_resolved_at_load():
    @rpc
    def count(one: Optional["Later"], many: "list[Later]") -> int:
        return 1

    validated = count.specification.validate((), {"one": {"limit": 1}, "many": [{"limit": 2}]})
    assert validated == {"one": Later(1), "many": [Later(2)]}


def test_an_annotation_that_is_no_expression_is_refused_at_load():
    @rpc
    def count(value: "list[") -> int:  # noqa: F722
        return 1

    with pytest.raises(DeclarationError, match="count: an annotation cannot be resolved"):
        _ = count.specification


def test_an_algorithm_of_undecorated_functions():
    def count() -> int:
        return 1

    with pytest.raises(DeclarationError, match="count is neither a @master nor an @rpc"):
        Algorithm.of([count])


def test_an_algorithm_of_two_functions_of_one_name():
    def count() -> int:
        return 1

    def total(column: Column) -> int:
        return 2

    first = rpc(count)
    total.__module__ = "another_package"
    with pytest.raises(DeclarationError, match="two functions are called 'count'"):
        Algorithm.of([first, rpc(name="count")(total)])
