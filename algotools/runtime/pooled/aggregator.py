"""The aggregator: the totals that a pooled function can request, over the rows of all nodes or of one table."""

from __future__ import annotations

import difflib
import functools
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from algotools.declare.annotations import Injected
from algotools.disclosure.source_lines import describe_line
from algotools.errors import TotalRefused
from algotools.runtime.pooled._call_site import find_frames

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

T = TypeVar("T")

SEED = 0
"""The seed of ``Aggregator.rng`` in each task, so that a result can be reproduced."""

_OTHER_NAMES = {
    "average": "mean(values)",
    "avg": "mean(values)",
    "len": "count(values)",
    "max": "maximum(values)",
    "median": "quantile(values, 0.5)",
    "min": "minimum(values)",
    "nunique": "levels(values)",
    "percentile": "quantile(values, q)",
    "size": "count(values)",
    "std": "variance(values) ** 0.5",
    "unique": "levels(values)",
    "value_counts": "table(values)",
    "var": "variance(values)",
}
"""Name in pandas or numpy -> the call of a total."""

Finish = Callable[[Any], Any]
"""Computes the value that the author receives from the combined contributions."""


def keep(value: Any) -> Any:
    """Return the combined contributions unchanged."""
    return value


class TotalRequest(NamedTuple):
    """A request for a total."""

    operation: str
    """The name of the aggregator's method."""
    reduce: Callable[[Any], Any]
    """Computes this node's contribution with the module ``disclosure.reductions.rows``."""
    combine: str = "add"
    """How contributions are combined; see ``combine``."""
    finish: Finish = keep
    is_lazy: bool = False
    """Whether a contribution is not computed again if the total is known."""
    inputs: tuple[Any, ...] | None = None
    """The arguments that a contribution is computed from, for its evidence; None if it has none."""


def request_rows(operation: str, reduction: str, *inputs: Any) -> TotalRequest:
    """Return the request for a total that a function of ``disclosure.reductions.rows`` computes from its inputs."""
    return TotalRequest(operation, lambda rows: getattr(rows, reduction)(*inputs), inputs=inputs)


