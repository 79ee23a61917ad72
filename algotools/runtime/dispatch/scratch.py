"""The run's own folder for temporary files, such as the spill of DuckDB and Polars.

The supervisor creates the folder and removes it after the worker has exited. So nothing is left even if the worker was
killed. A module of its own, because the runners of the local federation use it without a container's supervisor.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

PARENTS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - mkdir refuses an existing name
PREFIX = "algotools-"
VARIABLE = "TMPDIR"
"""The variable that Python's ``tempfile``, Polars and most programs read; ``forms.duckdb`` uses ``tempfile``."""


@contextmanager
def make_scratch_folder(*, is_shared: bool = False, prefix: str = PREFIX) -> Iterator[dict[str, str]]:
    """Create the folder, and yield the variable with its path; without a writable place, yield no variable.

    Args:
        is_shared: whether the worker has another user than this process. All users can then write to the folder.
        prefix: the start of the folder's name. It can name this process, so that another one can remove the folder.
    """
    folder = _create(os.environ, prefix, is_shared=is_shared)
    try:
        yield {VARIABLE: folder} if folder else {}
    finally:
        if folder:
            remove_folder(folder)


def _create(environ: Mapping[str, str], prefix: str, *, is_shared: bool) -> str | None:
    # An image may set the variable to a folder that only root can write.
    parents = PARENTS if is_shared else tuple(filter(None, (environ.get(VARIABLE), *PARENTS)))
    for parent in parents:
        # A short name: a socket in a subfolder may have a path of about 100 characters.
        folder = os.path.join(parent, f"{prefix}{os.urandom(4).hex()}")
        try:
            os.mkdir(folder, 0o700)
            if is_shared:
                os.chmod(folder, 0o1777)  # noqa: S103 - as /tmp itself
        except (OSError, ValueError):  # a path with a null character is a ValueError
            continue
        return folder
    return None


def remove_folder(folder: str) -> None:
    """Remove a folder that the author's code could write to."""
    with contextlib.suppress(OSError):
        os.rmdir(folder)  # most runs leave nothing
        return
    import shutil  # here, because most runs do not need it

    shutil.rmtree(folder, ignore_errors=True)  # never follows a link that the author's code has left
    if os.geteuid() != 0 and os.path.lexists(folder):  # the author's code has made folders read-only
        for path, names, _ in os.walk(folder):
            for name in names:
                if not os.path.islink(subfolder := os.path.join(path, name)):
                    os.chmod(subfolder, 0o700)
        shutil.rmtree(folder, ignore_errors=True)
