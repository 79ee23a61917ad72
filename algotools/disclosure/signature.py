"""The signature of a subtask: an HMAC by the supervisor of the master that has created the subtask.

The key is ``ALGOTOOLS_POLICY_KEY``, which the owners of a collaboration's nodes share. A valid signature proves that
the supervisor of a master at one of these nodes has signed the call while the master's task ran. It does not prove
which master this was, because the worker requests signatures, and the worker runs the author's code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

_PURPOSE = "algotools subtask 1"
"""Part of each HMAC, so that no other use of the key creates a valid signature."""

_FORMAT = re.compile(r"(\d{1,18})\.(\d{1,18})\.(\d{1,18}(?:-\d{1,18})*)\.([0-9a-f]{32})\.([0-9a-f]{64})", re.ASCII)


class SignedCall(NamedTuple):
    """The part of a call that both nodes know, so that a signature need not contain it."""

    method: str
    input_hash: str
    """The hash of the input without its signature."""
    tables: tuple[str, ...] = ()
    """The names of the tables of a v5 session; on v3 and v4 the server gives a subtask its parent's databases."""


class Signature(NamedTuple):
    """The facts that a signature proves, beside the call."""

    task: int
    """The id of the master's task."""
    round: int
    """1 for the master's first subtask with this method, then one more for each; the round of a pooled function."""
    organizations: tuple[int, ...]
    """The ids of the organizations that the master has sent the subtask to."""
    nonce: str
    """A random number, so that the signatures of two equal calls differ."""
    code: str
    """The HMAC, in hexadecimal."""

    @classmethod
    def parse(cls, text: str) -> Signature | None:
        """Return the signature in a text; None if the text is not a signature."""
        match = _FORMAT.fullmatch(text)
        if match is None:
            return None
        task, number, organizations, nonce, code = match.groups()
        signature = cls(int(task), int(number), tuple(map(int, organizations.split("-"))), nonce, code)
        return signature if str(signature) == text else None  # "03-4" is another text of 3-4

    def __str__(self) -> str:
        return f"{self.task}.{self.round}.{'-'.join(map(str, self.organizations))}.{self.nonce}.{self.code}"

    def is_valid(self, key: str, call: SignedCall) -> bool:
        """Return whether an owner of the key has signed the call."""
        import hmac  # here, because few runs have a key

        return hmac.compare_digest(self.code, self.compute_code(key, call))

    def compute_code(self, key: str, call: SignedCall) -> str:
        """Return the HMAC of a call."""
        import hmac

        content = [_PURPOSE, *call, self.task, self.round, self.organizations, self.nonce]
        return hmac.digest(key.encode(), json.dumps(content).encode(), "sha256").hex()


def sign(key: str, call: SignedCall, task: int, number: int, organizations: Sequence[int]) -> Signature:
    """Return the signature of a call.

    Args:
        key: the collaboration's secret.
        call: the call of an rpc.
        task: the id of the master's task.
        number: see ``Signature.round``.
        organizations: the ids of the organizations that the subtask is sent to.
    """
    import secrets

    unsigned = Signature(task, number, tuple(organizations), secrets.token_hex(16), "")
    return unsigned._replace(code=unsigned.compute_code(key, call))
