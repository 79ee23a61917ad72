"""The policy of the node's owner: typed settings that decide what may leave the node.

The owner sets variables (``ALGOTOOLS_POLICY…``), and on v3 and v4 also a file. An unknown setting or a wrong value
stops every run before data is read. These rules decide which value holds:

* An explicit setting of a source (the variables, or the file) replaces the value of the source's preset, even if the
  preset is stricter: the owner wrote both. ``off`` allows no further settings, which would have no effect.
* If both sources set a setting, the stricter value holds. A named preset sets all its values. The value of a section is
  also made at least as strict as the variable.
* A section for a function or a database replaces the value at the top level. If several sections hold for a database
  that the function reads, the strictest holds; if the function reads several databases, the strictest of their values
  holds. Only forbidden columns and persons always add up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from algotools.disclosure import POLICY_PREFIX as PREFIX
from algotools.disclosure import is_policy_variable
from algotools.disclosure._patterns import is_match
from algotools.disclosure._policy_file import (
    FILE,
    Section,
    SettingSource,
    convert_setting,
    format_file,
    list_sections,
    parse_file,
    parse_mapping,
    read_file,
    refuse,
    show_value,
)
from algotools.disclosure._settings import OURS, PRESET, PRESETS, SETTINGS, Setting, suggest
from algotools.disclosure.facts import SmallCells

__all__ = [
    "DEFAULTS", "OURS", "PREFIX", "SETTINGS", "Policy", "Section", "SettingState", "is_policy_variable",
    "parse_policy", "read_file", "read_policy",
]  # fmt: skip

Preset = Literal["standard", "strict", "off"]


GROUPS_PER_RECORD = 5
"""The fewest groups for probing, for each of the fewest records of a number."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The settings that hold for a run."""

    preset: Preset = "standard"
    minimum_rows: int = 3
    minimum_cell: int = 3
    small_cells: SmallCells = "suppress"
    round_base: int = 5
    zeros: Literal["allow", "refuse"] = "allow"
    dominance: float = 0.90
    p_ratio: float = 0.10
    parameters: float = 0.33
    numbers: float = 0.33
    levels: int = 40
    levels_density: float = 0.33
    texts: Literal["known", "any"] = "known"
    undeclared: Literal["structure", "probe", "refuse"] = "structure"
    probe_groups: int = 16
    probe_cells: int = 1_000_000
    unread: Literal["allow", "refuse"] = "refuse"
    messages: Literal["constant", "any"] = "constant"
    functions: tuple[str, ...] = ("*",)
    databases: tuple[str, ...] = ("*",)
    columns: tuple[str, ...] = ("*",)
    forbidden_columns: tuple[str, ...] = ()
    queries: Literal["allow", "forbid"] = "allow"
    organizations: int = 1
    parent: Literal["verify", "require"] = "verify"
    persons: tuple[tuple[str, str], ...] = ()
    """Pairs of a database's label and its column that identifies a person."""
    secure: Literal["allow", "require"] = "allow"
    key: str = dataclasses.field(default="", repr=False)
    ledger: str = ""
    repeats: int | None = None
    digits: int = 0
    bytes: int | None = None
    public_levels: frozenset[str] = frozenset()
    """Columns whose values are public if at least ``minimum_cell`` records have them, whatever their number."""
    sections: tuple[Section, ...] = ()
    """Settings for single functions and databases, which ``select`` applies."""

    @property
    def is_off(self) -> bool:
        """Whether nothing is judged."""
        return self.preset == "off"

    @property
    def judges_structure_only(self) -> bool:
        """Whether numbers without evidence are judged by the structural rules alone, so that probing finds more."""
        return not self.is_off and self.undeclared == "structure"

    def allows_function(self, method: str) -> bool:
        """Return whether a function may run."""
        return is_match(method, self.functions)

    def allows_database(self, label: str) -> bool:
        """Return whether a database may be read."""
        return is_match(label, self.databases)

    def allows_column(self, column: str) -> bool:
        """Return whether a column may be read. Of a database: ask the policy that ``select`` returns for it alone."""
        return is_match(column, self.columns) and not is_match(column, self.forbidden_columns)

    def find_person_column(self, label: str) -> str | None:
        """Return the column of a database that identifies a person; None if each row is a person."""
        return dict(self.persons).get(label)

    def count_probe_groups(self) -> int:
        """Return the number of groups for probing. Few groups would often contain all records of a large number."""
        return max(self.probe_groups, GROUPS_PER_RECORD * self.minimum_cell)

    def select(self, method: str, labels: Sequence[str]) -> Policy:
        """Return the settings for a function and the databases that it reads, without sections.

        Raises:
            PolicyError: sections contradict each other.
        """
        if not self.sections:
            return self
        sections = [
            [section for section in self.sections if section.applies_to(method, label)] for label in labels or (None,)
        ]
        values = {}
        for name in {name for section in self.sections for name in section.settings}:
            setting = SETTINGS[name]
            candidates = []
            for applicable in sections:
                own_values = [section.settings[name] for section in applicable if name in section.settings]
                candidates += own_values if own_values and not setting.adds_up else [*own_values, getattr(self, name)]
            values[name] = candidates[0]
            for candidate in candidates[1:]:
                values[name] = _get_stricter(setting, values[name], candidate)
        return dataclasses.replace(self, sections=(), **values)

    def tighten(self, minimum_rows: int | None) -> Policy:
        """Return the policy with the limit of the algorithm's author, if that is stricter."""
        if minimum_rows is None or minimum_rows <= self.minimum_rows:
            return self
        return dataclasses.replace(self, minimum_rows=minimum_rows)

    def to_variables(self) -> dict[str, str]:
        """Return the variables that set this policy, together with the text of ``to_file``."""
        return self._divide()[0]

    def to_file(self) -> str | None:
        """Return the text of the policy file with the settings that variables cannot express; None if there are none.

        ``read_policy(policy.to_variables(), policy.to_file()) == policy`` for each policy that ``read_policy`` returns.
        """
        source = self._divide()[1]
        return None if source.is_empty else format_file(source)

    def _divide(self) -> tuple[dict[str, str], SettingSource]:
        """Return the variables of the policy, and the part that only a file can express."""
        base = {**DEFAULTS, **PRESETS[self.preset]}
        changes = {name: value for name in SETTINGS if (value := getattr(self, name)) != base[name]}
        texts = {name: SETTINGS[name].kind.format(value) for name, value in changes.items()}
        preset = None if self.preset == "standard" else self.preset
        source = SettingSource(None, {}, self.sections, self.public_levels)
        if source.is_empty and None not in texts.values():
            names = {PREFIX: preset, **{SETTINGS[name].variable: text for name, text in texts.items()}}
            return {name: text for name, text in names.items() if text is not None}, source
        # A section replaces the value at the top level, unless the value is in a variable. So all values are in the
        # file, except a list whose key is the name of the file's sections.
        # The path of the ledger is in a variable, too, because it differs between this machine and a container.
        section_names = {section.kind for section in self.sections} | ({"columns"} if self.public_levels else set())
        section_names.add("ledger")
        source.preset = preset
        source.values = {name: value for name, value in changes.items() if name not in section_names}
        return {SETTINGS[name].variable: str(texts[name]) for name in changes if name in section_names}, source

    def list_sections(self) -> list[str]:
        """Return the text of each section, as a policy file has it."""
        return list_sections(self.sections, self.public_levels)

    def describe(self) -> list[SettingState]:
        """Return each setting with its value, in the order of the documentation."""
        return [
            SettingState(
                name=setting.name,
                variable=setting.variable,
                value=setting.kind.show(getattr(self, setting.name)),
                default=setting.kind.show(DEFAULTS[setting.name]),
                allowed=setting.kind.allowed,
                effect=setting.effect,
                source=setting.source,
                is_available=setting.is_available,
            )
            for setting in SETTINGS.values()
        ]


