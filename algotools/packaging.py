"""``python -m algotools.packaging``: install an algorithm's dependencies while its image is built."""

import sys

from algotools.runtime.packaging import install, main, register

__all__ = ["install", "main", "register"]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
