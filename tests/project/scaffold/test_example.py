"""The example is a project from the template, except for its data and the description of the data."""

from __future__ import annotations

from ...conftest import AVERAGE
from .conftest import Make, content

OPTIONS = [
    "--kind", "average", "--author", "The algotools authors", "--registry", "harbor2.vantage6.ai",
    "--image-name", "demo/average", "--algotools", "",
]  # fmt: skip


def is_own_file(name: str) -> bool:
    return name.startswith("data/") or name in ("federation.yaml", "patients.yaml")


def without_data_part(readme: bytes) -> str:
    before, _, after = readme.decode().partition("## The data\n")
    return before + after[after.index("\n## ") :]


def test_the_example_equals_a_generated_project(make: Make) -> None:
    generated, example = content(make("Average", *OPTIONS)), content(AVERAGE)
    assert without_data_part(generated.pop("README.md")) == without_data_part(example.pop("README.md"))
    assert {name: data for name, data in generated.items() if not is_own_file(name)} == {
        name: data for name, data in example.items() if not is_own_file(name)
    }


def test_the_federation_of_the_example_names_its_image(make: Make) -> None:
    line = make("Average", *OPTIONS).joinpath("federation.yaml").read_text(encoding="utf-8").splitlines()[-1]
    assert line in (AVERAGE / "federation.yaml").read_text(encoding="utf-8").splitlines()
