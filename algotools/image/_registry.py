"""Read an image in its registry without pulling it, and explain why a registry refuses a request.

Only the manifest and the configuration are read, a few kilobytes. The conversation with a registry (API v2) is:

1. GET the manifest of the tag. A registry with access control refuses, and names a token server in its *challenge*.
2. Exchange Docker's login for a token at that server, and repeat the request with the token.
3. If the name belongs to images for several platforms, the registry returns an *index*: a list of manifests. Choose one
   of them, and GET it.
4. GET the configuration, whose digest is in the manifest. It contains the labels, the command and the platform.
"""

from __future__ import annotations

import base64
import hashlib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urljoin
from urllib.request import parse_http_list, parse_keqv_list

import msgspec
import requests
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import HTTPError, RequestException, Timeout
from urllib3.exceptions import HTTPError as Urllib3Error
from urllib3.exceptions import InsecureRequestWarning

from algotools.data.time_limit import call_within
from algotools.errors import AlgotoolsError, ImageNotFound, RegistryError
from algotools.image._credentials import find_login_file
from algotools.image._platforms import ImagePlatform, get_local_platform
from algotools.image.engine import Login, read_login, shorten_cause
from algotools.image.names import HUB, Reference, is_loopback

_Action = Literal["push to", "read"]

_TIMEOUT = 30
"""Seconds that a registry may be silent."""

_WHOLE_TIMEOUT = 120
"""Seconds for the whole conversation, because a registry can also answer byte by byte."""

_MOST_PAGES = 100
"""Maximum pages of a list of tags."""

_LARGEST = 16 * 2**20
"""Maximum bytes of a response. Manifests and configurations are smaller."""

_MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "docker.distribution.manifest.v1",  # `_read_image` refuses it with a clear message
        "docker.distribution.manifest.v2",
        "docker.distribution.manifest.list.v2",
        "oci.image.manifest.v1",
        "oci.image.index.v1",
    )
)

# An engine forwards the messages of the registry and of its own network code; requests has other messages for the same
# causes. Only the text tells them apart.
_LOGIN = re.compile(r"no basic auth|unauthori[sz]ed|authentication required|incorrect username or password")
_DENIED = re.compile(r"\bdenied\b|forbidden|insufficient_scope|insufficient scope")
_CAUSES: list[tuple[str, str]] = [
    (
        r"connection refused",
        "nothing listens at {registry}; check that the registry runs, and that its name and port are right",
    ),
    (
        r"no such host|server misbehaving|name resolution|failed to resolve|(name|nodename).* not known",
        "the host name {host} is unknown; check its spelling, and that this machine is in its network",
    ),
    (
        r"network is unreachable|no route to host",
        "{registry} cannot be reached from this machine; check that this machine is in its network",
    ),
    (
        r"timeout|timed out|deadline exceeded|awaiting headers",
        "{registry} does not answer in time; check that the registry runs, and that no firewall or proxy blocks it",
    ),
    (
        r"http response to https client|wrong.version.number|record.layer.failure",
        (
            "{registry} uses plain HTTP, which Docker allows only on this machine; give the registry a certificate, "
            "or add it to `insecure-registries` in the engine's daemon.json"
        ),
    ),
    (
        r"x509|certificate|\btls\b|\bssl\b",
        (
            "the certificate of {registry} is not trusted; copy the certificate of its authority to "
            "/etc/docker/certs.d/{registry}/ca.crt, or use a certificate of a trusted authority"
        ),
    ),
    (
        r"connection reset|broken pipe|\beof\b|connection aborted|connection broken|remotedisconnected",
        "{registry} closed the connection; check that the registry still runs, and retry",
    ),
    (r"toomanyrequests|too many requests|\b429\b", "{registry} received too many requests; wait, or log in"),
    (
        r"unexpected http status: 5|internal server error|bad gateway|service unavailable",
        "{registry} has an internal error; retry later, or ask its administrator",
    ),
]


