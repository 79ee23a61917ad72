"""Runs on an executor: the same results as with runner process, and nothing left behind when processes are killed."""

from __future__ import annotations

import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from algotools import Federation, RunsFailed
from algotools.errors import EngineError
from algotools.federation.engines import relay
from algotools.federation.engines._connections import CHANNELS, CONTROL, KEY_SIZE, LEASE, OUTPUT, Ticket, connect
from algotools.federation.engines._gateway import Gateway
from algotools.runtime.logs import OWNER_LOG

from ...conftest import ALGORITHMS, AVERAGE, ROOT
from ...processes import LIMIT, is_alive, read_pids, wait_until, wait_until_dead
from .engine_processes import ProcessPerCall

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills processes on behalf of another")

MISBEHAVING = ALGORITHMS / "misbehaving"
LINGERING = ALGORITHMS / "lingering"
REACHING = ALGORITHMS / "reaching"

METHODS: dict[str, dict[str, object]] = {
    "well": {},
    "raises": {},
    "returns_a_set": {},
    "returns_not_a_number": {},
    "exits": {},
    "ends_the_process": {},
    "prints": {},
    "is_killed": {},
    "runs_out_of_memory_in_a_library": {"library": "C++"},
    "crashes": {},
    "exits_while_a_child_prints": {},
    "closes_all_descriptors": {},
    "writes_into_all_descriptors": {},
    "raises_a_user_error": {},
    "logs": {},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("nodes")
    paths = [folder / "first.csv", folder / "second.csv"]
    for number, path in enumerate(paths):
        path.write_text(f"name,age\nsecret-{number},{30 + number}\nother,40\n", encoding="utf-8")
    return paths


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2) as executor:
        executor.submit(os.getpid).result()
        yield executor


@pytest.fixture
def engine() -> Iterator[ProcessPerCall]:
    with ProcessPerCall() as executor:
        yield executor


@pytest.fixture(scope="module")
def federations(data: list[Path], pool: ProcessPoolExecutor) -> Iterator[tuple[Federation, Federation]]:
    """Two equal federations: one with runner process, one with a pool of processes."""
    with (
        Federation(data, algorithm=MISBEHAVING, runner="process") as local,
        Federation(data, algorithm=MISBEHAVING, runner=pool) as federation,
    ):
        yield local, federation


def describe_runs(federation: Federation, method: str, arguments: dict[str, object]) -> list[object]:
    """Run a method, and return everything that the researcher sees of its runs."""
    try:
        results: list[object] = list(federation.run(method, arguments=arguments, timeout=LIMIT))
    except RunsFailed as error:
        # This child prints as much as it can before it is killed, which may be nothing.
        text = str(error)
        results = [text.partition("\n\n")[0] if method == "exits_while_a_child_prints" else text]
    runs = federation.tasks()[-1].runs
    return [results, [(run.status, run.log, run.organization_id) for run in runs]]


@pytest.mark.parametrize("method", METHODS)
def test_a_run_has_the_outcome_of_runner_process(federations, method: str) -> None:
    local, federation = federations
    expected = describe_runs(local, method, METHODS[method])
    assert describe_runs(federation, method, METHODS[method]) == expected


def test_a_master_runs_in_a_process_of_this_machine_and_its_rpcs_on_the_engine(data, pool) -> None:
    with Federation(data, algorithm=AVERAGE, runner=pool) as federation:
        assert federation.ask("master", column_name="age") == {"average": 35.25}
        assert federation.runner == "executor"


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"])
def test_frames_in_memory_reach_the_engine(pool, contract: str) -> None:
    frames = [pd.DataFrame({"age": [20.0, 30.0]}), pd.DataFrame({"age": [40.0, 50.0]})]
    with Federation(frames, algorithm=AVERAGE, runner=pool, contract=contract) as federation:
        assert federation.ask("master", column_name="age") == {"average": 35.0}


def test_the_time_limit_names_the_line_and_kills_the_processes(data, pool, tmp_path) -> None:
    file = tmp_path / "pids"
    with Federation(data[:1], algorithm=LINGERING, runner=pool, timeout=2) as federation:
        with pytest.raises(RunsFailed, match=r"did not end within its limit of 2 s; it was at __init__.py, line \d+"):
            federation.run("linger", file=str(file), timeout=LIMIT)
        wait_until_dead(read_pids(file)[1:])


def test_a_killed_task_leaves_no_process_and_the_engine_stays_usable(data, pool, tmp_path) -> None:
    file = tmp_path / "pids"
    with Federation(data[:1], algorithm=LINGERING, runner=pool) as federation:
        client = federation.client()
        task = client.task.create(
            collaboration=1,
            organizations=[2],
            name="linger",
            image="image",
            description="",
            input_={"method": "linger", "kwargs": {"file": str(file)}},
            databases=[{"label": "default"}],
        )
        pids = read_pids(file)
        federation.kill(task["id"])
        wait_until_dead(pids[1:])
        assert federation.tasks()[-1].runs[0].status == "killed by user"
        assert federation.run("identify_parent")


