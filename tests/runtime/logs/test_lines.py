"""The lines of a run's log: each stays one line with any text, and a master can read the failure in the last."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools import log, progress
from algotools.errors import Failure
from algotools.runtime import logs
from algotools.runtime.logs import format_failure, read_failure, read_progress

texts = st.text(max_size=2000)
"""Any characters, including lone surrogates."""

CONTROLLING = (
    "\n", "\r", "\r\n", "\x1b[2J", "\x9b2J", "\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\b", "\0", "\u202e",
    "info > all is well", "algotools.failure ", '{"code": 0, "message": ""}', "\udc80", "x",
)  # fmt: skip
controlling = st.lists(st.sampled_from(CONTROLLING), max_size=8).map("".join)

failures = st.tuples(st.integers(1, 255), st.one_of(texts, controlling)).map(lambda pair: Failure(*pair))


@pytest.fixture
def lines():
    lines: list[str] = []
    with logs.use_console(lines.append):
        yield lines


def is_one_line(line: str) -> bool:
    return len(line.splitlines()) == 1 and line.isprintable()


@given(failures)
def test_a_failure_is_read_as_it_was_written(failure):
    assert read_failure(format_failure(failure)) == failure


@given(failures, st.lists(st.one_of(texts, controlling), max_size=3), st.sampled_from(["", "\n", "\r\n", " \n\n\n"]))
def test_a_failure_is_read_from_the_end_of_a_log(failure, texts_before, end):
    log = "\n".join([*(logs.format_line("info", text) for text in texts_before), format_failure(failure)]) + end
    assert read_failure(log) == failure


@given(failures)
def test_a_failure_is_one_line_without_control_characters(failure):
    assert is_one_line(format_failure(failure))


@given(st.one_of(texts, controlling))
def test_a_log_line_is_one_line_without_control_characters(text):
    assert is_one_line(logs.format_line("info", text))


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=100))
def test_printable_text_is_not_changed(text):
    assert logs.format_line("info", text) == f"info > {text}"
    assert json.dumps(text, ensure_ascii=False) in format_failure(Failure(1, text))


@given(failures)
def test_a_failure_survives_the_encoding_of_a_terminal(failure):
    assert read_failure(format_failure(failure).encode("utf-8").decode("utf-8")) == failure


def test_a_long_message_is_cut():
    parsed = read_failure(format_failure(Failure(1, "x" * 10_000)))
    assert parsed == Failure(1, "x" * 2000)
    assert len(logs.format_line("info", "x" * 10_000)) < 2100


def test_the_detail_is_not_in_the_line():
    assert "Jane-Doe-4711" not in format_failure(Failure(1, "x", "Jane-Doe-4711"))


@given(st.floats(), st.one_of(st.text(max_size=200), controlling))
def test_progress_is_read_as_it_was_written(fraction, text):
    lines: list[str] = []
    with logs.use_console(lines.append):
        progress(fraction, text)
        parsed = read_progress(lines[0])
        assert parsed is not None
        progress(*parsed)
    assert lines[0] == lines[1]
    if 0 <= fraction <= 1:
        assert parsed[0] == pytest.approx(fraction, abs=0.00501)
    if text.isprintable():
        assert parsed[1] == text.rstrip()


@pytest.mark.parametrize(
    "line", ["", "info > 5%", "progress > half", "progress > 5", "progress > 5%x", "progress > ٣%"]
)
def test_other_lines_have_no_progress(line):
    assert read_progress(line) is None


@given(texts)
def test_any_progress_line_can_be_read(text):
    parsed = read_progress(f"progress > {text}")
    assert parsed is None or 0 <= parsed[0] <= 1


def test_progress_is_at_most_1():
    assert read_progress("progress > 999% of it") == (1.0, "of it")


def test_progress_of_nan_is_0(lines):
    progress(float("nan"), "0 of 0")
    assert lines == ["progress > 0% 0 of 0"]


@pytest.mark.parametrize(
    "log",
    [
        "",
        "\n",
        "info > all is well",
        f"{format_failure(Failure(1, 'x'))}\ninfo > and then it went on",
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
def test_a_log_without_a_failure_at_its_end_has_none(log):
    assert read_failure(log) is None


@given(st.one_of(texts, controlling))
def test_any_log_of_another_node_can_be_read(text):
    parsed = read_failure(f"algotools.failure {text}")
    assert parsed is None or isinstance(parsed.exit_code, int)


def test_log_and_progress_write_one_line_each(lines):
    log("two\nlines")
    progress(0.25, "half-way\x1b[2J")
    progress(7)
    progress(-1)
    assert lines == ["info > two\\nlines", "progress > 25% half-way\\x1b[2J", "progress > 100%", "progress > 0%"]


def test_without_a_console_lines_go_to_standard_error_at_once(capfd):
    log("here")
    assert capfd.readouterr() == ("", "info > here\n")


def test_a_console_is_replaced_only_within_the_context(lines):
    inner: list[str] = []
    with logs.use_console(inner.append):
        log("inner")
    log("outer")
    assert inner == ["info > inner"]
    assert lines == ["info > outer"]


def test_a_failure_line_contains_json():
    _, _, text = format_failure(Failure(16, "no column 'é'")).partition(" ")
    assert json.loads(text) == {"code": 16, "message": "no column 'é'"}
