"""The author's code, confined: a user without privileges, and no files but the image's own and this task's.

Nodes start a container as root and lend it more than the task is about: v3 and v4 share one folder among all tasks,
with the inputs, outputs and tokens of others. The supervisor keeps what the node gave it. The worker gives it up before
it imports anything of the author's. An image asks for this by a variable; nothing is guessed from being root.
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
from algotools.report import log
from algotools.task import Task

VARIABLE = "ALGOTOOLS_WORKER_USER"
"""The user that the author's code runs as: a name of the image's, or ``uid:gid``."""

HIGHEST = (1 << 32) - 2
"""The last id of a user or group; the one after it means none."""


class Confinement(NamedTuple):
    """What an image asks for."""

    uid: int
    gid: int
    code: tuple[str, ...] = ()
    """The folders that the author's code is imported from, besides those of the interpreter."""

    def prepare(self, task: Task, say: Callable[[str], None]) -> None:
        """In the supervisor: open to the worker what the node lends the task and only root can write.

        ``say`` tells everybody what could not be done.
        """
        if task.temporary_folder is None or os.geteuid() != 0:
            return
        try:
            folder = os.open(task.temporary_folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (OSError, ValueError):
            return  # the function that wants it will see
        try:
            found = os.fstat(folder)
            if not self._may_write(found):
                # As /tmp is, for a job's runs share it, and not all of them need have the same user.
                os.fchmod(folder, stat.S_IMODE(found.st_mode) | 0o1777)
        except OSError as error:
            say(f"the job's temporary folder cannot be opened to the algorithm's code ({error.strerror})")
        finally:
            os.close(folder)

    def apply(self, task: Task) -> None:
        """In the worker: give up what the task does not need, for good.

        Raises:
            ConfinementError: the kernel refuses what it should not.
        """
        try:
            self._apply(task)
        except OSError as error:
            raise ConfinementError(
                f"the algorithm's code cannot be confined ({error.strerror}); the node's owner sees where",
                detail=f"{type(error).__name__}: {error}",
            ) from error

    def _apply(self, task: Task) -> None:
        from algotools.confine import kernel, landlock, places  # here, because the supervisor needs none of them

        # While all can be seen: folders, and with them what is mounted there, may be closed to the user.
        mountinfo = os.fsdecode(Path("/proc/self/mountinfo").read_bytes())
        rules = landlock.ruleset(places.rules(task, mountinfo, {*self.code, *sys.path}))
        if os.geteuid() == 0 and not self._change_user():
            log("the container may not change its user, so the algorithm's code keeps the one it was started with")
        kernel.drop_capabilities()
        kernel.no_new_privileges()
        kernel.belong_to_oneself()
        if rules is None:
            log(
                "this node's kernel or container engine has no Landlock (Linux 5.13), so only the rights of files keep "
                "the algorithm's code from those of other tasks"
            )
        else:
            landlock.restrict(rules)
        home = next((place for place in places.TEMPORARY if os.access(place, os.W_OK | os.X_OK)), "/")
        os.environ["HOME"] = home
        if "TMPDIR" in os.environ:  # of the image's, which may have named a folder of root's
            os.environ["TMPDIR"] = home

    def _change_user(self) -> bool:
        """Become the user; false if the container may not, because it was started with fewer capabilities."""
        with contextlib.suppress(OSError):
            for stream in (1, 2):  # so that they can be opened by name, as /dev/stdout
                os.fchown(stream, self.uid, self.gid)
        try:
            os.setgroups([])
            os.setresgid(self.gid, self.gid, self.gid)
            os.setresuid(self.uid, self.uid, self.uid)
        except OSError:
            return False
        return True

    def _may_write(self, found: os.stat_result) -> bool:
        own = 6 if found.st_uid == self.uid else 3 if found.st_gid == self.gid else 0
        return found.st_mode >> own & 0o3 == 0o3


def asked(user: str, code: str | None = None) -> Confinement:
    """What ``ALGOTOOLS_WORKER_USER`` asks for; ``code`` is the folder of the algorithm, where an image names one.

    Raises:
        ConfinementError: there is no such user, or it is root.
    """
    uid, gid = _user(user)
    if 0 in (uid, gid):
        raise ConfinementError(f"the variable {VARIABLE} must name a user without privileges, not root or root's group")
    return Confinement(uid, gid, (code,) if code else ())


def _user(text: str) -> tuple[int, int]:
    ids = text.split(":")
    if len(ids) == 2 and all(part.isascii() and part.isdigit() and int(part) <= HIGHEST for part in ids):
        return int(ids[0]), int(ids[1])
    try:
        found = pwd.getpwnam(text)
    except (KeyError, ValueError):
        raise ConfinementError(
            f"the variable {VARIABLE} names a user that the image does not have; build on the base image as it is, "
            "or name another user or uid:gid"
        ) from None
    return found.pw_uid, found.pw_gid
