"""The two logs of a run: lines for the researcher, and details for the node's owner.

A console is a function that is called with each line of the run's log. The worker's console sends lines to the
supervisor, and the supervisor's console writes them to standard error. ``read_failure`` and ``read_progress`` parse
the lines. Prints, warnings and tracebacks of the author's code go to the owner's log, because they may contain data.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from algotools.errors import Failure

Console = Callable[[str], None]

OWNER_LOG = "ALGOTOOLS_DEBUG"
"""The node's variable with the file or folder of the owner's log."""

_FAILURE = "algotools.failure "
_PROGRESS = re.compile(r"progress > ([0-9]{1,3})%(?: (.*))?")
_LONGEST = 2000

RUN_LOG_LIMIT = 1_000_000
"""Characters of a run's log that the author's code may write. A node sends the log to the server in one request."""

OWNERS_LOG_LIMIT = 100_000_000
"""Bytes of the owner's log of one run, which could otherwise fill the node's disk."""


def write_to_stderr(line: str) -> None:
    """Write a line to standard error and flush it."""
    # A log that cannot be written must not fail the run, whose result is in a file.
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


_console: ContextVar[Console] = ContextVar("console", default=write_to_stderr)


@contextmanager
def use_console(console: Console) -> Iterator[None]:
    """Within the context, let ``log`` and ``progress`` write to this console."""
    token = _console.set(console)
    try:
        yield
    finally:
        _console.reset(token)


@contextmanager
def filter_lines(accepts: Callable[[str], bool]) -> Iterator[None]:
    """Within the context, write only the lines that are accepted."""
    console = _console.get()
    with use_console(lambda line: console(line) if accepts(line) else None):
        yield


class OwnLine(str):
    """A line of the log that algotools itself writes. It contains no value from the data, so no policy judges it."""

    __slots__ = ()


def note(text: str) -> None:
    """Write a line of algotools itself to the run's log."""
    _console.get()(OwnLine(format_line("info", text)))


def log(text: str) -> None:
    """Write a line to the run's log, which the researcher, the server and the node's owner can read.

    Never log a value from the data: a node stores and sends logs unencrypted. Use ``print`` for text that only the
    node's owner may read. By default, a node withholds a line whose text is not in the algorithm's source.
    """
    _console.get()(format_line("info", text))


def progress(fraction: float, text: str = "") -> None:
    """Report the function's progress, from 0 to 1, in the run's log; *text* must not contain data, see ``log``."""
    clipped = min(1.0, max(0.0, fraction))  # in this order, NaN becomes 0
    _console.get()(format_line("progress", f"{clipped:.0%} {text}".rstrip()))


def read_progress(line: str) -> tuple[float, str] | None:
    """Return fraction (rounded to a percent) and text of a line that ``progress`` wrote; None for other lines."""
    match = _PROGRESS.fullmatch(line)
    return (min(int(match[1]) / 100, 1.0), match[2] or "") if match else None


def format_line(level: str, text: str) -> str:
    """Return one line of a log, with characters escaped that would end the line or control a terminal."""
    return f"{level} > {escape_unprintable(text[:_LONGEST])[:_LONGEST]}"


def format_failure(failure: Failure) -> str:
    """Return the last line of a failed run's log, which people and ``read_failure`` can read."""
    content = {"code": failure.exit_code, "message": failure.message[:_LONGEST]}
    return _FAILURE + escape_unprintable(json.dumps(content, ensure_ascii=False), json.dumps)


