"""Tracebacks and time limits show the author's code: the owner's log has the stack, the researcher reads the line."""

import re
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from algotools import Database, Federation, rpc
from algotools.errors import Failure, RunsFailed

NODE = {"hospital": pd.DataFrame({"age": [1]})}
PYPROJECT = '[project.entry-points."algotools.algorithms"]\nx = "slow"\n'


def fail(algorithm, runner="inline", **options) -> tuple[Failure, str]:
    """Run the method ``f`` of an algorithm; return the failure and the detail for the owner."""
    with Federation(NODE, algorithm=algorithm, runner=runner, **options) as federation:
        with pytest.raises(RunsFailed) as raised:
            federation.run("f")
        return raised.value.failures[2], raised.value.detail


def find_files(traceback: str) -> list[str]:
    """Return the files of the frames in a traceback, in order."""
    return re.findall(r'^[ |]*File "(.*)", line', traceback, re.MULTILINE)


def test_the_traceback_of_each_cause_begins_in_the_authors_code():
    @rpc
    def f(data: pd.DataFrame) -> int:
        try:
            data["ages"]  # pandas raises its KeyError from another one
        except KeyError as error:
            raise ValueError("first") from error
        return 1

    _, detail = fail([f])
    assert [find_files(cause)[0] for cause in detail.split("direct cause")] == [__file__, __file__]
    assert "pandas/" in detail  # the frames of pandas below the line of the author


def test_a_cause_within_a_library_is_left_out_but_not_its_cause_in_the_authors_code():
    @rpc
    def f(data: pd.DataFrame) -> int:
        try:
            data["ages"]
        except KeyError as error:
            library = error.__cause__
            assert library is not None
            library.__cause__ = OSError("without a frame")
            raise
        return 1

    _, detail = fail([f])
    assert "OSError: without a frame" in detail
    assert detail.count("Traceback (most recent call last)") == 1
    assert find_files(detail)[0] == __file__


def test_a_callback_of_a_library_is_shown_from_the_authors_line_on():
    def call_back() -> None:
        raise LookupError("in the callback")

    @rpc
    def f(data: pd.DataFrame) -> int:
        import concurrent.futures

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            error = pool.submit(call_back).exception()  # caught in the library: its first frame is a library's
        raise ValueError("outer") from error

    _, detail = fail([f])
    assert [find_files(cause) for cause in detail.split("direct cause")] == [[__file__], [__file__]]


if sys.version_info >= (3, 11):  # Python 3.10 has no groups of exceptions

    def test_the_tracebacks_of_a_group_begin_in_the_authors_code():
        @rpc
        def f(data: pd.DataFrame) -> int:
            try:
                data["ages"]
            except KeyError as error:
                raise ExceptionGroup("all", [error, ValueError()]) from None  # noqa: F821 - Python 3.11
            return 1

        _, detail = fail([f])
        files = find_files(detail)
        assert files.count(__file__) == 2
        assert all(file == __file__ or "pandas/" in file for file in files)


def write_project(folder: Path, source: str) -> Path:
    package = folder / "src" / "slow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(source)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    return folder


def test_an_import_that_does_not_end_is_reported_with_its_line(tmp_path):
    source = "import time\n\nfrom algotools import rpc\n\nfor _ in range(150):\n    time.sleep(0.01)\n"
    failure, detail = fail(write_project(tmp_path, source), "process", timeout=0.6)
    assert failure.exit_code == 45
    assert re.fullmatch(
        r"the run did not end within its limit of 0.6 s; it was at __init__.py, line [56]", failure.message
    )
    assert find_files(detail)[0].endswith("slow/__init__.py")


def test_compiled_code_that_holds_the_interpreter_is_reported_with_its_line():
    @rpc
    def f(data: pd.DataFrame) -> int:
        return len(re.findall(r"(?:a+)+$", "a" * 40 + "b"))  # takes days, and no other thread runs meanwhile

    failure, detail = fail([f], "process", timeout=1)
    assert failure.message.endswith(
        f"it was at {Path(__file__).name}, line {f.__wrapped__.__code__.co_firstlineno + 2}"
    )
    assert find_files(detail)[0] == __file__


@pytest.mark.parametrize("runner", ["inline", "process"])
@pytest.mark.parametrize("own_limit", [None, 60.0])
def test_a_call_that_does_not_wait_longer_names_the_line(runner, own_limit):
    @rpc
    def f(data: pd.DataFrame) -> int:
        time.sleep(3)
        return len(data)

    federation = Federation(NODE, algorithm=[f], runner=runner, timeout=own_limit)
    with federation, pytest.raises(RunsFailed) as raised:
        federation.run("f", timeout=1)
    line = f.__wrapped__.__code__.co_firstlineno + 2
    assert raised.value.failures[2].message == (
        f"no result within 1 s (status: active; it was at {Path(__file__).name}, line {line})"
    )


def test_a_line_that_the_source_does_not_have_is_not_named_at_the_limit():
    @rpc
    def f(data: pd.DataFrame) -> None:
        line = int(data["age"].iloc[0]) + 5000
        exec(compile("\n" * line + "def f():\n while True: pass\nf()", __file__, "exec"), {})

    failure, _ = fail([f], "process", timeout=1)
    assert failure.message.endswith(f"at {Path(__file__).name}, line {f.__wrapped__.__code__.co_firstlineno + 3}")


def test_a_worker_without_the_signal_is_stopped_in_time():
    @rpc
    def f(data: Database) -> int:
        import signal

        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            time.sleep(60)

    start = time.monotonic()
    failure, _ = fail([f], "process", timeout=1)
    assert failure.message == "the run did not end within its limit of 1 s"
    assert time.monotonic() - start < 10
