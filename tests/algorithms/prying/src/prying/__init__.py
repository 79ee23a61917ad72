"""An algorithm that attempts forbidden actions, and returns which of them worked. It never returns data."""

import ctypes
import fcntl
import json
import multiprocessing
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import pandas as pd

from algotools import Database, RunInfo, rpc

AT_IMPORT = {"uid": os.getuid(), "groups": os.getgroups(), "home": os.environ.get("HOME")}


VARIABLES_AT_IMPORT = dict(os.environ), Path("/proc/self/environ").read_text()


def attempt(action):
    """Return whether an action works, and the type of its error."""
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
def identity() -> dict:
    """Return user, groups, capabilities and folders of the process."""
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
def search(shifted_words: list[str]) -> dict:
    """Return how often each word is in the variables and in the memory of the process.

    The words are shifted by one code point, so that they are not in the memory themselves.
    """
    table = bytes((*range(1, 256), 0))
    variables, block = VARIABLES_AT_IMPORT
    at_import = [*variables, *variables.values(), block]
    in_memory = dict.fromkeys(shifted_words, 0)
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
        for start, end in [line.split()[0].split("-") for line in maps if line.split()[1].startswith("rw")]:
            try:
                memory.seek(int(start, 16))
                content = memory.read(int(end, 16) - int(start, 16)).translate(table)
            except (OSError, ValueError, OverflowError):
                continue
            for word in shifted_words:
                in_memory[word] += content.count(word.encode())
    return {
        "at import": [
            sum(text.encode().translate(table).count(word.encode()) for text in at_import) for word in shifted_words
        ],
        "memory": list(in_memory.values()),
        "files": sorted({file.partition(":")[0] for file in map(find_file, os.listdir("/proc/self/fd")) if file}),
    }


@rpc
def search_with_ids(info: RunInfo, shifted_words: list[str]) -> dict:
    return {"task": info.task_id, **search(shifted_words)}


@rpc
def read(paths: list[str]) -> dict:
    """Return which files can be read, in this process and in child processes."""
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
def modify(paths: list[str]) -> dict:
    """Return which changes of each file are possible."""
    return {path: modify_file(path) for path in paths}


def modify_file(path):
    folder = os.path.dirname(path)
    own_file = os.path.join(tempfile.gettempdir(), "mine")
    Path(own_file).write_text("mine")
    return {
        "write": attempt(lambda: open_for("r+b", path)),
        "append": attempt(lambda: open_for("ab", path)),
        "truncate": attempt(lambda: os.truncate(path, 0)),
        "chmod": attempt(lambda: os.chmod(path, 0o777)),
        "chmod by folder": attempt(lambda: os.chmod(os.path.basename(path), 0o777, dir_fd=open_folder(folder))),
        "chmod of an open file": attempt(lambda: os.fchmod(os.open(path, os.O_RDONLY), 0o777)),
        "chmod of a reference": attempt(lambda: os.chmod(f"/proc/self/fd/{os.open(path, os.O_PATH)}", 0o777)),
        "chmod through a link": attempt(lambda: os.chmod(make_link(path), 0o777)),
        "utime": attempt(lambda: os.utime(path)),
        "utime with times": attempt(lambda: os.utime(path, (1, 1))),
        "utime of an open file": attempt(lambda: os.utime(os.open(path, os.O_RDONLY))),
        "utime of a link": attempt(lambda: os.utime(path, follow_symlinks=False)),
        "attribute": attempt(lambda: os.setxattr(path, "user.a", b"1")),
        "attribute of an open file": attempt(lambda: os.setxattr(os.open(path, os.O_RDONLY), "user.a", b"1")),
        "flags": attempt(lambda: fcntl.ioctl(os.open(path, os.O_RDONLY), 0x40086602, b"\x80" + bytes(7))),
        "through a subprocess": attempt(lambda: subprocess.run(["chmod", "777", path], check=True)),
        "touch": attempt(lambda: subprocess.run(["touch", "-c", path], check=True)),
        "chown": attempt(lambda: os.chown(path, os.getuid(), -1)),
        "unlink": attempt(lambda: os.unlink(path)),
        "rename over": attempt(lambda: os.replace(own_file, path)),
        "rename away": attempt(lambda: os.rename(path, own_file)),
        "link": attempt(lambda: os.link(path, own_file + "-link")),
        "create beside": attempt(lambda: open_for("w", os.path.join(folder, "new"))),
        "mount over": attempt(lambda: mount(own_file, path)),
    }


