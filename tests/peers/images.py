"""Images with the peers' own packages, made of their interpreters' environments; removed after the tests."""

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

LEFT_OUT = frozenset({"pip", "setuptools", "_distutils_hack", "tests", "test", "idlelib", "turtledemo", "ensurepip"})
"""Folders that nothing needs at run time."""


def version_of(python: Path) -> str:
    """``3.10`` of an interpreter."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def candidates(engine: docker.DockerClient) -> Iterator[str]:
    """Images with a Python that are here: those that the tests are given, and all others of that name."""
    given = f"{os.environ.get('ALGOTOOLS_TEST_PYTHON_IMAGES', '')},{os.environ.get('ALGOTOOLS_PYTHON_IMAGE', '')}"
    yield from dict.fromkeys(name for name in given.split(",") if name)
    for image in engine.images.list():
        yield from (tag for tag in image.tags if tag.partition(":")[0].endswith("python"))


def python_image(engine: docker.DockerClient, version: str) -> str | None:
    """An image that is here with this version of Python, as ``python``; None if there is none."""
    for name in candidates(engine):
        container = None
        try:
            container = engine.containers.create(name, ["python", "-V"], entrypoint=[], network_mode="none")
            container.start()
            container.wait()
            said = container.logs()
        except DockerException:
            continue
        finally:
            if container is not None:  # the engine keeps one that it cannot start
                container.remove(force=True)
        if said.decode().startswith(f"Python {version}."):
            return name
    return None


def _build(engine: docker.DockerClient, tag: str, dockerfile: str, folders: dict[str, Path]) -> None:
    """Build an image of a Dockerfile and of folders, each under a name."""

    def kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if LEFT_OUT & set(Path(entry.name).parts[1:]) else entry

    with tempfile.TemporaryFile() as context:
        with tarfile.open(fileobj=context, mode="w") as tar:
            entry = tarfile.TarInfo("Dockerfile")
            entry.size = len(dockerfile.encode())
            tar.addfile(entry, io.BytesIO(dockerfile.encode()))
            for name, folder in folders.items():
                tar.add(folder, name, filter=kept)
        context.seek(0)
        engine.images.build(fileobj=context, custom_context=True, tag=tag, rm=True, forcerm=True)


@contextmanager
def peer_base(engine: docker.DockerClient, generation: str, python: Path) -> Iterator[str]:
    """An image with the packages of a peer's interpreter."""
    version, tag = version_of(python), f"algotools-test/peer-{generation}-base:{os.getpid()}"
    packages = next((python.parent.parent / "lib").glob("python3*")) / "site-packages"
    place = f"/usr/local/lib/python{version}"
    with ExitStack() as made:
        base = python_image(engine, version)
        if base is None:  # then from the interpreter itself, as the stand-ins are made
            prefix = subprocess.run(
                [python, "-c", "import sys; print(sys.base_prefix)"], check=True, capture_output=True, text=True
            ).stdout.strip()
            base = next(candidates(engine))
            folders = {name: Path(prefix) / name for name in ("bin", "lib")}
            lines = [f"FROM {base}", "COPY bin /usr/local/bin", "COPY lib /usr/local/lib", "RUN ldconfig"]
            base = f"{tag}-python"
            made.callback(remove, engine, base)
            _build(engine, base, "\n".join(lines), folders)
        made.callback(remove, engine, tag)
        _build(engine, tag, f"FROM {base}\nCOPY packages {place}/site-packages\n", {"packages": packages})
        yield tag


@contextmanager
def algorithm_image(
    engine: docker.DockerClient, name: str, base: str, more: str = "", number: int = 0
) -> Iterator[str]:
    """The image of a peer's algorithm as its own Dockerfile makes it on ``base``; and then ``more`` lines."""
    folder, tag = ALGORITHMS / name, f"algotools-test/{name.replace('_', '-')}:{os.getpid()}-{number}"
    lines = (folder / "Dockerfile").read_text().replace("ARG BASE=algorithm-base", f"ARG BASE={base}")
    try:
        _build(engine, tag, f"{lines}\n{more}", {"src": folder / "src"})
        yield tag
    finally:
        remove(engine, tag)


def remove(engine: docker.DockerClient, tag: str) -> None:
    """Remove an image that may never have been made."""
    with suppress(DockerException):
        engine.images.remove(tag, force=True)
