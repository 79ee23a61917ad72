"""Numbers as JSON lists, without a network: what any road for them takes at least.

Standard input: JSON with ``size``. Standard output: JSON with ``seconds`` from Python's list to Python's list, by way
of the text and its base64, and ``bytes`` of that.
"""

import base64
import json
import random
import sys
import time


def main() -> None:
    """There and back again."""
    size = json.load(sys.stdin)["size"]
    values = [random.random() for _ in range(size)]
    began = time.perf_counter()
    sent = base64.b64encode(json.dumps({"values": values}).encode())
    found = json.loads(base64.b64decode(sent))["values"]
    seconds = time.perf_counter() - began
    if found != values:
        raise ValueError("other numbers came than were sent")
    json.dump({"seconds": seconds, "bytes": len(sent)}, sys.stdout)


main()
