"""Input files that are missing, broken, hostile or merely unusual."""

from __future__ import annotations

import json
import os
import pickle
import pickletools
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from algotools.contract import Contract, by_name, environment
from algotools.contract.v4 import V4
from algotools.errors import InputError, PickleRefused
from algotools.task import Task

SECRET = b"Jane-Doe-4711"

CONTRACTS = {"v3": by_name("v3"), "v4": by_name("v4"), "v4 plain": V4(encoded=False)}
each_contract = pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)


def read(contract: Contract, folder: Path, posted: bytes) -> Task:
    task = Task(method="", role="rpc", input_file=folder / "input", output_file=folder / "output")
    prepared = contract.prepare(task, posted=posted)
    prepared.write()
    return contract.read(prepared.environment)


def prefixed(contract: Contract, text: str | bytes) -> bytes:
    """As the generation has JSON."""
    data = text.encode() if isinstance(text, str) else text
    return b"json." + data if contract.name == "v3" else data


@each_contract
@pytest.mark.parametrize(
    ("text", "told"),
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
def test_an_input_of_another_shape_is_refused_with_a_reason(contract, tmp_path, text, told):
    with pytest.raises(InputError, match=told):
        read(contract, tmp_path, prefixed(contract, text))


def test_an_input_for_v3_needs_its_prefix(tmp_path):
    for posted in (b'{"method": "a"}', b'xml.{"method": "a"}', b"csv.a,b", b"json", b' json.{"method": "a"}'):
        with pytest.raises(InputError, match=r"does not begin with 'json\.'"):
            read(by_name("v3"), tmp_path, posted)


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


def test_an_input_at_a_path_that_no_file_can_have_is_refused():
    values = {"INPUT_FILE": environment.encode("/a\0b"), "OUTPUT_FILE": environment.encode("/out")}

    with pytest.raises(InputError, match="cannot be read"):
        by_name("v4").read(values)


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("opened",)


@each_contract
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("prefix", [b"", b"pickle.", b"PICKLE."])
def test_a_pickled_input_is_refused_with_a_word_on_what_to_do(contract, tmp_path, protocol, prefix):
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


@each_contract
def test_a_hundred_megabytes_of_brackets_are_refused_quickly(contract, tmp_path):
    began = time.monotonic()

    with pytest.raises(InputError, match="nested too deeply"):
        read(contract, tmp_path, prefixed(contract, b"[" * 100_000_000))

    assert time.monotonic() - began < 10


@each_contract
@pytest.mark.parametrize("opening", ['{"a":', '{"method": "a", "args": [', '{"kwargs": [{"a": '])
def test_an_input_that_is_nested_too_deeply_is_refused(contract, tmp_path, opening):
    with pytest.raises(InputError, match="nested too deeply"):
        read(contract, tmp_path, prefixed(contract, opening + "[" * 200_000))


@each_contract
def test_nan_and_infinity_in_arguments_are_taken(contract, tmp_path):
    task = read(contract, tmp_path, prefixed(contract, '{"method": "a", "args": [NaN, -Infinity]}'))

    assert repr(task.args) == "(nan, -inf)"


@each_contract
def test_keys_that_nobody_knows_are_passed_over(contract, tmp_path):
    task = read(contract, tmp_path, prefixed(contract, ' {"method": "a", "nobody": {"knows": "this"}}\n'))

    assert (task.method, task.args, task.kwargs) == ("a", (), {})


@each_contract
def test_an_input_that_only_looks_like_a_pickle_at_one_end_is_read(contract, tmp_path):
    task = read(contract, tmp_path, prefixed(contract, '{"method": "pickle.", "args": ["("]}'))

    assert (task.method, task.args) == ("pickle.", ("(",))


VALID = json.dumps({"method": "a", "args": [1, {"b": None}], "kwargs": {"c": "ü"}, "master": True}).encode()


@st.composite
def damaged(draw):
    """A valid input of which some bytes have been replaced."""
    data = bytearray(VALID)
    for _ in range(draw(st.integers(1, 5))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255) | st.sampled_from(b'{}[]":,\\'))
    return bytes(data)


def refused(contract: Contract, folder: Path, posted: bytes) -> str | None:
    """What is said of an input that is refused."""
    try:
        read(contract, folder, posted)
    except (InputError, PickleRefused) as error:
        return error.message
    return None


@each_contract
@given(
    prefix=st.sampled_from([b"", b"json.", b"JSON.", b"pickle.", b"\x80\x04", b"(", b"}", b'{"', b"[", b'"']),
    data=st.binary() | damaged() | st.text().map(str.encode) | st.just(b""),
    tail=st.binary(max_size=5) | st.sampled_from([b"", b"}", b".", b'"}']),
)
@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_input_is_it_is_read_or_refused_without_quoting_it(contract, tmp_path, prefix, data, tail):
    for posted in (prefix + data + SECRET + tail, prefix + SECRET + data + tail, prefix + data + tail):
        refusal = refused(contract, tmp_path, posted)
        assert refusal is None or SECRET.decode() not in refusal
