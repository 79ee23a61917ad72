"""The extraction functions that every image has, for the tables of v5's sessions."""

from algotools.runtime.extraction import read_csv, read_excel, read_parquet, read_sparql_database, read_sql_database

__all__ = ["read_csv", "read_excel", "read_parquet", "read_sparql_database", "read_sql_database"]
