"""The server's records, as the client of the federation's generation shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from algotools.contract import Contract, rest, v3_http, v4_http, v5_http
from algotools.contract.platform import FINAL, Organization, Platform, Run, Task
from algotools.errors import FederationError
from algotools.federation.client.selection import Item
from algotools.federation.store import ROOT, Store

if TYPE_CHECKING:
    from algotools.federation import Federation

UNDER_WAY = ("pending", "initializing", "active")
RUN_STATUSES = (*UNDER_WAY, *sorted(FINAL))


class _Shapes(Protocol):
    """How a generation shows its records; its module of the proxy has all of these."""

    def task(self, record: Task, platform: Platform, /) -> Item:
        """A task."""

    def run(self, run: Run, platform: Platform, /) -> Item:
        """A run, without its result."""

    def result(self, run: Run, platform: Platform, /) -> Item:
        """A run's result, in base64."""

    def collaboration(self, platform: Platform, /) -> Item:
        """The collaboration."""


_SHAPES: dict[str, _Shapes] = {"v3": v3_http, "v4": v4_http, "v5": v5_http}

TASK_STATUSES = {
    "v3": (*UNDER_WAY, "completed", "failed"),
    "v4": RUN_STATUSES,
    "v5": ("awaiting", "completed", "failed"),
}
"""What a generation's tasks can be in."""


class View:
    """What the parts of the client share: finding records, and showing them.

    A generation's own fields are shown, and those besides that the manual has (see ``Client``).
    """

    def __init__(self, federation: Federation, store: Store, contract: Contract) -> None:
        self.federation = federation
        self.store = store
        self.contract = contract
        self.is_v3 = contract.name == "v3"
        self.default_collaboration: int | None = None
        self._shapes = _SHAPES[contract.name]

    def find_task(self, id_: int) -> Task:
        """A task by its id.

        Raises:
            FederationError: there is none.
        """
        if (found := self.store.task(id_)) is None:
            tasks = self.store.tasks()
            raise FederationError(f"there is no task {id_}; {_counted(tasks[-1].id if tasks else 0)}")
        return found

    def find_run(self, id_: int) -> Run:
        """A run by its id.

        Raises:
            FederationError: there is none.
        """
        if (found := self.store.run(id_)) is None:
            tasks = self.store.tasks()
            raise FederationError(f"there is no run {id_}; {_counted(tasks[-1].runs[-1].id if tasks else 0)}")
        return found

    def organizations(self) -> list[Organization]:
        """All that the server knows, the one that owns it among them."""
        return [ROOT, *self.store.organizations()]

    def check_collaboration(self, id_: int | None) -> None:
        """Without an id, the one that there is, is meant.

        Raises:
            FederationError: there is no such collaboration.
        """
        if id_ is not None and id_ != self.store.collaboration_id:
            raise FederationError(
                f"there is no collaboration {id_}; there is {self.store.collaboration_id} ({self.store.collaboration})"
            )

    def task(self, record: Task) -> Item:
        """A task, with the ``complete`` of v3."""
        return {**self._shapes.task(record, self.store), "complete": record.complete}

    def task_with_results(self, record: Task) -> Item:
        """A task with the results themselves in ``results``, in base64 as the platform leaves them."""
        if not self.is_v3:
            return {
                **self.task(record),
                "results": [_text(self._shapes.result(run, self.store)) for run in record.runs],
            }
        runs = [v3_http.plain_result(run, self.store) for run in record.runs]
        return {**self.task(record), "results": [_text({k: v for k, v in run.items() if k != "task"}) for run in runs]}

    def run(self, run: Run, *, include_task: bool = False) -> Item:
        """A run with its input as it was posted."""
        item = self._shapes.run(run, self.store)
        if self.is_v3:
            item["input"] = run.input
        else:
            item["arguments" if "arguments" in item else "input"] = text_of(run.input)
        return self._with_task(item, run, "results" if self.is_v3 else "runs") if include_task else item

    def text_result(self, run: Run) -> Item:
        """A result as v4 and v5 give it: JSON as text; None where there is none."""
        return {**self._shapes.result(run, self.store), "result": text_of(run.output) if run.output else None}

    def raw_result(self, run: Run) -> Item:
        """A result as v3's ``wait_for_results`` gives it: its bytes; None where there is none."""
        return {**v3_http.result(run, self.store), "input": run.input, "result": run.output or None}

    def decoded_result(self, run: Run, *, include_task: bool = False) -> Item:
        """A result as the manual shows it: the value, and the fields that v3 has of a run."""
        item = {**self.raw_result(run), "log": run.log, "result": self.contract.answer(run.output)}
        return self._with_task(item, run, "results") if include_task else item

    def organization(self, record: Organization) -> Item:
        """An organization."""
        return v3_http.organization(record) if self.is_v3 else v4_http.organization(record)

    def collaboration(self) -> Item:
        """The collaboration, with the list of its members as v3 and the manual have it."""
        members = v3_http.collaboration(self.store)["organizations"]
        return {**self._shapes.collaboration(self.store), "organizations": members}

    def node(self, record: Organization) -> Item:
        """An organization's node."""
        return (v5_http.node if self.contract.name == "v5" else rest.node)(record, self.store)

    def _with_task(self, item: Item, run: Run, left_out: str) -> Item:
        task = self.task(self.find_task(run.task_id))
        task.pop(left_out, None)
        return {**item, "task": task}


def _text(item: Item) -> Item:
    """An item with its result in base64."""
    return {**item, "result": None if item["result"] is None else rest.to_base64(item["result"])}


def text_of(data: bytes) -> str | bytes:
    """What was sent, as text; as it is, where it is none."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _counted(last: int) -> str:
    return f"there are 1 to {last}" if last else "there is none yet"
