"""Input files that are missing, broken, hostile or unusual."""

from __future__ import annotations

import json
import os
import pickle
import pickletools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from algotools.errors import InputError, PickleRefused, TokenError
from algotools.federation.contract import NodeContract, get_contract
from algotools.federation.contract.prepare import encode_value
from algotools.federation.contract.v4 import V4Node
from algotools.runtime.contract.environment import read_token_file
from algotools.runtime.contract.files import read_input
from algotools.task import Task

from ..conftest import examples

SECRET = b"Jane-Doe-4711"

CONTRACTS = {"v3": get_contract("v3"), "v4": get_contract("v4"), "v4 plain": V4Node(encoded=False)}
each_contract = pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)


def read(contract: NodeContract, folder: Path, posted: bytes) -> Task:
    task = Task(method="", role="rpc", input_file=folder / "input", output_file=folder / "output")
    prepared = contract.prepare(task, posted=posted)
    prepared.write()
    return contract.read(prepared.environment)


def add_prefix(contract: NodeContract, text: str | bytes) -> bytes:
    """Add the prefix that the generation has before JSON."""
    data = text.encode() if isinstance(text, str) else text
    return b"json." + data if contract.name == "v3" else data


@each_contract
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"is empty|not JSON"),
        (" ", "not JSON"),
        ("{", "not JSON"),
        ('{"method": "a"} x', "not JSON"),
        ("{'method': 'a'}", "not JSON"),
        (b"\xff\xfe\x00", "not UTF-8"),
        ('{"method": "ä"}'.encode("latin-1"), "not UTF-8"),
        ('{"method": "a"}'.encode("utf-16"), "not UTF-8"),
        ('{"method": "a"}'.encode("utf-16-le"), "not JSON"),
        ('{"method": "a"}'.encode("utf-8-sig"), "BOM"),
        ('{"method": "a", "args": [' + "1" * 5000 + "]}", "too many digits"),
        ("null", "JSON null"),
        ("[]", "JSON array"),
        ('"text"', "JSON text"),
        ("1", "JSON number"),
        ("true", "JSON boolean"),
        ("{}", "`method` is missing"),
        ('{"method": null}', "`method` must be a text"),
        ('{"method": 1, "args": null, "kwargs": []}', r"`method` must.*`args` must.*`kwargs` must"),
        ('{"method": "a", "args": {}}', "`args` must be a list"),
        ('{"method": "a", "args": "abc"}', "`args` must be a list"),
        ('{"method": "a", "kwargs": null}', "`kwargs` must be an object"),
    ],
)
def test_an_input_of_another_shape_is_refused_with_a_reason(contract, tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(contract, tmp_path, add_prefix(contract, text))


def test_an_input_of_v3_without_its_prefix_is_refused(tmp_path):
    for posted in (b'{"method": "a"}', b'xml.{"method": "a"}', b"csv.a,b", b"json", b' json.{"method": "a"}'):
        with pytest.raises(InputError, match=r"does not begin with 'json\.'"):
            read(get_contract("v3"), tmp_path, posted)


@each_contract
def test_a_missing_input_is_refused(contract, tmp_path):
    task = Task(method="", role="rpc", input_file=tmp_path / "input", output_file=tmp_path / "output")

    with pytest.raises(InputError, match="does not exist"):
        contract.read(contract.prepare(task).environment)


@each_contract
def test_an_input_that_is_a_folder_is_refused(contract, tmp_path):
    (tmp_path / "input").mkdir()
    task = Task(method="", role="rpc", input_file=tmp_path / "input", output_file=tmp_path / "output")

    with pytest.raises(InputError, match="IsADirectoryError"):
        contract.read(contract.prepare(task).environment)


def test_an_input_with_an_impossible_path_is_refused():
    values = {"INPUT_FILE": encode_value("/a\0b"), "OUTPUT_FILE": encode_value("/out")}

    with pytest.raises(InputError, match="cannot be read"):
        get_contract("v4").read(values)


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("opened",)


@each_contract
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("prefix", [b"", b"pickle.", b"PICKLE."])
def test_a_pickled_input_is_refused_with_advice(contract, tmp_path, protocol, prefix):
    pickled = pickle.dumps({"method": "a", "kwargs": {"column_name": "age"}}, protocol)

    for data in (pickled, pickletools.optimize(pickled)):
        with pytest.raises(PickleRefused, match="data_format='json'"):
            read(contract, tmp_path, prefix + data)


@each_contract
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("prefix", [b"", b"pickle.", b"json.", b"Json."])
def test_a_pickle_that_would_run_code_is_not_opened(contract, tmp_path, monkeypatch, protocol, prefix):
    monkeypatch.chdir(tmp_path)

    with pytest.raises((PickleRefused, InputError)):
        read(contract, tmp_path, prefix + pickle.dumps(Hostile(), protocol))

    assert not Path("opened").exists()


@each_contract
def test_the_recorded_pickle_of_a_v3_subtask_is_refused(contract, tmp_path):
    import base64

    recorded = "gASVNAAAAAAAAAB9lCiMBm1ldGhvZJSMA2F2Z5SMBmt3YXJnc5R9lIwLY29sdW1uX25hbWWUjANhZ2WUc3Uu"

    with pytest.raises(PickleRefused):
        read(contract, tmp_path, base64.b64decode(recorded))


def test_a_hundred_megabytes_of_brackets_are_refused(tmp_path):
    with pytest.raises(InputError, match="nested too deeply"):
        read(get_contract("v4"), tmp_path, b"[" * 100_000_000)


@each_contract
@pytest.mark.parametrize("opening", ['{"a":', '{"method": "a", "args": [', '{"kwargs": [{"a": '])
def test_an_input_that_is_nested_too_deeply_is_refused(contract, tmp_path, opening):
    with pytest.raises(InputError, match="nested too deeply"):
        read(contract, tmp_path, add_prefix(contract, opening + "[" * 200_000))


@each_contract
def test_nan_and_infinity_in_arguments_are_accepted(contract, tmp_path):
    task = read(contract, tmp_path, add_prefix(contract, '{"method": "a", "args": [NaN, -Infinity]}'))

    assert repr(task.args) == "(nan, -inf)"


@each_contract
def test_unknown_keys_are_ignored(contract, tmp_path):
    task = read(contract, tmp_path, add_prefix(contract, ' {"method": "a", "unknown": {"key": "x"}}\n'))

    assert (task.method, task.args, task.kwargs) == ("a", (), {})


@each_contract
def test_an_input_that_looks_partly_like_a_pickle_is_read(contract, tmp_path):
    task = read(contract, tmp_path, add_prefix(contract, '{"method": "pickle.", "args": ["("]}'))

    assert (task.method, task.args) == ("pickle.", ("(",))


VALID = json.dumps({"method": "a", "args": [1, {"b": None}], "kwargs": {"c": "ü"}, "master": True}).encode()


@st.composite
def damaged_inputs(draw):
    """A valid input with some bytes replaced."""
    data = bytearray(VALID)
    for _ in range(draw(st.integers(1, 5))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255) | st.sampled_from(b'{}[]":,\\'))
    return bytes(data)


