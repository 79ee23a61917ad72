"""``algotools build`` makes an image from a project, tests the image, and labels it."""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
import subprocess
import tarfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest

from algotools import __version__
from algotools.errors import AlgorithmNotFound, EngineError, ImageError
from algotools.image import _steps, build
from algotools.image.build import DOCKERFILE, _read_revision_labels, build_project, get_default_tag, get_local_tag
from algotools.image.names import Label, parse_reference

from ..conftest import ALGORITHMS, AVERAGE, COMMAND, algotools, default_policy, environment
from ..processes import LIMIT, wait_until
from .building import ALL_AT_ONCE, AS_THE_EXAMPLE, CODE, PYTHON_IMAGE, BuiltProject

on_an_engine = pytest.mark.docker


@pytest.fixture
def projects(tmp_path: Path, engine: docker.DockerClient, base_image: str) -> Iterator[Callable[[], BuiltProject]]:
    """Makes small projects. After the test their images are removed, and no image without a name may remain."""
    projects_of_test: list[BuiltProject] = []

    def make() -> BuiltProject:
        mark = f"algotools-test-{uuid.uuid4().hex[:10]}"
        project = BuiltProject(tmp_path / mark, mark, engine, base_image)
        project.write_metadata()
        project.write_steps(ALL_AT_ONCE)
        project.write("src/counting/__init__.py", CODE)
        projects_of_test.append(project)
        return project

    yield make
    for project in projects_of_test:
        dangling = project.list_dangling()
        project.remove()
        assert dangling == []
        assert project.list_leftovers() == []


@pytest.fixture
def project(projects: Callable[[], BuiltProject]) -> BuiltProject:
    return projects()


@pytest.fixture
def example(projects: Callable[[], BuiltProject]) -> BuiltProject:
    """The example's own files, with a mark in its Dockerfile."""
    project = projects()
    shutil.rmtree(project.folder)
    shutil.copytree(AVERAGE, project.folder, ignore=shutil.ignore_patterns("__pycache__"))
    dockerfile = (AVERAGE / "Dockerfile").read_text(encoding="utf-8")
    project.write("Dockerfile", dockerfile.replace("WORKDIR", f"LABEL algotools.test={project.mark}\nWORKDIR"))
    return project


def git(folder: Path, *arguments: str) -> str:
    process = subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return process.stdout.strip()


# Builds that succeed.


@on_an_engine
def test_the_example_is_built_from_its_folder_and_labelled(example: BuiltProject) -> None:
    tag = f"registry.example.org:5000/{example.mark}/average:1"
    git(example.folder, "init", "--quiet")
    git(example.folder, "add", ".")
    git(example.folder, "commit", "--quiet", "-m", "first")
    with default_policy():  # without a policy, nothing is known about the values that left in a trial
        process = algotools("build", "--build-arg", f"BASE_IMAGE={example.base}", "--tag", tag, cwd=example.folder)
        described = json.loads(algotools("describe", str(example.folder), "--json").stdout)
    assert process.returncode == 0, process.stderr
    assert re.fullmatch(rf"{tag}  \d+ MB  \d+\.\d s\n", process.stdout)
    assert "Step 1/" in process.stderr
    assert "Requirement already satisfied: pandas>=2.3" in process.stderr  # the step's own lines
    assert "excluded: " not in process.stderr

    labels = example.client.images.get(tag).labels
    for function in described["functions"]:
        function.pop("trial")  # an image has no data for trial calls
    left = {f["method"]: f.pop("left_in_trial") for f in described["functions"] if "left_in_trial" in f}
    assert [value["path"] for value in left["average_partial"]["values"]] == ["result['sum']", "result['count']"]
    assert json.loads(labels[Label.LEFT_IN_TRIAL]) == left
    packages = json.loads(labels[Label.PACKAGES])
    base = example.client.images.get(example.base)
    assert json.loads(labels[Label.DESCRIPTION]) == described
    assert packages["federated-algotools"] == labels[Label.VERSION] == __version__
    assert re.fullmatch(r"3\.\d+\.\d+", packages["python"])
    assert {"pandas", "numpy", "pyarrow"} <= set(packages)
    assert {name: labels[name] for name in labels if name.startswith("org.opencontainers")} == {
        Label.TITLE: "average",
        Label.DETAILS: "The average of a column over several organizations",
        Label.ALGORITHM_VERSION: "1.0.0",
        Label.LICENSES: "Apache-2.0",
        Label.BASE: example.base,
        Label.BASE_DIGEST: base.id,
        Label.REVISION: git(example.folder, "rev-parse", "HEAD"),
    }
    assert labels[Label.CLEAN] == "true"
    assert labels[Label.GATE] == "1"
    image = example.client.images.get(tag)
    assert image.attrs["Config"]["Cmd"] == ["python", "-m", "algotools"]
    assert not image.attrs["Config"].get("OnBuild")

    again = algotools("build", "--build-arg", f"BASE_IMAGE={example.base}", "--tag", tag, cwd=example.folder)
    assert "nothing has changed" in again.stderr
    assert example.client.images.get(tag).id == image.id


