"""The build context: files that ``.dockerignore`` does not exclude, without unneeded files and data."""

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
    """Makes a folder with files, from names, or from names and contents."""

    def make(*names: str, **contents: str) -> Path:
        texts = dict.fromkeys(names, "x") | {f".{name}": text for name, text in contents.items()}
        for name, text in texts.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path

    return make


def collect_files(root: Path) -> set[str]:
    """Return the files, without folders, in the build context of a project."""
    return {name for name in context.collect_project(root).files if not (root / name).is_dir()}


def test_the_context_of_the_example_is_its_code_and_metadata() -> None:
    assert collect_files(AVERAGE) == {
        ".dockerignore", "Dockerfile", "pyproject.toml", "src/average/__init__.py", "src/average/algorithm.py",
        "src/average/py.typed",
    }  # fmt: skip
    assert context.collect_project(AVERAGE).data == ()


@pytest.mark.parametrize(
    ("ignore", "expected"),
    [
        ("", {"a.py", "notes.md", "src/b.py", "src/c/d.py", "src/c/e.md"}),
        ("# notes.md\n\n", {"a.py", "notes.md", "src/b.py", "src/c/d.py", "src/c/e.md"}),
        ("*.md", {"a.py", "src/b.py", "src/c/d.py", "src/c/e.md"}),  # without **/, only the top folder
        ("**/*.md", {"a.py", "src/b.py", "src/c/d.py"}),
        ("/src/c/", {"a.py", "notes.md", "src/b.py"}),
        ("./src/../notes.md", {"a.py", "src/b.py", "src/c/d.py", "src/c/e.md"}),
        ("src/*/d.py", {"a.py", "notes.md", "src/b.py", "src/c/e.md"}),
        ("?otes.md\nsrc/[a-b].py", {"a.py", "src/c/d.py", "src/c/e.md"}),
        ("*\n!src/c", {"src/c/d.py", "src/c/e.md"}),
        ("*\n!src\nsrc/c/*.md", {"src/b.py", "src/c/d.py"}),
        ("!src/c/e.md\nsrc", {"a.py", "notes.md"}),  # the last matching line decides
        ("\ufeff*.md", {"a.py", "src/b.py", "src/c/d.py", "src/c/e.md"}),
        ("Dockerfile\n.dockerignore\n*.md", {"a.py", "src/b.py", "src/c/d.py", "src/c/e.md"}),
    ],
)
def test_dockerignore_is_honoured(folder: Folder, ignore: str, expected: set[str]) -> None:
    root = folder("a.py", "notes.md", "src/b.py", "src/c/d.py", "src/c/e.md", "Dockerfile", dockerignore=ignore)
    assert collect_files(root) - {"Dockerfile", ".dockerignore"} == expected


def test_the_engine_always_gets_the_dockerfile_and_dockerignore(folder: Folder) -> None:
    assert collect_files(folder("a.py", "Dockerfile", dockerignore="*")) == {"Dockerfile", ".dockerignore"}


UNNEEDED = [
    ".git/config", ".venv/lib/a.py", ".venv-3.13/lib/a.py", "venv/lib/a.py", "__pycache__/a.pyc", "a.pyc", ".env",
    "average.egg-info/PKG-INFO", ".mypy_cache/a.json", ".pytest_cache/a", ".ruff_cache/a", ".hypothesis/a",
]  # fmt: skip


@pytest.mark.parametrize("below", ["", "src/", "src/deep/er/"])
@pytest.mark.parametrize("ignore", ["", "*\n!src\n!a.py", "!**"])
def test_unneeded_files_are_never_sent(folder: Folder, ignore: str, below: str) -> None:
    root = folder("a.py", "src/a.py", *(below + name for name in UNNEEDED), dockerignore=ignore)
    assert collect_files(root) == {".dockerignore", "a.py", "src/a.py"}
    assert context.collect_project(root).data == ()


@pytest.mark.parametrize("pattern", ["src/.env", "**/.env"])
def test_an_unneeded_file_that_a_line_names_is_sent(folder: Folder, pattern: str) -> None:
    assert "src/.env" in collect_files(folder("src/.env", dockerignore=f"!{pattern}"))


