"""Trial calls: the arguments of each function, and one call on the first organization's data.

The arguments are those of ``[tool.algotools.trial]``. Without them, columns are chosen for ``Column`` arguments; a
function whose arguments would have to be guessed is not tried. A trial reports only faults that occur with any data: a
result that cannot be encoded, and a name that does not exist; with the author's own arguments, any exception. If the
algorithm has a master, a result with two keys of the same text in JSON is not reported, because the master can get it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Union

from algotools.declare.federated import PooledFunction
from algotools.declare.functions import Algorithm, RegisteredFunction, suggest_method
from algotools.declare.results import explain_mismatch
from algotools.disclosure.gate import Gate
from algotools.disclosure.leaving import LeavingValues, list_leaving_values
from algotools.disclosure.policy import Policy
from algotools.errors import (
    AlgotoolsError,
    ArgumentsError,
    FunctionExited,
    FunctionRaised,
    NodesDisagree,
    NodeVariableError,
    NotSerializable,
    ProofFailed,
    RoundsDisagree,
    TotalRefused,
    UnknownColumn,
    Withheld,
    WrongColumnKind,
)
from algotools.federation.configuration import Member
from algotools.federation.policy import NodePolicy
from algotools.payload import decode_rich, encode_plain
from algotools.project.check._choice import DatabasesRefused, choose_arguments, choose_databases
from algotools.project.check._exceptions import (
    find_author_line,
    find_message_line,
    find_missing_name,
    find_unread_column,
    split_message,
)
from algotools.project.check._messages import TrialCall
from algotools.project.check._rules import ChosenArguments, Finding, NotTried, Verdict, format_arguments
from algotools.project.check._source import locate_definition
from algotools.project.trial import FILE, HEADER, TrialTable, validate_trial
from algotools.runtime.contract import get_contract
from algotools.runtime.dispatch.gated import GatedAccess
from algotools.runtime.dispatch.supervisor import Run
from algotools.task import Database, Identity, Task

Outcome = Union[Finding, NotTried, None]
"""The outcome of a trial call; None if it shows no fault."""


def check_trial_table(
    table: TrialTable, functions: Mapping[str, RegisteredFunction], refused: Iterable[str]
) -> Iterator[Finding]:
    """Check ``[tool.algotools.trial]``: the names of methods and arguments, and the types of values.

    Args:
        table: the table.
        functions: the registered functions by method.
        refused: the names of functions whose declaration was refused.
    """

    def make_finding(reason: str, method: str = "", argument: str = "", way_out: str = "") -> Finding:
        line = table.find_line(method, argument)
        return Finding.of("trial-arguments", FILE, line, f"{HEADER} {reason}", way_out)

    if not table.is_table:
        yield make_finding("is not a table")
    for method, entry in table.entries.items():
        function = functions.get(method)
        if function is None:
            if method not in refused:
                hint = suggest_method(method, {name: f for name, f in functions.items() if f.derived_from is None})
                yield make_finding(f"has arguments for {method!r}, which is not a method{hint}", method)
        elif function.derived_from is not None:
            reason = f"has arguments for {method}, which is derived from {function.derived_from}"
            yield make_finding(reason, method, way_out=f"Write the arguments under {function.derived_from}.")
        elif not isinstance(entry, dict):
            yield make_finding(f"has a value for {method} that is not a table of arguments", method)
        else:
            for name, reason in _check_entry(function, entry):
                yield make_finding(reason, method, name)


def _check_entry(function: RegisteredFunction, entry: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the name of each wrong argument, and the reason; a misspelt argument is not also reported as missing."""
    arguments = function.specification.arguments
    names = [p.name for p in arguments]
    missing = [p.name for p in arguments if p.required and p.name not in entry]
    values = {name: value for name, value in entry.items() if name in names}
    for name in [name for name in entry if name not in names]:
        close = difflib.get_close_matches(name, missing, n=1) or difflib.get_close_matches(name, names, n=1)
        if not close and len(missing) == 1:
            close = [*missing]
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        yield name, f"has an argument {name!r}, which {function.method} does not have{hint}"
        if close and close[0] in missing:
            missing.remove(close[0])
            values[close[0]] = entry[name]
    try:
        validate_trial(function, values)
    except ArgumentsError as error:
        problem = error.message.partition(" (the function takes")[0]
        name = problem.partition(":")[0].partition("[")[0].partition(".")[0]
        yield name, f"has wrong arguments for {function.method}: {problem}"


