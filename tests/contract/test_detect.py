"""The generation of a node is told from the environment alone."""

from __future__ import annotations

import pytest

from algotools.contract import by_name, detect
from algotools.errors import ContractError

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
        ({"INPUT_FILE": PATH, "FUNCTION_ACTION": "set by the image alone"}, "v3"),
    ],
)
def test_the_first_sign_decides(environment, name):
    assert detect(environment).name == name


@pytest.mark.parametrize(
    ("environment", "told"),
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
def test_an_environment_of_no_known_generation_is_refused(environment, told):
    with pytest.raises(ContractError, match=told):
        detect(environment)


def test_a_generation_goes_by_its_name():
    assert [by_name(name).name for name in ("v3", "v4", "v5")] == ["v3", "v4", "v5"]


@pytest.mark.parametrize("name", ["v2", "V3", "", "base", "v3_http"])
def test_a_generation_of_another_name_is_refused(name):
    with pytest.raises(ContractError, match="there are v3, v4"):
        by_name(name)
