"""Trial calls: the arguments of each function, and one call on the first organization's data.

The arguments are those of ``[tool.algotools.trial]``. Without them, columns are chosen for ``Column`` arguments; a
function whose arguments would have to be guessed is not tried. A trial reports only faults that occur with any data: a
result that cannot be encoded, and a name that does not exist; with the author's own arguments, any exception. If the
algorithm has a master, a result with two keys of the same text in JSON is not reported, because the master can get it.
"""

from __future__ import annotations

import difflib
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Union

from algotools import data
from algotools.declare.annotations import Column
from algotools.declare.arguments import Parameter
from algotools.declare.functions import Algorithm, RegisteredFunction
from algotools.errors import (
    AlgotoolsError,
    ArgumentsError,
    FunctionExited,
    FunctionRaised,
    NodesDisagree,
    NotSerializable,
    ProofFailed,
    RoundsDisagree,
    TotalRefused,
    UnknownColumn,
)
from algotools.federation.configuration import Member
from algotools.payload import decode_rich, encode_plain
from algotools.project.check._messages import TrialCall
from algotools.project.check._rules import Finding, NotTried
from algotools.project.check._source import locate_definition
from algotools.project.trial import FILE, HEADER, TrialTable, validate_trial
from algotools.runtime.dispatch.perform import NodeAccess, perform
from algotools.task import Database, Identity, Task

_LARGEST_TRIAL = 20_000_000
"""Bytes of a data file; a trial call on a larger file would take too long."""

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
                hint = _suggest(method, [name for name, f in functions.items() if f.derived_from is None])
                yield make_finding(f"has arguments for {method!r}, which is not a method{hint}", method)
        elif function.derived_from is not None:
            reason = f"has arguments for {method}, which is derived from {function.derived_from}"
            yield make_finding(reason, method, way_out=f"Write the arguments under {function.derived_from}.")
        elif not isinstance(entry, dict):
            yield make_finding(f"has a value for {method} that is not a table of arguments", method)
        else:
            names = [p.name for p in function.specification.arguments]
            unknown = [name for name in entry if name not in names]
            for name in unknown:
                yield make_finding(
                    f"has an argument {name!r}, which {method} does not have{_suggest(name, names)}", method, name
                )
            try:
                validate_trial(function, {name: value for name, value in entry.items() if name in names})
            except ArgumentsError as error:
                problem = error.message.partition(" (the function takes")[0]
                name = problem.partition(":")[0].partition("[")[0].partition(".")[0]
                yield make_finding(f"has wrong arguments for {method}: {problem}", method, name)


def _suggest(name: str, names: Sequence[str]) -> str:
    similar = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean {similar[0]!r}?)" if similar else ""


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

    def explain_exception(self, error: BaseException | None, folder: str | None, prefix: str) -> Outcome:
        """Return the outcome of a call that has raised an exception of the author's code."""
        if (finding := _find_missing_name(error, folder, prefix)) is not None:
            return finding
        name = type(error).__name__
        if not self.is_declared:
            return self.skip(f"it raises {name} with {self.describe_arguments()}")
        location = _find_author_line(error, folder) or locate_definition(self.function) or ("", None)
        reason = f"{prefix}it raises {name} with the arguments in {HEADER}"
        return Finding.of("function-fails", *location, reason, "Correct the function, or the arguments in that table.")

    def explain_error(self, error: AlgotoolsError, table: TrialTable) -> Outcome:
        """Return the outcome of a call that algotools has refused, or that has raised an error of the author's."""
        path, line = locate_definition(self.function) or ("", None)
        if isinstance(error, (ProofFailed, NodesDisagree, RoundsDisagree, TotalRefused)):
            arguments = "" if self.is_declared else f" [{self.describe_arguments()}]"
            return Finding.of("depends-on-split", path, line, f"{self.name}: {error.message}{arguments}")
        if self.is_declared and isinstance(error, (ArgumentsError, UnknownColumn)):
            reason = f"{HEADER} has wrong arguments for {self.name}: {error.message}"
            return Finding.of("trial-arguments", FILE, table.find_line(self.name), reason)
        return self.skip(error.message if self.is_declared else f"{error.message} ({self.describe_arguments()})")

    def describe_arguments(self) -> str:
        """Describe the chosen arguments, for a message."""
        if not self.arguments:
            return "the default arguments"
        return f"the chosen arguments {', '.join(f'{name}={value!r}' for name, value in self.arguments.items())}"

    def skip(self, reason: str) -> NotTried:
        """Return the entry for a function that cannot be tried, or not completely."""
        advice = "" if self.is_declared else f"; add its arguments to {HEADER}"
        return NotTried(method=self.name, reason=f"{reason}{advice}")


