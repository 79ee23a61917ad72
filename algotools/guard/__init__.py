"""What may leave a node. The gate stands between a worker's result and the output file."""

from __future__ import annotations

from algotools.task import Task


def review(task: Task, data: bytes) -> bytes:
    """The encoded result as it may leave the node; raising an ``AlgotoolsError`` keeps it here.

    There is no policy to apply yet, so everything passes.
    """
    del task
    return data
