"""The progress of calls from Python: on a terminal, in a notebook, and only on request elsewhere."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from ..processes import LIMIT

SOURCE = """
import sys, time
import pandas as pd
from algotools import AlgorithmClient, Federation, master, progress, rpc

@rpc
def count(data: pd.DataFrame, seconds: float) -> int:
    sys.stdout.write("counting\\n")
    progress(0.5, "half")
    time.sleep(seconds)
    return len(data)

@master
def total(client: AlgorithmClient, seconds: float) -> int:
    return sum(client.run(count, seconds=seconds))

nodes = {"north": pd.DataFrame({"x": range(50)}), "south": pd.DataFrame({"x": range(30)})}
"""

SCRIPT = (
    SOURCE
    + """
progress_ = {"None": None, "True": True, "False": False}[sys.argv[1]]
with Federation(nodes, algorithm=[count, total], progress=progress_) as federation:
    print("quick", federation.run(count, seconds=0.0))
    print("slow", federation.ask(total, seconds=1.6))
"""
)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    return file


@pytest.mark.parametrize("progress", ["None", "False", "True"])
def test_without_a_terminal_only_a_requested_progress_is_written(script: Path, progress: str) -> None:
    completed = subprocess.run(
        [sys.executable, script, progress], check=True, capture_output=True, text=True, timeout=LIMIT
    )
    assert [line for line in completed.stdout.splitlines() if line != "counting"] == ["quick [50, 30]", "slow 80"]
    lines = completed.stderr.splitlines()
    if progress == "True":
        assert lines
        assert lines[0].startswith("total: 0 of 1 completed, 1 active; 1 s; count: 0 of 2 completed, 2 active")
    else:
        assert lines == []


@pytest.mark.parametrize("progress", ["None", "False"])
def test_a_terminal_shows_a_table_that_disappears(script: Path, tmp_path: Path, progress: str) -> None:
    terminal, other_end = pty.openpty()
    environ = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTHONBREAKPOINT")}
    output = tmp_path / "output"
    with output.open("wb") as stdout:
        process = subprocess.Popen(
            [sys.executable, script, progress], stdout=stdout, stderr=other_end, env={**environ, "TERM": "xterm"}
        )
    os.close(other_end)
    shown = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the process has exited
            break
        if not part:
            break
        shown += part
    os.close(terminal)
    assert process.wait(LIMIT) == 0
    # What the script prints stays on standard output, also while the table is shown.
    assert sorted(output.read_text().splitlines()) == [*["counting"] * 4, "quick [50, 30]", "slow 80"]
    text = shown.decode()
    if progress == "False":
        assert text == ""
        return
    assert "  count" in text
    assert "50% half" in text
    assert "total: 0 of 1 completed, 1 active" in text
    assert "counting" not in text
    assert text.rstrip().endswith("\x1b[2K"), "the table is removed"


def test_a_notebook_shows_a_table_that_becomes_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    calls = """
    federation = Federation(nodes)
    quick = federation.run(count, seconds=0.0)
    """
    cells = [SOURCE, textwrap.dedent(calls), "federation.ask(total, seconds=1.6)", "federation.close()"]
    notebook = new_notebook(cells=list(map(new_code_cell, cells)))
    NotebookClient(notebook, timeout=int(LIMIT), kernel_name="python3").execute()
    _, quick, slow, _ = ([o for o in cell.outputs if o.output_type == "display_data"] for cell in notebook.cells)
    assert quick == []
    (shown,) = slow
    assert shown.metadata == {"algotools": {"kind": "progress"}}
    text = shown.data["text/plain"]
    assert "count: 2 of 2 completed" in text
    assert shown.data["text/html"].startswith("<pre>total: ")
    nbformat.validate(notebook)
