"""OMOP's common data model: a database that takes a query, as nodes are configured for OHDSI's own tools.

Those are R's, with drivers of Java: a URI of JDBC's, and beside it ``USER``, ``PASSWORD``, ``CDM_SCHEMA`` and others.
Here the same words reach the same PostgreSQL without either, and a query finds the model's tables by their names.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING

import msgspec

from algotools.data import Loaded, sql
from algotools.data.reading import Unfit
from algotools.data.sql.problems import naming
from algotools.task import Database

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_JDBC = {
    "sslmode": "sslmode", "sslrootcert": "sslrootcert", "sslcert": "sslcert", "sslkey": "sslkey",
    "connectTimeout": "connect_timeout", "ApplicationName": "application_name",
}  # fmt: skip
"""What JDBC's driver of PostgreSQL may be told in a URI, and means the same to libpq."""


def read(database: Database, columns: Collection[str] | None) -> Loaded:
    """What ``sql`` reads there: see ``Source.read``."""
    return sql.read(as_sql(database), columns)


def as_sql(database: Database) -> Database:
    """The same as a database of type ``sql``.

    On PostgreSQL names without a schema are looked up in ``CDM_SCHEMA`` and then in ``RESULTS_SCHEMA``.
    ``CDM_DATABASE`` is the database where the URI names none. A URI that is not JDBC's, or a file, is taken as ``sql``
    takes it.

    Raises:
        DatabaseUnreadable: it is on a system for which the image has only JDBC's address.
    """
    if "://" not in database.uri:
        return msgspec.structs.replace(database, type="sql")
    with naming(database):
        url = _url(database)
        return msgspec.structs.replace(database, type="sql", uri=url.render_as_string(hide_password=False))


def _url(database: Database) -> URL:
    from sqlalchemy.engine import make_url

    options = database.options
    java = database.uri.startswith("jdbc:")
    url = make_url(database.uri.removeprefix("jdbc:"))
    if java and url.get_backend_name() != "postgresql":
        raise Unfit(
            f"JDBC's URIs are understood of PostgreSQL only, not of {url.get_backend_name()[:40]}; give the URI that "
            "SQLAlchemy takes, and its driver in the algorithm's dependencies"
        )
    told = {name: str(value) for name, value in url.query.items()}
    url = url.set(
        username=options.get("USER") or url.username or (told.get("user") if java else None),
        password=options.get("PASSWORD") or url.password or (told.get("password") if java else None),
        database=url.database or options.get("CDM_DATABASE"),
    )
    if java:
        url = url.set(query={_JDBC[name]: value for name, value in told.items() if name in _JDBC})
    named = [options.get("CDM_SCHEMA") or (told.get("currentSchema") if java else None), options.get("RESULTS_SCHEMA")]
    schemas = [_schema(name) for name in named if name]
    if url.get_backend_name() == "postgresql" and schemas:
        path = re.sub(r"([\\ ])", r"\\\1", ",".join(schemas))  # as libpq has a blank in an option
        before = f"{told['options']} " if "options" in told and not java else ""
        url = url.update_query_dict({"options": f"{before}-csearch_path={path}"})
    return url


def _schema(name: str) -> str:
    """A schema as a query has it, in any case unless it has other characters; OHDSI may name its database before it."""
    name = name.rpartition(".")[2]
    return name if re.fullmatch(r"\w+", name) else '"' + name.replace('"', '""') + '"'
