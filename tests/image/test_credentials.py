"""Docker's credential helpers: each of them answers in time, or is named in the error."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from algotools.errors import RegistryError
from algotools.image import _credentials
from algotools.image.engine import Login, open_engine, read_login

from .conftest import DockerUser
from .fakes import fake_engine

REGISTRY = "registry.example.org"
ANSWER = f"import json, sys; sys.stdin.read(); print({json.dumps(json.dumps({'Username': 'u', 'Secret': 's'}))})"
HANGING: dict[str, str] = {
    "waits": "import time; time.sleep(1800)",
    "has a child that waits": "import subprocess; subprocess.run(['sleep', '1800'])",
    "ignores signals": "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1800)",
    "waits after its answer": f"{ANSWER}; import time; sys.stdout.close(); time.sleep(1800)",
}


@pytest.fixture
def use_helper(docker_user: DockerUser, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """Makes the program docker-credential-of-a-test from a script, and uses it for all registries."""

    def use(script: str | None) -> None:
        if script is not None:
            docker_user.add_helper("of-a-test", script)
        docker_user.configure({"credsStore": "of-a-test"})
        for name in ("DOCKER_CONFIG", "PATH"):
            monkeypatch.setenv(name, docker_user.make_environment()[name])

    return use


def test_the_login_of_a_helper_is_read(use_helper: Callable[[str], None]) -> None:
    use_helper(ANSWER)
    assert read_login(REGISTRY) == Login(registry=REGISTRY, user="u", password="s")


def test_a_helper_without_the_login_is_not_an_error(use_helper: Callable[[str], None]) -> None:
    use_helper("import sys; print('credentials not found in native keychain'); sys.exit(1)")
    assert read_login(REGISTRY) is None


@pytest.mark.parametrize("script", HANGING.values(), ids=HANGING)
def test_a_helper_that_waits_is_stopped_and_named(
    use_helper: Callable[[str], None], script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_credentials, "HELPER_TIMEOUT", 2)
    file = tmp_path / "pid"
    use_helper(f"import os; open({str(file)!r}, 'w').write(str(os.getpid())); {script}")
    with pytest.raises(RegistryError) as raised:
        read_login(REGISTRY)
    for text in ("docker-credential-of-a-test", REGISTRY, "did not answer within", f"docker login {REGISTRY}"):
        assert text in raised.value.message
    with pytest.raises(ProcessLookupError):
        os.kill(int(file.read_text()), 0)


@pytest.mark.parametrize("action", ["pull", "build"])
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import time; time.sleep(1800)", "did not answer within"),
        ("import sys; sys.exit('locked')", "failed; install or fix it"),
        ("print('no JSON')", "failed; install or fix it"),
        (None, "is not on your PATH"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*not installed or not available in PATH")
def test_a_pull_and_a_build_name_the_helper(
    use_helper: Callable[[str | None], None], script: str | None, reason: str, action: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(_credentials, "HELPER_TIMEOUT", 2)
    use_helper(script)

    def call_engine() -> None:
        with open_engine() as client:
            if action == "pull":
                client.api.pull(f"{REGISTRY}/demo/average", tag="1")
            else:
                client.api.build(fileobj=io.BytesIO(), custom_context=True)

    with fake_engine([], dies=False) as host:
        monkeypatch.setenv("DOCKER_HOST", host)
        with pytest.raises(RegistryError, match=f"docker-credential-of-a-test.*{reason}"):
            call_engine()


@pytest.mark.parametrize("settings", [{"credsStore": 3}, {"credHelpers": 3}, {"credHelpers": {REGISTRY: ["a"]}}])
def test_a_malformed_name_of_a_helper_is_reported(
    docker_user: DockerUser, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    docker_user.configure(settings)
    monkeypatch.setenv("DOCKER_CONFIG", str(docker_user.folder))
    with pytest.raises(RegistryError, match="configuration file is malformed"):
        read_login(REGISTRY)
