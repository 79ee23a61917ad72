"""The environment that a real v4 node was seen to make, its encoding, and variables that only look encoded."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools.contract import by_name, detect, environment
from algotools.errors import ContractError
from algotools.task import Database, Proxy, Task

V4 = by_name("v4")

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
def test_values_are_encoded_as_the_platform_was_seen_to(plain, encoded):
    assert environment.encode(plain) == encoded
    assert environment.decode("NAME", encoded) == plain
    assert environment.decode_if_encoded(encoded) == plain


@given(st.text())
def test_every_text_survives_encoding(text):
    encoded = environment.encode(text)

    assert environment.decode("NAME", encoded) == text
    assert encoded.isascii()
    assert "=" not in encoded


@given(st.text() | st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567!="))
def test_a_value_of_any_kind_is_decoded_or_refused_by_name(text):
    if environment.is_encoded(text):
        assert isinstance(environment.decode("SOME_NAME", text), str)
    else:
        assert environment.decode_if_encoded(text) == text
        with pytest.raises(ContractError, match="SOME_NAME"):
            environment.decode("SOME_NAME", text)


@pytest.fixture
def recorded(tmp_path):
    """As recorded in a container of 4.15.2, with the task's folder elsewhere."""
    (tmp_path / "input").write_bytes(b'{"method": "env_raw", "args": [1], "kwargs": {"a": 2}}')
    return {
        "PATH": "/usr/local/bin:/usr/bin",
        "PYTHON_VERSION": "3.11.9",
        "LANG": "C.UTF-8",
        "INPUT_FILE": environment.encode(f"{tmp_path}/input"),
        "OUTPUT_FILE": environment.encode(f"{tmp_path}/output"),
        "TOKEN_FILE": environment.encode(f"{tmp_path}/token"),
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

    assert environment.decode("INPUT_FILE", encoded) == "/mnt/data/task-000000002/input"


def test_before_4_2_values_are_plain(recorded, tmp_path):
    image = {"PATH", "PYTHON_VERSION", "LANG", "RUN_CONTEXT_FILE", "PKG_NAME"}
    plain = {n: v if n in image else environment.decode(n, v) for n, v in recorded.items()}

    assert detect(plain) is V4
    assert V4.read(plain) == V4.read(recorded)


@pytest.mark.parametrize(
    "value", ["ABCDEFGH", "ZZZZZZZZ", "hello world", "/opt/x", "abc", "MFRGG===x", "ü", "AA!!!!!!"]
)
def test_a_variable_that_no_node_encoded_stays_as_it_is(recorded, value):
    assert V4.read({**recorded, "FOO": value}).variables["FOO"] == value


def test_the_squids_variables_are_decoded_like_all_others(recorded):
    recorded["HTTP_PROXY"] = environment.encode("http://squid:3128")

    assert V4.read(recorded).variables["HTTP_PROXY"] == "http://squid:3128"


def test_requested_databases_come_in_the_order_of_the_request(recorded):
    recorded["USER_REQUESTED_DATABASE_LABELS"] = environment.encode("fold,default")
    task = V4.read(recorded)

    assert [database.label for database in task.databases] == ["fold", "default"]
    assert [database.label for database in task.configured] == ["other_csv", "Second_db"]


def test_a_requested_database_that_the_node_does_not_have_is_named_without_a_place(recorded):
    recorded["USER_REQUESTED_DATABASE_LABELS"] = environment.encode("nowhere")

    assert V4.read(recorded).databases == (Database("nowhere"),)


@pytest.mark.parametrize("flag", [True, False, None])
def test_the_role_is_told_only_by_a_flag(recorded, tmp_path, flag):
    text = {True: ', "master": true', False: ', "master": false', None: ""}[flag]
    (tmp_path / "input").write_text(f'{{"method": "a"{text}}}')

    assert V4.read(recorded).role == {True: "master", False: "rpc", None: None}[flag]


@pytest.mark.parametrize("name", ["INPUT_FILE", "OUTPUT_FILE"])
@pytest.mark.parametrize("how", ["missing", "empty"])
def test_a_missing_variable_is_named(recorded, name, how):
    del recorded[name]
    if how == "empty":
        recorded[name] = ""

    with pytest.raises(ContractError, match=f"{name} is missing"):
        V4.read(recorded)


@pytest.mark.parametrize(
    "name", ["OUTPUT_FILE", "DB_LABELS", "DEFAULT_DATABASE_TYPE", "OTHER_CSV_DB_PARAM_USER", "PORT"]
)
@pytest.mark.parametrize("value", ["plain", "ABCDEFGH", "/mnt/tmp", "ü"])
def test_a_variable_of_the_contract_that_cannot_be_decoded_is_named_and_not_shown(recorded, name, value):
    with pytest.raises(ContractError, match=f"the variable {name} is not encoded") as caught:
        V4.read({**recorded, name: value})

    assert value not in caught.value.message
