"""Which generation an algorithm speaks is found out, without importing it."""

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
from algotools.federation import generation
from algotools.federation.endings import telling_line, untold
from algotools.federation.generation import SOURCE, Endpoint, _Function, _Told, _understood, module_of
from algotools.federation.package import Package, package_of
from algotools.image.local import Image

from ..conftest import ALGORITHMS, AVERAGE
from .analysis import OURS, theirs
from .environments import interpreter

pytestmark = pytest.mark.peers

RPC, MASTER = Endpoint("rpc"), Endpoint("master")


def test_the_probe_runs_on_every_python_3_that_images_have() -> None:
    ast.parse(SOURCE, feature_version=(3, 6))
    found = [interpreter((version,)) for version in ("3.6", "3.7", "3.8", "3.9")]
    for python in (*filter(None, found), Path(sys.executable)):
        ended = subprocess.run([python, "-c", SOURCE, "json"], capture_output=True, check=True, text=True)
        told = json.loads(ended.stdout)
        assert told["found"]
        assert told["functions"]["dumps"] == {"decorators": [], "first": "obj"}
        assert ended.stderr == ""


def test_nothing_is_imported_to_find_out(peer_python: Callable[[str], Path]) -> None:
    found = generation.of(ALGORITHMS / "raises_at_import", peer_python("v4"))
    assert found.contract == "v4"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("v3", {"central": MASTER, "with_the_new_client": MASTER, "partial": RPC, "fails": RPC}),
        ("v4", {"central": Endpoint(None), "partial": Endpoint(None), "fails": Endpoint(None)}),
        (
            "v5",
            {
                "central": MASTER,  # its decorator has another name there
                "partial": RPC,
                "read_upper": Endpoint("rpc", "data_extraction"),
                "read_csv": Endpoint("rpc", "data_extraction"),
                "older_than": Endpoint("rpc", "preprocessing"),
            },
        ),
    ],
)
def test_the_peers_interpreters_and_functions_tell(
    peer_python: Callable[[str], Path], name: str, expected: dict[str, Endpoint]
) -> None:
    found = generation.of(theirs(name), peer_python(name))
    assert (found.contract, found.ours) == (name, False)
    assert {method: found.functions.get(method) for method in expected} == expected
    assert "RPC_partial" not in found.functions


def test_an_algorithm_of_ours_is_ours() -> None:
    found = generation.of(OURS, Path(sys.executable))
    assert (found.contract, found.ours) == ("v4", True)
    assert found.functions["central"] == MASTER
    assert found.functions["partial"] == RPC


def test_what_the_user_says_is_believed(peer_python: Callable[[str], Path]) -> None:
    assert generation.of(theirs("v4"), peer_python("v4"), "v3").contract == "v3"
    assert generation.of(OURS, Path(sys.executable), "v3") == generation.of(OURS, Path(sys.executable))._replace(
        contract="v3"
    )


def told(versions: dict[str, str], imports: list[str], named: list[str] | None = None) -> _Told:
    return _Told([3, 12, 0], versions, "mine", True, imports, {"f": _Function(["rpc"])}, named or [])


ALGOTOOLS, V4, V5, V3 = (
    {"federated-algotools": "0.1.0"},
    {"vantage6-algorithm-tools": "4.9.1"},
    {"vantage6-algorithm-tools": "5.0.3"},
    {"vantage6-client": "3.7.3"},
)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (told(ALGOTOOLS, []), ("v4", True)),
        (told(V3, []), ("v3", False)),
        (told(V4, []), ("v4", False)),
        (told(V5, ["vantage6.algorithm.decorator"]), ("v5", False)),
        (told({**V4, "vantage6-client": "4.9.1"}, []), ("v4", False)),
        (told({**V4, **V3}, ["vantage6.tools.util"]), ("v3", False)),
        (told({**ALGOTOOLS, **V4}, ["vantage6.algorithm.tools.decorators"]), ("v4", False)),
        (told({**ALGOTOOLS, **V4}, ["algotools"]), ("v4", True)),
        (told({**ALGOTOOLS, **V3}, []), ("v3", False)),  # nothing is ours without our decorators
        (told({**ALGOTOOLS, **V4}, [], ["mine"]), ("v4", True)),
        (told({**ALGOTOOLS, **V5}, [], ["another"]), ("v5", False)),
    ],
)
def test_where_both_tools_are_installed_the_module_decides(content: _Told, expected: tuple[str, bool]) -> None:
    found = _understood(content, "an image", None)
    assert (found.contract, found.ours) == expected


@pytest.mark.parametrize("versions", [{}, {"vantage6-client": "2.1.0"}, {"vantage6": "4.9.1"}])
def test_an_unknown_generation_is_said_with_what_was_found(versions: dict[str, str]) -> None:
    with pytest.raises(FederationError, match=r"image a/b \(Python 3.12\).*--contract"):
        _understood(told(versions, []), "image a/b (Python 3.12)", None)


def test_an_interpreter_that_has_nothing_says_so(peer_python: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(AlgorithmNotFound, match=r"finds no module 'nothing_here'.* It has .*4\.15\.2"):
        generation.of("nothing_here", peer_python("v4"))
    with pytest.raises(FederationError, match="cannot be started"):
        generation.of("json", tmp_path / "python")
    with pytest.raises(AlgorithmNotFound, match="neither an existing folder nor the name of a module"):
        package_of("no/such/folder")


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
def test_a_dockerfile_tells_the_package_and_how_it_is_started(tmp_path: Path, lines: list[str], code: Any) -> None:
    for name in ("v6-mean-py", "helpers", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    wrapper = V3_WRAPPER.format("${PKG_NAME}")
    (tmp_path / "Dockerfile").write_text("\n".join(["FROM x", *(line.format("${PKG_NAME}") for line in lines)]))
    assert "${PKG_NAME}" in wrapper
    assert package_of(tmp_path) == Package("v6-mean-py", tmp_path, V3_WRAPPER.format(code) if code else "")


def test_folders_name_their_package(tmp_path: Path) -> None:
    assert package_of(AVERAGE) == Package("average", AVERAGE / "src")
    assert package_of(AVERAGE / "src" / "average") == Package("average", AVERAGE / "src")
    assert package_of("v6-mean-py") == Package("v6-mean-py")
    with pytest.raises(AlgorithmNotFound, match="has no Python package"):
        package_of(tmp_path)
    for name in ("one", "two"):
        (tmp_path / "src" / name).mkdir(parents=True)
        (tmp_path / "src" / name / "__init__.py").touch()
    with pytest.raises(AlgorithmNotFound, match=r"several packages \(one, two\)"):
        package_of(tmp_path)


def test_an_image_names_its_module() -> None:
    command = (
        "/bin/sh",
        "-c",
        """python -c "from vantage6.tools.docker_wrapper import docker_wrapper; docker_wrapper('a-b')" """,
    )
    assert module_of(Image("", {}, command=command)) == "a-b"
    assert module_of(Image("", {}, command=command, variables={"PKG_NAME": "named"})) == "named"
    assert module_of(Image("", {}, command=("python", "start.py"))) == ""


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
def test_the_line_of_a_log_that_tells_why(log: str, line: str) -> None:
    assert telling_line(log) == line
    failure = untold("crashed", log, "seen by the owner")
    assert failure.message == (f"crashed: {line}" if line else "crashed; the run's log does not say why")
    assert failure.detail == "\n".join(filter(str.strip, (log.rstrip("\n"), "seen by the owner")))
