"""Attempts of an author's code that a sandbox must refuse. Run only by ``test_local``, in namespaces of its own.

``python -m tests.runtime.sandbox.probes FOLDER CONFINED`` prints the outcome of each attempt as JSON. FOLDER contains
``project``, ``private`` and ``secret``. Without the sandbox the attempts succeed, which ``test_local`` also checks; so
each attempt affects only FOLDER, the namespaces, and processes that this program starts.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
FOLDER = Path(sys.argv[1])
PROJECT, PRIVATE, SECRET = FOLDER / "project", FOLDER / "private", FOLDER / "secret"


def call(name: str, *arguments: object) -> str:
    """Call a function of the C library, and return "done" or the name of the error."""
    result = getattr(libc, name)(*arguments)
    return "done" if result >= 0 else os.strerror(ctypes.get_errno())


def attempt(action: Callable[[], object]) -> str:
    try:
        result = action()
    except OSError as error:
        return os.strerror(error.errno or 0)
    except MemoryError:
        return "MemoryError"
    return result if isinstance(result, str) else "done"


def send_datagram() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        left.send(b"x")


def connect(family: int, address: object) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.connect(address)


def push_to_terminal() -> str:
    try:
        fcntl.ioctl(0, 0x5412, b"x")
    except OSError as error:
        return os.strerror(error.errno or 0)
    return "done"


def start_processes() -> str:
    """Start more processes than a sandbox allows, and end all of them."""
    children = []
    try:
        for _ in range(400):
            pid = os.fork()
            if pid == 0:
                signal.pause()
                os._exit(0)
            children.append(pid)
    except OSError as error:
        return os.strerror(error.errno or 0)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return "done"


def read_memory_of(pid: int) -> str:
    buffer = ctypes.create_string_buffer(8)
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
    return call("process_vm_readv", pid, vector, 1, vector, 1, 0)


def copy_file() -> None:
    target = shutil.copyfile(PROJECT / "code.py", PRIVATE / "copy.py")
    assert Path(target).read_text(encoding="utf-8") == "text"


def allocate(kind: int, size: int) -> None:
    """Reserve memory without using it (MAP_NORESERVE, which Python 3.10 does not name)."""
    mmap.mmap(-1, size, kind | mmap.MAP_ANONYMOUS | 0x4000).close()


def read_by_program() -> str:
    process = subprocess.run(["cat", SECRET / "key"], capture_output=True, text=True, check=False)
    return process.stderr.rpartition(": ")[2].strip() if process.returncode else "done"


def call_io_uring() -> str:
    return call("syscall", 425, 8, ctypes.create_string_buffer(120))


def list_attempts(other: int, port: int) -> dict[str, Callable[[], object]]:
    """Return the attempts; *other* is a process outside of the sandbox, and a server listens on *port*."""
    point = PRIVATE / "mount"
    point.mkdir(exist_ok=True)
    code = PROJECT / "code.py"
    return {
        "mount": lambda: call("mount", b"none", bytes(point), b"tmpfs", 0, None),
        "unshare user": lambda: call("unshare", 0x10000000),
        "unshare mount": lambda: call("unshare", 0x20000),
        "chroot": lambda: call("chroot", bytes(PRIVATE)),
        "host name": lambda: call("sethostname", b"other", 5),
        "ptrace": lambda: call("ptrace", 16, other, 0, 0),
        "memory of a process": lambda: read_memory_of(other),
        "environment of a process": lambda: Path(f"/proc/{other}/environ").read_bytes(),
        "signal": lambda: os.kill(other, 0),
        "signal by descriptor": lambda: signal.pidfd_send_signal(os.pidfd_open(other), 0),
        "limits of a process": lambda: resource.prlimit(other, resource.RLIMIT_NOFILE, (64, 64)),
        "priority of a process": lambda: os.setpriority(os.PRIO_PROCESS, other, 5),
        "processors of a process": lambda: os.sched_setaffinity(other, {0}),
        "leave the group": lambda: subprocess.run(["true"], start_new_session=True, check=True),
        "key ring": lambda: call("syscall", 250, 0, -3, 1),
        "shared memory of the system": lambda: call("shmget", 0, 4096, 0o1600),
        "io_uring": call_io_uring,
        "terminal": push_to_terminal,
        "connect": lambda: connect(socket.AF_INET, ("127.0.0.1", port)),
        "connect to a program": lambda: connect(socket.AF_UNIX, str(FOLDER / "socket")),
        "datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
        "datagram of a program": send_datagram,
        "kernel socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
        "listen": lambda: socket.create_server(("127.0.0.1", 0)).close(),
        "read a secret": (SECRET / "key").read_bytes,
        "list a folder": lambda: os.listdir(SECRET)[0] and "done",
        "read by a link": (PROJECT / "link").read_bytes,
        "read by a program": read_by_program,
        "read the passwords": Path("/etc/shadow").read_bytes,
        "list the temporary files": lambda: os.listdir("/var/tmp") is not None and "done",
        "write to the project": lambda: code.write_text("other", encoding="utf-8"),
        "create in the project": (PROJECT / "new").touch,
        "remove from the project": (PROJECT / "unused").unlink,
        "move from the project": lambda: (PROJECT / "moved").rename(PRIVATE / "moved"),
        "link to a secret": lambda: os.link(SECRET / "key", PRIVATE / "key"),
        "mode": lambda: code.chmod(0o777),
        "mode by descriptor": lambda: os.fchmod(os.open(code, os.O_RDONLY), 0o777),
        "owner": lambda: os.chown(code, os.geteuid(), os.getegid()),
        "times": lambda: os.utime(code, (0, 0)),
        "attribute": lambda: os.setxattr(code, "user.name", b"x"),
        "kernel settings": lambda: Path("/proc/sys/kernel/domainname").write_text("x\n", encoding="utf-8"),
        "many processes": start_processes,
        "much memory": lambda: allocate(mmap.MAP_PRIVATE, 10 << 30),
        "much shared memory": lambda: allocate(mmap.MAP_SHARED, 20 << 30),
        "large file": lambda: os.truncate(os.open(PRIVATE / "large", os.O_CREAT | os.O_RDWR), 2 << 30),
        "become root": lambda: os.setresuid(0, 0, 0),
    }


def list_uses() -> dict[str, Callable[[], object]]:
    """Return operations that a sandbox allows."""
    return {
        "read the project": lambda: (PROJECT / "code.py").read_text(encoding="utf-8") and "done",
        "write to the private folder": lambda: (PRIVATE / "file").write_text("text", encoding="utf-8") and "done",
        "copy to the private folder": copy_file,
        "run a program": lambda: subprocess.run(["true"], check=True) and "done",
        "run Python": lambda: subprocess.run([sys.executable, "-c", "import pandas"], check=True) and "done",
        "compute with pandas": compute,
        "write to nowhere": lambda: Path(os.devnull).write_text("x", encoding="utf-8") and "done",
        "use threads": use_threads,
        "use temporary files": use_temporary_files,
        "end a child": end_child,
    }


def compute() -> None:
    import pandas as pd
    import polars as pl

    assert pd.DataFrame({"a": [1, 2]})["a"].sum() == 3
    assert pl.DataFrame({"a": [1, 2]}).lazy().sum().collect().item() == 3


def use_threads() -> None:
    import concurrent.futures

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(abs, [-1, -2])) == [1, 2]


def use_temporary_files() -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        assert Path(folder).is_relative_to(PRIVATE)


def end_child() -> None:
    with subprocess.Popen(["sleep", "100"]) as child:
        child.kill()


def main() -> None:
    from algotools.runtime.dispatch import limits
    from algotools.runtime.sandbox.local import LocalSandbox

    PRIVATE.mkdir()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as program,
        subprocess.Popen(["sleep", "1000"]) as other,
    ):
        program.bind(str(FOLDER / "socket"))
        program.listen()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            missing = None
            if sys.argv[2] == "confined":
                limits.limit_memory(4 << 30)
                sandbox = LocalSandbox(folder=str(PRIVATE), readable=(str(PROJECT),), memory=4 << 30, seconds=60)
                missing = sandbox.apply()
            names = sys.argv[3:]
            attempts = list_attempts(other.pid, server.getsockname()[1])
            status = Path("/proc/self/status").read_text(encoding="utf-8")
            outcome = {
                "missing": missing,
                "uses": {name: attempt(use) for name, use in list_uses().items()} if missing is not None else {},
                "attempts": {name: attempt(action) for name, action in attempts.items() if name in names or not names},
                "status": dict(line.split(":\t") for line in status.splitlines() if line.startswith(("Cap", "NoNew"))),
            }
            print(json.dumps(outcome), flush=True)  # noqa: T201 - the output of the program
            os._exit(0)
        os.waitpid(pid, 0)
        other.kill()


if __name__ == "__main__":
    main()
