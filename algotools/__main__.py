"""The container's entry point: ``python -m algotools``."""

import gc
import os

if __name__ == "__main__":
    gc.disable()  # imports leave no garbage; the worker enables it again for the author's code
    from algotools.runtime.dispatch.child import try_start_worker
    from algotools.runtime.streams import flush_streams, open_closed_streams

    open_closed_streams()
    worker = try_start_worker(os.environ)  # first, so that both processes import at the same time
    from algotools.runtime.run import main

    code = main(os.environ, worker)
    flush_streams()
    os._exit(code)  # everything is written, and the interpreter's own shutdown would only take time
