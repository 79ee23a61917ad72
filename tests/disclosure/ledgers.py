"""Record runs in a ledger without a node: the facts are made by hand, as a worker reports them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from algotools.disclosure.facts import Evidence, Intent, Matches, NumbersWithEvidence, TableFacts
from algotools.disclosure.gate import Gate
from algotools.disclosure.ledger import open_ledger
from algotools.disclosure.policy import Policy
from algotools.disclosure.sketch import make_sketch
from algotools.payload import encode_plain
from algotools.task import Database, Identity, Task

ROWS = 1_000


def make_task(arguments: Mapping[str, object], query: str | None = None, resend_of: int | None = None) -> Task:
    return Task(
        method="sums",
        role="rpc",
        kwargs=arguments,
        resend_of=resend_of,
        databases=(Database("default", "/data.csv", "csv", query=query),),
        input_file=Path("/input"),
        output_file=Path("/output"),
    )


class RecordingNode:
    """A node that judges results and records them in the ledger of its policy."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.policy = Policy(ledger=str(folder), **settings)
        self.log: list[str] = []
        self.task_number = 0

    def run(
        self,
        rows: np.ndarray[Any, Any],
        *,
        column: str = "cost",
        arguments: Mapping[str, object] | None = None,
        task: int | None = None,
        query: str | None = None,
        value: float | None = None,
        resend_of: int | None = None,
        edit: Callable[[Matches], Matches] = lambda matches: matches,
    ) -> bytes:
        """Return the bytes of a sum of a column over rows, as they leave the node; the result withheld is an error."""
        self.task_number = task = self.task_number + 1 if task is None else task
        made_task = make_task({"number": task} if arguments is None else arguments, query, resend_of)
        identity = Identity(task_id=task, node_id=1, organization_id=2, collaboration_id=1, image="demo@sha256:abc")
        ledger = open_ledger(self.policy, made_task, identity, self.log.append)
        assert ledger is not None
        gate = Gate(self.policy, made_task, ledger.key)
        intent = Intent(databases=("default",), texts=("sum",))
        permission = gate.permit(intent)
        table = TableFacts(label="default", rows=ROWS, columns=("cost", "age"), dtypes=("float64",))
        gate.add_tables((table,))
        total = float(value if value is not None else 10_000.5 + len(rows))
        evidence = Evidence(operation="aggregate.sum", records=len(rows), columns=(column,), row_set=0)
        matches = Matches(
            tables=(table,),
            evidence=(NumbersWithEvidence(evidence=evidence, numbers=np.array([total], "<f8").tobytes()),),
            row_sets=(make_sketch(rows.astype(np.int64), permission.sketch_key),),
        )
        gate.add_matches(edit(matches))
        try:
            output = gate.review(encode_plain({"sum": total}).data)
            ledger.record_result(gate, output)
        except Exception as error:
            ledger.record_failure(gate, error.failure())
            raise
        return output
