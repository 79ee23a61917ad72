"""The node's side of v5: variables in base32, plain secrets, tables of sessions, and a proxy similar to v4's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import cast

import msgspec

from algotools.errors import ContractError
from algotools.federation.contract import Item, PreparedRun, Request, prepare, rest
from algotools.federation.contract.rest import (
    DataframeRecord,
    OrganizationRecord,
    Platform,
    RunRecord,
    SessionRecord,
    TaskRecord,
)
from algotools.federation.contract.v4 import V4Api
from algotools.runtime.contract import FINAL_STATUSES, v5
from algotools.runtime.contract.environment import OPTION_PREFIX
from algotools.runtime.contract.v5 import (
    ACTIONS,
    IDS,
    JOB_FOLDER,
    OUTPUT_FORMAT,
    RESEND_OF,
    SOURCE,
    TOKEN,
    list_variables,
)
from algotools.task import Database, Identity, Proxy, Role, Step, Task

SESSION_FILE = "session_state.parquet"

WORK = PurePosixPath("/app/vantage6/task")
DATABASES = PurePosixPath("/app/databases")

_ACCOUNT = dict.fromkeys(("keycloak_id", "keycloak_client_id"))
"""A node's account at the identity provider, which the local federation does not have."""


def get_action(role: Role | None, step: Step) -> str:
    """Return the name of v5 for a role and a step.

    Raises:
        ContractError: the role is unknown, or v5 does not have this role for the step.
    """
    if role is None:
        raise ContractError("v5 cannot express a task without a role: its action is that of a master or an rpc")
    for name, meaning in ACTIONS.items():
        if meaning == (role, step):
            return name
    raise ContractError(f"v5 cannot express a {role} for the step {step}")


class _V5Api(V4Api):
    """The proxy of v5: the differences from v4."""

    input_key = "arguments"
    has_vpn = False

    def is_selected(self, run: RunRecord, state: str) -> bool:
        """See ``V4Api``. v5 knows more states; those of whole tasks are not imitated."""
        return state != "finished" or run.finished_at is not None

    def show_task(self, task: TaskRecord, platform: Platform) -> Item:
        """See ``NodeContract.show_task``."""
        groups = cast("list[list[Item]]", task.databases)
        keys = ("label", "type", "dataframe_id", "dataframe_name")
        failed = "failed" if task.status in FINAL_STATUSES else "awaiting"
        return {
            **super().show_task(msgspec.structs.replace(task, databases=[]), platform),
            "databases": [
                {**{key: table.get(key) for key in keys}, "position": position}
                for position, group in enumerate(groups)
                for table in group
            ],
            "status": "completed" if task.status == "completed" else failed,
            "action": get_action(task.role or "rpc", task.step),
            "method": task.method,
            "session": None if task.session_id is None else rest.make_reference("session", task.session_id),
            "dataframe": task.dataframe,
            "depends_on": list(task.depends_on),
            "required_by": [dependent.id for dependent in platform.required_by(task.id)],
        }

    def show_run(self, run: RunRecord, platform: Platform) -> Item:
        """See ``NodeContract.show_run``."""
        item = {**super().show_run(run, platform), "action": _get_run_action(run, platform)}
        item["arguments"] = item.pop("input")
        del item["ports"]
        node = {"id": run.node_id, "name": platform.node_name(run.node_id), "status": platform.node_status(run.node_id)}
        return {**item, "node": {**node, **_ACCOUNT}}

    def show_result(self, run: RunRecord, platform: Platform) -> Item:
        """See ``NodeContract.show_result``."""
        return {**super().show_result(run, platform), "action": _get_run_action(run, platform)}

    def show_node(self, organization: OrganizationRecord, platform: Platform) -> Item:
        """See ``NodeContract.show_node``."""
        item = {**super().show_node(organization, platform), **_ACCOUNT}
        del item["ip"]
        return item

    def show_collaboration(self, platform: Platform) -> Item:
        """See ``NodeContract.show_collaboration``."""
        return {**super().show_collaboration(platform), "session_restrict_to_same_image": False}

    def show_session(
        self, session: SessionRecord, tables: Sequence[DataframeRecord], tasks: Mapping[int, TaskRecord]
    ) -> Item:
        """Return a session as the API shows it. ``tasks`` are the tasks that created its tables."""
        return {
            "id": session.id,
            "name": session.name,
            "scope": session.scope,
            "owner": rest.make_reference("user", 1),
            "collaboration": rest.make_reference("collaboration", 1),
            "study": None,
            "image": None,
            "tasks": f"/api/task?session_id={session.id}",
            "dataframes": f"/api/session/{session.id}/dataframe",
            "ready": all(_is_ready(table, tasks) for table in tables),
            "created_at": session.created_at,
            "last_used_at": session.last_used_at or session.created_at,
        }

    def show_dataframe(self, table: DataframeRecord, tasks: Mapping[int, TaskRecord], platform: Platform) -> Item:
        """Return a table of a session as the API shows it. ``tasks`` are the tasks that created the table."""
        last = tasks[table.tasks[-1]] if table.tasks else None
        completed = [run.organization_id for run in last.runs if run.status == "completed"] if last else []
        return {
            "id": table.id,
            "name": table.name,
            "db_label": table.label,
            "session": rest.make_reference("session", table.session_id),
            "tasks": f"/api/task?dataframe_id={table.id}",
            "last_session_task": self.show_task(last, platform) if last else None,
            "ready": _is_ready(table, tasks),
            "organizations_ready": completed,
            "columns": table.columns,
        }


