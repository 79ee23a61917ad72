"""``algotools new``: its questions, the answers that it refuses, and the files that it writes."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from algotools.declare.projects import read_toml
from algotools.project import scaffold

from ...processes import LIMIT
from .conftest import TITLES, Make, algotools, content


def test_names_come_from_the_title(tmp_path: Path) -> None:
    completed = algotools("new", "Cohort Mean", "--no-input", cwd=tmp_path)
    assert (completed.returncode, completed.stderr) == (0, "")
    assert completed.stdout.splitlines()[0] == f"cohort-mean: {len(content(tmp_path / 'cohort-mean'))} files"
    project = read_toml(tmp_path / "cohort-mean" / "pyproject.toml")
    assert project["project"]["name"] == "cohort-mean"
    assert project["project"]["entry-points"]["algotools.algorithms"] == {"cohort-mean": "cohort_mean"}
    assert (tmp_path / "cohort-mean" / "src" / "cohort_mean" / "__init__.py").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["cohort-mean"]


def test_the_shown_next_steps_work(tmp_path: Path) -> None:
    for kind in TITLES:
        output = algotools("new", f"The {kind} kind", "--no-input", "--kind", kind, cwd=tmp_path).stdout
        change, ask = map(shlex.split, output.split("\n\n")[1].splitlines())
        assert (change[0], ask[:2]) == ("cd", ["algotools", "ask"])
        completed = algotools(*ask[1:], "--json", cwd=tmp_path / change[1])
        assert completed.returncode == 0, completed.stderr
        assert '"status": "completed"' in completed.stdout


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
    completed = algotools("new", title, "--no-input", cwd=tmp_path)
    if folder is None:
        assert completed.returncode == 66
        assert "must be one line of printable characters" in completed.stderr
        return
    assert completed.returncode == 0, completed.stderr
    assert (tmp_path / folder / "README.md").read_text(encoding="utf-8").splitlines()[0] == f"# {title}"


@pytest.mark.parametrize(
    ("title", "reason"),
    [
        ("", "must not be empty"),
        ("!!!", "is not a valid package name"),
        ("2 Cohorts", "'2_cohorts' is not a valid package name"),
        ("Class", "'class' is not a valid package name"),
        ("Statistics", "'statistics' would shadow a module of the standard library"),
        ("Pandas", "'pandas' would shadow a module of the project or of algotools"),
        ("Tests", "'tests' would shadow"),
        ("Hypothesis", "'hypothesis' would shadow an installed module"),
        ("Two\nLines", "must be one line"),
        ("A long title " * 4 + "indeed", "in at most 40 characters"),
    ],
)
def test_a_title_without_a_valid_package_name_is_refused(tmp_path: Path, title: str, reason: str) -> None:
    completed = algotools("new", title, "--no-input", cwd=tmp_path)
    assert completed.returncode == 66
    assert reason in completed.stderr
    assert "Traceback" not in completed.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_the_name_of_the_package_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "cohort_mean").mkdir()
    assert algotools("new", "Cohort Mean", "--no-input", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("existing", ["folder", "file", "dangling link"])
def test_an_existing_file_or_folder_is_not_changed(tmp_path: Path, existing: str) -> None:
    path = tmp_path / "cohort-mean"
    {"folder": path.mkdir, "file": path.touch, "dangling link": lambda: path.symlink_to("nowhere")}[existing]()
    completed = algotools("new", "Cohort Mean", "--no-input", cwd=tmp_path)
    assert completed.returncode == 66
    assert "cohort-mean already exists" in completed.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["cohort-mean"]
    assert content(tmp_path) == ({"cohort-mean": b""} if existing == "file" else {})


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--registry", "https://registry.example.org"], "without https://"),
        (["--registry", "harbor/demo"], "must be a host name"),
        (["--registry", "harbor"], "must contain a dot or a port"),
        (["--image-name", "Cohort"], "lower-case"),
        (["--image-name", "cohort:1.0"], "without a tag"),
        (["--author", "Jane\nRoe"], "one line"),
        (["--description", ""], "must not be empty"),
        (["--in", "nowhere"], "the folder nowhere does not exist"),
    ],
)
def test_an_invalid_answer_is_refused_before_a_file_is_written(tmp_path: Path, options: list[str], reason: str) -> None:
    completed = algotools("new", "Cohort Mean", "--no-input", *options, cwd=tmp_path)
    assert completed.returncode == 66
    assert reason in completed.stderr
    assert list(tmp_path.iterdir()) == []


def test_all_invalid_answers_are_reported_together(tmp_path: Path) -> None:
    completed = algotools("new", "Class", "--no-input", "--author", "", "--registry", "x y", cwd=tmp_path)
    assert all(name in completed.stderr for name in ("title 'Class'", "author ''", "registry 'x y'"))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"kind": "clever"}, r"kind 'clever': not a valid choice \(choose from pooled, average, iterative\)"),
        ({"licence": "WTFPL"}, r"\(choose from Apache-2.0, MIT, BSD-3-Clause, GPL-3.0-or-later, none\)"),
    ],
)
def test_a_choice_is_also_checked_for_callers_in_python(options: dict[str, str], reason: str) -> None:
    with pytest.raises(scaffold.ScaffoldError, match=reason):
        scaffold.collect_answers({"title": "Cohort Mean", **options})


def test_a_missing_title_without_input_is_refused(tmp_path: Path) -> None:
    completed = algotools("new", "--no-input", cwd=tmp_path)
    assert completed.returncode == 2
    assert 'algotools new "Cohort Mean"' in completed.stderr


def test_a_dry_run_lists_exactly_the_files_of_the_project(tmp_path: Path) -> None:
    completed = algotools("new", "Cohort Mean", "--no-input", "--dry-run", cwd=tmp_path)
    assert completed.returncode == 0, completed.stderr
    assert list(tmp_path.iterdir()) == []
    listed = completed.stdout.splitlines()
    assert algotools("new", "Cohort Mean", "--no-input", cwd=tmp_path).returncode == 0
    assert listed == sorted(f"cohort-mean/{name}" for name in content(tmp_path / "cohort-mean"))


def test_every_question_is_explained_and_its_default_is_shown(tmp_path: Path) -> None:
    completed = algotools("new", cwd=tmp_path, text="Event Model\niterative\n\nJane Roe\n\n\n\n")
    assert completed.returncode == 0, completed.stderr
    questions = scaffold.read_questions()
    for question in questions:
        assert question.prompt in completed.stderr
        assert all(meaning in completed.stderr for meaning in question.choices.values())
    assert "A logistic regression over several organizations" in completed.stderr  # the default depends on the kind
    project = read_toml(tmp_path / "event-model" / "pyproject.toml")["project"]
    assert project["authors"] == [{"name": "Jane Roe"}]
    assert (tmp_path / "event-model" / "src" / "event_model" / "algorithm.py").read_text().count("log_likelihood") > 1


def test_a_question_with_an_option_is_not_shown(tmp_path: Path) -> None:
    options = ["--kind", "average", "--description", "Means", "--licence", "MIT", "--registry", "localhost:5000"]
    completed = algotools("new", "Cohort Mean", *options, cwd=tmp_path, text="Jane Roe\ndemo/mean\n")
    assert completed.returncode == 0, completed.stderr
    questions = [question.name for question in scaffold.read_questions() if question.prompt in completed.stderr]
    assert questions == ["author", "image_name"]


def test_an_invalid_answer_repeats_the_question(tmp_path: Path) -> None:
    completed = algotools("new", cwd=tmp_path, text="Class\nCohort Mean\nclever\naverage\n" + "\n" * 6)
    assert completed.returncode == 0, completed.stderr
    assert "'class' is not a valid package name" in completed.stderr
    assert "not a valid choice (choose from pooled, average, iterative)" in completed.stderr
    assert (tmp_path / "cohort-mean").is_dir()


def test_a_closed_standard_input_is_reported_with_advice(tmp_path: Path) -> None:
    completed = algotools("new", "Cohort Mean", cwd=tmp_path)
    assert completed.returncode == 66
    assert "no answer for kind; pass the value as an option, or use --no-input" in completed.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_american_spelling_of_licence_is_accepted(make: Make) -> None:
    assert "MIT License" in (make("Cohort Mean", "--license", "MIT") / "LICENSE").read_text()


def test_a_folder_without_write_access_is_reported(tmp_path: Path) -> None:
    occupied = tmp_path / "occupied"
    occupied.touch()
    completed = algotools("new", "Cohort Mean", "--no-input", "--in", str(occupied), cwd=tmp_path)
    assert completed.returncode == 66
    assert "Traceback" not in completed.stderr
    nowhere = Path("/proc/self")
    completed = algotools("new", "Cohort Mean", "--no-input", "--in", str(nowhere), cwd=tmp_path)
    assert completed.returncode == 66
    assert "cannot write" in completed.stderr


def test_a_failure_while_rendering_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "template"
    shutil.copytree(scaffold.locate_template(), broken)
    (broken / "{{cookiecutter.__project}}" / "zzz.md").write_text("{% include 'missing' %}")
    monkeypatch.setattr(scaffold, "locate_template", lambda: broken)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(scaffold.ScaffoldError, match="cannot write"):
        scaffold.create_project(scaffold.collect_answers({"title": "Cohort Mean"}), out)
    assert list(out.iterdir()) == []


def test_ctrl_c_at_a_question_leaves_no_files(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "from algotools.cli import main; main()", "new", "Cohort Mean"],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    while b"kind" not in os.read(process.stderr.fileno(), 4096):
        pass
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode != 0
    assert b"Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []


def test_the_home_folder_is_not_written_and_its_settings_are_ignored(tmp_path: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    home.mkdir()
    out.mkdir()
    (home / ".cookiecutterrc").write_text("default_context: {author: Another author, kind: iterative}\n")
    completed = algotools("new", "Cohort Mean", "--no-input", cwd=out, variables={"HOME": str(home)})
    assert completed.returncode == 0, completed.stderr
    assert [path.name for path in home.iterdir()] == [".cookiecutterrc"]
    assert "Another author" not in (out / "cohort-mean" / "pyproject.toml").read_text()


def test_every_answer_is_in_all_files_that_use_it(make: Make) -> None:
    folder = make(
        "Cohort Mean", "--description", "Means of means", "--author", "Jane Roe", "--licence", "BSD-3-Clause",
        "--registry", "harbor.example.com:8443", "--image-name", "demo/the-mean",
        "--algotools", "federated-algotools @ git+https://code.example.com/algotools@1234",
    )  # fmt: skip
    files = {name: data.decode() for name, data in content(folder).items()}
    files_with = {text: {name for name in files if text in files[name]} for text in (
        "Means of means", "Jane Roe", "BSD-3-Clause", "harbor.example.com:8443",
        "harbor.example.com:8443/demo/the-mean",
        "code.example.com/algotools@1234",
    )}  # fmt: skip
    pipelines = {".github/workflows/ci.yml", ".gitlab-ci.yml"}
    assert files_with == {
        "Means of means": {"README.md", "pyproject.toml", "src/cohort_mean/__init__.py"},
        "Jane Roe": {"README.md", "pyproject.toml", "LICENSE"},
        "BSD-3-Clause": {"README.md", "pyproject.toml"},
        "harbor.example.com:8443": {"README.md", "pyproject.toml", "federation.yaml", *pipelines},
        "harbor.example.com:8443/demo/the-mean": {"README.md", "pyproject.toml", "federation.yaml"},
        "code.example.com/algotools@1234": pipelines,
    }
    assert list(yaml.safe_load(files["federation.yaml"])["images"]) == ["harbor.example.com:8443/demo/the-mean"]


@pytest.mark.parametrize("licence", [*next(q for q in scaffold.read_questions() if q.name == "licence").choices])
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
    assert ("Jane Roe" in text) == (
        licence in {"MIT", "BSD-3-Clause", "none"}
    )  # the other texts do not name the author
    assert text[-2:].count("\n") == 1
