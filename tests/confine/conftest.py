"""A node in small, as each generation lends its files: real containers of the base image, started as root."""

from __future__ import annotations

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

from algotools.contract import by_name, token, v5
from algotools.contract.base import Prepared
from algotools.data import parquet
from algotools.task import Database, Identity, Proxy, Task

from ..conftest import ALGORITHMS, SECRET, Ended

MINE, OTHERS = "/mnt/data/task-000000001", "/mnt/data/task-000000002"
DEFAULT, SECOND, CLOSED, FOLDER = "/mnt/data/default.csv", "/mnt/data/second.csv", "/mnt/data/closed.csv", "/mnt/folder"
OWNERS_LOG = "/mnt/owner/log"
WORK, SESSION = str(v5.WORK), str(v5.WORK / "session")
"""Where v5 has a task's files, and its session's."""
TABLE = f"name,age\n{SECRET},71\nJohn-Roe,58\n".encode()
LONGER = TABLE + b"Ada,36\n"
WHOLE = pd.DataFrame({"name": [SECRET, "John-Roe", "Ada"], "age": [71, 58, 36]})

DOCKERFILE = """\
FROM {base}
WORKDIR /app
COPY prying /app
COPY prying/pyproject.toml prying/src/ /flat/
ENV ALGOTOOLS_ALGORITHM=/app
"""

File = tuple[bytes | None, int]
"""Content (None: a folder) and mode."""


