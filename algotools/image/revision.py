"""Which revision of a project an image is built from, as git knows it."""

from __future__ import annotations

import subprocess
from collections.abc import Collection
from pathlib import Path

from algotools.image import labels


def told(folder: Path, files: Collection[str]) -> dict[str, str]:
    """The labels for revision and cleanliness; empty where there is no git, or the folder is in no repository.

    ``files`` go into the image: only of those does it matter that git does not know them, or is told to ignore them.
    """
    head = git(folder, "rev-parse", "HEAD")
    if not head:
        # Said all the same: what a label of the base says is not this image's.
        return {labels.REVISION: "", labels.CLEAN: ""}
    changes = git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    unknown = git(folder, "ls-files", "-z", "--others", "--", ".")
    clean = changes == "" and unknown is not None and not {*unknown.split("\0")} & {*files}
    return {labels.REVISION: head, labels.CLEAN: "true" if clean else "false"}


def git(folder: Path, *arguments: str) -> str | None:
    """What git says in a folder; None where there is no git, or it refuses."""
    try:
        ended = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *arguments],  # noqa: S607 - the git that the user uses
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except OSError:
        return None
    return ended.stdout.strip() if ended.returncode == 0 else None
