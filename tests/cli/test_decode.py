"""``algotools decode`` shows results of our functions in every form in which a researcher may see them."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools import AlgorithmClient, Federation, master, rpc
from algotools.cli._decode import decode_results
from algotools.errors import AlgotoolsError, InputError, PickleRefused
from algotools.payload import encode_plain, encode_rich
from algotools.runtime.contract import get_contract

VALUE = {"sums": np.arange(3.0), "count": 3, "name": "ä", "inner": {"result": "text"}}
SHOWN = {"sums": [0.0, 1.0, 2.0], "count": 3, "name": "ä", "inner": {"result": "text"}}
RICH_BYTES = encode_rich(VALUE)
BASE64 = base64.b64encode(RICH_BYTES).decode()
PAIR = ["algotools.", BASE64]
TEXT = json.dumps(PAIR)
ITEM = {"id": 7, "result": TEXT, "run": {"id": 7}, "cleanup_at": None, "blob_storage_used": False}
SHOWN_ITEM = {**ITEM, "result": SHOWN}


def decode(data: bytes | str, file: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run the command with a file, or with standard input."""
    data = data.encode() if isinstance(data, str) else data
    if file is not None:
        file.write_bytes(data)
    command = [sys.executable, "-c", "from algotools.cli import main; main()", "decode", str(file or "-")]
    return subprocess.run(command, input=data, capture_output=True, check=False)


