"""The author's commands on a fresh project of each kind: pytest, run, check, build, push; then the image at nodes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path

import docker
import pytest
from docker.errors import ImageNotFound

from ...image.conftest import PASSWORD, USER, Registry
from .conftest import ARGUMENTS, TITLES, Make, algotools, tool
from .test_generated import script_folder, steps

pytestmark = pytest.mark.docker


# The images of all kinds exchange the same files with a node, so no kind runs on all generations.
CONTRACTS = {"pooled": ("v3", "v5"), "average": ("v4",), "iterative": ("v4",)}


def result(folder: Path, kind: str, *options: str) -> object:
    """Return the result of a master at one node that uses the rows of all three nodes."""
    arguments = ["organizations:=[2, 3, 4]", "--organizations", "2"]
    if kind == "iterative":
        arguments.append("tolerance:=0.5")  # three rounds, and as many containers at each node
    # `tests/cli/test_run_probes.py` probes; in containers that takes half a minute.
    completed = algotools("run", "master", *ARGUMENTS[kind], *arguments, "--json", "--no-probe", *options, cwd=folder)
    assert completed.returncode == 0, completed.stderr
    [item] = json.loads(completed.stdout)
    return item["result"]


def round_numbers(value: object) -> object:
    """Round the numbers of a result: another number of processors in a container adds them up in another order."""
    if isinstance(value, dict):
        return {key: round_numbers(item) for key, item in value.items()}
    return float(f"{value:.10g}") if isinstance(value, float) else value


@pytest.mark.parametrize("kind", TITLES)
def test_a_new_project_gives_the_same_result_at_nodes(
    kind: str, make: Make, engine: docker.DockerClient, base_image: str, registry: Registry
) -> None:
    folder = make(TITLES[kind], "--kind", kind, "--registry", registry.address, "--image-name", f"demo/{kind}")
    assert tool("pytest", "-q", cwd=folder).returncode == 0
    local_result = result(folder, kind)
    completed = algotools("check", cwd=folder)
    assert completed.returncode == 0, completed.stdout
    tag = f"{registry.address}/demo/{kind}:1.0.0"
    digest = tag
    try:
        built = algotools("build", cwd=folder)
        assert built.returncode == 0, built.stderr
        assert built.stdout.startswith(f"{tag} ")
        pushed = algotools("push", tag, cwd=folder)
        assert pushed.returncode == 0, pushed.stderr
        digest = pushed.stdout.strip()
        engine.images.remove(tag, force=True)  # a node knows only the name of the image
        for contract in CONTRACTS[kind]:
            runner = ("--runner", "container") if contract == "v5" else ("--as-node",)  # v5's nodes are clusters
            node_result = result(folder, kind, "--algorithm", digest, *runner, "--contract", contract)
            assert round_numbers(node_result) == round_numbers(local_result)
    finally:
        for image in {tag, digest}:
            with contextlib.suppress(ImageNotFound):
                engine.images.remove(image, force=True)


@pytest.mark.parametrize(
    ("file", "tag"), [(".github/workflows/ci.yml", "GITHUB_REF_NAME"), (".gitlab-ci.yml", "CI_COMMIT_TAG")]
)
def test_the_image_job_of_a_pipeline_builds_and_pushes_the_tagged_version(
    file: str,
    tag: str,
    make: Make,
    tmp_path: Path,
    engine: docker.DockerClient,
    base_image: str,
    guarded_registry: Registry,
) -> None:
    address = guarded_registry.address
    name = f"{address}/demo/average"
    folder = make("Cohort Mean", "--registry", address, "--image-name", name.removeprefix(f"{address}/"))
    home, summary = tmp_path / "home", tmp_path / "summary"
    home.mkdir()
    environment = {
        **os.environ,
        "PATH": f"{script_folder(tmp_path)}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "REGISTRY_USER": USER,
        "REGISTRY_PASSWORD": PASSWORD,
        "GITHUB_STEP_SUMMARY": str(summary),
        tag: "v1.0.0",
    }
    environment.pop("DOCKER_CONFIG", None)
    try:
        output = ""
        for command in steps(folder, file, "image"):
            if "pip install" not in command:  # `test_installed.py` installs
                completed = subprocess.run(
                    ["bash", "-eo", "pipefail", "-c", command],
                    cwd=folder, env=environment, capture_output=True, text=True, check=False,
                )  # fmt: skip
                assert completed.returncode == 0, completed.stderr
                output += completed.stdout
        digest = output.splitlines()[-1]
        assert digest.startswith(f"{name}@sha256:")
        assert file.startswith(".gitlab") or digest in summary.read_text()
    finally:
        with contextlib.suppress(ImageNotFound):
            engine.images.remove(f"{name}:1.0.0", force=True)
