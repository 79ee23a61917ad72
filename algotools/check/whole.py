"""A project as a whole: what its files tell, and what the child process finds in its functions."""

from __future__ import annotations

from pathlib import Path

from algotools.check import dependencies, federation, image, metadata, source
from algotools.check.child import Child
from algotools.check.finding import Finding, Report, found, in_order, relative
from algotools.check.project import Project


def check_project(root: Path, limit: float) -> Report:
    """Look at a project as a whole; what the files tell is read while the child process imports the algorithm."""
    project = Project(root)
    findings = list(metadata.check(project))
    unimportable = project.module is None or any(finding.rule == "shadows-module" for finding in findings)
    child = None if unimportable else Child(str(project.root), limit)
    try:
        built = image.check(project)
        findings += built.findings
        if project.refused is None:
            findings += dependencies.check(project, installed_whole=built.installs_project)
        findings += federation.check(project)
        files = source.files(project.source, project.package) if project.package else []
        findings += _unparsed(project, files)
    except BaseException:
        if child is not None:
            child.cancel()
        raise
    functions = 0
    if child is not None:
        outcome = child.outcome("pyproject.toml")
        findings += _news(outcome.findings, findings)
        functions = outcome.functions
    others = [name for name in ("pyproject.toml", "Dockerfile", "federation.yaml") if (project.root / name).is_file()]
    return Report(
        algorithm=project.module, findings=in_order(findings), functions=functions, files=len(files) + len(others)
    )


def _unparsed(project: Project, files: list[source.File]) -> list[Finding]:
    return [
        found("import-fails", relative(file.path, project.root), file.parsed.lineno, source.in_words(file.parsed))
        for file in files
        if isinstance(file.parsed, SyntaxError)
    ]


def _news(later: list[Finding], before: list[Finding]) -> list[Finding]:
    """What the child found, without what was said already: that a line lacks a module, that a file does not parse."""
    told = {(f.file, f.line) for f in before if f.rule == "undeclared-dependency"}
    unparsed = any(f.rule == "import-fails" for f in before)
    return [
        f
        for f in later
        if not (f.rule == "function-fails" and (f.file, f.line) in told)
        and not (f.rule == "import-fails" and unparsed and "SyntaxError" in f.reason)
    ]
