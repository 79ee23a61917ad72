"""The declaration of a pooled function: what ``@federated`` derives, and what it refuses."""

from __future__ import annotations

import copy
import inspect
import pickle
import pydoc
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from algotools import (  # noqa: F401 - the signatures in texts use all names
    Aggregator,
    AlgorithmClient,
    Argument,
    Column,
    Pooled,
    RunInfo,
    federated,
    master,
    rpc,
)
from algotools.declare.description import describe
from algotools.declare.functions import Algorithm, get_registered_functions
from algotools.errors import DeclarationError

FRAME = pd.DataFrame({"age": [1.0, 2.0, 6.0]})


@federated
def mean(data: pd.DataFrame, total: Aggregator, column: Column, scale: float = 1.0) -> float:
    """Return the mean of a column.

    Args:
        data: the rows.
        total: the totals.
        column: the column.
        scale: a factor.
    """
    return scale * total.sum(data[column]) / total.count(data[column])


def get_refusal(decorator: Callable[..., Any], function: Any) -> str:
    with pytest.raises(DeclarationError) as refused:
        decorator(function).specification  # noqa: B018 - annotations that are strings are resolved here
    return str(refused.value)


def declare_function(parameters: str, *, first_line: str = "") -> Any:
    names: dict[str, Any] = {**globals()}
    source = f"{first_line}\ndef f({parameters}) -> float:\n    return 1.0\n"
    exec(compile(source, __file__, "exec", dont_inherit=True), names)
    return names["f"]


@pytest.fixture(params=["", "from __future__ import annotations"], ids=["evaluated", "postponed"])
def declare(request: pytest.FixtureRequest) -> Callable[[str], Any]:
    return lambda parameters: declare_function(parameters, first_line=request.param)


REFUSED = {
    "no total": (
        "data: pd.DataFrame",
        "declare exactly one parameter for the totals, for instance `total: Aggregator`",
    ),
    "two totals": ("data: pd.DataFrame, a: Aggregator, b: Aggregator", "declare exactly one parameter for the totals"),
    "no rows": (
        "total: Aggregator, column: Column",
        "declare a parameter for the rows, for instance `data: pd.DataFrame`",
    ),
    "only a table of the task": (
        "data: Argument[pd.DataFrame], total: Aggregator",
        "declare a parameter for the rows",
    ),
    "organizations": (
        "data: pd.DataFrame, total: Aggregator, organizations: list[int]",
        "the derived master has an argument `organizations`; rename this parameter",
    ),
    "a reserved name": (
        "data: pd.DataFrame, total: Aggregator, _request: str",
        "the derived functions have a parameter `_request`; rename this parameter",
    ),
    "a client": (
        "data: pd.DataFrame, total: Aggregator, client: AlgorithmClient",
        "a pooled function requests totals instead of using an AlgorithmClient; remove the parameter",
    ),
    "stars": ("data: pd.DataFrame, total: Aggregator, *columns: str", "declare and annotate each argument"),
    "named stars": ("data: pd.DataFrame, total: Aggregator, **columns: str", "declare and annotate each argument"),
    "no annotation": ("data: pd.DataFrame, total: Aggregator, column", "annotate it with its type"),
}


