"""The container's side of every generation's proxy: what they have in common."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, cast

from algotools.client.http import Http
from algotools.contract import token
from algotools.errors import TokenError
from algotools.task import Task

PATIENCE_WHILE_WAITING = 600.0
"""Seconds for which an unreachable proxy is borne while results are waited for: a server's upgrade."""


class BaseConnection:
    """A node's proxy, spoken to with the run's token; see ``Connection``."""

    def __init__(self, task: Task, text: str) -> None:
        if task.proxy is None:
            raise TokenError("the node names no proxy, so this run cannot reach the platform")
        self.identity = token.read(text)
        self._http = Http(task.proxy.url, text)

    def close(self) -> None:
        """See ``Connection``."""
        self._http.close()

    def _post_task(self, method: str, inputs: Mapping[int, bytes], **more: object) -> int:
        """Create a subtask; ``more`` are the fields that only this generation has."""
        body = {
            "name": "subtask",
            "image": self.identity.image,
            "collaboration_id": self.identity.collaboration_id,
            "description": f"{method}, asked for by the master at node {self.identity.node_id}",
            "organizations": [{"id": o, "input": base64.b64encode(data).decode()} for o, data in inputs.items()],
            **more,
        }
        return int(cast("dict[str, Any]", self._http.post("task", body))["id"])
