"""Other people's algorithms as images, with the command that they have: on our hardened runner, and just as a node."""

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
from algotools.federation import owner
from algotools.federation.runners.containers import OWNER

from ..conftest import algotools
from .analysis import ANSWERS, GENERATIONS, NODES, OURS, answers, runs
from .images import algorithm_image, candidates, peer_base

pytestmark = [pytest.mark.peers, pytest.mark.docker]

PeerImage = Callable[..., str]


@pytest.fixture(scope="module")
def peer_image(engine: docker.DockerClient, peer_python: Callable[[str], Path]) -> Iterator[PeerImage]:
    """Gives the image of a generation's algorithm, or one that begins with its Dockerfile; removed at the end."""
    bases: dict[str, str] = {}
    images: dict[tuple[str, str], str] = {}
    with ExitStack() as made:

        def of(generation: str, more: str = "") -> str:
            if generation not in bases:
                bases[generation] = made.enter_context(peer_base(engine, generation, peer_python(generation)))
            if (generation, more) not in images:
                image = algorithm_image(engine, f"peer_{generation}", bases[generation], more, len(images))
                images[generation, more] = made.enter_context(image)
            return images[generation, more]

        yield of


@pytest.fixture(autouse=True)
def nothing_left(engine: docker.DockerClient) -> Iterator[None]:
    """No container of this process outlives a test; other tests may have theirs beside it."""
    yield
    mine = {"label": f"{OWNER}={owner.this_process()}"}
    assert engine.containers.list(all=True, filters=mine, ignore_removed=True) == []


def pooled(federation: Federation) -> list[Any]:
    """What the master of one organization makes of all organizations' answers."""
    [run] = runs(federation, "central", [3], column="age")
    assert run.status == "completed", f"{federation.failure(run)}\n{run.log}"
    return [federation.answer(run)]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_same_results_and_statuses_as_ours_from_the_image_as_it_is(peer_image: PeerImage, generation: str) -> None:
    with Federation(NODES, algorithm=peer_image(generation), runner="container") as peers:
        assert peers.contract == generation  # found out inside
        assert pooled(peers) == answers(generation)["central"]
        [failed] = runs(peers, "fails", [2])
        failure = peers.failure(failed)
    assert failed.status == "crashed"
    assert failure is not None
    assert failure.message.endswith("it is broken")
    assert "Traceback" in failure.detail or generation == "v3"


@pytest.mark.parametrize("generation", GENERATIONS)
def test_ours_as_an_image_gives_the_same(base_image: str, generation: str) -> None:
    with Federation(NODES, algorithm=OURS, runner="container", contract=generation) as ours:
        assert pooled(ours) == ANSWERS["central"]


@pytest.mark.parametrize("generation", ["v3", "v4"])
def test_just_as_a_node_it_gives_the_same(peer_image: PeerImage, generation: str) -> None:
    with Federation(NODES, algorithm=peer_image(generation), runner="as-node") as peers:
        assert pooled(peers) == answers(generation)["central"]


def test_databases_variables_and_the_job_s_folder_are_where_the_wrapper_looks(
    peer_image: PeerImage, tmp_path: Path
) -> None:
    (tmp_path / "ages.csv").write_text("age\n1\n")
    (tmp_path / "other.csv").write_text("height\n3\n")
    databases = {"default": {"uri": "ages.csv", "user": "bob"}, "other": "other.csv"}
    organization = {"name": "first", "databases": databases, "algorithm_env": {"GREETING": "hello world"}}
    (tmp_path / "federation.yaml").write_text(json.dumps({"organizations": [organization]}))
    with Federation.from_file(
        tmp_path / "federation.yaml", algorithm=peer_image("v4"), runner="container", timeout=60
    ) as peers:
        assert peers.run("two", databases=["default", "other"]) == [
            [["height"], ["age"]]
        ]  # as v4's decorator gives them
        [found] = peers.run("variables")
    assert found["greeting"] == "hello world"
    assert found["option"] == "bob"
    assert found["kept"] == ["kept"]
    assert found["files"] == [True, True, True]


def test_the_command_line_runs_an_image_that_nobody_described(peer_image: PeerImage, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("age\n1\n2\n")
    ended = algotools(
        "run", "central", "column=age", "--algorithm", peer_image("v3"), "--runner", "container", "--json",
        "--data", str(tmp_path / "a.csv"),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)[0]["result"]["average"] == 1.5


START = "from vantage6.algorithm.tools.wrap import wrap_algorithm; wrap_algorithm()"


@pytest.mark.parametrize("name", ["python3", ""])
def test_a_master_reaches_the_api_whatever_python_is_called_in_its_image(
    peer_image: PeerImage, base_image: str, name: str
) -> None:
    """It is relayed by the image's own Python, else by that of an image of ours."""
    own = f'RUN cp "$(command -v python3)" /usr/local/bin/peculiar\nCMD ["/usr/local/bin/peculiar", "-c", "{START}"]'
    hide = "RUN rm -f /usr/local/bin/python /usr/bin/python\n" if name else "ENV PATH=/nowhere\n"
    image = peer_image("v4", f"{own}\n{hide}")
    options: dict[str, Any] = {"algorithm": image, "runner": "container"}
    if not name:
        with pytest.raises(FederationError, match=r"no Python that could be asked.*--contract"):
            Federation(NODES, **options)
        options["contract"] = "v4"
    with Federation(NODES[:1], **options) as peers:
        [run] = runs(peers, "central", [2], column="age")
        assert peers.answer(run) == {"average": 1.5, "count": 2, "organizations": [2], "order": [2]}, run.log


def test_an_image_without_the_tools_is_refused_with_what_it_has(engine: docker.DockerClient) -> None:
    image = next(candidates(engine))
    with pytest.raises(FederationError, match=r"Python 3\.\d+\.\d+\): there are neither algotools nor"):
        Federation(NODES, algorithm=image, runner="container")


def test_an_overdue_run_is_ended(peer_image: PeerImage) -> None:
    with Federation(NODES, algorithm=peer_image("v4"), runner="container", timeout=5) as peers:
        [run] = runs(peers, "waits", [2], seconds=600)
        failure = peers.failure(run)
    assert failure is not None
    assert (failure.exit_code, failure.message) == (45, "the run did not end within its limit of 5 s")


def test_images_of_a_federation_s_file_speak_what_the_federation_does(peer_image: PeerImage, tmp_path: Path) -> None:
    (tmp_path / "ages.csv").write_text("age\n1\n")
    organization = {"name": "first", "databases": {"default": "ages.csv"}}
    file = tmp_path / "federation.yaml"
    file.write_text(json.dumps({"organizations": [organization], "images": {"theirs": peer_image("v3")}}))
    content = {"method": "partial", "kwargs": {"column": "age"}}
    for contract, status in ((None, "start failed"), ("v3", "completed")):
        with Federation.from_file(file, runner="container", contract=contract) as peers:
            task = peers.client().task.create(collaboration=1, organizations=[2], image="theirs", input=content)
            assert peers.wait(task["id"], 60)
            [run] = peers.task(task["id"]).runs
            assert run.status == status
            if contract is None:
                failure = peers.failure(run)
                assert failure is not None
                assert "speaks v3, but this federation v4" in failure.message
