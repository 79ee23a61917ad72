"""A task can call only registered functions, and only in their role and step."""

import pandas as pd
import pytest

from algotools import AlgorithmClient, Database, master, rpc
from algotools.declare import locate
from algotools.declare.functions import Algorithm
from algotools.errors import UnknownMethod, WrongRole
from algotools.runtime.extraction import add_readers


@pytest.fixture
def algorithm() -> Algorithm:
    @rpc
    def average_partial() -> int:
        return 1

    @master(name="average")
    def combine(client: AlgorithmClient) -> int:
        return 1

    return Algorithm.from_functions([average_partial, combine], "means")


@pytest.mark.parametrize("role", ["rpc", None])
def test_a_method_is_found_in_its_role_or_without_a_role(algorithm, role):
    assert algorithm.find("average_partial", role).method == "average_partial"


@pytest.mark.parametrize(
    ("method", "role", "flag"), [("average", "rpc", "true"), ("average_partial", "master", "false")]
)
def test_the_message_about_a_wrong_role_contains_the_fix(algorithm, method, role, flag):
    with pytest.raises(WrongRole) as refused:
        algorithm.find(method, role)
    message = str(refused.value)
    assert f'set "master": {flag}' in message
    assert "average_partial (rpc), average (master)" in message


@pytest.mark.parametrize(
    ("method", "role", "action"),
    [("average", "rpc", "central_compute"), ("average_partial", "master", "federated_compute")],
)
def test_the_message_about_a_wrong_action_contains_the_right_one(algorithm, method, role, action):
    with pytest.raises(WrongRole) as refused:
        algorithm.find(method, role, has_action=True)
    message = str(refused.value)
    assert f'; create the task with action="{action}", or call another method' in message
    assert '"master"' not in message


@pytest.mark.parametrize("step", ["data_extraction", "preprocessing"])
def test_the_message_about_a_wrong_step_contains_the_action(algorithm, step):
    with pytest.raises(WrongRole, match='create the task with action="federated_compute"'):
        algorithm.find("average_partial", "rpc", step, has_action=True)
    with pytest.raises(WrongRole, match="only tasks of a v5 session create tables"):
        add_readers(algorithm).find("read_csv", "rpc", has_action=True)


def test_a_message_lists_the_ten_nearest_of_many_methods():
    def make(name: str):
        @rpc(name=name)
        def function() -> int:
            return 1

        return function

    similar = [f"histogram_{number}" for number in range(5)]
    many = Algorithm.from_functions([make(name) for name in [*(f"z{n}" for n in range(50)), *similar]], "many")
    with pytest.raises(UnknownMethod) as refused:
        many.find("histogramm_9", None)
    text = str(refused.value).partition("methods: ")[2]
    assert all(f"{name} (rpc)" in text for name in similar)
    assert text.count("(rpc)") == 10
    assert text.endswith(", and 45 more)")
    with pytest.raises(WrongRole) as wrong:
        many.find("histogram_3", "master")
    assert str(wrong.value).count("(rpc)") == 10
    few = Algorithm.from_functions([make(f"z{n}") for n in range(10)], "few")
    with pytest.raises(UnknownMethod, match=r"methods: z0 \(rpc\), z1 \(rpc\), .*z9 \(rpc\)$"):
        few.find("histogram", None)


@pytest.mark.parametrize("method", ["avarage_partial", "RPC_average_partial", "average_partials"])
def test_the_message_about_an_unknown_method_lists_and_suggests(algorithm, method):
    with pytest.raises(UnknownMethod) as refused:
        algorithm.find(method, "rpc")
    message = str(refused.value)
    assert "this algorithm has no method" in message
    assert "did you mean 'average_partial'?" in message
    assert "methods: average_partial (rpc), average (master)" in message


@pytest.mark.parametrize(("written", "suggested"), [("average", "master"), ("averag", "master"), ("mastr", "master")])
def test_a_suggestion_weighs_the_name_of_the_authors_function(written, suggested):
    """The function is what an author and a researcher read; the method can have another name."""

    @rpc(name="master")
    def average() -> int:
        return 1

    with pytest.raises(UnknownMethod) as refused:
        Algorithm.from_functions([average], "one").find(written, None)
    named = "" if written == "mastr" else " (the function average)"
    assert f"no method {written!r}; did you mean {suggested!r}{named}?" in str(refused.value)


def test_an_unknown_method_without_a_similar_name_has_no_suggestion(algorithm):
    with pytest.raises(UnknownMethod) as refused:
        algorithm.find("zzz", None)
    assert "did you mean" not in str(refused.value)


def test_a_long_method_name_is_shortened_in_the_message(algorithm):
    with pytest.raises(UnknownMethod) as refused:
        algorithm.find("z\n" * 100_000, None)
    assert len(str(refused.value)) < 500
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["tidy", "helpers", "functions", "pd", "Group", "summary", "__doc__", "functions.count"]
)
@pytest.mark.parametrize("role", ["rpc", "master", None])
def test_an_importable_name_is_not_a_method(survey, name, role):
    algorithm = locate.load(locate.locate(survey))
    with pytest.raises(UnknownMethod):
        algorithm.find(name, role)


@pytest.fixture
def algorithm_with_steps() -> Algorithm:
    @rpc
    def count(data: pd.DataFrame) -> int:
        return len(data)

    @rpc(step="data_extraction")
    def read_csv(source: Database) -> pd.DataFrame:
        return pd.read_csv(source.uri)

    @rpc(step="preprocessing", name="shorten")
    def head(data: pd.DataFrame) -> pd.DataFrame:
        return data.head()

    return Algorithm.from_functions([count, read_csv, head], "steps")


STEPS = {"count": "compute", "read_csv": "data_extraction", "shorten": "preprocessing"}


@pytest.mark.parametrize("method", STEPS)
@pytest.mark.parametrize("step", STEPS.values())
def test_a_method_is_found_only_for_its_step(algorithm_with_steps, method, step):
    if STEPS[method] == step:
        function = algorithm_with_steps.find(method, "rpc", step)
        assert (function.method, function.role, function.step) == (method, "rpc", step)
        return
    with pytest.raises(WrongRole) as refused:
        algorithm_with_steps.find(method, "rpc", step)
    message = str(refused.value)
    assert f"({step})" in message or "the task requests a function that computes a result" in message
    assert "count (rpc), read_csv (data_extraction), shorten (preprocessing)" in message


def test_the_authors_functions_take_precedence_over_the_built_in_readers(algorithm_with_steps, algorithm):
    assert (
        add_readers(algorithm_with_steps).find("read_csv", "rpc", "data_extraction").__wrapped__.__module__ == __name__
    )
    readers = ["read_csv", "read_parquet", "read_excel", "read_sql_database", "read_sparql_database"]
    assert list(add_readers(algorithm).functions) == [*readers, "average_partial", "average"]
    assert {add_readers(algorithm).functions[name].step for name in readers} == {"data_extraction"}
