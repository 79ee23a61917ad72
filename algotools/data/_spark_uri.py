"""URIs of Spark Connect: ``sc://host:port/;name=value;…``. Nothing here imports pyspark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from algotools.data.reading import Unreadable
from algotools.task import Database

SCHEME = "sc"

_OTHER_SCHEMES = frozenset({"spark", "pyspark"})
"""Schemes of other addresses of Spark: a cluster's master, and Ibis' name for a session in the same process."""

OPTIONS: Mapping[str, str] = {"USER": "user_id", "TOKEN": "token"}
"""Option of the node's owner -> the parameter of the URI that it sets."""

_PUBLIC_PARAMETERS = frozenset({"connect_timeout", "session_id", "use_ssl", "user_agent", "user_id"})
"""Parameters whose value is not a secret. Spark sends a parameter that it does not know as a header of each request."""


class SparkAddress(NamedTuple):
    """The address of a server."""

    uri: str
    """The URI for pyspark, with the owner's credentials."""
    timeout: str | None
    """The value of the parameter ``connect_timeout``, which is not a parameter of Spark."""


def is_spark(uri: str) -> bool:
    """Return whether a URI is an address of Spark."""
    scheme, separator, _ = uri.partition("://")
    return bool(separator) and (scheme == SCHEME or scheme in _OTHER_SCHEMES)


def parse_address(database: Database) -> SparkAddress:
    """Return the address of the server.

    Raises:
        Unreadable: the URI is not a valid address of Spark Connect. The message quotes nothing from the URI.
    """
    parts = urlsplit(database.uri)
    if parts.scheme != SCHEME:
        raise Unreadable(
            f"its URI begins with {parts.scheme}://, but only a server of Spark Connect can be read; configure the "
            "address of that server: sc://host:15002"
        )
    try:
        is_valid = (
            bool(parts.hostname) and parts.port != 0 and not (parts.query or parts.fragment or ";" in parts.netloc)
        )
    except ValueError:
        is_valid = False
    path, _, text = parts.path.partition(";")
    texts = [part.partition("=") for part in text.split(";") if part]
    if not is_valid or path not in ("", "/") or not all(name and separator for name, separator, _ in texts):
        raise Unreadable("its URI is not valid; the form is sc://host:15002/;name=value;name=value")
    if "@" in parts.netloc:
        raise Unreadable(
            "its URI has a login before the host, which Spark ignores; configure the options user and token"
        )
    parameters = {name: unquote(value) for name, _, value in texts}
    for option, name in OPTIONS.items():
        if option in database.options:
            if name in parameters:
                raise Unreadable(f"its option {option} and its URI both set the parameter {name}; give only one")
            parameters[name] = database.options[option]
    timeout = parameters.pop("connect_timeout", None)
    if timeout is not None and not timeout.isdecimal():
        raise Unreadable("the parameter connect_timeout of its URI must be a number of seconds")
    path = "/" + "".join(f";{name}={quote(value, safe='')}" for name, value in parameters.items())
    return SparkAddress(urlunsplit((SCHEME, parts.netloc, path, "", "")), timeout)


def redact(database: Database) -> tuple[str, set[str]]:
    """Return the URI without login and parameters, and the secrets of the URI and of the options."""
    parts = urlsplit(database.uri)
    login, _, host = parts.netloc.rpartition("@")
    secrets = {unquote(login.partition(":")[2]), database.options.get("TOKEN", "")}
    host, _, wrong_parameters = host.partition(";")
    for part in f"{wrong_parameters};{parts.path};{parts.query}".split(";"):
        name, _, value = part.partition("=")
        if name not in _PUBLIC_PARAMETERS:
            secrets |= {value, unquote(value)}
    return f"{parts.scheme}://{host}", secrets - {""}
