"""Every error has a code of its own, and two texts for two readers."""

import inspect
import pickle
import re
from pathlib import Path

import pytest

from algotools import errors
from algotools.errors import CODES, AlgotoolsError, Failure, UserError

OURS = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, AlgotoolsError) and cls is not AlgotoolsError
]
DOCUMENT = Path(__file__).parents[2] / "docs" / "exit-codes.md"


@pytest.fixture(autouse=True)
def codes_as_before():
    before = dict(CODES)
    yield
    CODES.clear()
    CODES.update(before)


def test_every_error_has_a_code_of_its_own():
    assert {cls.exit_code: cls for cls in OURS} == CODES
    assert len(OURS) == len(CODES)


@pytest.mark.parametrize("cls", OURS)
def test_every_code_is_in_the_range_that_is_ours(cls):
    assert 10 <= cls.exit_code <= 70, "1 and 2 are Python's, 126 and above the shell's and the engine's"


@pytest.mark.parametrize("cls", OURS)
def test_every_error_says_what_it_is_for(cls):
    assert inspect.getdoc(cls) != inspect.getdoc(AlgotoolsError)


def test_an_error_without_a_code_fails_when_it_is_declared():
    with pytest.raises(TypeError, match="exit_code"):

        class Forgotten(AlgotoolsError):
            pass


def test_a_code_that_is_taken_fails_when_it_is_declared():
    with pytest.raises(TypeError, match="exit code 15 of Another is taken by ArgumentsError"):

        class Another(AlgotoolsError, exit_code=15):
            pass

    assert CODES[15] is errors.ArgumentsError


def test_a_subclass_of_an_error_needs_a_code_too():
    class Special(errors.ArgumentsError, exit_code=69):
        """A special one."""

    assert Special("x").failure().exit_code == 69
    assert CODES[69] is Special


def test_an_error_as_plain_data_has_both_texts():
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
def test_an_error_can_be_caught_as_what_it_is_in_python(cls, base):
    with pytest.raises(base):
        raise cls("x")


class TooFewRows(UserError):
    text = "fewer than {minimum} rows have a value of {kind}"
    minimum: int
    kind: str


class TooFewPatients(TooFewRows):
    text = "fewer than {minimum} patients ({kind}) at {share:.0%}"
    share: float


class NothingToSay(UserError):
    text = "there is nothing"


def test_a_user_error_fills_its_fields_into_its_text():
    error = TooFewRows(minimum=10, kind="age")
    assert str(error) == "fewer than 10 rows have a value of age"
    assert (error.minimum, error.kind) == (10, "age")
    assert error.failure() == Failure(41, "fewer than 10 rows have a value of age")


def test_a_user_error_inherits_fields():
    assert str(TooFewPatients(minimum=3, kind="age", share=0.25)) == "fewer than 3 patients (age) at 25%"


def test_a_user_error_without_fields_can_be_raised_as_a_class():
    with pytest.raises(UserError, match="there is nothing"):
        raise NothingToSay


def test_a_value_with_braces_is_not_taken_for_a_field():
    assert str(TooFewRows(minimum=1, kind="{minimum}{self}")) == "fewer than 1 rows have a value of {minimum}{self}"


@pytest.mark.parametrize(
    "fields", [{}, {"minimum": 1}, {"minimum": 1, "kind": "x", "more": 2}, {"minimum": 1, "knd": "x"}]
)
def test_a_user_error_takes_just_the_fields_it_declares(fields):
    with pytest.raises(TypeError, match=r"TooFewRows takes the fields it declares \(minimum, kind\)"):
        TooFewRows(**fields)


@pytest.mark.parametrize("value", [[1], {"a": 1}, None, object(), b"x"])
def test_a_field_is_no_container_of_data(value):
    with pytest.raises(TypeError, match="field kind of TooFewRows must be a text, a number or a boolean"):
        TooFewRows(minimum=1, kind=value)


def test_a_user_error_takes_no_free_text():
    with pytest.raises(TypeError):
        NothingToSay("Jane-Doe-4711")
    with pytest.raises(TypeError, match="subclass it"):
        UserError()


def test_a_user_error_without_a_text_fails_when_it_is_declared():
    with pytest.raises(TypeError, match="Silent needs a class attribute `text`"):

        class Silent(UserError):
            minimum: int


def test_all_user_errors_end_with_one_code():
    assert TooFewRows.exit_code == TooFewPatients.exit_code == NothingToSay.exit_code == 41
    assert CODES[41] is UserError


def test_a_failure_crosses_to_another_process_as_it_is():
    failure = errors.TimedOut("too long", detail="after 3 s").failure()
    assert pickle.loads(pickle.dumps(failure)) == failure


@pytest.fixture(scope="module")
def documented() -> dict[int, str]:
    """Code -> name, of the document's tables."""
    rows = re.findall(r"^\|\s*(\d+)\s*\|\s*`?(\w+)`?\s*\|", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {int(code): name for code, name in rows}


@pytest.mark.parametrize(("code", "cls"), sorted(CODES.items()))
def test_every_code_is_explained_in_the_document(documented, code, cls):
    assert documented.get(code) == cls.__name__


def test_the_document_explains_no_code_of_ours_that_is_gone(documented):
    assert {code for code in documented if 10 <= code <= 70} == set(CODES)
