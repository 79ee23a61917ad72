"""The standard streams of a command, which may be closed, full, or a pipe that nobody reads."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any

from algotools.errors import OutputError
from algotools.runtime.streams import is_open


class OutputStream(io.TextIOWrapper):
    """A stream for results. A result that cannot be written is an error with a documented exit code."""

    def write(self, text: str, /) -> int:
        """Write a text.

        Raises:
            OutputError: the stream is full, closed, or a pipe without a reader.
        """
        with _convert_errors():
            return super().write(text)

    def flush(self) -> None:
        """Write the buffer; see ``write``."""
        with _convert_errors():
            super().flush()

    def close(self) -> None:
        """Write the buffer, and close the stream; see ``write``."""
        with _convert_errors():
            super().close()


class _MessageStream(io.TextIOWrapper):
    """A stream for messages. A message that cannot be written is lost, but the exit code is still reported."""

    def write(self, text: str, /) -> int:
        """Write a text if possible."""
        with contextlib.suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """Write the buffer if possible."""
        with contextlib.suppress(OSError):
            super().flush()


@contextlib.contextmanager
def _convert_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(f"standard output cannot be written ({reason})") from None


def prepare() -> None:
    """Replace the standard streams. A closed stream is opened, so that no other file gets its descriptor."""
    for descriptor in range(3):
        if not is_open(descriptor):
            # Writing to a closed standard output must fail: results would otherwise be lost silently.
            os.open(os.devnull, os.O_WRONLY if descriptor == 2 else os.O_RDONLY)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - open until the exit
    sys.stdout = _open_stream(OutputStream, sys.stdout, 1)
    sys.stderr = _open_stream(_MessageStream, sys.stderr, 2)


def _open_stream(kind: type[io.TextIOWrapper], stream: Any, descriptor: int) -> io.TextIOWrapper:
    """Return a stream with the buffer of a standard stream, which is None if its descriptor was closed."""
    if stream is None:
        return kind(open(descriptor, "wb", closefd=False), encoding="utf-8", line_buffering=descriptor == 2)
    # A terminal or a locale without a character must not end a command.
    # Messages appear at once. PYTHONUNBUFFERED sets `write_through`, and then no stream has `line_buffering`.
    options = {"line_buffering": stream.line_buffering or descriptor == 2, "write_through": stream.write_through}
    encoding = stream.encoding  # not readable after `detach`
    return kind(stream.detach(), encoding=encoding, errors="backslashreplace", **options)


@contextlib.contextmanager
def ignore_closed_pipe() -> Iterator[None]:
    """Discard text for a pipe whose reader has stopped, as in ``algotools --help | head``. Results are never that text.

    Raises:
        OutputError: the stream cannot be written for another reason.
    """
    try:
        yield
        sys.stdout.flush()
    except OutputError as error:
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        _close_output()  # later text would fail as well


def discard_unwritten() -> None:
    """Let the interpreter's shutdown discard text that cannot be written, instead of changing the exit code."""
    try:
        sys.stdout.flush()
    except OutputError:
        _close_output()


def _close_output() -> None:
    """Let standard output discard all text from now on."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
