"""A collaboration on this machine: a server and its nodes in small, running real tasks on real data.

>>> client = Federation.from_file("federation.yaml", algorithm="examples/average").client()  # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from algotools import locate
from algotools.contract import token as tokens
from algotools.contract.platform import Run, Task
from algotools.contract.rest import MASKED
from algotools.data import form_of
from algotools.data.held import holds, release
from algotools.errors import AlgotoolsError, Failure, FederationError, ImageNotFound, InternalError, Stopped
from algotools.federation.algorithms import RUNNERS, Algorithms, RunnerName, What
from algotools.federation.answers import Answers, table
from algotools.federation.api import Api
from algotools.federation.asking import Asking, Called, Labels, Members, arguments_of, ids_of
from algotools.federation.client import Client
from algotools.federation.configuration import Configuration, read_file
from algotools.federation.endings import untold
from algotools.federation.faults import SOUND, Dead, Fault, Faults, Slow, Wrong
from algotools.federation.folders import Folders
from algotools.federation.node import Node
from algotools.federation.posting import Posting
from algotools.federation.runners import Runner
from algotools.federation.schedule import Schedule
from algotools.federation.sessions import Sessions
from algotools.federation.sources import TABLES, Nodes, described, typed
from algotools.federation.store import Listen, Store
from algotools.report import read_failure
from algotools.task import Identity, Role

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["RUNNERS", "Answers", "Client", "Dead", "Fault", "Federation", "RunnerName", "Slow", "What", "Wrong"]


class Federation:
    """Organizations with a node each, a server between them, and the researcher's ``client``.

    Args:
        nodes: what each node has: one database (its label is ``default``), or a mapping label -> database. A
            mapping of organizations' names to such, or a sequence, then named ``organization_2`` and so on.
        algorithm: the algorithm that tasks run, whatever image they name; by default the functions decorated
            in the notebook or script itself.
        runner: ``inline`` runs functions in this process, ``process`` isolates each run in one of its own,
            ``container`` runs the algorithm's image, hardened (a folder's is built first), ``as-node`` runs it just
            as a real node would: as root, with all of the node's files in reach.
        contract: the generation of the platform to speak: ``v3``, ``v4`` or ``v5``; found out where ``algorithm`` is an
            image, or is for an interpreter of its own; else ``v4``.
        python: the interpreter in which the algorithm is installed, if it is another than this one: then ``algorithm``
            is the name of a module there, or a folder, and each run is a process of it. Algorithms that are made with
            vantage6's own tools run there with their own wrapper.
        timeout: seconds after which a run is ended and counts as failed.
        memory: what a run may use, in bytes or as ``512m`` or ``4g``: in ``container`` in all, by default its share of
            what the engine has; in ``process`` besides what the algorithm imports, by default without a limit.
        listen: called with a run and each new line of its log.
        faults: organization, by id or name -> what is wrong with its node: ``Slow``, ``Dead``, ``Wrong``, or several.

    Raises:
        FederationError: the description cannot be right.
        AlgorithmNotFound: there is no such algorithm.
    """

    def __init__(
        self,
        nodes: Configuration | Nodes,
        *,
        algorithm: What | None = None,
        runner: RunnerName = "inline",
        contract: str | None = None,
        python: str | Path | None = None,
        timeout: float | None = None,
        memory: int | str | None = None,
        listen: Listen | None = None,
        faults: Mapping[int | str, Fault | Iterable[Fault]] | None = None,
    ) -> None:
        if timeout is not None and not timeout > 0:
            raise FederationError("the time limit must be a positive number of seconds")
        if not TABLES.isdisjoint(map(form_of, type(nodes).__mro__)):
            raise FederationError("give a list of nodes, even for one: Federation([frame], …)")
        if isinstance(nodes, (str, Path)):
            raise FederationError("give a list of nodes, Federation([path], …), or Federation.from_file(…)")
        if not isinstance(nodes, Configuration) and not nodes:
            raise FederationError("a federation needs a node at least")
        if algorithm is None and not isinstance(nodes, Configuration):
            algorithm = locate.load_notebook().functions.values()
        self._algorithms = Algorithms(
            algorithm,
            images=nodes.images if isinstance(nodes, Configuration) else {},
            runner=runner,
            contract=contract,
            python=python,
            memory=memory,
        )
        self._contract = self._algorithms.contract
        if runner == "as-node" and self._contract.has_sessions:
            raise FederationError(
                "runner as-node starts images as the Docker nodes of v3 and v4 do; v5's nodes start them on a cluster, "
                "with the files that runner container gives them"
            )
        folders = Folders.make(in_memory=not self._algorithms.in_containers)
        self._api = Api(_weakly(self._answer))
        try:
            plain = self._algorithms.plain_frames
            configuration = nodes if isinstance(nodes, Configuration) else described(nodes, folders.kept, plain=plain)
            self._algorithms.holds_frames = holds(folders.kept)
            self._set_up(typed(configuration), timeout, listen or (lambda _run, _line: None), faults or {}, folders)
        except BaseException:
            _clean_up(None, self._algorithms, self._api, folders)
            raise

    def _set_up(
        self,
        configuration: Configuration,
        timeout: float | None,
        listen: Listen,
        faults: Mapping[int | str, Fault | Iterable[Fault]],
        folders: Folders,
    ) -> None:
        self._folder = folders.kept
        self._timeout = timeout
        self._lock = threading.RLock()
        self._callers: dict[str, tuple[Identity, int]] = {}
        self._closed = threading.Event()
        names = [member.name for member in configuration.members]
        self._store = Store(configuration.collaboration, names, _weakly(self._submit), listen)
        self._sessions = Sessions(self._store)
        known = self.organizations()
        faulty = {id_: Faults.of(given) for name, given in faults.items() for id_ in ids_of(name, known)}
        if len(faulty) < len(faults):
            raise FederationError("give the faults of an organization once, by its id or by its name")
        self._store.offline = {self._store.node_id(id_) for id_, found in faulty.items() if found.dead}
        first = self._runner("") if self._algorithms.own is not None else None
        self._schedule = Schedule(first.places if first else 4, _weakly(self._execute), _weakly(self._rest))
        self._key = secrets.token_bytes(32)
        pause = _weakly(self._pause)
        self._nodes = {
            o.id: Node(
                member,
                self._contract,
                self._store,
                folders.kept / f"node-{o.id}",
                folders.runs / f"node-{o.id}",
                faulty.get(o.id, SOUND),
                pause,
                self._sessions,
            )
            for o, member in zip(self._store.organizations(), configuration.members, strict=True)
        }
        self._finalizer = weakref.finalize(self, _clean_up, self._schedule, self._algorithms, self._api, folders)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        algorithm: What | None = None,
        runner: RunnerName = "inline",
        contract: str | None = None,
        python: str | Path | None = None,
        timeout: float | None = None,
        memory: int | str | None = None,
        listen: Listen | None = None,
        faults: Mapping[int | str, Fault | Iterable[Fault]] | None = None,
    ) -> Self:
        """A federation as a file describes it; without ``algorithm``, its ``images`` tell what a task runs."""
        return cls(
            read_file(Path(path)),
            algorithm=algorithm,
            runner=runner,
            contract=contract,
            python=python,
            timeout=timeout,
            memory=memory,
            listen=listen,
            faults=faults,
        )

    def client(self) -> Client:
        """The researcher's client, with every call of the platform's manual."""
        return Client(self, self._store, self._contract, self._posting())

    @property
    def contract(self) -> str:
        """The generation that it acts like."""
        return self._contract.name

    @property
    def runner(self) -> RunnerName:
        """How it executes runs."""
        return self._algorithms.runner_name

    def organizations(self) -> dict[int, str]:
        """Id and name of each organization of the collaboration."""
        return {organization.id: organization.name for organization in self._store.organizations()}

    def task(self, task_id: int) -> Task:
        """A task and its runs.

        Raises:
            FederationError: there is none of that id.
        """
        task = self._store.task(task_id)
        if task is None:
            raise FederationError(f"there is no task {task_id}")
        return task

    def tasks(self) -> Sequence[Task]:
        """All tasks, in the order in which they were created."""
        return self._store.tasks()

    def subtasks(self, task_id: int) -> Sequence[Task]:
        """The tasks that runs of a task created."""
        return self._store.children(task_id)

    def kill(self, task_id: int) -> None:
        """End every run of a task that has not ended, and of its subtasks; their status is then ``killed by user``.

        A function that runs inline cannot be ended: it goes on by itself, and what it gives is dropped.

        Raises:
            FederationError: there is no task of that id.
        """
        why = Stopped("the run was ended by a request to kill its task")
        begun = []
        for task in self._store.family(self.task(task_id)):
            for run in task.runs:
                begun += [run] if run.status in ("initializing", "active") else []
                self._store.ended(run, "killed by user", failure=why.failure())
        for run in begun:
            self._nodes[run.organization_id].end(run)
            self._schedule.give_way(run.id)

    def wait(self, task_id: int, timeout: float | None = None) -> bool:
        """Wait for a task to be complete; false if it is not within so many seconds."""
        ended = self._store.wait(self.task(task_id).runs, timeout)
        self._settle()
        return ended

    def answer(self, run: Run) -> object:
        """The decoded result of a run."""
        return self._contract.answer(run.output)

    def failure(self, run: Run) -> Failure | None:
        """Why a run failed, with what only its node's owner sees; None if it did not."""
        if run.status in ("completed", "pending", "initializing", "active"):
            return None
        told = read_failure(run.log)
        return told._replace(detail=run.detail) if told else untold(run.status, run.log, run.detail)

    def run(
        self,
        function: Callable[..., Any] | str,
        /,
        *,
        at: Members | None = None,
        databases: Labels = "default",
        timeout: float | None = 60.0,
        arguments: Mapping[str, object] | None = None,
        **keywords: object,
    ) -> Answers:
        """Run a function at organizations, each at its own node, and wait for the answers.

        Args:
            function: a decorated function, or its method's name.
            at: the organizations that the task is sent to, by id or name; by default all of them.
            databases: the databases that the task asks for, by label; v3 takes one.
            timeout: seconds to wait for the answers; what still runs then is ended. None waits as long as it takes.
            arguments: more arguments of the function, for names that are this method's own.
            **keywords: the function's arguments.

        Returns:
            The answers as a researcher gets them, in the order of the organizations: a list, which a notebook shows as
            a table. A master, too, is run by every node; see ``ask``.

        Raises:
            RunsFailed: not every run completed; names each organization and why, with ``failures`` by organization.
            FederationError: the call cannot be right.
        """
        __tracebackhide__ = True  # pytest shows the author's own line, not ours
        asking = self._asking()
        asked = asking.members(at)
        task = asking.send(self._called(function), asked, databases, arguments_of(arguments, keywords))
        with self._ended_with(task):
            answers = asking.answers(task, task.runs, timeout)
        names = self.organizations()
        return Answers(answers, {id_: names[id_] for id_ in asked})

    def ask(
        self,
        function: Callable[..., Any] | str,
        /,
        *,
        at: Members | None = None,
        databases: Labels = "default",
        timeout: float | None = 60.0,
        arguments: Mapping[str, object] | None = None,
        **keywords: object,
    ) -> Any:
        """The one answer of a master that asks the organizations.

        The task is sent to all of them, as with ``run``, so that ``client.run`` asks all of them. But only one node
        fetches its run: the first that has no fault. All of them would put the same answers together, and ask
        every node for them once more.

        Args:
            function: a master, or its method's name; or an rpc, of one organization.
            at: the organizations that the task is sent to, by id or name; by default all of them.
            databases: see ``run``.
            timeout: see ``run``.
            arguments: see ``run``.
            **keywords: the function's arguments.

        Raises:
            RunsFailed: the run did not complete.
            FederationError: the call cannot be right.
        """
        __tracebackhide__ = True
        asking, call = self._asking(), self._called(function)
        asked = asking.members(at)
        if call.role == "rpc" and len(asked) > 1:
            raise FederationError(
                f"{call.method} is an rpc, of which every node has an answer of its own: use run, or name one with at="
            )
        first = next((id_ for id_ in asked if not self._nodes[id_].faults), asked[0])
        task = asking.send(call, asked, databases, arguments_of(arguments, keywords), only=first)
        with self._ended_with(task):
            try:
                return asking.answers(task, [run for run in task.runs if run.organization_id == first], timeout)[0]
            finally:
                for run in task.runs:
                    if run.organization_id != first:
                        self._store.ended(run, "killed by user")

    def role_of(self, method: str) -> Role | None:
        """Whether a method of the federation's algorithm is a master or an rpc; None where nobody knows."""
        role = None if self._algorithms.own is None else self._called(method).role
        return cast("Role | None", role)

    def check_open(self) -> None:
        """Refuse a task after the end.

        Raises:
            FederationError: the federation is closed.
        """
        if self._closed.is_set():
            raise FederationError("this federation is closed; make a new one")

    def close(self) -> None:
        """End everything that still runs, and remove all files."""
        self._closed.set()
        self._schedule.close()
        for run in self._store.pending():
            self._store.ended(run, "killed by user")
        self._finalizer()
        for run in self._store.unfinished():  # ended by that, though their threads may not have said so yet
            self._store.ended(run, "killed by user")

    def __repr__(self) -> str:
        return f"<federation of {len(self._nodes)} nodes, runner {self.runner}, contract {self.contract}>"

    def _repr_html_(self) -> str:
        """How a notebook shows it: the organizations, and the databases that each node has."""
        rows = [[f"{name} ({id_})", ", ".join(self._nodes[id_].labels)] for id_, name in self.organizations().items()]
        return table(["organization", "databases"], rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _asking(self) -> Asking:
        faults = {id_: node.faults for id_, node in self._nodes.items()}
        return Asking(self, self._store, self._contract, self._posting(), faults)

    def _posting(self) -> Posting:
        return Posting(self, self._store, self._contract, self._sessions)

    def _called(self, function: Callable[..., Any] | str) -> Called:
        """What of an algorithm is called; the role is None where nobody knows the name, which its runs will say."""
        if not isinstance(function, str):
            return Called.of(function)
        if self._algorithms.own is None:
            raise FederationError("this federation has no algorithm of its own; give it one with algorithm=")
        try:
            return Called(function, self._algorithms.roles().get(function))
        except AlgotoolsError:
            return Called(function)

    def _submit(self, run: Run) -> None:
        """A run waits to be fetched by its node, which a dead one never does."""
        if self._nodes[run.organization_id].faults.dead:
            return
        if not self._schedule.busy:
            self._algorithms.wake()
        self._schedule.submit(run)

    @contextlib.contextmanager
    def _ended_with(self, task: Task) -> Iterator[None]:
        """Within, a task is waited for: whoever gives it up, by a limit or by Ctrl-C, ends what still runs of it."""
        try:
            yield
        except BaseException:
            if any(run.status in ("initializing", "active") for one in self._store.family(task) for run in one.runs):
                self.kill(task.id)
            raise
        finally:
            self._settle()

    def _settle(self) -> None:
        """When all runs have ended, wait until their threads and processes have, too."""
        if all(run.node_id in self._store.offline for run in self._store.unfinished()):
            self._schedule.settle()

    def _rest(self) -> None:
        """Nothing goes on: give back what only runs need, so that between two cells of a notebook nothing is left."""
        with self._lock:
            if not self._schedule.busy:
                self._algorithms.rest()
                self._api.rest()

    def _pause(self, run: Run, seconds: float) -> None:
        """Hold up a run, which takes nobody's place meanwhile."""
        self._schedule.give_way(run.id)
        if self._closed.wait(seconds):
            raise CancelledError

    def _execute(self, run: Run) -> None:
        """Run a task at a node; whatever happens, the run ends."""
        task, node = self.task(run.task_id), self._nodes[run.organization_id]
        try:
            with self._lock:
                runner, url = self._runner(task.image), self._api.url
                if self._algorithms.in_containers:
                    self._socket()
            if runner is None:
                self._store.said(run, f"error > there is no image {task.image!r} here")
                self._store.ended(run, "non-existing Docker image")
                return
            identity = node.identity(run, task)
            token = tokens.make(identity, self._key)
            self._callers[token] = (identity, run.id)
            node.execute(run, task, token, runner, url, self._timeout)
        except AlgotoolsError as error:
            status = "non-existing Docker image" if isinstance(error, ImageNotFound) else "start failed"
            self._store.ended(run, status, failure=error.failure())
        except Exception as error:  # ours, unless the federation was closed under the run's feet
            if not self._closed.is_set():
                self._store.ended(run, "unknown error", failure=InternalError.of(error).failure())
        finally:
            self._store.ended(run, "killed by user" if self._closed.is_set() else "unknown error")

    def _runner(self, image: str) -> Runner | None:
        return self._algorithms.runner(image, self._contract, self._socket)

    def _socket(self) -> Path:
        """The folder of the socket on which containers reach the API."""
        return self._api.socket(self._folder / "api")

    def _answer(self, token: str, method: str, path: str, query: Mapping[str, str], body: bytes) -> tuple[int, object]:
        """What the proxy answers to a request of a run."""
        if token not in self._callers:
            return MASKED
        caller, run_id = self._callers[token]
        if method == "POST":
            self._schedule.give_way(run_id)
        try:
            return self._contract.respond(method, path, query, body, caller, self._store)
        except (ValueError, LookupError):
            return MASKED


def _weakly(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that does not keep its object alive: a federation that nobody holds any longer ends by itself."""
    reference = weakref.WeakMethod(method)

    def call(*arguments: object) -> Any:
        found = reference()
        return found(*arguments) if found else None

    return call


def _clean_up(schedule: Schedule | None, algorithms: Algorithms, api: Api, folders: Folders) -> None:
    if schedule is not None:
        schedule.close()
    algorithms.close()
    api.close()
    release(folders.kept)
    folders.remove()
