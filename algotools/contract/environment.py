"""Environment variables: v4's base32, and which variables are a node's own for algorithms."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping

from algotools.errors import ContractError

IMAGE = frozenset(
    {
        "PATH", "HOME", "HOSTNAME", "LANG", "LANGUAGE", "PWD", "OLDPWD", "SHLVL", "_", "TERM", "USER", "LOGNAME",
        "SHELL", "TZ", "TMPDIR", "GPG_KEY", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PKG_NAME", "ALGOTOOLS_ALGORITHM",
        "ALGOTOOLS_WORKER_USER", "RUN_CONTEXT_FILE",
    }
)  # fmt: skip
"""Variables that come from an image, or that a node never encodes: no node sets them for an algorithm."""

IMAGE_PREFIXES = ("LC_", "PYTHON")

SIGNS = frozenset({"FUNCTION_ACTION", "ALGORITHM_METHOD", "USER_REQUESTED_DATABASE_LABELS"})
"""Variables by which a container tells one generation from another."""


def from_image(name: str) -> bool:
    """Whether a variable belongs to the image rather than to the node."""
    return name in IMAGE or name.startswith(IMAGE_PREFIXES)


def encode(text: str) -> str:
    """A value as v4's nodes write it: base32, ``!`` for padding."""
    return base64.b32encode(text.encode()).decode().replace("=", "!")


def decode(name: str, value: str) -> str:
    """A value that the contract says is encoded.

    Raises:
        ContractError: it is not.
    """
    try:
        return base64.b32decode(value.replace("!", "=")).decode()
    except (binascii.Error, ValueError):
        raise ContractError(f"the variable {name} is not encoded as this node's other variables are (base32)") from None


def is_encoded(value: str) -> bool:
    """Whether a value can be one that a v4 node encoded."""
    return _decoded(value) is not None


def decode_if_encoded(value: str) -> str:
    """A value that a node may have encoded or an image may have set: what does not decode to text stays."""
    decoded = _decoded(value)
    return value if decoded is None or not _is_text(decoded) else decoded


def _decoded(value: str) -> str | None:
    try:
        return decode("", value)
    except ContractError:
        return None


def _is_text(text: str) -> bool:
    return all(c.isprintable() or c in "\t\r\n" for c in text)


def variables(environ: Mapping[str, str], own: Collection[str], *, encoded: bool) -> dict[str, str]:
    """The node's variables for algorithms: what is neither the contract's own nor the image's."""
    return {
        name: decode_if_encoded(value) if encoded else value
        for name, value in environ.items()
        if name not in own and not from_image(name)
    }


def check_variables(values: Mapping[str, str], own: Collection[str], *, encoded: bool) -> None:
    """Refuse variables that a container could not tell from others.

    Raises:
        ContractError: names the variable.
    """
    for name, value in values.items():
        if not name.isidentifier() or not name.isascii():
            raise ContractError(f"variable {name!r}: a name must be an identifier")
        if name in own or name in SIGNS or from_image(name):
            raise ContractError(f"variable {name!r}: the name is taken by the contract or by the image")
        if encoded and not _is_text(value):
            raise ContractError(
                f"variable {name!r}: its value has control characters, which a reader takes for an unencoded value"
            )


def check_texts(environment: Mapping[str, str]) -> None:
    """Refuse what no environment can hold.

    Raises:
        ContractError: names the variable.
    """
    for name, value in environment.items():
        if "\0" in value or "\0" in name or "=" in name:
            raise ContractError(f"variable {name!r}: an environment cannot hold a null character, nor a name with '='")
        try:
            f"{name}={value}".encode()
        except UnicodeEncodeError:
            raise ContractError(f"variable {name!r}: it is not valid Unicode") from None