def _is_ready(table: DataframeRecord, tasks: Mapping[int, TaskRecord]) -> bool:
    """Whether a table can be used: its tasks are completed. Nodes extract a table without tasks at its first use."""
    return all(tasks[id_].status == "completed" for id_ in table.tasks)


def _get_run_action(run: RunRecord, platform: Platform) -> str:
    task = cast("TaskRecord", platform.task(run.task_id))
    return get_action(task.role or "rpc", task.step)


class V5Node(_V5Api, v5.V5):
    """The node's side of generation 5."""

    def prepare(self, task: Task, token: str = "", posted: bytes | None = None) -> PreparedRun:
        """See ``NodeContract.prepare``. The task's proxy contains the token, because v5 does not use a token file."""
        del token
        prepare.check_limits(self.name, _list_limits(task))
        session = cast("Path", task.temporary_folder).parent
        values = {name: text for name, text in prepare.make_location_variables(task).items() if name in v5.VARIABLES}
        values |= {
            "SESSION_FOLDER": str(session),
            "SESSION_FILE": str(session / SESSION_FILE),
            "ALGORITHM_METHOD": task.method,
            "FUNCTION_ACTION": get_action(task.role, task.step),
        }
        secrets = {TOKEN: task.proxy.token} if task.proxy is not None and task.proxy.token else {}
        if task.identity is not None:
            values |= {variable: str(getattr(task.identity, f"{name}_id")) for name, variable in IDS.items()}
        if task.step == "data_extraction":
            [source] = task.databases
            values |= {"DATABASE_URI": source.uri, **({"DATABASE_TYPE": source.type} if source.type else {})}
            secrets |= {f"{OPTION_PREFIX}{name}": value for name, value in source.options.items()}
        else:
            values["USER_REQUESTED_DATAFRAMES"] = _join_table_names(task.databases)
        environment = prepare.build_environment(
            task, values, list_variables({**task.variables, **task.policy_variables}), secrets=secrets
        )
        data = self.encode_input(prepare.make_input_content(task)) if posted is None else posted
        return PreparedRun(environment, prepare.build_files(task, data, ""))

    def make_request(self, content: Mapping[str, object], step: Step = "compute") -> Request:
        """See ``NodeContract.make_request``. The input has only the arguments."""
        master = content.get("master")
        role: Role | None = None if master is None else "master" if master else "rpc"
        return Request(self.encode_input(content), str(content.get("method", "")), role, step)

    def name_databases(self, requested: list[Database]) -> str | list[object]:
        """See ``NodeContract.name_databases``. Each table is an argument; a session finds its tables by label."""
        return [[{"label": database.label, "type": "dataframe", "dataframe_id": None}] for database in requested]

    def add_proxy(self, task: Task, url: str, identity: Identity, token: str, folder: Path) -> Task:
        """See ``NodeContract.add_proxy``. Only a master gets a token."""
        del folder
        proxy = Proxy(url, None, token if task.role == "master" else "")
        return msgspec.structs.replace(task, proxy=proxy, identity=_select_ids(identity))

    def map_to_container(self, task: Task, url: str) -> Task:
        """See ``NodeContract.map_to_container``."""
        return prepare.relocate(
            task,
            databases=tuple(_map_database(database, task.step) for database in task.databases),
            input_file=Path(WORK / "input"),
            output_file=Path(WORK / "output"),
            temporary_folder=Path(WORK / "session" / JOB_FOLDER),
            proxy=Proxy(url, None, task.proxy.token) if task.proxy else None,
            details=Path(WORK),
        )

    def list_mounts(self, task: Task) -> dict[PurePosixPath, Path]:
        """See ``NodeContract.list_mounts``. Each file is mounted separately, and the session as a folder."""
        return {
            WORK / "input": task.input_file,
            WORK / "output": task.output_file,
            WORK / "session": cast("Path", task.temporary_folder).parent,
        }

    def list_database_mounts(self, task: Task) -> dict[PurePosixPath, Path]:
        """See ``NodeContract.list_database_mounts``. Only an extraction reads a database."""
        sources = task.databases if task.step == "data_extraction" else ()
        return {
            PurePosixPath(_map_database(database, task.step).uri): path
            for database in sources
            if (path := prepare.find_path(database))
        }