@on_an_engine
def test_a_missing_dockerfile_is_refused_with_that_of_the_example(project: BuiltProject) -> None:
    text = (AVERAGE / "Dockerfile").read_text()
    assert DOCKERFILE.splitlines() == [line for line in text.splitlines() if line and not line.startswith("#")]
    (project.folder / "Dockerfile").unlink()
    message = project.build_badly(64)
    problem = f"{project.folder} has no Dockerfile (it contains: pyproject.toml, src); create one, for example:\n"
    assert message.startswith(problem)
    assert DOCKERFILE in message


@on_an_engine
def test_only_a_change_of_dependencies_installs_packages_again(project: BuiltProject) -> None:
    project.write_steps(AS_THE_EXAMPLE)
    project.write_metadata('dependencies = ["pandas>=2"]')
    first = project.build_well()
    assert "Requirement already satisfied: pandas>=2" in first
    before = project.image
    project.write("src/counting/__init__.py", CODE.replace("The number of rows", "The count of rows"))
    project.write("src/counting/more.py")
    second = project.build_well()
    assert "Requirement" not in second
    after = project.image
    layers = [image.attrs["RootFS"]["Layers"] for image in (before, after)]
    same = len(layers[0]) - 2  # COPY src, and its bytecode
    assert layers[0][:same] == layers[1][:same]
    assert layers[0][same] != layers[1][same]
    assert "The count of rows." in after.labels[Label.DESCRIPTION]
    project.write_metadata('dependencies = ["pandas>=2", "numpy"]')
    assert "Requirement already satisfied: numpy" in project.build_well()
    assert project.image.labels[Label.DESCRIPTION] == after.labels[Label.DESCRIPTION]


@on_an_engine
def test_no_cache_repeats_every_step(project: BuiltProject) -> None:
    project.build_well()
    before = project.image.id
    assert "\n  cached\n" not in project.build_well("--no-cache")
    assert project.image.id != before


@on_an_engine
def test_dependencies_come_from_the_index_of_pip_index_url(project: BuiltProject) -> None:
    project.write_steps(f"ENV PIP_RETRIES=1\n{AS_THE_EXAMPLE}")
    project.write_metadata('dependencies = ["no-such-package-4711"]')
    message = project.build_badly(64, "--build-arg", "PIP_INDEX_URL=http://127.0.0.1:1/simple")
    assert "/simple/no-such-package-4711/" in message
    assert "error (23): pip could not install the dependencies in pyproject.toml: no-such-package-4711" in message


@on_an_engine
def test_a_missing_base_is_built(project: BuiltProject) -> None:
    name = f"algotools-test/python-{project.mark}:1"
    project.client.images.get(PYTHON_IMAGE).tag(name)
    base = f"algotools-base:{__version__}-{name.replace('/', '-').replace(':', '-')}"
    try:
        process = algotools("build", str(project.folder), "--build-arg", f"PYTHON_IMAGE={name}")
        assert process.returncode == 0, process.stderr
        assert f"building the base image {base} from {name}" in process.stderr
        assert project.image.labels[Label.BASE] == base
        assert "not consumed" not in process.stderr
    finally:
        project.remove()
        for tag in (base, name):
            project.client.images.remove(tag)


