"""All labels at once: the builder gives back what it was given, whatever is in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools.image.context import Context
from algotools.image.labels import LONGEST_LINE, in_one_step
from algotools.image.steps import build, remove

AWKWARD = {
    "quotes": """it's "this" and `that`""",
    "variables": "$HOME ${BASE_IMAGE} $$ \\$ 5$",
    "slashes": "\\ \\\\ \\n C:\\dir\\",
    "json": json.dumps({"a": ["\n", '"', "\\", "é", "$x"], "b": None}),
    "lines": "one\ntwo\n\n# three\n",
    "blanks": "  two  blanks\tand a tab ",
    "empty": "",
    "equals": "a=b c=d",
    "long": "x" * 2 * LONGEST_LINE,
    "not ascii": "naïve Größe",
}


@contextmanager
def labelled(engine: docker.DockerClient, told: dict[str, str]) -> Iterator[dict[str, str]]:
    step, rest = in_one_step(told)
    archive = Context(Path(), ()).archive(f"FROM scratch\n{step}\n")
    image = build(engine, archive, dockerfile="Dockerfile", tag=None, tell=lambda _line: None, labels=rest)
    try:
        yield engine.images.get(image).labels
    finally:
        remove(engine, image)


@pytest.mark.docker
def test_awkward_values_come_back(engine: docker.DockerClient) -> None:
    with labelled(engine, AWKWARD) as found:
        assert found == AWKWARD


def test_most_are_set_in_one_step() -> None:
    step, rest = in_one_step(AWKWARD)
    assert set(rest) == {"lines", "blanks", "long"}
    assert step.startswith('LABEL "quotes"=')
    assert in_one_step({}) == ("", {})


@given(st.dictionaries(st.text("abc.", min_size=1), st.text()))
def test_nothing_is_lost_and_the_line_is_one(told: dict[str, str]) -> None:
    step, rest = in_one_step(told)
    assert all((f' "{name}"=' in step) != (name in rest) for name in told)
    assert "\n" not in step
    assert len(step.encode()) <= LONGEST_LINE