def test_an_unneeded_folder_that_a_line_names_is_sent_completely(folder: Folder) -> None:
    root = folder("src/a.egg-info/PKG-INFO", "src/b.egg-info/PKG-INFO", dockerignore="!src/a.egg-info")
    assert collect_files(root) == {".dockerignore", "src/a.egg-info/PKG-INFO"}


@pytest.mark.parametrize(
    "name",
    [
        "patients.csv", "PATIENTS.CSV", "patients.csv.gz", "patients.gz", "export.tar.gz", "a/b/c.Parquet", "a.sav",
        "registry.sqlite", "image.nii.gz", "frame.pkl", "old.xls", "all.zip", ".csv.swp.csv", "x.2024.tsv", "model.npy",
    ],
)  # fmt: skip
def test_a_data_file_is_excluded_and_reported(folder: Folder, name: str) -> None:
    root = folder("src/a.py", f"src/{name}")
    sources = context.collect_project(root)
    assert sources.data == (f"src/{name}",)
    assert collect_files(root) == {"src/a.py"}


@pytest.mark.parametrize("name", ["csv", "csv.py", "parquet/a.py", "a.json", "a.yaml", "a.txt", "py.typed", "db.py"])
def test_other_files_are_sent(folder: Folder, name: str) -> None:
    assert collect_files(folder(name)) == {name}


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1),
    st.sampled_from(sorted(context.DATA_SUFFIXES)),
    st.sampled_from(["", *sorted({".gz", ".bz2", ".xz", ".zst", ".zip"})]),
    st.booleans(),
)
def test_each_suffix_of_data_is_recognized_in_either_case_and_packed(
    stem: str, suffix: str, packing: str, upper: bool
) -> None:
    name = f"{stem}{suffix}{packing}"
    assert context._is_data(name.upper() if upper else name)


@pytest.mark.parametrize(
    "ignore",
    [
        "!src/x/codes.csv", "!/src/x/codes.csv", "!src/x/*.csv", "!src/*/codes.csv", "!**/*.csv", "!**/codes.csv",
        "*\n!src\n!src/x/codes.csv",
    ],
)  # fmt: skip
def test_a_data_file_that_a_line_names_is_sent(folder: Folder, ignore: str) -> None:
    root = folder("src/x/a.py", "src/x/codes.csv", "data.csv", dockerignore=f"data.csv\n{ignore}\ndata.csv")
    sources = context.collect_project(root)
    assert "src/x/codes.csv" in sources.files
    assert sources.data == ()


@pytest.mark.parametrize(
    "ignore", ["!src", "!src/x", "!src/**", "!**", "*\n!src", "!src/x/", "!src/x*", "!src/*", "!*.csv", "!s*", "!src/?"]
)
def test_a_line_with_a_folder_above_does_not_name_a_data_file(folder: Folder, ignore: str) -> None:
    sources = context.collect_project(folder("src/x/a.py", "src/x/codes.csv", dockerignore=ignore))
    assert sources.data == ("src/x/codes.csv",)
    assert "src/x/a.py" in sources.files


def test_an_ignored_data_file_is_not_reported(folder: Folder) -> None:
    assert context.collect_project(folder("data/patients.csv", dockerignore="data")).data == ()


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


@pytest.mark.parametrize("is_current", [True, False])
def test_a_database_of_the_federation_is_data_with_any_name(
    folder: Folder, is_current: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ["absolute", "data/patients", "file", "more/registry", "tables/deep/two", "tables/one"]
    root = folder("src/a.py", "src/link.py", *data)
    (root / "federation.yaml").write_text(FEDERATION % {"root": root})
    if is_current:
        monkeypatch.chdir(root)
    sources = context.collect_project(Path() if is_current else root)
    assert sorted(sources.data) == data
    assert collect_files(root) == {"federation.yaml", "src/a.py", "src/link.py"}


@pytest.mark.parametrize(
    "databases",
    [
        "{x: one, x: two, y: {uri: three, uri: four}}",
        "[{label: x, uri: one}, {label: x, uri: two}, {uri: three, type: csv, env: {}}, {uri: four}]",
        "{<<: [{x: one}, {z: two}], x: {<<: {uri: three}, type: csv}, y: four}",
        "&a {x: one, y: two, z: {uri: three}, a: *a, v: four, w: ~nobody-of-this-name/x}",
    ],
)
def test_every_form_of_a_database_is_data(folder: Folder, databases: str) -> None:
    root = folder("src/a.py", "one", "two", "three", "four")
    (root / "federation.yaml").write_text(f"organizations: [{{name: a, databases: {databases}}}]", encoding="utf-8-sig")
    assert sorted(context.collect_project(root).data) == ["four", "one", "three", "two"]


def test_aliases_of_aliases_do_not_stop_a_build(folder: Folder) -> None:
    root = folder("src/a.py", "one")
    bomb = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))
    (root / "federation.yaml").write_text(f"a0: &a0 [x]\n{bomb}databases: {{x: one}}\n")
    assert context.collect_project(root).data == ("one",)


