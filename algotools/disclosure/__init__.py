"""The disclosure gate: decide which results and messages of the author's code may leave a node.

The supervisor judges the encoded result of each function that reads a table (``gate``). The node's owner sets the
limits (``policy``). The worker, which has the data, reports facts about the tables and the result (``facts``).
"""

from __future__ import annotations

POLICY_PREFIX = "ALGOTOOLS_POLICY"
"""The variable with the preset of a policy, and the prefix of the variables with single settings."""

LEDGER = "ALGOTOOLS_LEDGER"
"""The variable with the folder of a project's ledger on a laptop, which a local federation sets."""

LEDGER_LINE = "algotools.ledger"
"""Start of the text with the number and the hash of a ledger's last entry, in the log of each run."""

FEDERATION = "ALGOTOOLS_FEDERATION"
"""The variable with the random name of a local federation, whose ids begin at 1 again."""


def is_policy_variable(name: str) -> bool:
    """Return whether a variable belongs to the policy. In lower case it does as well, and is then unknown."""
    return name.upper().startswith(POLICY_PREFIX)
