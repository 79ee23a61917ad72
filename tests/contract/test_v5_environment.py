"""The environments of a real v5 node: steps, the tables of a session, and plain secrets."""

from __future__ import annotations

from pathlib import PurePosixPath

import msgspec
import pytest

from algotools.errors import ContractError, InputError, PickleRefused
from algotools.federation.contract.prepare import encode_value
from algotools.federation.contract.v5 import V5Node
from algotools.runtime.contract import detect, get_contract
from algotools.runtime.contract.v5 import JOB_FOLDER, SOURCE
from algotools.task import Database, Identity, Proxy

V5 = get_contract("v5")

COMMON_VARIABLES = {
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
STEP_VARIABLES = {
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
    """The environments that were recorded in containers of 5.0.3, with another folder for the task."""
    (tmp_path / "input").write_bytes(b'{"column_name": "age"}')
    locations = {
        "INPUT_FILE": encode_value(f"{tmp_path}/input"),
        "OUTPUT_FILE": encode_value(f"{tmp_path}/output"),
        "SESSION_FOLDER": encode_value(f"{tmp_path}/session"),
        "SESSION_FILE": encode_value(f"{tmp_path}/session/session_state.parquet"),
    }
    return {step: {**locations, **COMMON_VARIABLES, **variables} for step, variables in STEP_VARIABLES.items()}


def read(environ):
    assert detect(environ) is V5
    return V5.read(environ)


def test_the_recorded_environment_of_an_rpc_is_read(recorded, tmp_path):
    task = read(recorded["partial"])

    assert (task.method, task.role, task.step) == ("partial", "rpc", "compute")
    assert task.kwargs == {"column_name": "age"}
    assert task.databases == (Database("df1", f"{tmp_path}/session/df1.parquet", "parquet"),)
    assert task.proxy == Proxy("http://proxyserver:7654")
    assert task.identity == Identity(task_id=1, node_id=1, organization_id=2, collaboration_id=1)
    assert task.temporary_folder == tmp_path / "session" / JOB_FOLDER
    assert task.variables == {}


def test_the_recorded_environment_of_an_extraction_is_read_with_plain_secrets(recorded):
    task = read(recorded["extraction"])

    assert (task.method, task.role, task.step) == ("extract", "rpc", "data_extraction")
    options = {"USERNAME": "bob", "PASSWORD": "ABCDEFGH"}
    assert task.databases == (Database(SOURCE, "/app/databases/default.csv", "csv", options),)
    assert task.variables == {}


def test_the_recorded_environment_of_a_master_is_read_with_a_plain_token(recorded):
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
def test_tables_have_the_order_and_groups_of_the_task(recorded, text, expected):
    recorded["partial"]["USER_REQUESTED_DATAFRAMES"] = encode_value(text)

    assert [(table.label, table.group) for table in read(recorded["partial"]).databases] == expected


@pytest.mark.parametrize("content", [b"null", b"{}", b" null\n"])
def test_a_task_without_arguments_has_null_or_an_empty_object(recorded, tmp_path, content):
    (tmp_path / "input").write_bytes(content)

    assert read(recorded["partial"]).kwargs == {}


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"[1]", InputError, "a JSON array, not an object with the arguments by name"),
        (b"", InputError, "empty"),
        (b"\x80\x04N.", PickleRefused, "pickled"),
        (b'{"algotools:output_format": "pickle"}', InputError, "is reserved for algotools"),
    ],
)
def test_an_input_of_another_shape_is_refused(recorded, tmp_path, content, error, message):
    (tmp_path / "input").write_bytes(content)

    with pytest.raises(error, match=message):
        read(recorded["partial"])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("FUNCTION_ACTION", encode_value("postprocessing"), "'postprocessing'; choose from central_compute"),
        ("NODE_ID", encode_value("one"), "must be integers"),
        ("SESSION_FOLDER", "", "SESSION_FOLDER is missing"),
        ("HOST", "http://proxy", "HOST is not encoded"),
    ],
)
def test_an_invalid_variable_is_reported(recorded, name, value, message):
    with pytest.raises(ContractError, match=message):
        read({**recorded["partial"], name: value})


def test_the_paths_of_a_run_are_those_of_the_recorded_node(recorded, tmp_path):
    task = read(recorded["extraction"])
    source = tmp_path / "org1.csv"
    source.write_text("age\n1\n", encoding="utf-8")
    local = msgspec.structs.replace(task, databases=(Database(SOURCE, str(source), "csv"),))
    mapped = V5Node().map_to_container(local, "http://proxyserver:7654")

    assert mapped.databases[0].uri == "/app/databases/source.csv"
    assert str(mapped.input_file) == "/app/vantage6/task/input"
    assert V5Node().list_database_mounts(local) == {PurePosixPath("/app/databases/source.csv"): source}
    prepared = V5Node().prepare(mapped).environment
    assert prepared["INPUT_FILE"] == "F5QXA4BPOZQW45DBM5STML3UMFZWWL3JNZYHK5A!"
    assert prepared["OUTPUT_FILE"] == "F5QXA4BPOZQW45DBM5STML3UMFZWWL3POV2HA5LU"
    assert prepared["SESSION_FOLDER"] == "F5QXA4BPOZQW45DBM5STML3UMFZWWL3TMVZXG2LPNY!!!!!!"
