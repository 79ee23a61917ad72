"""``algotools build``: the image of an algorithm, or the base of all of them."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from algotools.errors import ImageError

EXAMPLES = """
[bold]Examples[/bold]

algotools build --tag registry.example.org/demo/average:1.0.0 --push

algotools build examples/average --build-arg PYTHON_IMAGE=python:3.12-slim

algotools build --base --tag registry.example.org/demo/algotools-base:0.1.0 --push
"""


def build(
    path: Annotated[
        Path, typer.Argument(help="The algorithm's project.", metavar="[PATH]", show_default=False)
    ] = Path(),
    tag: Annotated[
        str | None,
        typer.Option(help="The image's name: registry/project/name:tag. Default: image and version in pyproject.toml."),
    ] = None,
    push: Annotated[bool, typer.Option("--push", help="Push it, and print its digest.")] = False,
    base: Annotated[bool, typer.Option("--base", help="Build the base image that algorithms are built on.")] = False,
    build_arg: Annotated[
        list[str] | None,
        typer.Option(
            help="BASE_IMAGE=REF takes another base, PYTHON_IMAGE=REF makes it from another Python.",
            metavar="NAME=VALUE",
            show_default=False,
        ),
    ] = None,
    platform: Annotated[str | None, typer.Option(help="For instance linux/arm64. Default: this machine's.")] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Do every step anew.")] = False,
) -> None:
    """Build an algorithm's image, try it, and label it with what it can do.

    Data files never get into the image. Progress goes to standard error; standard output gets tag, size and time, and
    with --push the digest to hand to the researcher.
    """
    from algotools.image import base as bases  # here: the docker package takes long to import
    from algotools.image.engine import engine
    from algotools.image.project import Built, build_project, default_tag
    from algotools.image.push import pushable

    arguments = dict(_argument(text) for text in build_arg or [])
    if not base:
        tag = tag or default_tag(path)
    if push:
        pushable(tag or bases.reference(arguments.get("PYTHON_IMAGE"), platform))  # said now, and not after minutes
    with engine() as client:
        if base:
            started = time.monotonic()
            name = bases.ensure(client, _tell, arguments=arguments, platform=platform, no_cache=no_cache, tag=tag)
            image = client.images.get(name)
            built = Built(name, str(image.id), int(image.attrs["Size"]), time.monotonic() - started)
        else:
            built = build_project(
                client,
                path,
                str(tag),
                _tell,
                arguments=arguments,
                platform=platform,
                no_cache=no_cache,
            )
    size = f"{built.size / 1e6:.0f} MB"
    Console(highlight=False).print(f"{built.tag}  {size}  {built.seconds:.1f} s", markup=False, soft_wrap=True)
    if push:
        from algotools.cli.push import push as push_image

        push_image(built.tag)


def _argument(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ImageError(f"--build-arg takes NAME=VALUE, not {text!r}")
    return name, value


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
