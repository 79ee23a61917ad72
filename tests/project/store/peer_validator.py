"""Read one document per line from standard input; write the errors that a released algorithm store reports.

Only the store's own packages are on the search path. The modules with the schema are imported without running the code
of their parent packages, which would start a web server.
"""

from __future__ import annotations

import enum
import importlib
import json
import sys
import types
from pathlib import Path

EMPTY_PACKAGES = (
    "vantage6",
    "vantage6.common",
    "vantage6.algorithm",
    "vantage6.algorithm.store",
    "vantage6.algorithm.store.model",
    "vantage6.algorithm.store.resource",
)
"""Packages that are replaced by empty modules with the same search path, so that their code does not run."""


class TextEnum(str, enum.Enum):
    """``enum.StrEnum`` for Python 3.10, which version 5.0 of the store does not support."""

    __str__ = str.__str__


def main() -> None:
    if not hasattr(enum, "StrEnum"):
        enum.StrEnum = TextEnum
    for name in EMPTY_PACKAGES:
        package = types.ModuleType(name)
        package.__path__ = [str(Path(folder, *name.split("."))) for folder in sys.path]
        sys.modules[name] = package
    schema = importlib.import_module("vantage6.algorithm.store.resource.schema.input_schema").AlgorithmInputSchema()
    for line in sys.stdin:
        try:
            errors = schema.validate(json.loads(line))
        except Exception as error:  # the store would respond with "internal server error"
            errors = {"fails": repr(error)}
        sys.stdout.write(json.dumps(errors) + "\n")
        sys.stdout.flush()


main()
