"""One fault at a time in the files around the functions: only its rule is found, with its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from algotools import __version__
from algotools.project import check as check_package
from algotools.project.check import Report, check

from .conftest import add, replace

Seed = Callable[[Path], object]
SOURCE = "src/average/algorithm.py"
INSTALL = "RUN python -m algotools.packaging install\n"
ENV = "ENV ALGOTOOLS_ALGORITHM=/app\n"


class FakeCheckProcess:
    """A check process without findings, because the faults of this module are not in functions."""

    def __init__(self, target: str, options: object) -> None:
        self.target = target

    def report(self, source_file: str) -> Report:
        return Report(algorithm="average", findings=(), functions=2, files=2)

    def close(self) -> None:
        """Do nothing: no process was started."""


@pytest.fixture(autouse=True)
def fake_check_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_package, "_CheckProcess", FakeCheckProcess)


def toml(old: str, new: str) -> Seed:
    return lambda project: replace(project / "pyproject.toml", old, new)


def replace_start(file: Path) -> None:
    """Add a byte order mark, as some editors do."""
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())


def depends(requirement: str) -> Seed:
    return toml("pandas>=2.3", requirement)


def dockerfile(old: str, new: str) -> Seed:
    return lambda project: replace(project / "Dockerfile", old, new)


def appended(lines: str) -> Seed:
    return lambda project: add(project / "Dockerfile", f"{lines}\n")


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
        remaining = "\n".join(
            line for line in text.splitlines() if not line.startswith(("[tool.algotools]", "image ="))
        )
        (project / "pyproject.toml").write_text(remaining)
        replace(project / "pyproject.toml", "[tool.pytest.ini_options]", IMAGE_LINE.format(name))

    return seed


FAULTS: dict[str, tuple[Seed, str, str]] = {
    "no pyproject": (lambda p: (p / "pyproject.toml").unlink(), "no-pyproject", "pyproject.toml"),
    "invalid toml": (toml("[project]", "[project"), "no-pyproject", "pyproject.toml"),
    "a byte order mark": (lambda p: replace_start(p / "pyproject.toml"), "no-pyproject", "pyproject.toml"),
    "a federation with a byte order mark": (lambda p: replace_start(p / "federation.yaml"), "federation-file",
                                            "federation.yaml"),
    "a federation with a label that occurs twice": (
        federation("data/org2.csv", "data/org2.csv\n      default: data/org1.csv"), "federation-file",
        "federation.yaml"),
    "no entry point": (toml('average = "average"\n', ""), "no-entry-point", "pyproject.toml"),
    "other group": (toml("algotools.algorithms", "algotools.algorithm"), "no-entry-point", "pyproject.toml"),
    "two entry points": (toml('average = "average"\n', 'a = "average"\nb = "average"\n'), "no-entry-point",
                         "pyproject.toml"),
    "entry point is a number": (toml('average = "average"', "average = 3"), "no-entry-point", "pyproject.toml"),
    "old python only": (toml('">=3.10"', '">=3.10,<3.13"'), "requires-python", "pyproject.toml"),
    "impossible python": (toml('">=3.10"', '">=3.12,<3.11"'), "requires-python", "pyproject.toml"),
    "unreadable python": (toml('">=3.10"', '"3.10+"'), "requires-python", "pyproject.toml"),
    "an invalid image name": (image("Registry.example.org/Average"), "image-name", "pyproject.toml"),
    "image with a tag": (image("registry.example.org/demo/average:1.0"), "image-name", "pyproject.toml"),
    "image with a scheme": (image("https://registry.example.org/average"), "image-name", "pyproject.toml"),
    "requirement with a typo": (depends("pandas>>2"), "bad-requirement", "pyproject.toml"),
    "a requirements file": (depends("-r requirements.txt"), "bad-requirement", "pyproject.toml"),
    "dependencies as a text": (toml('["pandas>=2.3"]', '"pandas"'), "bad-requirement", "pyproject.toml"),
    "dynamic dependencies": (toml('dependencies = ["pandas>=2.3"]', 'dynamic = ["dependencies"]'),
                             "dynamic-dependencies", "pyproject.toml"),
    "a requirement by git": (depends("x @ git+https://example.org/x.git"), "requirement-source", "pyproject.toml"),
    "a requirement by git and a branch": (depends("x[all]@git+ssh://git@example.org/x@git ; python_version > '3'"),
                                          "requirement-source", "pyproject.toml"),
    "a requirement by mercurial": (depends("x @ hg+https://example.org/x"), "requirement-source", "pyproject.toml"),
    "a requirement by subversion": (depends("x @ SVN+https://example.org/x"), "requirement-source", "pyproject.toml"),
    "a requirement by bazaar": (depends("x @ bzr+https://example.org/x"), "requirement-source", "pyproject.toml"),
    "a requirement by git, and git comes later": (
        both(depends("x @ git+https://example.org/x.git"),
             dockerfile(ENV, f"{ENV}RUN apt-get update && apt-get install -y git\n")),
        "requirement-source", "pyproject.toml"),
    "git for a project that pip installs": (
        both(depends("x @ git+https://example.org/x"), dockerfile(INSTALL, ""), dockerfile(ENV, ""),
             dockerfile("RUN python -m compileall -q src", "RUN pip install .")),
        "requirement-source", "pyproject.toml"),
    "git for the dependencies of setuptools": (
        both(toml('dependencies = ["pandas>=2.3"]', 'dynamic = ["dependencies"]'),
             lambda p: add(p / "pyproject.toml", '\n[tool.setuptools.dynamic]\ndependencies = {file = "all.txt"}\n'),
             lambda p: (p / "all.txt").write_text("pandas\nx @ git+https://example.org/x\n"),
             dockerfile(INSTALL, ""), dockerfile(ENV, ""),
             dockerfile("RUN python -m compileall -q src", "RUN pip install .")),
        "requirement-source", "all.txt"),
    "git for the build backend": (
        both(toml('requires = ["', 'requires = ["x @ git+https://example.org/x", "'),
             dockerfile(INSTALL, ""), dockerfile(ENV, ""),
             dockerfile("RUN python -m compileall -q src", "RUN pip install .")),
        "requirement-source", "pyproject.toml"),
    "git for the dependencies of Poetry": (
        both(lambda p: add(p / "pyproject.toml",
                           '\n[tool.poetry.dependencies]\nx = {git = "https://example.org/x.git", branch = "main"}\n'),
             dockerfile(INSTALL, ""), dockerfile(ENV, ""),
             dockerfile("RUN python -m compileall -q src", "RUN pip install .")),
        "requirement-source", "pyproject.toml"),
    "a requirement at a path": (depends("x @ file:///home/me/x"), "requirement-source", "pyproject.toml"),
    "a requirement at a relative path": (depends("x @ ./vendor/x.whl"), "requirement-source", "pyproject.toml"),
    "a requirement by git in a command": (
        dockerfile("COPY src", "RUN pip install 'x @ git+https://example.org/x'\nCOPY src"), "requirement-source",
        "Dockerfile"),
    "a requirement by git in a file": (
        both(lambda p: (p / "more.txt").write_text("# git+https://a\nx\n-e git+https://example.org/x#egg=x\n"),
             dockerfile("COPY src", "COPY more.txt .\nRUN pip install -r more.txt\nCOPY src"), ignored("data")),
        "requirement-source", "more.txt"),
    "the other algotools": (depends('pandas>=2.3", "algotools>=1'), "foreign-algotools", "pyproject.toml"),
    "another version of algotools": (depends('pandas>=2.3", "federated-algotools>=99'), "other-algotools",
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
    "an unknown instruction": (dockerfile("WORKDIR /app", "WORKDIR /app\nCOPPY src ./src"), "dockerfile-syntax",
                               "Dockerfile"),
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
    "another base image": (dockerfile("FROM ${BASE_IMAGE}", "FROM python:3.13-slim"), "other-base", "Dockerfile"),
    "a base image without ARG": (dockerfile("ARG BASE_IMAGE\n", ""), "other-base", "Dockerfile"),
    "ARG after FROM": (dockerfile("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n", "FROM ${BASE_IMAGE}\nARG BASE_IMAGE\n"),
                        "other-base", "Dockerfile"),
    "a last stage with another base image": (lambda p: add(
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
    "the gate switched off": (appended("ENV ALGOTOOLS_POLICY=off"), "policy-in-image", "Dockerfile"),
    "a policy without a value": (appended("ENV ALGOTOOLS_POLICY="), "policy-in-image", "Dockerfile"),
    "a policy in the old form": (appended("ENV ALGOTOOLS_POLICY off"), "policy-in-image", "Dockerfile"),
    "a policy in the old form after a tab": (
        appended("ENV\tALGOTOOLS_POLICY_DIGITS\t3"), "policy-in-image", "Dockerfile"),
    "a policy after another variable": (appended("ENV A=1 ALGOTOOLS_POLICY=off"), "policy-in-image", "Dockerfile"),
    "a policy in a continued line": (
        appended("ENV A=1 \\\n  # the smallest cell\n  ALGOTOOLS_POLICY_MINIMUM_CELL=1"), "policy-in-image",
        "Dockerfile"),
    "a policy in lower-case instructions": (appended("env ALGOTOOLS_POLICY=off"), "policy-in-image", "Dockerfile"),
    "a quoted policy": (appended("ENV \"ALGOTOOLS_POLICY\"='off'"), "policy-in-image", "Dockerfile"),
    "a policy from a build argument": (
        appended("ARG LEVEL=off\nENV ALGOTOOLS_POLICY=${LEVEL}"), "policy-in-image", "Dockerfile"),
    "a policy whose name is in a build argument": (
        appended("ARG NAME=ALGOTOOLS_POLICY\nENV ${NAME}=off"), "policy-in-image", "Dockerfile"),
    "a policy whose name has two parts": (
        appended("ARG NAME=POLICY_UNREAD\nENV ALGOTOOLS_${NAME:-X}=allow"), "policy-in-image", "Dockerfile"),
    "a policy in the stage below": (
        lambda p: (replace(p / "Dockerfile", "FROM ${BASE_IMAGE}\n", "FROM ${BASE_IMAGE} AS app\n"),
                   replace(p / "Dockerfile", "WORKDIR /app", "WORKDIR /app\nENV ALGOTOOLS_POLICY=off"),
                   add(p / "Dockerfile", "FROM app\n")),
        "policy-in-image", "Dockerfile"),
    "a policy that a trigger sets": (appended("ONBUILD ENV ALGOTOOLS_POLICY=off"), "policy-in-image", "Dockerfile"),
    "a policy file in the image": (
        appended("ENV ALGOTOOLS_RULES_DATABASE_URI=/app/policy.toml"), "policy-in-image", "Dockerfile"),
    "no algorithm": (dockerfile(ENV, ""), "no-algorithm", "Dockerfile"),
    "an algorithm elsewhere": (dockerfile(ENV, "ENV ALGOTOOLS_ALGORITHM=/application\n"), "no-algorithm",
                               "Dockerfile"),
    "a module that is not installed": (dockerfile(ENV, "ENV PKG_NAME=average\n"), "no-algorithm", "Dockerfile"),
    "requirements of a file, and no project": (
        both(dockerfile(INSTALL, "RUN pip install -r /app/requirements.txt\n"), dockerfile(ENV, "")),
        "no-algorithm", "Dockerfile"),
    "another module": (dockerfile(ENV, "ENV PKG_NAME=averages\n"), "no-algorithm", "Dockerfile"),
    "no working directory": (dockerfile("WORKDIR /app\n", ""), "no-algorithm", "Dockerfile"),
    "sources not copied": (dockerfile("COPY src ./src\n", ""), "not-copied", "Dockerfile"),
    "sources in another folder": (dockerfile("COPY src ./src\n", "COPY src ./source\n"), "not-copied", "Dockerfile"),
    "contents instead of the folder": (dockerfile("COPY src ./src\n", "COPY src .\n"), "not-copied", "Dockerfile"),
    "pyproject not copied": (both(dockerfile("COPY pyproject.toml ./\n", ""),
                                  dockerfile(INSTALL, "RUN pip install pandas\n")),
                             "not-copied", "Dockerfile"),
    "pyproject copied too late": (
        dockerfile(f"COPY pyproject.toml ./\n{INSTALL}", f"{INSTALL}COPY pyproject.toml ./\n"),
        "not-copied", "Dockerfile"),
    "a missing source": (dockerfile("COPY src ./src\n", "COPY src ./src\nCOPY models ./models\n"),
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
    "a federation file that is not yaml": (federation("organizations:", "organizations: ["), "federation-file",
                                     "federation.yaml"),
    "a federation with a misspelt key": (federation("databases:", "database:"), "federation-file", "federation.yaml"),
    "no organizations": (lambda p: (p / "federation.yaml").write_text("organizations: []\n"), "federation-file",
                         "federation.yaml"),
    "missing data": (federation("data/org2.csv", "data/org22.csv"), "missing-data", "federation.yaml"),
}  # fmt: skip
"""Name of the fault -> the change, the rule and the file."""


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_only_by_its_rule(name: str, project: Path) -> None:
    seed, rule, file = FAULTS[name]
    seed(project)
    findings = check(project).findings
    assert [(finding.rule, finding.file) for finding in findings] == [(rule, file)]
    assert str(project) not in findings[0].reason + findings[0].way_out


def test_a_finding_has_the_line_of_the_fault(project: Path) -> None:
    add(project / "Dockerfile", "USER nobody\n")
    replace(project / "federation.yaml", "data/org2.csv", "data/org22.csv")
    dockerfile, federation = check(project).findings
    lines = (project / "Dockerfile").read_text().splitlines()
    assert lines[(dockerfile.line or 0) - 1] == "USER nobody"
    assert "org22" in (project / "federation.yaml").read_text().splitlines()[(federation.line or 0) - 1]


def test_a_setting_of_the_policy_is_named_but_not_its_value(project: Path) -> None:
    add(project / "Dockerfile", "RUN true\nENV A=1 \\\n    ALGOTOOLS_POLICY_KEY=the-secret-of-the-collaboration-0123\n")
    (finding,) = check(project).findings
    assert finding.reason == "the image sets ALGOTOOLS_POLICY_KEY"
    assert (project / "Dockerfile").read_text().splitlines()[(finding.line or 0) - 1].startswith("ENV A=1")
    assert "secret" not in f"{finding}"


VALID: dict[str, Seed] = {
    "the entry point of algotools": lambda p: add(p / "Dockerfile", 'ENTRYPOINT ["python", "-m", "algotools"]\n'),
    "entry point and command": lambda p: add(p / "Dockerfile", 'ENTRYPOINT ["python"]\nCMD ["-m", "algotools"]\n'),
    "no entry point, and the command of algotools": lambda p: add(
        p / "Dockerfile", 'ENTRYPOINT []\nCMD ["python", "-m", "algotools"]\n'),
    "an init": lambda p: add(p / "Dockerfile", 'ENTRYPOINT ["tini", "--", "python", "-m", "algotools"]\n'),
    "a user and back": lambda p: add(p / "Dockerfile", "USER nobody\nUSER root\n"),
    "a policy in a stage that is not in the image": dockerfile(
        "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n",
        "ARG BASE_IMAGE\nFROM python:3.13 AS other\nENV ALGOTOOLS_POLICY=off\nFROM $BASE_IMAGE\n"),
    "a policy only of the build": appended("ARG ALGOTOOLS_POLICY=off\nRUN ALGOTOOLS_POLICY=off true"),
    "a policy in a text": appended(
        '# ENV ALGOTOOLS_POLICY=off\nLABEL note="ENV ALGOTOOLS_POLICY=off"\nENV NOTE ALGOTOOLS_POLICY=off'),
    "a variable of another name": appended("ENV algotools_policy=off MY_ALGOTOOLS_POLICY=off ALGOTOOLS_POLIC=off"),
    "a trigger for another variable": appended("ONBUILD ENV A=1\nONBUILD RUN true"),
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
    "a variable": both(dockerfile("WORKDIR /app", "ARG TARGET=/opt/it\nENV FOLDER=${TARGET}\nWORKDIR $FOLDER"),
                       dockerfile(ENV, "ENV ALGOTOOLS_ALGORITHM=${FOLDER}\n")),
    "another base image as the default": dockerfile("ARG BASE_IMAGE", "ARG BASE_IMAGE=registry.example.org/base:1"),
    "the package in the working directory": both(
        dockerfile("COPY src ./src\n", "COPY src ./\n"), dockerfile("-q src", "-q average"),
        dockerfile(ENV, "ENV ALGOTOOLS_ALGORITHM=average\n")),
    "no slash": dockerfile("COPY pyproject.toml ./\n", "COPY pyproject.toml /app\n"),
    "a data file that is included on purpose": lambda p: (
        (p / "src/average/codes.csv").write_text("code\n1\n"), add(p / ".dockerignore", "!src/average/codes.csv\n")),
    "an excluded data file": lambda p: (
        (p / "src/average/codes.csv").write_text("code\n1\n"), add(p / ".dockerignore", "**/*.csv\n")),
    "data that no line copies": ignored("**/__pycache__"),
    "a comment within an instruction": dockerfile(
        "RUN python -m compileall -q src", "RUN python -m compileall \\\n  # quietly\n  -q src"),
    "shifts, not heredocs": dockerfile("RUN python -m comp", "RUN echo $((1<<2)) && python -m comp"),
    "a hard-coded base": dockerfile("FROM ${BASE_IMAGE}", "FROM registry.example.org/demo/algotools-base:0.1.0"),
    "no federation": lambda p: (p / "federation.yaml").unlink(),
    "a database on a server": federation("data/org2.csv", "postgresql://server/db"),
    "an optional import": importing(
        "try:\n    import yaml\nexcept ImportError:\n    yaml = None"),
    "an import for type checkers": importing(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import yaml\n"),
    "an import for an old python": importing(
        "import sys\nif sys.version_info < (3, 11):\n    import tomli\n"),
    "numpy, which the base image provides": importing("import numpy as np"),
    "a dependency of a dependency": importing("import dateutil.parser"),
    "a distribution of another name": both(
        depends('pandas>=2.3", "PyYAML >= 6 ; python_version > \'3.9\''),
        importing("import yaml")),
    "a dependency that is not installed here": both(
        depends('pandas>=2.3", "scikit-unheard-of[all]~=1.0'),
        lambda p: replace(p / SOURCE, "    count = sum(", "    import skunheard\n    count = sum(")),
    "a script that no task runs": lambda p: add(p / "src/average/__main__.py", "import rich\n"),
    "the distribution of algotools": depends(f'pandas>=2.3", "federated-algotools>={__version__}'),
    "requirements of all kinds": depends(
        'pandas (>=2.3)", "numpy>=1.26,!=2.0.*", "requests[socks]", "x @ https://example.org/x.whl'),
    "git that the Dockerfile installs": both(
        depends("x @ git+https://example.org/x.git@main"),
        dockerfile(INSTALL, f"RUN apt-get update && apt-get install -y git openssh-client\n{INSTALL}")),
    "mercurial that the same command installs": both(
        depends("x @ hg+https://example.org/x"),
        dockerfile(INSTALL, "RUN apt-get install -y mercurial=6.* && python -m algotools.packaging install\n")),
    "a requirement by git for another system": depends(
        "pandas\", \"x @ git+https://example.org/x ; sys_platform == 'win32'"),
    "git for a build backend that is not used": toml(
        'requires = ["', 'requires = ["x @ git+https://example.org/x", "'),
    "a path in the image": both(
        depends("x @ file:///app/vendor/x.whl"), lambda p: ((p / "vendor").mkdir(), (p / "vendor/x.whl").touch()),
        dockerfile("COPY pyproject.toml ./\n", "COPY pyproject.toml ./\nCOPY vendor ./vendor\n"), ignored("data")),
    "a requirement by git that another image builds": both(
        depends("x @ git+https://example.org/x"),
        dockerfile("ARG BASE_IMAGE\n", "ARG BASE_IMAGE\nFROM python:3.13 AS build\nRUN pip wheel -w /w x\n"),
        dockerfile("COPY src", "COPY --from=build /w /w\nCOPY src")),
    "an image": image("registry.example.org:5000/demo/average"),
    "a patch of python": toml('">=3.10"', '">=3.10.2,<4,!=3.13.0"'),
}  # fmt: skip


@pytest.mark.parametrize("name", VALID)
def test_a_valid_variant_has_no_findings(name: str, project: Path) -> None:
    VALID[name](project)
    assert check(project).findings == ()
