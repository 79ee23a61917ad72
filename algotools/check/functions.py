"""The program of the child process: imports the algorithm, and finds what is wrong with its functions.

``python -m algotools.check.functions WHAT SECONDS`` writes lines of JSON to standard output as it goes (``Told``), so
that what was found is known even if the author's code ends the process.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from pathlib import Path

import msgspec

from algotools import locate
from algotools.check.examination import Examination
from algotools.check.telling import Told
from algotools.errors import AlgorithmNotFound


def main(what: str, seconds: float) -> None:
    """Examine what a person named, and end the process whatever the author's code has left running."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the author's code prints is no part of what we say
    encode = msgspec.json.Encoder().encode

    def tell(told: Told) -> None:
        out.write(encode(told) + b"\n")
        out.flush()

    def end() -> None:
        tell(Told(done=True))
        os._exit(0)

    try:
        place = locate.locate(what)
    except AlgorithmNotFound as error:
        tell(Told(unknown=error.message))
        end()
    tell(Told(algorithm=place.module))
    examination = Examination(place, Path(what).resolve() if Path(what).is_dir() else None, tell)

    def overdue() -> None:
        examination.overdue(seconds)
        end()

    timer = threading.Timer(seconds, overdue)
    timer.daemon = True
    timer.start()
    try:
        examination.run()
    except Exception:  # ours: the author's own are named where they come up
        tell(Told(fault=traceback.format_exc()))
    end()


if __name__ == "__main__":
    if sys.path[0] in ("", os.getcwd()):
        sys.path.pop(0)  # the folder that we were started in: a node has other files there
    main(sys.argv[1], float(sys.argv[2]))
