"""Rules for the answers. Plain ``cookiecutter`` runs this file as a hook; ``algotools new`` calls its functions.

cookiecutter renders this file with Jinja and may run it without algotools. So the file imports only the standard
library, and contains no double braces except the last line's.
"""

import importlib.util
import json
import keyword
import re
import sys

RESERVED_MODULES = {
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
"""Modules that a project contains, or that algotools needs at a node."""

MAX_LENGTH = 40
"""Characters of a package's name. With longer names a formatter would change lines of the template."""

REGISTRY = re.compile(r"([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?\.)*[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(:[0-9]+)?")
IMAGE = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")


def find_line_fault(text: str) -> str:
    """Return the reason why a text is not one printable line; empty if it is valid."""
    if not text.strip():
        return "must not be empty"
    return "" if text.isprintable() and text == text.strip() else "must be one line of printable characters"


def find_package_fault(package: str) -> str:
    """Return the reason why a package cannot have a name; empty if the name is valid."""
    if not (package.isidentifier() and package.isascii()) or keyword.iskeyword(package):
        return f"{package!r} is not a valid package name: begin with a letter, and avoid the keywords of Python"
    if len(package) > MAX_LENGTH:
        return f"{package!r} is too long: folder, package and image have this name, in at most {MAX_LENGTH} characters"
    if package in RESERVED_MODULES:
        return f"{package!r} would shadow a module of the project or of algotools"
    if package in sys.stdlib_module_names:
        return f"{package!r} would shadow a module of the standard library"
    installed = importlib.util.find_spec(package)
    if installed is not None and installed.origin is not None:
        return f"{package!r} would shadow an installed module ({installed.origin})"
    return ""


def find_registry_fault(registry: str) -> str:
    """Return the reason why a text is not the address of a registry; empty if it is valid."""
    host = registry.partition(":")[0]
    if not REGISTRY.fullmatch(registry):
        return "must be a host name, optionally with a port, without https://"
    if "." not in host and host == registry and host != "localhost":
        return "must contain a dot or a port; the parts after the registry belong to the image name"
    return ""


def find_image_fault(name: str) -> str:
    """Return the reason why a text is not the name of an image in a registry; empty if it is valid."""
    if IMAGE.fullmatch(name):
        return ""
    return "must consist of lower-case letters and digits, with . _ - inside and / between its parts, without a tag"


def find_answer_fault(question: str, answer: str, package: str = "") -> str:
    """Return the reason why an answer is invalid; empty if it is valid. ``package`` is derived from the title."""
    if fault := find_line_fault(answer):
        return fault
    if question == "title":
        return find_package_fault(package)
    checks = {"registry": find_registry_fault, "image_name": find_image_fault}
    return checks[question](answer) if question in checks else ""


def main(answers: "dict[str, str]") -> int:
    """Report all faults of the answers; return the exit code for cookiecutter."""
    questions = ["title", "description", "author", "registry", "image_name"]
    faults = [(name, find_answer_fault(name, answers[name], answers["__package"])) for name in questions]
    for name, fault in faults:
        if fault:
            sys.stderr.write(f"error: {name} {answers[name]!r}: {fault}\n")
    return 1 if any(fault for _, fault in faults) else 0


if __name__ == "__main__":
    sys.exit(main(json.loads(r"""{{ cookiecutter | tojson }}""")))
