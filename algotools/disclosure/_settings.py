"""The settings of a policy: name, type, allowed values, effect and source of each, and which of two values is stricter.

``SETTINGS`` is the only list of settings. Parsing, ``Policy.describe``, the command ``policy show`` and the
documentation use it; the defaults are those of the fields of ``Policy``.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from algotools.disclosure import POLICY_PREFIX as PREFIX
from algotools.disclosure._patterns import MOST_STARS, intersect, normalize

_DIGITS = re.compile("0|[1-9][0-9]{0,17}")
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,17})(\.[0-9]{1,30})?")


class SettingKind(ABC):
    """The type of a setting. Both methods that read a value raise ``ValueError`` if the value does not fit."""

    allowed: str
    """The allowed values of a variable, as a message and ``policy show`` name them."""
    allowed_in_file = ""
    """The allowed values in a file or in a mapping, if another text describes them."""

    @abstractmethod
    def parse(self, text: str) -> Any:
        """Return the value in a variable."""

    @abstractmethod
    def convert(self, value: object) -> Any:
        """Return the value in a file or in a mapping."""

    def format(self, value: Any) -> str | None:
        """Return the text of a value in a variable; None if a variable cannot contain the value."""
        return str(value)

    def show(self, value: Any) -> str:
        """Return the text of a value for people."""
        return "none" if value in (None, "", ()) else str(self.format(value))


class Integer(SettingKind):
    """An integer in decimal digits, without sign, leading zeros or spaces."""

    def __init__(self, minimum: int, maximum: int | None = None) -> None:
        self._minimum, self._maximum = minimum, maximum
        limit = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
        self.allowed = f"an integer {limit}"

    def parse(self, text: str) -> int:
        """See ``SettingKind.parse``."""
        if not _DIGITS.fullmatch(text):
            raise ValueError(text)
        return self.convert(int(text))

    def convert(self, value: object) -> int:
        """See ``SettingKind.convert``."""
        if type(value) is not int or value < self._minimum or (self._maximum is not None and value > self._maximum):
            raise ValueError(value)
        return value


class Fraction(SettingKind):
    """A decimal number from 0 to 1, without sign, exponent or spaces."""

    allowed = "a number from 0 to 1"

    def parse(self, text: str) -> float:
        """See ``SettingKind.parse``."""
        if not _DECIMAL.fullmatch(text):
            raise ValueError(text)
        return self.convert(float(text))

    def convert(self, value: object) -> float:
        """See ``SettingKind.convert``. NaN is outside each interval."""
        if type(value) not in (int, float) or not 0 <= value <= 1:  # type: ignore[operator]
            raise ValueError(value)
        return float(value) + 0.0  # type: ignore[arg-type]  # -0.0 becomes 0.0

    def format(self, value: float) -> str:
        """See ``SettingKind.format``. The text has no exponent."""
        from decimal import Decimal

        return format(Decimal(repr(value)), "f")


class Choice(SettingKind):
    """One of several names, from the loosest to the strictest."""

    def __init__(self, *values: str) -> None:
        self.values = values
        self.allowed = f"one of {', '.join(values)}"

    def parse(self, text: str) -> str:
        """See ``SettingKind.parse``."""
        return self.convert(text)

    def convert(self, value: object) -> str:
        """See ``SettingKind.convert``."""
        if not isinstance(value, str) or value not in self.values:
            raise ValueError(value)
        return value

    def get_stricter(self, first: str, second: str) -> str:
        """Return the stricter of two values."""
        return max(first, second, key=self.values.index)


class Names(SettingKind):
    """Names, in which ``*`` stands for any characters. A variable separates them with commas."""

    allowed = f"names separated by commas; * stands for any characters, at most {MOST_STARS} times in a name"
    allowed_in_file = f"a list of names; * stands for any characters, at most {MOST_STARS} times in a name"

    def __init__(self, *, may_be_empty: bool = False) -> None:
        self._may_be_empty = may_be_empty

    def parse(self, text: str) -> tuple[str, ...]:
        """See ``SettingKind.parse``. Spaces around a name are ignored."""
        return self._check([part.strip() for part in text.split(",")])

    def convert(self, value: object) -> tuple[str, ...]:
        """See ``SettingKind.convert``."""
        if isinstance(value, (list, tuple)) and (value or not self._may_be_empty):
            return self._check(value)
        if value in ([], ()):
            return ()
        raise ValueError(value)

    def _check(self, names: Collection[object]) -> tuple[str, ...]:
        texts = [_check_text(name) for name in names]
        if not texts or any(text.count("*") > MOST_STARS for text in texts):
            raise ValueError(names)
        return tuple(dict.fromkeys(map(normalize, texts)))

    def format(self, value: tuple[str, ...]) -> str | None:
        """See ``SettingKind.format``."""
        return _join(value)

    def show(self, value: tuple[str, ...]) -> str:
        """See ``SettingKind.show``."""
        return ", ".join(value) or "none"


class Persons(SettingKind):
    """Pairs of a database's label and the column that identifies a person, as ``label=column``."""

    allowed = "pairs label=column separated by commas, one for each database"
    allowed_in_file = "a list of texts label=column, one for each database"

    def parse(self, text: str) -> tuple[tuple[str, str], ...]:
        """See ``SettingKind.parse``."""
        return self.convert([part.strip() for part in text.split(",")])

    def convert(self, value: object) -> tuple[tuple[str, str], ...]:
        """See ``SettingKind.convert``."""
        if not isinstance(value, (list, tuple)) or not value:
            raise ValueError(value)
        pairs = []
        for item in value:
            label, _, column = _check_text(item).partition("=")
            pairs.append((_check_text(label), _check_text(column)))
        if len(dict(pairs)) < len(pairs):
            raise ValueError(value)
        return tuple(sorted(pairs))

    def format(self, value: tuple[tuple[str, str], ...]) -> str | None:
        """See ``SettingKind.format``."""
        return _join([f"{label}={column}" for label, column in value])

    def show(self, value: tuple[tuple[str, str], ...]) -> str:
        """See ``SettingKind.show``."""
        return ", ".join(f"{label}={column}" for label, column in value) or "none"