@on_an_engine
def test_private_files_of_a_project_are_readable_in_the_image(project: BuiltProject) -> None:
    for path in (project.folder / "src", project.folder / "src" / "counting"):
        path.chmod(0o700)
    project.write("src/counting/__init__.py", CODE).chmod(0o600)
    project.build_well()
    assert project.run_inside(
        "import os, json; os.setuid(65534); print(json.dumps(len(open('/app/src/counting/__init__.py').read())))"
    ) == len(CODE)


# Files that are not included.


@on_an_engine
def test_data_files_and_ignored_files_are_not_in_the_image(project: BuiltProject) -> None:
    for name in (
        "data/patients.csv", "data/OLD.CSV", "src/counting/table.parquet", "src/counting/dump.sql.gz", "registry",
        ".git/config", ".venv/bin/python", "notes.txt", "src/counting/codes.csv", "src/counting/a b.csv",
    ):  # fmt: skip
        project.write(name, name)
    project.write("federation.yaml", "organizations: [{name: a, databases: {default: registry}}]")
    project.write(".dockerignore", "notes.txt\n!src\n!src/counting/codes.csv\n")
    process = algotools("build", "--build-arg", f"BASE_IMAGE={project.base}", cwd=project.folder)
    assert process.returncode == 0, process.stderr
    for name in ("data/OLD.CSV", "data/patients.csv", "registry", "src/counting/table.parquet", "src/counting/a b.csv"):
        assert f"excluded: {name} looks like data" in process.stderr
    assert "excluded: notes.txt" not in process.stderr
    files = project.run_inside(
        "import json, os; print(json.dumps([os.path.relpath(os.path.join(f, n), '/app') for f, _, names in "
        "os.walk('/app') for n in names if not n.endswith('.pyc')]))"
    )
    assert set(files) == {
        ".dockerignore", "Dockerfile", "federation.yaml", "pyproject.toml",
        "src/counting/__init__.py", "src/counting/codes.csv",
    }  # fmt: skip


# The revision.


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository" / "project"
    folder.mkdir(parents=True)
    git(folder.parent, "init", "--quiet")
    (folder / "a.py").write_text("a")
    (folder.parent / ".gitignore").write_text("generated.py\n__pycache__\n")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "--quiet", "-m", "first")
    return folder


def test_an_unchanged_working_tree_is_clean(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    (repository.parent / "elsewhere").write_text("outside the project")
    (repository / "__pycache__").mkdir()
    (repository / "__pycache__" / "a.pyc").write_text("ignored, and not in the image")
    assert _read_revision_labels(repository, ["a.py"]) == {Label.REVISION: head, Label.CLEAN: "true"}


@pytest.mark.parametrize("name", ["a.py", "untracked.py", "generated.py"])
def test_a_changed_or_untracked_file_in_the_image_is_not_clean(repository: Path, name: str) -> None:
    (repository / name).write_text("changed")
    assert _read_revision_labels(repository, ["a.py", name])[Label.CLEAN] == "false"


def test_without_repository_commit_or_git_the_labels_are_empty(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_revision = {Label.REVISION: "", Label.CLEAN: ""}
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    empty = tmp_path / "empty"
    empty.mkdir()
    assert _read_revision_labels(empty, []) == no_revision
    git(empty, "init", "--quiet")
    assert _read_revision_labels(empty, []) == no_revision
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _read_revision_labels(repository, []) == no_revision


# Names.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[project]\nname = 'Average_of.Columns'\nversion = '1.0'", "average-of-columns:1.0"),
        ("[project]\nname = 'a'\nversion = '1.0+local.1'", "a:1.0-local.1"),
        ("[project]\nname = 'a'\ndynamic = ['version']", "a:latest"),
        ("", "my-folder:latest"),
    ],
)
def test_the_default_name_is_valid_for_an_image(tmp_path: Path, text: str, expected: str) -> None:
    folder = tmp_path / "_My Folder!"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(text)
    assert get_default_tag(folder) == get_local_tag(folder) == expected
    (folder / "pyproject.toml").write_text(f"{text}\n[tool.algotools]\nimage = 'localhost:5000/demo/it'")
    assert get_default_tag(folder) == f"localhost:5000/demo/it:{expected.partition(':')[2]}"
    assert get_local_tag(folder) == expected


