"""What an algorithm's image costs: algotools beside the platform's own tools, in one run.

    python benchmarks/images.py [--python-image NAME] [--builds N] [--starts N] [--quick] [--json FILE]

The same average twice, both from the same Python image: ours is ``examples/average`` and built with the command
``algotools build``, theirs is ``peers/vantage6_image`` and built by the same engine. Both sides take turns, so that
whatever else the machine and the network do weighs on both alike.

The peer's template begins with the platform's own base image, which is not to be had without its registry. So the
peer stands here in two ways: from the Python image alone, as its template's steps are, and on a base that has its
tools and pandas already, as the platform's base has. The second pays only its own code when that changes, and is
what an author sees whose engine has the platform's base.

Debian's own Python will not do as the Python image: the peer's template installs without a virtual environment.

Needs a container engine on this machine, a package index, ``docker-registry`` (Debian's package; or ``registry``) and
an environment with algotools. Whatever it makes carries a name of its own, and is removed at the end.
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
from dispatch import HERE, PEER, ROOT, Figures, Spread, Target, alternate, say, write_table
from docker.errors import DockerException

from algotools import contract
from algotools.errors import AlgotoolsError
from algotools.image import base
from algotools.image.context import Context, of_patterns
from algotools.image.engine import fetched
from algotools.image.steps import PATIENCE, build
from algotools.task import Database, Proxy, Task

COMMAND = (sys.executable, "-c", "from algotools.cli import main; main()")
"""``algotools``; the script of that name would do, but for where it finds the package."""

OF_ALGOTOOLS = ("algotools", "Dockerfile.base", ".dockerignore")
"""What of the checkout makes images."""

SIDES = ("ours", "peer", "peer on a base")
COLUMN = "age"
MOUNTED = Path("/mnt/data")
OWN_CODE_KB = 50
"""What a change of code may push: the code and its bytecode, the image's configuration with its labels, a manifest."""

VERSIONS = """
import json, os
from importlib.metadata import version
cached = sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk("/root/.cache") for name in names)
versions = {name: version(name) for name in ("pandas", "numpy")}
print(json.dumps({**versions, "pip's own cache": f"{cached / 1e6:.0f} MB"}))
"""


class Registry(NamedTuple):
    """A registry that runs for this benchmark."""

    address: str
    storage: Path

    def blobs(self) -> dict[str, int]:
        """Everything that it was ever sent: layers, configurations and manifests, by digest, with their bytes."""
        folder = self.storage / "docker/registry/v2/blobs"
        return {found.parent.name: found.stat().st_size for found in folder.glob("*/*/*/data")}


@contextlib.contextmanager
def running_registry(folder: Path) -> Iterator[Registry]:
    """Start a registry on a free port of this machine, with its storage in a folder."""
    program = shutil.which("docker-registry") or shutil.which("registry")
    if program is None:
        raise SystemExit("there is no registry on this machine to push to (Debian: apt install docker-registry)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    address, storage, log = f"127.0.0.1:{port}", folder / "storage", folder / "log"
    folder.mkdir()
    settings = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(storage)}},
        "http": {"addr": address, "secret": "of a benchmark"},
    }
    (folder / "registry.yml").write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    with log.open("wb") as output:
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
            raise SystemExit(f"the registry did not start:\n{log.read_text(encoding='utf-8', errors='replace')}")
        yield Registry(address, storage)
    finally:
        process.terminate()
        process.wait(timeout=20)


class Names(NamedTuple):
    """What the images of this run are called; removed in this order, so that none is removed below another."""

    ours: str
    peer: str
    peer_on_base: str
    our_base: str
    peer_base: str
    python: str


