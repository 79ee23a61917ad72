"""Print a table of all messages of a checkout, to compare them before and after a change.

    python benchmarks/messages.py OTHER_CHECKOUT > before.txt
    python benchmarks/messages.py > after.txt
    diff before.txt after.txt

Each line has module, kind and text of a message. The kind is an error class, ``log``, ``write`` and so on for lines of
output, ``help COMMAND OPTION`` for help texts, or ``part`` for a text that becomes part of a message. Each placeholder
is shown as ``{…}``, so that a renamed variable makes no difference. The last lines count the words that the style guide
replaces. The source is parsed, not imported, so that any version can be read.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("algotools", "examples", "template")
PLACEHOLDER = "{…}"

GLOSSARY = {
    "what": r"\bwhat\b",
    "asked/asks": r"\bask(s|ed)\b",
    "told/tell(s)": r"\b(told|tells?)\b",
    "said/says": r"\b(said|says?)\b",
    "is no/is none": r"\b(is|are) (no|none)\b",
    "there is no": r"\bthere (is|are) (no|none)\b",
    "somebody/nobody": r"\b(somebody|nobody|whoever)\b",
    "stands": r"\bstands?\b",
    "anew": r"\banew\b",
    "but for": r"\bbut for\b",
    "mend": r"\bmend(s|ed)?\b",
}
"""Word of the style guide's glossary -> pattern. Text inside of backquotes is not counted."""

OUTPUT = {"log", "progress", "warn", "write", "print", "echo", "report", "input"}
"""Names of functions and methods that write a line for the user."""

NO_MESSAGE = {
    "compile",
    "match",
    "fullmatch",
    "search",
    "sub",
    "finditer",
    "execute",
    "executescript",
    "split",
    "cast",
}
"""Names of functions whose arguments are patterns, SQL or types."""

CODE = re.compile(
    r"^\s*(SELECT|CREATE|INSERT|UPDATE|DELETE|PRAGMA|WITH|DROP|ALTER|BEGIN|import|from|def) |^<table|^\w+\[.*\]$"
)
WORD = re.compile(r"[A-Za-z']{2,}")


class Messages(ast.NodeVisitor):
    """Collect the messages of a module as pairs of kind and text."""

    def __init__(self, tree: ast.Module, error_classes: set[str]) -> None:
        self.rows: list[tuple[str, str]] = []
        # A function that returns an error counts as the class of the error.
        self._error_classes = {name: name for name in error_classes} | {
            node.name: ast.unparse(node.returns).rpartition(".")[2]
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)
            and node.returns
            and ast.unparse(node.returns).rpartition(".")[2] in error_classes
        }
        self._function: ast.FunctionDef | None = None
        self._seen: set[int] = set()
        # The second pass lists the remaining texts. A text that is first assigned to a name and then passed to an error
        # would otherwise be listed before its error class is known.
        for self._is_second_pass in (False, True):
            self.visit(tree)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Collect the help texts of a command."""
        outer, self._function = self._function, node
        options = [] if self._is_second_pass else list(_find_options(node))
        for option, text in options:
            self._add(f"help {node.name} {option}", text)
        if options and (docstring := node.body[0]) and isinstance(docstring, ast.Expr):
            self._add(f"help {node.name}", docstring.value)
        self.generic_visit(node)
        self._function = outer

    def visit_Expr(self, node: ast.Expr) -> None:
        """Skip docstrings."""
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Collect the arguments of errors, findings and lines of output."""
        name = _get_name(node.func)
        arguments = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg in ("detail", "message"))]
        if name in NO_MESSAGE:
            self._seen.update(map(id, ast.walk(node)))
        elif self._is_second_pass:
            pass
        elif name in self._error_classes or name in OUTPUT:
            for argument in arguments:
                # A single word in an error is the name of an option or of a rule.
                self._add(
                    self._error_classes.get(name, name), argument, minimum=2 if name in self._error_classes else 1
                )
        elif name == "of" and _get_name(getattr(node.func, "value", node.func)) == "Finding" and node.args:
            for argument in arguments[1:]:
                self._add(f"finding {_render(node.args[0])[0]}", argument)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Collect a text of several words that is not part of another message."""
        if self._is_second_pass and isinstance(node.value, str):
            self._add("part", node, minimum=3)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Collect an f-string of several words that is not part of another message."""
        if self._is_second_pass:
            self._add("part", node, minimum=3)
        self.generic_visit(node)

    def _add(self, kind: str, node: ast.expr, minimum: int = 1) -> None:
        if isinstance(node, ast.Name) and self._function is not None:  # ``reason = f"…"; raise SomeError(reason)``
            for assignment in ast.walk(self._function):
                if isinstance(assignment, ast.Assign) and _get_name(assignment.targets[0]) == node.id:
                    self._add(kind, assignment.value, minimum)
        elif id(node) not in self._seen:
            texts = [" ".join(text.split()) for text in _render(node)]
            word_counts = {text: len(WORD.findall(text.replace(PLACEHOLDER, ""))) for text in texts}
            if kind != "part" or (" " in texts[0] and not CODE.match(texts[0])):
                self.rows += [(kind, text) for text in texts if word_counts[text] >= minimum]
            # The parts of a message are not listed again. Expressions in its placeholders can contain other parts.
            self._seen.update(id(part) for part in ast.walk(node) if isinstance(part, (ast.Constant, ast.JoinedStr)))


