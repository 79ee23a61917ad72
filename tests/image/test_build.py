"""``algotools build``: from a project to an image that has been tried, with labels that tell what it is."""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
import subprocess
import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest

from algotools import __version__
from algotools.errors import AlgorithmNotFound, EngineError, ImageError
from algotools.image import labels, reference, steps, trial
from algotools.image import project as project_module
from algotools.image.project import DOCKERFILE, build_project, default_tag, local_tag
from algotools.image.revision import told
from algotools.image.steps import _Steps

from ..conftest import ALGORITHMS, AVERAGE, COMMAND, algotools, environment
from .building import (
    ALL_AT_ONCE,
    AS_THE_EXAMPLE,
    CODE,
    PYTHON_IMAGE,
    Project,
)

on_an_engine = pytest.mark.docker


@pytest.fixture
def projects(tmp_path: Path, engine: docker.DockerClient, base_image: str) -> Iterator[Callable[[], Project]]:
    """Makes small projects; what was built of them is gone after the test, and nothing nameless was left."""
    made: list[Project] = []

    def make() -> Project:
        mark = f"algotools-test-{uuid.uuid4().hex[:10]}"
        project = Project(tmp_path / mark, mark, engine, base_image)
        project.metadata()
        project.steps(ALL_AT_ONCE)
        project.write("src/counting/__init__.py", CODE)
        made.append(project)
        return project

    yield make
    for project in made:
        dangling = project.dangling()
        project.remove()
        assert dangling == []
        assert project.left() == []


@pytest.fixture
def project(projects: Callable[[], Project]) -> Project:
    return projects()


@pytest.fixture
def example(projects: Callable[[], Project]) -> Project:
    """The example's own files, with a mark in its Dockerfile."""
    project = projects()
    shutil.rmtree(project.folder)
    shutil.copytree(AVERAGE, project.folder, ignore=shutil.ignore_patterns("__pycache__"))
    dockerfile = (AVERAGE / "Dockerfile").read_text(encoding="utf-8")
    project.write("Dockerfile", dockerfile.replace("WORKDIR", f"LABEL algotools.test={project.mark}\nWORKDIR"))
    return project


def git(folder: Path, *arguments: str) -> str:
    ended = subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.strip()


# An image that is well.


@on_an_engine
def test_the_example_from_its_folder_to_an_image_that_tells_what_it_is(example: Project) -> None:
    tag = f"registry.example.org:5000/{example.mark}/average:1"
    git(example.folder, "init", "--quiet")
    git(example.folder, "add", ".")
    git(example.folder, "commit", "--quiet", "-m", "first")
    ended = algotools("build", "--build-arg", f"BASE_IMAGE={example.base}", "--tag", tag, cwd=example.folder)
    assert ended.returncode == 0, ended.stderr
    assert re.fullmatch(rf"{tag}  \d+ MB  \d+\.\d s\n", ended.stdout)
    assert "Step 1/" in ended.stderr
    assert "Requirement already satisfied: pandas>=2.3" in ended.stderr  # the step's own lines, as it goes
    assert "left out" not in ended.stderr

    found = example.client.images.get(tag).labels
    described = json.loads(algotools("describe", str(example.folder), "--json").stdout)
    packages = json.loads(found[labels.PACKAGES])
    base = example.client.images.get(example.base)
    assert json.loads(found[labels.DESCRIPTION]) == described
    assert packages["federated-algotools"] == found[labels.VERSION] == __version__
    assert re.fullmatch(r"3\.\d+\.\d+", packages["python"])
    assert {"pandas", "numpy", "pyarrow"} <= set(packages)
    assert {name: found[name] for name in found if name.startswith("org.opencontainers")} == {
        labels.TITLE: "average",
        labels.DETAILS: "The average of a column over several organizations",
        labels.ALGORITHM_VERSION: "1.0.0",
        labels.LICENSES: "Apache-2.0",
        labels.BASE: example.base,
        labels.BASE_DIGEST: base.id,
        labels.REVISION: git(example.folder, "rev-parse", "HEAD"),
    }
    assert found[labels.CLEAN] == "true"
    image = example.client.images.get(tag)
    assert image.attrs["Config"]["Cmd"] == ["python", "-m", "algotools"]
    assert not image.attrs["Config"].get("OnBuild")

    again = algotools("build", "--build-arg", f"BASE_IMAGE={example.base}", "--tag", tag, cwd=example.folder)
    assert "nothing has changed" in again.stderr
    assert example.client.images.get(tag).id == image.id