def test_missing_metadata_becomes_empty_labels_that_replace_those_of_the_base(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'a'")
    labels = build._read_project_labels(tmp_path)
    assert (labels[Label.TITLE], labels[Label.LICENSES], labels[Label.DETAILS]) == ("a", "", "")


@on_an_engine
@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("UPPER/case:1", "everything before the tag must be lower case"),
        ("a:b:c", "is not a tag"),
        ("https://registry.example.org/a", "remove https://"),
    ],
)
def test_an_invalid_name_is_refused_before_the_build(project: BuiltProject, tag: str, reason: str) -> None:
    process = project.build("--tag", tag)
    assert process.returncode == 63
    assert reason in process.stderr
    assert "Step" not in process.stderr
    assert project.list_leftovers() == []


@on_an_engine
@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["--tag", "a@sha256:" + "a" * 64], 64, "name the image by a tag"),
        (["--push"], 65, "has no registry to push to"),
        (["--build-arg", "PYTHON_IMAGE"], 2, "'PYTHON_IMAGE' does not have the form NAME=VALUE"),
    ],
)
def test_invalid_options_are_refused_before_the_build(
    project: BuiltProject, arguments: list[str], code: int, reason: str
) -> None:
    process = project.build(*arguments)
    assert (process.returncode, process.stdout) == (code, "")
    assert reason in process.stderr
    assert "Step" not in process.stderr


# Builds that fail: the message has the reason and advice, and nothing remains on the engine.


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    process = algotools("build", str(tmp_path / "nowhere"))
    assert process.returncode == 64
    assert "does not exist; name the folder" in process.stderr


def test_a_missing_pyproject_is_refused(tmp_path: Path) -> None:
    process = algotools("build", cwd=tmp_path)
    assert process.returncode == AlgorithmNotFound.exit_code
    assert f"{tmp_path} has no pyproject.toml; name the folder of a project" in process.stderr


BROKEN = 'from algotools import rpc\n\n\n@rpc\ndef count(**what):\n    """No."""\n'


@on_an_engine
@pytest.mark.parametrize(
    ("steps", "parts"),
    [
        ("RUN echo well && echo '  its own line' && exit 3", ["step 4/", "non-zero code: 3", "\n  its own line\n"]),
        ("RUN echo kept\nRUN printf 'no end of line' && false", ["step 5/", "no end of line"]),
        ("COPY nowhere /app", ["step 4/", "COPY nowhere /app", "file not found"]),
        ("RNU true", ["unknown instruction: RNU"]),
        ("COPY", ["COPY requires at least two arguments"]),
        ("RUN true\nFROM 127.0.0.1:1/no/such:1", ["step 5/", "the engine could not get the image"]),
        (f"{ALL_AT_ONCE}\nUSER nobody", ["the Dockerfile sets USER nobody", "remove USER"]),
        (f"{ALL_AT_ONCE}\nARG LEVEL=off\nENV ALGOTOOLS_POLICY=$LEVEL", ["the image sets ALGOTOOLS_POLICY, but only"]),
        # `test_policy.py` has the other forms of such a setting.
        (f"{ALL_AT_ONCE}\nONBUILD ENV A=1 \\\n  ALGOTOOLS_POLICY=off", ["the image sets ALGOTOOLS_POLICY, but only"]),
        (f'{ALL_AT_ONCE}\nCMD ["python", "-c", "print(1)"]', ["does not start algotools", "CMD and ENTRYPOINT"]),
        (f'{ALL_AT_ONCE}\nENTRYPOINT ["/nowhere"]', ["the image cannot be started", "/nowhere"]),
        ("RUN true", ["error (20): no algorithm is installed", "set ALGOTOOLS_ALGORITHM"]),
    ],
)
def test_a_dockerfile_that_fails_is_explained(project: BuiltProject, steps: str, parts: list[str]) -> None:
    project.write_steps(steps)
    message = project.build_badly(64)
    for part in parts:
        assert part in message


@on_an_engine
def test_an_algorithm_that_cannot_be_loaded_is_refused(project: BuiltProject) -> None:
    """`tests/declare` has all reasons; the build shows the message of any failure."""
    shutil.rmtree(project.folder)
    shutil.copytree(ALGORITHMS / "missing_dependency", project.folder, ignore=shutil.ignore_patterns("__pycache__"))
    project.write_steps(ALL_AT_ONCE)
    message = project.build_badly(64, "--tag", project.tag)
    assert "the image was built, but its algorithm cannot be loaded: error (21): " in message


