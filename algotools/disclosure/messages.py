"""The rule for messages of the author's code: log lines, texts of progress, and fields of a ``UserError``.

The researcher reads them. So a message may consist of texts of the source, arguments, columns and numbers, and not of
values of the data. Levels of the data are not allowed, because a message has no use for them.
"""

from __future__ import annotations

import msgspec

from algotools.disclosure._texts import list_numbers_of_text, list_parts_of_text
from algotools.disclosure._vocabulary import Vocabulary
from algotools.disclosure.facts import Known, LevelFacts, Matches
from algotools.disclosure.policy import Policy


def list_line_numbers(text: str) -> set[float]:
    """Return the numbers of a message, which may be cells."""
    return set(list_numbers_of_text(text))


def list_line_texts(text: str) -> set[str]:
    """Return the parts of a message, which may be values of a column."""
    return list_parts_of_text(text)


def is_public_line(text: str, known_values: Known, matches: Matches, policy: Policy) -> bool:
    """Whether a message may reach the researcher.

    Args:
        text: the message.
        known_values: the values that the researcher knows before the task.
        matches: facts about the tables, and about the numbers and parts of the message. Numbers without a fact are not
            cells.
        policy: the limits of the node's owner.
    """
    if policy.messages == "any":
        return True
    counts = [table.records or 0 for table in matches.tables]
    rows = {float(count) for count in counts if count >= policy.minimum_cell}
    known_values = msgspec.structs.replace(known_values, numbers=known_values.numbers | rows)
    # Values of the data are parts that cannot be divided, however many records have them.
    levels = tuple(
        LevelFacts(column=facts.column, level_count=1, row_count=1, records=dict.fromkeys(facts.records, 0))
        for facts in matches.levels
    )
    return Vocabulary(known_values, msgspec.structs.replace(matches, levels=levels), policy).is_known(text)
