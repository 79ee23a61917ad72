"""The master and the rpc of a pooled function: rounds of replays until the result is known.

In each round every node runs the whole function with the totals that are known so far, up to the first use of an
unknown total. The master combines the nodes' contributions to the totals that were requested until then, and starts
the next round. A run without rows at the master saves the last round of most functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from algotools.declare.federated import CLIENT, ORGANIZATIONS, REQUEST, RUN, PooledFunction
from algotools.disclosure.reductions.conversion import to_rows
from algotools.errors import CODES, NodesDisagree, RoundsDisagree, TotalRefused
from algotools.runtime.client import AlgorithmClient
from algotools.runtime.logs import format_count, note
from algotools.runtime.pooled._call_site import CallSite
from algotools.runtime.pooled._checksum import ContributionMemory, compute_checksum, is_same
from algotools.runtime.pooled._combine import ShapesDiffer, combine
from algotools.runtime.pooled._difference import find_difference
from algotools.runtime.pooled._history import History, KnownTotal, RoundReply
from algotools.runtime.pooled._replay import NodeRun, find_total, run_at_node, run_author, run_without_rows

__all__ = [
    "MANY_ROUNDS",
    "Ask",
    "NodeReply",
    "RoundReply",
    "call",
    "compute",
    "find_difference",
    "find_total",
    "perform_rpc",
    "run_author",
    "to_rows",
]


class NodeReply(NamedTuple):
    """The reply of a node, with the name of its organization."""

    name: str
    reply: RoundReply


MANY_ROUNDS = "rounds so far; request all totals before the first use, or compute all groups at once with by="
"""A warning. Each round sends all earlier totals again, so a loop over hundreds of totals takes long."""

_ROUNDS_TO_WARN = frozenset({50, 200, 1000})

MINIMUM_RECORDS = 3
"""The records that a level needs at a node to be listed by ``Aggregator.levels``. The task cannot lower the number."""


def call(function: PooledFunction, values: Mapping[str, Any], minimum_records: int = MINIMUM_RECORDS) -> Any:
    """Perform a derived function: the rpc at a node, or the master.

    *minimum_records* is the fewest records of a level that the node's policy allows.
    """
    if function.role == "rpc":
        return perform_rpc(function, values, minimum_records)
    return _perform_master(function, dict(values))


def perform_rpc(function: PooledFunction, values: Mapping[str, Any], minimum_records: int) -> dict[str, Any]:
    """Run the function with this node's rows, and return the reply as plain data."""
    values = dict(values)
    request, run_info = values.pop(REQUEST, ""), values.pop(RUN)
    history = History.decode(request)
    if not request:
        note(
            f"the result is what this node contributes to the first totals; call {function.derived_from} for the result"
        )
    folder = run_info.temporary_folder if request else None
    memory = ContributionMemory(folder, f"{history.key}-{function.method}")
    # A lazy contribution is computed once. But if other totals of its round were unknown, it could depend on their
    # placeholders, for instance on their type. So it is computed again in the next round, when they are known.
    unchecked = range(memory.known + 1, len(memory.checksums))
    run = run_at_node(function, values, history, memory.lines, minimum_records, unchecked)
    if fault := _compare_contributions(run, history, memory, function.pooling.tolerance):
        run = run._replace(reply=RoundReply(fault=(RoundsDisagree.exit_code, fault)))
    if run.reply.is_finished:
        memory.remove()
    elif run.reply.fault is None:
        earlier_checksums = [*memory.checksums, *([None] * len(history.totals))][: len(history.totals)]
        memory.checksums = [*earlier_checksums, *map(compute_checksum, run.reply.contributions)]
        memory.lines, memory.known = run.lines, len(history.totals)
        memory.write()
    return run.reply.to_plain()


def _compare_contributions(run: NodeRun, history: History, memory: ContributionMemory, tolerance: float) -> str | None:
    """Return the message about a contribution that has changed since an earlier round; None if none has changed."""
    for total, contribution, checksum in zip(history.totals, run.contributions, memory.checksums, strict=False):
        if contribution is None or checksum is None:
            continue
        if not is_same(checksum, compute_checksum(contribution), tolerance):
            return (
                f"the contribution to the {total.site.name} in {total.site.place} changed between two rounds: the "
                "function modified its data, used unseeded random numbers, or the database changed. Use total.rng for "
                "random numbers, and copy the data before you modify it"
            )
    return None


