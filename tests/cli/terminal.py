"""A terminal in small: a command runs on it, and a test sees what a person would see."""

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

TOKEN = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|(\r|\n|\x1b)|([^\r\n\x1b]+)")


class Screen:
    """What is to be seen after all that was written; anything but plain text, colours and what a table needs fails."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.lines = [""]
        """All lines since the beginning; the last ``rows`` of them are on the screen."""
        self.row = self.column = 0
        self.cursor = True

    def write(self, text: str) -> None:
        for found in TOKEN.finditer(text):
            arguments, command, control, plain = found.groups()
            if plain:
                assert plain.isprintable(), plain
                for character in plain:
                    self._put(character)
            elif control == "\r":
                self.column = 0
            elif control == "\n":
                self._down()
            elif (command, arguments) in (("h", "?25"), ("l", "?25")):
                self.cursor = command == "h"
            elif (command, arguments) == ("K", "2"):
                self.lines[self.row] = ""
            elif command == "A":
                self.row -= int(arguments or 1)
                assert self.row >= max(0, len(self.lines) - self.rows), "above the upper edge"
            else:
                assert command == "m", f"not for this terminal: {found[0]!r}"

    @property
    def text(self) -> str:
        """What a person sees."""
        return "\n".join(self.lines[-self.rows :])

    @property
    def table(self) -> list[str]:
        """The lines of the table, its head first."""
        lines = self.text.splitlines()
        return lines[max(i for i, line in enumerate(lines) if line.startswith("task  ")) :]

    @property
    def everything(self) -> str:
        """What a person sees who scrolls up, too."""
        return "\n".join(self.lines)

    def _put(self, character: str) -> None:
        if self.column == self.columns:
            self.column = 0
            self._down()
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
        self.column += 1

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append("")


class OnTerminal:
    """A command whose standard error is a terminal, and whose standard output is that terminal or a pipe."""

    def __init__(
        self, *arguments: str, columns: int, rows: int, piped: bool, variables: Mapping[str, str], cwd: Path | None
    ) -> None:
        self.columns, self.rows = columns, rows
        self._controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        own = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "CI", "NO_COLOR"}}
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=terminal,
            stdout=subprocess.PIPE if piped else terminal,
            stderr=terminal,
            cwd=cwd,
            env={**own, "TERM": "xterm-256color", **variables},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - so that Ctrl-C is heard
        )
        os.close(terminal)
        self._written = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def written(self) -> str:
        """All that was written to the terminal."""
        return self._written.decode(errors="ignore")  # a character may be half read

    @property
    def screen(self) -> Screen:
        """The screen by now."""
        screen = Screen(self.columns, self.rows)
        screen.write(self.written)
        return screen

    def until(self, seen: str | Callable[[Screen], bool]) -> Screen:
        """Wait until something is to be seen."""
        deadline = time.monotonic() + 60
        while True:
            screen = self.screen
            if seen(screen) if callable(seen) else seen in screen.text:
                return screen
            assert self.process.poll() is None, screen.everything
            assert time.monotonic() < deadline, screen.everything
            time.sleep(0.05)

    def type(self, text: str) -> None:
        os.write(self._controller, text.encode())

    def end(self) -> tuple[int, Screen, str]:
        """Wait for the end: exit code, screen, and standard output if that is a pipe."""
        stdout, _ = self.process.communicate(timeout=60)
        self._reader.join()
        return self.process.returncode, self.screen, (stdout or b"").decode()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        if self.process.stdout:
            self.process.stdout.close()
        os.close(self._controller)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # nobody has the other end any longer
            while data := os.read(self._controller, 65536):
                self._written += data


@contextlib.contextmanager
def on_terminal(
    *arguments: str,
    columns: int = 100,
    rows: int = 30,
    piped: bool = False,
    variables: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[OnTerminal]:
    running = OnTerminal(*arguments, columns=columns, rows=rows, piped=piped, variables=variables or {}, cwd=cwd)
    try:
        yield running
    finally:
        running.close()
