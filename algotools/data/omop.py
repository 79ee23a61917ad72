"""OMOP's common data model: a SQL database, with the options that a node has for OHDSI's tools.

OHDSI's tools are written in R and use Java drivers. They need a JDBC URI and options such as ``USER``, ``PASSWORD`` and
``CDM_SCHEMA``. This module translates the options to a URI of the same PostgreSQL server, without R and Java. A query
can use the model's tables without a schema.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from algotools.data._spark_uri import is_spark
from algotools.data._sql_errors import name_sql_errors
from algotools.data.reading import Unreadable
from algotools.task import Database

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_JDBC = {
    "sslmode": "sslmode", "sslrootcert": "sslrootcert", "sslcert": "sslcert", "sslkey": "sslkey",
    "connectTimeout": "connect_timeout", "ApplicationName": "application_name",
}  # fmt: skip
"""Options of a JDBC URI for PostgreSQL -> libpq's options with the same meaning."""


def convert_to_sql(database: Database) -> Database:
    """Return the database with the type ``sql``.

    PostgreSQL looks up names without a schema in ``CDM_SCHEMA``, then in ``RESULTS_SCHEMA``. ``CDM_DATABASE`` is the
    default for a URI without a database. Files and other URIs than JDBC's work as with the type ``sql``.

    Raises:
        DatabaseUnreadable: the URI is a JDBC URI of another system than PostgreSQL.
    """
    if "://" not in database.uri:
        return msgspec.structs.replace(database, type="sql")
    with name_sql_errors(database):
        if is_spark(database.uri):
            raise Unreadable("databases of type omop in Spark are not supported; configure the type sql")
        url = _translate_url(database)
        return msgspec.structs.replace(database, type="sql", uri=url.render_as_string(hide_password=False))


def _translate_url(database: Database) -> URL:
    from sqlalchemy.engine import make_url

    options = database.options
    is_jdbc = database.uri.startswith("jdbc:")
    url = make_url(database.uri.removeprefix("jdbc:"))
    if is_jdbc and url.get_backend_name() != "postgresql":
        raise Unreadable(
            f"JDBC URIs are supported for PostgreSQL only, not for {url.get_backend_name()[:40]}; configure "
            "SQLAlchemy's URI and add its driver to the algorithm's dependencies"
        )
    parameters = {name: str(value) for name, value in url.query.items()}
    url = url.set(
        username=options.get("USER") or url.username or (parameters.get("user") if is_jdbc else None),
        password=options.get("PASSWORD") or url.password or (parameters.get("password") if is_jdbc else None),
        database=url.database or options.get("CDM_DATABASE"),
    )
    if is_jdbc:
        url = url.set(query={_JDBC[name]: value for name, value in parameters.items() if name in _JDBC})
    schema_options = [
        options.get("CDM_SCHEMA") or (parameters.get("currentSchema") if is_jdbc else None),
        options.get("RESULTS_SCHEMA"),
    ]
    schemas = [_quote_schema(name) for name in schema_options if name]
    if url.get_backend_name() == "postgresql" and schemas:
        path = re.sub(r"([\\ ])", r"\\\1", ",".join(schemas))  # libpq's escape for a space in an option
        existing_options = f"{parameters['options']} " if "options" in parameters and not is_jdbc else ""
        url = url.update_query_dict({"options": f"{existing_options}-csearch_path={path}"})
    return url


def _quote_schema(name: str) -> str:
    """Return the name of a schema for SQL, quoted if necessary. OHDSI's tools also accept ``database.schema``."""
    name = name.rpartition(".")[2]
    return name if re.fullmatch(r"\w+", name) else '"' + name.replace('"', '""') + '"'
