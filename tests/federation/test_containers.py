"""Runs in containers: the same results with restricted rights, and the removal of every container."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
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
from algotools.federation.folders import has_exited
from algotools.federation.runners.containers import OWNER, Containers, remove_leftovers
from algotools.image.build import get_local_tag

from ..conftest import ALGORITHMS, AVERAGE, OFF_LINE
from ..processes import LIMIT, wait_until

pytestmark = pytest.mark.docker

CAGED = ALGORITHMS / "caged"


@pytest.fixture
def list_resources(engine: docker.DockerClient) -> Iterator[Callable[[], list[str]]]:
    """Return a function that lists the containers and volumes of federations. After a test the list must be empty."""

    def list_names() -> list[str]:
        containers = engine.containers.list(all=True, filters={"label": OWNER}, ignore_removed=True)
        volumes = engine.volumes.list(filters={"label": OWNER})
        owners = {str(item.name): read_owner(item) for item in (*containers, *volumes)}
        return [name for name, owner in owners.items() if not belongs_to_other_tests(owner)]

    yield list_names
    wait_until(lambda: list_names() == [], 60)  # another process may be removing what a crashed process has left


def read_owner(item: Any) -> str:
    """Return the label of a container, or of a volume, with its owner."""
    labels = item.labels if hasattr(item, "labels") else item.attrs["Labels"]
    return str(labels[OWNER])


def belongs_to_other_tests(owner: str) -> bool:
    """Whether the owner of a container still runs, and neither is this process nor was started by it."""
    pid = int(owner.split("/")[1])
    if has_exited(owner):
        return False
    while pid not in (0, os.getpid()):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return False  # the owner has just exited
        pid = int(fields[1])
    return pid == 0


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "patients.csv"
    path.write_text("age\n50\n60\n")
    return path


def outcome(federation: Federation, method: str, organizations: list[int] | None = None, **kwargs: object) -> Any:
    """Run a method, and return the result or the failure of the first run."""
    input_ = {"method": method, "kwargs": kwargs}
    task = federation.client().task.create(collaboration=1, organizations=organizations or [2], input=input_)
    assert federation.wait(task["id"], LIMIT)
    run = federation.task(task["id"]).runs[0]
    return federation.failure(run) or federation.answer(run)


@pytest.fixture
def service() -> Iterator[tuple[str, int]]:
    """A server on every address of this machine; gives the address at which Docker's bridge network would reach it."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        yield "172.17.0.1", server.getsockname()[1]


@pytest.mark.parametrize(
    ("method", "api"), [("surroundings", "ConnectionRefusedError"), ("surroundings_of_a_master", "done")]
)
def test_only_a_masters_run_reaches_the_api_and_no_run_reaches_other_services(
    list_resources: object, database: Path, service: tuple[str, int], method: str, api: str
) -> None:
    host, port = service
    with Federation([database], algorithm=CAGED, runner="container", memory="600m") as federation:
        result = outcome(federation, method, host=host, port=port)
    assert result == {
        "user": [os.getuid(), os.getgid()],
        "capabilities": "0000000000000000",
        "bounding": "0000000000000000",
        "no new privileges": "1",
        "interfaces": result["interfaces"],
        "host": "OSError",  # the network is unreachable
        "api": api,
        "root": result["root"],
        "code": result["code"],
        "tmp": "done",
        "sockets": [],
        "memory": 600 << 20,
        "processes": 512,
    }
    assert {result["root"], result["code"]} <= {"OSError", "PermissionError"}  # read-only, or no permission
    assert "eth0" not in result["interfaces"]


def test_databases_cannot_be_changed(list_resources: object, database: Path, tmp_path: Path) -> None:
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


def test_two_labels_of_the_same_file_are_both_available(list_resources: object, database: Path) -> None:
    with Federation([{"default": database, "other": database}], algorithm=CAGED, runner="container") as federation:
        client = federation.client()
        for label in ("default", "other"):
            input_ = {"method": "databases", "kwargs": {}}
            task = client.task.create(collaboration=1, organizations=[2], input=input_, databases=[{"label": label}])
            assert federation.wait(task["id"], LIMIT)
            assert federation.answer(federation.task(task["id"]).runs[0])["content"] == "age\n50\n60\n"