@pytest.mark.parametrize(("parameters", "advice"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_signature(declare, parameters, advice):
    message = get_refusal(federated, declare(parameters))
    assert message.startswith("f: ")
    assert advice in message


@pytest.mark.parametrize("case", ["no total", "no rows", "organizations", "a client"])
def test_a_wrong_signature_with_evaluated_annotations_is_refused_by_the_decorator(case):
    with pytest.raises(DeclarationError):
        federated(declare_function(REFUSED[case][0]))
    assert "f" not in get_registered_functions(__name__)


OPTIONS = {
    "secure": ({"secure": True}, "f: secure=True is not available in this version; remove the option"),
    "no organization": ({"minimum_organizations": 0}, "minimum_organizations must be a whole number of at least 1"),
    "half an organization": ({"minimum_organizations": 2.5}, "minimum_organizations must be a whole number"),
    "true": ({"minimum_organizations": True}, "minimum_organizations must be a whole number"),
    "a quorum of none": ({"quorum": 0}, "quorum must be a whole number of at least 1"),
    "a quorum as text": ({"quorum": "2"}, "quorum must be a whole number of at least 1"),
    "a negative tolerance": ({"tolerance": -1e-9}, "tolerance must be a number from 0 to 1"),
    "no number": ({"tolerance": float("nan")}, "tolerance must be a number from 0 to 1"),
    "no rows": ({"minimum_rows": 0}, "minimum_rows must be a whole number of at least 1, not 0"),
    "rows as text": ({"minimum_rows": "10"}, "minimum_rows must be a whole number of at least 1, not '10'"),
    "an empty name": ({"name": ""}, "name= must be the name of a method"),
    "a name that is no text": ({"name": 3}, "name= must be the name of a method"),
}


@pytest.mark.parametrize(("options", "message"), OPTIONS.values(), ids=OPTIONS)
def test_a_wrong_option(declare, options, message):
    assert message in get_refusal(federated(**options), declare("data: pd.DataFrame, total: Aggregator"))


def test_an_option_by_position():
    with pytest.raises(DeclarationError, match=r"only by keyword: @federated\(name=...\)"):
        federated("mean")  # type: ignore[type-var]


@pytest.mark.parametrize("second", [rpc, master, federated])
def test_another_decorator_on_a_pooled_function(second):
    assert "mean is already a pooled function; remove one of the decorators" in get_refusal(second, mean)


@pytest.mark.parametrize(("first", "kind"), [(rpc, "an rpc"), (master, "a master")])
def test_a_pooled_function_of_a_registered_function(first, kind):
    @first
    def count() -> int:
        return 1

    assert f"count is already {kind}; remove one of the decorators" in get_refusal(federated, count)


@pytest.mark.parametrize("decorator", [rpc, master])
def test_only_a_pooled_function_has_totals(declare, decorator):
    message = get_refusal(decorator, declare("data: pd.DataFrame, total: Aggregator"))
    assert f"decorate it with @federated instead of @{decorator.__name__}" in message


def test_a_function_with_the_name_of_the_derived_rpc(declare):
    def f_partial() -> int:
        return 1

    f_partial.__qualname__ = "f_partial"  # as a function of this module
    rpc(f_partial)
    message = get_refusal(federated, declare("data: pd.DataFrame, total: Aggregator"))
    assert "two functions have the method name 'f_partial'" in message
    assert "rename one of the functions" in message
    assert list(get_registered_functions(__name__)) == ["f_partial"]


def test_both_derived_functions_are_registered(declare):
    function = federated(name="central")(declare("data: pd.DataFrame, total: Aggregator"))
    registered = get_registered_functions(__name__)
    assert {name: part.role for name, part in registered.items()} == {"central": "master", "f_partial": "rpc"}
    assert registered == {"central": function, "f_partial": function.partial}
    assert (function.derived_from, function.partial.derived_from) == (None, "central")


def test_a_plain_call():
    assert mean(FRAME, Pooled(), "age") == 3.0
    assert mean(FRAME, Pooled(), column="age", scale=2.0) == 6.0
    assert mean.partial(FRAME, Pooled(), "age") == 3.0


def test_a_plain_call_does_not_wrap_exceptions():
    with pytest.raises(KeyError, match="height"):
        mean(FRAME, Pooled(), "height")


@pytest.mark.parametrize("copied", [pickle.loads(pickle.dumps(mean)), copy.copy(mean), copy.deepcopy(mean)])
def test_copies_are_the_function(copied):
    assert copied is mean


def test_the_rpc_can_be_pickled():
    assert pickle.loads(pickle.dumps(mean.partial)) is mean.partial


def test_the_function_can_be_inspected():
    assert list(inspect.signature(mean).parameters) == ["data", "total", "column", "scale"]
    assert inspect.unwrap(mean).__name__ == mean.__name__ == "mean"
    text = pydoc.plain(pydoc.render_doc(mean))
    assert "total: 'Aggregator'" in text
    assert "Return the mean of a column." in text


def test_the_description_hides_the_exchange_between_master_and_rpc():
    first, second = describe(Algorithm.from_functions([mean]))["functions"]
    assert (first["method"], first["role"], first["minimum_organizations"]) == ("mean", "master", 3)
    assert list(first["arguments"]["properties"]) == ["column", "scale", "organizations"]
    assert first["arguments"]["required"] == ["column"]
    assert first["arguments"]["properties"]["column"]["description"] == "the column."
    assert "derived_from" not in first
    assert (second["method"], second["role"], second["derived_from"]) == ("mean_partial", "rpc", "mean")
    assert list(second["arguments"]["properties"]) == ["column", "scale"]
    assert second["databases"] == [{"parameter": "data", "form": "pandas", "label": None}]
    assert "minimum_organizations" not in second


def test_the_fewest_rows_hold_for_the_rpc_which_reads_the_rows(declare):
    function = federated(minimum_rows=10)(declare("data: pd.DataFrame, total: Aggregator"))
    assert (function.minimum_rows, function.partial.minimum_rows) == (None, 10)
    first, second = describe(Algorithm.from_functions([function]))["functions"]
    assert second["minimum_rows"] == 10
    assert "minimum_rows" not in first


def test_no_option_makes_the_policy_of_the_owner_looser():
    with pytest.raises(TypeError, match="minimum_cell"):
        federated(minimum_cell=1)  # type: ignore[call-overload]


def test_a_mistake_in_the_arguments_does_not_name_the_exchange():
    for part, listed in [
        (mean.partial, "column: Column, [scale: float]"),
        (mean, "organizations: list[Organization] | None"),
    ]:
        with pytest.raises(Exception, match="unknown: columns; missing: column") as refused:
            part.specification.validate((), {"columns": "age"})
        assert listed in str(refused.value)
        assert "_request" not in str(refused.value)


def test_the_author_can_use_run_info(declare):
    function = federated(declare("data: pd.DataFrame, total: Aggregator, info: RunInfo"))
    assert [p.kind for p in function.partial.specification.parameters] == ["data", "run_info", "run_info", "argument"]
    assert [p.kind for p in function.specification.parameters] == ["argument", "client"]
