"""OMOP: a node's configuration for OHDSI's tools gives access to the model's tables, in every form."""

from __future__ import annotations

import contextlib
import sqlite3
from contextlib import ExitStack
from typing import Any

import pandas as pd
import pytest

from algotools import data
from algotools.data import omop
from algotools.errors import DatabaseUnreadable, InputError
from algotools.task import Database

from .postgres import PASSWORD, USER, Postgres

# Two of the tables of version 5.4 of the model.
TABLES = """
CREATE TABLE person (
    person_id integer NOT NULL, gender_concept_id integer NOT NULL, year_of_birth integer NOT NULL,
    month_of_birth integer, day_of_birth integer, birth_datetime timestamp, race_concept_id integer NOT NULL,
    ethnicity_concept_id integer NOT NULL, location_id integer, provider_id integer, care_site_id integer,
    person_source_value varchar(50), gender_source_value varchar(50), gender_source_concept_id integer,
    race_source_value varchar(50), race_source_concept_id integer, ethnicity_source_value varchar(50),
    ethnicity_source_concept_id integer, PRIMARY KEY (person_id)
);
CREATE TABLE condition_occurrence (
    condition_occurrence_id integer NOT NULL, person_id integer NOT NULL REFERENCES person,
    condition_concept_id integer NOT NULL, condition_start_date date NOT NULL, condition_start_datetime timestamp,
    condition_end_date date, condition_end_datetime timestamp, condition_type_concept_id integer NOT NULL,
    condition_status_concept_id integer, stop_reason varchar(20), provider_id integer, visit_occurrence_id integer,
    visit_detail_id integer, condition_source_value varchar(50), condition_source_concept_id integer,
    condition_status_source_value varchar(50), PRIMARY KEY (condition_occurrence_id)
);
INSERT INTO person (person_id, gender_concept_id, year_of_birth, race_concept_id, ethnicity_concept_id)
    VALUES (1, 8532, 1953, 0, 0), (2, 8507, 1965, 0, 0), (3, 8532, 1980, 0, 0);
INSERT INTO condition_occurrence (
    condition_occurrence_id, person_id, condition_concept_id, condition_start_date, condition_type_concept_id
) VALUES (10, 1, 201826, '2019-05-01', 32817), (11, 3, 201826, '2020-01-01', 32817),
    (12, 2, 316866, '2020-02-02', 32817);
"""

DIABETES = """
SELECT p.person_id, p.year_of_birth, c.condition_start_date
FROM person p JOIN condition_occurrence c USING (person_id)
WHERE c.condition_concept_id = 201826 ORDER BY p.person_id
"""


@pytest.fixture(scope="module")
def clinic(postgres: Postgres) -> str:
    """A database with the model in a schema and results in another schema."""
    name = postgres.new_database()
    with postgres.connect(name) as connection:
        connection.execute(f"CREATE SCHEMA cdm; SET search_path = cdm; {TABLES}".encode())
        connection.execute('CREATE SCHEMA "my results"; CREATE TABLE "my results".cohort AS SELECT 3 AS subject_id')
        connection.execute("CREATE TABLE public.person AS SELECT 'the wrong table' AS person_id")
    return name


@pytest.fixture
def configured(postgres: Postgres, clinic: str) -> Database:
    """A database with the options that the documentation of v4's nodes recommends."""
    options = {
        "USER": USER, "PASSWORD": PASSWORD, "DBMS": "postgresql", "CDM_DATABASE": clinic, "CDM_SCHEMA": "cdm",
        "RESULTS_SCHEMA": "my results",
    }  # fmt: skip
    return Database("omop", f"jdbc:postgresql://127.0.0.1:{postgres.port}/{clinic}", "OMOP", options, DIABETES)


def load(database: Database, form: str = "pandas", columns: Any = None) -> Any:
    with ExitStack() as stack:
        value: Any = data.load(database, form, columns, stack).value
        match form:
            case "duckdb":
                return value.fetchall()
            case "ibis":
                return value.count().to_pyarrow().as_py()
        return value


def reconfigure(
    database: Database, query: str | None = None, uri: str | None = None, **options: str | None
) -> Database:
    new_options = {name: value for name, value in {**database.options, **options}.items() if value is not None}
    return Database("omop", uri or database.uri, database.type, new_options, query)


