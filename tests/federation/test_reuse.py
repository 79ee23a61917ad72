"""A stored result is reused only if the algorithm, the data and the options are the same without a doubt."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from algotools.federation._function_hashes import UnknownState, hash_functions

from ..processes import LIMIT

DEFINITIONS = """
import enum, functools, random
from dataclasses import dataclass, field
import numpy as np
import pandas as pd
from algotools import Federation, rpc

def multiply(x, factor): return x * factor
def scale(factor):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args): return function(*args) * factor
        return wrapper
    return decorate
def make_closure(factor):
    def f(x): return x * factor
    return f
class Settings:
    factor = VALUE
    @staticmethod
    def read(): return Settings.factor
class Child(Settings):
    pass
@dataclass
class Options:
    names: list = field(default_factory=list)
    factor: int = VALUE
class Level(enum.Enum):
    ONE = VALUE
LIST, DICT, SET, ARRAY, OPTIONS = [VALUE], {"a": {"b": VALUE}}, {"x", VALUE}, np.array([VALUE]), Options()
TABLE = pd.DataFrame({"a": [VALUE]})
PARTIAL, CLOSURE, LAMBDA = functools.partial(multiply, factor=VALUE), make_closure(VALUE), lambda x: x * VALUE
@functools.cache
def cached(): return VALUE
@scale(VALUE)
def decorated(x): return x
import helper
"""

USES = {
    "closure": "CLOSURE(1)", "list": "LIST[0]", "dict": "DICT['a']['b']", "set": "max(map(str, SET))",
    "array": "int(ARRAY[0])", "table": "int(TABLE['a'].sum())", "partial": "PARTIAL(1)", "lambda": "LAMBDA(1)",
    "class": "Settings.factor", "inherited": "Child.read()", "dataclass": "OPTIONS.factor", "new": "Options().factor",
    "enum": "Level.ONE.value", "cache": "cached()", "decorator": "decorated(1)", "module": "helper.compute()",
    "comprehension": "[LIST[0] for _ in 'a'][0]",
}  # fmt: skip


def hash_in_process(folder: Path, value: int, helper: int, seed: int) -> list[str]:
    """Return the hash of a function for each of ``USES``, computed in a process of its own."""
    functions = "".join(f"@rpc\ndef f_{name}(data: pd.DataFrame): return {use}\n" for name, use in USES.items())
    (folder / "helper.py").write_text(
        f"import numpy\nF = {helper}\ndef compute(): return inner()\ndef inner(): return F\n"
    )
    (folder / "script.py").write_text(
        f"VALUE = {value}\n{DEFINITIONS}{functions}from algotools.federation._function_hashes import hash_functions\n"
        f"for name in {list(USES)}: print(hash_functions([globals()['f_' + name]]))\n"
    )
    environ = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(folder / "script.py")]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=environ, timeout=LIMIT
    ).stdout.splitlines()


def test_everything_that_a_function_uses_belongs_to_its_hash(tmp_path: Path) -> None:
    first = hash_in_process(tmp_path, 3, 1, 1)
    assert len(set(first)) == len(USES)
    again = hash_in_process(tmp_path, 3, 1, 2)
    assert [name for name, old, new in zip(USES, first, again, strict=True) if old != new] == []
    changed = hash_in_process(tmp_path, 4, 2, 1)
    assert [name for name, old, new in zip(USES, first, changed, strict=True) if old == new] == []


FACTOR = 1
STREAM = iter([1])


def use_globals():
    return globals()["FACTOR"]


def change_global():
    global FACTOR  # noqa: PLW0603  # the point of the test
    FACTOR += 1


def import_unknown():
    import some_module_of_the_author

    return some_module_of_the_author


def use_generator():
    return next(open_generator)


open_generator = (number for number in range(3))


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (use_globals, "uses globals"),
        (change_global, "changes the global variable FACTOR"),
        (import_unknown, "imports some_module_of_the_author"),
        (use_generator, "an object of generator cannot be compared"),
    ],
)
def test_what_cannot_be_described_is_unknown(function, reason: str) -> None:
    with pytest.raises(UnknownState, match=reason):
        hash_functions([function])


ALGORITHM = """
import pandas as pd
from algotools import rpc
{imports}
@rpc
def scaled(data: pd.DataFrame, s: int) -> float:
    return float(data["x"].sum() * FACTOR * s)
"""

RUN = """
import sys
from pathlib import Path
import pandas as pd
from algotools import Federation
for options in {options}:
    with Federation({{"a": "a.csv"}}, algorithm=sys.argv[1], history=Path("h.sqlite3"), **options) as federation:
        (cell,) = federation.map("scaled", [{{"s": 1}}])
        print(cell.is_reused, cell.results[0])
    {after}
