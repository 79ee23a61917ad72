"""If an author's module cannot be imported, the message has type and line; values are only in the detail."""

import pytest

from algotools.declare import locate, projects
from algotools.errors import AlgorithmImportError, AlgorithmNotFound, DeclarationError

SECRET = "Jane-Doe-4711"


@pytest.fixture
def failure(algorithms):
    def load(name: str) -> AlgorithmImportError:
        with pytest.raises(AlgorithmImportError) as failed:
            locate.load(locate.locate(algorithms / name))
        return failed.value

    return load


def test_the_message_names_a_missing_dependency(failure):
    error = failure("missing_dependency")
    assert str(error) == (
        "the algorithm's module 'missing_dependency' requires 'a_package_that_is_not_installed', which is not installed"
    )
    assert "Traceback" in error.detail


def test_the_message_has_type_and_line_of_an_exception_and_the_detail_its_text(failure):
    error = failure("raises_at_import")
    assert str(error) == (
        "the algorithm's module 'raises_at_import' cannot be imported (KeyError at __init__.py, line 5)"
    )
    assert SECRET not in str(error)
    assert "Traceback" in error.detail
    assert f"KeyError: '{SECRET}'" in error.detail


def test_the_line_is_in_the_algorithm_even_if_a_library_raises(tmp_path, failure, algorithms):
    package = tmp_path / "src" / "trips_in_a_library"
    package.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(f'[project.entry-points."{projects.GROUP}"]\nx = "trips_in_a_library"\n')
    (package / "__init__.py").write_text(f"import json\n\njson.loads('{SECRET}')\n")
    error = failure(tmp_path)
    assert "(JSONDecodeError at __init__.py, line 3)" in str(error)


def test_an_exit_during_import_does_not_stop_the_caller(failure):
    error = failure("exits_at_import")
    assert "(SystemExit at __init__.py, line 3)" in str(error)
    assert SECRET not in str(error)
    assert SECRET in error.detail


def test_the_message_about_a_syntax_error_has_the_line(failure, does_not_parse):
    error = failure(does_not_parse)
    assert "(SyntaxError at __init__.py, line 3)" in str(error)


def test_an_interrupt_is_not_reported_as_an_error_of_the_module(tmp_path, failure):
    package = tmp_path / "src" / "interrupted"
    package.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(f'[project.entry-points."{projects.GROUP}"]\nx = "interrupted"\n')
    (package / "__init__.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        locate.load(locate.locate(tmp_path))


def test_a_declaration_error_is_raised_unchanged(algorithms):
    with pytest.raises(DeclarationError, match=r"\*columns accepts any arguments"):
        locate.load(locate.locate(algorithms / "invalid_declaration"))


def test_the_message_about_a_module_without_functions_contains_the_fix(algorithms):
    with pytest.raises(AlgorithmNotFound) as refused:
        locate.load(locate.locate(algorithms / "registers_nothing"))
    message = str(refused.value)
    assert "module 'registers_nothing' registers no function" in message
    assert "@master or @rpc" in message
    assert "import their modules in the package's __init__.py" in message


def test_a_fixed_module_can_be_loaded_again(tmp_path):
    package = tmp_path / "src" / "soon_fixed"
    package.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(f'[project.entry-points."{projects.GROUP}"]\nx = "soon_fixed"\n')
    source = "from algotools import rpc\n\n\n@rpc\ndef count() -> int:\n    return 1\n\n\n"
    (package / "__init__.py").write_text(f"{source}raise ValueError\n")
    with pytest.raises(AlgorithmImportError):
        locate.load(locate.locate(tmp_path))
    (package / "__init__.py").write_text(source)
    assert set(locate.load(locate.locate(tmp_path)).functions) == {"count"}


def test_a_notebook_without_functions_is_refused():
    with pytest.raises(AlgorithmNotFound, match="decorate functions of this notebook or script with @master or @rpc"):
        locate.load_notebook()
