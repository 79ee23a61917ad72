"""Pushing an image with Docker's own logins."""

from __future__ import annotations

import gc
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from algotools.errors import EngineError, ImageNotFound, RegistryError
from algotools.image.push import Layer, push

from ..processes import LIMIT
from .conftest import LABELS, NO_ENGINE, PASSWORD, USER, DockerUser, Images, Registry, start_registry

Name = Callable[[Registry], str]

HELPER = f"""
import json, sys
assert sys.argv[1] == "get"
server = sys.stdin.read().strip()
print(json.dumps({{"ServerURL": server, "Username": {USER!r}, "Secret": {PASSWORD!r}}}))
"""

EMPTY_HELPER = """
import sys
print("credentials not found in native keychain")
sys.exit(1)
"""


def check_refused(process: subprocess.CompletedProcess[str], code: int, *texts: str) -> None:
    assert process.returncode == code, process.stderr
    assert process.stdout == ""
    assert "Traceback" not in process.stderr
    assert "Warning" not in process.stderr
    for text in texts:
        assert text in process.stderr


@pytest.mark.docker
def test_standard_output_is_only_name_and_digest(
    images: Images, registry: Registry, name: Name, docker_user: DockerUser
) -> None:
    tag = images.make(name(registry), LABELS)
    process = docker_user.algotools("push", tag)
    assert process.returncode == 0, process.stderr
    match = re.fullmatch(r"(.+)@(sha256:[0-9a-f]{64})\n", process.stdout)
    assert match
    repository = tag.removesuffix(":1")
    assert match[1] == repository
    assert match[2] == registry.fetch_digest(repository.partition("/")[2], "1")
    assert re.fullmatch(r"[0-9a-f]{12}: pushed \(0\.0 MB\)\n", process.stderr)


@pytest.mark.docker
def test_a_second_push_reports_that_the_layers_exist(
    images: Images, registry: Registry, name: Name, docker_user: DockerUser
) -> None:
    tag = images.make(name(registry))
    first, second = docker_user.algotools("push", tag), docker_user.algotools("push", tag)
    assert first.stdout == second.stdout != ""
    assert re.fullmatch(r"[0-9a-f]{12}: already exists\n", second.stderr)


@pytest.mark.docker
def test_a_layer_of_another_repository_is_not_sent_again(
    images: Images, registry: Registry, name: Name, docker_user: DockerUser
) -> None:
    tag, other_name = images.make(name(registry)), name(registry)
    docker_user.algotools("push", tag)
    images.client.api.tag(tag, *other_name.rsplit(":", 1))
    images.tags.append(other_name)
    process = docker_user.algotools("push", other_name)
    assert re.fullmatch(r"[0-9a-f]{12}: mounted from another repository\n", process.stderr)


@pytest.mark.docker
def test_the_default_tag_is_latest(images: Images, registry: Registry, name: Name, docker_user: DockerUser) -> None:
    repository = name(registry).removesuffix(":1")
    images.make(f"{repository}:latest")
    process = docker_user.algotools("push", repository)
    assert process.stdout == f"{repository}@{registry.fetch_digest(repository.partition('/')[2], 'latest')}\n"


@pytest.mark.docker
def test_push_reports_each_layer(
    images: Images, registry: Registry, name: Name, docker_user: DockerUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(docker_user.folder))
    tag = images.make(name(registry))
    reports: list[Layer] = []
    pushed = push(tag, reports.append)
    assert pushed.startswith(f"{tag.removesuffix(':1')}@sha256:")
    assert [reports[0].state, reports[-1].state] == ["waiting", "pushed"]
    assert len({layer.id for layer in reports}) == 1


@pytest.mark.docker
def test_a_terminal_shows_progress_bars(
    images: Images, registry: Registry, name: Name, docker_user: DockerUser
) -> None:
    tag = images.make(name(registry))
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", "from algotools.cli import main; main()", "push", tag],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env=docker_user.make_environment(TERM="xterm", COLUMNS="120"),
    ) as process:
        os.close(theirs)
        output = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the end of a terminal
                break
            if not part:
                break
            output += part
        stdout, _ = process.communicate(timeout=LIMIT)
    os.close(ours)
    assert stdout.startswith(f"{tag.removesuffix(':1')}@sha256:")
    assert "━" in output.decode()
    assert "pushed" in output.decode()


