"""Real parts for the tests: an engine, registries that run for a test, and images that are small and removed again."""

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

from algotools.image.names import Label

from ..preloaded import run_command
from ..processes import LIMIT
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
                    "column_name": {"type": "string", "format": "column", "description": "the column to add up"},
                    "at_least": {"type": "integer", "default": 3},
                },
                "required": ["column_name"],
                "additionalProperties": False,
            },
        }
    ],
}

LABELS = {
    Label.DESCRIPTION: json.dumps(DESCRIPTION),
    Label.PACKAGES: json.dumps({"python": "3.13.1", "numpy": "2.4.6"}),
    Label.VERSION: "0.1.0",
    Label.TITLE: "average",
    Label.DETAILS: "The average of a column",
    Label.ALGORITHM_VERSION: "1.2.3",
    Label.BASE: "registry.example.org/base:1",
    Label.BASE_DIGEST: "sha256:" + "b" * 64,
    Label.REVISION: "c" * 40,
    Label.CLEAN: "true",
    Label.GATE: "1",
}
"""Labels as `algotools build` writes them."""


@dataclass
class Images:
    """Makes images with one small layer and unique names, and removes them."""

    client: docker.DockerClient
    tags: list[str] = field(default_factory=list)

    def make(
        self, tag: str, image_labels: dict[str, str] | None = None, content: str = "", *, steps: tuple[str, ...] = ()
    ) -> str:
        """Import an image, with further lines of a Dockerfile. Its layer is unique unless ``content`` is given."""
        # An import takes a tenth of the engine's time of a build, which makes an image for each line.
        pairs = [f"{json.dumps(name)}={_quote(text)}" for name, text in (image_labels or {}).items()]
        lines = ['CMD ["python", "-m", "algotools"]', *steps, *([f"LABEL {' '.join(pairs)}"] if pairs else [])]
        data = (content or uuid.uuid4().hex).encode()
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo("content")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        repository, _, version = tag.rpartition(":")
        self.tags.append(tag)
        answer = self.client.api.import_image_from_data(archive.getvalue(), repository, version, changes=lines)
        assert "error" not in answer, answer
        return tag

    def remove(self, tag: str) -> None:
        """Remove a name, and the image if the name was its last."""
        with contextlib.suppress(NoSuchImage):
            self.client.api.remove_image(tag, force=True)


def _quote(text: str) -> str:
    """Quote a text for a Dockerfile, without variables."""
    return json.dumps(text, ensure_ascii=False).replace("$", "\\$")


@pytest.fixture
def images(engine: docker.DockerClient) -> Iterator[Images]:
    """Makes images, and removes them after the test."""
    images = Images(engine)
    yield images
    for tag in reversed(images.tags):
        images.remove(tag)


@dataclass
class Registry:
    """A registry on this machine. ``address`` is the first part of the names of its images."""

    address: str
    process: subprocess.Popen[bytes]
    scheme: str = "http"
    needs_login: bool = False

    def request(
        self, path: str, method: str = "GET", data: bytes | None = None, kind: str = "", accept: str = "*/*"
    ) -> tuple[dict[str, str], bytes]:
        """Send a request, and return the headers (with lower-case names) and the body of the response."""
        headers = {"Accept": accept} | ({"Content-Type": kind} if kind else {})
        request = Request(f"{self.scheme}://{self.address}/v2/{path}", data=data, method=method, headers=headers)
        with urlopen(request, timeout=LIMIT) as response:
            return {name.lower(): value for name, value in response.headers.items()}, response.read()

    def fetch_digest(self, repository: str, tag: str) -> str:
        """Return the digest of a tag, from the registry itself."""
        accept = "application/vnd.docker.distribution.manifest.v2+json"
        return self.request(f"{repository}/manifests/{tag}", accept=accept)[0]["docker-content-digest"]

    def stop(self) -> None:
        """Stop the registry. Its port is closed afterwards."""
        self.process.terminate()
        self.process.wait(timeout=LIMIT)


def find_free_port() -> int:
    """Return a port of this machine that no program uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_registry(
    folder: Path,
    *,
    images: Path | None = None,
    auth: dict[str, object] | None = None,
    tls: dict[str, str] | None = None,
) -> Registry:
    """Start a registry that has its files in a folder, and its images in *images* if it is given."""
    program = shutil.which("docker-registry") or shutil.which("registry")
    if program is None:
        pytest.skip("no registry on this machine (Debian: docker-registry)")
    folder.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{find_free_port()}"
    http: dict[str, object] = {"addr": address, "secret": "of a test"}
    settings = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(images or folder / "storage")}},
        "http": http | ({"tls": tls} if tls else {}),
    } | ({"auth": auth} if auth else {})
    file = folder / "registry.yml"
    file.write_text(json.dumps(settings))  # JSON is YAML
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(file)], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            socket.create_connection(tuple(address.split(":")), timeout=1).close()  # type: ignore[arg-type]
            break
        except OSError:
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
    return Registry(address, process, "https" if tls else "http", needs_login=auth is not None)


def write_passwords(folder: Path) -> dict[str, object]:
    """Write a file with the password of ``USER``, and return a registry's settings for logins."""
    file = folder / "htpasswd"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(USER.encode() + b":" + bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)) + b"\n")
    return {"htpasswd": {"realm": "test", "path": str(file)}}


