"""Names of methods and functions of Python and of data libraries, by the kind of their results."""

from __future__ import annotations

HARMLESS_ATTRIBUTES = frozenset(
    {
        "shape", "size", "columns", "dtypes", "dtype", "ndim", "name", "names", "empty", "nbytes", "schema", "width",
        "height", "num_rows", "num_columns", "column_names", "types",
    }
)  # fmt: skip

INDEXERS = frozenset({"loc", "iloc", "at", "iat"})

COUNTS = frozenset(
    {
        "len", "sum", "any", "all", "bool", "isinstance", "type", "id", "range", "count", "mean", "size", "nunique",
        "print", "hash", "callable", "hasattr",
    }
)  # fmt: skip
"""Functions and methods whose result is not data of single records, or is a sum or a count of many of them."""

FEW = frozenset(
    {
        "head", "tail", "sample", "nlargest", "nsmallest", "first", "last", "limit", "top_k", "bottom_k", "item",
        "nth", "fetchone", "take", "slice", "row", "pop", "mode",
    }
)  # fmt: skip
"""Methods whose result is a few records."""

EXTREMES = frozenset(
    {
        "min", "max", "idxmin", "idxmax", "argmin", "argmax", "arg_min", "arg_max", "median", "quantile", "describe",
        "amin", "amax", "nanmin", "nanmax", "nanargmin", "nanargmax", "ptp", "percentile", "nanpercentile",
        "nanquantile", "nanmedian", "min_max", "cummin", "cummax",
    }
)  # fmt: skip
"""Methods and functions of modules whose result is the value of a record, or the mean of two."""

ROWS = frozenset(
    {
        # Selections of rows.
        "dropna", "copy", "query", "filter", "where", "mask", "sort_values", "sort_index", "sort", "reset_index",
        "set_index", "drop_duplicates", "drop_nulls", "drop", "unique", "merge", "join", "explode", "melt",
        "distinct", "order", "get_group",
        # A new value for each row.
        "astype", "cast", "fillna", "fill_null", "fill_nan", "clip", "round", "abs", "rename", "assign", "map",
        "apply", "transform", "map_elements", "rank", "shift", "diff", "cumsum", "cumprod", "cum_sum", "replace",
        "isin", "is_in", "isna", "notna", "isnull", "notnull", "is_null", "is_not_null", "between", "is_between",
        "duplicated", "eq", "ne", "gt", "ge", "lt", "le", "add", "sub", "mul", "div", "truediv", "pow", "radd",
        "rsub", "sqrt", "log", "log1p", "exp", "strip", "lower", "upper", "alias", "over", "with_columns",
        "to_datetime", "interpolate", "pct_change",
        # Other forms.
        "to_frame", "collect", "lazy", "to_pandas", "to_arrow", "to_polars", "df", "pl", "arrow", "fetchall",
        "fetchdf", "fetchnumpy", "tolist", "to_list", "to_dict", "to_dicts", "to_json", "to_csv", "write_csv",
        "write_json", "to_string", "to_markdown", "to_html", "to_records", "to_pylist", "to_pydict", "rows",
        "iter_rows", "itertuples", "iterrows", "flatten", "ravel", "reshape", "squeeze", "transpose", "tobytes",
        "view", "combine_chunks", "execute", "encode", "decode", "digest", "hexdigest",
    }
)  # fmt: skip
"""Methods whose result has an entry for each row, or for each of the selected rows."""

ARRAYS = frozenset({"to_numpy", "to_records"})
"""Methods that make an array from a table."""

GROUPS = frozenset({"groupby", "group_by", "resample", "group_by_dynamic"})

WINDOWS = frozenset({"rolling", "expanding", "ewm"})

EXPRESSIONS = frozenset({"select", "agg", "aggregate", "with_columns", "mutate", "summarize"})
"""Methods whose arguments are expressions, strings or functions that say what to compute."""

SEQUENCES = frozenset(
    {
        "list", "tuple", "sorted", "reversed", "set", "frozenset", "iter", "filter", "zip", "enumerate", "dict",
        "float", "int", "str", "round", "abs", "repr", "format", "next", "complex", "bytes", "chr", "ord", "getattr",
    }
)  # fmt: skip
"""Builtins whose result contains their arguments."""

FUNCTIONS = frozenset(
    {
        "asarray", "array", "asanyarray", "ascontiguousarray", "log", "log2", "log10", "log1p", "exp", "expm1",
        "sqrt", "square", "absolute", "abs", "where", "clip", "column_stack", "hstack", "vstack", "stack",
        "concatenate", "concat", "sort", "argsort", "round", "rint", "nan_to_num", "isnan", "to_datetime",
        "to_numeric", "Series", "DataFrame", "cumsum", "cumprod", "diff", "cut", "qcut", "digitize", "dumps",
        "b64encode", "compress", "pack", "hash_array", "ravel", "squeeze", "subtract", "multiply", "add", "divide",
        "drop_null", "get_dummies", "merge", "unique", "fromkeys", "from_iterable", "sha256", "sha1", "md5",
        "blake2b", "rfft", "fft", "Timestamp", "sign", "array2string", "from_pandas", "isnull", "isna", "from_bytes",
    }
)  # fmt: skip
"""Functions of modules whose result has an entry for each entry of their arguments."""

MATRICES = frozenset({"column_stack", "stack", "vstack", "get_dummies"})
"""Functions of modules whose result has a row for each record."""

READERS = ("read_", "scan_")
"""The first letters of functions that read a table from a file."""

ADDERS = frozenset({"append", "add", "insert", "appendleft", "extend", "update"})
"""Methods that put their arguments into a list, set or dict."""