class Aggregator(Injected, kind="total"):
    """The totals over the rows of all nodes; injected into a parameter with this annotation.

    Rows are a column (Series), a table (DataFrame) or an array, one entry for each record; of pandas, numpy, Polars,
    Arrow, DuckDB or Ibis. A total is a plain number, array or table of pandas. Totals that a function requests before
    it uses one of them share a round.

    ``sum`` adds up rows. ``add`` adds up values that the function has already reduced, one for each node.
    """

    def __init__(self, *, seed: int = SEED) -> None:
        self._seed = seed

    if not TYPE_CHECKING:  # a type checker would accept any name

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):  # pickle and other libraries look for optional protocols
                raise AttributeError(f"an aggregator has no attribute {name!r}")
            similar = find_similar_verb(name)
            hint = f" (did you mean {similar}?)" if similar else ""
            raise AttributeError(f"totals have no verb {name!r}{hint}; the verbs: {', '.join(list_verbs())}")

    @functools.cached_property
    def rng(self) -> np.random.Generator:
        """A generator of random numbers with the same state at all nodes and in every round of a task."""
        import numpy as np

        return np.random.default_rng(self._seed)

    @overload
    def sum(self, values: pd.Series[Any], /, by: None = None, levels: None = None) -> float: ...
    @overload
    def sum(self, values: np.ndarray[Any, Any], /, by: None = None, levels: None = None) -> Any: ...
    @overload
    def sum(self, values: pd.DataFrame, /, by: None = None, levels: None = None) -> pd.Series[Any]: ...
    @overload
    def sum(self, values: Any, /, by: Any, levels: Sequence[Any] | None = None) -> pd.Series[Any]: ...
    @overload
    def sum(self, values: Any, /, by: Any = None, levels: Sequence[Any] | None = None) -> Any: ...
    def sum(self, values: Any, /, by: Any = None, levels: Sequence[Any] | None = None) -> Any:
        """Return the sum over all rows.

        Args:
            values: rows. A column gives a number, a table a Series with an entry for each column, an array the sum over
                its first axis.
            by: a column or a list of columns with the group of each row; the total is then a Series by group.
            levels: the groups of the result, in this order; default: all groups that a node has, sorted.

        Raises:
            TotalRefused: the values are not rows of numbers.
        """
        return self._request(request_rows("sum", "sum_rows", values, by, levels))

    @overload
    def count(self, values: Any, /, by: None = None, levels: None = None) -> int: ...
    @overload
    def count(self, values: Any, /, by: Any, levels: Sequence[Any] | None = None) -> pd.Series[Any]: ...
    def count(self, values: Any, /, by: Any = None, levels: Sequence[Any] | None = None) -> Any:
        """Return the number of values that are not missing; the arguments are those of ``sum``."""
        return self._request(request_rows("count", "count_rows", values, by, levels))

    def cross_product(self, x: Any, y: Any = None, /, weights: Any = None) -> Any:
        """Return x' W y as an array.

        Args:
            x: rows, n x p.
            y: rows, n or n x q; default: x.
            weights: n numbers; default: 1 for each row.
        """
        return self._request(request_rows("cross_product", "multiply_rows", x, y, weights))

    @overload
    def add(self, value: Callable[[], T], /, *, records: int | None = None) -> T: ...
    @overload
    def add(self, value: T, /, *, records: int | None = None) -> T: ...
    def add(self, value: Any, /, *, records: int | None = None) -> Any:
        """Return the sum of a value that each node has already reduced from its rows, such as a gradient.

        Numbers and arrays are added by position, Series, DataFrames and dicts by label.

        Args:
            value: a number, an array, a Series, a DataFrame or a dict of these; or a function without parameters that
                computes it. The function is not called if the total is known, so many rounds cost less.
            records: the number of records behind the value at this node.

        Raises:
            TotalRefused: the value cannot be added, or has an entry for each row.
        """
        if records is not None and (isinstance(records, bool) or not _is_count(records)):
            self._refuse("add", "has records= that is not a whole number of records")
        return self._request(
            TotalRequest(
                "add",
                lambda rows: rows.check_reduced(value() if callable(value) else value),
                is_lazy=callable(value),
                inputs=(records,),
            )
        )

    def minimum(self, values: Any, /) -> Any:
        """Return the smallest value over all rows; NaN without rows.

        It is the value of one record, so the gate refuses it unless the policy is off.
        """
        return self._request(TotalRequest("minimum", lambda rows: rows.find_extreme(values, "min"), combine="minimum"))

    def maximum(self, values: Any, /) -> Any:
        """Return the largest value over all rows; NaN without rows.

        It is the value of one record, so the gate refuses it unless the policy is off.
        """
        return self._request(TotalRequest("maximum", lambda rows: rows.find_extreme(values, "max"), combine="maximum"))

    def levels(self, values: Any, /) -> list[Any]:
        """Return the distinct values of a column, sorted.

        A node omits values of few of its records: fewer than the minimum that the node's owner sets (default: 3).
        """
        return list(
            self._request(TotalRequest("levels", lambda rows: self._list_levels(rows, values), combine="union"))
        )

    def mean(self, values: Any, /, by: Any = None, levels: Sequence[Any] | None = None) -> Any:
        """Return the mean of the values that are not missing; NaN without rows. The arguments are those of ``sum``."""
        return self._request(
            TotalRequest(
                "mean",
                lambda rows: {
                    "sum": rows.sum_rows(rows.drop_nan(values), by, levels),
                    "count": rows.count_rows(values, by, levels),
                },
                finish=lambda total: _divide(total["sum"], total["count"]),
                inputs=(values, by, levels),
            )
        )

    def variance(self, values: Any, /, by: Any = None, levels: Sequence[Any] | None = None, *, ddof: int = 1) -> Any:
        """Return the variance of the values that are not missing: the squared deviations divided by n - ddof.

        The arguments are those of ``sum``, but with ``by`` the rows are one column.
        """

        def finish(powers: Any) -> Any:
            count, _, squares = _list_rows(powers)
            return _divide(squares, count - ddof)

        def reduce(rows: Any) -> Any:
            return rows.sum_powers(values, 2) if by is None else rows.sum_powers_by_group(values, 2, by, levels)

        return self._request(
            TotalRequest("variance", reduce, combine="merge", finish=finish, inputs=(values, 2, by, levels))
        )

    def moments(self, values: Any, order: int, /) -> list[Any]:
        """Return the mean, and the central moments 2 to *order*, each divided by n (as ``scipy.stats.moment``)."""
        if isinstance(order, bool) or not _is_count(order) or order < 1:
            self._refuse("moments", "has an order that is not a whole number of at least 1")

        def finish(powers: Any) -> list[Any]:
            count, mean, *sums = _list_rows(powers)
            return [_divide(mean * count, count), *(_divide(total, count) for total in sums)]

        moments: list[Any] = self._request(
            request_rows("moments", "sum_powers", values, order)._replace(combine="merge", finish=finish)
        )
        return moments

    def table(self, a: Any, b: Any = None, /) -> Any:
        """Return the number of rows of each level: a Series for one column, a cross table for two columns."""
        request = request_rows("table", "count_levels", a, b)
        if b is None:
            return self._request(request)
        return self._request(
            request._replace(
                finish=lambda counts: counts.unstack(fill_value=0)  # noqa: PD010 - the counts are not a long table
            )
        )

    def histogram(self, values: Any, edges: Any, /) -> Any:
        """Return the number of values in each bin; the last bin contains its right edge (as ``numpy.histogram``)."""
        return self._request(request_rows("histogram", "count_bins", values, edges))

    def quantile(self, values: Any, q: float | Sequence[float], /, *, edges: Any = None) -> Any:
        """Return quantiles of all values; NaN without rows.

        With *edges*, the nodes count the values in bins, in one round. The values of a bin are treated as evenly spread
        in the bin, so a quantile is wrong by at most the width of the bins around it. A quantile outside the edges is
        NaN.

        Without *edges*, the quantiles are exact, as those of ``numpy.quantile``: six rounds refine the bins until each
        bin has one value. The gate refuses bins with few records of a node. By default it therefore refuses exact
        quantiles of values that few records have, and of small tables.

        Args:
            values: rows of one column.
            q: one or several probabilities.
            edges: an increasing sequence of numbers; choose them such that each bin has many records at every node.

        Raises:
            TotalRefused: a probability is not between 0 and 1, or the values or edges are not numbers.
        """
        from algotools.runtime.pooled import _quantile

        if edges is None:
            quantiles = _quantile.find_quantiles(
                lambda starts, ends: self._request(request_rows("quantile", "count_parts", values, starts, ends)), q
            )
            return self._finish_total("quantile", quantiles)
        _quantile.check_probabilities(q)
        counts = self._request(
            TotalRequest("quantile", lambda rows: rows.count_bins(values, edges, has_open_bins=True), inputs=(values,))
        )
        return self._finish_total("quantile", _quantile.interpolate_in_bins(counts, edges, q))

    def _list_levels(self, rows: Any, values: Any) -> list[Any]:
        return list(rows.list_levels(values, 1)[0])

    def _request(self, request: TotalRequest) -> Any:
        """Return a total, or its placeholder."""
        raise NotImplementedError

    def _finish_total(self, _operation: str, value: Any) -> Any:
        """Return a value that is computed from known totals alone."""
        return value

    def _reduce(self, request: TotalRequest) -> Any:
        """Return this node's contribution.

        Raises:
            TotalRefused: the author's value cannot be reduced.
        """
        from algotools.disclosure.reductions import rows
        from algotools.disclosure.reductions.conversion import RowsRefused

        try:
            return request.reduce(rows)
        except RowsRefused as refused:
            self._refuse(request.operation, str(refused))

    def _refuse(self, operation: str, reason: str) -> Any:
        """Raise ``TotalRefused`` for a value; *reason* follows the words "the value of total.sum in line 5"."""
        frames = find_frames(sys._getframe().f_code).frames  # noqa: SLF001 - the whole stack
        raise TotalRefused(f"the value of total.{operation} in {describe_line(frames[0])} {reason}")


