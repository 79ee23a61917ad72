"""Temporary files of a run are in its own folder, which the supervisor removes, however the run ends."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from algotools import Federation
from algotools.runtime.dispatch import scratch
from algotools.task import Database

from ...conftest import ALGORITHMS, ManualNode
from ...processes import LIMIT, wait_until

PRYING = ALGORITHMS / "prying"
ENDS = pytest.mark.parametrize(
    ("ends", "code"), [("returns", 0), ("raises", 40), ("exits", 43), ("killed", 44), ("sleeps", 45)]
)


def check_removed(notes: Path, temporary: Path) -> None:
    """Check that the run's own folder had DuckDB's spill and the other temporary files, and is removed."""
    spill, spilled = json.loads((notes / "spill").read_text())
    own_folder = Path(spill).parent
    assert own_folder.parent == temporary
    assert own_folder.name.startswith("algotools-")
    assert any("tmp" in name for name in spilled), "DuckDB has spilled nothing"
    assert os.listdir(temporary) == []
    assert (notes / "spill").exists(), "the target of a link was removed"


@ENDS
def test_nothing_is_left_in_a_container(by_hand: ManualNode, tmp_path: Path, ends: str, code: int) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    posted = json.dumps({"method": "spills", "kwargs": {"notes": str(tmp_path), "ends": ends}}).encode()
    variables = {"ALGOTOOLS_TIMEOUT": "8"}
    environment = by_hand.environment(PRYING, posted, variables=variables) | {"TMPDIR": str(temporary)}
    outcome = by_hand.run(environment)
    assert outcome.code == code, outcome.log
    check_removed(tmp_path, temporary)


@pytest.mark.parametrize("ends", ["killed", "sleeps"])
def test_nothing_is_left_by_the_process_runner(
    patients: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with Federation([patients], algorithm=PRYING, runner="process", timeout=8) as federation:
        posted = json.dumps({"method": "spills", "kwargs": {"notes": str(tmp_path), "ends": ends}}).encode()
        task = federation.post([2], posted, [Database("default")])
        assert federation.wait(task.id, LIMIT)
        (run,) = federation.task(task.id).runs
        assert run.status != "completed"
        wait_until(lambda: not any(name.startswith("algotools-") for name in os.listdir(temporary)))
    spill, _ = json.loads((tmp_path / "spill").read_text())
    assert Path(spill).parent.parent == temporary
    assert not Path(spill).parent.exists()


def test_without_a_writable_folder_there_is_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "PARENTS", ("/not there",))
    monkeypatch.setenv("TMPDIR", "/not there either")
    with scratch.make_scratch_folder() as variables:
        assert variables == {}


@pytest.mark.parametrize(("is_shared", "mode"), [(False, 0o700), (True, 0o1777)])
def test_only_another_user_needs_a_folder_for_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_shared: bool, mode: int
) -> None:
    monkeypatch.setattr(scratch, "PARENTS", (str(tmp_path),))
    monkeypatch.delenv("TMPDIR", raising=False)
    with scratch.make_scratch_folder(is_shared=is_shared) as variables:
        folder = Path(variables["TMPDIR"])
        assert folder.stat().st_mode & 0o7777 == mode
        assert folder.parent == tmp_path
    assert not folder.exists()
