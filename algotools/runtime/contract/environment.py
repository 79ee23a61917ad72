"""Read the variables that a node sets for a container: paths, databases, token, and the node's own variables.

From v4.2 on, nodes encode values in base32, with ``!`` for padding. Variables that an image sets are never encoded.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from algotools.disclosure import is_policy_variable
from algotools.errors import ContractError, TokenError
from algotools.runtime.contract.files import is_endless
from algotools.task import Database, Identity, Proxy, Task, is_image_variable

LOCATION_VARIABLES = ("INPUT_FILE", "OUTPUT_FILE", "TOKEN_FILE", "TEMPORARY_FOLDER", "HOST", "PORT", "API_PATH")
"""The variables with a task's files, folder and proxy (v3, v4)."""

REQUIRED = ("INPUT_FILE", "OUTPUT_FILE")

DATABASE_SUFFIXES = {
    "uri": "DATABASE_URI",
    "type": "DATABASE_TYPE",
    "query": "QUERY",
    "sheet_name": "SHEET_NAME",
    "preprocessing": "PREPROCESSING",
}
"""Field of ``Database`` -> suffix of its variable in v3 and v4, after the upper-case label. v3 has the first two."""

OPTION_PREFIX = "DB_PARAM_"
"""Prefix of the variable for a database's option; in v4 it follows the label."""


RULES_LABEL = "algotools_rules"
"""The label of the file database with the policy of the node's owner (v3, v4). No task can read this database."""

RULES_FILE = f"{RULES_LABEL.upper()}_{DATABASE_SUFFIXES['uri']}"
"""The variable with the path of the policy file."""

LEDGER_LABEL = "algotools_ledger"
"""The label of the folder database with the ledger of the node's owner (v4). No task can read this database."""


def decode(value: str) -> str | None:
    """Decode a value that a node may have encoded; return None if the value is not encoded."""
    try:
        return base64.b32decode(value.replace("!", "=")).decode()
    except ValueError:
        return None


def is_text(text: str) -> bool:
    """Return whether a text has no control characters.

    A plain value can be valid base32 by chance. Its decoding is then not a text: it contains control characters.
    """
    return all(c.isprintable() or c in "\t\r\n" for c in text)


def read_variables(
    environ: Mapping[str, str], names: Collection[str], required: Collection[str] = (), *, encoded: bool = True
) -> dict[str, str]:
    """Return the variables in *names* that are set, decoded.

    Raises:
        ContractError: a value is not encoded, or a required variable is missing or empty.
    """
    values = {}
    for name in names:
        if name in environ:
            text = decode(environ[name]) if encoded else environ[name]
            if text is None:
                raise ContractError(f"the variable {name} is not encoded as this node's other variables are (base32)")
            values[name] = text
    for name in required:
        if not values.get(name):
            raise ContractError(f"the variable {name} is missing")
    return values


def read_node_variables(
    environ: Mapping[str, str], contract_variables: Collection[str], *, encoded: bool = True
) -> dict[str, str]:
    """Return the node's variables for algorithms: all except those of the contract, the image and the policy."""
    values = {}
    for name, value in environ.items():
        if name not in contract_variables and not is_image_variable(name) and not is_policy_variable(name):
            # Images also set variables that we do not know. They are not encoded, so a value that does not decode to
            # text is kept unchanged.
            text = decode(value) if encoded else None
            values[name] = value if text is None or not is_text(text) else text
    return values


class PolicyVariables(TypedDict):
    """The policy variables of the node's owner, and the names of those of the image: fields of ``Task``."""

    policy_variables: dict[str, str]
    ignored_policy_variables: tuple[str, ...]


def read_policy_variables(
    environ: Mapping[str, str], contract_variables: Collection[str], *, encoded: bool = True
) -> PolicyVariables:
    """Return the policy variables, decoded.

    A node that encodes values encodes those of its owner. So a plain value is the image's, and must not change the
    policy. A plain value that is valid base32 by chance counts as the owner's, so that no value of the owner is
    ignored: the decoded value is wrong, and the run stops.
    """
    values, ignored = {}, []
    for name in list_policy_variables(environ, contract_variables):
        text = decode(environ[name]) if encoded else environ[name]
        if text is None:
            ignored.append(name)
        else:
            values[name] = text
    return {"policy_variables": values, "ignored_policy_variables": tuple(sorted(ignored))}


def list_policy_variables(environ: Mapping[str, str], contract_variables: Collection[str]) -> set[str]:
    """Return the names of the policy variables; a database's label can make a similar name, which is the contract's."""
    return {name for name in environ if is_policy_variable(name) and name not in contract_variables}