class _RegistryImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image in a registry."""

    id: str
    digests: tuple[str, ...]
    """The digest of the name's manifest or index; after an index, the digest of the chosen image."""

    platforms: tuple[str, ...]
    """All platforms of the index; empty if the name belongs to a single image."""

    size: int
    layers: int
    configuration: dict[str, Any]
    warnings: tuple[str, ...]


class _Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    digest: str
    size: int = 0
    platform: ImagePlatform = ImagePlatform()


class _Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """A manifest or an index, of Docker's schema 2 or of OCI, which differ only in the media types."""

    schema_version: int
    config: _Descriptor | None = None
    layers: list[_Descriptor] = []
    manifests: list[_Descriptor] | None = None


class _Repository:
    """A repository of a registry, with Docker's rules for logins, certificates, and plain HTTP on loopback."""

    def __init__(self, session: requests.Session, reference: Reference, login: Login | None) -> None:
        is_local = is_loopback(reference.registry)
        session.auth = lambda request: request  # otherwise requests would send a login of ~/.netrc instead
        session.trust_env = not is_local  # a proxy cannot reach the loopback interface of this machine
        self._session = session
        self._login = login
        self._verify = not is_local and (_find_ca_certificate(reference.registry) or True)
        self._authorization = ""
        # "python" at Docker Hub is short for "library/python".
        is_official = reference.host.endswith(HUB) and "/" not in reference.repository
        self._name = f"library/{reference.repository}" if is_official else reference.repository
        scheme = "http" if is_local and not self._has_https(reference.host) else "https"
        self._url = f"{scheme}://{reference.host}/v2/{self._name}/"

    def get(self, path: str, accept: str = "*/*") -> tuple[bytes, str]:
        """Return the content at a path of the repository, and the path of the next page if there is one."""
        # Try without a token first: only the challenge in a refusal names the token server. Keep the token for the next
        # requests, and fetch another when the registry refuses it, because a token expires after some minutes.
        with self._get(path, accept) as response:
            authorized = response.status_code != requests.codes.unauthorized
            if authorized or not self._authorize(response.headers.get("www-authenticate", "")):
                return _read_content(response)
        with self._get(path, accept) as response:
            return _read_content(response)

    def list_tags(self) -> list[str]:
        """Return the sorted tags."""
        tags: list[str] = []
        path = "tags/list"
        for _ in range(_MOST_PAGES):
            content, path = self.get(path)
            tags += msgspec.json.decode(content, type=dict[str, Any])["tags"] or []
            if not path:
                break
        return sorted(map(str, tags))

    def _get(self, path: str, accept: str) -> requests.Response:
        headers = {"Accept": accept, **({"Authorization": self._authorization} if self._authorization else {})}
        return self._request("GET", urljoin(self._url, path), headers=headers, stream=True)

    def _request(self, method: str, url: str, **options: Any) -> requests.Response:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InsecureRequestWarning)  # Docker does not verify on loopback
            return self._session.request(method, url, verify=self._verify, timeout=_TIMEOUT, **options)

    def _has_https(self, host: str) -> bool:
        """Whether a local registry accepts HTTPS, which Docker tries before HTTP."""
        try:
            self._request("GET", f"https://{host}/v2/", stream=True).close()
        except Timeout:  # with HTTP, the server would not answer either
            raise
        except RequestException as error:
            return not isinstance(error, NoConnection)
        return True

    def _authorize(self, challenge: str) -> bool:
        """Make the ``Authorization`` header that a challenge requires. Return False if a retry with it is pointless."""
        scheme, _, parameters = challenge.partition(" ")
        authorization = ""
        if scheme.lower() == "bearer":
            authorization = self._fetch_token(parse_keqv_list(parse_http_list(parameters)))
        elif scheme.lower() == "basic" and self._login and self._login.user:
            pair = f"{self._login.user}:{self._login.password}".encode()
            authorization = f"Basic {base64.b64encode(pair).decode()}"
        is_new = authorization not in {"", self._authorization}
        self._authorization = authorization
        return is_new

    def _fetch_token(self, challenge: dict[str, str]) -> str:
        """Exchange the login for a token. Without a login, fetch a token for anonymous users."""
        realm = challenge["realm"]
        if not realm.startswith("https://") and not is_loopback(realm.partition("://")[2].partition("/")[0]):
            return ""  # over plain HTTP, everybody in the network could read the password
        scope = challenge.get("scope", f"repository:{self._name}:pull").split()
        request: dict[str, Any] = {"service": challenge.get("service", ""), "scope": scope}
        if self._login and self._login.token:
            request |= {"grant_type": "refresh_token", "refresh_token": self._login.token, "client_id": "algotools"}
            response = self._request("POST", realm, data=request, stream=True)
        else:
            pair = (self._login.user, self._login.password) if self._login else None
            response = self._request("GET", realm, params=request, auth=pair, stream=True)
        with response:
            tokens = msgspec.json.decode(_read_content(response)[0], type=dict[str, Any])
        return f"Bearer {tokens.get('access_token') or tokens['token']}"


