"""The container engine, through the ``docker`` package: connect, find an image, read a login, translate errors."""

from __future__ import annotations

import difflib
import errno
import os
import re
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, Union

import docker
import msgspec
from docker.errors import APIError, DockerException, InvalidConfigFile, NotFound
from docker.errors import ImageNotFound as NoSuchImage
from docker.models.images import Image
from docker.utils.config import find_config_file
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from requests.exceptions import RequestException
from requests.exceptions import Timeout as RequestTimeout
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as Urllib3Timeout

from algotools.errors import AlgotoolsError, EngineError, ImageNotFound, RegistryError
from algotools.image._credentials import Logins, find_login_file, limit_helpers, make_helper_error
from algotools.image.names import HUB, Label, parse_reference

CONNECT_TIMEOUT = 30
"""Seconds in which the engine must answer for the first time."""

TIMEOUT = 600
"""Seconds that the engine may be silent afterwards, for instance while a registry does not answer a pull or a push."""

BUILD_TIMEOUT = 3600
"""Seconds that the engine may be silent during a build, because a step can take long without output."""

_REMOVAL_ATTEMPTS = 3
_REMOVAL_TIMEOUT = 10
"""Seconds to wait for another removal of the same container."""

_CONFLICT = 409
"""The engine's status code if another removal of the container is in progress."""

T = TypeVar("T")

Message = Mapping[str, Any]
"""One message of the stream in which the engine reports the progress of a build, a push or a pull."""

Log = Callable[[str], None]
"""Takes one line about the progress."""


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """A user with a password, or a token that replaces both, at a registry."""

    registry: str
    user: str = ""
    password: str = ""
    token: str = ""

    def __repr__(self) -> str:
        """Hide the secrets, because a login can appear in a traceback."""
        return f"Login({self.user}@{self.registry})"

    def format_for_engine(self) -> dict[str, str]:
        """Return the login in the engine's own format."""
        secrets = {"identitytoken": self.token} if self.token else {"username": self.user, "password": self.password}
        return {**secrets, "serveraddress": self.registry}


@contextmanager
def open_engine() -> Iterator[docker.DockerClient]:
    """Connect to the engine that ``DOCKER_HOST``, Docker's context, or the default socket names.

    Errors within the context are translated. Podman's compatible socket works, too.

    Raises:
        EngineError: no engine answers, the user may not use it, or the connection is lost.
        RegistryError: Docker's configuration file, which also contains the logins, is malformed.
    """
    with translate_errors():
        client = connect()
        try:
            yield client
        finally:
            client.close()


def connect(connections: int = 10) -> docker.DockerClient:
    """Return a client that the caller closes. Call it within ``translate_errors``; see ``open_engine``."""
    try:
        client = docker.from_env(timeout=CONNECT_TIMEOUT, max_pool_size=connections)
    except RequestException:  # which may be a ValueError
        raise
    except (InvalidConfigFile, ValueError, TypeError, AttributeError) as error:
        raise _make_configuration_error(error) from None
    limit_helpers(client)
    client.api.timeout = TIMEOUT
    for prefix, adapter in [*client.api.adapters.items()]:
        client.api.mount(prefix, _LimitedAdapter(adapter))
    return client


class _LimitedAdapter(BaseAdapter):
    """A transport that limits every request. docker-py sends some requests, such as a pull, without a limit."""

    def __init__(self, adapter: BaseAdapter) -> None:
        super().__init__()
        self._adapter = adapter

    def send(
        self, request: PreparedRequest, stream: bool = False, timeout: Any = None, *arguments: Any, **options: Any
    ) -> Response:
        """Send a request through the engine's own transport."""
        return self._adapter.send(request, stream, timeout or TIMEOUT, *arguments, **options)

    def close(self) -> None:
        """Close the connections."""
        self._adapter.close()


@contextmanager
def translate_errors(*, is_connected: bool = False) -> Iterator[None]:
    """Translate errors of the engine and of the connection to it into errors with advice.

    ``is_connected``: the engine has answered before, so an error of the connection means that the connection is lost.

    Raises:
        EngineError: see ``open_engine``.
        ImageNotFound: the engine does not have an image.
    """
    try:
        yield
    except AlgotoolsError:
        raise
    except NoSuchImage as error:
        raise ImageNotFound(f"the engine has no such image: {get_error_text(error)}", detail=str(error)) from None
    except APIError as error:
        raise make_engine_error(get_error_text(error)) from None
    except (DockerException, RequestException, HTTPError, OSError) as error:
        raise _make_lost_error(error) if is_connected else _make_unreachable_error(error) from None


