"""One build by the engine: its steps as they come, and what is left when one of them fails."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

import docker
from docker.errors import APIError
from docker.errors import ImageNotFound as NoSuchImage

from algotools.errors import AlgotoolsError, ImageError
from algotools.image import reference
from algotools.image.engine import disk_is_full, refused, said, told

Tell = Callable[[str], None]
"""Takes a line about how things go."""

STEP = re.compile(r"^(?:Step|STEP) (\d+/\d+) ?: ")
OWN = re.compile(r"Step \d+/\d+ : | ---> |Removing intermediate container ")
"""How the engine's own words begin, which do not wait for the end of a line that a step left open."""
LAYER = re.compile(r"^ ---> ([0-9a-f]{12,64})$")
NOISE = re.compile(
    r"^ ---> |^# Executing \d+ build trigger|^(Removing intermediate container|Successfully (built|tagged)) "
)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
CODE = re.compile(r"^The command '.*' returned a non-zero code: (\d+)$", re.DOTALL)
WIDTH = 120
LINES_SHOWN = 40
"""Of a step that failed."""

PATIENCE = 10
"""Seconds that the engine may take to end a step that nobody waits for any more."""

NO_EMULATOR = (
    "this machine cannot run programs of that platform; install an emulator for it "
    "(`docker run --privileged --rm tonistiigi/binfmt --install all`)"
)


def build(
    client: docker.DockerClient,
    archive: IO[bytes],
    *,
    dockerfile: str,
    tag: str | None,
    tell: Tell,
    arguments: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    platform: str | None = None,
    no_cache: bool = False,
    way_out: str = "",
) -> str:
    """Build an image; gives its id. When it does not come to its end, no container and no image of it stays behind.

    ``way_out`` is what to do if the engine cannot get the image that it begins with.

    Raises:
        ImageError: a step failed; its own lines are the detail.
        ImageNotFound: the tag is no image's name.
        EngineError: the engine could not do it.
    """
    name = reference.parse(tag) if tag else None
    steps = _Steps(tell, way_out)
    stream = None
    try:
        stream = client.api.build(
            fileobj=archive,
            custom_context=True,
            dockerfile=dockerfile,
            buildargs=dict(arguments or {}),
            labels=dict(labels or {}),
            platform=platform,
            nocache=no_cache,
            rm=True,
            forcerm=True,  # the classic builder would keep the container of a failed step
            decode=True,
            use_config_proxy=True,
        )
        for message in told(stream):
            steps.take(message)
        if name:
            _name(client, steps.image, name)
    except APIError as error:  # before the first step: the Dockerfile cannot be parsed, the platform is unknown
        raise _refused(said(error)) from None
    except BaseException:
        if stream is not None:
            stream.close()  # the engine sees that nobody listens, and ends the step
        for image in reversed(steps.unfinished):
            remove(client, image)
        raise
    return steps.image


def remove(client: docker.DockerClient, image: str) -> None:
    """Remove an image that is not to be, with the unnamed ones below it, unless something else is built on it."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            client.api.remove_image(image)
        except APIError as error:
            # A step that was broken off still uses it; an image that another one is built on is none of our business.
            if error.status_code != 409 or "container" not in said(error) or time.monotonic() > end:
                return
        except Exception:  # what went wrong before matters more
            return
        else:
            return
        time.sleep(0.1)


def _name(client: docker.DockerClient, image: str, name: reference.Reference) -> None:
    """Give an image a name, and remove the one that had it, so that none without a name stays behind."""
    full = f"{name.name}:{name.version}"
    replaced = None
    with _one_at_a_time():  # else of two builds the later one might not see the earlier one's image
        with contextlib.suppress(NoSuchImage):
            before = client.images.get(full)
            replaced = str(before.id) if before.id != image and len(before.tags) == 1 else None
        client.api.tag(image, name.name, name.version)
    if replaced:
        with contextlib.suppress(APIError):  # something else uses it
            client.api.remove_image(replaced)


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Within, no other process of this user gives an image a name."""
    place = Path(tempfile.gettempdir()) / f"algotools-{os.getuid()}-naming.lock"
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _refused(why: str) -> AlgotoolsError:
    return refused(why) if disk_is_full(why) else ImageError(f"the engine does not build this: {why}")


class _Steps:
    """What the engine has told of a build so far."""

    def __init__(self, tell: Tell, way_out: str = "") -> None:
        self._tell = tell
        self._way_out = way_out
        self._step = ""
        self._lines: list[str] = []
        self._rest = ""
        self._cached = True
        self._stage_is_new = True
        self.image = ""
        self.unfinished: list[str] = []
        """Of each stage, the image of the last step that was done anew."""

    def take(self, message: Mapping[str, object]) -> None:
        """One message of the stream; the error that it tells of is raised."""
        if "error" in message:
            raise self._failed(str(message["error"]).strip())
        if isinstance(aux := message.get("aux"), dict) and "ID" in aux:
            self.image = str(aux["ID"])
        if "status" in message and "progressDetail" not in message:
            self._tell(str(message["status"]))
        text = COLOUR.sub("", str(message.get("stream", "")))
        if self._rest and OWN.match(text):
            text = f"\n{text}"
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._line(line.rstrip())

    def _line(self, line: str) -> None:
        if STEP.match(line):
            self._step, self._lines, self._cached = line, [], False
            self._stage_is_new |= " : FROM " in line
            self._tell(_short(line))
        elif line == " ---> Using cache":
            self._cached = True
            self._tell("  as before")
        elif found := LAYER.match(line):
            # FROM names an image that was there before.
            if not self._cached and " : FROM " not in self._step:
                if self._stage_is_new:
                    self.unfinished.append(found[1])
                self.unfinished[-1] = found[1]
                self._stage_is_new = False
        elif line.strip() and not NOISE.match(line):
            self._lines.append(line)
            self._tell(f"  {line}")

    def _failed(self, why: str) -> AlgotoolsError:
        if not self._step or disk_is_full(why):
            return _refused(why)
        where = _short(self._step).replace("Step ", "step ", 1).replace(" : ", ", `", 1) + "`"
        own = [*self._lines, self._rest] if self._rest.strip() else self._lines
        hint = ""
        if " : FROM " in self._step:
            hint = f"; the engine could not get that image{self._way_out and f': {self._way_out}'}"
        elif "exec format error" in "\n".join([why, *own]):
            hint = f"; {NO_EMULATOR}"
        return ImageError(f"{where} failed: {why}{hint}", detail="\n".join(own[-LINES_SHOWN:]))


def _short(line: str) -> str:
    line = " ".join(line.split())
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"