def test_a_memory_limit_holds_on_the_engine(data, pool, tmp_path) -> None:
    algorithm = tmp_path / "large.py"
    algorithm.write_text(
        "from algotools import rpc\n\n\n@rpc\ndef large() -> int:\n    return len(bytearray(1 << 30))\n",
        encoding="utf-8",
    )
    with (
        Federation(data[:1], algorithm=algorithm, runner=pool, memory="200m") as federation,
        pytest.raises(RunsFailed, match=r"large at large\.py, line 6 needs more memory .*\[exit code 49\]"),
    ):
        federation.run("large")


def test_the_owner_reads_prints_and_details(data, pool, tmp_path, monkeypatch) -> None:
    file = tmp_path / "owner.log"
    monkeypatch.setenv(OWNER_LOG, str(file))
    with Federation(data[:1], algorithm=MISBEHAVING, runner=pool) as federation:
        federation.run("prints")
        with pytest.raises(RunsFailed):
            federation.run("raises")
    text = file.read_text(encoding="utf-8")
    assert text.count("secret-0") >= 6
    assert "ValueError: cannot deal with secret-0" in text


def test_a_run_on_the_engine_can_be_confined(data, pool) -> None:
    with Federation(data, algorithm=REACHING, runner=pool, confined=True) as federation:
        rights = federation.run("list_rights")[0]
        assert (rights["CapEff"], rights["NoNewPrivs"], rights["Seccomp"]) == ("0" * 16, "1", "2")
        assert federation.run("read_project")[0] > 0
        assert federation.run("write_temporary") == [8, 8]
        with pytest.raises(RunsFailed, match="the sandbox allows only"):
            federation.run("write_file", path="/etc/algotools-test")


# --- Processes of the engine that are killed ---


def list_lines(federation: Federation) -> list[str]:
    return federation.tasks()[-1].runs[0].log.splitlines()


@pytest.fixture
def once(tmp_path: Path) -> Path:
    """A project whose function waits until the test has killed the engine's process, except for the last time."""
    (tmp_path / "once.py").write_text(
        textwrap.dedent(
            """
            import os, time
            from pathlib import Path
            from algotools import rpc

            @rpc
            def count(folder: str, waits: int) -> int:
                number = len(list(Path(folder).glob("run-*")))
                Path(folder, f"run-{number}").write_text(str(os.getpid()))
                while number < waits:
                    time.sleep(0.01)
                return number
            """
        ),
        encoding="utf-8",
    )
    return tmp_path / "once.py"


@pytest.mark.parametrize("kills", [1, 3])
def test_a_run_starts_again_at_most_twice_after_its_engine_process_was_killed(data, engine, once, kills) -> None:
    with Federation(data[:1], algorithm=once, runner=engine) as federation:
        request = federation.prepare("count", [2], [], {"folder": str(once.parent), "waits": kills})
        task = federation.post([2], request, [])
        for number in range(kills):
            (pid,) = read_pids(once.parent / f"run-{number}")
            engine.processes[-1].kill()
            wait_until_dead([pid])
        assert federation.wait(task.id, LIMIT)
        (run,) = federation.task(task.id).runs
        restarts = [line for line in run.log.splitlines() if "was lost; the run starts again" in line]
        assert len(restarts) == min(kills, 2)
        assert socket.gethostname() in restarts[0]
        if kills == 1:
            assert (run.status, len(list(once.parent.glob("run-*")))) == ("completed", 2)
            assert "algotools.failure" not in run.log
        else:
            assert (run.status, len(list(once.parent.glob("run-*")))) == ("crashed", 3)
            assert '"code": 44' in run.log
            assert run.log.count("algotools.failure") == 1


def test_a_pool_that_a_killed_process_has_broken_is_named(data, tmp_path) -> None:
    file = tmp_path / "pids"
    with ProcessPoolExecutor(1) as broken, Federation(data[:1], algorithm=LINGERING, runner=broken) as federation:
        task = federation.post([2], federation.prepare("linger", [2], [], {"file": str(file)}), [])
        pids = read_pids(file)
        os.kill(next(iter(broken._processes)), signal.SIGKILL)
        wait_until_dead(pids)
        assert federation.wait(task.id, LIMIT)
        assert re.search(
            r'"code": 44, "message": "a process of the engine \(ProcessPoolExecutor\) was killed, and the engine '
            "accepts no calls any more; create a new one",
            federation.task(task.id).runs[0].log,
        )


def test_a_killed_federation_leaves_no_process_and_no_file(data, tmp_path) -> None:
    file, temporary = tmp_path / "pids", tmp_path / "temporary"
    temporary.mkdir()
    script = f"""
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        from algotools import Federation
        from tests.federation.engines.engine_processes import ProcessPerCall

        federation = Federation([{str(data[0])!r}], algorithm={str(LINGERING)!r}, runner=ProcessPerCall())
        federation.run("linger", file={str(file)!r})
        """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], env={**os.environ, "TMPDIR": str(temporary)}
    )
    pids = read_pids(file)
    engines = [pid for pid in list_processes_with(str(temporary)) if pid != process.pid]
    process.kill()
    process.wait()
    wait_until_dead([*pids, *engines])
    # The engine's process removes its own folder; those of a killed federation are removed by the next one.
    wait_until(lambda: not [*temporary.glob("*/run-*")])


