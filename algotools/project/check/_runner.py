"""Perform the trial calls of an algorithm, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from algotools.declare.federated import PooledFunction
from algotools.declare.functions import Algorithm, RegisteredFunction
from algotools.project.check._pooled import call_on_one_table, split_rows
from algotools.project.check._rules import NO_TRIAL_HINT, ChosenArguments, Finding, NotTried, Verdict
from algotools.project.check._setup import TrialNodes
from algotools.project.check._trial import Outcome, Trial, can_probe, plan_trial, probe_function, try_function
from algotools.project.trial import TrialTable
from algotools.runtime.logs import format_count


class TrialObserver(Protocol):
    """Follows the trial calls."""

    def announce(self, text: str) -> None:
        """Show what runs next, before it runs."""

    def begin(self, function: RegisteredFunction, member: str, *, is_probe: bool = False) -> None:
        """Note that a call begins; *member* is empty for the split test."""

    def report(self, outcome: Outcome) -> None:
        """Report the outcome of a call."""

    def judge(self, verdict: Verdict) -> None:
        """Report the decision of the disclosure gate about a call."""

    def note_arguments(self, chosen: ChosenArguments) -> None:
        """Report the arguments that were chosen for the calls of a function."""


class TrialRunner:
    """Calls each rpc and each pooled function.

    Args:
        algorithm: the functions without another finding.
        nodes: the organizations, of which the first one's data is used for most calls, and the first one's policy.
        table: the author's arguments.
        observer: follows the calls.
    """

    def __init__(self, algorithm: Algorithm, nodes: TrialNodes, table: TrialTable, observer: TrialObserver) -> None:
        self._algorithm = algorithm
        self._members = nodes.members
        self._fault = nodes.fault
        self._policy = nodes.policy
        self._calls_once = nodes.calls_once
        self._table = table
        self._observer = observer
        self._passing: list[Trial] = []
        """The calls without a finding."""

    def run(self) -> None:
        """Perform all calls."""
        functions = self._algorithm.functions
        rpcs = [f for f in functions.values() if (f.step, f.role) == ("compute", "rpc")]
        rpcs = [f for f in rpcs if f.derived_from is None or f.derived_from in functions]
        plans = [self._plan(function) for function in rpcs]
        for plan in plans:
            if isinstance(plan, NotTried):
                self._observer.report(plan)
        trials = [plan for plan in plans if isinstance(plan, Trial)]
        if not trials:
            return
        for trial in trials:
            if (chosen := trial.chosen) is not None:
                self._observer.note_arguments(chosen)
        count = format_count(len(trials), "function")
        names = ", ".join(trial.name for trial in trials)
        self._observer.announce(f"calls {count} on {self._members[0].name}'s data: {names}{NO_TRIAL_HINT}")
        pooled = [(trial, function) for trial in trials if (function := self._call(trial)) is not None]
        if pooled:
            count = format_count(len(self._members), "organization")
            names = ", ".join(trial.name for trial, _ in pooled)
            self._observer.announce(f"splits the rows of {count} in many ways, and compares the results of {names}")
        for trial, function in pooled:
            self._split(trial, function)
        self._probe(self._passing if can_probe(self._policy) and not self._calls_once else [])

    def _plan(self, function: RegisteredFunction) -> Trial | NotTried:
        if self._members:
            return plan_trial(function, self._members[0], self._table)
        return NotTried(method=function.derived_from or function.method, reason=self._fault)

    def _probe(self, trials: list[Trial]) -> None:
        """Call functions on parts of the rows. These calls are the last ones, because they may crash the process."""
        first = self._members[0]
        if trials:
            names = ", ".join(trial.name for trial in trials)
            self._observer.announce(f"calls functions again on parts of {first.name}'s rows: {names}")
        for trial in trials:
            self._observer.begin(trial.function, first.name, is_probe=True)
            self._observer.report(probe_function(self._algorithm, trial, first, self._policy))

    def _call(self, trial: Trial) -> PooledFunction | None:
        """Call a function; return it if it is a pooled function without a fault."""
        first, table, folder = self._members[0], self._table, self._algorithm.folder
        function = self._algorithm.functions[trial.name]

        def call() -> Outcome:
            return try_function(self._algorithm, trial, first, table, self._policy, self._observer.judge)

        if not self._try(trial, first.name, call):
            return None
        self._passing.append(trial)
        if self._calls_once or not isinstance(function, PooledFunction):
            return None
        pooled = function  # mypy: the name in a closure
        is_faultless = self._try(trial, first.name, lambda: call_on_one_table(pooled, trial, first, folder, table))
        return pooled if is_faultless else None

    def _split(self, trial: Trial, function: PooledFunction) -> None:
        folder = self._algorithm.folder
        self._try(trial, "", lambda: split_rows(function, trial, self._members, folder, self._table))

    def _try(self, trial: Trial, member: str, call: Callable[[], Outcome]) -> bool:
        """Perform a call, report its outcome, and return whether the call has shown no fault."""
        self._observer.begin(trial.function, member)
        outcome = call()
        self._observer.report(outcome)
        return outcome is None or (isinstance(outcome, Finding) and outcome.is_warning)
