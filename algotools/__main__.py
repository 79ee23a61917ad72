"""The container's entry point: ``python -m algotools``."""

import os
import sys

from algotools.container import main

if __name__ == "__main__":
    sys.exit(main(os.environ))
