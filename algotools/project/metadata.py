"""The metadata of an algorithm as a whole, from ``pyproject.toml``, the installed distribution and git."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import Distribution, entry_points
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from algotools.declare.locate import Location
from algotools.declare.projects import GROUP, get_table, read_toml
from algotools.errors import ImageNotFound, MetadataError
from algotools.image.names import make_version_tag, parse_reference

_PARTITIONINGS = ("horizontal", "vertical")

_CODE = ("source", "repository", "sourcecode", "code", "github", "gitlab", "homepage")
_DOCUMENTATION = ("documentation", "docs")


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """The metadata of an algorithm as a whole, without its functions; the fields have the store's names."""

    name: str
    image: str
    code_url: str
    description: str | None = None
    documentation_url: str | None = None
    partitioning: str = "horizontal"


class _ProjectMetadata(NamedTuple):
    """The declared metadata of a project, read from its folder or from the installed distribution."""

    name: str
    version: str = ""
    description: str = ""
    urls: Mapping[str, str] = {}
    options: Mapping[str, Any] = {}
    """``[tool.algotools]``."""
    folder: Path | None = None


def collect_metadata(
    target: str | Path, location: Location, *, image: str | None = None, code_url: str | None = None
) -> Metadata:
    """Collect the metadata of a project for the store; the arguments take precedence over the project's own values.

    Args:
        target: a folder, or the name of an installed algorithm or module, as for ``locate.locate``.
        location: the result of ``locate.locate``.
        image: an image reference; default: the project's image with its version as tag.
        code_url: the web page of the source; default: one of the project's URLs, or the git remote ``origin``.

    Raises:
        MetadataError: values are missing or invalid; the message lists all of them, each with advice.
    """
    is_folder = Path(target).is_dir()
    project = _read_project(Path(target)) if is_folder else _read_distribution(str(target), location.module)
    faults: list[str] = []
    metadata = Metadata(
        name=_read_option(project, "title", faults) or humanize(project.name),
        image=_choose_image(project, image, faults),
        code_url=code_url or _find_url(project, _CODE) or _find_remote_page(project.folder) or "",
        description=project.description or None,
        documentation_url=_find_url(project, _DOCUMENTATION),
        partitioning=_read_option(project, "partitioning", faults) or _PARTITIONINGS[0],
    )
    if metadata.partitioning not in _PARTITIONINGS:
        faults.append(
            f"partitioning: unknown value {metadata.partitioning!r} (choose from {', '.join(_PARTITIONINGS)})"
        )
    if not metadata.code_url:
        advice = 'add Repository = "https://…" under [project.urls] to pyproject.toml, set a git remote `origin`, or '
        faults.append(f"code_url: the source's address is missing; {advice if project.folder else ''}pass --code-url")
    if faults:
        raise MetadataError(f"incomplete metadata for the algorithm store: {'; '.join(faults)}")
    return metadata


def humanize(name: str) -> str:
    """Return a name as a phrase: ``v6-average_py`` becomes "V6 average py"."""
    spaced = " ".join(re.sub(r"[-_.]+", " ", name).split()) or name
    return spaced[:1].upper() + spaced[1:]


def _read_project(folder: Path) -> _ProjectMetadata:
    content = read_toml(folder / "pyproject.toml")
    project = get_table(content, "project")
    return _ProjectMetadata(
        name=str(project.get("name") or folder.resolve().name),
        version=str(project.get("version") or ""),
        description=str(project.get("description") or ""),
        urls={label: url for label, url in get_table(project, "urls").items() if isinstance(url, str)},
        options=get_table(content, "tool", "algotools"),
        folder=folder,
    )


def _read_distribution(target: str, module: str) -> _ProjectMetadata:
    """Return the metadata of the distribution that contains the algorithm, or only the name of a module without one."""
    points = list(entry_points(group=GROUP))
    point = next((p for p in points if p.name == target), None) or next((p for p in points if p.module == module), None)
    distribution: Distribution | None = getattr(point, "dist", None)
    if distribution is None:
        return _ProjectMetadata(name=module)
    fields = distribution.metadata
    urls = [f"Homepage, {url}" for url in fields.get_all("Home-page") or ()] + list(fields.get_all("Project-URL") or ())
    return _ProjectMetadata(
        name=fields["Name"],
        version=fields["Version"],
        description=" ".join(fields.get_all("Summary") or ()),
        urls={label.strip(): url.strip() for label, _, url in (text.partition(",") for text in urls)},
    )


def _read_option(project: _ProjectMetadata, key: str, faults: list[str]) -> str:
    """Return an option of ``[tool.algotools]``; add to *faults* if the option is not a string."""
    value = project.options.get(key, "")
    if isinstance(value, str):
        return value
    faults.append(f"{key}: the value under [tool.algotools] must be a string")
    return ""


def _choose_image(project: _ProjectMetadata, requested: str | None, faults: list[str]) -> str:
    """Return the requested image, otherwise the project's image with its version as tag; add to *faults* if invalid."""
    image = requested or _read_option(project, "image", faults)
    if not image:
        advice = 'add image = "registry.example.org/demo/average" (without tag) under [tool.algotools], or '
        faults.append(f"image: the reference is missing; {advice if project.folder else ''}pass --image")
        return ""
    try:
        parsed = parse_reference(image)
    except ImageNotFound as error:
        faults.append(f"image: {error.message}")
        return ""
    if requested:
        return requested
    if parsed.tag or parsed.digest:
        faults.append(f"image: remove the tag of {image} under [tool.algotools]; the project's version is the tag")
    if not project.version:
        faults.append(
            "version: the image's tag is missing; add version to [project] of pyproject.toml, or pass --image"
        )
    return f"{image}:{make_version_tag(project.version)}"


def _find_url(project: _ProjectMetadata, labels: tuple[str, ...]) -> str | None:
    """Return the URL with the first matching label; labels are normalized to letters and digits, as PyPI does."""
    urls = {re.sub(r"[\W_]", "", label).lower(): url for label, url in project.urls.items() if url}
    return next((urls[label] for label in labels if label in urls), None)


def _find_remote_page(folder: Path | None) -> str | None:
    """Return the web page of a folder's git remote; None without git, checkout or remote."""
    from algotools.image.build import run_git  # imported here: the docker package is slow to import

    remote = run_git(folder, "remote", "get-url", "origin") if folder else None
    return _convert_remote(remote) if remote is not None else None


def _convert_remote(remote: str) -> str | None:
    """Return the web page of a git remote, without credentials and ``.git``; None for a remote on this machine.

    >>> _convert_remote("git@git.example.org:demo/average.git")
    'https://git.example.org/demo/average'
    """
    if short := re.fullmatch(r"(?:[^@/:]+@)?([\w-]+(?:\.[\w-]+)+):(?!/)(.+)", remote):  # scp's format
        remote = f"ssh://{short[1]}/{short[2]}"
    parts = urlsplit(remote)
    if parts.scheme not in {"http", "https", "ssh", "git"} or not parts.hostname:
        return None
    is_web = parts.scheme in {"http", "https"}
    host = parts.netloc.rpartition("@")[2] if is_web else parts.hostname  # an ssh port is not the port of a web server
    return f"{parts.scheme if is_web else 'https'}://{host}{parts.path.rstrip('/').removesuffix('.git')}"
