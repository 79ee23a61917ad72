"""The example's real patients: as the package ships them, split over three organizations, and averaged as if pooled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files

import pandas as pd
import pytest
import yaml
from sklearn.datasets import load_breast_cancer

from algotools import Federation

from ..conftest import AVERAGE, algotools

FILE = AVERAGE / "patients.yaml"
TURNS = {"example_org1": {0, 1, 2}, "example_org2": {3, 4}, "example_org3": {5}}
"""Which of each six patients an organization has."""

POOLED: pd.DataFrame = load_breast_cancer(as_frame=True).frame.rename(columns={"target": "benign"})
"""All patients, as the package itself gives them."""


@pytest.fixture(scope="module", params=["v3", "v4", "v5"])
def federation(request: pytest.FixtureRequest) -> Iterator[Federation]:
    with Federation.from_file(FILE, algorithm=AVERAGE, contract=request.param) as federation:
        yield federation


@pytest.mark.parametrize("column", POOLED.columns)
def test_the_federated_average_is_the_pooled_one(federation: Federation, column: str) -> None:
    answer = federation.ask("master", column_name=column)
    assert answer["average"] == pytest.approx(POOLED[column].mean(), rel=1e-12, abs=0)


@pytest.mark.parametrize("organization", TURNS)
def test_each_organization_has_its_patients_cell_by_cell_as_the_package_ships_them(organization: str) -> None:
    shipped = files("sklearn.datasets.data").joinpath("breast_cancer.csv").read_text(encoding="ascii").splitlines()[1:]
    members = {member["name"]: member for member in yaml.safe_load(FILE.read_text(encoding="utf-8"))["organizations"]}
    header, *rows = (AVERAGE / members[organization]["databases"]["default"]).read_text(encoding="ascii").splitlines()
    assert header.split(",") == list(POOLED.columns)
    assert rows == [row for number, row in enumerate(shipped) if number % 6 in TURNS[organization]]


def test_the_organizations_are_those_of_the_manuals_numbers() -> None:
    with Federation.from_file(FILE) as real, Federation.from_file(AVERAGE / "federation.yaml") as made_up:
        assert real.organizations() == made_up.organizations() == dict(zip((2, 3, 4), TURNS, strict=True))


def test_whose_data_it_is_stands_beside_it() -> None:
    told = (AVERAGE / "data" / "patients" / "README.md").read_text(encoding="utf-8")
    assert all(word in told for word in ("Wolberg", "10.24432/C5DW2B", "CC BY 4.0", "scikit-learn", "**Changes.**"))


def test_one_command_in_the_examples_folder_averages_them() -> None:
    ended = algotools(
        "run", "master", "column_name=mean radius", "--federation", "patients.yaml", "--organizations", "2,3,4",
        "--runner", "inline", "--json", cwd=AVERAGE,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    averages = [item["result"]["average"] for item in json.loads(ended.stdout)]
    assert averages == pytest.approx([POOLED["mean radius"].mean()] * 3, rel=1e-12, abs=0)
