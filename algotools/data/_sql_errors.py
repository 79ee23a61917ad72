"""Errors of SQL databases and their drivers. No message contains a password."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import quote, quote_plus, unquote, urlsplit

import msgspec

from algotools.data import _spark_uri
from algotools.data.reading import NeedsPandas, Unreadable, name_errors
from algotools.errors import AlgotoolsError
from algotools.task import Database

_PACKAGES = {
    "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient", "mysql": "mysql-connector-python", "mariadb": "mariadb",
    "pymysql": "pymysql", "psycopg": "psycopg", "asyncpg": "asyncpg", "oracledb": "oracledb", "cx_Oracle": "cx_Oracle",
    "pyodbc": "pyodbc", "pymssql": "pymssql", "ibis": "ibis-framework", "pyspark": "pyspark-client",
    "grpc": "pyspark-client", "clickhouse_connect": "clickhouse-connect",
}  # fmt: skip
"""Module of a driver -> the package to install."""


@contextmanager
def name_sql_errors(database: Database) -> Iterator[None]:
    """Convert errors of the block as ``name_errors`` does. Only the owner sees the URI, and without the password."""
    uri, secrets = _redact(database)
    with name_errors(msgspec.structs.replace(database, uri=uri), "sql"):
        try:
            yield
        except (AlgotoolsError, NeedsPandas, FileNotFoundError, PermissionError, IsADirectoryError, MemoryError):
            raise
        except Unreadable as problem:
            raise Unreadable(str(problem), remove_secrets(str(problem.detail), secrets)) from None
        except ModuleNotFoundError as error:
            raise Unreadable(
                missing_driver_message(_PACKAGES.get(error.name or "", error.name or "its driver")), error
            ) from None
        except Exception as error:
            message = remove_secrets(str(error), secrets)
            match type(error).__name__:
                case "NoSuchModuleError":
                    package = "the package with SQLAlchemy's dialect for the URI's scheme"
                    reason = f"{missing_driver_message(package)}; or use ibis.Table, if Ibis has the engine"
                    message = f"{database.uri.partition('://')[0]}: {message}"  # the scheme is only for the owner
                case "ArgumentError" | "ValueError":
                    reason, message = "its URI is not valid", ""  # the message quotes the URI
                case "ResourceClosedError":
                    reason = "the task's query does not return a table"
                case _ if _name_driver_error(error) in ("OperationalError", "IOException") and _LOCKED.search(message):
                    reason = "another program has locked its file; retry when that program has finished"
                case _:
                    reason = f"it cannot be reached, or refuses the task's query ({_name_driver_error(error)})"
            raise Unreadable(reason, message) from None


_LOCKED = re.compile(r"database (table )?is locked|Could not set lock on file")
"""Matches the errors of SQLite and DuckDB for a file that another program is changing."""


def missing_driver_message(package: str) -> str:
    """Return the reason for a database whose driver is not installed."""
    return f"the image lacks its driver; add this package to the algorithm's dependencies: {package}"


def _name_driver_error(error: BaseException) -> str:
    """Return the class name of the driver's error, which SQLAlchemy and pandas wrap."""
    if type(error).__module__.startswith("pandas") and error.__cause__ is not None:
        error = error.__cause__
    return type(getattr(error, "orig", None) or error).__name__


def _redact(database: Database) -> tuple[str, list[str]]:
    """Return the URI without secrets, and every encoding of its secrets that a message might contain."""
    uri = database.uri
    if "://" not in uri:
        return uri, []
    if _spark_uri.is_spark(uri):
        public_uri, secrets = _spark_uri.redact(database)
        return public_uri, list_encodings(secrets)
    from sqlalchemy.engine import make_url  # here: a path needs no SQLAlchemy
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(uri)
        secrets = {url.password or "", unquote(urlsplit(uri).password or "")}
    except (ArgumentError, ValueError):
        return "", []
    for name, value in url.query.items():
        for text in (value,) if isinstance(value, str) else value:
            if _SECRET_OPTION.search(name):
                secrets.add(text)
            secrets.update(match[1] for match in _SECRET_PART.finditer(text))
    return url.set(query={}).render_as_string(hide_password=True), list_encodings(secrets)


_SECRET_OPTION = re.compile(r"pass|pwd|secret|token|credential|api_?key", re.IGNORECASE)
"""Matches the name of an option of a URI that is a secret, such as libpq's ``password`` and ``sslpassword``."""

_SECRET_PART = re.compile(r"(?:password|pwd|secret|token)\s*=\s*\{?([^;}\s]+)", re.IGNORECASE)
"""Matches a password within an option, such as in ``odbc_connect=DRIVER=…;PWD=…``."""


def list_encodings(secrets: Iterable[str]) -> list[str]:
    """Return the secrets, the longest first, as a URI, a connection string or a driver may write them."""
    encodings = set(secrets)
    for secret in secrets:
        encodings |= {quote(secret), quote(secret, safe=""), quote(secret, safe=" +"), quote_plus(secret)}
        encodings |= {repr(secret)[1:-1], escape_option(secret), base64.b64encode(secret.encode()).decode()}
    return sorted(encodings - {""}, key=len, reverse=True)


def remove_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return a text without the secrets."""
    for secret in secrets:
        text = re.sub(re.escape(secret), "***", text, flags=re.IGNORECASE)  # `%2f` and `%2F` are the same
    return text


def escape_option(value: str) -> str:
    """Return the value of an option for libpq's connection string, without the quotes around it."""
    return re.sub(r"(['\\\\])", r"\\\1", value)
