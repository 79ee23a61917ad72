"""Check a call once, before any node runs it: one error for one mistake of the researcher.

The runner checks method, role, arguments, declaration and import as a node would (``runtime.dispatch.checking``). This
module adds the facts that only the federation knows: the organizations, the labels of all databases, and their columns.
A mistake is refused only if the call would fail at every node. In all other cases the runs report it.

A real server checks nothing, and neither does ``client.task.create``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from algotools.data import UNREAD
from algotools.data.headers import read_column_names
from algotools.data.names import find_name, suggest_name
from algotools.errors import AlgotoolsError, DatabaseUnreadable, UnknownColumn, UnknownLabel, UnknownOrganization
from algotools.federation._node_faults import CheckedNode, find_missing_file, refuse_if_all_fail
from algotools.federation._platform import LocalPlatform
from algotools.federation._results import Requested
from algotools.federation.contract import Request
from algotools.federation.contract.rest import DataframeRecord
from algotools.runtime.client import unknown_organizations_message
from algotools.runtime.dispatch.checking import CallFacts, CallTable, CheckedCall, CheckReply, NodeDatabases
from algotools.task import Database

LIMIT = 60.0
"""Seconds that a check may take. After that, the runs report mistakes."""

_MOST_PATHS = 3
"""Number of paths that a message lists."""

_MOST_NAMES = 10
"""Number of columns, or of labels, that a message lists."""


class _Entry(NamedTuple):
    """A database that a task at a node has."""

    visible: Database
    """The database without its URI and options, which may contain a password; the URI is empty if the node lacks it."""
    source: Database | None = None
    """The database with its columns; None if they are unknown."""
    names: Sequence[str] | None = None
    """The names of the columns that the node has reported (v5)."""

    def read_names(self) -> Sequence[str] | None:
        """Return the names of the columns; None if they are unknown."""
        if self.names is None and self.source is not None:
            return read_column_names(self.source)
        return self.names


class _NodeView(NamedTuple):
    """The databases and variables that a task at one node has."""

    requested: tuple[_Entry, ...]
    configured: tuple[_Entry, ...]
    variables: dict[str, str]

    def list_visible(self) -> NodeDatabases:
        """Return the databases and variables for the check in the algorithm's process."""
        requested, configured = (tuple(e.visible for e in entries) for entries in (self.requested, self.configured))
        return NodeDatabases(requested, configured, self.variables)

    def find(self, label: str) -> _Entry | None:
        """Return a database by its label; None if the node does not have it."""
        return next((e for e in (*self.requested, *self.configured) if e.visible.label == label), None)

    def read_names(self, label: str) -> Sequence[str] | None:
        """Return the names of the columns of a database; None if they are unknown."""
        entry = self.find(label)
        return entry.read_names() if entry else None


def check_request(
    platform: LocalPlatform,
    request: Request,
    organizations: Sequence[int],
    databases: Sequence[Requested],
    *,
    image: str = "",
    has_any_role: bool = False,
) -> CallFacts | None:
    """Check the request of a researcher; return None if nothing about the algorithm is known.

    Args:
        platform: the federation's server and nodes.
        request: the request.
        organizations: the ids of the task's organizations.
        databases: the databases that the task requests.
        image: the image that the task names.
        has_any_role: whether the request does not name the role, because the caller does not know it.

    Raises:
        UnknownMethod, WrongRole, ArgumentsError, UnknownColumn, UnknownOrganization: the researcher's mistake.
        AlgorithmNotFound, AlgorithmImportError, DeclarationError: the author's mistake.
        UnknownLabel: no node has a database for each parameter of the function.
        NodeVariableError, DatabaseUnreadable, WrongColumnKind: every node has a fault; see ``_node_faults``.
    """
    __tracebackhide__ = True
    platform.check_open()
    runner = platform.find_runner(image)
    if runner is None:
        return None
    views = [_view_node(platform, id_, databases) for id_ in organizations]
    nodes: list[NodeDatabases] = []
    positions: list[int] = []
    """For each node of the task, its databases in ``nodes``."""
    for view in views:
        if (visible := view.list_visible()) not in nodes:  # most nodes have the same labels
            nodes.append(visible)
        positions.append(nodes.index(visible))
    call = CheckedCall(
        generation=platform.contract.name,
        input=request.data,
        method=request.method,
        role=request.role,
        has_any_role=has_any_role,
        nodes=tuple(nodes),
    )
    try:
        reply = runner.check(call, platform.limit_check(LIMIT))
        if reply is None:
            return None
        facts = _get_facts(platform, reply, databases)
        if message := unknown_organizations_message(facts.organizations, platform.organizations()):
            raise UnknownOrganization(message)
        tables = [facts.tables[position] for position in positions]
        faults = [facts.variable_faults[position] if facts.variable_faults else "" for position in positions]
        checked = [
            CheckedNode(id_, fault, [(table, _find_source(view, table.label)) for table in own_tables])
            for id_, view, own_tables, fault in zip(organizations, views, tables, faults, strict=True)
            if own_tables is not None  # the node does not have a database for each parameter
        ]
        names = platform.organizations()
        refuse_if_all_fail(facts.method, checked, names, CheckedNode.find_fault)
        if any(tables):
            readable = {node.organization for node in checked if node.find_fault() is None}
            pairs = zip(organizations, views, tables, strict=True)
            _check_tables(
                facts,
                [(view, own_tables) for id_, view, own_tables in pairs if own_tables is not None and id_ in readable],
            )
            if facts.kinds:
                refuse_if_all_fail(
                    facts.method, checked, names, lambda node: node.find_fault() or node.find_wrong_kind(facts.kinds)
                )
        elif facts.role == "master":
            _check_labels(platform, databases)
            tables_of_sessions = _list_session_tables(platform, databases)
            _check_master(facts, [_view_node(platform, id_, tables_of_sessions) for id_ in platform.nodes])
    except AlgotoolsError:
        platform.release_resources()
        raise
    return facts


