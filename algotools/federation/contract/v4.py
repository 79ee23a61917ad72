"""The node's side of v4: variables in base32, and the proxy, whose endpoints v5 shares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from algotools.federation.contract import Item, NodeContract, PreparedRun, prepare, rest
from algotools.federation.contract.rest import OrganizationRecord, Platform, RunRecord, TaskRecord
from algotools.runtime.contract import FINAL_STATUSES, v4
from algotools.runtime.contract.environment import DATABASE_SUFFIXES, OPTION_PREFIX, RULES_LABEL
from algotools.runtime.contract.v4 import VARIABLES, list_variables
from algotools.task import Database, Identity, Task


class V4Api(NodeContract):
    """The proxy of v4 and v5: the endpoints that a container may request."""

    input_key = "input"
    """The key of an organization's input in the body of a subtask."""
    has_vpn = True

    def respond(
        self, method: str, path: str, query: Mapping[str, str], body: bytes, caller: Identity, platform: Platform
    ) -> tuple[int, object]:
        """See ``NodeContract.respond``. Runs and results are sorted newest first, as by a real server."""
        match [method, *path.split("/")]:
            case ["POST", "task"]:
                parent = platform.task(caller.task_id)
                if parent is None or parent.status in FINAL_STATUSES:
                    return rest.MASKED
                created = rest.create_subtask(body, caller, platform, self.input_key)
                return (201, self.show_task(created, platform)) if isinstance(created, TaskRecord) else created
            case ["GET", "task", id_] if task := platform.task(int(id_)):
                return 200, self.show_task(task, platform)
            case ["GET", "task", id_, "status"] if task := platform.task(int(id_)):
                return 200, {"status": self.show_task(task, platform)["status"]}
            case ["GET", "task"] if parent := platform.task(int(query.get("parent_id", 0))):
                children = reversed(platform.children(parent.id))
                return 200, rest.paginate([self.show_task(child, platform) for child in children], path, query)
            case ["GET", "run", id_] if run := platform.run(int(id_)):
                return 200, self.show_run(run, platform)
            case ["GET", "result"] if "task_id" not in query:
                return 400, {"msg": "No task id found in request from algorithm"}
            case ["GET", "run" | "result" as kind] if task := platform.task(int(query.get("task_id", 0))):
                show = self.show_run if kind == "run" else self.show_result
                runs = [run for run in reversed(task.runs) if self.is_selected(run, query.get("state", ""))]
                page = rest.paginate(runs, path, query)
                return 200, {**page, "data": [show(run, platform) for run in cast("list[RunRecord]", page["data"])]}
            case ["GET", "organization"]:
                if query.get("collaboration_id", str(platform.collaboration_id)) != str(platform.collaboration_id):
                    return rest.MASKED
                members = platform.organizations()
                return 200, rest.paginate([self.show_organization(member) for member in members], path, query)
            case ["GET", "organization", id_]:
                matches = [member for member in platform.organizations() if member.id == int(id_)]
                return (200, self.show_organization(matches[0])) if matches else rest.MASKED
            case ["GET", "collaboration", id_] if int(id_) == platform.collaboration_id:
                return 200, self.show_collaboration(platform)
            case ["GET", "blobstream", "status"]:
                return 200, {"blob_store_enabled": False}
            case ["GET", "vpn", "algorithm", "addresses"] if self.has_vpn:
                return 200, {"addresses": []}
            case _:
                return rest.MASKED

    def is_selected(self, run: RunRecord, state: str) -> bool:
        """Return whether a query for runs in a state selects a run. v4 only knows the state ``open``."""
        return state != "open" or run.finished_at is None

    def show_task(self, task: TaskRecord, platform: Platform) -> Item:
        """See ``NodeContract.show_task``. A database has its label, and its other options as JSON text."""
        databases = [dict(database) for database in cast("list[Item]", task.databases)]
        return {
            "id": task.id,
            "job_id": task.job_id,
            "name": task.name,
            "description": task.description,
            "image": task.image,
            "status": task.status,
            "created_at": task.created_at,
            "finished_at": task.finished_at,
            "collaboration": rest.make_reference("collaboration", platform.collaboration_id),
            "init_org": rest.make_reference("organization", task.init_organization_id),
            "init_user": None,
            "parent": rest.make_reference("task", task.parent_id) if task.parent_id else None,
            "children": f"/api/task?parent_id={task.id}",
            "runs": f"/api/run?task_id={task.id}",
            "results": f"/api/result?task_id={task.id}",
            "databases": [
                {"label": database.pop("label"), "parameters": json.dumps(database)} for database in databases
            ],
            "study": None,
            "algorithm_store": None,
        }

    def show_run(self, run: RunRecord, platform: Platform) -> Item:
        """See ``NodeContract.show_run``."""
        return {
            "id": run.id,
            "organization": rest.make_reference("organization", run.organization_id),
            "task": rest.make_reference("task", run.task_id),
            "results": rest.make_reference("result", run.id),
            "node": {
                "id": run.node_id,
                "ip": None,
                "status": platform.node_status(run.node_id),
                "name": platform.node_name(run.node_id),
            },
            "ports": [],
            "input": rest.to_base64(run.input),
            "status": run.status,
            "log": run.log or None,
            "assigned_at": run.assigned_at,
            "started_at": run.started_at,
            "finished_at": run.finished_at,
            "cleanup_at": None,
            "blob_storage_used": False,
        }

    def show_result(self, run: RunRecord, platform: Platform) -> Item:
        """See ``NodeContract.show_result``."""
        del platform  # only v5's result needs it
        return {
            "id": run.id,
            "run": rest.make_reference("run", run.id, ["GET", "PATCH"]),
            "task": rest.make_reference("task", run.task_id, ["GET", "DELETE"]),
            "result": run.output if run.status in FINAL_STATUSES else None,
            "cleanup_at": None,
            "blob_storage_used": False,
        }

    def show_organization(self, organization: OrganizationRecord) -> Item:
        """See ``NodeContract.show_organization``."""
        lists = {name: name.removesuffix("s") for name in ("collaborations", "nodes", "users", "tasks", "runs")}
        lists["studies"] = "study"
        links = {name: f"/api/{kind}?organization_id={organization.id}" for name, kind in lists.items()}
        empty = dict.fromkeys(("public_key", "domain", "address1", "address2", "zipcode", "country"), "")
        return {**links, **empty, "id": organization.id, "name": organization.name}

    def show_collaboration(self, platform: Platform) -> Item:
        """See ``NodeContract.show_collaboration``."""
        id_ = platform.collaboration_id
        lists = {
            "organizations": "organization",
            "nodes": "node",
            "tasks": "task",
            "algorithm_stores": "algorithmstore",
            "studies": "study",
        }
        links = {name: f"/api/{kind}?collaboration_id={id_}" for name, kind in lists.items()}
        return {**links, "id": id_, "name": platform.collaboration, "encrypted": False}


