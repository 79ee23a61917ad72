"""The tasks that a node runs with both wrappers, and the results that the researcher gets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from algotools.federation.contract import NodeContract
from algotools.federation.contract.v3 import V3Node
from algotools.federation.contract.v4 import V4Node
from algotools.federation.contract.v5 import V5Node
from algotools.runtime.contract.v5 import JOB_FOLDER, SOURCE
from algotools.task import Database, Identity, Proxy, Role, Step, Task

from ...conftest import OFF, CompletedRun
from . import wrappers
from .wrappers import PairResult, WrapperPair

FAILS = "the run fails"
"""The run crashed at the node, and has no output."""
NOTHING = "completed, without a result"
"""The run completed without output."""

ENCODED, PLAIN = V4Node(), V4Node(encoded=False)
"""Nodes of v4 from 4.2 on, and nodes of 4.0 and 4.1."""


class Case(NamedTuple):
    """A task for a node; fields without a value have the usual value."""

    method: str = ""
    kwargs: Mapping[str, object] = {}
    input_keys: Mapping[str, object] = {}
    """Further keys of the input."""
    posted: bytes | None = None
    """The input, if it differs from the input that a client writes."""
    labels: tuple[str, ...] = ("first",)
    """The databases; on v5 the tables of each argument, separated by commas, or the database of an extraction."""
    types: Mapping[str, str | None] = {}
    """Label -> type, if the type is not ``csv``."""
    unknown: tuple[str, ...] = ()
    """Requested labels that the node does not have."""
    database_options: Mapping[str, str] = {}
    """Options of each requested database: ``query``, ``sheet_name``, ``preprocessing``."""
    image: Mapping[str, str] = {}
    """Variables of the image, which no node encodes."""
    variables: Mapping[str, str] = {}
    """Variables of the node."""
    role: Role = "rpc"
    step: Step = "compute"
    """The action of v5."""
    uri: str = ""
    """The URI of the database to extract from, if it is not a file of the node."""
    options: Mapping[str, str] = {}
    """Further options of the database's owner, for example secrets."""
    contract: NodeContract = ENCODED
    command: str = wrappers.V4

    def __str__(self) -> str:
        """Return the unusual fields, for the name of the test."""
        values = {name: value for name, value in self._asdict().items() if value != self._field_defaults[name]}
        values |= {"contract": "plain"} if self.contract is PLAIN else {}
        return ", ".join(
            f"{name}={values[name]}" for name in values if name not in HIDDEN_FIELDS or values[name] == "plain"
        )


HIDDEN_FIELDS = ("contract", "command")

V3_CASE = Case(contract=V3Node(), command=wrappers.V3, input_keys={"output_format": "json"})
V5_CASE = Case(contract=V5Node(), command=wrappers.V5)


@dataclass(frozen=True)
class WrapperNode:
    """Runs cases of one generation."""

    pair: WrapperPair
    databases: Mapping[str, Database]
    decode: Callable[[bytes], Any]

    def prepare(self, case: Case) -> dict[str, str]:
        """Write the files of the node; return the environment of the container."""
        content = {"method": case.method, "kwargs": case.kwargs, **case.input_keys}
        prefix = b"json." if case.contract.name == "v3" else b""
        posted = prefix + json.dumps(content).encode() if case.posted is None else case.posted
        databases = {label: self._configured(case, label) for label in self.databases}
        requested = [replace(databases[label], **case.database_options) for label in case.labels] + [
            Database(x) for x in case.unknown
        ]
        remaining = [database for label, database in databases.items() if label not in case.labels]
        task = Task(
            method="",
            role="rpc",
            databases=tuple(requested),
            configured=tuple(remaining),
            input_file=self.pair.folder / "input",
            output_file=self.pair.folder / "output",
            temporary_folder=self.pair.folder / "tmp",
            proxy=Proxy("http://127.0.0.1:1", self.pair.folder / "token"),
            variables=case.variables,
            policy_variables=OFF,
        )
        return {**self.pair.prepare(case.contract, task, posted, wrappers.IDENTITY), **case.image}

    def _configured(self, case: Case, label: str) -> Database:
        database = self.databases[label]
        return replace(database, type=case.types.get(label, database.type))

    def run(self, case: Case) -> PairResult:
        """Run the case with both wrappers."""
        return self.pair.start(self.prepare(case), case.command)

    def researcher_result(self, result: CompletedRun) -> Any:
        """Return the result that the researcher gets, decoded like the client of the platform does it."""
        if result.code != 0:
            with pytest.raises(ValueError):  # noqa: PT011 - the output may be invalid for any reason
                self.decode(result.output)
            return FAILS
        return self.decode(result.output) if result.output else NOTHING

    def run_both(self, case: Case) -> tuple[Any, Any]:
        """Return the researcher's results from the peer's wrapper and from ours."""
        result = self.run(case)
        return self.researcher_result(result.theirs), self.researcher_result(result.ours)


TABLE = b"PAR1"
"""The first bytes of a Parquet file."""


@dataclass(frozen=True)
class NodeWithSession(WrapperNode):
    """A node of v5, with its tables as files in the folder of a session."""

    @property
    def session(self) -> Path:
        """The folder of the session."""
        return self.pair.folder / "session"

    def put(self, name: str, content: bytes) -> None:
        """Write a table of the session, like nodes do with the output of an extraction."""
        (self.session / f"{name}.parquet").write_bytes(content)

    def prepare(self, case: Case) -> dict[str, str]:
        """See ``WrapperNode.prepare``."""
        task = Task(
            method=case.method,
            role=case.role,
            step=case.step,
            databases=self._source(case) if case.step == "data_extraction" else self._session_tables(case),
            input_file=self.pair.folder / "input",
            output_file=self.pair.folder / "output",
            temporary_folder=self.session / JOB_FOLDER,
            proxy=Proxy("http://127.0.0.1:1", None, wrappers.TOKEN if case.role == "master" else ""),
            identity=Identity(task_id=7, node_id=5, organization_id=3, collaboration_id=1),
            variables=case.variables,
            policy_variables=OFF,
        )
        posted = json.dumps(case.kwargs).encode() if case.posted is None else case.posted
        return {**self.pair.prepare(case.contract, task, posted, None), **case.image}

    def researcher_result(self, result: CompletedRun) -> Any:
        """Return the researcher's result, or the rows of a table that stays at the node."""
        value = super().researcher_result(result)
        return value["rows"] if result.output.startswith(TABLE) else value

    def _source(self, case: Case) -> tuple[Database, ...]:
        [label] = case.labels
        configured = self._configured(case, label)
        return (replace(configured, label=SOURCE, uri=case.uri or configured.uri, options=case.options),)

    def _session_tables(self, case: Case) -> tuple[Database, ...]:
        groups = [label.split(",") for label in case.labels]
        return tuple(
            Database(
                name, str(self.session / f"{name}.parquet"), "parquet", group=number if len(names) > 1 else None
            )
            for number, names in enumerate(groups)
            for name in names
        )  # fmt: skip


def is_same_json(first: object, second: object) -> bool:
    """Whether two values are the same JSON; 1 differs from 1.0 and from true."""
    return json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
