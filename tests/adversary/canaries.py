"""Texts that exist only in a node's data, names and settings, and the search for them in everything that is read."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

Kind = Literal["value", "name", "credential"]


class Canary(NamedTuple):
    """A text to search, and the kind of fault if a researcher can read it."""

    kind: Kind
    text: str


VALUE = Canary("value", "Vexmund-Quillon-60413")
NUMBER = Canary("value", "739126485")
COLUMN = Canary("name", "Quorzeldiagnosis771")
FOLDER = Canary("name", "Zarvokregistry552")
FILE = Canary("name", "Brindlewoxfile38")
SHEET = Canary("name", "Yuffelsheet29")
TABLE = Canary("name", "Krastovtable83")
OPTION = Canary("name", "OPTIONMERVIX47")
SCHEME = Canary("name", "jorvadbscheme")
HOST = Canary("name", "dwimbolhost.test")
USER = Canary("credential", "Plivexuser64")
PASSWORD = Canary("credential", "Wurrzelpass9917")
ALL = (VALUE, NUMBER, COLUMN, FOLDER, FILE, SHEET, TABLE, OPTION, SCHEME, HOST, USER, PASSWORD)


def find_canaries(data: bytes, canaries: Iterable[Canary] = ALL) -> set[Canary]:
    """Return the canaries in *data*, plain or in one of the usual encodings, in upper or lower case."""
    folded = _fold(data)
    return {
        canary
        for canary in canaries
        if any(pattern in folded for pattern in _PATTERNS[canary])
        or any(pattern in data for pattern in _BASE64[canary])
    }


def _fold(data: bytes) -> bytes:
    """Return letters and digits in lower case. Escapes, separators and the zeros of UTF-16 vanish."""
    return re.sub(rb"[^a-z0-9]", b"", data.lower())


def _make_patterns(text: str) -> set[bytes]:
    parts = [text] if text.isdigit() else [word for word in re.split("[^A-Za-z0-9]", text) if len(word) > 5]
    patterns = set()
    for word in parts:
        for form in (word, word.upper(), word.lower()):
            data = form.encode()
            codes = "".join(map(str, data))
            patterns |= {_fold(data), _fold(data[::-1]), data.hex().encode(), codes.encode()}
    if text.isdigit():
        patterns |= {f"{int(text):x}".encode(), str(int(text) + 1).encode()}
    return patterns


def _make_base64(text: str) -> set[bytes]:
    """Return the part of the base64 of a text that does not depend on the bytes around it, for each offset."""
    return {
        base64.b64encode(b"x" * offset + form.encode())[4 if offset else 0 : -4]
        for offset in range(3)
        for form in (text, text.upper(), text.lower())
    }


_PATTERNS = {canary: _make_patterns(canary.text) for canary in ALL}
_BASE64 = {canary: _make_base64(canary.text) for canary in ALL}