class SettingState(NamedTuple):
    """A setting and its value as texts; a secret is only ``set`` or ``none``."""

    name: str
    variable: str
    value: str
    default: str
    allowed: str
    effect: str
    source: str
    is_available: bool
    """Whether this version accepts another value than the default."""


DEFAULTS: Mapping[str, Any] = {
    field.name: field.default for field in dataclasses.fields(Policy) if field.name in SETTINGS
}
"""Name of a setting -> its default."""


def read_policy(variables: Mapping[str, str], file: str | None = None) -> Policy:
    """Return the policy in variables and in the text of a policy file. Variables without the prefix are ignored.

    Raises:
        PolicyError: a setting is unknown or has a value that is not allowed, or the settings contradict each other.
    """
    source = _parse_variables(variables)
    if file is not None:
        source = _merge(_parse_source(parse_file(file), FILE), source)
    return _make_policy(source)


def parse_policy(value: str | Path | Mapping[str, object]) -> tuple[dict[str, str], str | None]:
    """Return the variables and the text of the policy file for a preset, the path of a file, or a mapping.

    A mapping has the structure of a policy file: ``{"minimum_cell": 5, "functions": {"fit": {"minimum_rows": 10}}}``.
    There is a text only if variables cannot express the policy.

    Raises:
        PolicyError: see ``read_policy``; or a text is neither a preset nor a path.
    """
    if not isinstance(value, (Mapping, str, Path)):
        raise refuse("the policy must be a preset, the path of a .toml file, or a mapping of settings")
    if isinstance(value, Mapping):
        source, origin = parse_mapping(value, "the policy"), "the policy"
    elif isinstance(value, str) and value in PRESET.values:
        source, origin = SettingSource(value), "the policy"
    elif isinstance(value, Path) or value.endswith(".toml") or "/" in value:
        source, origin = parse_file(read_file(Path(value))), FILE
    else:
        presets = f"{', '.join(PRESET.values)} or a file whose name ends with .toml"
        raise refuse(f"unknown policy {value[:60]!r}{suggest(value, PRESET.values)}: choose {presets}")
    policy = _make_policy(_parse_source(source, origin))
    return policy.to_variables(), policy.to_file()


