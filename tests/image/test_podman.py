"""Podman's compatible socket, which ``DOCKER_HOST`` names, gives the same results as Docker.

The test exists only if the environment names such a socket, as ``.ci/run`` does.
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from ..conftest import AVERAGE, COMMAND

pytestmark = pytest.mark.docker  # without Docker, `.ci/run` has no image to load into Podman

HOST = os.environ.get("ALGOTOOLS_TEST_PODMAN", "")
PYTHON_IMAGE = os.environ.get("ALGOTOOLS_TEST_PODMAN_PYTHON_IMAGE", "python:3.13-slim")


def algotools(*arguments: str) -> str:
    variables = {**os.environ, "DOCKER_HOST": HOST, "ALGOTOOLS_PYTHON_IMAGE": PYTHON_IMAGE}
    process = subprocess.run([*COMMAND, *arguments], env=variables, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return process.stdout


if HOST:

    def test_an_image_is_built_inspected_and_run_by_each_runner() -> None:
        tag = "localhost/average-on-podman:1.0.0"
        assert algotools("build", str(AVERAGE), "--tag", tag).startswith(tag)
        assert json.loads(algotools("inspect", tag, "--json"))["kind"] == "algorithm"
        for way in (["--runner", "container"], ["--as-node", "--contract", "v3"]):
            output = algotools(
                "run", "master", "column_name=age", "organizations:=[2]", "--algorithm", tag, "--organizations", "2",
                *way, "--json", "--no-probe", "--federation", str(AVERAGE / "federation.yaml"),
            )  # fmt: skip
            assert [item["result"] for item in json.loads(output)] == [{"average": 63.25}]
