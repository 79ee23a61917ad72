"""The policy of the node's owner: typed settings that decide what may leave the node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PREFIX = "ALGOTOOLS_POLICY"
"""The variable with the preset, and the prefix of the variables with single settings."""

Preset = Literal["standard", "strict", "off"]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The settings that hold for a run."""

    preset: Preset = "standard"
    minimum_rows: int = 3
    minimum_cell: int = 3
    small_cells: Literal["suppress", "round", "refuse"] = "suppress"
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
    secure: Literal["allow", "require"] = "allow"
    key: str = ""
    ledger: str = ""
    repeats: int | None = None
    digits: int = 0
    bytes: int | None = None

    @property
    def is_off(self) -> bool:
        """Whether nothing is judged."""
        return self.preset == "off"
