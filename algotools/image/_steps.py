"""A build by the engine: report its steps, name and label the image, and clean up after a failure or cancellation."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Mapping
from typing import IO

import docker
from docker.errors import APIError
from docker.errors import ImageNotFound as NoSuchImage

from algotools.errors import AlgotoolsError, ImageError
from algotools.image._build_stream import BuildStream
from algotools.image.engine import (
    BUILD_TIMEOUT,
    Log,
    Message,
    get_error_text,
    is_disk_full,
    make_engine_error,
    read_stream,
)
from algotools.image.lease import lock_names, mark_replaced, remove_replaced_images
from algotools.image.names import Reference, parse_reference

_STEP = re.compile(r"^(?:Step|STEP) (\d+/\d+) ?: ")
_ENGINE_LINE = re.compile(r"Step \d+/\d+ : | ---> |Removing intermediate container ")
"""The start of a line that the engine itself writes, and that can follow an unfinished line of a step."""
_STEP_IMAGE = re.compile(r"^ ---> ([0-9a-f]{12,64})$")
_ENGINE_NOTICE = re.compile(
    r"^ ---> |^# Executing \d+ build trigger|^(Removing intermediate container|Successfully (built|tagged)) "
)
_COLOUR_CODE = re.compile(r"\x1b\[[0-9;]*m")
_STEP_WIDTH = 120
"""Maximum number of characters of a step in the log."""

_LINES_SHOWN = 40
"""Number of lines of a failed step in the error's detail."""

REMOVE_TIMEOUT = 10
"""Seconds to wait until the engine has stopped a cancelled step, and again until its container is removed."""

LONGEST_LINE = 60_000
"""Maximum bytes of a line in a Dockerfile. The classic builder accepts 65,535."""

NO_EMULATOR = (
    "this machine cannot run programs of that platform; install an emulator "
    "(`docker run --privileged --rm tonistiigi/binfmt --install all`)"
)


def build_image(
    client: docker.DockerClient,
    archive: IO[bytes],
    *,
    tag: str | None = None,
    log: Log = lambda _line: None,
    arguments: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    platform: str | None = None,
    no_cache: bool = False,
    hint: str = "",
) -> str:
    """Build an image and return its id. A failed or cancelled build leaves no container and no image behind.

    Args:
        client: the connection to the engine.
        archive: the tar archive with the Dockerfile and its files.
        tag: the name of the image; default: no name.
        log: receives each line about the progress.
        arguments: the build arguments.
        labels: further labels of the image. The classic builder makes a step for each of them; see ``make_label_step``.
        platform: the platform to build for; default: the engine's.
        no_cache: whether to repeat steps that the engine has cached.
        hint: the advice in the error if the engine cannot get the image of a ``FROM``.

    Raises:
        ImageError: a step failed. The detail contains the step's own lines.
        ImageNotFound: the tag is not the name of an image.
        EngineError: the engine failed.
    """
    name = parse_reference(tag) if tag else None
    steps = _Steps(log, hint)
    stream = None
    try:
        stream = BuildStream(
            client,
            fileobj=archive,
            custom_context=True,
            dockerfile="Dockerfile",
            buildargs=dict(arguments or {}),
            labels=dict(labels or {}),
            platform=platform,
            nocache=no_cache,
            rm=True,
            forcerm=True,  # the classic builder would keep the container of a failed step
            decode=True,
            use_config_proxy=True,
            timeout=BUILD_TIMEOUT,
        )
        for message in read_stream(stream):
            steps.process(message)
        if name:
            _name_image(client, steps.image, name)
    except APIError as error:  # before the first step: an invalid Dockerfile, an unknown platform
        raise _make_build_error(get_error_text(error)) from None
    except BaseException:
        if stream is not None:
            steps.follow_cancellation(stream.cancel(REMOVE_TIMEOUT))
        # The image of every finished step has no name. `docker images` would show them forever.
        for image in reversed(steps.unfinished_images):
            remove_image(client, image)
        raise
    return steps.image


def remove_image(client: docker.DockerClient, image: str) -> None:
    """Remove an unfinished image and the unnamed images below it, unless another image is based on it."""
    deadline = time.monotonic() + REMOVE_TIMEOUT
    while True:
        try:
            client.api.remove_image(image)
        except APIError as error:
            # Two conflicts are possible: the container of a cancelled step still uses the image, then retry; or another
            # image is based on it, then keep it.
            if error.status_code != 409 or "container" not in get_error_text(error) or time.monotonic() > deadline:
                return
        except Exception:  # the caller raises the error that stopped the build, which is more important
            return
        else:
            return
        time.sleep(0.1)


