"""An exception of the author's code is never reported as a bug of algotools, wherever it is raised."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest

from algotools import Federation
from algotools.errors import ArgumentsError, Failure, FunctionRaised, RunsFailed

from ...conftest import ALGORITHMS, ManualNode

HOSTILE = ALGORITHMS / "hostile"
KINDS = [
    "KeyboardInterrupt", "GeneratorExit", "StopIteration", "StopAsyncIteration", "CancelledError", "BaseException",
    "BaseExceptionGroup", "InternalError", "RecursionError", "OSError", "BrokenPipeError", "EOFError", "bad text",
    "bad constructor", "bad attributes", "bad class", "not an exception",
]  # fmt: skip
FORMS = ["getitem", "iter", "sequence", "record", "protocol", "endless", "type", "inner"]


@pytest.fixture(scope="module", params=["inline", "process"])
def federation(request: pytest.FixtureRequest) -> Iterator[Federation]:
    with Federation([pd.DataFrame({"x": [1]})], algorithm=HOSTILE, runner=request.param) as federation:
        yield federation


def fail(federation: Federation, method: str, **arguments: object) -> Failure:
    with pytest.raises(RunsFailed) as raised:
        federation.run(method, arguments=arguments)
    return raised.value.failures[2]


@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_of_the_function_is_the_authors(federation: Federation, kind: str) -> None:
    failure = fail(federation, "raises", kind=kind)
    assert failure.exit_code == 40, failure
    assert "secret" not in failure.message
    assert "raises" in failure.message


@pytest.mark.parametrize("form", FORMS)
def test_an_exception_in_the_methods_of_a_result_is_the_authors(federation: Federation, form: str) -> None:
    failure = fail(federation, "returns", form=form, kind="KeyboardInterrupt")
    assert failure.exit_code in (40, 42), failure


@pytest.mark.parametrize("kind", KINDS)
def test_every_exception_in_a_method_of_a_result_is_the_authors(federation: Federation, kind: str) -> None:
    assert fail(federation, "returns", form="iter", kind=kind).exit_code in (40, 42)


@pytest.mark.parametrize("kind", ["KeyboardInterrupt", "GeneratorExit", "OSError", "bad text", "bad class"])
def test_an_exception_in_the_constructor_of_an_argument_is_the_authors(federation: Federation, kind: str) -> None:
    for method, arguments in (("takes", {"argument": {"kind": kind}}), ("takes_choice", {"choice": kind})):
        with pytest.raises((ArgumentsError, FunctionRaised)):  # before the run
            federation.run(method, arguments=arguments)
        task = federation.client().task.create(  # at the node
            collaboration=1, organizations=[2], image="hostile", input_={"method": method, "kwargs": arguments}
        )
        federation.wait(task["id"])
        failure = federation.failure(federation.task(task["id"]).runs[0])
        assert failure is not None
        assert failure.exit_code in (15, 40)


@pytest.mark.parametrize("method", ["leaves_bad_objects", "replaces_streams"])
def test_exceptions_that_python_ignores_do_not_fail_a_run(method: str) -> None:
    with Federation([pd.DataFrame({"x": [1]})], algorithm=HOSTILE, runner="process") as federation:
        assert federation.run(method) == [1]


@pytest.mark.parametrize("kind", ["KeyboardInterrupt", "GeneratorExit", "bad text", "bad class", "OSError"])
def test_an_exception_at_import_is_the_authors(by_hand: ManualNode, kind: str) -> None:
    posted = b'{"method": "leaves_bad_objects", "kwargs": {}}'
    completed = by_hand.run(by_hand.environment(HOSTILE, posted) | {"HOSTILE_IMPORT": kind})
    assert completed.code == 21, completed.log
    assert "Traceback" not in completed.log
