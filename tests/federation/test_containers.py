"""Runs in containers: the same answers, in a cage; and nothing left of them, whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import pandas as pd
import pytest
from docker.errors import APIError, NotFound

from algotools import Federation
from algotools.errors import FederationError
from algotools.federation.runners.containers import OWNER, Containers, remove_leftovers

from ..conftest import ALGORITHMS, AVERAGE

pytestmark = pytest.mark.docker

CAGED = ALGORITHMS / "caged"


@pytest.fixture
def ours(engine: docker.DockerClient) -> Iterator[Callable[[], list[str]]]:
    """What containers and volumes of federations there are; at the end of a test there must be none."""

    def found() -> list[str]:
        containers = engine.containers.list(all=True, filters={"label": OWNER}, ignore_removed=True)
        volumes = engine.volumes.list(filters={"label": OWNER})
        return [str(thing.name) for thing in (*containers, *volumes)]

    yield found
    assert found() == []


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "patients.csv"
    path.write_text("age\n50\n60\n")
    return path


def outcome(federation: Federation, method: str, organizations: list[int] | None = None, **kwargs: object) -> Any:
    """The answer of the first run, or its failure."""
    input_ = {"method": method, "kwargs": kwargs}
    task = federation.client().task.create(collaboration=1, organizations=organizations or [2], input=input_)
    assert federation.wait(task["id"], 100)
    run = federation.task(task["id"]).runs[0]
    return federation.failure(run) or federation.answer(run)


@pytest.fixture
def service() -> Iterator[tuple[str, int]]:
    """Something that listens on every address of this machine, and the address at which a bridge would reach it."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        yield "172.17.0.1", server.getsockname()[1]


@pytest.mark.parametrize(
    ("method", "api"), [("surroundings", "ConnectionRefusedError"), ("surroundings_of_a_master", "done")]
)
def test_a_run_reaches_the_api_if_it_is_a_master_and_nothing_else(
    ours: object, database: Path, service: tuple[str, int], method: str, api: str
) -> None:
    host, port = service
    with Federation([database], algorithm=CAGED, runner="container", memory="600m") as federation:
        found = outcome(federation, method, host=host, port=port)
    assert found == {
        "user": [os.getuid(), os.getgid()],
        "capabilities": "0000000000000000",
        "bounding": "0000000000000000",
        "no new privileges": "1",
        "interfaces": found["interfaces"],
        "host": "OSError",  # the network is unreachable
        "api": api,
        "root": found["root"],
        "code": found["code"],
        "tmp": "done",
        "sockets": [],
        "memory": 600 << 20,
        "processes": 512,
    }
    assert {found["root"], found["code"]} <= {"OSError", "PermissionError"}  # read-only, or not allowed to begin with
    assert "eth0" not in found["interfaces"]


