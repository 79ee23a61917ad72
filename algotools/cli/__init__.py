"""The command line: thin commands, each over one room of the package."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from algotools import __version__
from algotools.cli.build import EXAMPLES as BUILD_EXAMPLES
from algotools.cli.build import build
from algotools.cli.check import EXAMPLES as CHECK_EXAMPLES
from algotools.cli.check import check
from algotools.cli.describe import describe
from algotools.cli.inspect import KEYS, inspect
from algotools.cli.new import EXAMPLES as NEW_EXAMPLES
from algotools.cli.new import new
from algotools.cli.push import push
from algotools.cli.run import EXAMPLES, run
from algotools.errors import AlgotoolsError

app = typer.Typer(
    name="algotools",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=NEW_EXAMPLES)(new)
app.command(epilog=EXAMPLES)(run)
app.command()(describe)
app.command(epilog=CHECK_EXAMPLES)(check)
app.command(epilog=BUILD_EXAMPLES)(build)
app.command()(push)
app.command(epilog=KEYS)(inspect)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"algotools {__version__}")
        raise typer.Exit


@app.callback()
def algotools(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Write algorithms for federated analysis, and run them over several nodes on this machine.

    [dim]Decorate functions with @rpc and @master, then: [/dim]algotools run METHOD name=value
    """
    del version


def main() -> None:
    """The command ``algotools``: a user's mistake ends with a message and its exit code, never with a traceback."""
    try:
        app()
    except AlgotoolsError as error:
        _complain(error)
        sys.exit(error.exit_code)


def _complain(error: AlgotoolsError) -> None:
    console = Console(stderr=True, highlight=False)
    console.print(f"[red]error[/red] ({error.exit_code}): {escape(error.message)}", soft_wrap=True)
    if error.detail:
        console.print(escape(error.detail.rstrip()), style="dim", soft_wrap=True)
