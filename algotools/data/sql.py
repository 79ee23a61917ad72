"""Databases that take a query, through SQLAlchemy and pandas."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec
import pandas as pd
import sqlalchemy
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, ResourceClosedError

from algotools.data import Loaded
from algotools.data.reading import Unfit, loaded, local, reading
from algotools.errors import InputError
from algotools.task import Database

_FILES = (".sqlite", ".db")

_POSTGRESQL = ("postgresql", "postgres")
"""Schemes that name no driver: the image has psycopg, and SQLAlchemy before 2.1 would look for another."""

_PACKAGES = {
    "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient", "mysql": "mysql-connector-python", "mariadb": "mariadb",
    "pymysql": "pymysql", "psycopg": "psycopg", "asyncpg": "asyncpg", "oracledb": "oracledb", "cx_Oracle": "cx_Oracle",
    "pyodbc": "pyodbc", "pymssql": "pymssql",
}  # fmt: skip
"""The module of a driver -> the package that has it."""


def read(database: Database, columns: Collection[str] | None) -> Loaded:
    """What ``pandas.read_sql_query`` gives for the task's query, or the asked columns of it: see ``Source.read``.

    A file of SQLite is opened for reading only.

    Raises:
        InputError: the task gives no query.
    """
    if not database.query:
        raise InputError(
            f"database {database.label!r} is of type 'sql' and the task gives no query for it; give one: with the "
            'label of the database ({"label": …, "query": "SELECT …"}), or as the argument `query` of an extraction'
        )
    with _naming(database):
        engine = sqlalchemy.create_engine(_url(database.uri))
        try:
            with engine.connect().execution_options(no_parameters=True) as connection:  # or % would mean a parameter
                frame = pd.read_sql_query(database.query, connection)
        finally:
            engine.dispose()
    return loaded(frame, columns)


def _url(uri: str) -> URL:
    """The URI as SQLAlchemy takes it; a file of SQLite so that nothing can be written to it."""
    scheme, separator, _ = uri.partition("://")
    if not separator or scheme == "file":
        path = local(uri)
        if path.suffix.lower() not in _FILES:
            raise Unfit(f"it is neither a URI nor a file that ends in {' or '.join(_FILES)}")
        return _readonly(URL.create("sqlite"), path)
    url = make_url(uri)
    if url.drivername in _POSTGRESQL:
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite" and url.database and not url.database.startswith((":", "file:")):
        return _readonly(url, Path(url.database))
    return url


def _readonly(url: URL, path: Path) -> URL:
    with path.open("rb"):  # which says what is wrong better than SQLite does
        pass
    return url.set(database=f"file:{quote(str(path.absolute()))}").update_query_dict({"mode": "ro", "uri": "true"})


@contextmanager
def _naming(database: Database) -> Iterator[None]:
    """Name what goes wrong within. The URI, which may hold a password, is for the owner only, and without it."""
    try:
        url = make_url(database.uri)
        shown, password = url.set(query={}).render_as_string(hide_password=True), url.password
    except (ArgumentError, ValueError):  # a path, or nothing that could be read
        shown, password = "" if "://" in database.uri else database.uri, None
    with reading(msgspec.structs.replace(database, uri=shown), "sql"):
        try:
            yield
        except (Unfit, FileNotFoundError, PermissionError, IsADirectoryError):
            raise
        except ModuleNotFoundError as error:
            raise Unfit(_missing(_PACKAGES.get(error.name or "", error.name or "its driver")), error) from None
        except NoSuchModuleError as error:
            name = database.uri.partition("://")[0]
            raise Unfit(_missing(f"the one that brings SQLAlchemy's dialect {name[:40]!r}"), error) from None
        except (ArgumentError, ValueError):
            raise Unfit("its URI cannot be understood") from None
        except ResourceClosedError as error:
            raise Unfit("the task's query gives no table", error) from None
        except Exception as error:
            told = str(error).replace(password, "***") if password else str(error)
            cause = error.__cause__ if isinstance(error, pd.errors.DatabaseError) and error.__cause__ else error
            kind = type(getattr(cause, "orig", None) or cause).__name__
            raise Unfit(f"it cannot be reached, or refuses the task's query ({kind})", told) from None


def _missing(package: str) -> str:
    return f"the image lacks its driver; put this package into the algorithm's dependencies: {package}"
