"""The local federation of algotools for ``federation.py``: the average of a column with ``examples/average``."""

from timing import PARAMETERS, make_frames, measure_task

from algotools import Federation


def main() -> None:
    """Create the federation from files or frames, and run its master."""
    nodes = make_frames() if "frames" in PARAMETERS else PARAMETERS["databases"]
    options = {"runner": PARAMETERS["runner"], **PARAMETERS.get("options", {})}
    with Federation(nodes, algorithm=PARAMETERS["algorithm"], policy="off", **options) as federation:
        measure_task(lambda: federation.ask("master", column_name=PARAMETERS["column"], timeout=None)["average"])


main()
