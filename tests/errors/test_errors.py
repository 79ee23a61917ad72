"""Each error has its own exit code, a public message and a private detail."""

import inspect
import pickle
import re
from pathlib import Path

import pytest

from algotools import errors
from algotools.errors import CODES, AlgotoolsError, Failure, UserError

ERROR_CLASSES = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, AlgotoolsError) and cls is not AlgotoolsError
]
DOCUMENT = Path(__file__).parents[2] / "docs" / "exit-codes.md"


@pytest.fixture(autouse=True)
def restored_codes():
    before = dict(CODES)
    yield
    CODES.clear()
    CODES.update(before)


def test_each_error_has_its_own_code():
    with_own_code = [cls for cls in ERROR_CLASSES if cls is not errors.RunsIncomplete]
    assert {cls.exit_code: cls for cls in with_own_code} == CODES
    assert len(with_own_code) == len(CODES)


def test_an_incomplete_result_shares_its_code_with_a_machine_without_resources():
    assert errors.RunsIncomplete.exit_code == 69
    assert CODES[69] is errors.MachineError, "a container reports only this meaning"


@pytest.mark.parametrize("cls", ERROR_CLASSES)
def test_each_code_is_in_the_range_of_algotools(cls):
    assert 10 <= cls.exit_code <= 70, "1 and 2 are Python's, 126 and above the shell's and the engine's"


@pytest.mark.parametrize("cls", ERROR_CLASSES)
def test_each_error_has_a_docstring(cls):
    assert inspect.getdoc(cls) != inspect.getdoc(AlgotoolsError)


def test_an_error_without_a_code_is_refused():
    with pytest.raises(TypeError, match="exit_code"):

        class WithoutCode(AlgotoolsError):
            pass


def test_a_code_of_another_error_is_refused():
    with pytest.raises(TypeError, match="exit code 15 of Another already belongs to ArgumentsError"):

        class Another(AlgotoolsError, exit_code=15):
            pass

    assert CODES[15] is errors.ArgumentsError


def test_a_subclass_of_an_error_has_its_own_code():
    class Special(errors.ArgumentsError, exit_code=79):
        """A subclass with a code."""

    assert Special("x").failure().exit_code == 79
    assert CODES[79] is Special


def test_plain_data_of_an_error_contains_message_and_detail():
    error = errors.UnknownColumn("no column 'x'", detail="columns: a, b")
    assert error.failure() == Failure(16, "no column 'x'", "columns: a, b")
    assert str(error) == "no column 'x'"
    assert "columns" not in repr(error)


@pytest.mark.parametrize(
    ("cls", "base"),
    [
        (errors.ArgumentsError, TypeError),
        (errors.UnknownColumn, LookupError),
        (errors.AlgorithmImportError, ImportError),
    ],
)
def test_an_error_can_be_caught_as_a_built_in_exception(cls, base):
    with pytest.raises(base):
        raise cls("x")


class TooFewRows(UserError):
    text = "fewer than {minimum} rows have a value of {kind}"
    minimum: int
    kind: str


class TooFewPatients(TooFewRows):
    text = "fewer than {minimum} patients ({kind}) at {share:.0%}"
    share: float


class NoData(UserError):
    text = "no data"


def test_the_text_of_a_user_error_contains_its_fields():
    error = TooFewRows(minimum=10, kind="age")
    assert str(error) == "fewer than 10 rows have a value of age"
    assert (error.minimum, error.kind) == (10, "age")
    assert error.failure() == Failure(41, "fewer than 10 rows have a value of age")


def test_a_user_error_inherits_fields():
    assert str(TooFewPatients(minimum=3, kind="age", share=0.25)) == "fewer than 3 patients (age) at 25%"


def test_a_user_error_without_fields_can_be_raised_as_a_class():
    with pytest.raises(UserError, match="no data"):
        raise NoData


def test_braces_in_a_value_are_not_interpreted():
    assert str(TooFewRows(minimum=1, kind="{minimum}{self}")) == "fewer than 1 rows have a value of {minimum}{self}"


@pytest.mark.parametrize(
    "fields", [{}, {"minimum": 1}, {"minimum": 1, "kind": "x", "more": 2}, {"minimum": 1, "knd": "x"}]
)
def test_a_user_error_requires_exactly_its_fields(fields):
    with pytest.raises(TypeError, match=r"TooFewRows requires exactly the fields that it declares \(minimum, kind\)"):
        TooFewRows(**fields)


@pytest.mark.parametrize("value", [[1], {"a": 1}, None, object(), b"x"])
def test_a_field_cannot_contain_a_collection(value):
    with pytest.raises(TypeError, match="field kind of TooFewRows must be str, not"):
        TooFewRows(minimum=1, kind=value)


def test_a_user_error_refuses_free_text():
    with pytest.raises(TypeError):
        NoData("Jane-Doe-4711")
    with pytest.raises(TypeError, match="raise a subclass with a `text`"):
        UserError()


def test_a_user_error_without_a_text_is_refused():
    with pytest.raises(TypeError, match="Silent has no message; add a class attribute `text`"):

        class Silent(UserError):
            minimum: int


def test_all_user_errors_have_the_same_code():
    assert TooFewRows.exit_code == TooFewPatients.exit_code == NoData.exit_code == 41
    assert CODES[41] is UserError


def test_a_failure_survives_pickling():
    failure = errors.TimedOut("too long", detail="after 3 s").failure()
    assert pickle.loads(pickle.dumps(failure)) == failure


@pytest.fixture(scope="module")
def documented_codes() -> dict[int, str]:
    """Code -> name in the tables of the document."""
    rows = re.findall(r"^\|\s*(\d+)\s*\|\s*`?(\w+)`?\s*\|", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {int(code): name for code, name in rows}


@pytest.mark.parametrize(("code", "cls"), sorted(CODES.items()))
def test_each_code_is_documented(documented_codes, code, cls):
    assert documented_codes.get(code) == cls.__name__


def test_the_document_has_no_obsolete_code(documented_codes):
    assert {code for code in documented_codes if 10 <= code <= 70} == set(CODES)
