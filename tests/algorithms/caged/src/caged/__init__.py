"""Reports what it can see and reach from its container, and exceeds its limits."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from algotools import AlgorithmClient, Database, RunInfo, log, master, rpc


def attempt(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return "done"


def look_around(host: str, port: int) -> dict:
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)

    def connect(address):
        return lambda: socket.create_connection(address, timeout=2).close()

    limits = {}
    for name, files in {
        "memory": ["/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max"],
        "processes": ["/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/pids.max"],
    }.items():
        limits[name] = next((int(Path(f).read_text()) for f in files if Path(f).exists()), None)
    return {
        "user": [os.getuid(), os.getgid()],
        "capabilities": status["CapEff"],
        "bounding": status["CapBnd"],
        "no new privileges": status["NoNewPrivs"],
        "interfaces": sorted(name for _, name in socket.if_nameindex()),
        "host": attempt(connect((host, port))),
        "api": attempt(connect(("127.0.0.1", 8080))),
        "root": attempt(lambda: Path("/mine").write_text("x")),
        "code": attempt(lambda: Path(__file__).write_text("x")),
        "tmp": attempt(lambda: Path("/tmp/mine").write_text("x")),
        "sockets": [str(p) for p in Path("/run").rglob("*") if p.is_socket()],
        **limits,
    }


@rpc
def surroundings(host: str, port: int) -> dict:
    return look_around(host, port)


@master
def surroundings_of_a_master(client: AlgorithmClient, host: str, port: int) -> dict:
    return look_around(host, port)


@rpc
def databases(database: Database) -> dict:
    path = Path(database.uri)
    return {
        "path": str(path),
        "content": path.read_text() if path.is_file() else sorted(p.name for p in path.iterdir()),
        "append": attempt(lambda: open(path if path.is_file() else path / "more", "a").close()),
    }


@rpc
def keeps(info: RunInfo, text: str) -> str:
    file = info.temporary_folder / "kept"
    before = file.read_text() if file.exists() else ""
    file.write_text(before + text)
    return before


@master
def keeps_twice(client: AlgorithmClient) -> list:
    list(client.run(keeps, text="a"))
    return list(client.run(keeps, text="b"))


@rpc
def takes_memory(megabytes: int) -> int:
    return len(bytearray(os.urandom(1024)) * 1024 * megabytes)


@rpc
def takes_all_memory_in_one_process(megabytes: int) -> int:
    code = f"import os; x = bytearray(os.urandom(1024)) * 1024 * {megabytes}"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode


@rpc
def takes_processes() -> str:
    children = []
    try:
        for _ in range(2000):
            pid = os.fork()
            if pid == 0:
                time.sleep(30)
                os._exit(0)
            children.append(pid)
    except OSError as error:
        return type(error).__name__
    finally:
        for pid in children:
            os.kill(pid, 9)
    return "done"


@rpc
def logs_and_waits(seconds: float) -> str:
    log("before")
    print("for the owner")
    time.sleep(seconds)
    log("after")
    return "done"


@master
def asks(client: AlgorithmClient) -> list:
    return list(client.run(logs_and_waits, seconds=0))