class Trial(NamedTuple):
    """A function, with the databases and the arguments of its trial call."""

    function: RegisteredFunction
    """An rpc; for a pooled function the derived rpc."""
    databases: tuple[Database, ...]
    arguments: Mapping[str, object]
    is_declared: bool
    """Whether the arguments are the author's own."""

    @property
    def name(self) -> str:
        """The method of the author's function."""
        return self.function.derived_from or self.function.method

    @property
    def _total(self) -> str:
        """The parameter for the totals; empty if the function is not a pooled function."""
        function = self.function
        parameters = function.declared.parameters if isinstance(function, PooledFunction) else ()
        return next((p.name for p in parameters if p.kind == "total"), "")

    def explain_exception(self, error: BaseException | None, folder: str | None, prefix: str) -> Outcome:
        """Return the outcome of a call that has raised an exception of the author's code."""
        if (finding := find_missing_name(error, folder, prefix, self._total)) is not None:
            return finding
        location = find_author_line(error, folder) or locate_definition(self.function) or ("", None)
        if (unread := find_unread_column(error, self.function, self.databases, self.arguments)) is not None:
            return Finding.of("function-fails", *location, f"{prefix}{unread.reason}", unread.advice)
        name = type(error).__name__
        if not self.is_declared:
            return self.skip(f"it raises {name} with {self.describe_arguments()}")
        reason = f"{prefix}it raises {name} with the arguments in {HEADER}"
        return Finding.of("function-fails", *location, reason, "Correct the function, or the arguments in that table.")

    def explain_error(self, error: AlgotoolsError, table: TrialTable, folder: str | None = None) -> Outcome:
        """Return the outcome of a call that algotools has refused, or that has raised an error of the author's."""
        if isinstance(error, NodeVariableError):
            return NotTried(method=self.name, reason=error.message)
        path, line = locate_definition(self.function) or ("", None)
        if isinstance(error, (ProofFailed, NodesDisagree, RoundsDisagree, TotalRefused)):
            if (finding := find_missing_name(error.__cause__, folder, f"{self.name}: ", self._total)) is not None:
                return finding
            location = find_author_line(error.__cause__, folder)
            location = location or (path, find_message_line(error, self.function) or line)
            refusal = split_message(error, self.function)
            call = "" if self.is_declared else f" ({self._describe_call()})"
            return Finding.of("depends-on-split", *location, f"{self.name}: {refusal.reason}{call}", refusal.advice)
        if self.is_declared and isinstance(error, (ArgumentsError, UnknownColumn, WrongColumnKind)):
            reason = f"{HEADER} has wrong arguments for {self.name}: {error.message}"
            return Finding.of("trial-arguments", FILE, table.find_line(self.name), reason)
        return self.skip(error.message if self.is_declared else f"{error.message} ({self._describe_call()})")

    def describe_arguments(self) -> str:
        """Describe the chosen arguments, for a message."""
        return f"the chosen arguments {format_arguments(self.arguments)}" if self.arguments else "the default arguments"

    def _describe_call(self) -> str:
        return f"called with {format_arguments(self.arguments) or 'the default arguments'}"

    @property
    def chosen(self) -> ChosenArguments | None:
        """The arguments, if the check has chosen them."""
        if self.is_declared or not self.arguments:
            return None
        return ChosenArguments(method=self.name, arguments=dict(self.arguments))

    def skip(self, reason: str) -> NotTried:
        """Return the entry for a function that cannot be tried, or not completely."""
        advice = "" if self.is_declared else f"; add its arguments to {HEADER}"
        return NotTried(method=self.name, reason=f"{reason}{advice}")


def plan_trial(function: RegisteredFunction, member: Member, table: TrialTable) -> Trial | NotTried:
    """Return the trial call of an rpc on a node's data, or the reason why there is none."""
    name = function.derived_from or function.method
    try:
        databases = choose_databases(function, member)
    except DatabasesRefused as refusal:
        return NotTried(method=name, reason=str(refusal))
    declared = table.find(function)
    if declared is not None:
        try:
            return Trial(function, databases, validate_trial(function, declared), is_declared=True)
        except ArgumentsError:
            return NotTried(method=name, reason=f"its arguments in {HEADER} are wrong")
    chosen = choose_arguments(function, databases)
    if chosen is None:
        return NotTried(method=name, reason=f"it has required arguments; add them to {HEADER}")
    return Trial(function, databases, chosen, is_declared=False)


IDENTITY = Identity(task_id=1, node_id=1, organization_id=2, collaboration_id=1, image="image")


