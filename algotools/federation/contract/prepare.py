"""The variables, files and paths that nodes of several generations prepare in the same way."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from urllib.parse import urlsplit

import msgspec

from algotools.disclosure import LEDGER, POLICY_PREFIX, is_policy_variable
from algotools.errors import ContractError
from algotools.federation.contract import NodeContract
from algotools.runtime import logs
from algotools.runtime.contract.environment import (
    DATABASE_SUFFIXES,
    LEDGER_LABEL,
    RULES_FILE,
    RULES_LABEL,
    is_owner_label,
    is_rules_label,
    is_text,
)
from algotools.runtime.contract.files import RICH_FORMAT
from algotools.task import Database, Identity, Proxy, Task, is_image_variable

DATA = PurePosixPath("/mnt/data")
TEMPORARY = PurePosixPath("/mnt/tmp")

_RULES = DATA / f"{RULES_LABEL}.toml"
"""The policy file in a container."""

_SIGNS = frozenset({"FUNCTION_ACTION", "ALGORITHM_METHOD", "USER_REQUESTED_DATABASE_LABELS"})
"""Variables from which a container detects the generation."""

LEDGER_FOLDER = DATA.parent / LEDGER_LABEL
"""The folder of the ledger in a container."""

NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
POLICY_LEDGER = f"{POLICY_PREFIX}_LEDGER"
"""The variable of the policy with the folder of the ledger."""

OPTION_NAME = re.compile("[A-Z_][A-Z0-9_]*")

Limits = Iterator[tuple[object, str]]
"""Pairs: whether a task exceeds the limit of a generation, and the text of the error for that."""


def check_limits(generation: str, limits: Limits) -> None:
    """Refuse a task that a generation cannot express.

    Raises:
        ContractError: the task exceeds a limit. The message names the first one.
    """
    for is_exceeded, text in limits:
        if is_exceeded:
            raise ContractError(f"{generation} cannot express {text}")


def list_volume_limits(task: Task) -> Limits:
    """Yield the limits that v3 and v4 share."""
    databases, proxy = (*task.databases, *task.configured), task.proxy
    sessions = task.step != "compute" or any(database.group is not None for database in databases)
    yield sessions, "sessions: a step other than compute, or groups of tables"
    yield task.identity is not None, "`identity` in the environment: the token contains it"
    yield proxy and (proxy.token or not proxy.token_file), "a token without a file: only v5 has it in the environment"
    for database in databases:
        yield database.type in ("", "None"), f"the type {database.type!r} of database {database.label}"
        owner_file = "policy file" if is_rules_label(database.label) else "ledger"
        is_known = bool(database.uri or database.type or database.options) or database in task.configured
        is_owners = is_owner_label(database.label) and is_known
        yield is_owners, f"a database with the label {database.label}, which belongs to the {owner_file}"
    yield task.resend_of is not None, "a request that is sent again (`resend_of`): only nodes of v5 lose results"
    yield task.policy_file and not task.policy_file.is_absolute(), "a policy file with a relative path"
    for database in task.configured:
        queries = (database.query, database.sheet_name, database.preprocessing)
        yield queries != (None,) * 3, f"a query of a database that is not requested ({database.label})"


def make_location_variables(task: Task) -> dict[str, str]:
    """Return the variables with the locations of a task's files, folder and proxy.

    Raises:
        ContractError: the proxy's URL is not ``scheme://host:port/path``.
    """
    values = {"INPUT_FILE": str(task.input_file), "OUTPUT_FILE": str(task.output_file)}
    if task.temporary_folder is not None:
        values["TEMPORARY_FOLDER"] = str(task.temporary_folder)
    if task.proxy is not None:
        url = task.proxy.url
        # The container joins host, port and path again. A URL that would then differ, such as one with a query or with
        # the port 080, is refused.
        try:
            parts = urlsplit(url)
            host, port, path = f"{parts.scheme}://{parts.netloc.rpartition(':')[0]}", parts.port, parts.path
            is_complete = parts.scheme and parts.hostname and f"{host}:{port}{path}" == url
        except ValueError:
            is_complete = False
        if not is_complete:
            raise ContractError(f"the proxy's URL must be scheme://host:port/path, not {url!r}")
        values |= {"HOST": host, "PORT": str(port), "API_PATH": path}
        if task.proxy.token_file is not None:
            values["TOKEN_FILE"] = str(task.proxy.token_file)
    return values


def make_rules_variables(task: Task) -> dict[str, str]:
    """Return the variables of the database with the policy file; its type has no effect."""
    if task.policy_file is None:
        return {}
    return {RULES_FILE: str(task.policy_file), f"{RULES_LABEL.upper()}_{DATABASE_SUFFIXES['type']}": "other"}


def split_variables(variables: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the variables for algorithms, and the policy variables, among those that a node's owner sets."""
    policy = {name: text for name, text in variables.items() if is_policy_variable(name)}
    return {name: text for name, text in variables.items() if name not in policy}, policy