class Pooled(Aggregator):
    """The totals over the rows of one table: ``f(frame, Pooled(), …)`` calls a pooled function in a test.

    Args:
        seed: the seed of ``rng``; a task's seed is the default.
    """

    def _request(self, request: TotalRequest) -> Any:
        from algotools.runtime.pooled._combine import combine

        return request.finish(combine(request.combine, [self._reduce(request)]))


def list_verbs() -> list[str]:
    """Return the names of the aggregator's methods, sorted."""
    return sorted(name for name in vars(Aggregator) if not name.startswith("_") and name != "rng")


def find_similar_verb(name: str) -> str:
    """Return the verb that an author probably means by another name, or a call of it; empty without a similar verb."""
    return _OTHER_NAMES.get(name) or next(iter(difflib.get_close_matches(name, list_verbs(), n=1)), "")


def _is_count(value: object) -> bool:
    return hasattr(value, "__index__") and int(value.__index__()) >= 0


def _list_rows(powers: Any) -> list[Any]:
    """Return the rows of a table of powers: numbers, arrays or Series by column."""
    import pandas as pd

    if isinstance(powers, pd.DataFrame):
        return [powers.iloc[i] for i in range(len(powers))]
    return [row.item() if row.ndim == 0 else row for row in powers]


def _divide(numerator: Any, denominator: Any) -> Any:
    """Return a quotient; NaN where the denominator is not positive."""
    from algotools.disclosure.reductions.rows import divide

    return divide(numerator, denominator)
