"""A small node that mounts files as each generation does: real containers of the base image, started as root."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from algotools.data import parquet
from algotools.federation.contract import PreparedRun, get_contract
from algotools.federation.contract.rest import make_token
from algotools.federation.contract.v5 import SESSION_FILE
from algotools.federation.contract.v5 import WORK as V5_WORK
from algotools.runtime.contract import v5
from algotools.task import Database, Identity, Proxy, Task

from ...conftest import ALGORITHMS, OFF, SECRET, CompletedRun
from ...processes import LIMIT

MINE, OTHERS = "/mnt/data/task-000000001", "/mnt/data/task-000000002"
DEFAULT, SECOND, CLOSED, FOLDER = "/mnt/data/default.csv", "/mnt/data/second.csv", "/mnt/data/closed.csv", "/mnt/folder"
OWNERS_LOG = "/mnt/owner/log"
WORK, SESSION = str(V5_WORK), str(V5_WORK / "session")
"""The folders of a task and of its session on v5."""
TABLE = f"name,age\n{SECRET},71\nJohn-Roe,58\n".encode()
LONGER = TABLE + b"Ada,36\n"
WHOLE = pd.DataFrame({"name": [SECRET, "John-Roe", "Ada"], "age": [71, 58, 36]})

DOCKERFILE = """\
FROM {base}
WORKDIR /app
COPY prying /app
COPY prying/pyproject.toml prying/src/ /flat/
ENV ALGOTOOLS_ALGORITHM=/app
LABEL algotools.test={mark}
"""

File = tuple[bytes | None, int]
"""Content (None for a folder) and mode."""


def archive(files: Mapping[str, File], owner: str = "0:0") -> bytes:
    """Return a tar archive with files that belong to a user and group."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, (content, mode) in files.items():
            info = tarfile.TarInfo(path.lstrip("/"))
            info.mode = mode
            info.uid, info.gid = map(int, owner.split(":"))
            if content is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content or b""))
    return buffer.getvalue()


@pytest.fixture(scope="session")
def prying_image(engine: Any, base_image: str) -> Iterator[str]:
    """An image of the prying algorithm, built as an author would build it."""
    project = ALGORITHMS / "prying"
    sources = {
        f"prying/{path.relative_to(project)}": (path.read_bytes(), 0o644)
        for path in sorted(project.rglob("*"))
        if path.suffix in (".py", ".toml")
    }
    dockerfile = DOCKERFILE.format(base=base_image, mark=uuid.uuid4().hex)  # no other test removes this image
    context = io.BytesIO(archive({"Dockerfile": (dockerfile.encode(), 0o644), **sources}))
    image, _ = engine.images.build(fileobj=context, custom_context=True, rm=True, forcerm=True)
    yield str(image.id)
    engine.images.remove(str(image.id), force=True)


@dataclass
class SandboxNode:
    """A node's volumes, and the containers that it starts with them."""

    engine: Any
    image: str
    contract: str
    volumes: dict[str, str]
    databases: dict[str, str] = field(
        default_factory=lambda: {"default": DEFAULT, "second": SECOND, "closed": CLOSED, "folder": FOLDER}
    )
    lists_leftovers: bool = False
    """Whether ``leftovers`` is filled."""
    leftovers: list[str] | None = None
    """The files in the container's temporary folders after the last run. The image has no such files."""
    files: dict[str, File] = field(default_factory=dict)
    """Files that are written to the volumes before the next run."""
    owner: str = "0:0"
    """User and group of all files."""
    home: str = MINE
    """The folder of the task's own files."""

    def __call__(
        self,
        method: str,
        /,
        *,
        requested: str | tuple[str, ...] = "default",
        variables: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
        **kwargs: object,
    ) -> CompletedRun:
        """Run a method in the task whose folder is ``home``; return the outcome."""
        prepare = self._prepared_in_session if get_contract(self.contract).has_sessions else self._prepared
        prepared = prepare(method, (requested,) if isinstance(requested, str) else requested, variables or {}, kwargs)
        volumes = [f"{name}:{path}:rw" for path, name in self.volumes.items()]
        files = {
            self.home: (None, 0o755),
            **self._list_folders(),
            **{str(path): (data, 0o644) for path, data in prepared.files.items()},
            **self.files,
        }
        self.files = {}
        container = self.engine.containers.create(
            self.image,
            environment={**prepared.environment, **(environment or {})},
            volumes=volumes,
            **(settings or {}),
        )
        try:
            self._write(container, files, volumes if (settings or {}).get("read_only") else None)
            container.start()
            code = int(container.wait(timeout=LIMIT)["StatusCode"])
            if self.lists_leftovers:
                self.leftovers = [name for folder in ("/tmp", "/var/tmp") for name in _list_folder(container, folder)]
            return CompletedRun(
                code,
                container.logs(stdout=True, stderr=False).decode(),
                container.logs(stdout=False, stderr=True).decode(),
                self._file(container, f"{self.home}/output"),
                self._file(container, OWNERS_LOG).decode(),
            )
        finally:
            container.remove(force=True)

    def _write(self, container: Any, files: Mapping[str, File], volumes: list[str] | None) -> None:
        """Write files to the volumes; for a container with a read-only root, through another one with its volumes."""
        loader = container if volumes is None else self.engine.containers.create(self.image, volumes=volumes)
        loader.put_archive("/", archive(files, self.owner))
        if loader is not container:
            loader.remove(force=True)

    def answer(self, method: str, /, **options: Any) -> Any:
        """Run a method that must succeed; return its result."""
        return self.decode(self(method, **options))

    def decode(self, outcome: CompletedRun) -> Any:
        """Return the result of a run that must have succeeded."""
        assert outcome.code == 0, outcome.log + outcome.detail
        assert SECRET not in outcome.log
        return get_contract(self.contract).decode_output(outcome.output)

    def _prepared(
        self, method: str, requested: tuple[str, ...], variables: Mapping[str, str], kwargs: Mapping[str, object]
    ) -> PreparedRun:
        databases = {label: Database(label, uri, "csv") for label, uri in self.databases.items()}
        task = Task(
            method=method,
            role="rpc",
            kwargs=dict(kwargs),
            databases=tuple(databases[label] for label in requested),
            configured=tuple(database for label, database in databases.items() if label not in requested),
            input_file=Path(MINE, "input"),
            output_file=Path(MINE, "output"),
            temporary_folder=Path("/mnt/tmp"),
            proxy=Proxy("http://127.0.0.1:1", Path(MINE, "token")),
            policy_variables=OFF,
            variables={"ALGOTOOLS_DEBUG": OWNERS_LOG, "ALGOTOOLS_TIMEOUT": "240", **variables},
        )
        identity = Identity(
            task_id=7, node_id=5, organization_id=3, collaboration_id=1, image="image", databases=",".join(requested)
        )
        return get_contract(self.contract).prepare(task, make_token(identity, b"k" * 32))

    def _prepared_in_session(
        self, method: str, requested: tuple[str, ...], variables: Mapping[str, str], kwargs: Mapping[str, object]
    ) -> PreparedRun:
        """Prepare a task as v5 does, with some of a session's tables."""
        task = Task(
            method=method,
            role="rpc",
            kwargs=dict(kwargs),
            databases=tuple(Database(label, f"{SESSION}/{label}{v5.TABLE}", "parquet") for label in requested),
            input_file=Path(WORK, "input"),
            output_file=Path(WORK, "output"),
            temporary_folder=Path(SESSION, v5.JOB_FOLDER),
            policy_variables=OFF,
            variables={"ALGOTOOLS_DEBUG": OWNERS_LOG, "ALGOTOOLS_TIMEOUT": "240", **variables},
        )
        identity = Identity(task_id=7, node_id=5, organization_id=3, collaboration_id=1)
        contract = get_contract(self.contract)
        return contract.prepare(contract.add_proxy(task, "http://127.0.0.1:1", identity, "a token", Path(WORK)))

    def _list_folders(self) -> dict[str, File]:
        """Return the folders that a user other than root could not write to otherwise."""
        folders = (WORK, SESSION) if get_contract(self.contract).has_sessions else ("/mnt/tmp", "/mnt/owner")
        return dict.fromkeys(folders if self.owner != "0:0" else (), (None, 0o755))

    @staticmethod
    def _file(container: Any, path: str) -> bytes:
        import docker

        try:
            with _open_archive(container, path) as tar:
                file = tar.extractfile(tar.getmembers()[0])
                assert file is not None
                return file.read()
        except docker.errors.NotFound:
            return b""


