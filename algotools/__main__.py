"""The container's entry point: ``python -m algotools``."""

import gc
import os
import sys

if __name__ == "__main__":
    gc.disable()  # nothing that imports make is garbage; the worker turns it on again for the author's code
    from algotools.container import main

    code = main(os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all is written: taking the interpreter down in order would only take time
