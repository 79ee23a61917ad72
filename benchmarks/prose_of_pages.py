"""Count how often the documentation uses words that its style guide avoids.

Usage: python benchmarks/prose_of_pages.py [FILE ...]

Without arguments, the script reads README.md, CONTRIBUTING.md, CHANGELOG.md and every page of docs/. For each page
and for all pages together, it prints the number of words of prose, and each counted word's number per 1,000 words of
prose. Fenced code blocks, inline code, addresses of links and HTML comments are not prose. The aim is less than 1.5 for
each word except "returns".
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
AIM = 1.5

WORDS = {
    "what": r"\bwhat\b",
    "asked": r"\bask(s|ed)\b",
    "told": r"\b(told|tells?)\b",
    "said": r"\b(said|says?)\b",
    "is no": r"\b(is|are) (no|none)\b",
    "somebody": r"\b(somebody|nobody|whoever)\b",
    "stands": r"\bstands?\b",
    "anew": r"\banew\b",
    "but for": r"\bbut for\b",
    "returns": r"\breturns?\b",
}
"""Heading of a column -> pattern of the words that it counts."""

NOT_PROSE = (
    r"(?ms)^ *```.*?^ *```[ ]*$",  # a fenced block
    r"(?s)<!--.*?-->",
    r"`[^`\n]*`",
    r"(?<=\])\([^)\s]*\)",  # the address of a link
)


def read_prose(page: Path) -> str:
    """Return the text of a page without code, addresses and comments."""
    text = page.read_text(encoding="utf-8")
    for pattern in NOT_PROSE:
        text = re.sub(pattern, " ", text)
    return text


def count_words(text: str) -> int:
    """Return the number of words of a text."""
    return len(re.findall(r"[A-Za-z']+", text))


def count_per_thousand(text: str) -> dict[str, float]:
    """Return each counted word's number per 1,000 words of the text."""
    total = count_words(text) or 1
    return {name: 1000 * len(re.findall(pattern, text, re.IGNORECASE)) / total for name, pattern in WORDS.items()}


def format_row(name: str, text: str) -> str:
    """Return a page's line of the table."""
    cells = [
        f"{rate:8.2f}{'*' if rate >= AIM and word != 'returns' else ' '}"
        for word, rate in count_per_thousand(text).items()
    ]
    return f"{name:34}{count_words(text):7}{''.join(cells)}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=Path, default=PAGES)
    texts = {page: read_prose(page) for page in parser.parse_args().pages}
    print(f"{'per 1,000 words; * = 1.5 or more':34}{'words':>7}{''.join(f'{word:>9}' for word in WORDS)}")
    for page, text in texts.items():
        print(format_row(str(page.relative_to(ROOT) if page.is_relative_to(ROOT) else page), text))
    print(format_row("all pages", "\n".join(texts.values())))


if __name__ == "__main__":
    main()
