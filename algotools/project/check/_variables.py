"""The rule about node variables: each organization of the ``federation.yaml`` sets what the functions need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from algotools.declare.functions import RegisteredFunction
from algotools.declare.variables import VariableFault, read_variable
from algotools.federation.configuration import Member
from algotools.project.check._rules import Finding


def check_variables(functions: Mapping[str, RegisteredFunction], members: Sequence[Member]) -> Iterator[Finding]:
    """Yield a finding for each node variable that an organization does not set, or sets to a malformed value."""
    names_by_reason: dict[tuple[str, str], list[str]] = {}
    for function in functions.values():
        method = function.derived_from or function.method
        for parameter in function.specification.variables:
            for member in members:
                fault = read_variable(parameter, member.variables)
                if isinstance(fault, VariableFault):
                    value = f" ({fault.detail})" if fault.detail else ""
                    names_by_reason.setdefault((method, f"{fault.message}{value}"), []).append(member.name)
    for (method, problem), names in names_by_reason.items():
        yield Finding.of("node-variable", "federation.yaml", None, f"{method}: {problem} at {', '.join(names)}")
