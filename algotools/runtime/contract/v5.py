"""v5: base32 variables and plain secrets, one function of one step, tables in a session's folder, arguments by name.

Oddities: a task runs one function in one of three steps (extract a table, change a table, compute). Only extraction
reads a database, and the node does not pass on its label. Secrets (the token, a database's options) are not encoded. An
input has no field for the encoding of the result. So our master adds an argument, whose name no function can have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from algotools.errors import ContractError, InputError
from algotools.payload import encode_arguments
from algotools.runtime.contract import Contract
from algotools.runtime.contract.environment import (
    OPTION_PREFIX,
    REQUIRED,
    list_policy_variables,
    read_locations,
    read_node_variables,
    read_policy_variables,
    read_variables,
)
from algotools.runtime.contract.files import (
    PLAIN,
    RICH_FORMAT,
    OutputFormat,
    parse_object,
    read_input,
    read_output_format,
)
from algotools.task import Database, Identity, Role, Step, Task

if TYPE_CHECKING:
    from algotools.runtime.client import Connection

ACTIONS: dict[str, tuple[Role, Step]] = {
    "central_compute": ("master", "compute"),
    "federated_compute": ("rpc", "compute"),
    "data_extraction": ("rpc", "data_extraction"),
    "preprocessing": ("rpc", "preprocessing"),
}
"""v5's action of a function -> role and step."""

IDS = {name: f"{name}_id".upper() for name in ("task", "node", "organization", "collaboration")}

VARIABLES = frozenset(
    {
        "INPUT_FILE", "OUTPUT_FILE", "SESSION_FOLDER", "SESSION_FILE", "HOST", "PORT", "API_PATH", "ALGORITHM_METHOD",
        "FUNCTION_ACTION", "DATABASE_URI", "DATABASE_TYPE", "USER_REQUESTED_DATAFRAMES", *IDS.values(),
    }
)  # fmt: skip
"""The names of the contract's variables that are encoded."""

TOKEN = "CONTAINER_TOKEN"  # noqa: S105 - the name of a variable
"""The token's variable. Like the options of a database, the token is not encoded."""

CLUSTER_PREFIX = "KUBERNETES_"
"""Prefix of the variables that a cluster sets in every container."""

TABLE = ".parquet"

JOB_FOLDER = "algotools"
"""Folder of algotools in a session's folder. The author's code cannot read the rest of it, with the other tables."""

SOURCE = "source"
"""The label of the database of an extraction; the node does not pass on the real label."""

OUTPUT_FORMAT = "algotools:output_format"
"""Name of the argument that requests the rich encoding. No function has such an argument: it is not an identifier."""

RESEND_OF = "algotools:resend_of"
"""Name of the argument with the subtask whose request is sent again."""


def list_variables(names: Iterable[str]) -> set[str]:
    """Return the names of all variables of the contract, and those in *names* that the cluster or the contract sets.

    The contract's variables in *names* are the options of a database (``DB_PARAM_…``).
    """
    return {*VARIABLES, TOKEN, *(name for name in names if name.startswith((OPTION_PREFIX, CLUSTER_PREFIX)))}