@pytest.mark.docker
@pytest.mark.parametrize("kind", ["guarded_registry", "tls_registry"])
def test_a_stored_login_is_used(
    images: Images, name: Name, docker_user: DockerUser, kind: str, request: pytest.FixtureRequest
) -> None:
    registry: Registry = request.getfixturevalue(kind)
    tag = images.make(name(registry))
    check_refused(
        docker_user.algotools("push", tag), 65, "you are not logged in", f"run `docker login {registry.address}`",
        str(docker_user.folder),
    )  # fmt: skip
    docker_user.log_in(registry.address, password="wrong")
    process = docker_user.algotools("push", tag)
    check_refused(process, 65, f"{registry.address} refuses the login of user '{USER}'", "docker login")
    assert "wrong" not in process.stderr.replace("the password is wrong", "")
    docker_user.log_in(registry.address)
    process = docker_user.algotools("push", tag)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith(f"{tag.removesuffix(':1')}@sha256:")


@pytest.mark.docker
@pytest.mark.parametrize("for_all", [True, False])
def test_a_login_of_a_credential_helper_is_used(
    images: Images, guarded_registry: Registry, name: Name, docker_user: DockerUser, for_all: bool
) -> None:
    address = guarded_registry.address
    docker_user.add_helper("of-a-test", HELPER)
    docker_user.configure({"credsStore": "of-a-test"} if for_all else {"credHelpers": {address: "of-a-test"}})
    process = docker_user.algotools("push", images.make(name(guarded_registry)))
    assert process.returncode == 0, process.stderr


@pytest.mark.docker
def test_a_helper_without_a_login_is_like_no_helper(
    images: Images, guarded_registry: Registry, name: Name, docker_user: DockerUser
) -> None:
    docker_user.add_helper("empty", EMPTY_HELPER)
    docker_user.configure({"auths": {guarded_registry.address: {}}, "credsStore": "empty"})
    check_refused(docker_user.algotools("push", images.make(name(guarded_registry))), 65, "you are not logged in")


@pytest.mark.docker
@pytest.mark.parametrize(
    ("script", "text"),
    [
        (None, "docker-credential-broken, which stores the logins for"),
        (None, "is not on your PATH"),
        ("import sys; sys.exit('the vault is locked')", "failed; install or fix it"),
        ("print('no JSON')", "failed; install or fix it"),
        ("print('{}')", "failed; install or fix it"),
    ],
)
def test_a_helper_that_is_missing_or_fails_is_reported(
    images: Images, guarded_registry: Registry, name: Name, docker_user: DockerUser, script: str | None, text: str
) -> None:
    if script:
        docker_user.add_helper("broken", script)
    docker_user.configure({"credsStore": "broken"})
    check_refused(docker_user.algotools("push", images.make(name(guarded_registry))), 65, text)


@pytest.mark.docker
@pytest.mark.parametrize(
    "settings", ["{", "[]", '{"auths": {"a.example": "x"}}', '{"auths": {"a.example": {"auth": "?"}}}', '{"auths": 3}']
)
def test_a_malformed_configuration_is_reported(
    images: Images, docker_user: DockerUser, registry: Registry, name: Name, settings: str
) -> None:
    docker_user.configure(settings)
    texts = "Docker's configuration file is malformed", str(docker_user.folder)
    check_refused(docker_user.algotools("push", images.make(name(registry))), 65, *texts)
    check_refused(docker_user.algotools("inspect", f"{registry.address}/tests/none:1", **NO_ENGINE), 65, *texts)


@pytest.mark.docker
def test_a_registry_that_does_not_run_is_reported(
    images: Images, name: Name, docker_user: DockerUser, tmp_path, registry: Registry
) -> None:
    stopped = start_registry(tmp_path / "stopped")
    stopped.stop()
    tag = images.make(name(stopped))
    check_refused(docker_user.algotools("push", tag), 65, f"nothing listens at {stopped.address}")
    nowhere = images.make("no-such-host.invalid/tests/none:1")
    check_refused(docker_user.algotools("push", nowhere), 65, "the host name no-such-host.invalid is unknown")


@pytest.mark.docker
def test_an_unknown_image_is_refused_with_similar_names(
    images: Images, registry: Registry, name: Name, docker_user: DockerUser
) -> None:
    tag = images.make(name(registry), LABELS)
    unknown_name = tag.replace("/tests/", "/testing/").replace(":1", ":2")
    check_refused(
        docker_user.algotools("push", unknown_name), 63, f"image {unknown_name} is not on this machine; similar: {tag}"
    )
    check_refused(docker_user.algotools("push", f"{registry.address}/zzz:1"), 63, "algorithms on this machine: ", tag)


