"""The environment of a real v3 node, and of older or broken nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from algotools.errors import ContractError, InputError
from algotools.federation.contract.v3 import V3Node
from algotools.runtime.contract import detect, get_contract
from algotools.task import Database, Proxy, Task

V3 = get_contract("v3")


@pytest.fixture
def recorded(tmp_path):
    """The environment that was recorded in a container, with another folder for the task."""
    (tmp_path / "input").write_bytes(b'json.{"method": "avg", "kwargs": {"column_name": "age"}}')
    return {
        "PATH": "/usr/local/bin:/usr/bin",
        "HOME": "/home/me",
        "HOSTNAME": "4711",
        "PKG_NAME": "v3probe",
        "INPUT_FILE": f"{tmp_path}/input",
        "OUTPUT_FILE": f"{tmp_path}/output",
        "TOKEN_FILE": f"{tmp_path}/token",
        "TEMPORARY_FOLDER": "/mnt/tmp",
        "HOST": "http://proxyserver",
        "PORT": "18031",
        "API_PATH": "",
        "USER_REQUESTED_DATABASE_LABEL": "default",
        "DEFAULT_DATABASE_URI": "/mnt/data/dataA.csv",
        "DEFAULT_DATABASE_TYPE": "csv",
        "SECOND_DB_DATABASE_URI": "postgresql://u:p@dbhost:5432/x",
        "SECOND_DB_DATABASE_TYPE": "sql",
        "DB_LABELS": '["default", "Second_db"]',
        "DATABASE_URI": "/mnt/data/dataA.csv",
        "player": "Alice",
        "MY_VAR": "hello world",
    }


def test_a_recorded_environment_is_read(recorded, tmp_path):
    assert detect(recorded) is V3
    assert V3.read(recorded) == Task(
        method="avg",
        role="rpc",
        kwargs={"column_name": "age"},
        databases=(Database("default", "/mnt/data/dataA.csv", "csv"),),
        configured=(Database("Second_db", "postgresql://u:p@dbhost:5432/x", "sql"),),
        input_file=tmp_path / "input",
        output_file=tmp_path / "output",
        temporary_folder=Path("/mnt/tmp"),
        proxy=Proxy("http://proxyserver:18031", tmp_path / "token"),
        variables={"player": "Alice", "MY_VAR": "hello world"},
    )


def test_the_recorded_environment_is_prepared(recorded):
    task = V3.read(recorded)
    image = {"PATH", "HOME", "HOSTNAME", "PKG_NAME"}

    assert V3Node().prepare(task).environment == {name: text for name, text in recorded.items() if name not in image}


def test_without_a_requested_label_no_database_is_requested(recorded):
    del recorded["USER_REQUESTED_DATABASE_LABEL"], recorded["DATABASE_URI"]

    assert V3.read(recorded).databases == ()
    assert [database.label for database in V3.read(recorded).configured] == ["default", "Second_db"]


def test_nodes_before_3_8_identify_the_requested_database_by_its_file(recorded):
    del recorded["USER_REQUESTED_DATABASE_LABEL"]

    assert V3.read(recorded).databases == (Database("default", "/mnt/data/dataA.csv", "csv"),)


def test_the_oldest_nodes_have_one_database_without_a_label(recorded):
    for name in ("USER_REQUESTED_DATABASE_LABEL", "DB_LABELS", "DEFAULT_DATABASE_TYPE"):
        del recorded[name]

    assert V3.read(recorded).databases == (Database("default", "/mnt/data/dataA.csv"),)


def test_the_type_with_the_text_none_means_no_type(recorded):
    recorded["DEFAULT_DATABASE_TYPE"] = "None"

    assert V3.read(recorded).databases[0].type is None


@pytest.mark.parametrize(
    ("flag", "role"), [("true", "master"), ("1", "master"), ("false", "rpc"), ("null", "rpc"), ("0", "rpc")]
)
def test_the_input_has_the_role(recorded, tmp_path, flag, role):
    (tmp_path / "input").write_text(f'json.{{"method": "avg", "master": {flag}}}')

    assert V3.read(recorded).role == role


def test_query_and_sheet_name_belong_to_the_requested_database(recorded, tmp_path):
    (tmp_path / "input").write_text('JSON.{"method": "avg", "query": "select 1", "sheet_name": "S"}')

    assert V3.read(recorded).databases == (
        Database("default", "/mnt/data/dataA.csv", "csv", query="select 1", sheet_name="S"),
    )


def test_a_query_that_is_not_text_is_refused(recorded, tmp_path):
    (tmp_path / "input").write_text('json.{"method": "avg", "query": 1}')

    with pytest.raises(InputError, match="`query` must be a text"):
        V3.read(recorded)


@pytest.mark.parametrize(
    ("output_format", "encoding"), [('"json"', "plain"), ('"pickle"', "plain"), ("1", "plain"), ('"algotools"', "rich")]
)
def test_only_our_own_output_format_selects_the_rich_encoding(recorded, tmp_path, output_format, encoding):
    (tmp_path / "input").write_text(f'json.{{"method": "avg", "output_format": {output_format}}}')

    assert V3.read(recorded).encoding == encoding


def test_without_host_or_token_there_is_no_proxy(recorded):
    for name in ("HOST", "TOKEN_FILE"):
        assert V3.read({**recorded, name: ""}).proxy is None


@pytest.mark.parametrize("name", ["INPUT_FILE", "OUTPUT_FILE"])
def test_a_missing_variable_is_reported(recorded, name):
    del recorded[name]

    with pytest.raises(ContractError, match=f"{name} is missing"):
        V3.read(recorded)


@pytest.mark.parametrize("labels", ["default", "{}", '"default"', "[1]", "[" * 20_000])
def test_labels_that_are_not_a_list_of_texts_are_refused(recorded, labels):
    with pytest.raises(ContractError, match="DB_LABELS"):
        V3.read({**recorded, "DB_LABELS": labels})


def test_values_that_look_like_base32_are_unchanged(recorded):
    task = V3.read({**recorded, "FOO": "ABCDEFGH", "BAR": "MFRGG!!!", "BAZ": "ZZZZZZZZ"})

    assert {task.variables[name] for name in ("FOO", "BAR", "BAZ")} == {"ABCDEFGH", "MFRGG!!!", "ZZZZZZZZ"}
