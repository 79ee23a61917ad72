"""One fault at a time in what surrounds the functions: just its rule is found, at its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from algotools import __version__
from algotools.check import check, whole
from algotools.check.child import Outcome

from .conftest import add, replace

Seed = Callable[[Path], object]
SOURCE = "src/average/algorithm.py"
INSTALL = "RUN python -m algotools.packaging install\n"
ENV = "ENV ALGOTOOLS_ALGORITHM=/app\n"


class Quiet:
    """A child with nothing to say: these faults are none of the functions'."""

    def __init__(self, what: str, seconds: float) -> None:
        self.what = what

    def outcome(self, named_in: str) -> Outcome:
        return Outcome("average", [], 2, 2)

    def cancel(self) -> None:
        """There is nothing to end."""


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "Child", Quiet)


def toml(old: str, new: str) -> Seed:
    return lambda project: replace(project / "pyproject.toml", old, new)


def depends(requirement: str) -> Seed:
    return toml("pandas>=2.3", requirement)


def dockerfile(old: str, new: str) -> Seed:
    return lambda project: replace(project / "Dockerfile", old, new)


def federation(old: str, new: str) -> Seed:
    return lambda project: replace(project / "federation.yaml", old, new)


def importing(line: str) -> Seed:
    return lambda project: replace(project / SOURCE, "import pandas as pd\n", f"{line}\nimport pandas as pd\n")


def ignored(*lines: str) -> Seed:
    return lambda project: (project / ".dockerignore").write_text("".join(f"{line}\n" for line in lines))


def both(*seeds: Seed) -> Seed:
    return lambda project: [seed(project) for seed in seeds]


IMAGE_LINE = '[tool.algotools]\nimage = "{}"\n\n[tool.pytest.ini_options]'


def image(name: str) -> Seed:
    def seed(project: Path) -> None:
        text = (project / "pyproject.toml").read_text()
        kept = "\n".join(line for line in text.splitlines() if not line.startswith(("[tool.algotools]", "image =")))
        (project / "pyproject.toml").write_text(kept)
        replace(project / "pyproject.toml", "[tool.pytest.ini_options]", IMAGE_LINE.format(name))

    return seed


