"""The example with real patients of scikit-learn, split over three organizations, gives the pooled average."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files

import pandas as pd
import pytest
import yaml
from sklearn.datasets import load_breast_cancer

from algotools import Federation

from ..conftest import AVERAGE, algotools, default_policy

FILE = AVERAGE / "patients.yaml"
SHARES = {"example_org1": {0, 1, 2}, "example_org2": {3, 4}, "example_org3": {5}}
"""Organization -> its patients, as positions in each group of six."""

POOLED: pd.DataFrame = load_breast_cancer(as_frame=True).frame.rename(columns={"target": "benign"})
"""All patients, from scikit-learn."""


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    """The three hospitals, whose owners have not set a policy."""
    with default_policy():
        federation = Federation.from_file(FILE, algorithm=AVERAGE)
    with federation:
        yield federation


@pytest.mark.parametrize("column", POOLED.columns)
def test_the_federated_average_equals_the_pooled_average(federation: Federation, column: str) -> None:
    answer = federation.ask("master", column_name=column)
    assert answer["average"] == pytest.approx(POOLED[column].mean(), rel=1e-12, abs=0)


@pytest.mark.parametrize("organization", SHARES)
def test_each_organization_has_its_share_of_the_original_rows(organization: str) -> None:
    shipped = files("sklearn.datasets.data").joinpath("breast_cancer.csv").read_text(encoding="ascii").splitlines()[1:]
    members = {member["name"]: member for member in yaml.safe_load(FILE.read_text(encoding="utf-8"))["organizations"]}
    header, *rows = (AVERAGE / members[organization]["databases"]["default"]).read_text(encoding="ascii").splitlines()
    assert header.split(",") == list(POOLED.columns)
    assert rows == [row for number, row in enumerate(shipped) if number % 6 in SHARES[organization]]


def test_the_organizations_have_the_ids_of_the_manual() -> None:
    with Federation.from_file(FILE) as real, Federation.from_file(AVERAGE / "federation.yaml") as synthetic:
        assert real.organizations() == synthetic.organizations() == dict(zip((2, 3, 4), SHARES, strict=True))


def test_the_data_has_a_readme_with_its_source_and_licence() -> None:
    text = (AVERAGE / "data" / "patients" / "README.md").read_text(encoding="utf-8")
    assert all(word in text for word in ("Wolberg", "10.24432/C5DW2B", "CC BY 4.0", "scikit-learn", "**Changes.**"))


def test_one_command_in_the_folder_of_the_example_averages_a_column() -> None:
    with default_policy():
        process = algotools(
            "run", "master", "column_name=mean radius", "--federation", "patients.yaml", "--organizations", "2,3,4",
            "--runner", "inline", "--json", cwd=AVERAGE,
        )  # fmt: skip
    assert process.returncode == 0, process.stderr
    averages = [item["result"]["average"] for item in json.loads(process.stdout)]
    assert averages == pytest.approx([POOLED["mean radius"].mean()] * 3, rel=1e-12, abs=0)
