"""The site builds without warnings or a network, has all pages in its navigation, and loads no remote files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

import algotools
from algotools.errors import CODES

from ..conftest import ROOT
from ..processes import LIMIT
from .conftest import DOCS, PAGES, page_name

NO_NETWORK = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
"""Proxies at a closed port, so that a request to the network fails."""


class Page(HTMLParser):
    """The files that a page makes a browser load, and the targets of its links."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.text = file.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.ids |= {attributes[name] for name in ("id", "name") if name in attributes}
        if tag == "a":
            self.links.append(attributes.get("href", ""))
        elif tag == "link" and attributes.get("rel") not in ("canonical", "prev", "next"):
            self.loaded.append(attributes.get("href", ""))
        elif "src" in attributes:
            self.loaded.append(attributes["src"])


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site like `make docs`, from a copy with only the files that the build needs."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(DOCS, folder / "docs")
    shutil.copytree(ROOT / "algotools", folder / "algotools", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "mkdocs.yml", folder)
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder / "site")]
    environment = {**os.environ, **NO_NETWORK, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.run(
        build, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT
    )
    assert process.returncode == 0, process.stderr
    assert "WARNING" not in process.stderr
    return folder / "site"


@pytest.fixture(scope="session")
def pages(site: Path) -> dict[str, Page]:
    """Return path within the site -> page."""
    return {file.relative_to(site).as_posix(): Page(file) for file in site.rglob("*.html")}


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    names = set(re.findall(r"[\w/-]+\.md", str(yaml.safe_load(text)["nav"])))
    notebooks = {f"{file.stem}.md" for file in DOCS.glob("*.ipynb")}
    assert notebooks == {"notebook.md"}
    assert names == {page_name(page) for page in PAGES} | notebooks


def test_every_link_within_the_site_has_a_target(pages: dict[str, Page], site: Path) -> None:
    broken = []
    for name, page in pages.items():
        for link in page.links:
            path, _, anchor = link.partition("#")
            if re.match(r"\w+:", link) or name == "404.html":
                continue
            target = (site / name).parent / path if path else site / name
            name_of_target = target.resolve().relative_to(site.resolve()).as_posix()
            target_page = pages.get(name_of_target)
            if not target.exists() or (anchor and target_page and anchor not in target_page.ids):
                broken.append(f"{name}: {link}")
    assert sum(len(page.links) for page in pages.values()) > 500
    assert broken == []


def test_no_page_loads_a_remote_file(pages: dict[str, Page], site: Path) -> None:
    loaded = {address for page in pages.values() for address in page.loaded}
    assert any(address.endswith(".js") for address in loaded)
    assert [address for address in loaded if re.match(r"(\w+:)?//", address)] == []
    remote_imports = [
        address
        for style in site.rglob("*.css")
        for address in re.findall(r"(?:@import|url\()\s*[\"']?((?:https?:)?//[^\"')]+)", style.read_text("utf-8"))
    ]
    assert remote_imports == []
    scripts = "".join(script for page in pages.values() for script in re.findall(r"(?s)<script.*?</script>", page.text))
    assert not re.search(r"import\s*\(?\s*[\"']https?:", scripts)


def test_the_reference_has_every_public_name(pages: dict[str, Page]) -> None:
    ids = set().union(*(page.ids for name, page in pages.items() if name.startswith("reference/")))
    homes = {name: f"algotools.{algotools._MODULES[name]}.{name}" for name in algotools.__all__}
    assert {name for name, home in homes.items() if home not in ids} == set()
    for name in (
        "runtime.client._results.Results",
        "federation.client.Client",
        "testing.federation",
        "federation.faults.Slow",
    ):
        assert f"algotools.{name}" in ids


def test_the_page_of_the_command_line_has_every_command(pages: dict[str, Page]) -> None:
    from algotools.cli._app import app

    names = [str(command.callback.__name__) for command in app.registered_commands if command.callback]
    page = pages["reference/command-line.html"]
    assert {f"algotools-{name}" for name in names} <= page.ids
    assert "--federation" in page.text
    assert not re.search(r"\[/?(bold|dim)\]", page.text)


def test_the_notebook_is_a_page_with_its_outputs(pages: dict[str, Page], site: Path) -> None:
    page = pages["notebook.html"]
    assert "<table" in page.text
    assert (site / "notebook.ipynb").exists()


def test_every_exit_code_is_on_its_page(pages: dict[str, Page]) -> None:
    for error in CODES.values():
        assert error.__name__ in pages["exit-codes.html"].text