FAULTS: dict[str, tuple[Seed, str, str]] = {
    "no pyproject": (lambda p: (p / "pyproject.toml").unlink(), "no-pyproject", "pyproject.toml"),
    "no toml": (toml("[project]", "[project"), "no-pyproject", "pyproject.toml"),
    "no entry point": (toml('average = "average"\n', ""), "no-entry-point", "pyproject.toml"),
    "other group": (toml("algotools.algorithms", "algotools.algorithm"), "no-entry-point", "pyproject.toml"),
    "two entry points": (toml('average = "average"\n', 'a = "average"\nb = "average"\n'), "no-entry-point",
                         "pyproject.toml"),
    "entry point is a number": (toml('average = "average"', "average = 3"), "no-entry-point", "pyproject.toml"),
    "old python only": (toml('">=3.10"', '">=3.10,<3.13"'), "requires-python", "pyproject.toml"),
    "impossible python": (toml('">=3.10"', '">=3.12,<3.11"'), "requires-python", "pyproject.toml"),
    "unreadable python": (toml('">=3.10"', '"3.10+"'), "requires-python", "pyproject.toml"),
    "no image name": (image("Registry.example.org/Average"), "image-name", "pyproject.toml"),
    "image with a tag": (image("registry.example.org/demo/average:1.0"), "image-name", "pyproject.toml"),
    "image with a scheme": (image("https://registry.example.org/average"), "image-name", "pyproject.toml"),
    "requirement with a typo": (depends("pandas>>2"), "bad-requirement", "pyproject.toml"),
    "a requirements file": (depends("-r requirements.txt"), "bad-requirement", "pyproject.toml"),
    "dependencies as a text": (toml('["pandas>=2.3"]', '"pandas"'), "bad-requirement", "pyproject.toml"),
    "dynamic dependencies": (toml('dependencies = ["pandas>=2.3"]', 'dynamic = ["dependencies"]'),
                             "dynamic-dependencies", "pyproject.toml"),
    "the other algotools": (depends('pandas>=2.3", "algotools>=1'), "foreign-algotools", "pyproject.toml"),
    "another version of ours": (depends('pandas>=2.3", "federated-algotools>=99'), "other-algotools",
                                "pyproject.toml"),
    "an undeclared import": (importing("import yaml"), "undeclared-dependency", SOURCE),
    "an undeclared import in a function": (
        lambda p: replace(p / SOURCE, "    count = sum(", "    import requests\n    count = sum("),
        "undeclared-dependency", SOURCE),
    "an undeclared import in a helper": (
        lambda p: (add(p / "src/average/helper.py", "from rich.table import Table\n"),
                   importing("from . import helper")(p)),
        "undeclared-dependency", "src/average/helper.py"),
    "no dockerfile": (lambda p: (p / "Dockerfile").unlink(), "no-dockerfile", "Dockerfile"),
    "empty dockerfile": (lambda p: (p / "Dockerfile").write_text("# nothing\n"), "dockerfile-syntax", "Dockerfile"),
    "no instruction": (dockerfile("WORKDIR /app", "WORKDIR /app\nCOPPY src ./src"), "dockerfile-syntax", "Dockerfile"),
    "a mount": (dockerfile("RUN python -m comp", "RUN --mount=type=cache,target=/c python -m comp"),
                "dockerfile-syntax", "Dockerfile"),
    "copy with a mode": (dockerfile("COPY src", "COPY --chmod=755 src"), "dockerfile-syntax", "Dockerfile"),
    "a heredoc": (dockerfile("RUN python -m compileall -q src", "RUN <<EOF\npython -m compileall -q src\nEOF"),
                  "dockerfile-syntax", "Dockerfile"),
    "copy to nowhere": (dockerfile("RUN python -m comp", "COPY src\nRUN python -m comp"), "dockerfile-syntax",
                        "Dockerfile"),
    "a FROM with a name but no AS": (dockerfile("FROM ${BASE_IMAGE}", "FROM ${BASE_IMAGE} app"),
                                     "dockerfile-syntax", "Dockerfile"),
    "a variable without a value": (dockerfile("WORKDIR /app", "ENV X\nWORKDIR /app"), "dockerfile-syntax",
                                   "Dockerfile"),
    "another base": (dockerfile("FROM ${BASE_IMAGE}", "FROM python:3.13-slim"), "other-base", "Dockerfile"),
    "a base without ARG": (dockerfile("ARG BASE_IMAGE\n", ""), "other-base", "Dockerfile"),
    "ARG behind FROM": (dockerfile("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n", "FROM ${BASE_IMAGE}\nARG BASE_IMAGE\n"),
                        "other-base", "Dockerfile"),
    "the last stage has another base": (lambda p: add(
        p / "Dockerfile", "FROM python:3.13 AS other\nCOPY --from=0 /app /app\nENV ALGOTOOLS_ALGORITHM=/app\n"),
        "other-base", "Dockerfile"),
    "another command": (lambda p: add(p / "Dockerfile", 'CMD ["python", "-m", "average"]\n'), "other-entry-point",
                        "Dockerfile"),
    "an entry point in a shell": (lambda p: add(p / "Dockerfile", "ENTRYPOINT python -m algotools\n"),
                                  "other-entry-point", "Dockerfile"),
    "single quotes": (lambda p: add(p / "Dockerfile", "CMD ['python', '-m', 'algotools']\n"), "other-entry-point",
                      "Dockerfile"),
    "a user": (lambda p: add(p / "Dockerfile", "USER 1000:1000\n"), "user", "Dockerfile"),
    "a user in the stage below": (
        lambda p: (replace(p / "Dockerfile", "FROM ${BASE_IMAGE}\n", "FROM ${BASE_IMAGE} AS app\n"),
                   replace(p / "Dockerfile", "WORKDIR /app", "WORKDIR /app\nUSER nobody"),
                   add(p / "Dockerfile", "FROM app\n")),
        "user", "Dockerfile"),
    "no algorithm": (dockerfile(ENV, ""), "no-algorithm", "Dockerfile"),
    "an algorithm elsewhere": (dockerfile(ENV, "ENV ALGOTOOLS_ALGORITHM=/application\n"), "no-algorithm",
                               "Dockerfile"),
    "a module that is not installed": (dockerfile(ENV, "ENV PKG_NAME=average\n"), "no-algorithm", "Dockerfile"),
    "requirements of a file, and no project": (
        both(dockerfile(INSTALL, "RUN pip install -r /app/requirements.txt\n"), dockerfile(ENV, "")),
        "no-algorithm", "Dockerfile"),
    "another module": (dockerfile(ENV, "ENV PKG_NAME=averages\n"), "no-algorithm", "Dockerfile"),
    "the folder is forgotten": (dockerfile("WORKDIR /app\n", ""), "no-algorithm", "Dockerfile"),
    "sources not copied": (dockerfile("COPY src ./src\n", ""), "not-copied", "Dockerfile"),
    "sources in another folder": (dockerfile("COPY src ./src\n", "COPY src ./source\n"), "not-copied", "Dockerfile"),
    "contents in place of the folder": (dockerfile("COPY src ./src\n", "COPY src .\n"), "not-copied", "Dockerfile"),
    "pyproject not copied": (both(dockerfile("COPY pyproject.toml ./\n", ""),
                                  dockerfile(INSTALL, "RUN pip install pandas\n")),
                             "not-copied", "Dockerfile"),
    "pyproject copied too late": (
        dockerfile(f"COPY pyproject.toml ./\n{INSTALL}", f"{INSTALL}COPY pyproject.toml ./\n"),
        "not-copied", "Dockerfile"),
    "a source that is not there": (dockerfile("COPY src ./src\n", "COPY src ./src\nCOPY models ./models\n"),
                                   "copies-nothing", "Dockerfile"),
    "an ignored source": (dockerfile("COPY src ./src\n", "COPY src ./src\nCOPY README.md ./\n"), "copies-nothing",
                          "Dockerfile"),
    "sources that are ignored": (ignored("*", "!pyproject.toml"), "copies-nothing", "Dockerfile"),
    "a folder of data": (
        both(ignored("*", "!pyproject.toml", "!src", "!data", "data/org2*", "data/org3*", "data/*_other.csv"),
             dockerfile("COPY src ./src\n", "COPY src ./src\nCOPY data ./data\n")), "data-in-image", "data/org1.csv"),
    "dependencies not installed": (dockerfile(INSTALL, ""), "dependencies-not-installed", "Dockerfile"),
    "data in the sources": (lambda p: (p / "src/average/codes.csv").write_text("code\n1\n"), "data-in-image",
                            "src/average/codes.csv"),
    "pickled data": (lambda p: (p / "src/average/model.pkl").write_bytes(b"x"), "data-in-image",
                     "src/average/model.pkl"),
    "a federation that is no yaml": (federation("organizations:", "organizations: ["), "federation-file",
                                     "federation.yaml"),
    "a federation with a misspelt key": (federation("databases:", "database:"), "federation-file", "federation.yaml"),
    "no organizations": (lambda p: (p / "federation.yaml").write_text("organizations: []\n"), "federation-file",
                         "federation.yaml"),
    "data that is not there": (federation("data/org2.csv", "data/org22.csv"), "missing-data", "federation.yaml"),
}  # fmt: skip
"""What it is called -> how it gets in, the rule, the file."""


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_by_its_rule_alone(name: str, project: Path) -> None:
    seed, rule, file = FAULTS[name]
    seed(project)
    findings = check(project).findings
    assert [(finding.rule, finding.file) for finding in findings] == [(rule, file)]
    assert str(project) not in findings[0].reason + findings[0].way_out