def make_label_step(labels: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return a ``LABEL`` line that sets all labels, and the labels that do not fit into a line.

    The builder makes a step with a container for each label that is passed as an option. One line in the Dockerfile is
    a single step, however many labels it sets.
    """
    line, remaining_labels = "LABEL", {}
    for name, value in labels.items():
        escaped = re.sub(r'(["\\$])', r"\\\1", value)  # otherwise the builder expands $VARIABLES
        pair = f' "{name}"="{escaped}"'
        if value.isprintable() and len((line + pair).encode()) <= LONGEST_LINE:
            line += pair
        else:
            remaining_labels[name] = value
    return line if len(line) > len("LABEL") else "", remaining_labels


def _name_image(client: docker.DockerClient, image: str, name: Reference) -> None:
    """Name an image, and remove the image that had the name before and would otherwise remain without a name.

    A federation that still uses the previous image keeps it until its end; see ``algotools.image.lease``.
    """
    tag = f"{name.name}:{name.version}"
    # Two builds of one name may finish at the same time. Without the lock, both could see the same previous image, and
    # neither would remove the image that was named in between.
    with lock_names():
        with contextlib.suppress(NoSuchImage):
            previous = client.images.get(tag)
            if previous.id != image and len(previous.tags) == 1:
                mark_replaced(str(previous.id))
        client.api.tag(image, name.name, name.version)
        remove_replaced_images(client)


def _make_build_error(text: str) -> AlgotoolsError:
    return make_engine_error(text) if is_disk_full(text) else ImageError(f"the engine cannot build the image: {text}")


class _Steps:
    """The steps that the engine has reported so far.

    The classic builder reports a build as text. For each step it prints these lines, and the step's own output between
    them:

        Step 3/7 : RUN python -m algotools.packaging install
         ---> Using cache                     (only if the step is cached)
         ---> 0123456789ab                    (the image of the step)
    """

    def __init__(self, log: Log, hint: str = "") -> None:
        self._log = log
        self._hint = hint
        self._step = ""
        self._output: list[str] = []
        self._incomplete = ""
        self._is_cached = True
        self._is_new_stage = True
        self.image = ""
        self.unfinished_images: list[str] = []
        """For each stage, the image of the last step that did not come from the cache."""

    def process(self, message: Mapping[str, object]) -> None:
        """Process a message of the stream. If the message reports an error, raise it."""
        if "error" in message:
            raise self._make_error(str(message["error"]).strip())
        if isinstance(aux := message.get("aux"), dict) and "ID" in aux:
            self.image = str(aux["ID"])
        if "status" in message and "progressDetail" not in message:
            self._log(str(message["status"]))
        text = _COLOUR_CODE.sub("", str(message.get("stream", "")))
        if self._incomplete and _ENGINE_LINE.match(text):
            text = f"\n{text}"
        *lines, self._incomplete = (self._incomplete + text).split("\n")
        for line in lines:
            self._process_line(line.rstrip())

    def follow_cancellation(self, messages: Iterable[Message]) -> None:
        """Process the last messages of a cancelled build for the images that they report, without a log."""
        self._log = lambda _line: None
        with contextlib.suppress(AlgotoolsError):  # the engine reports the cancellation as an error
            for message in messages:
                self.process(message)

    def _process_line(self, line: str) -> None:
        if _STEP.match(line):
            self._step, self._output, self._is_cached = line, [], False
            self._is_new_stage |= " : FROM " in line
            self._log(_shorten(line))
        elif line == " ---> Using cache":
            self._is_cached = True
            self._log("  cached")
        elif match := _STEP_IMAGE.match(line):
            # Removing the last image of a stage removes the unnamed images below it, so only the last is remembered.
            # Cached images are kept for the next build, and the image of FROM existed before.
            if not self._is_cached and " : FROM " not in self._step:
                if self._is_new_stage:
                    self.unfinished_images.append(match[1])
                self.unfinished_images[-1] = match[1]
                self._is_new_stage = False
        elif line.strip() and not _ENGINE_NOTICE.match(line):
            self._output.append(line)
            self._log(f"  {line}")

    def _make_error(self, text: str) -> AlgotoolsError:
        if not self._step or is_disk_full(text):
            return _make_build_error(text)
        step = _shorten(self._step).replace("Step ", "step ", 1).replace(" : ", ", `", 1) + "`"
        output = [*self._output, self._incomplete] if self._incomplete.strip() else self._output
        hint = ""
        if " : FROM " in self._step:
            hint = f"; the engine could not get the image{self._hint and f': {self._hint}'}"
        elif "exec format error" in "\n".join([text, *output]):
            hint = f"; {NO_EMULATOR}"
        return ImageError(f"{step} failed: {text}{hint}", detail="\n".join(output[-_LINES_SHOWN:]))


def _shorten(line: str) -> str:
    line = " ".join(line.split())
    return line if len(line) <= _STEP_WIDTH else f"{line[: _STEP_WIDTH - 1]}…"
