"""A master's connection to its node's proxy: the parts that all generations share, v4's and v5's.

A master sees the same tasks, runs and organizations at nodes of every generation, because the connections of v3 and v5
convert responses to v4's fields. Some oddities of the generations:

* v4 and v5 count a task as failed as soon as one of its runs has failed, while the others go on.
* v4's and v5's servers list the newest run first. A master expects the order in which it named the organizations.
* v4's and v5's servers return a list in pages, and only the first ten items if the request does not name a page.
* A proxy answers 500 for an id that does not exist, as for a fault that passes. So a request for an id that only the
  author gave is retried for seconds, and one for a task that certainly exists for minutes.
* From 4.13 on, a server may keep inputs and results in a blob store. JSON then contains only a name.
* v5 knows the status ``awaiting``, which v4's readers take for the end of a task.
* 5.0's nodes store more in a log than the container wrote; see ``clean_log``.
"""

from __future__ import annotations

import itertools
import traceback
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Optional, cast
from urllib.parse import parse_qs, urlsplit

import msgspec

from algotools.disclosure.parent import TaskOrigin
from algotools.errors import AlgotoolsError, ProxyError, TokenError
from algotools.runtime.client.connection import Item, Progress, RunState, Sign
from algotools.runtime.client.http import RETRY_TIME, Http
from algotools.runtime.contract import FINAL_STATUSES, Contract
from algotools.runtime.contract._run_fields import find_hint, measure_duration
from algotools.runtime.contract.environment import read_token
from algotools.runtime.contract.files import RICH_FORMAT
from algotools.task import Task

RETRY_TIME_WHILE_WAITING = 600.0
"""Seconds for which a request about an existing task is retried. A server's upgrade may take minutes."""

RETRY_TIME_FOR_UNKNOWN_ID = 10.0
"""Seconds for which a request is retried if only the author says that its id exists."""

TASK_HINT = "most often there is no task of this id that this master may read; "
"""The most frequent reason for which the proxy does not return a task."""

UNDER_WAY = frozenset({"pending", "initializing", "active"})
"""The statuses of a task of which no run has failed, and some are unfinished."""

PAGE_SIZE = 100
"""Number of items of a list in one response."""

FAR_PAGE = 1_000_000
"""A page after the last one. The response has no items, but its links show how many pages there are."""