def make_input_content(task: Task) -> dict[str, object]:
    """Return the call of a task as the content of the input file of v3 and v4."""
    content: dict[str, object] = {"method": task.method, "args": list(task.args), "kwargs": dict(task.kwargs)}
    if task.role is not None:
        content["master"] = task.role == "master"
    if task.encoding == "rich":
        content["output_format"] = RICH_FORMAT
    if task.resend_of is not None:
        content["resend_of"] = task.resend_of
    return content


def encode_value(text: str) -> str:
    """Encode a value as v4's nodes do: base32, with ``!`` for padding."""
    return base64.b32encode(text.encode()).decode().replace("=", "!")


def build_environment(
    task: Task,
    values: Mapping[str, str],
    reserved: Collection[str],
    *,
    encoded: bool = True,
    secrets: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """Return the environment of a container: the variables of the contract and of the node, and secrets.

    Args:
        task: the task, which contains the variables and the policy that the node's owner has set.
        values: the variables of the contract.
        reserved: all names that the contract uses.
        encoded: whether values are encoded.
        secrets: further variables of the contract, which are never encoded.

    Raises:
        ContractError: a container could not read a variable, or could confuse it with another. The message names the
            variable.
    """
    if task.ignored_policy_variables:
        raise ContractError("a node cannot set the policy variables of an image (`ignored_policy_variables`)")
    for name, value in {**task.policy_variables, **task.variables}.items():
        if is_policy_variable(name) != (name in task.policy_variables) or (
            name in task.policy_variables and name in task.variables
        ):
            raise ContractError(
                f"variable {name!r}: the variables of the policy belong in `policy_variables`, no others"
            )
        if not NAME.fullmatch(name):
            raise ContractError(f"variable {name!r}: a name must be an identifier")
        if name in reserved or name in _SIGNS or is_image_variable(name):
            raise ContractError(f"variable {name!r}: the name is reserved for the contract or the image")
        if encoded and not is_text(value) and name not in task.policy_variables:
            raise ContractError(
                f"variable {name!r}: the value has control characters, so a container would not decode the value"
            )
    environment = {**values, **task.variables, **task.policy_variables}
    for name, value in {**environment, **secrets}.items():
        if "\0" in value or "\0" in name or "=" in name:
            raise ContractError(f"variable {name!r}: a variable must not contain a null character, nor its name '='")
        try:
            f"{name}={value}".encode()
        except UnicodeEncodeError:
            raise ContractError(f"variable {name!r}: the value is not valid Unicode") from None
    if encoded:
        environment = {name: encode_value(value) for name, value in environment.items()}
    return {**environment, **secrets}


def build_files(task: Task, data: bytes, token: str) -> dict[Path, bytes]:
    """Return the files of a run: the input, an empty output and, if the task names a file for it, the token.

    Raises:
        ContractError: a path is relative, or two files have the same path.
    """
    files = [(task.input_file, data), (task.output_file, b"")]
    if task.proxy is not None and task.proxy.token_file is not None:
        files.append((task.proxy.token_file, token.encode()))
    if relative := [path for path, _ in files if not path.is_absolute()]:
        raise ContractError(
            f"the path {str(relative[0])!r} must be absolute, because a container has another working directory"
        )
    if len(dict(files)) < len(files):
        raise ContractError("the files for input, output and token must be different files")
    return dict(files)


class SharedVolume(NodeContract):
    """The paths of v3 and v4: the files of all runs and the databases are on a volume that a node's tasks share."""

    def add_proxy(self, task: Task, url: str, identity: Identity, token: str, folder: Path) -> Task:
        """See ``NodeContract.add_proxy``. The token is in a file, and contains the identity."""
        del identity, token
        return msgspec.structs.replace(task, proxy=Proxy(url, folder / "token"))

    def map_to_container(self, task: Task, url: str) -> Task:
        """See ``NodeContract.map_to_container``. The files of a run are in one folder."""
        folder = Path(DATA / task.output_file.parent.name)
        return relocate(
            task,
            databases=tuple(map(_map_database, task.databases)),
            configured=tuple(map(_map_database, task.configured)),
            input_file=folder / task.input_file.name,
            output_file=folder / task.output_file.name,
            policy_file=Path(_RULES) if task.policy_file else None,
            temporary_folder=Path(TEMPORARY) if task.temporary_folder else None,
            proxy=Proxy(url, folder / task.proxy.token_file.name) if task.proxy and task.proxy.token_file else None,
            details=folder,
        )

    def list_mounts(self, task: Task) -> dict[PurePosixPath, Path]:
        """See ``NodeContract.list_mounts``."""
        folder = task.output_file.parent
        return {DATA / folder.name: folder, **({TEMPORARY: task.temporary_folder} if task.temporary_folder else {})}

    def list_database_mounts(self, task: Task) -> dict[PurePosixPath, Path]:
        """See ``NodeContract.list_database_mounts``."""
        databases = (*task.databases, *task.configured)
        mounts = {path: Path(database.uri) for database in databases if (path := _get_container_path(database))}
        return {**mounts, **({_RULES: task.policy_file} if task.policy_file else {})}


def relocate(task: Task, *, details: Path, **fields: object) -> Task:
    """Return a task with other paths. The log for the node's owner is then in the folder ``details``."""
    variables, policy_variables = dict(task.variables), dict(task.policy_variables)
    if logs.OWNER_LOG in variables:
        variables[logs.OWNER_LOG] = str(details / Path(variables[logs.OWNER_LOG]).name)
    for values, name in ((variables, LEDGER), (policy_variables, POLICY_LEDGER)):
        if name in values:
            values[name] = str(LEDGER_FOLDER)
    return msgspec.structs.replace(task, variables=variables, policy_variables=policy_variables, **fields)


def list_ledger_mount(task: Task) -> dict[PurePosixPath, Path]:
    """Return the folder of the ledger, to which a run writes: path in the container -> path on this machine."""
    folder = Path(task.policy_variables.get(POLICY_LEDGER) or task.variables.get(LEDGER, ""))
    return {LEDGER_FOLDER: folder} if folder.is_absolute() and folder.is_dir() else {}


def find_path(database: Database) -> Path | None:
    """Return the path of a database that is a file or folder of this machine; None for other databases."""
    path = Path(database.uri)
    return None if not database.uri or "://" in database.uri or not path.exists() else path


def _map_database(database: Database) -> Database:
    """Return a database with its path in the container."""
    path = _get_container_path(database)
    return msgspec.structs.replace(database, uri=str(path)) if path else database


def _get_container_path(database: Database) -> PurePosixPath | None:
    """Return the path in the container of a database that is a file or folder here; None for other databases."""
    path = find_path(database)
    if path is None:
        return None
    return DATA.parent / database.label if path.is_dir() else DATA / f"{database.label}{path.suffix}"
