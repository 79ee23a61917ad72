"""The code of an algorithm travels to a worker of an engine: a project, a file, an installed module, or functions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest

from algotools.declare.functions import Algorithm
from algotools.declare.locate import Location, locate
from algotools.errors import AlgorithmNotFound, FederationError
from algotools.federation.engines import _code, _code_files
from algotools.federation.engines._code import (
    PackedCode,
    PackedFile,
    describe,
    explain_missing,
    find_in_place,
    pack,
    unpack,
)

from ...conftest import AVERAGE

RPC = """
from algotools import rpc
{imports}

@rpc
def count(data: int = 0) -> int:
    return {result}
"""


def write_files(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text), encoding="utf-8")
    return root


def unpack_new(location: Location | Algorithm, folder: Path) -> Location:
    folder.mkdir()
    return unpack(pack(describe(location)), folder)


def list_names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def call(location: Location, method: str, *arguments: object) -> object:
    """Import an algorithm in a new process, as a worker does, and call one of its functions."""
    code = """
import json, sys
from pathlib import Path
from algotools.declare.locate import Location, load
module, root, file, method, *arguments = json.loads(sys.argv[1])
algorithm = load(Location(module, Path(root), Path(file) if file else None))
print(json.dumps(algorithm.functions[method](*arguments)))
"""
    parts = [location.module, str(location.root), str(location.file or ""), method, *arguments]
    completed = subprocess.run(
        [sys.executable, "-c", code, json.dumps(parts)], capture_output=True, text=True, check=False, cwd="/"
    )
    assert not completed.returncode, completed.stderr
    return json.loads(completed.stdout)


def test_only_the_source_that_a_run_needs_travels(tmp_path):
    root = write_files(
        tmp_path / "project",
        {
            "package/__init__.py": RPC.format(imports="import beside, pandas", result="0"),
            "package/codes.csv": "a",
            "package/.secret": "",
            "package/part/deep.py": "import also.inner",
            "package/__pycache__/x.pyc": "",
            "package/node_modules/x.js": "",
            "package/env/pyvenv.cfg": "",
            "package/env/lib.py": "",
            "beside.py": "",
            "also/__init__.py": "",
            "also/inner.py": "",
            "unrelated.py": "",
            "tests/test_package.py": "",
            "data/node.csv": "",
            ".git/config": "",
            "pyproject.toml": "",
        },
    )
    target = unpack_new(Location("package", root), tmp_path / "there")
    assert target == Location("package", tmp_path / "there")
    assert list_names(tmp_path / "there") == [
        "also/__init__.py",
        "also/inner.py",
        "beside.py",
        "package/__init__.py",
        "package/codes.csv",
        "package/part/deep.py",
    ]


def test_a_project_that_travelled_runs(tmp_path):
    location = unpack_new(locate(AVERAGE), tmp_path / "there")
    assert location.root == tmp_path / "there"
    code = "import sys; from algotools.declare.locate import Location, load; from pathlib import Path;"
    code += f"print(sorted(load(Location({location.module!r}, Path({str(location.root)!r}))).functions))"
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert "average_partial" in completed.stdout


def test_a_single_file_travels_with_the_modules_that_it_imports(tmp_path):
    root = write_files(
        tmp_path / "scripts",
        {
            "algorithm.py": RPC.format(imports="from helper import VALUE\nimport random", result="VALUE"),
            "helper.py": "VALUE = 42",
            "random.py": "raise ValueError",
            "other.py": "",
        },
    )
    location = unpack_new(locate(root / "algorithm.py"), tmp_path / "there")
    assert list_names(tmp_path / "there") == ["algorithm.py", "helper.py"]
    assert location == Location("algorithm", tmp_path / "there", tmp_path / "there" / "algorithm.py")
    assert call(location, "count") == 42


def test_the_same_code_has_the_same_digest_everywhere(tmp_path):
    files = {"package/__init__.py": RPC.format(imports="", result="0"), "package/data.txt": "x"}
    first, second = (Location("package", write_files(tmp_path / name, files)) for name in ("first", "second"))
    os.utime(second.root / "package" / "data.txt", (1, 1))
    assert describe(first).digest == describe(second).digest
    assert pack(describe(first)) == pack(describe(second))


def test_an_edit_is_noticed_also_of_a_file_beside_the_package(tmp_path):
    root = write_files(tmp_path, {"package/__init__.py": "import beside", "beside.py": "A = 1"})
    location = Location("package", root)
    digests = {describe(location).digest}
    write_files(tmp_path, {"beside.py": "A = 2"})
    digests.add(describe(location).digest)
    write_files(tmp_path, {"package/new.py": ""})
    digests.add(describe(location).digest)
    (root / "beside.py").unlink()
    digests.add(describe(location).digest)
    assert len(digests) == 4


def test_unchanged_files_are_not_read_again(tmp_path, monkeypatch):
    location = Location("package", write_files(tmp_path, {"package/__init__.py": "A = 1"}))
    monkeypatch.setattr(_code, "is_settled", lambda identities: True)
    facts = describe(location)
    monkeypatch.setattr(_code, "list_code", None)  # a call would fail
    assert describe(location) == facts


def test_the_same_code_at_the_same_path_is_used_in_place(tmp_path):
    location = Location("package", write_files(tmp_path, {"package/__init__.py": "A = 1"}))
    facts = describe(location)
    assert find_in_place(facts) == location
    write_files(tmp_path, {"package/__init__.py": "A = 2"})
    assert find_in_place(facts) is None
    assert find_in_place(msgspec.structs.replace(facts, root="/nowhere")) is None
    assert explain_missing(facts) == ""


def test_an_installed_module_must_have_the_same_version_and_source():
    facts = describe(Location("msgspec"))
    assert facts.kind == "installed"
    assert facts.version == f"msgspec {msgspec.__version__}"
    assert find_in_place(facts) == Location("msgspec")
    for difference in ({"version": "msgspec 0.1"}, {"digest": "0"}, {"module": "not_installed"}):
        other = msgspec.structs.replace(facts, **difference)
        assert find_in_place(other) is None
        assert "install the same version there" in explain_missing(other)
    absent = msgspec.structs.replace(facts, module="not_installed", version="not-installed 1.0")
    assert "(not-installed 1.0) must be installed" in explain_missing(absent)
    assert "the module is not installed there" in explain_missing(absent)


def test_a_module_on_the_path_of_imports_travels_although_it_has_no_folder(tmp_path, monkeypatch):
    write_files(tmp_path / "code", {"travelling/__init__.py": RPC.format(imports="", result="7")})
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    facts = describe(Location("travelling"))
    assert (facts.kind, facts.root) == ("folder", str(tmp_path / "code"))
    assert call(unpack_new(Location("travelling"), tmp_path / "there"), "count") == 7


def test_a_missing_module_is_reported():
    with pytest.raises(AlgorithmNotFound, match="no module 'not_installed'"):
        describe(Location("not_installed"))


def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_followed(tmp_path):
    root = write_files(tmp_path / "code", {"package/__init__.py": "", "package/real/a.py": ""})
    (root / "package" / "linked").symlink_to("real", target_is_directory=True)
    (root / "package" / "real" / "loop").symlink_to("..", target_is_directory=True)
    unpack_new(Location("package", root), tmp_path / "there")
    assert list_names(tmp_path / "there") == ["package/__init__.py", "package/linked/a.py", "package/real/a.py"]
    write_files(tmp_path, {"outside.txt": "secret"})
    (root / "package" / "outside.txt").symlink_to(tmp_path / "outside.txt")
    with pytest.raises(FederationError, match=r"outside\.txt is a link that leads out"):
        describe(Location("package", root))


def test_too_much_code_is_refused(tmp_path):
    root = write_files(tmp_path, {"package/__init__.py": ""})
    with (root / "package" / "weights.bin").open("wb") as file:
        file.truncate(_code_files.MOST_BYTES + 1)
    with pytest.raises(FederationError, match=r"more than 128 MiB.*weights\.bin"):
        describe(Location("package", root))


@pytest.mark.parametrize("name", [b"../outside.py", b"/outside.py", b"a/../../outside.py", b"a//b", b".", b""])
def test_packed_code_is_unpacked_only_into_its_folder(tmp_path, name):
    import zlib

    folder = tmp_path / "there"
    folder.mkdir()
    data = zlib.compress(msgspec.msgpack.encode(PackedCode("package", "", (PackedFile(name, b""),))))
    with pytest.raises(FederationError, match="leads out of its folder"):
        unpack(data, folder)
    assert os.listdir(tmp_path) == ["there"]


NOTEBOOK = """
from __future__ import annotations
import dataclasses, json, sys
from pathlib import Path
import numpy as np
import local_helper
from algotools import Aggregator, Column, federated, master, rpc
from algotools import AlgorithmClient
import pandas as pd
from local_helper import Shape

