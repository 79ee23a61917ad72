"""Measure the time to the first federated result: `algotools new` and `algotools run`, compared with `cookiecutter`.

    python benchmarks/scaffold.py [--rounds N]

Each round starts in an empty folder, and each command is a new process. If a network namespace can be created
(``unshare``), there is no network. The scaffold of the platform downloads its template from a code host, so it cannot
be compared without a network. Plain ``cookiecutter`` creates the same files from the same template.
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
"""`ip link set lo up`, because a new network namespace has no loopback interface."""


def make_network_prefix() -> tuple[str, ...]:
    """Return the prefix that runs a command without a network; empty if that is not permitted."""
    command = ("unshare", "--net", "sh", "-c", f"{sys.executable} -c '{LOOPBACK}' && exec \"$@\"", "sh")
    attempt = subprocess.run([*command, "true"], capture_output=True, check=False)
    return command if attempt.returncode == 0 else ()


def measure_steps(samples: list[float], *steps: tuple[tuple[str, ...], Path]) -> None:
    """Run commands one after another, and append the total time in seconds to the samples."""
    started = time.perf_counter()
    for command, folder in steps:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    samples.append(time.perf_counter() - started)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    prefix = make_network_prefix()
    figures: dict[str, Spread] = {}
    folder = Path(tempfile.mkdtemp())

    def run_in_empty_folder(steps: Callable[[Path], list[tuple[tuple[str, ...], Path]]], spread: Spread) -> None:
        shutil.rmtree(folder)
        folder.mkdir()
        measure_steps(spread.samples, *steps(folder))

    turns = {}
    for kind, (title, arguments) in PROJECTS.items():
        new = (*prefix, *OURS, "new", title, "--kind", kind, "--no-input")
        run = (*prefix, *OURS, "run", "master", *arguments)
        plain = (*prefix, sys.executable, "-m", "cookiecutter", str(ROOT), "--directory", "template", "--no-input")
        name = title.lower().replace(" ", "-")
        turns_of_kind = {
            f"{kind}: new, and the first result": lambda cwd, new=new, run=run, name=name: [
                (new, cwd),
                (run, cwd / name),
            ],
            f"{kind}: new": lambda cwd, new=new: [(new, cwd)],
            f"{kind}: cookiecutter": lambda cwd, plain=plain, kind=kind, title=title: [
                ((*plain, f"title={title}", f"kind={kind}"), cwd)
            ],
        }
        for label, steps in turns_of_kind.items():
            figures[label] = Spread("s", [])
            turns[label] = partial(run_in_empty_folder, steps, figures[label])
    alternate(rounds, turns)
    shutil.rmtree(folder)
    print("without a network" if prefix else "with a network", f"- {rounds} rounds")
    for label, spread in figures.items():
        spread.samples.pop(0)  # the first round fills the disk cache
        print(f"{label:40} {spread.median:6.2f} s ({min(spread.samples):.2f} to {max(spread.samples):.2f})")
    for kind in PROJECTS:
        ratio = figures[f"{kind}: new"].median / figures[f"{kind}: cookiecutter"].median
        print(f"{kind}: new / cookiecutter {ratio:.2f}")


if __name__ == "__main__":
    main()