class V4Node(prepare.SharedVolume, V4Api, v4.V4):
    """The node's side of generation 4."""

    def __init__(self, *, encoded: bool = True) -> None:
        self.encoded = encoded
        """Whether the node encodes values, as nodes from 4.2 on do. Containers detect the encoding."""

    def prepare(self, task: Task, token: str = "", posted: bytes | None = None) -> PreparedRun:
        """See ``NodeContract.prepare``."""
        prepare.check_limits(self.name, _list_limits(task))
        databases = [*task.databases, *task.configured]
        values = prepare.make_location_variables(task)
        values["USER_REQUESTED_DATABASE_LABELS"] = ",".join(database.label for database in task.databases)
        # A node that does not have a requested database does not list it, and sets no URI for it.
        labels = [database.label for database in databases if database.uri or database in task.configured]
        values["DB_LABELS"] = ",".join([*labels, *([RULES_LABEL] if task.policy_file else [])])
        values |= prepare.make_rules_variables(task)
        for database in databases:
            prefix = f"{database.label.upper()}_"
            fields = {prefix + ending: getattr(database, field) for field, ending in DATABASE_SUFFIXES.items()}
            fields[prefix + DATABASE_SUFFIXES["uri"]] = database.uri or None
            values |= {name: text for name, text in fields.items() if text is not None}
            values |= {f"{prefix}{OPTION_PREFIX}{name}": value for name, value in database.options.items()}
        reserved = list_variables(
            [*(database.label for database in databases), RULES_LABEL], {**task.variables, **task.policy_variables}
        )
        environment = prepare.build_environment(task, values, reserved, encoded=self.encoded)
        data = self.encode_input(prepare.make_input_content(task)) if posted is None else posted
        return PreparedRun(environment, prepare.build_files(task, data, token))

    def name_databases(self, requested: list[Database]) -> str | list[object]:
        """See ``NodeContract.name_databases``. Each database has its label and the task's query."""
        keys = ("query", "sheet_name", "preprocessing")
        return [
            {"label": d.label, **{key: text for key in keys if (text := getattr(d, key)) is not None}}
            for d in requested
        ]


def _list_limits(task: Task) -> prepare.Limits:
    """Yield the limits of v4."""
    databases = (*task.databases, *task.configured)
    labels = [database.label for database in databases]
    for label in labels:
        is_part = prepare.NAME.fullmatch(label) and OPTION_PREFIX not in f"{label.upper()}_"
        yield not is_part, f"the database label {label!r}: it must be an identifier"
    yield len({label.upper() for label in labels}) < len(labels), "database labels that differ only in case"
    for database in databases:
        for name in database.options:
            is_name = prepare.OPTION_NAME.fullmatch(name)
            yield not is_name, f"the option {name!r} of database {database.label}: names are upper-case"
    yield from prepare.list_volume_limits(task)
    count = len(labels) * len(DATABASE_SUFFIXES) + len(VARIABLES)
    yield (
        len(list_variables(labels, ())) < count,
        "these database labels together: two of their variables have one name",
    )


CONTRACT = V4Node()
