"""Ask one master of a local federation once; runs in our environment, a process of its own each time.

Standard input: JSON with ``algorithm`` (a module), ``root`` (its folder, which is on our path too), ``python`` (the
peer's, or null), ``runner``, ``contract``, ``method``, ``size`` and ``table``. Standard output: JSON with ``seconds``
from the rpc's return until its master has the numbers, and ``bytes`` of all answers that the node's proxy has given.
"""

import json
import sys
from typing import Any

from algotools import Federation
from algotools.federation.api import _PortHandler


def main() -> None:
    """Ask, and count the bytes."""
    asked = json.load(sys.stdin)
    sent: list[int] = []
    tell = _PortHandler.send_header

    def counting(handler: Any, name: str, value: str) -> None:
        if name == "Content-Length":
            sent.append(int(value))
        tell(handler, name, value)

    _PortHandler.send_header = counting  # type: ignore[method-assign]
    with Federation(
        [asked["table"]],
        algorithm=f"{asked['root']}/{asked['algorithm']}" if asked["python"] else asked["algorithm"],
        runner=asked["runner"],
        contract=asked["contract"],
        python=asked["python"],
    ) as federation:
        answer = federation.ask(asked["method"], size=asked["size"], timeout=None)
    json.dump({"seconds": answer["seconds"], "bytes": sum(sent)}, sys.stdout)


main()
