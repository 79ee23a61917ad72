"""The logins that ``docker login`` keeps, in Docker's configuration file or with a helper that it names."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
from docker import auth
from docker.errors import DockerException
from docker.utils.config import find_config_file

from algotools.errors import RegistryError


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Who somebody is at a registry: a user with a password, or a token that stands for both."""

    registry: str
    user: str = ""
    password: str = ""
    token: str = ""

    def __repr__(self) -> str:
        """Without the secrets: a login may end up in a traceback."""
        return f"Login({self.user}@{self.registry})"

    def for_engine(self) -> dict[str, str]:
        """As the engine takes it."""
        secrets = {"identitytoken": self.token} if self.token else {"username": self.user, "password": self.password}
        return {**secrets, "serveraddress": self.registry}


def of(registry: str) -> Login | None:
    """The login for a registry, if there is one.

    Raises:
        RegistryError: the file cannot be understood, or the helper that it names is missing or fails.
    """
    settings = _settings()
    # docker-py hands the program's failure on in the guise of several exceptions, and its absence as a warning besides.
    store = settings.get_credential_store(registry)
    program = f"docker-credential-{store}"
    if store and shutil.which(program) is None:
        raise _without_helper(registry, program, "is not on your PATH")
    try:
        found = settings.resolve_authconfig(registry) or {}
        held = {str(key).lower(): value for key, value in found.items()}
    except (DockerException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _without_helper(registry, program, "failed", f"{type(error).__name__}: {error}") from None
    token, user, password = (held.get(key) or "" for key in ("identitytoken", "username", "password"))
    if not token and not (user and password):
        return None
    return Login(registry=registry, user=str(user), password=str(password), token=str(token))


def place() -> str:
    """Where logins are looked up, in words that a message can hold."""
    return str(find_config_file() or "Docker's configuration file, which is not there")


def misread(error: BaseException) -> RegistryError:
    """What it means that Docker's configuration file cannot be understood."""
    return RegistryError(
        f"Docker's configuration file cannot be understood ({place()}); mend it, or move it away and "
        "`docker login` anew",
        detail=f"{type(error).__name__}: {error}",
    )


def _settings() -> auth.AuthConfig:
    file = str(find_config_file() or "")
    try:
        if file.endswith("config.json"):  # docker-py takes a broken one for one of an old form, and says nothing
            msgspec.json.decode(Path(file).read_bytes(), type=dict[str, Any])
        return auth.load_config(file or None)
    except (DockerException, OSError, msgspec.MsgspecError, ValueError, TypeError, AttributeError) as error:
        raise misread(error) from None


def _without_helper(registry: str, program: str, what: str, detail: str = "") -> RegistryError:
    return RegistryError(
        f"{program}, which keeps the logins for {registry} as {place()} says, {what}; install or mend it, "
        f"or take it out of that file and run `docker login {registry}`",
        detail=detail,
    )