@pytest.mark.parametrize(
    "text",
    ["", "[", "- a", "organizations: 3", "organizations: [{databases: 3}]", "a: {b: [}", "[" * 3000, "a: 2024-13-45"],
)
def test_a_malformed_federation_is_ignored(folder: Folder, text: str) -> None:
    root = folder("src/a.py", "p.csv")
    (root / "federation.yaml").write_text(text)
    assert context.collect_project(root).data == ("p.csv",)


def read_entries(root: Path) -> dict[str, tarfile.TarInfo]:
    """Return the entries of a project's archive by name."""
    with tarfile.open(fileobj=context.collect_project(root).make_archive()) as tar:
        return {member.name: member for member in tar.getmembers()}


def test_all_users_may_read_private_files_in_the_image(folder: Folder) -> None:
    root = folder("src/a.py", "src/run.sh")
    (root / "src").chmod(0o700)
    (root / "src/a.py").chmod(0o600)
    (root / "src/run.sh").chmod(0o700)
    entries = read_entries(root)
    assert {name: oct(member.mode) for name, member in entries.items()} == {
        "src": "0o755", "src/a.py": "0o644", "src/run.sh": "0o755",
    }  # fmt: skip
    assert {(member.uid, member.gid, member.uname, member.gname) for member in entries.values()} == {(0, 0, "", "")}


def test_links_pipes_and_sockets_do_not_stop_a_build(folder: Folder) -> None:
    root = folder("src/a.py")
    os.link(root / "src/a.py", root / "src/b.py")
    (root / "src/c.py").symlink_to("a.py")
    (root / "src/nowhere").symlink_to("/nowhere")
    (root / "src/round").symlink_to("round")
    os.mkfifo(root / "src/pipe")
    entries = read_entries(root)
    assert {"src/a.py", "src/b.py", "src/c.py", "src/nowhere", "src/round"} <= set(entries)
    assert entries["src/b.py"].isreg()
    assert entries["src/b.py"].size == 1
    assert entries["src/c.py"].issym()
    assert context.collect_project(root).compute_digest() == context.collect_project(root).compute_digest()


def test_an_unreadable_file_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_file", lambda _path: True)  # the file is removed after the check
    for use in (context.Context.make_archive, context.Context.compute_digest):
        with pytest.raises(ImageError, match=r"gone\.py cannot be read \(No such file or directory\)"):
            use(context.Context(tmp_path, ("gone.py",)))


def test_a_dockerignore_that_is_not_text_is_reported(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_bytes(b"caf\xe9")
    with pytest.raises(ImageError, match=r"\.dockerignore cannot be read"):
        context.collect_project(tmp_path)


def test_the_digest_changes_with_names_contents_and_parameters(folder: Folder, tmp_path: Path) -> None:
    def digest(*parameters: str) -> str:
        return context.collect_project(tmp_path).compute_digest(*parameters)

    folder("a.py", "b.py")
    digests = [digest(), digest("3.13"), digest("3.1", "3")]
    (tmp_path / "a.py").write_text("y")
    digests.append(digest())
    (tmp_path / "a.py").rename(tmp_path / "c.py")
    digests.append(digest())
    assert len(set(digests)) == 5
    (tmp_path / "c.py").chmod(0o600)
    os.utime(tmp_path / "c.py", (0, 0))
    assert digest() == digests[-1]
