"""What a registry tells of an image, without pulling it: its manifest and its configuration, some kilobytes."""

from __future__ import annotations

import base64
import hashlib
import platform
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import parse_http_list, parse_keqv_list

import msgspec
import requests
from dxf import DXF, DXFBase
from dxf.exceptions import DXFError, DXFUnauthorizedError
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import HTTPError, RequestException
from urllib3.exceptions import HTTPError as Urllib3Error
from urllib3.exceptions import InsecureRequestWarning

from algotools.errors import AlgotoolsError, ImageNotFound, RegistryError
from algotools.image import credentials
from algotools.image.credentials import Login
from algotools.image.reference import Reference, is_loopback
from algotools.image.refusal import refusal

if TYPE_CHECKING:
    from typing_extensions import Self  # Python 3.11 has it in `typing`

PATIENCE = 30
"""Seconds that a registry may be silent."""

LARGEST = 16 * 2**20
"""Bytes of a configuration: a registry that sends more than this sends something else."""

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i386": "386", "i686": "386"}


class Platform(msgspec.Struct, frozen=True):
    """For which machines an image is."""

    os: str = ""
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))

    @property
    def stated(self) -> bool:
        """Whether it is a platform; what is attached to an index besides its images is said to be for none."""
        return self.os not in {"", "unknown"}


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An image in a registry."""

    digests: tuple[str, ...]
    """Of what the name stands for; then, if that is an index, of the image that was chosen from it."""

    id: str
    size: int
    layers: int
    configuration: dict[str, Any]
    platforms: tuple[str, ...]
    """All that the index has an image for."""

    warnings: tuple[str, ...]


class _Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    digest: str
    media_type: str = ""
    size: int = 0
    platform: Platform = Platform()


class _Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """A manifest or an index, of Docker's schema 2 or OCI's; they differ in names of media types only."""

    schema_version: int
    config: _Descriptor | None = None
    layers: list[_Descriptor] = []
    manifests: list[_Descriptor] | None = None


def read(reference: Reference) -> Found:
    """Look an image up in its registry.

    Of an index it takes the image for this machine, if there is one, else the first.

    Raises:
        ImageNotFound: the registry has none of that name, or what it has is no image.
        RegistryError: it does not answer, wants a login, or refuses.
    """
    login = credentials.of(reference.registry)
    with _naming_trouble(reference, login), _repository(reference, login) as repository:
        try:
            return _read(repository, reference)
        except HTTPError as error:
            if error.response.status_code == requests.codes.not_found:
                raise _missing(repository, reference) from None
            raise


def here() -> Platform:
    """The platform of this machine's containers, which are Linux's everywhere."""
    machine = platform.machine().lower()
    return Platform("linux", _MACHINES.get(machine, machine))


class _Repository(DXF):
    """A repository as Docker would reach it.

    dxf refuses to log in over plain http, and knows no identity tokens; Docker does log in to a registry on the
    machine itself, and `docker login` gets such a token from some registries. So the login is ours.
    """

    def __init__(self, reference: Reference, login: Login | None, *, plain: bool) -> None:
        super().__init__(
            reference.host,
            reference.repository,
            auth=self._log_in,
            insecure=plain,
            tlsverify=not reference.loopback and (_authority(reference.registry) or True),
            timeout=PATIENCE,
        )
        self._login = login
        self._loopback = reference.loopback

    def __enter__(self) -> Self:
        super().__enter__()
        session = self._sessions[0]
        assert isinstance(session, requests.Session)  # noqa: S101 -- for mypy: dxf puts the module itself there too
        session.auth = lambda request: request  # else a line in ~/.netrc takes the place of Docker's login
        session.trust_env = not self._loopback  # no proxy leads to this machine
        return self

    def _log_in(self, _dxf: DXFBase, response: requests.Response) -> None:
        scheme, _, rest = response.headers.get("www-authenticate", "").partition(" ")
        if scheme.lower() == "bearer":
            self.token = self._token_of(parse_keqv_list(parse_http_list(rest)))
        elif scheme.lower() == "basic" and self._login and self._login.user:
            both = f"{self._login.user}:{self._login.password}".encode()
            self._headers = {"Authorization": f"Basic {base64.b64encode(both).decode()}"}

    def _token_of(self, challenge: dict[str, str]) -> str:
        """What the registry's server for tokens gives for the login, or to anybody."""
        realm = challenge["realm"]
        host = realm.partition("://")[2].partition("/")[0]
        if not realm.startswith("https://") and not is_loopback(host):
            raise DXFUnauthorizedError  # where everybody could read it, no password goes
        asked = {
            "service": challenge.get("service", ""),
            "scope": challenge.get("scope", f"repository:{self._repo}:pull").split(),
        }
        session = self._sessions[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InsecureRequestWarning)
            common: dict[str, Any] = {"verify": self._tlsverify, "timeout": PATIENCE}
            if self._login and self._login.token:
                refresh = {"grant_type": "refresh_token", "refresh_token": self._login.token, "client_id": "algotools"}
                answer = session.post(realm, data={**asked, **refresh}, **common)
            else:
                both = (self._login.user, self._login.password) if self._login else None
                answer = session.get(realm, params=asked, auth=both, **common)
        answer.raise_for_status()
        given = answer.json()
        return str(given.get("access_token") or given["token"])


