"""The lines of a run's log: one line each, whatever is in them, and a last one that a master can read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools import log, progress, report
from algotools.errors import Failure
from algotools.report import failure_line, read_failure, read_progress

texts = st.text(max_size=2000)
"""Any characters at all, lone surrogates too."""

STEERING = (
    *(
        "\n",
        "\r",
        "\r\n",
        "\x1b[2J",
        "\x9b2J",
        "\x85",
        "\u2028",
        "\u2029",
        "\x0b",
        "\x0c",
        "\x1c",
        "\b",
        "\0",
        "\u202e",
    ),
    *("info > all is well", "algotools.failure ", '{"code": 0, "message": ""}', "\udc80", "x"),
)
steering = st.lists(st.sampled_from(STEERING), max_size=8).map("".join)

failures = st.tuples(st.integers(1, 255), st.one_of(texts, steering)).map(lambda told: Failure(*told))


@pytest.fixture
def lines():
    said: list[str] = []
    with report.to(said.append):
        yield said


def is_one_line(line: str) -> bool:
    return len(line.splitlines()) == 1 and line.isprintable()


@given(failures)
def test_a_failure_is_read_as_it_was_written(failure):
    assert read_failure(failure_line(failure)) == failure


@given(failures, st.lists(st.one_of(texts, steering), max_size=3), st.sampled_from(["", "\n", "\r\n", " \n\n\n"]))
def test_a_failure_is_read_from_the_end_of_a_log(failure, said, end):
    log = "\n".join([*(report.line("info", text) for text in said), failure_line(failure)]) + end
    assert read_failure(log) == failure


@given(failures)
def test_a_failure_is_one_line_that_steers_no_terminal(failure):
    assert is_one_line(failure_line(failure))


@given(st.one_of(texts, steering))
def test_a_log_line_is_one_line_that_steers_no_terminal(text):
    assert is_one_line(report.line("info", text))


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=100))
def test_what_can_be_read_is_left_as_it_is(text):
    assert report.line("info", text) == f"info > {text}"
    assert json.dumps(text, ensure_ascii=False) in failure_line(Failure(1, text))


@given(failures)
def test_a_failure_survives_the_encoding_of_a_terminal(failure):
    assert read_failure(failure_line(failure).encode("utf-8").decode("utf-8")) == failure


def test_an_endless_message_is_cut():
    found = read_failure(failure_line(Failure(1, "x" * 10_000)))
    assert found == Failure(1, "x" * 2000)
    assert len(report.line("info", "x" * 10_000)) < 2100


def test_the_detail_is_not_in_the_line():
    assert "Jane-Doe-4711" not in failure_line(Failure(1, "x", "Jane-Doe-4711"))


@given(st.floats(), st.one_of(st.text(max_size=200), steering))
def test_progress_is_read_as_it_was_written(fraction, text):
    said: list[str] = []
    with report.to(said.append):
        progress(fraction, text)
        found = read_progress(said[0])
        assert found is not None
        progress(*found)
    assert said[0] == said[1]
    if 0 <= fraction <= 1:
        assert found[0] == pytest.approx(fraction, abs=0.005)
    if text.isprintable():
        assert found[1] == text.rstrip()


@pytest.mark.parametrize(
    "line", ["", "info > 5%", "progress > half", "progress > 5", "progress > 5%x", "progress > ٣%"]
)
def test_a_line_that_tells_no_progress_is_none(line):
    assert read_progress(line) is None


@given(texts)
def test_whatever_another_says_of_its_progress_can_be_looked_at(text):
    found = read_progress(f"progress > {text}")
    assert found is None or 0 <= found[0] <= 1


def test_more_than_all_is_all():
    assert read_progress("progress > 999% of it") == (1.0, "of it")


def test_progress_that_is_no_number_is_none_at_all(lines):
    progress(float("nan"), "0 of 0")
    assert lines == ["progress > 0% 0 of 0"]


@pytest.mark.parametrize(
    "log",
    [
        "",
        "\n",
        "info > all is well",
        f"{failure_line(Failure(1, 'x'))}\ninfo > and then it went on",
        "algotools.failure ",
        "algotools.failure {",
        "algotools.failure []",
        "algotools.failure 3",
        "algotools.failure null",
        'algotools.failure {"code": "x", "message": ""}',
        'algotools.failure {"code": null, "message": ""}',
        'algotools.failure {"code": Infinity, "message": ""}',
        'algotools.failure {"code": NaN, "message": ""}',
        'algotools.failure {"message": ""}',
        'algotools.failure {"code": 1}',
        "algotools.failure " + "[" * 100_000,
        "algotools.failure " + "9" * 5000,
    ],
    ids=range(17),
)
def test_a_log_without_a_failure_at_its_end_tells_none(log):
    assert read_failure(log) is None


@given(st.one_of(texts, steering))
def test_whatever_another_node_sends_as_its_log_can_be_looked_at(text):
    found = read_failure(f"algotools.failure {text}")
    assert found is None or isinstance(found.exit_code, int)


def test_log_and_progress_say_one_line_each(lines):
    log("two\nlines")
    progress(0.25, "half-way\x1b[2J")
    progress(7)
    progress(-1)
    assert lines == ["info > two\\nlines", "progress > 25% half-way\\x1b[2J", "progress > 100%", "progress > 0%"]


def test_without_a_console_lines_go_to_standard_error_at_once(capfd):
    log("here")
    assert capfd.readouterr() == ("", "info > here\n")


def test_after_a_console_the_one_before_is_back(lines):
    inner: list[str] = []
    with report.to(inner.append):
        log("inner")
    log("outer")
    assert inner == ["info > inner"]
    assert lines == ["info > outer"]


def test_a_failure_line_is_for_programs_too():
    _, _, text = failure_line(Failure(16, "no column 'é'")).partition(" ")
    assert json.loads(text) == {"code": 16, "message": "no column 'é'"}
