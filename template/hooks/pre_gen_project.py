"""What the answers may be. Plain ``cookiecutter`` runs this file as a hook, ``algotools new`` calls its functions.

It needs nothing but Python, because the first may have nothing else; and it holds no braces that Jinja would take.
"""

import importlib.util
import json
import keyword
import re
import sys

TAKEN = {
    "algotools",
    "conftest",
    "docker",
    "duckdb",
    "msgspec",
    "numpy",
    "pandas",
    "pyarrow",
    "pytest",
    "src",
    "tests",
    "wrapt",
}
"""Modules that a project has, or that algotools needs at a node."""

LONGEST = 40
"""Characters of a package's name: more make lines that no formatter leaves alone."""

REGISTRY = re.compile(r"([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?\.)*[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(:[0-9]+)?")
IMAGE = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")


def line_problem(text: str) -> str:
    """Why a text cannot stand in a line of its own; empty if it can."""
    if not text.strip():
        return "it is empty"
    return "" if text.isprintable() and text == text.strip() else "it must be one line of printable characters"


def package_problem(package: str) -> str:
    """Why no package can have a name; empty if one can."""
    if not (package.isidentifier() and package.isascii()) or keyword.iskeyword(package):
        return f"{package!r} can be no package's name: it must begin with a letter, and be no word of Python's own"
    if len(package) > LONGEST:
        return f"{package!r} is long; folder, package and image are called so, in at most {LONGEST} characters"
    if package in TAKEN:
        return f"{package!r} would shadow a module that every algorithm has or needs"
    if package in sys.stdlib_module_names:
        return f"{package!r} would shadow a module of Python's standard library"
    found = importlib.util.find_spec(package)
    if found is not None and found.origin is not None:
        return f"{package!r} would shadow a module that is installed here ({found.origin})"
    return ""


def registry_problem(registry: str) -> str:
    """Why a text is no registry's address; empty if it is one."""
    host = registry.partition(":")[0]
    if not REGISTRY.fullmatch(registry):
        return "it must be a host name, with or without a port, and no https:// before it"
    if "." not in host and host == registry and host != "localhost":
        return "a registry's name has a dot or a port; what comes after the registry belongs to the image's name"
    return ""


def image_problem(name: str) -> str:
    """Why a text is no image's name in a registry; empty if it is one."""
    if IMAGE.fullmatch(name):
        return ""
    return "it must be of lower-case letters and digits, with . _ - within and / between its parts; tags come later"


def problem(question: str, answer: str, package: str = "") -> str:
    """Why an answer cannot be taken; empty if it can. ``package`` is the name that follows from the title."""
    if why := line_problem(answer):
        return why
    if question == "title":
        return package_problem(package)
    checks = {"registry": registry_problem, "image_name": image_problem}
    return checks[question](answer) if question in checks else ""


def main(answers: "dict[str, str]") -> int:
    """Say all that is wrong with the answers; the exit code that cookiecutter expects."""
    asked = ["title", "description", "author", "registry", "image_name"]
    problems = [(name, problem(name, answers[name], answers["__package"])) for name in asked]
    for name, why in problems:
        if why:
            sys.stderr.write(f"error: {name} {answers[name]!r}: {why}\n")
    return 1 if any(why for _, why in problems) else 0


if __name__ == "__main__":
    sys.exit(main(json.loads(r"""{{ cookiecutter | tojson }}""")))