def read_declarations(platform: LocalPlatform) -> CheckReply | None:
    """Return the declarations of the algorithm's methods, as its runner reads them; None if they are unknown."""
    try:
        runner = None if platform.algorithms.default is None else platform.find_runner("")
        return runner.check(None, platform.limit_check(LIMIT)) if runner else None
    except AlgotoolsError:  # the run reports the reason
        return None


def _get_facts(platform: LocalPlatform, reply: CheckReply, databases: Sequence[Requested]) -> CallFacts:
    """Return the facts in a reply. For a label that no node has, the federation knows more than the algorithm."""
    __tracebackhide__ = True
    try:
        return reply.get_facts()
    except UnknownLabel:
        _check_labels(platform, databases)
        raise


# --- The databases of a node. ---


def _view_node(platform: LocalPlatform, organization: int, requested: Sequence[Requested]) -> _NodeView:
    """Return the databases of a node for a task. On v5 they are the tables of a session."""
    node_databases = platform.nodes[organization].databases
    has_sessions = platform.contract.has_sessions
    entries: list[_Entry] = []
    for number, item in enumerate(requested):
        if not isinstance(item, Database):
            group = number if len(item) > 1 else None
            tables = [platform.sessions.dataframe(id_) for id_ in item]
            entries += [_make_table_entry(platform, organization, table, group) for table in tables]
        elif has_sessions and (table := platform.sessions.find_table(item.label)) is not None:
            entries.append(_make_table_entry(platform, organization, table, item.group))
        elif item.label in node_databases:
            requests = {"query": item.query, "sheet_name": item.sheet_name, "preprocessing": item.preprocessing}
            entries.append(_make_entry(msgspec.structs.replace(node_databases[item.label], **requests), item.group))
        else:
            entries.append(_Entry(Database(item.label, group=item.group)))
    labels = {entry.visible.label for entry in entries}
    other_entries = (
        ()
        if has_sessions and requested
        else tuple(_make_entry(d) for d in node_databases.values() if d.label not in labels)
    )
    return _NodeView(tuple(entries), other_entries, dict(platform.nodes[organization].variables))


def _find_source(view: _NodeView, label: str) -> Database | None:
    entry = view.find(label)
    return entry.source if entry else None


def _make_entry(database: Database, group: int | None = None) -> _Entry:
    return _Entry(Database(database.label, "hidden", group=group), database)


def _make_table_entry(
    platform: LocalPlatform, organization: int, table: DataframeRecord, group: int | None = None
) -> _Entry:
    """Return a table that tasks of a session make. Its columns are known when all of these tasks have finished."""
    tasks = platform.sessions.find_tasks([table]).values()
    node_id = platform.store.node_id(organization)
    names = [str(column["name"]) for column in table.columns if column["node_id"] == node_id]
    is_known = bool(names) and all(task.complete for task in tasks)
    return _Entry(Database(table.name, "hidden", group=group), names=names if is_known else None)


