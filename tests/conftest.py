"""Shared by all tests: the algorithms under test, the command line, and a node that starts one run by hand."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import msgspec
import pytest
from docker.errors import DockerException
from hypothesis import settings

from algotools.data import load, parquet
from algotools.declare import functions
from algotools.federation import Federation
from algotools.federation.contract import Request, get_contract
from algotools.federation.contract.prepare import split_variables
from algotools.federation.contract.rest import make_token
from algotools.image import base
from algotools.image.build import build_project
from algotools.runtime.contract import v5
from algotools.task import Database, Identity, Task, is_image_variable

from .preloaded import can_fork, run_command, use_preloaded_processes
from .processes import LIMIT

if TYPE_CHECKING:
    from .image.conftest import Registry

# The projects of the tests are in this repository, and thousands of tasks would fill their histories.
os.environ["ALGOTOOLS_HISTORY"] = "off"

ROOT = Path(__file__).parents[1]
ALGORITHMS = Path(__file__).parent / "algorithms"
AVERAGE = ROOT / "examples" / "average"

FEW_EXAMPLES = "ALGOTOOLS_TEST_FEW_EXAMPLES" in os.environ
"""Set by `make test-python`, because another version of Python tests all examples."""

WHOLE = os.environ.get("ALGOTOOLS_TEST_ALL") == "1"
"""Whether exhaustive tests run completely: `make test-all`. In other runs they use a fixed sample."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep every n-th case of a test with the marker ``sample(n)``, unless WHOLE is set or the caller names a case.

    With FEW_EXAMPLES every eighth case of each test is kept: cases of one test run the same code, so a difference
    between versions of Python seldom concerns a single case, and another version has all cases.
    """
    if WHOLE or any("::" in argument for argument in config.args):
        return
    left_out, numbers = set[pytest.Item](), Counter[str]()
    for item in items:
        marker = item.get_closest_marker("sample")
        share = max(marker.args[0] if marker else 1, 8 if FEW_EXAMPLES else 1)
        test = item.nodeid.partition("[")[0]
        if numbers[test] % share:
            left_out.add(item)
        numbers[test] += 1
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]


def examples(number: int) -> int:
    """Return the number of examples of a property test: half, a tenth with FEW_EXAMPLES, or all with WHOLE."""
    if WHOLE:
        return number
    return max(number // 10, 5) if FEW_EXAMPLES else -(-number // 2)


# No deadline, because a slow machine is not a failure.
settings.register_profile("algotools", deadline=None, max_examples=examples(100))
settings.load_profile("algotools")

# A shell ignores these signals in background jobs, and the commands under test would inherit that.
for stop_signal, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(stop_signal) == signal.SIG_IGN:
        signal.signal(stop_signal, handler)

SECRET = "Jane-Doe-4711"
"""A value from the data, which must not appear in any log that a researcher reads."""

POLICY = "ALGOTOOLS_POLICY"
"""The owner's variable with the preset of the disclosure gate."""

OFF = {POLICY: "off"}
"""The variables of a node without the gate, for tests that are about other subjects."""

OFF_LINE = "info > the policy of this node is off, so results and messages are not judged"
"""The line in the log of a run without the gate."""

# Most tests use tables of one to three rows, and return rows on purpose. A local federation without a policy of its own
# uses this variable of the caller, and commands that tests start inherit it. Tests of the gate use `default_policy`.
os.environ.update(OFF)

COMMAND = [sys.executable, "-c", "from algotools.cli import main; main()"]
"""The command line of this checkout; an installed script could import another copy of the package."""

use_preloaded_processes()


@contextlib.contextmanager
def default_policy() -> Iterator[None]:
    """Remove the policy of the tests. A federation that is created, or a command that is started meanwhile has none."""
    preset = os.environ.pop(POLICY)
    try:
        yield
    finally:
        os.environ[POLICY] = preset


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment variables for a command whose output is a pipe."""
    return {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **(variables or {})}


def algotools(
    *arguments: str, cwd: Path | None = None, variables: Mapping[str, str] | None = None, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command line with ``text`` as standard input, and wait for its exit."""
    if can_fork(environment(variables)):
        return run_command(arguments, cwd, environment(variables), text, LIMIT)
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        timeout=LIMIT,
        input=text,
        env=environment(variables),
    )