class Text(SettingKind):
    """A text of a minimal length, with a prefix. ``show`` does not reveal a secret."""

    def __init__(self, allowed: str, minimum: int = 1, *, prefix: str = "", is_secret: bool = False) -> None:
        self.allowed = allowed
        self._prefix = prefix
        self._minimum = minimum
        self._is_secret = is_secret

    def parse(self, text: str) -> str:
        """See ``SettingKind.parse``."""
        return self.convert(text)

    def convert(self, value: object) -> str:
        """See ``SettingKind.convert``."""
        text = _check_text(value)
        if len(text) < self._minimum or not text.startswith(self._prefix):
            raise ValueError(value)
        return text

    def show(self, value: str) -> str:
        """See ``SettingKind.show``."""
        return "set" if value and self._is_secret else super().show(value)


def _check_text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(value)
    value.encode()  # a lone surrogate is a ValueError
    return value


def _join(names: Collection[str]) -> str | None:
    """Join names with commas; None if ``parse`` would not restore them."""
    is_plain = all("," not in name and name == name.strip() and name.isprintable() for name in names)
    return ",".join(names) if names and is_plain else None


def unite(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of both tuples."""
    return tuple(dict.fromkeys((*first, *second)))


def _unite_persons(
    first: tuple[tuple[str, str], ...], second: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    pairs = {*first, *second}
    if len(dict(pairs)) < len(pairs):
        raise ValueError("two columns for one database")
    return tuple(sorted(pairs))


def _require_equal(first: str, second: str) -> str:
    if first != second:
        raise ValueError("two different texts")
    return first


class Setting(NamedTuple):
    """A setting of a policy. Its name is the field of ``Policy`` and the key in a policy file."""

    name: str
    kind: SettingKind
    effect: str
    source: str
    combine: Callable[[Any, Any], Any]
    """Returns the stricter of two values; ValueError if there is no such value."""
    weakest: object = object()
    """The value that sets no limit; None, 0, "" or ()."""
    is_available: bool = True
    """Whether this version accepts another value than the default."""
    is_for_sections: bool = True
    """Whether a section of a policy file may contain the setting."""
    adds_up: bool = False
    """Whether a section adds to the value at the top level instead of replacing it."""

    @property
    def variable(self) -> str:
        """The name of the setting's variable."""
        return f"{PREFIX}_{self.name.upper()}"

    def get_stricter(self, first: Any, second: Any) -> Any:
        """Return the stricter of two values.

        Raises:
            ValueError: the values contradict each other.
        """
        if first == self.weakest:
            return second
        return first if second == self.weakest else self.combine(first, second)


OURS = "ours"
"""The source of a setting that no other tool has."""


def _choose(name: str, values: str, effect: str, source: str = OURS, **options: Any) -> Setting:
    kind = Choice(*values.split())
    return Setting(name, kind, effect, source, kind.get_stricter, **options)


LATER: dict[str, Any] = {"is_available": False}

_ALL = (
    Setting(
        "minimum_rows",
        Integer(1),
        "fewest rows of a table that a function reads",
        "DataSHIELD nfilter.subset 3; v6-summary 5, v6-glm 10; MIP 10",
        max,
    ),
    Setting(
        "minimum_cell",
        Integer(1),
        "fewest records of a number or a cell",
        "DataSHIELD nfilter.tab 3; OHDSI 5; OpenSAFELY 8; ACRO 10",
        max,
    ),
    _choose("small_cells", "round suppress refuse", "cells of few records in tables of `aggregate`"),
    Setting("round_base", Integer(1), "base to which cells are rounded", "ACRO, OpenSAFELY", max),
    _choose("zeros", "allow refuse", "cells of 0 records", "DataSHIELD allows; ACRO and v6-crosstab refuse"),
    Setting("dominance", Fraction(), "largest share of the two largest records", "ACRO", min),
    Setting("p_ratio", Fraction(), "smallest ratio of the other records to the largest", "ACRO", max),
    Setting("parameters", Fraction(), "most parameters per record", "DataSHIELD nfilter.glm; v6-glm 0.10", min),
    Setting(
        "numbers", Fraction(), "most numbers in a result per cell read", "DataSHIELD nfilter.glm, generalized", min
    ),
    Setting("levels", Integer(0), "most levels of a column", "DataSHIELD nfilter.levels.max", min),
    Setting("levels_density", Fraction(), "most levels per row", "DataSHIELD nfilter.levels.density", min),
    _choose("texts", "any known", "texts in a result: any, or only texts that the researcher can know"),
    _choose("undeclared", "structure probe refuse", "treatment of numbers without evidence"),
    Setting("probe_groups", Integer(1), "groups of rows for probing, at least 5 times minimum_cell", OURS, max),
    Setting("probe_cells", Integer(1), "most cells read for which numbers are probed", OURS, min),
    _choose("unread", "allow refuse", "numbers without evidence from a `Path` or a `Database`"),
    _choose("messages", "any constant", "log lines and messages: any, or only constant texts"),
    Setting("functions", Names(), "functions that may run", "vantage6 #1592, Apheris", intersect),
    Setting("databases", Names(), "databases that may be read", "vantage6 #1592, Apheris", intersect),
    Setting("columns", Names(), "columns that may be read", "v6-summary SUMMARY_ALLOWED_COLUMNS", intersect),
    Setting(
        "forbidden_columns",
        Names(may_be_empty=True),
        "columns that may not be read",
        "v6-summary SUMMARY_DISALLOWED_COLUMNS",
        unite,
        (),
        adds_up=True,
    ),
    _choose("queries", "allow forbid", "SQL in a task"),
    Setting("organizations", Integer(1), "fewest organizations of a task", "v6-glm, v6-kaplan-meier 3", max),
    _choose("parent", "verify require", "a function with standalone=False whose master the node cannot know"),
    Setting(
        "persons",
        Persons(),
        "column that identifies a person; records are then persons",
        OURS,
        _unite_persons,
        (),
        adds_up=True,
    ),
    _choose("secure", "allow require", "pooled functions without masked contributions", **LATER),
    Setting(
        "key",
        Text("a text of at least 32 characters", 32, is_secret=True),
        "secret of the collaboration",
        OURS,
        _require_equal,
        "",
        is_for_sections=False,
    ),
    Setting(
        "ledger",
        Text("the absolute path of a folder", prefix="/"),
        "folder of the ledger",
        OURS,
        _require_equal,
        "",
        is_for_sections=False,
    ),
    Setting("repeats", Integer(1), "most repetitions of a task; requires `ledger`", OURS, min, None),
    Setting("digits", Integer(0, 17), "significant digits of numbers that leave; 0: all", "OpenSAFELY rounds", min, 0),
    Setting("bytes", Integer(1), "most bytes of a result", OURS, min, None),
)

SETTINGS: Mapping[str, Setting] = {setting.name: setting for setting in _ALL}
"""Name -> setting, in the order of the documentation."""

PRESET = Choice("off", "standard", "strict")

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "off": {},
    "standard": {},
    "strict": {
        "minimum_rows": 10,
        "minimum_cell": 10,
        "parameters": 0.10,
        "zeros": "refuse",
        "undeclared": "refuse",
        "parent": "require",
        "queries": "forbid",
    },
}
"""Preset -> the settings whose values differ from the defaults."""


def suggest(name: str, names: Collection[str]) -> str:
    """Return ``(did you mean x?)`` for the name that is most similar; empty if no name is."""
    import difflib  # only for messages

    by_upper_case = {candidate.upper(): candidate for candidate in names}
    matches = difflib.get_close_matches(name.upper(), by_upper_case, n=1, cutoff=0.6)
    return f" (did you mean {by_upper_case[matches[0]]}?)" if matches else ""