def _open_archive(container: Any, path: str) -> tarfile.TarFile:
    """Return a file or folder of a container as an archive."""
    chunks, _ = container.get_archive(path)
    return tarfile.open(fileobj=io.BytesIO(b"".join(chunks)))


def _list_folder(container: Any, path: str) -> list[str]:
    """Return the names of all files and folders in a folder of a container, without the folder itself."""
    # `container.diff` would compare all files of the image, which takes the engine three seconds.
    with _open_archive(container, path) as tar:
        return tar.getnames()[1:]


@pytest.fixture
def contract(request: pytest.FixtureRequest) -> str:
    """The generation of the node; default: v4."""
    return str(getattr(request, "param", "v4"))


@pytest.fixture
def node(engine: Any, prying_image: str, contract: str) -> Iterator[SandboxNode]:
    """A node with files; see ``open_node``."""
    with open_node(engine, prying_image, contract) as node:
        yield node


@contextlib.contextmanager
def open_node(engine: Any, image: str, contract: str) -> Iterator[SandboxNode]:
    """Yield a node with the files of two tasks and four databases, one only for root; on v5 with tables."""
    on_v5 = get_contract(contract).has_sessions
    paths = (WORK, SESSION, "/mnt/owner") if on_v5 else ("/mnt/data", "/mnt/tmp", FOLDER, "/mnt/owner")
    volumes = {path: engine.volumes.create(f"algotools-test-{uuid.uuid4().hex}").name for path in paths}
    if on_v5:
        tables = {"default": (WHOLE[:2], 0o644), "second": (WHOLE, 0o644), "closed": (WHOLE, 0o600)}
        session: dict[str, File] = {
            f"{SESSION}/{name}{v5.TABLE}": (parquet.encode(table), mode) for name, (table, mode) in tables.items()
        }
        session[f"{SESSION}/{SESSION_FILE}"] = (b"state", 0o644)
        yield SandboxNode(engine, image, contract, volumes, files=session, home=WORK)
        for name in set(volumes.values()):
            engine.volumes.get(name).remove(force=True)
        return
    files: dict[str, File] = {
        OTHERS: (None, 0o755),
        f"{OTHERS}/input": (json.dumps({"method": SECRET}).encode(), 0o644),
        f"{OTHERS}/output": (b"", 0o644),
        f"{OTHERS}/token": (b"another task's", 0o644),
        DEFAULT: (TABLE, 0o644),
        SECOND: (LONGER, 0o644),
        CLOSED: (LONGER, 0o600),
        f"{FOLDER}/one.csv": (TABLE, 0o644),
        f"{FOLDER}/deep": (None, 0o755),
        f"{FOLDER}/deep/two.csv": (LONGER, 0o644),
    }
    yield SandboxNode(engine, image, contract, volumes, files=files)
    for name in set(volumes.values()):
        engine.volumes.get(name).remove(force=True)
