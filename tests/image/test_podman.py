"""Podman's compatible socket, as ``DOCKER_HOST`` names it: the same commands, the same answers.

The test exists only where somebody has brought up such a socket for it, as ``.ci/run`` does.
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from ..conftest import AVERAGE, COMMAND

HOST = os.environ.get("ALGOTOOLS_TEST_PODMAN", "")
PYTHON_IMAGE = os.environ.get("ALGOTOOLS_TEST_PODMAN_PYTHON_IMAGE", "python:3.13-slim")


def algotools(*arguments: str) -> str:
    variables = {**os.environ, "DOCKER_HOST": HOST, "ALGOTOOLS_PYTHON_IMAGE": PYTHON_IMAGE}
    ended = subprocess.run([*COMMAND, *arguments], env=variables, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


if HOST:

    @pytest.mark.timeout(300)
    def test_built_inspected_and_run_in_every_way() -> None:
        tag = "localhost/average-on-podman:1.0.0"
        assert algotools("build", str(AVERAGE), "--tag", tag).startswith(tag)
        assert json.loads(algotools("inspect", tag, "--json"))["kind"] == "algorithm"
        for how in (["--runner", "container"], ["--as-node", "--contract", "v3"], ["--as-node", "--contract", "v4"]):
            told = algotools(
                "run", "master", "column_name=age", "--algorithm", tag, "--organizations", "2,3", "--json", *how,
                "--federation", str(AVERAGE / "federation.yaml"),
            )  # fmt: skip
            assert [item["result"] for item in json.loads(told)] == [{"average": 53.25}] * 2
