"""Attack algotools, and print the scoreboard: ``python -m tests.adversary``."""

from __future__ import annotations

import argparse
import importlib
import sys
import time

from .scoreboard import AttackGroup, format_table, list_rows, write_page

ATTACKS = {
    "canaries": ("leaks", "canary runs"),
    "inputs": ("inputs", "inputs and environments"),
    "payload": ("payloads", "encoded results"),
    "yaml": ("yaml_files", "federation.yaml"),
    "kills": ("kills", "kills"),
    "probes": ("probes", "probes of the confinement"),
}
"""Name of an attack -> its module and its title."""
FAST_SHARE = 0.03


def main() -> int:
    """Run the attacks that the command line names; return 1 if one of them found a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.adversary", description=__doc__)
    parser.add_argument("--only", default=",".join(ATTACKS), help="names of attacks, separated by commas")
    parser.add_argument("--seed", type=int, default=20261130)
    parser.add_argument("--fast", action="store_true", help="run the sample that the tests run")
    parser.add_argument("--page", action="store_true", help="replace the table in docs/trust.md")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := [name for name in names if name not in ATTACKS]:
        parser.error(f"unknown attack {unknown[0]!r} (choose from {', '.join(ATTACKS)})")
    groups = []
    for name in names:
        module, title = ATTACKS[name]
        start = time.monotonic()
        group = AttackGroup(title)
        importlib.import_module(f".{module}", __package__).attack(
            group, options.seed, FAST_SHARE if options.fast else 1.0
        )
        groups.append(group)
        sys.stderr.write(f"{title}: {group.attempts} attempts in {time.monotonic() - start:.0f} s\n")
        sys.stderr.write(f"  {', '.join(f'{note}: {count}' for note, count in sorted(group.notes.items()))}\n")
    findings = [finding for group in groups for finding in group.findings]
    sys.stderr.write("".join(f"{finding}\n\n" for finding in findings))
    sys.stdout.write(f"{format_table(list_rows(groups))}\n")
    if options.page:
        write_page(groups)
    return bool(findings)


sys.exit(main())