def test_the_line_is_that_of_the_fault(project: Path) -> None:
    add(project / "Dockerfile", "USER nobody\n")
    replace(project / "federation.yaml", "data/org2.csv", "data/org22.csv")
    dockerfile, federation = check(project).findings
    lines = (project / "Dockerfile").read_text().splitlines()
    assert lines[(dockerfile.line or 0) - 1] == "USER nobody"
    assert "org22" in (project / "federation.yaml").read_text().splitlines()[(federation.line or 0) - 1]


FINE: dict[str, Seed] = {
    "an entry point of our own": lambda p: add(p / "Dockerfile", 'ENTRYPOINT ["python", "-m", "algotools"]\n'),
    "entry point and command": lambda p: add(p / "Dockerfile", 'ENTRYPOINT ["python"]\nCMD ["-m", "algotools"]\n'),
    "no entry point, and our command": lambda p: add(
        p / "Dockerfile", 'ENTRYPOINT []\nCMD ["python", "-m", "algotools"]\n'),
    "an init": lambda p: add(p / "Dockerfile", 'ENTRYPOINT ["tini", "--", "python", "-m", "algotools"]\n'),
    "a user and back": lambda p: add(p / "Dockerfile", "USER nobody\nUSER root\n"),
    "pip installs the project": both(
        dockerfile(INSTALL, ""), dockerfile("RUN python -m compileall -q src", "RUN pip install --no-cache-dir ."),
        dockerfile(ENV, "ENV PKG_NAME=average\n")),
    "pip installs the project, and it is the only one": both(
        dockerfile("RUN python -m compileall -q src", "RUN pip install ."), dockerfile(ENV, "")),
    "dynamic dependencies of a project that is installed": both(
        toml('dependencies = ["pandas>=2.3"]', 'dynamic = ["dependencies"]'),
        dockerfile(INSTALL, ""), dockerfile("RUN python -m compileall -q src", "RUN pip install /app")),
    "a stage that builds": both(
        dockerfile("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n",
                   "ARG BASE_IMAGE\nFROM python:3.13 AS build\nCOPY src /code/src\nUSER nobody\nFROM $BASE_IMAGE\n"),
        dockerfile("COPY src ./src\n", "COPY --from=build /code/src ./src\n")),
    "everything at once": both(
        dockerfile("COPY src ./src\n", ""), dockerfile("COPY pyproject.toml ./\n", "COPY . .\n")),
    "globs": both(dockerfile("COPY pyproject.toml ./\n", "COPY py*.toml ./\n")),
    "json": both(dockerfile("COPY pyproject.toml ./\n", 'COPY ["pyproject.toml", "/app/"]\n')),
    "a variable": both(dockerfile("WORKDIR /app", "ARG PLACE=/opt/it\nENV HERE=${PLACE}\nWORKDIR $HERE"),
                       dockerfile(ENV, "ENV ALGOTOOLS_ALGORITHM=${HERE}\n")),
    "a base of one's own by default": dockerfile("ARG BASE_IMAGE", "ARG BASE_IMAGE=registry.example.org/base:1"),
    "the sources beside": both(dockerfile("COPY src ./src\n", "COPY src ./\n"), dockerfile("-q src", "-q average"),
                               dockerfile(ENV, "ENV ALGOTOOLS_ALGORITHM=average\n")),
    "no slash": dockerfile("COPY pyproject.toml ./\n", "COPY pyproject.toml /app\n"),
    "a data file that is meant": lambda p: (
        (p / "src/average/codes.csv").write_text("code\n1\n"), add(p / ".dockerignore", "!src/average/codes.csv\n")),
    "a data file that is left out": lambda p: (
        (p / "src/average/codes.csv").write_text("code\n1\n"), add(p / ".dockerignore", "**/*.csv\n")),
    "data that no line copies": ignored("**/__pycache__"),
    "a comment within an instruction": dockerfile(
        "RUN python -m compileall -q src", "RUN python -m compileall \\\n  # quietly\n  -q src"),
    "shifts are no heredocs": dockerfile("RUN python -m comp", "RUN echo $((1<<2)) && python -m comp"),
    "a hard-coded base": dockerfile("FROM ${BASE_IMAGE}", "FROM registry.example.org/demo/algotools-base:0.1.0"),
    "no federation": lambda p: (p / "federation.yaml").unlink(),
    "a database on a server": federation("data/org2.csv", "postgresql://server/db"),
    "an optional import": importing(
        "try:\n    import yaml\nexcept ImportError:\n    yaml = None"),
    "an import for type checkers": importing(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import yaml\n"),
    "an import for an old python": importing(
        "import sys\nif sys.version_info < (3, 11):\n    import tomli\n"),
    "numpy, which the base promises": importing("import numpy as np"),
    "what a dependency brings along": importing("import dateutil.parser"),
    "a distribution of another name": both(
        depends('pandas>=2.3", "PyYAML >= 6 ; python_version > \'3.9\''),
        importing("import yaml")),
    "a dependency that is not installed here": both(
        depends('pandas>=2.3", "scikit-unheard-of[all]~=1.0'),
        lambda p: replace(p / SOURCE, "    count = sum(", "    import skunheard\n    count = sum(")),
    "a script that no task runs": lambda p: add(p / "src/average/__main__.py", "import rich\n"),
    "our own distribution": depends(f'pandas>=2.3", "federated-algotools>={__version__}'),
    "requirements of all kinds": depends(
        'pandas (>=2.3)", "numpy>=1.26,!=2.0.*", "requests[socks]", "x @ https://example.org/x.whl'),
    "an image": image("registry.example.org:5000/demo/average"),
    "a patch of python": toml('">=3.10"', '">=3.10.2,<4,!=3.13.0"'),
}  # fmt: skip


@pytest.mark.parametrize("name", FINE)
def test_what_is_fine_is_not_found(name: str, project: Path) -> None:
    FINE[name](project)
    assert check(project).findings == ()
