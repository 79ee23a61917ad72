"""The facts that the worker reports for the gate: the function, its tables, and matches of its lines and its result."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from algotools.data.reading import is_memory_error
from algotools.declare.federated import PooledFunction
from algotools.declare.functions import Algorithm, RegisteredFunction
from algotools.declare.masters import find_masters
from algotools.disclosure.facts import Intent, Matches, is_valid
from algotools.disclosure.register import Register
from algotools.disclosure.tables import ReadTables
from algotools.errors import DatabaseUnreadable, format_author_traceback


def make_intent(
    function: RegisteredFunction, labels: Iterable[str], columns: list[str], algorithm: Algorithm
) -> Intent:
    """Return the description of a function that the policy of the node's owner judges before any data is read."""
    named_columns = [*columns, *(name for p in function.specification.data for name in p.columns.names or ())]
    return Intent(
        role=function.role,
        step=function.step,
        is_pooled=isinstance(function, PooledFunction) and function.role == "rpc",
        standalone=function.standalone,
        masters=() if function.standalone else tuple(find_masters(function, algorithm)),
        minimum_rows=function.minimum_rows,
        databases=tuple(dict.fromkeys(labels)),
        columns=tuple(dict.fromkeys(named_columns)),
        texts=tuple(filter(is_valid, function.collect_literals())),
        numbers=tuple(function.collect_numbers()),
    )


def match_result(
    data: bytes, tables: ReadTables, intent: Intent, list_texts: Callable[[], frozenset[str]], register: Register
) -> Matches:
    """Return the values of an encoded result that are cells, and the evidence of its numbers.

    Args:
        data: the encoded result.
        tables: the tables that the function has read.
        intent: the function.
        list_texts: returns the texts in the source of the algorithm.
        register: the numbers that reductions have returned.

    Raises:
        DatabaseUnreadable: the engine of a lazy table fails to count its rows.
    """
    try:
        known_texts = {*intent.texts, *intent.databases}
        return tables.match_result(data, known_texts, list_texts, register, is_pooled=intent.is_pooled)
    except Exception as error:  # engines raise any class of error
        if is_memory_error(error):
            raise
        labels = ", ".join(map(repr, intent.databases))
        raise DatabaseUnreadable(
            f"database {labels}: its rows cannot be counted for the policy of the node's owner "
            f"({type(error).__name__})",
            detail=format_author_traceback(error),
        ) from None