def plan_trial(function: RegisteredFunction, member: Member | None, table: TrialTable) -> Trial | NotTried:
    """Return the trial call of an rpc on a node's data, or the reason why there is none."""
    name = function.derived_from or function.method
    if member is None:
        return NotTried(method=name, reason="no federation.yaml names data")
    databases = choose_databases(function, member)
    if databases is None:
        return NotTried(method=name, reason=f"{member.name} does not have its databases as files of at most 20 MB")
    declared = table.find(function)
    if declared is not None:
        try:
            return Trial(function, databases, validate_trial(function, declared), is_declared=True)
        except ArgumentsError:
            return NotTried(method=name, reason=f"its arguments in {HEADER} are wrong")
    chosen = _choose_arguments(function, databases)
    if chosen is None:
        return NotTried(method=name, reason=f"it has required arguments; add them to {HEADER}")
    return Trial(function, databases, chosen, is_declared=False)


IDENTITY = Identity(task_id=1, node_id=1, organization_id=2, collaboration_id=1, image="image")


def _refuse_connection() -> NoReturn:
    raise NotImplementedError  # an rpc has no client


def try_function(algorithm: Algorithm, trial: Trial, member: Member, table: TrialTable) -> Outcome:
    """Call an rpc once on a node's data."""
    function = trial.function
    with tempfile.TemporaryDirectory(prefix="algotools-") as folder:
        task = Task(
            method=function.method,
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
        path, line = locate_definition(function) or ("", None)
        prefix = TrialCall(trial.name, member.name, path, line).prefix
        try:
            result = perform(task, lambda: algorithm, NodeAccess(_refuse_connection))
            # A researcher gets the plain encoding of an rpc without a master. The contributions of a pooled function
            # can be read without its master, too.
            has_master = any(other.role == "master" for other in algorithm.functions.values())
            if function.derived_from is not None or not has_master:
                encode_plain(decode_rich(result), function.collect_literals())
        except NotSerializable as error:
            return Finding.of("result-not-serializable", path, line, f"{prefix}{error.message}")
        except FunctionRaised as error:
            return trial.explain_exception(error.__cause__, algorithm.folder, prefix)
        except FunctionExited as error:
            return Finding.of("ends-process", path, line, f"{prefix}it{error.message.removeprefix(function.method)}")
        except AlgotoolsError as error:
            return trial.explain_error(error, table)
    return None


def _find_missing_name(cause: BaseException | None, folder: str | None, prefix: str) -> Finding | None:
    """Return a finding if a line of the author's code uses a name or module that does not exist."""
    if not isinstance(cause, (NameError, ImportError)) or folder is None:
        return None
    innermost = traceback.extract_tb(cause.__traceback__)[-1]
    if not Path(innermost.filename).is_relative_to(folder):
        return None
    name = repr(cause.name) if cause.name else "something"
    if isinstance(cause, UnboundLocalError):
        reason = "it uses a variable before the variable has a value"
    elif isinstance(cause, ImportError) and not isinstance(cause, ModuleNotFoundError):
        reason = f"it imports a name that {name} does not have"
    else:
        reason = f"it uses {name}, which does not exist"
    reason = f"{prefix}{reason} ({type(cause).__name__})"
    return Finding.of("function-fails", innermost.filename, innermost.lineno, reason)


def _find_author_line(error: BaseException | None, folder: str | None) -> tuple[str, int | None] | None:
    """Return the innermost line of the author's code in a traceback."""
    frames = traceback.extract_tb(error.__traceback__) if error is not None and folder is not None else []
    own = [(frame.filename, frame.lineno) for frame in frames if Path(frame.filename).is_relative_to(folder or "")]
    return own[-1] if own else None


def choose_databases(function: RegisteredFunction, member: Member) -> tuple[Database, ...] | None:
    """Return the node's first databases for the parameters without a label; None if one is missing or too large."""
    labels = {p.label for p in function.specification.data if p.label is not None}
    number = sum(p.label is None for p in function.specification.data)
    unlabelled = [d for label, d in member.databases.items() if label not in labels][:number]
    if len(unlabelled) < number or not labels <= member.databases.keys():
        return None
    databases = [*unlabelled, *(member.databases[label] for label in labels)]
    return tuple(unlabelled) if all(map(_is_small_file, databases)) else None


def _is_small_file(database: Database) -> bool:
    try:
        return Path(database.uri.removeprefix("file://")).stat().st_size <= _LARGEST_TRIAL
    except (OSError, ValueError):
        return False


def _choose_arguments(function: RegisteredFunction, databases: Sequence[Database]) -> dict[str, object] | None:
    """Return columns as the required arguments; None if a required argument is not a column."""
    required: list[Parameter] = [p for p in function.specification.arguments if p.required]
    if not required:
        return {}
    if not databases or not all(p.annotation in (Column, list[Column]) for p in required):
        return None
    if all(p.form in data.UNREAD for p in function.specification.data):
        return None
    columns = _read_columns(databases[0])
    if len(columns) < len(required):
        return None
    return {p.name: name if p.annotation == Column else [name] for p, name in zip(required, columns, strict=False)}


def _read_columns(database: Database) -> list[str]:
    """Return the names of a table's columns, numeric columns first."""
    try:
        frame: Any = data.load(database, "pandas", None).value
    except AlgotoolsError:
        return []
    from pandas.api.types import is_numeric_dtype

    columns = [column for column in frame.columns if isinstance(column, str)]
    return sorted(columns, key=lambda column: not is_numeric_dtype(frame[column]))
