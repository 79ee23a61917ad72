"""Measure the structure of the package: packages, arrows, cycles, lines, code in an image, and functions of one run.

Usage: structure.py [CHECKOUT]

Prints one line per figure, for this checkout or another checkout. The functions and modules of one ``algotools run
average_partial`` are counted over all its processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import grimp

THIN = {"__main__", "describe", "extraction", "packaging", "testing"}
"""Public modules that only re-export."""

HOOK = """
import os, sys, threading
root, out = (os.environ.get(f"STRUCTURE_{name}", "") for name in ("ROOT", "OUT"))  # a worker has a separate environment
seen = set()
def note(frame, event, argument):
    code = frame.f_code
    if event == "call" and code not in seen:
        seen.add(code)
        if code.co_filename.startswith(root) and code.co_flags & 2:
            line = f"{code.co_filename}\\t{code.co_firstlineno}\\t{code.co_name}\\n"
            file = os.open(out, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, line.encode())
            os.close(file)
if out:
    threading.setprofile(note)
    sys.setprofile(note)
"""
"""A ``sitecustomize`` that logs the first call of each function of algotools in each process."""


def list_arrows() -> set[tuple[str, str]]:
    """Return the imports between packages and top-level modules."""
    graph = grimp.build_graph("algotools")
    tops = {module: ".".join(module.split(".")[1:2]) for module in graph.modules}
    pairs = {(tops[m], tops[i]) for m in graph.modules for i in graph.find_modules_directly_imported_by(m)}
    return {(module, imported) for module, imported in pairs if module and imported and module != imported}


def count_levels(pairs: set[tuple[str, str]]) -> int:
    """Return the length of the longest chain of imports; 0 if there is a cycle."""
    names = {name for pair in pairs for name in pair}
    count = 0
    while names:
        free = {name for name in names if not any(m == name and i in names for m, i in pairs)}
        if not free:
            return 0
        names -= free
        count += 1
    return count


def run(root: Path) -> tuple[int, int]:
    """Return the functions and modules that one run of the example passes through."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sitecustomize.py").write_text(HOOK, encoding="utf-8")
        out = Path(folder, "calls")
        command = "from algotools.cli import main; main()"
        arguments = ["run", "average_partial", "column_name=age", "--algorithm", "examples/average", "--json"]
        subprocess.run(
            [sys.executable, "-c", command, *arguments, "--organizations", "2,3"],
            cwd=root,
            check=True,
            stdout=subprocess.DEVNULL,
            env={
                **os.environ,
                "PYTHONPATH": f"{folder}{os.pathsep}{root}",
                "STRUCTURE_ROOT": f"{root / 'algotools'}{os.sep}",
                "STRUCTURE_OUT": str(out),
            },
        )
        calls = {tuple(line.split("\t")) for line in out.read_text(encoding="utf-8").splitlines()}
    functions = {call for call in calls if not call[2].startswith("<")}
    return len(functions), len({call[0] for call in functions})


def main() -> None:
    """Print the figures."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1]).resolve()
    sys.path.insert(0, str(root))
    from algotools.image import base

    pairs = list_arrows()
    names = {name for pair in pairs for name in pair}
    modules = sorted((root / "algotools").rglob("*.py"))
    sent = base.read_sources()[0].files
    functions, modules_of_run = run(root)
    print(f"packages and top-level modules  {len(names - THIN)}, and {len(names & THIN)} thin")
    print(f"arrows between them             {len(pairs)}")
    print(f"levels                          {count_levels(pairs) or 'a cycle'}")
    print(f"modules                         {len(modules)}")
    print(f"lines                           {sum(len(m.read_text(encoding='utf-8').splitlines()) for m in modules)}")
    print(f"files in an image               {len(sent)}")
    print(f"bytes in an image               {sum(Path(root, name).stat().st_size for name in sent)}")
    print(f"functions of one run            {functions} in {modules_of_run} modules")


if __name__ == "__main__":
    main()