@contextmanager
def _repository(reference: Reference, login: Login | None) -> Iterator[_Repository]:
    """Connected over https or, if the registry is on this machine and speaks no https, over http."""
    with _Repository(reference, login, plain=reference.loopback and not _speaks_https(reference)) as repository:
        yield repository


def _speaks_https(reference: Reference) -> bool:
    with _Repository(reference, None, plain=False) as repository:
        try:
            repository.api_version_check()
        except NoConnection:
            return False
        except (RequestException, DXFError):  # whatever it says, it says it
            return True
    return True


def _authority(registry: str) -> str:
    """Who vouches for the registry, where Docker keeps it; "" if nobody in particular."""
    for folder in (Path("/etc/docker/certs.d"), Path.home() / ".docker" / "certs.d"):
        with suppress(OSError):
            for file in sorted((folder / registry).glob("*.crt")):
                return str(file)
    return ""


@contextmanager
def _naming_trouble(reference: Reference, login: Login | None) -> Iterator[None]:
    try:
        yield
    except AlgotoolsError:
        raise
    except DXFUnauthorizedError:
        raise refusal(reference, "unauthorized", login, "read") from None
    except HTTPError as error:
        status = error.response.status_code
        words = {401: "unauthorized", 403: "denied"}.get(status, f"unexpected HTTP status: {status}")
        raise refusal(reference, words, login, "read") from None
    except requests.exceptions.JSONDecodeError as error:
        raise _no_image(reference, str(error)) from None
    except (RequestException, Urllib3Error, OSError) as error:
        raise refusal(reference, str(error), login, "read") from None
    except (DXFError, msgspec.MsgspecError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise _no_image(reference, f"{type(error).__name__}: {error}") from None


def _no_image(reference: Reference, why: str) -> RegistryError:
    return RegistryError(
        f"what {reference.registry} gives for {reference.repository}:{reference.version} is no image; "
        "see whether it is a registry, and whether it keeps an image of that name, not a chart or the like",
        detail=why,
    )


def _missing(repository: _Repository, reference: Reference) -> ImageNotFound:
    separator = "@" if reference.digest else ":"
    wanted = f"{reference.name}{separator}{reference.version}"
    tags: Iterable[str] = ()
    with suppress(RequestException, DXFError, ValueError, KeyError):
        tags = sorted(map(str, repository.list_aliases()))
    there = f"its tags are {', '.join(list(tags)[-8:])}" if tags else f"it knows no repository {reference.repository}"
    return ImageNotFound(f"{reference.registry} has no image {wanted}; {there}")


def _read(repository: _Repository, reference: Reference) -> Found:
    digest, manifest = _manifest(repository, reference.version)
    digests = [digest]
    platforms: tuple[str, ...] = ()
    told: list[str] = []
    if manifest.manifests is not None:
        chosen, platforms, told = _choose(manifest.manifests)
        digest, manifest = _manifest(repository, chosen.digest)
        digests.append(digest)
    if manifest.config is None or manifest.schema_version != 2:
        raise ValueError("neither an image's manifest nor an index of some (of schema 2 or OCI)")
    content = b""
    for chunk in repository.pull_blob(manifest.config.digest, chunk_size=2**16):
        content += _bytes(chunk)
        if len(content) > LARGEST:
            raise ValueError("the image's configuration is larger than any can be")
    return Found(
        digests=tuple(f"{reference.name}@{digest}" for digest in digests),
        id=manifest.config.digest,
        size=sum(layer.size for layer in manifest.layers),
        layers=len(manifest.layers),
        configuration=msgspec.json.decode(content, type=dict[str, Any]),
        platforms=platforms,
        warnings=tuple(told),
    )


def _manifest(repository: _Repository, wanted: str) -> tuple[str, _Manifest]:
    _, response = repository.get_manifest_and_response(wanted)
    digest = f"sha256:{hashlib.sha256(response.content).hexdigest()}"
    if wanted.startswith("sha256:") and wanted != digest:
        raise ValueError(f"the manifest is not the one that was asked for: {digest}, not {wanted}")
    return digest, msgspec.json.decode(response.content, type=_Manifest)


def _choose(entries: list[_Descriptor]) -> tuple[_Descriptor, tuple[str, ...], list[str]]:
    """The image of an index that is for this machine, all platforms, and what to say if there is none."""
    images = [entry for entry in entries if entry.platform.stated] or entries
    if not images:
        raise ValueError("an index without any image")
    platforms = tuple(str(entry.platform) for entry in images)
    mine = here()
    for entry in images:
        if (entry.platform.os, entry.platform.architecture) == (mine.os, mine.architecture):
            return entry, platforms, []
    return images[0], platforms, [f"there is no image for this machine ({mine}); this is the one for {platforms[0]}"]


def _bytes(chunk: object) -> bytes:
    return chunk if isinstance(chunk, bytes) else b""