def test_exceeding_the_memory_limit_is_reported(list_resources: object, database: Path) -> None:
    with Federation([database], algorithm=CAGED, runner="container", memory="200m") as federation:
        failure = outcome(federation, "takes_memory", megabytes=500)
        assert failure.exit_code == 44
        assert "memory ran out" in failure.message
        assert outcome(federation, "takes_all_memory_in_one_process", megabytes=500) == -signal.SIGKILL


def test_too_many_processes_are_refused(list_resources: object, database: Path) -> None:
    with Federation([database], algorithm=CAGED, runner="container") as federation:
        assert outcome(federation, "takes_processes") == "BlockingIOError"


def test_log_lines_arrive_during_the_run_and_prints_reach_only_the_owner(
    list_resources: object, database: Path
) -> None:
    log: list[tuple[str, str]] = []
    with Federation(
        [database], algorithm=CAGED, runner="container", listen=lambda run, line: log.append((run.status, line))
    ) as federation:
        assert outcome(federation, "logs_and_waits", seconds=0.5) == "done"
        assert "for the owner" in federation.task(1).runs[0].detail
    lines = [line for _, line in log if "own user" not in line]
    assert lines.pop(0) == OFF_LINE
    assert lines.pop(0).startswith("info > confinement is on: user ")
    assert lines == ["info > before", "info > after"]
    assert {status for status, _ in log} == {"active"}
    assert not any("for the owner" in line for _, line in log)


def test_closing_a_federation_removes_its_containers(list_resources: Callable[[], list[str]], database: Path) -> None:
    federation = Federation([database], algorithm=CAGED, runner="container")
    input_ = {"method": "logs_and_waits", "kwargs": {"seconds": 600}}
    task = federation.client().task.create(collaboration=1, organizations=[2], input=input_)
    wait_until(lambda: federation.task(task["id"]).runs[0].log)
    federation.close()
    wait_until(lambda: not list_resources())
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


def wait_for_first_line(log: Iterable[str]) -> None:
    """Wait for the first line that the function logs."""
    assert any("info > before" in line for line in log)


def test_closing_waits_for_a_removal_in_progress(
    engine: docker.DockerClient, base_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    containers = Containers(docker.from_env())
    container = engine.containers.create(base_image, labels={OWNER: containers._owner})
    containers._containers.add(str(container.id))

    def refuse_to_remove(id_: str, **options: bool) -> None:
        """Fail as a slow engine does when another thread has begun the removal."""
        removal = threading.Timer(0.5, engine.api.remove_container, (id_,), {"force": True})
        removal.start()
        raise APIError("conflict", response=SimpleNamespace(status_code=409))

    monkeypatch.setattr(containers.client.api, "remove_container", refuse_to_remove)
    containers.close()
    with pytest.raises(NotFound):
        engine.containers.get(str(container.id))


def test_a_federation_keeps_its_image_until_its_end_when_another_one_builds_a_newer_image(
    engine: docker.DockerClient, base_image: str, database: Path, tmp_path: Path
) -> None:
    project = shutil.copytree(AVERAGE, tmp_path / "average")
    pyproject = project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('name = "average"', 'name = "leased"'))
    module = project / "src" / "average" / "__init__.py"
    name = f"algotools-run/{get_local_tag(project)}"
    images = []
    with contextlib.ExitStack() as stack:
        federations = []
        for version in range(2):
            module.write_text(f"{module.read_text()}\n# version {version}\n")
            options = {"algorithm": project, "runner": "container"}
            federations.append(stack.enter_context(Federation([database], **options)))
            images.append(str(engine.images.get(name).id))
        assert len({*images}) == len(images)
        assert outcome(federations[0], "average_partial", column_name="age") == {"sum": 110, "count": 2}
        federations[0].close()
        with pytest.raises(NotFound):
            engine.images.get(images[0])
        assert outcome(federations[1], "average_partial", column_name="age") == {"sum": 110, "count": 2}
    assert engine.images.get(name).id == images[1]
    engine.images.remove(name)


