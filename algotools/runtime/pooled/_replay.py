"""Runs of a pooled function: at a node, with the rows and the known totals, or at the master, without rows.

**A run that requested an unknown total never counts, however it ended**: by a return, by any exception, or by an
exception that the author or a library swallowed. Such a run reports the totals that it requested. A result is taken
only from a run in which every total was a number from beginning to end.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping
from types import FrameType
from typing import Any, NamedTuple, NoReturn

from algotools.declare.federated import PooledFunction
from algotools.disclosure.reductions.contributions import add_contribution, add_known_total, select_levels
from algotools.disclosure.register import get_register
from algotools.disclosure.source_lines import describe_line
from algotools.errors import AlgotoolsError, RoundsDisagree, TotalRefused
from algotools.payload import encode_rich
from algotools.runtime.logs import filter_lines, note
from algotools.runtime.pooled._call_site import CallSite, find_frames, is_library, make_call_site
from algotools.runtime.pooled._ghost import Absent, Ghost
from algotools.runtime.pooled._history import History, RoundReply
from algotools.runtime.pooled._questions import asks_questions, is_uncertain
from algotools.runtime.pooled._unknown import Pause, Unknown
from algotools.runtime.pooled.aggregator import Aggregator, TotalRequest

_MANY_ROWS = 10
"""Rows from which a value as long as the table is suspected to have an entry for each row; see ``RoundReply``."""


class NodeRun(NamedTuple):
    """The outcome of a run at a node."""

    reply: RoundReply
    contributions: list[Any]
    """For each total in the history, the contribution in this run; None if it was not computed again."""
    lines: int
    """The number of lines that the function has logged in all rounds."""


def run_author(function: PooledFunction, values: Mapping[str, Any]) -> Any:
    """Call the author's function. All frames above this one are the author's; see ``find_frames``."""
    positional, keywords = function.declared.bind(values)
    return function.__wrapped__(*positional, **keywords)


class _Replay(Aggregator):
    """Totals from a history: known until the history is used up, then unknown."""

    def __init__(self, history: History) -> None:
        super().__init__()
        self._history = history
        self._position = 0
        self.has_paused = False
        """Whether an unknown total was used, even if the exception was swallowed."""
        self.fault: AlgotoolsError | None = None
        """Why the run cannot count, even if the author or a library has swallowed the exception."""
        self._is_reducing = False

    def _find_frames(self) -> list[FrameType]:
        """Return the author's frames of a request; a request that no round can repeat is refused."""
        author = find_frames(run_author.__code__)
        if not author.is_complete:
            location = f" in {describe_line(author.frames[0])}" if author.frames else ""
            self._fail_with(
                TotalRefused(
                    f"the total{location} is requested in another thread. Request totals in the function's own thread"
                )
            )
        if self._is_reducing:
            self._fail_with(
                TotalRefused(
                    f"the function that total.add calls requests a total in {describe_line(author.frames[0])}. Request "
                    "it before"
                )
            )
        return author.frames

    def _locate(self, operation: str, frames: list[FrameType]) -> CallSite:
        return make_call_site(operation, frames, self._history.key)

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        self._fail_with(
            TotalRefused("the function sends its totals to another process. Request totals in the function itself")
        )

    def _fail_with(self, fault: AlgotoolsError) -> NoReturn:
        self.fault = self.fault or fault
        raise self.fault

    def _pause(self) -> NoReturn:
        self.has_paused = True
        raise Pause("a total is used that is known in the next round")

    def _note_pause(self) -> None:
        self.has_paused = True


