"""Only what is registered can be called, and only in its role."""

import pandas as pd
import pytest

from algotools import AlgorithmClient, Database, locate, master, rpc
from algotools.errors import UnknownMethod, WrongRole
from algotools.extraction import with_readers
from algotools.functions import Algorithm


@pytest.fixture
def algorithm() -> Algorithm:
    @rpc
    def average_partial() -> int:
        return 1

    @master(name="average")
    def combine(client: AlgorithmClient) -> int:
        return 1

    return Algorithm.of([average_partial, combine], "means")


@pytest.mark.parametrize("role", ["rpc", None])
def test_a_method_is_found_in_its_role_or_if_the_task_names_none(algorithm, role):
    assert algorithm.find("average_partial", role).method == "average_partial"


@pytest.mark.parametrize(
    ("method", "asked", "flag"), [("average", "rpc", "true"), ("average_partial", "master", "false")]
)
def test_the_wrong_role_says_how_to_ask_instead(algorithm, method, asked, flag):
    with pytest.raises(WrongRole) as refused:
        algorithm.find(method, asked)
    message = str(refused.value)
    assert f'set "master": {flag}' in message
    assert "average_partial (rpc), average (master)" in message


@pytest.mark.parametrize("asked", ["avarage_partial", "RPC_average_partial", "average_partials"])
def test_an_unknown_method_lists_and_suggests(algorithm, asked):
    with pytest.raises(UnknownMethod) as refused:
        algorithm.find(asked, "rpc")
    message = str(refused.value)
    assert "algorithm means has no method" in message
    assert "did you mean 'average_partial'?" in message
    assert "it has: average_partial (rpc), average (master)" in message


def test_a_method_that_resembles_none_suggests_none(algorithm):
    with pytest.raises(UnknownMethod) as refused:
        algorithm.find("zzz", None)
    assert "did you mean" not in str(refused.value)


def test_an_endless_method_is_not_repeated_in_full(algorithm):
    with pytest.raises(UnknownMethod) as refused:
        algorithm.find("z\n" * 100_000, None)
    assert len(str(refused.value)) < 500
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["tidy", "helpers", "functions", "pd", "Group", "summary", "__doc__", "functions.count"]
)
@pytest.mark.parametrize("role", ["rpc", "master", None])
def test_a_name_that_is_merely_importable_is_no_endpoint(survey, name, role):
    algorithm = locate.load(locate.locate(survey))
    with pytest.raises(UnknownMethod):
        algorithm.find(name, role)


@pytest.fixture
def of_steps() -> Algorithm:
    @rpc
    def count(data: pd.DataFrame) -> int:
        return len(data)

    @rpc(step="data_extraction")
    def read_csv(source: Database) -> pd.DataFrame:
        return pd.read_csv(source.uri)

    @rpc(step="preprocessing", name="shorten")
    def head(data: pd.DataFrame) -> pd.DataFrame:
        return data.head()

    return Algorithm.of([count, read_csv, head], "steps")


STEPS = {"count": "compute", "read_csv": "data_extraction", "shorten": "preprocessing"}


@pytest.mark.parametrize("method", STEPS)
@pytest.mark.parametrize("step", STEPS.values())
def test_a_method_is_found_for_its_own_step_alone(of_steps, method, step):
    if STEPS[method] == step:
        found = of_steps.find(method, "rpc", step)
        assert (found.method, found.role, found.step) == (method, "rpc", step)
        return
    with pytest.raises(WrongRole) as refused:
        of_steps.find(method, "rpc", step)
    message = str(refused.value)
    assert f"({step})" in message or "the task asks for one that computes a result" in message
    assert "count (rpc), read_csv (data_extraction), shorten (preprocessing)" in message


def test_the_authors_own_functions_come_before_the_readers_of_every_image(of_steps, algorithm):
    assert with_readers(of_steps).find("read_csv", "rpc", "data_extraction").__wrapped__.__module__ == __name__
    every = ["read_csv", "read_parquet", "read_excel", "read_sql_database", "read_sparql_database"]
    assert list(with_readers(algorithm).functions) == [*every, "average_partial", "average"]
    assert {with_readers(algorithm).functions[name].step for name in every} == {"data_extraction"}
