"""The base image: what is in it, how it starts and ends, and that it is the same from a checkout and from a wheel."""

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
from algotools.contract import by_name, token
from algotools.errors import ImageError, ImageNotFound
from algotools.image import base, labels
from algotools.locate import read_toml
from algotools.report import read_failure
from algotools.task import Database, Identity, Proxy, Task

from ..conftest import ALGORITHMS, ROOT, algotools
from ..test_structure import LAPTOP
from .building import PYTHON_IMAGE, PYTHON_IMAGES, run_python

DOCKERFILE = (ROOT / "Dockerfile.base").read_text(encoding="utf-8")
RUN_TIME = [
    line for line in (ROOT / "algotools/requirements.txt").read_text().splitlines() if line and not line.startswith("#")
]


def silent(_line: str) -> None:
    pass


# What has to agree.


def test_the_dockerfile_says_what_the_package_says() -> None:
    assert f"ARG PYTHON_IMAGE={base.PYTHON_IMAGE}\n" in DOCKERFILE
    assert f'{labels.VERSION}="{__version__}"' in DOCKERFILE
    assert re.fullmatch(r"python:3\.\d+-slim", base.PYTHON_IMAGE)


def test_what_a_container_needs_is_the_first_part_of_what_the_package_needs() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert read_toml(ROOT / "pyproject.toml")["project"]["dependencies"][: len(RUN_TIME)] == RUN_TIME
    container, _, laptop = text.partition("# What runs on the laptop only.")
    assert all(f'"{line}"' in container for line in RUN_TIME)
    assert not any(f'"{line}"' in laptop for line in RUN_TIME)


def test_only_what_runs_at_a_node_is_sent() -> None:
    sources, dockerfile = base.files()
    assert dockerfile == DOCKERFILE
    there = {path.name.removesuffix(".py") for path in (ROOT / "algotools").iterdir()} - {"__pycache__"}
    sent = {name.split("/")[1].removesuffix(".py") for name in sources.files if "/" in name}
    assert sent == there - LAPTOP | {"describe"}  # a new image is asked what it can do
    assert {name.split("/")[0] for name in sources.files} == {"algotools"}
    assert not [name for name in sources.files if "__pycache__" in name]


def test_no_syntax_that_the_classic_builder_lacks() -> None:
    assert not re.search(r"^\s*(RUN --|COPY --(chmod|link)|ADD --|#\s*syntax)|<<", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize(
    ("python_image", "platform", "expected"),
    [
        (None, None, f"algotools-base:{__version__}"),
        ("python:3.12-slim", None, f"algotools-base:{__version__}-python-3.12-slim"),
        ("host:5000/a/b@sha256:12", "linux/arm64", f"algotools-base:{__version__}-host-5000-a-b-sha256-12-linux-arm64"),
    ],
)
def test_the_name_tells_version_python_and_platform(
    python_image: str | None, platform: str | None, expected: str
) -> None:
    assert base.reference(python_image, platform) == expected


def test_the_name_of_a_long_python_is_one_that_docker_takes() -> None:
    assert len(base.reference("x" * 300).partition(":")[2]) == 128


# From a checkout, an installation, a source distribution.

ASK = """
import json, pathlib
from algotools.image import base
sources, dockerfile = base.files()
print(json.dumps([str(sources.root), list(sources.files), sources.digest(dockerfile)]))
"""


def asked(folder: Path) -> list[Any]:
    """Root, files and digest of what a copy of the package in a folder would send."""
    ended = subprocess.run(
        [sys.executable, "-c", ASK],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )
    found = json.loads(ended.stdout)
    assert found[0] == str(folder)
    return list(found)


@pytest.mark.parametrize("way", ["a wheel of the checkout", "a source distribution", "a wheel of that"])
def test_what_is_installed_sends_just_what_the_checkout_sends(
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
        for other in ("other/a.py", "algotools_more/b.py", "csv.csv"):  # what else is installed there
            (site / other).parent.mkdir(exist_ok=True)
            (site / other).write_text("x")
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(site)], check=True)
        unpacked = site
    sources, dockerfile = base.files()
    assert asked(unpacked)[1:] == [list(sources.files), sources.digest(dockerfile)]


