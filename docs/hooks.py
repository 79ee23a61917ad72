"""Hooks of the site's build: pages that are generated, so that they always show the current code.

The page of the command line contains the help of the commands. Each notebook becomes a page with its stored outputs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

COMMANDS_PAGE, PLACEHOLDER = "reference/command-line.md", "<!-- commands -->"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add a page for each notebook, with the outputs that the notebook stores."""
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        content = convert_notebook(Path(str(file.abs_src_path)))
        files.append(File.generated(config, file.src_uri.removesuffix(".ipynb") + ".md", content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Replace the placeholder in the page of the command line, and link to the page of a notebook.

    The pages link to the notebook itself, because only this link also works on GitHub.
    """
    markdown = markdown.replace(".ipynb)", ".md)")
    return markdown.replace(PLACEHOLDER, describe_commands()) if page.file.src_uri == COMMANDS_PAGE else markdown


def describe_commands() -> str:
    """Return the help of each command as Markdown, as Typer writes it, with Rich's markup replaced."""
    typer = [sys.executable, "-m", "typer", "algotools.cli._app", "utils", "docs", "--name", "algotools"]
    process = subprocess.run(typer, capture_output=True, text=True, check=True, env={**os.environ, "NO_COLOR": "1"})
    text = process.stdout.partition("\n")[2]  # without the title, because the page has one
    text = re.sub(
        r"\*\*Commands\*\*:.*?(?=^## )", "", text, count=1, flags=re.MULTILINE | re.DOTALL
    )  # without the list, because each command has a section
    text = re.sub(r"</?span[^>]*>", "", text)
    text = re.sub(r"\[bold\](.*?)\[/bold\]", r"**\1**", text)
    text = re.sub(r"\[/?dim\]", "", text)
    return re.sub(r"(?m)^algotools .+$", r"```console\n$ \g<0>\n```", text)


def convert_notebook(path: Path) -> str:
    """Return a notebook as Markdown: texts, code and outputs, without the cells tagged ``hidden``."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if "hidden" in cell["metadata"].get("tags", ()):
            continue
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += [convert_output(output) for output in cell.get("outputs", ())]
    return "\n\n".join(parts) + "\n"


def convert_output(output: dict[str, Any]) -> str:
    """Return the output of a cell as Markdown; as HTML if the output has an HTML form."""
    if output["output_type"] == "stream":
        text = "".join(output["text"])
    elif output["output_type"] == "error":
        text = f"{output['ename']}: {output['evalue']}"
    elif "text/html" in output["data"]:
        html = re.sub(r"<style.*?</style>", "", "".join(output["data"]["text/html"]), flags=re.DOTALL)
        html = re.sub(r' (class="dataframe"|border="1"|style="[^"]*")', "", html)  # the site has its own style
        return "".join(line.strip() for line in html.splitlines())  # on one line, so that nothing is read as Markdown
    else:
        text = "".join(output["data"]["text/plain"])
    return f"``` {{.text .gives}}\n{text.rstrip()}\n```"