def try_function(
    algorithm: Algorithm,
    trial: Trial,
    member: Member,
    table: TrialTable,
    policy: NodePolicy,
    judge: Callable[[Verdict], object],
) -> Outcome:
    """Call an rpc once on a node's data, with the policy of the node; *judge* is called with the gate's decision."""
    function = trial.function
    with _prepare_run(trial, member, policy.parse()) as run:
        path, line = locate_definition(function) or ("", None)
        prefix = TrialCall(trial.name, member.name, path, line).prefix
        try:
            result = run.gate.review(GatedAccess(run).perform(lambda: algorithm))
            judge(Verdict(method=trial.name, called=function.method, leaving=_list_leaving(run.gate)))
            # A researcher gets the plain encoding of an rpc without a master. The contributions of a pooled function
            # can be read without its master, too.
            has_master = any(candidate.role == "master" for candidate in algorithm.functions.values())
            value = decode_rich(result)
            if function.derived_from is not None or not has_master:
                encode_plain(value, function.collect_literals())
            if mismatch := explain_mismatch(function, value):
                reason = f"{prefix}it{mismatch.removeprefix(function.method)}"
                return Finding.of("result-annotation", path, line, reason)
        except NotSerializable as error:
            return Finding.of("result-not-serializable", path, line, f"{prefix}{error.message}")
        except Withheld as error:
            verdict = _describe_decision(trial, error, run.gate)
            judge(verdict)
            if trial.chosen is not None:
                reason = f"{prefix}{verdict.reason}, with {trial.describe_arguments()}"
                return Finding.of("withheld-with-chosen-arguments", path, line, reason, verdict.way_out)
            return Finding.of("withheld", path, line, f"{prefix}{verdict.reason}", verdict.way_out)
        except FunctionRaised as error:
            return trial.explain_exception(error.__cause__, algorithm.folder, prefix)
        except FunctionExited as error:
            return Finding.of("ends-process", path, line, f"{prefix}it{error.message.removeprefix(function.method)}")
        except AlgotoolsError as error:
            return trial.explain_error(error, table, algorithm.folder)
    return None


@contextlib.contextmanager
def _prepare_run(trial: Trial, member: Member, policy: Policy) -> Iterator[Run]:
    """Yield the run of a trial call at a node with a policy. Its files exist within the context."""
    with tempfile.TemporaryDirectory(prefix="algotools-") as folder:
        task = Task(
            method=trial.function.method,
            role="rpc",
            kwargs=trial.arguments,
            encoding="rich",
            databases=trial.databases,
            configured=tuple(d for d in member.databases.values() if d not in trial.databases),
            input_file=Path(folder) / "input",
            output_file=Path(folder) / "output",
            temporary_folder=Path(folder),
            identity=IDENTITY,
            variables=member.variables,
        )
        yield Run(task, get_contract("v4"), _ignore, _ignore, None, Gate(policy, task))  # an rpc has no client


def can_probe(policy: NodePolicy) -> bool:
    """Return whether probing can find more than the trial calls at a node with a policy."""
    return policy.parse().judges_structure_only


def probe_function(algorithm: Algorithm, trial: Trial, member: Member, policy: NodePolicy) -> Outcome:
    """Call an rpc as at a node that probes; return a warning if such a node withholds the result."""
    settings = dataclasses.replace(policy.parse(), undeclared="probe")
    with _prepare_run(trial, member, settings) as run:
        try:
            run.gate.review(GatedAccess(run).perform(lambda: algorithm))
        except Withheld:
            decision = run.gate.decision
            if decision is None or not decision.is_probed:
                return None
            path, line = locate_definition(trial.function) or ("", None)
            prefix = TrialCall(trial.name, member.name, path, line, is_probe=True).prefix
            reason = f"{prefix}{decision.reason} (rule {decision.rule})"
            reason += "" if trial.is_declared else f", with {trial.describe_arguments()}"
            return Finding.of("depends-on-few-records", path, line, reason, decision.way_out)
        except AlgotoolsError:  # the trial call has reported the errors that occur each time
            return None
    return None


def _describe_decision(trial: Trial, error: Withheld, gate: Gate) -> Verdict:
    """Return the decision of the gate that has raised an error."""
    method, called = trial.name, trial.function.method
    if (decision := gate.decision) is None:
        return Verdict(method=method, called=called, rule="policy", reason=error.message.removeprefix(f"{method}: "))
    return Verdict(
        method=method,
        called=called,
        rule=decision.rule,
        path=decision.path,
        reason=f"{decision.reason} (rule {decision.rule})",
        way_out=decision.way_out,
        leaving=_list_leaving(gate),
    )


def _list_leaving(gate: Gate) -> tuple[LeavingValues, ...] | None:
    """Return the values of the result; None if the gate has not read the result."""
    facts = gate.facts
    return None if facts is None or facts.content is None else list_leaving_values(facts)


def _ignore(_text: str | bytes) -> None:
    """Drop a line of the log."""
