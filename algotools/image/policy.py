"""Find the settings of a node's policy in an image. They belong to the owner of the node, so no image may have them.

A v3 node passes its owner's variables unencoded. There a variable of the image looks like a variable of the owner:
``ENV ALGOTOOLS_POLICY=off`` would switch the gate off. ``algotools build``, ``inspect`` and ``check`` look for them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from algotools.disclosure.policy import PREFIX

_PREFIXES = (PREFIX, "ALGOTOOLS_RULES")
"""The prefixes of the variables with settings, and of the variables that name the database ``algotools_rules``."""

_MENTION = re.compile(rf"(?<![A-Za-z0-9_])(?:{'|'.join(_PREFIXES)})\w*")


def is_policy_variable(name: str) -> bool:
    """Whether a variable is a setting of the policy. Names of variables are case-sensitive in images and at nodes."""
    return name.startswith(_PREFIXES)


def list_policy_variables(configuration: Mapping[str, Any]) -> list[str]:
    """Return the settings of the policy in the configuration of an image, sorted.

    A variable can also be set by the command (``env ALGOTOOLS_POLICY=off python …``), and by an ONBUILD trigger: the
    labels are added in a build that is based on the image, and that build runs the triggers.

    Args:
        configuration: the key ``Config`` of an image's attributes. The values can be of any type, because the image can
            be made by any tool.
    """
    names = {text.partition("=")[0] for text in _list_texts(configuration.get("Env"))}
    commands = [text for key in ("Entrypoint", "Cmd", "OnBuild") for text in _list_texts(configuration.get(key))]
    mentions = {match[0] for text in commands for match in _MENTION.finditer(text)}
    return sorted({name for name in names if is_policy_variable(name)} | mentions)


def _list_texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [text for text in value if isinstance(text, str)] if isinstance(value, (list, tuple)) else []


def explain_policy_variables(names: list[str]) -> str:
    """Return the reason why an image with these settings is refused, and the way out."""
    return (
        f"the image sets {', '.join(names)}, but only the owner of a node sets the policy, and a v3 node takes "
        "a variable of the image for the owner's; remove the setting from the Dockerfile, or use a base without it"
    )
