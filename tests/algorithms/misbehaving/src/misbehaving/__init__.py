"""One function for each kind of misbehaviour. All functions have read the data of a patient."""

import base64
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path

import algotools
from algotools import AlgorithmClient, Database, RunInfo, UserError, master, rpc
from algotools.data import load
from algotools.errors import UnknownColumn


def secret(data: Database) -> str:
    """Return a value from the data: the first cell of the first row."""
    if data.type == "parquet":  # a table of a v5 session
        return str(load(data, "pandas", None).value.iloc[0, 0])
    return Path(data.uri).read_text(encoding="utf-8").splitlines()[1].split(",")[0]


@rpc
def well(data: Database, number: int = 1) -> dict[str, int]:
    return {"number": number, "length": len(secret(data))}


@rpc
def raises(data: Database) -> None:
    raise ValueError(f"cannot deal with {secret(data)}")


@rpc
def raises_with_a_cause(data: Database) -> None:
    try:
        int(secret(data))
    except ValueError as error:
        raise KeyError(secret(data)) from error


@rpc
def returns_a_set(data: Database) -> object:
    return {"names": [1, {secret(data)}], secret(data): 1}


@rpc
def returns_a_set_under_a_secret_key(data: Database) -> object:
    return {"names": {secret(data): {1, 2}}}


@rpc
def returns_not_a_number(data: Database) -> object:
    return {"mean": float("nan"), "more": [1.0, float("inf")], secret(data): float("nan")}


@rpc
def returns_a_broken_text(data: Database) -> object:
    return "\ud800"


@rpc
def returns_itself(data: Database) -> object:
    value: list[object] = []
    value.append(value)
    return value


@rpc
def exits(data: Database) -> None:
    sys.exit(f"bye {secret(data)}")


@rpc
def exits_well(data: Database) -> None:
    sys.exit(0)


@rpc
def ends_the_process(data: Database) -> None:
    os._exit(0)


@rpc
def prints(data: Database) -> str:
    print(secret(data))
    print(secret(data), file=sys.stderr, flush=True)
    os.write(1, secret(data).encode())
    os.write(2, secret(data).encode())
    subprocess.run(["echo", secret(data)], check=True)
    warnings.warn(secret(data), stacklevel=1)
    logging.getLogger().error(secret(data))
    return "done"


@rpc
def is_killed(data: Database) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@rpc
def runs_out_of_memory_in_a_library(library: str) -> None:
    """End the process as a library without memory does; no limit does this at the same place each time."""
    if library == "C":
        os.write(2, b"cannot allocate memory for thread-local data: ABORT\n")
        os._exit(127)
    messages = {
        "C++": b"terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n",
        "Rust": b"memory allocation of 4096 bytes failed\n",
        "none": b"the memory is enough\n",
    }
    os.write(2, messages[library])
    os.abort()


@rpc
def crashes(data: Database) -> None:
    ctypes.string_at(0)


@rpc
def never_returns(data: Database) -> None:
    while True:
        time.sleep(60)


@rpc
def spins(data: Database) -> None:
    while True:
        pass


@rpc
def leaves_a_child_behind(data: Database) -> int:
    return subprocess.Popen(["sleep", "600"]).pid


@rpc
def exits_while_a_child_prints(data: Database) -> None:
    if os.fork():
        os._exit(3)
    while True:
        try:
            os.write(1, b"x")
        except OSError:  # the run is over, so nobody reads the pipe
            os._exit(0)


@rpc
def closes_all_descriptors(data: Database) -> str:
    os.closerange(0, 256)
    return "still here"


@rpc
def writes_into_all_descriptors(data: Database) -> str:
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"\xff" * 64)
        except OSError:
            pass
    return "still here"


@rpc
def replaces_streams(data: Database) -> str:
    sys.stdout = sys.stderr = None
    return "fine"


@rpc
def recurses(data: Database) -> None:
    recurses(data)


