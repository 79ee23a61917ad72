"""An image is built from a project, pushed, removed, pulled by its digest, and run by each runner of images."""

from __future__ import annotations

import contextlib
import subprocess
from typing import Any

import docker
import pytest
from docker.errors import ImageNotFound

from algotools import Federation

from ..conftest import AVERAGE, COMMAND, default_policy
from ..image.conftest import Registry
from ..processes import LIMIT

pytestmark = pytest.mark.docker


def run_manual(image: str, runner: Any, contract: str) -> list[object]:
    """Run the manual's master, which uses the data of the organizations 2 and 3, and return the results.

    The owners of the nodes have not set a policy.
    """
    with default_policy():
        federation = Federation.from_file(AVERAGE / "federation.yaml", runner=runner, contract=contract)
    with federation:
        client = federation.client()
        task = client.task.create(
            collaboration=1,
            organizations=[2],
            name="an-awesome-task",
            image=image,
            description="",
            input={"method": "master", "kwargs": {"column_name": "age", "organizations": [2, 3]}, "master": True},
            data_format="json",
        )
        assert federation.wait(task["id"], LIMIT)
        return [item["result"] for item in client.result.list(task=task["id"])["data"]]


def test_from_a_project_to_the_result(engine: docker.DockerClient, registry: Registry) -> None:
    tag = f"{registry.address}/demo/average:1.0.0"
    built = subprocess.run(
        [*COMMAND, "build", str(AVERAGE), "--tag", tag, "--push"], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    image_line, digest = built.stdout.splitlines()
    assert image_line.startswith(tag)
    assert digest.startswith(f"{registry.address}/demo/average@sha256:")

    engine.images.remove(tag, force=True)
    with contextlib.suppress(ImageNotFound):
        engine.images.remove(digest, force=True)
    with pytest.raises(ImageNotFound):
        engine.images.get(digest)

    inspected = subprocess.run([*COMMAND, "inspect", digest], capture_output=True, text=True, check=False)
    assert "average_partial" in inspected.stdout, inspected.stderr
    try:
        # `tests/conformance` runs a master with each runner on each generation, so here each runner has one generation.
        for runner, contract in (("container", "v5"), ("as-node", "v3")):
            assert run_manual(digest, runner, contract) == [{"average": 53.25}]
    finally:
        engine.images.remove(digest, force=True)
