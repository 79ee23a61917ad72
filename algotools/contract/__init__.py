"""The generations of the platform: what a node prepares and what a container reads, both sides of each.

``vN.py`` has a generation's environment and files, ``vN_http.py`` its proxy's HTTP, each with the node's
side and the container's side next to one another.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import cast

from algotools.contract.base import Contract, Prepared, Request
from algotools.contract.environment import is_encoded
from algotools.errors import ContractError

__all__ = ["NAMES", "Contract", "Prepared", "Request", "by_name", "detect"]

NAMES = ("v3", "v4", "v5")


def by_name(name: str) -> Contract:
    """The contract of a generation.

    Raises:
        ContractError: there is no such generation; lists those that there are.
    """
    if name not in NAMES:
        raise ContractError(f"there is no contract {name!r}; there are {', '.join(NAMES)}")
    return cast("Contract", importlib.import_module(f"algotools.contract.{name}").CONTRACT)


def detect(environ: Mapping[str, str]) -> Contract:
    """The generation of the node that made this environment: the first sign that is there decides.

    Raises:
        ContractError: no node made this environment, or one of a generation that is not supported.
    """
    if "FUNCTION_ACTION" in environ and "ALGORITHM_METHOD" in environ:
        return by_name("v5")
    input_file = environ.get("INPUT_FILE")
    if input_file is None:
        raise ContractError(
            "no node started this: the variable INPUT_FILE is missing "
            "(`python -m algotools` is a container's entry point; on a laptop, use `algotools run`)"
        )
    plain = input_file.startswith("/")
    if not plain and not is_encoded(input_file):
        raise ContractError("the variable INPUT_FILE is neither an absolute path nor a base32 text")
    return by_name("v4" if not plain or "USER_REQUESTED_DATABASE_LABELS" in environ else "v3")
