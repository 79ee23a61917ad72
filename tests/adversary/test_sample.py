"""A sample of the adversary's attempts, and the checks that the adversary itself would notice a fault."""

from __future__ import annotations

import base64
import json
import re

import pytest

from algotools.errors import CODES

from ..conftest import FEW_EXAMPLES
from . import inputs, kills, leaks, payloads, probes, scoreboard, yaml_files
from .canaries import ALL, COLUMN, NUMBER, PASSWORD, VALUE, find_canaries
from .probes import Place
from .scoreboard import (
    DOCUMENTED_CODES,
    FAULTS,
    MARKERS,
    PAGE,
    AttackGroup,
    format_table,
    list_rows,
    read_page,
    write_page,
)

SEED = 7
SHARE = 0.2 if FEW_EXAMPLES else 1.0


@pytest.mark.parametrize(
    ("attack", "share", "attempts"),
    [
        (leaks.attack, 0.01, 20),
        (inputs.attack, 0.02, 80),
        (payloads.attack, 0.1, 140),
        (yaml_files.attack, 0.05, 30),
        (kills.attack, 0.04, 6),
    ],
)
def test_a_sample_finds_no_fault(attack, share, attempts):
    group = AttackGroup("sample")
    attack(group, SEED, share * SHARE)
    assert group.findings == []
    assert group.attempts >= int(attempts * SHARE)


@pytest.mark.docker
def test_probes_find_no_breach(engine, base_image):
    """The sample has all probes, but a third of the places, because a container takes more time than its probes."""
    places = [Place("v3", "the owner of the files"), Place("v4", "root without capabilities"), Place("v5", "root")]
    group = AttackGroup("sample")
    probes.attack(group, SEED, places=places)
    assert group.findings == []
    assert group.attempts > 600


def encode(text: str) -> list[bytes]:
    data = text.encode()
    return [
        data,
        text.upper().encode(),
        text.encode("utf-16"),
        data.hex().encode(),
        data[::-1],
        repr(list(data)).encode(),
        json.dumps({"a": [text]}).encode(),
        *(base64.b64encode(b"a" * offset + data + b"bc") for offset in range(3)),
    ]


@pytest.mark.parametrize("canary", ALL)
def test_a_canary_is_found_in_every_encoding(canary):
    for data in encode(canary.text):
        assert find_canaries(b"before " + data + b" after") == {canary}


def test_nothing_is_found_in_other_texts():
    text = "ValueError in by_pandas at __init__.py, line 739; no column 'number' in database 'default'"
    assert find_canaries(text.encode()) == set()
    assert find_canaries(f"{VALUE.text} {COLUMN.text}".encode(), [PASSWORD, NUMBER]) == set()


def test_the_deliberate_channels_are_found():
    """The same search finds the values that functions send on purpose, so it would find an accidental one."""
    group = AttackGroup("channels")
    leaks.attack(group, SEED, 0.1, only="deliberate")
    assert group.notes["sent on purpose"] == group.attempts > 0


@pytest.mark.parametrize(
    ("code", "text", "fault"),
    [(70, "", "code"), (99, "", "code"), (40, "Traceback (most recent call last):", "traceback")],
)
def test_a_fault_is_counted(code, text, fault):
    group = AttackGroup("attack")
    group.check_code(code, "attempt")
    group.check_text(text, "attempt")
    assert group.faults == {fault: 1}
    assert "attempt" in group.findings[0]


def test_all_codes_of_errors_are_documented():
    assert set(CODES) <= DOCUMENTED_CODES


def test_the_page_has_the_counts_of_a_complete_run():
    counts = read_page()
    attempts = {title: row[0] for title, row in counts.items()}
    for title, least in {"canary runs": 1500, "inputs and environments": 4000, "kills": 150}.items():
        assert attempts[title] >= least
    assert attempts["encoded results"] + attempts["federation.yaml"] >= 2000
    assert attempts["probes of the confinement"] >= 70
    assert all(row[1:] == [0] * len(FAULTS) for row in counts.values())
    assert re.search(r"python -m tests\.adversary", PAGE.read_text("utf-8"))


def test_the_page_keeps_the_rows_of_other_attacks(tmp_path, monkeypatch):
    start, end = MARKERS
    page = tmp_path / "trust.md"
    page.write_text(
        f"before\n{start}\n{format_table(list_rows([AttackGroup('a', 5), AttackGroup('b', 1000)]))}\n{end}\nafter\n"
    )
    monkeypatch.setattr(scoreboard, "PAGE", page)
    faulty = AttackGroup("b", 7)
    faulty.report("orphan", "attempt", "reason")
    write_page([faulty])
    assert read_page() == {"a": [5, *[0] * len(FAULTS)], "b": list_rows([faulty])["b"]}
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("after\n")
    assert "| **total** | 12 | 0 | 0 | 0 | 1 |" in page.read_text()
