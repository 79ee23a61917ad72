"""The distributions that pip installs for a project's requirements."""

from __future__ import annotations

import pytest

from algotools.project.check._project import _normalize_name, _parse_requirement, _resolve_distributions


def covered(*texts: str, without_dependencies: str = "") -> set[str]:
    requirements = filter(None, map(_parse_requirement, texts))
    return _resolve_distributions(requirements, without_dependencies=without_dependencies)


def test_the_requirements_of_a_dependency_are_included() -> None:
    assert {"pandas", "numpy", "python-dateutil"} <= covered("pandas>=2")


def test_the_requirements_of_an_extra_are_included_only_if_requested() -> None:
    names = covered("requests")
    assert {"requests", "urllib3", "idna"} <= names
    assert not names & {"pysocks", "chardet"}
    assert "pysocks" in covered("requests[socks]")


def test_the_dependencies_of_an_excluded_distribution_are_not_followed() -> None:
    names = covered("Federated_Algotools", "numpy", without_dependencies="federated-algotools")
    assert names == {"federated-algotools", "numpy"}


def test_a_distribution_that_is_not_installed_is_kept() -> None:
    assert covered("No.Such_package-4711") == {"no-such-package-4711"}


@pytest.mark.parametrize("text", ["pandas>>2", "-r requirements.txt", "", "# a comment", "./wheel.whl", "pandas>=2.*"])
def test_a_requirement_that_pip_cannot_parse_is_none(text: str) -> None:
    assert _parse_requirement(text) is None


def test_names_are_normalized_like_the_package_index_does() -> None:
    requirement = _parse_requirement("Scikit_Learn[all]>=1 ; python_version > '3'")
    assert requirement is not None
    assert _normalize_name(requirement) == "scikit-learn"
