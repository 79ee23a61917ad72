"""A wrong declaration is refused with a message that contains the fix."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, Optional

import msgspec
import pandas as pd
import pytest

from algotools import AlgorithmClient, Column, Database, RunInfo, master, rpc
from algotools.declare import locate
from algotools.declare.functions import Algorithm, get_registered_functions
from algotools.errors import DeclarationError


def get_refusal(decorator: Callable[..., Any], function: Any) -> str:
    with pytest.raises(DeclarationError) as refused:
        decorator(function)
    return str(refused.value)


@pytest.fixture(params=[rpc, master])
def decorator(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return request.param


def test_a_function_with_two_decorators(decorator):
    @rpc
    def count() -> int:
        return 1

    assert "count is already an rpc; remove one of the decorators" in get_refusal(decorator, count)


def test_arbitrary_arguments(decorator):
    def count(*columns: str) -> int:
        return len(columns)

    def total(**columns: str) -> int:
        return len(columns)

    assert get_refusal(decorator, count).endswith("*columns accepts any arguments; declare and annotate each argument")
    assert get_refusal(decorator, total).endswith("**columns accepts any arguments; declare and annotate each argument")


def test_a_parameter_without_an_annotation(decorator):
    def count(data: pd.DataFrame, limit) -> int:
        return min(len(data), limit)

    message = get_refusal(decorator, count)
    assert "parameter limit has no annotation" in message
    assert "`int`" in message


IMPOSSIBLE = {
    "object": object,
    "Index": pd.Index,
    "Callable": Callable,
    "Callable[[int], int]": Callable[[int], int],
    "complex": complex,
    "list[AlgorithmClient]": list[AlgorithmClient],
}


@pytest.mark.parametrize("annotation", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_annotation_without_a_json_form(decorator, annotation):
    def count(value: annotation) -> int:
        return 1

    message = get_refusal(decorator, count)
    assert "parameter value" in message
    assert "cannot be written as JSON" in message
    assert "use numbers, texts, lists, dicts, dataclasses or enums" in message


def test_a_string_annotation_without_a_json_form_is_refused_at_load(decorator):
    def count(value: "complex") -> int:
        return 1

    declared = decorator(count)
    with pytest.raises(DeclarationError, match="parameter value: complex cannot be written as JSON"):
        _ = declared.specification


@pytest.mark.parametrize("annotation", [Literal["a", "b"], Annotated[int, "how many"]])
def test_strings_that_are_not_references_do_not_delay_the_refusal(decorator, annotation):
    def count(value: annotation = "c") -> int:
        return 1

    assert "parameter value: the default is not of type" in get_refusal(decorator, count)


def test_a_default_of_another_type(decorator):
    def count(limit: int = None) -> int:  # noqa: RUF013 - under test
        return limit

    def total(limit: "int" = None) -> int:  # noqa: RUF013
        return limit

    message = "parameter limit: the default is not of type int; correct the default, or widen the annotation (`| None`)"
    assert message in get_refusal(decorator, count)
    with pytest.raises(DeclarationError) as refused:
        _ = decorator(total).specification
    assert message in str(refused.value)


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
def test_async_functions_and_generators(decorator, function):
    assert "`async` and `yield` are not supported; write a plain function" in get_refusal(decorator, function)


@pytest.mark.parametrize("thing", [int, print, type("Thing", (), {"__call__": lambda self: 1})()])
def test_an_object_that_is_not_a_function(decorator, thing):
    assert "decorate a function" in get_refusal(decorator, thing)


def test_a_method_name_by_position(decorator):
    message = get_refusal(decorator, "sum_of_all")
    assert f"@{decorator.__name__}(name=...)" in message


def test_an_rpc_with_a_client():
    def count(client: AlgorithmClient) -> int:
        return 1

    message = get_refusal(rpc, count)
    assert "only a master can use an AlgorithmClient" in message
    assert "decorate the function with @master, or remove the parameter" in message
    assert master(count).specification.injects("client")


def test_an_unknown_step():
    with pytest.raises(DeclarationError) as refused:
        rpc(step="extraction")
    assert str(refused.value) == "unknown step 'extraction' (choose from compute, data_extraction, preprocessing)"


def test_a_master_with_a_step():
    with pytest.raises(TypeError, match="step"):
        master(step="preprocessing")


def without_table(number: int) -> pd.DataFrame:
    return pd.DataFrame({"x": [number]})


def with_two(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    return first


def with_both(data: pd.DataFrame, source: Database) -> pd.DataFrame:
    return data


@pytest.mark.parametrize("function", [without_table, with_two, with_both])
@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (
            "data_extraction",
            "declare exactly one parameter for the database, for instance `source: Database`",
        ),
        ("preprocessing", "declare exactly one parameter for the table, for instance `data: pd.DataFrame`"),
    ],
)
def test_a_step_without_exactly_one_table(function, step, reason):
    declared = rpc(step=step)(function)
    with pytest.raises(DeclarationError) as refused:
        _ = declared.specification
    assert str(refused.value) == f"{function.__name__}: {reason}"


@pytest.mark.parametrize("step", ["data_extraction", "preprocessing"])
def test_a_step_with_a_client(step):
    def prepare(data: pd.DataFrame, client: AlgorithmClient) -> pd.DataFrame:
        return data

    assert "decorate the function with @master, or remove the parameter" in get_refusal(rpc(step=step), prepare)


@pytest.mark.parametrize("second", [rpc, master])
def test_two_functions_with_the_same_name(second):
    def count(data: pd.DataFrame) -> int:
        return len(data)

    def total(data: pd.DataFrame) -> int:
        return len(data)

    first = rpc(count)
    message = get_refusal(second(name="count"), total)
    assert "two functions have the method name 'count'" in message
    assert count.__qualname__ in message
    assert total.__qualname__ in message
    assert "name=" in message
    assert get_registered_functions(__name__) == {"count": first}


def test_after_a_refused_second_name_the_first_name_remains():
    def count() -> int:
        return 1

    def total() -> int:
        return 2

    before = {"count": rpc(count), "total": rpc(total)}
    get_refusal(rpc(name="total"), count)
    assert get_registered_functions(__name__) == before


def test_a_function_that_is_declared_again_is_replaced():
    def declare(result: int):
        @rpc
        def count() -> int:
            return result

        return count

    declare(1)
    second = declare(2)
    assert get_registered_functions(__name__) == {"count": second}
    assert get_registered_functions(__name__)["count"]() == 2


def test_a_function_that_is_declared_again_loses_its_first_name():
    def declare(name: str):
        @rpc(name=name)
        def count() -> int:
            return 1

        return count

    declare("first")
    second = declare("second")
    assert get_registered_functions(__name__) == {"second": second}


def declare_locally(result: int):
    @rpc
    def count() -> int:
        return result

    return count


def test_functions_that_are_local_to_different_functions_may_have_one_name():
    @rpc
    def count() -> int:
        return 1

    second = declare_locally(2)
    assert get_registered_functions(__name__) == {"count": second}
    third = rpc(count.__wrapped__)
    assert get_registered_functions(__name__) == {"count": third}
    assert [Algorithm.from_functions([f]).find("count", "rpc")() for f in (count, second)] == [1, 2]


def test_a_local_function_does_not_replace_a_function_of_a_module():
    def count() -> int:
        return 1

    count.__qualname__ = "count"
    first = rpc(count)
    declare_locally(2)
    assert get_registered_functions(__name__) == {"count": first}


def test_two_factories_of_an_algorithm_with_the_same_name(tmp_path):
    factory = "def make_{0}():\n    @rpc\n    def count() -> int:\n        return 1\n    return count\n"
    package = tmp_path / "src" / "two_factories"
    package.mkdir(parents=True)
    source = "from algotools import rpc\n" + factory.format("a") + factory.format("b") + "make_a()\nmake_b()\n"
    (package / "__init__.py").write_text(source)
    (tmp_path / "pyproject.toml").write_text('[project.entry-points."algotools.algorithms"]\nx = "two_factories"\n')
    with pytest.raises(DeclarationError, match="two functions have the method name 'count'"):
        locate.load(locate.locate(tmp_path))


def test_packages_have_separate_registries():
    def count() -> int:
        return 1

    def total() -> int:
        return 2

    count.__module__, total.__module__ = "one_package.inner", "another_package"
    first, second = rpc(count), rpc(name="count")(total)
    assert get_registered_functions("one_package") == {"count": first}
    assert get_registered_functions("another_package.inner") == {"count": second}


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
        limit: "Hidden"  # noqa: F821 - under test

    @rpc
    def count(settings: Settings) -> int:
        return 1

    with pytest.raises(DeclarationError, match="'Hidden' cannot be resolved"):
        _ = count.specification


class LaterStruct(msgspec.Struct):
    limit: int


def test_a_forward_reference_is_resolved_at_load():
    @rpc
    def count(single: Optional["LaterStruct"], several: "list[LaterStruct]") -> int:
        return 1

    validated = count.specification.validate((), {"single": {"limit": 1}, "several": [{"limit": 2}]})
    assert validated == {"single": LaterStruct(1), "several": [LaterStruct(2)]}


def test_an_annotation_that_is_not_an_expression_is_refused_at_load():
    @rpc
    def count(value: "list[") -> int:  # noqa: F722
        return 1

    with pytest.raises(DeclarationError, match="count: an annotation cannot be resolved"):
        _ = count.specification


def test_an_algorithm_of_undecorated_functions():
    def count() -> int:
        return 1

    with pytest.raises(DeclarationError, match="count is not decorated with @federated, @master or @rpc"):
        Algorithm.from_functions([count])


def test_an_algorithm_of_two_functions_with_the_same_name():
    def count() -> int:
        return 1

    def total(column: Column) -> int:
        return 2

    first = rpc(count)
    total.__module__ = "another_package"
    with pytest.raises(DeclarationError, match="two functions have the method name 'count'"):
        Algorithm.from_functions([first, rpc(name="count")(total)])


@pytest.mark.parametrize("number", [0, -3, 2.5, 10.0, True, "10", [10]], ids=repr)
def test_the_fewest_rows_that_are_not_a_number_of_rows(number):
    def count(data: pd.DataFrame) -> int:
        return len(data)

    message = get_refusal(rpc(minimum_rows=number), count)
    assert message.endswith(f"count: minimum_rows must be a whole number of at least 1, not {number!r}")
    assert "count" not in get_registered_functions(__name__)


def test_the_fewest_rows_of_a_function_whose_table_stays_at_the_node():
    def extract(source: Database) -> pd.DataFrame:
        return pd.DataFrame()

    message = get_refusal(rpc(minimum_rows=10, step="data_extraction"), extract)
    assert "minimum_rows has no effect with step='data_extraction', because the table stays at the node" in message


def test_a_step_cannot_be_internal():
    def extract(source: Database) -> pd.DataFrame:
        return pd.DataFrame()

    message = get_refusal(rpc(standalone=False, step="data_extraction"), extract)
    assert "standalone=False and step='data_extraction' exclude each other" in message
    assert "standalone must be True or False" in get_refusal(rpc(standalone="no"), extract)


@pytest.mark.parametrize("option", ["minimum_cell", "undeclared", "policy", "minimum_row"])
def test_no_option_makes_the_policy_of_the_owner_looser(option):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{option}'"):
        rpc(**{option: 1})


def test_a_master_reads_the_results_of_rpcs_so_it_has_no_fewest_rows():
    with pytest.raises(TypeError, match="unexpected keyword argument 'minimum_rows'"):
        master(minimum_rows=10)  # type: ignore[call-overload]