def open_folder(path):
    return os.open(path, os.O_PATH | os.O_DIRECTORY)


def make_link(path):
    link = Path(tempfile.mkdtemp()) / "link"
    link.symlink_to(path)
    return link


@rpc
def manage_own_files(info: RunInfo) -> dict:
    """Use modes and times of own files as libraries do; return what is wrong afterwards."""
    wrong = {}
    for folder in tempfile.mkdtemp(), tempfile.mkdtemp(dir=info.temporary_folder):
        file = Path(folder, "file")
        file.write_text("text")
        file.chmod(0o640)
        os.utime(file, (1000, 2000))
        copy = Path(shutil.copy2(file, Path(folder, "copy")))
        with open(copy) as opened:
            os.fchmod(opened.fileno(), 0o600)
        by_folder = os.open(folder, os.O_RDONLY)
        os.utime("copy", ns=(5_000_000_000, 6_000_000_000), dir_fd=by_folder)
        os.close(by_folder)
        Path(folder, "tree").mkdir(mode=0o700)
        Path(folder, "tree", "link").symlink_to(file)
        shutil.copytree(Path(folder, "tree"), Path(folder, "new"), symlinks=True)
        os.chdir(folder)
        os.chmod("new", 0o750)
        Path("copy").touch()
        subprocess.run(["chmod", "+x", "file"], check=True)
        wrong[folder] = {
            "file": oct(file.stat().st_mode & 0o777),
            "time": int(file.stat().st_mtime),
            "copy": oct(copy.stat().st_mode & 0o777),
            "is new": copy.stat().st_mtime > 1e9,
            "new": oct(Path("new").stat().st_mode & 0o777),
            "missing": attempt(lambda: os.chmod("not there", 0o700)),
            "empty": attempt(lambda: os.chmod("", 0o700)),
            "closed": attempt(lambda: os.fchmod(999, 0o700)),
        }
    return {"reports": list(wrong.values())}


@rpc
def call_each(info: RunInfo, calls: dict[str, dict]) -> dict:
    """Call functions one after the other in this process, and return the result of each (name -> arguments)."""
    functions = {
        "manage_own_files": lambda: manage_own_files(info),
        **{function.__name__: function for function in (identity, attack, read, list_folders, modify)},
    }
    return {name: functions[name](**arguments) for name, arguments in calls.items()}


def mount(source, target):
    if ctypes.CDLL(None, use_errno=True).mount(source.encode(), target.encode(), None, 4096, None):
        raise OSError(ctypes.get_errno())


@rpc
def append_text(info: RunInfo, text: str) -> str:
    """Append a text to a file of the job; return the texts before it."""
    file = info.temporary_folder / "kept" / "text"
    before = file.read_text() if file.exists() else ""
    file.parent.mkdir(exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=info.temporary_folder)) / "new"
    draft.write_text(text)
    draft.replace(file)
    return before


