"""Find an algorithm by name, by folder or from the environment of a container."""

import importlib.metadata
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from algotools.declare import locate, projects
from algotools.errors import AlgorithmImportError, AlgorithmNotFound

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package and its metadata in a folder on ``sys.path``, like pip."""

    def install_package(name: str, module: str | None = None, source: str | None = None) -> Path:
        site = tmp_path / "site-packages"
        module = module or name
        information = site / f"{name}-1.0.0.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0\n")
        (information / "entry_points.txt").write_text(f"[{projects.GROUP}]\n{name} = {module}\n")
        package = site / module
        package.mkdir()
        (package / "__init__.py").write_text(
            source or "from algotools import rpc\n\n\n@rpc\ndef installed() -> int:\n    return 1\n"
        )
        monkeypatch.syspath_prepend(site)
        return site

    return install_package


def make_project(folder: Path, pyproject: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text(pyproject, encoding="utf-8")
    return folder


def get_refusal(call: Callable[[], object]) -> str:
    with pytest.raises(AlgorithmNotFound) as refused:
        call()
    return str(refused.value)


def test_a_folder_with_a_src_folder(algorithms):
    location = locate.locate(algorithms / "survey")
    assert location == locate.Location("survey", algorithms / "survey" / "src")
    assert set(locate.load(location).functions) == {"count", "summary_of_all"}


def test_a_folder_without_a_src_folder(algorithms):
    location = locate.locate(str(algorithms / "flat_layout"))
    assert location == locate.Location("flat_layout", algorithms / "flat_layout")
    assert locate.load(location).find("module_file", "rpc")().startswith(str(algorithms))


def test_the_current_folder(algorithms, monkeypatch):
    monkeypatch.chdir(algorithms / "survey")
    assert locate.locate(".") == locate.Location("survey", algorithms / "survey" / "src")


def test_an_algorithm_has_name_and_folder(algorithms):
    algorithm = locate.load(locate.locate(algorithms / "survey"))
    assert algorithm.name == "survey"
    assert algorithm.folder == str(algorithms / "survey" / "src" / "survey")


def test_a_project_whose_module_has_another_name(tmp_path, algorithms):
    shutil.copytree(algorithms / "survey" / "src", tmp_path / "src")
    make_project(tmp_path, f'[project.entry-points."{projects.GROUP}"]\nanother-name = "survey.functions"\n')
    algorithm = locate.load(locate.locate(tmp_path))
    assert algorithm.name == "survey.functions"
    assert set(algorithm.functions) == {"count", "summary_of_all"}


def test_a_folder_takes_precedence_over_an_installed_copy(algorithms, install):
    install("survey")
    algorithm = locate.load(locate.locate(algorithms / "survey"))
    assert set(algorithm.functions) == {"count", "summary_of_all"}


def test_a_folder_takes_precedence_over_an_imported_copy(algorithms, install):
    install("survey")
    assert set(locate.load(locate.locate("survey")).functions) == {"installed"}
    assert set(locate.load(locate.locate(algorithms / "survey")).functions) == {"count", "summary_of_all"}
    assert sys.modules["survey.functions"].__file__.startswith(str(algorithms))


def test_two_folders_with_the_same_package_can_be_loaded_in_turn(algorithms, tmp_path):
    second_folder = shutil.copytree(algorithms / "survey", tmp_path / "survey")
    functions = second_folder / "src" / "survey" / "functions.py"
    functions.write_text(functions.read_text().replace('"summary_of_all"', '"another"'))
    first, second = locate.locate(algorithms / "survey"), locate.locate(second_folder)
    assert set(locate.load(first).functions) == {"count", "summary_of_all"}
    assert set(locate.load(second).functions) == {"count", "another"}
    assert set(locate.load(first).functions) == {"count", "summary_of_all"}
    assert set(locate.load(second).functions) == {"count", "another"}


def test_loading_a_folder_twice_returns_the_same_functions(algorithms):
    location = locate.locate(algorithms / "survey")
    assert locate.load(location).functions["count"] is locate.load(location).functions["count"]


def test_a_folder_takes_precedence_over_an_entry_point_with_the_same_name(algorithms, install, monkeypatch):
    install("survey")
    monkeypatch.chdir(algorithms)
    assert locate.locate("survey").root == algorithms / "survey" / "src"


def test_the_name_of_an_entry_point(install):
    install("an-installed-algorithm", "its_module")
    location = locate.locate("an-installed-algorithm")
    assert location == locate.Location("its_module")
    assert set(locate.load(location).functions) == {"installed"}


def test_a_module_without_an_entry_point(algorithms, monkeypatch):
    monkeypatch.syspath_prepend(algorithms / "survey" / "src")
    location = locate.locate("survey.functions")
    assert location == locate.Location("survey.functions")
    assert set(locate.load(location).functions) == {"count", "summary_of_all"}


@pytest.mark.parametrize(
    "name", ["no_such_thing", "no/such/folder", "no.such.thing", "json.no.such", "json.", "1x", "a b"]
)
def test_the_message_about_an_unknown_name_lists_installed_algorithms(install, name):
    install("one-algorithm", "module_one")
    install("another-algorithm", "module_another")
    message = get_refusal(lambda: locate.locate(name))
    assert f"no algorithm {name!r}" in message
    assert "not an existing folder" in message
    assert "installed: another-algorithm, one-algorithm" in message
    assert "not an importable module" in message


def test_the_message_about_an_unknown_name_if_nothing_is_installed():
    assert "(installed: none)" in get_refusal(lambda: locate.locate("no_such_thing"))


def test_a_folder_without_pyproject(tmp_path):
    message = get_refusal(lambda: locate.locate(tmp_path))
    assert "has no pyproject.toml" in message
    assert f'[project.entry-points."{projects.GROUP}"]' in message


@pytest.mark.parametrize("name", ["missing_dependency", "raises_at_import", "exits_at_import", "does_not_parse"])
def test_a_module_of_a_package_that_cannot_be_imported_is_found_and_fails_to_load(
    algorithms, does_not_parse, name, monkeypatch
):
    folder = does_not_parse if name == "does_not_parse" else algorithms / name
    monkeypatch.syspath_prepend(folder / "src")
    location = locate.locate(f"{name}.functions")
    with pytest.raises(AlgorithmImportError, match=f"the algorithm's module '{name}.functions'"):
        locate.load(location)


@pytest.mark.parametrize("content", [b"[project\nname = ", b"name = \xff\xfe"])
def test_a_pyproject_that_is_not_toml(tmp_path, content):
    (tmp_path / "pyproject.toml").write_bytes(content)
    assert "pyproject.toml is not valid TOML" in get_refusal(lambda: locate.locate(tmp_path))


@pytest.mark.parametrize(
    ("content", "ending"),
    [
        ("", "it has no entry"),
        ('[project]\nname = "x"\n', "it has no entry"),
        (f'[project.entry-points."{projects.GROUP}"]\none = "a"\ntwo = "b"\n', "it has 2 entries (one, two)"),
        ("project = 3\n", "it has no entry"),
        ('[project]\nentry-points = "x"\n', "it has no entry"),
        (f'[project.entry-points]\n"{projects.GROUP}" = "x"\n', "it has no entry"),
        ("[[project]]\nname = 'x'\n", "it has no entry"),
    ],
)
def test_a_pyproject_must_have_exactly_one_entry(tmp_path, content, ending):
    message = get_refusal(lambda: locate.locate(make_project(tmp_path, content)))
    assert 'must have exactly one entry, name = "module"' in message
    assert message.endswith(ending)


def test_a_module_that_is_not_in_the_folder(tmp_path):
    make_project(tmp_path, f'[project.entry-points."{projects.GROUP}"]\nx = "not_written_yet"\n')
    message = get_refusal(lambda: locate.load(locate.locate(tmp_path)))
    assert "no module 'not_written_yet' under" in message


class TestInAContainer:
    def test_the_variable_of_algotools_comes_first(self):
        variables = {"ALGOTOOLS_ALGORITHM": "one", "PKG_NAME": "another"}
        assert locate.locate_in_container(variables) == locate.Location("one")

    def test_the_variable_of_other_tools_comes_second(self):
        assert locate.locate_in_container({"PKG_NAME": "another"}) == locate.Location("another")
        assert locate.locate_in_container({"ALGOTOOLS_ALGORITHM": "", "PKG_NAME": "another"}).module == "another"

    def test_a_variable_may_name_a_folder(self, algorithms):
        variables = {"ALGOTOOLS_ALGORITHM": str(algorithms / "survey")}
        assert locate.locate_in_container(variables) == locate.Location("survey", algorithms / "survey" / "src")

    def test_the_default_is_the_only_installed_algorithm(self, install):
        install("an-installed-algorithm", "its_module")
        assert locate.locate_in_container({}) == locate.Location("its_module")

    def test_several_installed_algorithms_are_listed(self, install):
        install("one-algorithm", "module_one")
        install("another-algorithm", "module_another")
        message = get_refusal(lambda: locate.locate_in_container({}))
        assert "several algorithms are installed (another-algorithm, one-algorithm)" in message
        assert "set ALGOTOOLS_ALGORITHM" in message

    def test_a_missing_algorithm_is_reported(self):
        message = get_refusal(lambda: locate.locate_in_container({}))
        assert message.startswith("no algorithm is installed; set ALGOTOOLS_ALGORITHM")

    @pytest.mark.parametrize("variable", ["ALGOTOOLS_ALGORITHM", "PKG_NAME"])
    def test_a_variable_avoids_the_scan_of_entry_points(self, variable, install, monkeypatch):
        install("an-installed-algorithm", "its_module")
        scans = []

        class WatchingFinder(importlib.metadata.DistributionFinder):
            def find_distributions(self, context=None):
                scans.append(context)
                return []

            def find_spec(self, *_):
                return None

        monkeypatch.setattr(sys, "meta_path", [WatchingFinder(), *sys.meta_path])
        location = locate.locate_in_container({variable: "its_module"})
        assert set(locate.load(location).functions) == {"installed"}
        assert scans == []
        locate.locate_in_container({})
        assert scans, "the finder must notice a scan"

    def test_the_message_names_a_missing_module(self):
        message = get_refusal(lambda: locate.load(locate.locate_in_container({"PKG_NAME": "no_such_thing"})))
        assert message == "no module 'no_such_thing'"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("\ufeff[project]\n".encode(), "the file begins with a byte order mark; save it as UTF-8 without"),
        ("[project]\n".encode("utf-16"), "the file begins with a byte order mark of UTF-16; save it as UTF-8"),
        ("[project]\n".encode("utf-32"), "the file begins with a byte order mark of UTF-32; save it as UTF-8"),
        ("[project]\nname = 'é'\n".encode("latin-1"), "the file is not encoded as UTF-8 (at line 2)"),
        (b"a = " + b"[" * 5000, "the values are nested too deeply"),
        (b"a = " + b"9" * 5000, "integer string conversion"),
    ],
)
def test_an_unreadable_pyproject_names_the_reason(tmp_path, content, reason):
    (tmp_path / "pyproject.toml").write_bytes(content)
    message = get_refusal(lambda: locate.locate(tmp_path))
    assert f"{tmp_path / 'pyproject.toml'} is not valid TOML: " in message
    assert reason in message


# Projects around a folder


def test_the_nearest_project_is_above_or_at_most_two_levels_below(tmp_path):
    table = f'[project.entry-points."{projects.GROUP}"]\nx = "x"\n'
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (tmp_path / "a" / "pyproject.toml").write_text("[project]\nname = 'no-algorithm'\n")
    make_project(tmp_path / "a" / "b", table)
    assert projects.find_project(deep) == tmp_path / "a" / "b"
    assert projects.find_project(tmp_path / "a") is None
    assert projects.find_project_below(tmp_path) == tmp_path / "a" / "b"
    assert projects.find_project_below(deep) is None
    (tmp_path / "a" / "b").rename(tmp_path / "a" / "node_modules")
    assert projects.find_project_below(tmp_path) is None


def test_the_project_of_a_test_is_not_hidden_by_a_broken_file(tmp_path):
    make_project(tmp_path, "not toml")
    with pytest.raises(AlgorithmNotFound, match="not valid TOML"):
        projects.find_project(tmp_path)