def read_stream(stream: Iterable[T]) -> Generator[T, None, None]:
    """Yield the items (messages, lines) of a stream from the engine as they arrive.

    Raises:
        EngineError: the connection to the engine is lost.
    """
    try:
        yield from stream
    except APIError:  # the engine has answered, so the connection is not lost
        raise
    except (DockerException, RequestException, HTTPError, OSError) as error:
        if _is_timeout(error):
            raise  # see `name_silent_registry`
        raise _make_lost_error(error) from None


def get_error_text(error: APIError) -> str:
    """Return the engine's own text of an error."""
    return str(error.explanation or error).strip()


def shorten_cause(text: str) -> str:
    """Return the cause in a message of requests, without the pool of connections, the URL and the classes."""
    classes = r"(?:\w+\((?:\w+\(\d+, )?[\"'](?:\w+\(.*?\): |<.*?>: )?)?"
    cause = re.search(rf"\(Caused by {classes}(.*?)[\"']?\)*$", text, re.DOTALL)
    return cause[1] if cause else text


def is_disk_full(text: str) -> bool:
    """Whether the engine's message says that its disk is full."""
    return "no space left on device" in text.lower()


def make_engine_error(text: str) -> EngineError:
    """Return the error for a message of the engine, with advice if the disk is full."""
    if is_disk_full(text):
        return EngineError(
            "the disk of the container engine is full; list its contents with `docker system df`, "
            "and free space with `docker system prune`",
            detail=text,
        )
    return EngineError(f"the container engine failed: {text}")


def read_labels(client: docker.DockerClient, image: str) -> dict[str, str]:
    """Return the labels of an image, or an empty dictionary if the engine does not have the image."""
    try:
        return dict(client.images.get(image).labels)
    except NoSuchImage:
        return {}


def fetch_image(client: docker.DockerClient, name: str, log: Callable[[str], object]) -> Image:
    """Return an image of the engine. If the engine does not have it, pull it from its registry.

    Raises:
        ImageNotFound: the image is in neither, or the pull fails.
        RegistryError: the registry does not answer.
    """
    try:
        return client.images.get(name)
    except NoSuchImage:
        log(f"pulling {name}")
    try:
        with name_silent_registry(f"pull {name}", parse_reference(name).registry or HUB):
            return client.images.pull(name)
    except APIError as error:
        raise ImageNotFound(
            f"image {name} is not on this machine, and cannot be pulled: {get_error_text(error)}"
        ) from None


@contextmanager
def name_silent_registry(action: str, registry: str) -> Iterator[None]:
    """Name the registry if the engine is silent for too long within the context, because it waits for the registry.

    Raises:
        RegistryError: the engine is silent for too long.
    """
    try:
        yield
    except (RequestException, HTTPError, OSError) as error:
        if not _is_timeout(error):
            raise
        raise RegistryError(
            f"the container engine cannot {action}: {registry} did not answer within {TIMEOUT} s; check that the "
            "registry runs, and that no firewall or proxy blocks it",
            detail=f"{type(error).__name__}: {error}",
        ) from None


def find_image(client: docker.DockerClient, name: str) -> dict[str, Any]:
    """Return the attributes of an image of the engine.

    Raises:
        ImageNotFound: the engine does not have the image. The message lists similar images.
    """
    try:
        return client.images.get(name).attrs
    except NoSuchImage:
        raise ImageNotFound(f"image {name} is not on this machine; {_suggest_images(client, name)}") from None


def remove_container(client: docker.DockerClient, container: str) -> bool:
    """Stop and remove a container with its volumes. Return whether it is removed; no error is raised."""
    # On a busy machine the engine gives up: it waits ten seconds for the killed container to exit, returns an error and
    # leaves the stopped container. So the removal is repeated. If the engine returns that another removal is in
    # progress, wait for the other removal.
    for _ in range(_REMOVAL_ATTEMPTS):
        with suppress(DockerException, RequestException, HTTPError, OSError):
            return _try_removal(client, container)
    return False


def _try_removal(client: docker.DockerClient, container: str) -> bool:
    try:
        client.api.remove_container(container, force=True, v=True)
    except NotFound:
        pass
    except APIError as error:
        if error.status_code != _CONFLICT:
            raise
        client.api.wait(container, timeout=_REMOVAL_TIMEOUT, condition="removed")
    return True


def _suggest_images(client: docker.DockerClient, name: str) -> str:
    tags = {tag: image for image in client.api.images() for tag in image.get("RepoTags") or () if "<none>" not in tag}
    similar = [tag for tag in tags if _get_last_part(tag) == _get_last_part(name)]
    similar += difflib.get_close_matches(name, [tag for tag in tags if tag not in similar], n=5, cutoff=0.7)
    if similar:
        return f"similar: {', '.join(similar[:5])}"
    algorithms = sorted(tag for tag, image in tags.items() if Label.DESCRIPTION in (image.get("Labels") or {}))
    if algorithms:
        return f"algorithms on this machine: {', '.join(algorithms[:8])}"
    return "build an image from a project's folder with `algotools build`"