@pytest.mark.parametrize(
    ("runner", "signal_number", "code"),
    [("container", signal.SIGTERM, 143), ("as-node", signal.SIGINT, 130)],
)
def test_ctrl_c_removes_all_containers(
    list_resources: Callable[[], list[str]], database: Path, runner: str, signal_number: signal.Signals, code: int
) -> None:
    arguments = ("run", "logs_and_waits", "seconds:=600", "--runner", runner, "--data", str(database))
    with command(*arguments) as process:
        assert process.stderr is not None
        wait_for_first_line(process.stderr)
        process.send_signal(signal_number)
        assert process.wait(LIMIT) == code
        messages = process.stderr.read()
    assert "Traceback" not in messages
    assert list_resources() == []


@pytest.mark.parametrize("runner", ["container", "as-node"])
def test_the_next_start_removes_the_containers_of_a_crashed_process(
    list_resources: Callable[[], list[str]], database: Path, runner: Any
) -> None:
    arguments = ("run", "logs_and_waits", "seconds:=600", "--runner", runner, "--data", str(database))
    with command(*arguments) as process:
        assert process.stderr is not None
        wait_for_first_line(process.stderr)
        assert list_resources() != []
        process.kill()  # not asserted afterwards, because any other start of a federation removes the containers, too
        process.wait(LIMIT)
    with Federation([database], algorithm=CAGED, runner=runner) as federation:
        assert outcome(federation, "logs_and_waits", seconds=0) == "done"


def test_a_federation_does_not_remove_containers_of_another_open_federation(
    list_resources: object, database: Path
) -> None:
    with Federation([database], algorithm=CAGED, runner="container") as first:
        input_ = {"method": "logs_and_waits", "kwargs": {"seconds": 3}}
        task = first.client().task.create(collaboration=1, organizations=[2], input=input_)
        wait_until(lambda: first.task(task["id"]).runs[0].log)
        with Federation([database], algorithm=CAGED, runner="container") as second:
            assert outcome(second, "logs_and_waits", seconds=0) == "done"
        assert first.wait(task["id"], LIMIT)
        assert first.task(task["id"]).runs[0].status == "completed"


@pytest.mark.parametrize(("runner", "contract"), [("container", "v4"), ("as-node", "v3")])
def test_frames_and_images_by_name(list_resources: object, average_image: str, runner: Any, contract: str) -> None:
    frames = [pd.DataFrame({"age": [50, 60]}), pd.DataFrame({"age": [70]})]
    with Federation(frames, algorithm=average_image, runner=runner, contract=contract) as federation:
        input_ = {"method": "master", "kwargs": {"column_name": "age", "organizations": [2, 3]}, "master": True}
        task = federation.client().task.create(collaboration=1, organizations=[2], input=input_)
        assert federation.wait(task["id"], LIMIT)
        assert [federation.answer(run) for run in federation.task(task["id"]).runs] == [{"average": 60}]


def test_the_image_that_a_task_names_runs_by_default(list_resources: object, average_image: str) -> None:
    with Federation.from_file(AVERAGE / "federation.yaml", runner="container") as federation:
        client = federation.client()
        input_ = {"method": "average_partial", "kwargs": {"column_name": "age"}}
        task = client.task.create(collaboration=1, organizations=[2], input=input_, image=average_image)
        failed = client.task.create(collaboration=1, organizations=[2], input=input_, image="algotools.test/no-such:1")
        assert federation.wait(task["id"], LIMIT)
        assert federation.wait(failed["id"], LIMIT)
        assert federation.answer(federation.task(task["id"]).runs[0]) == {"sum": 253, "count": 4}
        run = federation.task(failed["id"]).runs[0]
        assert run.status == "non-existing Docker image"
        assert "image algotools.test/no-such:1 is not on this machine" in run.log


def test_functions_of_a_notebook_cannot_run_in_containers(list_resources: object, database: Path) -> None:
    def function() -> int:
        return 1

    with pytest.raises(FederationError, match="are not in an image; give runner container a project's folder"):
        Federation([database], algorithm=[function], runner="container")


def test_an_invalid_amount_of_memory_is_refused(list_resources: object, database: Path) -> None:
    with pytest.raises(FederationError, match="'much' is not an amount of memory"):
        Federation([database], algorithm=CAGED, runner="container", memory="much")