FORMS: dict[str, tuple[bytes | str, object]] = {
    "a list in JSON": (TEXT, SHOWN),
    "without spaces": (TEXT.replace(", ", ","), SHOWN),
    "with white space around": (f"\n  {TEXT} \r\n\n", SHOWN),
    "over several lines": (json.dumps(PAIR, indent=2), SHOWN),
    "a list as Python prints it": (repr(PAIR), SHOWN),
    "a tuple as Python prints it": (repr(tuple(PAIR)), SHOWN),
    "a text in JSON": (json.dumps(TEXT), SHOWN),
    "a text as Python prints it": (repr(TEXT), SHOWN),
    "bytes as Python prints them": (repr(TEXT.encode()), SHOWN),
    "v3's bytes": (b"json." + TEXT.encode(), SHOWN),
    "v3's bytes as Python prints them": (repr(b"json." + TEXT.encode()), SHOWN),
    "a list of v3's bytes": (repr([b"json." + TEXT.encode()] * 2), [SHOWN] * 2),
    "the bytes of a result": (RICH_BYTES, SHOWN),
    "base64 of the bytes": (BASE64, SHOWN),
    "base64 of the list, as the server stores it": (base64.b64encode(TEXT.encode()), SHOWN),
    "base64 in lines": (base64.encodebytes(TEXT.encode()), SHOWN),
    "an item of v4": (json.dumps(ITEM), SHOWN_ITEM),
    "items of v4": (json.dumps({"data": [ITEM, ITEM], "links": {}}), {"data": [SHOWN_ITEM] * 2, "links": {}}),
    "items as Python prints them": (repr({"data": [ITEM], "links": {}}), {"data": [SHOWN_ITEM], "links": {}}),
    "an item of the server": (
        json.dumps({**ITEM, "result": base64.b64encode(TEXT.encode()).decode()}),
        SHOWN_ITEM,
    ),
    "an item of v3": (json.dumps({"result": PAIR, "log": "x"}), {"result": SHOWN, "log": "x"}),
    "an item with a plain result": (json.dumps({"result": '{"sum": 3}'}), {"result": {"sum": 3}}),
    "an item of a failed run": (json.dumps({"result": "", "log": "ä"}), {"result": "", "log": "ä"}),
    "a list of results": (json.dumps([PAIR, {"sum": 1}]), [SHOWN, {"sum": 1}]),
    "one result in each line": (f"{TEXT}\n{PAIR}\n\n{TEXT}\n", [SHOWN] * 3),
    "UTF-8 with a mark": (b"\xef\xbb\xbf" + TEXT.encode(), SHOWN),
    "UTF-16, as PowerShell writes": (TEXT.encode("utf-16"), SHOWN),
    "plain JSON": ('{"average": 3.5, "text": "json"}', {"average": 3.5, "text": "json"}),
    "null": ("null", None),
    "a text in base64 that is not a result": (json.dumps("aGVsbG8="), "aGVsbG8="),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_result_is_decoded_in_every_form(form: str) -> None:
    content, expected = FORMS[form]
    data = content.encode() if isinstance(content, str) else content
    assert json.loads(encode_plain(decode_results(data)).data) == expected


@pytest.mark.parametrize("from_file", [True, False])
def test_the_command_prints_plain_json(tmp_path: Path, from_file: bool) -> None:
    completed = decode(TEXT, file=tmp_path / "result" if from_file else None)
    assert (completed.returncode, completed.stderr) == (0, b"")
    assert json.loads(completed.stdout) == SHOWN


def test_the_command_prints_json_in_every_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert json.loads(decode(TEXT).stdout) == SHOWN


def test_values_that_json_does_not_have_are_reported() -> None:
    data = base64.b64encode(encode_rich({"mean": [1.5, math.nan]})).decode()
    completed = decode(json.dumps(["algotools.", data]))
    assert json.loads(completed.stdout) == {"mean": [1.5, None]}
    assert completed.stderr.decode().strip() == "NaN, infinity or a missing value became null: result['mean'][1]"


def test_a_table_is_shown_as_a_researcher_gets_it() -> None:
    frame = pd.DataFrame({"age": [1, 2]}, index=["a", "b"])
    completed = decode(encode_rich(frame))
    assert json.loads(completed.stdout) == json.loads(encode_plain(frame).data)


PICKLE = b"\x80\x04K\x01."
REFUSED: dict[str, tuple[bytes | str, int, str]] = {
    "nothing": ("", 11, "the content is empty"),
    "only spaces": (" \n", 11, "the content is empty"),
    "a cut list": (TEXT[:-40], 11, "copy the whole result"),
    "cut base64": (json.dumps(["algotools.", BASE64[:-3]]), 11, "its base64 is cut off"),
    "half of the base64": (json.dumps(["algotools.", BASE64[:40]]), 11, "it is not complete"),
    "other base64": (json.dumps(["algotools.", "aGVsbG8="]), 11, "it is not complete"),
    "an ellipsis": ('["algotools.", "…"]', 11, "its base64 is cut off"),
    "a cut result": (RICH_BYTES[:-3], 11, "it is not complete"),
    "no result": ("hello world", 11, "neither JSON nor a result"),
    "code": ("__import__('os').getcwd()", 11, "neither JSON nor a result"),
    "a pickle": (PICKLE, 12, "is a pickle"),
    "a pickle of v3": (b"pickle." + PICKLE, 12, "is a pickle"),
    "bytes": (b"\xff\xfe\xff", 11, "neither text nor a result"),
    "an image": (b"\x89PNG\r\n\x1a\n", 11, "neither text nor a result"),
    "deep nesting": ("[" * 200_000, 11, "nested too deeply|neither JSON"),
}


@pytest.mark.parametrize("content", REFUSED)
def test_other_content_is_refused(content: str) -> None:
    data, code, message = REFUSED[content]
    with pytest.raises(AlgotoolsError, match=message) as refused:
        decode_results(data.encode() if isinstance(data, str) else data)
    assert refused.value.exit_code == code


def test_the_command_reports_refused_content_without_a_traceback() -> None:
    completed = decode(REFUSED["a cut list"][0])
    assert (completed.returncode, completed.stdout) == (11, b"")
    assert completed.stderr.decode().startswith("error (11): the content is neither JSON nor a result of algotools (")
    assert "Traceback" not in completed.stderr.decode()


@pytest.mark.parametrize("argument", [[], ["missing"], ["."], ["a", "b"]])
def test_a_file_that_cannot_be_read_is_a_usage_error(argument: list[str]) -> None:
    program = "from algotools.cli import main; main()"
    completed = subprocess.run(
        [sys.executable, "-c", program, "decode", *argument], capture_output=True, text=True, check=False
    )
    assert completed.returncode == 2
    assert "Usage:" in completed.stderr


@given(st.binary() | st.text().map(str.encode) | st.sampled_from([TEXT, BASE64, repr(ITEM)]).map(str.encode))
def test_any_content_is_decoded_or_refused(data: bytes) -> None:
    with contextlib.suppress(InputError, PickleRefused):
        decode_results(data)


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"])
def test_the_output_of_a_run_for_a_master_is_decoded(contract: str) -> None:
    output = get_contract(contract).wrap_result(RICH_BYTES)
    assert json.loads(encode_plain(decode_results(output)).data) == SHOWN


@rpc
def part(data: pd.DataFrame) -> dict[str, object]:
    return {"means": data.mean().to_numpy()}


@master
def whole(client: AlgorithmClient) -> int:
    return len(client.run(part))


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"])
def test_a_partial_result_as_the_researchers_client_shows_it(contract: str) -> None:
    with Federation([pd.DataFrame({"x": [1.0, 2.0]})], algorithm=[part, whole], contract=contract) as federation:
        assert federation.run(whole) == [1]
        results = federation.client().result.from_task(2)
    items = results["data"] if isinstance(results, dict) else results
    decoded = decode_results(repr(items).encode())
    assert json.loads(encode_plain(decoded).data)[0]["result"] == {"means": [1.5]}