def read_image(reference: Reference) -> _RegistryImage:
    """Read an image in its registry. From an index, choose the image for this machine; default: the first.

    Raises:
        ImageNotFound: the registry has no image of that name.
        RegistryError: the registry does not answer, requires a login or refuses, or the content is not an image.
    """
    login = read_login(reference.registry)

    def read() -> _RegistryImage:
        with requests.Session() as session:
            repository = _Repository(session, reference, login)
            try:
                return _read_image(repository, reference)
            except HTTPError as error:
                if error.response.status_code == requests.codes.not_found:
                    raise _make_not_found_error(repository, reference) from None
                raise

    with _translate_errors(reference, login):
        return call_within(_WHOLE_TIMEOUT, read, make_refusal(reference, "timed out", login, "read"))


def explain_refusal(reference: Reference, text: str, login: Login | None, action: _Action) -> RegistryError | None:
    """Return the error for a refusal with a known cause, or None. The error's detail is ``text``."""
    registry, lower = reference.registry, text.lower()
    if _LOGIN.search(lower) or _DENIED.search(lower):
        return RegistryError(_make_login_message(reference, lower, login, action), detail=text)
    host = registry.rpartition(":")[0] if re.search(r":\d+$", registry) else registry
    for pattern, message in _CAUSES:
        if re.search(pattern, lower):
            return RegistryError(message.format(registry=registry, host=host), detail=text)
    return None


def make_refusal(reference: Reference, text: str, login: Login | None, action: _Action) -> RegistryError:
    """Return the error for any refusal."""
    return explain_refusal(reference, text, login, action) or RegistryError(
        f"{reference.registry} refused to {action} {reference.repository}: {text}"
    )


def _make_login_message(reference: Reference, text: str, login: Login | None, action: _Action) -> str:
    registry, repository = reference.registry, reference.repository
    if login is None:
        return (
            f"you are not logged in: {registry} requires a login to {action} {repository}, and "
            f"{find_login_file()} has no login for it; run `docker login {registry}`"
        )
    user = f"user {login.user!r}" if login.user else "the token of your login"
    if _DENIED.search(text):
        return (
            f"{registry} does not allow {user} to {action} {repository}; ask its administrator for permission, "
            f"or log in as another user (`docker login {registry}`)"
        )
    return (
        f"{registry} refuses the login of {user}: the password is wrong or expired, or the user does not exist; "
        f"run `docker login {registry}` again"
    )


