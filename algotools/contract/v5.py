"""v5: base32 variables and plain secrets, one function of one step, tables in a session's folder, arguments by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import cast

import msgspec

from algotools.client import Connection
from algotools.contract import environment, files, places
from algotools.contract.answers import JsonAnswers
from algotools.contract.base import Prepared, Request
from algotools.contract.platform import Platform
from algotools.errors import ContractError, InputError
from algotools.payload import encode_arguments
from algotools.task import Database, Encoding, Identity, Proxy, Role, Step, Task

ACTIONS: dict[str, tuple[Role, Step]] = {
    "central_compute": ("master", "compute"),
    "federated_compute": ("rpc", "compute"),
    "data_extraction": ("rpc", "data_extraction"),
    "preprocessing": ("rpc", "preprocessing"),
}
"""v5's word for what a function does -> ours."""

IDS = {name: f"{name}_id".upper() for name in ("task", "node", "organization", "collaboration")}

OWN = frozenset(
    {
        "INPUT_FILE", "OUTPUT_FILE", "SESSION_FOLDER", "SESSION_FILE", "HOST", "PORT", "API_PATH", "ALGORITHM_METHOD",
        "FUNCTION_ACTION", "DATABASE_URI", "DATABASE_TYPE", "USER_REQUESTED_DATAFRAMES", *IDS.values(),
    }
)  # fmt: skip
"""The contract's variables, all of them encoded."""

TOKEN, OPTION = "CONTAINER_TOKEN", "DB_PARAM_"
"""Secrets, which are not."""

OF_CLUSTER = "KUBERNETES_"
"""How the variables begin that a cluster puts into every container."""

SESSION_FILE = "session_state.parquet"
TABLE = ".parquet"

JOBS = "algotools"
"""Our folder in a session's. The rest, with tables that the task does not name, is out of the author's code's reach."""

SOURCE = "source"
"""The label of the one database of an extraction: a node does not tell the real one."""

OUTPUT_FORMAT = "algotools:output_format"
"""Asks our own rpc for the rich encoding. No function has an argument of that name, for it is no identifier."""

WORK = PurePosixPath("/app/vantage6/task")
DATABASES = PurePosixPath("/app/databases")


def _own(names: Iterable[str]) -> set[str]:
    """What of variable names is the contract's own, or the cluster's."""
    return {*OWN, TOKEN, *(name for name in names if name.startswith((OPTION, OF_CLUSTER)))}


