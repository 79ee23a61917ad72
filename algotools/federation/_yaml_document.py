"""A strict reader of YAML: each value has its line, and an ambiguous value is refused instead of converted.

PyYAML alone keeps the last of two equal keys, reads ``no`` as false and ``010`` as 8, and fails with any class of
exception for a broken scalar. So only its parser is used, and this module interprets the parsed nodes. Messages
contain names and keys, but no values of options, because these can be passwords.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Union, cast

import yaml
from yaml.composer import ComposerError
from yaml.reader import ReaderError

from algotools.declare.projects import decode_utf8
from algotools.errors import FederationError

_MAX_DEPTH = 50
"""A federation needs eight levels. PyYAML uses several of Python's frames for each level."""

_MAX_VALUES = 300_000
"""A federation of a thousand nodes has some ten thousand values. A short file with aliases of aliases has billions."""

_TAG = "tag:yaml.org,2002:"
_MEANINGS = {
    "bool": "a boolean",
    "int": "a number",
    "float": "a number",
    "timestamp": "a date",
    "null": "an empty value",
    "merge": "a merge key",
    "value": "a default key",
}
"""The types that YAML gives to values without quotes."""

_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_PLAIN_FLOAT = re.compile(r"[^_:]*")

Scalar = Union[str, int, float, bool]


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with a limit of nesting, which is reached before Python's own limit of recursion."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            mark = self.get_mark()
            raise ComposerError(None, None, "the values are nested too deeply", mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _Document:
    """State that all elements of a file share."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.values = 0
        self.mappings: dict[int, dict[str, tuple[yaml.Node, yaml.Node]]] = {}
        """The content of each mapping that has been read, because aliases can refer to a mapping many times."""
        self.open: set[int] = set()
        """The mappings whose merge keys (``<<``) are being read, to refuse cycles."""
        self.constructor = yaml.constructor.SafeConstructor()


class Element:
    """A value in a YAML file, with the location that messages name."""

    def __init__(self, document: _Document, node: yaml.Node, location: str = "") -> None:
        document.values += 1
        self._document = document
        self._node = node
        self.location = location
        if document.values > _MAX_VALUES:
            raise self.make_error(f"the file and its aliases describe more than {_MAX_VALUES:,} values")

    @property
    def line(self) -> int:
        """The line in the file, counted from 1."""
        return int(self._node.start_mark.line) + 1

    @property
    def is_mapping(self) -> bool:
        """Whether the value is a mapping."""
        return isinstance(self._node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        """Whether the value is a list."""
        return isinstance(self._node, yaml.SequenceNode)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is written, or ``null``."""
        return self._tag == "null"

    @property
    def _tag(self) -> str:
        return str(self._node.tag).removeprefix(_TAG)

    def at(self, location: str) -> Element:
        """Return the same value with a more exact location for messages."""
        element = copy.copy(self)
        element.location = location
        return element

    def find_text(self, key: str) -> str | None:
        """Return the text of a key for messages, before the mapping is checked; None if it is missing or not a text."""
        pairs = self._node.value if isinstance(self._node, yaml.MappingNode) else []
        values = (value for name, value in pairs if name.value == key and value.tag == f"{_TAG}str")
        return next((str(value.value) for value in values), None)

    def make_error(self, reason: str) -> FederationError:
        """Return the error about this value."""
        location = f"{self.location}: " if self.location else ""
        return FederationError(f"{self._document.file}, line {self.line}: {location}{reason}")

    def describe(self) -> str:
        """Return the type of the value in a message."""
        if self.is_mapping:
            return "a mapping"
        if self.is_list:
            return "a list"
        return "a text" if self._tag == "str" else _MEANINGS.get(self._tag, "a value of another type")

    def read_mapping(self, kind: str) -> dict[str, Element]:
        """Return the values of a mapping by key. *kind* is the noun for a key in messages, such as "label".

        Raises:
            FederationError: the value is not a mapping, a key is not a text, or a key occurs twice.
        """
        return {
            key: _KeyedElement(self._document, value, self.location, key_node)
            for key, (key_node, value) in self._merge(self._node, kind).items()
        }

    def read_list(self) -> list[Element]:
        """Return the items of a list, which the caller has recognized with ``is_list``."""
        self._check_tag("seq")
        return [Element(self._document, item, self.location) for item in self._node.value]

    def read_text(self, subject: str) -> str:
        """Return a text. *subject* is the noun for the value in messages.

        Raises:
            FederationError: the value is not a text, or YAML gives another type to the text.
        """
        if self.is_mapping or self.is_list:
            raise self.make_error(f"{subject} must be a text, not {self.describe()}")
        if self._tag == "str":
            return self._check_characters()
        if self.is_empty and not self._node.value:
            raise self.make_error(f"{subject} is empty; write a text, or remove the line")
        if self._tag not in _MEANINGS:
            raise self.make_error(f"{subject} has the unknown YAML tag {self._node.tag!r}; remove the tag")
        written = str(self._node.value)[:80]
        raise self.make_error(f'{subject} {written} is {self.describe()} in YAML; put it in quotes: "{written}"')

    def read_word(self, subject: str) -> str:
        """Return a text, also one that YAML takes for a boolean, such as ``off``; see ``read_text``."""
        return str(self._node.value) if self._tag == "bool" else self.read_text(subject)

    def read_scalar(self, subject: str) -> Scalar:
        """Return a text, a number or a boolean.

        A number or boolean whose value would not have the written form is refused: ``010`` is 8 in YAML, and ``no`` is
        false. The author may have meant either.

        Raises:
            FederationError: the value has another type, or is ambiguous.
        """
        if self.is_mapping or self.is_list:
            raise self.make_error(f"{subject} must be a text, a number or a boolean, not {self.describe()}")
        tag, written = self._tag, str(self._node.value)
        if tag == "str":
            return self._check_characters()
        if tag == "bool" and written.lower() in ("true", "false"):
            return written.lower() == "true"
        if tag == "bool":
            raise self.make_error(
                f"{subject} is a boolean in YAML, and is not written as true or false; put it in quotes, or write "
                "true or false"
            )
        if (tag == "int" and _DECIMAL.fullmatch(written)) or (tag == "float" and _PLAIN_FLOAT.fullmatch(written)):
            try:
                return int(written) if tag == "int" else self._document.constructor.construct_yaml_float(self._scalar)
            except ValueError:
                raise self.make_error(f"{subject} is not a valid number; put it in quotes") from None
        if tag in ("int", "float"):
            raise self.make_error(f"{subject} is a number in YAML with another value than it seems; put it in quotes")
        if self.is_empty:
            raise self.make_error(f"{subject} has no value; write a value, or remove the line")
        if tag not in _MEANINGS:
            raise self.make_error(f"{subject} has the unknown YAML tag {self._node.tag!r}; remove the tag")
        raise self.make_error(f"{subject} is {self.describe()} in YAML, not a text; put it in quotes")

    @property
    def _scalar(self) -> yaml.ScalarNode:
        return cast("yaml.ScalarNode", self._node)

    def _check_characters(self) -> str:
        """Return the text of the node. Escapes in double quotes can contain characters that no file or name can have.

        Raises:
            FederationError: the text contains such a character.
        """
        text = str(self._node.value)
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise self.make_error("the text contains a character that is not valid; remove its escape sequence")
        return text

    def _check_tag(self, expected: str) -> None:
        if self._tag != expected:
            raise self.make_error(f"the YAML tag {self._node.tag!r} is not supported; remove the tag")

    def _merge(self, node: yaml.Node, kind: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Return the nodes of a mapping by key, including those of its merge key, which it may override."""
        element = Element(self._document, node, self.location)
        if not isinstance(node, yaml.MappingNode):
            raise element.make_error(f"this must be a mapping, not {element.describe()}")
        if (cached := self._document.mappings.get(id(node))) is not None:
            return cached
        element._check_tag("map")
        if id(node) in self._document.open:
            raise element.make_error("the merge keys (<<) form a cycle")
        self._document.open.add(id(node))
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        written: dict[str, yaml.Node] = {}
        entries: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value in node.value:
            key_element = Element(self._document, key_node, self.location)
            is_merge = key_element._tag == "merge"
            key = "<<" if is_merge else key_element.read_text(f"the {kind}")
            marker = "\0merge" if is_merge else key
            if marker in written:
                first = int(written[marker].start_mark.line) + 1
                raise key_element.make_error(
                    f"the {kind} {key!r} occurs twice, first in line {first}; keep one of the two"
                )
            written[marker] = key_node
            if is_merge:
                # PyYAML's order: the first of several mappings has precedence, and the keys of the last come first.
                sources = list(value.value) if isinstance(value, yaml.SequenceNode) else [value]
                for source in reversed(sources):
                    merged.update(self._merge(source, kind))
            else:
                entries[key] = (key_node, value)
        self._document.open.remove(id(node))
        content = {**merged, **entries}
        self._document.mappings[id(node)] = content
        return content


class _KeyedElement(Element):
    """A value of a mapping, whose line is the line of its key: an empty value is on the line of the next key."""

    def __init__(self, document: _Document, node: yaml.Node, location: str, key: yaml.Node) -> None:
        self._key = key
        super().__init__(document, node, location)

    @property
    def line(self) -> int:
        return int(self._key.start_mark.line) + 1


def read_document(file: Path) -> Element:
    """Return the root of a YAML file.

    Raises:
        FederationError: the file is missing, not UTF-8, or not a single YAML document.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise FederationError(f"{file} does not exist; describe the organizations and their databases there") from None
    except OSError as error:
        raise FederationError(f"{file} cannot be read ({error.strerror})") from None
    try:
        text = decode_utf8(content)
    except ValueError as error:
        raise FederationError(f"{file} cannot be read: the file {error}") from None
    try:
        loader = _Loader(text)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"the control character #x{error.character:04x}"
        raise FederationError(f"{file}, line {line}: not valid YAML: {problem}") from None
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise FederationError(_describe_error(file, error)) from None
    except (ValueError, OverflowError):  # PyYAML converts the escape sequences \x, \u and \U without a check
        line = loader.line + 1
        raise FederationError(f"{file}, line {line}: not valid YAML: an escape sequence is not a character") from None
    except RecursionError:
        raise FederationError(f"{file} is not valid YAML: the values are nested too deeply") from None
    finally:
        loader.dispose()
    if node is None:
        raise FederationError(f"{file} is empty; describe the organizations and their databases there")
    return Element(_Document(file), node)


def make_json_value(value: Scalar) -> Scalar:
    """Return a value that JSON can represent: infinity and NaN become texts."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


_HINTS: Mapping[str, str] = {
    "character '\\t'": "this is a tab; indent with spaces",
    "unknown escape character": "write a text with backslashes in single quotes",
    "but found another document": "the file must contain one document; remove the line ---",
    "found undefined alias": "put a text that begins with * in quotes",
}
"""Part of a message of PyYAML -> advice."""


def _describe_error(file: Path, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    line = f", line {mark.line + 1}" if mark else ""
    problem = " ".join(filter(None, [error.context, error.problem]))
    hint = next((f"; {advice}" for part, advice in _HINTS.items() if part in problem), "")
    return f"{file}{line}: not valid YAML: {problem}{hint}"
