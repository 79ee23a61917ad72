"""A failed run leaves an empty output, whatever the author's code has put there; a result replaces that, too."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from pathlib import Path

import pytest

from algotools.federation.contract import get_contract

from ...conftest import OFF_LINE, CompletedRun, ManualNode
from ...processes import LIMIT, is_alive, wait_until, wait_until_dead
from .test_failures import check_failed, each_contract

CONTENTS = [
    "text", "new file", "link", "link to the input", "broken link", "folder", "pipe", "nothing", "no permissions",
]  # fmt: skip


def run(node: ManualNode, algorithm: Path, contract: str, method: str, **kwargs: object) -> CompletedRun:
    """Run a method of an image without a confinement."""
    kwargs = {"output": str(node.folder / "output"), **kwargs}
    request = get_contract(contract).make_request({"method": method, "kwargs": kwargs, "master": False})
    return node.run(node.environment(algorithm, request, contract, (), {"ALGOTOOLS_TIMEOUT": "6"}))


@each_contract
@pytest.mark.parametrize("content", CONTENTS)
def test_a_failed_run_leaves_an_empty_file(by_hand, misbehaving, contract: str, content: str) -> None:
    outcome = run(by_hand, misbehaving, contract, "puts", content=content, then="raises")
    check_failed(outcome, 40)
    assert stat.S_ISREG(os.lstat(by_hand.folder / "output").st_mode)
    assert (by_hand.folder / "input").read_bytes() != b""
    assert Path("/etc/passwd").read_bytes() != b""
    assert "info >" not in outcome.log.replace("info > prints", "").replace(OFF_LINE, "")


@pytest.mark.parametrize(
    ("then", "code"),
    [("exits", 43), ("killed", 44), ("writes into the channel", 43), ("sleeps", 45), ("returns a set", 42)],
)
def test_the_file_is_empty_in_whatever_way_the_run_fails(by_hand, misbehaving, then: str, code: int) -> None:
    check_failed(run(by_hand, misbehaving, "v4", "puts", content="text", then=then), code)


def test_the_file_is_empty_after_a_stop(by_hand, misbehaving) -> None:
    output = by_hand.folder / "output"
    arguments = {"output": str(output), "content": "text", "then": "sleeps"}
    posted = json.dumps({"method": "puts", "kwargs": arguments}).encode()
    with by_hand.start(by_hand.environment(misbehaving, posted, requested=())) as process:
        wait_until(output.read_bytes)
        for _ in range(3):
            process.terminate()
        _, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode == 47
    assert "Traceback" not in stderr
    assert output.read_bytes() == b""


@pytest.mark.parametrize("content", CONTENTS)
def test_a_result_replaces_what_the_function_has_put_there(by_hand, misbehaving, content: str) -> None:
    outcome = run(by_hand, misbehaving, "v4", "puts", content=content, then="returns")
    assert (outcome.code, outcome.output) == (0, b'"returned"'), outcome.log
    assert stat.S_ISREG(os.lstat(by_hand.folder / "output").st_mode)
    assert (by_hand.folder / "input").read_bytes() != outcome.output


@pytest.mark.parametrize("then", ["raises", "exits"])
@pytest.mark.parametrize("leaves_session", [False, True])
def test_a_surviving_process_cannot_write_into_the_file(by_hand, misbehaving, leaves_session: bool, then: str) -> None:
    outcome = run(by_hand, misbehaving, "v4", "writes_later", leaves_session=leaves_session, then=then)
    check_failed(outcome, 40 if then == "raises" else 43)
    time.sleep(0.2)
    assert (by_hand.folder / "output").read_bytes() == b""
    survivor = int((by_hand.folder / "output.process").read_text())
    # A process that leaves the session is adopted by process 1, which is the supervisor in a container, but not here.
    if leaves_session and is_alive(survivor):
        os.kill(survivor, signal.SIGKILL)
    wait_until_dead([survivor])


@pytest.mark.parametrize("way", ["process"], indirect=True)
@pytest.mark.parametrize("content", ["text", "link to the input"])
def test_the_process_runner_leaves_an_empty_file(call, content: str) -> None:
    check_failed(call("puts", content=content, output="", then="raises"), 40)