"""


def run_map(folder: Path, algorithm: str, options: str = "[{}]", after: str = "pass", **variables: str) -> list[str]:
    (folder / "run_map.code").write_text(RUN.format(options=options, after=after))
    environ = {**os.environ, "ALGOTOOLS_HISTORY": "on", "PYTHONDONTWRITEBYTECODE": "1", **variables}
    command = [sys.executable, "-c", (folder / "run_map.code").read_text(), algorithm]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=environ, timeout=LIMIT)
    (folder / "stderr").write_text(result.stderr)
    return result.stdout.splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.csv").write_text("x\n" + "1\n" * 20)
    return tmp_path


def test_a_module_beside_a_file_belongs_to_the_algorithm(folder: Path) -> None:
    (folder / "algo.py").write_text(ALGORITHM.format(imports="from helper_of_algo import FACTOR"))
    (folder / "helper_of_algo.py").write_text("FACTOR = 1\n")
    assert run_map(folder, "algo.py") == ["False 20.0"]
    assert run_map(folder, "algo.py") == ["True 20.0"]
    (folder / "helper_of_algo.py").write_text("FACTOR = 2\n")
    assert run_map(folder, "algo.py") == ["False 40.0"]


def test_a_module_beside_the_package_or_on_the_path_belongs_to_the_algorithm(folder: Path) -> None:
    package = folder / "src" / "pack"
    package.mkdir(parents=True)
    (folder / "path").mkdir()
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "pack"\nversion = "1"\n[project.entry-points."algotools.algorithms"]\npack = "pack"\n'
    )
    imports = "from util_of_pack import A\nfrom path_of_pack import B\nFACTOR = A * B"
    (package / "__init__.py").write_text(ALGORITHM.format(imports=imports))
    (folder / "src" / "util_of_pack.py").write_text("A = 1\n")
    (folder / "path" / "path_of_pack.py").write_text("B = 1\n")
    path = str(folder / "path")
    assert run_map(folder, ".", PYTHONPATH=path) == ["False 20.0"]
    assert run_map(folder, ".", PYTHONPATH=path) == ["True 20.0"]
    (folder / "src" / "util_of_pack.py").write_text("A = 2\n")
    assert run_map(folder, ".", PYTHONPATH=path) == ["False 40.0"]
    (folder / "path" / "path_of_pack.py").write_text("B = 3\n")
    assert run_map(folder, ".", PYTHONPATH=path) == ["False 120.0"]


def test_another_runner_or_installed_package_runs_the_tasks_again(folder: Path) -> None:
    (folder / "algo.py").write_text(ALGORITHM.format(imports="FACTOR = 1"))
    assert run_map(folder, "algo.py") == ["False 20.0"]
    assert run_map(folder, "algo.py", options="[{'runner': 'process'}]") == ["False 20.0"]
    (folder / "packages" / "other-1.0.dist-info").mkdir(parents=True)
    packages = str(folder / "packages")
    assert run_map(folder, "algo.py", PYTHONPATH=packages) == ["False 20.0"]
    assert run_map(folder, "algo.py", PYTHONPATH=packages) == ["True 20.0"]
    (folder / "packages" / "other-1.0.dist-info").rename(folder / "packages" / "other-2.0.dist-info")
    assert run_map(folder, "algo.py", PYTHONPATH=packages) == ["False 20.0"]


def test_code_that_changed_after_its_import_is_unknown_and_a_line_says_so(folder: Path) -> None:
    (folder / "algo.py").write_text(ALGORITHM.format(imports="FACTOR = 1"))
    change = 'p = Path("algo.py"); p.write_text(p.read_text().replace("FACTOR = 1", "FACTOR = 2"))'
    assert run_map(folder, "algo.py", options="[{}, {}]", after=change) == ["False 20.0", "False 20.0"]
    assert "tasks in the history are not reused, because" in (folder / "stderr").read_text()
    assert "has changed since this process first read it" in (folder / "stderr").read_text()
    assert run_map(folder, "algo.py") == ["False 40.0"], "the result of the old code is not stored as one of the new"


def test_data_that_change_during_a_task_do_not_leave_a_result_to_reuse(folder: Path) -> None:
    change = 'open("a.csv", "a").write("1\\n"); FACTOR = 1'
    (folder / "algo.py").write_text(ALGORITHM.format(imports=f"FACTOR = 1\ndef change():\n    {change}").replace(
        "    return", "    change()\n    return"))  # fmt: skip
    assert run_map(folder, "algo.py") == ["False 20.0"]
    lines = (folder / "a.csv").read_text().splitlines()
    (folder / "a.csv").write_text("\n".join(lines[:21]) + "\n")
    assert run_map(folder, "algo.py") == ["False 20.0"]
