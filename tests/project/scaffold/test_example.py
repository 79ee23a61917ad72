"""The example is a project from the template, except for its data, and that its rpc can be called directly."""

from __future__ import annotations

from ...conftest import AVERAGE
from .conftest import Make, content

OPTIONS = [
    "--kind", "average", "--author", "The algotools authors", "--registry", "harbor2.vantage6.ai",
    "--image-name", "demo/average", "--algotools", "",
]  # fmt: skip

ALGORITHM = "src/average/algorithm.py"


def is_own_file(name: str) -> bool:
    return name.startswith("data/") or name in ("federation.yaml", "patients.yaml")


def without_data_part(readme: bytes) -> str:
    before, _, after = readme.decode().partition("## The data\n")
    return before + after[after.index("\n## ") :]


def allow_direct_calls(text: str) -> str:
    """Return a file of the template as the example has it: researchers call the example's rpc, too."""
    return text.replace("@rpc(standalone=False)", "@rpc").replace("| rpc, only for its master |", "| rpc |")


def test_the_example_equals_a_generated_project(make: Make) -> None:
    generated, example = content(make("Average", *OPTIONS)), content(AVERAGE)
    readme = allow_direct_calls(without_data_part(generated.pop("README.md")))
    assert readme == without_data_part(example.pop("README.md"))
    algorithm = allow_direct_calls(generated.pop(ALGORITHM).decode())
    assert algorithm == example.pop(ALGORITHM).decode()
    assert {name: data for name, data in generated.items() if not is_own_file(name)} == {
        name: data for name, data in example.items() if not is_own_file(name)
    }


def test_the_federation_of_the_example_names_its_image(make: Make) -> None:
    line = make("Average", *OPTIONS).joinpath("federation.yaml").read_text(encoding="utf-8").splitlines()[-1]
    assert line in (AVERAGE / "federation.yaml").read_text(encoding="utf-8").splitlines()
