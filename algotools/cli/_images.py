"""``algotools build``, ``push`` and ``inspect``: commands for the images of algorithms."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from algotools.cli._console import make_printable
from algotools.cli._describe import NO_TRIAL_HELP, print_json, show_functions, try_functions
from algotools.cli._target import find_target
from algotools.errors import ImageError
from algotools.runtime.logs import format_count

# Each command imports `algotools.image` when it runs, because importing the docker package is slow.
if TYPE_CHECKING:
    from algotools.image.inspect import ImageInfo
    from algotools.image.push import Layer, State

BUILD_EXAMPLES = """
[bold]Examples[/bold]

algotools build --tag registry.example.org/demo/average:1.0.0 --push

algotools build examples/average --build-arg PYTHON_IMAGE=python:3.12-slim

algotools build --base --tag registry.example.org/demo/algotools-base:0.1.0 --push
"""

INSPECT_KEYS = """
[bold]Keys of --json[/bold] (null: unknown)

reference, where (local, registry), kind (algorithm, base, other), id, digests, platform, platforms (of an index),
created, size (bytes; compressed in a registry), layers, user (empty: root), entrypoint, command, title, details,
licenses, version (of the algorithm), algotools, context (of a base), base (name, digest), revision, clean, packages
(including python), description (like `algotools describe --json`), gate (version of the disclosure gate),
policy_variables (settings of a node's policy in the image), labels (all other labels), warnings
"""
"""The fields of ``algotools.image.inspect.ImageInfo``."""


def build(
    path: Annotated[
        Path,
        typer.Argument(help="Folder of the project. Default: the current folder.", metavar="PATH", show_default=False),
    ] = Path(),
    tag: Annotated[
        str | None,
        typer.Option(help="Name of the image, registry/project/name:tag. Default: from pyproject.toml."),
    ] = None,
    push: Annotated[bool, typer.Option("--push", help="Push the image, and print its digest.")] = False,
    base: Annotated[
        bool, typer.Option("--base", help="Build the base image for algorithms, not an algorithm.")
    ] = False,
    build_arg: Annotated[
        list[str] | None,
        typer.Option(
            help="BASE_IMAGE=REF sets the base image. PYTHON_IMAGE=REF sets the Python image of the base image. "
            "PIP_INDEX_URL=URL sets the package index.",
            metavar="NAME=VALUE",
            show_default=False,
        ),
    ] = None,
    platform: Annotated[
        str | None, typer.Option(help="Platform, for instance linux/arm64. Default: the platform of this machine.")
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Build without the cache.")] = False,
    no_trial: Annotated[bool, typer.Option("--no-trial", help=NO_TRIAL_HELP)] = False,
) -> None:
    """Build the image of an algorithm, test it, and label it with the description of its functions.

    If the project has a federation.yaml, each rpc is called once on this machine, as in `algotools check`. A label has
    the paths, kinds and evidence of the values that left, and none of the values.

    Data files are never copied into the image. Progress is written to standard error. Standard output contains tag,
    size and build time, and with --push the digest that the researcher needs.
    """
    from algotools.image import base as base_images
    from algotools.image.build import BuiltImage, build_project, get_default_tag
    from algotools.image.engine import open_engine
    from algotools.image.push import parse_target

    arguments = dict(map(_parse_build_argument, build_arg or []))
    if not base:
        path = Path(find_target(str(path)))
        tag = tag or get_default_tag(path)
    if push:  # report a wrong name before the build, which takes minutes
        parse_target(tag or base_images.make_name(arguments.get("PYTHON_IMAGE"), platform))
    with open_engine() as client:
        if base:
            started = time.monotonic()
            name = base_images.ensure_base(
                client, _print_step, arguments=arguments, platform=platform, no_cache=no_cache, tag=tag
            )
            image = client.images.get(name)
            built = BuiltImage(name, str(image.id), int(image.attrs["Size"]), time.monotonic() - started)
        else:
            built = build_project(
                client,
                path,
                str(tag),
                _print_step,
                arguments=arguments,
                platform=platform,
                no_cache=no_cache,
                left_in_trial={} if no_trial else try_functions(path),
            )
    size = f"{built.size / 1e6:.0f} MB"
    Console(highlight=False).print(f"{built.tag}  {size}  {built.seconds:.1f} s", markup=False, soft_wrap=True)
    if push:
        _push(built.tag)


def _parse_build_argument(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise typer.BadParameter(f"{text!r} does not have the form NAME=VALUE", param_hint="'--build-arg'")
    return name, value


def _print_step(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def push(
    reference: Annotated[
        str, typer.Argument(help="Name of an image on this machine: registry/project/name:tag.", metavar="REFERENCE")
    ],
) -> None:
    """Push an image to its registry, and print its name with the digest, for use in tasks.

    The credentials are those of `docker login`. Progress is written to standard error. Standard output contains only
    name@sha256:….
    """
    _push(reference)


def _push(reference: str) -> None:
    from algotools.image import push as image_push

    with _show_push_progress() as report:
        name_with_digest = image_push.push(reference, report)
    typer.echo(name_with_digest)


@contextmanager
def _show_push_progress() -> Iterator[Callable[[Layer], None]]:
    """Show progress bars on a terminal; otherwise print a line for each finished layer."""
    console = Console(stderr=True, highlight=False)
    if not console.is_interactive:
        yield _LayerLines(console)
        return
    columns = (TextColumn("{task.fields[layer]}"), BarColumn(), DownloadColumn(), TextColumn("{task.fields[state]}"))
    with Progress(*columns, console=console) as progress:
        yield _LayerBars(progress)


_DONE: dict[State, str] = {"pushed": "pushed", "there": "already exists", "mounted": "mounted from another repository"}
"""State of a finished layer -> description."""


class _LayerLines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._printed: set[tuple[str, str]] = set()
        self._sizes: dict[str, int] = {}

    def __call__(self, layer: Layer) -> None:
        self._sizes[layer.id] = max(layer.total, self._sizes.get(layer.id, 0))
        text = layer.status.lower() if layer.state == "retrying" else _DONE.get(layer.state)
        if text and (layer.id, text) not in self._printed:
            self._printed.add((layer.id, text))
            size = f" ({self._sizes[layer.id] / 1e6:.1f} MB)" if layer.state == "pushed" else ""
            self._console.print(f"{layer.id}: {text}{size}", markup=False, soft_wrap=True)


class _LayerBars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, layer: Layer) -> None:
        if layer.id not in self._tasks:
            self._tasks[layer.id] = self._progress.add_task("", total=None, layer=layer.id, state="")
        task = self._tasks[layer.id]
        if layer.state in _DONE:
            size = self._progress.tasks[task].total or layer.total or 1
            self._progress.update(task, completed=size, total=size, state=_DONE[layer.state])
        elif layer.total:
            self._progress.update(task, completed=layer.done, total=layer.total, state=layer.state)
        else:
            self._progress.update(task, state=layer.status.lower() if layer.state == "retrying" else layer.state)


def inspect(
    reference: Annotated[
        str,
        typer.Argument(help="Name of the image, with tag or digest: registry/project/name:tag.", metavar="REFERENCE"),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object; see below.")] = False,
) -> None:
    """Show the functions, versions, origin and size of an image, without pulling or running it.

    The image is searched on this machine first, then in its registry with the credentials of `docker login`. The exit
    code is 64 if the image sets the policy of a node, which only the owner of the node may do.
    """
    from algotools.image.inspect import inspect as inspect_image
    from algotools.image.policy import explain_policy_variables

    image = inspect_image(reference)
    if as_json:
        print_json(image)
    else:
        _show_image(image)
    if image.policy_variables:
        raise ImageError(explain_policy_variables([*image.policy_variables]))


def _show_image(image: ImageInfo) -> None:
    console = Console(highlight=False)
    name = image.description["algorithm"] if image.description else image.title or image.reference
    console.print(
        f"[bold]{make_printable(name)}[/bold]" + (f" {make_printable(image.version)}" if image.version else "")
    )
    if image.details:
        console.print(make_printable(image.details))
    if image.kind == "other":
        console.print("[yellow]not built by `algotools build`[/yellow]; some information is not available")
    elif image.kind == "base":
        console.print("base image for algorithms; the image itself contains no algorithm")
    for label, value in _list_facts(image).items():
        if value:  # neither truncated nor wrapped, so that digests can be copied
            aligned = make_printable(value).replace("\n", f"\n{'':<13}")
            console.print(f"  [dim]{label:<10}[/dim] {aligned}", soft_wrap=True)
    for warning in image.warnings:
        console.print(f"[yellow]warning[/yellow]: {make_printable(warning)}", soft_wrap=True)
    if image.description:
        show_functions(console, image.description)


def _list_facts(image: ImageInfo) -> dict[str, str]:
    packages = dict(image.packages or {})
    built_with = [f"algotools {image.algotools}" if image.algotools else "", f"Python {packages.pop('python', '?')}"]
    base = [image.base.name or "", image.base.digest or ""] if image.base else []
    clean = {True: "clean", False: "with uncommitted changes", None: ""}[image.clean]
    unpacked = "unpacked" if image.where == "local" else "compressed"
    return {
        "image": image.reference,
        "location": "on this machine" if image.where == "local" else "in its registry",
        "digest": "\n".join(image.digests) or "none; the registry assigns a digest when the image is pushed",
        "id": image.id,
        "built with": ", ".join(filter(None, built_with if image.packages else built_with[:1])),
        "base": "\n".join(filter(None, base)),
        "source": f"revision {image.revision} {clean}".rstrip() if image.revision else "",
        "platform": image.platform,
        "platforms": ", ".join(image.platforms),
        "created": image.created or "",
        "size": f"{image.size / 1e6:.1f} MB {unpacked}, {format_count(image.layers, 'layer')}",
        "user": image.user or "root",
        "runs": " ".join((*image.entrypoint, *image.command)),
        "gate": _describe_gate(image),
        "licences": image.licenses or "",
        "packages": ", ".join(f"{package} {version}" for package, version in sorted(packages.items())),
        "labels": "\n".join(f"{label}={value}" for label, value in image.labels.items()),
    }


def _describe_gate(image: ImageInfo) -> str:
    """Describe the label of the disclosure gate; empty for an image that is not an algorithm's."""
    if image.gate:
        return f"version {image.gate}: a node judges each result with its owner's policy before the result leaves"
    if image.kind != "algorithm":
        return ""
    return "unknown: the image has no label algotools.gate; an image of the current `algotools build` has it"
