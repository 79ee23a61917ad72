"""Functions that reach for files and connections, which a sandbox allows or forbids."""

from __future__ import annotations

import socket
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import pandas as pd

from algotools import AlgorithmClient, Column, RunInfo, master, rpc

PROJECT = Path(__file__).parents[2]


@rpc
def add(data: pd.DataFrame, column_name: Column) -> float:
    return float(data[column_name].sum())


@master
def add_all(client: AlgorithmClient, column_name: str) -> float:
    return float(sum(client.run(add, column_name=column_name)))


@rpc
def read_file(path: str) -> int:
    return len(Path(path).read_bytes())


@rpc
def write_file(path: str) -> int:
    return Path(path).write_text("text", encoding="utf-8")


@rpc
def read_project() -> int:
    return len((PROJECT / "pyproject.toml").read_bytes())


@rpc
def write_project() -> int:
    return (PROJECT / "new").write_text("text", encoding="utf-8")


@rpc
def write_temporary(info: RunInfo) -> int:
    assert info.temporary_folder is not None
    with tempfile.NamedTemporaryFile() as file:
        return file.write(b"text") + (info.temporary_folder / "file").write_text("text", encoding="utf-8")


@rpc
def connect(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port)):
        return "connected"


@master
def connect_as_master(client: AlgorithmClient, port: int) -> str:
    del client
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as response:
        return str(response.status)


@rpc
def list_rights() -> dict[str, Any]:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return {name: value.strip() for name, _, value in (line.partition(":") for line in status.splitlines())}
