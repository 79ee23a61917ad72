"""Fuzzed inputs and environments of a container: documented codes, no traceback, an empty output on failure."""

from __future__ import annotations

import base64
import contextlib
import copy
import gzip
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from algotools.declare import locate
from algotools.federation.contract import Request
from algotools.federation.runners import Cancellation
from algotools.federation.runners.inline import InlineRunner
from algotools.runtime.run import read_task, run_task

from ..conftest import ALGORITHMS, SECRET, ManualNode, write_patients
from .scoreboard import AttackGroup

ATTEMPTS = 4_200
PROCESS_EVERY = 40
"""One of so many attempts is a real process. The others call, in this process, what the entry point calls."""
LIMIT = 200.0
ENDLESS = frozenset({"/dev/full", "/dev/zero"})
ALGORITHM = ALGORITHMS / "misbehaving"
CONTRACTS = ("v3", "v4", "v5")
METHODS = ["well", "well", "well", "raises", "describes_its_run", "options", "logs", "returns_a_set"]
ODD_METHODS = [
    "", " ", "well ", "WELL", "secret", "load", "os.system", "__init__", "__class__", "well\0", "\n",
    "../well", "well()",
    "\ud800", "x" * 100_000, "💥", "misbehaving.well", "UnknownColumn", "raise", "log", None, 1, [], {},
]  # fmt: skip
ODD_TEXTS = [
    "", " ", "0", "-1", "1e308", "1e-9", "inf", "nan", "0x10", "٣", " 5 ", "None", "null", "true", "[]", "{}",
    "{", "💥",
    "\u202e", "\n", "\r\n", "\t", "\x1b[31m", "\udcff", "\ufeff", "x" * 100_000, "9" * 5_000, "%s%n", "{0}",
    "=", ";",
    ",", ",;,;", "default,default", "default;default", "DEFAULT", "default ", "a,b,c", "json.", "!!!!",
    "MZXW6===",
    "../..", "http://", "http://[", "http://127.0.0.1:1", "central_compute", "federated_compute",
    "data_extraction",
    "preprocessing", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "select 1", "sql", "csv", "parquet", "excel", "frame",
]  # fmt: skip
ODD_VALUES: list[Any] = [
    None, True, False, 0, -1, 1.5, float("nan"), float("inf"), 10**30, -(10**400), "", "x" * 100_000, "\0",
    "\ud800", [], {},
    [[]], [None] * 1000, {"": ""}, {"a": {"a": {"a": []}}}, {"number": 1}, ["default"], "rpc", "algotools",
    "json",
]  # fmt: skip
ODD_BYTES = [
    b"", b" ", b"null", b"[]", b"1", b'"x"', b"{", b"{}", b"{}{}", b"\xff\xfe", b"\xef\xbb\xbf{}", b"json.",
    b"JSON.{}",
    b"json.json.{}", b"pickle.", b"[" * 200_000, b'{"a":' * 100_000, b'{"method":' + b"9" * 10_000 + b"}",
    b"NaN",
    b'{"method": "well", "kwargs": {"number": 1e999}}', b'{"method": "well", "method": "raises"}', b"\0" * 1000,
    b'{"method": "well"} // x', b'{"method": "w\\u0000"}', b'{"method": "\\ud800"}', b"a: 1", b"<xml/>",
    b"\x80\x04.",
    *(pickle.dumps({"method": "well"}, protocol) for protocol in range(6)),
    gzip.compress(b'{"method": "well"}'), '{"method": "well"}'.encode("utf-16"),
    '{"method": "ÿ"}'.encode("latin1"),
]  # fmt: skip


def attack(group: AttackGroup, seed: int, share: float = 1.0) -> None:
    """Run fuzzed tasks in this process, and some of them in processes of their own."""
    chance = random.Random(seed)
    runner = InlineRunner(lambda: locate.load(locate.locate(str(ALGORITHM))))
    with tempfile.TemporaryDirectory() as scratch, _change_folder(Path(scratch)):
        node = _make_node(Path(scratch))
        for number in range(round(ATTEMPTS * share)):
            contract = CONTRACTS[number % len(CONTRACTS)]
            environment, data, changes = _fuzz(node, contract, chance)
            _prepare_files(node, data)
            name = f"{number}, {contract}: {', '.join(changes)}"
            is_process = number % PROCESS_EVERY == 0
            outcome = _run_process(node, environment) if is_process else _run_here(runner, environment)
            if outcome is not None:
                _judge(group, node, name, *outcome)


