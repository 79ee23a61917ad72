"""The metadata of an algorithm for an algorithm store, from signatures, docstrings and ``pyproject.toml``.

The result is the body of the store's ``POST /algorithm``. v3 has no store. ``docs/store.md`` is the page for authors.
"""

from __future__ import annotations

import enum
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from importlib.metadata import Distribution, entry_points
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import docstring_parser
import msgspec

from algotools.data.kinds import KINDS
from algotools.declare.annotations import KIND_KEY
from algotools.declare.arguments import Parameter
from algotools.declare.description import add_default_policy, describe
from algotools.declare.functions import Algorithm, RegisteredFunction
from algotools.declare.locate import GROUP, Location, get_table, read_toml
from algotools.declare.masters import find_named_rpcs
from algotools.errors import ImageNotFound, MetadataError
from algotools.image.names import make_version_tag, parse_reference
from algotools.task import Role

Generation = Literal[4, 5]


class StoreChoice(str, enum.Enum):
    """The generations with a store, as choices of the command line. Python callers pass a ``Generation``."""

    V4 = "4"
    V5 = "5"


_VERSIONS: dict[Generation, str] = {4: "4.15", 5: "5.0"}
"""Generation -> the version of vantage6 whose store accepts the metadata (the tests check it)."""

_STEPS: dict[Generation, tuple[str, dict[Role, str]]] = {
    4: ("type", {"master": "central", "rpc": "federated"}),
    5: ("step_type", {"master": "central_compute", "rpc": "federated_compute"}),
}

_PARTITIONINGS = ("horizontal", "vertical")

_CODE = ("source", "repository", "sourcecode", "code", "github", "gitlab", "homepage")
_DOCUMENTATION = ("documentation", "docs")

_FORMATS = {("string", "column"): "column", ("integer", "organization"): "organization"}
_SCALARS = {"string": "string", "integer": "integer", "number": "float", "boolean": "boolean"}
_LISTS = {"column", "organization", "string", "integer", "float"}
"""The types that have a list type in the store."""

_Schema = Mapping[str, Any]


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """The metadata of an algorithm as a whole, without its functions; the fields have the store's names."""

    name: str
    image: str
    code_url: str
    description: str | None = None
    documentation_url: str | None = None
    partitioning: str = "horizontal"


def build_metadata(algorithm: Algorithm, metadata: Metadata, generation: Generation) -> dict[str, Any]:
    """Return the metadata of an algorithm for the store of a generation, as JSON-compatible values."""
    described = {function["method"]: function for function in describe(algorithm)["functions"]}
    result: dict[str, Any] = {
        "name": metadata.name,
        "description": add_default_policy(metadata.description or ""),
        "image": metadata.image,
        "partitioning": metadata.partitioning,
        "vantage6_version": _VERSIONS[generation],
        "code_url": metadata.code_url,
        "documentation_url": metadata.documentation_url,
        "functions": [
            _describe_function(function, described, algorithm, generation)
            for function in algorithm.functions.values()
            if generation >= 5 or function.step == "compute"  # v4 has no session steps
        ],
    }
    return {key: value for key, value in result.items() if value is not None}


def _describe_function(
    function: RegisteredFunction, descriptions: Mapping[str, Any], algorithm: Algorithm, generation: Generation
) -> dict[str, Any]:
    key, steps = _STEPS[generation]
    described = descriptions[function.method]
    schema = described["arguments"]
    methods = [reader.method for reader in (function, *_find_readers(function, algorithm))]
    variables = _describe_variables(methods, descriptions)
    return {
        "name": function.method,
        "display_name": _humanize(function.method),
        "description": "\n\n".join(filter(None, (described["description"], variables))),
        key: steps[function.role] if function.step == "compute" else function.step,
        "standalone": function.standalone,
        "databases": _list_databases(function, algorithm, generation),
        "arguments": [
            _describe_argument(
                name, form, schema.get("$defs", {}), required=name in schema["required"], generation=generation
            )
            for name, form in schema["properties"].items()
        ],
    }


