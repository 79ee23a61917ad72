"""An author's module that cannot be imported becomes an error with a name; values stay with the owner."""

import pytest

from algotools import locate
from algotools.errors import AlgorithmImportError, AlgorithmNotFound, DeclarationError

SECRET = "Jane-Doe-4711"


@pytest.fixture
def failure(algorithms):
    def load(name: str) -> AlgorithmImportError:
        with pytest.raises(AlgorithmImportError) as failed:
            locate.load(locate.locate(algorithms / name))
        return failed.value

    return load


def test_a_missing_dependency_is_named(failure):
    error = failure("needs_what_is_missing")
    assert str(error) == (
        "the algorithm's module 'needs_what_is_missing' needs 'a_package_that_nobody_installed', which is not installed"
    )
    assert "Traceback" in error.detail


def test_an_exception_is_told_by_type_and_line_and_the_rest_to_the_owner(failure):
    error = failure("raises_at_import")
    assert str(error) == (
        "the algorithm's module 'raises_at_import' cannot be imported (KeyError at __init__.py, line 5)"
    )
    assert SECRET not in str(error)
    assert "Traceback" in error.detail
    assert f"KeyError: '{SECRET}'" in error.detail


def test_the_line_is_the_algorithms_own_even_if_a_library_raises(tmp_path, failure, algorithms):
    package = tmp_path / "src" / "trips_in_a_library"
    package.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(f'[project.entry-points."{locate.GROUP}"]\nx = "trips_in_a_library"\n')
    (package / "__init__.py").write_text(f"import json\n\njson.loads('{SECRET}')\n")
    error = failure(tmp_path)
    assert "(JSONDecodeError at __init__.py, line 3)" in str(error)


def test_an_exit_at_import_does_not_end_us(failure):
    error = failure("exits_at_import")
    assert "(SystemExit at __init__.py, line 3)" in str(error)
    assert SECRET not in str(error)
    assert SECRET in error.detail


def test_a_syntax_error_tells_the_line(failure):
    error = failure("does_not_parse")
    assert "(SyntaxError at __init__.py, line 3)" in str(error)


def test_an_interrupt_is_not_taken_for_the_modules_fault(tmp_path, failure):
    package = tmp_path / "src" / "interrupted"
    package.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(f'[project.entry-points."{locate.GROUP}"]\nx = "interrupted"\n')
    (package / "__init__.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        locate.load(locate.locate(tmp_path))


def test_a_refused_declaration_keeps_its_own_words(algorithms):
    with pytest.raises(DeclarationError, match=r"\*columns takes anything"):
        locate.load(locate.locate(algorithms / "declares_wrongly"))


def test_a_module_without_functions_says_how_to_register_some(algorithms):
    with pytest.raises(AlgorithmNotFound) as refused:
        locate.load(locate.locate(algorithms / "registers_nothing"))
    message = str(refused.value)
    assert "module 'registers_nothing' has no registered function" in message
    assert "@master or @rpc" in message
    assert "import the modules they are in" in message


def test_a_module_that_was_mended_can_be_loaded_again(tmp_path):
    package = tmp_path / "src" / "soon_mended"
    package.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(f'[project.entry-points."{locate.GROUP}"]\nx = "soon_mended"\n')
    source = "from algotools import rpc\n\n\n@rpc\ndef count() -> int:\n    return 1\n\n\n"
    (package / "__init__.py").write_text(f"{source}raise ValueError\n")
    with pytest.raises(AlgorithmImportError):
        locate.load(locate.locate(tmp_path))
    (package / "__init__.py").write_text(source)
    assert set(locate.load(locate.locate(tmp_path)).functions) == {"count"}


def test_a_notebook_without_functions_says_so():
    with pytest.raises(AlgorithmNotFound, match="no function is decorated with @master or @rpc here"):
        locate.load_notebook()
