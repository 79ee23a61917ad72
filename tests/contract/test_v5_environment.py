"""The environments that a real v5 node was seen to make: steps, tables of a session, plain secrets beside the rest."""

from __future__ import annotations

from pathlib import PurePosixPath

import msgspec
import pytest

from algotools.contract import by_name, detect, environment
from algotools.contract.v5 import JOBS, SOURCE
from algotools.errors import ContractError, InputError, PickleRefused
from algotools.task import Database, Identity, Proxy

V5 = by_name("v5")

FIXED = {
    "HOST": "NB2HI4B2F4XXA4TPPB4XGZLSOZSXE!!!",
    "PORT": "G43DKNA!",
    "API_PATH": "",
    "TASK_ID": "GE!!!!!!",
    "NODE_ID": "GE!!!!!!",
    "ORGANIZATION_ID": "GI!!!!!!",
    "COLLABORATION_ID": "GE!!!!!!",
    "PATH": "/usr/local/bin:/usr/bin",
    "PYTHON_VERSION": "3.13.1",
    "KUBERNETES_SERVICE_HOST": "10.152.183.1",
    "KUBERNETES_PORT": "tcp://10.152.183.1:443",
    "PKG_NAME": "v5probe",
}
OF_STEPS = {
    "extraction": {
        "DATABASE_URI": "F5QXA4BPMRQXIYLCMFZWK4ZPMRSWMYLVNR2C4Y3TOY!!!!!!",
        "DATABASE_TYPE": "MNZXM!!!",
        "DB_PARAM_USERNAME": "bob",
        "DB_PARAM_PASSWORD": "ABCDEFGH",
        "ALGORITHM_METHOD": "MV4HI4TBMN2A!!!!",
        "FUNCTION_ACTION": "MRQXIYK7MV4HI4TBMN2GS33O",
    },
    "partial": {
        "USER_REQUESTED_DATAFRAMES": "MRTDC!!!",
        "ALGORITHM_METHOD": "OBQXE5DJMFWA!!!!",
        "FUNCTION_ACTION": "MZSWIZLSMF2GKZC7MNXW24DVORSQ!!!!",
    },
    "central": {
        "USER_REQUESTED_DATAFRAMES": "",
        "ALGORITHM_METHOD": "OBQXE5DJMFWA!!!!",
        "FUNCTION_ACTION": "MNSW45DSMFWF6Y3PNVYHK5DF",
        "CONTAINER_TOKEN": "eyJhbGciOiJIUzI1NiJ9.e30.ABCDEFGH",
    },
}


@pytest.fixture
def recorded(tmp_path):
    """As recorded in containers of 5.0.3, with the task's folder elsewhere."""
    (tmp_path / "input").write_bytes(b'{"column_name": "age"}')
    places = {
        "INPUT_FILE": environment.encode(f"{tmp_path}/input"),
        "OUTPUT_FILE": environment.encode(f"{tmp_path}/output"),
        "SESSION_FOLDER": environment.encode(f"{tmp_path}/session"),
        "SESSION_FILE": environment.encode(f"{tmp_path}/session/session_state.parquet"),
    }
    return {step: {**places, **FIXED, **own} for step, own in OF_STEPS.items()}


def read(environ):
    assert detect(environ) is V5
    return V5.read(environ)


def test_the_recorded_environment_of_an_rpc_is_understood(recorded, tmp_path):
    task = read(recorded["partial"])

    assert (task.method, task.role, task.step) == ("partial", "rpc", "compute")
    assert task.kwargs == {"column_name": "age"}
    assert task.databases == (Database("df1", f"{tmp_path}/session/df1.parquet", "parquet"),)
    assert task.proxy == Proxy("http://proxyserver:7654")
    assert task.identity == Identity(task_id=1, node_id=1, organization_id=2, collaboration_id=1)
    assert task.temporary_folder == tmp_path / "session" / JOBS
    assert task.variables == {}