def _parse_variables(variables: Mapping[str, str]) -> SettingSource:
    """Return the settings in variables."""
    by_variable = {setting.variable: setting for setting in SETTINGS.values()}
    source = SettingSource()
    for name, text in variables.items():
        if name == PREFIX:
            try:
                source.preset = PRESET.parse(text)
            except ValueError:
                raise refuse(f"{PREFIX} must be {PRESET.allowed}", show_value(text)) from None
        elif name in by_variable:
            setting = by_variable[name]
            source.values[setting.name] = convert_setting(setting, name, text, as_text=True)
        elif is_policy_variable(name):
            hint = suggest(name, (PREFIX, *by_variable))
            raise refuse(f"unknown setting {ascii(name)[1:-1][:80]}{hint}")
    return _parse_source(source, "the variables")


def _parse_source(source: SettingSource, origin: str) -> SettingSource:
    """Return a source with the values of its preset, after a check of the values together."""
    if source.preset == "off" and source != SettingSource("off"):
        raise refuse(f"{origin}: the preset off and other settings exclude each other; remove one of the two")
    for values in (source.values, *(section.settings for section in source.sections)):
        groups, cell = values.get("probe_groups"), values.get("minimum_cell", source.values.get("minimum_cell", 3))
        if groups not in (None, DEFAULTS["probe_groups"]) and groups < (least := GROUPS_PER_RECORD * cell):
            raise refuse(
                f"{origin}: probe_groups must be at least {GROUPS_PER_RECORD} times minimum_cell, which is {least}"
            )
        for name, value in values.items():
            if not SETTINGS[name].is_available and value != DEFAULTS[name]:
                default = SETTINGS[name].kind.show(DEFAULTS[name])
                raise refuse(
                    f"{SETTINGS[name].variable}: only the default ({default}) is available in this version of algotools"
                )
    if source.preset not in (None, "off"):
        source.values = {**DEFAULTS, **PRESETS[str(source.preset)], **source.values}
    return source


def _merge(file: SettingSource, variables: SettingSource) -> SettingSource:
    """Return the stricter value of each setting of two sources."""
    # Settings without a named preset change `standard`, which is stricter than `off`.
    if file.preset == "off":
        return file if variables.is_empty else variables
    if variables.preset == "off":
        return file
    merged = SettingSource(
        PRESET.get_stricter(file.preset or "standard", variables.preset or "standard"),
        {**file.values, **variables.values},
        file.sections,
        file.public_levels,
    )
    merged.values |= _tighten(file.values, variables.values)
    merged.sections = tuple(
        dataclasses.replace(section, settings={**section.settings, **_tighten(section.settings, variables.values)})
        for section in file.sections
    )
    return merged


def _tighten(values: Mapping[str, Any], other_values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stricter value of each setting that both mappings contain."""
    stricter = {}
    for name in values.keys() & other_values.keys():
        stricter[name] = _get_stricter(SETTINGS[name], values[name], other_values[name])
        if stricter[name] == () and SETTINGS[name].weakest != ():
            raise refuse(f"{FILE} and {SETTINGS[name].variable} have no {name} in common, so no task could run")
    return stricter


def _get_stricter(setting: Setting, first: Any, second: Any) -> Any:
    """Return the stricter of two values of a setting.

    Raises:
        PolicyError: the values contradict each other.
    """
    try:
        return setting.get_stricter(first, second)
    except ValueError as error:
        raise refuse(f"two values of {setting.name} cannot be combined ({error}); keep one of them") from None


def _make_policy(source: SettingSource) -> Policy:
    """Return the policy of a source.

    Raises:
        PolicyError: a setting requires another one.
    """
    repeats = [values.get("repeats") for values in (source.values, *(s.settings for s in source.sections))]
    if any(limit is not None for limit in repeats) and not source.values.get("ledger"):
        raise refuse(
            f"{SETTINGS['repeats'].variable}: repetitions can only be counted in a ledger; set "
            f"{SETTINGS['ledger'].variable}, too"
        )
    preset: Any = source.preset or "standard"
    return Policy(preset=preset, sections=source.sections, public_levels=source.public_levels, **source.values)