@contextlib.contextmanager
def named(client: docker.DockerClient, registry: Registry, python_image: str) -> Iterator[Names]:
    """Names that nobody else has, all at the registry: the Python image gets one, too, and with it our base.

    So neither the base of an author who works on this machine is used, nor is it made anew.
    """
    project = f"{registry.address}/benchmark-{uuid.uuid4().hex[:8]}"
    python = f"{project}/python:1"
    names = Names(
        ours=f"{project}/average:1",
        peer=f"{project}/vantage6:1",
        peer_on_base=f"{project}/vantage6-on-base:1",
        our_base=base.reference(python),
        peer_base=f"{project}/vantage6-base:1",
        python=python,
    )
    image = fetched(client, python_image, say)
    try:
        image.tag(*python.rsplit(":", 1))
        yield names
    finally:
        for name in names:
            with contextlib.suppress(docker.errors.ImageNotFound):
                client.api.remove_image(name, force=True)


# --- The two projects, and how each is built. ---


class Projects:
    """Copies of both projects and of what makes our images: an edit of the checkout meanwhile changes nothing here."""

    def __init__(self, client: docker.DockerClient, names: Names, folder: Path) -> None:
        self._client = client
        self._names = names
        self._tools = folder / "algotools"
        self._tools.mkdir()
        for name in OF_ALGOTOOLS:
            copy(ROOT / name, self._tools / name)
        # Installed packages have their bytecode, whatever the environment of this benchmark says of writing any.
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(self._tools / "algotools")], check=True)
        self._ours = copy(ROOT / "examples/average", folder / "average")
        self._peers = copy(HERE / "peers/vantage6_image", folder / "vantage6")
        self._changes = 0

    def make_peer_base(self) -> None:
        """A base with the peer's tools, as the platform's own has them; without pip's cache, and without compilers."""
        dockerfile = f"FROM {self._names.python}\nRUN python -m pip install --no-cache-dir {PEER}\n"
        self._engine(Context(self._peers, ()), self._names.peer_base, dockerfile=dockerfile)

    def cold(self, side: str) -> float:
        """Seconds of a build for which nothing is there but the Python image."""
        if side == "ours":
            return self._command("--no-cache")
        return self._peer(self._names.peer, self._names.python, no_cache=True)

    def first_on_base(self, side: str) -> float:
        """Seconds of a build for which the base is there, and nothing of the project."""
        if side == "ours":
            return self._command("--no-cache", "--build-arg", f"BASE_IMAGE={self._names.our_base}")
        return self._peer(self._names.peer_on_base, self._names.peer_base, no_cache=True)

    def changed(self, side: str) -> float:
        """Seconds of a build after one line of one file has changed."""
        self._changes += 1
        code = {"ours": self._ours / "src/average/algorithm.py"}.get(side, self._peers / "federated_average/partial.py")
        with code.open("a", encoding="utf-8") as file:
            file.write(f"# Changed for the {self._changes}. time.\n")
        if side == "ours":
            return self._command()
        if side == "peer":
            return self._peer(self._names.peer, self._names.python)
        return self._peer(self._names.peer_on_base, self._names.peer_base)

    def tag(self, side: str) -> str:
        """What the image of a side is called."""
        return {"ours": self._names.ours, "peer": self._names.peer}.get(side, self._names.peer_on_base)

    def _command(self, *options: str) -> float:
        """The whole command, as its user waits for it: with its start, the trial of the image, and its labels."""
        started = time.perf_counter()
        with subprocess.Popen(
            [*COMMAND, "build", str(self._ours), "--tag", self._names.ours, *options],
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
                process.wait(2 * PATIENCE)  # it was interrupted, too, and takes back what it has begun
                raise
        taken = time.perf_counter() - started
        if process.returncode:
            raise SystemExit(f"algotools build failed:\n{errors}")
        return taken

    def _peer(self, tag: str, beginning: str, *, no_cache: bool = False) -> float:
        started = time.perf_counter()
        context = of_patterns(self._peers, self._peers / ".dockerignore")
        self._engine(context, tag, arguments={"BASE_IMAGE": beginning}, no_cache=no_cache)
        return time.perf_counter() - started

    def _engine(self, context: Context, tag: str, *, dockerfile: str | None = None, **options: Any) -> None:
        build(
            self._client,
            context.archive(dockerfile),
            dockerfile="Dockerfile",
            tag=tag,
            tell=lambda _line: None,
            **options,
        )


def copy(source: Path, target: Path) -> Path:
    """A copy of a file or folder, without what Python leaves there."""
    if source.is_file():
        shutil.copyfile(source, target)
    else:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*_cache", ".venv*"))
    return target


# --- The measurements. ---


def measure_builds(projects: Projects, rounds: int) -> Figures:
    """From nothing, and on a base that is there already."""
    turns = {
        "cold, ours": partial(projects.cold, "ours"),
        "cold, peer": partial(projects.cold, "peer"),
        "on base, ours": partial(projects.first_on_base, "ours"),
        "on base, peer on a base": partial(projects.first_on_base, "peer on a base"),
    }
    taken: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds):
        for name, turn in turns.items():
            taken[name].append(turn())
            say(f"build {number + 1} of {rounds}, {name}: {taken[name][-1]:.1f} s")
    return {name: Spread("s", values) for name, values in taken.items()}


