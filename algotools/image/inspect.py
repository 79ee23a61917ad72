"""What there is to know of an image without running it: from the engine, or from its registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import docker
import msgspec

from algotools.errors import EngineError, ImageNotFound, RegistryError
from algotools.image import finding, labels, reference
from algotools.image.engine import engine, naming_trouble
from algotools.image.reference import HUB, Reference

T = TypeVar("T")


class Database(msgspec.Struct, frozen=True, kw_only=True):
    """A database that a function reads; without a label it is the one that the task asks for."""

    parameter: str
    form: str
    label: str | None = None


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    """JSON Schema of a function's arguments, as far as it must be so for the rest to be read."""

    type: Literal["object"] = "object"
    properties: dict[str, dict[str, Any]] = {}
    required: list[str] = []


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """A function as the label describes it."""

    method: str
    role: str
    step: str = "compute"
    description: str = ""
    databases: list[Database] = []
    arguments: Arguments = Arguments()


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """The form that a label must have to be an algorithm's description."""

    algorithm: str
    functions: list[Function]


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """What an image is built on."""

    name: str | None
    digest: str | None


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image. Its fields are the keys of ``algotools inspect --json``; what is not known is null."""

    reference: str
    """The name that was asked for."""

    where: Literal["local", "registry"]
    kind: Literal["algorithm", "base", "other"]
    """Made by ``algotools build`` from a project, the base of such images, or something else."""

    id: str
    """Digest of its configuration."""

    digests: tuple[str, ...]
    """``name@sha256:…`` in registries; first what the name stands for, which is an index if there are ``platforms``."""

    platform: str
    """``linux/amd64``."""

    platforms: tuple[str, ...] = ()
    """In a registry: all platforms that the name has an image for, if it is an index."""

    created: str | None
    """RFC 3339."""

    size: int
    """Bytes: unpacked for a local image, compressed for one in a registry."""

    layers: int
    user: str
    """Empty: root."""

    entrypoint: tuple[str, ...]
    command: tuple[str, ...]

    title: str | None
    details: str | None
    licenses: str | None
    version: str | None
    """The algorithm's."""

    algotools: str | None
    """The version of algotools in the image."""

    context: str | None
    """Digest of what a base image was made from."""

    base: Base | None
    revision: str | None
    clean: bool | None
    """Whether the project's folder held just what the revision does."""

    packages: dict[str, str] | None
    """Name -> version, with ``python`` among them."""

    description: dict[str, Any] | None
    """As ``algotools describe --json`` shows it."""

    labels: dict[str, str]
    """All other labels."""

    warnings: tuple[str, ...] = ()


def inspect(name: str) -> Image:
    """An image of this machine or, if there is none of that name, in its registry.

    Raises:
        EngineError: there is no engine, and the name has no registry to look in.
        ImageNotFound: it is neither here nor there, or no image's name.
        RegistryError: the registry does not answer, wants a login, or refuses.
    """
    parsed = reference.parse(name)
    try:
        with engine() as client:
            return local(client, name)
    except EngineError as error:
        if not parsed.registry:
            raise
        absent = f"no container engine was asked: {error.message}"
    except ImageNotFound as error:
        if not parsed.registry:
            raise ImageNotFound(
                f"{error.message}; as the name has no registry, none was asked (Docker's own: {HUB}/{name})"
            ) from None
        absent = error.message
    try:
        return in_registry(parsed)
    except (ImageNotFound, RegistryError) as error:
        raise type(error)(error.message, detail="\n".join(filter(None, (error.detail, absent)))) from None


def local(client: docker.DockerClient, name: str) -> Image:
    """An image that the engine has, by its name or id.

    Raises:
        EngineError: the engine went away.
        ImageNotFound: it has none of that name; lists some that it has.
    """
    with naming_trouble():
        told = finding.find(client, name)
    digests = [str(digest) for digest in told.get("RepoDigests") or ()]
    own = name.partition("@")[0]
    return _image(
        told.get("Config"),
        told,
        reference=name,
        where="local",
        id=str(told["Id"]),
        digests=tuple(sorted(digests, key=lambda digest: not own.startswith(digest.partition("@")[0]))),
        size=int(told.get("Size") or 0),
        layers=len((told.get("RootFS") or {}).get("Layers") or ()),
    )


def in_registry(asked: Reference) -> Image:
    """An image in its registry, which is not pulled for it.

    Raises:
        ImageNotFound: the registry has none of that name.
        RegistryError: it does not answer, wants a login, refuses, or has something else under that name.
    """
    from algotools.image import registry  # here: dxf is of no use to those who look at what is local

    found = registry.read(asked)
    tag, digest = f":{asked.tag}" if asked.tag else "", f"@{asked.digest}" if asked.digest else ""
    return _image(
        found.configuration.get("config"),
        found.configuration,
        reference=f"{asked.name}{tag}{digest}",
        where="registry",
        id=found.id,
        digests=found.digests,
        platforms=found.platforms,
        size=found.size,
        layers=found.layers,
        warnings=found.warnings,
    )


def _image(settings: object, told: Mapping[str, Any], *, warnings: tuple[str, ...] = (), **known: Any) -> Image:
    """Read what engine and registry tell in the same form, but for the case of some keys.

    Whoever made the image may have written anything there.
    """
    settings = settings if isinstance(settings, Mapping) else {}
    written = settings.get("Labels")
    rest = {str(k): v for k, v in written.items() if isinstance(v, str)} if isinstance(written, Mapping) else {}
    rest.pop(labels.MADE_FROM, None)  # the builder's own
    described, version = labels.DESCRIPTION in rest, rest.pop(labels.VERSION, None) or None
    problems: list[str] = list(warnings)
    description = _json(rest, labels.DESCRIPTION, dict[str, Any], problems, form=Description)
    packages = _json(rest, labels.PACKAGES, dict[str, str], problems)
    lower = {key.lower(): value for key, value in told.items()}

    def text(label: str) -> str | None:
        return rest.pop(label, None) or None

    base = Base(name=text(labels.BASE), digest=text(labels.BASE_DIGEST))
    created = lower.get("created")
    return Image(
        kind="algorithm" if description else "base" if version and not described else "other",
        platform="/".join(str(lower[key]) for key in ("os", "architecture", "variant") if lower.get(key)),
        created=created if isinstance(created, str) and created[:4] not in {"", "0001"} else None,
        user=str(settings.get("User") or ""),
        entrypoint=_words(settings.get("Entrypoint")),
        command=_words(settings.get("Cmd")),
        title=text(labels.TITLE),
        details=text(labels.DETAILS),
        licenses=text(labels.LICENSES),
        version=text(labels.ALGORITHM_VERSION),
        algotools=version,
        context=text(labels.CONTEXT),
        base=base if base.name or base.digest else None,
        revision=text(labels.REVISION),
        clean={"true": True, "false": False}.get(rest.pop(labels.CLEAN, "")),
        packages=packages,
        description=description,
        labels=rest,
        warnings=tuple(problems),
        **known,
    )


def _json(rest: dict[str, str], label: str, kind: type[T], problems: list[str], *, form: Any = None) -> T | None:
    """What a label holds as JSON; None, with a word why, if it is not of the form that ours have."""
    content = rest.pop(label, None)
    if content is None:
        return None
    try:
        if form is not None:
            msgspec.json.decode(content, type=form)
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        problems.append(f"the label {label} is not as `algotools build` writes it, and is left out ({error})")
        return None


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(map(str, value)) if isinstance(value, Sequence) else ()
