"""The pytest plugin for authors, which provides the fixture ``federation``; see ``docs/testing.md``."""

from algotools.project.pytest_plugin import FederationFactory, federation, pytest_addoption, pytest_configure

__all__ = ["FederationFactory", "federation", "pytest_addoption", "pytest_configure"]