class V5(JsonAnswers):
    """Both sides of generation 5."""

    name = "v5"
    tells_unknown_labels = True
    has_sessions = True
    secrets: tuple[str, ...] = (TOKEN, OPTION)

    def prepare(self, task: Task, token: str = "", posted: bytes | None = None) -> Prepared:
        """See ``Contract.prepare``. The token is in the task itself: it is no file."""
        del token
        _check(task)
        session = cast("Path", task.temporary_folder).parent
        values = {
            "INPUT_FILE": str(task.input_file),
            "OUTPUT_FILE": str(task.output_file),
            "SESSION_FOLDER": str(session),
            "SESSION_FILE": str(session / SESSION_FILE),
            "ALGORITHM_METHOD": task.method,
            "FUNCTION_ACTION": action(task.role, task.step),
        }
        secrets = {}
        if task.proxy is not None:
            values |= files.address(task.proxy.url)
            secrets = {TOKEN: task.proxy.token} if task.proxy.token else {}
        if task.identity is not None:
            values |= {variable: str(getattr(task.identity, f"{name}_id")) for name, variable in IDS.items()}
        if task.step == "data_extraction":
            [source] = task.databases
            values |= {"DATABASE_URI": source.uri, **({"DATABASE_TYPE": source.type} if source.type else {})}
            secrets |= {f"{OPTION}{name}": value for name, value in source.options.items()}
        else:
            values["USER_REQUESTED_DATAFRAMES"] = _written(task.databases)
        environment.check_variables(task.variables, _own(task.variables), encoded=True)
        values |= task.variables
        environment.check_texts({**values, **secrets})
        content = files.input_content(task)
        contents = files.contents(task, self.input(content) if posted is None else posted, "")
        return Prepared({**{name: environment.encode(value) for name, value in values.items()}, **secrets}, contents)

    def read(self, environ: Mapping[str, str]) -> Task:
        """See ``Contract.read``."""
        values = {name: environment.decode(name, environ[name]) for name in OWN if name in environ}
        role, step = _step(values)
        input_file, session = files.required(values, "INPUT_FILE"), files.required(values, "SESSION_FOLDER")
        kwargs, encoding = _arguments(input_file)
        url = files.read_address(values)
        return Task(
            method=values["ALGORITHM_METHOD"],
            role=role,
            step=step,
            kwargs=kwargs,
            encoding=encoding,
            databases=(_source(values, environ),) if step == "data_extraction" else _tables(values, session),
            input_file=input_file,
            output_file=files.required(values, "OUTPUT_FILE"),
            temporary_folder=session / JOBS,
            proxy=Proxy(url, None, environ.get(TOKEN, "")) if url else None,
            identity=_identity(values),
            variables=environment.variables(environ, _own(environ), encoded=True),
        )

    def input(self, content: Mapping[str, object]) -> bytes:
        """See ``Contract.input``: the arguments by name, and nothing else."""
        if content.get("args"):
            raise ContractError("v5 cannot express arguments by position: give them by name")
        kwargs = dict(cast("Mapping[str, object]", content.get("kwargs") or {}))
        if content.get("output_format") == files.RICH_FORMAT:
            kwargs[OUTPUT_FORMAT] = files.RICH_FORMAT
        return encode_arguments(kwargs)

    def request(self, content: Mapping[str, object], step: Step = "compute") -> Request:
        """See ``Contract.request``: what is called is no part of the input."""
        master = content.get("master")
        role: Role | None = None if master is None else "master" if master else "rpc"
        return Request(self.input(content), str(content.get("method", "")), role, step)

    def databases(self, requested: list[Database]) -> str | list[object]:
        """See ``Contract.databases``: each an argument of its own. A session tells which tables the labels are."""
        return [[{"label": database.label, "type": "dataframe", "dataframe_id": None}] for database in requested]

    def connect(self, task: Task, token: str) -> Connection:
        """See ``Contract.connect``."""
        from algotools.contract.v5_http import ProxyConnection

        return ProxyConnection(task, token, self)

    def respond(
        self, method: str, path: str, query: Mapping[str, str], body: bytes, caller: Identity, platform: Platform
    ) -> tuple[int, object]:
        """See ``Contract.respond``."""
        from algotools.contract import v5_http

        return v5_http.respond(method, path, query, body, caller, platform)

    def hand_over(self, task: Task, url: str, identity: Identity, token: str, folder: Path) -> Task:
        """See ``Contract.hand_over``: only a master gets a token."""
        del folder
        proxy = Proxy(url, None, token if task.role == "master" else "")
        return msgspec.structs.replace(task, proxy=proxy, identity=_known(identity))

    def inside(self, task: Task, url: str) -> Task:
        """See ``Contract.inside``."""
        session = Path(WORK / "session")
        return places.moved(
            task,
            databases=tuple(_moved(database, task) for database in task.databases),
            input_file=Path(WORK / "input"),
            output_file=Path(WORK / "output"),
            temporary_folder=session / JOBS,
            proxy=Proxy(url, None, task.proxy.token) if task.proxy else None,
            details=Path(WORK),
        )

    def mounted(self, task: Task) -> dict[PurePosixPath, Path]:
        """See ``Contract.mounted``: files, each by itself, and the session's folder."""
        return {
            WORK / "input": task.input_file,
            WORK / "output": task.output_file,
            WORK / "session": cast("Path", task.temporary_folder).parent,
        }

    def mounted_databases(self, task: Task) -> dict[PurePosixPath, Path]:
        """See ``Contract.mounted_databases``: only what is extracted from."""
        return {PurePosixPath(_moved(d, task).uri): path for d in _sources(task) if (path := places.on_disk(d))}


def action(role: Role | None, step: Step) -> str:
    """v5's word for what a function does.

    Raises:
        ContractError: the role is not known.
    """
    if role is None:
        raise ContractError("v5 cannot express a task without a role: its action says master or rpc")
    found = [name for name, told in ACTIONS.items() if told == (role, step)]
    if not found:
        raise ContractError(f"v5 cannot express a {role} for the step {step}")
    return found[0]


def _check(task: Task) -> None:
    """Refuse by name what the generation cannot express."""
    action(task.role, task.step)
    if task.args:
        raise ContractError("v5 cannot express arguments by position: give them by name")
    if OUTPUT_FORMAT in task.kwargs:
        raise ContractError(f"v5 cannot express an argument {OUTPUT_FORMAT!r}: the name is its own")
    if task.configured:
        raise ContractError("v5 cannot express databases that the task does not ask for: a container sees none of them")
    if task.temporary_folder is None or task.temporary_folder.name != JOBS or not task.temporary_folder.is_absolute():
        raise ContractError(f"v5 cannot express a temporary folder that is not {JOBS!r} in a session's folder")
    if task.proxy is not None and task.proxy.token_file is not None:
        raise ContractError("v5 cannot express a token in a file: it is in the environment")
    if task.proxy is not None and task.proxy.token and task.role != "master":
        raise ContractError("v5 cannot express an rpc with a token: only a master gets one")
    _check_identity(task.identity)
    for database in task.databases:
        if any(getattr(database, name) is not None for name in ("query", "sheet_name", "preprocessing")):
            raise ContractError(
                f"v5 cannot express a query, sheet or preprocessing of a database ({database.label}): they are "
                "arguments of a function that extracts"
            )
    if task.step == "data_extraction":
        _check_source(task.databases)
    else:
        _check_tables(task.databases, task.temporary_folder.parent)


