"""The token of a run: a JWT whose ``sub`` is an object. Signed by the server, only read by a container."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any

import msgspec

from algotools.errors import TokenError
from algotools.task import Identity, Task


def token_of(task: Task) -> str:
    """The token that the node gave a run.

    Raises:
        TokenError: there is none, or it may not be read.
    """
    if task.proxy is None:
        raise TokenError("the node names no proxy, so this run cannot reach the platform")
    if task.proxy.token_file is not None:
        return read_token_file(task.proxy.token_file)
    if not task.proxy.token:
        raise TokenError("the node gave this run no token, so it cannot reach the platform")
    return task.proxy.token


def read_token_file(path: Path) -> str:
    """What is in the file that the node left; see ``token_of``."""
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise TokenError("the node gave this run no token, so it cannot reach the platform") from None
    except (OSError, UnicodeDecodeError) as error:
        raise TokenError(f"the node's token cannot be read ({type(error).__name__})", detail=str(error)) from None


def make(identity: Identity, key: bytes) -> str:
    """A token as the server makes it: HS256, no expiry."""
    import hashlib  # here, because no container makes a token
    import hmac

    claims: dict[str, object]
    subject = {name: value for name, value in msgspec.to_builtins(identity).items() if value is not None}
    if isinstance(identity.databases, str):
        subject["database"] = subject.pop("databases")
    if identity.session_id is None:
        subject["client_type"] = "container"
        claims = {"type": "access", "client_type": "container", "roles": [], "sub": subject}
    else:  # v5 has sessions, and no other claims
        claims = {"sub": {"vantage6_client_type": "container", **subject}}
    signed = f"{_pack({'alg': 'HS256', 'typ': 'JWT'})}.{_pack(claims)}"
    return f"{signed}.{_text(hmac.digest(key, signed.encode(), hashlib.sha256))}"


def read(token: str) -> Identity:
    """Whom a token speaks for. Its signature is the server's to check; a container has no key.

    Raises:
        TokenError: it is not a token that a node hands out.
    """
    if not (token.isascii() and token.isprintable()):
        raise TokenError("the node's token holds characters that no header of a request can hold")
    try:
        _, body, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        subject: dict[str, Any] = claims["sub"] if "sub" in claims else claims["identity"]
        if "database" in subject:
            subject["databases"] = subject["database"]
        return msgspec.convert(subject, Identity)
    except (KeyError, TypeError, ValueError, RecursionError, binascii.Error, msgspec.ValidationError):
        raise TokenError("the node's token is not one that the platform hands out") from None


def _pack(content: object) -> str:
    return _text(json.dumps(content, separators=(",", ":")).encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
