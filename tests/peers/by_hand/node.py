"""What a node is asked in both ways, and what the researcher gets of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from algotools.contract import Contract
from algotools.contract.v3 import V3
from algotools.contract.v4 import V4
from algotools.contract.v5 import JOBS, SOURCE, V5
from algotools.task import Database, Identity, Proxy, Role, Step, Task

from ...conftest import Ended
from . import both
from .both import Both, Pair

FAILS = "the run fails"
"""Crashed at the node, and nothing in the output."""
NOTHING = "completed, without a result"
"""What a researcher cannot tell from an answer that is empty."""

ENCODED, PLAIN = V4(), V4(encoded=False)
"""v4's nodes from 4.2 on, and those of 4.0 and 4.1."""


class Case(NamedTuple):
    """What a node is asked, and what is peculiar about it."""

    method: str = ""
    kwargs: Mapping[str, object] = {}
    more: Mapping[str, object] = {}
    """Further keys of the input."""
    posted: bytes | None = None
    """The input itself, where it is not what a client would write."""
    labels: tuple[str, ...] = ("first",)
    """On v5 the tables of each argument, with commas between them; of an extraction, the one database."""
    types: Mapping[str, str | None] = {}
    """Label -> type, where it is not ``csv``."""
    unknown: tuple[str, ...] = ()
    """Labels that are asked for and that the node does not have."""
    asks: Mapping[str, str] = {}
    """What is asked of each requested database: ``query``, ``sheet_name``, ``preprocessing``."""
    image: Mapping[str, str] = {}
    """Variables of the image, which no node encodes."""
    variables: Mapping[str, str] = {}
    """Variables of the node."""
    role: Role = "rpc"
    step: Step = "compute"
    """What v5's action says."""
    uri: str = ""
    """Of the database to extract from, where it is none of the node's files."""
    options: Mapping[str, str] = {}
    """What else the database's owner configured; secrets."""
    contract: Contract = ENCODED
    command: str = both.V4

    def __str__(self) -> str:
        """What is peculiar about it: a test's name."""
        told = {name: value for name, value in self._asdict().items() if value != self._field_defaults[name]}
        told |= {"contract": "plain"} if self.contract is PLAIN else {}
        return ", ".join(f"{name}={told[name]}" for name in told if name not in LONG or told[name] == "plain")


LONG = ("contract", "command")

V3_CASE = Case(contract=V3(), command=both.V3, more={"output_format": "json"})
V5_CASE = Case(contract=V5(), command=both.V5)


@dataclass(frozen=True)
class Node:
    """Runs cases of one generation."""

    both: Both
    databases: Mapping[str, Database]
    decode: Callable[[bytes], Any]

    def prepare(self, case: Case) -> dict[str, str]:
        """Write the node's files; gives the container's environment."""
        content = {"method": case.method, "kwargs": case.kwargs, **case.more}
        prefix = b"json." if case.contract.name == "v3" else b""
        posted = prefix + json.dumps(content).encode() if case.posted is None else case.posted
        there = {label: self._configured(case, label) for label in self.databases}
        requested = [replace(there[label], **case.asks) for label in case.labels] + [Database(x) for x in case.unknown]
        rest = [database for label, database in there.items() if label not in case.labels]
        task = Task(
            method="",
            role="rpc",
            databases=tuple(requested),
            configured=tuple(rest),
            input_file=self.both.folder / "input",
            output_file=self.both.folder / "output",
            temporary_folder=self.both.folder / "tmp",
            proxy=Proxy("http://127.0.0.1:1", self.both.folder / "token"),
            variables=case.variables,
        )
        return {**self.both.prepare(case.contract, task, posted, both.IDENTITY), **case.image}

    def _configured(self, case: Case, label: str) -> Database:
        database = self.databases[label]
        return replace(database, type=case.types.get(label, database.type))

    def run(self, case: Case) -> Pair:
        """How both end."""
        return self.both.start(self.prepare(case), case.command)

    def means(self, ended: Ended) -> Any:
        """What the researcher gets, decoded as the platform's client does it."""
        if ended.code != 0:
            with pytest.raises(ValueError):  # noqa: PT011 - any: it cannot be decoded, whatever the reason
                self.decode(ended.output)
            return FAILS
        return self.decode(ended.output) if ended.output else NOTHING

    def ask(self, case: Case) -> tuple[Any, Any]:
        """What their answer means, and what ours does."""
        ended = self.run(case)
        return self.means(ended.theirs), self.means(ended.ours)


TABLE = b"PAR1"
"""How a Parquet file begins."""


@dataclass(frozen=True)
class NodeWithSession(Node):
    """A node of v5: its tables are files in a session's folder."""

    @property
    def session(self) -> Path:
        """The session's folder."""
        return self.both.folder / "session"

    def put(self, name: str, content: bytes) -> None:
        """Make a table of the session, as nodes do with an extraction's output."""
        (self.session / f"{name}.parquet").write_bytes(content)

    def prepare(self, case: Case) -> dict[str, str]:
        """See ``Node.prepare``."""
        task = Task(
            method=case.method,
            role=case.role,
            step=case.step,
            databases=self._source(case) if case.step == "data_extraction" else self._tables(case),
            input_file=self.both.folder / "input",
            output_file=self.both.folder / "output",
            temporary_folder=self.session / JOBS,
            proxy=Proxy("http://127.0.0.1:1", None, both.TOKEN if case.role == "master" else ""),
            identity=Identity(task_id=7, node_id=5, organization_id=3, collaboration_id=1),
            variables=case.variables,
        )
        posted = json.dumps(case.kwargs).encode() if case.posted is None else case.posted
        return {**self.both.prepare(case.contract, task, posted, None), **case.image}

    def means(self, ended: Ended) -> Any:
        """What the researcher gets; or what stands in the table that stays at the node."""
        found = super().means(ended)
        return found["rows"] if ended.output.startswith(TABLE) else found

    def _source(self, case: Case) -> tuple[Database, ...]:
        [label] = case.labels
        configured = self._configured(case, label)
        return (replace(configured, label=SOURCE, uri=case.uri or configured.uri, options=case.options),)

    def _tables(self, case: Case) -> tuple[Database, ...]:
        groups = [label.split(",") for label in case.labels]
        return tuple(
            Database(
                name, str(self.session / f"{name}.parquet"), "parquet", group=number if len(names) > 1 else None
            )
            for number, names in enumerate(groups)
            for name in names
        )  # fmt: skip


def same(one: object, other: object) -> bool:
    """Whether two values are the same JSON: 1 is not 1.0, and not true."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
