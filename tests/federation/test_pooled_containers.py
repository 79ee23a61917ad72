"""An image with pooled functions: with slow, failing and dead nodes, and a lost result."""

from __future__ import annotations

import os
from collections.abc import Iterator

import docker
import pytest

from algotools import Federation, RunsIncomplete
from algotools.federation import Slow
from algotools.image.build import build_project

from ..processes import LIMIT
from .pooled_nodes import (
    COLUMN,
    FRAMES,
    IN_ROUNDS,
    compute_trimmed_mean,
    die_after,
    fail_in_round,
    lose_result,
)

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def image(engine: docker.DockerClient) -> Iterator[str]:
    """The name of the image of the project, which both contracts start."""
    tag = f"algotools-test/in-rounds:{os.getpid()}"
    build_project(engine, IN_ROUNDS, tag, lambda _line: None)
    yield tag
    engine.images.remove(tag)


# Only v5 has all four faults: nodes of v3 and v4 do not lose results. `test_pooled.py` has faults on v4, in processes.
# Pooled functions in images on v3 and v4: `tests/project/scaffold/test_whole_way.py`.
def test_nodes_that_are_slow_fail_go_offline_or_lose_a_result(image: str) -> None:
    """In round 2, organization 3 is slow and loses its result, 4 is offline, and 5 fails."""
    faults = {3: Slow(0.3), 5: fail_in_round(2)}
    with Federation(FRAMES, algorithm=image, runner="container", contract="v5", faults=faults) as federation:
        die_after(federation, 4, 1)
        lose_result(federation, 3, 2)
        with pytest.warns(RunsIncomplete, match="organization_4 failed: .*; organization_5 failed: "):
            result = federation.ask("trimmed_mean_of_most", timeout=LIMIT, **COLUMN)
        log = federation.task(1).runs[0].log
        subtasks = [[run.organization_id for run in task.runs] for task in federation.subtasks(1)]
    assert result == compute_trimmed_mean(FRAMES[:2])
    assert [ids for ids in subtasks if len(ids) > 1] == [[2, 3, 4, 5]] * 2 + [[2, 3]] * 3
    assert "starting again with 2 organizations, without organization_4: its node has been offline for " in log
    assert "; organization_5: crashed: ValueError, raised by the fault Wrong of its node" in log
    assert "the result of trimmed_mean_of_most_partial at organization_3 (id 3) seems to be lost" in log
