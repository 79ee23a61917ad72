"""Run a master of a local federation once. Runs in the environment of algotools, in a new process each time.

Standard input: JSON with ``algorithm`` (a module), ``root`` (its folder, which is also on the path), ``python`` (of
vantage6, or null), ``runner``, ``contract``, ``method``, ``size`` and ``table``. Standard output: JSON with ``seconds``
from the return of the rpc until the master has the numbers, and ``bytes`` of all responses of the node's proxy.
"""

import json
import sys
from typing import Any

from algotools import Federation
from algotools.federation._api import _PortHandler


def main() -> None:
    """Run the master, and count the bytes."""
    parameters = json.load(sys.stdin)
    sent: list[int] = []
    send_header = _PortHandler.send_header

    def count_bytes(handler: Any, name: str, value: str) -> None:
        if name == "Content-Length":
            sent.append(int(value))
        send_header(handler, name, value)

    _PortHandler.send_header = count_bytes  # type: ignore[method-assign]
    with Federation(
        [parameters["table"]],
        algorithm=f"{parameters['root']}/{parameters['algorithm']}"
        if parameters["python"]
        else parameters["algorithm"],
        runner=parameters["runner"],
        contract=parameters["contract"],
        python=parameters["python"],
        policy="off",
    ) as federation:
        result = federation.ask(parameters["method"], size=parameters["size"], timeout=None)
    json.dump({"seconds": result["seconds"], "bytes": sum(sent)}, sys.stdout)


main()
