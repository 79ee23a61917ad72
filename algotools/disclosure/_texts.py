"""The numbers, dates and words of a text."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

import msgspec

CONSTANTS = frozenset({"true", "false", "null", "nan", "none", "nat", "<na>", "inf", "-inf", "infinity", "-infinity"})
"""The texts of booleans and missing values, which a key can have, in lower case."""

_DATE = r"\d{4}-\d\d?-\d\d?(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?|\d\d?[/.-]\d\d?[/.-]\d{2,4}"
_GROUPED = r"\d{1,3}(?:[,_]\d{3})+(?:\.\d+)?"
_PLAIN = r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
ATOM = re.compile(rf"(?P<date>(?<!\d)(?:{_DATE})(?!\d))|(?P<grouped>(?<![\d.]){_GROUPED}(?!\d))|(?P<plain>{_PLAIN})")
"""A number or a date in a text."""

_WORD = re.compile(r"[^\W_]+")
_FIELD = re.compile(r"[^,;:|/()\[\]{}=\"'\n\t]+")

MOST_DIGITS = 15
"""A number with more digits is an identifier, or contains more than one number."""

MOST_PARTS = 8
"""Words of a text up to which each sequence of words may be a level."""


def list_numbers_of_text(text: str) -> Iterator[float]:
    """Yield the numbers in a text, with both signs, because a minus can also be a dash."""
    for match in ATOM.finditer(text):
        for number in read_atom(match):
            yield number
            yield -number


def count_numbers(text: str) -> int:
    """Return how many numbers a text has."""
    return sum(match.lastgroup != "date" for match in ATOM.finditer(text))


def read_atom(match: re.Match[str]) -> list[float]:
    """Return the numbers that an atom may mean; none for a date or an identifier."""
    text = match[0]
    if match.lastgroup == "date":
        return []
    if match.lastgroup == "grouped":
        texts = [text.replace(",", "").replace("_", ""), *text.split("," if "," in text else "_")]
        return [float(part) for part in texts]
    return [] if _is_identifier(text) else [float(text)]


def _is_identifier(text: str) -> bool:
    """Whether digits are not a number: 0612 is a part of a telephone number."""
    whole, _, decimals = re.split("[eE]", text)[0].partition(".")
    is_long = len(whole) > MOST_DIGITS or len((whole + decimals).strip("0")) > MOST_DIGITS + 2
    return is_long or (len(text) > 3 and text[0] == "0" and text[1].isdecimal())


def list_parts_of_text(text: str) -> set[str]:
    """Return the parts of a text that may be values of a column."""
    return {text[start:end] for start, end in iterate_parts(text)}


def iterate_parts(text: str) -> Iterator[tuple[int, int]]:
    """Yield the ranges of a text, its fields, its words, sequences of words, numbers and dates."""
    yield 0, len(text)
    for match in ATOM.finditer(text):
        yield match.span()
    for match in _FIELD.finditer(text):
        field = match[0]
        start, end = match.start() + len(field) - len(field.lstrip()), match.start() + len(field.rstrip())
        if start < end:
            yield start, end
        word_spans = [word.span() for word in _WORD.finditer(text, start, end)]
        if len(word_spans) > MOST_PARTS:
            yield from word_spans
            continue
        for first, last in itertools.combinations_with_replacement(word_spans, 2):
            yield first[0], last[1]


def read_number(text: str) -> float | None:
    """Return the number that a text has in JSON; None for other texts."""
    if not text or text[0] not in "-0123456789" or text[-1] not in "0123456789." or len(text) > 25:
        return None
    digits = text.lstrip("-")
    if len(digits) > 1 and digits[0] == "0" and digits[1] not in ".eE":
        return None  # an identifier such as 0612
    try:
        return int(text) if digits.isdecimal() else float(text)
    except ValueError:
        return None


def list_number_texts(number: float) -> set[str]:
    """Return the texts of a number that is a label: with decimals, and without if it is whole."""
    return {str(number), str(int(number))} if float(number).is_integer() else {str(number)}


def read_numbers(texts: Sequence[str]) -> list[float] | None:
    """Return the numbers of many texts; None if one of them is not a number. JSON is the fastest parser."""
    if read_number(texts[0]) is None:
        return None
    try:
        numbers = msgspec.json.decode(f"[{','.join(texts)}]")
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    is_complete = len(numbers) == len(texts) and {int, float}.issuperset(map(type, numbers))
    return numbers if is_complete else None
