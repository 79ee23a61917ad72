"""The page about the policy: its tables list all settings, with the types, defaults and effects of this version.

``python -m tests.docs.test_policy --page`` writes the tables of the page.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from algotools.disclosure._settings import PRESETS
from algotools.disclosure.policy import Policy, SettingState, read_policy

from .conftest import DOCS, read_blocks

PAGE = DOCS / "concepts" / "policy.md"
COMMAND = "Written by `python -m tests.docs.test_policy --page`"


def make_table(settings: Iterable[SettingState]) -> str:
    """Return the table of some settings."""
    rows = [
        f"| `{setting.variable}` | {setting.allowed} | {setting.default} | {setting.effect} | {setting.source} |"
        for setting in settings
    ]
    header = ["| variable | values | default | effect | source |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*header, *(row.replace(" * ", " `*` ").replace("; * ", "; `*` ") for row in rows)])


def write_page(text: str) -> str:
    """Return the page with the tables of this version."""
    settings = Policy().describe()
    parts = {
        "": make_table(setting for setting in settings if setting.is_available),
        ": later": make_table(setting for setting in settings if not setting.is_available),
    }
    for name, table in parts.items():
        begin, end = f"<!-- {COMMAND}{name}. -->", f"<!-- End of the written part{name}. -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n\n{table}\n\n{end}{rest.partition(end)[2]}"
    return text


def test_the_tables_of_the_page_are_those_of_the_settings() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert write_page(text) == text, "run python -m tests.docs.test_policy --page"


def test_the_preset_strict_has_the_values_on_the_page() -> None:
    [row] = re.findall(r"(?m)^\| `strict` \| (.*?) \|$", PAGE.read_text(encoding="utf-8"))
    values = {name.lower(): value for name, value in re.findall(r"`(\w+)` ([\w.]+)", row)}
    assert values == {name: f"{value:.2f}" if isinstance(value, float) else str(value)
                      for name, value in PRESETS["strict"].items()}  # fmt: skip


def test_the_policy_file_of_the_page_is_valid() -> None:
    [file] = [block.text for block in read_blocks(PAGE) if block.language == "toml"]
    policy = read_policy({}, file)
    assert policy.minimum_cell == 5
    assert policy.forbidden_columns == ("date_of_birth",)
    assert policy.public_levels == {"diagnosis"}
    assert policy.select("fit_partial", ["registry"]).minimum_rows == 50
    assert policy.select("other", ["registry"]).queries == "forbid"
    assert policy.find_person_column("registry") == "patient_id"


def test_the_variables_of_the_page_are_valid() -> None:
    text = PAGE.read_text(encoding="utf-8")
    lines = re.findall(r"^  (ALGOTOOLS_POLICY\w*): \"?(.*?)\"?$", text, re.MULTILINE)
    lines += re.findall(r"`(ALGOTOOLS_POLICY\w+): \"?(\w+)\"?`", text)
    assert len(lines) > 6
    for name, value in lines:
        read_policy({name: value})


if __name__ == "__main__" and "--page" in sys.argv:
    PAGE.write_text(write_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
