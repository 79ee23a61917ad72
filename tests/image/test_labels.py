"""All labels are set at once, and the builder keeps every value unchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools.image._steps import LONGEST_LINE, build_image, make_label_step, remove_image
from algotools.image.context import Context

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
def build_with_labels(engine: docker.DockerClient, labels: dict[str, str]) -> Iterator[dict[str, str]]:
    """Build an image with labels, and yield the labels that the image has."""
    step, remaining_labels = make_label_step(labels)
    archive = Context(Path(), ()).make_archive(f"FROM scratch\n{step}\n")
    image = build_image(engine, archive, labels=remaining_labels)
    try:
        yield engine.images.get(image).labels
    finally:
        remove_image(engine, image)


@pytest.mark.docker
def test_awkward_values_are_kept(engine: docker.DockerClient) -> None:
    with build_with_labels(engine, AWKWARD) as labels:
        assert labels == AWKWARD


def test_most_labels_are_set_in_one_step() -> None:
    step, remaining_labels = make_label_step(AWKWARD)
    assert set(remaining_labels) == {"lines", "blanks", "long"}
    assert step.startswith('LABEL "quotes"=')
    assert make_label_step({}) == ("", {})


@given(st.dictionaries(st.text("abc.", min_size=1), st.text()))
def test_no_label_is_lost_and_the_step_is_one_line(labels: dict[str, str]) -> None:
    step, remaining_labels = make_label_step(labels)
    assert all((f' "{name}"=' in step) != (name in remaining_labels) for name in labels)
    assert "\n" not in step
    assert len(step.encode()) <= LONGEST_LINE
