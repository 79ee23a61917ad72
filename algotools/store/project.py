"""What a store wants to know that no signature says: the project's name, its image, where its source is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import Distribution, entry_points
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from algotools.errors import ImageNotFound, MetadataError
from algotools.image import reference, revision
from algotools.locate import GROUP, Place, read_toml, table

PARTITIONINGS = ("horizontal", "vertical")

_CODE = ("source", "repository", "sourcecode", "code", "github", "gitlab", "homepage")
_DOCUMENTATION = ("documentation", "docs")


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The algorithm as a whole, as the store describes it."""

    name: str
    image: str
    code_url: str
    description: str | None = None
    documentation_url: str | None = None
    partitioning: str = "horizontal"


class _Project(NamedTuple):
    """What a project says of itself, in its folder or where it is installed."""

    name: str
    version: str = ""
    description: str = ""
    urls: Mapping[str, str] = {}
    options: Mapping[str, Any] = {}
    """``[tool.algotools]``."""
    folder: Path | None = None


def facts(what: str | Path, place: Place, *, image: str | None = None, code_url: str | None = None) -> Facts:
    """Gather what the project says, and what is given instead.

    Args:
        what: as for ``locate.locate``.
        place: where that is.
        image: a reference; by default the project's image with its version as tag.
        code_url: where the source is; by default one of the project's URLs, or the git remote ``origin``.

    Raises:
        MetadataError: names everything that is missing or wrong at once, with the ways out.
    """
    project = _in_folder(Path(what)) if Path(what).is_dir() else _installed(str(what), place.module)
    problems: list[str] = []
    found = Facts(
        name=_text(project, "title", problems) or words(project.name),
        image=_image(project, image, problems),
        code_url=code_url or _labelled(project, _CODE) or _origin(project.folder) or "",
        description=project.description or None,
        documentation_url=_labelled(project, _DOCUMENTATION),
        partitioning=_text(project, "partitioning", problems) or PARTITIONINGS[0],
    )
    if found.partitioning not in PARTITIONINGS:
        problems.append(f"partitioning: {found.partitioning!r} is neither {' nor '.join(map(repr, PARTITIONINGS))}")
    if not found.code_url:
        inside = 'add Repository = "https://…" under [project.urls] to pyproject.toml, set a git remote `origin`, or '
        problems.append(f"code_url: where its source is; {inside if project.folder else ''}give --code-url")
    if problems:
        raise MetadataError(f"the algorithm store needs to be told: {'; '.join(problems)}")
    return found


def words(name: str) -> str:
    """A name for people: ``v6-average_py`` is "V6 average py"."""
    spaced = " ".join(re.sub(r"[-_.]+", " ", name).split()) or name
    return spaced[:1].upper() + spaced[1:]


def _in_folder(folder: Path) -> _Project:
    content = read_toml(folder / "pyproject.toml")
    project = table(content, "project")
    return _Project(
        name=str(project.get("name") or folder.resolve().name),
        version=str(project.get("version") or ""),
        description=str(project.get("description") or ""),
        urls={label: url for label, url in table(project, "urls").items() if isinstance(url, str)},
        options=table(content, "tool", "algotools"),
        folder=folder,
    )


def _installed(what: str, module: str) -> _Project:
    """What the package that brought the algorithm says; of a module without one only the name is known."""
    points = list(entry_points(group=GROUP))
    point = next((p for p in points if p.name == what), None) or next((p for p in points if p.module == module), None)
    distribution: Distribution | None = getattr(point, "dist", None)
    if distribution is None:
        return _Project(name=module)
    told = distribution.metadata
    urls = [f"Homepage, {url}" for url in told.get_all("Home-page") or ()] + list(told.get_all("Project-URL") or ())
    return _Project(
        name=told["Name"],
        version=told["Version"],
        description=" ".join(told.get_all("Summary") or ()),
        urls={label.strip(): url.strip() for label, _, url in (text.partition(",") for text in urls)},
    )


def _text(project: _Project, key: str, problems: list[str]) -> str:
    found = project.options.get(key, "")
    if isinstance(found, str):
        return found
    problems.append(f"{key} under [tool.algotools] must be a text")
    return ""


def _image(project: _Project, given: str | None, problems: list[str]) -> str:
    """The image's reference; what is given goes before what the project says."""
    image = given or _text(project, "image", problems)
    if not image:
        inside = 'add image = "registry.example.org/demo/average" (without tag) under [tool.algotools], or '
        problems.append(f"image: its reference; {inside if project.folder else ''}give --image")
        return ""
    try:
        parsed = reference.parse(image)
    except ImageNotFound as error:
        problems.append(f"image: {error.message}")
        return ""
    if given:
        return given
    if parsed.tag or parsed.digest:
        problems.append(f"image: leave the tag off {image} under [tool.algotools]; the project's version is the tag")
    if not project.version:
        problems.append("version: the tag of the image; say it under [project] of pyproject.toml, or give --image")
    return f"{image}:{reference.tag_of(project.version)}"


def _labelled(project: _Project, labels: tuple[str, ...]) -> str | None:
    """The URL of the first of these labels, which are compared as packaging does: letters and digits only."""
    known = {re.sub(r"[\W_]", "", label).lower(): url for label, url in project.urls.items() if url}
    return next((known[label] for label in labels if label in known), None)


def _origin(folder: Path | None) -> str | None:
    """Where the checkout that a folder is in came from; None without git, checkout or remote."""
    if folder is None:
        return None
    remote = revision.git(folder, "remote", "get-url", "origin")
    return browsable(remote) if remote is not None else None


def browsable(remote: str) -> str | None:
    """A git remote as a web page: no credentials, no ``.git``; None for one on this machine.

    >>> browsable("git@git.example.org:demo/average.git")
    'https://git.example.org/demo/average'
    """
    if short := re.fullmatch(r"(?:[^@/:]+@)?([\w-]+(?:\.[\w-]+)+):(?!/)(.+)", remote):  # as for scp
        remote = f"ssh://{short[1]}/{short[2]}"
    parts = urlsplit(remote)
    if parts.scheme not in {"http", "https", "ssh", "git"} or not parts.hostname:
        return None
    web = parts.scheme in {"http", "https"}
    place = parts.netloc.rpartition("@")[2] if web else parts.hostname  # the port of ssh is no web server's
    return f"{parts.scheme if web else 'https'}://{place}{parts.path.rstrip('/').removesuffix('.git')}"
