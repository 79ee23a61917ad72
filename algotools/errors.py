"""Every error of algotools: what went wrong, its exit code, and who may read what.

An error has two texts. ``message`` is for everybody: in a container it ends up in the run's log, which
the researcher reads, so it never holds a value from a node's data. ``detail`` is for the owner of the
node alone: the traceback, the list of columns, the path of a file.

A class states its exit code when it is declared; forgetting it, or taking a code twice, fails at import.
``docs/exit-codes.md`` explains each of them.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

CODES: dict[int, type[AlgotoolsError]] = {}
"""Exit code -> the error that ends with it."""


class Failure(NamedTuple):
    """An error as plain data, as it crosses from one process to another."""

    exit_code: int
    message: str
    detail: str = ""


class AlgotoolsError(Exception):
    """Base of all errors that algotools raises on purpose."""

    exit_code: ClassVar[int]

    def __init_subclass__(cls, *, exit_code: int, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        taken = CODES.setdefault(exit_code, cls)
        if taken is not cls and taken.__qualname__ != cls.__qualname__:
            raise TypeError(f"exit code {exit_code} of {cls.__name__} is taken by {taken.__name__}")
        cls.exit_code = exit_code

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail

    def _render_traceback_(self) -> list[str]:
        """How a notebook shows it: what went wrong, without the way through our own code."""
        return f"{type(self).__name__} ({self.exit_code}): {self}".splitlines()

    def failure(self) -> Failure:
        """The error as plain data."""
        return Failure(self.exit_code, self.message, self.detail)


# The task as it arrives (10-19): mostly the researcher's to mend.


class ContractError(AlgotoolsError, RuntimeError, exit_code=10):
    """The environment is not that of a node of any known generation, or lacks a part of it."""


class InputError(AlgotoolsError, ValueError, exit_code=11):
    """The task's input is missing, empty, not JSON, or JSON of another shape."""


class PickleRefused(AlgotoolsError, ValueError, exit_code=12):
    """The task's input is pickled: whoever posts such a task could run code at the node."""


class UnknownMethod(AlgotoolsError, LookupError, exit_code=13):
    """No registered function has the method's name."""


class WrongRole(AlgotoolsError, LookupError, exit_code=14):
    """The task asks for a master where the method is an rpc, or the other way round."""


class ArgumentsError(AlgotoolsError, TypeError, exit_code=15):
    """Arguments are missing, unknown or of another type than the function's signature says."""


class UnknownColumn(AlgotoolsError, LookupError, exit_code=16):
    """An argument names a column that the data does not have."""


class UnknownOrganization(AlgotoolsError, LookupError, exit_code=17):
    """An argument or a call names an organization that is not in the collaboration."""


# The algorithm (20-29): the author's to mend.


class AlgorithmNotFound(AlgotoolsError, LookupError, exit_code=20):
    """No algorithm goes by that name here."""


class AlgorithmImportError(AlgotoolsError, ImportError, exit_code=21):
    """The algorithm's module cannot be imported."""


class DeclarationError(AlgotoolsError, TypeError, exit_code=22):
    """A function is declared in a way that cannot work as a master or an rpc."""


class PackagingError(AlgotoolsError, RuntimeError, exit_code=23):
    """What an algorithm's project depends on cannot be told or installed, in the build of its image."""


# The node's databases (30-39): mostly the node owner's to mend.


class UnknownLabel(AlgotoolsError, LookupError, exit_code=30):
    """A database label that this node does not have, or that the task did not ask for."""


class DatabaseUnreadable(AlgotoolsError, RuntimeError, exit_code=31):
    """A database is missing, empty, broken, or may not be read."""


class UnsupportedDatabase(AlgotoolsError, RuntimeError, exit_code=32):
    """A type of database, or a form of data, that this version cannot read."""


# The function while it runs (40-49).


class FunctionRaised(AlgotoolsError, RuntimeError, exit_code=40):
    """The author's function raised an exception."""


class UserError(AlgotoolsError, exit_code=41):
    """What an author wants every reader to know: a constant text with declared fields.

    Subclass it with a ``text`` and annotate its fields; an instance takes their values. Because the text
    is a constant of the class, no value from the data can slip into it; what a field holds is the
    author's decision, made where the field is declared.

    >>> class TooFewRows(UserError):
    ...     text = "fewer than {minimum} rows have a value"
    ...     minimum: int
    >>> str(TooFewRows(minimum=10))
    'fewer than 10 rows have a value'
    """

    text: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # Past AlgotoolsError's own hook: every UserError ends with the one code of UserError.
        super(AlgotoolsError, cls).__init_subclass__(**kwargs)
        if not cls.text:
            raise TypeError(f"{cls.__name__} needs a class attribute `text`, the message that everybody may read")

    def __init__(self, **fields: bool | float | str) -> None:
        declared = _declared_fields(type(self))
        if type(self) is UserError or fields.keys() != set(declared):
            names = ", ".join(declared) or "none"
            raise TypeError(
                f"{type(self).__name__} takes the fields it declares ({names}); subclass it to declare some"
            )
        for name, value in fields.items():
            if not isinstance(value, (bool, int, float, str)):
                raise TypeError(f"field {name} of {type(self).__name__} must be a text, a number or a boolean")
            setattr(self, name, value)
        super().__init__(self.text.format(**fields))


