"""Which algorithm a person, or a container's environment, means."""

import importlib.metadata
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from algotools import locate
from algotools.errors import AlgorithmImportError, AlgorithmNotFound

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts an algorithm where pip would: a package and its metadata in a folder on the path."""

    def put(name: str, module: str | None = None, source: str | None = None) -> Path:
        site = tmp_path / "site-packages"
        module = module or name
        information = site / f"{name}-1.0.0.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0\n")
        (information / "entry_points.txt").write_text(f"[{locate.GROUP}]\n{name} = {module}\n")
        package = site / module
        package.mkdir()
        (package / "__init__.py").write_text(
            source or "from algotools import rpc\n\n\n@rpc\ndef installed() -> int:\n    return 1\n"
        )
        monkeypatch.syspath_prepend(site)
        return site

    return put


def project(folder: Path, pyproject: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text(pyproject, encoding="utf-8")
    return folder


def refusal(look: Callable[[], object]) -> str:
    with pytest.raises(AlgorithmNotFound) as refused:
        look()
    return str(refused.value)


def test_a_folder_with_a_src_folder(algorithms):
    place = locate.locate(algorithms / "survey")
    assert place == locate.Place("survey", algorithms / "survey" / "src")
    assert set(locate.load(place).functions) == {"count", "summary_of_all"}


def test_a_folder_without_a_src_folder(algorithms):
    place = locate.locate(str(algorithms / "flat_layout"))
    assert place == locate.Place("flat_layout", algorithms / "flat_layout")
    assert locate.load(place).find("where", "rpc")().startswith(str(algorithms))


def test_the_folder_one_stands_in(algorithms, monkeypatch):
    monkeypatch.chdir(algorithms / "survey")
    assert locate.locate(".") == locate.Place("survey", algorithms / "survey" / "src")


def test_an_algorithm_knows_its_name_and_folder(algorithms):
    algorithm = locate.load(locate.locate(algorithms / "survey"))
    assert algorithm.name == "survey"
    assert algorithm.folder == str(algorithms / "survey" / "src" / "survey")


def test_a_project_whose_module_is_called_otherwise(tmp_path, algorithms):
    shutil.copytree(algorithms / "survey" / "src", tmp_path / "src")
    project(tmp_path, f'[project.entry-points."{locate.GROUP}"]\nanother-name = "survey.functions"\n')
    algorithm = locate.load(locate.locate(tmp_path))
    assert algorithm.name == "survey.functions"
    assert set(algorithm.functions) == {"count", "summary_of_all"}


def test_a_folder_is_ahead_of_an_installed_copy(algorithms, install):
    install("survey")
    algorithm = locate.load(locate.locate(algorithms / "survey"))
    assert set(algorithm.functions) == {"count", "summary_of_all"}


def test_a_folder_is_ahead_of_a_copy_that_is_imported_already(algorithms, install):
    install("survey")
    assert set(locate.load(locate.locate("survey")).functions) == {"installed"}
    assert set(locate.load(locate.locate(algorithms / "survey")).functions) == {"count", "summary_of_all"}
    assert sys.modules["survey.functions"].__file__.startswith(str(algorithms))


def test_two_folders_with_the_same_package_take_turns(algorithms, tmp_path):
    other = shutil.copytree(algorithms / "survey", tmp_path / "survey")
    functions = other / "src" / "survey" / "functions.py"
    functions.write_text(functions.read_text().replace('"summary_of_all"', '"another"'))
    first, second = locate.locate(algorithms / "survey"), locate.locate(other)
    assert set(locate.load(first).functions) == {"count", "summary_of_all"}
    assert set(locate.load(second).functions) == {"count", "another"}
    assert set(locate.load(first).functions) == {"count", "summary_of_all"}
    assert set(locate.load(second).functions) == {"count", "another"}


def test_loading_a_folder_twice_gives_the_same_functions(algorithms):
    place = locate.locate(algorithms / "survey")
    assert locate.load(place).functions["count"] is locate.load(place).functions["count"]


def test_a_folder_is_ahead_of_an_entry_point_of_the_same_name(algorithms, install, monkeypatch):
    install("survey")
    monkeypatch.chdir(algorithms)
    assert locate.locate("survey").root == algorithms / "survey" / "src"


def test_the_name_of_an_entry_point(install):
    install("an-installed-algorithm", "its_module")
    place = locate.locate("an-installed-algorithm")
    assert place == locate.Place("its_module")
    assert set(locate.load(place).functions) == {"installed"}


def test_a_module_that_has_no_entry_point(algorithms, monkeypatch):
    monkeypatch.syspath_prepend(algorithms / "survey" / "src")
    place = locate.locate("survey.functions")
    assert place == locate.Place("survey.functions")
    assert set(locate.load(place).functions) == {"count", "summary_of_all"}


@pytest.mark.parametrize(
    "name", ["no_such_thing", "no/such/folder", "no.such.thing", "json.no.such", "json.", "1x", "a b"]
)
def test_nothing_by_that_name_lists_what_is_installed(install, name):
    install("one-algorithm", "module_one")
    install("another-algorithm", "module_another")
    message = refusal(lambda: locate.locate(name))
    assert f"no algorithm {name!r}" in message
    assert "neither an existing folder" in message
    assert "another-algorithm, one-algorithm" in message
    assert "nor an importable module" in message


def test_nothing_by_that_name_and_nothing_installed():
    assert "(none is installed)" in refusal(lambda: locate.locate("no_such_thing"))


def test_a_folder_without_pyproject(tmp_path):
    message = refusal(lambda: locate.locate(tmp_path))
    assert "has no pyproject.toml" in message
    assert f'[project.entry-points."{locate.GROUP}"]' in message


@pytest.mark.parametrize("name", ["needs_what_is_missing", "raises_at_import", "exits_at_import", "does_not_parse"])
def test_a_module_of_a_package_that_cannot_be_imported_is_found_and_then_told_of(algorithms, name, monkeypatch):
    monkeypatch.syspath_prepend(algorithms / name / "src")
    place = locate.locate(f"{name}.functions")
    with pytest.raises(AlgorithmImportError, match=f"the algorithm's module '{name}.functions'"):
        locate.load(place)


@pytest.mark.parametrize("content", [b"[project\nname = ", b"name = \xff\xfe"])
def test_a_pyproject_that_is_no_toml(tmp_path, content):
    (tmp_path / "pyproject.toml").write_bytes(content)
    assert "pyproject.toml is not valid TOML" in refusal(lambda: locate.locate(tmp_path))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", "found none"),
        ('[project]\nname = "x"\n', "found none"),
        (f'[project.entry-points."{locate.GROUP}"]\none = "a"\ntwo = "b"\n', "found 2 entries (one, two)"),
        ("project = 3\n", "found none"),
        ('[project]\nentry-points = "x"\n', "found none"),
        (f'[project.entry-points]\n"{locate.GROUP}" = "x"\n', "found none"),
        ("[[project]]\nname = 'x'\n", "found none"),
    ],
)
def test_a_pyproject_must_have_just_one_entry(tmp_path, content, found):
    message = refusal(lambda: locate.locate(project(tmp_path, content)))
    assert 'must have one entry, name = "module"' in message
    assert message.endswith(found)


def test_a_module_that_is_not_in_the_folder(tmp_path):
    project(tmp_path, f'[project.entry-points."{locate.GROUP}"]\nx = "not_written_yet"\n')
    message = refusal(lambda: locate.load(locate.locate(tmp_path)))
    assert "there is no module 'not_written_yet' under" in message


class TestInAContainer:
    def test_the_variable_of_algotools_comes_first(self):
        named = {"ALGOTOOLS_ALGORITHM": "one", "PKG_NAME": "another"}
        assert locate.locate_in_container(named) == locate.Place("one")

    def test_the_variable_of_other_tools_comes_second(self):
        assert locate.locate_in_container({"PKG_NAME": "another"}) == locate.Place("another")
        assert locate.locate_in_container({"ALGOTOOLS_ALGORITHM": "", "PKG_NAME": "another"}).module == "another"

    def test_a_variable_may_name_a_folder(self, algorithms):
        named = {"ALGOTOOLS_ALGORITHM": str(algorithms / "survey")}
        assert locate.locate_in_container(named) == locate.Place("survey", algorithms / "survey" / "src")

    def test_else_it_is_the_only_one_installed(self, install):
        install("an-installed-algorithm", "its_module")
        assert locate.locate_in_container({}) == locate.Place("its_module")

    def test_several_installed_are_listed(self, install):
        install("one-algorithm", "module_one")
        install("another-algorithm", "module_another")
        message = refusal(lambda: locate.locate_in_container({}))
        assert "several algorithms are installed (another-algorithm, one-algorithm)" in message
        assert "set ALGOTOOLS_ALGORITHM" in message

    def test_none_installed_is_said(self):
        message = refusal(lambda: locate.locate_in_container({}))
        assert message.startswith("no algorithm is installed; set ALGOTOOLS_ALGORITHM")

    @pytest.mark.parametrize("variable", ["ALGOTOOLS_ALGORITHM", "PKG_NAME"])
    def test_with_a_variable_set_no_entry_points_are_scanned(self, variable, install, monkeypatch):
        install("an-installed-algorithm", "its_module")
        looks = []

        class Watching(importlib.metadata.DistributionFinder):
            def find_distributions(self, context=None):
                looks.append(context)
                return []

            def find_spec(self, *_):
                return None

        monkeypatch.setattr(sys, "meta_path", [Watching(), *sys.meta_path])
        place = locate.locate_in_container({variable: "its_module"})
        assert set(locate.load(place).functions) == {"installed"}
        assert looks == []
        locate.locate_in_container({})
        assert looks, "the finder sees a scan"

    def test_a_module_that_is_not_there_is_named(self):
        message = refusal(lambda: locate.load(locate.locate_in_container({"PKG_NAME": "no_such_thing"})))
        assert message == "there is no module 'no_such_thing'"
