"""The policy file: settings at the top level, and sections for functions, databases and columns, in TOML.

The functions of this module also read a mapping with the same structure, as a test or a federation writes it. A file
cannot have both the list ``functions`` and a section ``[functions.NAME]``, because TOML has one value for each key; the
owner then sets the list as a variable. The same holds for databases and columns.
"""

from __future__ import annotations

import io
import json
import re
import stat
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from algotools.disclosure import POLICY_PREFIX as PREFIX
from algotools.disclosure._patterns import is_match
from algotools.disclosure._settings import PRESET, SETTINGS, Names, Persons, Setting, suggest
from algotools.errors import PolicyError

FILE = "the policy file"

SECTION_KINDS = ("functions", "databases")

_MOST_BYTES = 1_000_000

_COLUMN_KEYS = ("allow", "levels")

_NAMES = Names()

_BARE_KEY = re.compile("[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Section:
    """The settings of the functions or of the databases whose name matches a pattern."""

    kind: str
    """``functions`` or ``databases``."""
    pattern: str
    settings: Mapping[str, Any]

    def applies_to(self, method: str, label: str | None) -> bool:
        """Return whether the section holds for a function and one of its databases; None: it reads no database."""
        name = method if self.kind == "functions" else label
        return name is not None and is_match(name, (self.pattern,))

    def __str__(self) -> str:
        lines = [f"{name} = {_format_value(value)}" for name, value in self.settings.items()]
        return "\n".join([f"[{self.kind}.{_format_key(self.pattern)}]", *lines])


@dataclass
class SettingSource:
    """The settings that one source, the variables or a file, sets. A named preset sets all its values."""

    preset: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    sections: tuple[Section, ...] = ()
    public_levels: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Whether the source sets nothing."""
        return self == SettingSource()


def refuse(message: str, detail: str = "") -> PolicyError:
    """Return the error about a policy. The detail is only for the owner."""
    return PolicyError(f"{message}; no data was read", detail=detail)


def convert_setting(setting: Setting, name: str, value: object, *, as_text: bool = False) -> Any:
    """Return the value of a setting; *name* is its name in messages.

    Raises:
        PolicyError: the value is not allowed. The value itself is not in the message, because it may be a secret.
    """
    try:
        return setting.kind.parse(str(value)) if as_text else setting.kind.convert(value)
    except ValueError:
        detail = "" if setting.name == "key" else show_value(value)
        allowed = setting.kind.allowed if as_text else setting.kind.allowed_in_file or setting.kind.allowed
        raise refuse(f"{name} must be {allowed}", detail) from None


def show_value(value: object) -> str:
    """Return the detail of an error about a value."""
    return f"the value is {ascii(value)[:200]}"


def read_file(path: Path) -> str:
    """Return the text of a policy file.

    Raises:
        PolicyError: the file does not exist, cannot be read, is too large, or is not UTF-8.
    """
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)  # reading a pipe could wait for ever
        with path.open("rb") if is_file else io.BytesIO() as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # a path with a null character is a ValueError
        raise refuse(f"{FILE} cannot be read ({type(error).__name__})", f"{path}: {error}") from None
    if not is_file:
        raise refuse(f"{FILE} is not a file", str(path))
    if len(data) > _MOST_BYTES:
        raise refuse(f"{FILE} has more than {_MOST_BYTES:,} bytes", str(path))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise refuse(f"{FILE} is not UTF-8 (line {line}); save it as UTF-8", str(path)) from None


def parse_file(text: str) -> SettingSource:
    """Return the settings in the text of a policy file.

    Raises:
        PolicyError: the text is not TOML, has an unknown key or a wrong value, or sets nothing.
    """
    if sys.version_info >= (3, 11):  # here, because most nodes have no policy file
        import tomllib
    else:
        import tomli as tomllib

    try:
        content = tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        # The owner may have configured another file by mistake, so its text is only for the owner.
        match = re.search(r"at line (\d+)", str(error))
        raise refuse(f"{FILE} is not TOML ({f'line {match[1]}' if match else 'at its end'})", str(error)) from None
    except RecursionError:
        raise refuse(f"{FILE} is not TOML that can be read: its values are nested too deeply") from None
    except ValueError as error:  # an integer with thousands of digits
        raise refuse(f"{FILE} has a number with too many digits", str(error)) from None
    source = parse_mapping(content, FILE)
    if source.is_empty:  # more likely a truncated copy than an intention
        raise refuse(f"{FILE} sets nothing; add a setting or remove the file")
    return source


def parse_mapping(content: Mapping[Any, object], origin: str) -> SettingSource:
    """Return the settings in a mapping with the structure of a policy file; *origin* is its name in messages.

    Raises:
        PolicyError: a key is unknown, or a value is not allowed.
    """
    source = SettingSource()
    sections: list[Section] = []
    for key, value in content.items():
        name = f"{origin}: {_show(key)}"
        if key == "preset":
            try:
                source.preset = PRESET.convert(value)
            except ValueError:
                raise refuse(f"{name} must be {PRESET.allowed}", show_value(value)) from None
        elif key == "columns" and isinstance(value, Mapping):
            _read_columns(value, source, origin)
        elif key in SECTION_KINDS and isinstance(value, Mapping):
            sections += _read_sections(str(key), value, source, origin)
        elif key in SETTINGS:
            _add(source, SETTINGS[key], convert_setting(SETTINGS[key], name, value), name)
        else:
            raise _refuse_key(origin, key, ("preset", *SETTINGS))
    source.sections = tuple(sections)
    return source


def _add(source: SettingSource, setting: Setting, value: Any, name: str) -> None:
    """Add a value to a source. A section of a column or a database can add to a setting that the file also sets."""
    if setting.name in source.values:
        try:
            value = setting.get_stricter(source.values[setting.name], value)
        except ValueError:
            raise refuse(f"{name} has two values in the file; keep one of them") from None
    source.values[setting.name] = value


def _read_sections(kind: str, content: Mapping[Any, object], source: SettingSource, origin: str) -> Iterator[Section]:
    for key, body in content.items():
        pattern, header = _read_header(kind, key, body, origin)
        keys = [name for name, setting in SETTINGS.items() if setting.is_for_sections and name != kind]
        settings = {}
        for name, value in body.items():  # type: ignore[attr-defined]  # `_read_header` has checked it
            if name not in keys:
                raise _refuse_key(header, name, keys)
            location = f"{header} {name}"
            if kind == "databases" and name == "persons":
                _add(source, SETTINGS[name], _read_person(pattern, value, location), location)
            else:
                settings[name] = convert_setting(SETTINGS[name], location, value)
        if settings:
            yield Section(kind, pattern, settings)


def _read_person(label: str, column: object, location: str) -> tuple[tuple[str, str], ...]:
    if "*" in label:
        raise refuse(f"{location} needs the full label of one database, without *")
    if not isinstance(column, str):
        raise refuse(f"{location} must be the name of a column")
    try:
        return Persons().convert([f"{label}={column}"])
    except ValueError:
        raise refuse(f"{location} must be the name of a column, and the label must not contain =") from None


def _read_columns(content: Mapping[Any, object], source: SettingSource, origin: str) -> None:
    """Add the sections of columns to a source."""
    public_levels = set[str]()
    for key, body in content.items():
        pattern, header = _read_header("columns", key, body, origin)
        for name, value in body.items():  # type: ignore[attr-defined]  # `_read_header` has checked it
            if name not in _COLUMN_KEYS:
                raise _refuse_key(header, name, _COLUMN_KEYS)
            if name == "allow" and value is False:
                _add(source, SETTINGS["forbidden_columns"], (pattern,), header)
            elif name == "allow":
                raise refuse(f"{header} allow must be false; {PREFIX}_COLUMNS lists the columns that may be read")
            elif value is not True:
                raise refuse(f"{header} levels must be true; levels of other columns are not public")
            elif "*" in pattern:
                raise refuse(f"{header} levels needs the full name of one column, without *")
            else:
                public_levels.add(pattern)
    source.public_levels = frozenset(public_levels)


def _read_header(kind: str, key: object, body: object, origin: str) -> tuple[str, str]:
    """Return the pattern of a section, and the name of the section in messages."""
    header = f"{origin}: [{kind}.{_show(key)}]"
    try:
        [pattern] = _NAMES.convert([key])
    except ValueError:
        raise refuse(
            f"{header} must be named by {_NAMES.allowed.partition(';')[0].replace('names', 'a name')}"
        ) from None
    if not isinstance(body, Mapping):
        raise refuse(f"{header} must be a section with settings")
    if not body:
        raise refuse(f"{header} sets nothing; add a setting or remove the section")
    return pattern, header


def _refuse_key(origin: str, key: object, keys: Collection[str]) -> PolicyError:
    """Return the error about an unknown key."""
    hint = suggest(str(key).upper().removeprefix(f"{PREFIX}_"), keys) or f" (keys: {', '.join(keys)})"
    return refuse(f"{origin}: unknown key {_show(key)}{hint}")


def _show(key: object) -> str:
    """Return a key for a message."""
    return ascii(key)[1:-1][:60] if isinstance(key, str) else ascii(key)[:60]


def format_file(source: SettingSource) -> str:
    """Return the text of a policy file with the settings of a source."""
    lines = [] if source.preset is None else [f'preset = "{source.preset}"']
    lines += [f"{name} = {_format_value(value)}" for name, value in source.values.items()]
    for section in list_sections(source.sections, source.public_levels):
        lines += ["", section]
    return "\n".join(lines) + "\n"


def list_sections(sections: Collection[Section], public_levels: Collection[str]) -> list[str]:
    """Return the text of each section of a policy file, for functions, databases and columns."""
    columns = [f"[columns.{_format_key(column)}]\nlevels = true" for column in sorted(public_levels)]
    return [*map(str, sections), *columns]


def _format_value(value: Any) -> str:
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, tuple):
        texts = ["=".join(item) if isinstance(item, tuple) else item for item in value]
        return f"[{', '.join(map(_quote, texts))}]"
    return repr(value)


def _quote(text: str) -> str:
    """Return a TOML string. TOML's escapes are JSON's, except that TOML also requires one for the character DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _format_key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _quote(name)
