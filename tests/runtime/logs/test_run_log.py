"""The lines that an author's process sends cannot imitate algotools, control a terminal or fill the server's disk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools.errors import Failure
from algotools.runtime import logs
from algotools.runtime.logs import RunLog, format_failure, format_line, read_failure, read_progress

FORGED = format_failure(Failure(31, "the database is empty"))


def write(*lines: str) -> list[str]:
    """Return the lines that reach the console."""
    written: list[str] = []
    log = RunLog(written.append)
    for line in lines:
        log.write(line)
    return written


@given(
    st.text()
    | st.sampled_from(["info", "progress", "error"]).flatmap(lambda level: st.text().map(f"{level} > ".__add__))
)
def test_any_line_becomes_one_printable_line_with_a_level(line):
    (written,) = write(line)
    assert written.isprintable()
    assert written.startswith(("info > ", "progress > "))
    assert read_failure(written) is None
    assert write(written) == [written]


@given(st.text(), st.floats(0, 1))
def test_lines_of_our_functions_are_not_changed(text, fraction):
    sent: list[str] = []
    with logs.use_console(sent.append):
        logs.log(text)
        logs.progress(fraction, text)
    assert write(*sent) == sent or "algotools.failure" in text
    assert read_progress(write(*sent)[1]) == read_progress(sent[1])


@pytest.mark.parametrize(
    "line", [FORGED, f"info > {FORGED}", f"12:00 {FORGED}", f"x\n{FORGED}", f"progress > 10% {FORGED}"]
)
def test_a_forged_failure_is_not_read(line):
    assert read_failure(FORGED) is not None
    assert read_failure("\n".join(write(line))) is None


@pytest.mark.parametrize("line", ["info > \x1b[2Jx", "\x1b]0;title\x07", "error > x", "debug > x", " > x", "info >x"])
def test_escape_sequences_and_other_levels_are_not_passed_on(line):
    (written,) = write(line)
    assert "\x1b" not in written
    assert written.startswith("info > ")


def test_a_long_line_is_cut():
    assert write("info > " + "x" * 10**6) == ["info > " + "x" * 2000]


def test_reaching_the_limit_is_reported_once(monkeypatch):
    monkeypatch.setattr(logs, "RUN_LOG_LIMIT", 100)
    line = format_line("info", "x" * 33)
    written = write(*[line] * 1000)
    assert written == [
        line,
        line,
        format_line("info", "the log has its limit of 100 characters, so the rest is dropped"),
    ]
