"""The image of an algorithm: build it from its project, test it, and label it.

A build has four steps:

1. Make sure that the engine has the base image of this version.
2. Run the project's Dockerfile. The result is the *unlabelled* image.
3. Start the unlabelled image twice: as a node would start it, and to describe its functions and packages.
4. Add the labels: the description, the packages, the project's metadata and git's revision.

The labels need a second build, because the description is known only after the first. Steps 3 and 4 are skipped if
nothing has changed: the image with the requested tag was made from the same unlabelled image, and its labels for the
base, the project and the revision are the same.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import docker
import msgspec
from docker.errors import APIError
from docker.models.containers import Container
from requests.exceptions import ConnectionError as NoAnswer
from requests.exceptions import ReadTimeout

from algotools.declare.projects import get_table, read_toml
from algotools.errors import ContractError, ImageError
from algotools.image import base, context
from algotools.image._steps import NO_EMULATOR, build_image, make_label_step, remove_image
from algotools.image.engine import Log, get_error_text, read_labels, remove_container
from algotools.image.names import GATE_VERSION, Label, make_version_tag, parse_reference
from algotools.image.policy import explain_policy_variables, list_policy_variables
from algotools.runtime.logs import read_failure

DOCKERFILE = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
WORKDIR /app
COPY pyproject.toml ./
RUN python -m algotools.packaging install
COPY src ./src
RUN python -m compileall -q src
ENV ALGOTOOLS_ALGORITHM=/app
"""
"""The minimal Dockerfile of a project. The one of ``examples/average`` explains each step."""

TRIAL_TIMEOUT = 300
"""Seconds that a new image may take to describe its functions."""

_GIT_TIMEOUT = 60
"""Seconds that git may take, for instance in a folder of a network that does not answer."""

_ROOT = frozenset({"", "0", "root", "0:0", "root:root"})


class BuiltImage(NamedTuple):
    """An image that can be pushed."""

    tag: str
    id: str
    size: int
    """Unpacked size in bytes, including the base."""
    seconds: float


class _SelfDescription(msgspec.Struct):
    """The output of ``python -m algotools.describe`` in an image."""

    description: dict[str, object]
    packages: dict[str, str]


def get_local_tag(folder: Path) -> str:
    """Return the name of a project's image on this machine: ``name:version`` from ``pyproject.toml``.

    Raises:
        ImageError: the folder does not exist.
        AlgorithmNotFound: ``pyproject.toml`` does not exist.
    """
    _check_folder(folder)
    project = get_table(read_toml(folder / "pyproject.toml"), "project")
    name = re.sub(r"[^A-Za-z0-9]+", "-", str(project.get("name") or folder.resolve().name)).strip("-").lower()
    return f"{name or 'algorithm'}:{make_version_tag(str(project.get('version') or 'latest'))}"


def get_default_tag(folder: Path) -> str:
    """Return the name for pushing a project's image: ``[tool.algotools] image``; default: the name on this machine.

    Raises:
        ImageError: the folder does not exist.
        AlgorithmNotFound: ``pyproject.toml`` does not exist.
    """
    name, _, version = get_local_tag(folder).rpartition(":")
    return f"{get_table(read_toml(folder / 'pyproject.toml'), 'tool', 'algotools').get('image') or name}:{version}"