def measure_sizes(client: docker.DockerClient, names: Names, projects: Projects) -> Figures:
    """What an engine keeps on its disk, in how many layers, and what of it comes on top of the Python image."""

    def facts(tag: str) -> tuple[float, int]:
        attributes = client.images.get(tag).attrs
        return attributes["Size"] / 1e6, len(attributes["RootFS"]["Layers"])

    python_size, python_layers = facts(names.python)
    figures = {"size, Python": Spread("MB", [python_size]), "layers, Python": Spread("", [python_layers])}
    for side in SIDES:
        size, layers = facts(projects.tag(side))
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
    """One line of code changes, the image is built and pushed: how long, and what the registry had not had before."""

    def pushed(tag: str) -> float:
        before = registry.blobs()
        for message in client.api.push(tag, stream=True, decode=True):
            if "error" in message:
                raise SystemExit(f"{tag} cannot be pushed: {message['error']}")
        return sum(size for digest, size in registry.blobs().items() if digest not in before) / 1e3

    say("pushing all images for the first time")
    pushed(names.python)
    figures = {f"first push, {side}": Spread("MB", [pushed(projects.tag(side)) / 1e3]) for side in SIDES}
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    kilobytes: dict[str, list[float]] = {side: [] for side in SIDES}
    for number in range(rounds):
        for side in SIDES:
            seconds[side].append(projects.changed(side))
            kilobytes[side].append(pushed(projects.tag(side)))
            say(f"change {number + 1} of {rounds}, {side}: {seconds[side][-1]:.1f} s, {kilobytes[side][-1]:.1f} kB")
    return {
        **figures,
        **{f"rebuild, {side}": Spread("s", values) for side, values in seconds.items()},
        **{f"pushed, {side}": Spread("kB", values) for side, values in kilobytes.items()},
    }