class NodeReplay(_Replay):
    """The totals at a node. Each request also computes the node's contribution.

    Args:
        history: the known totals.
        rows: the number of rows of each of the node's tables.
        minimum_records: the records that a level needs at this node to be listed.
        unchecked: the positions of known totals whose contributions are computed again even if they are lazy.
    """

    def __init__(self, history: History, rows: frozenset[int], minimum_records: int, unchecked: range) -> None:
        super().__init__(history)
        self._minimum_records = minimum_records
        self._rows = rows
        self._unchecked = unchecked
        self._omitted_levels = 0
        self.reply = RoundReply()
        self.contributions: list[Any] = []
        """For each total in the history, the node's contribution in this run; None if it was not computed again."""

    def check_end(self) -> None:
        """Raise ``RoundsDisagree`` if the function has returned without all totals of the history."""
        totals = self._history.totals
        if self._position < len(totals):
            site = totals[self._position].site
            self._disagree(
                f"total {self._position + 1} was requested in {site.place}, and is not requested now: the function "
                "must take the same path in every round"
            )

    def _request(self, request: TotalRequest) -> Any:
        self._check_that_run_counts()
        site = self._locate(request.operation, self._find_frames())
        totals = self._history.totals
        position, self._position = self._position, self._position + 1
        if position < len(totals):
            self._compare(position, totals[position].site, site)
            is_computed = not request.is_lazy or position in self._unchecked
            self.contributions.append(self._contribute(request) if is_computed else None)
            return self._finish_total(request.operation, request.finish(totals[position].value))
        self._omitted_levels = 0
        contribution = self._contribute(request)
        if request.inputs is not None:
            add_contribution(get_register(), request.operation, request.inputs, contribution)
        self.reply.omitted_levels.append(self._omitted_levels)
        self.reply.sites.append(site)
        self.reply.ways.append(request.combine)
        self.reply.contributions.append(contribution)
        self.reply.has_entry_per_row.append(request.operation == "add" and self._has_entry_per_row(contribution))
        return Unknown(site.line, self._note_pause)

    def _finish_total(self, operation: str, value: Any) -> Any:
        add_known_total(get_register(), operation, value)
        return value

    def _check_that_run_counts(self) -> None:
        """Stop a run that has failed or paused before, and in which the exception was swallowed.

        What such a run computes has no meaning, so it must not become a contribution.
        """
        if self.fault is not None:
            raise self.fault
        if self.has_paused:
            self._pause()

    def _contribute(self, request: TotalRequest) -> Any:
        self._is_reducing = True
        draws = self._read_draws()
        try:
            contribution = self._reduce(request)
        except TotalRefused:
            self._check_that_run_counts()  # a value that contains an unknown total is not refused
            raise
        finally:
            self._is_reducing = False
        self._check_that_run_counts()
        if self._read_draws() != draws:
            line_text = describe_line(find_frames(run_author.__code__).frames[0])
            self._fail_with(
                TotalRefused(
                    f"the function that total.add calls in {line_text} draws from total.rng. It is not called in every "
                    "round, so draw before"
                )
            )
        return contribution

    def _read_draws(self) -> Any:
        """Return the state of ``rng``; None before its first use."""
        return self.rng.bit_generator.state if "rng" in vars(self) else None

    def _has_entry_per_row(self, contribution: Any) -> bool:
        if isinstance(contribution, Mapping):
            return any(map(self._has_entry_per_row, contribution.values()))
        return _get_length(contribution) in self._rows

    def _list_levels(self, _rows: Any, values: Any) -> list[Any]:
        levels, omitted = select_levels(get_register(), "total.levels", values, self._minimum_records)
        self._omitted_levels = omitted
        if omitted:
            counted = "1 level is" if omitted == 1 else f"{omitted} levels are"
            note(f"{counted} left out: fewer than {self._minimum_records} records at this node")
        return list(levels)

    def _compare(self, position: int, earlier: CallSite, site: CallSite) -> None:
        if not earlier.has_same_path(site):
            self._disagree(
                f"total {position + 1} was requested in {earlier.place} and is now requested in {site.place}: the "
                "function must take the same path in every round. Do not branch on the type of a total"
            )
        if earlier.loop != site.loop:
            name = next(iter(site.loop_names), "")
            self._disagree(
                f"the loop over {name!r} around {site.place} has other values than in an earlier round: sort its values"
            )

    def _disagree(self, message: str) -> NoReturn:
        self._fail_with(RoundsDisagree(message))


# Messages about a value name its class, which the author knows only as the aggregator.
for _kind in (_Replay, NodeReplay):
    _kind.__name__ = _kind.__qualname__ = "Aggregator"


class RowlessReplay(_Replay):
    """The totals at the master, which has no rows and contributes nothing."""

    def __init__(self, history: History) -> None:
        super().__init__(history)
        self.has_failed = False
        """Whether the function needed rows or an unknown total, or took another path than the nodes."""

    def make_ghost(self) -> Ghost:
        """Return a placeholder for rows."""
        return Ghost(self._fail)

    def _fail(self) -> None:
        self.has_failed = True

    def _request(self, request: TotalRequest) -> Any:
        frames = self._find_frames()
        site = self._locate(request.operation, frames)
        if any(is_uncertain(frame) for frame in frames if not is_library(frame)):
            self._fail()
        position, self._position = self._position, self._position + 1
        totals = self._history.totals
        if self.has_failed or position >= len(totals) or totals[position].site != site:
            self._fail()
            raise Absent("the function needs a total of the next round")
        # The history is the next round's request, and the function may change a total in place.
        return request.finish(copy.deepcopy(totals[position].value))

    def has_used_all(self) -> bool:
        """Return whether the function has requested every total of the history."""
        return self._position == len(self._history.totals)


