"""The base image: its contents, its start and stop, and that a checkout and a wheel build the same image."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from algotools import __version__
from algotools.declare.projects import read_toml
from algotools.errors import ImageError, ImageNotFound
from algotools.federation.contract import get_contract
from algotools.federation.contract.rest import make_token
from algotools.image import base
from algotools.image.names import GATE_VERSION, Label
from algotools.runtime.logs import read_failure
from algotools.task import Database, Identity, Proxy, Task

from ..conftest import ALGORITHMS, OFF, ROOT, algotools
from ..processes import LIMIT, wait_until
from ..test_structure import LAPTOP
from .building import PYTHON_IMAGE, PYTHON_IMAGES, run_python

DOCKERFILE = (ROOT / "Dockerfile.base").read_text(encoding="utf-8")
RUN_TIME = [
    line for line in (ROOT / "algotools/requirements.txt").read_text().splitlines() if line and not line.startswith("#")
]


def ignore_line(_line: str) -> None:
    pass


# The Dockerfile and the package agree.


def test_the_dockerfile_has_the_version_and_python_image_of_the_package() -> None:
    assert f"ARG PYTHON_IMAGE={base.PYTHON_IMAGE}\n" in DOCKERFILE
    assert f'{Label.VERSION}="{__version__}"' in DOCKERFILE
    assert f'{Label.GATE}="{GATE_VERSION}"' in DOCKERFILE
    assert re.fullmatch(r"python:3\.\d+-slim", base.PYTHON_IMAGE)


def test_the_dependencies_of_a_container_are_the_first_of_the_package() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert read_toml(ROOT / "pyproject.toml")["project"]["dependencies"][: len(RUN_TIME)] == RUN_TIME
    container, _, laptop = text.partition("# What runs on the laptop only.")
    assert all(f'"{line}"' in container for line in RUN_TIME)
    assert not any(f'"{line}"' in laptop for line in RUN_TIME)


def test_only_modules_that_run_at_a_node_are_sent() -> None:
    sources, dockerfile = base.read_sources()
    assert dockerfile == DOCKERFILE
    modules = {path.name.removesuffix(".py") for path in (ROOT / "algotools").iterdir()} - {"__pycache__"}
    sent = {name.split("/")[1].removesuffix(".py") for name in sources.files if "/" in name}
    assert sent == modules - LAPTOP
    assert {name.split("/")[0] for name in sources.files} == {"algotools"}
    assert not [name for name in sources.files if "__pycache__" in name]


def test_the_dockerfile_has_only_syntax_of_the_classic_builder() -> None:
    assert not re.search(r"^\s*(RUN --|COPY --(chmod|link)|ADD --|#\s*syntax)|<<", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize(
    ("python_image", "platform", "expected"),
    [
        (None, None, f"algotools-base:{__version__}"),
        ("python:3.12-slim", None, f"algotools-base:{__version__}-python-3.12-slim"),
        ("host:5000/a/b@sha256:12", "linux/arm64", f"algotools-base:{__version__}-host-5000-a-b-sha256-12-linux-arm64"),
    ],
)
def test_the_name_contains_version_python_and_platform(
    python_image: str | None, platform: str | None, expected: str
) -> None:
    assert base.make_name(python_image, platform) == expected


def test_the_name_with_a_long_python_image_is_shortened() -> None:
    assert len(base.make_name("x" * 300).partition(":")[2]) == 128


# From a checkout, an installation, a source distribution.

DESCRIBE = """
import json, pathlib
from algotools.image import base
sources, dockerfile = base.read_sources()
print(json.dumps([str(sources.root), list(sources.files), sources.compute_digest(dockerfile)]))
"""


def describe_sources(folder: Path) -> list[Any]:
    """Return root, files and digest of the sources that a copy of the package in a folder would send."""
    process = subprocess.run(
        [sys.executable, "-c", DESCRIBE],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )
    sources = json.loads(process.stdout)
    assert sources[0] == str(folder)
    return list(sources)


@pytest.mark.parametrize("way", ["a wheel of the checkout", "a source distribution", "a wheel of that"])
def test_an_installation_sends_the_same_sources_as_the_checkout(
    way: str, tmp_path: Path, source_distribution: Path, hatchling: Callable[..., Path]
) -> None:
    unpacked = ROOT
    if way != "a wheel of the checkout":
        with tarfile.open(source_distribution) as tar:
            tar.extractall(tmp_path / "sources", filter="data")
        [unpacked] = (tmp_path / "sources").iterdir()
    if way != "a source distribution":
        site = tmp_path / "site"
        with zipfile.ZipFile(hatchling(unpacked, "wheel", tmp_path / "wheel")) as archive:
            archive.extractall(site)
        for name in ("other/a.py", "algotools_more/b.py", "csv.csv"):  # other installed packages
            (site / name).parent.mkdir(exist_ok=True)
            (site / name).write_text("x")
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(site)], check=True)
        unpacked = site
    sources, dockerfile = base.read_sources()
    assert describe_sources(unpacked)[1:] == [list(sources.files), sources.compute_digest(dockerfile)]


def test_an_installation_without_the_dockerfile_is_reported(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "algotools", tmp_path / "algotools", ignore=shutil.ignore_patterns("__pycache__"))
    process = subprocess.run(
        [sys.executable, "-c", DESCRIBE],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert "ImageError: this installation of algotools has no Dockerfile.base; reinstall algotools" in process.stderr


# The contents of the image.

INSPECT = """
import importlib, importlib.metadata, importlib.util, json, os, pathlib, pwd, stat, subprocess, sys, sysconfig

