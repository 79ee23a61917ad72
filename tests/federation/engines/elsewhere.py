"""An engine whose processes act as if they were on another machine: nothing of the federation is at its path there."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from algotools.federation.engines import _code, _files, _reception


def make_pool(folder: Path, workers: int = 2, prepare: Callable[[], object] | None = None) -> ProcessPoolExecutor:
    """Return a pool whose processes have their temporary files in *folder*.

    Each received file is a line of ``transfers.log`` beside the folder: the process id and the name.

    Args:
        folder: the folder for temporary files.
        workers: the number of processes.
        prepare: a function that each process calls first.
    """
    folder.mkdir()

    def initialize() -> None:
        os.environ["TMPDIR"] = str(folder)
        tempfile.tempdir = None
        receive, find = _reception.receive_file, _code.find_in_place

        def receive_file(connection: object, facts: _files.FileFacts, target: Path) -> None:
            with (folder.parent / "transfers.log").open("a", encoding="utf-8") as log:
                log.write(f"{os.getpid()} {facts.name}\n")
            receive(connection, facts, target)  # type: ignore[arg-type]

        _reception.receive_file = receive_file  # type: ignore[assignment]
        _reception._has_marker = lambda marker: False
        _files.is_same = lambda facts: False
        _code.find_in_place = lambda facts: find(facts) if facts.kind == "installed" else None
        if prepare is not None:
            prepare()

    # The processes are forked, so the functions above need not be imported.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), initialize)


def read_transfers(folder: Path) -> list[str]:
    """Return the received files of the engine with *folder*."""
    log = folder.parent / "transfers.log"
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []
