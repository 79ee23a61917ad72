"""An algorithm that looks around, and tells what it could see. It hands out facts, never what it read."""

import ctypes
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated

import pandas as pd

from algotools import Database, RunInfo, rpc

AT_IMPORT = {"uid": os.getuid(), "groups": os.getgroups(), "home": os.environ.get("HOME")}


def attempt(action):
    """Whether something can be done, and the error if not."""
    try:
        action()
    except BaseException as error:
        return {"done": False, "error": type(error).__name__}
    return {"done": True}


def open_for(mode, path):
    with open(path, mode) as file:
        if "r" in mode:
            file.read(1)


def capabilities():
    lines = Path("/proc/self/status").read_text().splitlines()
    return {name: int(value, 16) for name, value in (line.split(":\t") for line in lines if line.startswith("Cap"))}


@rpc
def who() -> dict:
    """Who runs the code."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "at_import": AT_IMPORT,
        "uids": list(os.getresuid()),
        "gids": list(os.getresgid()),
        "groups": os.getgroups(),
        "capabilities": capabilities(),
        "no_new_privileges": status["NoNewPrivs"],
        "home": os.environ["HOME"],
        "home_is_writable": attempt(lambda: open_for("w", os.path.expanduser("~/of mine"))),
        "temporary": tempfile.gettempdir(),
    }


@rpc
def read(paths: list[str]) -> dict:
    """Which files can be read, here and in a process of one's own."""
    code = "import sys; open(sys.argv[1], 'rb').read(1)"
    return {
        path: {
            "read": attempt(lambda: open_for("rb", path)),
            "through a subprocess": subprocess.run([sys.executable, "-c", code, path], capture_output=True).returncode
            == 0,
            "through cat": subprocess.run(["cat", path], capture_output=True).returncode == 0,
        }
        for path in paths
    }


@rpc
def list_folders(paths: list[str]) -> dict:
    return {path: attempt(lambda: os.listdir(path)) for path in paths}


@rpc
def spoil(path: str) -> dict:
    """What can be done to a file."""
    folder = os.path.dirname(path)
    mine = os.path.join(tempfile.gettempdir(), "mine")
    Path(mine).write_text("mine")
    return {
        "write": attempt(lambda: open_for("r+b", path)),
        "append": attempt(lambda: open_for("ab", path)),
        "truncate": attempt(lambda: os.truncate(path, 0)),
        "chmod": attempt(lambda: os.chmod(path, 0o777)),
        "chown": attempt(lambda: os.chown(path, os.getuid(), -1)),
        "unlink": attempt(lambda: os.unlink(path)),
        "rename over": attempt(lambda: os.replace(mine, path)),
        "rename away": attempt(lambda: os.rename(path, mine)),
        "link": attempt(lambda: os.link(path, mine + "-link")),
        "create beside": attempt(lambda: open_for("w", os.path.join(folder, "new"))),
        "mount over": attempt(lambda: mount(mine, path)),
    }


def mount(source, target):
    if ctypes.CDLL(None, use_errno=True).mount(source.encode(), target.encode(), None, 4096, None):
        raise OSError(ctypes.get_errno())


@rpc
def keep(info: RunInfo, text: str) -> str:
    """Write into the job's folder what another run can read; gives what was there."""
    file = info.temporary_folder / "kept" / "text"
    before = file.read_text() if file.exists() else ""
    file.parent.mkdir(exist_ok=True)
    written = Path(tempfile.mkdtemp(dir=info.temporary_folder)) / "new"
    written.write_text(text)
    written.replace(file)
    return before