def test_an_installation_that_lacks_the_dockerfile_says_so(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "algotools", tmp_path / "algotools", ignore=shutil.ignore_patterns("__pycache__"))
    ended = subprocess.run(
        [sys.executable, "-c", ASK],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert "ImageError: this installation of algotools has no Dockerfile.base; install it anew" in ended.stderr


# Inside.

LOOK = """
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
freeze = [found.metadata["Name"] for found in importlib.metadata.distributions()]
user = pwd.getpwnam(os.environ["ALGOTOOLS_WORKER_USER"])
print(json.dumps({
    "python": list(sys.version_info[:2]),
    "executable": sys.executable,
    "check": check.stdout + check.stderr,
    "version": importlib.metadata.version("federated-algotools"),
    "rooms": sorted({p.name.removesuffix(".py") for p in pathlib.Path(algotools.__file__).parent.iterdir()}),
    "uncompiled": [*uncompiled("/opt/algotools"), *uncompiled(
        sysconfig.get_path("stdlib"), "site-packages", "dist-packages", "test", "tests", "idlelib"
    )],
    "closed": closed("/opt/algotools"),
    "left": [p for p in (
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
def made(request: pytest.FixtureRequest, engine: docker.DockerClient) -> str:
    """A base of each Python that the environment names; it stays, as it does after any `algotools build`."""
    return base.ensure(engine, silent, arguments={"PYTHON_IMAGE": request.param})


@pytest.mark.docker
def test_inside(engine: docker.DockerClient, made: str) -> None:
    found = run_python(engine, made, LOOK)
    assert found["check"] == "No broken requirements found.\n"
    assert found["version"] == __version__
    assert not set(found["rooms"]) & (LAPTOP - {"describe"})
    assert {"container", "dispatch", "describe", "py.typed"} <= set(found["rooms"])
    assert found["uncompiled"] == []
    assert found["closed"] == []
    assert found["left"] == []
    assert found["uid"] == 0
    assert found["user"][2] == "/usr/sbin/nologin"
    assert 0 not in found["user"][:2]
    assert found["engines"] == [True, True, True, False]  # one engine for CSV and Parquet
    assert not {"typer", "rich", "docker", "PyYAML"} & set(found["packages"])
    assert found["executable"] == "/opt/algotools/bin/python"
    assert found["pip"] == []


@pytest.mark.docker
def test_what_it_says_of_itself(engine: docker.DockerClient, made: str) -> None:
    image = engine.images.get(made)
    configuration = image.attrs["Config"]
    assert configuration["Cmd"] == ["python", "-m", "algotools"]
    assert not configuration["Entrypoint"]
    assert configuration["User"] in {"", "root", "0"}
    assert image.labels[labels.VERSION] == __version__
    assert image.labels[labels.TITLE] == "algotools base"
    assert image.labels[labels.LICENSES] == "Apache-2.0"
    assert made == base.reference(image.labels[labels.BASE])
    sources, dockerfile = base.files()
    assert image.labels[labels.CONTEXT] == sources.digest(dockerfile, image.labels[labels.BASE], "")


@pytest.mark.docker
def test_without_a_node_it_says_so_at_once(engine: docker.DockerClient, made: str) -> None:
    container = engine.containers.create(made, network_mode="none", read_only=True)
    try:
        container.start()
        assert container.wait(timeout=30)["StatusCode"] == 10
        failure = read_failure(container.logs().decode().splitlines()[-1])
        assert failure is not None
        assert failure.exit_code == 10
    finally:
        container.remove(force=True)


def archive(folder: str, contents: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in contents.items():
            entry = tarfile.TarInfo(f"{folder}/{name}".strip("/"))
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return made.getvalue()


@pytest.fixture
def endless(engine: docker.DockerClient, made: str) -> Iterator[Any]:
    """A container in which a function runs that never returns."""
    task = Task(
        method="never_returns",
        role="rpc",
        databases=(Database("default", "/mnt/patients.csv", "csv"),),
        input_file=Path("/mnt/task/input"),
        output_file=Path("/mnt/task/output"),
        temporary_folder=Path("/tmp"),
        proxy=Proxy("http://127.0.0.1:1", Path("/mnt/task/token")),
    )
    identity = Identity(task_id=7, node_id=5, organization_id=3, collaboration_id=1, image="image", databases="default")
    prepared = by_name("v4").prepare(task, token.make(identity, b"k" * 32))
    project = ALGORITHMS / "misbehaving"
    container = engine.containers.create(
        made, environment={**prepared.environment, "ALGOTOOLS_ALGORITHM": "/app"}, network_mode="none"
    )
    try:
        code = {str(p.relative_to(project)): p.read_bytes() for p in project.rglob("*") if p.suffix in {".py", ".toml"}}
        files = {str(path).lstrip("/"): data for path, data in prepared.files.items()}
        container.put_archive("/", archive("app", code))
        container.put_archive("/", archive("", {**files, "mnt/patients.csv": b"name,age\na,1\n"}))
        container.start()
        end = time.monotonic() + 30
        while len(container.top()["Processes"]) < 2:  # the supervisor, and the process of the function
            assert time.monotonic() < end
            time.sleep(0.1)
        time.sleep(0.5)
        yield container
    finally:
        container.remove(force=True)


@pytest.mark.docker
@pytest.mark.parametrize("signal", ["SIGTERM", "SIGINT"])
def test_it_stops_at_once_when_it_is_asked_to(endless: Any, signal: str) -> None:
    started = time.monotonic()
    endless.kill(signal=signal)
    assert endless.wait(timeout=30)["StatusCode"] == 47
    assert time.monotonic() - started < 5  # `docker stop` would kill it after ten seconds
    failure = read_failure(endless.logs().decode().splitlines()[-1])
    assert failure is not None
    assert failure.message == f"the run was asked to stop ({signal})"


# How it is built.


@pytest.fixture
def checkout(tmp_path: Path, engine: docker.DockerClient) -> Iterator[Path]:
    """What the root of a checkout holds, for `docker build -f Dockerfile.base .`; its images are removed."""
    for name in ("Dockerfile.base", ".dockerignore"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "algotools", tmp_path / "algotools", ignore=shutil.ignore_patterns("__pycache__"))
    yield tmp_path
    for image in engine.images.list(filters={"label": f"algotools.test={tmp_path.name}"}):
        engine.images.remove(image.id, force=True)


def plainly(client: docker.DockerClient, folder: Path) -> Any:
    """As `docker build -f Dockerfile.base .` builds it."""
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
def test_it_builds_from_the_root_of_a_checkout_and_a_change_of_code_changes_the_layers_of_code_only(
    engine: docker.DockerClient, base_image: str, checkout: Path
) -> None:
    usual = engine.images.get(base_image).attrs["RootFS"]["Layers"]
    before = plainly(engine, checkout).attrs["RootFS"]["Layers"]
    assert before == usual
    (checkout / "algotools" / "errors.py").chmod(0o600)  # as with a umask of 077
    changed = checkout / "algotools" / "report.py"
    changed.write_text(changed.read_text() + "\n# changed\n")
    image = plainly(engine, checkout)
    after = image.attrs["RootFS"]["Layers"]
    assert (after[:-2], len(after)) == (before[:-2], len(before))
    assert not set(after[-2:]) & set(before[-2:])
    found = run_python(
        engine,
        image.id,
        "import os, json; os.setuid(65534); import algotools.errors, algotools.report as r; "
        "print(json.dumps(open(r.__file__).read().endswith('# changed\\n')))",
    )
    assert found is True


@pytest.mark.docker
def test_it_is_made_once(engine: docker.DockerClient, base_image: str) -> None:
    told: list[str] = []
    assert base.ensure(engine, told.append) == base_image
    assert told == []


@pytest.mark.docker
def test_the_command_line_builds_it_under_any_name(engine: docker.DockerClient, base_image: str) -> None:
    tag = f"algotools-test/base-{uuid.uuid4().hex[:8]}:1"
    ended = algotools("build", "--base", "--tag", tag)
    try:
        assert ended.returncode == 0, ended.stderr
        assert re.fullmatch(rf"{tag}  \d+ MB  \d+\.\d s\n", ended.stdout)
        assert f"making the base image {tag} from {PYTHON_IMAGE}" in ended.stderr
        assert "Collecting" not in ended.stderr  # from the same steps
        usual = engine.images.get(base_image)
        assert engine.images.get(tag).attrs["RootFS"] == usual.attrs["RootFS"]
        again = algotools("build", "--base", "--tag", tag)
        assert again.stderr == ""
    finally:
        engine.images.remove(tag)


@pytest.mark.docker
def test_a_python_that_is_too_old_is_refused_with_words_and_nothing_is_left(
    engine: docker.DockerClient,
) -> None:
    mark = uuid.uuid4().hex[:12]
    tag = f"algotools-test/old-{mark}:1"
    context = archive(
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
            base.ensure(engine, silent, arguments={"PYTHON_IMAGE": tag})
        assert caught.value.detail == "algotools needs Python 3.10 or newer"
    finally:
        engine.images.remove(tag)
    assert engine.api.images(all=True, filters={"label": f"algotools.test={mark}"}) == []
    assert engine.api.containers(all=True, filters={"label": f"algotools.test={mark}"}) == []


@pytest.mark.docker
def test_a_python_that_cannot_be_had_is_refused_with_a_way_out(engine: docker.DockerClient) -> None:
    with pytest.raises(ImageError, match=r"could not get that image: give one .* ALGOTOOLS_PYTHON_IMAGE"):
        base.ensure(engine, silent, arguments={"PYTHON_IMAGE": "127.0.0.1:1/no/such:1"})


@pytest.mark.docker
@pytest.mark.parametrize("tag", ["UPPER/case:1", "a:b:c", "https://host/a", ""])
def test_a_name_that_no_image_can_have_is_refused_first(engine: docker.DockerClient, tag: str) -> None:
    told: list[str] = []
    with pytest.raises(ImageNotFound, match="is not a name of an image"):
        base.ensure(engine, told.append, tag=tag or " ")
    assert told == []


@pytest.mark.docker
def test_a_login_in_the_index_is_no_secret_and_that_is_said(engine: docker.DockerClient, base_image: str) -> None:
    told: list[str] = []
    base.ensure(engine, told.append, arguments={"PIP_INDEX_URL": "https://ada:secret@index.example.org/"})
    assert len(told) == 1
    assert "careful: there is a login in PIP_INDEX_URL" in told[0]
    assert "secret" not in told[0]