def uncompiled(folder, *but):
    return [
        str(file) for file in pathlib.Path(folder).rglob("*.py")
        if not os.path.exists(importlib.util.cache_from_source(str(file))) and not set(but) & set(file.parts)
    ]

def closed(folder):
    return [str(path) for path in pathlib.Path(folder).rglob("*") if not path.stat().st_mode & stat.S_IROTH]

import algotools
check = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
freeze = [package.metadata["Name"] for package in importlib.metadata.distributions()]
user = pwd.getpwnam(os.environ["ALGOTOOLS_WORKER_USER"])
print(json.dumps({
    "python": list(sys.version_info[:2]),
    "executable": sys.executable,
    "check": check.stdout + check.stderr,
    "version": importlib.metadata.version("federated-algotools"),
    "modules": sorted({p.name.removesuffix(".py") for p in pathlib.Path(algotools.__file__).parent.iterdir()}),
    "uncompiled": [*uncompiled("/opt/algotools"), *uncompiled(
        sysconfig.get_path("stdlib"), "site-packages", "dist-packages", "test", "tests", "idlelib"
    )],
    "closed": closed("/opt/algotools"),
    "leftovers": [p for p in (
        "/root/.cache", "/root/.local", "/root/.config/pip", *map(str, pathlib.Path("/tmp").iterdir())
    ) if os.path.exists(p)],
    "uid": os.getuid(),
    "user": [user.pw_uid, user.pw_gid, user.pw_shell],
    "packages": freeze,
    "engines": [bool(importlib.util.find_spec(name)) for name in ("pandas", "numpy", "pyarrow", "duckdb")],
    "pip": sorted(name for name in os.environ if name.startswith("PIP")),
}))
"""


@pytest.fixture(scope="module", params=PYTHON_IMAGES)
def base_name(request: pytest.FixtureRequest, engine: docker.DockerClient) -> str:
    """The base from each Python image of the environment. It is not removed, as after any `algotools build`."""
    return base.ensure_base(engine, ignore_line, arguments={"PYTHON_IMAGE": request.param})


@pytest.mark.docker
def test_the_contents_of_the_base(engine: docker.DockerClient, base_name: str) -> None:
    facts = run_python(engine, base_name, INSPECT)
    assert facts["check"] == "No broken requirements found.\n"
    assert facts["version"] == __version__
    assert not set(facts["modules"]) & (LAPTOP)
    assert {"declare", "runtime", "describe", "py.typed"} <= set(facts["modules"])
    assert facts["uncompiled"] == []
    assert facts["closed"] == []
    assert facts["leftovers"] == []
    assert facts["uid"] == 0
    assert facts["user"][2] == "/usr/sbin/nologin"
    assert 0 not in facts["user"][:2]
    assert facts["engines"] == [True, True, True, False]  # pyarrow reads CSV and Parquet; DuckDB is optional
    assert not {"typer", "rich", "docker", "PyYAML"} & set(facts["packages"])
    assert facts["executable"] == "/opt/algotools/bin/python"
    assert facts["pip"] == []


@pytest.mark.docker
def test_the_configuration_and_labels_of_the_base(engine: docker.DockerClient, base_name: str) -> None:
    image = engine.images.get(base_name)
    configuration = image.attrs["Config"]
    assert configuration["Cmd"] == ["python", "-m", "algotools"]
    assert not configuration["Entrypoint"]
    assert configuration["User"] in {"", "root", "0"}
    assert image.labels[Label.VERSION] == __version__
    assert image.labels[Label.GATE] == GATE_VERSION
    assert image.labels[Label.TITLE] == "algotools base"
    assert image.labels[Label.LICENSES] == "Apache-2.0"
    assert base_name == base.make_name(image.labels[Label.BASE])
    sources, dockerfile = base.read_sources()
    assert image.labels[Label.CONTEXT] == sources.compute_digest(dockerfile, image.labels[Label.BASE], "")


@pytest.mark.docker
def test_without_the_variables_of_a_node_the_base_exits_with_an_error(
    engine: docker.DockerClient, base_name: str
) -> None:
    container = engine.containers.create(base_name, network_mode="none", read_only=True)
    try:
        container.start()
        assert container.wait(timeout=LIMIT)["StatusCode"] == 10
        failure = read_failure(container.logs().decode().splitlines()[-1])
        assert failure is not None
        assert failure.exit_code == 10
    finally:
        container.remove(force=True)


def make_archive(folder: str, contents: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in contents.items():
            entry = tarfile.TarInfo(f"{folder}/{name}".strip("/"))
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


@pytest.fixture
def endless_run(engine: docker.DockerClient, base_name: str) -> Iterator[Any]:
    """A container with a function that never returns."""
    task = Task(
        method="never_returns",
        role="rpc",
        databases=(Database("default", "/mnt/patients.csv", "csv"),),
        input_file=Path("/mnt/task/input"),
        output_file=Path("/mnt/task/output"),
        temporary_folder=Path("/tmp"),
        proxy=Proxy("http://127.0.0.1:1", Path("/mnt/task/token")),
        policy_variables=OFF,
    )
    identity = Identity(task_id=7, node_id=5, organization_id=3, collaboration_id=1, image="image", databases="default")
    prepared = get_contract("v4").prepare(task, make_token(identity, b"k" * 32))
    project = ALGORITHMS / "misbehaving"
    container = engine.containers.create(
        base_name, environment={**prepared.environment, "ALGOTOOLS_ALGORITHM": "/app"}, network_mode="none"
    )
    try:
        code = {str(p.relative_to(project)): p.read_bytes() for p in project.rglob("*") if p.suffix in {".py", ".toml"}}
        files = {str(path).lstrip("/"): data for path, data in prepared.files.items()}
        container.put_archive("/", make_archive("app", code))
        container.put_archive("/", make_archive("", {**files, "mnt/patients.csv": b"name,age\na,1\n"}))
        container.start()
        wait_until(lambda: len(container.top()["Processes"]) >= 2)  # the supervisor and the worker
        time.sleep(0.5)
        yield container
    finally:
        container.remove(force=True)


@pytest.mark.docker
@pytest.mark.parametrize("signal", ["SIGTERM", "SIGINT"])
def test_a_signal_stops_the_run_at_once(endless_run: Any, signal: str) -> None:
    endless_run.kill(signal=signal)
    assert endless_run.wait(timeout=LIMIT)["StatusCode"] == 47
    failure = read_failure(endless_run.logs().decode().splitlines()[-1])
    assert failure is not None
    assert failure.message == f"the run was stopped by {signal}"


# The build.


@pytest.fixture
def checkout(tmp_path: Path, engine: docker.DockerClient) -> Iterator[Path]:
    """A copy of the checkout for `docker build -f Dockerfile.base .`. Its images are removed after the test."""
    for name in ("Dockerfile.base", ".dockerignore"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "algotools", tmp_path / "algotools", ignore=shutil.ignore_patterns("__pycache__"))
    yield tmp_path
    for image in engine.images.list(filters={"label": f"algotools.test={tmp_path.name}"}):
        engine.images.remove(image.id, force=True)


def build_with_docker(client: docker.DockerClient, folder: Path) -> Any:
    """Build the base as `docker build -f Dockerfile.base .` does."""
    image, _ = client.images.build(
        path=str(folder),
        dockerfile="Dockerfile.base",
        buildargs={"PYTHON_IMAGE": PYTHON_IMAGE},
        labels={"algotools.test": folder.name, "nonce": uuid.uuid4().hex},
        rm=True,
        forcerm=True,
    )
    return image


@pytest.mark.docker
def test_a_change_of_code_changes_only_the_layers_with_code(
    engine: docker.DockerClient, base_image: str, checkout: Path
) -> None:
    usual = engine.images.get(base_image).attrs["RootFS"]["Layers"]
    before = build_with_docker(engine, checkout).attrs["RootFS"]["Layers"]
    assert before == usual
    (checkout / "algotools" / "errors.py").chmod(0o600)  # as with a umask of 077
    changed = checkout / "algotools" / "runtime" / "logs.py"
    changed.write_text(changed.read_text() + "\n# changed\n")
    image = build_with_docker(engine, checkout)
    after = image.attrs["RootFS"]["Layers"]
    assert (after[:-2], len(after)) == (before[:-2], len(before))
    assert not set(after[-2:]) & set(before[-2:])
    is_changed = run_python(
        engine,
        image.id,
        "import os, json; os.setuid(65534); import algotools.errors, algotools.runtime.logs as r; "
        "print(json.dumps(open(r.__file__).read().endswith('# changed\\n')))",
    )
    assert is_changed is True


@pytest.mark.docker
def test_the_base_is_built_once(engine: docker.DockerClient, base_image: str) -> None:
    lines: list[str] = []
    assert base.ensure_base(engine, lines.append) == base_image
    assert lines == []


@pytest.mark.docker
def test_the_command_line_builds_the_base_under_any_name(engine: docker.DockerClient, base_image: str) -> None:
    tag = f"algotools-test/base-{uuid.uuid4().hex[:8]}:1"
    process = algotools("build", "--base", "--tag", tag)
    try:
        assert process.returncode == 0, process.stderr
        assert re.fullmatch(rf"{tag}  \d+ MB  \d+\.\d s\n", process.stdout)
        assert f"building the base image {tag} from {PYTHON_IMAGE}" in process.stderr
        assert "Collecting" not in process.stderr  # all steps are cached
        usual = engine.images.get(base_image)
        assert engine.images.get(tag).attrs["RootFS"] == usual.attrs["RootFS"]
        again = algotools("build", "--base", "--tag", tag)
        assert again.stderr == ""
    finally:
        engine.images.remove(tag)


@pytest.mark.docker
def test_a_python_that_is_too_old_is_refused_and_nothing_remains(
    engine: docker.DockerClient,
) -> None:
    mark = uuid.uuid4().hex[:12]
    tag = f"algotools-test/old-{mark}:1"
    context = make_archive(
        "",
        {
            "Dockerfile": (
                f"FROM {PYTHON_IMAGE}\nLABEL algotools.test={mark}\nCOPY sitecustomize.py /old/\nENV PYTHONPATH=/old\n"
            ).encode(),
            "sitecustomize.py": b"import sys\nsys.version_info = (3, 9, 18)\n",
        },
    )
    engine.images.build(fileobj=io.BytesIO(context), custom_context=True, tag=tag, rm=True, forcerm=True)
    try:
        with pytest.raises(ImageError, match=r"^step \d+/\d+, `RUN python3 -c .*…` failed: ") as caught:
            base.ensure_base(engine, ignore_line, arguments={"PYTHON_IMAGE": tag})
        assert caught.value.detail == "algotools needs Python 3.10 or newer"
    finally:
        engine.images.remove(tag)
    assert engine.api.images(all=True, filters={"label": f"algotools.test={mark}"}) == []
    assert engine.api.containers(all=True, filters={"label": f"algotools.test={mark}"}) == []


@pytest.mark.docker
def test_a_missing_python_image_is_refused_with_advice(engine: docker.DockerClient) -> None:
    with pytest.raises(ImageError, match=r"could not get the image: name another image .* ALGOTOOLS_PYTHON_IMAGE"):
        base.ensure_base(engine, ignore_line, arguments={"PYTHON_IMAGE": "127.0.0.1:1/no/such:1"})


@pytest.mark.docker
@pytest.mark.parametrize("tag", ["UPPER/case:1", "a:b:c", "https://host/a", ""])
def test_an_invalid_name_is_refused_before_the_build(engine: docker.DockerClient, tag: str) -> None:
    lines: list[str] = []
    with pytest.raises(ImageNotFound, match="is not the name of an image"):
        base.ensure_base(engine, lines.append, tag=tag or " ")
    assert lines == []


@pytest.mark.docker
def test_a_login_in_the_index_url_is_reported(engine: docker.DockerClient, base_image: str) -> None:
    lines: list[str] = []
    base.ensure_base(engine, lines.append, arguments={"PIP_INDEX_URL": "https://ada:secret@index.example.org/"})
    assert len(lines) == 1
    assert "warning: PIP_INDEX_URL contains a login" in lines[0]
    assert "secret" not in lines[0]