class TooFewValues(UserError):
    text = "fewer than {minimum} rows have a value"
    minimum: int


@rpc
def raises_a_user_error(data: Database) -> None:
    raise TooFewValues(minimum=10)


@rpc
def logs(data: Database) -> str:
    algotools.log("half\nway\x1b[31m")
    algotools.progress(0.5, "of the rows")
    return "logged"


@rpc
def describes_its_run(data: Database, info: RunInfo) -> dict[str, object]:
    marker = info.temporary_folder / "marker"
    marker.write_text("was here")
    return {
        "task": info.task_id,
        "node": info.node_id,
        "organization": info.organization_id,
        "variables": dict(info.variables),
        "raw": os.environ.get("PLAYER"),
    }


@master
def calls_a_failing_rpc(client: AlgorithmClient, organizations: list[int]) -> object:
    return list(client.run(raises, organizations=organizations))


@master
def gathers(client: AlgorithmClient, organizations: list[int] | None = None, quorum: int | None = None) -> object:
    results = client.run("picky", organizations=organizations, quorum=quorum)
    return {"results": list(results), "failures": sorted(results.failures)}


@rpc
def picky(data: Database, info: RunInfo) -> int:
    if info.organization_id == 3:
        raise ValueError(secret(data))
    return info.organization_id


@master
def calls_an_unknown_method(client: AlgorithmClient) -> object:
    return list(client.run("no_such_function"))


@rpc
def options(data: Database, values: Mapping[str, int]) -> object:
    return values


@rpc
def loaded_modules(data: Database) -> list[str]:
    return sorted({name.partition(".")[0] for name in sys.modules})


@rpc
def raises_an_algotools_error(data: Database) -> None:
    raise UnknownColumn(secret(data))


@rpc
def raises_the_base_error(data: Database) -> None:
    raise algotools.AlgotoolsError(secret(data))


_imported = os.urandom(8).hex()


@rpc
def imported_as() -> str:
    """Return a text that differs for each import of the module."""
    return _imported


def put(content, output):
    """Put something in the place of the output file; without a path, of the file in the variable of v4."""
    path = Path(output or base64.b32decode(os.environ["OUTPUT_FILE"].replace("!", "=")).decode())
    if content == "text":
        path.write_text("written by the function")
    elif content == "new file":
        path.unlink()
        path.write_text("written by the function")
    elif content == "link":
        path.unlink()
        path.symlink_to("/etc/passwd")
    elif content == "link to the input":
        path.unlink()
        path.symlink_to(path.with_name("input"))
    elif content == "broken link":
        path.unlink()
        path.symlink_to("not there")
    elif content == "folder":
        path.unlink()
        path.mkdir()
        (path / "file").write_text("written by the function")
    elif content == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif content == "nothing":
        path.unlink()
    elif content == "no permissions":
        path.write_text("written by the function")
        path.chmod(0)


@rpc
def puts(content: str, output: str, then: str) -> str:
    """Change the output file, then end in some way."""
    put(content, output)
    match then:
        case "raises":
            raise ValueError(content)
        case "exits":
            os._exit(0)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "writes into the channel":
            for descriptor in range(3, 64):
                try:
                    os.write(descriptor, b"\xff" * 64)
                except OSError:
                    pass
            time.sleep(60)
        case "sleeps":
            time.sleep(60)
        case "returns a set":
            return {1}
    return "returned"


@rpc
def writes_later(output: str, leaves_session: bool, then: str = "raises") -> None:
    """Leave a process that keeps the output file open and writes into it without pause."""
    if os.fork() == 0:
        if leaves_session:
            os.setsid()
        Path(f"{output}.process").write_text(str(os.getpid()))
        file = os.open(output, os.O_WRONLY)
        while True:
            os.pwrite(file, b"written by a process that survived", 0)
            time.sleep(0.001)
    time.sleep(0.3)
    if then == "exits":
        os._exit(0)
    raise ValueError
