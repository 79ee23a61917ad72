"""The detection of an algorithm's generation, which does not import the algorithm."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from algotools.errors import AlgorithmNotFound, FederationError
from algotools.federation import _generation
from algotools.federation._generation import SOURCE, Endpoint, _evaluate, _Function, _ProbeOutput, find_module
from algotools.federation._package import Package, find_package
from algotools.federation._results import explain_failure, find_most_relevant_line
from algotools.federation.contract.rest import RunRecord
from algotools.image.inspect import RunnableImage

from ..conftest import ALGORITHMS, AVERAGE
from .analysis import OURS, peer_folder
from .environments import find_interpreter

pytestmark = pytest.mark.peers

RPC, MASTER = Endpoint("rpc"), Endpoint("master")


def test_the_probe_runs_on_every_python_3_of_images() -> None:
    ast.parse(SOURCE, feature_version=(3, 6))
    interpreters = [find_interpreter((version,)) for version in ("3.6", "3.7", "3.8", "3.9")]
    for python in (*filter(None, interpreters), Path(sys.executable)):
        completed = subprocess.run([python, "-c", SOURCE, "json"], capture_output=True, check=True, text=True)
        output = json.loads(completed.stdout)
        assert output["module_exists"]
        assert output["functions"]["dumps"] == {"decorators": [], "first": "obj"}
        assert completed.stderr == ""


def test_the_detection_does_not_import_the_algorithm(peer_python: Callable[[str], Path]) -> None:
    detected = _generation.detect(ALGORITHMS / "raises_at_import", peer_python("v4"))
    assert detected.name == "v4"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("v3", {"central": MASTER, "use_new_client": MASTER, "partial": RPC, "fails": RPC}),
        ("v4", {"central": Endpoint(None), "partial": Endpoint(None), "fails": Endpoint(None)}),
        (
            "v5",
            {
                "central": MASTER,  # imported under another name
                "partial": RPC,
                "read_upper": Endpoint("rpc", "data_extraction"),
                "read_csv": Endpoint("rpc", "data_extraction"),
                "older_than": Endpoint("rpc", "preprocessing"),
            },
        ),
    ],
)
def test_generation_and_functions_are_detected(
    peer_python: Callable[[str], Path], name: str, expected: dict[str, Endpoint]
) -> None:
    detected = _generation.detect(peer_folder(name), peer_python(name))
    assert (detected.name, detected.uses_algotools) == (name, False)
    assert {method: detected.functions.get(method) for method in expected} == expected
    assert "RPC_partial" not in detected.functions


def test_our_algorithm_is_detected() -> None:
    detected = _generation.detect(OURS, Path(sys.executable))
    assert (detected.name, detected.uses_algotools) == ("v4", True)
    assert detected.functions["central"] == MASTER
    assert detected.functions["partial"] == RPC


def test_the_contract_option_overrides_the_detection(peer_python: Callable[[str], Path]) -> None:
    assert _generation.detect(peer_folder("v4"), peer_python("v4"), "v3").name == "v3"
    assert _generation.detect(OURS, Path(sys.executable), "v3") == _generation.detect(
        OURS, Path(sys.executable)
    )._replace(name="v3")


def probe_output(versions: dict[str, str], imports: list[str], named_modules: list[str] | None = None) -> _ProbeOutput:
    return _ProbeOutput([3, 12, 0], versions, "mine", True, imports, {"f": _Function(["rpc"])}, named_modules or [])


ALGOTOOLS, V4, V5, V3 = (
    {"federated-algotools": "0.1.0"},
    {"vantage6-algorithm-tools": "4.9.1"},
    {"vantage6-algorithm-tools": "5.0.3"},
    {"vantage6-client": "3.7.3"},
)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (probe_output(ALGOTOOLS, []), ("v4", True)),
        (probe_output(V3, []), ("v3", False)),
        (probe_output(V4, []), ("v4", False)),
        (probe_output(V5, ["vantage6.algorithm.decorator"]), ("v5", False)),
        (probe_output({**V4, "vantage6-client": "4.9.1"}, []), ("v4", False)),
        (probe_output({**V4, **V3}, ["vantage6.tools.util"]), ("v3", False)),
        (probe_output({**ALGOTOOLS, **V4}, ["vantage6.algorithm.tools.decorators"]), ("v4", False)),
        (probe_output({**ALGOTOOLS, **V4}, ["algotools"]), ("v4", True)),
        (probe_output({**ALGOTOOLS, **V3}, []), ("v3", False)),  # without our decorators it is not ours
        (probe_output({**ALGOTOOLS, **V4}, [], ["mine"]), ("v4", True)),
        (probe_output({**ALGOTOOLS, **V5}, [], ["another"]), ("v5", False)),
    ],
)
def test_the_module_decides_if_several_tools_are_installed(content: _ProbeOutput, expected: tuple[str, bool]) -> None:
    detected = _evaluate(content, "an image", None)
    assert (detected.name, detected.uses_algotools) == expected


@pytest.mark.parametrize("versions", [{}, {"vantage6-client": "2.1.0"}, {"vantage6": "4.9.1"}])
def test_an_unknown_generation_is_refused_with_the_python_version(versions: dict[str, str]) -> None:
    with pytest.raises(FederationError, match=r"image a/b \(Python 3.12\).*--contract"):
        _evaluate(probe_output(versions, []), "image a/b (Python 3.12)", None)


def test_an_interpreter_without_the_algorithm_is_refused(peer_python: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(AlgorithmNotFound, match=r"cannot find module 'nothing_here'.* It has .*4\.15\.2"):
        _generation.detect("nothing_here", peer_python("v4"))
    with pytest.raises(FederationError, match="cannot be started"):
        _generation.detect("json", tmp_path / "python")
    with pytest.raises(AlgorithmNotFound, match="neither an existing folder nor the name of a module"):
        find_package("no/such/folder")


V3_WRAPPER = "from vantage6.tools.docker_wrapper import auto_wrapper; auto_wrapper('{}', use_new_client=True)"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (['ENV PKG_NAME="v6-mean-py"', f'CMD python -c "{V3_WRAPPER}"'], "v6-mean-py"),
        (["ENV PKG_NAME v6-mean-py", f'CMD python3.10 -c "{V3_WRAPPER}"'], "v6-mean-py"),
        (["ARG NAME=v6-mean-py", "ENV PKG_NAME=$NAME", f'CMD ["python", "-c", "{V3_WRAPPER}"]'], "v6-mean-py"),
        (["ENV PKG_NAME=v6-mean-py", 'CMD ["python", "-m", "something"]'], None),
        (["ENV PKG_NAME=v6-mean-py", 'CMD "an unfinished'], None),
    ],
)  # fmt: skip
def test_a_dockerfile_names_the_package_and_the_start_command(tmp_path: Path, lines: list[str], code: Any) -> None:
    for name in ("v6-mean-py", "helpers", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    wrapper = V3_WRAPPER.format("${PKG_NAME}")
    (tmp_path / "Dockerfile").write_text("\n".join(["FROM x", *(line.format("${PKG_NAME}") for line in lines)]))
    assert "${PKG_NAME}" in wrapper
    assert find_package(tmp_path) == Package("v6-mean-py", tmp_path, V3_WRAPPER.format(code) if code else "")


def test_folders_name_their_package(tmp_path: Path) -> None:
    assert find_package(AVERAGE) == Package("average", AVERAGE / "src")
    assert find_package(AVERAGE / "src" / "average") == Package("average", AVERAGE / "src")
    assert find_package("v6-mean-py") == Package("v6-mean-py")
    with pytest.raises(AlgorithmNotFound, match="has no Python package"):
        find_package(tmp_path)
    for name in ("one", "two"):
        (tmp_path / "src" / name).mkdir(parents=True)
        (tmp_path / "src" / name / "__init__.py").touch()
    with pytest.raises(AlgorithmNotFound, match=r"several packages \(one, two\)"):
        find_package(tmp_path)


def test_an_image_names_its_module() -> None:
    command = (
        "/bin/sh",
        "-c",
        """python -c "from vantage6.tools.docker_wrapper import docker_wrapper; docker_wrapper('a-b')" """,
    )
    assert find_module(RunnableImage("", {}, command=command)) == "a-b"
    assert find_module(RunnableImage("", {}, command=command, variables={"PKG_NAME": "named"})) == "named"
    assert find_module(RunnableImage("", {}, command=("python", "start.py"))) == ""


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("info > a\nerror > it broke\nTraceback (most recent call last):\nValueError: x\nerror > None\n", "it broke"),
        ("Traceback (most recent call last):\nKeyError: 'b'\ninfo > wrapper\n", "KeyError: 'b'"),
        ("warn > method 'RPC_x' not found!\n\n", "method 'RPC_x' not found!"),
        ("warn > it is late\nerror > it broke\n", "it broke"),
        ("[error] - it broke\n[info ] - done\n", "it broke"),
        ("info > all is well\nerror > None\n", ""),
        ("", ""),
    ],
)
def test_the_most_relevant_line_of_a_log(log: str, line: str) -> None:
    assert find_most_relevant_line(log) == line
    failure = explain_failure(
        RunRecord(
            id=1,
            task_id=1,
            organization_id=2,
            node_id=1,
            input=b"",
            assigned_at="",
            status="crashed",
            log=log,
            detail="for the owner",
        )
    )
    assert failure is not None
    assert failure.message == (f"crashed: {line}" if line else "crashed; the run's log does not say why")
    assert failure.detail == "\n".join(filter(str.strip, (log.rstrip("\n"), "for the owner")))
