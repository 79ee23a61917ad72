"""Pushing an image: what a user with Docker's own login sees."""

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


def refused(ended: subprocess.CompletedProcess[str], code: int, *says: str) -> None:
    assert ended.returncode == code, ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert "Warning" not in ended.stderr
    for words in says:
        assert words in ended.stderr


@pytest.mark.docker
def test_standard_output_is_name_and_digest_alone(
    images: Images, registry: Registry, name: Name, docker_user: DockerUser
) -> None:
    tag = images.make(name(registry), LABELS)
    ended = docker_user.algotools("push", tag)
    assert ended.returncode == 0, ended.stderr
    pushed = re.fullmatch(r"(.+)@(sha256:[0-9a-f]{64})\n", ended.stdout)
    assert pushed
    repository = tag.removesuffix(":1")
    assert pushed[1] == repository
    assert pushed[2] == registry.digest(repository.partition("/")[2], "1")
    assert re.fullmatch(r"[0-9a-f]{12}: pushed \(0\.0 MB\)\n", ended.stderr)


@pytest.mark.docker
def test_a_second_push_says_that_all_is_there(
    images: Images, registry: Registry, name: Name, docker_user: DockerUser
) -> None:
    tag = images.make(name(registry))
    first, second = docker_user.algotools("push", tag), docker_user.algotools("push", tag)
    assert first.stdout == second.stdout != ""
    assert re.fullmatch(r"[0-9a-f]{12}: already there\n", second.stderr)


@pytest.mark.docker
def test_a_layer_of_another_repository_is_not_sent_again(
    images: Images, registry: Registry, name: Name, docker_user: DockerUser
) -> None:
    tag, other = images.make(name(registry)), name(registry)
    docker_user.algotools("push", tag)
    images.client.api.tag(tag, *other.rsplit(":", 1))
    images.tags.append(other)
    ended = docker_user.algotools("push", other)
    assert re.fullmatch(r"[0-9a-f]{12}: there in another repository\n", ended.stderr)


@pytest.mark.docker
def test_without_a_tag_it_is_the_latest(
    images: Images, registry: Registry, name: Name, docker_user: DockerUser
) -> None:
    repository = name(registry).removesuffix(":1")
    images.make(f"{repository}:latest")
    ended = docker_user.algotools("push", repository)
    assert ended.stdout == f"{repository}@{registry.digest(repository.partition('/')[2], 'latest')}\n"


@pytest.mark.docker
def test_the_room_tells_of_each_layer(
    images: Images, registry: Registry, name: Name, docker_user: DockerUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(docker_user.folder))
    tag = images.make(name(registry))
    heard: list[Layer] = []
    pushed = push(tag, heard.append)
    assert pushed.startswith(f"{tag.removesuffix(':1')}@sha256:")
    assert [heard[0].state, heard[-1].state] == ["waiting", "pushed"]
    assert len({layer.id for layer in heard}) == 1


@pytest.mark.docker
def test_on_a_terminal_there_are_bars(images: Images, registry: Registry, name: Name, docker_user: DockerUser) -> None:
    tag = images.make(name(registry))
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", "from algotools.cli import main; main()", "push", tag],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env=docker_user.environment(TERM="xterm", COLUMNS="120"),
    ) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # so a terminal ends
                break
            if not part:
                break
            seen += part
        stdout, _ = process.communicate(timeout=60)
    os.close(ours)
    assert stdout.startswith(f"{tag.removesuffix(':1')}@sha256:")
    assert "━" in seen.decode()
    assert "pushed" in seen.decode()