def test_the_recorded_environment_of_an_extraction_is_understood_and_its_secrets_stay_as_they_are(recorded):
    task = read(recorded["extraction"])

    assert (task.method, task.role, task.step) == ("extract", "rpc", "data_extraction")
    options = {"USERNAME": "bob", "PASSWORD": "ABCDEFGH"}
    assert task.databases == (Database(SOURCE, "/app/databases/default.csv", "csv", options),)
    assert task.variables == {}


def test_the_recorded_environment_of_a_master_is_understood_and_its_token_stays_as_it_is(recorded):
    task = read(recorded["central"])

    assert (task.role, task.step) == ("master", "compute")
    assert task.databases == ()
    assert task.proxy == Proxy("http://proxyserver:7654", None, "eyJhbGciOiJIUzI1NiJ9.e30.ABCDEFGH")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("df1", [("df1", None)]),
        ("df1;df1", [("df1", None), ("df1", None)]),
        ("df1,df1", [("df1", 0), ("df1", 0)]),
        ("a;b,c;d", [("a", None), ("b", 1), ("c", 1), ("d", None)]),
    ],
)
def test_tables_come_in_the_order_and_in_the_groups_that_the_task_names(recorded, text, expected):
    recorded["partial"]["USER_REQUESTED_DATAFRAMES"] = environment.encode(text)

    assert [(table.label, table.group) for table in read(recorded["partial"]).databases] == expected


@pytest.mark.parametrize("written", [b"null", b"{}", b" null\n"])
def test_a_task_without_arguments_has_null_or_an_empty_object(recorded, tmp_path, written):
    (tmp_path / "input").write_bytes(written)

    assert read(recorded["partial"]).kwargs == {}


@pytest.mark.parametrize(
    ("written", "error", "told"),
    [
        (b"[1]", InputError, "a JSON array, not an object with the arguments by name"),
        (b"", InputError, "empty"),
        (b"\x80\x04N.", PickleRefused, "pickled"),
        (b'{"algotools:output_format": "pickle"}', InputError, "algotools alone"),
    ],
)
def test_an_input_of_another_shape_is_refused(recorded, tmp_path, written, error, told):
    (tmp_path / "input").write_bytes(written)

    with pytest.raises(error, match=told):
        read(recorded["partial"])


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("FUNCTION_ACTION", environment.encode("postprocessing"), "'postprocessing'; actions are central_compute"),
        ("NODE_ID", environment.encode("one"), "must be integers"),
        ("SESSION_FOLDER", "", "SESSION_FOLDER is missing"),
        ("HOST", "http://proxy", "HOST is not encoded"),
    ],
)
def test_what_no_node_would_say_is_named(recorded, name, value, told):
    with pytest.raises(ContractError, match=told):
        read({**recorded["partial"], name: value})


def test_a_node_of_ours_lays_a_run_out_as_the_recorded_one_did(recorded, tmp_path):
    task = read(recorded["extraction"])
    source = tmp_path / "org1.csv"
    source.write_text("age\n1\n", encoding="utf-8")
    local = msgspec.structs.replace(task, databases=(Database(SOURCE, str(source), "csv"),))
    inside = V5.inside(local, "http://proxyserver:7654")

    assert inside.databases[0].uri == "/app/databases/source.csv"
    assert str(inside.input_file) == "/app/vantage6/task/input"
    assert V5.mounted_databases(local) == {PurePosixPath("/app/databases/source.csv"): source}
    prepared = V5.prepare(inside).environment
    assert prepared["INPUT_FILE"] == "F5QXA4BPOZQW45DBM5STML3UMFZWWL3JNZYHK5A!"
    assert prepared["OUTPUT_FILE"] == "F5QXA4BPOZQW45DBM5STML3UMFZWWL3POV2HA5LU"
    assert prepared["SESSION_FOLDER"] == "F5QXA4BPOZQW45DBM5STML3UMFZWWL3TMVZXG2LPNY!!!!!!"
