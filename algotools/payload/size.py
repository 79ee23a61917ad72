"""How large one result may be.

A server keeps a result as text in base64, v4's and v5's in PostgreSQL most often, of which a text has at most 2³⁰ - 1
bytes. Four thirds of ``LARGEST`` stay below that, with room for the request that brings it there.
"""

from __future__ import annotations

from algotools.errors import ResultTooLarge

LARGEST = 800_000_000
"""Bytes of an output file."""


def largest_rich() -> int:
    """Bytes of the rich encoding, which the output file has in base64 once more."""
    return LARGEST // 4 * 3


def check(size: int, limit: int | None = None) -> None:
    """Refuse a result of so many bytes, or of at least so many; ``limit`` is ``LARGEST`` unless told otherwise.

    Raises:
        ResultTooLarge: it has too many.
    """
    limit = LARGEST if limit is None else limit
    if size > limit:
        raise ResultTooLarge(
            f"the result has {size / 1e6:.3g} MB or more, and one result may have {limit / 1e6:.3g} MB here; "
            "return aggregates, or send it in parts: one task for each"
        )
