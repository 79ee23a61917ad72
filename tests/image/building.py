"""Small projects to build with the command line, and the images and containers that a build leaves on the engine."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

from algotools.image import base

from ..conftest import algotools

PYTHON_IMAGE = os.environ.get(base.VARIABLE, base.PYTHON_IMAGE)
"""The Python image that the tests' base is built from."""

PYTHON_IMAGES = [name for name in os.environ.get("ALGOTOOLS_TEST_PYTHON_IMAGES", "").split(",") if name]
PYTHON_IMAGES = PYTHON_IMAGES or [PYTHON_IMAGE]
"""The Python images from which a base must work."""

PYPROJECT = """\
[project]
name = "{name}"
version = "1.2.3"
description = "Counts"
license = "MIT"
{more}

[project.entry-points."algotools.algorithms"]
counting = "counting"
"""

CODE = '''\
import pandas as pd
from algotools import rpc


@rpc
def count(data: pd.DataFrame, at_least: int = 0) -> int:
    """The number of rows."""
    return len(data)
'''

DOCKERFILE = """\
ARG BASE_IMAGE
FROM ${{BASE_IMAGE}}
LABEL algotools.test={mark}
{steps}
"""

ALL_AT_ONCE = "COPY . /app\nENV ALGOTOOLS_ALGORITHM=/app"
"""A Dockerfile with few steps, for tests that do not test the steps."""

AS_THE_EXAMPLE = """\
WORKDIR /app
COPY pyproject.toml ./
RUN python -m algotools.packaging install
COPY src ./src
RUN python -m compileall -q src
ENV ALGOTOOLS_ALGORITHM=/app"""


@dataclass
class BuiltProject:
    """A project in a folder. All its images have a label with its mark."""

    folder: Path
    mark: str
    client: docker.DockerClient
    base: str
    tags: set[str] = field(default_factory=set)

    def write(self, name: str, content: str | bytes = "") -> Path:
        """Write a file of the project, and return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def write_steps(self, text: str) -> None:
        """Write the Dockerfile; ``text`` are the steps after FROM."""
        self.write("Dockerfile", DOCKERFILE.format(mark=self.mark, steps=text))

    def write_metadata(self, more: str = "") -> None:
        """Write ``pyproject.toml`` with further lines in its table ``project``."""
        self.write("pyproject.toml", PYPROJECT.format(name=self.mark, more=more))

    @property
    def tag(self) -> str:
        """The default name of the image."""
        return f"{self.mark}:1.2.3"

    def make_arguments(self, *options: str) -> list[str]:
        """Return the arguments of the command that builds the project on the session's base."""
        has_base = any(text.startswith("BASE_IMAGE") for text in options)
        base_options = [] if has_base else ["--build-arg", f"BASE_IMAGE={self.base}"]
        return ["build", str(self.folder), *base_options, *options]

    def build(self, *options: str, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run ``algotools build``."""
        return algotools(*self.make_arguments(*options), variables=variables)

    def build_well(self, *options: str) -> str:
        """Run ``algotools build``, check that it succeeds, and return its standard error."""
        process = self.build(*options)
        assert process.returncode == 0, process.stderr
        return process.stderr

    def build_badly(self, code: int, *options: str, variables: Mapping[str, str] | None = None) -> str:
        """Run ``algotools build``, check that it fails and leaves nothing, and return the error with its detail."""
        process = self.build(*options, variables=variables)
        assert process.returncode == code, process.stderr
        assert process.stdout == ""
        assert "Traceback (most recent call last)" not in process.stderr.rpartition(f"error ({code}): ")[0]
        assert self.list_leftovers() == []
        return process.stderr.rpartition(f"error ({code}): ")[2]

    @property
    def image(self) -> Any:
        """The image of the project."""
        return self.client.images.get(self.tag)

    def run_inside(self, code: str) -> Any:
        """Run a few lines of Python in the image, and return the JSON that they print."""
        return run_python(self.client, self.tag, code)

    def list_leftovers(self) -> list[str]:
        """Return the ids of the project's containers and images on the engine."""
        filters = {"label": f"algotools.test={self.mark}"}
        items = (*self.client.api.containers(all=True, filters=filters), *self.list_images())
        return [str(item["Id"]) for item in items]

    def list_dangling(self) -> list[str]:
        """Return the ids of the project's images without a name on which no other image is based."""
        return [str(image["Id"]) for image in self.list_images(dangling=True)]

    def list_images(self, **filters: bool) -> list[dict[str, Any]]:
        """Return the project's images, including those of the steps of a build."""
        label = {"label": f"algotools.test={self.mark}"}
        return list(self.client.api.images(all=not filters, filters={**label, **filters}))

    def remove(self) -> None:
        """Remove all images of the project."""
        for image in self.list_images():
            for name in image["RepoTags"] or []:
                if name != "<none>:<none>":
                    self.client.api.remove_image(name)
        for image in self.list_dangling():
            self.client.api.remove_image(image)


def run_python(client: docker.DockerClient, image: str, code: str, **options: Any) -> Any:
    """Run a few lines of Python in an image, and return the JSON that they print."""
    output = client.containers.run(image, ["python", "-c", code], remove=True, network_mode="none", **options)
    return json.loads(output)
