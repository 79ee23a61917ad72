"""The items of the researcher's client: the server's records in the format of a generation, in pages and filtered."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, cast

from algotools.errors import FederationError
from algotools.federation._store import ROOT
from algotools.federation.contract import rest, v3
from algotools.federation.contract.rest import OrganizationRecord, RunRecord, TaskRecord
from algotools.runtime.contract import FINAL_STATUSES

if TYPE_CHECKING:
    from algotools.federation._platform import LocalPlatform


UNDER_WAY = ("pending", "initializing", "active")
RUN_STATUSES = (*UNDER_WAY, *sorted(FINAL_STATUSES))


_V3 = v3.V3Node()
"""The client shows results and the collaboration in the format of v3 on every generation, as the manual describes."""

TASK_STATUSES = {
    "v3": (*UNDER_WAY, "completed", "failed"),
    "v4": RUN_STATUSES,
    "v5": ("awaiting", "completed", "failed"),
}
"""The statuses that the tasks of a generation can have."""


class View:
    """The shared part of the client's calls: find a record, and show it as an item.

    An item has the fields of its generation, and additional fields of the manual (see ``Client``).
    """

    def __init__(self, owner: object, platform: LocalPlatform) -> None:
        self._owner = owner  # a federation closes when it is garbage collected; this reference keeps it open
        self.platform = platform
        self.store = platform.store
        self.contract = platform.contract
        self.is_v3 = self.contract.name == "v3"
        self.default_collaboration: int | None = None

    def find_task(self, id_: int) -> TaskRecord:
        """Return a task.

        Raises:
            FederationError: the id is unknown.
        """
        if (task := self.store.task(id_)) is None:
            tasks = self.store.tasks()
            raise FederationError(f"unknown task {id_} (existing tasks: {_describe_ids(tasks[-1].id if tasks else 0)})")
        return task

    def find_run(self, id_: int) -> RunRecord:
        """Return a run.

        Raises:
            FederationError: the id is unknown.
        """
        if (run := self.store.run(id_)) is None:
            tasks = self.store.tasks()
            raise FederationError(
                f"unknown run {id_} (existing runs: {_describe_ids(tasks[-1].runs[-1].id if tasks else 0)})"
            )
        return run

    def list_organizations(self) -> list[OrganizationRecord]:
        """Return all organizations of the server, including its owner."""
        return [ROOT, *self.store.organizations()]

    def check_collaboration(self, id_: int | None) -> None:
        """Check the id of a collaboration; None means the only collaboration.

        Raises:
            FederationError: the id is unknown.
        """
        if id_ is not None and id_ != self.store.collaboration_id:
            raise FederationError(
                f"unknown collaboration {id_} (choose from {self.store.collaboration_id} ({self.store.collaboration}))"
            )

    def show_task(self, record: TaskRecord) -> Item:
        """Return a task as an item, with the field ``complete`` of v3."""
        return {**self.contract.show_task(record, self.store), "complete": record.complete}

    def show_task_with_results(self, record: TaskRecord) -> Item:
        """Return a task with its results in the field ``results``. They are in base64, as on the platform."""
        if not self.is_v3:
            return {
                **self.show_task(record),
                "results": [_encode_result(self.contract.show_result(run, self.store)) for run in record.runs],
            }
        runs = [_V3.show_plain_result(run, self.store) for run in record.runs]
        return {
            **self.show_task(record),
            "results": [_encode_result({k: v for k, v in run.items() if k != "task"}) for run in runs],
        }

    def show_run(self, run: RunRecord, *, include_task: bool = False) -> Item:
        """Return a run as an item, with its input as posted."""
        item = self.contract.show_run(run, self.store)
        if self.is_v3:
            item["input"] = run.input
        else:
            item["arguments" if "arguments" in item else "input"] = _decode_text(run.input)
        return self._add_task(item, run, "results" if self.is_v3 else "runs") if include_task else item

    def show_text_result(self, run: RunRecord) -> Item:
        """Return a result in the format of v4 and v5: JSON text, or None if the run has no result."""
        return {
            **self.contract.show_result(run, self.store),
            "result": _decode_text(run.output) if run.output else None,
        }

    def show_raw_result(self, run: RunRecord) -> Item:
        """Return a result in the format of v3's ``wait_for_results``: bytes, or None if the run has no result."""
        return {**_V3.show_result(run, self.store), "input": run.input, "result": run.output or None}

    def show_decoded_result(self, run: RunRecord, *, include_task: bool = False) -> Item:
        """Return a result in the format of the manual: the value, and v3's fields of a run."""
        item = {**self.show_raw_result(run), "log": run.log, "result": self.contract.decode_output(run.output)}
        return self._add_task(item, run, "results") if include_task else item

    def show_organization(self, record: OrganizationRecord) -> Item:
        """Return an organization as an item."""
        return self.contract.show_organization(record)

    def show_collaboration(self) -> Item:
        """Return the collaboration as an item, with the list of its members as on v3 and in the manual."""
        members = _V3.show_collaboration(self.store)["organizations"]
        return {**self.contract.show_collaboration(self.store), "organizations": members}

    def show_node(self, record: OrganizationRecord) -> Item:
        """Return the node of an organization as an item."""
        return self.contract.show_node(record, self.store)

    def _add_task(self, item: Item, run: RunRecord, excluded_field: str) -> Item:
        task = self.show_task(self.find_task(run.task_id))
        task.pop(excluded_field, None)
        return {**item, "task": task}


