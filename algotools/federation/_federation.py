"""The public class ``Federation``: a local collaboration that runs tasks."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from algotools.federation._answers import Answers, format_html_table
from algotools.federation._check import read_declarations
from algotools.federation._construction import FederationOptions, create_platform
from algotools.federation._grid import Grid
from algotools.federation._mapping import plan_all, run_map
from algotools.federation._prove import prove
from algotools.federation._results import Labels, Members, Requested, find_ids, merge_arguments
from algotools.federation._store import Listen
from algotools.federation._task_reader import TaskReader
from algotools.federation._tasks import plan_task, prepare_request, run_at_all, run_at_one
from algotools.federation.algorithms import AlgorithmSource, RunnerLabel, RunnerName
from algotools.federation.client import Client
from algotools.federation.configuration import Configuration, Nodes
from algotools.federation.contract import Request
from algotools.federation.contract.rest import TaskRecord
from algotools.federation.faults import Fault
from algotools.federation.history import find_project_history
from algotools.federation.policy import PolicySource
from algotools.federation.progress.status_line import StatusLine
from algotools.federation.progress.waiting import Watch
from algotools.federation.variables import Variables, find_misspelt
from algotools.task import Role

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


class Federation(TaskReader):
    """A local collaboration: organizations with a node each, a server, and the researcher's ``client``.

    Args:
        nodes: the databases of each node: one database (its label is ``default``), or a mapping label -> database.
            Either a mapping from organizations' names to databases, or a sequence for organizations that are then
            named ``organization_2``, ``organization_3`` and so on.
        algorithm: the algorithm that tasks run, for every image that they name; by default the decorated functions
            of the notebook or script itself.
        runner: ``inline`` runs functions in this process; ``process`` isolates each run in its own process;
            ``container`` runs the algorithm's image with restricted rights (from a folder it builds the image first);
            ``as-node`` runs the image exactly as a real node does: as root, with access to all of the node's files;
            ``dask`` runs each rpc as ``process`` does, but in a process that a worker of a Dask cluster starts. So does
            a ``concurrent.futures.Executor``, such as a ``ProcessPoolExecutor``, which stays open.
        contract: the generation of the platform to imitate: ``v3``, ``v4`` or ``v5``. By default the generation is
            detected if ``algorithm`` is an image or ``python`` is given; otherwise it is ``v4``.
        python: the interpreter in which the algorithm is installed, if it is not this interpreter. Then ``algorithm``
            is the name of a module there, or a folder, and each run is a process of that interpreter. Algorithms made
            with vantage6's own tools run there with their own wrapper.
        timeout: seconds after which a run is cancelled and fails.
        memory: the memory limit of a run, in bytes or as ``512m`` or ``4g``. With ``container`` it includes everything
            and is by default a share of the engine's memory. With ``process`` it does not include the algorithm's
            imports, and there is no default limit.
        confined: whether each run is in a sandbox (runner ``process``, ``dask`` or executor, on Linux). It can read
            only its algorithm and the databases of its node, write only temporary files, and reach only servers of
            databases and, as a master, the federation. Its log names the parts of the sandbox that the kernel lacks.
        scheduler: the Dask scheduler of the runner ``dask``: its address, such as ``tcp://HOST:8786``, or its scheduler
            file. By default a cluster starts on this machine, and stops with the federation.
        address: the host, or ``HOST:PORT``, on which this process listens for the workers of an engine. By default the
            address on the route to the scheduler and its workers.
        listen: called with a run and each new line of its log.
        faults: organization (id or name) -> the faults of its node: ``Slow``, ``Dead``, ``Wrong``, ``Polls``,
            ``Loses``, or several of them.
        policy: the policy of the nodes' owners, which decides what leaves a node: ``standard``, ``strict`` or ``off``,
            a mapping of settings such as ``{"minimum_cell": 10}``, or the path of a policy file. By default that of
            the ``federation.yaml``, otherwise the preset in the variable ``ALGOTOOLS_POLICY``, otherwise ``standard``.
            An owner whose variables in the ``federation.yaml`` set a policy has no other.
        ledger: the folder in which nodes without a ledger in their policy record runs; it warns and refuses nothing.
        variables: the variables that the nodes' owners set for algorithms: ``{"MINIMUM_ROWS": 5}`` for all nodes, and
            ``{"north": {"MINIMUM_ROWS": 3}}`` for the organization ``north`` (id or name). They replace those of the
            ``federation.yaml``; None removes a variable. A list becomes JSON.

        progress: whether ``run``, ``ask`` and ``map`` show their progress if they take longer than a second: on a
            terminal a live table on standard error, in a notebook a table that is updated. By default only there;
            with True also elsewhere, as lines on standard error; with False never.
        history: the file, or its folder, in which all tasks are recorded with their results; None records nothing.
            ``from_file`` records in the folder ``.algotools`` of the file's project by default.

    Raises:
        FederationError: the arguments are invalid or do not fit together.
        EngineError: the Dask scheduler does not answer.
        PolicyError: the policy is malformed, or v5 cannot express it.
        AlgorithmNotFound: the algorithm does not exist.
    """

    prove = staticmethod(prove)

    def __init__(
        self,
        nodes: Configuration | Nodes,
        *,
        algorithm: AlgorithmSource | None = None,
        runner: RunnerName | Executor = "inline",
        contract: str | None = None,
        python: str | Path | None = None,
        timeout: float | None = None,
        memory: int | str | None = None,
        confined: bool = False,
        scheduler: str | Path | None = None,
        address: str | None = None,
        listen: Listen | None = None,
        faults: Mapping[int | str, Fault | Iterable[Fault]] | None = None,
        policy: PolicySource | None = None,
        ledger: str | Path | None = None,
        variables: Variables | None = None,
        progress: bool | None = None,
        history: str | Path | None = None,
    ) -> None:
        self._platform = create_platform(
            nodes,
            algorithm=algorithm,
            runner=runner,
            contract=contract,
            python=python,
            timeout=timeout,
            memory=memory,
            confined=confined,
            scheduler=scheduler,
            address=address,
            listen=listen,
            faults=faults,
            policy=policy,
            ledger=ledger,
            history=history,
            variables=variables,
        )
        self._progress = progress
        # The platform does not refer to this object. So Python can collect a federation that the caller has dropped,
        # which closes the platform.
        self._finalizer = weakref.finalize(self, self._platform.close)

    @classmethod
    def from_file(cls, path: str | Path, **options: Unpack[FederationOptions]) -> Self:
        """Create a federation from a ``federation.yaml``.

        Without ``algorithm``, the key ``images`` of the file names the algorithm for each image. ``options`` are the
        keywords of ``Federation``. Without ``history``, tasks are recorded in the history of the file's project.
        """
        from algotools.federation.yaml_file import read_file  # here, because only files need YAML

        if "history" not in options:
            options["history"] = find_project_history(Path(path).parent)
        return cls(read_file(Path(path)), **options)

    def client(self) -> Client:
        """Return the researcher's client, with every call of the platform's manual."""
        return Client(self, self._platform)

    @property
    def contract(self) -> str:
        """Name of the platform's generation that the federation imitates."""
        return self._platform.contract.name

    @property
    def runner(self) -> RunnerLabel:
        """Name of the runner that executes runs."""
        return self._platform.algorithms.runner_name

    def kill(self, task_id: int) -> None:
        """Cancel all unfinished runs of a task and of its subtasks; their status is then ``killed by user``.

        A function that runs inline cannot be stopped. It continues, and its result is dropped.

        Raises:
            FederationError: the id is unknown.
        """
        self._platform.kill(self.task(task_id))

    def wait(self, task_id: int, timeout: float | None = None) -> bool:
        """Wait until a task is complete; return false if that takes longer than ``timeout`` seconds."""
        return self._platform.wait(self.task(task_id), timeout)

    def post(
        self,
        organizations: Members,
        request: Request | bytes,
        databases: Sequence[Requested],
        image: str = "",
        *,
        only_organization: int | None = None,
    ) -> TaskRecord:
        """Create a task from an encoded input; with ``only_organization``, only its node runs the task."""
        ids = find_ids(organizations, self.organizations())
        request = Request(request) if isinstance(request, bytes) else request
        return self._platform.create_task(
            ids, request, databases, name="task", image=image, only_organization=only_organization
        )

    def prepare(
        self,
        call: str | Request,
        organizations: Members,
        databases: Sequence[Requested],
        arguments: Mapping[str, object] | None = None,
        image: str = "",
    ) -> Request:
        """Check a call once, a method or an encoded input, and return the request with which ``post`` creates a task.

        Raises:
            AlgotoolsError: no node could run the call.
        """
        ids = find_ids(organizations, self.organizations())
        return prepare_request(self._platform, call, arguments or {}, ids, databases, image)

    def find_ids(self, organizations: Members) -> list[int]:
        """Return the ids of organizations that are named by id or by name.

        Raises:
            FederationError: an organization is not in the collaboration, or is named twice.
        """
        return find_ids(organizations, self.organizations())

    def find_number(self, task_id: int) -> int | None:
        """Return the number of a task in the history; None if the task is not recorded."""
        return self._platform.recorder.find_number(task_id)

    def choose_node(self, organizations: Sequence[int]) -> int:
        """Return the organization whose node runs a master alone, as with ``ask``."""
        return self._platform.choose_node(organizations)

    def run(
        self,
        function: Callable[..., Any] | str,
        /,
        *,
        at: Members | None = None,
        databases: Labels = "default",
        timeout: float | None = 60.0,
        require_all: bool = False,
        arguments: Mapping[str, object] | None = None,
        **keywords: object,
    ) -> Answers:
        """Run a function at the node of each organization, and wait for the results.

        Args:
            function: a decorated function, or the name of its method.
            at: the organizations of the task, by id or name; by default all organizations.
            databases: the databases that the task requests, by label; v3 accepts only one.
            timeout: seconds to wait for the results; then unfinished runs are cancelled. None waits without a limit.
            require_all: whether a master's result without the data of an organization is an error. By default it is a
                warning (``RunsIncomplete``), and ``completeness`` has the reasons.
            arguments: arguments of the function whose names are parameters of this method.
            **keywords: the other arguments of the function.

        Returns:
            The results that a researcher gets, in the order of the organizations: a list, which a notebook shows as a
            table. If the function is a master, every node runs it; see ``ask``.

        Raises:
            UnknownMethod, WrongRole, ArgumentsError, UnknownColumn, …: no node could run the call. No run starts.
            RunsFailed: a run did not complete. The message names each organization and the reason; ``failures`` has
                them by organization.
            RunsIncomplete: an organization is missing in the result of a master, with ``require_all=True``.
            FederationError: the call is invalid.
        """
        __tracebackhide__ = True  # pytest then shows the line of the author's test
        planned = plan_task(self._platform, function, at, databases, merge_arguments(arguments, keywords))
        return run_at_all(self._platform, planned, timeout, self._watch(), require_all=require_all)

    def ask(
        self,
        function: Callable[..., Any] | str,
        /,
        *,
        at: Members | None = None,
        databases: Labels = "default",
        timeout: float | None = 60.0,
        require_all: bool = False,
        arguments: Mapping[str, object] | None = None,
        **keywords: object,
    ) -> Any:
        """Run a master at one node, and return its result.

        The task has all organizations, as with ``run``, so ``client.run`` in the master runs its rpc at all of them.
        But only one node fetches the run of the master: the first node without a fault. If every node ran the master,
        each would combine the same results, and run the rpc at every node again.

        Args:
            function: a master, or the name of its method; or an rpc, if ``at`` is one organization.
            at: the organizations of the task, by id or name; by default all organizations.
            databases: see ``run``.
            timeout: see ``run``.
            require_all: see ``run``.
            arguments: see ``run``.
            **keywords: the function's arguments.

        Raises:
            RunsFailed: the run did not complete.
            RunsIncomplete: an organization is missing in the result, with ``require_all=True``.
            FederationError: the call is invalid.
        """
        __tracebackhide__ = True
        planned = plan_task(self._platform, function, at, databases, merge_arguments(arguments, keywords))
        return run_at_one(self._platform, planned, timeout, self._watch(), require_all=require_all)

    def map(
        self,
        function: Callable[..., Any] | str,
        arguments: Iterable[Mapping[str, object]],
        /,
        *,
        at: Members | None = None,
        databases: Labels = "default",
        timeout: float | None = 60.0,
        require_all: bool = False,
        fresh: bool = False,
    ) -> Grid:
        """Run a function once for each mapping of arguments, and return all results as one table.

        A master runs at one node, as with ``ask``; an rpc at the node of each organization, as with ``run``. A few
        tasks run at a time. A task that fails does not stop the others.

        A task that the history of the federation has as completed, with the same data and versions, is not run again.
        So a call that was interrupted continues where it stopped. Data in a database server have no fingerprint; tasks
        that use such data always run.

        Args:
            function: see ``run``.
            arguments: the arguments of each task.
            at: see ``run``.
            databases: see ``run``.
            timeout: seconds to wait for the results of one task; None waits without a limit.
            require_all: whether the result of a master without the data of an organization is an error of its task.
            fresh: run also the tasks that the history has.

        Raises:
            UnknownMethod, ArgumentsError, UnknownColumn, …: no node could run any of the tasks. No run starts.
            FederationError: the call is invalid.
        """
        __tracebackhide__ = True
        items = [dict(item) for item in arguments]
        plans = plan_all(self._platform, function, items, at, databases)
        line = StatusLine(self._progress)
        return run_map(self._platform, items, plans, timeout, fresh=fresh, require_all=require_all, line=line)

    def find_role(self, method: str) -> Role | None:
        """Return the role of a method of the federation's algorithm; None if the role is unknown."""
        return self._platform.find_role(method)

    def find_misspelt_variables(self, names: Iterable[str], method: str) -> dict[str, str]:
        """Return variable -> the similar variable that a called method declares, for names that no method declares.

        The result is empty if the declarations of the algorithm are unknown.
        """
        declarations = read_declarations(self._platform)
        return {} if declarations is None else find_misspelt(names, method, declarations.variables)

    def probe(self, is_stopped: Callable[[], bool], timeout: float = 60.0) -> Iterable[str]:
        """Run each rpc of the completed tasks again, as at a node that probes; yield what such a node would refuse.

        After ``timeout`` seconds, functions that have not been probed are left out.
        """
        return self._platform.probe(is_stopped, timeout)

    def check_open(self) -> None:
        """Raise ``FederationError`` if the federation is closed."""
        self._platform.check_open()

    def close(self) -> None:
        """Cancel everything that still runs, and remove all files."""
        self._finalizer()

    def _watch(self) -> Watch:
        return Watch(self, self._platform.store, self._progress)

    def __repr__(self) -> str:
        return f"<federation of {len(self._platform.nodes)} nodes, runner {self.runner}, contract {self.contract}>"

    def _repr_html_(self) -> str:
        """Return a table of the organizations and their databases, which notebooks show."""
        nodes = self._platform.nodes
        rows = [[f"{name} ({id_})", ", ".join(nodes[id_].labels)] for id_, name in self.organizations().items()]
        return format_html_table(["organization", "databases"], rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


# Give ``from_file`` a signature with its keywords, because ``help`` and the completion of notebooks would show only
# ``**options``.
_SIGNATURE = inspect.signature(Federation)
Federation.from_file.__func__.__signature__ = _SIGNATURE.replace(  # type: ignore[attr-defined]  # of a class method
    parameters=[
        inspect.Parameter("cls", inspect.Parameter.POSITIONAL_ONLY),
        inspect.Parameter("path", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation="str | Path"),
        *(p for p in _SIGNATURE.parameters.values() if p.kind is p.KEYWORD_ONLY),
    ],
    return_annotation="Self",
)