@pytest.mark.docker
@pytest.mark.parametrize("kind", ["guarded_registry", "tls_registry"])
def test_a_login_is_used(
    images: Images, name: Name, docker_user: DockerUser, kind: str, request: pytest.FixtureRequest
) -> None:
    registry: Registry = request.getfixturevalue(kind)
    tag = images.make(name(registry))
    refused(
        docker_user.algotools("push", tag), 65, "you are not logged in", f"run `docker login {registry.address}`",
        str(docker_user.folder),
    )  # fmt: skip
    docker_user.log_in(registry.address, password="wrong")
    ended = docker_user.algotools("push", tag)
    refused(ended, 65, f"{registry.address} refuses the login of user '{USER}'", "docker login")
    assert "wrong" not in ended.stderr.replace("the password is wrong", "")
    docker_user.log_in(registry.address)
    ended = docker_user.algotools("push", tag)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"{tag.removesuffix(':1')}@sha256:")


@pytest.mark.docker
@pytest.mark.parametrize("for_all", [True, False])
def test_a_credential_helper_is_asked(
    images: Images, guarded_registry: Registry, name: Name, docker_user: DockerUser, for_all: bool
) -> None:
    address = guarded_registry.address
    docker_user.helper("of-a-test", HELPER)
    docker_user.configure({"credsStore": "of-a-test"} if for_all else {"credHelpers": {address: "of-a-test"}})
    ended = docker_user.algotools("push", images.make(name(guarded_registry)))
    assert ended.returncode == 0, ended.stderr


@pytest.mark.docker
def test_a_helper_that_knows_no_login_is_as_none(
    images: Images, guarded_registry: Registry, name: Name, docker_user: DockerUser
) -> None:
    docker_user.helper("empty", EMPTY_HELPER)
    docker_user.configure({"auths": {guarded_registry.address: {}}, "credsStore": "empty"})
    refused(docker_user.algotools("push", images.make(name(guarded_registry))), 65, "you are not logged in")


@pytest.mark.docker
@pytest.mark.parametrize(
    ("script", "says"),
    [
        (None, "docker-credential-broken, which keeps the logins for"),
        (None, "is not on your PATH"),
        ("import sys; sys.exit('the vault is locked')", "failed; install or mend it"),
        ("print('no JSON')", "failed; install or mend it"),
        ("print('{}')", "failed; install or mend it"),
    ],
)
def test_a_helper_that_is_missing_or_fails(
    images: Images, guarded_registry: Registry, name: Name, docker_user: DockerUser, script: str | None, says: str
) -> None:
    if script:
        docker_user.helper("broken", script)
    docker_user.configure({"credsStore": "broken"})
    refused(docker_user.algotools("push", images.make(name(guarded_registry))), 65, says)


@pytest.mark.docker
@pytest.mark.parametrize(
    "settings", ["{", "[]", '{"auths": {"a.example": "x"}}', '{"auths": {"a.example": {"auth": "?"}}}', '{"auths": 3}']
)
def test_a_configuration_that_cannot_be_understood(
    images: Images, docker_user: DockerUser, registry: Registry, name: Name, settings: str
) -> None:
    docker_user.configure(settings)
    says = "Docker's configuration file cannot be understood", str(docker_user.folder)
    refused(docker_user.algotools("push", images.make(name(registry))), 65, *says)
    refused(docker_user.algotools("inspect", f"{registry.address}/tests/none:1", **NO_ENGINE), 65, *says)


@pytest.mark.docker
def test_a_registry_that_is_not_there(
    images: Images, name: Name, docker_user: DockerUser, tmp_path, registry: Registry
) -> None:
    stopped = start_registry(tmp_path / "stopped")
    stopped.stop()
    tag = images.make(name(stopped))
    refused(docker_user.algotools("push", tag), 65, f"nothing listens at {stopped.address}")
    nowhere = images.make("no-such-host.invalid/tests/none:1")
    refused(docker_user.algotools("push", nowhere), 65, "no host goes by the name no-such-host.invalid")


@pytest.mark.docker
def test_an_unknown_image(images: Images, registry: Registry, name: Name, docker_user: DockerUser) -> None:
    tag = images.make(name(registry), LABELS)
    wanted = tag.replace("/tests/", "/testing/").replace(":1", ":2")
    refused(docker_user.algotools("push", wanted), 63, f"there is no image {wanted} on this machine; similar: {tag}")
    refused(docker_user.algotools("push", f"{registry.address}/zzz:1"), 63, "algorithms here: ", tag)


