"""Mutated ``federation.yaml`` files. Reading one raises only the documented error, in bounded time and memory."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from algotools import Federation
from algotools.federation.yaml_file import read_file

from ..conftest import ROOT
from .payloads import _decode
from .scoreboard import AttackGroup

ATTEMPTS = 800
WORDS = [
    "null", "~", "true", "1", "-1", "1e999", "0x10", "2020-01-01", "[]", "{}", "[[", "]", "{", "}", "- ", "? ",
    ": ", "&a ", "*a",
    "*b", "<<: *a", "!!python/object/apply:os.system [x]", "!!binary eA==", "!x ", "!!set {a}", "|\n", ">\n",
    "---\n", "...\n",
    "%YAML 9.9\n", "\t", "\0", "\x07", "\ufeff", "\u2028", "💥", "\ud7ff", "'", '"', "#", "name: x\n", "uri: x\n",
    "label: x\n",
    "databases: x\n", "organizations: []\n", "images: []\n", "type: [x]\n", "env: {A: [b]}\n", "  ", "\n", "\r",
    "~nobody/x",
    "@", "`", "{{ x }}", "${HOME}",
    "../" * 50, "x" * 10_000, "[" * 3_000, "{a: " * 3_000, "- " * 3_000, "9" * 5_000,
]  # fmt: skip
LIST_FORM = """\
collaboration: trial
images: {"registry.example/a:1": ../average}
organizations:
  - name: north
    databases:
      - {label: default, uri: north.csv, type: csv, env: {SEP: ";", NA_VALUES: [a, b]}}
      - label: register
        uri: postgresql://reader@db.example.org/register
        type: sql
    algorithm_env: {A: 1, B: "yes"}
  - name: south
    databases: {default: &file {uri: ~/south.csv, dtype: {code: str}}, second: {<<: *file, type: csv}}
"""
LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 20)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def attack(group: AttackGroup, seed: int, share: float = 1.0) -> None:
    """Read mutated files."""
    chance = random.Random(seed)
    texts = [path.read_text("utf-8") for path in sorted(ROOT.glob("examples/*/federation.yaml"))] + [LIST_FORM]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "federation.yaml")
        for number in range(round(ATTEMPTS * share)):
            data = LAUGHS.encode() if number == 0 else _mutate(chance.choice(texts), chance)
            path.write_bytes(data)
            group.attempts += 1
            _decode(group, f"{number}: {data[:2000]!r}", data, lambda _data: _open(path))


def _open(path: Path) -> None:
    configuration = read_file(path)
    if len(configuration.members) < 10:
        Federation(configuration, algorithm=[]).close()


def _mutate(text: str, chance: random.Random) -> bytes:
    lines = text.splitlines(keepends=True)
    for _ in range(chance.choice([1, 1, 2, 3])):
        line = chance.randrange(len(lines))
        column = chance.randrange(len(lines[line]) + 1)
        match chance.randrange(7):
            case 0:
                lines.insert(line, chance.choice(WORDS))
            case 1:
                lines[line] = lines[line][:column] + chance.choice(WORDS) + lines[line][column:]
            case 2:
                key, colon, _ = lines[line].partition(":")
                lines[line] = f"{key}{colon} {chance.choice(WORDS)}\n"
            case 3:
                lines.insert(line, lines[chance.randrange(len(lines))])
            case 4 if len(lines) > 1:
                del lines[line]
            case 5:
                lines[line] = " " * chance.randrange(5) + lines[line].lstrip(" ")
            case _:
                lines[line] = lines[line][:column]
    data = bytearray("".join(lines).encode("utf-8", "surrogatepass"))
    if data and chance.random() < 0.2:
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)