@pytest.mark.skipif(os.getuid() != 0, reason="if the user is not root, all other tests show this")
def test_containers_of_an_ordinary_user_run_as_that_user(
    list_resources: object, tmp_path_factory: pytest.TempPathFactory, engine: docker.DockerClient, average_image: str
) -> None:
    """In a process that has changed from root to an ordinary user, containers and files of runs belong to that user."""
    frames = [pd.DataFrame({"age": [50, 60]}), pd.DataFrame({"age": [70]})]
    # The first federation imports modules, because the ordinary user may have no access to their files.
    with Federation(frames, algorithm=average_image, runner="container") as federation:
        outcome(federation, "master", column_name="age")
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
            with Federation([Path("/nowhere")], algorithm=_find_caged_image(engine), runner="container") as federation:
                report = outcome(federation, "surroundings", host="172.17.0.1", port=1)
            with Federation(frames, algorithm=average_image, runner="container") as federation:
                report["average"] = outcome(federation, "master", column_name="age", organizations=[2, 3])
            os.write(write_end, json.dumps(report, default=str).encode())
        except BaseException as error:
            os.write(write_end, json.dumps(repr(error)).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with open(read_end, encoding="utf-8") as pipe:
        report = json.loads(pipe.read())
    os.waitpid(pid, 0)
    assert isinstance(report, dict), report
    assert report["user"] == [1000, 1000]
    assert report["average"] == {"average": 60}
    assert [path.name for path in folder.iterdir()] in ([], ["algotools-1000-naming.lock"])  # a lock is not removed


def _find_caged_image(engine: docker.DockerClient) -> str:
    # `engine.images.list` fails if another user of the engine removes an image meanwhile.
    tags = [str(tag) for image in engine.api.images() for tag in image["RepoTags"] or ()]
    return next(tag for tag in tags if "algotools-run/caged" in tag)


@pytest.fixture
def disconnect(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Connect to the engine through a relay, and return a function that cuts the connection."""
    path = tmp_path / "engine"
    connections: list[socket.socket] = []

    def forward(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client = listener.accept()[0]
                server = socket.socket(socket.AF_UNIX)
                server.connect("/var/run/docker.sock")
                connections.extend((client, server))
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=forward, args=pair, daemon=True).start()

    def disconnect() -> None:
        with contextlib.suppress(OSError):  # the connection was cut before
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        path.unlink(missing_ok=True)

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    threading.Thread(target=serve, daemon=True).start()
    os.environ["DOCKER_HOST"] = f"unix://{path}"
    yield disconnect
    del os.environ["DOCKER_HOST"]
    disconnect()


def test_a_lost_engine_during_a_run_is_reported(
    engine: docker.DockerClient,
    list_resources: Callable[[], list[str]],
    database: Path,
    disconnect: Callable[[], None],
) -> None:
    with command(
        "run", "logs_and_waits", "seconds:=600", "--runner", "container", "--data", str(database), "--json"
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        wait_for_first_line(process.stderr)
        disconnect()
        assert process.wait(LIMIT) == 61
        messages = process.stderr.read()
        (item,) = json.loads(process.stdout.read())
    assert item["error"]["code"] == 62
    assert "is lost; check that the engine still runs (`docker info`)" in item["error"]["message"]
    assert "Traceback" not in messages
    remove_leftovers(engine)  # the engine never stopped, so the container still exists
    wait_until(lambda: list_resources() == [])


def test_a_missing_engine_is_reported(database: Path) -> None:
    os.environ["DOCKER_HOST"] = "unix:///nowhere"
    try:
        with command("run", "logs_and_waits", "--runner", "container", "--data", str(database)) as process:
            assert process.wait(LIMIT) == 62
            assert process.stderr is not None
            messages = process.stderr.read()
    finally:
        del os.environ["DOCKER_HOST"]
    assert "no container engine answers at unix:///nowhere (DOCKER_HOST); start Docker" in messages
    assert "Traceback" not in messages


def test_every_form_of_data_works_in_a_container(list_resources: object, tmp_path: Path) -> None:
    (tmp_path / "patients.csv").write_text("age,sex\n61,f\n,m\n38,f\n")
    with Federation(
        [tmp_path / "patients.csv"], algorithm=ALGORITHMS / "in_every_form", runner="container"
    ) as federation:
        for form in ("pandas", "polars", "lazy", "arrow", "batches", "duckdb", "ibis"):
            assert federation.run(f"by_{form}", column="age") == [{"sum": 99, "count": 2}], form