def make_certificate(folder: Path) -> dict[str, str]:
    """Make a key and a self-signed certificate for this machine."""
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
def tls_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry with HTTPS that requires a login."""
    folder = tmp_path_factory.mktemp("tls")
    registry = start_registry(folder, auth=write_passwords(folder), tls=make_certificate(folder))
    yield registry
    registry.stop()


@dataclass
class DockerUser:
    """A user of ``algotools`` with a separate folder for Docker's configuration."""

    folder: Path
    path: str = ""

    def configure(self, settings: object) -> None:
        """Write the configuration. A string is written unchanged."""
        self.folder.mkdir(exist_ok=True)
        text = settings if isinstance(settings, str) else json.dumps(settings)
        (self.folder / "config.json").write_text(text)

    def log_in(self, registry: str, user: str = USER, password: str = PASSWORD) -> None:
        """Store a login as ``docker login`` does without a helper."""
        self.configure({"auths": {registry: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}}})

    def add_helper(self, name: str, script: str) -> None:
        """Put a credential helper on the PATH."""
        programs = self.folder.parent / "programs"
        programs.mkdir(exist_ok=True)
        program = programs / f"docker-credential-{name}"
        program.write_text(f"#!{sys.executable}\n{script}")
        program.chmod(0o755)
        self.path = f"{programs}{os.pathsep}"

    def make_environment(self, **variables: str) -> dict[str, str]:
        """Return the environment variables of a call."""
        path = self.path + os.environ["PATH"]
        return {**os.environ, "DOCKER_CONFIG": str(self.folder), "PATH": path, "NO_COLOR": "1", **variables}

    def algotools(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the command line. Every socket that it leaves open is reported on standard error.

        Without an engine, docker-py itself leaves a socket open, so this is not checked then.
        """
        environment = self.make_environment(**variables)
        return run_command(arguments, None, environment, "", LIMIT, is_strict="DOCKER_HOST" not in variables)


@pytest.fixture
def docker_user(tmp_path: Path) -> DockerUser:
    """A user without logins."""
    user = DockerUser(tmp_path / "docker")
    user.configure({})
    return user


@pytest.fixture
def name() -> Callable[[Registry], str]:
    """Makes unique names of images in a registry."""
    return lambda registry: f"{registry.address}/tests/{uuid.uuid4().hex[:12]}:1"


NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}


@pytest.fixture
def closed_engine() -> Iterator[str]:
    """DOCKER_HOST of an engine that the tests have no permission to use."""
    with closed_socket() as host:
        yield host


@pytest.fixture
def dying_engine() -> Iterator[str]:
    """DOCKER_HOST of an engine that exits during a push."""
    with fake_engine([{"status": "Preparing", "progressDetail": {}, "id": "0123456789ab"}], dies=True) as host:
        yield host


@pytest.fixture
def failing_engine() -> Iterator[Callable[[str], str]]:
    """Starts an engine whose push fails with a message, and returns its DOCKER_HOST."""
    with contextlib.ExitStack() as stack:
        yield lambda message: stack.enter_context(fake_engine([{"error": message}], dies=False))


@dataclass
class TokenRegistry(Registry):
    """A registry that requires a token from another server."""

    identity: str = "stands-for-user-and-password"


@pytest.fixture(scope="session")
def token_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenRegistry]:
    """A registry like the large public registries, which require a token from another server."""
    folder = tmp_path_factory.mktemp("token")
    files = make_certificate(folder)
    with token_server(files, USER, PASSWORD, TokenRegistry.identity) as realm:
        settings = {"realm": realm, "service": "test", "issuer": "test", "rootcertbundle": files["certificate"]}
        plain = start_registry(folder, auth={"token": settings})
        registry = TokenRegistry(plain.address, plain.process, needs_login=True)
        yield registry
        registry.stop()


@pytest.fixture
def closed_port() -> int:
    """A port of this machine on which no program listens."""
    return find_free_port()


@pytest.fixture
def web_server() -> Iterator[str]:
    """A server that returns a web page for every request."""
    with page_server() as address:
        yield address
