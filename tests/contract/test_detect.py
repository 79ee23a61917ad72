"""The generation of a node is detected from the environment alone."""

from __future__ import annotations

import pytest

from algotools.errors import ContractError
from algotools.federation.contract import get_contract
from algotools.runtime.contract import detect

PATH = "/mnt/data/task-000000001/input"
ENCODED = "F5WW45BPMRQXIYJPORQXG2ZNGAYDAMBQGAYDAMJPNFXHA5LU"


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"INPUT_FILE": ENCODED, "USER_REQUESTED_DATABASE_LABELS": "MRSWMYLVNR2A!!!!"}, "v4"),
        ({"INPUT_FILE": ENCODED, "USER_REQUESTED_DATABASE_LABELS": ""}, "v4"),
        ({"INPUT_FILE": ENCODED, "FUNCTION_ACTION": "x", "ALGORITHM_METHOD": "y"}, "v5"),
        ({"INPUT_FILE": PATH, "USER_REQUESTED_DATABASE_LABELS": "default"}, "v4"),
        ({"INPUT_FILE": PATH, "USER_REQUESTED_DATABASE_LABELS": ""}, "v4"),
        ({"INPUT_FILE": PATH, "USER_REQUESTED_DATABASE_LABEL": "default", "DB_LABELS": '["default"]'}, "v3"),
        ({"INPUT_FILE": PATH, "DB_LABELS": '["default"]'}, "v3"),
        ({"INPUT_FILE": PATH, "DATABASE_URI": "/mnt/data/default.csv"}, "v3"),
        ({"INPUT_FILE": PATH}, "v3"),
        ({"INPUT_FILE": PATH, "FUNCTION_ACTION": "set only by the image"}, "v3"),
    ],
)
def test_the_variables_decide_the_generation(environment, name):
    assert detect(environment).name == name


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "INPUT_FILE is missing"),
        ({"PATH": "/bin", "HOME": "/home/me"}, "INPUT_FILE is missing"),
        ({"INPUT_FILE": "input"}, "neither an absolute path nor a base32 text"),
        ({"INPUT_FILE": ENCODED.lower()}, "neither"),
        ({"INPUT_FILE": ENCODED[:-1]}, "neither"),
        ({"INPUT_FILE": "ZZZZZZZZ"}, "neither"),
        ({"INPUT_FILE": "ÄÖÜ"}, "neither"),
    ],
)
def test_an_environment_of_an_unknown_generation_is_refused(environment, message):
    with pytest.raises(ContractError, match=message):
        detect(environment)


def test_a_generation_is_found_by_its_name():
    assert [get_contract(name).name for name in ("v3", "v4", "v5")] == ["v3", "v4", "v5"]


@pytest.mark.parametrize("name", ["v2", "V3", "", "base", "v3_http"])
def test_an_unknown_generation_is_refused(name):
    with pytest.raises(ContractError, match=r"\(choose from v3, v4"):
        get_contract(name)