def _list_session_tables(platform: LocalPlatform, requested: Sequence[Requested]) -> list[list[int]]:
    """Return all tables of the sessions whose tables a task requests: the rpcs of a master read these tables."""
    tables: list[DataframeRecord] = []
    if platform.contract.has_sessions:
        for item in requested:
            if not isinstance(item, Database):
                tables += map(platform.sessions.dataframe, item)
            elif (table := platform.sessions.find_table(item.label)) is not None:
                tables.append(table)
    sessions = dict.fromkeys(table.session_id for table in tables)
    return [[table.id for table in platform.sessions.dataframes(id_)] for id_ in sessions]


def _check_labels(platform: LocalPlatform, requested: Sequence[Requested]) -> None:
    """Refuse a label that no node has, for a master, whose rpcs read the databases.

    The label ``default`` is the researcher's only if a node has it: a request without a label has it, too.
    """
    __tracebackhide__ = True
    existing = {label for node in platform.nodes.values() for label in node.labels}
    for item in requested:
        if not isinstance(item, Database) or item.label in {*existing, "default"}:
            continue
        if platform.contract.has_sessions and platform.sessions.find_table(item.label) is not None:
            continue
        raise UnknownLabel(
            f"no node has a database {item.label!r}{suggest_name(item.label, existing)} (the nodes have: "
            f"{_join(sorted(existing)) or 'no database'})"
        )


# --- Columns. ---


def _check_tables(facts: CallFacts, nodes: Sequence[tuple[_NodeView, tuple[CallTable, ...]]]) -> None:
    """Refuse columns that the tables of no node have. Every run compares them in the same way, with its own tables.

    Raises:
        UnknownColumn: names the columns and similar ones.
    """
    __tracebackhide__ = True
    columns_by_node: list[dict[str, list[str]]] = []
    for view, tables in nodes:
        names_by_parameter: dict[str, list[str]] = {}  # a parameter can have several tables: a dict of tables
        for table in tables:
            if table.form not in UNREAD:
                if (names := view.read_names(table.label)) is None:
                    return  # this node may have any columns
                names_by_parameter.setdefault(table.parameter, []).extend(names)
        if not names_by_parameter:
            return  # this node does not compare columns
        columns_by_node.append(names_by_parameter)
    own_tables = nodes[0][1]
    every_name = [name for node in columns_by_node for names in node.values() for name in names]
    _refuse_missing(facts.columns, every_name, [table.label for table in own_tables])
    for table in own_tables:
        if all(table.parameter in node for node in columns_by_node):
            existing = [name for node in columns_by_node for name in node[table.parameter]]
            labels = [other.label for other in own_tables if other.parameter == table.parameter]
            _refuse_missing(table.columns, existing, labels)


def _check_master(facts: CallFacts, views: Iterable[_NodeView]) -> None:
    """Refuse columns of a master without tables that no database of any node has; its rpcs read these databases.

    On v5 these databases are the tables of the task's session.

    Raises:
        UnknownColumn: see ``_check_tables``.
        DatabaseUnreadable: no node has the file of any database.
    """
    __tracebackhide__ = True
    if not facts.columns:
        return
    existing: list[str] = []
    labels: list[str] = []
    absent: list[str] = []
    for view in views:
        for entry in (*view.requested, *view.configured):
            if entry.source is not None and (path := find_missing_file(entry.source)):
                absent.append(path)
                continue  # every run that reads this database fails
            if (names := entry.read_names()) is None:
                return
            existing += names
            labels.append(entry.visible.label)
    if labels:
        _refuse_missing(facts.columns, existing, labels)
    elif absent:
        paths = ", ".join(list(dict.fromkeys(absent))[:_MOST_PATHS])
        raise DatabaseUnreadable(f"the files of all databases do not exist: {paths}")


def _refuse_missing(columns: Iterable[str], existing: Iterable[str], labels: Iterable[str]) -> None:
    __tracebackhide__ = True
    names = list(dict.fromkeys(existing))
    missing = [column for column in columns if find_name(column, names) is None]
    if not missing:
        return
    raise UnknownColumn(
        f"no node has a column {_join(map(repr, missing))} in database "
        f"{_join(map(repr, dict.fromkeys(labels)))}{suggest_name(missing[0], names)} (columns: {_join(names)})"
    )


def _join(names: Iterable[str]) -> str:
    """Return the first names, and the number of the others: ``age, sex, 90 more``."""
    names = list(names)
    hidden_count = len(names) - _MOST_NAMES
    return ", ".join([*names[:_MOST_NAMES], *([f"{hidden_count} more"] if hidden_count > 0 else [])])
