"""From nothing to the first federated result: `algotools new` and `algotools run`, beside plain `cookiecutter`.

    python benchmarks/scaffold.py [--rounds N]

Each round begins in an empty folder, every command is a process of its own, and where a network namespace can be made
(``unshare``) there is no network. The other scaffold of the field fetches its template from a code host, so it cannot
stand here; plain ``cookiecutter`` makes the same files from the same template.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from dispatch import ROOT, Spread, alternate

OURS = (sys.executable, "-c", "from algotools.cli import main; main()")
PROJECTS = {
    "average": ("Cohort Mean", ("column_name=age",)),
    "iterative": ("Event Model", ("outcome=event", 'predictors:=["age", "bmi"]')),
}
LOOPBACK = 'import fcntl,socket,struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 1))'
"""`ip link set lo up`: in a namespace of its own a process has not even that."""


def alone() -> tuple[str, ...]:
    """What runs a command without a network; nothing, where nobody may."""
    command = ("unshare", "--net", "sh", "-c", f"{sys.executable} -c '{LOOPBACK}' && exec \"$@\"", "sh")
    tried = subprocess.run([*command, "true"], capture_output=True, check=False)
    return command if tried.returncode == 0 else ()


def timed(samples: list[float], *steps: tuple[tuple[str, ...], Path]) -> None:
    """Run commands one after the other; the seconds that all of them took are a sample."""
    started = time.perf_counter()
    for command, folder in steps:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    samples.append(time.perf_counter() - started)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    network = alone()
    figures: dict[str, Spread] = {}
    folder = Path(tempfile.mkdtemp())

    def fresh(steps: Callable[[Path], list[tuple[tuple[str, ...], Path]]], spread: Spread) -> None:
        shutil.rmtree(folder)
        folder.mkdir()
        timed(spread.samples, *steps(folder))

    turns = {}
    for kind, (title, arguments) in PROJECTS.items():
        new = (*network, *OURS, "new", title, "--kind", kind, "--no-input")
        run = (*network, *OURS, "run", "master", *arguments)
        plain = (*network, sys.executable, "-m", "cookiecutter", str(ROOT), "--directory", "template", "--no-input")
        name = title.lower().replace(" ", "-")
        asked = {
            f"{kind}: new, and the first result": lambda at, new=new, run=run, name=name: [(new, at), (run, at / name)],
            f"{kind}: new": lambda at, new=new: [(new, at)],
            f"{kind}: cookiecutter": lambda at, plain=plain, kind=kind, title=title: [
                ((*plain, f"title={title}", f"kind={kind}"), at)
            ],
        }
        for what, steps in asked.items():
            figures[what] = Spread("s", [])
            turns[what] = partial(fresh, steps, figures[what])
    alternate(rounds, turns)
    shutil.rmtree(folder)
    print("without a network" if network else "with whatever network there is", f"- {rounds} rounds")
    for what, spread in figures.items():
        spread.samples.pop(0)  # the first round warmed the disk's cache
        print(f"{what:40} {spread.median:6.2f} s ({min(spread.samples):.2f} to {max(spread.samples):.2f})")
    for kind in PROJECTS:
        ratio = figures[f"{kind}: new"].median / figures[f"{kind}: cookiecutter"].median
        print(f"{kind}: new / cookiecutter {ratio:.2f}")


if __name__ == "__main__":
    main()
