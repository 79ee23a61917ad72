"""What the site's build does besides: pages that are made from what they show, so that they cannot go stale."""

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

COMMANDS, PLACE = "reference/command-line.md", "<!-- commands -->"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Give each notebook a page of its own name, with the outputs that are stored in it."""
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        content = notebook(Path(str(file.abs_src_path)))
        files.append(File.generated(config, file.src_uri.removesuffix(".ipynb") + ".md", content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Put the commands where the page has room for them."""
    return markdown.replace(PLACE, commands()) if page.file.src_uri == COMMANDS else markdown


def commands() -> str:
    """Every command with its arguments and options, as Typer itself writes them down.

    What is for a terminal's eyes, Rich's marks, becomes what a page has for it.
    """
    typer = [sys.executable, "-m", "typer", "algotools.cli", "utils", "docs", "--name", "algotools"]
    ended = subprocess.run(typer, capture_output=True, text=True, check=True, env={**os.environ, "NO_COLOR": "1"})
    text = ended.stdout.partition("\n")[2]  # the title is the page's
    text = re.sub(
        r"\*\*Commands\*\*:.*?(?=^## )", "", text, count=1, flags=re.MULTILINE | re.DOTALL
    )  # they follow anyway
    text = re.sub(r"</?span[^>]*>", "", text)
    text = re.sub(r"\[bold\](.*?)\[/bold\]", r"**\1**", text)
    text = re.sub(r"\[/?dim\]", "", text)
    return re.sub(r"(?m)^algotools .+$", r"```console\n$ \g<0>\n```", text)


def notebook(path: Path) -> str:
    """A notebook as Markdown: its texts, its code, and what each cell gave; cells tagged ``hidden`` are left out."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if "hidden" in cell["metadata"].get("tags", ()):
            continue
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += [shown(output) for output in cell.get("outputs", ())]
    return "\n\n".join(parts) + "\n"


def shown(output: dict[str, Any]) -> str:
    """One output of a cell; HTML where there is some."""
    if output["output_type"] == "stream":
        text = "".join(output["text"])
    elif output["output_type"] == "error":
        text = f"{output['ename']}: {output['evalue']}"
    elif "text/html" in output["data"]:
        html = re.sub(r"<style.*?</style>", "", "".join(output["data"]["text/html"]), flags=re.DOTALL)
        html = re.sub(r' (class="dataframe"|border="1"|style="[^"]*")', "", html)  # in the site's own dress
        return "".join(line.strip() for line in html.splitlines())  # in one line: nothing of it is Markdown
    else:
        text = "".join(output["data"]["text/plain"])
    return f"``` {{.text .gives}}\n{text.rstrip()}\n```"