def _describe_variables(methods: list[str], described: Mapping[str, Any]) -> str:
    """Return a sentence about the node variables of functions, because the store has no field for them."""
    texts: dict[str, str] = {}
    for variable in (variable for method in methods for variable in described[method]["variables"]):
        schema = variable["schema"]
        default = "required" if variable["required"] else f"default {json.dumps(schema.get('default'))}"
        text = f"{variable['name']} ({variable['type']}, {default})"
        meaning = str(schema.get("description", "")).rstrip(".")
        texts.setdefault(variable["name"], f"{text}: {meaning}" if meaning else text)
    return f"Variables that the node's owner sets: {'; '.join(texts.values())}." if texts else ""


def _list_databases(function: RegisteredFunction, algorithm: Algorithm, generation: Generation) -> list[dict[str, Any]]:
    """Return the databases that a task must name: those of the function, and those of a master's subtasks.

    A subtask gets its databases from the task of the master. As in the dispatcher, a parameter with a label selects the
    database with the label; parameters without a label get the first databases of the task, in order.
    """
    databases: dict[str | int, dict[str, Any]] = {}
    groups: dict[str | int, bool] = {}
    for reader in (function, *_find_readers(function, algorithm)):
        descriptions = {p.arg_name: p.description or "" for p in docstring_parser.parse(reader.__doc__ or "").params}
        positions = itertools.count()
        for parameter in reader.specification.data:
            key = next(positions) if parameter.label is None else parameter.label
            name = _humanize(parameter.name) if parameter.label is None else parameter.label
            used_names = {database["name"] for used_key, database in databases.items() if used_key != key}
            # The UI identifies databases by name, so names must be unique.
            item = {"name": f"{name} ({len(databases) + 1})" if name in used_names else name}
            if description := " ".join((*descriptions.get(parameter.name, "").split(), *_describe_use(parameter))):
                item["description"] = description
            groups[key] = groups.get(key, False) or parameter.is_group
            databases.setdefault(key, item)
    if generation < 5:
        return list(databases.values())
    return [{**database, "multiple": groups[key]} for key, database in databases.items()]


def _describe_use(parameter: Parameter) -> Iterator[str]:
    """Yield sentences about a parameter that receives several tables or None, for which v4 has no field."""
    if parameter.is_group:
        yield "Any number of databases, by label."
    if parameter.is_optional:
        yield "Optional."


def _find_readers(function: RegisteredFunction, algorithm: Algorithm) -> list[RegisteredFunction]:
    """Return the rpcs that a master may call: the rpcs that its code names, or all rpcs if it names none."""
    if not function.specification.injects("client"):
        return []
    functions = algorithm.functions.values()
    rpcs = [candidate for candidate in functions if candidate.role == "rpc" and candidate.step == "compute"]
    origins = {rpc.origin for rpc in find_named_rpcs(function)}
    return [rpc for rpc in rpcs if rpc.origin in origins] or rpcs


def _describe_argument(
    name: str, schema: _Schema, definitions: _Schema, *, required: bool, generation: Generation
) -> dict[str, Any]:
    """Return an item of a function's ``arguments``; *definitions* are the ``$defs`` of the argument's JSON Schema."""
    kind = _find_type(schema, definitions)
    allowed = _list_allowed_values(schema, definitions) if kind in {"string", "integer"} else []
    result: dict[str, Any] = {"name": name, "display_name": _humanize(name)}
    if description := _find_description(schema):
        result["description"] = description
    result["type"] = kind
    if allowed:
        # The store compares allowed values with the text of the default, so numbers are written as text, too.
        result["allowed_values"] = list(map(str, allowed))
    if not required:
        # The default is null if it is None, or a value that JSON does not have. For null the UI omits the argument, and
        # the function uses its own default.
        default = _encode_default(schema, definitions, kind, generation)
        result |= {"has_default_value": True, "default_value": default}
    return result