@on_an_engine
def test_the_new_image_is_tested_without_network_and_may_print_text(project: BuiltProject) -> None:
    project.write(
        "src/counting/__init__.py",
        f"import os\nprint('imported')\nassert os.listdir('/sys/class/net') == ['lo']\n{CODE}",
    )
    project.build_well()
    assert json.loads(project.image.labels[Label.DESCRIPTION])["algorithm"] == "counting"


@on_an_engine
def test_a_volume_of_the_image_is_removed_after_the_build(project: BuiltProject) -> None:
    project.write_steps(f"{ALL_AT_ONCE}\nVOLUME /{project.mark}")
    before = {str(volume.id) for volume in project.client.volumes.list()}
    project.build_well()

    def list_unused() -> list[str]:
        nameless = {str(v.id) for v in project.client.volumes.list() if re.fullmatch("[0-9a-f]{64}", str(v.id))}
        containers = json.dumps(project.client.api.containers(all=True))  # by other users of this engine
        return [name for name in nameless - before if name not in containers]

    wait_until(lambda: not list_unused())  # another user can remove a container between the two lists


@on_an_engine
def test_a_command_that_never_finishes_is_refused(project: BuiltProject, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write_steps(f'{ALL_AT_ONCE}\nCMD ["sleep", "600"]')
    monkeypatch.setattr(build, "TRIAL_TIMEOUT", 1)
    with pytest.raises(ImageError, match="its command did not finish within 1 s"):
        build_project(
            project.client, project.folder, project.tag, lambda _line: None, arguments={"BASE_IMAGE": project.base}
        )
    assert project.list_leftovers() == []


@on_an_engine
def test_an_image_that_is_not_a_base_of_this_version_is_refused(project: BuiltProject) -> None:
    assert "image 127.0.0.1:1/no/such:1 is not on this machine" in project.build_badly(
        63, "--build-arg", "BASE_IMAGE=127.0.0.1:1/no/such:1"
    )
    assert "is not the name of an image" in project.build_badly(63, "--build-arg", "BASE_IMAGE=NO:1")
    assert "is not a base image of algotools" in project.build_badly(64, "--build-arg", f"BASE_IMAGE={PYTHON_IMAGE}")
    other_tag = f"algotools-test/{project.mark}:0.0.1"
    context = project.folder / "other"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    project.client.images.build(
        path=str(context), tag=other_tag, rm=True, forcerm=True, labels={Label.VERSION: "0.0.1"}
    )
    try:
        message = project.build_badly(64, "--build-arg", f"BASE_IMAGE={other_tag}")
    finally:
        project.client.images.remove(other_tag)
    assert f"{other_tag} has algotools 0.0.1, but version {__version__} is installed here" in message
    project.write("Dockerfile", f"FROM {project.base}\nLABEL algotools.test={project.mark}\n{ALL_AT_ONCE}\n")
    assert "has no line ARG BASE_IMAGE; begin the file with:\nARG BASE_IMAGE\n" in project.build_badly(64)
    assert algotools("build", str(project.folder)).returncode == 0


@on_an_engine
def test_a_project_for_another_version_of_algotools_is_refused(project: BuiltProject) -> None:
    project.write_steps(AS_THE_EXAMPLE)
    project.write_metadata('dependencies = ["federated-algotools>=99"]')
    message = project.build_badly(64)
    assert f"has federated-algotools {__version__}, and federated-algotools>=99 must allow this version" in message


@on_an_engine
def test_a_platform_that_this_machine_cannot_run_is_refused(project: BuiltProject) -> None:
    # The header of a program for a rare processor.
    project.write("sh", b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x16\x00" + bytes(200)).chmod(0o755)
    project.write_steps("COPY sh /bin/sh\nRUN true")
    assert "install an emulator" in project.build_badly(64)
    assert "the engine cannot build the image: " in project.build_badly(64, "--platform", "no/such/platform/at/all")


@pytest.mark.parametrize("step", ["", "Step 1/1 : RUN true\n"])
def test_a_full_disk_is_reported_with_advice(step: str) -> None:
    steps = _steps._Steps(lambda _line: None)
    steps.process({"stream": step})
    with pytest.raises(EngineError, match="docker system prune"):
        steps.process({"error": "write /var/lib/docker/x: no space left on device"})


def test_the_stream_of_the_engine_is_split_into_steps_and_lines() -> None:
    lines: list[str] = []
    steps = _steps._Steps(lines.append)
    for text in (
        "Step 1/3 : FROM a\n", " ---> ", "0123456789ab\n", "Step 2/3 : RUN   b \n", " ---> Running in ba9876543210\n",
        "half a li", "ne\nno end", "Removing intermediate container ba9876543210\n", " ---> 1123456789ab\n",
        "Step 3/3 : FROM c\n", " ---> 2123456789ab\n", "Step 4/3 : RUN d\n", " ---> 3123456789ab\n",
        "\x1b[91mred\x1b[0m\n",
    ):  # fmt: skip
        steps.process({"stream": text})
    assert lines == [
        "Step 1/3 : FROM a", "Step 2/3 : RUN b", "  half a line", "  no end", "Step 3/3 : FROM c", "Step 4/3 : RUN d",
        "  red",
    ]  # fmt: skip
    assert steps.unfinished_images == ["1123456789ab", "3123456789ab"]


# Cancellation and concurrent builds.


@contextmanager
def start_build(project: BuiltProject, *until: str) -> Iterator[subprocess.Popen[str]]:
    """Start a build, wait until it has printed the texts ``until``, and yield the process."""
    process = subprocess.Popen(
        [*COMMAND, *project.make_arguments()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert process.stderr is not None
        expected = list(until)
        while expected and (line := process.stderr.readline()):
            if expected[0] in line:
                expected.pop(0)
        assert not expected
        yield process
    finally:
        process.kill()
        process.communicate()


@on_an_engine
@pytest.mark.parametrize(
    ("steps", "until"),
    [
        ("RUN echo one\nRUN echo two; sleep 901", "  two"),
        (f'{ALL_AT_ONCE}\nCMD ["sleep", "902"]', "CMD"),  # the engine still creates the image of this step
        (f'{ALL_AT_ONCE}\nCMD ["sleep", "902"]', "starting the image"),
    ],
)
def test_control_c_stops_the_build_at_once_and_leaves_nothing(project: BuiltProject, steps: str, until: str) -> None:
    project.write_steps(steps)
    with start_build(project, until) as process:
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert stdout == ""
    assert "Traceback" not in stderr
    assert project.list_leftovers() == []


@on_an_engine
def test_two_builds_of_a_project_at_the_same_time_succeed(project: BuiltProject) -> None:
    project.write_steps(f"RUN sleep 1\n{ALL_AT_ONCE}")
    processes: list[subprocess.CompletedProcess[str]] = []
    threads = [threading.Thread(target=lambda: processes.append(project.build())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.returncode for each in processes] == [0, 0], [each.stderr for each in processes]
    assert json.loads(project.image.labels[Label.DESCRIPTION])["algorithm"] == "counting"


@pytest.mark.docker
def test_of_images_that_are_named_at_the_same_time_only_one_remains(engine: docker.DockerClient) -> None:
    name = parse_reference(f"algotools-test-{uuid.uuid4().hex[:10]}:1")
    images = [import_image(engine) for _ in range(8)]
    threads = [threading.Thread(target=_steps._name_image, args=(engine, image, name)) for image in images]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    remaining = [image for image in images if image_exists(engine, image)]
    engine.images.remove(f"{name.name}:{name.version}")
    assert len(remaining) == 1


def import_image(engine: docker.DockerClient) -> str:
    """Import a new image that contains a single file, and return its id."""
    with io.BytesIO() as archive:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo("mark")
            content = uuid.uuid4().bytes
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        return str(json.loads(engine.api.import_image_from_data(archive.getvalue()).splitlines()[-1])["status"])


def image_exists(engine: docker.DockerClient, image: str) -> bool:
    try:
        engine.images.get(image)
    except docker.errors.ImageNotFound:
        return False
    return True


def test_a_missing_engine_is_reported(tmp_path: Path) -> None:
    shutil.copytree(AVERAGE, tmp_path / "average")
    process = algotools("build", str(tmp_path / "average"), variables={"DOCKER_HOST": f"unix://{tmp_path}/no.sock"})
    assert process.returncode == EngineError.exit_code
    assert "no container engine answers" in process.stderr
