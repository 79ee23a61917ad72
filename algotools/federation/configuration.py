"""``federation.yaml``: a collaboration on this machine, described as a node's configuration is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Union

import msgspec

from algotools.errors import FederationError
from algotools.task import Database


class Member(msgspec.Struct, frozen=True):
    """One organization of the collaboration, and what its node has."""

    name: str
    databases: Mapping[str, Database] = {}
    variables: Mapping[str, str] = {}
    """The node's own variables for algorithms."""


class Configuration(msgspec.Struct, frozen=True):
    """A collaboration: its members in order, and which algorithm an image's name stands for."""

    members: tuple[Member, ...]
    collaboration: str = "collaboration"
    images: Mapping[str, str] = {}


class _Database(msgspec.Struct, forbid_unknown_fields=False):
    uri: str
    type: Union[str, None] = None


class _Organization(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    databases: dict[str, Union[str, dict[str, Union[str, int, float, bool]]]] = {}
    algorithm_env: dict[str, Union[str, int, float, bool]] = {}


class _File(msgspec.Struct, forbid_unknown_fields=True):
    organizations: list[_Organization]
    collaboration: str = "collaboration"
    images: dict[str, str] = {}


def read_file(path: Path) -> Configuration:
    """Read a ``federation.yaml``; paths in it are relative to it.

    Raises:
        FederationError: it is missing, not YAML, or not such a description; says where and what is expected.
    """
    import yaml  # here, because federations of frames and paths need none

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FederationError(f"{path} does not exist; describe the organizations and their databases there") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FederationError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise FederationError(f"{path} is not valid YAML: {error}") from None
    try:
        file = msgspec.convert(content, _File)
    except msgspec.ValidationError as error:
        raise FederationError(f"{path}: {error}") from None
    names = [organization.name for organization in file.organizations]
    if not names:
        raise FederationError(f"{path}: it names no organization")
    if twice := {name for name in names if names.count(name) > 1}:
        raise FederationError(f"{path}: two organizations are called {', '.join(sorted(twice))}")
    folder = path.parent.resolve()
    members = tuple(
        Member(
            organization.name,
            {label: _database(path, folder, label, told) for label, told in organization.databases.items()},
            {name: _text(value) for name, value in organization.algorithm_env.items()},
        )
        for organization in file.organizations
    )
    images = {name: str(folder / what) if (folder / what).is_dir() else what for name, what in file.images.items()}
    return Configuration(members, file.collaboration, images)


def _database(path: Path, folder: Path, label: str, told: str | dict[str, str | int | float | bool]) -> Database:
    if isinstance(told, str):
        return Database(label, locate(told, folder))
    try:
        known = msgspec.convert(told, _Database)
    except msgspec.ValidationError as error:
        raise FederationError(f"{path}: database {label!r}: {error}") from None
    options = {name.upper(): _text(value) for name, value in told.items() if name not in ("uri", "type")}
    return Database(label, locate(known.uri, folder), known.type, options)


def locate(uri: str, folder: Path) -> str:
    """A URI as it is; a path made absolute, relative to a folder."""
    return uri if "://" in uri else str((folder / Path(uri).expanduser()).absolute())


def _text(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
