"""The container's entry point: ``python -m algotools``."""

import gc
import os

if __name__ == "__main__":
    gc.disable()  # imports leave no garbage; the worker enables it again for the author's code
    from algotools.runtime.run import flush_streams, main, open_closed_streams

    open_closed_streams()
    code = main(os.environ)
    flush_streams()
    os._exit(code)  # everything is written, and the interpreter's own shutdown would only take time