def build_project(
    client: docker.DockerClient,
    folder: Path,
    tag: str,
    log: Log,
    *,
    arguments: Mapping[str, str] | None = None,
    platform: str | None = None,
    no_cache: bool = False,
    left_in_trial: Mapping[str, object] = MappingProxyType({}),
) -> BuiltImage:
    """Build a project's image, check that it starts, and label it with the description of its functions.

    ``arguments`` are build arguments. ``BASE_IMAGE`` replaces the base of this version, and ``PYTHON_IMAGE`` is the
    image to build the base from. All others are passed to the Dockerfile. ``left_in_trial`` is the content of that
    label, which is omitted if there were no trial calls.

    Raises:
        ImageError: the build fails, or the image would not run at a node.
        ImageNotFound: the tag is not the name of an image, or BASE_IMAGE does not exist.
        EngineError: see ``engine.open_engine``.
    """
    started = time.monotonic()
    _check_folder(folder)
    if parse_reference(tag).digest:
        raise ImageError(f"{tag} contains a digest, which is known only after a push; name the image by a tag")
    dockerfile = _read_dockerfile(folder)
    build_arguments = dict(arguments or {})
    sources = context.collect_project(folder)
    for name in sources.data:
        log(f"excluded: {name} looks like data (to include the file, add a line !{name} to .dockerignore)")
    if re.search(r"^\s*ARG\s+BASE_IMAGE\b", dockerfile, re.MULTILINE | re.IGNORECASE):
        if "BASE_IMAGE" in build_arguments:
            base.check_version(client, build_arguments["BASE_IMAGE"], log)
        else:
            build_arguments["BASE_IMAGE"] = base.ensure_base(
                client, log, arguments=build_arguments, platform=platform, no_cache=no_cache
            )
    elif "BASE_IMAGE" in build_arguments:
        raise ImageError(f"{folder / 'Dockerfile'} has no line ARG BASE_IMAGE; begin the file with:\n{DOCKERFILE}")
    if "PYTHON_IMAGE" not in dockerfile:
        build_arguments.pop("PYTHON_IMAGE", None)  # an argument of the base only
    unlabelled = build_image(
        client, sources.make_archive(), log=log, arguments=build_arguments, platform=platform, no_cache=no_cache
    )
    try:
        origin = {
            Label.MADE_FROM: unlabelled,
            Label.GATE: GATE_VERSION,
            **_read_base_labels(client, build_arguments.get("BASE_IMAGE")),
            **_read_project_labels(folder),
            **_read_revision_labels(folder, sources.files),
        }
        if left_in_trial:
            origin[Label.LEFT_IN_TRIAL] = msgspec.json.encode(left_in_trial).decode()
        if read_labels(client, tag).items() >= origin.items():
            log("nothing has changed")
        else:
            log("starting the image, and describing its functions")
            _label_image(client, unlabelled, tag, {**_try_image(client, unlabelled, platform), **origin}, platform)
    except BaseException:
        remove_image(client, unlabelled)
        raise
    image = client.images.get(tag)
    return BuiltImage(tag, str(image.id), int(image.attrs["Size"]), time.monotonic() - started)


def run_git(folder: Path, *arguments: str) -> str | None:
    """Return the output of git in a folder, or None if there is no git, or it fails or takes too long."""
    try:
        process = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *arguments],  # noqa: S607 - the user's git
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=_GIT_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return process.stdout.strip() if process.returncode == 0 else None


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise ImageError(f"the folder {folder} does not exist; name the folder of an algorithm's project")


def _read_dockerfile(folder: Path) -> str:
    try:
        return (folder / "Dockerfile").read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        content = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
        raise ImageError(
            f"{folder} has no Dockerfile (it contains: {content}); create one, for example:", detail=DOCKERFILE
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"{folder / 'Dockerfile'} cannot be read ({error})") from None


def _label_image(
    client: docker.DockerClient, image: str, tag: str, labels: Mapping[str, str], platform: str | None
) -> None:
    # All labels that fit are set in one line of a Dockerfile. Only the remaining labels become options of the build,
    # because the builder makes a step for each of these.
    step, remaining_labels = make_label_step(labels)
    archive = context.Context(Path(), ()).make_archive(f"FROM {image}\n{step}\n")
    build_image(client, archive, tag=tag, labels=remaining_labels, platform=platform)


def _read_base_labels(client: docker.DockerClient, name: str | None) -> dict[str, str]:
    if name is None:
        return {}
    image = client.images.get(name)
    digests = image.attrs.get("RepoDigests") or []
    return {Label.BASE: name, Label.BASE_DIGEST: digests[0].partition("@")[2] if digests else str(image.id)}


def _read_project_labels(folder: Path) -> dict[str, str]:
    """Return the labels that OCI defines, with values from ``pyproject.toml``."""
    file = folder / "pyproject.toml"
    project = get_table(read_toml(file), "project") if file.is_file() else {}
    keys = {
        Label.TITLE: "name",
        Label.DETAILS: "description",
        Label.ALGORITHM_VERSION: "version",
        Label.LICENSES: "license",
    }
    # A missing value becomes an empty label. Without the label, the image would inherit the value of its base.
    return {label: text if isinstance(text := project.get(key), str) else "" for label, key in keys.items()}


def _read_revision_labels(folder: Path, files: Collection[str]) -> dict[str, str]:
    """Return two labels: git's revision, and whether the files in the image are identical to those of the revision.

    ``files`` are the files in the image. Both labels are empty if git is not installed, or the folder is not in a
    repository.
    """
    head = run_git(folder, "rev-parse", "HEAD")
    if not head:  # an empty label replaces the label of the base
        return {Label.REVISION: "", Label.CLEAN: ""}
    changes = run_git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    # A file that git does not track, or ignores, matters only if it is in the image.
    untracked = run_git(folder, "ls-files", "-z", "--others", "--", ".")
    is_clean = changes == "" and untracked is not None and not {*untracked.split("\0")} & {*files}
    return {Label.REVISION: head, Label.CLEAN: "true" if is_clean else "false"}