def _perform_master(function: PooledFunction, values: dict[str, Any]) -> Any:
    """Run rounds at the nodes, and return the result."""
    client: AlgorithmClient = values.pop(CLIENT)
    organizations = values.pop(ORGANIZATIONS, None)
    remaining = list(dict.fromkeys(client.recipients if organizations is None else organizations))
    minimum = function.pooling.minimum_organizations
    if len(remaining) < minimum:
        raise TotalRefused(
            f"the task has {format_count(len(remaining), 'organization')}, but totals need at least {minimum} "
            f"(minimum_organizations={minimum}). Send the task to more organizations, or name them in {ORGANIZATIONS}="
        )
    return _compute_with_restarts(function, values, client, remaining, attempt=1)


def _compute_with_restarts(
    function: PooledFunction, values: Mapping[str, Any], client: AlgorithmClient, organizations: list[int], attempt: int
) -> Any:
    try:
        return compute(function, values, _make_ask(function, values, client, organizations), client.task_id, attempt)
    except _OrganizationsFailed as failed:
        failures = failed.failures
    # Totals of earlier rounds contain the rows of the failed nodes. Going on would mix two populations.
    remaining = [organization for organization in organizations if organization not in failures]
    names_by_reason: dict[str, list[str]] = {}
    for organization in organizations:
        if organization in failures:
            name = client.organizations.get(organization, str(organization))
            names_by_reason.setdefault(failures[organization], []).append(name)
    reasons = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in names_by_reason.items())
    note(f"starting again with {format_count(len(remaining), 'organization')}, without {reasons}")
    return _compute_with_restarts(function, values, client, remaining, attempt + 1)


class _OrganizationsFailed(Exception):
    """Runs at organizations have failed, and the others are a quorum."""

    def __init__(self, failures: Mapping[int, str]) -> None:
        super().__init__()
        self.failures = failures


Ask = Callable[[History], Sequence[NodeReply]]
"""Runs the function at all nodes with a history, and returns their replies in the order of the organizations."""


def _make_ask(
    function: PooledFunction, values: Mapping[str, Any], client: AlgorithmClient, organizations: Sequence[int]
) -> Ask:
    def ask(history: History) -> list[NodeReply]:
        quorum = function.pooling.quorum
        arguments = {**values, REQUEST: history.encode()}
        results = client.run(
            function.partial,
            organizations=organizations,
            quorum=None if quorum is None else min(quorum, len(organizations)),
            wait_for_all=quorum is not None,
            arguments=arguments,
        )
        if quorum is not None and (failures := results.failures) and len(organizations) - len(failures) >= quorum:
            raise _OrganizationsFailed(failures)
        return list(_read_replies(client, organizations, list(results)))

    return ask


def _read_replies(client: AlgorithmClient, organizations: Sequence[int], results: Sequence[Any]) -> Iterator[NodeReply]:
    for organization, result in zip(organizations, results, strict=True):
        name = client.organizations.get(organization, f"organization {organization}")
        try:
            yield NodeReply(name, RoundReply.from_plain(result))
        except ValueError as fault:
            raise NodesDisagree(f"{name}: {fault}; all nodes must run the same image") from None


def compute(
    function: PooledFunction,
    values: Mapping[str, Any],
    ask: Ask,
    task: int = 0,
    attempt: int = 1,
) -> Any:
    """Return the result of a pooled function over the rows of all nodes.

    Args:
        function: the function.
        values: its arguments, without rows.
        ask: runs a round.
        task: the id of the task.
        attempt: 1, and one more after each restart.

    Raises:
        NodesDisagree, RoundsDisagree: the function takes different paths at two nodes, or in two rounds.
    """
    history = History(task, attempt)
    number = 0
    while True:
        number += 1
        replies = ask(history)
        for name, reply in replies:
            if reply.fault is not None:
                raise CODES[reply.fault[0]](f"{reply.fault[1]} (at {name})")
        if all(reply.is_finished for _, reply in replies):
            return _compare_results(replies, function)
        totals = _combine_replies(replies)
        note(f"round {number}: {format_count(len(totals), 'total')}")
        for position in range(len(totals)):
            _report_omitted_levels(replies, position)
        if number in _ROUNDS_TO_WARN:
            note(f"{number} {MANY_ROUNDS}")
        history.totals += totals
        if (result := run_without_rows(function, values, history)) is not None:
            return result.value


