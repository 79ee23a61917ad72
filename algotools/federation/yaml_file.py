"""The content of a ``federation.yaml``: organizations, their databases in both forms, variables, images, policy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec

from algotools.data.names import suggest_name
from algotools.errors import FederationError, PolicyError
from algotools.federation._yaml_document import Element, Scalar, make_json_value, read_document
from algotools.federation.configuration import Configuration, Member, locate
from algotools.federation.policy import NodePolicy, PolicySource, load_policy
from algotools.task import Database

_FILE_KEYS = ("organizations", "collaboration", "images", "policy")
_ORGANIZATION_KEYS = ("name", "databases", "algorithm_env")
_DATABASE_KEYS = ("uri", "type")
_LISTED_KEYS = ("label", "uri", "type", "env")
"""The keys of a database in the list form of a v4 node."""


def read_file(path: Path) -> Configuration:
    """Read a ``federation.yaml``. Relative paths are relative to the folder of the file.

    Raises:
        FederationError: the file is missing, not valid YAML, or not a valid description of a federation.
        PolicyError: the policy is malformed.
    """
    try:
        configuration = _read_root(read_document(path), path.parent.resolve())
        return msgspec.structs.replace(configuration, file=path.absolute())
    except RecursionError:  # a long chain of merge keys; the depth of the document itself is limited
        raise FederationError(f"{path} is not valid YAML: the values are nested too deeply") from None


def _read_root(root: Element, folder: Path) -> Configuration:
    if not root.is_mapping:
        raise root.make_error(f"the file must be a mapping with the key `organizations`, not {root.describe()}")
    content = _read_keys(root, _FILE_KEYS)
    if "organizations" not in content:
        raise root.make_error("missing required field `organizations`, the list of organizations")
    organizations = content["organizations"]
    if not organizations.is_list:
        raise organizations.make_error(
            f"`organizations` must be a list, not {organizations.describe()}; begin each organization with `- name:`"
        )
    items = organizations.read_list()
    if not items:
        raise organizations.make_error("`organizations` is empty; add at least one organization")
    members: dict[str, tuple[Member, int]] = {}
    for position, item in enumerate(items, start=1):
        name = item.find_text("name")
        location = f"organization {position if name is None else repr(name)}"
        member = _read_organization(item.at(location), folder)
        if member.name in members:
            first = members[member.name][1]
            raise item.make_error(
                f"two organizations are called {member.name}, the first in line {first}; rename one of the two"
            )
        members[member.name] = (member, item.line)
    collaboration = "collaboration"
    if "collaboration" in content:
        collaboration = content["collaboration"].read_text("the collaboration's name")
    images = _read_images(content["images"], folder) if "images" in content else {}
    policy = _read_policy(content["policy"].at("policy"), folder) if "policy" in content else None
    return Configuration(tuple(member for member, _ in members.values()), collaboration, images, policy)


def _read_policy(element: Element, folder: Path) -> NodePolicy:
    """Read the policy of all nodes: a preset, the path of a file, or a mapping of settings."""
    source: PolicySource
    if element.is_mapping:
        source = {name: _read_setting(value, name) for name, value in element.read_mapping("setting").items()}
    elif element.is_list:
        raise element.make_error(
            f"a policy is a preset, the path of a file or a mapping ({{minimum_cell: 5}}), not {element.describe()}"
        )
    else:
        source = element.read_word("the policy")
    try:
        return load_policy(source, folder)
    except PolicyError as error:
        message = error.message.removeprefix("the policy: ")  # the element's error begins with "policy:"
        raise PolicyError(element.make_error(message).message, detail=error.detail) from None


def _read_setting(element: Element, name: str) -> object:
    """Return the value of a setting: a text, a number, a list, or a mapping of settings."""
    subject = f"the setting {name!r}"
    if element.is_mapping:
        return {key: _read_setting(value, key) for key, value in element.read_mapping("setting").items()}
    if element.is_list:
        return [item.read_scalar(f"an item of {subject}") for item in element.read_list()]
    return element.read_word(subject) if name == "preset" else element.read_scalar(subject)


def _read_images(element: Element, folder: Path) -> dict[str, str]:
    images = {}
    for name, value in element.at("images").read_mapping("image name").items():
        target = value.read_text(f"the algorithm of {name!r}")
        try:
            images[name] = str(folder / target) if (folder / target).is_dir() else target
        except OSError:  # a text that is too long for a file name
            images[name] = target
    return images


def _read_organization(element: Element, folder: Path) -> Member:
    content = _read_keys(element, _ORGANIZATION_KEYS)
    if "name" not in content:
        raise element.make_error("missing required field `name`, the organization's name")
    name = content["name"].read_text("the name")
    databases: dict[str, Database] = {}
    if "databases" in content:
        databases = _read_databases(content["databases"], folder)
    variables: dict[str, str] = {}
    if "algorithm_env" in content:
        for key, value in (
            content["algorithm_env"].at(f"{element.location}, algorithm_env").read_mapping("variable").items()
        ):
            variables[key] = _to_text(value.read_scalar(f"the variable {key!r}"))
    return Member(name, databases, variables)


def _read_databases(element: Element, folder: Path) -> dict[str, Database]:
    """Read the databases of an organization: a mapping by label, or the list of a v4 node's configuration."""
    if element.is_list:
        return _read_listed_databases(element, folder)
    if not element.is_mapping:
        raise element.make_error(
            f"`databases` must be a mapping from labels to databases, or a list of databases, not {element.describe()}"
        )
    databases = {}
    for label, value in element.read_mapping("label").items():
        database = value.at(f"{element.location}, database {label!r}")
        if not database.is_mapping:
            if database.is_empty or database.is_list:
                raise database.make_error("a database must be a path, a URI, or a mapping with the key `uri`")
            databases[label] = _make_database(database, label, database.read_text("the path or URI"), folder)
            continue
        content = database.read_mapping("option")
        _check_spelling(content)
        options = {name: item for name, item in content.items() if name not in _DATABASE_KEYS}
        databases[label] = _read_database(database, label, content, options, folder)
    return databases