def format_count(number: int, noun: str) -> str:
    """Format a number of things for a message: ``1 round``, ``2 rounds``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def escape_unprintable(text: str, quote: Callable[[str], str] = repr) -> str:
    """Return the text with characters escaped that would end the line or control a terminal."""
    return "".join(c if c.isprintable() else quote(c)[1:-1] for c in text)


def read_failure(log: str) -> Failure | None:
    """Return the failure in the last line of a run's log; None if that line is not a failure's."""
    last = log.rstrip().rpartition("\n")[2]
    _, marker, text = last.partition(_FAILURE)
    # A node can send any log. So whatever the line contains, reading it must not raise.
    try:
        content = json.loads(text) if marker else None
        return Failure(int(content["code"]), str(content["message"])) if content else None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


class RunLog:
    """The part of a run's log that the author's code writes: correct lines, up to a limit.

    The worker's process belongs to the author, who can send any line. So each line is formatted again: it has a known
    level, nothing that controls a terminal, and no text that ``read_failure`` could read.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._remaining = RUN_LOG_LIMIT

    def write(self, line: str) -> None:
        """Write a line, or drop it if the log has reached its limit. The first line that is dropped is reported."""
        if self._remaining < 0:
            return
        level, separator, text = line.partition(" > ")
        if not separator or level not in ("info", "progress"):
            level, text = "info", line
        line = format_line(level, text.replace(_FAILURE.strip(), _FAILURE.strip().replace(".", " ")))
        self._remaining -= len(line)
        if self._remaining < 0:
            line = format_line("info", f"the log has its limit of {RUN_LOG_LIMIT} characters, so the rest is dropped")
        self._console(line)


_LARGEST_NOTE = 1_000_000


class OwnersLog:
    """Log for the node's owner: the author's prints, warnings and tracebacks; dropped if the owner sets no path."""

    def __init__(self, path: str | None, output: Path | None = None) -> None:
        """Open the log at *path*, a file or folder. The output file must not be the log; its folder names the run."""
        self._dropped_bytes = 0
        self._remaining = OWNERS_LOG_LIMIT
        self._file: int | None = None
        self._problem = ""
        if path:
            try:
                self._file = _open_owner_log(Path(path), output)
            except (OSError, ValueError) as error:
                self._problem = (
                    f"the owner's log cannot be written ({error.strerror if isinstance(error, OSError) else error})"
                )

    def write(self, data: bytes) -> None:
        """Write output of the author's code, up to the limit of the log."""
        if self._file is None:
            self._dropped_bytes += len(data)
            return
        if len(data) > self._remaining:
            self._problem = f"the owner's log has its limit of {OWNERS_LOG_LIMIT} bytes, so the rest of it is dropped"
            data = data[: self._remaining]
        self._remaining -= len(data)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            self._problem = f"the owner's log cannot be written ({error.strerror})"
            self.close()

    def note(self, text: str) -> None:
        """Write a detail from algotools, such as a traceback. It is written even if the log has reached its limit."""
        if text:
            self._remaining = max(self._remaining, _LARGEST_NOTE)
            self.write(f"{text.rstrip()}\n".encode(errors="backslashreplace")[:_LARGEST_NOTE])

    def close(self) -> str:
        """Close the log; return a line for the run's log if something was lost, otherwise an empty text."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            return self._problem
        dropped = "prints and details of errors were dropped; they are only for the node's owner, who has not set"
        return self._problem or (f"{dropped} {OWNER_LOG}" if self._dropped_bytes else "")


def _open_owner_log(path: Path, output: Path | None) -> int:
    """Open the log for appending; raise ``ValueError`` for a file that the researcher may read."""
    run = (output and output.parent.name) or "run"
    file_path = path / f"{run}-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.log" if path.is_dir() else path
    file = os.open(file_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    status = os.fstat(file)
    # A device or a pipe may lead to the researcher, for instance /dev/stderr. So may a file that is also the output, or
    # that standard output or error is redirected to. Compare the opened files, because names can differ.
    if not stat.S_ISREG(status.st_mode) or any(_is_same_file(status, target) for target in (1, 2, output)):
        os.close(file)
        raise ValueError("it is not a separate regular file")
    return file


def _is_same_file(status: os.stat_result, target: int | Path | None) -> bool:
    try:
        return target is not None and os.path.samestat(status, os.stat(target))
    except OSError:
        return False


def owner_log_path(variables: Mapping[str, str]) -> str | None:
    """Return the path of the owner's log; None if the owner has set none."""
    return variables.get(OWNER_LOG) or None