def fail_at_nodes(federation: Federation, method: str, **arguments: object) -> dict[int, tuple[int, str]]:
    """Send a task like a real server, which checks nothing, and return exit code and message by organization."""
    call = {"method": method, "kwargs": arguments}
    task = federation.client().task.create(
        organizations=list(federation.organizations()), image="", input_=call, databases=[{"label": "default"}]
    )
    assert federation.wait(task["id"], LIMIT)
    failures = {run.organization_id: federation.failure(run) for run in federation.task(task["id"]).runs}
    return {id_: (failure.exit_code, failure.message) for id_, failure in failures.items() if failure is not None}


@dataclass
class CompletedRun:
    """Exit code, logs and output file of a run."""

    code: int
    stdout: str
    stderr: str
    output: bytes
    detail: str = ""

    @property
    def log(self) -> str:
        return self.stdout + self.stderr


@dataclass
class ManualNode:
    """Start ``python -m algotools`` like a node, with files in a separate folder."""

    folder: Path
    databases: Mapping[str, Path] = field(default_factory=dict)
    policy_file: Path | None = None

    def environment(
        self,
        algorithm: Path,
        content: bytes | Request,
        contract: str = "v4",
        requested: tuple[str, ...] = ("default",),
        variables: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        """Prepare the files of a task and return its variables. On v5, ``content`` is a request with the method.

        The gate is off unless ``variables`` or ``policy_file`` set the policy.
        """
        generation = get_contract(contract)
        request = content if isinstance(content, Request) else Request(content)
        by_label = {label: Database(label, str(path), "csv") for label, path in self.databases.items()}
        databases = tuple(by_label.get(label, Database(label)) for label in requested)
        configured = tuple(database for label, database in by_label.items() if label not in requested)
        temporary = self.folder / "tmp"
        own_variables, policy_variables = split_variables(variables or {})
        if generation.has_sessions:
            self.session.mkdir(exist_ok=True)
            temporary, configured = self.session / v5.JOB_FOLDER, ()  # a real node does not create this folder
            databases = tuple(
                map(self._make_source if request.step == "data_extraction" else self._extract_table, databases)
            )
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
            variables=own_variables,
            policy_variables=policy_variables if policy_variables or self.policy_file else OFF,
            policy_file=self.policy_file,
        )
        identity = Identity(
            task_id=7, node_id=5, organization_id=3, collaboration_id=1, image="image", databases=",".join(requested)
        )
        if generation.has_sessions:
            identity = msgspec.structs.replace(
                identity, databases=generation.name_databases(list(databases)), session_id=1
            )
        token = make_token(identity, b"k" * 32)
        task = generation.add_proxy(task, "http://127.0.0.1:1", identity, token, self.folder)
        prepared = generation.prepare(task, token, request.data)
        prepared.write()
        inherited = {name: value for name, value in os.environ.items() if is_image_variable(name)}
        return {**inherited, **prepared.environment, "ALGOTOOLS_ALGORITHM": str(algorithm)}

    @property
    def session(self) -> Path:
        """The folder of a v5 session."""
        return self.folder.parent / "session-1"

    def _make_source(self, database: Database) -> Database:
        """Return a database in the form in which a v5 node passes it to a function that extracts a table."""
        return Database(v5.SOURCE, database.uri, database.type)

    def _extract_table(self, database: Database) -> Database:
        """Return a database in the form in which a v5 node stores it in a session."""
        path = self.session / f"{database.label}{v5.TABLE}"
        if not path.exists():
            path.write_bytes(parquet.encode(load(database, "pandas", None).value))
        return Database(database.label, str(path), "parquet")

    def start(self, environment: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start the entry point of a container."""
        return subprocess.Popen(
            [sys.executable, "-m", "algotools"],
            env=dict(environment),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, environment: Mapping[str, str], timeout: float = LIMIT) -> CompletedRun:
        """Start the entry point, and wait for its exit."""
        with self.start(environment) as process:
            stdout, stderr = process.communicate(timeout=timeout)
        output = self.folder / "output"
        return CompletedRun(process.returncode, stdout, stderr, output.read_bytes() if output.exists() else b"")


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    """A database that contains the secret."""
    return write_patients(tmp_path)


def write_patients(folder: Path) -> Path:
    """Create a database that contains the secret."""
    path = folder / "patients.csv"
    path.write_text(f"name,age\n{SECRET},71\nJohn-Roe,58\n", encoding="utf-8")
    return path


@pytest.fixture
def by_hand(tmp_path: Path, patients: Path) -> ManualNode:
    """A node with one database, in the folder of a task."""
    folder = tmp_path / "task-000000001"
    folder.mkdir()
    return ManualNode(folder, {"default": patients})


@pytest.fixture
def misbehaving() -> Path:
    return ALGORITHMS / "misbehaving"


@pytest.fixture
def survey() -> Path:
    """The folder of a typical algorithm."""
    return ALGORITHMS / "survey"


@pytest.fixture
def nothing_registered(tmp_path: Path) -> Iterator[None]:
    """Start with an empty registry, and remove afterwards all functions and modules that a test adds."""
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
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for mypy's cache, which all tests share: the types of the libraries alone take ten seconds."""
    return tmp_path_factory.mktemp("mypy")


@pytest.fixture(scope="session")
def hatchling_tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the build backend, for PYTHONPATH."""
    tools = tmp_path_factory.mktemp("tools")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(tools)]
    subprocess.run([*pip, "hatchling>=1.27", "editables"], check=True)
    return tools


@pytest.fixture(scope="session")
def hatchling(hatchling_tools: Path) -> Callable[..., Path]:
    """Return a function that builds a distribution of a checkout and returns the file."""

    def build(folder: Path, kind: str, out: Path) -> Path:
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)],
            check=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(hatchling_tools)},
            capture_output=True,
        )
        [distribution] = out.iterdir()
        return distribution

    return build


@pytest.fixture(scope="session")
def source_distribution(tmp_path_factory: pytest.TempPathFactory, hatchling: Callable[..., Path]) -> Path:
    return hatchling(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The container engine. Without an engine, tests that need it are skipped."""
    client, reason = None, ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # docker-py does not close a socket whose connection failed
        try:
            client = docker.from_env(timeout=int(LIMIT))
        except DockerException as error:
            reason = str(error)
        gc.collect()
    if client is None:
        pytest.skip(f"no container engine: {reason}")
    yield client
    client.close()


@pytest.fixture(scope="session")
def base_image(engine: docker.DockerClient) -> str:
    """The name of the base image. The image is not removed, like after `algotools build`."""
    return base.ensure_base(engine, lambda _line: None)


@pytest.fixture(scope="session")
def average_image(engine: docker.DockerClient) -> Iterator[str]:
    """The name of the image of the example."""
    tag = f"algotools-test/average:{os.getpid()}"
    build_project(engine, AVERAGE, tag, lambda _line: None)
    yield tag
    engine.images.remove(tag)


# The first push to a registry compresses the layers of the base, which takes 20 seconds of a processor. So all modules
# share two registries.


@pytest.fixture(scope="session")
def images_of_registries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the images of two registries. The engine compresses the layers of a name for one of them only."""
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory, images_of_registries: Path) -> Iterator[Registry]:
    """A registry without logins."""
    from .image.conftest import start_registry

    registry = start_registry(tmp_path_factory.mktemp("registry"), images=images_of_registries)
    yield registry
    registry.stop()


@pytest.fixture(scope="session")
def guarded_registry(tmp_path_factory: pytest.TempPathFactory, images_of_registries: Path) -> Iterator[Registry]:
    """A registry that requires a login as ``USER``."""
    from .image.conftest import start_registry, write_passwords

    folder = tmp_path_factory.mktemp("guarded")
    registry = start_registry(folder, images=images_of_registries, auth=write_passwords(folder))
    yield registry
    registry.stop()
