"""The command line interface. Each command is a thin layer over one package."""

from __future__ import annotations

import os
import sys

from algotools.cli import _streams
from algotools.errors import AlgotoolsError, InternalError, MachineError
from algotools.runtime.unexpected import convert_unexpected

__all__ = ["main"]

_INTERRUPTED = 130
"""The shell's exit code for SIGINT."""


def main() -> None:
    """Run the command ``algotools``. A failure is reported as a message with its exit code, not as a traceback."""
    code = 0
    try:
        _streams.prepare()
        try:
            code = _call_app()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except BaseException as error:
        failure = error if isinstance(error, AlgotoolsError) else convert_unexpected(error)
        code = failure.exit_code
        _report(failure)
    _streams.discard_unwritten()
    sys.exit(code)


def _call_app() -> int:
    """Run the command and return its exit code."""
    try:
        os.getcwd()
    except OSError as error:
        reason = f"the working directory cannot be used ({error.strerror}); change to another folder"
        raise MachineError(reason) from None
    try:
        # Here, so that Ctrl-C and missing resources during the import are reported as well.
        from algotools.cli._app import app

        app()
    except SystemExit as request:
        if request.code is None or isinstance(request.code, int):
            return request.code or 0
        raise InternalError(f"a command ended with {request.code!r}") from request
    return 0


def _report(failure: AlgotoolsError) -> None:
    """Write a failure to standard error, with colours if possible."""
    try:
        from rich.console import Console
        from rich.markup import escape

        console = Console(stderr=True, highlight=False)
        console.print(f"[red]error[/red] ({failure.exit_code}): {escape(failure.message)}", soft_wrap=True)
        if failure.detail and not isinstance(failure, MachineError):
            console.print(escape(failure.detail.rstrip()), style="dim", soft_wrap=True)
    except Exception:  # without memory or descriptors, rich cannot be imported
        sys.stderr.write(f"error ({failure.exit_code}): {failure.message}\n")