def _find_type(schema: _Schema, definitions: _Schema) -> str:
    """Return the store's type for a schema: the common type of its forms except null, or ``json`` if they differ."""
    kinds = {
        _find_form_type(form, definitions) for form in _split_forms(schema, definitions) if form.get("type") != "null"
    }
    if kinds == {"integer", "float"}:
        return "float"
    return kinds.pop() if len(kinds) == 1 else "json"


def _split_forms(schema: _Schema, definitions: _Schema) -> Iterator[_Schema]:
    """Yield the alternatives of a schema. A null among the values of an enum is an alternative, too."""
    if "$ref" in schema:
        yield from _split_forms(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
    elif "anyOf" in schema:
        for form in schema["anyOf"]:
            yield from _split_forms(form, definitions)
    elif None in schema.get("enum", ()):
        yield {"type": "null"}
        yield {**schema, "enum": [value for value in schema["enum"] if value is not None]}
    else:
        yield schema


def _find_form_type(form: _Schema, definitions: _Schema) -> str:
    if "enum" in form:
        kinds = {type(value) for value in form["enum"]}
        return {str: "string", int: "integer"}.get(kinds.pop(), "json") if len(kinds) == 1 else "json"
    if form.get("type") == "array":
        items = form.get("prefixItems") or [form.get("items") or {}]
        if any(part.get("type") in {"null", "array"} for item in items for part in _split_forms(item, definitions)):
            return "json"  # v4's store fails for a null in a list of numbers, and nested arrays may be recursive
        kind = _find_type({"anyOf": items}, definitions)
        return f"{kind}_list" if kind in _LISTS else "json"
    kind, format_name = str(form.get("type")), str(form.get("format"))
    return _FORMATS.get((kind, format_name)) or _SCALARS.get(kind, "json")


def _list_allowed_values(schema: _Schema, definitions: _Schema) -> list[Any]:
    """Return the values of an enumeration; empty if the schema allows any other value."""
    forms = [form for form in _split_forms(schema, definitions) if form.get("type") != "null"]
    if not all("enum" in form for form in forms):
        return []
    return list(dict.fromkeys(value for form in forms for value in form["enum"]))


def _find_description(schema: _Schema) -> str:
    """Return the description from the docstring, or from the annotation ``Annotated[int, Meta(description=…)]``.

    The stores have no field for the kind of a column, so the description names the kind.
    """
    forms = (schema, *schema.get("anyOf", ()))
    text = next((str(form["description"]) for form in forms if "description" in form), "")
    kinds = {form[KIND_KEY] for part in forms for form in (part, part.get("items") or {}) if KIND_KEY in form}
    end = "." if text and text[-1] not in ".!?:;" and kinds else ""
    return " ".join(filter(None, (f"{text}{end}", *(f"Needs {KINDS[kind]}." for kind in sorted(kinds)))))


def _encode_default(schema: _Schema, definitions: _Schema, kind: str, generation: Generation) -> Any:
    value = schema.get("default")
    if value is None:
        return None
    if isinstance(value, list) and any("uniqueItems" in form for form in _split_forms(schema, definitions)):
        value = sorted(value, key=json.dumps)  # the order of a set varies between processes
    if isinstance(value, str) and kind != "json":
        return value
    text = json.dumps(value, ensure_ascii=False)
    if kind == "float" and "e" in text:
        return format(Decimal(text), "f")  # the UI's input field refuses an exponent, as in 1e-05
    # v4 stores every default as text. Both stores parse the text of a json argument as JSON, so a string is quoted.
    return value if generation >= 5 and not isinstance(value, str) else text


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
        name=_read_option(project, "title", faults) or _humanize(project.name),
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


def _humanize(name: str) -> str:
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
