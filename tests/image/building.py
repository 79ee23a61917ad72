"""Small projects to build, the command line, and what a build leaves on the engine."""

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
"""The Python that the tests' base is made of."""

PYTHON_IMAGES = [name for name in os.environ.get("ALGOTOOLS_TEST_PYTHON_IMAGES", "").split(",") if name]
PYTHON_IMAGES = PYTHON_IMAGES or [PYTHON_IMAGE]
"""All of which a base must come out well."""

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
    """How many rows there are."""
    return len(data)
'''

DOCKERFILE = """\
ARG BASE_IMAGE
FROM ${{BASE_IMAGE}}
LABEL algotools.test={mark}
{steps}
"""

ALL_AT_ONCE = "COPY . /app\nENV ALGOTOOLS_ALGORITHM=/app"
"""Few steps, for tests that are not about them."""

AS_THE_EXAMPLE = """\
WORKDIR /app
COPY pyproject.toml ./
RUN python -m algotools.packaging install
COPY src ./src
RUN python -m compileall -q src
ENV ALGOTOOLS_ALGORITHM=/app"""


@dataclass
class Project:
    """A project in a folder; whatever is built of it carries its mark."""

    folder: Path
    mark: str
    client: docker.DockerClient
    base: str
    tags: set[str] = field(default_factory=set)

    def write(self, name: str, content: str | bytes = "") -> Path:
        """A file of it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def steps(self, text: str) -> None:
        """Its Dockerfile, after FROM."""
        self.write("Dockerfile", DOCKERFILE.format(mark=self.mark, steps=text))

    def metadata(self, more: str = "") -> None:
        """Its ``pyproject.toml``."""
        self.write("pyproject.toml", PYPROJECT.format(name=self.mark, more=more))

    @property
    def tag(self) -> str:
        """The name that its image gets by default."""
        return f"{self.mark}:1.2.3"

    def arguments(self, *more: str) -> list[str]:
        """Of the command that builds it, on the session's base."""
        own = [] if any(text.startswith("BASE_IMAGE") for text in more) else ["--build-arg", f"BASE_IMAGE={self.base}"]
        return ["build", str(self.folder), *own, *more]

    def build(self, *more: str, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run ``algotools build``."""
        return algotools(*self.arguments(*more), variables=variables)

    def built(self, *more: str) -> str:
        """Build it, which must work; gives what was told on the way."""
        ended = self.build(*more)
        assert ended.returncode == 0, ended.stderr
        return ended.stderr

    def refused(self, code: int, *more: str, variables: Mapping[str, str] | None = None) -> str:
        """Build it, which must fail and leave nothing; gives the message and what stands below it."""
        ended = self.build(*more, variables=variables)
        assert ended.returncode == code, ended.stderr
        assert ended.stdout == ""
        assert "Traceback (most recent call last)" not in ended.stderr.rpartition(f"error ({code}): ")[0]
        assert self.left() == []
        return ended.stderr.rpartition(f"error ({code}): ")[2]

    @property
    def image(self) -> Any:
        """What was built."""
        return self.client.images.get(self.tag)

    def inside(self, code: str) -> Any:
        """What a few lines of Python, run inside of its image, print as JSON."""
        return run_python(self.client, self.tag, code)

    def left(self) -> list[str]:
        """Containers and images of it on the engine."""
        filters = {"label": f"algotools.test={self.mark}"}
        return [str(found["Id"]) for found in (*self.client.api.containers(all=True, filters=filters), *self.images())]

    def dangling(self) -> list[str]:
        """Its images that no other one is built on, and that have no name."""
        return [str(image["Id"]) for image in self.images(dangling=True)]

    def images(self, **filters: bool) -> list[dict[str, Any]]:
        """Its images; the steps of a build, too."""
        label = {"label": f"algotools.test={self.mark}"}
        return list(self.client.api.images(all=not filters, filters={**label, **filters}))

    def remove(self) -> None:
        """Remove all that was built of it."""
        for image in self.images():
            for name in image["RepoTags"] or []:
                if name != "<none>:<none>":
                    self.client.api.remove_image(name)
        for image in self.dangling():
            self.client.api.remove_image(image)


def run_python(client: docker.DockerClient, image: str, code: str, **options: Any) -> Any:
    """What a few lines of Python, run inside of an image, print as JSON."""
    told = client.containers.run(image, ["python", "-c", code], remove=True, network_mode="none", **options)
    return json.loads(told)