def _render(node: ast.expr) -> list[str]:
    """Return the texts that an expression can have, with ``{…}`` for each part that is not a literal."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            return ["".join(part.value if isinstance(part, ast.Constant) else PLACEHOLDER for part in parts)]
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return [first + second for first in _render(left) for second in _render(right)]
        case ast.IfExp(body=body, orelse=orelse):
            return [*_render(body), *_render(orelse)]
        case ast.BoolOp(values=values):
            return [text for value in values for text in _render(value)]
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return [text for element in elements for text in _render(element)] or [PLACEHOLDER]
    return [PLACEHOLDER]


def _get_name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _find_options(function: ast.FunctionDef) -> Iterator[tuple[str, ast.expr]]:
    """Yield name and help text of the options and arguments of a command."""
    for parameter in (*function.args.args, *function.args.kwonlyargs):
        for call in ast.walk(parameter):
            if isinstance(call, ast.Call) and _get_name(call.func) in ("Option", "Argument"):
                keywords = {keyword.arg: keyword.value for keyword in call.keywords}
                names = [_render(name)[0] for name in call.args]
                default = f"--{parameter.arg.replace('_', '-')}" if _get_name(call.func) == "Option" else parameter.arg
                yield (names or [default])[0], keywords.get("help", ast.Constant(""))


def _find_error_classes(trees: list[ast.Module]) -> set[str]:
    """Return the names of all exceptions that the package defines, and of the exceptions of Python and typer."""
    bases = {
        node.name: {_get_name(base) for base in node.bases}
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    errors = {"BadParameter", "UsageError", "Failure", "Failed", "Exception", "TypeError", "ValueError", "RuntimeError"}
    errors |= {"AttributeError", "KeyError", "LookupError", "OSError", "NotImplementedError"}
    while more := {name for name, parents in bases.items() if parents & errors and name not in errors}:
        errors |= more
    return errors


def main() -> None:
    """Print the table and the counts."""
    checkout = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1]
    trees = {}
    for folder in FOLDERS:
        for path in sorted((checkout / folder).rglob("*.py")):
            trees[path.relative_to(checkout).as_posix()] = ast.parse(path.read_text(encoding="utf-8"))
    error_classes = _find_error_classes(list(trees.values()))
    rows = [(path, *row) for path, tree in trees.items() for row in Messages(tree, error_classes).rows]
    for row in sorted(rows):
        print(" | ".join(row))
    text = "\n".join(re.sub(r"`[^`]*`", "", row[2]) for row in rows)
    number = len(re.findall(r"[A-Za-z']+", text)) or 1
    print(f"\n{len(rows)} messages, {number} words; per 1,000 words:")
    for word, pattern in GLOSSARY.items():
        print(f"  {word:16} {1000 * len(re.findall(pattern, text, re.IGNORECASE)) / number:6.2f}")


if __name__ == "__main__":
    main()
