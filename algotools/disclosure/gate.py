"""The gate of one run: refuse what the policy forbids before data is read, and judge what leaves afterwards.

The gate belongs to the supervisor, which the author's code cannot change. The facts come from the worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from algotools.disclosure.facts import Intent, Known, Matches, Permission, TableFacts
from algotools.disclosure.parent import REQUEST, OriginCheck
from algotools.disclosure.policy import Policy
from algotools.errors import Withheld
from algotools.payload import RICH, WithheldCells, add_withheld
from algotools.task import Task

if TYPE_CHECKING:
    from algotools.disclosure._content import Content

WITHHELD_LINE = "(log line withheld: a text is not in the algorithm's source, or a number is a value of few records)"
WITHHELD_MESSAGE = (
    "an error of the function, whose message is withheld: a text is not in the algorithm's source, or a number is a "
    "value of few records"
)

REASONS = {
    "rows": "a table that was read has fewer than {minimum_rows} records",
    "unread": "{path} comes from data whose number of rows is unknown",
    "kind": "{path} may contain any data",
    "bytes": "it has more bytes than the policy allows",
    "threshold": "{path} represents fewer than {minimum} records",
    "dominance": "one or two records make up most of {path}",
    "parameters": "{path} has too many parameters for its records",
    "difference": "{path} differ by fewer than {minimum} records",
    "margin": "{path} has the same records as a table with hidden cells, and reveals one of them",
    "undeclared": "{path} has a number without evidence, which this node requires",
    "text": "{path} has a text or key that is not in the algorithm's source, an argument, a column or a level of at "
    "least {minimum} records",
    "label": "{path} has a numeric key that is the value of fewer than {minimum} records",
    "length": "{path} has about as many entries as a table that was read has records",
    "numbers": "it has too many numbers for the cells that were read",
    "echo": "{path} equals a value that fewer than {minimum} records have",
    "extreme": "{path} equals the smallest or the largest value of a column",
    "small": "{path} may represent fewer than {minimum} records",
    "zeros": "{path} may represent a group without records",
    "few": "{path} changes only without fewer than {minimum} groups of records",
    "order": "{path} changes with the order of rows",
    "pair": "{path} and another number differ only by fewer than {minimum} groups of records",
    "large": "it has too many numbers without evidence to probe them",
    "unprobed": "numbers without evidence could not be probed",
}
"""Rule -> the reason in a message. It contains no value of the result."""


class Decision(NamedTuple):
    """The reason why the policy withholds a result, or refuses to read the data."""

    rule: str
    """The rule, or the setting that lists what a task may use."""
    reason: str
    way_out: str
    path: str = ""
    """The path to the part of the result; empty before the function is called."""
    is_probed: bool = False
    """Whether the result would leave a node that does not probe."""


class RunFacts(NamedTuple):
    """What the gate knows about a run, for the ledger."""

    policy: Policy
    """The settings for the function and its databases."""
    intent: Intent
    tables: tuple[TableFacts, ...]
    matches: Matches | None
    content: Content | None
    """The content of the result; None if no result was judged."""
    known_texts: frozenset[str]
    """The texts that a path may show."""


class Gate:
    """Judges one run.

    Args:
        policy: the policy of the node's owner.
        task: the task of the run.
        sketch_key: the key of the ledger for the sketches of row sets; without a ledger, the worker makes a key.
        origin: checks which task has created this one; None for a trial call, which no server knows.
    """

    def __init__(self, policy: Policy, task: Task, sketch_key: bytes = b"", origin: OriginCheck | None = None) -> None:
        self._policy = policy
        self._task = task
        self._origin = origin
        self._policies: dict[str, Policy] = {}
        """Label of a database that the function reads -> the settings for it alone."""
        self._intent: Intent | None = None
        self._tables: tuple[TableFacts, ...] = ()
        self._matches: Matches | None = None
        self._sketch_key = sketch_key
        self._content: Content | None = None
        self._arguments: Known | None = None
        """The values in the arguments, for all lines of the log and the result; None before the function is known."""
        self.decision: Decision | None = None
        """The reason for the error that the gate has raised; None if it has raised none."""

    def describe(self) -> str:
        """Return a line for the log of a run that is not judged; empty for other runs."""
        if self._policy.is_off:
            return "the policy of this node is off, so results and messages are not judged"
        return "" if self._task.step == "compute" else "the table stays at the node, so its content is not judged"

    def permit(self, intent: Intent) -> Permission:
        """Decide whether a function may read its data.

        Raises:
            Withheld: the policy forbids the function, a database, a column or a query. No data was read.
        """
        self._intent = intent
        self._policies = {label: self._policy.select(self._task.method, [label]) for label in intent.databases}
        policy = self._policy.select(self._task.method, intent.databases).tighten(intent.minimum_rows)
        self._policy = policy
        if policy.is_off:
            return Permission()
        self._arguments = self._read_arguments()
        if not policy.allows_function(self._task.method):
            raise self._refuse("the function", "functions", "ask the node's owner to allow it")
        for label in intent.databases:
            if not policy.allows_database(label):
                raise self._refuse(f"database {label!r}", "databases", "request another database")
        # A column that an argument names may belong to any of the tables. `add_tables` knows to which.
        for column in intent.columns:
            if intent.databases and not any(p.allows_column(column) for p in self._policies.values()):
                raise self._refuse(f"column {column!r}", "columns", "use another column")
        if policy.queries == "forbid":
            for database in self._task.databases:
                if database.query and database.query.strip() != "None":
                    raise self._refuse(
                        f"a query for database {database.label!r}", "queries", "request the database without a query"
                    )
        if self._origin is not None and (refusal := self._origin.find_refusal(intent, policy)):
            self.decision = Decision(*refusal)
            raise Withheld(f"{self._task.method}: {refusal.reason} (setting {refusal.setting}); {refusal.way_out}")
        return Permission(
            persons=dict(policy.persons),
            minimum_records=policy.minimum_cell,
            is_judged=True,
            small_cells=policy.small_cells,
            round_base=policy.round_base,
            sketch_key=self._sketch_key,
            signs_subtasks=self._origin is not None and bool(policy.key),
            probe_groups=policy.count_probe_groups() if policy.undeclared == "probe" else 0,
            probe_cells=policy.probe_cells,
        )

    def sign(self, method: str, input_hash: str, organizations: Sequence[int]) -> str:
        """Return the signature of a subtask; empty if the policy has no key."""
        return "" if self._origin is None else self._origin.sign(method, input_hash, organizations)

    def preload(self) -> None:
        """Import the rules now, while the worker imports its libraries and reads its data."""
        if not self._policy.is_off:
            from algotools.disclosure import _content, rules  # noqa: F401 - see above

    def add_tables(self, tables: tuple[TableFacts, ...]) -> None:
        """Add the facts about the tables, which the worker reports before it calls the function.

        Raises:
            Withheld: the policy forbids a column of a table that the function reads as a whole.
        """
        self._tables = tables
        if not self._policy.is_off:
            for table in tables:
                self._check_columns(table.columns, table.label)

    def add_matches(self, matches: Matches) -> None:
        """Add the facts about the result."""
        self._matches = matches

    def review(self, data: bytes) -> bytes:
        """Judge an encoded result, and return the bytes that leave.

        Raises:
            Withheld: the result may not leave. The message names the rule and the way out, and no value.
        """
        if self._policy.is_off or self._task.step != "compute":
            return data
        intent = self._intent
        if intent is not None and intent.role == "master" and not intent.databases:
            return data
        from algotools.disclosure import _content, rules

        if intent is None or self._matches is None:
            reason = "the worker has not reported the tables that it read"
            raise self.withhold(Decision("rows", reason, "report this as a bug"))
        self._content = content = _content.read_content(data)
        known_values = self._collect_known(_content.list_numbers(content))
        if intent.is_pooled:
            from algotools.disclosure import replies

            request = str(self._task.kwargs.get(REQUEST, ""))
            refusals = replies.judge_reply(content, known_values, self._matches, self._policy, request)
        else:
            refusals = rules.judge(content, known_values, self._matches, self._policy)
        is_probed = not refusals and self._policy.undeclared == "probe"
        if self._policy.undeclared == "probe":
            from algotools.disclosure import probe_rules

            refusals += probe_rules.judge_probes(
                content, known_values, self._matches, self._policy, is_pooled=intent.is_pooled
            )
        if refusals:
            first = refusals[0]
            reason = REASONS[first.rule].format(
                path="the result" if first.path == "result" else first.path,
                minimum=self._policy.minimum_cell,
                minimum_rows=self._policy.minimum_rows,
            )
            details = [f"rule {r.rule} at {r.path or 'the result'}: {r.detail}" for r in refusals]
            decision = Decision(first.rule, reason, first.way_out, first.path or "the result", is_probed)
            raise self.withhold(decision, *details)
        if self._policy.digits:
            from algotools.disclosure import _rounding

            data = _rounding.round_result(data, self._policy.digits)
        if (cells := self._matches.withheld) and data.startswith(RICH):
            data = add_withheld(data, WithheldCells(cells, self._policy.minimum_cell))
        return data

    @property
    def policy(self) -> Policy:
        """The settings for the function and its databases; before ``permit``, those of the node."""
        return self._policy

    @property
    def facts(self) -> RunFacts | None:
        """The facts about the run; None if no function was found, or nothing is judged."""
        if self._intent is None or self._policy.is_off:
            return None
        known_texts = self._collect_known(()).texts
        return RunFacts(self._policy, self._intent, self._tables, self._matches, self._content, known_texts)

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines for the log that describe the result; for a result that ``review`` has passed."""
        if self._matches is None:
            return ()
        return (*self._matches.notes, *self._describe_withheld(self._matches.withheld))

    def _describe_withheld(self, cells: int) -> Iterator[str]:
        """Yield the line about cells of few records, if there are any."""
        is_rounded = self._policy.small_cells == "round"
        treatment = f"rounded to a multiple of {self._policy.round_base}" if is_rounded else "withheld"
        if cells:
            number, verb = ("1 cell", "is") if cells == 1 else (f"{cells} cells", "are")
            yield f"{number} with fewer than {self._policy.minimum_cell} records {verb} {treatment}"

    def check_line(self, text: str, matches: Matches) -> bool:
        """Return whether a text of the author's code may appear in the run's log."""
        if not self._judges_messages():
            return True
        from algotools.disclosure import messages

        return messages.is_public_line(text, self._collect_known(matches.numbers), matches, self._policy)

    def _judges_messages(self) -> bool:
        return not self._policy.is_off and self._policy.messages == "constant"

    def _check_columns(self, columns: Iterable[str], label: str) -> None:
        """Refuse a column of a database. The message names only columns that the task or the function names."""
        policy = self._policies.get(label, self._policy)
        named_columns = self._intent.columns if self._intent is not None else ()
        for column in columns:
            if not policy.allows_column(column):
                part = f"column {column!r}" if column in named_columns else "one of the columns that the function reads"
                way_out = "name the columns that the function needs"
                raise self._refuse(f"{part} of database {label!r}", "columns", way_out, f"the column is {column!r}")

    def _refuse(self, part: str, setting: str, way_out: str, detail: str = "") -> Withheld:
        """Return the error for a task that the policy does not allow, before any data is read."""
        self.decision = Decision(setting, f"the node's policy does not allow {part}", way_out)
        message = f"{self._task.method}: {self.decision.reason} (setting {setting}); {way_out}"
        return Withheld(message, detail=detail)

    def withhold(self, decision: Decision, *details: str) -> Withheld:
        """Return the error for a result that may not leave; the details are for the node's owner."""
        self.decision = decision
        message = f"{self._task.method}: result withheld: {decision.reason} (rule {decision.rule}); {decision.way_out}"
        return Withheld(message, detail="\n".join(details))

    def _collect_known(self, numbers: Iterable[float]) -> Known:
        """Return what the researcher knows already. Of the numbers, only those in *numbers* are needed."""
        arguments = self._arguments or self._read_arguments()
        texts = {*arguments.texts, *(database.label for database in self._task.databases)}
        tables = self._matches.tables if self._matches is not None else self._tables
        for table in (*tables, *self._tables):
            texts.update(table.columns, table.dtypes)
        texts.update((*self._intent.texts, *self._intent.databases) if self._intent is not None else ())
        texts.update(self._matches.texts if self._matches is not None else ())
        return Known(
            texts=frozenset(texts),
            numbers=arguments.numbers.intersection(numbers),
            source_numbers=frozenset(self._intent.numbers if self._intent is not None else ()),
            lengths=arguments.lengths,
        )

    def _read_arguments(self) -> Known:
        """Return the values in the task's arguments."""
        texts: set[str] = set()
        numbers: set[float] = set()
        lengths: set[int] = set()
        is_pooled = self._intent is not None and self._intent.is_pooled
        keywords = {name: value for name, value in self._task.kwargs.items() if not is_pooled or name != REQUEST}
        for value in _walk([list(self._task.args), keywords]):
            if isinstance(value, str):
                texts.add(value)
            elif isinstance(value, (int, float)) and not isinstance(value, bool):
                numbers.add(value)
            elif isinstance(value, (list, tuple)):
                lengths.add(len(value))
        return Known(texts=frozenset(texts), numbers=frozenset(numbers), lengths=frozenset(lengths))


def _walk(value: Any) -> Iterator[Any]:
    """Yield a value of the task's arguments and everything in it, the keys of mappings included."""
    pending = [value]
    while pending:
        item = pending.pop()
        yield item
        if isinstance(item, Mapping):
            pending += [*item.keys(), *item.values()]
        elif isinstance(item, (list, tuple)):
            pending += item
