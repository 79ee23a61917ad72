"""``algotools new``: what it asks, what it refuses, and what it leaves behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from algotools import scaffold
from algotools.locate import read_toml

from .conftest import TITLES, Make, algotools, content


def test_names_come_from_the_title(tmp_path: Path) -> None:
    ended = algotools("new", "Cohort Mean", "--no-input", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[0] == f"cohort-mean: {len(content(tmp_path / 'cohort-mean'))} files"
    project = read_toml(tmp_path / "cohort-mean" / "pyproject.toml")
    assert project["project"]["name"] == "cohort-mean"
    assert project["project"]["entry-points"]["algotools.algorithms"] == {"cohort-mean": "cohort_mean"}
    assert (tmp_path / "cohort-mean" / "src" / "cohort_mean" / "__init__.py").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["cohort-mean"]


def test_what_it_says_to_do_next_works(tmp_path: Path) -> None:
    for kind, title in TITLES.items():
        told = algotools("new", title, "--no-input", "--kind", kind, cwd=tmp_path).stdout
        script = told.partition("\n")[2]
        command = f"{sys.executable} -c 'from algotools.cli import main; main()'"
        ended = subprocess.run(
            ["sh", "-ec", script.replace("algotools run", f"{command} run --json")],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        assert '"status": "completed"' in ended.stdout


@pytest.mark.parametrize(
    ("title", "folder"),
    [
        ("Überlebens-Kurve: Köln", "uberlebens-kurve-koln"),
        ("  one   word ", None),
        ("The mean (of 3 cohorts)", "the-mean-of-3-cohorts"),
        ("平均 of a column", "ping-jun-of-a-column"),
        ('"quoted" \\ & <odd> {{ 7 * 7 }} {% raw %}', "quoted-odd-7-7-raw"),
    ],
)
def test_a_title_is_free_text(tmp_path: Path, title: str, folder: str | None) -> None:
    ended = algotools("new", title, "--no-input", cwd=tmp_path)
    if folder is None:
        assert ended.returncode == 66
        assert "it must be one line of printable characters" in ended.stderr
        return
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / folder / "README.md").read_text(encoding="utf-8").splitlines()[0] == f"# {title}"


@pytest.mark.parametrize(
    ("title", "why"),
    [
        ("", "it is empty"),
        ("!!!", "can be no package's name"),
        ("2 Cohorts", "'2_cohorts' can be no package's name"),
        ("Class", "'class' can be no package's name"),
        ("Statistics", "'statistics' would shadow a module of Python's standard library"),
        ("Pandas", "'pandas' would shadow a module that every algorithm has or needs"),
        ("Tests", "'tests' would shadow"),
        ("Hypothesis", "'hypothesis' would shadow a module that is installed here"),
        ("Two\nLines", "it must be one line"),
        ("A long title " * 4 + "indeed", "in at most 40 characters"),
    ],
)
def test_a_title_that_no_package_can_have_is_refused(tmp_path: Path, title: str, why: str) -> None:
    ended = algotools("new", title, "--no-input", cwd=tmp_path)
    assert ended.returncode == 66
    assert why in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_only_derived_names_must_be_free_and_a_folder_of_the_package_name_is_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "cohort_mean").mkdir()
    assert algotools("new", "Cohort Mean", "--no-input", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("there", ["folder", "file", "dangling link"])
def test_what_exists_is_left_alone(tmp_path: Path, there: str) -> None:
    path = tmp_path / "cohort-mean"
    {"folder": path.mkdir, "file": path.touch, "dangling link": lambda: path.symlink_to("nowhere")}[there]()
    ended = algotools("new", "Cohort Mean", "--no-input", cwd=tmp_path)
    assert ended.returncode == 66
    assert "cohort-mean exists already" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["cohort-mean"]
    assert content(tmp_path) == ({"cohort-mean": b""} if there == "file" else {})


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--kind", "clever"], "kind 'clever': it must be one of average, iterative"),
        (["--licence", "WTFPL"], "it must be one of Apache-2.0, MIT, BSD-3-Clause, GPL-3.0-or-later, none"),
        (["--registry", "https://registry.example.org"], "no https:// before it"),
        (["--registry", "harbor/demo"], "it must be a host name"),
        (["--registry", "harbor"], "has a dot or a port"),
        (["--image-name", "Cohort"], "lower-case"),
        (["--image-name", "cohort:1.0"], "tags come later"),
        (["--author", "Jane\nRoe"], "one line"),
        (["--description", ""], "it is empty"),
        (["--in", "nowhere"], "there is no folder nowhere"),
    ],
)
def test_an_answer_that_cannot_be_taken_is_refused_before_anything_is_written(
    tmp_path: Path, options: list[str], why: str
) -> None:
    ended = algotools("new", "Cohort Mean", "--no-input", *options, cwd=tmp_path)
    assert ended.returncode == 66
    assert why in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    ended = algotools("new", "Class", "--no-input", "--kind", "clever", "--registry", "x y", cwd=tmp_path)
    assert all(name in ended.stderr for name in ("title 'Class'", "kind 'clever'", "registry 'x y'"))


def test_without_a_title_nothing_is_guessed(tmp_path: Path) -> None:
    ended = algotools("new", "--no-input", cwd=tmp_path)
    assert ended.returncode == 66
    assert 'algotools new "Cohort Mean"' in ended.stderr


def test_a_dry_run_lists_just_the_files_that_would_be_made(tmp_path: Path) -> None:
    ended = algotools("new", "Cohort Mean", "--no-input", "--dry-run", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert list(tmp_path.iterdir()) == []
    listed = ended.stdout.splitlines()
    assert algotools("new", "Cohort Mean", "--no-input", cwd=tmp_path).returncode == 0
    assert listed == sorted(f"cohort-mean/{name}" for name in content(tmp_path / "cohort-mean"))


def test_every_question_is_explained_and_its_default_is_shown(tmp_path: Path) -> None:
    ended = algotools("new", cwd=tmp_path, text="Event Model\niterative\n\nJane Roe\n\n\n\n")
    assert ended.returncode == 0, ended.stderr
    asked = scaffold.questions()
    for question in asked:
        assert question.prompt in ended.stderr
        assert all(meaning in ended.stderr for meaning in question.choices.values())
    assert "A logistic regression over several organizations" in ended.stderr  # the default depends on the kind
    project = read_toml(tmp_path / "event-model" / "pyproject.toml")["project"]
    assert project["authors"] == [{"name": "Jane Roe"}]
    assert (tmp_path / "event-model" / "src" / "event_model" / "algorithm.py").read_text().count("log_likelihood") > 1


def test_only_what_no_option_gives_is_asked(tmp_path: Path) -> None:
    options = ["--kind", "average", "--description", "Means", "--licence", "MIT", "--registry", "localhost:5000"]
    ended = algotools("new", "Cohort Mean", *options, cwd=tmp_path, text="Jane Roe\ndemo/mean\n")
    assert ended.returncode == 0, ended.stderr
    asked = [question.name for question in scaffold.questions() if question.prompt in ended.stderr]
    assert asked == ["author", "image_name"]


def test_a_wrong_answer_is_asked_again(tmp_path: Path) -> None:
    ended = algotools("new", cwd=tmp_path, text="Class\nCohort Mean\nclever\naverage\n" + "\n" * 6)
    assert ended.returncode == 0, ended.stderr
    assert "'class' can be no package's name" in ended.stderr
    assert "it must be one of average, iterative" in ended.stderr
    assert (tmp_path / "cohort-mean").is_dir()


def test_where_nobody_answers_it_says_what_to_do(tmp_path: Path) -> None:
    ended = algotools("new", "Cohort Mean", cwd=tmp_path)
    assert ended.returncode == 66
    assert "no answer for kind; give it as an option, or --no-input" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_american_spelling_is_known(make: Make) -> None:
    assert "MIT License" in (make("Cohort Mean", "--license", "MIT") / "LICENSE").read_text()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    occupied = tmp_path / "occupied"
    occupied.touch()
    ended = algotools("new", "Cohort Mean", "--no-input", "--in", str(occupied), cwd=tmp_path)
    assert ended.returncode == 66
    assert "Traceback" not in ended.stderr
    nowhere = Path("/proc/self")
    ended = algotools("new", "Cohort Mean", "--no-input", "--in", str(nowhere), cwd=tmp_path)
    assert ended.returncode == 66
    assert "cannot be written" in ended.stderr


def test_a_failure_in_the_middle_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "template"
    shutil.copytree(scaffold.template(), broken)
    (broken / "{{cookiecutter.__project}}" / "zzz.md").write_text("{% include 'not there' %}")
    monkeypatch.setattr(scaffold, "template", lambda: broken)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(scaffold.ScaffoldError, match="cannot be written"):
        scaffold.make(scaffold.answer({"title": "Cohort Mean"}), out)
    assert list(out.iterdir()) == []


def test_ctrl_c_at_a_question_leaves_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "from algotools.cli import main; main()", "new", "Cohort Mean"],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    while b"kind" not in os.read(process.stderr.fileno(), 4096):
        pass
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode != 0
    assert b"Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_kept_in_the_home_folder_and_nobodys_settings_count(tmp_path: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    home.mkdir()
    out.mkdir()
    (home / ".cookiecutterrc").write_text("default_context: {author: Somebody else, kind: iterative}\n")
    ended = algotools("new", "Cohort Mean", "--no-input", cwd=out, variables={"HOME": str(home)})
    assert ended.returncode == 0, ended.stderr
    assert [path.name for path in home.iterdir()] == [".cookiecutterrc"]
    assert "Somebody else" not in (out / "cohort-mean" / "pyproject.toml").read_text()


def test_every_answer_is_wired_in_everywhere(make: Make) -> None:
    folder = make(
        "Cohort Mean", "--description", "Means of means", "--author", "Jane Roe", "--licence", "BSD-3-Clause",
        "--registry", "harbor.example.com:8443", "--image-name", "demo/the-mean",
        "--algotools", "federated-algotools @ git+https://code.example.com/algotools@1234",
    )  # fmt: skip
    files = {name: data.decode() for name, data in content(folder).items()}
    having = {text: {name for name in files if text in files[name]} for text in (
        "Means of means", "Jane Roe", "BSD-3-Clause", "harbor.example.com:8443",
        "harbor.example.com:8443/demo/the-mean",
        "code.example.com/algotools@1234",
    )}  # fmt: skip
    pipelines = {".github/workflows/ci.yml", ".gitlab-ci.yml"}
    assert having == {
        "Means of means": {"README.md", "pyproject.toml", "src/cohort_mean/__init__.py"},
        "Jane Roe": {"README.md", "pyproject.toml", "LICENSE"},
        "BSD-3-Clause": {"README.md", "pyproject.toml"},
        "harbor.example.com:8443": {"README.md", "pyproject.toml", "federation.yaml", *pipelines},
        "harbor.example.com:8443/demo/the-mean": {"README.md", "pyproject.toml", "federation.yaml"},
        "code.example.com/algotools@1234": pipelines,
    }
    assert list(yaml.safe_load(files["federation.yaml"])["images"]) == ["harbor.example.com:8443/demo/the-mean"]


@pytest.mark.parametrize("licence", [*next(q for q in scaffold.questions() if q.name == "licence").choices])
def test_each_licence_has_its_text(make: Make, licence: str) -> None:
    folder = make("Cohort Mean", "--licence", licence, "--author", "Jane Roe")
    project = read_toml(folder / "pyproject.toml")["project"]
    assert project["license"] == ("LicenseRef-Proprietary" if licence == "none" else licence)
    first = {
        "Apache-2.0": "Apache License", "MIT": "MIT License", "BSD-3-Clause": "BSD 3-Clause License",
        "GPL-3.0-or-later": "GNU GENERAL PUBLIC LICENSE", "none": "All rights reserved.",
    }  # fmt: skip
    text = (folder / "LICENSE").read_text(encoding="utf-8")
    assert first[licence] in text
    assert ("Jane Roe" in text) == (licence in {"MIT", "BSD-3-Clause", "none"})  # the others' texts name nobody
    assert text[-2:].count("\n") == 1
