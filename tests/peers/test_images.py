"""Algorithms of the peers as images with their own commands, on our hardened runner and on the runner as-node."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import docker
import pytest

from algotools import Federation
from algotools.errors import FederationError
from algotools.federation import folders as owner
from algotools.federation.runners.containers import OWNER

from ..conftest import algotools
from ..processes import LIMIT
from .analysis import GENERATIONS, NODES, OURS, RESULTS, peer_results, runs
from .images import algorithm_image, list_python_images, peer_base

pytestmark = [pytest.mark.peers, pytest.mark.docker]

PeerImage = Callable[..., str]


@pytest.fixture(scope="module")
def peer_image(engine: docker.DockerClient, peer_python: Callable[[str], Path]) -> Iterator[PeerImage]:
    """Return a function that builds the image of a generation's algorithm, with optional extra lines."""
    bases: dict[str, str] = {}
    images: dict[tuple[str, str], str] = {}
    with ExitStack() as cleanup:

        def get_image(generation: str, extra_lines: str = "") -> str:
            if generation not in bases:
                bases[generation] = cleanup.enter_context(peer_base(engine, generation, peer_python(generation)))
            if (generation, extra_lines) not in images:
                image = algorithm_image(engine, f"peer_{generation}", bases[generation], extra_lines, len(images))
                images[generation, extra_lines] = cleanup.enter_context(image)
            return images[generation, extra_lines]

        yield get_image


@pytest.fixture(autouse=True)
def no_containers_remain(engine: docker.DockerClient) -> Iterator[None]:
    """Check that no container of this process outlives a test. Other processes may have containers."""
    yield
    label_filter = {"label": f"{OWNER}={owner.identify_process()}"}
    assert engine.containers.list(all=True, filters=label_filter, ignore_removed=True) == []


def run_master(federation: Federation) -> list[Any]:
    """Return the result of the master at one organization, which uses the data of all organizations."""
    [run] = runs(federation, "central", [3], column="age")
    assert run.status == "completed", f"{federation.failure(run)}\n{run.log}"
    return [federation.answer(run)]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_an_unchanged_image_gives_the_same_results_and_statuses_as_ours(peer_image: PeerImage, generation: str) -> None:
    with Federation(NODES, algorithm=peer_image(generation), runner="container") as peers:
        assert peers.contract == generation  # detected inside of the image
        assert run_master(peers) == peer_results(generation)["central"]
        [failed] = runs(peers, "fails", [2])
        failure = peers.failure(failed)
    assert failed.status == "crashed"
    assert failure is not None
    assert failure.message.endswith("it is broken")
    assert "Traceback" in failure.detail or generation == "v3"


def test_our_algorithm_as_an_image_gives_the_same_results(base_image: str) -> None:
    """`tests/conformance` runs a master in containers on each generation."""
    with Federation(NODES, algorithm=OURS, runner="container", contract="v5") as ours:
        assert run_master(ours) == RESULTS["central"]


def test_the_runner_as_node_gives_the_same_results(peer_image: PeerImage) -> None:
    """`tests/conformance` runs masters as v3's node starts them."""
    with Federation(NODES, algorithm=peer_image("v4"), runner="as-node") as peers:
        assert run_master(peers) == peer_results("v4")["central"]


def test_the_wrapper_finds_databases_variables_and_the_jobs_folder(peer_image: PeerImage, tmp_path: Path) -> None:
    (tmp_path / "ages.csv").write_text("age\n1\n")
    (tmp_path / "other.csv").write_text("height\n3\n")
    databases = {"default": {"uri": "ages.csv", "user": "bob"}, "other": "other.csv"}
    organization = {"name": "first", "databases": databases, "algorithm_env": {"GREETING": "hello world"}}
    (tmp_path / "federation.yaml").write_text(json.dumps({"organizations": [organization]}))
    with Federation.from_file(
        tmp_path / "federation.yaml", algorithm=peer_image("v4"), runner="container", timeout=LIMIT
    ) as peers:
        assert peers.run("two", databases=["default", "other"]) == [
            [["height"], ["age"]]
        ]  # the reverse order of v4's decorator
        [result] = peers.run("variables")
    assert result["greeting"] == "hello world"
    assert result["option"] == "bob"
    assert result["kept"] == ["kept"]
    assert result["files"] == [True, True, True]


def test_the_command_line_runs_an_image_without_a_federation_file(peer_image: PeerImage, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("age\n1\n2\n")
    completed = algotools(
        "run", "central", "column=age", "--algorithm", peer_image("v3"), "--runner", "container", "--json",
        "--data", str(tmp_path / "a.csv"),
    )  # fmt: skip
    assert completed.returncode == 0, completed.stderr
    assert json.loads(completed.stdout)[0]["result"]["average"] == 1.5


START = "from vantage6.algorithm.tools.wrap import wrap_algorithm; wrap_algorithm()"


@pytest.mark.parametrize("name", ["python3", ""])
def test_a_master_reaches_the_api_with_any_name_of_python_in_its_image(
    peer_image: PeerImage, base_image: str, name: str
) -> None:
    """Requests are relayed by the Python of the image, otherwise by the Python of our base image."""
    start_lines = (
        f'RUN cp "$(command -v python3)" /usr/local/bin/peculiar\nCMD ["/usr/local/bin/peculiar", "-c", "{START}"]'
    )
    hiding_lines = "RUN rm -f /usr/local/bin/python /usr/bin/python\n" if name else "ENV PATH=/nowhere\n"
    image = peer_image("v4", f"{start_lines}\n{hiding_lines}")
    options: dict[str, Any] = {"algorithm": image, "runner": "container"}
    if not name:
        with pytest.raises(FederationError, match=r"no Python that could report.*--contract"):
            Federation(NODES, **options)
        options["contract"] = "v4"
    with Federation(NODES[:1], **options) as peers:
        [run] = runs(peers, "central", [2], column="age")
        assert peers.answer(run) == {"average": 1.5, "count": 2, "organizations": [2], "order": [2]}, run.log


def test_an_image_without_tools_is_refused_with_its_python_version(engine: docker.DockerClient) -> None:
    image = next(list_python_images(engine))
    with pytest.raises(FederationError, match=r"Python 3\.\d+\.\d+\): neither algotools nor"):
        Federation(NODES, algorithm=image, runner="container")


def test_an_overdue_run_is_stopped(peer_image: PeerImage) -> None:
    with Federation(NODES, algorithm=peer_image("v4"), runner="container", timeout=5) as peers:
        [run] = runs(peers, "waits", [2], seconds=600)
        failure = peers.failure(run)
    assert failure is not None
    assert (failure.exit_code, failure.message) == (45, "the run did not end within its limit of 5 s")


def test_images_of_a_federation_file_must_have_its_generation(peer_image: PeerImage, tmp_path: Path) -> None:
    (tmp_path / "ages.csv").write_text("age\n1\n")
    organization = {"name": "first", "databases": {"default": "ages.csv"}}
    file = tmp_path / "federation.yaml"
    file.write_text(json.dumps({"organizations": [organization], "images": {"theirs": peer_image("v3")}}))
    content = {"method": "partial", "kwargs": {"column": "age"}}
    for contract, status in ((None, "start failed"), ("v3", "completed")):
        with Federation.from_file(file, runner="container", contract=contract) as peers:
            task = peers.client().task.create(collaboration=1, organizations=[2], image="theirs", input=content)
            assert peers.wait(task["id"], LIMIT)
            [run] = peers.task(task["id"]).runs
            assert run.status == status
            if contract is None:
                failure = peers.failure(run)
                assert failure is not None
                assert "is made for v3, but this federation imitates v4" in failure.message
