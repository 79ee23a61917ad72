"""``algotools push``: an image goes to its registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

if TYPE_CHECKING:
    from algotools.image.push import Layer, State

_DONE: dict[State, str] = {"pushed": "pushed", "there": "already there", "mounted": "there in another repository"}


def push(
    reference: Annotated[
        str, typer.Argument(help="An image on this machine, by the name it is to have: registry/project/name:tag.")
    ],
) -> None:
    """Push an image to its registry, and print name and digest, which is what a task should name.

    The login is that of `docker login`. Progress goes to standard error; standard output gets name@sha256:… alone.
    """
    from algotools.image import push as pushing  # here: the docker package takes long to import

    with _showing() as tell:
        pushed = pushing.push(reference, tell)
    typer.echo(pushed)


@contextmanager
def _showing() -> Iterator[Callable[[Layer], None]]:
    """Bars on a terminal; in a log, a line for each layer that is done."""
    console = Console(stderr=True, highlight=False)
    if not console.is_interactive:
        yield _Lines(console)
        return
    columns = (TextColumn("{task.fields[layer]}"), BarColumn(), DownloadColumn(), TextColumn("{task.fields[state]}"))
    with Progress(*columns, console=console) as progress:
        yield _Bars(progress)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: set[tuple[str, str]] = set()
        self._size: dict[str, int] = {}

    def __call__(self, layer: Layer) -> None:
        self._size[layer.id] = max(layer.total, self._size.get(layer.id, 0))
        said = layer.words.lower() if layer.state == "retrying" else _DONE.get(layer.state)
        if said and (layer.id, said) not in self._told:
            self._told.add((layer.id, said))
            size = f" ({self._size[layer.id] / 1e6:.1f} MB)" if layer.state == "pushed" else ""
            self._console.print(f"{layer.id}: {said}{size}", markup=False, soft_wrap=True)


class _Bars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, layer: Layer) -> None:
        if layer.id not in self._tasks:
            self._tasks[layer.id] = self._progress.add_task("", total=None, layer=layer.id, state="")
        task = self._tasks[layer.id]
        if layer.state in _DONE:
            size = self._progress.tasks[task].total or layer.total or 1
            self._progress.update(task, completed=size, total=size, state=_DONE[layer.state])
        elif layer.total:
            self._progress.update(task, completed=layer.done, total=layer.total, state=layer.state)
        else:
            self._progress.update(task, state=layer.words.lower() if layer.state == "retrying" else layer.state)