FACTOR = 3

@dataclasses.dataclass
class Limits:
    low: Bound
    high: Bound

@dataclasses.dataclass
class Bound:
    value: float

def helper(value):
    return value * FACTOR

def make_scaler(scale):
    def scaled(value):
        return value * scale
    return scaled

scaled = make_scaler(10)

@rpc(minimum_rows=2, name="partial")
def count(data: pd.DataFrame, limits: Limits | None = None) -> int:
    import second_helper
    return helper(len(data)) + scaled(1) + local_helper.VALUE + second_helper.VALUE

@rpc
def fails(data: int) -> int:
    return 1 // 0  # the line of the author

@master
def total(client: AlgorithmClient) -> int:
    return sum(client.run(count))

@federated(tolerance=1e-3, name="average")
def mean(data: pd.DataFrame, total: Aggregator, column: Column) -> float:
    return total.sum(data[column]) / total.count(data[column])

@rpc
def recursive(data: int) -> int:
    return 0 if data == 0 else 1 + recursive(data - 1)

@rpc
def shaped(data: int, shape: Shape) -> int:
    return mean.partial.pooling.minimum_organizations + shape.sides

import enum
from algotools.declare.locate import load_notebook
from algotools.federation.engines import _code

class Color(enum.Enum):
    RED = "red"

