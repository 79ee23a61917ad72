"""``algotools inspect``: what an image can do, and what it is made of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from algotools.cli.describe import show_functions, shown

if TYPE_CHECKING:
    from algotools.image.inspect import Image

KEYS = """
[bold]Keys of --json[/bold], null where not known

reference, where (local, registry), kind (algorithm, base, other), id, digests, platform, platforms (of an index),
created, size (bytes; compressed in a registry), layers, user (empty: root), entrypoint, command, title, details,
licenses, version (the algorithm's), algotools, context (a base's), base (name, digest), revision, clean, packages
(with python), description (as `algotools describe --json` has it), labels (all others), warnings
"""
"""The fields of ``algotools.image.inspect.Image``."""


def inspect(
    reference: Annotated[str, typer.Argument(help="An image's name, with tag or digest: registry/project/name:tag.")],
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object; see below.")] = False,
) -> None:
    """Show an image's functions, versions, origin and size, without running it and without pulling it.

    It is looked up on this machine first, then in its registry, with the login of `docker login`.
    """
    from algotools.image import inspect as inspecting  # here: the docker package takes long to import

    image = inspecting.inspect(reference)
    if as_json:
        import msgspec

        typer.echo(json.dumps(msgspec.to_builtins(image), indent=2, ensure_ascii=False))
    else:
        _show(image)


def _show(image: Image) -> None:
    console = Console(highlight=False)
    name = image.description["algorithm"] if image.description else image.title or image.reference
    console.print(f"[bold]{shown(name)}[/bold]" + (f" {shown(image.version)}" if image.version else ""))
    if image.details:
        console.print(shown(image.details))
    if image.kind == "other":
        console.print("[yellow]not made by `algotools build`[/yellow]; this is what there is")
    elif image.kind == "base":
        console.print("a base for the images of algorithms; it holds none itself")
    for what, value in _facts(image).items():
        if value:  # a digest is there to be copied, so nothing is cut or broken
            aligned = shown(value).replace("\n", f"\n{'':<13}")
            console.print(f"  [dim]{what:<10}[/dim] {aligned}", soft_wrap=True)
    for warning in image.warnings:
        console.print(f"[yellow]warning[/yellow]: {shown(warning)}")
    if image.description:
        show_functions(console, image.description)


def _facts(image: Image) -> dict[str, str]:
    packages = dict(image.packages or {})
    made_with = [f"algotools {image.algotools}" if image.algotools else "", f"Python {packages.pop('python', '?')}"]
    base = [image.base.name or "", image.base.digest or ""] if image.base else []
    clean = {True: "clean", False: "and changes that are in no revision", None: ""}[image.clean]
    unpacked = "unpacked" if image.where == "local" else "compressed"
    return {
        "image": image.reference,
        "found": "on this machine" if image.where == "local" else "in its registry",
        "digest": "\n".join(image.digests) or "none yet; a registry gives one when it is pushed",
        "id": image.id,
        "made with": ", ".join(filter(None, made_with if image.packages else made_with[:1])),
        "base": "\n".join(filter(None, base)),
        "source": f"revision {image.revision} {clean}".rstrip() if image.revision else "",
        "platform": image.platform,
        "platforms": ", ".join(image.platforms),
        "created": image.created or "",
        "size": f"{image.size / 1e6:.1f} MB {unpacked}, {image.layers} layer{'' if image.layers == 1 else 's'}",
        "user": image.user or "root",
        "runs": " ".join((*image.entrypoint, *image.command)),
        "licences": image.licenses or "",
        "packages": ", ".join(f"{package} {version}" for package, version in sorted(packages.items())),
        "labels": "\n".join(f"{label}={value}" for label, value in image.labels.items()),
    }
