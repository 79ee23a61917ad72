"""What pip installs along with what a project asks for."""

from __future__ import annotations

import pytest

from algotools.check.requirements import name_of, read, with_what_they_need


def covered(*texts: str, alone: str = "") -> set[str]:
    return with_what_they_need([requirement for text in texts if (requirement := read(text))], alone=alone)


def test_what_a_dependency_needs_comes_along() -> None:
    assert {"pandas", "numpy", "python-dateutil"} <= covered("pandas>=2")


def test_what_it_needs_for_an_optional_part_does_not() -> None:
    found = covered("requests")
    assert {"requests", "urllib3", "idna"} <= found
    assert not found & {"pysocks", "chardet"}
    assert "pysocks" in covered("requests[socks]")


def test_of_one_alone_nothing_does() -> None:
    assert covered("Federated_Algotools", "numpy", alone="federated-algotools") == {"federated-algotools", "numpy"}


def test_what_is_not_installed_stands_for_itself() -> None:
    assert covered("No.Such_package-4711") == {"no-such-package-4711"}


@pytest.mark.parametrize("text", ["pandas>>2", "-r requirements.txt", "", "# a comment", "./wheel.whl", "pandas>=2.*"])
def test_what_pip_cannot_read_is_none(text: str) -> None:
    assert read(text) is None


def test_names_are_compared_as_the_index_does() -> None:
    requirement = read("Scikit_Learn[all]>=1 ; python_version > '3'")
    assert requirement is not None
    assert name_of(requirement) == "scikit-learn"