def list_processes_with(temporary: str) -> list[int]:
    """Return the processes whose environment has a folder for temporary files."""
    pids = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if f"TMPDIR={temporary}".encode() in variables:
            pids.append(int(path.parent.name))
    return pids


def test_a_closed_federation_leaves_nothing_in_the_engine(data, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with ProcessPoolExecutor(1) as executor:
        with Federation(data[:1], algorithm=LINGERING, runner=executor) as federation:
            (template,) = federation.run("identify_parent")
        wait_until(lambda: not list(tmp_path.iterdir()))
        wait_until_dead([template])
        assert is_alive(executor.submit(os.getpid).result())


# --- Tickets ---


def test_a_second_call_with_the_same_ticket_runs_nothing(data, once) -> None:
    with (
        ProcessPerCall(repeats=2) as twice,
        Federation(data[:1], algorithm=once, runner=twice) as federation,
    ):
        request = federation.prepare("count", [2], [], {"folder": str(once.parent), "waits": 1})
        task = federation.post([2], request, [])
        read_pids(once.parent / "run-0")
        wait_until(lambda: twice.outputs == [relay.REFUSED], 60)
        federation.kill(task.id)
        wait_until(lambda: twice.outputs == [relay.REFUSED, relay.DONE], 60)
        federation.wait(task.id, LIMIT)
        with pytest.raises(ConnectionError):  # no run is active, so the federation does not listen
            pickle.loads(twice.calls[0][0])  # makes the call
    assert len(list(once.parent.glob("run-*"))) == 1


def is_refused(ticket: Ticket, purpose: bytes) -> bool:
    with connect(ticket, purpose) as connection:
        connection.settimeout(1.0)
        try:
            return connection.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False


def test_a_connection_needs_a_valid_key_and_the_right_order() -> None:
    gateway = Gateway(parse_loopback(), "federation")
    try:
        with gateway.open_visit() as visit:
            ticket = visit.ticket
            for key in (bytes(KEY_SIZE), os.urandom(KEY_SIZE)):
                assert is_refused(Ticket(ticket.host, ticket.port, key, ""), CONTROL)
            for purpose in (OUTPUT, LEASE, CHANNELS[0], b"?"):
                assert is_refused(ticket, purpose)
            assert not is_refused(ticket, CONTROL)
            assert is_refused(ticket, CONTROL)
            assert not is_refused(ticket, LEASE)
            assert not is_refused(ticket, OUTPUT)
        assert is_refused(ticket, OUTPUT)
    finally:
        gateway.close()


def test_connections_that_send_nothing_do_not_delay_others() -> None:
    gateway = Gateway(parse_loopback(), "federation")
    silent = []
    try:
        with gateway.open_visit() as visit:
            silent += [socket.create_connection((visit.ticket.host, visit.ticket.port)) for _ in range(200)]
            with connect(visit.ticket, CONTROL):
                assert isinstance(visit.wait(CONTROL), socket.socket)
    finally:
        gateway.close()
        for connection in silent:
            connection.close()


def parse_loopback() -> Any:
    from algotools.federation.engines._engine import LOOPBACK, Address

    return Address(LOOPBACK)


def test_a_federation_that_cannot_be_reached_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(
        ConnectionError, match=rf"cannot connect to the federation at 127\.0\.0\.1, port {port} .*address="
    ):
        relay.execute(Ticket("127.0.0.1", port, bytes(KEY_SIZE), "federation"))


# --- Mistakes ---


def test_an_executor_that_is_shut_down_is_named(data) -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(EngineError, match=r"^the engine \(ThreadPoolExecutor\) accepts no calls .*create a new one$"):
        Federation(data[:1], algorithm=AVERAGE, runner=executor)


def test_an_executor_without_algotools_gets_an_error(data) -> None:
    with (
        ProcessPerCall(hidden="algotools") as engine,
        Federation(data[:1], algorithm=AVERAGE, runner=engine) as federation,
        pytest.raises(RunsFailed, match=r"algotools is not installed at a process of .*python -m pip install"),
    ):
        federation.run("average_partial", column_name="age")


def test_another_version_of_algotools_on_the_engine_is_refused(data, monkeypatch) -> None:
    monkeypatch.setattr(relay, "__version__", "0.0.1")
    with (
        ThreadPoolExecutor(1) as executor,
        Federation(data[:1], algorithm=AVERAGE, runner=executor) as federation,
        pytest.raises(RunsFailed, match=r"has algotools 0\.0\.1, and the federation has .*install the same version"),
    ):
        federation.run("average_partial", column_name="age")


def test_many_runs_wait_for_few_workers(data, pool) -> None:
    with Federation([data[0]] * 100, algorithm=MISBEHAVING, runner=pool) as federation:
        assert federation.run("well", number=7, timeout=LIMIT) == [{"number": 7, "length": 8}] * 100
