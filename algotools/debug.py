"""Where what is for the node's owner alone goes: ``ALGOTOOLS_DEBUG``, a file or folder that the owner names."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "ALGOTOOLS_DEBUG"


class OwnersLog:
    """The author's prints, warnings and tracebacks; dropped, and counted, if the owner names no place."""

    def __init__(self, place: str | None, output: Path | None = None) -> None:
        """``output`` is the run's answer, which must be none of this; its folder names the run."""
        self._dropped = 0
        self._file: int | None = None
        self.trouble = ""
        if place:
            try:
                self._file = _open(Path(place), output)
            except (OSError, ValueError) as error:
                self.trouble = (
                    f"the owner's log cannot be written ({error.strerror if isinstance(error, OSError) else error})"
                )

    def write(self, data: bytes) -> None:
        """Keep some output of the author's code."""
        if self._file is None:
            self._dropped += len(data)
            return
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            self.trouble = f"the owner's log cannot be written ({error.strerror})"
            self.close()

    def note(self, text: str) -> None:
        """Keep a detail of ours."""
        if text:
            self.write(f"{text.rstrip()}\n".encode(errors="backslashreplace"))

    def close(self) -> str:
        """Close the log; a line for everybody if something was not kept, else an empty text."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            return self.trouble
        dropped = "output of the algorithm and details are for the node's owner, who has named no place for them"
        return self.trouble or (f"{dropped} ({VARIABLE})" if self._dropped else "")


def _open(place: Path, output: Path | None) -> int:
    """Open the log for appending. Only a regular file will do: others, and the output, are what a researcher reads."""
    run = (output and output.parent.name) or "run"
    path = place / f"{run}-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.log" if place.is_dir() else place
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or any(_same(found, other) for other in (1, 2, output)):
        os.close(file)
        raise ValueError("it is not a regular file of its own")
    return file


def _same(found: os.stat_result, other: int | Path | None) -> bool:
    try:
        return other is not None and os.path.samestat(found, os.stat(other))
    except OSError:
        return False


def place(variables: Mapping[str, str]) -> str | None:
    """What the owner named, if anything."""
    return variables.get(VARIABLE) or None
