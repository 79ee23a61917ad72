"""``algotools policy show``: the settings of a node's owner, their values, defaults and effects."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from algotools.cli._console import make_printable
from algotools.cli._describe import print_json
from algotools.disclosure.policy import DEFAULTS, OURS, Policy, SettingState, is_policy_variable, read_policy
from algotools.federation.policy import load_policy
from algotools.federation.yaml_file import read_file

POLICY_SHOW_EXAMPLES = """
[bold]Examples[/bold]

algotools policy show

algotools policy show --policy policy.toml --json

ALGOTOOLS_POLICY_MINIMUM_CELL=10 algotools policy show

[bold]Keys of --json[/bold]

origin, preset, settings (list of objects with name, variable, value, default, allowed, effect, source, is_available
(false: this version accepts only the default)), public_levels (columns), sections (list of objects with kind, pattern,
settings)
"""

_FILE = Path("federation.yaml")


def show(
    policy: Annotated[
        str | None,
        typer.Option(
            help="standard, strict, off, or a TOML file. Default: the policy in the federation.yaml of the current "
            "folder, otherwise the variables ALGOTOOLS_POLICY….",
            metavar="PRESET|FILE",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object; see below.")] = False,
) -> None:
    """Show the settings of a policy: which results may leave a node.

    Each setting has its value, its default, its effect, and the tool or rule from which it comes. Settings with
    another value than the default are marked with *. A policy that no node would accept is refused with exit code 55.
    """
    origin, effective = _read(policy)
    if as_json:
        print_json(
            {
                "origin": origin,
                "preset": effective.preset,
                "settings": [_describe_setting(state, effective) for state in effective.describe()],
                "public_levels": sorted(effective.public_levels),
                "sections": [
                    {"kind": section.kind, "pattern": section.pattern, "settings": dict(section.settings)}
                    for section in effective.sections
                ],
            }
        )
    else:
        _print(origin, effective)


def _read(policy: str | None) -> tuple[str, Policy]:
    """Return the policy, and the text that names its origin."""
    if policy is not None:
        return f"--policy {policy}", load_policy(policy).parse()
    if _FILE.exists() and (described := read_file(_FILE).policy) is not None:
        return str(_FILE), described.parse()
    variables = {name: text for name, text in os.environ.items() if is_policy_variable(name)}
    return ", ".join(sorted(variables)) or "defaults", read_policy(variables)


def _describe_setting(state: SettingState, policy: Policy) -> dict[str, Any]:
    """Return a setting for ``--json``, with values instead of texts, except for a secret."""
    is_secret = state.name == "key"
    value = (state.value if policy.key else None) if is_secret else getattr(policy, state.name)
    return {**state._asdict(), "value": value, "default": None if is_secret else DEFAULTS[state.name]}


def _print(origin: str, policy: Policy) -> None:
    console = Console(highlight=False)
    console.print(f"policy: [bold]{policy.preset}[/bold] [dim]({make_printable(origin)})[/dim]")
    if policy.is_off:
        console.print("[yellow]off: every result leaves the node; no setting has an effect[/yellow]")
    states = policy.describe()
    console.print(_make_table([state for state in states if state.is_available]))
    console.print("\n[dim]Settings of later versions. This version accepts only the defaults.[/dim]\n")
    console.print(_make_table([state for state in states if not state.is_available]))
    for section in policy.list_sections():
        console.print(f"\n{make_printable(section)}")


def _make_table(states: Sequence[SettingState]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    table.add_column(" setting", no_wrap=True, width=18)
    table.add_column("value", width=14, overflow="fold")
    table.add_column("default", style="dim", width=10)
    table.add_column("effect (source)", ratio=1)
    for state in states:
        is_changed = state.value != state.default
        value = Text.from_markup(make_printable(state.value), style="bold" if is_changed else "")
        effect = Text(state.effect)
        if state.source != OURS:
            effect.append(f" ({state.source})", "dim")
        table.add_row(f"{'*' if is_changed else ' '}{state.name}", value, state.default, effect)
    return table