def _check_identity(identity: Identity | None) -> None:
    if identity is not None and identity != _known(identity):
        raise ContractError("v5 cannot express more of an `identity` than the ids of task, node, organization, …")


def _known(identity: Identity) -> Identity:
    """What of whom a token speaks for the environment tells, too."""
    return Identity(
        task_id=identity.task_id,
        node_id=identity.node_id,
        organization_id=identity.organization_id,
        collaboration_id=identity.collaboration_id,
    )


def _check_source(databases: tuple[Database, ...]) -> None:
    if len(databases) != 1 or databases[0].label != SOURCE or databases[0].group is not None:
        raise ContractError(f"v5 cannot express an extraction from other than one database, whose label is {SOURCE!r}")
    [source] = databases
    if source.type == "" or not source.uri:
        raise ContractError("v5 cannot express an extraction from a database without URI, or of an empty type")
    for name in source.options:
        if not name.isidentifier() or not name.isascii() or name != name.upper():
            raise ContractError(f"v5 cannot express the option {name!r} of a database: names are upper-case")


def _check_tables(tables: tuple[Database, ...], session: Path) -> None:
    for table in tables:
        if not table.label or set(table.label) & set(",;/\0"):
            raise ContractError(f"v5 cannot express a table called {table.label!r}: commas and slashes have a meaning")
        if table != _table(table.label, session, table.group):
            raise ContractError(f"v5 cannot express a table elsewhere than in its session ({table.label})")
    if _grouped(_written(tables), session) != tables:
        raise ContractError(
            "v5 cannot express these groups: each has several tables side by side, and its place's number"
        )


def _written(tables: tuple[Database, ...]) -> str:
    """Names of tables: of one argument with commas between them, of several with semicolons."""
    text = ""
    for before, table in zip((None, *tables), tables, strict=False):
        same = before is not None and table.group is not None and before.group == table.group
        text += f"{'' if before is None else ',' if same else ';'}{table.label}"
    return text


def _grouped(text: str, session: Path) -> tuple[Database, ...]:
    """The tables that ``_written`` wrote; arguments are counted from 0."""
    arguments = [part.split(",") for part in text.split(";")] if text else []
    return tuple(
        _table(name, session, number if len(names) > 1 else None)
        for number, names in enumerate(arguments)
        for name in names
    )


def _table(name: str, session: Path, group: int | None) -> Database:
    return Database(name, str(session / f"{name}{TABLE}"), "parquet", group=group)


def _tables(values: Mapping[str, str], session: Path) -> tuple[Database, ...]:
    return _grouped(values.get("USER_REQUESTED_DATAFRAMES", ""), session)


def _source(values: Mapping[str, str], environ: Mapping[str, str]) -> Database:
    options = {name.removeprefix(OPTION): value for name, value in environ.items() if name.startswith(OPTION)}
    files.required(values, "DATABASE_URI")
    return Database(SOURCE, values["DATABASE_URI"], values.get("DATABASE_TYPE") or None, options)


def _step(values: Mapping[str, str]) -> tuple[Role, Step]:
    told = values.get("FUNCTION_ACTION", "")
    if told not in ACTIONS:
        raise ContractError(f"the variable FUNCTION_ACTION is {told[:40]!r}; actions are {', '.join(ACTIONS)}")
    return ACTIONS[told]


def _arguments(path: Path) -> tuple[dict[str, object], Encoding]:
    """The arguments in the input file, which may be null; and the encoding of the answer."""
    data = files.read_input(path)
    kwargs: dict[str, object] = (
        {} if data.strip() == b"null" else files.parse_object(data, "an object with the arguments by name")
    )
    asked = kwargs.pop(OUTPUT_FORMAT, None)
    if asked not in (None, files.RICH_FORMAT):
        raise InputError(f"the task's input has the wrong shape: `{OUTPUT_FORMAT}` is for algotools alone")
    return kwargs, "rich" if asked else "plain"


def _identity(values: Mapping[str, str]) -> Identity | None:
    """Whom the run is of; None from a node that does not say."""
    if not all(values.get(variable) for variable in IDS.values()):
        return None
    try:
        ids = {f"{name}_id": int(values[variable]) for name, variable in IDS.items()}
        return msgspec.convert(ids, Identity)
    except ValueError:
        raise ContractError(f"the variables {', '.join(IDS.values())} must be integers") from None


def _sources(task: Task) -> tuple[Database, ...]:
    return task.databases if task.step == "data_extraction" else ()


def _moved(database: Database, task: Task) -> Database:
    """A database with the path that a container sees."""
    if task.step != "data_extraction":
        return _table(database.label, Path(WORK / "session"), database.group)
    path = places.on_disk(database)
    if path is None:
        return database
    kind = database.type or path.suffix.removeprefix(".")
    return msgspec.structs.replace(database, uri=str(DATABASES / f"{database.label}.{kind}"))


CONTRACT = V5()
