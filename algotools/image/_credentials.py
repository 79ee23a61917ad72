"""Docker's credential helpers, with a time limit.

A helper is a program that stores logins, for instance in the desktop's keyring. If the keyring is locked and there is
no display, the helper waits for a password that nobody can enter. docker-py waits as long as the helper does.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import docker
from docker import auth
from docker.credentials import Store
from docker.credentials.errors import CredentialsNotFound, StoreError
from docker.utils.config import find_config_file

from algotools.errors import RegistryError

HELPER_TIMEOUT = 20
"""Seconds that a credential helper may take. The user may have to enter a password."""


class Logins(auth.AuthConfig):
    """The content of Docker's configuration file. Its credential helpers have a time limit."""

    def _get_store_instance(self, name: str) -> Store:
        return _Helper(name)


def limit_helpers(client: docker.DockerClient) -> None:
    """Give the helpers that docker-py calls for a pull or a build the same time limit."""
    # docker-py has no public way to replace its own reader of the configuration file.
    client.api._auth_configs = Logins(client.api._auth_configs)  # type: ignore[attr-defined]  # noqa: SLF001


def find_login_file() -> str:
    """Return the path of Docker's configuration file, or a text for messages if the file does not exist."""
    return str(find_config_file() or "Docker's configuration file (which does not exist)")


def make_helper_error(registry: str, program: str, problem: str, detail: str = "") -> RegistryError:
    """Return the error about a helper. If *registry* is empty, the helper is for several registries."""
    return RegistryError(
        f"{program}, which stores {f'the logins for {registry}' if registry else 'logins'} according to "
        f"{find_login_file()}, {problem}; install or fix it, or remove it from the file and run "
        f"`docker login{f' {registry}' if registry else ''}`",
        detail=detail,
    )


class _Helper(Store):
    """A credential helper with a time limit. Its errors name the program."""

    _registry = ""

    def get(self, server: str | bytes) -> Any:
        self._registry = server.decode() if isinstance(server, bytes) else server
        with self._translate_errors():
            return super().get(server)  # type: ignore[no-untyped-call]

    def list(self) -> Any:
        self._registry = ""
        with self._translate_errors():
            return super().list()  # type: ignore[no-untyped-call]

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except CredentialsNotFound:  # the helper works, and has no login for the registry
            raise
        except (StoreError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            problem = "is not on your PATH" if self.exe is None else "failed"
            detail = f"{type(error).__name__}: {error}"
            raise make_helper_error(self._registry, self.program, problem, detail) from None

    def _execute(self, subcmd: str, data_input: bytes | None) -> bytes:
        if self.exe is None:
            raise StoreError(self.program)
        try:
            return _run([self.exe, subcmd], data_input or b"")
        except subprocess.TimeoutExpired:
            problem = f"did not answer within {HELPER_TIMEOUT} s (it may wait for a locked keyring)"
            raise make_helper_error(self._registry, self.program, problem) from None
        except subprocess.CalledProcessError as error:
            text = error.output.decode(errors="replace").strip()
            kind = CredentialsNotFound if "credentials not found in native keychain" in text else StoreError
            raise kind(text or f"exit code {error.returncode}") from None


def _run(command: list[str], data: bytes) -> bytes:
    """Return the standard output of a program; kill the program and its children after the time limit.

    ``subprocess.run`` would kill only the program itself, and then wait for children that have inherited the pipe.
    """
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:  # standard error is that of this process, as docker-py does it
        try:
            output, _ = process.communicate(data, timeout=HELPER_TIMEOUT)
        except BaseException:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return output