def archive(files: Mapping[str, File]) -> bytes:
    """Files of root's, as a tar archive."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for path, (content, mode) in files.items():
            info = tarfile.TarInfo(path.lstrip("/"))
            info.mode = mode
            if content is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content or b""))
    return made.getvalue()


@pytest.fixture(scope="session")
def prying_image(engine: Any, base_image: str) -> Iterator[str]:
    """An image of the prying algorithm, as an author makes one."""
    project = ALGORITHMS / "prying"
    sources = {
        f"prying/{path.relative_to(project)}": (path.read_bytes(), 0o644)
        for path in sorted(project.rglob("*"))
        if path.suffix in (".py", ".toml")
    }
    dockerfile = DOCKERFILE.format(base=base_image)
    context = io.BytesIO(archive({"Dockerfile": (dockerfile.encode(), 0o644), **sources}))
    image, _ = engine.images.build(fileobj=context, custom_context=True, rm=True, forcerm=True)
    yield str(image.id)
    engine.images.remove(str(image.id), force=True)


@dataclass
class Node:
    """A node's volumes, and what it starts on them."""

    engine: Any
    image: str
    contract: str
    volumes: dict[str, str]
    databases: dict[str, str] = field(
        default_factory=lambda: {"default": DEFAULT, "second": SECOND, "closed": CLOSED, "folder": FOLDER}
    )
    left: list[str] = field(default_factory=list)
    """What the last run left in the container's temporary folders."""
    files: dict[str, File] = field(default_factory=dict)
    """Put onto the volumes ahead of the next run."""
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
    ) -> Ended:
        """Run a method to its end, as the task whose folder is ``home``."""
        prepare = self._prepared_in_session if by_name(self.contract).has_sessions else self._prepared
        prepared = prepare(method, (requested,) if isinstance(requested, str) else requested, variables or {}, kwargs)
        volumes = [f"{name}:{place}:rw" for place, name in self.volumes.items()]
        # Files are put onto the volumes through a container that is never started: the other's own may be read-only.
        loader = self.engine.containers.create(self.image, volumes=volumes)
        try:
            files = {self.home: (None, 0o755), **{str(path): (data, 0o644) for path, data in prepared.files.items()}}
            loader.put_archive("/", archive({**files, **self.files}))
            self.files = {}
        finally:
            loader.remove(force=True)
        container = self.engine.containers.create(
            self.image,
            environment={**prepared.environment, **(environment or {})},
            volumes=volumes,
            **(settings or {}),
        )
        try:
            container.start()
            code = int(container.wait(timeout=60)["StatusCode"])
            changed = [change["Path"] for change in container.diff() or []]
            self.left = [path for path in changed if path.startswith(("/tmp/", "/var/tmp/"))]
            return Ended(
                code,
                container.logs(stdout=True, stderr=False).decode(),
                container.logs(stdout=False, stderr=True).decode(),
                self._file(container, f"{self.home}/output"),
                self._file(container, OWNERS_LOG).decode(),
            )
        finally:
            container.remove(force=True)

    def answer(self, method: str, /, **options: Any) -> Any:
        """The answer of a method that must work."""
        return self.answer_of(self(method, **options))

    def answer_of(self, ended: Ended) -> Any:
        assert ended.code == 0, ended.log + ended.detail
        assert SECRET not in ended.log
        return by_name(self.contract).answer(ended.output)

    def _prepared(
        self, method: str, requested: tuple[str, ...], variables: Mapping[str, str], kwargs: Mapping[str, object]
    ) -> Prepared:
        there = {label: Database(label, uri, "csv") for label, uri in self.databases.items()}
        task = Task(
            method=method,
            role="rpc",
            kwargs=dict(kwargs),
            databases=tuple(there[label] for label in requested),
            configured=tuple(database for label, database in there.items() if label not in requested),
            input_file=Path(MINE, "input"),
            output_file=Path(MINE, "output"),
            temporary_folder=Path("/mnt/tmp"),
            proxy=Proxy("http://127.0.0.1:1", Path(MINE, "token")),
            variables={"ALGOTOOLS_DEBUG": OWNERS_LOG, "ALGOTOOLS_TIMEOUT": "40", **variables},
        )
        identity = Identity(
            task_id=7, node_id=5, organization_id=3, collaboration_id=1, image="image", databases=",".join(requested)
        )
        return by_name(self.contract).prepare(task, token.make(identity, b"k" * 32))

    def _prepared_in_session(
        self, method: str, requested: tuple[str, ...], variables: Mapping[str, str], kwargs: Mapping[str, object]
    ) -> Prepared:
        """As v5 does: with tables of a session, which has others, too."""
        task = Task(
            method=method,
            role="rpc",
            kwargs=dict(kwargs),
            databases=tuple(Database(label, f"{SESSION}/{label}{v5.TABLE}", "parquet") for label in requested),
            input_file=Path(WORK, "input"),
            output_file=Path(WORK, "output"),
            temporary_folder=Path(SESSION, v5.JOBS),
            variables={"ALGOTOOLS_DEBUG": OWNERS_LOG, "ALGOTOOLS_TIMEOUT": "40", **variables},
        )
        identity = Identity(task_id=7, node_id=5, organization_id=3, collaboration_id=1)
        contract = by_name(self.contract)
        return contract.prepare(contract.hand_over(task, "http://127.0.0.1:1", identity, "a token", Path(WORK)))

    @staticmethod
    def _file(container: Any, path: str) -> bytes:
        import docker

        try:
            chunks, _ = container.get_archive(path)
        except docker.errors.NotFound:
            return b""
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
            file = tar.extractfile(tar.getmembers()[0])
            assert file is not None
            return file.read()


@pytest.fixture
def contract(request: pytest.FixtureRequest) -> str:
    """The generation of the node: v4, unless a test is run on several."""
    return str(getattr(request, "param", "v4"))


@pytest.fixture
def node(engine: Any, prying_image: str, contract: str) -> Iterator[Node]:
    """A node with the files of two tasks and four databases, one of which only root may read.

    On v5: with a session's tables, likewise.
    """
    on_v5 = by_name(contract).has_sessions
    places = (WORK, SESSION, "/mnt/owner") if on_v5 else ("/mnt/data", "/mnt/tmp", FOLDER, "/mnt/owner")
    volumes = {place: engine.volumes.create(f"algotools-test-{uuid.uuid4().hex}").name for place in places}
    if on_v5:
        tables = {"default": (WHOLE[:2], 0o644), "second": (WHOLE, 0o644), "closed": (WHOLE, 0o600)}
        session: dict[str, File] = {
            f"{SESSION}/{name}{v5.TABLE}": (parquet.encode(table), mode) for name, (table, mode) in tables.items()
        }
        session[f"{SESSION}/{v5.SESSION_FILE}"] = (b"what has been done", 0o644)
        yield Node(engine, prying_image, contract, volumes, files=session, home=WORK)
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
    yield Node(engine, prying_image, contract, volumes, files=files)
    for name in set(volumes.values()):
        engine.volumes.get(name).remove(force=True)
