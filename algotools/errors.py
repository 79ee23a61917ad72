"""The errors of algotools, each with an exit code, a public message and a private detail.

``message`` is public: in a container it is written to the run's log, which the researcher reads, so it never
contains a value from a node's data. ``detail`` is only for the owner of the node: the traceback, the list of
columns, the path of a file.

Each class declares its exit code. A missing code, or the code of another class, fails at import.
``docs/exit-codes.md`` explains the codes.
"""

from __future__ import annotations

import enum
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from algotools._fields import convert_field, find_fields, is_constant_of, is_global, is_in_module

# Parts of this module's interface.
from algotools._fields import find_named_class as find_named_class  # noqa: PLC0414
from algotools._fields import format_author_traceback as format_author_traceback  # noqa: PLC0414
from algotools._fields import format_traceback as format_traceback  # noqa: PLC0414
from algotools._fields import list_causes as list_causes  # noqa: PLC0414
from algotools._fields import select_author_frames as select_author_frames  # noqa: PLC0414

PACKAGE = Path(__file__).parent
"""The folder of the source of algotools. Its frames are removed from the tracebacks that an author reads."""

CODES: dict[int, type[AlgotoolsError]] = {}
"""Exit code -> error class."""


class Failure(NamedTuple):
    """An error as plain data, in the form in which processes exchange it."""

    exit_code: int
    message: str
    detail: str = ""


