"""Real parts: an engine, registries that run for a test, and images that are built in a moment and removed after it."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import Request, urlopen

import bcrypt
import docker
import pytest
from docker.errors import ImageNotFound as NoSuchImage

from algotools.image import labels

from .fakes import closed_socket, fake_engine, page_server, token_server

USER, PASSWORD = "ada", "lovelace:1815"

DESCRIPTION = {
    "algorithm": "average",
    "functions": [
        {
            "method": "average_partial",
            "role": "rpc",
            "description": "Sum and count of one column.",
            "databases": [{"parameter": "data", "form": "pandas", "label": None}],
            "arguments": {
                "type": "object",
                "properties": {
                    "column_name": {"type": "string", "format": "column", "description": "what to add up"},
                    "at_least": {"type": "integer", "default": 3},
                },
                "required": ["column_name"],
                "additionalProperties": False,
            },
        }
    ],
}

LABELS = {
    labels.DESCRIPTION: json.dumps(DESCRIPTION),
    labels.PACKAGES: json.dumps({"python": "3.13.1", "numpy": "2.4.6"}),
    labels.VERSION: "0.1.0",
    labels.TITLE: "average",
    labels.DETAILS: "The average of a column",
    labels.ALGORITHM_VERSION: "1.2.3",
    labels.BASE: "registry.example.org/base:1",
    labels.BASE_DIGEST: "sha256:" + "b" * 64,
    labels.REVISION: "c" * 40,
    labels.CLEAN: "true",
}
"""As `algotools build` writes them."""


@dataclass
class Images:
    """Makes images of one small layer under names of their own, and removes them."""

    client: docker.DockerClient
    tags: list[str] = field(default_factory=list)

    def make(self, tag: str, image_labels: dict[str, str] | None = None, content: str = "") -> str:
        """Build an image ``FROM scratch``; its layer is like no other unless ``content`` is given."""
        lines = [f"LABEL {json.dumps(name)}={_quoted(text)}" for name, text in (image_labels or {}).items()]
        dockerfile = "\n".join(["FROM scratch", *lines, 'CMD ["python", "-m", "algotools"]', "COPY content /"])
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, text in (("Dockerfile", dockerfile), ("content", content or uuid.uuid4().hex)):
                entry = tarfile.TarInfo(name)
                entry.size = len(text.encode())
                tar.addfile(entry, io.BytesIO(text.encode()))
        archive.seek(0)
        self.tags.append(tag)
        for message in self.client.api.build(
            fileobj=archive, custom_context=True, tag=tag, rm=True, forcerm=True, decode=True
        ):
            assert "error" not in message, message
        return tag

    def remove(self, tag: str) -> None:
        """Take a name away, and the image if that was its last."""
        with contextlib.suppress(NoSuchImage):
            self.client.api.remove_image(tag, force=True)


def _quoted(text: str) -> str:
    """As a Dockerfile has it: JSON's marks, and no variables in it."""
    return json.dumps(text, ensure_ascii=False).replace("$", "\\$")


@pytest.fixture
def images(engine: docker.DockerClient) -> Iterator[Images]:
    """Makes images that are gone after the test."""
    images = Images(engine)
    yield images
    for tag in reversed(images.tags):
        images.remove(tag)


@dataclass
class Registry:
    """A registry on this machine; ``address`` is the first part of its images' names."""

    address: str
    process: subprocess.Popen[bytes]
    scheme: str = "http"
    guarded: bool = False

    def request(
        self, path: str, method: str = "GET", data: bytes | None = None, kind: str = "", accept: str = "*/*"
    ) -> tuple[dict[str, str], bytes]:
        """Ask by plain HTTP; headers (lower case) and body of the answer."""
        headers = {"Accept": accept} | ({"Content-Type": kind} if kind else {})
        request = Request(f"{self.scheme}://{self.address}/v2/{path}", data=data, method=method, headers=headers)
        with urlopen(request, timeout=10) as response:
            return {name.lower(): value for name, value in response.headers.items()}, response.read()

    def digest(self, repository: str, tag: str) -> str:
        """The digest that the registry itself gives for a tag."""
        accept = "application/vnd.docker.distribution.manifest.v2+json"
        return self.request(f"{repository}/manifests/{tag}", accept=accept)[0]["docker-content-digest"]

    def stop(self) -> None:
        """End it; its port is closed afterwards."""
        self.process.terminate()
        self.process.wait(timeout=20)


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_registry(
    folder: Path, *, auth: dict[str, object] | None = None, tls: dict[str, str] | None = None
) -> Registry:
    """Start a registry that keeps its images in a folder."""
    program = shutil.which("docker-registry") or shutil.which("registry")
    if program is None:
        pytest.skip("no registry on this machine (Debian: docker-registry)")
    folder.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{free_port()}"
    http: dict[str, object] = {"addr": address, "secret": "of a test"}
    settings = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}},
        "http": http | ({"tls": tls} if tls else {}),
    } | ({"auth": auth} if auth else {})
    file = folder / "registry.yml"
    file.write_text(json.dumps(settings))  # JSON is YAML
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(file)], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(tuple(address.split(":")), timeout=1).close()  # type: ignore[arg-type]
            break
        except OSError:
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
    return Registry(address, process, "https" if tls else "http", guarded=auth is not None)


