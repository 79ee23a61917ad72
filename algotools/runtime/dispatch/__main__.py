"""The worker of a container: ``python -m algotools.runtime.dispatch DESCRIPTOR SUPERVISOR``, started by the supervisor.

Not ``worker`` itself: processes that the author's code starts would import a module that is run by its own name again.
"""

import gc
import sys

if __name__ == "__main__":
    gc.disable()  # imports leave no garbage; the worker enables it again for the author's code
    from algotools.runtime.dispatch.worker import main

    main(int(sys.argv[1]), int(sys.argv[2]))
