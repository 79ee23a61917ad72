"""v4: base32 variables (plain ones in 4.0 and 4.1), several requested databases, input and output in JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from algotools.client import Connection
from algotools.contract import environment, files
from algotools.contract.answers import JsonAnswers
from algotools.contract.base import Prepared, Request
from algotools.contract.places import SharedVolume
from algotools.contract.platform import Platform
from algotools.errors import ContractError
from algotools.payload import encode_arguments
from algotools.task import Database, Identity, Step, Task

OWN = (*files.OF_PLACES, "USER_REQUESTED_DATABASE_LABELS", "DB_LABELS")
"""The names of the contract's variables, besides those of every database."""

OF_DATABASE = {"uri": "DATABASE_URI", "type": "DATABASE_TYPE"}
OF_REQUEST = {"query": "QUERY", "sheet_name": "SHEET_NAME", "preprocessing": "PREPROCESSING"}
OPTION = "DB_PARAM_"


def _own(labels: Iterable[str], names: Iterable[str]) -> set[str]:
    """The contract's own among variable names."""
    fixed = {f"{label.upper()}_{what}" for label in labels for what in (*OF_DATABASE.values(), *OF_REQUEST.values())}
    options = tuple(f"{label.upper()}_{OPTION}" for label in labels)
    return {*OWN, *fixed, *(name for name in names if name.startswith(options))}


class V4(JsonAnswers, SharedVolume):
    """Both sides of generation 4."""

    name = "v4"
    tells_unknown_labels = True

    def __init__(self, *, encoded: bool = True) -> None:
        self.encoded = encoded
        """Whether nodes encode values, as they do from 4.2 on; readers see for themselves."""

    def prepare(self, task: Task, token: str = "", posted: bytes | None = None) -> Prepared:
        """See ``Contract.prepare``."""
        databases = [*task.databases, *task.configured]
        labels = [database.label for database in databases]
        _check(task, labels)
        values = files.place_variables(task)
        values["USER_REQUESTED_DATABASE_LABELS"] = ",".join(database.label for database in task.databases)
        # A node that has not got a database that a task asks for lists none, and tells no URI.
        values["DB_LABELS"] = ",".join(d.label for d in databases if d.uri or d in task.configured)
        for database in databases:
            prefix = database.label.upper()
            told = {name: getattr(database, key) for key, name in {**OF_DATABASE, **OF_REQUEST}.items()}
            if not database.uri:
                del told[OF_DATABASE["uri"]]
            values |= {f"{prefix}_{name}": text for name, text in told.items() if text is not None}
            values |= {f"{prefix}_{OPTION}{name}": value for name, value in database.options.items()}
        environment.check_variables(task.variables, _own(labels, task.variables), encoded=self.encoded)
        values |= task.variables
        environment.check_texts(values)
        data = self.input(files.input_content(task)) if posted is None else posted
        contents = files.contents(task, data, token)
        if self.encoded:
            values = {name: environment.encode(value) for name, value in values.items()}
        return Prepared(values, contents)

    def read(self, environ: Mapping[str, str]) -> Task:
        """See ``Contract.read``."""
        encoded = not environ.get("INPUT_FILE", "").startswith("/")

        def value(name: str) -> str | None:
            raw = environ.get(name)
            return raw if raw is None or not encoded else environment.decode(name, raw)

        labels = _split(value("DB_LABELS"))
        requested = _split(value("USER_REQUESTED_DATABASE_LABELS"))
        own = _own([*labels, *requested], environ)
        values = {name: text for name in own if (text := value(name)) is not None}
        places = files.places(values)
        content = files.parse_object(files.read_input(places["input_file"]))
        method, args, kwargs, encoding = files.call(content)
        flag = content.get("master")
        return Task(
            method=method,
            role=None if flag is None else "master" if flag else "rpc",
            args=args,
            kwargs=kwargs,
            encoding=encoding,
            databases=tuple(_database(values, label) for label in requested),
            configured=tuple(_database(values, label) for label in labels if label not in requested),
            variables=environment.variables(environ, own, encoded=encoded),
            **places,
        )

    def input(self, content: Mapping[str, object]) -> bytes:
        """See ``Contract.input``."""
        return encode_arguments(content)

    def request(self, content: Mapping[str, object], step: Step = "compute") -> Request:
        """See ``Contract.request``."""
        return Request(self.input(content), step=step)

    def databases(self, requested: list[Database]) -> str | list[object]:
        """See ``Contract.databases``: each with what the task asks of it."""
        return [
            {"label": d.label, **{key: text for key in OF_REQUEST if (text := getattr(d, key)) is not None}}
            for d in requested
        ]

    def connect(self, task: Task, token: str) -> Connection:
        """See ``Contract.connect``."""
        from algotools.contract.v4_http import ProxyConnection

        return ProxyConnection(task, token, self)

    def respond(
        self, method: str, path: str, query: Mapping[str, str], body: bytes, caller: Identity, platform: Platform
    ) -> tuple[int, object]:
        """See ``Contract.respond``."""
        from algotools.contract import v4_http

        return v4_http.respond(method, path, query, body, caller, platform)


def _check(task: Task, labels: list[str]) -> None:
    """Refuse by name what the generation cannot express."""
    if task.step != "compute" or any(d.group is not None for d in (*task.databases, *task.configured)):
        raise ContractError("v4 cannot express sessions: neither a step but compute, nor groups of tables")
    if task.identity is not None:
        raise ContractError("v4 cannot express `identity` in the environment: its token tells")
    for label in labels:
        if not (label.isidentifier() and label.isascii()) or OPTION in f"{label.upper()}_":
            raise ContractError(f"v4 cannot express the database label {label!r}: it must be an identifier")
    if len({label.upper() for label in labels}) < len(labels):
        raise ContractError("v4 cannot express database labels that differ only in case")
    for database in (*task.databases, *task.configured):
        for name in database.options:
            if not name.isidentifier() or not name.isascii() or name != name.upper():
                raise ContractError(
                    f"v4 cannot express the option {name!r} of database {database.label}: names are upper-case"
                )
        if database.type in ("", "None"):
            raise ContractError(f"v4 cannot express the type {database.type!r} of database {database.label}")
    for database in task.configured:
        if any(getattr(database, key) is not None for key in OF_REQUEST):
            raise ContractError(f"v4 cannot express a query of a database that is not asked for ({database.label})")
    names = [f"{label.upper()}_{what}" for label in labels for what in (*OF_DATABASE.values(), *OF_REQUEST.values())]
    if len({*names, *OWN}) < len(names) + len(OWN):
        raise ContractError("v4 cannot express these database labels together: two of their variables have one name")


def _split(text: str | None) -> list[str]:
    return text.split(",") if text else []


def _database(values: Mapping[str, str], label: str) -> Database:
    prefix = label.upper()
    type_ = values.get(f"{prefix}_{OF_DATABASE['type']}")
    option = f"{prefix}_{OPTION}"
    return Database(
        label,
        values.get(f"{prefix}_{OF_DATABASE['uri']}", ""),
        None if type_ in ("", "None") else type_,
        {name.removeprefix(option): value for name, value in values.items() if name.startswith(option)},
        query=values.get(f"{prefix}_{OF_REQUEST['query']}"),
        sheet_name=values.get(f"{prefix}_{OF_REQUEST['sheet_name']}"),
        preprocessing=values.get(f"{prefix}_{OF_REQUEST['preprocessing']}"),
    )


CONTRACT = V4()
