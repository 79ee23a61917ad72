"""The environment of a real v4 node, its encoding, and variables that only look encoded."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools.errors import ContractError
from algotools.federation.contract.prepare import encode_value
from algotools.runtime.contract import detect, environment, get_contract
from algotools.task import Database, Proxy, Task

V4 = get_contract("v4")

TABLE = {
    "": "",
    "abc": "MFRGG!!!",
    "csv": "MNZXM!!!",
    "default": "MRSWMYLVNR2A!!!!",
    "default,other_csv": "MRSWMYLVNR2CY33UNBSXEX3DON3A!!!!",
    "8080": "HAYDQMA!",
    "http://proxyserver": "NB2HI4B2F4XXA4TPPB4XGZLSOZSXE!!!",
    "/mnt/tmp": "F5WW45BPORWXA!!!",
    "/mnt/data/task-000000001/input": "F5WW45BPMRQXIYJPORQXG2ZNGAYDAMBQGAYDAMJPNFXHA5LU",
    "postgresql://u:p@dbhost:5432/x": "OBXXG5DHOJSXG4LMHIXS65J2OBAGIYTIN5ZXIORVGQZTEL3Y",
}


@pytest.mark.parametrize(("plain", "encoded"), TABLE.items(), ids=TABLE)
def test_values_are_encoded_as_by_the_platform(plain, encoded):
    assert encode_value(plain) == encoded
    assert environment.read_variables({"NAME": encoded}, ["NAME"]) == {"NAME": plain}
    assert environment.read_node_variables({"NAME": encoded}, ()) == {"NAME": plain}


@given(st.text())
def test_every_text_is_decoded_unchanged(text):
    encoded = encode_value(text)

    assert environment.read_variables({"NAME": encoded}, ["NAME"]) == {"NAME": text}
    assert encoded.isascii()
    assert "=" not in encoded


@given(st.text() | st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567!="))
def test_any_value_is_decoded_or_refused_with_its_name(text):
    if environment.decode(text) is not None:
        assert isinstance(environment.read_variables({"SOME_NAME": text}, ["SOME_NAME"])["SOME_NAME"], str)
    else:
        assert environment.read_node_variables({"SOME_NAME": text}, ()) == {"SOME_NAME": text}
        with pytest.raises(ContractError, match="SOME_NAME"):
            environment.read_variables({"SOME_NAME": text}, ["SOME_NAME"])


@pytest.fixture
def recorded(tmp_path):
    """The environment that was recorded in a container of 4.15.2, with another folder for the task."""
    (tmp_path / "input").write_bytes(b'{"method": "env_raw", "args": [1], "kwargs": {"a": 2}}')
    return {
        "PATH": "/usr/local/bin:/usr/bin",
        "PYTHON_VERSION": "3.11.9",
        "LANG": "C.UTF-8",
        "INPUT_FILE": encode_value(f"{tmp_path}/input"),
        "OUTPUT_FILE": encode_value(f"{tmp_path}/output"),
        "TOKEN_FILE": encode_value(f"{tmp_path}/token"),
        "TEMPORARY_FOLDER": "F5WW45BPORWXA!!!",
        "HOST": "NB2HI4B2F4XXA4TPPB4XGZLSOZSXE!!!",
        "PORT": "GE4DANBR",
        "API_PATH": "",
        "DEFAULT_QUERY": "ONSWYZLDOQQDC!!!",
        "DEFAULT_SHEET_NAME": "KM!!!!!!",
        "USER_REQUESTED_DATABASE_LABELS": "MRSWMYLVNR2A!!!!",
        "DEFAULT_DATABASE_TYPE": "MNZXM!!!",
        "OTHER_CSV_DB_PARAM_USER": "MJXWE!!!",
        "SECOND_DB_DB_PARAM_DBMS": "OBXXG5DHOJSXG4LM",
        "FOLD_DATABASE_URI": "F5WW45BPMZXWYZA!",
        "DB_LABELS": "MRSWMYLVNR2CY33UNBSXEX3DON3CYU3FMNXW4ZC7MRRCYZTPNRSA!!!!",
        "player": "IFWGSY3F",
        "RUN_CONTEXT_FILE": "/mnt/data/task-000000002/run_context.json",
        "PKG_NAME": "v4probe",
    }


def test_a_recorded_environment_is_read(recorded, tmp_path):
    assert detect(recorded) is V4
    assert V4.read(recorded) == Task(
        method="env_raw",
        role=None,
        args=(1,),
        kwargs={"a": 2},
        databases=(Database("default", "", "csv", query="select 1", sheet_name="S"),),
        configured=(
            Database("other_csv", options={"USER": "bob"}),
            Database("Second_db", options={"DBMS": "postgresql"}),
            Database("fold", "/mnt/fold"),
        ),
        input_file=tmp_path / "input",
        output_file=tmp_path / "output",
        temporary_folder=Path("/mnt/tmp"),
        proxy=Proxy("http://proxyserver:18041", tmp_path / "token"),
        variables={"player": "Alice"},
    )


def test_the_recorded_path_of_an_input_is_decoded():
    encoded = "F5WW45BPMRQXIYJPORQXG2ZNGAYDAMBQGAYDAMRPNFXHA5LU"

    assert environment.decode(encoded) == "/mnt/data/task-000000002/input"


def test_values_of_nodes_before_4_2_are_plain(recorded, tmp_path):
    image = {"PATH", "PYTHON_VERSION", "LANG", "RUN_CONTEXT_FILE", "PKG_NAME"}
    plain = {n: v if n in image else environment.decode(v) for n, v in recorded.items()}

    assert detect(plain) is V4
    assert V4.read(plain) == V4.read(recorded)


@pytest.mark.parametrize(
    "value", ["ABCDEFGH", "ZZZZZZZZ", "hello world", "/opt/x", "abc", "MFRGG===x", "ü", "AA!!!!!!"]
)
def test_a_variable_that_is_not_encoded_is_unchanged(recorded, value):
    assert V4.read({**recorded, "FOO": value}).variables["FOO"] == value


def test_the_variables_of_the_squid_proxy_are_decoded(recorded):
    recorded["HTTP_PROXY"] = encode_value("http://squid:3128")

    assert V4.read(recorded).variables["HTTP_PROXY"] == "http://squid:3128"


def test_requested_databases_have_the_order_of_the_request(recorded):
    recorded["USER_REQUESTED_DATABASE_LABELS"] = encode_value("fold,default")
    task = V4.read(recorded)

    assert [database.label for database in task.databases] == ["fold", "default"]
    assert [database.label for database in task.configured] == ["other_csv", "Second_db"]


def test_a_requested_database_that_the_node_does_not_have_has_no_uri(recorded):
    recorded["USER_REQUESTED_DATABASE_LABELS"] = encode_value("nowhere")

    assert V4.read(recorded).databases == (Database("nowhere"),)


@pytest.mark.parametrize("flag", [True, False, None])
def test_only_the_flag_master_decides_the_role(recorded, tmp_path, flag):
    text = {True: ', "master": true', False: ', "master": false', None: ""}[flag]
    (tmp_path / "input").write_text(f'{{"method": "a"{text}}}')

    assert V4.read(recorded).role == {True: "master", False: "rpc", None: None}[flag]


@pytest.mark.parametrize("name", ["INPUT_FILE", "OUTPUT_FILE"])
@pytest.mark.parametrize("problem", ["missing", "empty"])
def test_a_missing_variable_is_reported(recorded, name, problem):
    del recorded[name]
    if problem == "empty":
        recorded[name] = ""

    with pytest.raises(ContractError, match=f"{name} is missing"):
        V4.read(recorded)


@pytest.mark.parametrize(
    "name", ["OUTPUT_FILE", "DB_LABELS", "DEFAULT_DATABASE_TYPE", "OTHER_CSV_DB_PARAM_USER", "PORT"]
)
@pytest.mark.parametrize("value", ["plain", "ABCDEFGH", "/mnt/tmp", "ü"])
def test_an_undecodable_variable_is_reported_without_its_value(recorded, name, value):
    with pytest.raises(ContractError, match=f"the variable {name} is not encoded") as caught:
        V4.read({**recorded, name: value})

    assert value not in caught.value.message