def _list_limits(task: Task) -> prepare.Limits:
    """Yield the limits of v5."""
    get_action(task.role, task.step)
    session, proxy = task.temporary_folder, task.proxy
    yield task.args, "arguments by position: pass them by name"
    for name in (OUTPUT_FORMAT, RESEND_OF):
        yield name in task.kwargs, f"an argument {name!r}: the name is reserved"
    yield task.resend_of is not None and task.resend_of < 1, "a task that is sent again, without a valid id"
    yield task.policy_file, "a policy file: set the policy with variables"
    yield task.configured, "databases that the task does not request: a container does not see them"
    is_job_folder = session is not None and session.name == JOB_FOLDER and session.is_absolute()
    yield not is_job_folder, f"a temporary folder that is not {JOB_FOLDER!r} in a session's folder"
    yield proxy and proxy.token_file, "a token in a file: the token is in the environment"
    yield proxy and proxy.token and task.role != "master", "an rpc with a token: only a master gets one"
    has_more = task.identity is not None and task.identity != _select_ids(task.identity)
    yield has_more, "more of an `identity` than the ids of task, node, organization, …"
    for database in task.databases:
        queries = (database.query, database.sheet_name, database.preprocessing)
        text = f"a query, sheet or preprocessing of a database ({database.label})"
        yield queries != (None,) * 3, f"{text}: pass it as an argument of the function that extracts"
    if task.step == "data_extraction":
        yield from _list_source_limits(task.databases)
    else:
        yield from _list_table_limits(task.databases, cast("Path", session).parent)


def _list_source_limits(databases: tuple[Database, ...]) -> prepare.Limits:
    is_source = len(databases) == 1 and databases[0].label == SOURCE and databases[0].group is None
    yield not is_source, f"an extraction from anything other than one database with the label {SOURCE!r}"
    [source] = databases
    yield source.type == "" or not source.uri, "an extraction from a database without URI, or with an empty type"
    for name in source.options:
        is_name = prepare.OPTION_NAME.fullmatch(name)
        yield not is_name, f"the option {name!r} of a database: names are upper-case"


def _list_table_limits(tables: tuple[Database, ...], session: Path) -> prepare.Limits:
    for table in tables:
        is_name = table.label and not set(table.label) & set(",;/\0")
        yield not is_name, f"a table called {table.label!r}: commas, semicolons and slashes are separators"
        is_in_session = table == v5.locate_table(table.label, session, table.group)
        yield not is_in_session, f"a table outside its session ({table.label})"
    is_written = v5.read_tables(_join_table_names(tables), session) == tables
    yield not is_written, "these groups: the tables of a group must be adjacent, and its number must be its position"


def _join_table_names(tables: tuple[Database, ...]) -> str:
    """Join the names of tables, with commas within an argument and semicolons between arguments."""
    text = ""
    for previous, table in zip((None, *tables), tables, strict=False):
        is_same_group = previous is not None and table.group is not None and previous.group == table.group
        text += f"{'' if previous is None else ',' if is_same_group else ';'}{table.label}"
    return text


def _select_ids(identity: Identity) -> Identity:
    """Return the part of an identity that the environment contains."""
    return Identity(**{f"{name}_id": getattr(identity, f"{name}_id") for name in IDS})


def _map_database(database: Database, step: Step) -> Database:
    """Return a database with its path in the container."""
    if step != "data_extraction":
        return v5.locate_table(database.label, Path(WORK / "session"), database.group)
    path = prepare.find_path(database)
    if path is None:
        return database
    kind = database.type or path.suffix.removeprefix(".")
    return msgspec.structs.replace(database, uri=str(DATABASES / f"{database.label}.{kind}"))


CONTRACT = V5Node()
