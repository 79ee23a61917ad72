"""What all rooms share: the algorithms under test, and a task that is run by hand as a container would."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import docker
import msgspec
import pytest
from docker.errors import DockerException
from hypothesis import settings

from algotools import functions
from algotools.contract import Request, by_name, token, v5
from algotools.contract.environment import from_image
from algotools.data import load, parquet
from algotools.image import base
from algotools.image.project import build_project
from algotools.task import Database, Identity, Task

ROOT = Path(__file__).parents[1]
ALGORITHMS = Path(__file__).parent / "algorithms"
AVERAGE = ROOT / "examples" / "average"

settings.register_profile("any machine", deadline=None)  # a machine that is busy is no failure
settings.load_profile("any machine")

for asked, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(asked) == signal.SIG_IGN:  # of a shell, in its background; commands under test would inherit it
        signal.signal(asked, handler)

SECRET = "Jane-Doe-4711"
"""A value from the data: it may stand in no log that a researcher reads."""

COMMAND = [sys.executable, "-c", "from algotools.cli import main; main()"]
"""The command line; the script of that name would do, but for where it finds the package."""


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """For the command line in a pipe."""
    return {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **(variables or {})}


def algotools(
    *arguments: str, cwd: Path | None = None, variables: Mapping[str, str] | None = None, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end; what is written to its standard input is ``text``, and nothing else."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        timeout=110,
        input=text,
        env=environment(variables),
    )


@dataclass
class Ended:
    """How a run by hand ended."""

    code: int
    stdout: str
    stderr: str
    output: bytes
    detail: str = ""

    @property
    def log(self) -> str:
        return self.stdout + self.stderr


@dataclass
class ByHand:
    """Starts ``python -m algotools`` as a node does, on files in a folder of its own."""

    folder: Path
    databases: Mapping[str, Path] = field(default_factory=dict)

    def environment(
        self,
        algorithm: Path,
        posted: bytes | Request,
        contract: str = "v4",
        requested: tuple[str, ...] = ("default",),
        variables: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        """Prepare files and variables for a task; v5 must be told what is called beside the input, by a request."""
        generation = by_name(contract)
        request = posted if isinstance(posted, Request) else Request(posted)
        there = {label: Database(label, str(path), "csv") for label, path in self.databases.items()}
        databases = tuple(there.get(label, Database(label)) for label in requested)
        configured = tuple(database for label, database in there.items() if label not in requested)
        temporary = self.folder / "tmp"
        if generation.has_sessions:
            self.session.mkdir(exist_ok=True)
            temporary, configured = self.session / v5.JOBS, ()  # no real node makes this folder
            databases = tuple(map(self._source if request.step == "data_extraction" else self._table, databases))
        else:
            temporary.mkdir(exist_ok=True)
        task = Task(
            method=request.method,
            role=request.role or "rpc",
            step=request.step,
            databases=databases,
            configured=configured,
            input_file=self.folder / "input",
            output_file=self.folder / "output",
            temporary_folder=temporary,
            variables=variables or {},
        )
        identity = Identity(
            task_id=7, node_id=5, organization_id=3, collaboration_id=1, image="image", databases=",".join(requested)
        )
        if generation.has_sessions:
            identity = msgspec.structs.replace(identity, databases=generation.databases(list(databases)), session_id=1)
        made = token.make(identity, b"k" * 32)
        task = generation.hand_over(task, "http://127.0.0.1:1", identity, made, self.folder)
        prepared = generation.prepare(task, made, request.data)
        prepared.write()
        inherited = {name: value for name, value in os.environ.items() if from_image(name)}
        return {**inherited, **prepared.environment, "ALGOTOOLS_ALGORITHM": str(algorithm)}

    @property
    def session(self) -> Path:
        """The folder of a v5 session."""
        return self.folder.parent / "session-1"

    def _source(self, database: Database) -> Database:
        """A database as a v5 node tells one to a function that extracts."""
        return Database(v5.SOURCE, database.uri, database.type)

    def _table(self, database: Database) -> Database:
        """A database as a v5 node has extracted it."""
        path = self.session / f"{database.label}{v5.TABLE}"
        if not path.exists():
            path.write_bytes(parquet.encode(load(database, "pandas", None).value))
        return Database(database.label, str(path), "parquet")

    def start(self, environment: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start the container's entry point."""
        return subprocess.Popen(
            [sys.executable, "-m", "algotools"],
            env=dict(environment),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, environment: Mapping[str, str], timeout: float = 60) -> Ended:
        """Run it to its end."""
        with self.start(environment) as process:
            stdout, stderr = process.communicate(timeout=timeout)
        output = self.folder / "output"
        return Ended(process.returncode, stdout, stderr, output.read_bytes() if output.exists() else b"")


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    """A database with a secret in it."""
    return patients_in(tmp_path)


def patients_in(folder: Path) -> Path:
    """A database with a secret in it, in a folder."""
    path = folder / "patients.csv"
    path.write_text(f"name,age\n{SECRET},71\nJohn-Roe,58\n", encoding="utf-8")
    return path


@pytest.fixture
def by_hand(tmp_path: Path, patients: Path) -> ByHand:
    """A task's folder, with one database."""
    folder = tmp_path / "task-000000001"
    folder.mkdir()
    return ByHand(folder, {"default": patients})


@pytest.fixture
def misbehaving() -> Path:
    return ALGORITHMS / "misbehaving"


@pytest.fixture
def survey() -> Path:
    """The folder of an algorithm as authors write them."""
    return ALGORITHMS / "survey"


@pytest.fixture
def nothing_registered(tmp_path: Path) -> Iterator[None]:
    """An empty registry, and afterwards no trace of what a test registers and imports."""
    registry, path = dict(functions._registry), list(sys.path)
    functions._registry.clear()
    yield
    functions._registry.clear()
    functions._registry.update(registry)
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith((str(ALGORITHMS), str(tmp_path))):
            del sys.modules[name]


@pytest.fixture(scope="session")
def hatchling_tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the build backend, to be put on PYTHONPATH."""
    tools = tmp_path_factory.mktemp("tools")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(tools)]
    subprocess.run([*pip, "hatchling>=1.27", "editables"], check=True)
    return tools


@pytest.fixture(scope="session")
def hatchling(hatchling_tools: Path) -> Callable[..., Path]:
    """Builds a distribution of a checkout, as the index's tools do; gives the file."""

    def build(folder: Path, kind: str, out: Path) -> Path:
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)],
            check=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(hatchling_tools)},
            capture_output=True,
        )
        [found] = out.iterdir()
        return found

    return build


@pytest.fixture(scope="session")
def source_distribution(tmp_path_factory: pytest.TempPathFactory, hatchling: Callable[..., Path]) -> Path:
    return hatchling(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The container engine; tests that need one are skipped where there is none."""
    client, why = None, ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # docker-py closes no socket that it could not connect
        try:
            client = docker.from_env(timeout=60)
        except DockerException as error:
            why = str(error)
        gc.collect()
    if client is None:
        pytest.skip(f"no container engine: {why}")
    yield client
    client.close()


@pytest.fixture(scope="session")
def base_image(engine: docker.DockerClient) -> str:
    """The base of algorithms' images, by name. It stays, as it does after any `algotools build`."""
    return base.ensure(engine, lambda _line: None)


@pytest.fixture(scope="session")
def average_image(engine: docker.DockerClient) -> Iterator[str]:
    """The example's image, by name."""
    tag = f"algotools-test/average:{os.getpid()}"
    build_project(engine, AVERAGE, tag, lambda _line: None)
    yield tag
    engine.images.remove(tag)
