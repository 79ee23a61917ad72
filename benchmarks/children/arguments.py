"""Send numbers as an argument once. Runs in the environment of algotools, in a new process each time.

Standard input: JSON with ``method``, ``size`` and ``table``; and ``algorithm`` (a module), ``root`` (its folder, which
is also on the path), ``python`` (of vantage6, or null), ``runner`` and ``contract``, or none of these for the encoding
alone, in this process. Standard output: JSON with ``seconds`` from the caller's value until the function has the
numbers, and ``bytes`` of the request that creates the subtask.
"""

import base64
import functools
import importlib
import json
import sys
import time
from typing import Any

from algotools import Federation
from algotools.federation._platform import LocalPlatform
from algotools.runtime.contract import get_contract
from algotools.runtime.contract.files import parse_object


def send_in_process(parameters: dict[str, Any]) -> dict[str, float]:
    """Encode the arguments of a call, decode and validate them."""
    module, size = importlib.import_module(parameters["algorithm"]), parameters["size"]
    form = parameters["method"].removeprefix("send_")
    values = module.make_numbers(size)
    values = values.tolist() if form == "list" else values
    values = module.pd.DataFrame(values.reshape(-1, module.COLUMNS)) if form == "frame" else values
    function = getattr(module, f"receive_{form}")
    contract, specification = get_contract("v4"), function.specification
    sent = time.monotonic()
    packed = specification.pack({"values": values, "size": size, "sent": sent}, function.method)
    body = base64.b64encode(contract.encode_input({"method": function.method, "kwargs": packed}))
    content = parse_object(base64.b64decode(body))
    return {"seconds": function(**specification.validate((), content["kwargs"])), "bytes": len(body)}


def send_in_federation(parameters: dict[str, Any]) -> dict[str, float]:
    """Run the master, and count the bytes."""
    received: list[int] = []
    respond = LocalPlatform._respond  # noqa: SLF001 - no public interface counts bytes

    @functools.wraps(respond)
    def count_bytes(platform: Any, token: str, method: str, path: str, query: Any, body: bytes) -> Any:
        received.append(len(body))
        return respond(platform, token, method, path, query, body)

    LocalPlatform._respond = count_bytes  # type: ignore[method-assign]  # noqa: SLF001
    root, algorithm = parameters["root"], parameters["algorithm"]
    with Federation(
        [parameters["table"]],
        algorithm=f"{root}/{algorithm}" if parameters["python"] else algorithm,
        runner=parameters["runner"],
        contract=parameters["contract"],
        python=parameters["python"],
        policy="off",
    ) as federation:
        result = federation.ask(parameters["method"], size=parameters["size"], timeout=None)
    return {"seconds": result["seconds"], "bytes": sum(received)}


def main() -> None:
    """Send and print."""
    parameters = json.load(sys.stdin)
    json.dump((send_in_federation if "runner" in parameters else send_in_process)(parameters), sys.stdout)


main()