def get_refusal(contract: NodeContract, folder: Path, posted: bytes) -> str | None:
    """Return the message if the input is refused, or None."""
    try:
        read(contract, folder, posted)
    except (InputError, PickleRefused) as error:
        return error.message
    return None


@each_contract
@given(
    prefix=st.sampled_from([b"", b"json.", b"JSON.", b"pickle.", b"\x80\x04", b"(", b"}", b'{"', b"[", b'"']),
    data=st.binary() | damaged_inputs() | st.text().map(str.encode) | st.just(b""),
    tail=st.binary(max_size=5) | st.sampled_from([b"", b"}", b".", b'"}']),
)
@settings(max_examples=examples(120), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_input_is_read_or_refused_without_quoting_it(contract, tmp_path, prefix, data, tail):
    for posted in (prefix + data + SECRET + tail, prefix + SECRET + data + tail, prefix + data + tail):
        refusal = get_refusal(contract, tmp_path, posted)
        assert refusal is None or SECRET.decode() not in refusal


@pytest.mark.parametrize("name", ["pipe", "/dev/zero"])
def test_an_input_and_a_token_without_an_end_are_refused(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="the task's input is a pipe or a device"):
        read_input(tmp_path / name)
    with pytest.raises(TokenError, match="the node's token is a pipe or a device"):
        read_token_file(tmp_path / name)
