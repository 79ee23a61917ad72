"""The commands and their help."""

from __future__ import annotations

import inspect as python_inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from algotools import __version__
from algotools.cli._decode import DECODE_EXAMPLES, decode
from algotools.cli._describe import describe
from algotools.cli._history import HISTORY_EXAMPLES, HISTORY_SHOW_EXAMPLES
from algotools.cli._history import list_tasks as list_history
from algotools.cli._history import show as show_history
from algotools.cli._images import BUILD_EXAMPLES, INSPECT_KEYS, build, inspect, push
from algotools.cli._ledger import LEDGER_SHOW_EXAMPLES, LEDGER_VERIFY_EXAMPLES
from algotools.cli._ledger import show as show_ledger
from algotools.cli._ledger import verify as verify_ledger
from algotools.cli._ledger_export import LEDGER_EXPORT_EXAMPLES
from algotools.cli._ledger_export import export as export_ledger
from algotools.cli._policy_check import POLICY_CHECK_EXAMPLES
from algotools.cli._policy_check import check as check_policy
from algotools.cli._policy_show import POLICY_SHOW_EXAMPLES
from algotools.cli._policy_show import show as show_policy
from algotools.cli._project import CHECK_EXAMPLES, NEW_EXAMPLES, check, new
from algotools.cli._rerun import HISTORY_RERUN_EXAMPLES
from algotools.cli._rerun import rerun as rerun_history
from algotools.cli._run import ASK_EXAMPLES, RUN_EXAMPLES, ask, run
from algotools.cli._streams import ignore_closed_pipe


class _Group(TyperGroup):
    """A group of commands whose help may be cut by the reader of a pipe."""

    def format_help(self, *arguments: Any) -> None:
        """Write the help; see click."""
        with ignore_closed_pipe():
            super().format_help(*arguments)


class _Command(TyperCommand):
    """A command whose help may be cut, and whose usage errors have no traces of the library that converts values."""

    def format_help(self, *arguments: Any) -> None:
        """Write the help; see click."""
        with ignore_closed_pipe():
            super().format_help(*arguments)

    def parse_args(self, *arguments: Any) -> list[str]:
        """Parse the arguments of the command line; see click."""
        try:
            return super().parse_args(*arguments)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


app = typer.Typer(
    name="algotools",
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _join_lines(text: str | None) -> str:
    """Join the lines of each paragraph. Typer would keep the line breaks of the source in paragraphs that it wraps."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in python_inspect.cleandoc(text or "").split("\n\n"))


def _add(command: Callable[..., None], epilog: str = "", group: typer.Typer = app) -> None:
    group.command(cls=_Command, help=_join_lines(command.__doc__), epilog=_join_lines(epilog))(command)


policy_app = typer.Typer(cls=_Group, no_args_is_help=True, rich_markup_mode="rich")
ledger_app = typer.Typer(cls=_Group, no_args_is_help=True, rich_markup_mode="rich")
history_app = typer.Typer(cls=_Group, rich_markup_mode="rich")
history_app.callback(
    invoke_without_command=True, help=_join_lines(list_history.__doc__), epilog=_join_lines(HISTORY_EXAMPLES)
)(list_history)
_add(new, NEW_EXAMPLES)
_add(run, RUN_EXAMPLES)
_add(ask, ASK_EXAMPLES)
_add(decode, DECODE_EXAMPLES)
_add(describe)
_add(check, CHECK_EXAMPLES)
_add(build, BUILD_EXAMPLES)
_add(push)
_add(inspect, INSPECT_KEYS)
_add(show_policy, POLICY_SHOW_EXAMPLES, policy_app)
_add(check_policy, POLICY_CHECK_EXAMPLES, policy_app)
_add(show_ledger, LEDGER_SHOW_EXAMPLES, ledger_app)
_add(verify_ledger, LEDGER_VERIFY_EXAMPLES, ledger_app)
_add(export_ledger, LEDGER_EXPORT_EXAMPLES, ledger_app)
_add(show_history, HISTORY_SHOW_EXAMPLES, history_app)
_add(rerun_history, HISTORY_RERUN_EXAMPLES, history_app)
app.add_typer(history_app, name="history", short_help="List, show and repeat the earlier tasks of a project.")
app.add_typer(policy_app, name="policy", help="Show the policy of a node's owner, and its effect on an algorithm.")
app.add_typer(ledger_app, name="ledger", help="Show, verify and export the record of everything that left a node.")


_INTRODUCTION = """
Write algorithms for federated analysis, and run them over several nodes on this machine.

[dim]First steps: [/dim]algotools new[dim] creates a project. In its folder, [/dim]algotools describe[dim] shows the
functions, [/dim]algotools run METHOD name=value[dim] runs a function at every node, and [/dim]algotools ask[dim] a
master over all nodes.[/dim]
"""


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"algotools {__version__}")
        raise typer.Exit


@app.callback(help=_join_lines(_INTRODUCTION))
def algotools(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Handle the options that belong to no command."""
    del version