def _encode_result(item: Item) -> Item:
    """Return an item with its result in base64."""
    return {**item, "result": None if item["result"] is None else rest.to_base64(item["result"])}


def _decode_text(data: bytes) -> str | bytes:
    """Return bytes as text, or unchanged if they are not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _describe_ids(last: int) -> str:
    return {0: "none", 1: "1"}.get(last, f"1 to {last}")


Item = dict[str, Any]

ItemList = Any
"""A page, ``{"data": [...], "links": {...}}``, or a plain list of items (see ``select_items``)."""

Record = TypeVar("Record")


class Keys(TypedDict, total=False):
    """The selected keys of an item: one key in ``field``, or several in ``fields``."""

    field: str | None
    fields: Sequence[str] | None


class Selection(Keys, total=False):
    """The selected items and keys of a list.

    ``filter_`` is a pair of key and value that an item must have, and ``filters`` are several such pairs. ``page``
    counts from 1, and has ``per_page`` items. ``include_metadata=False`` requests a plain list.
    """

    filter_: tuple[str, object] | None
    filters: Sequence[tuple[str, object]] | None
    page: int | None
    per_page: int | None
    include_metadata: bool


PAGES_OF_TWENTY: Selection = {"page": 1, "per_page": 20}
"""The default page of most of the platform's lists. The other lists return all items by default."""


def select_keys(item: Item, keys: Keys, method: Callable[..., object]) -> Item:
    """Return an item with the selected keys; default: all keys.

    Raises:
        FederationError: an argument or a key is unknown. The message names the arguments of ``method``.
    """
    _check_arguments(keys, Keys, method)
    return _select_keys([item], keys)[0]


def select_items(
    records: Sequence[Record],
    show: Callable[[Record], Item],
    path: str,
    selection: Selection,
    method: Callable[..., object],
) -> ItemList:
    """Return a page of a list, with its selected items and keys.

    Filters apply to the items of the page, not to the whole list. With filters or selected keys, or with
    ``include_metadata=False``, the list is plain; otherwise it has links.

    Args:
        records: all records of the list, sorted.
        show: makes an item from a record. It is called only for the records of the page.
        path: the path of the list on the platform, for the links.
        selection: the selection of the caller.
        method: the method that was called, for errors.

    Raises:
        FederationError: an argument, a key or a page is invalid.
    """
    _check_arguments(selection, Selection, method)
    query = {key: str(value) for key, value in selection.items() if key in ("page", "per_page") and value is not None}
    try:
        page = rest.paginate(records, path, query, rest.PAGE_SIZE if query else max(1, len(records)))
    except ValueError:
        raise FederationError("pages are counted from 1, and per_page must be at least 1") from None
    items = [show(record) for record in cast("list[Record]", page["data"])]
    single = selection.get("filter_")
    filters = [*([] if single is None else [single]), *(selection.get("filters") or ())]
    for key, value in filters:
        _check_keys([key], items)
        items = [item for item in items if item[key] == value]
    is_plain = filters or _list_keys(selection) is not None or not selection.get("include_metadata", True)
    items = _select_keys(items, selection)
    return items if is_plain else {**page, "data": items}


def matches(pattern: str | None, text: str) -> bool:
    """Whether a text matches a pattern as with SQL's LIKE: ``%`` is any text, ``_`` one character; None always."""
    if pattern is None:
        return True
    expression = re.escape(pattern).replace("%", ".*").replace("_", ".")
    return re.fullmatch(expression, text, re.DOTALL) is not None


def check_choice(value: str | None, choices: Sequence[str], name: str) -> None:
    """Check that a value is one of the choices, or None.

    Raises:
        FederationError: the value is not one of the choices.
    """
    if value is not None and value not in choices:
        raise FederationError(f"unknown {name} {value!r} (choose from {', '.join(choices)})")


def _list_keys(keys: Keys) -> Sequence[str] | None:
    single = keys.get("field")
    return keys.get("fields") if single is None else [single]


def _select_keys(items: list[Item], keys: Keys) -> list[Item]:
    names = _list_keys(keys)
    if names is None:
        return items
    if isinstance(names, str):
        raise FederationError(f"fields must be a list of keys: write fields=[{names!r}] or field={names!r}")
    _check_keys(names, items)
    return [{key: item[key] for key in names} for item in items]


def _check_keys(keys: Sequence[str], items: list[Item]) -> None:
    if items and (unknown := [str(key) for key in keys if key not in items[0]]):
        raise FederationError(f"unknown field {', '.join(unknown)} (choose from {', '.join(items[0])})")


def _check_arguments(arguments: Mapping[str, object], kind: type, method: Callable[..., object]) -> None:
    keys = sorted(getattr(kind, "__optional_keys__"))  # noqa: B009 - mypy does not know this attribute of a TypedDict
    if unknown := [key for key in arguments if key not in keys]:
        names = [p.name for p in inspect.signature(method).parameters.values() if p.kind is not p.VAR_KEYWORD]
        raise FederationError(
            f"{method.__name__} has no argument {', '.join(unknown)} (choose from {', '.join([*names, *keys])})"
        )
