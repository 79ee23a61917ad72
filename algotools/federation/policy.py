"""The policy of a local federation's nodes: a preset, single settings, or a policy file.

The policy reaches a node as at a real node: as variables of the node's owner. Settings for single functions, databases
and columns have no variables. They need a policy file, which v3 and v4 pass as the database ``algotools_rules``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Union

from algotools.disclosure.policy import PREFIX, Policy, is_policy_variable, parse_policy, read_file, read_policy
from algotools.errors import PolicyError

PolicySource = Union[str, Path, Mapping[str, object]]
"""A preset, the path of a policy file, or a mapping of settings such as ``{"minimum_cell": 10}``."""


class NodePolicy(NamedTuple):
    """The settings of a node's owner in the forms in which a node passes them to a container."""

    variables: Mapping[str, str] = {}
    file: Union[str, None] = None
    """The content of the policy file; None if variables can express all settings."""

    def parse(self) -> Policy:
        """Return the settings.

        Raises:
            PolicyError: a setting is unknown, or has a value that is not allowed.
        """
        return read_policy(self.variables, self.file)


def load_policy(source: PolicySource, folder: Path = Path()) -> NodePolicy:
    """Return a policy; the relative path of a file is relative to *folder*.

    Raises:
        PolicyError: the policy is malformed, or the file cannot be read.
    """
    if isinstance(source, Mapping):
        return NodePolicy(*parse_policy(source))
    path = folder / Path(source).expanduser()
    is_path = isinstance(source, Path) or source.endswith(".toml") or "/" in source or path.is_file()
    return NodePolicy(*parse_policy(path if is_path else str(source)))


def get_default_policy() -> NodePolicy:
    """Return the policy for a caller without one: the preset in the variable ``ALGOTOOLS_POLICY`` of this process.

    Raises:
        PolicyError: the preset is unknown.
    """
    preset = os.environ.get(PREFIX, "")
    policy = NodePolicy({PREFIX: preset} if preset else {})
    policy.parse()
    return policy


def get_own_policy(variables: Mapping[str, str], rules: str | None) -> NodePolicy | None:
    """Return the policy that the owner of one node has set; None if the owner has set none.

    Args:
        variables: the variables of the node for algorithms.
        rules: the path of the node's database ``algotools_rules``; None if the node does not have it.

    Raises:
        PolicyError: the policy is malformed, or the file cannot be read.
    """
    own_variables = {name: value for name, value in variables.items() if is_policy_variable(name)}
    if not own_variables and rules is None:
        return None
    policy = NodePolicy(own_variables, None if rules is None else read_file(Path(rules.removeprefix("file://"))))
    policy.parse()
    return policy


def check_generation(policy: NodePolicy, generation: str, *, has_files: bool) -> None:
    """Refuse a policy that needs a file at the nodes of a generation without policy files.

    Raises:
        PolicyError: the generation cannot express the policy.
    """
    if policy.file is not None and not has_files:
        raise PolicyError(
            f"{generation} cannot express settings for single functions, databases or columns, because its nodes pass "
            "variables and no policy file; remove these settings, or use contract v3 or v4"
        )
