"""The author's day on a fresh project of each kind: tests, run, check, build, push; then the image at nodes."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import docker
import pytest
from docker.errors import ImageNotFound

from ..image.conftest import Registry, registry
from .conftest import ARGUMENTS, TITLES, Make, algotools, tool

__all__ = ["registry"]  # a fixture of the images' tests

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


def result(folder: Path, kind: str, *options: str) -> object:
    """What a master at one node answers, for the rows of all three."""
    one_asks_all = ["organizations:=[2, 3, 4]", "--organizations", "2"]
    ended = algotools("run", "master", *ARGUMENTS[kind], *one_asks_all, "--json", *options, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    [item] = json.loads(ended.stdout)
    return item["result"]


@pytest.mark.parametrize("kind", TITLES)
def test_from_a_title_to_an_answer_of_real_nodes(
    kind: str, make: Make, engine: docker.DockerClient, base_image: str, registry: Registry
) -> None:
    folder = make(TITLES[kind], "--kind", kind, "--registry", registry.address, "--image-name", f"demo/{kind}")
    assert tool("pytest", "-q", cwd=folder).returncode == 0
    here = result(folder, kind)
    ended = algotools("check", cwd=folder)
    assert ended.returncode == 0, ended.stdout
    tag = f"{registry.address}/demo/{kind}:1.0.0"
    digest = tag
    try:
        built = algotools("build", cwd=folder)
        assert built.returncode == 0, built.stderr
        assert built.stdout.startswith(f"{tag} ")
        pushed = algotools("push", tag, cwd=folder)
        assert pushed.returncode == 0, pushed.stderr
        digest = pushed.stdout.strip()
        engine.images.remove(tag, force=True)  # a node has nothing but its name
        for contract in ("v3", "v4"):
            at_a_node = result(folder, kind, "--algorithm", digest, "--as-node", "--contract", contract)
            assert at_a_node == here
    finally:
        for image in {tag, digest}:
            with contextlib.suppress(ImageNotFound):
                engine.images.remove(image, force=True)
