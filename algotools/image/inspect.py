"""Inspect an image without running it: read its configuration and labels from the engine or from its registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import docker
import msgspec

from algotools.errors import EngineError, ImageNotFound, RegistryError
from algotools.image._registry import read_image
from algotools.image.engine import Log, fetch_image, find_image, open_engine, translate_errors
from algotools.image.names import HUB, Label, Reference, parse_reference
from algotools.image.policy import list_policy_variables

T = TypeVar("T")


class _LabelArguments(msgspec.Struct, frozen=True, kw_only=True):
    """JSON Schema of a function's arguments, limited to the keys that other code uses."""

    type: Literal["object"] = "object"
    properties: dict[str, dict[str, Any]] = {}
    required: list[str] = []


class _LabelDatabase(msgspec.Struct, frozen=True, kw_only=True):
    parameter: str
    form: str
    label: str | None = None


class _LabelVariable(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    parameter: str
    type: str
    required: bool
    schema: dict[str, object] = {}


class _LabelResult(msgspec.Struct, frozen=True, kw_only=True):
    type: str | None = None
    fields: dict[str, str] = {}


class _LabelFunction(msgspec.Struct, frozen=True, kw_only=True):
    method: str
    role: str
    step: str = "compute"
    standalone: bool = True
    derived_from: str | None = None
    minimum_organizations: int | None = None
    minimum_rows: int | None = None
    description: str = ""
    databases: list[_LabelDatabase] = []
    variables: list[_LabelVariable] = []
    leaves: _LabelResult | None = None
    arguments: _LabelArguments = _LabelArguments()


class _LabelValue(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    kind: str
    evidence: str | None


class _LabelCall(msgspec.Struct, frozen=True, kw_only=True):
    values: list[_LabelValue]
    omitted: int = 0
    withheld: str = ""


class _LabelDescription(msgspec.Struct, frozen=True, kw_only=True):
    """The structure of a description. A label with another structure is ignored."""

    algorithm: str
    functions: list[_LabelFunction]
    gate: str | None = None


class _BaseInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The base of an image."""

    name: str | None
    digest: str | None


class ImageInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An image as ``algotools inspect --json`` shows it: the fields are the keys, and unknown values are null."""

    reference: str
    """The name in the request."""

    where: Literal["local", "registry"]
    """Whether the image was read on this machine or in its registry."""

    kind: Literal["algorithm", "base", "other"]
    """``algorithm``: built from a project with ``algotools build``; ``base``: a base of such images."""

    id: str
    """Digest of its configuration."""

    digests: tuple[str, ...]
    """``name@sha256:…`` in registries; first the digest of the name, of an index if there are ``platforms``."""

    platform: str
    """The platform of the image, such as ``linux/amd64``."""

    platforms: tuple[str, ...] = ()
    """In a registry: all platforms of the index; empty if the name belongs to a single image."""

    created: str | None
    """Time of creation, as RFC 3339 defines it."""

    size: int
    """Size in bytes: unpacked for a local image, compressed for an image in a registry."""

    layers: int
    user: str
    """The user that the image's command runs as; empty: root."""

    entrypoint: tuple[str, ...]
    command: tuple[str, ...]

    title: str | None
    details: str | None
    licenses: str | None
    version: str | None
    """The version of the algorithm."""

    algotools: str | None
    """The version of algotools in the image."""

    context: str | None
    """Digest of the sources of a base image."""

    base: _BaseInfo | None
    revision: str | None
    clean: bool | None
    """Whether the files in the image are identical to those of the revision."""

    packages: dict[str, str] | None
    """Name -> version of each package and of ``python``."""

    description: dict[str, Any] | None
    """The description of the algorithm, as in ``algotools describe --json``."""

    gate: str | None = None
    """The version of the disclosure gate in the image; None if the image does not name it."""

    policy_variables: tuple[str, ...] = ()
    """The settings of a node's policy that the image has. Only the owner of a node may set them."""

    labels: dict[str, str]
    """All other labels."""

    warnings: tuple[str, ...] = ()


class ImageVersions(NamedTuple):
    """The versions of the software in an image; None if its labels do not name them."""

    title: str | None = None
    version: str | None = None
    algotools: str | None = None
    python: str | None = None
    digests: tuple[str, ...] = ()
    """``name@sha256:…`` in registries; empty for an image that was not pulled or pushed."""


class RunnableImage(NamedTuple):
    """An image that a runner can start."""

    id: str
    roles: Mapping[str, str]
    """Method -> ``master`` or ``rpc``. Empty if the image has no description."""
    internal: frozenset[str] = frozenset()
    """The methods that run only for a master."""
    has_algotools_labels: bool = True
    has_gate: bool = True
    """Whether the algotools in the image has a disclosure gate."""
    command: tuple[str, ...] = ()
    """The entry point and command that a node starts."""
    variables: Mapping[str, str] = {}
    """The environment variables of the image."""
    versions: ImageVersions = ImageVersions()
    functions: Sequence[object] = ()
    """The functions in the image's description; empty if the image has no description."""


def inspect(name: str) -> ImageInfo:
    """Inspect an image of this machine. If this machine does not have the image, read it in its registry.

    Raises:
        EngineError: no engine answers, and the name has no registry.
        ImageNotFound: the image is neither on this machine nor in its registry, or the name is malformed.
        RegistryError: the registry does not answer, requires a login, or refuses.
    """
    reference = parse_reference(name)
    try:
        with open_engine() as client:
            return inspect_local(client, name)
    except EngineError as error:
        if not reference.registry:
            raise
        local_problem = f"the image was not searched on this machine: {error.message}"
    except ImageNotFound as error:
        if not reference.registry:
            raise ImageNotFound(
                f"{error.message}; the name has no registry, so no registry was searched (Docker's own: {HUB}/{name})"
            ) from None
        # Only similar names can help here: the registry has yet to be searched.
        problem, _, suggestion = error.message.partition("; ")
        local_problem = error.message if suggestion.startswith("similar: ") else problem
    try:
        return _inspect_in_registry(reference)
    except (ImageNotFound, RegistryError) as error:
        raise type(error)(error.message, detail="\n".join(filter(None, (error.detail, local_problem)))) from None


def inspect_local(client: docker.DockerClient, name: str) -> ImageInfo:
    """Inspect an image of the engine by its name or id.

    Raises:
        EngineError: the connection to the engine is lost.
        ImageNotFound: the engine does not have the image. The message lists similar images.
    """
    with translate_errors():
        attributes = find_image(client, name)
    requested = name.partition("@")[0]
    # The digest in the registry of the requested name comes first.
    digests = sorted(
        (str(digest) for digest in attributes.get("RepoDigests") or ()),
        key=lambda digest: not requested.startswith(digest.partition("@")[0]),
    )
    return _make_image_info(
        attributes,
        reference=name,
        where="local",
        id=str(attributes["Id"]),
        digests=tuple(digests),
        size=int(attributes.get("Size") or 0),
        layers=len((attributes.get("RootFS") or {}).get("Layers") or ()),
    )


def read_runnable_image(client: docker.DockerClient, name: str, log: Log) -> RunnableImage:
    """Read an image by name or id. If the engine does not have it, pull it from its registry.

    Raises:
        ImageNotFound: the image is neither on this machine nor in its registry.
    """
    image = fetch_image(client, name, log)
    try:
        functions = msgspec.json.decode(image.labels.get(Label.DESCRIPTION) or "{}").get("functions", [])
        roles = {str(function["method"]): str(function["role"]) for function in functions}
        internal = frozenset(str(function["method"]) for function in functions if function.get("standalone") is False)
    except (msgspec.MsgspecError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        functions, roles, internal = (), {}, frozenset()  # the label of another tool
    configuration = image.attrs.get("Config") or {}
    return RunnableImage(
        str(image.id),
        roles,
        internal,
        has_algotools_labels=bool({Label.VERSION, Label.DESCRIPTION} & image.labels.keys()),
        has_gate=Label.GATE in image.labels,
        command=(*(configuration.get("Entrypoint") or ()), *(configuration.get("Cmd") or ())),
        versions=_read_versions(image.labels, image.attrs.get("RepoDigests") or ()),
        variables=dict(pair.split("=", 1) for pair in configuration.get("Env") or () if "=" in pair),
        functions=functions if roles else (),
    )


def _read_versions(labels: Mapping[str, str], digests: Iterable[str]) -> ImageVersions:
    try:
        python = msgspec.json.decode(labels.get(Label.PACKAGES) or "{}", type=dict[str, str]).get("python")
    except msgspec.MsgspecError:
        python = None
    title, version = labels.get(Label.TITLE), labels.get(Label.ALGORITHM_VERSION)
    return ImageVersions(title, version, labels.get(Label.VERSION), python, tuple(digests))


def _inspect_in_registry(reference: Reference) -> ImageInfo:
    image = msgspec.structs.asdict(read_image(reference))
    tag, digest = f":{reference.tag}" if reference.tag else "", f"@{reference.digest}" if reference.digest else ""
    return _make_image_info(
        image.pop("configuration"),
        reference=f"{reference.name}{tag}{digest}",
        where="registry",
        **image,
    )


def _make_image_info(attributes: Mapping[str, Any], *, warnings: tuple[str, ...] = (), **fields: Any) -> ImageInfo:
    """Interpret the attributes of an image from the engine or from a registry, which differ only in the case of keys.

    Every value is checked, because an image can be made by any tool.
    """
    lower = {key.lower(): value for key, value in attributes.items()}
    settings = config if isinstance(config := lower.get("config"), Mapping) else {}
    labels = settings.get("Labels")
    # Each label that has a field of its own is removed from `others`.
    texts = {str(k): v for k, v in labels.items() if isinstance(v, str)} if isinstance(labels, Mapping) else {}
    texts.pop(Label.MADE_FROM, None)  # only `algotools build` uses it
    has_description, version = Label.DESCRIPTION in texts, texts.pop(Label.VERSION, None) or None
    problems: list[str] = list(warnings)
    description = _decode_label(texts, Label.DESCRIPTION, dict[str, Any], problems, form=_LabelDescription)
    calls = _decode_label(texts, Label.LEFT_IN_TRIAL, dict[str, Any], problems, form=dict[str, _LabelCall])
    for function in (description or {}).get("functions", ()):
        if calls is not None and function["method"] in calls:
            function["left_in_trial"] = calls[function["method"]]
    packages = _decode_label(texts, Label.PACKAGES, dict[str, str], problems)

    def pop_label(label: str) -> str | None:
        return texts.pop(label, None) or None

    base = _BaseInfo(name=pop_label(Label.BASE), digest=pop_label(Label.BASE_DIGEST))
    created = lower.get("created")
    return ImageInfo(
        kind="algorithm" if description else "base" if version and not has_description else "other",
        platform="/".join(str(lower[key]) for key in ("os", "architecture", "variant") if lower.get(key)),
        created=created if isinstance(created, str) and created[:4] not in {"", "0001"} else None,
        user=str(settings.get("User") or ""),
        entrypoint=_split_command(settings.get("Entrypoint")),
        command=_split_command(settings.get("Cmd")),
        title=pop_label(Label.TITLE),
        details=pop_label(Label.DETAILS),
        licenses=pop_label(Label.LICENSES),
        version=pop_label(Label.ALGORITHM_VERSION),
        algotools=version,
        context=pop_label(Label.CONTEXT),
        base=base if base.name or base.digest else None,
        revision=pop_label(Label.REVISION),
        clean={"true": True, "false": False}.get(texts.pop(Label.CLEAN, "")),
        packages=packages,
        description=description,
        gate=pop_label(Label.GATE),
        policy_variables=tuple(list_policy_variables(settings)),
        labels=texts,
        warnings=tuple(problems),
        **fields,
    )


def _decode_label(
    labels: dict[str, str], label: str, kind: type[T], problems: list[str], *, form: Any = None
) -> T | None:
    """Remove a label and return its JSON value. If the value has another structure, return None and add a warning."""
    content = labels.pop(label, None)
    if content is None:
        return None
    try:
        if form is not None:
            msgspec.json.decode(content, type=form)
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        problems.append(f"the label {label} is ignored, because `algotools build` did not write it ({error})")
        return None


def _split_command(value: object) -> tuple[str, ...]:
    """Return the parts of a command, which can be a list or a single string."""
    if isinstance(value, str):
        return (value,)
    return tuple(map(str, value)) if isinstance(value, Sequence) else ()