class AlgotoolsError(Exception):
    """Base class of all errors that algotools raises."""

    exit_code: ClassVar[int]

    def __init_subclass__(cls, *, exit_code: int, shares_code: bool = False, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        owner = cls if shares_code else CODES.setdefault(exit_code, cls)
        # A notebook cell that runs twice declares its class twice, so the names are compared.
        if owner is not cls and owner.__qualname__ != cls.__qualname__:
            raise TypeError(f"exit code {exit_code} of {cls.__name__} already belongs to {owner.__name__}")
        cls.exit_code = exit_code

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self._first_message = message

    def is_changed(self) -> bool:
        """Return whether other code has replaced the message after the error was made."""
        return self.message != self._first_message

    def _render_traceback_(self) -> list[str]:
        """Return the lines that a notebook shows: the message without the frames of algotools."""
        return f"{type(self).__name__} ({self.exit_code}): {self}".splitlines()

    def failure(self) -> Failure:
        """Return the error as plain data."""
        return Failure(self.exit_code, self.message, self.detail)


# The task (10-19): errors that the researcher can fix.


class ContractError(AlgotoolsError, RuntimeError, exit_code=10):
    """The environment variables are not those of a v3, v4 or v5 node, or a variable is missing or malformed."""


class InputError(AlgotoolsError, ValueError, exit_code=11):
    """The task's input is missing, empty, not JSON, or JSON of the wrong structure, or has an unfit query."""


class PickleRefused(AlgotoolsError, ValueError, exit_code=12):
    """The task's input is a pickle. Unpickling could run any code at the node, so the input is not read."""


class UnknownMethod(AlgotoolsError, LookupError, exit_code=13):
    """No function is registered under the name of the method."""


class WrongRole(AlgotoolsError, LookupError, exit_code=14):
    """The task calls an rpc as a master, a master as an rpc, or a function of another step."""


class ArgumentsError(AlgotoolsError, TypeError, exit_code=15):
    """Arguments are missing or unknown, or do not have the type in the function's signature."""


class UnknownColumn(AlgotoolsError, LookupError, exit_code=16):
    """An argument names a column that the data does not contain."""


class UnknownOrganization(AlgotoolsError, LookupError, exit_code=17):
    """An argument or a call names an organization that is not in the collaboration."""


class WrongColumnKind(AlgotoolsError, ValueError, exit_code=18):
    """An argument names a column with another content than the function requires, such as texts instead of numbers."""


# The algorithm (20-29): errors that the author can fix.


class AlgorithmNotFound(AlgotoolsError, LookupError, exit_code=20):
    """The algorithm does not exist, or registers no function."""


class AlgorithmImportError(AlgotoolsError, ImportError, exit_code=21):
    """The algorithm's module cannot be imported."""


class DeclarationError(AlgotoolsError, TypeError, exit_code=22):
    """A function cannot be registered as it is declared, for instance because of ``*args``."""

    def __init__(self, message: str, *, detail: str = "", rule: str = "declaration") -> None:
        super().__init__(message, detail=detail)
        self.rule = rule
        """The rule of ``algotools check`` that the declaration breaks."""


class PackagingError(AlgotoolsError, RuntimeError, exit_code=23):
    """The build of an image cannot read or install the dependencies of the project."""


class ProofFailed(AlgotoolsError, AssertionError, exit_code=24):
    """A pooled function gives another result when its rows are split over nodes."""


# The node's databases and variables (30-39): errors that mostly the node's owner can fix.


class UnknownLabel(AlgotoolsError, LookupError, exit_code=30):
    """A database label that the node does not have, or that the task does not request."""


class DatabaseUnreadable(AlgotoolsError, RuntimeError, exit_code=31):
    """A database is missing, empty or corrupt, or reading it is not permitted."""


class UnsupportedDatabase(AlgotoolsError, RuntimeError, exit_code=32):
    """A type of database, or a form of data, that this version of algotools cannot read."""


class NodeVariableError(AlgotoolsError, ValueError, exit_code=33):
    """A variable that a function needs is not set by the node's owner, or its text does not fit the declared type."""


# The run of a function (40-49).


class FunctionRaised(AlgotoolsError, RuntimeError, exit_code=40):
    """The author's function raised an exception."""


class UserError(AlgotoolsError, exit_code=41):
    """Base class for an author's own public messages: a constant text with declared fields.

    Define a subclass with a ``text`` and annotate the fields of the text; pass the values of the fields to the
    constructor. The text is a constant of the class, so it cannot contain a value from the data by accident.

    A field is a number, a boolean, a ``Literal``, an enum, a ``Column`` or another string. When the error leaves a
    function, each string must occur in the task or in the source of the functions that raised it; otherwise the
    researcher reads only that the function failed. The gate of the node judges numbers (``disclosure.messages``).

    >>> class TooFewRows(UserError):
    ...     text = "fewer than {minimum} rows have a value"
    ...     minimum: int
    >>> str(TooFewRows(minimum=10))
    'fewer than 10 rows have a value'
    """

    text: ClassVar[str] = ""
    _declared_text: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # Skips the hook of AlgotoolsError, because all subclasses share the exit code of UserError.
        super(AlgotoolsError, cls).__init_subclass__(**kwargs)
        if not cls.text:
            raise TypeError(f"{cls.__name__} has no message; add a class attribute `text`")
        cls._declared_text = cls.text

    def __init__(self, **fields: object) -> None:
        if type(self) is UserError:
            raise TypeError("UserError cannot be raised itself; raise a subclass with a `text` and annotated fields")
        declared = find_fields(type(self), UserError)
        if fields.keys() != declared.keys():
            expected = ", ".join(declared) or "none"
            raise TypeError(f"{type(self).__name__} requires exactly the fields that it declares ({expected})")
        for name, value in fields.items():
            setattr(self, name, convert_field(type(self), name, declared[name], value))
        super().__init__(_format_message(self))


def make_public(error: UserError, known_texts: Container[str]) -> UserError:
    """Return an error with the same message and nothing else of the author's object.

    The message is formatted again, because the author's code may have changed the object or overridden its methods.

    Raises:
        ValueError: a string in a field is not among the known texts and not declared in the class. Or a running
            function has made the class, and the text of the class is not among the known texts.
        TypeError: a field has another type than the class declares.
    """
    kind = type(error)
    # A module is imported before any data is read. A function can make a class with constants from the data.
    is_declared = is_in_module(kind) or is_global(kind, error)
    has_constants = is_declared and kind.text == kind._declared_text  # noqa: SLF001  # our own attribute
    if not has_constants and kind.text not in known_texts:
        raise ValueError("the text of the class is not in the source")
    for name, annotation in find_fields(kind, UserError).items():
        value = convert_field(kind, name, annotation, getattr(error, name, None))
        is_constant = has_constants and is_constant_of(annotation, value)
        text = value.value if isinstance(value, enum.Enum) else value
        if isinstance(text, str) and not is_constant and text not in known_texts:
            raise ValueError(f"the text in field {name} is neither in the task nor in the source")
    public = UserError.__new__(UserError)
    AlgotoolsError.__init__(public, _format_message(error))
    return public


def _format_message(error: UserError) -> str:
    values = {name: getattr(error, name) for name in find_fields(type(error), UserError)}
    return str(type(error).text).format(**{n: v.value if isinstance(v, enum.Enum) else v for n, v in values.items()})


class NotSerializable(AlgotoolsError, TypeError, exit_code=42):
    """The function returned a result, or passed an argument, that cannot be encoded."""


class FunctionExited(AlgotoolsError, RuntimeError, exit_code=43):
    """The author's function ended the process instead of returning."""


class WorkerKilled(AlgotoolsError, RuntimeError, exit_code=44):
    """The process of the function was killed or crashed."""


class TimedOut(AlgotoolsError, RuntimeError, exit_code=45):
    """The run did not finish within its time limit."""


class OutputError(AlgotoolsError, RuntimeError, exit_code=46):
    """The result cannot be written to the node's output file."""


class Stopped(AlgotoolsError, RuntimeError, exit_code=47):
    """The run was stopped by a signal (SIGTERM, SIGINT)."""


class ConfinementError(AlgotoolsError, RuntimeError, exit_code=48):
    """The image requires that the author's code runs as another user, which is not possible."""


class OutOfMemory(AlgotoolsError, MemoryError, exit_code=49):
    """The function needs more memory than the run's limit, or than the machine has free."""


# A master and the other nodes (50-59).


class TokenError(AlgotoolsError, RuntimeError, exit_code=50):
    """The node's token is missing or malformed."""


class ProxyError(AlgotoolsError, RuntimeError, exit_code=51):
    """The node's proxy does not respond, or refuses a request."""


class PartialFailure(AlgotoolsError, RuntimeError, exit_code=52):
    """Runs at other organizations failed, and the quorum is not reached."""


class ResultTooLarge(AlgotoolsError, ValueError, exit_code=53):
    """The function returned more bytes than a single result may contain, or sent more as arguments."""


class Withheld(AlgotoolsError, RuntimeError, exit_code=54):
    """The node's policy withholds the result, or refuses the task before data is read."""


class PolicyError(AlgotoolsError, ValueError, exit_code=55):
    """The policy of the node's owner has an unknown setting or a wrong value, so no task runs."""


class NodesDisagree(AlgotoolsError, RuntimeError, exit_code=56):
    """A pooled function takes different paths at two nodes, or has different results, so its totals have no meaning."""


class RoundsDisagree(AlgotoolsError, RuntimeError, exit_code=57):
    """A pooled function behaves differently in two rounds at the same node, so its totals have no meaning."""


class TotalRefused(AlgotoolsError, TypeError, exit_code=58):
    """Too few organizations for a total or a subtask, or a value that a total or ``aggregate`` cannot reduce."""


class LedgerDamaged(AlgotoolsError, RuntimeError, exit_code=59):
    """An entry of a ledger was changed, removed or added, or a log names an entry that the ledger does not have."""


# The author's machine (60-69).


class FederationError(AlgotoolsError, ValueError, exit_code=60):
    """The configuration of the local federation, or a call to it, is invalid."""


class RunsFailed(AlgotoolsError, RuntimeError, exit_code=61):
    """One or more runs of a task on a local federation failed.

    ``str(error)`` contains the message and the details: tracebacks and the output of the functions. At a node only the
    owner sees the details; on a local federation the author is the owner of every node.
    """

    def __init__(self, message: str, *, detail: str = "", failures: Mapping[int, Failure] | None = None) -> None:
        super().__init__(message, detail=detail)
        self.failures = dict(failures or {})
        """Organization id -> the failure of its run."""

    def __str__(self) -> str:
        return f"{self.message}\n\n{self.detail}" if self.detail else self.message


class EngineError(AlgotoolsError, RuntimeError, exit_code=62):
    """The container engine, or the engine of ``runner=``, does not run, denies access, or stopped during a run."""


class ImageNotFound(AlgotoolsError, LookupError, exit_code=63):
    """The image does not exist, neither on this machine nor in its registry."""


class ImageError(AlgotoolsError, RuntimeError, exit_code=64):
    """An image cannot be built, or would not run at a node."""


class RegistryError(AlgotoolsError, RuntimeError, exit_code=65):
    """A registry does not respond, requires a login, or refuses the request."""


class ScaffoldError(AlgotoolsError, ValueError, exit_code=66):
    """A new project cannot be created with these options."""


class CheckFailed(AlgotoolsError, RuntimeError, exit_code=67):
    """``algotools check`` found mistakes that would make a task fail at a node."""


class MetadataError(AlgotoolsError, ValueError, exit_code=68):
    """The project lacks a value that the algorithm store requires."""


class MachineError(AlgotoolsError, RuntimeError, exit_code=69):
    """This machine lacks threads, processes, file descriptors, memory, disk space or the working directory."""


class RunsIncomplete(AlgotoolsError, UserWarning, exit_code=69, shares_code=True):
    """The result of a master lacks the data of organizations: a warning; with ``require_all=True``, an error."""

    def __init__(self, message: str, *, detail: str = "", missing: Mapping[int, Failure | None] | None = None) -> None:
        super().__init__(message, detail=detail)
        self.missing = dict(missing or {})
        """Organization id -> the reason of its failure; None if the master sent it no subtask."""


# Algotools itself (70).


class InternalError(AlgotoolsError, RuntimeError, exit_code=70):
    """A bug in algotools; please report it."""

    @classmethod
    def from_exception(cls, error: BaseException) -> InternalError:
        """Wrap an unexpected exception; its traceback is the detail, for the owner."""
        message = f"internal error in algotools ({type(error).__name__}); please report it"
        return cls(message, detail=format_traceback(error))
