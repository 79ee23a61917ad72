"""What of a folder is sent to the engine: what ``.dockerignore`` leaves, nothing that is needless, and no data."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools.errors import ImageError
from algotools.image import context

from ..conftest import AVERAGE

Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Makes a project's folder of files, by name and content, or by name alone."""

    def make(*names: str, **contents: str) -> Path:
        told = dict.fromkeys(names, "x") | {f".{name}": text for name, text in contents.items()}
        for name, text in told.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path

    return make


def files(root: Path) -> set[str]:
    """The files, not the folders, that a build of a project gets."""
    return {name for name in context.of_project(root).files if not (root / name).is_dir()}


def test_of_the_example_nothing_goes_in_but_its_code_and_metadata() -> None:
    assert files(AVERAGE) == {
        ".dockerignore", "Dockerfile", "pyproject.toml", "src/average/__init__.py", "src/average/algorithm.py",
        "src/average/py.typed",
    }  # fmt: skip
    assert context.of_project(AVERAGE).data == ()


@pytest.mark.parametrize(
    ("ignore", "left"),
    [
        ("", {"a.py", "notes.md", "src/b.py", "src/c/d.py", "src/c/e.md"}),
        ("# notes.md\n\n", {"a.py", "notes.md", "src/b.py", "src/c/d.py", "src/c/e.md"}),
        ("*.md", {"a.py", "src/b.py", "src/c/d.py", "src/c/e.md"}),  # without **/, of the first folder only
        ("**/*.md", {"a.py", "src/b.py", "src/c/d.py"}),
        ("/src/c/", {"a.py", "notes.md", "src/b.py"}),
        ("./src/../notes.md", {"a.py", "src/b.py", "src/c/d.py", "src/c/e.md"}),
        ("src/*/d.py", {"a.py", "notes.md", "src/b.py", "src/c/e.md"}),
        ("?otes.md\nsrc/[a-b].py", {"a.py", "src/c/d.py", "src/c/e.md"}),
        ("*\n!src/c", {"src/c/d.py", "src/c/e.md"}),
        ("*\n!src\nsrc/c/*.md", {"src/b.py", "src/c/d.py"}),
        ("!src/c/e.md\nsrc", {"a.py", "notes.md"}),  # the last line that matches decides
        ("\ufeff*.md", {"a.py", "src/b.py", "src/c/d.py", "src/c/e.md"}),
        ("Dockerfile\n.dockerignore\n*.md", {"a.py", "src/b.py", "src/c/d.py", "src/c/e.md"}),
    ],
)
def test_dockerignore_is_honoured(folder: Folder, ignore: str, left: set[str]) -> None:
    root = folder("a.py", "notes.md", "src/b.py", "src/c/d.py", "src/c/e.md", "Dockerfile", dockerignore=ignore)
    assert files(root) - {"Dockerfile", ".dockerignore"} == left


def test_the_engine_always_gets_the_dockerfile_and_dockerignore(folder: Folder) -> None:
    assert files(folder("a.py", "Dockerfile", dockerignore="*")) == {"Dockerfile", ".dockerignore"}


NEEDLESS = [
    ".git/config", ".venv/lib/a.py", ".venv-3.13/lib/a.py", "venv/lib/a.py", "__pycache__/a.pyc", "a.pyc", ".env",
    "average.egg-info/PKG-INFO", ".mypy_cache/a.json", ".pytest_cache/a", ".ruff_cache/a", ".hypothesis/a",
]  # fmt: skip


@pytest.mark.parametrize("below", ["", "src/", "src/deep/er/"])
@pytest.mark.parametrize("ignore", ["", "*\n!src\n!a.py", "!**"])
def test_what_no_image_needs_is_never_sent(folder: Folder, ignore: str, below: str) -> None:
    root = folder("a.py", "src/a.py", *(below + name for name in NEEDLESS), dockerignore=ignore)
    assert files(root) == {".dockerignore", "a.py", "src/a.py"}
    assert context.of_project(root).data == ()


@pytest.mark.parametrize("named", ["src/.env", "**/.env"])
def test_unless_it_is_named(folder: Folder, named: str) -> None:
    assert "src/.env" in files(folder("src/.env", dockerignore=f"!{named}"))


def test_a_needless_folder_that_is_named_goes_in_with_all_that_is_in_it(folder: Folder) -> None:
    root = folder("src/a.egg-info/PKG-INFO", "src/b.egg-info/PKG-INFO", dockerignore="!src/a.egg-info")
    assert files(root) == {".dockerignore", "src/a.egg-info/PKG-INFO"}


@pytest.mark.parametrize(
    "name",
    [
        "patients.csv", "PATIENTS.CSV", "patients.csv.gz", "patients.gz", "export.tar.gz", "a/b/c.Parquet", "a.sav",
        "registry.sqlite", "image.nii.gz", "frame.pkl", "old.xls", "all.zip", ".csv.swp.csv", "x.2024.tsv", "model.npy",
    ],
)  # fmt: skip
def test_a_file_with_data_is_left_out_and_named(folder: Folder, name: str) -> None:
    root = folder("src/a.py", f"src/{name}")
    found = context.of_project(root)
    assert found.data == (f"src/{name}",)
    assert files(root) == {"src/a.py"}


