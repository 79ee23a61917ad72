"""Compare size, build and start of an algorithm's image: algotools and the platform's own tools, in one run.

    python benchmarks/images.py [--python-image NAME] [--builds N] [--starts N] [--quick] [--json FILE]

Both images compute the same average and start from the same Python image. The image of algotools is built from
``examples/average`` with the command ``algotools build``, the image of the peer from ``peers/vantage6_image`` with the
same engine. Both sides take turns, so that other load on the machine and the network affects both equally.

The template of the peer starts from the platform's base image, which is only available in the platform's registry.
Therefore the peer takes part twice: on the Python image with all steps of the template, and on a base that already
contains its tools and pandas, like the platform's base. An author whose engine has the platform's base sees the second
variant, in which a change of code only rebuilds the code.

Debian's own Python cannot be the Python image, because the peer's template installs without a virtual environment.

Requirements: a container engine on this machine, a package index, ``docker-registry`` (Debian's package; or
``registry``) and an environment with algotools. All created images have unique names and are removed at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import docker
from dispatch import HERE, PEER, ROOT, Figures, Spread, Target, alternate, log, write_table
from docker.errors import DockerException

from algotools.errors import AlgotoolsError
from algotools.federation import contract
from algotools.image import base
from algotools.image._steps import REMOVE_TIMEOUT, build_image
from algotools.image.context import Context, collect_folder
from algotools.image.engine import fetch_image
from algotools.task import Database, Proxy, Task

COMMAND = (sys.executable, "-c", "from algotools.cli import main; main()")
"""The command ``algotools`` of this checkout; an installed script could import another copy of the package."""

OF_ALGOTOOLS = ("algotools", "Dockerfile.base", ".dockerignore")
"""The files of the checkout that are used for images."""

SIDES = ("ours", "peer", "peer on a base")
COLUMN = "age"
MOUNTED = Path("/mnt/data")
OWN_CODE_KB = 50
"""Limit for a push after a change of code: code, bytecode, configuration with labels, and manifest."""

VERSIONS = """
import json, os
from importlib.metadata import version
cached = sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk("/root/.cache") for name in names)
versions = {name: version(name) for name in ("pandas", "numpy")}
print(json.dumps({**versions, "pip's own cache": f"{cached / 1e6:.0f} MB"}))
"""


class Registry(NamedTuple):
    """A running registry for this benchmark."""

    address: str
    storage: Path

    def list_blobs(self) -> dict[str, int]:
        """Return digest and size in bytes of all layers, configurations and manifests in the registry."""
        folder = self.storage / "docker/registry/v2/blobs"
        return {path.parent.name: path.stat().st_size for path in folder.glob("*/*/*/data")}


@contextlib.contextmanager
def run_registry(folder: Path) -> Iterator[Registry]:
    """Run a registry on a free port of this machine, with its storage in a folder."""
    program = shutil.which("docker-registry") or shutil.which("registry")
    if program is None:
        raise SystemExit("docker-registry is not installed (Debian: apt install docker-registry)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    address, storage, log_file = f"127.0.0.1:{port}", folder / "storage", folder / "log"
    folder.mkdir()
    settings = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(storage)}},
        "http": {"addr": address, "secret": "benchmark"},
    }
    (folder / "registry.yml").write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    with log_file.open("wb") as output:
        process = subprocess.Popen(
            [program, "serve", str(folder / "registry.yml")], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None:
                break
            time.sleep(0.1)
        if process.poll() is not None:
            raise SystemExit(f"the registry did not start:\n{log_file.read_text(encoding='utf-8', errors='replace')}")
        yield Registry(address, storage)
    finally:
        process.terminate()
        process.wait(timeout=20)


class Names(NamedTuple):
    """The names of the images of this run, in the order of removal: an image before its base."""

    ours: str
    peer: str
    peer_on_base: str
    our_base: str
    peer_base: str
    python: str


@contextlib.contextmanager
def make_names(client: docker.DockerClient, registry: Registry, python_image: str) -> Iterator[Names]:
    """Create unique names in the registry, including a name for the Python image and thereby for the base of algotools.

    So the benchmark neither uses nor rebuilds the base of an author who works on this machine.
    """
    project = f"{registry.address}/benchmark-{uuid.uuid4().hex[:8]}"
    python = f"{project}/python:1"
    names = Names(
        ours=f"{project}/average:1",
        peer=f"{project}/vantage6:1",
        peer_on_base=f"{project}/vantage6-on-base:1",
        our_base=base.make_name(python),
        peer_base=f"{project}/vantage6-base:1",
        python=python,
    )
    image = fetch_image(client, python_image, log)
    try:
        image.tag(*python.rsplit(":", 1))
        yield names
    finally:
        for name in names:
            with contextlib.suppress(docker.errors.ImageNotFound):
                client.api.remove_image(name, force=True)


# --- The two projects and their builds. ---


class Projects:
    """Copies of both projects and of algotools, so that edits of the checkout do not influence a running benchmark."""

    def __init__(self, client: docker.DockerClient, names: Names, folder: Path) -> None:
        self._client = client
        self._names = names
        self._tools = folder / "algotools"
        self._tools.mkdir()
        for name in OF_ALGOTOOLS:
            copy_source(ROOT / name, self._tools / name)
        # Compile the copy like an installed package, even if PYTHONDONTWRITEBYTECODE is set.
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(self._tools / "algotools")], check=True)
        self._our_folder = copy_source(ROOT / "examples/average", folder / "average")
        self._peer_folder = copy_source(HERE / "peers/vantage6_image", folder / "vantage6")
        self._changes = 0

    def make_peer_base(self) -> None:
        """Build a base with the tools of the peer, like the platform's base, but without pip's cache and compilers."""
        dockerfile = f"FROM {self._names.python}\nRUN python -m pip install --no-cache-dir {PEER}\n"
        self._build_with_engine(Context(self._peer_folder, ()), self._names.peer_base, dockerfile=dockerfile)

    def build_cold(self, side: str) -> float:
        """Build an image when only the Python image exists; return the time in seconds."""
        if side == "ours":
            return self._run_command("--no-cache")
        return self._build_peer(self._names.peer, self._names.python, no_cache=True)

    def build_on_base(self, side: str) -> float:
        """Build an image for the first time when its base exists; return the time in seconds."""
        if side == "ours":
            return self._run_command("--no-cache", "--build-arg", f"BASE_IMAGE={self._names.our_base}")
        return self._build_peer(self._names.peer_on_base, self._names.peer_base, no_cache=True)

    def rebuild(self, side: str) -> float:
        """Build an image after a line of a file has changed; return the time in seconds."""
        self._changes += 1
        code = {"ours": self._our_folder / "src/average/algorithm.py"}.get(
            side, self._peer_folder / "federated_average/partial.py"
        )
        with code.open("a", encoding="utf-8") as file:
            file.write(f"# Change {self._changes}.\n")
        if side == "ours":
            return self._run_command()
        if side == "peer":
            return self._build_peer(self._names.peer, self._names.python)
        return self._build_peer(self._names.peer_on_base, self._names.peer_base)

    def get_tag(self, side: str) -> str:
        """Return the name of the image of a side."""
        return {"ours": self._names.ours, "peer": self._names.peer}.get(side, self._names.peer_on_base)

    def _run_command(self, *options: str) -> float:
        """Run the complete command, including its start, the test of the image and the labels."""
        started = time.perf_counter()
        with subprocess.Popen(
            [*COMMAND, "build", str(self._our_folder), "--tag", self._names.ours, *options],
            env={**os.environ, "PYTHONPATH": str(self._tools), base.VARIABLE: self._names.python},
            cwd=self._tools,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                _, errors = process.communicate()
            except KeyboardInterrupt:
                process.wait(2 * REMOVE_TIMEOUT)  # the command was interrupted as well, and cleans up
                raise
        seconds = time.perf_counter() - started
        if process.returncode:
            raise SystemExit(f"algotools build failed:\n{errors}")
        return seconds

    def _build_peer(self, tag: str, base_image: str, *, no_cache: bool = False) -> float:
        started = time.perf_counter()
        context = collect_folder(self._peer_folder, self._peer_folder / ".dockerignore")
        self._build_with_engine(context, tag, arguments={"BASE_IMAGE": base_image}, no_cache=no_cache)
        return time.perf_counter() - started

    def _build_with_engine(self, context: Context, tag: str, *, dockerfile: str | None = None, **options: Any) -> None:
        build_image(self._client, context.make_archive(dockerfile), tag=tag, **options)


def copy_source(source: Path, target: Path) -> Path:
    """Copy a file or folder without caches and virtual environments."""
    if source.is_file():
        shutil.copyfile(source, target)
    else:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*_cache", ".venv*"))
    return target


# --- The measurements. ---


def measure_builds(projects: Projects, rounds: int) -> Figures:
    """Measure builds without and with an existing base."""
    turns = {
        "cold, ours": partial(projects.build_cold, "ours"),
        "cold, peer": partial(projects.build_cold, "peer"),
        "on base, ours": partial(projects.build_on_base, "ours"),
        "on base, peer on a base": partial(projects.build_on_base, "peer on a base"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds):
        for name, turn in turns.items():
            seconds[name].append(turn())
            log(f"build {number + 1} of {rounds}, {name}: {seconds[name][-1]:.1f} s")
    return {name: Spread("s", values) for name, values in seconds.items()}


def measure_sizes(client: docker.DockerClient, names: Names, projects: Projects) -> Figures:
    """Measure size and layers of the images on the disk, and the difference to the Python image."""

    def read_size(tag: str) -> tuple[float, int]:
        attributes = client.images.get(tag).attrs
        return attributes["Size"] / 1e6, len(attributes["RootFS"]["Layers"])

    python_size, python_layers = read_size(names.python)
    figures = {"size, Python": Spread("MB", [python_size]), "layers, Python": Spread("", [python_layers])}
    for side in SIDES:
        size, layers = read_size(projects.get_tag(side))
        figures |= {
            f"size, {side}": Spread("MB", [size]),
            f"layers, {side}": Spread("", [layers]),
            f"added size, {side}": Spread("MB", [size - python_size]),
            f"added layers, {side}": Spread("", [layers - python_layers]),
        }
    return figures


def measure_changes(
    client: docker.DockerClient, registry: Registry, projects: Projects, names: Names, rounds: int
) -> Figures:
    """Measure the build after a change of a line of code, and the bytes that a push sends to the registry."""

    def push(tag: str) -> float:
        blobs = registry.list_blobs()
        for message in client.api.push(tag, stream=True, decode=True):
            if "error" in message:
                raise SystemExit(f"{tag} cannot be pushed: {message['error']}")
        return sum(size for digest, size in registry.list_blobs().items() if digest not in blobs) / 1e3

    log("pushing all images for the first time")
    push(names.python)
    figures = {f"first push, {side}": Spread("MB", [push(projects.get_tag(side)) / 1e3]) for side in SIDES}
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    kilobytes: dict[str, list[float]] = {side: [] for side in SIDES}
    for number in range(rounds):
        for side in SIDES:
            seconds[side].append(projects.rebuild(side))
            kilobytes[side].append(push(projects.get_tag(side)))
            log(f"change {number + 1} of {rounds}, {side}: {seconds[side][-1]:.1f} s, {kilobytes[side][-1]:.1f} kB")
    return {
        **figures,
        **{f"rebuild, {side}": Spread("s", values) for side, values in seconds.items()},
        **{f"pushed, {side}": Spread("kB", values) for side, values in kilobytes.items()},
    }


class ContainerNode:
    """A minimal v4 node: it starts a container for a task, waits for its exit, and reads its output file."""

    def __init__(self, client: docker.DockerClient, folder: Path) -> None:
        self._client = client
        self._folder = folder
        (folder / "task").mkdir(parents=True)
        (folder / "tmp").mkdir()
        table = write_table(folder / "default.csv")
        with table.open(newline="", encoding="utf-8") as file:
            values = [float(row[COLUMN]) for row in csv.DictReader(file) if row[COLUMN]]
        self.expected = {"sum": sum(values), "count": len(values)}
        self._contract = contract.get_contract("v4")
        task = MOUNTED / "task"
        prepared = self._contract.prepare(
            Task(
                method="average_partial",
                kwargs={"column_name": COLUMN},
                databases=(Database("default", str(MOUNTED / table.name), "csv"),),
                input_file=task / "input",
                output_file=task / "output",
                temporary_folder=MOUNTED / "tmp",
                proxy=Proxy("http://127.0.0.1:9", task / "token"),  # like at a node, but not used
                variables={"ALGOTOOLS_POLICY": "off"},
            ),
            token="a.run's.token",
        )
        self._variables = prepared.environment
        for path, content in prepared.files.items():
            (folder / path.relative_to(MOUNTED)).write_bytes(content)

    def run(self, image: str) -> float:
        """Return the milliseconds from the creation of a container until its result is read and checked."""
        output = self._folder / "task/output"
        output.write_bytes(b"")
        with self._container(image, None) as (start, read_log):
            started = time.perf_counter()
            code = start()
            data = output.read_bytes()
            seconds = time.perf_counter() - started
            if code or self._contract.decode_output(data) != self.expected:
                raise SystemExit(
                    f"{image}: exit code {code}, result {data!r} instead of {self.expected}:\n{read_log()}"
                )
        return 1e3 * seconds

    def run_nothing(self, image: str) -> float:
        """Return the milliseconds for a Python that does nothing: the time of the engine itself."""
        with self._container(image, ["python3", "-c", "pass"]) as (start, read_log):
            started = time.perf_counter()
            if code := start():
                raise SystemExit(f"{image}: exit code {code}:\n{read_log()}")
            return 1e3 * (time.perf_counter() - started)

    @contextlib.contextmanager
    def _container(self, image: str, command: list[str] | None) -> Iterator[tuple[Any, Any]]:
        """Yield a function that runs a container and a function that returns its log. Finally remove the container."""
        api = self._client.api
        settings = api.create_host_config(binds={str(self._folder): {"bind": str(MOUNTED), "mode": "rw"}})
        containers: list[str] = []

        def run() -> int:
            containers.append(
                api.create_container(image, command, environment=self._variables, host_config=settings)["Id"]
            )
            api.start(containers[0])
            return int(api.wait(containers[0])["StatusCode"])

        try:
            yield run, lambda: api.logs(containers[0]).decode(errors="replace")
        finally:
            for container in containers:
                api.remove_container(container, force=True, v=True)


def measure_starts(client: docker.DockerClient, names: Names, projects: Projects, folder: Path, rounds: int) -> Figures:
    """Measure the time from a task to its result: container, interpreter, wrapper, pandas and function."""
    node = ContainerNode(client, folder)
    samples: dict[str, list[float]] = {name: [] for name in ("Python", *SIDES)}

    def turn(name: str) -> None:
        samples[name].append(node.run_nothing(names.python) if name == "Python" else node.run(projects.get_tag(name)))

    log(f"starting containers, {rounds} times each")
    alternate(rounds, {name: partial(turn, name) for name in samples})
    print(f"All images return {json.dumps(node.expected)}.")
    return {f"start, {name}": Spread("ms", values[1:]) for name, values in samples.items()}


# --- The output. ---

ROWS = (
    ("image", "size"),
    ("  layers", "layers"),
    ("on top of the Python image", "added size"),
    ("  layers", "added layers"),
    ("  first push, compressed", "first push"),
    ("build from nothing", "cold"),
    ("build of a project whose base is there", "on base"),
    ("build after a change of code", "rebuild"),
    ("pushed after a change of code", "pushed"),
    ("start to result", "start"),
)
WITHOUT_PYTHON = "start beyond bare Python"


def compute_ratios(figures: Figures) -> dict[str, float]:
    """Return the medians of algotools divided by the medians of the peer."""
    ratios = {
        f"{quantity}, {side}": figures[f"{quantity}, ours"].median / figures[f"{quantity}, {side}"].median
        for _, quantity in ROWS
        for side in SIDES[1:]
        if f"{quantity}, {side}" in figures
    }
    bare = figures["start, Python"].median
    beyond = {side: figures[f"start, {side}"].median - bare for side in SIDES}
    return ratios | {f"{WITHOUT_PYTHON}, {side}": beyond["ours"] / beyond[side] for side in SIDES[1:]}


def make_targets(figures: Figures, by_peer: Mapping[str, float]) -> list[Target]:
    """Return the targets of these figures."""
    return [
        Target("size of the image, relative to the peer", by_peer["size, peer"], 1),
        Target("size of the image, relative to the peer on a base", by_peer["size, peer on a base"], 1),
        Target("build after a change of code, relative to the peer", by_peer["rebuild, peer"], 0.10),
        Target("pushed after a change of code", figures["pushed, ours"].median, OWN_CODE_KB, " kB"),
    ]


def format_figure(figure: Spread | None) -> str:
    """Format a figure for a cell, with its spread if there are several samples."""
    if figure is None:
        return ""
    if len(figure.samples) > 1:
        return str(figure)
    return f"{figure.median:.1f} {figure.unit}" if figure.unit else f"{figure.median:.0f}"


def format_table(figures: Figures, by_peer: Mapping[str, float]) -> str:
    """Format a table of medians, minima and maxima."""
    lines = [("median (min to max)", "algotools", "vantage6", "ratio", "vantage6 on a base", "ratio")]
    for text, quantity in ROWS:
        cells = [text, format_figure(figures[f"{quantity}, ours"])]
        for side in SIDES[1:]:
            ratio = by_peer.get(f"{quantity}, {side}")
            cells += [
                format_figure(figures.get(f"{quantity}, {side}")),
                "" if ratio is None else f"{ratio:.2f}" if ratio >= 0.01 else f"{ratio:.1g}",
            ]
        lines.append(tuple(cells))
    ratio = [f"{by_peer[f'{WITHOUT_PYTHON}, {side}']:.2f}" for side in SIDES[1:]]
    lines += [
        ("  of that beyond a bare Python", "", "", ratio[0], "", ratio[1]),
        ("a bare Python, start to end", format_figure(figures["start, Python"]), "", "", "", ""),
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    return "\n".join(
        "  ".join(
            [f"{line[0]:<{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True))]
        ).rstrip()
        for line in lines
    )


def describe_origin(client: docker.DockerClient, python_image: str, projects: Projects) -> dict[str, object]:
    """Return the versions and the engine, without which the figures cannot be interpreted."""
    information = client.info()

    def read_versions(side: str) -> object:
        return json.loads(client.containers.run(projects.get_tag(side), ["python", "-c", VERSIONS], remove=True))

    return {
        "Python image": python_image,
        "engine": f"{information['ServerVersion']}, {information['Driver']}, {information['NCPU']} processors",
        "peer": PEER,
        **{f"in the image, {side}": read_versions(side) for side in SIDES},
    }


def format_json(origin: Mapping[str, object], figures: Figures, by_peer: Mapping[str, float]) -> str:
    """Format the figures with all samples as JSON."""
    content = {
        "about": origin,
        "figures": {name: {"median": statistics.median(f.samples), **asdict(f)} for name, f in figures.items()},
        "ratios": by_peer,
        "targets": [{**asdict(target), "met": target.met} for target in make_targets(figures, by_peer)],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Measure and print. The exit code is 0 even if a target is not met, because people judge the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--python-image",
        default=os.environ.get(base.VARIABLE) or base.PYTHON_IMAGE,
        help=f"Python image of both sides (default: {base.VARIABLE} in the environment, otherwise %(default)s)",
    )
    parser.add_argument("--builds", type=int, default=3, help="number of builds (default: %(default)s)")
    parser.add_argument("--starts", type=int, default=10, help="number of starts (default: %(default)s)")
    parser.add_argument(
        "--quick", action="store_true", help="one measurement of each figure, as a test of the benchmark"
    )
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write all figures to this file")
    options = parser.parse_args()
    builds, starts = (1, 1) if options.quick else (options.builds, options.starts)
    if min(builds, starts) < 1:
        parser.error("--builds and --starts must be at least 1")
    try:
        client = docker.from_env(timeout=600)
    except DockerException as error:
        raise SystemExit(f"the container engine cannot be reached: {error}") from None
    before = os.getloadavg()[0]  # load of other processes increases times, but hardly changes ratios
    with contextlib.ExitStack() as stack:
        stack.callback(client.close)
        # Files that a container wrote belong to root, so their removal can fail.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True)))
        registry = stack.enter_context(run_registry(folder / "registry"))
        names = stack.enter_context(make_names(client, registry, options.python_image))
        projects = Projects(client, names, folder)
        log("building a base with the tools of the peer")
        projects.make_peer_base()
        figures = measure_builds(projects, builds)
        figures |= measure_sizes(client, names, projects)
        origin = describe_origin(client, options.python_image, projects)
        figures |= measure_starts(client, names, projects, folder / "node", starts)
        figures |= measure_changes(client, registry, projects, names, builds)
    origin["load before and after"] = [round(load, 2) for load in (before, os.getloadavg()[0])]
    by_peer = compute_ratios(figures)
    print(*(f"{name}: {value}" for name, value in origin.items()), "", sep="\n")
    print(format_table(figures, by_peer), "", *make_targets(figures, by_peer), sep="\n")
    if options.json:
        options.json.write_text(format_json(origin, figures, by_peer), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except AlgotoolsError as error:
        raise SystemExit(f"{error.message}\n{error.detail or ''}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