@pytest.mark.parametrize(
    ("reference", "code", "text"),
    [
        ("demo/average:1", 65, "algotools build --tag registry.example.org/demo/average:1"),
        ("demo/average", 65, "docker.io/demo/average:latest"),
        ("r.example.org/a@sha256:" + "0" * 64, 64, "push a tag: r.example.org/a:1"),
        ("r.example.org/A:1", 63, "must be lower case"),
        ("https://r.example.org/a:1", 63, "remove https://"),
        ("r.example.org/a:b:c", 63, "is not a tag"),
        ("r.example.org/a b", 63, "is not the name of an image"),
        ("r.example.org:x/a", 63, "is not a registry"),
        ("r.example.org/a@sha256:12", 63, "64 hexadecimal digits"),
        ("", 63, "is not the name of an image"),
    ],
)
def test_a_name_that_cannot_be_pushed_to_is_refused(
    docker_user: DockerUser, reference: str, code: int, text: str
) -> None:
    check_refused(docker_user.algotools("push", reference, **NO_ENGINE), code, text)


def test_a_missing_engine_is_reported(docker_user: DockerUser) -> None:
    process = docker_user.algotools("push", "r.example.org/a:1", **NO_ENGINE)
    check_refused(process, 62, "no container engine answers at unix:///nonexistent/docker.sock (DOCKER_HOST)")


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # docker-py does not close a socket that it could not connect
def test_an_engine_without_permission_is_reported(closed_engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", closed_engine)
    euid = os.geteuid()
    if euid == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(
            EngineError, match=r"you do not have permission to use the container engine.*; join its group"
        ):
            push("r.example.org/a:1", print)
    finally:
        os.seteuid(euid)
        gc.collect()


def test_an_engine_that_exits_during_a_push_is_reported(
    dying_engine: str, docker_user: DockerUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", dying_engine)
    monkeypatch.setenv("DOCKER_CONFIG", str(docker_user.folder))
    reports: list[Layer] = []
    with pytest.raises(EngineError, match="the connection to the container engine is lost"):
        push("r.example.org/a:1", reports.append)
    assert reports == [Layer("0123456789ab", "waiting", status="Preparing")]


@pytest.mark.parametrize(
    ("engine_text", "error", "text"),
    [
        (
            'Get "https://r.example.org/v2/": http: server gave HTTP response to HTTPS client',
            RegistryError,
            "plain HTTP",
        ),
        (
            'Get "https://r.example.org/v2/": x509: certificate signed by unknown authority',
            RegistryError,
            "certs.d/r.ex",
        ),
        ('Get "https://r.example.org/v2/": net/http: TLS handshake timeout', RegistryError, "does not answer in time"),
        (
            'Get "https://r.example.org/v2/": dial tcp 192.0.2.1:443: i/o timeout',
            RegistryError,
            "does not answer in time",
        ),
        (
            "dial tcp: lookup r.example.org: Temporary failure in name resolution",
            RegistryError,
            "is unknown; check its spelling",
        ),
        ('Put "https://r.example.org/v2/a/blobs/": EOF', RegistryError, "closed the connection"),
        ("denied: requested access to the resource is denied", RegistryError, "you are not logged in"),
        ("toomanyrequests: slow down", RegistryError, "too many requests"),
        ("received unexpected HTTP status: 503 Service Unavailable", RegistryError, "internal error"),
        ("quota exceeded for project", RegistryError, "refused to push to a: quota exceeded for project"),
        ("An image does not exist locally with the tag: r.example.org/a", ImageNotFound, "has been removed"),
    ],
)
def test_an_error_of_a_registry_is_explained(
    failing_engine: Callable[[str], str],
    docker_user: DockerUser,
    monkeypatch: pytest.MonkeyPatch,
    engine_text,
    error,
    text,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", failing_engine(engine_text))
    monkeypatch.setenv("DOCKER_CONFIG", str(docker_user.folder))
    with pytest.raises(error) as caught:
        push("r.example.org/a:1", print)
    assert text in caught.value.message
    assert engine_text in f"{caught.value.message} {caught.value.detail}"


def test_a_user_without_permission_is_reported(
    failing_engine: Callable[[str], str], docker_user: DockerUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", failing_engine("denied: requested access to the resource is denied"))
    monkeypatch.setenv("DOCKER_CONFIG", str(docker_user.folder))
    docker_user.log_in("r.example.org")
    with pytest.raises(RegistryError, match="does not allow user 'ada' to push to a; ask its administrator"):
        push("r.example.org/a:1", print)
