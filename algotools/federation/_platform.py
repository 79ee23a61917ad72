"""The server and its nodes: create tasks, execute runs, and respond to the requests of masters."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, cast

from algotools.errors import (
    AlgotoolsError,
    FederationError,
    ImageNotFound,
    Stopped,
)
from algotools.federation._api import Api
from algotools.federation._frames import remove_frames
from algotools.federation._node import Node, NodeContext
from algotools.federation._probing import describe_refusal, select_completed
from algotools.federation._recording import Recorder
from algotools.federation._results import Requested, find_stacklevel
from algotools.federation._schedule import Priority, Schedule
from algotools.federation._sessions import Sessions
from algotools.federation._store import Listen, Store
from algotools.federation.algorithms import Algorithms
from algotools.federation.configuration import Configuration
from algotools.federation.contract import Request, rest
from algotools.federation.contract.rest import DataframeRecord, RunRecord, TaskRecord
from algotools.federation.faults import SOUND, Faults
from algotools.federation.folders import Folders
from algotools.federation.history import ContributorsChanged
from algotools.federation.policy import NodePolicy, check_generation
from algotools.federation.runners import Runner
from algotools.runtime.unexpected import convert_unexpected
from algotools.task import Database, Identity, Role


class LocalPlatform:
    """One collaboration: its store, its nodes, and everything that runs.

    Args:
        configuration: the members and their nodes' databases.
        algorithms: the algorithms that tasks run.
        folders: the folders for files; removed when the platform closes.
        timeout: seconds after which a run is cancelled.
        listen: called with a run and each new line of its log.
        faults: organization -> the faults of its node.
        policy: the policy of every node.
        ledger: the folder of the project's ledger.
        recorder: records the tasks in a history.
    """

    def __init__(
        self,
        configuration: Configuration,
        algorithms: Algorithms,
        folders: Folders,
        timeout: float | None,
        listen: Listen,
        faults: Mapping[int, Faults],
        policy: NodePolicy,
        ledger: str | Path | None,
        recorder: Recorder,
    ) -> None:
        self.recorder = recorder
        self.contract = algorithms.contract
        self.algorithms = algorithms
        self._timeout = timeout
        self.folders = folders
        check_generation(policy, self.contract.name, has_files=not self.contract.has_sessions)
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._callers: dict[str, tuple[Identity, int]] = {}
        self._key = secrets.token_bytes(32)
        self.federation_name = secrets.token_hex(6)  # see `NodeContext.federation`
        self._api = Api(self._respond, lambda token: token in self._callers)
        names = [member.name for member in configuration.members]
        self.store = Store(configuration.collaboration, names, self._submit, listen)
        dead_members = [id_ for id_, node_faults in faults.items() if node_faults.dead]
        self.store.offline_node_ids = set(map(self.store.node_id, dead_members))
        self.sessions = Sessions(self.store)
        policy_file = None
        if policy.file is not None:
            policy_file = folders.base / "policy.toml"
            policy_file.write_text(policy.file, encoding="utf-8")
        ledger_folder = None if ledger is None else Path(ledger).absolute()
        context = NodeContext(
            self.contract,
            self.store,
            self.sessions,
            folders,
            timeout,
            self._pause,
            policy,
            policy_file,
            ledger_folder,
            self.federation_name,
        )
        self.nodes = {
            id_: Node(context, member, id_, faults.get(id_, SOUND))
            for id_, member in zip(self.organizations(), configuration.members, strict=True)
        }
        runner = self.find_runner("") if algorithms.default is not None else None
        self.slots = runner.slots if runner else 4
        self._schedule = Schedule(self.slots, self._execute, self.release_resources)

    def organizations(self) -> dict[int, str]:
        """Return id and name of each organization of the collaboration."""
        return {organization.id: organization.name for organization in self.store.organizations()}

    def create_task(
        self,
        organizations: Iterable[int],
        request: Request,
        databases: Sequence[Requested],
        *,
        name: str = "",
        description: str = "",
        image: str = "",
        session: int | None = None,
        only_organization: int | None = None,
    ) -> TaskRecord:
        """Create a task as a researcher's client does.

        Args:
            organizations: ids, in the order of the results.
            request: the input, and the method where the generation needs it beside the input.
            databases: the databases, or on v5 the tables, that the task requests.
            name: the task's name, shown to people.
            description: a text for people.
            image: the image that the task names.
            session: id of the session (v5).
            only_organization: the only organization whose node fetches its run; see ``Store.create``.

        Raises:
            FederationError: the federation is closed, the generation has no sessions, or the method is missing (v5).
            ContractError: the generation cannot express the task.
        """
        self.check_open()
        by_label = [item for item in databases if isinstance(item, Database)]
        by_ids = [item for item in databases if not isinstance(item, Database)]
        role = request.role
        fields: dict[str, Any] = {}
        entries: Any
        if self.contract.has_sessions:
            if by_label and by_ids:
                raise FederationError("name either tables by their ids, or databases by label, not both")
            if not request.method:
                raise FederationError("a task on v5 needs the name of its method beside the input; pass method=")
            role = role or self.find_role(request.method) or "rpc"  # if the method is not an rpc, the run reports it
            sessions = self.sessions
            tables = sessions.select_by_ids(by_ids, session) if by_ids else sessions.select_by_labels(by_label, session)
            entries, fields = tables.entries, {"session_id": tables.session_id, "depends_on": tables.depends_on}
        elif by_ids or session is not None:
            raise FederationError(f"{self.contract.name} has no sessions: name databases by label, or use contract v5")
        elif any(database.group is not None for database in by_label):
            raise FederationError(f"{self.contract.name} has no groups of tables: name the databases in one list")
        else:
            entries = self.contract.name_databases(by_label)
        fields |= {"method": request.method, "role": role, "step": request.step, "only_organization": only_organization}
        fields["chosen_organizations"] = request.chosen_organizations
        inputs = dict.fromkeys(organizations, request.data)
        task = self.store.create(name, description, image, entries, inputs, **fields)
        self.recorder.begin(self.store, task, request, databases, only_organization, self.find_image_id(image))
        return task

    def find_image_id(self, image: str) -> str:
        """Return the id of the image that runs for a name; empty without containers, or if the runs report why not."""
        if not self.algorithms.uses_containers:
            return ""
        try:
            self.find_runner(image)
        except AlgotoolsError:
            return ""
        runnable = self.algorithms.find_image(image)
        return "" if runnable is None else runnable.id

    def create_table(self, table: DataframeRecord, request: Request, image: str) -> TaskRecord:
        """Create the task that makes a table at every organization, or that preprocesses the existing table."""
        self.check_open()
        tables = self.sessions.select_by_ids([[table.id]] if request.step == "preprocessing" else [], table.session_id)
        task = self.store.create(
            f"{request.method} for {table.name}",
            "",
            image,
            tables.entries,
            dict.fromkeys(self.organizations(), request.data),
            method=request.method,
            role="rpc",
            step=request.step,
            session_id=tables.session_id,
            depends_on=tables.depends_on,
            dataframe={"id": table.id, "name": table.name, "db_label": table.label},
        )
        table.tasks.append(task.id)
        return task

    def choose_node(self, organizations: Sequence[int]) -> int:
        """Return the organization whose node runs a master alone: the first one whose node has no fault."""
        return next((id_ for id_ in organizations if not self.nodes[id_].faults), organizations[0])

    def find_role(self, method: str) -> Role | None:
        """Return the role of a method of the federation's algorithm; None if the role is unknown."""
        return self.find_roles().get(method)

    def find_roles(self) -> Mapping[str, Role]:
        """Return method -> role of the federation's algorithm, as far as the roles are known."""
        if self.algorithms.default is None:
            return {}
        try:
            if (roles := self.algorithms.find_foreign_roles()) is not None:
                return roles
            runner = self.find_runner("")
            reply = runner.check(None, self.limit_check(60.0)) if runner else None
        except AlgotoolsError:
            return {}  # the run reports the reason
        return reply.roles if reply else {}

    def kill(self, task: TaskRecord) -> None:
        """Cancel every unfinished run of a task and of its subtasks; see ``Federation.kill``."""
        reason = Stopped("the run was cancelled by a request to kill its task").failure()
        unfinished = [run for member in self.store.list_task_tree(task) for run in member.runs if not run.finished_at]
        for run in unfinished:
            self.store.finish(run, "killed by user", failure=reason)
        # A pending run may have started meanwhile, before its status was final; so every run is cancelled.
        for run in unfinished:
            self.nodes[run.organization_id].cancel(run)
            self._schedule.free_slot(run.id)

    @contextlib.contextmanager
    def kill_unless_awaited(self, task: TaskRecord) -> Iterator[None]:
        """Kill the task if the caller stops waiting for it, because of a time limit or Ctrl-C."""
        try:
            yield
        except BaseException:
            tree = self.store.list_task_tree(task)
            if any(run.status in ("initializing", "active") for member in tree for run in member.runs):
                self.kill(task)
            raise
        finally:
            self.wait_until_idle()
            self.record(task)

    def record(self, task: TaskRecord) -> None:
        """Record the state of a task in the history; warn if other nodes contributed than to the same task before."""
        message = self.recorder.update(task)
        if message is not None:
            warnings.warn(message, ContributorsChanged, stacklevel=find_stacklevel())

    def wait(self, task: TaskRecord, timeout: float | None = None) -> bool:
        """Wait until a task is complete; false if ``timeout`` seconds are not enough."""
        finished = self.store.wait(task.fetched_runs, timeout)
        if finished:
            self.cancel_unfetched(task)
        self.wait_until_idle()
        if finished:
            self.record(task)
        return finished

    def cancel_unfetched(self, task: TaskRecord) -> None:
        """Finish the runs of a task that no node fetches. A master is complete before: its subtasks need the task."""
        for run in task.runs:
            if task.only_organization not in (None, run.organization_id):
                self.store.finish(run, "killed by user")

    def probe(self, is_stopped: Callable[[], bool], timeout: float) -> Iterator[str]:
        """Run each rpc of the completed tasks once again, as at a node that probes; yield what such a node refuses.

        The check *is_stopped* is called meanwhile, for at most *timeout* seconds. The tasks' results do not change.
        """
        deadline = time.monotonic() + timeout
        for method, (task, run) in select_completed(self.store.tasks()).items():
            runner = self.find_runner(task.image)
            if self.find_role(method) == "rpc" and runner is not None and not is_stopped():
                node = self.nodes[run.organization_id]
                identity = node.make_identity(run, task)
                token = rest.make_token(identity, self._key)
                self._callers[token] = (identity, run.id)
                failure = node.probe(run, task, token, runner, self._api.url, is_stopped, deadline)
                if reason := describe_refusal(failure):
                    yield f"{reason} (at {self.organizations()[run.organization_id]})"

    def wait_until_idle(self) -> None:
        """If all runs have finished, wait until their threads and processes have finished, too."""
        unfinished = [run for run in self.store.list_unfinished_runs() if run.id not in self.store.lost_run_ids]
        if all(run.node_id in self.store.offline_node_ids for run in unfinished):
            self._schedule.wait_until_idle()

    def _pause(self, run: RunRecord, seconds: float) -> None:
        """Delay a run. Its slot is free meanwhile.

        Raises:
            CancelledError: the platform was closed meanwhile.
        """
        self._schedule.free_slot(run.id)
        if self._closed.wait(seconds):
            raise CancelledError

    def limit_check(self, seconds: float) -> float:
        """Return the seconds that a check may take, because of the time limit of runs."""
        return seconds if self._timeout is None else min(seconds, max(1.0, self._timeout))

    def check_open(self) -> None:
        """Raise an error if the federation is closed.

        Raises:
            FederationError: the federation is closed.
        """
        if self._closed.is_set():
            raise FederationError("this federation is closed; create a new one")

    def close(self) -> None:
        """Cancel everything that runs, and remove all files. A second call does nothing more."""
        self._closed.set()
        self._schedule.close()
        for run in self.store.list_pending_runs():
            self.store.finish(run, "killed by user")
        self.algorithms.close()
        self._api.close()
        remove_frames(self.folders.base)
        self.folders.remove()
        # The runners are closed, but the threads of their runs may report this later, or never.
        for run in self.store.list_unfinished_runs():
            self.store.finish(run, "killed by user")
        self.recorder.close()

    def _submit(self, run: RunRecord) -> None:
        """Queue a run for its node, unless the node is dead."""
        node = self.nodes[run.organization_id]
        if node.faults.dead:
            return
        if not self._schedule.is_busy:
            self.algorithms.prepare_runners()
        task = cast("TaskRecord", self.store.task(run.task_id))
        priority = Priority(task.job_id, -self.store.count_ancestors(task))
        self._schedule.submit(run, priority, node.rounds.compute_delay())

    def _execute(self, run: RunRecord) -> None:
        """Execute a run at its node. The run gets a final status in every case, so that no caller waits forever."""
        task, node = cast("TaskRecord", self.store.task(run.task_id)), self.nodes[run.organization_id]
        try:
            with self._lock:
                runner, url = self.find_runner(task.image), self._api.url
                if self.algorithms.uses_containers:
                    self._serve_socket()
            if runner is None:
                self.store.log(run, f"error > unknown image {task.image!r}: no algorithm of this federation has it")
                self.store.finish(run, "non-existing Docker image")
                return
            identity = node.make_identity(run, task)
            token = rest.make_token(identity, self._key)
            self._callers[token] = (identity, run.id)
            node.execute(run, task, token, runner, url)
        except AlgotoolsError as error:
            status = "non-existing Docker image" if isinstance(error, ImageNotFound) else "start failed"
            self.store.finish(run, status, failure=error.failure())
        except Exception as error:  # a bug in algotools, unless the federation was closed during the run
            if not self._closed.is_set():
                self.store.finish(run, "unknown error", failure=convert_unexpected(error).failure())
        finally:
            if self._closed.is_set():
                self.store.finish(run, "killed by user")
            elif run.id not in self.store.lost_run_ids:
                self.store.finish(run, "unknown error")

    def release_resources(self) -> None:
        """Stop the threads and processes that only runs need, so that none exists between two cells of a notebook."""
        with self._lock:
            if not self._schedule.is_busy:
                self.algorithms.release_runners()
                self._api.stop()

    def find_runner(self, image: str) -> Runner | None:
        """Return the runner for an image's name; see ``Algorithms.find_runner``."""
        return self.algorithms.find_runner(image, self.contract, self._serve_socket)

    def _serve_socket(self) -> Path:
        """Return the folder of the socket on which containers reach the API."""
        return self._api.serve_socket(self.folders.base / "api")

    def _respond(self, token: str, method: str, path: str, query: Mapping[str, str], body: bytes) -> tuple[int, object]:
        """Return status and JSON of the response to a request of a run."""
        caller, run_id = self._callers[token]
        try:
            status, content = self.contract.respond(method, path, query, body, caller, self.store)
            self.store.read_run_ids.update(rest.list_results(content))
            return status, content
        except (ValueError, LookupError):
            return rest.MASKED
        finally:
            if method == "POST":  # the run waits for the subtask, whose runs are already queued and need the slot
                self._schedule.free_slot(run_id)
