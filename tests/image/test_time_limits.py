"""Nothing waits without a limit for a registry, a proxy or an engine that does not answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from algotools.errors import AlgotoolsError, EngineError, RegistryError
from algotools.image import _registry, _steps, build, engine, push
from algotools.image.context import Context
from algotools.image.inspect import inspect
from algotools.image.names import parse_reference

from ..hanging import dripping_server, full_server, silent_server, stopping_server
from .conftest import DockerUser
from .fakes import fake_engine

TIMEOUT = 1
MARGIN = 60
"""Seconds that a busy machine may need in addition."""

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

Server = Callable[[], AbstractContextManager[int]]

SERVERS: dict[str, Server] = {
    "silent": silent_server,
    "full": full_server,
    "stops in the headers": lambda: stopping_server(HEAD),
    "stops in the content": lambda: stopping_server(HEAD + b"Content-Length: 1000\r\n\r\n{"),
    "drips in the headers": lambda: dripping_server(HEAD + b"X: "),
    "drips in the content": lambda: dripping_server(HEAD + b"Content-Length: 1000\r\n\r\n{"),
}


@pytest.fixture(autouse=True)
def timeout(monkeypatch: pytest.MonkeyPatch, docker_user: DockerUser) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(docker_user.folder))
    for name in ("DOCKER_HOST", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("CONNECT_TIMEOUT", TIMEOUT), ("TIMEOUT", TIMEOUT)):
        monkeypatch.setattr(engine, name, value)
    monkeypatch.setattr(_registry, "_TIMEOUT", TIMEOUT)
    monkeypatch.setattr(_registry, "_WHOLE_TIMEOUT", 2 * TIMEOUT)


def check_limit(work: Callable[[], object], kind: type[AlgotoolsError], text: str, seconds: float = 2 * TIMEOUT) -> str:
    start = time.monotonic()
    with pytest.raises(kind, match=text) as excinfo:
        work()
    assert time.monotonic() - start < seconds + MARGIN
    assert "lovelace" not in str(excinfo.value) + excinfo.value.detail
    return str(excinfo.value)


def read(name: str) -> object:
    return _registry.read_image(parse_reference(name))


@pytest.mark.parametrize("server", SERVERS)
def test_a_registry_that_does_not_answer_is_reported(server: str) -> None:
    with SERVERS[server]() as port:
        name = f"127.0.0.1:{port}"
        check_limit(lambda: read(f"{name}/average:1"), RegistryError, f"{name} does not answer in time")


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
@pytest.mark.parametrize(
    "server", [*(SERVERS[name] for name in ("silent", "full")), lambda: stopping_server(b"HTTP/1.1 200 OK\r\n")]
)
def test_a_proxy_that_does_not_answer_is_reported(
    server: Server, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server() as port:
        monkeypatch.setenv(variable, f"http://ada:lovelace@127.0.0.1:{port}")
        text = check_limit(lambda: read("registry.invalid/average:1"), RegistryError, "no firewall or proxy blocks it")
        assert "registry.invalid does not answer in time" in text


def test_a_server_of_tokens_that_does_not_answer_is_reported() -> None:
    with silent_server() as realm:
        challenge = f'WWW-Authenticate: Bearer realm="http://127.0.0.1:{realm}/"'
        with stopping_server(f"HTTP/1.1 401 No\r\n{challenge}\r\nContent-Length: 0\r\n\r\n".encode()) as port:
            check_limit(lambda: read(f"127.0.0.1:{port}/average:1"), RegistryError, "does not answer in time")


def test_the_list_of_tags_ends() -> None:
    """A registry whose every page names a next page."""
    content = json.dumps({"tags": ["1"]}).encode()

    class Endless(_registry._Repository):
        def __init__(self) -> None:
            self.pages = 0

        def get(self, path: str, accept: str = "*/*") -> tuple[bytes, str]:
            self.pages += 1
            return content, path

    repository = Endless()
    assert repository.list_tags() == ["1"] * 100
    assert repository.pages == 100


@pytest.mark.parametrize("server", ["silent", "full", "stops in the headers"])
def test_an_engine_that_does_not_answer_is_reported(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with SERVERS[server]() as port:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        check_limit(
            lambda: push.push("r.example.org/a:1", print),
            EngineError,
            f"the container engine at tcp://127.0.0.1:{port} \\(DOCKER_HOST\\) does not answer in time",
        )


def test_inspect_reads_the_registry_if_the_engine_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_server() as engine_port, silent_server() as port:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{engine_port}")
        name = f"127.0.0.1:{port}/average:1"
        check_limit(lambda: inspect(name), RegistryError, f"127.0.0.1:{port} does not answer in time", 3 * TIMEOUT)


def use_engine(work: Callable[[Any], object]) -> object:
    with engine.open_engine() as client:
        return work(client)


@pytest.mark.parametrize("path", ["/push", "/images/create"])
@pytest.mark.parametrize("messages", [[], [{"id": "0123456789ab", "status": "Preparing"}]])
def test_a_registry_that_does_not_answer_the_engine_is_named(
    path: str, messages: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_engine(messages, dies=False, hangs_at=path) as host:
        monkeypatch.setenv("DOCKER_HOST", host)
        if path == "/push":
            check_limit(
                lambda: push.push("r.example.org/a:1", lambda _layer: None),
                RegistryError,
                "the container engine cannot push r.example.org/a:1: r.example.org did not answer within 1 s",
            )
        else:
            check_limit(
                lambda: use_engine(lambda client: engine.fetch_image(client, "r.example.org/absent:1", print)),
                RegistryError,
                "the container engine cannot pull r.example.org/absent:1: r.example.org did not answer within 1 s",
            )


@pytest.mark.parametrize("messages", [[], [{"stream": "Step 1/1 : RUN sleep infinity\n"}]])
def test_a_build_whose_step_waits_is_reported(
    messages: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_steps, "BUILD_TIMEOUT", TIMEOUT)
    archive = Context(Path(), ()).make_archive("FROM scratch\n")
    with fake_engine(messages, dies=False, hangs_at="/build") as host:
        monkeypatch.setenv("DOCKER_HOST", host)
        check_limit(
            lambda: use_engine(lambda client: _steps.build_image(client, archive)),
            EngineError,
            "the container engine at unix://.* does not answer in time",
        )


def test_a_git_that_waits_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(build, "_GIT_TIMEOUT", TIMEOUT)
    start = time.monotonic()
    assert build.run_git(tmp_path, "rev-parse", "HEAD") is None
    assert time.monotonic() - start < TIMEOUT + MARGIN