def _get_last_part(name: str) -> str:
    """Return the last part of a repository's path, which is the part that people remember."""
    return name.partition("@")[0].rpartition("/")[2].partition(":")[0]


def read_login(registry: str) -> Login | None:
    """Return the login that ``docker login`` stored for a registry, in Docker's configuration file or with a helper.

    Raises:
        RegistryError: the file is malformed, or the helper that it names is missing, fails or does not answer.
    """
    settings = _read_configuration()
    # docker-py reports a failed helper by several exceptions, and a missing one by a warning as well.
    store = settings.get_credential_store(registry)
    program = f"docker-credential-{store}"
    if store and shutil.which(program) is None:
        raise make_helper_error(registry, program, "is not on your PATH")
    try:
        entry = settings.resolve_authconfig(registry) or {}
        values = {str(key).lower(): value for key, value in entry.items()}
    except (DockerException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise make_helper_error(registry, program, "failed", f"{type(error).__name__}: {error}") from None
    token, user, password = (str(values.get(key) or "") for key in ("identitytoken", "username", "password"))
    if not token and not (user and password):
        return None
    return Login(registry=registry, user=user, password=password, token=token)


class _Settings(msgspec.Struct, rename="camel"):
    """The types of the settings that docker-py uses without a check."""

    creds_store: Union[str, None] = None
    cred_helpers: Union[dict[str, str], None] = None


def _read_configuration() -> Logins:
    file = str(find_config_file() or "")
    try:
        if file.endswith("config.json"):  # docker-py silently reads a malformed file as one of the old format
            msgspec.json.decode(Path(file).read_bytes(), type=_Settings)
        return Logins.load_config(file or None, None)
    except (DockerException, OSError, msgspec.MsgspecError, ValueError, TypeError, AttributeError) as error:
        raise _make_configuration_error(error) from None


def _make_configuration_error(error: BaseException) -> RegistryError:
    return RegistryError(
        f"Docker's configuration file is malformed ({find_login_file()}); fix it, or remove it and run "
        "`docker login` again",
        detail=f"{type(error).__name__}: {error}",
    )


def _is_timeout(error: BaseException) -> bool:
    timeouts = TimeoutError, RequestTimeout, Urllib3Timeout
    return any(isinstance(cause, timeouts) or "timed out" in str(cause) for cause in _list_causes(error))


def _make_lost_error(error: BaseException) -> EngineError:
    if _is_timeout(error):
        return _make_unreachable_error(error)
    return EngineError(
        "the connection to the container engine is lost; check that the engine still runs (`docker info`), and retry",
        detail=f"{type(error).__name__}: {error}",
    )


def _make_unreachable_error(error: BaseException) -> EngineError:
    host = os.environ.get("DOCKER_HOST", "")
    at = f" at {host} (DOCKER_HOST)" if host else ""
    numbers = {number for cause in _list_causes(error) if isinstance(number := getattr(cause, "errno", None), int)}
    if _is_timeout(error):
        message = (
            f"the container engine{at} does not answer in time; check that it works (`docker info`), and restart it "
            "if necessary"
        )
    elif numbers & {errno.EACCES, errno.EPERM}:
        message = (
            f"you do not have permission to use the container engine{at}; join its group "
            "(`sudo usermod -aG docker $USER`, then log in again), or use a rootless engine through DOCKER_HOST"
        )
    elif numbers & {errno.ECONNRESET, errno.EPIPE} or "RemoteDisconnected" in str(error):
        return _make_lost_error(error)
    else:
        message = (
            f"no container engine answers{at}; start Docker, or name another engine in DOCKER_HOST "
            "(Podman: `systemctl --user start podman.socket`, DOCKER_HOST=unix://$XDG_RUNTIME_DIR/podman/podman.sock)"
        )
    return EngineError(message, detail=f"{type(error).__name__}: {error}")


def _list_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all exceptions that it was raised from or contains."""
    # docker, requests, urllib3 and http.client wrap each other's exceptions, each in another attribute. The `errno` of
    # the system's error is somewhere in this graph, which can contain cycles.
    queue, visited = [error], set[int]()
    while queue:
        cause = queue.pop()
        if id(cause) in visited:
            continue
        visited.add(id(cause))
        yield cause
        further = [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
        queue += [item for item in further if isinstance(item, BaseException)]