@contextmanager
def _translate_errors(reference: Reference, login: Login | None) -> Iterator[None]:
    try:
        yield
    except AlgotoolsError:
        raise
    except HTTPError as error:
        status = error.response.status_code
        text = {401: "unauthorized", 403: "denied"}.get(status, f"unexpected HTTP status: {status}")
        raise make_refusal(reference, text, login, "read") from None
    except (RequestException, Urllib3Error, OSError) as error:
        raise make_refusal(reference, shorten_cause(str(error)), login, "read") from None
    except (msgspec.MsgspecError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise RegistryError(
            f"{reference.repository}:{reference.version} at {reference.registry} is not an image; check that "
            f"{reference.registry} is a registry, and that the name is not that of a chart or another artifact",
            detail=f"{type(error).__name__}: {error}",
        ) from None


def _make_not_found_error(repository: _Repository, reference: Reference) -> ImageNotFound:
    name = f"{reference.name}{'@' if reference.digest else ':'}{reference.version}"
    hint = ""
    try:
        if tags := repository.list_tags():
            head = "its tags are" if len(tags) <= 8 else f"tags (last 8 of {len(tags)}):"
            hint = f"; {head} {', '.join(tags[-8:])}"
    except HTTPError as error:  # a registry that refuses to list the tags may nevertheless have the repository
        if error.response.status_code == requests.codes.not_found:
            hint = f"; it has no repository {reference.repository}"
    except (RequestException, msgspec.MsgspecError, ValueError, TypeError, KeyError):
        pass  # the response has no list of tags
    return ImageNotFound(f"{reference.registry} has no image {name}{hint}")


def _find_ca_certificate(registry: str) -> str:
    """Return the path of a CA certificate for a registry in Docker's folders; empty without a certificate."""
    for folder in (Path("/etc/docker/certs.d"), Path.home() / ".docker" / "certs.d"):
        with suppress(OSError):
            for file in sorted((folder / registry).glob("*.crt")):
                return str(file)
    return ""


def _read_content(response: requests.Response) -> tuple[bytes, str]:
    response.raise_for_status()
    content = b""
    for chunk in response.iter_content(2**16):
        content += chunk
        if len(content) > _LARGEST:
            raise ValueError("the response is larger than any manifest or configuration")
    return content, response.links.get("next", {}).get("url", "")


def _compute_digest(content: bytes, expected: str | None = None) -> str:
    """Return the digest of a content. Raise ValueError if another digest is expected."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if expected and digest != expected:
        raise ValueError(f"the content has the digest {digest} instead of {expected}")
    return digest


def _read_image(repository: _Repository, reference: Reference) -> _RegistryImage:
    digest, manifest = _read_manifest(repository, reference.version)
    digests = [digest]
    platforms: tuple[str, ...] = ()
    problems: list[str] = []
    if manifest.manifests is not None:
        chosen, platforms, problems = _choose_image(manifest.manifests)
        digest, manifest = _read_manifest(repository, chosen.digest)
        digests.append(digest)
    if manifest.config is None or manifest.schema_version != 2:
        raise ValueError("neither a manifest nor an index of schema 2 or OCI")
    configuration, _ = repository.get(f"blobs/{manifest.config.digest}")
    _compute_digest(configuration, manifest.config.digest)
    return _RegistryImage(
        id=manifest.config.digest,
        digests=tuple(f"{reference.name}@{digest}" for digest in digests),
        platforms=platforms,
        size=sum(layer.size for layer in manifest.layers),
        layers=len(manifest.layers),
        configuration=msgspec.json.decode(configuration, type=dict[str, Any]),
        warnings=tuple(problems),
    )


def _read_manifest(repository: _Repository, version: str) -> tuple[str, _Manifest]:
    content, _ = repository.get(f"manifests/{version}", accept=_MANIFESTS)
    digest = _compute_digest(content, version if ":" in version else None)
    return digest, msgspec.json.decode(content, type=_Manifest)


def _choose_image(entries: list[_Descriptor]) -> tuple[_Descriptor, tuple[str, ...], list[str]]:
    """Return the entry of an index for this machine, all platforms, and a warning if no entry is for this machine."""
    # Signatures and build records are entries of an index, too, with the platform "unknown". An index without any known
    # platform does not name platforms at all, so all its entries are images.
    images = [entry for entry in entries if entry.platform.is_known] or entries
    if not images:
        raise ValueError("an index without images")
    platforms = tuple(str(entry.platform) for entry in images)
    local = get_local_platform()
    for entry in images:
        if (entry.platform.os, entry.platform.architecture) == (local.os, local.architecture):
            return entry, platforms, []
    return images[0], platforms, [f"no image is for this machine ({local}); this image is for {platforms[0]}"]