def _report_omitted_levels(replies: Sequence[NodeReply], position: int) -> None:
    """Log how many levels nodes have omitted, because the researcher cannot see this in the total."""
    counts = {name: reply.omitted_levels[position] for name, reply in replies if reply.omitted_levels[position]}
    if counts:
        omitted = [f"{name} left out {format_count(count, 'level')}" for name, count in counts.items()]
        note(
            f"levels in {replies[0].reply.sites[position].place}: {', '.join(omitted)} with fewer records than the "
            "node's minimum; their rows still count in other totals. To leave the rows out, keep only rows of listed "
            "levels: rows[rows[group].isin(levels)]"
        )


def _compare_results(replies: Sequence[NodeReply], function: PooledFunction) -> Any:
    first, literals = replies[0], function.collect_literals()
    for second in replies[1:]:
        if path := find_difference(first.reply.result, second.reply.result, function.pooling.tolerance, literals):
            raise NodesDisagree(
                f"{path} differs between {first.name} and {second.name}, because it depends on the rows of one node. "
                "Return only values that are computed from totals"
            )
    return first.reply.result


def _combine_replies(replies: Sequence[NodeReply]) -> list[KnownTotal]:
    """Return the totals that all nodes have requested in this round."""
    for second in replies[1:]:
        _compare_sites(replies[0], second)
    # A node without rows may stop earlier than another one. Its next totals are requested in the next round.
    count = min(len(reply.sites) for _, reply in replies)
    return [_combine_total(replies, position) for position in range(count)]


def _compare_sites(first: NodeReply, second: NodeReply) -> None:
    if first.reply.is_finished and second.reply.is_finished:
        return
    none: list[CallSite | None] = [None]
    for a, b in zip(first.reply.sites or none, second.reply.sites or none, strict=False):
        if a is None or b is None or not a.has_same_path(b):
            _compare_loops(first, a, second, b)
            raise NodesDisagree(
                f"nodes take different branches: {first.name} {_describe(a)}, {second.name} {_describe(b)}. Let a "
                "total decide, for example: if total.count(rows) > 0:"
            )
        if a.loop != b.loop:
            name = next(iter(a.loop_names or b.loop_names), "")
            raise NodesDisagree(
                f"the loop over {name!r} around {a.place} has different values at {first.name} and {second.name}, "
                "because it runs over the levels of one node. Loop over total.levels(...), or compute all groups at "
                "once with by="
            )


def _compare_loops(first: NodeReply, a: CallSite | None, second: NodeReply, b: CallSite | None) -> None:
    """Refuse a loop that has ended at one node, and not at the other."""
    variables = [site.loop_variable if site else "" for site in (a, b)]
    if variables[0] == variables[1]:
        return
    name = next(filter(None, variables))
    raise NodesDisagree(
        f"the loop over {name!r} has different passes: {first.name} {_describe(a)}, {second.name} {_describe(b)}. It "
        "runs over the levels of one node, or a condition on rows skips passes. Loop over total.levels(...), compute "
        "all groups at once with by=, or let a total decide"
    )


def _describe(site: CallSite | None) -> str:
    return "returns a result" if site is None else f"requests {site.describe()}"


def _combine_total(replies: Sequence[NodeReply], position: int) -> KnownTotal:
    site, way = replies[0].reply.sites[position], replies[0].reply.ways[position]
    if len(replies) > 1 and all(reply.has_entry_per_row[position] for _, reply in replies):
        raise TotalRefused(
            f"the value of total.{site.operation} in {site.place} has one entry per row. Use total.sum, which adds up "
            "rows"
        )
    try:
        return KnownTotal(site, combine(way, [reply.contributions[position] for _, reply in replies]))
    except ShapesDiffer as fault:
        raise NodesDisagree(
            f"the {site.name} in {site.place} has different {fault}. If a node lacks a level, use total.levels(...). "
            "If the value has one entry per row, use total.sum(...)"
        ) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        # No node of this image contributes such a value. Otherwise the error would count as one of the author's code.
        raise NodesDisagree(
            f"the contributions to the {site.name} in {site.place} have different types; all nodes must run the same "
            "image"
        ) from None