def run_at_node(
    function: PooledFunction,
    values: Mapping[str, Any],
    history: History,
    lines: int,
    minimum_records: int,
    unchecked: range = range(0),
) -> NodeRun:
    """Run the function with the rows of this node.

    Args:
        function: the function.
        values: its rows and arguments.
        history: the known totals.
        lines: the number of log lines of earlier rounds, which are not logged again.
        minimum_records: see ``NodeReplay``.
        unchecked: see ``NodeReplay``.

    Raises:
        AlgotoolsError: a value is refused, or the author's own ``UserError``.
        Exception: an exception of the author's code in a run in which all totals were known.
    """
    data = (values.get(p.name) for p in function.declared.data)
    tables = (table for value in data for table in (value.values() if isinstance(value, dict) else [value]))
    lengths = map(_get_length, tables)
    rows = frozenset(length for length in lengths if length and length >= _MANY_ROWS)
    replay = NodeReplay(history, rows, minimum_records, unchecked)
    counter = _LineCounter(lines)
    result: Any = None
    has_returned = False
    try:
        with filter_lines(counter.accept):
            result = run_author(function, {**values, find_total(function): replay})
            has_returned = True
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # includes `SystemExit` of an author who has swallowed `Pause`
        if replay.fault is None and not replay.has_paused and isinstance(error, TotalRefused):
            raise
        if replay.fault is None and not replay.reply.sites:
            if not isinstance(error, Pause):
                raise
            replay.fault = RoundsDisagree(
                "the function uses a total of another run, which it has stored outside itself. Use a total only in "
                "the run that has requested it"
            )
    if replay.fault is None and has_returned and not replay.reply.sites:
        with contextlib.suppress(RoundsDisagree):
            replay.check_end()
        replay.reply.is_finished, replay.reply.result = True, result
        encode_rich(result, function.collect_literals())  # raises an error that names the part of the result
    if isinstance(replay.fault, TotalRefused):
        raise replay.fault
    if replay.fault is not None:
        replay.reply = RoundReply(fault=(replay.fault.exit_code, replay.fault.message))
    return NodeRun(replay.reply, replay.contributions, max(lines, counter.count))


_NODES_OWN = ("data", "run_info", "variable")
"""The kinds of parameters whose values differ between nodes."""


def run_without_rows(function: PooledFunction, values: Mapping[str, Any], history: History) -> Result | None:
    """Run the function at the master, with placeholders for the rows.

    Returns:
        The result, if the function needs no rows and no further total; otherwise None.
    """
    # A placeholder is never None, but at a node an optional table may be.
    if asks_questions(function.__wrapped__) or any(p.is_optional for p in function.declared.data):
        return None
    replay = RowlessReplay(history)
    injected = {p.name: replay.make_ghost() for p in function.declared.parameters if p.kind in _NODES_OWN}
    result: Any = None
    # The arguments are sent again in the next round, and the function may change a list of them in place.
    arguments = copy.deepcopy(dict(values))
    # What goes wrong here also goes wrong at the nodes, which then report it with the author's line.
    try:
        with filter_lines(lambda _: False):
            result = run_author(function, {**arguments, **injected, find_total(function): replay})
            encode_rich(result)  # refuses a placeholder at any depth
    except KeyboardInterrupt:
        raise
    except BaseException:  # includes `SystemExit` of an author who has swallowed `Absent`
        return None
    counts = replay.has_used_all() and not replay.has_failed and replay.fault is None
    return Result(result) if counts else None


class Result(NamedTuple):
    """The result of a pooled function, which can be None."""

    value: Any


class _LineCounter:
    """Accepts the log lines that earlier rounds have not logged yet."""

    def __init__(self, logged: int) -> None:
        self._logged = logged
        self.count = 0

    def accept(self, _line: str) -> bool:
        self.count += 1
        return self.count > self._logged


def find_total(function: PooledFunction) -> str:
    """Return the name of the parameter for the totals."""
    return next(p.name for p in function.declared.parameters if p.kind == "total")


def _get_length(value: Any) -> int | None:
    """Return the number of rows of a table, or the first dimension of an array; None for other values."""
    shape = getattr(value, "shape", None)
    return shape[0] if isinstance(shape, tuple) and shape and isinstance(shape[0], int) else None
