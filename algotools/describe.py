"""``python -m algotools.describe``: print an image's algorithm and packages as JSON."""

import sys

from algotools.declare.description import describe, main

__all__ = ["describe", "main"]

if __name__ == "__main__":
    sys.exit(main())
