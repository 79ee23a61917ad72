"""A run in the process of its own supervisor: the gate judges without messages between two processes."""

from __future__ import annotations

from collections.abc import Sequence

from algotools.disclosure.facts import Matches, Permission, TableFacts
from algotools.disclosure.gate import WITHHELD_MESSAGE
from algotools.errors import FunctionRaised, UserError
from algotools.runtime import logs
from algotools.runtime.contract.environment import read_run_token
from algotools.runtime.dispatch._attribution import get_field_text
from algotools.runtime.dispatch._replies import judge_line
from algotools.runtime.dispatch.messages import Declaration, LogLine
from algotools.runtime.dispatch.perform import Load, MatchLine, NodeAccess, perform
from algotools.runtime.dispatch.supervisor import Run


class GatedAccess(NodeAccess):
    """Access of a function that runs in the process of its supervisor."""

    def __init__(self, run: Run) -> None:
        super().__init__(lambda: run.contract.connect(run.task, read_run_token(run.task)))
        self._run = run
        self._match: MatchLine = lambda _line: Matches()
        self.source: str | None = None
        """The folder of the algorithm, or the file of a notebook's cell; None before the function is known."""

    def perform(self, load: Load) -> bytes:
        """Perform the task, and return the encoded result; see ``perform``.

        Raises:
            AlgotoolsError: see ``perform``.
        """
        try:
            return perform(self._run.task, load, self)
        except UserError as error:
            text = get_field_text(error)
            if self._run.gate.check_line(text, self._match(text)):
                raise
            raise FunctionRaised(WITHHELD_MESSAGE, detail=error.message) from error

    def declare(self, declaration: Declaration) -> Permission:
        """See ``NodeAccess``."""
        self.source = declaration.source
        return self._run.gate.permit(declaration.intent)

    def sign(self, method: str, input_hash: str, organizations: Sequence[int]) -> str:
        """See ``NodeAccess``."""
        return self._run.gate.sign(method, input_hash, organizations)

    def report_tables(self, tables: tuple[TableFacts, ...]) -> None:
        """See ``NodeAccess``."""
        self._run.gate.add_tables(tables)

    def report_matches(self, matches: Matches) -> None:
        """See ``NodeAccess``."""
        self._run.gate.add_matches(matches)

    def judge_lines(self, match: MatchLine) -> None:
        """See ``NodeAccess``."""
        self._match = match

    def write_line(self, line: str) -> None:
        """Write a line of the log, or the note that it is withheld."""
        matches = None if isinstance(line, logs.OwnLine) else self._match(line)
        self._run.console(judge_line(self._run.gate, LogLine(line, matches)))
