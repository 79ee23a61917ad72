"""Choices on the command line: in ``--help``, in shell completion and in usage errors."""

from __future__ import annotations

import itertools
import typing
from collections.abc import Iterator

import click
import pytest
import typer
from rich.text import Text
from typer.testing import CliRunner, Result

from algotools.cli._app import app
from algotools.federation import RUNNERS
from algotools.federation.algorithms import RunnerChoice
from algotools.project import scaffold
from algotools.project.store import Generation, StoreChoice
from algotools.runtime.contract import NAMES, ContractChoice

from ..conftest import AVERAGE, algotools

CHOICES = {
    ("run", "--runner"): ["inline", "process", "container", "as-node", "dask"],
    ("run", "--contract"): ["v3", "v4", "v5"],
    ("describe", "--store"): ["4", "5"],
    ("new", "--kind"): ["pooled", "average", "iterative"],
    ("new", "--licence"): ["Apache-2.0", "MIT", "BSD-3-Clause", "GPL-3.0-or-later", "none"],
}
COMMANDS = sorted({command for command, _ in CHOICES})


def invoke(*arguments: str, **variables: str) -> Result:
    """Call the command line in this process, which is faster than in a subprocess."""
    return CliRunner().invoke(app, arguments, "algotools", env={"COLUMNS": "200", **variables})


def test_the_choices_are_the_same_as_in_python() -> None:
    assert [choice.value for choice in RunnerChoice] == list(RUNNERS)
    assert [choice.value for choice in ContractChoice] == list(NAMES)
    assert [choice.value for choice in StoreChoice] == [str(generation) for generation in typing.get_args(Generation)]
    template = {question.name: list(question.choices) for question in scaffold.read_questions() if question.choices}
    enums = {"kind": scaffold.ProjectKind, "licence": scaffold.Licence}
    assert {name: [choice.value for choice in choices] for name, choices in enums.items()} == template


@pytest.mark.parametrize(("command", "option"), CHOICES)
def test_a_wrong_choice_is_a_usage_error_that_lists_the_choices(command: str, option: str) -> None:
    result = invoke(command, "average_partial", option, "bogus")
    assert (result.exit_code, result.stdout) == (2, "")
    choices = ", ".join(map(repr, CHOICES[command, option]))
    assert f"Invalid value for '{option}'" in result.stderr
    assert f": 'bogus' is not one of {choices}" in result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_the_choices(command: str) -> None:
    text = invoke(command, "--help").stdout
    for (owner, option), choices in CHOICES.items():
        if owner == command:
            assert option in text
            assert "|".join(choices) in text or ", ".join(choices) in text


def list_commands(command: click.Command, name: str = "algotools") -> Iterator[tuple[str, click.Command]]:
    yield name, command
    for key, child in getattr(command, "commands", {}).items():
        yield from list_commands(child, f"{name} {key}")


@pytest.mark.parametrize(("name", "command"), [*list_commands(typer.main.get_command(app))])
def test_no_bracket_of_a_help_text_is_taken_for_a_style(name: str, command: click.Command) -> None:
    options = [getattr(param, "help", None) for param in command.params]
    for text in (command.help, command.epilog, *options):
        styles = {str(span.style) for span in Text.from_markup(text or "").spans}
        assert styles <= {"bold", "dim", "italic"}, name


@pytest.mark.parametrize(("command", "option"), CHOICES)
def test_completion_offers_the_choices(command: str, option: str) -> None:
    assert complete(f"algotools {command} {option} ") == CHOICES[command, option]
    first = CHOICES[command, option][0]
    assert complete(f"algotools {command} {option} {first[:-1]}")[0] == first


def complete(line: str) -> list[str]:
    """Return the completions that a shell shows at the end of a line."""
    last = str(len(line.split(" ")) - 1)
    result = invoke(_ALGOTOOLS_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=last)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.split()


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "soon"])
def test_a_timeout_is_a_positive_number(seconds: str) -> None:
    result = invoke("run", "average_partial", "--timeout", seconds)
    assert result.exit_code == 2
    assert f"Invalid value for '--timeout': '{seconds}' is not a positive number of seconds" in result.stderr


@pytest.mark.parametrize("command", ["new", "run", "describe", "check", "build", "push", "inspect"])
def test_help_wraps_paragraphs_at_the_width_of_the_terminal(command: str) -> None:
    """No line breaks of the source remain in the text: except at the end of a paragraph, lines are full."""
    lines = invoke(command, "--help", COLUMNS="80").stdout.splitlines()
    text = [line.strip() for line in lines if not line.startswith(("│", "╭", "╰"))]
    for line, following in itertools.pairwise(text):
        if line and following:
            assert len(f"{line} {following.split()[0]}") > 78


@pytest.mark.parametrize(
    "arguments",
    [["run", "--no-such-option"], ["describe", "a", "b"], ["check", "a", "b"], ["build", "a", "b"], ["push"],
     ["inspect"], ["new", "a", "b"], ["no-such-command"]],
)  # fmt: skip
def test_each_command_reports_a_usage_error(arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: " in result.stderr


@pytest.mark.parametrize("options", [["--as-node"], ["--runner", "as-node"]])
def test_as_node_is_a_runner_and_a_separate_option(options: list[str]) -> None:
    result = algotools("run", "master", "--contract", "v5", *options, cwd=AVERAGE)
    assert result.returncode == 60
    assert "runner as-node imitates the Docker nodes of v3 and v4" in result.stderr
