"""Encode and decode numbers as JSON lists without a network: the lower limit of the time for JSON.

Standard input: JSON with ``size``. Standard output: JSON with ``seconds`` from a Python list to a Python list through
JSON and base64, and ``bytes`` of the encoded list.
"""

import base64
import json
import random
import sys
import time


def main() -> None:
    """Encode, decode and compare."""
    size = json.load(sys.stdin)["size"]
    values = [random.random() for _ in range(size)]
    started = time.perf_counter()
    sent = base64.b64encode(json.dumps({"values": values}).encode())
    received = json.loads(base64.b64decode(sent))["values"]
    seconds = time.perf_counter() - started
    if received != values:
        raise ValueError("the received numbers differ from the sent numbers")
    json.dump({"seconds": seconds, "bytes": len(sent)}, sys.stdout)


main()