@on_an_engine
def test_the_dockerfile_that_a_message_offers_is_the_examples(project: Project) -> None:
    shown = [line for line in (AVERAGE / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    assert DOCKERFILE.splitlines() == shown
    (project.folder / "Dockerfile").unlink()
    said = project.refused(64)
    assert said.startswith(f"{project.folder} has no Dockerfile (it has: pyproject.toml, src); this one will do:\n")
    assert DOCKERFILE in said


@on_an_engine
def test_a_change_of_code_installs_and_downloads_nothing_and_a_change_of_dependencies_does(project: Project) -> None:
    project.steps(AS_THE_EXAMPLE)
    project.metadata('dependencies = ["pandas>=2"]')
    first = project.built()
    assert "Requirement already satisfied: pandas>=2" in first
    before = project.image
    project.write("src/counting/__init__.py", CODE.replace("How many rows", "The number of rows"))
    project.write("src/counting/more.py")
    second = project.built()
    assert "Requirement" not in second
    after = project.image
    layers = [image.attrs["RootFS"]["Layers"] for image in (before, after)]
    same = len(layers[0]) - 2  # COPY src, and its bytecode
    assert layers[0][:same] == layers[1][:same]
    assert layers[0][same] != layers[1][same]
    assert "The number of rows there are." in after.labels[labels.DESCRIPTION]
    project.metadata('dependencies = ["pandas>=2", "numpy"]')
    assert "Requirement already satisfied: numpy" in project.built()
    assert project.image.labels[labels.DESCRIPTION] == after.labels[labels.DESCRIPTION]


@on_an_engine
def test_no_cache_does_every_step_anew(project: Project) -> None:
    project.built()
    before = project.image.id
    assert "as before" not in project.built("--no-cache")
    assert project.image.id != before


@on_an_engine
def test_a_dependency_comes_from_the_index_that_is_named(project: Project) -> None:
    project.steps(f"ENV PIP_RETRIES=1\n{AS_THE_EXAMPLE}")
    project.metadata('dependencies = ["no-such-package-4711"]')
    said = project.refused(64, "--build-arg", "PIP_INDEX_URL=http://127.0.0.1:1/simple")
    assert "/simple/no-such-package-4711/" in said
    assert "error (23): pip could not install what pyproject.toml depends on: no-such-package-4711" in said


@on_an_engine
def test_the_base_is_made_when_it_is_needed(project: Project) -> None:
    name = f"algotools-test/python-{project.mark}:1"
    project.client.images.get(PYTHON_IMAGE).tag(name)
    made = f"algotools-base:{__version__}-{name.replace('/', '-').replace(':', '-')}"
    try:
        ended = algotools("build", str(project.folder), "--build-arg", f"PYTHON_IMAGE={name}")
        assert ended.returncode == 0, ended.stderr
        assert f"making the base image {made} from {name}" in ended.stderr
        assert project.image.labels[labels.BASE] == made
        assert "not consumed" not in ended.stderr
    finally:
        project.remove()
        for tag in (made, name):
            project.client.images.remove(tag)


@on_an_engine
def test_a_project_that_its_owner_alone_may_read_is_readable_in_the_image(project: Project) -> None:
    for path in (project.folder / "src", project.folder / "src" / "counting"):
        path.chmod(0o700)
    project.write("src/counting/__init__.py", CODE).chmod(0o600)
    project.built()
    assert project.inside(
        "import os, json; os.setuid(65534); print(json.dumps(len(open('/app/src/counting/__init__.py').read())))"
    ) == len(CODE)


# What does not get in.


@on_an_engine
def test_data_and_what_is_ignored_never_get_into_the_image(project: Project) -> None:
    for name in (
        "data/patients.csv", "data/OLD.CSV", "src/counting/table.parquet", "src/counting/dump.sql.gz", "registry",
        ".git/config", ".venv/bin/python", "notes.txt", "src/counting/codes.csv", "src/counting/a b.csv",
    ):  # fmt: skip
        project.write(name, name)
    project.write("federation.yaml", "organizations: [{name: a, databases: {default: registry}}]")
    project.write(".dockerignore", "notes.txt\n!src\n!src/counting/codes.csv\n")
    ended = algotools("build", "--build-arg", f"BASE_IMAGE={project.base}", cwd=project.folder)
    assert ended.returncode == 0, ended.stderr
    for name in ("data/OLD.CSV", "data/patients.csv", "registry", "src/counting/table.parquet", "src/counting/a b.csv"):
        assert f"left out: {name} looks like data" in ended.stderr
    assert "left out: notes.txt" not in ended.stderr
    inside = project.inside(
        "import json, os; print(json.dumps([os.path.relpath(os.path.join(f, n), '/app') for f, _, names in "
        "os.walk('/app') for n in names if not n.endswith('.pyc')]))"
    )
    assert set(inside) == {
        ".dockerignore", "Dockerfile", "federation.yaml", "pyproject.toml",
        "src/counting/__init__.py", "src/counting/codes.csv",
    }  # fmt: skip


# Which revision it is.


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


def test_a_clean_tree(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    (repository.parent / "elsewhere").write_text("not of this project")
    (repository / "__pycache__").mkdir()
    (repository / "__pycache__" / "a.pyc").write_text("ignored, and in no image")
    assert told(repository, ["a.py"]) == {labels.REVISION: head, labels.CLEAN: "true"}


@pytest.mark.parametrize("name", ["a.py", "untracked.py", "generated.py"])
def test_a_tree_that_is_not_what_its_revision_says(repository: Path, name: str) -> None:
    (repository / name).write_text("changed")
    assert told(repository, ["a.py", name])[labels.CLEAN] == "false"


def test_no_repository_no_commit_no_git(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = {labels.REVISION: "", labels.CLEAN: ""}
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    empty = tmp_path / "empty"
    empty.mkdir()
    assert told(empty, []) == nothing
    git(empty, "init", "--quiet")
    assert told(empty, []) == nothing
    monkeypatch.setenv("PATH", str(tmp_path))
    assert told(repository, []) == nothing


# How it is called.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[project]\nname = 'Average_of.Columns'\nversion = '1.0'", "average-of-columns:1.0"),
        ("[project]\nname = 'a'\nversion = '1.0+local.1'", "a:1.0-local.1"),
        ("[project]\nname = 'a'\ndynamic = ['version']", "a:latest"),
        ("", "my-folder:latest"),
    ],
)
def test_the_default_name_is_one_that_an_image_can_have(tmp_path: Path, text: str, expected: str) -> None:
    folder = tmp_path / "_My Folder!"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(text)
    assert default_tag(folder) == local_tag(folder) == expected
    (folder / "pyproject.toml").write_text(f"{text}\n[tool.algotools]\nimage = 'localhost:5000/demo/it'")
    assert default_tag(folder) == f"localhost:5000/demo/it:{expected.partition(':')[2]}"
    assert local_tag(folder) == expected


def test_what_a_project_does_not_say_is_empty_so_that_the_bases_own_does_not_shine_through(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'a'")
    told = project_module._told_of_project(tmp_path)
    assert (told[labels.TITLE], told[labels.LICENSES], told[labels.DETAILS]) == ("a", "", "")


@on_an_engine
@pytest.mark.parametrize(
    ("tag", "why"),
    [
        ("UPPER/case:1", "all but the tag is written in lower case"),
        ("a:b:c", "is no tag"),
        ("https://registry.example.org/a", "leave https:// off"),
    ],
)
def test_a_name_that_no_image_can_have_is_refused_first(project: Project, tag: str, why: str) -> None:
    ended = project.build("--tag", tag)
    assert ended.returncode == 63
    assert why in ended.stderr
    assert "Step" not in ended.stderr
    assert project.left() == []


@on_an_engine
@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["--tag", "a@sha256:" + "a" * 64], 64, "give it a tag"),
        (["--push"], 65, "names no registry to push to"),
        (["--build-arg", "PYTHON_IMAGE"], 64, "--build-arg takes NAME=VALUE, not 'PYTHON_IMAGE'"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_built(
    project: Project, arguments: list[str], code: int, why: str
) -> None:
    ended = project.build(*arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert why in ended.stderr
    assert "Step" not in ended.stderr


# What fails: with its reason and a way out, and with nothing left behind.


def test_no_folder(tmp_path: Path) -> None:
    ended = algotools("build", str(tmp_path / "nowhere"))
    assert ended.returncode == 64
    assert "there is no folder" in ended.stderr


def test_no_metadata(tmp_path: Path) -> None:
    ended = algotools("build", cwd=tmp_path)
    assert ended.returncode == AlgorithmNotFound.exit_code
    assert "pyproject.toml cannot be read" in ended.stderr


BROKEN = 'from algotools import rpc\n\n\n@rpc\ndef count(**what):\n    """No."""\n'


@on_an_engine
@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("RUN echo well && echo '  its own line' && exit 3", ["step 4/", "non-zero code: 3", "\n  its own line\n"]),
        ("RUN echo kept\nRUN printf 'no end of line' && false", ["step 5/", "no end of line"]),
        ("COPY nowhere /app", ["step 4/", "COPY nowhere /app", "file not found"]),
        ("RNU true", ["unknown instruction: RNU"]),
        ("COPY", ["COPY requires at least two arguments"]),
        ("RUN true\nFROM 127.0.0.1:1/no/such:1", ["step 5/", "the engine could not get that image"]),
        (f"{ALL_AT_ONCE}\nUSER nobody", ["the Dockerfile says USER nobody", "leave USER out"]),
        (f'{ALL_AT_ONCE}\nCMD ["python", "-c", "print(1)"]', ["does not start algotools", "CMD and ENTRYPOINT"]),
        (f'{ALL_AT_ONCE}\nENTRYPOINT ["/nowhere"]', ["the image cannot be started", "/nowhere"]),
        ("RUN true", ["error (20): no algorithm is installed", "set ALGOTOOLS_ALGORITHM"]),
    ],
)
def test_a_dockerfile_that_fails(project: Project, steps: str, said: list[str]) -> None:
    project.steps(steps)
    message = project.refused(64)
    for words in said:
        assert words in message


@on_an_engine
@pytest.mark.parametrize(
    ("algorithm", "said"),
    [
        ("needs_what_is_missing", "error (21): "),
        ("declares_wrongly", "error (22): "),
        ("exits_at_import", "error (21): "),
        ("registers_nothing", "error (20): "),
    ],
)
def test_an_algorithm_that_cannot_start_is_found_here(project: Project, algorithm: str, said: str) -> None:
    shutil.rmtree(project.folder)
    shutil.copytree(ALGORITHMS / algorithm, project.folder, ignore=shutil.ignore_patterns("__pycache__"))
    project.steps(ALL_AT_ONCE)
    message = project.refused(64, "--tag", project.tag)
    assert f"the image was built, and its algorithm cannot be loaded in it: {said}" in message


@on_an_engine
def test_the_trial_has_no_network_and_what_the_algorithm_prints_is_no_description(project: Project) -> None:
    project.write(
        "src/counting/__init__.py",
        f"import os\nprint('imported')\nassert os.listdir('/sys/class/net') == ['lo']\n{CODE}",
    )
    project.built()
    assert json.loads(project.image.labels[labels.DESCRIPTION])["algorithm"] == "counting"


@on_an_engine
def test_a_volume_that_the_image_declares_is_not_left(project: Project) -> None:
    project.steps(f"{ALL_AT_ONCE}\nVOLUME /{project.mark}")
    before = {str(volume.id) for volume in project.client.volumes.list()}
    project.built()
    nameless = {str(v.id) for v in project.client.volumes.list() if re.fullmatch("[0-9a-f]{64}", str(v.id))}
    used = json.dumps(project.client.api.containers(all=True))  # by somebody else, who works on this engine, too
    assert [name for name in nameless - before if name not in used] == []


@on_an_engine
def test_an_image_that_never_comes_to_an_end(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.steps(f'{ALL_AT_ONCE}\nCMD ["sleep", "600"]')
    monkeypatch.setattr(trial, "LIMIT", 1)
    with pytest.raises(ImageError, match="its command did not come to an end within 1 s"):
        build_project(
            project.client, project.folder, project.tag, lambda _line: None, arguments={"BASE_IMAGE": project.base}
        )
    assert project.left() == []


@on_an_engine
def test_a_base_that_is_none_or_is_of_another_version(project: Project) -> None:
    assert "there is no image 127.0.0.1:1/no/such:1 here" in project.refused(
        63, "--build-arg", "BASE_IMAGE=127.0.0.1:1/no/such:1"
    )
    assert "is not a name of an image" in project.refused(63, "--build-arg", "BASE_IMAGE=NO:1")
    assert "was not made from Dockerfile.base" in project.refused(64, "--build-arg", f"BASE_IMAGE={PYTHON_IMAGE}")
    other = f"algotools-test/{project.mark}:0.0.1"
    context = project.folder / "other"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    project.client.images.build(path=str(context), tag=other, rm=True, forcerm=True, labels={labels.VERSION: "0.0.1"})
    try:
        said = project.refused(64, "--build-arg", f"BASE_IMAGE={other}")
    finally:
        project.client.images.remove(other)
    assert f"{other} has algotools 0.0.1, and you test with {__version__}" in said
    project.write("Dockerfile", f"FROM {project.base}\nLABEL algotools.test={project.mark}\n{ALL_AT_ONCE}\n")
    assert "has no line ARG BASE_IMAGE; begin it with:\nARG BASE_IMAGE\n" in project.refused(64)
    assert algotools("build", str(project.folder)).returncode == 0


@on_an_engine
def test_a_project_for_another_version_of_algotools(project: Project) -> None:
    project.steps(AS_THE_EXAMPLE)
    project.metadata('dependencies = ["federated-algotools>=99"]')
    said = project.refused(64)
    assert f"has federated-algotools {__version__}, and federated-algotools>=99 must allow for it" in said


@on_an_engine
def test_a_platform_that_this_machine_cannot_run(project: Project) -> None:
    # The head of a program for a processor that hardly anybody has.
    project.write("sh", b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x16\x00" + bytes(200)).chmod(0o755)
    project.steps("COPY sh /bin/sh\nRUN true")
    assert "install an emulator" in project.refused(64)
    assert "the engine does not build this: " in project.refused(64, "--platform", "no/such/platform/at/all")


@pytest.mark.parametrize("step", ["", "Step 1/1 : RUN true\n"])
def test_a_full_disk_is_said_with_a_way_out(step: str) -> None:
    steps = _Steps(lambda _line: None)
    steps.take({"stream": step})
    with pytest.raises(EngineError, match="docker system prune"):
        steps.take({"error": "write /var/lib/docker/x: no space left on device"})


def test_progress_is_read_as_the_engine_writes_it() -> None:
    lines: list[str] = []
    steps = _Steps(lines.append)
    for text in (
        "Step 1/3 : FROM a\n", " ---> ", "0123456789ab\n", "Step 2/3 : RUN   b \n", " ---> Running in ba9876543210\n",
        "half a li", "ne\nno end", "Removing intermediate container ba9876543210\n", " ---> 1123456789ab\n",
        "Step 3/3 : FROM c\n", " ---> 2123456789ab\n", "Step 4/3 : RUN d\n", " ---> 3123456789ab\n",
        "\x1b[91mred\x1b[0m\n",
    ):  # fmt: skip
        steps.take({"stream": text})
    assert lines == [
        "Step 1/3 : FROM a", "Step 2/3 : RUN b", "  half a line", "  no end", "Step 3/3 : FROM c", "Step 4/3 : RUN d",
        "  red",
    ]  # fmt: skip
    assert steps.unfinished == ["1123456789ab", "3123456789ab"]


# From outside.


@contextmanager
def building(project: Project, *until: str) -> Iterator[subprocess.Popen[str]]:
    """A build that goes on, and has told so far what is waited for."""
    process = subprocess.Popen(
        [*COMMAND, *project.arguments()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert process.stderr is not None
        waiting = list(until)
        while waiting and (line := process.stderr.readline()):
            if waiting[0] in line:
                waiting.pop(0)
        assert not waiting
        yield process
    finally:
        process.kill()
        process.communicate()


@on_an_engine
@pytest.mark.parametrize(
    ("steps", "until"),
    [
        ("RUN echo one\nRUN echo two; sleep 301", "  two"),
        (f'{ALL_AT_ONCE}\nCMD ["sleep", "302"]', "CMD"),
    ],
)
def test_control_c_ends_it_at_once_and_leaves_nothing(project: Project, steps: str, until: str) -> None:
    project.steps(steps)
    with building(project, until) as process:
        time.sleep(1)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - started < 10
    assert stdout == ""
    assert "Traceback" not in stderr
    assert project.left() == []


@on_an_engine
def test_two_builds_of_a_project_at_the_same_time(project: Project) -> None:
    project.steps(f"RUN sleep 1\n{ALL_AT_ONCE}")
    ended: list[subprocess.CompletedProcess[str]] = []
    threads = [threading.Thread(target=lambda: ended.append(project.build())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.returncode for each in ended] == [0, 0], [each.stderr for each in ended]
    assert json.loads(project.image.labels[labels.DESCRIPTION])["algorithm"] == "counting"


@pytest.mark.docker
def test_of_images_that_get_one_name_at_the_same_time_only_the_last_stays(engine: docker.DockerClient) -> None:
    name = reference.parse(f"algotools-test-{uuid.uuid4().hex[:10]}:1")
    images = [imported(engine) for _ in range(8)]
    threads = [threading.Thread(target=steps._name, args=(engine, image, name)) for image in images]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = [image for image in images if there(engine, image)]
    engine.images.remove(f"{name.name}:{name.version}")
    assert len(left) == 1


def imported(engine: docker.DockerClient) -> str:
    """A new image with nothing but a file."""
    with io.BytesIO() as archive:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo("mark")
            content = uuid.uuid4().bytes
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        return str(json.loads(engine.api.import_image_from_data(archive.getvalue()).splitlines()[-1])["status"])


def there(engine: docker.DockerClient, image: str) -> bool:
    try:
        engine.images.get(image)
    except docker.errors.ImageNotFound:
        return False
    return True


def test_without_an_engine_it_says_so(tmp_path: Path) -> None:
    shutil.copytree(AVERAGE, tmp_path / "average")
    ended = algotools("build", str(tmp_path / "average"), variables={"DOCKER_HOST": f"unix://{tmp_path}/no.sock"})
    assert ended.returncode == EngineError.exit_code
    assert "no container engine answers" in ended.stderr