def _make_node(scratch: Path) -> ManualNode:
    folder = scratch / "task-000000001"
    folder.mkdir()
    (scratch / "loop").symlink_to("loop")
    os.mkfifo(scratch / "pipe")
    return ManualNode(folder, {"default": write_patients(scratch)})


@contextlib.contextmanager
def _change_folder(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _prepare_files(node: ManualNode, data: bytes) -> None:
    (node.folder / "input").write_bytes(data)
    (node.folder / "output").write_bytes(b"")


def _fuzz(node: ManualNode, contract: str, chance: random.Random) -> tuple[dict[str, str], bytes, list[str]]:
    """Return an environment and an input with random changes, and the names of the changes."""
    content: dict[str, Any] = {"method": chance.choice(METHODS), "args": [], "kwargs": {}, "master": False}
    if content["method"] == "options":
        content["kwargs"] = {"values": {"a": 1}}
    changes: list[str] = []
    if chance.random() < 0.6:
        _change_content(content, chance, changes)
    data = json.dumps(content["kwargs"] if contract == "v5" else content).encode("utf-8")
    data = b"json." + data if contract == "v3" else data
    if chance.random() < 0.3:
        data = _change_bytes(data, chance, changes)
    request = Request(data, str(content.get("method") or ""), "rpc")
    with contextlib.suppress(UnicodeError):
        request.method.encode()
        if "\0" not in request.method:
            environment = node.environment(ALGORITHM, request, contract)
    if "environment" not in locals():
        environment = node.environment(ALGORITHM, Request(data, "well", "rpc"), contract)
    for _ in range(chance.choice([0, 1, 1, 2, 3])):
        _change_environment(environment, node, contract != "v3", chance, changes)
    return environment, data, changes


def _change_content(content: dict[str, Any], chance: random.Random, changes: list[str]) -> None:
    key = chance.choice(["method", "args", "kwargs", "master", "output_format", "more", "argument", "argument"])
    if key == "argument":
        name = chance.choice(
            ["number", "values", "data", "self", "info", "client", "", "organizations", "quorum", "x" * 999]
        )
        value = chance.choice(ODD_VALUES)
        content["kwargs"] = {**content["kwargs"], name: copy.deepcopy(value)}
        changes.append(f"argument {name[:20]!r} = {str(value)[:30]!r}")
        return
    if chance.random() < 0.2:
        content.pop(key, None)
        content.setdefault("kwargs", {})
        changes.append(f"no {key}")
        return
    content[key] = copy.deepcopy(chance.choice(ODD_METHODS if key == "method" else ODD_VALUES))
    changes.append(f"{key} = {str(content[key])[:30]!r}")


def _change_bytes(data: bytes, chance: random.Random, changes: list[str]) -> bytes:
    changed = bytearray(data)
    position = chance.randrange(len(data))
    match chance.randrange(6):
        case 0:
            changed = bytearray(chance.choice(ODD_BYTES))
        case 1:
            changed[position] ^= 1 << chance.randrange(8)
        case 2:
            del changed[position:]
        case 3:
            changed[position:position] = chance.choice(ODD_BYTES)
        case 4:
            changed += chance.choice(ODD_BYTES)
        case _:
            changed = changed[:position] + changed
    changes.append(f"input {bytes(changed[:40])!r}")
    return bytes(changed)


def _list_odd_paths(node: ManualNode) -> list[str]:
    scratch = str(node.folder.parent)
    return [
        "", ".", "/", "~", "-", "relative", "..", scratch, f"{scratch}/missing/x", f"{scratch}/loop",
        f"{scratch}/patients.csv/x",
        "/dev/null", "/dev/full", f"{scratch}/pipe",
        f"{scratch}/{'x' * 300}", "x" * 5_000, f"{scratch}/\udcff", f"file://{scratch}/patients.csv",
        f"{scratch}/new\nline", f"{scratch}/with\0null", f"{scratch}/patients.csv", "postgresql://x:y@[", "sqlite:///",
        f"sqlite:///{scratch}/patients.csv", f"{scratch}/x.parquet", f"{scratch}/x.xlsx",
    ]  # fmt: skip


def _change_environment(
    environment: dict[str, str], node: ManualNode, is_encoded: bool, chance: random.Random, changes: list[str]
) -> None:
    def encode(text: str) -> str:
        if is_encoded and chance.random() < 0.85:
            return base64.b32encode(text.encode("utf-8", "surrogatepass")).decode().replace("=", "!")
        return text.replace("\0", "")

    names = sorted(
        name for name in environment if not name.startswith(("PYTHON", "LC_")) and name not in {"PATH", "LANG", "HOME"}
    )
    name = chance.choice(names)
    path_names = [n for n in names if n.endswith(("_FILE", "_FOLDER", "_URI"))]
    match chance.randrange(8):
        case 0:
            environment.pop(name)
            changes.append(f"no {name}")
        case 1 | 2:
            value = chance.choice(ODD_TEXTS)
            if name != "OUTPUT_FILE":
                environment[name] = encode(value)
                changes.append(f"{name} = {value[:30]!r}")
        case 3 | 4:
            name, value = chance.choice(path_names), chance.choice(_list_odd_paths(node))
            if name.endswith("_URI") and (
                value in ENDLESS or value.endswith("/pipe")
            ):  # the author's own code would read it for ever
                value = "/dev/null"
            environment[name] = encode(value)
            changes.append(f"{name} = {value[:60]!r}")
        case 5:
            second_name = chance.choice(names)
            if "OUTPUT_FILE" not in (name, second_name):  # never write into a database or an input
                environment[name], environment[second_name] = environment[second_name], environment[name]
                changes.append(f"{name} <-> {second_name}")
        case 6:
            name = chance.choice([
                "ALGOTOOLS_TIMEOUT", "ALGOTOOLS_DEBUG", "USER_REQUESTED_DATABASE_LABELS",
                "USER_REQUESTED_DATABASE_LABEL",
                "USER_REQUESTED_DATAFRAMES", "FUNCTION_ACTION", "ALGORITHM_METHOD", "DB_LABELS", "DEFAULT_QUERY",
                "DEFAULT_PREPROCESSING", "DEFAULT_SHEET_NAME", "DEFAULT_DATABASE_TYPE", "DEFAULT_DB_PARAM_SEP", "HOST",
                "PORT", "TASK_ID", "SESSION_FOLDER", "CONTAINER_TOKEN", "DATABASE_URI", "DATABASE_TYPE", "TOKEN_FILE",
            ])  # fmt: skip
            value = chance.choice(ODD_TEXTS)
            environment[name] = encode(value)
            changes.append(f"new {name} = {value[:30]!r}")
        case _:
            if name != "OUTPUT_FILE":
                environment[name] = environment[name][: chance.randrange(1 + len(environment[name]))]
                changes.append(f"{name} cut")


def _run_here(runner: InlineRunner, environment: dict[str, str]) -> tuple[int, str]:
    """Do in this process what the entry point does, except for the second process."""
    lines: list[str] = []
    hung = []

    def interrupt(*_: object) -> NoReturn:
        hung.append(True)
        raise TimeoutError

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    try:
        with open(os.devnull, "w", encoding="utf-8") as nothing, contextlib.redirect_stdout(nothing):
            code = run_task(lambda: read_task(environment), lambda run: runner._call(run, Cancellation()), lines.append)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return (-9, "the run does not finish") if hung else (code, "\n".join(lines))


def _run_process(node: ManualNode, environment: dict[str, str]) -> tuple[int, str] | None:
    """Run the entry point; None if the system cannot start a process with the environment."""
    try:
        process = subprocess.run(
            [sys.executable, "-m", "algotools"],
            env=environment,
            cwd=node.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT,
            check=False,
        )
    except (ValueError, OSError):
        return None
    except subprocess.TimeoutExpired:
        return -9, "the process does not finish"
    return process.returncode, (process.stdout + process.stderr).decode("utf-8", "backslashreplace")


def _judge(group: AttackGroup, node: ManualNode, name: str, code: int, text: str) -> None:
    group.attempts += 1
    if code == -9:
        group.report("hang", name, text)
        return
    group.check_code(code, f"{name}: {text[-300:]}")
    group.check_text(text, name)
    if SECRET in text:
        group.report("value", name, text[:300])
    output = node.folder / "output"
    if code and output.exists() and output.read_bytes():
        group.report("output", name, f"{output.stat().st_size} bytes")