@pytest.mark.parametrize(
    ("reference", "code", "says"),
    [
        ("demo/average:1", 65, "algotools build --tag registry.example.org/demo/average:1"),
        ("demo/average", 65, "docker.io/demo/average:latest"),
        ("r.example.org/a@sha256:" + "0" * 64, 64, "push a tag: r.example.org/a:1"),
        ("r.example.org/A:1", 63, "written in lower case"),
        ("https://r.example.org/a:1", 63, "leave https:// off"),
        ("r.example.org/a:b:c", 63, "is no tag"),
        ("r.example.org/a b", 63, "is not a name of an image"),
        ("r.example.org:x/a", 63, "is no registry"),
        ("r.example.org/a@sha256:12", 63, "64 hexadecimal digits"),
        ("", 63, "is not a name of an image"),
    ],
)
def test_names_that_cannot_be_pushed_to(docker_user: DockerUser, reference: str, code: int, says: str) -> None:
    refused(docker_user.algotools("push", reference, **NO_ENGINE), code, says)


def test_without_an_engine(docker_user: DockerUser) -> None:
    ended = docker_user.algotools("push", "r.example.org/a:1", **NO_ENGINE)
    refused(ended, 62, "no container engine answers at unix:///nonexistent/docker.sock (DOCKER_HOST)")


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # docker-py closes no socket that it could not connect
def test_an_engine_that_may_not_be_used(closed_engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", closed_engine)
    euid = os.geteuid()
    if euid == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(EngineError, match="may not be used by you; join its group"):
            push("r.example.org/a:1", print)
    finally:
        os.seteuid(euid)
        gc.collect()


def test_an_engine_that_goes_away_in_the_middle(
    dying_engine: str, docker_user: DockerUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", dying_engine)
    monkeypatch.setenv("DOCKER_CONFIG", str(docker_user.folder))
    heard: list[Layer] = []
    with pytest.raises(EngineError, match="went away in the middle"):
        push("r.example.org/a:1", heard.append)
    assert heard == [Layer("0123456789ab", "waiting", words="Preparing")]


@pytest.mark.parametrize(
    ("said", "error", "says"),
    [
        (
            'Get "https://r.example.org/v2/": http: server gave HTTP response to HTTPS client',
            RegistryError,
            "plain http",
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
            "no host goes by the name",
        ),
        ('Put "https://r.example.org/v2/a/blobs/": EOF', RegistryError, "broke the connection"),
        ("denied: requested access to the resource is denied", RegistryError, "you are not logged in"),
        ("toomanyrequests: slow down", RegistryError, "too many requests"),
        ("received unexpected HTTP status: 503 Service Unavailable", RegistryError, "trouble of its own"),
        ("quota exceeded for project", RegistryError, "did not let us push to a: quota exceeded for project"),
        ("An image does not exist locally with the tag: r.example.org/a", ImageNotFound, "any more"),
    ],
)
def test_what_an_engine_says_of_a_registry(
    failing_engine: Callable[[str], str], docker_user: DockerUser, monkeypatch: pytest.MonkeyPatch, said, error, says
) -> None:
    monkeypatch.setenv("DOCKER_HOST", failing_engine(said))
    monkeypatch.setenv("DOCKER_CONFIG", str(docker_user.folder))
    with pytest.raises(error) as caught:
        push("r.example.org/a:1", print)
    assert says in caught.value.message
    assert said in f"{caught.value.message} {caught.value.detail}"


def test_somebody_who_may_not(
    failing_engine: Callable[[str], str], docker_user: DockerUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", failing_engine("denied: requested access to the resource is denied"))
    monkeypatch.setenv("DOCKER_CONFIG", str(docker_user.folder))
    docker_user.log_in("r.example.org")
    with pytest.raises(RegistryError, match="does not let user 'ada' push to a; ask whoever runs it"):
        push("r.example.org/a:1", print)
