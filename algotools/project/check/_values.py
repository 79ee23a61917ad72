"""The values of expressions in a function's source: which of them are data of single records.

The analysis is a guess about the source, so its findings are warnings: the gate of a node decides by the values. It is
made to be silent where it knows nothing: the result of an unknown function or method has an unknown value (None), and
so has every sum and count. It does not follow calls of the author's own functions.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Sequence

from algotools.project.check import _methods as methods
from algotools.project.check._data_values import ROW_KINDS, UNFINISHED, DataValue, OptionalValue, contain, join

_SQL_EXTREME = re.compile(
    r"\b(?:min|max|median|quantile|arg_min|arg_max|first|last|any_value|mode)\s*\(", re.IGNORECASE
)


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    return isinstance(node, ast.Constant) and isinstance(node.value, int)


class ExpressionReader:
    """Evaluates the expressions of a function.

    Args:
        tables: the parameters for tables.
        lists: the parameters for several columns.
        totals: the parameters for totals.
        is_message: whether a call sends a message: ``log``, ``progress``, or the class of a ``UserError``.
    """

    def __init__(
        self,
        tables: Collection[str],
        lists: Collection[str],
        totals: Collection[str],
        is_message: Callable[[ast.Call], bool],
    ) -> None:
        self._values: dict[str, OptionalValue] = {name: DataValue("table", ast.Name(name)) for name in tables}
        self._lists = lists
        self._totals = totals
        self._is_message = is_message
        self._is_in_loop_over_rows = False
        self.added: list[DataValue] = []
        """The data that is added to a total by ``total.add``."""
        self.sent: list[DataValue] = []
        """The data in messages."""

    def evaluate(self, node: ast.expr) -> OptionalValue:
        """Return the value of an expression; None if it is not known to be data."""
        match node:
            case ast.Name(id=name):
                value = self._values.get(name)
                is_parameter = value is not None and isinstance(value.node, ast.Name)  # it has no line
                return value._replace(node=node) if value is not None and is_parameter else value
            case ast.Attribute():
                return self._evaluate_attribute(node)
            case ast.Subscript():
                return self._evaluate_subscript(node)
            case ast.Call():
                return self._evaluate_call(node)
            case ast.BinOp():
                return self._evaluate_operation(node)
            case ast.UnaryOp(operand=operand) | ast.Starred(value=operand) | ast.FormattedValue(value=operand):
                return self.evaluate(operand)
            case ast.Compare(left=left, comparators=others):
                value = join([self.evaluate(part) for part in (left, *others)])
                return value if value is not None and value.is_rows else None  # otherwise a single yes or no
            case ast.BoolOp(values=parts) | ast.JoinedStr(values=parts):
                return join([self.evaluate(part) for part in parts])
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self.evaluate(test)
                return join([self.evaluate(body), self.evaluate(orelse)])
            case ast.NamedExpr(target=ast.Name(id=name), value=assigned):
                self._values[name] = self.evaluate(assigned)
                return self._values[name]
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                return contain(node, [self.evaluate(part) for part in parts])
            case ast.Dict(keys=keys, values=parts):
                return contain(node, [self.evaluate(part) for part in [*keys, *parts] if part is not None])
            case ast.ListComp(elt=part) | ast.SetComp(elt=part) | ast.GeneratorExp(elt=part):
                return self._evaluate_comprehension(node, node.generators, [part])
            case ast.DictComp(key=key, value=part):
                return self._evaluate_comprehension(node, node.generators, [key, part])
        return None

    def _evaluate_all(self, nodes: Sequence[ast.expr]) -> list[OptionalValue]:
        return [self.evaluate(node) for node in nodes]

    def _evaluate_comprehension(
        self, node: ast.expr, generators: Sequence[ast.comprehension], parts: Sequence[ast.expr]
    ) -> OptionalValue:
        before = dict(self._values)
        loops = [self._bind_loop(generator.target, generator.iter) for generator in generators]
        value = contain(node, self._evaluate_all(parts))
        self._values = before
        return DataValue("rows", node) if any(loops) else value

    def _evaluate_operation(self, node: ast.BinOp) -> OptionalValue:
        left, right = self.evaluate(node.left), self.evaluate(node.right)
        if not isinstance(node.op, ast.MatMult):
            return join([left, right])
        few = [value for value in (left, right) if value is not None and value.content.kind == "few"]
        if few:
            return few[0].content
        # x @ coefficients has a value for each row, and so has x @ x.T; x.T @ y is a sum over rows.
        has_rows = left is not None and left.kind in ("table", "matrix")
        keeps_rows = right is None or right.kind == "transposed"
        return DataValue("rows", node) if has_rows and keeps_rows else None

    def _evaluate_attribute(self, node: ast.Attribute) -> OptionalValue:
        owner = self.evaluate(node.value)
        if owner is None or owner.kind == "container" or node.attr in methods.HARMLESS_ATTRIBUTES:
            return None
        if node.attr in methods.INDEXERS:
            return DataValue("indexer", node, owner)
        if not owner.is_rows:
            return owner
        if node.attr == "T":
            return DataValue("transposed", node)
        if owner.kind == "table":
            return DataValue("matrix" if node.attr == "values" else "rows", node)
        return owner._replace(node=node)

    def _evaluate_subscript(self, node: ast.Subscript) -> OptionalValue:
        owner, key = self.evaluate(node.value), node.slice
        if owner is None or owner.kind == "container":
            return owner and owner.inner
        if owner.kind == "indexer" and owner.inner is not None and isinstance(node.value, ast.Attribute):
            return self._evaluate_index(node, owner.inner, node.value.attr)
        if owner.kind == "table":
            return DataValue("rows" if self._is_column(key) else "table", node)
        return DataValue("few", node) if owner.is_rows and _is_number(key) else owner

    def _evaluate_index(self, node: ast.Subscript, owner: DataValue, indexer: str) -> OptionalValue:
        """Return the value of ``table.loc[…]``, ``.iloc[…]``, ``.at[…]`` or ``.iat[…]``."""
        rows, *columns = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        chosen = self.evaluate(rows)
        kind = None if chosen is None else chosen.content.kind
        is_list = isinstance(rows, (ast.Slice, ast.List, ast.Name)) or kind in ROW_KINDS
        if indexer in ("at", "iat") or _is_number(rows) or kind in ("few", "extreme", "element"):
            return DataValue("few", node)
        if indexer == "iloc" and not is_list:
            return DataValue("few", node)
        is_column = owner.kind == "table" and columns and self._is_column(columns[0])
        return DataValue("rows" if is_column else owner.kind, node)

    def _is_column(self, key: ast.expr) -> bool:
        """Whether the key of a table is the name of one column."""
        if isinstance(key, ast.Constant):
            return isinstance(key.value, str)
        return isinstance(key, ast.Name) and key.id not in self._lists and self._values.get(key.id) is None

    # Calls.

    def _evaluate_call(self, node: ast.Call) -> OptionalValue:
        values = self._evaluate_all([*node.args, *(keyword.value for keyword in node.keywords)])
        if self._is_message(node):
            self.sent += [value.content for value in values if value is not None and value.is_data]
            return None
        if isinstance(node.func, ast.Name):
            return self._evaluate_function(node, node.func.id, values)
        if not isinstance(node.func, ast.Attribute):
            return None
        owner, name = node.func.value, node.func.attr
        if isinstance(owner, ast.Name) and owner.id in self._totals:
            self._add_to_total(node, name, values)
            return None
        if isinstance(owner, ast.Name) and name in methods.ADDERS:
            self._put(owner.id, node, join(values))
        value = self.evaluate(owner)
        if value is not None:
            return self._evaluate_method(node, name, value, values)
        if isinstance(owner, ast.Constant):  # ", ".join(names), "{}".format(name)
            return join(values)
        is_module = isinstance(owner, (ast.Name, ast.Attribute)) and _get_root(owner) not in self._values
        return self._evaluate_module_function(node, name, values) if is_module else None

    def _evaluate_function(self, node: ast.Call, name: str, values: Sequence[OptionalValue]) -> OptionalValue:
        """Return the value of a call of a builtin; None for other functions."""
        value = join(values)
        if value is None or name in self._values:
            return None
        if name in ("min", "max"):
            if len(node.args) > 1:  # the larger of two numbers
                return None if value.is_rows else value
            content = value.content
            return DataValue("extreme", node) if content.is_rows or content.kind == "element" else content
        if name == "map":
            is_count = not isinstance(node.args[0], ast.Name) or node.args[0].id in methods.COUNTS
            is_rows = values[-1] is not None and values[-1].kind in ("rows", "matrix")
            return values[-1] if is_rows or not is_count else None
        if name == "sum":
            return value.content if value.content.kind == "few" else None
        if name not in methods.SEQUENCES or value.kind == "table":  # list(table) has the names of its columns
            return None
        return DataValue("few", node) if name == "next" and value.is_rows else value

    def _evaluate_module_function(self, node: ast.Call, name: str, values: Sequence[OptionalValue]) -> OptionalValue:
        if name.startswith(methods.READERS):
            return DataValue("table", node)
        if name == "col":  # pl.col(column) in an expression
            return DataValue("rows", node)
        value = join(values)
        if value is None or not value.is_data:
            return None
        if name in methods.EXTREMES and value.content.is_rows:
            return DataValue("rows" if _reduces_columns(node) else "extreme", node)
        if name not in methods.FUNCTIONS:
            return None
        if not value.content.is_rows:
            return value.content
        is_matrix = name in methods.MATRICES or value.content.kind in ("table", "matrix")
        return DataValue("matrix" if is_matrix else "rows", node)

    def _evaluate_method(
        self, node: ast.Call, name: str, owner: DataValue, values: Sequence[OptionalValue]
    ) -> OptionalValue:
        if owner.kind == "container":
            return self._evaluate_container_method(node, name, owner)
        if owner.kind == "groups":
            return self._evaluate_group_method(node, name, values)
        if owner.kind == "windows":
            return DataValue("rows", node)
        if not owner.is_rows:
            return None if name in ("count", "size", "nunique") or owner.kind in UNFINISHED else owner
        if name in methods.EXPRESSIONS:
            return self._evaluate_aggregation(node, owner, values)
        if name in methods.GROUPS:
            return DataValue("groups", node)
        if name in methods.WINDOWS:
            return DataValue("windows", node)
        if name == "items":
            return DataValue("items", node, owner)
        if name in methods.FEW:
            return DataValue("few", node)
        if _reduces_columns(node):
            return DataValue("rows", node)
        if name in methods.EXTREMES:
            return DataValue("extreme", node)
        if owner.kind == "table" and name in methods.ARRAYS:
            return DataValue("matrix", node)
        return owner._replace(node=node) if name in methods.ROWS or name in methods.ARRAYS else None

    def _evaluate_container_method(self, node: ast.Call, name: str, owner: DataValue) -> OptionalValue:
        if name == "items":
            return DataValue("items", node, owner)
        if name in ("get", "pop", "setdefault"):
            return owner.inner
        return owner if name in ("values", "copy") else None

    def _evaluate_group_method(self, node: ast.Call, name: str, values: Sequence[OptionalValue]) -> OptionalValue:
        if name in methods.EXTREMES or name in methods.FEW:
            return DataValue("extreme" if name in methods.EXTREMES else "few", node)
        if name in ("transform", "get_group", "cumsum", "rank", "shift", "diff"):
            return DataValue("rows", node)
        if name in ("agg", "aggregate", "apply", "map_groups"):
            return self._evaluate_aggregation(node, DataValue("table", node), values)
        return DataValue("groups", node) if name in ("sort", "order") else None

    def _evaluate_aggregation(self, node: ast.Call, owner: DataValue, values: Sequence[OptionalValue]) -> OptionalValue:
        """Return the value of ``agg``, ``select`` and similar calls, which describe their results in the arguments."""
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        parts = [part for argument in arguments for part in ast.walk(argument)]
        texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        is_selection = isinstance(node.func, ast.Attribute) and node.func.attr in ("select", "with_columns", "mutate")
        if any(text in methods.EXTREMES or _SQL_EXTREME.search(text) for text in texts):
            return DataValue("extreme", node)
        results = [*values]
        for argument in arguments:
            if isinstance(argument, ast.Lambda):
                results.append(self._evaluate_lambda(argument, owner))
            elif is_selection and (isinstance(argument, ast.Name) or _is_text(argument)):
                results.append(owner)  # columns, not expressions
        value = join(results)
        if value is None:
            return None
        return DataValue(owner.kind, node) if value.content.is_rows else value.content

    def _evaluate_lambda(self, node: ast.Lambda, argument: OptionalValue) -> OptionalValue:
        before = dict(self._values)
        self._values |= dict.fromkeys((parameter.arg for parameter in node.args.args), argument)
        value = self.evaluate(node.body)
        self._values = before
        return value

    def _add_to_total(self, node: ast.Call, name: str, values: Sequence[OptionalValue]) -> None:
        """Note the data in ``total.add(value)``; the other totals compute sums and counts themselves."""
        if name == "add":
            functions = [self.evaluate(part.body) for part in node.args if isinstance(part, ast.Lambda)]
            self.added += [v.content for v in [*values[:1], *functions] if v is not None and v.is_data]

    # Names.

    def _put(self, name: str, node: ast.expr, value: OptionalValue) -> None:
        """Put a value into a list or dict of the function."""
        container = self._values.get(name)
        if container is not None and container.kind != "container":
            return  # a new column of a table
        if self._is_in_loop_over_rows and value is None:
            value = DataValue("element", node)  # an entry for each row
        if value is not None:
            content = join([value.content, None if container is None else container.content])
            self._values[name] = DataValue("container", node, content)

    def _bind(self, target: ast.expr, value: OptionalValue) -> None:
        if isinstance(target, ast.Name):
            self._values[target.id] = value
        elif isinstance(target, ast.Starred):
            self._bind(target.value, value)
        elif isinstance(target, (ast.Tuple, ast.List)):
            for item in target.elts:
                self._bind(item, self._iterate(value))

    def _bind_loop(self, target: ast.expr, iterated: ast.expr) -> bool:
        """Bind the target of a loop; return whether the loop has a step for each record."""
        match target, iterated:
            case ast.Tuple(elts=[ast.Name() as number, item]), ast.Call(
                func=ast.Name(id="enumerate"), args=[inner, *_]
            ):
                self._bind(number, None)
                return self._bind_loop(item, inner)
            case ast.Tuple(elts=items), ast.Call(func=ast.Name(id="zip"), args=parts) if len(items) == len(parts):
                loops = [self._bind_loop(item, part) for item, part in zip(items, parts, strict=True)]
                return any(loops)
        value = self.evaluate(iterated)
        if value is None or value.kind not in ("groups", "items") or not isinstance(target, ast.Tuple):
            self._bind(target, self._iterate(value))
            return value is not None and value.kind in ("rows", "matrix")
        owner = value.inner
        second = DataValue("table", iterated) if owner is None else self._iterate(owner)
        if owner is not None and owner.kind == "table":
            second = DataValue("rows", iterated)
        for name, bound in zip(target.elts, (None, second), strict=False):
            self._bind(name, bound)
        return owner is not None and owner.kind in ("rows", "matrix")

    def _iterate(self, value: OptionalValue) -> OptionalValue:
        """Return the value of an item of an iterable."""
        if value is None or value.kind == "table" or value.kind in UNFINISHED:
            return None  # the items of a table are the names of its columns
        if value.kind == "container":
            return value.inner
        return DataValue("element", value.node) if value.is_rows else value


def _get_root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _reduces_columns(node: ast.Call) -> bool:
    """Whether a call computes a value of each row: ``sum(axis=1)``."""
    axes = [keyword.value for keyword in node.keywords if keyword.arg == "axis"]
    return any(isinstance(axis, ast.Constant) and axis.value in (1, 2, "columns") for axis in axes)
