"""The request of each round: the totals that are known so far, with the call sites that requested them."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import msgspec

from algotools.errors import ArgumentsError
from algotools.payload import decode_rich, encode_rich
from algotools.runtime.pooled._call_site import CallSite


class KnownTotal(NamedTuple):
    """A total, and the call site that requested it."""

    site: CallSite
    value: Any


class History:
    """The totals of one attempt to compute a task's result.

    Args:
        task: the id of the master's task.
        attempt: 1, and one more for each restart with fewer organizations.
    """

    def __init__(self, task: int = 0, attempt: int = 1) -> None:
        self.task = task
        self.attempt = attempt
        self.totals: list[KnownTotal] = []

    @property
    def key(self) -> str:
        """Names the task and the attempt in digests and files."""
        return f"{self.task}-{self.attempt}"

    def encode(self) -> str:
        """Return the history as a text, which every generation can send as an argument."""
        content = {
            "task": self.task,
            "attempt": self.attempt,
            "sites": [msgspec.to_builtins(total.site) for total in self.totals],
            "values": [total.value for total in self.totals],
        }
        return base64.b64encode(encode_rich(content)).decode()

    @classmethod
    def decode(cls, text: str) -> History:
        """Return the history in an argument; an empty text is the first round of no particular task.

        Raises:
            ArgumentsError: the text was not written by a master of this version.
        """
        if not text:
            return cls()
        try:
            content: Any = decode_rich(base64.b64decode(text, validate=True))
            history = cls(int(content["task"]), int(content["attempt"]))
            sites = msgspec.convert(content["sites"], list[CallSite])
            history.totals = [KnownTotal(*pair) for pair in zip(sites, content["values"], strict=True)]
        except Exception:
            raise ArgumentsError("the totals of earlier rounds cannot be read; call the master instead") from None
        return history


class RoundReply(msgspec.Struct, kw_only=True):
    """The outcome of one run at a node: a result, or the contributions to the totals that it requests.

    A fault is data, not a failed run, so that the master can report it with the names of the nodes.
    """

    is_finished: bool = False
    result: Any = None
    sites: list[CallSite] = []
    ways: list[str] = []
    """How the contributions are combined; see ``combine``."""
    contributions: list[Any] = []
    has_entry_per_row: list[bool] = []
    """Whether the first dimension of a contribution is as long as the node's table."""
    omitted_levels: list[int] = []
    """For each contribution of ``levels``, the number of levels with few records, which it omits; otherwise 0."""
    fault: tuple[int, str] | None = None
    """Exit code and message of an error of the function, which is the same at every node."""

    def to_plain(self) -> dict[str, Any]:
        """Return the reply as a result of the rpc."""
        plain = {name: getattr(self, name) for name in self.__struct_fields__}
        return {**plain, "sites": [msgspec.to_builtins(site) for site in self.sites]}

    @classmethod
    def from_plain(cls, plain: Any) -> RoundReply:
        """Return the reply in the result of an rpc.

        Raises:
            ValueError: the result is not a reply.
        """
        try:
            reply = cls(**plain)
            reply.sites = msgspec.convert(plain["sites"], list[CallSite])
            reply.omitted_levels = msgspec.convert(reply.omitted_levels, list[int])
            lists = (reply.sites, reply.ways, reply.contributions, reply.has_entry_per_row, reply.omitted_levels)
            is_complete = len({len(items) for items in lists}) == 1
        except (TypeError, KeyError, ValueError):
            is_complete = False
        if not is_complete:
            raise ValueError("its result is not that of a pooled function")
        return reply
