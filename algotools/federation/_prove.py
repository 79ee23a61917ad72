"""The split test: a pooled function gives the same result for every split of its rows over nodes.

No check at run time can find a function that uses the mean of one node as the mean of all, or that adds up rows by
position. The result of ``Pooled()`` is the reference. The rounds are those of a task, with encoded requests and
replies; only the platform is left out.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import inspect
import json
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from algotools import data
from algotools.declare.annotations import COLUMN
from algotools.declare.columns import check_kinds, list_required_kinds
from algotools.declare.federated import REQUEST, RUN, PooledFunction
from algotools.declare.tables import collect_values
from algotools.declare.variables import read_variables
from algotools.errors import (
    PACKAGE,
    AlgotoolsError,
    FederationError,
    NodesDisagree,
    ProofFailed,
    RoundsDisagree,
    TotalRefused,
    UnknownColumn,
)
from algotools.federation._frames import add_frame, remove_frames
from algotools.federation.variables import Value, format_value
from algotools.payload import decode_rich, encode_arguments, encode_rich
from algotools.runtime.logs import filter_lines
from algotools.runtime.pooled import Pooled
from algotools.task import Database, RunInfo

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Self

    from algotools.runtime.pooled.rounds import NodeReply

_SEED = 20_261_130
_RANDOM_SPLITS = 3
_MOST_SORTED_COLUMNS = 3
_MOST_LEVELS = 20

Rows = Mapping[tuple[str, Union[str, None]], Any]
"""Parameter, and the key of a table in a dict of tables, -> the table."""


def prove(
    function: Callable[..., Any],
    frame: Any,
    /,
    *,
    person: str | None = None,
    tolerance: float = 1e-6,
    arguments: Mapping[str, object] | None = None,
    variables: Mapping[str, Value] | None = None,
    **keywords: object,
) -> Any:
    """Check that a pooled function gives the same result for every split of its rows, and return this result.

    The splits: equal parts, all rows at one node beside two empty nodes, one row at a node, random parts, and parts in
    which nodes lack levels of a column. The check compares arithmetic: ``levels`` lists levels of few records, and
    ``minimum_organizations`` does not count.

    Args:
        function: a function decorated with ``@federated``.
        frame: its rows: a DataFrame (pandas, Polars or Arrow), or a mapping from parameter to DataFrame if it takes
            several tables. The rows of a dict of tables are a mapping from label to DataFrame.
        person: the column with a person's identifier, if the rows of one person must stay at one node.
        tolerance: the relative difference that is allowed between two results.
        arguments: more arguments, for names that are also names of options.
        variables: the node variables of all nodes, as for ``Federation``.
        **keywords: the function's arguments.

    Raises:
        ProofFailed: a split gives another result, or an exception. The message names the split and the difference.
        NodesDisagree, RoundsDisagree, TotalRefused: the function is refused; the message names the split.
        FederationError: the function is not a pooled function, or the frame does not fit it.
        ArgumentsError: the arguments do not fit the function.
        NodeVariableError: a node variable is missing or malformed.
        UnknownColumn: an argument names a column that the frame does not contain.
        WrongColumnKind: a column is not of the kind that an argument requires.
    """
    __tracebackhide__ = True  # pytest shows the caller's line, and not this function
    from algotools.runtime.pooled.rounds import find_difference

    if not isinstance(function, PooledFunction):
        raise FederationError("prove needs a function that is decorated with @federated")
    tables = _read_tables(function, frame)
    texts = {name: format_value(name, value) for name, value in (variables or {}).items()}
    set_texts = {name: text for name, text in texts.items() if text is not None}
    with _Bench(function, {**(arguments or {}), **keywords}, set_texts) as bench:
        expected = _compute_one_table(bench, tables)
        for split in make_splits(tables, person):
            result = _compute_split(bench, split)
            if path := find_difference(expected, result, tolerance, function.collect_literals()):
                raise ProofFailed(
                    f"{path} of {function.__name__} differs from that of one table with {split.description}: a part of "
                    "the function uses the rows of one node as if they were all rows"
                )
    return expected


class Split(NamedTuple):
    """Rows of several nodes."""

    description: str
    nodes: Sequence[Rows]


def make_splits(tables: Rows, person: str | None = None) -> Iterator[Split]:
    """Yield splits of tables over nodes; *person* is the column whose equal values stay at one node."""
    import numpy as np

    frame = next(iter(tables.values()))
    units = _number_units(list(tables.values()), person)
    count = max((int(numbers.max()) + 1 for numbers in units if len(numbers)), default=0)
    rng = np.random.default_rng(_SEED)
    everything = np.arange(count)
    nothing = everything[:0]
    # First a split without empty nodes, at which a fault of every split would look like one of nodes without rows.
    if count >= 3:
        yield _split("equal parts at 3 nodes", tables, units, np.array_split(everything, 3))
    yield _split("all rows at one of 3 nodes", tables, units, [nothing, everything, nothing])
    if count < 2:
        return
    yield _split("1 row at one of 3 nodes", tables, units, [everything[1:], everything[:1], nothing])
    for _ in range(_RANDOM_SPLITS):
        nodes = int(rng.integers(3, 6))
        owners = rng.choice(nodes, size=count, p=rng.dirichlet(np.ones(nodes)))
        parts = [np.nonzero(owners == i)[0] for i in range(nodes)]
        yield _split(f"a random split over {nodes} nodes", tables, units, parts)
    if person is None and len(tables) == 1:
        for name in _list_grouping_columns(frame):
            order = np.argsort(_to_texts(frame[name]).to_numpy(), kind="stable")
            yield _split(f"rows sorted by {name!r} over 3 nodes", tables, units, np.array_split(order, 3))


def _number_units(tables: Sequence[pd.DataFrame], person: str | None) -> list[Any]:
    """Return a number for each row of each table; rows with the same number stay together, also of two tables."""
    import numpy as np
    import pandas as pd

    if person is None:
        return [np.arange(len(table)) for table in tables]
    if not all(person in table.columns for table in tables):
        raise FederationError(f"person= names no column of the frame: {person!r}")
    texts = [_to_texts(table[person]) for table in tables]
    numbers = pd.factorize(pd.concat(texts, ignore_index=True), sort=True)[0]
    return np.split(numbers, np.cumsum([len(table) for table in tables])[:-1])


def _to_texts(column: Any) -> Any:
    """Return the values of a column as texts. A missing value is a text, too: ``astype(str)`` of pandas 3 keeps it."""
    return column.astype(object).map(str)


def _split(description: str, tables: Rows, units: Sequence[Any], nodes: Sequence[Any]) -> Split:
    import numpy as np

    parts = [
        {name: table[np.isin(numbers, members)] for (name, table), numbers in zip(tables.items(), units, strict=True)}
        for members in nodes
    ]
    counts = ", ".join(str(len(next(iter(rows.values())))) for rows in parts)
    return Split(f"{description} ({counts} rows)", parts)


def _list_grouping_columns(frame: pd.DataFrame) -> list[str]:
    """Return columns with few distinct values, which are probably groups."""
    most = min(_MOST_LEVELS, len(frame) - 1)
    columns = [name for name in frame.columns if 1 < _to_texts(frame[name]).nunique() <= most]
    return columns[:_MOST_SORTED_COLUMNS]


def _read_tables(function: PooledFunction, frame: Any) -> dict[tuple[str, str | None], pd.DataFrame]:
    """Return the rows of each table as a pandas DataFrame."""
    import pandas as pd

    from algotools.runtime.pooled.rounds import to_rows

    parameters = function.declared.data
    if any(p.form in data.UNREAD for p in parameters):
        raise FederationError(f"prove needs tables, but {function.__name__} reads its database itself")
    if isinstance(frame, (list, tuple)):
        raise FederationError("prove splits the rows itself; pass one frame with all rows, such as pd.concat(frames)")
    tables = _name_tables(function, frame)
    with contextlib.suppress(ValueError):  # not rows
        tables = {name: to_rows(table) for name, table in tables.items()}
    if not tables or not all(isinstance(table, pd.DataFrame) for table in tables.values()):
        raise FederationError("prove needs the rows as a DataFrame")
    return tables


def _name_tables(function: PooledFunction, frame: Any) -> dict[tuple[str, str | None], Any]:
    """Return the tables that a caller has passed: one table, a dict of tables, or a mapping by parameter."""
    parameters = function.declared.data
    required = {p.name for p in parameters if not p.is_optional}
    names = [p.name for p in parameters]
    if not isinstance(frame, Mapping) or (len(parameters) == 1 and parameters[0].is_group and names != list(frame)):
        frame = {names[0]: frame}
    if not required <= frame.keys() <= set(names):
        raise FederationError(
            f"{function.__name__} takes the tables {', '.join(names)}; pass a mapping with these names"
        )
    tables: dict[tuple[str, str | None], Any] = {}
    for parameter in parameters:
        value = frame.get(parameter.name)
        if parameter.is_group and not isinstance(value, (Mapping, type(None))):
            raise FederationError(f"{parameter.name} is a dict of tables; pass a mapping from label to DataFrame")
        group = value if isinstance(value, Mapping) else {None: value}
        tables |= {(parameter.name, key): table for key, table in group.items() if table is not None}
    return tables


class _Bench:
    """Runs a function on tables: on whole tables, and in rounds over nodes."""

    def __init__(self, function: PooledFunction, arguments: Mapping[str, object], variables: Mapping[str, str]) -> None:
        specification = function.partial.specification
        encoded = json.loads(encode_arguments(specification.pack(arguments, function.method), function.method))
        self.function = function
        self.arguments = specification.validate((), encoded)
        self.arguments |= read_variables(specification.variables, variables)
        self._variables = variables
        self._names = specification.find_marked(self.arguments, COLUMN)
        self._kinds = list_required_kinds(specification, self.arguments)
        self._stack = contextlib.ExitStack()
        self._folder = Path()
        self._number = 0
        self._shown_lines: set[str] = set()
        self.node: Rows = {}
        """The rows of the node that runs, or has run last."""

    def __enter__(self) -> Self:
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="algotools-prove-")))
        self._stack.callback(remove_frames, self._folder)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def accept_line(self, line: str) -> bool:
        """Return whether a log line is shown: each warning about many rounds once, because the check looks stuck."""
        from algotools.runtime.pooled.rounds import MANY_ROUNDS

        if not line.endswith(MANY_ROUNDS) or line in self._shown_lines:
            return False
        self._shown_lines.add(line)
        return True

    def compute_pooled(self, tables: Rows) -> Any:
        """Return the result of the function on whole tables."""
        from algotools.runtime.pooled.rounds import find_total, run_author

        with contextlib.ExitStack() as stack:
            values = {**copy.deepcopy(self.arguments), **self._load(tables, stack), find_total(self.function): Pooled()}
            return run_author(self.function, {**values, **self._make_run_info(self._folder)})

    def compute(self, nodes: Sequence[Rows]) -> Any:
        """Return the result of the function in rounds over nodes."""
        from algotools.runtime.pooled.rounds import compute

        self._number += 1
        folders = [self._folder / f"{self._number}-{i}" for i in range(len(nodes))]
        for folder in folders:
            folder.mkdir()

        def ask(history: Any) -> list[NodeReply]:
            return [self._run(i, rows, folders[i], history.encode()) for i, rows in enumerate(nodes)]

        return compute(self.function, self.arguments, ask, task=1)

    def _run(self, node: int, rows: Rows, folder: Path, request: str) -> NodeReply:
        from algotools.runtime.pooled.rounds import NodeReply, RoundReply, perform_rpc

        self.node = rows
        with contextlib.ExitStack() as stack:
            values = {**copy.deepcopy(self.arguments), **self._load(rows, stack), **self._make_run_info(folder)}
            values |= {REQUEST: request, RUN: self._describe_run(folder)}
            plain = perform_rpc(self.function.partial, values, minimum_records=1)
            return NodeReply(f"node {node + 1}", RoundReply.from_plain(decode_rich(encode_rich(plain))))

    def _make_run_info(self, folder: Path) -> dict[str, RunInfo]:
        names = [p.name for p in self.function.declared.parameters if p.kind == "run_info"]
        return {name: self._describe_run(folder) for name in names}

    def _describe_run(self, folder: Path) -> RunInfo:
        return RunInfo(temporary_folder=folder, variables=self._variables)

    def _load(self, tables: Rows, stack: contextlib.ExitStack) -> dict[str, Any]:
        """Return the tables in the forms that the function requests, with the columns that a node would read."""
        values: list[tuple[str, str | None, object]] = []
        columns: dict[str, list[str]] = {}
        for (name, key), table in tables.items():
            parameter = next(p for p in self.function.declared.data if p.name == name)
            self._number += 1
            path = self._folder / f"{self._number}.frame"
            add_frame(table, path)
            stack.callback(_remove_frame, path)
            database = Database(label=key or parameter.label or "default", uri=str(path), type="frame")
            loaded = parameter.load(database, self._names, stack)
            check_kinds(self._kinds, database.label, parameter.form, loaded.value, loaded.columns)
            values.append((name, key, loaded.value))
            columns.setdefault(name, []).extend(map(str, loaded.columns or ()))
        for parameter in self.function.declared.data:
            _check_columns(parameter.columns.names or (), columns.get(parameter.name, ()))
        _check_columns(self._names, [column for own_columns in columns.values() for column in own_columns])
        return collect_values(self.function.declared.data, values)

    def list_unread_columns(self, tables: Rows) -> list[str]:
        """Return the columns that the function does not receive, because it names other columns."""
        unread: list[str] = []
        selections = {p.name: p.columns.select(self._names) for p in self.function.declared.data}
        for (name, _), table in tables.items():
            if (selection := selections[name]) is not None:
                unread += [column for column in map(str, table.columns) if column not in selection]
        return unread


def _check_columns(names: Iterable[str], existing: Sequence[str]) -> None:
    for name in names if existing else ():
        if name not in existing:
            similar = difflib.get_close_matches(name, existing, n=1)
            hint = f" (did you mean {similar[0]!r}?)" if similar else ""
            raise UnknownColumn(f"no column {name!r} in the frame{hint}")


def _remove_frame(path: Path) -> None:
    data.FRAMES_IN_MEMORY.pop(path, None)
    path.unlink(missing_ok=True)


def _compute_one_table(bench: _Bench, tables: Rows) -> Any:
    __tracebackhide__ = True
    try:
        return bench.compute_pooled(tables)
    except KeyError as error:
        unread = bench.list_unread_columns(tables)
        if not any(repr(name) in str(error) for name in unread):
            raise
        raise ProofFailed(
            f"{bench.function.__name__} raises KeyError{_find_author_line(bench.function, error)}: a node reads only "
            "the columns that arguments name; to read more, annotate the DataFrame with Columns.of(…)"
        ) from _remove_own_frames(error)


def _compute_split(bench: _Bench, split: Split) -> Any:
    __tracebackhide__ = True
    try:
        with filter_lines(bench.accept_line):
            return bench.compute(split.nodes)
    except (NodesDisagree, RoundsDisagree, TotalRefused) as error:
        raise type(error)(f"{error.message} (with {split.description})") from None
    except AlgotoolsError:
        raise
    except Exception as error:
        counts = [len(table) for table in bench.node.values()]
        rows = "1 row" if counts == [1] else f"{' and '.join(map(str, counts))} rows"
        remedy = "; a node may have no rows" if 0 in counts else ""
        raise ProofFailed(
            f"{bench.function.__name__} raises {type(error).__name__}{_find_author_line(bench.function, error)} at a "
            f"node with {rows} (with {split.description}){remedy}. {_describe_exception(error)}"
        ) from _remove_own_frames(error)


def _describe_exception(error: BaseException) -> str:
    """Return class and text of an exception. The rows are the author's own, so the text may quote them."""
    return traceback.format_exception_only(error)[-1].partition("\n")[0][:300]


def _find_author_line(function: PooledFunction, error: BaseException) -> str:
    """Return the innermost line beside the author's function in a traceback: `` in line 24``."""
    code = getattr(inspect.unwrap(function.__wrapped__), "__code__", None)
    file = Path(code.co_filename) if code else Path()
    lines = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    near = [(path, line) for path, line in lines if path.parent == file.parent]
    if not near:
        return ""
    path, line = near[-1]
    return f" in line {line}{'' if path == file else f' of {path.name}'}"


def _remove_own_frames(error: BaseException) -> BaseException:
    """Let the traceback begin at the author's function."""
    trace = error.__traceback__
    while trace is not None and Path(trace.tb_frame.f_code.co_filename).is_relative_to(PACKAGE):
        trace = trace.tb_next
    return error if trace is None else error.with_traceback(trace)
