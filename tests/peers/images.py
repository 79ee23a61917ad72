"""Images with the peers' packages, built from the environments of their interpreters and removed after the tests."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import docker
from docker.errors import DockerException

from ..conftest import ALGORITHMS

EXCLUDED_FOLDERS = frozenset(
    {"pip", "setuptools", "_distutils_hack", "tests", "test", "idlelib", "turtledemo", "ensurepip"}
)
"""Folders that are not needed at run time."""


def read_version(python: Path) -> str:
    """Return the version of an interpreter, for example ``3.10``."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def list_python_images(engine: docker.DockerClient) -> Iterator[str]:
    """Yield local images with Python: images from the environment variables, then images with the name ``python``."""
    variables = f"{os.environ.get('ALGOTOOLS_TEST_PYTHON_IMAGES', '')},{os.environ.get('ALGOTOOLS_PYTHON_IMAGE', '')}"
    yield from dict.fromkeys(name for name in variables.split(",") if name)
    for image in engine.api.images():  # `engine.images.list` fails if another user of the engine removes an image
        yield from (tag for tag in image["RepoTags"] or () if tag.partition(":")[0].endswith("python"))


def find_python_image(engine: docker.DockerClient, version: str) -> str | None:
    """Return a local image whose command ``python`` has this version; None without one."""
    for name in list_python_images(engine):
        container = None
        try:
            container = engine.containers.create(name, ["python", "-V"], entrypoint=[], network_mode="none")
            container.start()
            container.wait()
            output = container.logs()
        except DockerException:
            continue
        finally:
            if container is not None:  # a container that cannot start still exists
                container.remove(force=True)
        if output.decode().startswith(f"Python {version}."):
            return name
    return None


def _build(engine: docker.DockerClient, tag: str, dockerfile: str, folders: dict[str, Path]) -> None:
    """Build an image from a Dockerfile and folders (name in the context -> folder)."""

    def filter_entry(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if EXCLUDED_FOLDERS & set(Path(entry.name).parts[1:]) else entry

    with tempfile.TemporaryFile() as context:
        with tarfile.open(fileobj=context, mode="w") as tar:
            entry = tarfile.TarInfo("Dockerfile")
            entry.size = len(dockerfile.encode())
            tar.addfile(entry, io.BytesIO(dockerfile.encode()))
            for name, folder in folders.items():
                tar.add(folder, name, filter=filter_entry)
        context.seek(0)
        engine.images.build(fileobj=context, custom_context=True, tag=tag, rm=True, forcerm=True)


@contextmanager
def peer_base(engine: docker.DockerClient, generation: str, python: Path) -> Iterator[str]:
    """Yield an image with the packages of a peer's interpreter."""
    version, tag = read_version(python), f"algotools-test/peer-{generation}-base:{os.getpid()}"
    packages = next((python.parent.parent / "lib").glob("python3*")) / "site-packages"
    library = f"/usr/local/lib/python{version}"
    with ExitStack() as cleanup:
        base = find_python_image(engine, version)
        if base is None:  # then copy the interpreter itself into an image
            prefix = subprocess.run(
                [python, "-c", "import sys; print(sys.base_prefix)"], check=True, capture_output=True, text=True
            ).stdout.strip()
            base = next(list_python_images(engine))
            folders = {name: Path(prefix) / name for name in ("bin", "lib")}
            lines = [f"FROM {base}", "COPY bin /usr/local/bin", "COPY lib /usr/local/lib", "RUN ldconfig"]
            base = f"{tag}-python"
            cleanup.callback(remove_image, engine, base)
            _build(engine, base, "\n".join(lines), folders)
        cleanup.callback(remove_image, engine, tag)
        _build(engine, tag, f"FROM {base}\nCOPY packages {library}/site-packages\n", {"packages": packages})
        yield tag


@contextmanager
def algorithm_image(
    engine: docker.DockerClient, name: str, base: str, extra_lines: str = "", number: int = 0
) -> Iterator[str]:
    """Yield the image of a peer's algorithm, built with its Dockerfile on ``base`` and with ``extra_lines``."""
    folder, tag = ALGORITHMS / name, f"algotools-test/{name.replace('_', '-')}:{os.getpid()}-{number}"
    lines = (folder / "Dockerfile").read_text().replace("ARG BASE=algorithm-base", f"ARG BASE={base}")
    try:
        _build(engine, tag, f"{lines}\n{extra_lines}", {"src": folder / "src"})
        yield tag
    finally:
        remove_image(engine, tag)


def remove_image(engine: docker.DockerClient, tag: str) -> None:
    """Remove an image if it exists."""
    with suppress(DockerException):
        engine.images.remove(tag, force=True)
