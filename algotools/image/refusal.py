"""What it means when a registry, or the way to it, says no.

An engine hands on the words of the registry and of its own network code, and requests has its own for the
same; both are told apart by what they say, for there is nothing else to go by.
"""

from __future__ import annotations

import re
from typing import Literal

from algotools.errors import RegistryError
from algotools.image import credentials
from algotools.image.credentials import Login
from algotools.image.reference import Reference

Action = Literal["push to", "read"]

_LOGIN = re.compile(r"no basic auth|unauthori[sz]ed|authentication required|incorrect username or password")
_DENIED = re.compile(r"\bdenied\b|forbidden|insufficient_scope|insufficient scope")

_WAY: list[tuple[str, str]] = [
    (
        r"connection refused",
        "nothing listens at {registry}; see whether the registry runs, and whether name and port are right",
    ),
    (
        r"no such host|server misbehaving|name resolution|failed to resolve|(name|nodename).* not known",
        "no host goes by the name {host}; see whether it is spelt right, and whether this machine is in its network",
    ),
    (
        r"network is unreachable|no route to host",
        "there is no way from here to {registry}; see whether this machine is in its network",
    ),
    (
        r"timeout|timed out|deadline exceeded|awaiting headers",
        "{registry} does not answer in time; see whether the registry runs, and what stands between (firewall, proxy)",
    ),
    (
        r"http response to https client|wrong.version.number|record.layer.failure",
        (
            "{registry} speaks plain http, which Docker allows on this machine only; give it a certificate, or list it "
            "under `insecure-registries` in the engine's daemon.json"
        ),
    ),
    (
        r"x509|certificate|\btls\b|\bssl\b",
        (
            "the certificate of {registry} is not trusted; put the authority that signed it into "
            "/etc/docker/certs.d/{registry}/ca.crt, or have one made that is trusted everywhere"
        ),
    ),
    (
        r"connection reset|broken pipe|\beof\b|connection aborted|connection broken|remotedisconnected",
        "{registry} broke the connection; see whether the registry still runs, and try again",
    ),
    (r"toomanyrequests|too many requests|\b429\b", "{registry} has had too many requests; wait a while, or log in"),
    (
        r"unexpected http status: 5|internal server error|bad gateway|service unavailable",
        "{registry} has trouble of its own; try again later, or ask whoever runs it",
    ),
]


def known(reference: Reference, said: str, login: Login | None, action: Action) -> RegistryError | None:
    """The error for a no that we know, with its way out; None for any other.

    ``said`` stands in the error's detail, word for word.
    """
    registry, lower = reference.registry, said.lower()
    if _LOGIN.search(lower) or _DENIED.search(lower):
        return RegistryError(_not_allowed(reference, lower, login, action), detail=said)
    host = registry.rpartition(":")[0] if re.search(r":\d+$", registry) else registry
    for pattern, message in _WAY:
        if re.search(pattern, lower):
            return RegistryError(message.format(registry=registry, host=host), detail=said)
    return None


def refusal(reference: Reference, said: str, login: Login | None, action: Action) -> RegistryError:
    """The error for any no."""
    return known(reference, said, login, action) or RegistryError(
        f"{reference.registry} did not let us {action} {reference.repository}: {said}"
    )


def _not_allowed(reference: Reference, said: str, login: Login | None, action: Action) -> str:
    registry, repository = reference.registry, reference.repository
    if login is None:
        return (
            f"you are not logged in: {registry} wants to know who may {action} {repository}, and there is no login "
            f"for it in {credentials.place()}; run `docker login {registry}`"
        )
    who = f"user {login.user!r}" if login.user else "the token of your login"
    if _DENIED.search(said):
        return (
            f"{registry} does not let {who} {action} {repository}; ask whoever runs it for that right, "
            f"or log in as somebody who has it (`docker login {registry}`)"
        )
    return (
        f"{registry} refuses the login of {who}: the password is wrong or has expired, or there is no such user; "
        f"run `docker login {registry}` again"
    )