class V5(Contract):
    """The container's side of generation 5."""

    name = "v5"
    has_sessions = True
    knows_origin = False

    def read(self, environ: Mapping[str, str]) -> Task:
        """See ``Contract.read``."""
        values = read_variables(environ, VARIABLES, (*REQUIRED, "SESSION_FOLDER"))
        action = values.get("FUNCTION_ACTION", "")
        if action not in ACTIONS:
            raise ContractError(f"the variable FUNCTION_ACTION is {action[:40]!r}; choose from {', '.join(ACTIONS)}")
        role, step = ACTIONS[action]
        session = Path(values["SESSION_FOLDER"])
        # A v5 node sets no temporary folder, so the run gets its own folder in the session's folder.
        values["TEMPORARY_FOLDER"] = str(session / JOB_FOLDER)
        locations = read_locations(values, environ.get(TOKEN, ""))
        kwargs, output_format = _read_arguments(locations["input_file"])
        resend_of = kwargs.pop(RESEND_OF, None)
        if resend_of is not None and (type(resend_of) is not int or resend_of < 1):
            raise InputError(f"the task's input has the wrong shape: `{RESEND_OF}` is reserved for algotools")
        return Task(
            method=values["ALGORITHM_METHOD"],
            role=role,
            step=step,
            kwargs=kwargs,
            resend_of=resend_of,
            databases=_read_source(values, environ)
            if step == "data_extraction"
            else read_tables(values.get("USER_REQUESTED_DATAFRAMES", ""), session),
            identity=_read_identity(values),
            variables=read_node_variables(environ, list_variables(environ)),
            **read_policy_variables(environ, list_variables(environ)),
            **output_format,
            **locations,
        )

    def list_secrets(self, environ: Mapping[str, str]) -> set[str]:
        """See ``Contract.list_secrets``. The options of the source contain its password."""
        policy = list_policy_variables(environ, ())
        return policy | {name for name in environ if name == TOKEN or name.startswith(OPTION_PREFIX)}

    def encode_input(self, content: Mapping[str, object]) -> bytes:
        """See ``Contract.encode_input``. The input contains only the arguments by name."""
        if content.get("args"):
            raise ContractError("v5 cannot express arguments by position: give them by name")
        kwargs = dict(cast("Mapping[str, object]", content.get("kwargs") or {}))
        if content.get("resend_of") is not None:
            kwargs[RESEND_OF] = content["resend_of"]
        if content.get("output_format") == RICH_FORMAT:
            kwargs[OUTPUT_FORMAT] = RICH_FORMAT  # the last argument, see `files.sign_input`
        return encode_arguments(kwargs, str(content.get("method", "")))

    def connect(self, task: Task, token: str) -> Connection:
        """See ``Contract.connect``."""
        from algotools.runtime.contract._proxy_v5 import V5Connection

        return V5Connection(task, token, self)


def read_tables(text: str, session: Path) -> tuple[Database, ...]:
    """Return the tables in a variable: commas separate the tables of an argument, semicolons separate arguments.

    The tables of an argument with several tables have the argument's number as their ``group``, from 0.
    """
    arguments = [part.split(",") for part in text.split(";")] if text else []
    return tuple(
        locate_table(name, session, number if len(names) > 1 else None)
        for number, names in enumerate(arguments)
        for name in names
    )


def locate_table(name: str, session: Path, group: int | None) -> Database:
    """Return a table of a session, which is a file in the session's folder."""
    return Database(name, str(session / f"{name}{TABLE}"), "parquet", group=group)


def _read_arguments(path: Path) -> tuple[dict[str, object], OutputFormat]:
    """Return the arguments in the input file, which may be null, and the format of the result."""
    data = read_input(path)
    kwargs: dict[str, object] = (
        {} if data.strip() == b"null" else parse_object(data, "an object with the arguments by name")
    )
    text = kwargs.pop(OUTPUT_FORMAT, None)
    output_format = PLAIN if text is None else read_output_format(text, data)
    if output_format is None:
        raise InputError(f"the task's input has the wrong shape: `{OUTPUT_FORMAT}` is reserved for algotools")
    return kwargs, output_format


def _read_source(values: Mapping[str, str], environ: Mapping[str, str]) -> tuple[Database]:
    """Return the database of an extraction. Its options are not encoded."""
    if not values.get("DATABASE_URI"):
        raise ContractError("the variable DATABASE_URI is missing")
    options = {
        name.removeprefix(OPTION_PREFIX): value for name, value in environ.items() if name.startswith(OPTION_PREFIX)
    }
    return (Database(SOURCE, values["DATABASE_URI"], values.get("DATABASE_TYPE") or None, options),)


def _read_identity(values: Mapping[str, str]) -> Identity | None:
    """Return the ids of the run; None if the node does not set all of them."""
    if not all(values.get(variable) for variable in IDS.values()):
        return None
    try:
        return msgspec.convert({f"{name}_id": int(values[variable]) for name, variable in IDS.items()}, Identity)
    except ValueError:
        raise ContractError(f"the variables {', '.join(IDS.values())} must be integers") from None


CONTRACT = V5()