def _declared_fields(cls: type[UserError]) -> list[str]:
    """The names annotated in subclasses of UserError."""
    return [
        name
        for base in reversed(cls.__mro__)
        if issubclass(base, UserError) and base is not UserError
        for name in inspect.get_annotations(base)
        if name != "text"
    ]


class NotSerializable(AlgotoolsError, TypeError, exit_code=42):
    """The function returned something that has no form in the task's answer."""


class FunctionExited(AlgotoolsError, RuntimeError, exit_code=43):
    """The author's function ended the process instead of returning."""


class WorkerKilled(AlgotoolsError, RuntimeError, exit_code=44):
    """The process that ran the function was killed or crashed."""


class TimedOut(AlgotoolsError, RuntimeError, exit_code=45):
    """The run did not end within its time limit."""


class OutputError(AlgotoolsError, RuntimeError, exit_code=46):
    """The answer cannot be written to the node's output file."""


class Stopped(AlgotoolsError, RuntimeError, exit_code=47):
    """The run was asked to stop from outside (SIGTERM, SIGINT)."""


class ConfinementError(AlgotoolsError, RuntimeError, exit_code=48):
    """The image asks for the author's code to be confined, and that cannot be done."""


class OutOfMemory(AlgotoolsError, MemoryError, exit_code=49):
    """The function needed more memory than its run may use, or than there is."""


# A master and the other nodes (50-59).


class TokenError(AlgotoolsError, RuntimeError, exit_code=50):
    """The node's token is missing or is not what a node hands out."""


class ProxyError(AlgotoolsError, RuntimeError, exit_code=51):
    """The node's proxy does not answer, or refuses."""


class PartialFailure(AlgotoolsError, RuntimeError, exit_code=52):
    """Runs at other organizations failed and no quorum allows for it."""


class ResultTooLarge(AlgotoolsError, ValueError, exit_code=53):
    """The function returned more bytes than one result may have on its way to who asked for it."""


# On the laptop (60-69).


class FederationError(AlgotoolsError, ValueError, exit_code=60):
    """The description of the local federation, or a call to it, cannot be right."""


class RunsFailed(AlgotoolsError, RuntimeError, exit_code=61):
    """Not every run of a task on a local federation completed.

    As a text it is the message, and then what only the owner of a node sees: tracebacks, and what was printed. On a
    laptop the author is the owner of every node.
    """

    def __init__(self, message: str, *, detail: str = "", failures: Mapping[int, Failure] | None = None) -> None:
        super().__init__(message, detail=detail)
        self.failures = dict(failures or {})
        """Organization -> why there is no answer of it."""

    def __str__(self) -> str:
        return f"{self.message}\n\n{self.detail}" if self.detail else self.message


class EngineError(AlgotoolsError, RuntimeError, exit_code=62):
    """The container engine is not there, may not be used, has no room left, or went away."""


class ImageNotFound(AlgotoolsError, LookupError, exit_code=63):
    """There is no image of that name, here or in its registry."""


class ImageError(AlgotoolsError, RuntimeError, exit_code=64):
    """An image cannot be built, or would not run at a node."""


class RegistryError(AlgotoolsError, RuntimeError, exit_code=65):
    """A registry does not answer, wants a login, or refuses."""


class ScaffoldError(AlgotoolsError, ValueError, exit_code=66):
    """A new project cannot be made as asked."""


class CheckFailed(AlgotoolsError, RuntimeError, exit_code=67):
    """`algotools check` found what would fail at a node."""


class MetadataError(AlgotoolsError, ValueError, exit_code=68):
    """The algorithm store wants to know something that the project does not say."""


# Ours (70).


class InternalError(AlgotoolsError, RuntimeError, exit_code=70):
    """A fault of algotools itself; please report it."""

    @classmethod
    def of(cls, error: BaseException) -> InternalError:
        """The fault that an unexpected exception is; its traceback is for the owner."""
        return cls(
            f"algotools itself failed ({type(error).__name__})", detail="".join(traceback.format_exception(error))
        )
