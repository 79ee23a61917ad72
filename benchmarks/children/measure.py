"""Run a command with its output in a file, and print its start time, duration and peak memory as JSON.

Arguments: the file, then the command. This script is a separate process without site-packages and with few imports,
because the kernel's figure for the peak memory of a process starts with the size of its parent.
"""

import os
import sys
import time

log, *command = sys.argv[1:]
output = [
    (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
    (os.POSIX_SPAWN_DUP2, 1, 2),
]
started = time.monotonic_ns()
_, status, usage = os.wait4(os.posix_spawn(command[0], command, os.environ, file_actions=output), 0)
finished = time.monotonic_ns()
unit = 1 if sys.platform == "darwin" else 1024
print(
    f'{{"started_ns": {started}, "wall_ms": {(finished - started) / 1e6}, "peak_mb": {usage.ru_maxrss * unit / 1e6},'
    f' "exit_code": {os.waitstatus_to_exitcode(status)}}}'
)