@rpc
def use_processes() -> dict:
    """Use files, processes and sockets as the standard library does."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a" / "file"
        file.parent.mkdir()
        file.write_text("text")
        shutil.move(file, Path(folder) / "file")
        results["moved"] = (Path(folder) / "file").read_text()
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        with context.Pool(1) as pool:
            results[method] = pool.apply(os.getuid)
    with multiprocessing.Manager() as manager:
        results["manager"] = list(manager.list([1, 2]))
    lock = multiprocessing.Lock()
    with lock:
        results["lock"] = True
    results["shell"] = subprocess.run(
        "id -u; ls /proc/self/fd > /dev/null && echo fds", shell=True, capture_output=True, text=True
    ).stdout.split()
    with open("/dev/stdout", "w") as stream:
        stream.write("printed by name\n")
    with open("/dev/null", "w") as stream:
        stream.write("nothing")
    results["random"] = len(open("/dev/urandom", "rb").read(4))
    thread = threading.Thread(target=lambda: results.update(thread=os.getuid()))
    thread.start()
    thread.join()
    results["resolved"] = bool(socket.gethostbyname("localhost"))
    return results


@rpc
def attack() -> dict:
    """Return which attacks on the supervisor work."""
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
        "limits": attempt(lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE, (0, 0))),
        "priority": attempt(lambda: os.setpriority(os.PRIO_PROCESS, parent, 19)),
        "processors": attempt(lambda: os.sched_setaffinity(parent, {0})),
        "setuid": attempt(become_root),
        "su": attempt(through_setuid),
        "kernel": attempt(lambda: open_for("w", "/proc/sys/kernel/core_pattern")),
    }


@rpc
def sizes(data: pd.DataFrame, column: str) -> dict:
    """Return rows and sum of a table that algotools reads."""
    return {"rows": len(data), "sum": int(data[column].sum())}


@rpc
def from_labels(
    first: Annotated[pd.DataFrame, Database("default")], second: Annotated[pd.DataFrame, Database("second")]
) -> list:
    return [len(first), len(second)]


@rpc
def by_path(database: Database) -> dict:
    """Return facts about a database that the function opens itself."""
    path = Path(database.uri)
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {
        "name": path.name,
        "bytes": {str(file.relative_to(path)): attempt(lambda: open_for("rb", file)) for file in files},
        "private": oct(path.stat().st_mode & 0o777),
        "owner": path.stat().st_uid,
    }


@rpc
def two_by_path(first: Database, second: Database) -> list:
    return [[Path(database.uri).name, len(Path(database.uri).read_bytes())] for database in (first, second)]


def send_message(message):
    """Send a message to the supervisor like the worker does, and return the reply."""
    import msgspec

    (channel,) = (int(fd) for fd in os.listdir("/proc/self/fd") if is_socket(fd))
    data = msgspec.msgpack.encode(message)
    os.write(channel, len(data).to_bytes(8, "big") + data)
    size = int.from_bytes(os.read(channel, 8), "big")
    return msgspec.msgpack.decode(os.read(channel, size))


def find_file(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:  # the descriptor of the list itself
        return ""


def is_socket(fd):
    return find_file(fd).startswith("socket:")


@rpc
def forge(labels: list[str], kind: str = "DatabaseRequest") -> list:
    """Request databases from the supervisor with hand-made messages."""
    results = []
    for label in labels:
        reply = send_message({"type": kind, "label": label})
        results.append({"uri": bool(reply.get("uri")), "code": reply.get("exit_code"), "message": reply.get("message")})
    return results


@rpc
def forge_with_label(second: Annotated[Database, Database("second")], labels: list[str]) -> list:
    return forge(labels)


@rpc
def send_messages(messages: list[dict]) -> list:
    """Return the replies to messages, without the values in them."""
    replies = [send_message(message) for message in messages]
    return [{name: bool(value) if name in VALUES else value for name, value in reply.items()} for reply in replies]


VALUES = ("token", "identity", "database", "uri", "detail")


@rpc
def send_bytes(prefix: list[int], repeated: int = 0) -> str:
    """Write bytes into the channel, then zeros."""
    (channel,) = (int(fd) for fd in os.listdir("/proc/self/fd") if is_socket(fd))
    os.write(channel, bytes(prefix))
    for _ in range(repeated):
        os.write(channel, bytes(1 << 20))
    time.sleep(60)
    return "still here"


@rpc
def flood() -> None:
    """Send requests forever, and never read a reply."""
    import msgspec

    (channel,) = (int(fd) for fd in os.listdir("/proc/self/fd") if is_socket(fd))
    data = msgspec.msgpack.encode({"type": "TokenRequest"})
    while True:
        os.write(channel, len(data).to_bytes(8, "big") + data)


@rpc
def spills(data: Database, notes: str, ends: str) -> str:
    """Leave temporary files of DuckDB, and those of ``leaves_files``."""
    import duckdb

    from algotools.data import load

    stack = ExitStack()
    relation = load(data, "duckdb", None, stack).value
    spill = relation.project("current_setting('temp_directory')").limit(1).fetchall()[0][0]
    own = duckdb.connect(config={"temp_directory": spill, "memory_limit": "40MB", "threads": 1})
    own.execute("create table numbers as select hash(range) as h from range(8_000_000)")
    Path(notes, "spill").write_text(json.dumps([spill, sorted(os.listdir(spill))]))
    return leaves_files(notes, ends)


@rpc
def leaves_files(notes: str, ends: str) -> str:
    """Leave temporary files that cannot be removed in the usual way."""
    folder = Path(tempfile.mkdtemp())
    (folder / "closed" / "deeper").mkdir(parents=True)
    (folder / "closed" / "deeper" / "file").write_text("text")
    (folder / "link").symlink_to(notes)
    (folder / "closed").chmod(0)
    if ends == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if ends == "exits":
        os._exit(0)
    if ends == "raises":
        raise ValueError
    if ends == "sleeps":
        time.sleep(60)
    return ends


@rpc
def put_links(info: RunInfo, target: str) -> None:
    (info.temporary_folder / "link").symlink_to(target)


@rpc
def sleep() -> None:
    time.sleep(600)