@rpc
def use_processes() -> dict:
    """What Python's own library does with files, processes and sockets."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a" / "file"
        file.parent.mkdir()
        file.write_text("text")
        shutil.move(file, Path(folder) / "file")
        found["moved"] = (Path(folder) / "file").read_text()
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        with context.Pool(1) as pool:
            found[method] = pool.apply(os.getuid)
    with multiprocessing.Manager() as manager:
        found["manager"] = list(manager.list([1, 2]))
    lock = multiprocessing.Lock()
    with lock:
        found["lock"] = True
    found["shell"] = subprocess.run(
        "id -u; ls /proc/self/fd > /dev/null && echo fds", shell=True, capture_output=True, text=True
    ).stdout.split()
    with open("/dev/stdout", "w") as stream:
        stream.write("printed by name\n")
    with open("/dev/null", "w") as stream:
        stream.write("nothing")
    found["random"] = len(open("/dev/urandom", "rb").read(4))
    thread = threading.Thread(target=lambda: found.update(thread=os.getuid()))
    thread.start()
    thread.join()
    found["resolved"] = bool(socket.gethostbyname("localhost"))
    return found


@rpc
def attack() -> dict:
    """Attempts on the supervisor."""
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)

    def trace():
        if libc.ptrace(16, parent, None, None):
            raise OSError(ctypes.get_errno(), "ptrace")

    def become_root():
        os.setuid(0)

    def through_setuid():
        if subprocess.run(["su", "-c", "true"], capture_output=True, stdin=subprocess.DEVNULL).returncode:
            raise PermissionError

    return {
        "kill": attempt(lambda: os.kill(parent, signal.SIGKILL)),
        "stop": attempt(lambda: os.kill(parent, signal.SIGSTOP)),
        "ptrace": attempt(trace),
        "environ": attempt(lambda: open_for("rb", f"/proc/{parent}/environ")),
        "memory": attempt(lambda: open_for("r+b", f"/proc/{parent}/mem")),
        "descriptors": attempt(lambda: open_for("rb", f"/proc/{parent}/fd/0")),
        "root": attempt(lambda: os.listdir(f"/proc/{parent}/root/mnt/data")),
        "setuid": attempt(become_root),
        "su": attempt(through_setuid),
        "kernel": attempt(lambda: open_for("w", "/proc/sys/kernel/core_pattern")),
    }


@rpc
def sizes(data: pd.DataFrame, column: str) -> dict:
    """A table's size, read by algotools."""
    return {"rows": len(data), "sum": int(data[column].sum())}


@rpc
def from_labels(
    one: Annotated[pd.DataFrame, Database("default")], other: Annotated[pd.DataFrame, Database("second")]
) -> list:
    return [len(one), len(other)]


@rpc
def by_path(database: Database) -> dict:
    """A database that the function reads itself."""
    path = Path(database.uri)
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {
        "name": path.name,
        "bytes": {str(file.relative_to(path)): attempt(lambda: open_for("rb", file)) for file in files},
        "private": oct(path.stat().st_mode & 0o777),
        "owner": path.stat().st_uid,
    }


@rpc
def two_by_path(one: Database, two: Database) -> list:
    return [len(Path(one.uri).read_bytes()), len(Path(two.uri).read_bytes())]


def ask(message):
    """Speak to the supervisor as the worker does."""
    import msgspec

    (channel,) = (int(fd) for fd in os.listdir("/proc/self/fd") if is_socket(fd))
    data = msgspec.msgpack.encode(message)
    os.write(channel, len(data).to_bytes(8, "big") + data)
    size = int.from_bytes(os.read(channel, 8), "big")
    return msgspec.msgpack.decode(os.read(channel, size))


def is_socket(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    except OSError:
        return False


@rpc
def forge(labels: list[str]) -> list:
    """Ask the supervisor for databases by hand."""
    found = []
    for label in labels:
        given = ask({"type": "DatabaseAsked", "label": label})
        found.append({"uri": bool(given.get("uri")), "code": given.get("exit_code"), "message": given.get("message")})
    return found


@rpc
def flood() -> None:
    """Ask for ever, and never read an answer."""
    import msgspec

    (channel,) = (int(fd) for fd in os.listdir("/proc/self/fd") if is_socket(fd))
    data = msgspec.msgpack.encode({"type": "TokenAsked"})
    while True:
        os.write(channel, len(data).to_bytes(8, "big") + data)


@rpc
def put_links(info: RunInfo, target: str) -> None:
    (info.temporary_folder / "link").symlink_to(target)


@rpc
def sleep() -> None:
    time.sleep(600)