def _try_image(client: docker.DockerClient, image: str, platform: str | None) -> dict[str, str]:
    """Check that the image's command starts algotools, as a node needs, and return the labels that describe the image.

    The image may set neither a user, nor another command, nor the policy of a node. Both containers run at the same
    time, without network.
    """
    configuration = client.images.get(image).attrs["Config"]
    if names := list_policy_variables(configuration):
        raise ImageError(explain_policy_variables(names))
    user = str(configuration.get("User") or "")
    if user not in _ROOT:
        raise ImageError(
            f"the Dockerfile sets USER {user}: at v3 and v4 nodes the output file belongs to root, so the run would "
            "fail with a PermissionError; remove USER, because the algorithm's code runs as an unprivileged user anyway"
        )
    command = [*(configuration.get("Entrypoint") or []), *(configuration.get("Cmd") or [])]
    describe = ["python", "-m", "algotools.describe"]
    with (
        _start_container(client, image, None, platform) as as_node,
        _start_container(client, image, describe, platform) as describing,
    ):
        _check_start(command, *_wait_for_exit(as_node, "its command"))
        output = _read_description(*_wait_for_exit(describing, "python -m algotools.describe"))
    return {
        Label.DESCRIPTION: msgspec.json.encode(output.description).decode(),
        Label.PACKAGES: msgspec.json.encode(output.packages).decode(),
        Label.VERSION: output.packages.get("federated-algotools", ""),
    }


def _check_start(command: list[str], code: int, _stdout: bytes, stderr: str) -> None:
    """Check that a container has started algotools.

    Without a node's variables, algotools exits with the code of ``ContractError``. No other program does.
    """
    failure = read_failure(stderr.rstrip().rpartition("\n")[2])
    if failure is None or failure.exit_code != ContractError.exit_code:
        raise ImageError(
            f"the image's command {command} does not start algotools (exit code {code}); remove CMD and ENTRYPOINT "
            "from the Dockerfile: the base image has them",
            detail=stderr,
        )


def _read_description(code: int, stdout: bytes, stderr: str) -> _SelfDescription:
    if code:
        first_line, _, other_lines = stderr.strip().partition("\n")
        raise ImageError(
            "the image was built, but its algorithm cannot be loaded: " + (first_line or f"exit code {code}"),
            detail=other_lines,
        )
    try:
        return msgspec.json.decode(stdout, type=_SelfDescription)
    except msgspec.DecodeError:
        raise ImageError("the algotools in the image does not describe its functions; use the base image") from None


@contextlib.contextmanager
def _start_container(
    client: docker.DockerClient, image: str, command: list[str] | None, platform: str | None
) -> Iterator[Container]:
    """Start a container without network, and remove it at the end."""
    # The engine completes a request that a signal has interrupted here, and the new container would remain. So a thread
    # makes the request, and the exit waits for its container.
    executor = ThreadPoolExecutor(max_workers=1)
    creation = executor.submit(
        client.containers.create,
        image,
        command,
        entrypoint=[] if command else None,
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        tmpfs={"/tmp": ""},  # noqa: S108 - a path in the container
        platform=platform,
        labels={Label.TRIAL: ""},
    )
    try:
        try:
            container = creation.result()
            container.start()
        except APIError as error:
            text = get_error_text(error)
            reason = NO_EMULATOR if "exec format error" in text else text
            raise ImageError(f"the image cannot be started: {reason}") from None
        yield container
    finally:
        executor.shutdown()
        if creation.exception() is None:
            remove_container(client, str(creation.result().id))


def _wait_for_exit(container: Container, command: str) -> tuple[int, bytes, str]:
    """Return the exit code, standard output and standard error of a container."""
    try:
        code = int(container.wait(timeout=TRIAL_TIMEOUT)["StatusCode"])
    except (ReadTimeout, NoAnswer) as error:
        if "timed out" not in str(error):
            raise
        raise ImageError(
            f"the image was started, but {command} did not finish within {TRIAL_TIMEOUT} s; the module must not wait "
            "when it is imported, and the Dockerfile must not have CMD and ENTRYPOINT: the base image has them"
        ) from None
    stdout, stderr = (container.logs(stdout=out, stderr=not out) for out in (True, False))
    text = stderr.decode(errors="backslashreplace")
    if "exec format error" in text + stdout.decode(errors="replace"):
        raise ImageError(f"the image cannot be tested: {NO_EMULATOR}")
    return code, stdout, text