def test_a_query_finds_the_tables_of_the_model(configured):
    frame = load(configured)
    assert frame["person_id"].tolist() == [1, 3]
    assert frame["year_of_birth"].tolist() == [1953, 1980]
    assert pd.to_datetime(frame["condition_start_date"]).dt.year.tolist() == [2019, 2020]


def test_the_model_can_be_read_in_every_form(configured):
    assert load(configured, "arrow", frozenset(["person_id"])).to_pydict() == {"person_id": [1, 3]}
    assert load(configured, "polars").shape == (2, 3)
    assert load(configured, "duckdb", frozenset(["year_of_birth"])) == [(1953,), (1980,)]
    assert load(configured, "ibis") == 2
    assert load(configured, "database") == configured


def test_results_are_in_another_schema(configured):
    query = "SELECT * FROM cohort JOIN person ON subject_id = person_id"
    assert load(reconfigure(configured, query))["person_id"].item() == 3


def test_the_owner_can_configure_a_table(configured):
    frame = load(reconfigure(configured, TABLE="person"), columns=frozenset(["person_id"]))
    assert frame["person_id"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("schema", ["CDM", '"cdm"', "clinic.cdm"])
def test_the_name_of_a_schema_has_the_format_of_a_query(configured, schema):
    assert len(load(reconfigure(configured, DIABETES, CDM_SCHEMA=schema.strip('"')))) == 2


def test_other_uris_of_the_same_database(postgres, clinic, configured):
    port = f"127.0.0.1:{postgres.port}"
    for uri, options in [
        (f"jdbc:postgresql://{port}/", {}),
        (f"postgresql://{port}/{clinic}", {}),
        (postgres.uri(clinic), {"USER": None, "PASSWORD": None}),
        (f"{postgres.uri(clinic)}?options=-cwork_mem%3D4MB", {"USER": None, "PASSWORD": None}),
        (
            f"jdbc:postgresql://{port}/{clinic}?user={USER}&password=hunter2%40%3A%2F4711&currentSchema=cdm&prepareThreshold=0",
            {"USER": None, "PASSWORD": None, "CDM_SCHEMA": None},
        ),
    ]:
        assert len(load(reconfigure(configured, DIABETES, uri, **options))) == 2


def test_a_query_cannot_write(postgres, clinic, configured):
    for query in ("DELETE FROM person", "DROP TABLE cohort"):
        with pytest.raises(DatabaseUnreadable, match="ReadOnlySqlTransaction"):
            load(reconfigure(configured, query))
    with postgres.connect(clinic) as connection:
        assert connection.execute("SELECT count(*) FROM cdm.person").fetchall() == [(3,)]


def test_a_sqlite_file_can_contain_the_model(tmp_path):
    path = tmp_path / "cdm.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(TABLES)
    assert load(Database("omop", str(path), "omop", query=DIABETES))["person_id"].tolist() == [1, 3]


def test_a_jdbc_uri_of_another_system_is_refused():
    uri = f"jdbc:sqlserver://host:1433;password={PASSWORD}"
    with pytest.raises(DatabaseUnreadable, match=r"its URI is not valid|JDBC URIs are supported for PostgreSQL only"):
        load(Database("omop", uri, "omop", {"PASSWORD": PASSWORD}, "SELECT 1"))
    with pytest.raises(
        DatabaseUnreadable, match="JDBC URIs are supported for PostgreSQL only, not for redshift"
    ) as excinfo:
        load(Database("omop", f"jdbc:redshift://bob:{PASSWORD.partition('@')[0]}@host/db", "omop", {}, "SELECT 1"))
    assert "hunter2" not in str(excinfo.value) + excinfo.value.detail


@pytest.mark.parametrize("form", ["pandas", "arrow", "ibis"])
def test_an_error_contains_no_password(configured, form):
    with pytest.raises(DatabaseUnreadable, match="it cannot be reached") as excinfo:
        load(reconfigure(configured, DIABETES, PASSWORD=f"{PASSWORD}x"), form)
    for secret in (PASSWORD, "hunter2", "4711"):
        assert secret not in str(excinfo.value) + excinfo.value.detail


def test_a_missing_query_is_explained(configured):
    with pytest.raises(InputError, match="needs a query, which the task does not specify"):
        load(reconfigure(configured))


def test_the_options_are_unchanged_for_the_author(configured):
    assert omop.convert_to_sql(configured).options == configured.options
