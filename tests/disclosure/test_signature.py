"""The signature of a subtask is valid for exactly one call, and for the bytes of its input."""

from __future__ import annotations

import json
import math

import pytest

from algotools.disclosure.signature import Signature, SignedCall, sign
from algotools.runtime.contract import get_contract
from algotools.runtime.contract.files import read_output_format

KEY = "k" * 32
CALL = SignedCall("fit_partial", "a" * 64, ("patients",))
SIGNATURE = sign(KEY, CALL, 7, 2, [3, 5])
CONTENT = {
    "method": "fit_partial",
    "kwargs": {"x": [1.5, math.nan], "text": 'algotools"} é'},
    "master": False,
    "output_format": "algotools",
}


def test_a_signature_survives_its_text():
    assert Signature.parse(str(SIGNATURE)) == SIGNATURE
    assert SIGNATURE.is_valid(KEY, CALL)
    assert SIGNATURE[:3] == (7, 2, (3, 5))


@pytest.mark.parametrize(
    "changes",
    [{"task": 8}, {"round": 1}, {"organizations": (3, 5, 6)}, {"organizations": (5, 3)}, {"nonce": "0" * 32}],
    ids=str,
)
def test_each_fact_of_a_signature_is_signed(changes):
    assert not SIGNATURE._replace(**changes).is_valid(KEY, CALL)


@pytest.mark.parametrize("changes", [{"method": "fit"}, {"input_hash": "b" * 64}, {"tables": ("others",)}], ids=str)
def test_each_part_of_the_call_is_signed(changes):
    assert not SIGNATURE.is_valid(KEY, CALL._replace(**changes))


def test_another_key_signs_otherwise():
    assert not SIGNATURE.is_valid("l" * 32, CALL)


def test_two_signatures_of_one_call_differ():
    assert sign(KEY, CALL, 7, 2, [3, 5]).nonce != SIGNATURE.nonce


@pytest.mark.parametrize(
    "text",
    [
        "",
        "none",
        str(SIGNATURE)[:-1],
        f"{SIGNATURE}0",
        str(SIGNATURE).upper(),
        f"{SIGNATURE}\n",
        "1.1..a.b",
        "٣.1.2.a.b",
        str(SIGNATURE).replace(".3-5.", ".03-5."),
        f"0{SIGNATURE}",
    ],
)
def test_another_text_is_not_a_signature(text):
    assert Signature.parse(text) is None


@pytest.mark.parametrize("name", ["v3", "v4", "v5"])
def test_the_hash_of_a_signed_input_is_that_of_the_input(name):
    contract = get_contract(name)
    data, hashes = contract.encode_input(CONTENT), []

    def sign_hash(input_hash: str) -> str:
        hashes.append(input_hash)
        return str(SIGNATURE)

    signed = contract.sign_input(data, sign_hash)
    body = signed.removeprefix(contract.prefix)
    content = json.loads(body)
    text = content["algotools:output_format" if name == "v5" else "output_format"]
    assert read_output_format(text, body) == {"encoding": "rich", "signature": str(SIGNATURE), "input_hash": hashes[0]}
    changed = read_output_format(text, body.replace(b"1.5", b"2.5"))
    assert changed is not None
    assert changed["input_hash"] not in ("", hashes[0])
    assert contract.sign_input(data, lambda _hash: "") == data


@pytest.mark.parametrize("end", [b"} ", b',"method":"other"}'])
def test_bytes_after_the_signature_make_it_invalid(end):
    contract = get_contract("v4")
    body = contract.sign_input(contract.encode_input(CONTENT), lambda _hash: str(SIGNATURE))
    output_format = read_output_format(f"algotools:{SIGNATURE}", body.removesuffix(b"}") + end)
    assert output_format == {"encoding": "rich", "signature": str(SIGNATURE), "input_hash": ""}


@pytest.mark.parametrize("text", [None, 5, "json", "algotool", "algotoolss:1"])
def test_another_output_format_has_no_signature(text):
    assert read_output_format(text, b"{}") is None
