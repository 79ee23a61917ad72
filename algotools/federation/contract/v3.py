"""The node's side of v3: plain variables, and the proxy."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence

from algotools.errors import ContractError
from algotools.federation.contract import Item, PreparedRun, Request, prepare, rest
from algotools.federation.contract.rest import OrganizationRecord, Platform, RunRecord, TaskRecord
from algotools.runtime.contract import FINAL_STATUSES, v3
from algotools.runtime.contract.environment import RULES_LABEL
from algotools.runtime.contract.v3 import VARIABLES, list_variables
from algotools.task import Database, Identity, Step, Task


class V3Node(prepare.SharedVolume, v3.V3):
    """The node's side of generation 3."""

    passes_unknown_labels = False

    def prepare(self, task: Task, token: str = "", posted: bytes | None = None) -> PreparedRun:
        """See ``NodeContract.prepare``."""
        prepare.check_limits(self.name, _list_limits(task))
        databases = [*task.databases, *task.configured]
        labels = [database.label for database in databases]
        values = prepare.make_location_variables(task)
        for database in databases:
            values[f"{database.label.upper()}_DATABASE_URI"] = database.uri
            values[f"{database.label.upper()}_DATABASE_TYPE"] = database.type or "None"
        values |= prepare.make_rules_variables(task)
        labels += [RULES_LABEL] if task.policy_file else []
        values["DB_LABELS"] = json.dumps(labels, ensure_ascii=False)
        queries: dict[str, object] = {}
        for database in task.databases:
            values |= {"USER_REQUESTED_DATABASE_LABEL": database.label, "DATABASE_URI": database.uri}
            queries = {"query": database.query, "sheet_name": database.sheet_name}
        environment = prepare.build_environment(task, values, list_variables([*labels, RULES_LABEL]), encoded=False)
        if posted is None:
            content = prepare.make_input_content(task) | queries
            posted = self.encode_input({name: value for name, value in content.items() if value is not None})
        return PreparedRun(environment, prepare.build_files(task, posted, token))

    def make_request(self, content: Mapping[str, object], step: Step = "compute") -> Request:
        """See ``NodeContract.make_request``. Without a format, images made with other tools return a pickle."""
        return super().make_request({"output_format": "json", **content}, step)

    def add_query(self, content: Mapping[str, object], databases: Sequence[object]) -> Mapping[str, object]:
        """See ``NodeContract.add_query``. The only database of a task has its query and sheet in the input."""
        fields = ("query", "sheet_name")
        values = {name: getattr(database, name, None) for database in databases for name in fields}
        return {**content, **{name: value for name, value in values.items() if value is not None}}

    def name_databases(self, requested: list[Database]) -> str | list[object]:
        """See ``NodeContract.name_databases``. The token has a single label."""
        if len(requested) > 1:
            raise ContractError(
                "a v3 task can request only one database; name one, or use contract='v4' (--contract v4)"
            )
        return requested[0].label if requested else ""

    def respond(
        self, method: str, path: str, query: Mapping[str, str], body: bytes, caller: Identity, platform: Platform
    ) -> tuple[int, object]:
        """See ``NodeContract.respond``."""
        del query  # none of these endpoints reads it
        match [method, *path.split("/")]:
            case ["POST", "task"]:
                parent = platform.task(caller.task_id)
                if parent is None or parent.complete:
                    return rest.MASKED
                created = rest.create_subtask(body, caller, platform, has_posted_image=True)
                return (200, self.show_task(created, platform)) if isinstance(created, TaskRecord) else created
            case ["GET", "task", id_] if task := platform.task(int(id_)):
                return 200, self.show_task(task, platform)
            case ["GET", "task", id_, "result"] if task := platform.task(int(id_)):
                return 200, [self.show_plain_result(run, platform) for run in task.runs]
            case ["GET", "result", id_] if run := platform.run(int(id_)):
                return 200, self.show_result(run, platform)
            case ["GET", "collaboration", id_] if int(id_) == platform.collaboration_id:
                return 200, self.show_collaboration(platform)
            case ["GET", "collaboration", id_, "organization"] if int(id_) != platform.collaboration_id:
                return rest.MASKED
            case ["GET", "organization"] | ["GET", "collaboration", _, "organization"]:
                return 200, [self.show_organization(member) for member in platform.organizations()]
            case ["GET", "organization", id_]:
                matches = [member for member in platform.organizations() if member.id == int(id_)]
                return (200, self.show_organization(matches[0])) if matches else rest.MASKED
            case ["GET", "vpn", "algorithm", "addresses"]:
                return 200, {"addresses": []}
            case _:
                return rest.MASKED

    def show_task(self, task: TaskRecord, platform: Platform) -> Item:
        """See ``NodeContract.show_task``."""
        return {
            "id": task.id,
            "run_id": task.job_id,
            "name": task.name,
            "description": task.description,
            "image": task.image,
            "initiator": task.init_organization_id,
            "init_user": None,
            "status": "failed" if task.status in FINAL_STATUSES - {"completed"} else task.status,
            "complete": task.complete,
            "collaboration": rest.make_reference("collaboration", platform.collaboration_id),
            "parent": rest.make_reference("task", task.parent_id) if task.parent_id else None,
            "children": [rest.make_reference("task", child.id) for child in platform.children(task.id)] or None,
            "results": [rest.make_reference("result", run.id) for run in task.runs],
            "database": task.databases,
            "created_at": _format_time(task.created_at),
            "finished_at": _format_time(task.finished_at),
        }

    def show_plain_result(self, run: RunRecord, platform: Platform) -> Item:
        """Return a result as v3 shows it in the list of a task's results, without references."""
        return {
            "id": run.id,
            "task": run.task_id,
            "organization": run.organization_id,
            "status": run.status,
            "input": base64.b64encode(run.input).decode(),
            "result": run.output if run.status in FINAL_STATUSES else None,
            "log": run.log or None,
            "assigned_at": _format_time(run.assigned_at),
            "started_at": _format_time(run.started_at),
            "finished_at": _format_time(run.finished_at),
            "ports": [],
            "node": {
                "id": run.node_id,
                "name": platform.node_name(run.node_id),
                "ip": None,
                "status": platform.node_status(run.node_id),
                "config": [],
            },
        }

    def show_result(self, run: RunRecord, platform: Platform) -> Item:
        """See ``NodeContract.show_result``."""
        links = {
            "task": rest.make_reference("task", run.task_id),
            "organization": rest.make_reference("organization", run.organization_id),
        }
        return {**self.show_plain_result(run, platform), **links}

    def show_run(self, run: RunRecord, platform: Platform) -> Item:
        """See ``NodeContract.show_run``. v3 itself always shows the result."""
        item = self.show_result(run, platform)
        del item["result"]
        return item

    def show_organization(self, organization: OrganizationRecord) -> Item:
        """See ``NodeContract.show_organization``."""
        empty = dict.fromkeys(("domain", "address1", "address2", "zipcode", "country", "public_key"), "")
        related = dict.fromkeys(("collaborations", "nodes", "users", "roles", "results"))
        return {"id": organization.id, "name": organization.name, **empty, **related}

    def show_collaboration(self, platform: Platform) -> Item:
        """See ``NodeContract.show_collaboration``."""
        return {
            "id": platform.collaboration_id,
            "name": platform.collaboration,
            "encrypted": False,
            "organizations": [
                rest.make_reference("organization", o.id, ["GET", "PATCH"]) for o in platform.organizations()
            ],
        }


def _list_limits(task: Task) -> prepare.Limits:
    """Yield the limits of v3."""
    databases = (*task.databases, *task.configured)
    names = {database.label.upper() for database in databases}
    yield task.role is None, "a task without a role: the input must have `master`"
    yield len(task.databases) > 1, "several requested databases"
    yield len(names) < len(databases) or "" in names, "database labels that are empty or differ only in case"
    for database in databases:
        is_exceeded = database.options or database.preprocessing is not None
        yield is_exceeded, f"options or preprocessing of a database ({database.label})"
        variable = f"{database.label.upper()}_DATABASE_URI"
        yield variable in VARIABLES, f"a database label whose variable is one of the contract: {variable}"
    yield any(not database.uri for database in task.databases), "a requested database that the node does not have"
    yield from prepare.list_volume_limits(task)


def _format_time(text: str | None) -> str | None:
    return text and f"{text}+00:00"


CONTRACT = V3Node()