@contextmanager
def convert_format_errors() -> Iterator[None]:
    """Raise ``ProxyError`` if a response does not have the format of this generation."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, AlgotoolsError):
            raise
        raise ProxyError(
            "the node's proxy sent a response in an unexpected format", detail=traceback.format_exc()
        ) from None


class BaseConnection(ABC):
    """Connection to a node's proxy; see ``Connection``."""

    input_key = "input"
    """The field with an organization's input, in the body of a subtask."""
    run_kind = "run"
    """The name of a run in the proxy's paths."""
    may_lose_results = False
    """See ``Connection``."""

    def __init__(self, task: Task, text: str, contract: Contract) -> None:
        if task.proxy is None:
            raise TokenError("the node gives no address of its proxy, so this run cannot reach the platform")
        self.identity = read_token(text)
        self._http = Http(task.proxy.url, text)
        self._contract = contract
        self._created: set[int] = set()
        self._sign: Sign | None = None

    def use_signatures(self, sign: Sign) -> None:
        """See ``Connection``."""
        self._sign = sign

    @abstractmethod
    def read_run_states(self, task_id: int) -> list[RunState]:
        """See ``Connection``."""

    @abstractmethod
    def _fetch_members(self) -> list[Item]:
        """Fetch the organizations of the collaboration, with v4's fields."""

    @abstractmethod
    def _fetch_runs(self, task_id: int) -> list[Item]:
        """Fetch the runs of a task, with this generation's fields."""

    @abstractmethod
    def _make_subtask_fields(self, method: str) -> Item:
        """Return the fields that only this generation has in the body of a subtask."""

    def _convert_task(self, item: Item) -> Item:
        return item

    def _convert_run(self, item: Item) -> Item:
        return item

    def _convert_collaboration(self, item: Item) -> Item:
        return item

    @cached_property
    @convert_format_errors()
    def _members(self) -> list[Item]:
        return self._fetch_members()

    def list_members(self) -> list[Item]:
        """See ``Connection``."""
        return [dict(item) for item in self._members]

    @convert_format_errors()
    def list_organizations(self) -> dict[int, str]:
        """See ``Connection``."""
        return {item["id"]: item["name"] for item in self._members}

    def list_recipients(self) -> list[int]:
        """See ``Connection``."""
        return [
            run.organization_id
            for run in sorted(self.read_run_states(self.identity.task_id), key=lambda run: run.run_id)
        ]

    @convert_format_errors()
    def create_task(
        self,
        method: str,
        arguments: Mapping[int, Mapping[str, object]],
        name: str = "",
        description: str = "",
        *,
        recipients: Collection[int] | None = None,
        resend_of: int | None = None,
    ) -> Item:
        """See ``Connection``. The input is JSON, never a pickle."""
        request = {"master": False, "output_format": RICH_FORMAT, "resend_of": resend_of}
        if resend_of is None:
            del request["resend_of"]
        # Most often all organizations share one object with arguments, which is then encoded only once.
        distinct = {id(kwargs): kwargs for kwargs in arguments.values()}
        encoded = {
            key: self._contract.encode_input({"method": method, "kwargs": kwargs, **request})
            for key, kwargs in distinct.items()
        }
        if (sign := self._sign) is not None:
            signed_ids = tuple(arguments if recipients is None else recipients)
            encoded = {
                key: self._contract.sign_input(data, lambda input_hash: sign(method, input_hash, signed_ids))
                for key, data in encoded.items()
            }
        body = {
            "name": name or "subtask",
            "image": self.identity.image,
            "collaboration_id": self.identity.collaboration_id,
            "description": description or f"{method}, sent by the master at node {self.identity.node_id}",
            "organizations": [
                {"id": id_, self.input_key: self._send_input(id_, encoded[id(kwargs)])}
                for id_, kwargs in arguments.items()
            ],
            **self._make_subtask_fields(method),
        }
        task = cast("Item", self._http.post("task", body))
        self._created.add(int(task["id"]))
        return self._convert_task(task)

    @convert_format_errors()
    def read_progress(self, task_id: int) -> Progress:
        """See ``Connection``. A task counts as failed after its first failed run, even if others go on."""
        status = self.read_task(task_id)["status"]
        return "active" if status in UNDER_WAY else "completed" if status == "completed" else "unclear"

    def count_finished(self, task_id: int, run_count: int) -> int | None:
        """See ``Connection``. v3 has no such request."""
        del task_id, run_count
        return None

    def read_durations(self, method: str) -> list[float]:
        """See ``Connection``. Only v5 loses results, so only its connection searches for comparable runs."""
        del method
        return []

    @convert_format_errors()
    def read_task(self, task_id: int) -> Item:
        """See ``Connection``."""
        return self._convert_task(self._fetch_item("task", task_id, self._select_retry_time(task_id)))

    @convert_format_errors()
    def read_run(self, run_id: int) -> Item:
        """See ``Connection``."""
        return self._convert_run(self._fetch_item(self.run_kind, run_id))

    @convert_format_errors()
    def list_runs(self, task_id: int) -> list[Item]:
        """See ``Connection``. Sort by id, because a server of v4 or v5 lists the newest run first."""
        return sorted(map(self._convert_run, self._fetch_runs(task_id)), key=lambda run: int(run["id"]))

    @convert_format_errors()
    def read_collaboration(self) -> Item:
        """See ``Connection``."""
        return self._convert_collaboration(
            self._fetch_item("collaboration", self.identity.collaboration_id, RETRY_TIME)
        )

    @convert_format_errors()
    def read_origin(self, *, with_organizations: bool) -> TaskOrigin:
        """See ``Connection``. The server runs a subtask with its parent's image, whatever image was posted."""
        own_id = self.identity.task_id
        parent = self._fetch_item("task", own_id, RETRY_TIME)["parent"]
        return TaskOrigin(
            parent=None if parent is None else int(parent["id"]),
            has_same_image=parent is not None,
            organizations=self._count_runs(own_id) if with_organizations else 0,
        )

    @abstractmethod
    def _count_runs(self, task_id: int) -> int:
        """Return the number of runs of a task."""

    def close(self) -> None:
        """See ``Connection``."""
        self._http.close()

    def _select_retry_time(self, task_id: int) -> float:
        """Return for how long a request about a task is retried: long for tasks that certainly exist."""
        exists = task_id in self._created or task_id == self.identity.task_id
        return RETRY_TIME_WHILE_WAITING if exists else RETRY_TIME_FOR_UNKNOWN_ID

    def _fetch_item(self, kind: str, id_: int, retry_time: float = RETRY_TIME_FOR_UNKNOWN_ID) -> Item:
        """Fetch an item by its id, with this generation's fields."""
        item = cast("Item", self._http.get(f"{kind}/{id_}", retry_time, TASK_HINT.replace("task", kind)))
        if item["id"] != id_:
            raise LookupError(id_)
        return item

    def _send_input(self, organization_id: int, data: bytes) -> str:
        """Return the text for an organization's input in the body of a subtask: here the input itself."""
        del organization_id
        return str(msgspec.to_builtins(data))  # base64


class _Run(msgspec.Struct):
    id: int


