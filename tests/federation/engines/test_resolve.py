"""The engine of ``runner=``: names, addresses and scheduler files, and the errors for those that do not work."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from algotools import Federation
from algotools.errors import AlgotoolsError, EngineError, FederationError
from algotools.federation.engines import dask
from algotools.federation.engines._engine import Address, find_address
from algotools.federation.engines.resolve import EngineSource

from ...conftest import AVERAGE, algotools


def fail_to_open(scheduler: str | Path) -> AlgotoolsError:
    """Open the engine of a scheduler that does not work, and return the error."""
    with pytest.raises(AlgotoolsError) as caught:
        EngineSource("dask", scheduler, None).open()
    return caught.value


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_scheduler_that_does_not_answer_is_named_within_ten_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        error = fail_to_open(address)
        assert time.monotonic() - started < 10
    assert isinstance(error, EngineError)
    assert f"the Dask scheduler at {address} does not answer (timed out); check that it runs" in error.message


@pytest.mark.parametrize("form", ["tcp://127.0.0.1:{port}", "127.0.0.1:{port}"])
def test_a_scheduler_that_has_stopped_is_named(free_port: int, form: str) -> None:
    error = fail_to_open(form.format(port=free_port))
    assert isinstance(error, EngineError)
    assert f"127.0.0.1:{free_port} does not answer (connection refused); " in error.message
    assert error.detail == ""


def test_the_file_of_a_stopped_scheduler_is_named(free_port: int, tmp_path) -> None:
    (tmp_path / "old.json").write_text(json.dumps({"address": f"tcp://127.0.0.1:{free_port}"}), encoding="utf-8")
    assert f"(the address in {tmp_path / 'old.json'}) does not answer" in fail_to_open(tmp_path / "old.json").message


@pytest.mark.parametrize(
    ("content", "reason"), [("{", "is not the JSON"), ("{}", "does not contain"), ("", "is not the JSON")]
)
def test_a_file_that_is_not_a_schedulers_is_refused_soon(tmp_path, content: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    file = tmp_path / "file.json"
    file.write_text(content, encoding="utf-8")
    started = time.monotonic()
    error = fail_to_open(str(tmp_path / "folder" / ".." / "file.json"))
    assert time.monotonic() - started < 3
    assert isinstance(error, FederationError)
    assert f"the file {file} {reason}" in error.message
    assert str(file) not in error.message.partition(";")[2]  # the next step does not overwrite the file


def test_a_missing_scheduler_file_is_awaited_with_a_line(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(dask, "_FILE_TIMEOUT", 0.5)
    file = tmp_path / "file.json"
    error = fail_to_open(file)
    assert f"the scheduler file {file} does not exist after 0.5 s; start the scheduler with" in error.message
    assert capsys.readouterr().err == f"waiting up to 0.5 s for the scheduler file {file}\n"
    error = fail_to_open(tmp_path / "missing" / "file.json")
    assert "does not exist, and its folder does not either" in error.message
    assert capsys.readouterr().err == ""


def test_a_scheduler_with_tls_needs_certificates_in_the_settings(tmp_path) -> None:
    code = (
        "import sys; from algotools.federation.engines.resolve import EngineSource\n"
        "from algotools.errors import AlgotoolsError\n"
        "try: EngineSource('dask', 'tls://127.0.0.1:1', None).open()\n"
        "except AlgotoolsError as error: print(error.exit_code, error.message)"
    )
    variables = {"DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(tmp_path / "missing.pem")}
    variables["DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT"] = str(tmp_path / "missing.pem")
    for environment, state in (({}, "are not set; set "), (variables, "are not usable (no such file or directory); ")):
        completed = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **environment}
        )
        assert completed.stdout.startswith("60 the Dask scheduler at tls://127.0.0.1:1 needs certificates")
        assert state in completed.stdout
        assert "distributed.comm.tls.ca-file" in completed.stdout
        assert completed.stderr == ""


@pytest.mark.parametrize("scheduler", ["login1", "tcp://login1", "http://login1:80", "tcp://:8786"])
def test_a_text_that_is_not_a_scheduler_is_refused(scheduler: str) -> None:
    with pytest.raises(FederationError, match=r"scheduler '.*' is n"):
        EngineSource("dask", scheduler, None)


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "127.0.0.1:x", "", "198.51.100.7"])
def test_an_address_on_which_this_machine_cannot_listen_is_refused(address: str) -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(FederationError, match="address"):
        EngineSource(pool, None, address)


@pytest.mark.parametrize(("text", "address"), [("127.0.0.1", ("127.0.0.1", 0)), ("[::1]:0", ("::1", 0))])
def test_an_address_is_a_host_with_or_without_a_port(text: str, address: tuple[str, int]) -> None:
    with ThreadPoolExecutor(1) as pool:
        assert EngineSource(pool, None, text).open().address == Address(*address)


def test_the_workers_of_this_machine_connect_to_the_loopback_address() -> None:
    assert find_address(["127.0.0.1", "localhost", "no-such-host.invalid"]) == Address("127.0.0.1")


def test_other_options_than_those_of_an_engine_are_refused() -> None:
    with pytest.raises(FederationError, match=r"scheduler= \(--scheduler\) needs runner dask, not process"):
        Federation([{"default": "a.csv"}], algorithm=AVERAGE, runner="process", scheduler="tcp://a:1")
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(FederationError, match=r"scheduler= \(--scheduler\) needs runner dask"),
    ):
        Federation([{"default": "a.csv"}], algorithm=AVERAGE, runner=pool, scheduler="tcp://a:1")
    with pytest.raises(FederationError, match=r"runner= is the class ThreadPoolExecutor; pass an executor"):
        Federation([{"default": "a.csv"}], algorithm=AVERAGE, runner=ThreadPoolExecutor)
    with pytest.raises(FederationError, match=r"runner= is a value of the type int; pass the name of a runner"):
        Federation([{"default": "a.csv"}], algorithm=AVERAGE, runner=3)


@pytest.mark.parametrize(
    "options",
    [
        ["--scheduler", "tcp://a:1"],
        ["--address", "10.0.0.5"],
        ["--runner", "dask", "--as-node", "--scheduler", "a.json"],
    ],
)
def test_the_options_of_an_engine_need_runner_dask(options: list[str]) -> None:
    result = algotools("run", "master", *options, cwd=AVERAGE)
    assert (result.returncode, result.stdout) == (2, "")
    assert "allowed only with --runner dask" in result.stderr


def test_a_missing_package_is_named_with_the_way_out() -> None:
    code = (
        "import sys; sys.modules['distributed'] = None; from algotools.federation.engines.resolve import EngineSource; "
        "EngineSource('dask', 'tcp://a:1', None)"
    )
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
    assert "runner dask needs distributed; install the extra dask of algotools, or run: " in text
    assert "python -m pip install distributed" in text


def test_importing_the_federation_does_not_import_dask() -> None:
    code = "import sys, algotools.federation.engines.resolve; print(*{'distributed', 'dask'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
