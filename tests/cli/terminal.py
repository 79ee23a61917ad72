"""A minimal terminal emulator: run a command on a pseudoterminal and read its screen."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ..conftest import COMMAND
from ..processes import LIMIT

TOKEN = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|(\r|\n|\x1b)|([^\r\n\x1b]+)")


class Screen:
    """The screen after the given output. Control sequences that the live table does not need are an error."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.lines = [""]
        """All lines since the start; the last ``rows`` lines are on the screen."""
        self.row = self.column = 0
        self.cursor = True

    def write(self, text: str) -> None:
        for token in TOKEN.finditer(text):
            arguments, command, control, plain = token.groups()
            if plain:
                assert plain.isprintable(), plain
                for character in plain:
                    self._put(character)
            elif control == "\r":
                self.column = 0
            elif control == "\n":
                self._move_down()
            elif (command, arguments) in (("h", "?25"), ("l", "?25")):
                self.cursor = command == "h"
            elif (command, arguments) == ("K", "2"):
                self.lines[self.row] = ""
            elif command == "A":
                self.row -= int(arguments or 1)
                assert self.row >= max(0, len(self.lines) - self.rows), "the cursor is above the screen"
            else:
                assert command == "m", f"unsupported control sequence: {token[0]!r}"

    @property
    def text(self) -> str:
        """The visible text."""
        return "\n".join(self.lines[-self.rows :])

    @property
    def table(self) -> list[str]:
        """The lines of the table, header first."""
        lines = self.text.splitlines()
        return lines[max(i for i, line in enumerate(lines) if line.startswith("task  ")) :]

    @property
    def everything(self) -> str:
        """The text including the lines above the screen."""
        return "\n".join(self.lines)

    def _put(self, character: str) -> None:
        if self.column == self.columns:
            self.column = 0
            self._move_down()
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
        self.column += 1

    def _move_down(self) -> None:
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append("")


class TerminalProcess:
    """A command whose standard error is a terminal. Its standard output is the same terminal or a pipe."""

    def __init__(
        self, *arguments: str, columns: int, rows: int, piped: bool, variables: Mapping[str, str], cwd: Path | None
    ) -> None:
        self.columns, self.rows = columns, rows
        self._controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        inherited = {
            name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "CI", "NO_COLOR"}
        }
        self.popen = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=terminal,
            stdout=subprocess.PIPE if piped else terminal,
            stderr=terminal,
            cwd=cwd,
            env={**inherited, "TERM": "xterm-256color", **variables},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - so that Ctrl-C sends SIGINT
        )
        os.close(terminal)
        self._written = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def written(self) -> str:
        """The complete output to the terminal."""
        return self._written.decode(errors="ignore")  # the last character may be incomplete

    @property
    def screen(self) -> Screen:
        """The current screen."""
        screen = Screen(self.columns, self.rows)
        screen.write(self.written)
        return screen

    def wait_until(self, expected: str | Callable[[Screen], bool]) -> Screen:
        """Wait until the screen contains a text, or meets a condition."""
        deadline = time.monotonic() + LIMIT
        while True:
            screen = self.screen
            if expected(screen) if callable(expected) else expected in screen.text:
                return screen
            assert self.popen.poll() is None, screen.everything
            assert time.monotonic() < deadline, screen.everything
            time.sleep(0.05)

    def type(self, text: str) -> None:
        os.write(self._controller, text.encode())

    def wait(self) -> tuple[int, Screen, str]:
        """Wait for the exit. Return exit code, screen, and standard output if it is a pipe."""
        stdout, _ = self.popen.communicate(timeout=LIMIT)
        self._reader.join()
        return self.popen.returncode, self.screen, (stdout or b"").decode()

    def close(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        self._reader.join()
        if self.popen.stdout:
            self.popen.stdout.close()
        os.close(self._controller)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the process has closed the terminal
            while data := os.read(self._controller, 65536):
                self._written += data


@contextlib.contextmanager
def run_on_terminal(
    *arguments: str,
    columns: int = 100,
    rows: int = 30,
    piped: bool = False,
    variables: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[TerminalProcess]:
    process = TerminalProcess(*arguments, columns=columns, rows=rows, piped=piped, variables=variables or {}, cwd=cwd)
    try:
        yield process
    finally:
        process.close()