@pytest.mark.parametrize("name", ["csv", "csv.py", "parquet/a.py", "a.json", "a.yaml", "a.txt", "py.typed", "db.py"])
def test_other_files_go_in(folder: Folder, name: str) -> None:
    assert files(folder(name)) == {name}


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1),
    st.sampled_from(sorted(context.DATA_ENDINGS)),
    st.sampled_from(["", *sorted({".gz", ".bz2", ".xz", ".zst", ".zip"})]),
    st.booleans(),
)
def test_any_ending_of_data_counts_in_either_case_and_packed(stem: str, ending: str, packed: str, upper: bool) -> None:
    name = f"{stem}{ending}{packed}"
    assert context._is_data(name.upper() if upper else name)


@pytest.mark.parametrize(
    "ignore",
    [
        "!src/x/codes.csv", "!/src/x/codes.csv", "!src/x/*.csv", "!src/*/codes.csv", "!**/*.csv", "!**/codes.csv",
        "*\n!src\n!src/x/codes.csv",
    ],
)  # fmt: skip
def test_a_data_file_that_is_named_goes_in(folder: Folder, ignore: str) -> None:
    root = folder("src/x/a.py", "src/x/codes.csv", "data.csv", dockerignore=f"data.csv\n{ignore}\ndata.csv")
    found = context.of_project(root)
    assert "src/x/codes.csv" in found.files
    assert found.data == ()


@pytest.mark.parametrize(
    "ignore", ["!src", "!src/x", "!src/**", "!**", "*\n!src", "!src/x/", "!src/x*", "!src/*", "!*.csv", "!s*", "!src/?"]
)
def test_a_folder_above_does_not_name_it(folder: Folder, ignore: str) -> None:
    found = context.of_project(folder("src/x/a.py", "src/x/codes.csv", dockerignore=ignore))
    assert found.data == ("src/x/codes.csv",)
    assert "src/x/a.py" in found.files


def test_a_data_file_that_is_ignored_is_not_worth_a_word(folder: Folder) -> None:
    assert context.of_project(folder("data/patients.csv", dockerignore="data")).data == ()


FEDERATION = """
organizations:
  - name: a
    databases:
      default: data/patients
      folder: tables
      elsewhere: {uri: more/registry, type: csv}
      service: postgresql://host/src
      file: file://%(root)s/file
      absolute: %(root)s/absolute
      outside: ../outside
"""


@pytest.mark.parametrize("here", [True, False])
def test_a_database_of_the_federation_is_data_whatever_its_name(
    folder: Folder, here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ["absolute", "data/patients", "file", "more/registry", "tables/deep/two", "tables/one"]
    root = folder("src/a.py", "src/link.py", *data)
    (root / "federation.yaml").write_text(FEDERATION % {"root": root})
    if here:
        monkeypatch.chdir(root)
    found = context.of_project(Path() if here else root)
    assert sorted(found.data) == data
    assert files(root) == {"federation.yaml", "src/a.py", "src/link.py"}


@pytest.mark.parametrize("text", ["", "[", "- a", "organizations: 3", "organizations: [{databases: 3}]", "a: {b: [}"])
def test_a_federation_that_is_none_hides_nothing(folder: Folder, text: str) -> None:
    root = folder("src/a.py", "p.csv")
    (root / "federation.yaml").write_text(text)
    assert context.of_project(root).data == ("p.csv",)


def members(root: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=context.of_project(root).archive()) as tar:
        return {member.name: member for member in tar.getmembers()}


def test_everybody_may_read_in_the_image_what_its_author_may_read_here(folder: Folder) -> None:
    root = folder("src/a.py", "src/run.sh")
    (root / "src").chmod(0o700)
    (root / "src/a.py").chmod(0o600)
    (root / "src/run.sh").chmod(0o700)
    found = members(root)
    assert {name: oct(member.mode) for name, member in found.items()} == {
        "src": "0o755", "src/a.py": "0o644", "src/run.sh": "0o755",
    }  # fmt: skip
    assert {(member.uid, member.gid, member.uname, member.gname) for member in found.values()} == {(0, 0, "", "")}


def test_links_pipes_and_sockets_do_not_stop_a_build(folder: Folder) -> None:
    root = folder("src/a.py")
    os.link(root / "src/a.py", root / "src/b.py")
    (root / "src/c.py").symlink_to("a.py")
    (root / "src/nowhere").symlink_to("/nowhere")
    (root / "src/round").symlink_to("round")
    os.mkfifo(root / "src/pipe")
    found = members(root)
    assert {"src/a.py", "src/b.py", "src/c.py", "src/nowhere", "src/round"} <= set(found)
    assert found["src/b.py"].isreg()
    assert found["src/b.py"].size == 1
    assert found["src/c.py"].issym()
    assert context.of_project(root).digest() == context.of_project(root).digest()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for use in (context.Context.archive, lambda sources: sources._content("gone.py")):
        with pytest.raises(ImageError, match=r"gone\.py cannot be read \(No such file or directory\)"):
            use(context.Context(tmp_path, ("gone.py",)))


def test_a_dockerignore_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_bytes(b"caf\xe9")
    with pytest.raises(ImageError, match=r"\.dockerignore cannot be read"):
        context.of_project(tmp_path)


def test_the_digest_changes_with_names_contents_and_what_else_is_told(folder: Folder, tmp_path: Path) -> None:
    def digest(*more: str) -> str:
        return context.of_project(tmp_path).digest(*more)

    folder("a.py", "b.py")
    seen = [digest(), digest("3.13"), digest("3.1", "3")]
    (tmp_path / "a.py").write_text("y")
    seen.append(digest())
    (tmp_path / "a.py").rename(tmp_path / "c.py")
    seen.append(digest())
    assert len(set(seen)) == 5
    (tmp_path / "c.py").chmod(0o600)
    os.utime(tmp_path / "c.py", (0, 0))
    assert digest() == seen[-1]