class _Result(msgspec.Struct):
    """The result of a run: base64, or a name in the blob store.

    ``result`` is unparsed JSON. So base64 is decoded straight to bytes, without a text of the same size in between.
    """

    run: _Run
    result: msgspec.Raw = msgspec.Raw()
    blob_storage_used: Optional[bool] = None

    @property
    def has_result(self) -> bool:
        """Whether the result is neither null nor an empty text, which are both at most four bytes of JSON."""
        return len(memoryview(self.result)) > len(b"null")


class _Results(msgspec.Struct):
    data: list[_Result]
    links: dict[str, str] = {}


class V4Connection(BaseConnection):
    """Connection to v4's proxy, with the endpoints that every 4.x has."""

    def _fetch_members(self) -> list[Item]:
        """See ``BaseConnection``. If the task belongs to a study, return the study's organizations."""
        scope = "collaboration_id" if self.identity.study_id is None else "study_id"
        scope_id = self.identity.study_id or self.identity.collaboration_id
        return self._fetch_list("organization", **{scope: scope_id})

    def _fetch_runs(self, task_id: int) -> list[Item]:
        return self._fetch_list("run", self._select_retry_time(task_id), task_id=task_id)

    def _make_subtask_fields(self, method: str) -> Item:
        del method  # the method is in the input
        fields = {name: getattr(self.identity, name) for name in ("databases", "study_id", "store_id")}
        return {name: value for name, value in fields.items() if value is not None or name == "databases"}

    @convert_format_errors()
    def read_run_states(self, task_id: int) -> list[RunState]:
        """See ``Connection``."""
        return [
            RunState(
                run_id=item["id"],
                organization_id=item["organization"]["id"],
                status=item["status"],
                is_finished=item["status"] in FINAL_STATUSES,
                log=item.get("log") or "",
                hint=find_hint(item.get("log") or ""),
                is_node_online=not item.get("node") or item["node"].get("status") == "online",
                duration=measure_duration(item),
            )
            for item in self.list_runs(task_id)
        ]

    @convert_format_errors()
    def read_outputs(self, task_id: int) -> dict[int, bytes]:
        """See ``Connection``. Results in the blob store are downloaded."""
        results = {}
        retry_time, number = self._select_retry_time(task_id), 0
        while True:
            number += 1
            selection = {"task_id": task_id, "page": number, "per_page": PAGE_SIZE}
            page = self._http.get_as(_Results, "result", retry_time, TASK_HINT, **selection)
            for item in page.data:
                if not item.has_result:
                    continue
                if item.blob_storage_used:
                    output = self._http.download(f"blobstream/{msgspec.json.decode(item.result, type=str)}")
                else:
                    output = msgspec.json.decode(item.result, type=bytes)
                results[item.run.id] = self._contract.unwrap_result(output)
            if "next" not in page.links:
                return results

    @convert_format_errors()
    def count_finished(self, task_id: int, run_count: int) -> int | None:
        """See ``Connection``. v4 can select the runs without a finishing time."""
        return run_count - self._count_runs(task_id, state="open")

    def _count_runs(self, task_id: int, **state: str) -> int:
        """Return the number of runs of a task, in a state if one is given: the number of pages of one run."""
        selection = {"task_id": task_id, **state, "page": FAR_PAGE, "per_page": 1}
        links = cast("Item", self._http.get("run", self._select_retry_time(task_id), TASK_HINT, **selection))["links"]
        return int(parse_qs(urlsplit(links["last"]).query)["page"][0]) if "last" in links else 0

    def list_databases(self) -> list[Item]:
        """See ``Connection``."""
        return cast("list[Item]", self.identity.databases or [])

    def _send_input(self, organization_id: int, data: bytes) -> str:
        """See ``BaseConnection``. If the server has a blob store (4.13), inputs must be in it."""
        if not self._has_blob_store:
            return super()._send_input(organization_id, data)
        key = self._keys.get(organization_id) or "none"  # the proxy refuses an empty header
        return str(cast("Item", self._http.upload("blobstream", data, {"X-Public-Key": key}))["uuid"])

    @cached_property
    def _keys(self) -> dict[int, str | None]:
        """The public key of each organization that has one."""
        return {item["id"]: item.get("public_key") for item in self._members}

    @cached_property
    def _has_blob_store(self) -> bool:
        status = cast("Item | None", self._http.get_optional("blobstream/status"))
        return status is not None and bool(status["blob_store_enabled"])

    def _fetch_list(self, path: str, retry_time: float = RETRY_TIME, **query: object) -> list[Item]:
        """Fetch all items of a list, page by page."""
        hint = TASK_HINT if "task_id" in query else ""
        items: list[Item] = []
        for number in itertools.count(1):
            selection = {**query, "page": number, "per_page": PAGE_SIZE}
            page = cast("Item", self._http.get(path, retry_time, hint, **selection))
            items += page["data"]
            if "next" not in page["links"]:
                break
        return items
