"""The example is a project as the template makes it; its data, and what it says of them, are its own."""

from __future__ import annotations

from pathlib import Path

from algotools import scaffold

from ..conftest import AVERAGE
from .conftest import content

ANSWERS = {
    "title": "Average",
    "author": "The algotools authors",
    "registry": "harbor2.vantage6.ai",
    "image_name": "demo/average",
}


def own(name: str) -> bool:
    return name.startswith("data/") or name == "federation.yaml"


def without_data_part(readme: bytes) -> str:
    before, _, rest = readme.decode().partition("## The data\n")
    return before + rest[rest.index("\n## ") :]


def test_the_example_is_what_the_template_makes(tmp_path: Path) -> None:
    made = content(scaffold.make(scaffold.answer(ANSWERS), tmp_path).folder)
    there = content(AVERAGE)
    assert without_data_part(made.pop("README.md")) == without_data_part(there.pop("README.md"))
    assert {name: data for name, data in made.items() if not own(name)} == {
        name: data for name, data in there.items() if not own(name)
    }


def test_its_federation_gives_its_image_s_name(tmp_path: Path) -> None:
    answers = scaffold.answer(ANSWERS)
    assert f"  {answers['__image']}: .\n" in (AVERAGE / "federation.yaml").read_text(encoding="utf-8")