def htpasswd(folder: Path) -> dict[str, object]:
    """A registry's settings for logins with a password."""
    file = folder / "htpasswd"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(USER.encode() + b":" + bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)) + b"\n")
    return {"htpasswd": {"realm": "test", "path": str(file)}}


def certificate(folder: Path) -> dict[str, str]:
    """A key and a certificate for this machine, signed by nobody else."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on this machine")
    folder.mkdir(parents=True, exist_ok=True)
    key, file = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(file)],
        check=True, capture_output=True,
    )  # fmt: skip
    return {"certificate": str(file), "key": str(key)}


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that asks nobody who he is."""
    registry = start_registry(tmp_path_factory.mktemp("registry"))
    yield registry
    registry.stop()


@pytest.fixture(scope="session")
def guarded_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that lets in who logs in as ``USER``."""
    folder = tmp_path_factory.mktemp("guarded")
    registry = start_registry(folder, auth=htpasswd(folder))
    yield registry
    registry.stop()


@pytest.fixture(scope="session")
def tls_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A guarded registry that speaks https."""
    folder = tmp_path_factory.mktemp("tls")
    registry = start_registry(folder, auth=htpasswd(folder), tls=certificate(folder))
    yield registry
    registry.stop()


@dataclass
class DockerUser:
    """Somebody with Docker's configuration in a folder of his own, who calls ``algotools``."""

    folder: Path
    path: str = ""

    def configure(self, settings: object) -> None:
        """Write the configuration; a text as it is."""
        self.folder.mkdir(exist_ok=True)
        text = settings if isinstance(settings, str) else json.dumps(settings)
        (self.folder / "config.json").write_text(text)

    def log_in(self, registry: str, user: str = USER, password: str = PASSWORD) -> None:
        """What ``docker login`` does without a helper."""
        self.configure({"auths": {registry: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}}})

    def helper(self, name: str, script: str) -> None:
        """Put a credential helper on the PATH."""
        programs = self.folder.parent / "programs"
        programs.mkdir(exist_ok=True)
        program = programs / f"docker-credential-{name}"
        program.write_text(f"#!{sys.executable}\n{script}")
        program.chmod(0o755)
        self.path = f"{programs}{os.pathsep}"

    def environment(self, **variables: str) -> dict[str, str]:
        """The variables of a call."""
        path = self.path + os.environ["PATH"]
        return {**os.environ, "DOCKER_CONFIG": str(self.folder), "PATH": path, "NO_COLOR": "1", **variables}

    def algotools(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Call the command line; every socket that it leaves open is told on standard error.

        But for those that docker-py leaves open when there is no engine.
        """
        strictly = () if "DOCKER_HOST" in variables else ("-W", "error::ResourceWarning")
        return subprocess.run(
            [sys.executable, *strictly, *_MAIN, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
            env=self.environment(**variables),
        )


_MAIN = ("-c", "from algotools.cli import main; main()")


@pytest.fixture
def docker_user(tmp_path: Path) -> DockerUser:
    """Somebody who is logged in nowhere."""
    user = DockerUser(tmp_path / "docker")
    user.configure({})
    return user


@pytest.fixture
def name() -> Callable[[Registry], str]:
    """Makes names of images that no other test has, in a registry."""
    return lambda registry: f"{registry.address}/tests/{uuid.uuid4().hex[:12]}:1"


NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}


@pytest.fixture
def closed_engine() -> Iterator[str]:
    """DOCKER_HOST of an engine that we have no right to use."""
    with closed_socket() as host:
        yield host


@pytest.fixture
def dying_engine() -> Iterator[str]:
    """DOCKER_HOST of an engine that goes away during a push."""
    with fake_engine([{"status": "Preparing", "progressDetail": {}, "id": "0123456789ab"}], dies=True) as host:
        yield host


@pytest.fixture
def failing_engine() -> Iterator[Callable[[str], str]]:
    """Makes engines whose push ends with these words; gives DOCKER_HOST."""
    with contextlib.ExitStack() as stack:
        yield lambda said: stack.enter_context(fake_engine([{"error": said}], dies=False))


@dataclass
class TokenRegistry(Registry):
    """A registry that sends those who ask to a server for tokens."""

    identity: str = "stands-for-user-and-password"


@pytest.fixture(scope="session")
def token_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenRegistry]:
    """A registry as the large ones are: a token from elsewhere opens it."""
    folder = tmp_path_factory.mktemp("token")
    files = certificate(folder)
    with token_server(files, USER, PASSWORD, TokenRegistry.identity) as realm:
        settings = {"realm": realm, "service": "test", "issuer": "test", "rootcertbundle": files["certificate"]}
        plain = start_registry(folder, auth={"token": settings})
        registry = TokenRegistry(plain.address, plain.process, guarded=True)
        yield registry
        registry.stop()


@pytest.fixture
def closed_port() -> int:
    """A port of this machine at which nobody listens."""
    return free_port()


@pytest.fixture
def web_server() -> Iterator[str]:
    """A server that shows a page, whatever it is asked for."""
    with page_server() as address:
        yield address