def is_rules_label(label: str) -> bool:
    """Return whether a label belongs to the policy file. Labels that differ only in case have the same variables."""
    return label.upper() == RULES_LABEL.upper()


def is_owner_label(label: str) -> bool:
    """Return whether a label belongs to a database of the node's owner alone: the policy file, or the ledger."""
    return is_rules_label(label) or is_ledger_label(label)


def is_ledger_label(label: str) -> bool:
    """Return whether a label belongs to the ledger."""
    return label.upper() == LEDGER_LABEL.upper()


def hide_owner_database(database: Database) -> Database:
    """Return a database as if the node did not have it, if it is the policy file or the ledger."""
    if not is_owner_label(database.label):
        return database
    return msgspec.structs.replace(database, uri="", type=None, options={})


def find_policy_file(values: Mapping[str, str], labels: Collection[str]) -> Path | None:
    """Return the policy file if the node has one.

    If the variable with the path is missing, the result is a path that cannot be read, so that the run stops.
    """
    return Path(values.get(RULES_FILE, "")) if any(map(is_rules_label, labels)) else None


class Locations(TypedDict):
    """The paths of a task's files and folder, and its proxy: fields of ``Task``."""

    input_file: Path
    output_file: Path
    temporary_folder: Path | None
    proxy: Proxy | None


def read_locations(values: Mapping[str, str], token: str | None = None) -> Locations:
    """Return the paths and the proxy in a node's variables. *token* is the proxy's (v5); otherwise it is in a file."""
    port = f":{values['PORT']}" if values.get("PORT") else ""
    url = f"{values['HOST']}{port}{values.get('API_PATH', '')}" if values.get("HOST") else None
    token_file = Path(values["TOKEN_FILE"]) if values.get("TOKEN_FILE") else None
    has_token = token is not None or token_file is not None
    return {
        "input_file": Path(values["INPUT_FILE"]),
        "output_file": Path(values["OUTPUT_FILE"]),
        "temporary_folder": Path(values["TEMPORARY_FOLDER"]) if values.get("TEMPORARY_FOLDER") else None,
        "proxy": Proxy(url, token_file, token or "") if url and has_token else None,
    }


def read_database(values: Mapping[str, str], label: str) -> Database:
    """Return the database that v3's or v4's variables describe. A database that the node does not have has no URI."""
    prefix = f"{label.upper()}_"
    fields = {field: values.get(prefix + ending) for field, ending in DATABASE_SUFFIXES.items()}
    option = prefix + OPTION_PREFIX
    return Database(
        label,
        fields["uri"] or "",
        None if fields["type"] in ("", "None") else fields["type"],
        {name.removeprefix(option): value for name, value in values.items() if name.startswith(option)},
        query=fields["query"],
        sheet_name=fields["sheet_name"],
        preprocessing=fields["preprocessing"],
    )


def read_identity(task: Task) -> Identity:
    """Return the ids of a run: those of the task (v5), otherwise those in its token.

    Raises:
        TokenError: the token is missing or cannot be read.
    """
    return task.identity or read_token(read_run_token(task))


def read_run_token(task: Task) -> str:
    """Return the token that the node gave a run.

    Raises:
        TokenError: the token is missing or cannot be read.
    """
    if task.proxy is None:
        raise TokenError("the node gives no address of its proxy, so this run cannot reach the platform")
    if task.proxy.token_file is not None:
        return read_token_file(task.proxy.token_file)
    if not task.proxy.token:
        raise TokenError("the node gave this run no token, so it cannot reach the platform")
    return task.proxy.token


def read_token_file(path: Path) -> str:
    """Return the token in the node's token file; see ``read_run_token``."""
    if is_endless(path):
        raise TokenError("the node's token is a pipe or a device, not a file")
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise TokenError("the node gave this run no token, so it cannot reach the platform") from None
    except (OSError, ValueError) as error:  # a path with a null character is a ValueError
        raise TokenError(f"the node's token cannot be read ({type(error).__name__})", detail=str(error)) from None


def read_token(token: str) -> Identity:
    """Return the ids in a token: a JWT whose ``sub`` is an object.

    The signature is not checked, because a container has no key. The server checks it.

    Raises:
        TokenError: the token does not have the platform's format.
    """
    if not (token.isascii() and token.isprintable()):
        raise TokenError("the node's token contains characters that are not allowed in the header of a request")
    try:
        _, body, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        subject: dict[str, Any] = claims["sub"] if "sub" in claims else claims["identity"]  # before 3.3
        if "database" in subject:  # v3, which has one database
            subject["databases"] = subject["database"]
        return msgspec.convert(subject, Identity)
    except (KeyError, TypeError, ValueError, RecursionError, msgspec.ValidationError):
        raise TokenError("the node's token does not have the platform's format") from None
