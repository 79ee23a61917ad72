"""Errors of the author's code, as a researcher may read them, and errors of our own code, which pass unchanged."""

from __future__ import annotations

import contextlib
import itertools
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar, cast

from algotools._fields import format_fields
from algotools.data.reading import is_memory_error
from algotools.declare import locate
from algotools.errors import (
    AlgotoolsError,
    FunctionExited,
    FunctionRaised,
    UserError,
    format_author_traceback,
    make_public,
)
from algotools.runtime.dispatch.limits import build_memory_error

Outcome = TypeVar("Outcome")

_PACKAGE = Path(__file__).parents[2]


def attribute_errors(
    call: Callable[[], Outcome],
    part: str,
    folder: str,
    task_texts: Iterable[str] = (),
    explain: Callable[[BaseException], str] | None = None,
    *,
    only_outside: bool = False,
) -> Outcome:
    """Convert every exception of the author's code in a call. Errors that our own code raised pass unchanged.

    The author's code runs in the function, but also in the methods of a result and in the constructors of arguments. A
    ``KeyboardInterrupt`` is the author's, too: the process of a function has no handler that would raise it.

    Args:
        call: calls the author's code.
        part: the part of the author's code, for the message.
        folder: the folder of the author's code.
        task_texts: texts that the researcher knows.
        explain: returns a reason for an exception, which the researcher reads, or an empty text.
        only_outside: whether an exception of our own code, of any class, is a bug of algotools.
    """
    # Not a context manager: contextlib takes an error that a StopIteration has caused for the StopIteration itself.
    try:
        return call()
    except BaseException as error:
        # Not `isinstance`, which may call a method of the author's class.
        is_ours = issubclass(type(error), AlgotoolsError)
        if _is_own_error(cast("AlgotoolsError", error)) if is_ours else only_outside and _is_raised_here(error):
            raise
        try:
            converted = _convert_error(error, part, folder, task_texts, explain)
        except Exception:  # noqa: S110 - the exception's own methods or attributes raise; see below
            pass
        else:
            raise converted from error
    # Outside of the handler, so that no traceback of this error contains the exception.
    raise FunctionRaised(f"an exception in {part}, which raises when it is described")


def _convert_error(
    error: BaseException,
    part: str,
    folder: str,
    task_texts: Iterable[str],
    explain: Callable[[BaseException], str] | None,
) -> AlgotoolsError:
    """Return the error that a researcher may read."""
    if isinstance(error, SystemExit):
        message = f"{part} ended the process (SystemExit) instead of returning"
        return FunctionExited(message, detail=format_author_traceback(error))
    location = locate.describe_source_line(error, folder)
    if not isinstance(error, AlgotoolsError) and is_memory_error(error):
        return build_memory_error(f"{part}{location}", format_author_traceback(error))
    if isinstance(error, UserError):
        return _make_public(error, part, folder, frozenset(task_texts))
    reason = explain(error) if explain else ""
    message = f"{locate.name_exception(error)} in {part}{location}{reason}"
    return FunctionRaised(message, detail=format_author_traceback(error))


def _make_public(error: UserError, method: str, folder: str, task_texts: frozenset[str]) -> AlgotoolsError:
    """Return an error with the author's message, if all texts of its fields are in the task or in the source."""
    with contextlib.suppress(ValueError, TypeError):
        return _add_field_text(make_public(error, task_texts), error)
    try:
        return _add_field_text(make_public(error, task_texts | locate.collect_source_texts(error, folder)), error)
    except (ValueError, TypeError) as reason:
        part = f"{method}{locate.describe_source_line(error, folder)}"
        name = locate.name_exception(error)
        return FunctionRaised(f"{name} in {part}, without its text: {reason}", detail=format_author_traceback(error))


def _add_field_text(public: UserError, error: UserError) -> UserError:
    vars(public)["_field_text"] = format_fields(error, UserError)
    return public


def get_field_text(error: UserError) -> str:
    """Return the values of the fields of a public error, which may come from data; its other text is a constant.

    The whole message of any other error may come from data.
    """
    return str(vars(error).get("_field_text", error.message)) if type(error) is UserError else error.message


def _is_own_error(error: AlgotoolsError) -> bool:
    """Return whether the author's code got the error from its client, its data or a reduction, and has not changed it.

    The author's code can raise the same classes with any text. It can also call our other functions with values from
    the data, which their messages then name. The messages of reductions name no value.
    """
    names = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = itertools.takewhile(lambda n: n == contextlib.__file__ or Path(n).is_relative_to(_PACKAGE), reversed(names))
    entries = [Path(name).relative_to(_PACKAGE).as_posix() for name in ours if name != contextlib.__file__]
    entry = entries[-1] if entries else ""
    is_called_by_library = entry.startswith("data/") and entry != "data/__init__.py"
    return (entry.startswith(("runtime/", "disclosure/reductions/")) or is_called_by_library) and not error.is_changed()


def _is_raised_here(error: BaseException) -> bool:
    """Return whether a line of our own code raised an exception."""
    return Path(traceback.extract_tb(error.__traceback__)[-1].filename).is_relative_to(_PACKAGE)
