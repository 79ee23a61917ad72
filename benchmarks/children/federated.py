"""Our local federation, for ``federation.py``: the average of a column, by ``examples/average``."""

from answering import ASKED, ask, frames

from algotools import Federation


def main() -> None:
    """Make the federation of files or of frames, and ask its master."""
    nodes = frames() if "frames" in ASKED else ASKED["databases"]
    with Federation(nodes, algorithm=ASKED["algorithm"], runner=ASKED["runner"]) as federation:
        ask(lambda: federation.ask("master", column_name=ASKED["column"], timeout=None)["average"])


main()