def _read_listed_databases(element: Element, folder: Path) -> dict[str, Database]:
    databases: dict[str, Database] = {}
    lines: dict[str, int] = {}
    for position, item in enumerate(element.read_list(), start=1):
        known_label = item.find_text("label")
        location = f"{element.location}, database {position if known_label is None else repr(known_label)}"
        database = item.at(location)
        if not database.is_mapping:
            raise database.make_error(
                f"an item of the list `databases` must be a mapping with `label` and `uri`, not {database.describe()}"
            )
        content = _read_keys(database, _LISTED_KEYS, "options of the database belong under `env`")
        if "label" not in content:
            raise database.make_error("missing required field `label`, the database's label")
        label = content["label"].read_text("the label")
        if label in databases:
            raise database.make_error(f"the label {label!r} occurs twice, first in line {lines[label]}; rename one")
        options = content["env"].at(f"{location}, env").read_mapping("option") if "env" in content else {}
        databases[label] = _read_database(database, label, content, options, folder)
        lines[label] = database.line
    return databases


def _read_database(
    element: Element, label: str, content: Mapping[str, Element], options: Mapping[str, Element], folder: Path
) -> Database:
    """Read a database from the elements of its ``uri`` and ``type`` and of its options."""
    if "uri" not in content:
        similar = next(
            (f"; did you mean `uri` instead of {name!r}?" for name in options if suggest_name(name, ["uri"])), ""
        )
        raise element.make_error(f"missing required field `uri`, the database's path or URI{similar}")
    kind = content["type"].read_text("the type") if "type" in content else None
    texts: dict[str, str] = {}
    names: dict[str, str] = {}
    for name, value in options.items():
        key = name.upper()
        if key in texts:
            raise value.make_error(f"{names[key]!r} and {name!r} are the same option; keep one of the two")
        names[key], texts[key] = name, _read_option(value, name)
    return _make_database(content["uri"], label, content["uri"].read_text("the path or URI"), folder, kind, texts)


def _make_database(
    element: Element,
    label: str,
    uri: str,
    folder: Path,
    kind: str | None = None,
    options: Mapping[str, str] | None = None,
) -> Database:
    try:
        return Database(label, locate(uri, folder), kind, options or {})
    except RuntimeError:  # `~user` of a user that does not exist
        raise element.make_error(
            "the path begins with ~, and this user has no home folder; write the full path"
        ) from None


def _read_option(element: Element, name: str) -> str:
    """Return the text of an option. A list or a mapping becomes JSON, as a node's owner writes it in a variable."""
    subject = f"the option {name!r}"
    if element.is_list:
        items = [item.read_scalar(f"an item of {subject}") for item in element.read_list()]
        return json.dumps([make_json_value(item) for item in items], ensure_ascii=False)
    if element.is_mapping:
        content = element.read_mapping("key").items()
        values = {key: make_json_value(item.read_scalar(f"the value of {key!r} in {subject}")) for key, item in content}
        return json.dumps(values, ensure_ascii=False)
    return _to_text(element.read_scalar(subject))


def _to_text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_spelling(content: Mapping[str, Element]) -> None:
    """Refuse an option that is almost ``uri`` or ``type``. All other options are possible: algorithms define them."""
    for name, element in content.items():
        if name in _DATABASE_KEYS or name.lower() == "dtype":
            continue
        if name == "env" and element.is_mapping:
            raise element.make_error("`env` belongs to a list of databases; write its options beside `uri`")
        similar = [key for key in _DATABASE_KEYS if name.lower() in (key, f"{key}s") or sorted(name) == sorted(key)]
        if similar:
            raise element.make_error(f"unknown field {name!r}; did you mean {similar[0]!r}?")


def _read_keys(element: Element, names: tuple[str, ...], advice: str = "") -> dict[str, Element]:
    """Return the content of a mapping that may have only the keys *names*."""
    content = element.read_mapping("key")
    for name, value in content.items():
        if name not in names:
            suggestion = suggest_name(name, names) or f" (fields: {', '.join(names)}{f'; {advice}' if advice else ''})"
            raise value.make_error(f"unknown field `{name}`{suggestion}")
    return content
