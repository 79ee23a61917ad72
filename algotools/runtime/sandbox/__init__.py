"""Confine the author's code: an unprivileged user that sees only the image's files and the files of its own task.

Nodes start a container as root and mount more than the task needs. On v3 and v4, all tasks share one folder, so a
container can read the inputs, outputs and tokens of other tasks. So the supervisor keeps its access to the node's
files, and the worker gives up its own access before it imports the author's code. An image requests the confinement by
the variable ``ALGOTOOLS_WORKER_USER``. Without the variable nothing is confined, even if the container runs as root.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from algotools.errors import ConfinementError
from algotools.runtime.logs import note
from algotools.task import Task

VARIABLE = "ALGOTOOLS_WORKER_USER"
"""The user that the author's code runs as: a name from the image, or ``uid:gid``."""

HIGHEST_ID = (1 << 32) - 2
"""The highest id of a user or group; the kernel reads the next number as "no change"."""


class Confinement(NamedTuple):
    """The user and the folders of the author's code."""

    uid: int
    gid: int
    code: tuple[str, ...] = ()
    """The folders that the author's code is imported from, besides those of the interpreter."""

    def prepare(self, task: Task, report: Callable[[str], None]) -> None:
        """In the supervisor: let the worker's user write to the job's temporary folder, which belongs to root."""
        if task.temporary_folder is None or os.geteuid() != 0:
            return
        try:
            folder = os.open(task.temporary_folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (OSError, ValueError):
            return  # a function that uses the folder will report the problem
        try:
            status = os.fstat(folder)
            if not self._may_write(status):
                # Write access for everyone plus the sticky bit, as on /tmp. The runs of a job share the folder, and
                # their images may use different users.
                os.fchmod(folder, stat.S_IMODE(status.st_mode) | 0o1777)
        except OSError as error:
            report(f"the job's temporary folder cannot be opened to the algorithm's code ({error.strerror})")
        finally:
            os.close(folder)

    def apply(self, task: Task) -> int | None:
        """In the worker: give up, for good, everything that the task does not need.

        Return the descriptor for ``metadata.MetadataChanges``; None if the supervisor has nothing to answer.

        Raises:
            ConfinementError: the kernel refused a step that every supported kernel has.
        """
        try:
            return self._apply(task)
        except OSError as error:
            raise ConfinementError(
                f"the algorithm's code cannot be confined ({error.strerror}); details are in the node owner's log",
                detail=f"{type(error).__name__}: {error}",
            ) from error

    def _apply(self, task: Task) -> int | None:
        # Here, because the supervisor needs none of them.
        from algotools.runtime.sandbox import _kernel, _metadata_filter, _rules

        # The order of the steps matters.
        # 1. Build the rules as root. The new user may not be allowed to see every folder and the mounts in it.
        mountinfo = os.fsdecode(Path("/proc/self/mountinfo").read_bytes())
        ruleset = _kernel.create_ruleset(_rules.build_rules(task, mountinfo, {*self.code, *sys.path}))
        # 2. Become the unprivileged user.
        has_own_user = os.geteuid() == 0 and self._change_user()
        if os.geteuid() == 0:
            note("the container may not change its user, so the algorithm's code runs as the container's own user")
        # 3. Drop the capabilities. A change of user keeps the inheritable ones, and without a change all remain.
        _kernel.drop_capabilities()
        # 4. Make setuid programs harmless. Otherwise `su` or `ping` would give privileges back. Step 6 requires this.
        _kernel.forbid_new_privileges()
        # 5. Repair a side effect of step 2: /proc/self belongs to root now, so Python could not list its open files.
        _kernel.set_dumpable()
        # 6. Enforce the rules. From here on, a file that no rule names cannot be opened.
        if ruleset is None:
            note(
                "this node's kernel or container engine has no Landlock (Linux 5.13), so only file permissions keep "
                "the algorithm's code from the files of other tasks"
            )
        else:
            _kernel.restrict_self(ruleset)
        # 7. Files that the user owns: only a filter of system calls keeps their modes and times.
        is_filtered, listener = (False, None) if has_own_user else _metadata_filter.install_metadata_filter()
        note(_describe(_kernel.read_version() if ruleset else 0, has_own_user=has_own_user, is_filtered=is_filtered))
        # The run's own folder, if the supervisor could create one.
        candidates = filter(None, (os.environ.get("TMPDIR"), *_rules.TEMPORARY))
        home = next((folder for folder in candidates if os.access(folder, os.W_OK | os.X_OK)), "/")
        os.environ["HOME"] = os.environ["TMPDIR"] = home
        return listener

    def _change_user(self) -> bool:
        """Change user and group; return false if the container was started without the capabilities for it."""
        with contextlib.suppress(OSError):
            # The new user could not open these streams by name, as in `open("/dev/stdout", "w")`.
            for stream in (1, 2):
                os.fchown(stream, self.uid, self.gid)
        try:
            # The user comes last: a process that is no longer root may not change its groups.
            os.setgroups([])
            os.setresgid(self.gid, self.gid, self.gid)
            os.setresuid(self.uid, self.uid, self.uid)
        except OSError:
            return False
        return True

    def _may_write(self, status: os.stat_result) -> bool:
        """Return whether the user may write to a folder and enter it."""
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid == self.gid else 0
        return status.st_mode >> shift & 0o3 == 0o3


def _describe(version: int, *, has_own_user: bool, is_filtered: bool) -> str:
    """Return the line of the run's log about the confinement; *version* is that of Landlock, or 0."""
    parts = [
        f"user {os.geteuid()}{'' if has_own_user else ' (that of the container)'}, without privileges",
        f"only the files of its task (Landlock {version})" if version else "",
        "no signals to other processes" if version >= 6 else "",
        "no changes of other files' modes and times" if has_own_user or is_filtered else "",
    ]
    missing = [
        "" if version else "rules for files (Landlock)",
        "" if version >= 3 or not version else "truncation of files (Landlock 3)",
        "" if version >= 6 else "signals to processes of the same user (Landlock 6)",
        "" if has_own_user or is_filtered else "modes and times of files of the same user (seccomp)",
    ]
    lacks = "; not confined on this node: " if any(missing) else ""
    return f"confinement is on: {', '.join(filter(None, parts))}{lacks}{', '.join(filter(None, missing))}"


def hide_supervisor() -> None:
    """Let no process of the same user read the memory, the variables and the files of the supervisor."""
    from algotools.runtime.sandbox import _kernel

    with contextlib.suppress(OSError):
        _kernel.hide_process()


def create_confinement(user: str, code: str | None = None) -> Confinement:
    """Return the confinement for the value of ``ALGOTOOLS_WORKER_USER``, and the folder of the algorithm, if it is set.

    Raises:
        ConfinementError: the image has no such user, or the user is root.
    """
    uid, gid = _find_user(user)
    if 0 in (uid, gid):
        raise ConfinementError(f"the variable {VARIABLE} must name a user without privileges, not root or root's group")
    return Confinement(uid, gid, (code,) if code else ())


def _find_user(text: str) -> tuple[int, int]:
    ids = text.split(":")
    if len(ids) == 2 and all(part.isascii() and part.isdigit() and int(part) <= HIGHEST_ID for part in ids):
        return int(ids[0]), int(ids[1])
    try:
        entry = pwd.getpwnam(text)
    except (KeyError, ValueError):
        raise ConfinementError(
            f"the variable {VARIABLE} names a user that the image does not have; build on the unchanged base image, "
            "or name another user or uid:gid"
        ) from None
    return entry.pw_uid, entry.pw_gid