class Node:
    """A v4 node in small: starts a container for a task, waits for its end, and reads its output file."""

    def __init__(self, client: docker.DockerClient, folder: Path) -> None:
        self._client = client
        self._folder = folder
        (folder / "task").mkdir(parents=True)
        (folder / "tmp").mkdir()
        table = write_table(folder / "default.csv")
        with table.open(newline="", encoding="utf-8") as file:
            values = [float(row[COLUMN]) for row in csv.DictReader(file) if row[COLUMN]]
        self.expected = {"sum": sum(values), "count": len(values)}
        self._contract = contract.by_name("v4")
        task = MOUNTED / "task"
        prepared = self._contract.prepare(
            Task(
                method="average_partial",
                kwargs={"column_name": COLUMN},
                databases=(Database("default", str(MOUNTED / table.name), "csv"),),
                input_file=task / "input",
                output_file=task / "output",
                temporary_folder=MOUNTED / "tmp",
                proxy=Proxy("http://127.0.0.1:9", task / "token"),  # as always there, and nobody asks it
            ),
            token="a.run's.token",
        )
        self._variables = prepared.environment
        for path, content in prepared.files.items():
            (folder / path.relative_to(MOUNTED)).write_bytes(content)

    def run(self, image: str) -> float:
        """Milliseconds from the creation of the container until its answer was read; the answer must be right."""
        output = self._folder / "task/output"
        output.write_bytes(b"")
        with self._container(image, None) as (taken, log):
            started = time.perf_counter()
            code = taken()
            data = output.read_bytes()
            seconds = time.perf_counter() - started
            if code or self._contract.answer(data) != self.expected:
                raise SystemExit(f"{image} ended with {code} and answered {data!r}, not {self.expected}:\n{log()}")
        return 1e3 * seconds

    def run_nothing(self, image: str) -> float:
        """The same of a Python that has nothing to do: what the engine itself takes."""
        with self._container(image, ["python3", "-c", "pass"]) as (taken, log):
            started = time.perf_counter()
            if code := taken():
                raise SystemExit(f"{image} ended with {code}:\n{log()}")
            return 1e3 * (time.perf_counter() - started)

    @contextlib.contextmanager
    def _container(self, image: str, command: list[str] | None) -> Iterator[tuple[Any, Any]]:
        """What creates a container, starts it and waits for its end, and what gives its log; removed after that."""
        api = self._client.api
        settings = api.create_host_config(binds={str(self._folder): {"bind": str(MOUNTED), "mode": "rw"}})
        made: list[str] = []

        def run() -> int:
            made.append(api.create_container(image, command, environment=self._variables, host_config=settings)["Id"])
            api.start(made[0])
            return int(api.wait(made[0])["StatusCode"])

        try:
            yield run, lambda: api.logs(made[0]).decode(errors="replace")
        finally:
            for container in made:
                api.remove_container(container, force=True, v=True)


def measure_starts(client: docker.DockerClient, names: Names, projects: Projects, folder: Path, rounds: int) -> Figures:
    """From a task that a node has to its answer: a container, an interpreter, the wrapper, pandas, the function."""
    node = Node(client, folder)
    samples: dict[str, list[float]] = {name: [] for name in ("Python", *SIDES)}

    def turn(name: str) -> None:
        samples[name].append(node.run_nothing(names.python) if name == "Python" else node.run(projects.tag(name)))

    say(f"starting containers, {rounds} times each")
    alternate(rounds, {name: partial(turn, name) for name in samples})
    print(f"All answer {json.dumps(node.expected)}.")
    return {f"start, {name}": Spread("ms", values[1:]) for name, values in samples.items()}


# --- What comes out. ---

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


def ratios(figures: Figures) -> dict[str, float]:
    """Ours by the peer's, medians of the same run."""
    found = {
        f"{what}, {side}": figures[f"{what}, ours"].median / figures[f"{what}, {side}"].median
        for _, what in ROWS
        for side in SIDES[1:]
        if f"{what}, {side}" in figures
    }
    floor = figures["start, Python"].median
    beyond = {side: figures[f"start, {side}"].median - floor for side in SIDES}
    return found | {f"{WITHOUT_PYTHON}, {side}": beyond["ours"] / beyond[side] for side in SIDES[1:]}


def targets(figures: Figures, by_peer: Mapping[str, float]) -> list[Target]:
    """What we promise of these figures."""
    return [
        Target("size of the image, by the peer's", by_peer["size, peer"], 1),
        Target("size of the image, by the peer's on a base", by_peer["size, peer on a base"], 1),
        Target("build after a change of code, by the peer's", by_peer["rebuild, peer"], 0.10),
        Target("pushed after a change of code", figures["pushed, ours"].median, OWN_CODE_KB, " kB"),
    ]


def shown(figure: Spread | None) -> str:
    """A figure in its cell: with its spread if it was measured more than once."""
    if figure is None:
        return ""
    if len(figure.samples) > 1:
        return str(figure)
    return f"{figure.median:.1f} {figure.unit}" if figure.unit else f"{figure.median:.0f}"


