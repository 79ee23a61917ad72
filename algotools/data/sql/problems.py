"""What goes wrong with a database that takes a query, named without its password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, unquote, urlsplit

import msgspec

from algotools.data.reading import NotAlike, Unfit, reading
from algotools.errors import AlgotoolsError
from algotools.task import Database

_PACKAGES = {
    "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient", "mysql": "mysql-connector-python", "mariadb": "mariadb",
    "pymysql": "pymysql", "psycopg": "psycopg", "asyncpg": "asyncpg", "oracledb": "oracledb", "cx_Oracle": "cx_Oracle",
    "pyodbc": "pyodbc", "pymssql": "pymssql", "ibis": "ibis-framework",
}  # fmt: skip
"""The module of a driver -> the package that has it."""


@contextmanager
def naming(database: Database) -> Iterator[None]:
    """Name what goes wrong within. The URI, which may hold a password, is for the owner only, and without it."""
    shown, secrets = _shown(database.uri)
    with reading(msgspec.structs.replace(database, uri=shown), "sql"):
        try:
            yield
        except (AlgotoolsError, NotAlike, Unfit, FileNotFoundError, PermissionError, IsADirectoryError, MemoryError):
            raise
        except ModuleNotFoundError as error:
            raise Unfit(missing(_PACKAGES.get(error.name or "", error.name or "its driver")), error) from None
        except Exception as error:
            told = str(error)
            for secret in secrets:
                told = told.replace(secret, "***")
            match type(error).__name__:
                case "NoSuchModuleError":
                    name = database.uri.partition("://")[0]
                    why = missing(f"the one that brings SQLAlchemy's dialect {name[:40]!r}")
                case "ArgumentError" | "ValueError":
                    why, told = "its URI cannot be understood", ""
                case "ResourceClosedError":
                    why = "the task's query gives no table"
                case _:
                    why = f"it cannot be reached, or refuses the task's query ({_kind(error)})"
            raise Unfit(why, told) from None


def missing(package: str) -> str:
    """What the image would need."""
    return f"the image lacks its driver; put this package into the algorithm's dependencies: {package}"


def _kind(error: BaseException) -> str:
    """The class of the driver's own error, which SQLAlchemy and pandas wrap."""
    if type(error).__module__.startswith("pandas") and error.__cause__ is not None:
        error = error.__cause__
    return type(getattr(error, "orig", None) or error).__name__


def _shown(uri: str) -> tuple[str, list[str]]:
    """A URI without what may be secret in it, and how the password is spelled wherever it might turn up."""
    from sqlalchemy.engine import make_url  # here: a file needs none of it
    from sqlalchemy.exc import ArgumentError

    if "://" not in uri:
        return uri, []
    try:
        url = make_url(uri)
        password = url.password or ""
        written = unquote(urlsplit(uri).password or "")
    except (ArgumentError, ValueError):
        return "", []
    found = {password, quote(password), quote(password, safe=""), quote(password, safe=" +"), written} - {""}
    return url.set(query={}).render_as_string(hide_password=True), sorted(found, key=len, reverse=True)
