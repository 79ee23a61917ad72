"""Answers, for each document on a line of standard input, what a released algorithm store finds wrong with it.

Runs on nothing but the store's own packages: the modules that declare and check the schema are imported from
where they are; the packages around them, which start a web server, are left out.
"""

from __future__ import annotations

import enum
import importlib
import json
import sys
import types
from pathlib import Path

AROUND = (
    "vantage6",
    "vantage6.common",
    "vantage6.algorithm",
    "vantage6.algorithm.store",
    "vantage6.algorithm.store.model",
    "vantage6.algorithm.store.resource",
)
"""Packages whose own code is not run; only what is in their folders is found."""


class TextEnum(str, enum.Enum):
    """What Python 3.10 does not have yet; 5.0 of the store says that it needs a newer one."""

    __str__ = str.__str__


def main() -> None:
    if not hasattr(enum, "StrEnum"):
        enum.StrEnum = TextEnum
    for name in AROUND:
        package = types.ModuleType(name)
        package.__path__ = [str(Path(folder, *name.split("."))) for folder in sys.path]
        sys.modules[name] = package
    schema = importlib.import_module("vantage6.algorithm.store.resource.schema.input_schema").AlgorithmInputSchema()
    for line in sys.stdin:
        try:
            errors = schema.validate(json.loads(line))
        except Exception as error:  # what a store would answer with "internal server error"
            errors = {"fails": repr(error)}
        sys.stdout.write(json.dumps(errors) + "\n")
        sys.stdout.flush()


main()