def table(figures: Figures, by_peer: Mapping[str, float]) -> str:
    """The figures as a person reads them: medians, and the smallest and largest value."""
    lines = [("median (min to max)", "algotools", "vantage6", "ratio", "vantage6 on a base", "ratio")]
    for text, what in ROWS:
        cells = [text, shown(figures[f"{what}, ours"])]
        for side in SIDES[1:]:
            ratio = by_peer.get(f"{what}, {side}")
            cells += [
                shown(figures.get(f"{what}, {side}")),
                "" if ratio is None else f"{ratio:.2f}" if ratio >= 0.01 else f"{ratio:.1g}",
            ]
        lines.append(tuple(cells))
    ratio = [f"{by_peer[f'{WITHOUT_PYTHON}, {side}']:.2f}" for side in SIDES[1:]]
    lines += [
        ("  of that beyond a bare Python", "", "", ratio[0], "", ratio[1]),
        ("a bare Python, start to end", shown(figures["start, Python"]), "", "", "", ""),
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    return "\n".join(
        "  ".join(
            [f"{line[0]:<{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True))]
        ).rstrip()
        for line in lines
    )


def about(client: docker.DockerClient, python_image: str, projects: Projects) -> dict[str, object]:
    """Where the figures come from: they mean nothing without."""
    information = client.info()

    def inside(side: str) -> object:
        return json.loads(client.containers.run(projects.tag(side), ["python", "-c", VERSIONS], remove=True))

    return {
        "Python image": python_image,
        "engine": f"{information['ServerVersion']}, {information['Driver']}, {information['NCPU']} processors",
        "peer": PEER,
        **{f"in the image, {side}": inside(side) for side in SIDES},
    }


def as_json(origin: Mapping[str, object], figures: Figures, by_peer: Mapping[str, float]) -> str:
    """Everything, every single measurement included."""
    content = {
        "about": origin,
        "figures": {name: {"median": statistics.median(f.samples), **asdict(f)} for name, f in figures.items()},
        "ratios": by_peer,
        "targets": [{**asdict(target), "met": target.met} for target in targets(figures, by_peer)],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Measure, print, and end well whether or not the targets are met: figures are judged by people."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--python-image",
        default=os.environ.get(base.VARIABLE) or base.PYTHON_IMAGE,
        help=f"what both begin with (default: %(default)s; {base.VARIABLE} in the environment names another)",
    )
    parser.add_argument("--builds", type=int, default=3, help="how often each is built (default: %(default)s)")
    parser.add_argument("--starts", type=int, default=10, help="how often each is started (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="everything once, to see whether it works")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write all figures there")
    options = parser.parse_args()
    builds, starts = (1, 1) if options.quick else (options.builds, options.starts)
    if min(builds, starts) < 1:
        parser.error("--builds and --starts must be at least 1")
    try:
        client = docker.from_env(timeout=600)
    except DockerException as error:
        raise SystemExit(f"there is no container engine: {error}") from None
    before = os.getloadavg()[0]  # with others at work, times that stand alone come out too high; ratios bear it
    with contextlib.ExitStack() as stack:
        stack.callback(client.close)
        # What a container wrote belongs to root.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True)))
        registry = stack.enter_context(running_registry(folder / "registry"))
        names = stack.enter_context(named(client, registry, options.python_image))
        projects = Projects(client, names, folder)
        say("making a base with the peer's tools")
        projects.make_peer_base()
        figures = measure_builds(projects, builds)
        figures |= measure_sizes(client, names, projects)
        origin = about(client, options.python_image, projects)
        figures |= measure_starts(client, names, projects, folder / "node", starts)
        figures |= measure_changes(client, registry, projects, names, builds)
    origin["load before and after"] = [round(load, 2) for load in (before, os.getloadavg()[0])]
    by_peer = ratios(figures)
    print(*(f"{name}: {value}" for name, value in origin.items()), "", sep="\n")
    print(table(figures, by_peer), "", *targets(figures, by_peer), sep="\n")
    if options.json:
        options.json.write_text(as_json(origin, figures, by_peer), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except AlgotoolsError as error:
        raise SystemExit(f"{error.message}\n{error.detail or ''}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