@rpc
def colored(data: int, color: Color = Color.RED) -> str:
    return color.value

limits = {"low": {"value": 1}, "high": {"value": 2}}
count.specification.validate((), {"limits": limits})  # msgspec then stores its knowledge in the classes
colored.specification.validate((), {"data": 1, "color": "red"})
data = _code.pack(_code.describe(load_notebook()))
Path(sys.argv[1]).write_bytes(data)
"""

USE = """
import json, sys, traceback
from pathlib import Path
import pandas as pd
from algotools import Pooled
from algotools.declare.locate import Location, load
from algotools.federation.engines import _code
folder = Path(sys.argv[1])
location = _code.unpack(Path(sys.argv[2]).read_bytes(), folder)
algorithm = load(location)
functions = algorithm.functions
frame = pd.DataFrame({"a": [1.0, 2.0]})
result = {"name": algorithm.name, "folder": algorithm.folder, "methods": sorted(functions)}
result["count"] = functions["partial"](frame)
result["rows"] = functions["partial"].minimum_rows
limits = {"low": {"value": 1}, "high": {"value": 2}}
result["arguments"] = repr(functions["partial"].specification.validate((), {"limits": limits}))
result["columns"] = functions["average"].specification.schema()["properties"]["column"]["format"]
result["color"] = functions["colored"](1)
result["recursive"] = functions["recursive"](3)
result["is one proxy"] = functions["recursive"].__wrapped__.__globals__["recursive"] is functions["recursive"]
result["is one pair"] = functions["average"].partial is functions["mean_partial"]
result["tolerance"] = functions["average"].pooling.tolerance
result["derived"] = functions["mean_partial"].derived_from
result["mean"] = functions["average"](frame, Pooled(), "a")
from local_helper import Shape
result["shaped"] = functions["shaped"](1, Shape(4))
try:
    functions["fails"](1)
except ZeroDivisionError as error:
    result["line"] = traceback.extract_tb(error.__traceback__)[-1].line
    result["file"] = traceback.extract_tb(error.__traceback__)[-1].filename
print(json.dumps(result))
"""


def pack_script(tmp_path: Path, source: str) -> subprocess.CompletedProcess[str]:
    write_files(
        tmp_path / "author",
        {
            "script.py": source,
            "local_helper.py": "import dataclasses\n@dataclasses.dataclass\nclass Shape:\n    sides: int\nVALUE = 100",
            "second_helper.py": "VALUE = 1000",
        },
    )
    return subprocess.run(
        [sys.executable, str(tmp_path / "author" / "script.py"), str(tmp_path / "code")],
        capture_output=True,
        text=True,
        check=False,
    )


def test_functions_of_a_script_keep_their_declarations_variables_and_lines(tmp_path):
    completed = pack_script(tmp_path, NOTEBOOK)
    assert not completed.returncode, completed.stderr
    (tmp_path / "author").rename(tmp_path / "elsewhere")
    (tmp_path / "there").mkdir()
    completed = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path / "there"), str(tmp_path / "code")],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert not completed.returncode, completed.stderr
    result = json.loads(completed.stdout)
    assert result.pop("arguments").count("Bound") == 2
    assert result == {
        "name": "__main__",
        "folder": None,
        "methods": ["average", "colored", "fails", "mean_partial", "partial", "recursive", "shaped", "total"],
        "count": 2 * 3 + 10 + 100 + 1000,
        "rows": 2,
        "columns": "column",
        "color": "red",
        "recursive": 3,
        "is one proxy": True,
        "is one pair": True,
        "tolerance": 1e-3,
        "derived": "average",
        "mean": 1.5,
        "shaped": 7,
        "line": "return 1 // 0  # the line of the author",
        "file": str(tmp_path / "author" / "script.py"),
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import sqlite3; VALUE = sqlite3.connect(':memory:')", "refer to a global variable that cannot be copied"),
        ("import threading; VALUE = threading.Lock()", "refer to a global variable that cannot be copied"),
        ("import msgspec; VALUE = type('VALUE', (msgspec.Struct,), {})", "does not copy a msgspec"),
        ("VALUE = bytearray(200 << 20)", "have 200 MiB"),
        ("import sys; sys.modules['cloudpickle'] = None; VALUE = 1", "pip install cloudpickle"),
    ],
)
def test_functions_that_cannot_travel_are_refused_with_the_way_out(tmp_path, line, message):
    source = f"""
from algotools import rpc
{line}

@rpc
def value(data: int) -> int:
    return bool(VALUE)

from algotools.declare.locate import load_notebook
from algotools.errors import FederationError
from algotools.federation.engines import _code
try:
    _code.describe(load_notebook())
except FederationError as error:
    print(error)
"""
    completed = pack_script(tmp_path, source)
    assert message in completed.stdout, completed.stderr
    assert "algotools new" in completed.stdout


def test_functions_need_the_same_version_of_python():
    facts = _code.CodeFacts("functions", "algotools_functions", "0")
    assert find_in_place(facts) is None
    assert explain_missing(facts) == ""
    other = msgspec.structs.replace(facts, python="3.9")
    assert "instead of 3.9" in explain_missing(other)