def test_databases_cannot_be_changed(ours: object, database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    (folder / "part.csv").write_text("age\n1\n")
    with Federation([database, folder], algorithm=CAGED, runner="container") as federation:
        file = outcome(federation, "databases", [2])
        whole = outcome(federation, "databases", [3])
    assert file == {"path": "/mnt/data/default.csv", "content": "age\n50\n60\n", "append": file["append"]}
    assert whole == {"path": "/mnt/default", "content": ["part.csv"], "append": whole["append"]}
    assert {file["append"], whole["append"]} <= {"OSError", "PermissionError"}
    assert database.read_text() == "age\n50\n60\n"


def test_two_labels_of_one_file_are_both_there(ours: object, database: Path) -> None:
    with Federation([{"default": database, "other": database}], algorithm=CAGED, runner="container") as federation:
        client = federation.client()
        for label in ("default", "other"):
            asked = {"method": "databases", "kwargs": {}}
            task = client.task.create(collaboration=1, organizations=[2], input=asked, databases=[{"label": label}])
            assert federation.wait(task["id"], 100)
            assert federation.answer(federation.task(task["id"]).runs[0])["content"] == "age\n50\n60\n"


@pytest.mark.parametrize("runner", ["container", "as-node"])
def test_runs_of_one_job_share_the_temporary_folder(ours: object, database: Path, runner: Any) -> None:
    with Federation([database, database], algorithm=CAGED, runner=runner) as federation:
        assert outcome(federation, "keeps_twice", [2]) == ["a"]
        assert outcome(federation, "keeps", [2], text="c") == ""  # another job


def test_too_much_memory_is_said(ours: object, database: Path) -> None:
    with Federation([database], algorithm=CAGED, runner="container", memory="200m") as federation:
        failure = outcome(federation, "takes_memory", megabytes=500)
        assert failure.exit_code == 44
        assert "memory ran out" in failure.message
        assert outcome(federation, "takes_all_memory_in_one_process", megabytes=500) == -signal.SIGKILL


def test_too_many_processes_are_refused(ours: object, database: Path) -> None:
    with Federation([database], algorithm=CAGED, runner="container") as federation:
        assert outcome(federation, "takes_processes") == "BlockingIOError"


@pytest.mark.parametrize("runner", ["container", "as-node"])
def test_a_run_that_does_not_end_is_ended(ours: object, database: Path, runner: Any) -> None:
    with Federation([database], algorithm=CAGED, runner=runner, timeout=2) as federation:
        failure = outcome(federation, "speaks_and_waits", seconds=600)
    assert failure.exit_code == 45
    assert failure.message == "the run did not end within its limit of 2 s"


@pytest.mark.parametrize("runner", ["container", "as-node"])
def test_lines_come_while_it_runs_and_prints_are_for_the_owner(ours: object, database: Path, runner: Any) -> None:
    seen: list[tuple[str, str]] = []
    with Federation(
        [database], algorithm=CAGED, runner=runner, listen=lambda run, line: seen.append((run.status, line))
    ) as federation:
        assert outcome(federation, "speaks_and_waits", seconds=0.5) == "done"
        assert "for the owner" in federation.task(1).runs[0].detail
    lines = [line for _, line in seen if "keeps the one" not in line]
    assert lines == ["info > before", "info > after"]
    assert {status for status, _ in seen} == {"active"}
    assert not any("for the owner" in line for _, line in seen)


def test_closing_a_federation_ends_its_containers(ours: Callable[[], list[str]], database: Path) -> None:
    federation = Federation([database], algorithm=CAGED, runner="container")
    input_ = {"method": "speaks_and_waits", "kwargs": {"seconds": 600}}
    task = federation.client().task.create(collaboration=1, organizations=[2], input=input_)
    until(lambda: federation.task(task["id"]).runs[0].log)
    federation.close()
    until(lambda: not ours())
    assert federation.task(task["id"]).runs[0].status == "killed by user"


@contextlib.contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", "from algotools.cli import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CAGED,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until_it_runs(log: Iterable[str]) -> None:
    """Wait for the function's own first line."""
    assert any("info > before" in line for line in log)


def until(true: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_closing_waits_for_a_removal_that_has_begun(
    engine: docker.DockerClient, base_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    containers = Containers(docker.from_env())
    container = engine.containers.create(base_image, labels={OWNER: containers._owner})
    containers._mine.add(str(container.id))

    def being_removed(id_: str, **options: bool) -> None:
        """Another thread has been quicker, and the engine is slow."""
        later = threading.Timer(0.5, engine.api.remove_container, (id_,), {"force": True})
        later.start()
        raise APIError("conflict", response=SimpleNamespace(status_code=409))

    monkeypatch.setattr(containers.client.api, "remove_container", being_removed)
    containers.close()
    with pytest.raises(NotFound):
        engine.containers.get(str(container.id))


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("runner", ["container", "as-node"])
def test_ctrl_c_leaves_nothing(
    ours: Callable[[], list[str]], database: Path, runner: str, sent: signal.Signals, code: int
) -> None:
    asked = ("run", "speaks_and_waits", "seconds:=600", "--runner", runner, "--data", str(database))
    with command(*asked) as process:
        assert process.stderr is not None
        until_it_runs(process.stderr)
        process.send_signal(sent)
        assert process.wait(30) == code
        said = process.stderr.read()
    assert "Traceback" not in said
    assert ours() == []


@pytest.mark.parametrize("runner", ["container", "as-node"])
def test_what_a_crash_leaves_is_removed_at_the_next_start(
    ours: Callable[[], list[str]], database: Path, runner: Any
) -> None:
    asked = ("run", "speaks_and_waits", "seconds:=600", "--runner", runner, "--data", str(database))
    with command(*asked) as process:
        assert process.stderr is not None
        until_it_runs(process.stderr)
        process.kill()
        process.wait(30)
    assert ours() != []
    with Federation([database], algorithm=CAGED, runner=runner) as federation:
        assert outcome(federation, "speaks_and_waits", seconds=0) == "done"


def test_a_federation_leaves_alone_what_belongs_to_one_that_lives(ours: object, database: Path) -> None:
    with Federation([database], algorithm=CAGED, runner="container") as one:
        input_ = {"method": "speaks_and_waits", "kwargs": {"seconds": 3}}
        task = one.client().task.create(collaboration=1, organizations=[2], input=input_)
        until(lambda: one.task(task["id"]).runs[0].log)
        with Federation([database], algorithm=CAGED, runner="container") as other:
            assert outcome(other, "speaks_and_waits", seconds=0) == "done"
        assert one.wait(task["id"], 60)
        assert one.task(task["id"]).runs[0].status == "completed"


@pytest.mark.parametrize("runner", ["container", "as-node"])
@pytest.mark.parametrize("contract", ["v3", "v4"])
def test_frames_and_images_by_name(ours: object, average_image: str, runner: Any, contract: str) -> None:
    frames = [pd.DataFrame({"age": [50, 60]}), pd.DataFrame({"age": [70]})]
    with Federation(frames, algorithm=average_image, runner=runner, contract=contract) as federation:
        input_ = {"method": "master", "kwargs": {"column_name": "age"}, "master": True}
        task = federation.client().task.create(collaboration=1, organizations=[2, 3], input=input_)
        assert federation.wait(task["id"], 100)
        assert [federation.answer(run) for run in federation.task(task["id"]).runs] == [{"average": 60}] * 2


def test_a_session_of_v5(ours: object, average_image: str) -> None:
    nodes = [AVERAGE / "data" / f"org{number}.csv" for number in (1, 2)]
    with Federation(nodes, algorithm=average_image, runner="container", contract="v5") as federation:
        client = federation.client()
        table = client.dataframe.create("default", method="read_csv", name="people")
        maker = federation.task(table["last_session_task"]["id"])
        asked: dict[str, Any] = {"arguments": {"column_name": "age"}, "databases": [{"dataframe_id": table["id"]}]}
        central = client.task.create(1, [2, 3], method="master", action="central_compute", **asked)
        partial = client.task.create(1, [3], method="average_partial", action="federated_compute", **asked)
        for id_ in (maker.id, central["id"], partial["id"]):
            assert federation.wait(id_, 100)
        assert [(federation.failure(run), run.output) for run in maker.runs] == [(None, b"")] * 2
        assert client.dataframe.get(table["id"])["organizations_ready"] == [2, 3]
        assert [item["result"] for item in client.result.list(task=central["id"])["data"]] == [{"average": 53.25}] * 2
        assert [item["result"] for item in client.result.list(task=partial["id"])["data"]] == [{"sum": 173, "count": 4}]
        for node in (2, 3):
            session = federation._folder / f"node-{node}" / "session-1"
            assert {file.name for file in session.glob("*.parquet")} == {"people.parquet", "session_state.parquet"}


def test_the_image_that_a_task_names_runs_if_nothing_else_is_said(ours: object, average_image: str) -> None:
    with Federation.from_file(AVERAGE / "federation.yaml", runner="container") as federation:
        client = federation.client()
        input_ = {"method": "average_partial", "kwargs": {"column_name": "age"}}
        good = client.task.create(collaboration=1, organizations=[2], input=input_, image=average_image)
        none = client.task.create(collaboration=1, organizations=[2], input=input_, image="algotools.test/no-such:1")
        assert federation.wait(good["id"], 100)
        assert federation.wait(none["id"], 100)
        assert federation.answer(federation.task(good["id"]).runs[0]) == {"sum": 253, "count": 4}
        run = federation.task(none["id"]).runs[0]
        assert run.status == "non-existing Docker image"
        assert "there is no image algotools.test/no-such:1 here" in run.log


def test_functions_of_a_notebook_are_in_no_image(ours: object, database: Path) -> None:
    def function() -> int:
        return 1

    with pytest.raises(FederationError, match="are in no image; give runner container a project's folder"):
        Federation([database], algorithm=[function], runner="container")


def test_an_amount_of_memory_that_is_none(ours: object, database: Path) -> None:
    with pytest.raises(FederationError, match="'much' is no amount of memory"):
        Federation([database], algorithm=CAGED, runner="container", memory="much")


@pytest.mark.skipif(os.getuid() != 0, reason="a user who is not root sees this in all other tests")
def test_a_user_who_is_not_root_gets_containers_of_their_own(
    ours: object, tmp_path_factory: pytest.TempPathFactory, engine: docker.DockerClient, average_image: str
) -> None:
    """Files of a run belong to the user, and the container to nobody else: in a process that is no longer root."""
    frames = [pd.DataFrame({"age": [50, 60]}), pd.DataFrame({"age": [70]})]
    with Federation(frames, algorithm=average_image, runner="container") as warm:  # imports what the user cannot reach
        outcome(warm, "master", [2, 3], column_name="age")
    folder = tmp_path_factory.mktemp("user")
    os.chown(folder, 1000, 1000)
    for parent in [folder, *folder.parents[:2]]:
        parent.chmod(0o755)
    group = Path("/var/run/docker.sock").stat().st_gid
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([group])
            os.setresgid(1000, 1000, 1000)
            os.setresuid(1000, 1000, 1000)
            import tempfile

            tempfile.tempdir = str(folder)
            with Federation([Path("/nowhere")], algorithm=str(_caged(engine)), runner="container") as mine:
                found = outcome(mine, "surroundings", host="172.17.0.1", port=1)
            with Federation(frames, algorithm=average_image, runner="container") as mine:
                found["average"] = outcome(mine, "master", [2, 3], column_name="age")
            os.write(write_end, json.dumps(found, default=str).encode())
        except BaseException as error:
            os.write(write_end, json.dumps(repr(error)).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with open(read_end, encoding="utf-8") as pipe:
        found = json.loads(pipe.read())
    os.waitpid(pid, 0)
    assert found["user"] == [1000, 1000]
    assert found["average"] == {"average": 60}
    assert list(folder.iterdir()) == []


def _caged(engine: docker.DockerClient) -> str:
    return next(tag for image in engine.images.list() for tag in image.tags if "algotools-run/caged" in tag)


@pytest.fixture
def cut_off(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """A way to the engine that can be cut; gives how."""
    place = tmp_path / "engine"
    connections: list[socket.socket] = []

    def hand_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                ours = listening.accept()[0]
                theirs = socket.socket(socket.AF_UNIX)
                theirs.connect("/var/run/docker.sock")
                connections.extend((ours, theirs))
                for pair in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=hand_on, args=pair, daemon=True).start()

    def cut() -> None:
        with contextlib.suppress(OSError):  # it is cut off already
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        place.unlink(missing_ok=True)

    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(place))
    listening.listen()
    threading.Thread(target=serve, daemon=True).start()
    os.environ["DOCKER_HOST"] = f"unix://{place}"
    yield cut
    del os.environ["DOCKER_HOST"]
    cut()


def test_an_engine_that_dies_in_the_middle_is_said(
    engine: docker.DockerClient, database: Path, cut_off: Callable[[], None]
) -> None:
    with command(
        "run", "speaks_and_waits", "seconds:=600", "--runner", "container", "--data", str(database), "--json"
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        until_it_runs(process.stderr)
        cut_off()
        assert process.wait(60) == 61
        said = process.stderr.read()
        (item,) = json.loads(process.stdout.read())
    assert item["error"]["code"] == 62
    assert "went away in the middle; see whether it still runs (`docker info`)" in item["error"]["message"]
    assert "Traceback" not in said
    remove_leftovers(engine)  # the engine was there all the time, and so is the container
    assert engine.containers.list(all=True, filters={"label": OWNER}) == []


def test_no_engine_is_said(database: Path) -> None:
    os.environ["DOCKER_HOST"] = "unix:///nowhere"
    try:
        with command("run", "speaks_and_waits", "--runner", "container", "--data", str(database)) as process:
            assert process.wait(60) == 62
            assert process.stderr is not None
            said = process.stderr.read()
    finally:
        del os.environ["DOCKER_HOST"]
    assert "no container engine answers at unix:///nowhere (DOCKER_HOST); start Docker" in said
    assert "Traceback" not in said


@pytest.mark.timeout(300)  # the image gets four libraries
def test_every_form_of_data_works_in_a_cage(ours: object, tmp_path: Path) -> None:
    (tmp_path / "patients.csv").write_text("age,sex\n61,f\n,m\n38,f\n")
    with Federation(
        [tmp_path / "patients.csv"], algorithm=ALGORITHMS / "in_every_form", runner="container"
    ) as federation:
        for form in ("pandas", "polars", "lazy", "arrow", "batches", "duckdb", "ibis"):
            assert federation.run(f"by_{form}", column="age") == [{"sum": 99, "count": 2}], form
