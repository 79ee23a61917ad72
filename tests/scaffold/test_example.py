"""The example is a project as the template makes it; its data, and what it says of them, are its own."""

from __future__ import annotations

from ..conftest import AVERAGE
from .conftest import Make, content

OPTIONS = [
    "--author", "The algotools authors", "--registry", "harbor2.vantage6.ai", "--image-name", "demo/average",
    "--algotools", "",
]  # fmt: skip


def own(name: str) -> bool:
    return name.startswith("data/") or name in ("federation.yaml", "patients.yaml")


def without_data_part(readme: bytes) -> str:
    before, _, rest = readme.decode().partition("## The data\n")
    return before + rest[rest.index("\n## ") :]


def test_the_example_is_what_the_template_makes(make: Make) -> None:
    made, there = content(make("Average", *OPTIONS)), content(AVERAGE)
    assert without_data_part(made.pop("README.md")) == without_data_part(there.pop("README.md"))
    assert {name: data for name, data in made.items() if not own(name)} == {
        name: data for name, data in there.items() if not own(name)
    }


def test_its_federation_names_its_image(make: Make) -> None:
    line = make("Average", *OPTIONS).joinpath("federation.yaml").read_text(encoding="utf-8").splitlines()[-1]
    assert line in (AVERAGE / "federation.yaml").read_text(encoding="utf-8").splitlines()
