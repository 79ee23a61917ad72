"""Failures: each has one exit code, shows no traceback and no data to the researcher, and leaves an empty output."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
from pathlib import Path

import pytest

from algotools.federation.contract import Request, get_contract
from algotools.runtime.logs import read_failure

from ...conftest import OFF, SECRET, CompletedRun
from ...processes import LIMIT, is_handling, wait_until, wait_until_dead
from .conftest import Run

each_contract = pytest.mark.parametrize("contract", ["v3", "v4", "v5"], indirect=True)
in_processes = pytest.mark.parametrize("way", ["by hand", "process"], indirect=True)
"""The ways in which supervisor and worker are two processes."""


def check_failed(outcome: CompletedRun, code: int) -> str:
    """Check the properties of every failure; return the failure's message."""
    assert outcome.code == code, outcome.log + outcome.detail
    assert outcome.output == b""
    assert outcome.stdout == ""
    assert SECRET not in outcome.log
    assert "Traceback" not in outcome.log
    failure = read_failure(outcome.log)
    assert failure is not None
    assert failure.exit_code == code
    return failure.message


@each_contract
def test_a_valid_call_succeeds_in_every_way(call: Run, contract: str) -> None:
    outcome = call("well", number=3)
    assert outcome.code == 0, outcome.log
    assert get_contract(contract).decode_output(outcome.output) == {"number": 3, "length": len(SECRET)}


@pytest.mark.parametrize("way", ["process", "inline"], indirect=True)  # a run by hand has the worker of "process"
@pytest.mark.parametrize(
    ("method", "code", "message"),
    [
        ("raises", 40, "ValueError in raises at __init__.py, line 35"),
        ("raises_with_a_cause", 40, "KeyError in raises_with_a_cause at __init__.py"),
        ("recurses", 40, "RecursionError in recurses"),
        ("raises_an_algotools_error", 40, "UnknownColumn in raises_an_algotools_error at __init__.py"),
        ("raises_the_base_error", 40, "AlgotoolsError in raises_the_base_error"),
        ("raises_a_user_error", 41, "fewer than 10 rows have a value"),
        ("returns_a_set", 42, "result['names'][1]: a set has no JSON form"),
        ("returns_a_set_under_a_secret_key", 42, "result['names'][key 1]: a set has no JSON form"),
        ("returns_a_broken_text", 42, "not valid Unicode"),
        ("returns_itself", 42, "contains itself"),
        ("exits", 43, "exits ended the process (SystemExit)"),
        ("exits_well", 43, "exits_well ended the process (SystemExit)"),
    ],
)
def test_a_failing_function_is_named_and_its_error_is_not_quoted(
    call: Run, method: str, code: int, message: str
) -> None:
    assert message in check_failed(call(method), code)


@in_processes
@pytest.mark.parametrize(
    ("method", "code", "message"),
    [
        ("ends_the_process", 43, "exit status 0"),
        ("is_killed", 44, "SIGKILL"),
        ("crashes", 44, "SIGSEGV"),
        ("closes_all_descriptors", 43, "instead of returning"),
        ("writes_into_all_descriptors", 43, "wrote into the channel"),
    ],
)
def test_the_supervisor_survives_the_end_of_the_worker(call: Run, method: str, code: int, message: str) -> None:
    assert message in check_failed(call(method), code)


@in_processes
@pytest.mark.parametrize(("library", "code"), [("C", 49), ("C++", 49), ("Rust", 49), ("none", 44)])
def test_a_library_that_ends_the_process_without_memory_is_out_of_memory(call: Run, library: str, code: int) -> None:
    message = check_failed(call("runs_out_of_memory_in_a_library", library=library), code)
    assert ("needs more memory than is available" in message) == (code == 49)


@in_processes
def test_an_exit_is_noticed_while_a_child_prints_without_pause(call: Run) -> None:
    assert "exit status 3" in check_failed(call("exits_while_a_child_prints", timeout=20.0), 43)


@pytest.mark.parametrize(
    ("way", "method", "timeout"),
    [  # not "spins" inline: its thread would keep running during all later tests
        ("by hand", "spins", 3.0),  # a new interpreter needs a second for its imports
        ("process", "never_returns", 1.0),
        ("process", "spins", 1.0),
        ("inline", "never_returns", 1.0),
    ],
    indirect=["way"],
)
def test_a_function_that_never_returns_is_stopped_at_the_timeout(
    call: Run, method: str, timeout: float, misbehaving: Path
) -> None:
    outcome = call(method, timeout=timeout)
    location = f"the run did not end within its limit of {timeout:g} s; it was at __init__.py, line "
    message = check_failed(outcome, 45)
    assert message.startswith(location)
    lines = (misbehaving / "src" / "misbehaving" / "__init__.py").read_text(encoding="utf-8").splitlines()
    first = lines.index(f"def {method}(data: Database) -> None:") + 1
    assert first < int(message.removeprefix(location)) <= first + 2
    assert re.findall('File "(.*)", line', outcome.detail)[0].endswith("misbehaving/__init__.py")


@in_processes
def test_prints_go_to_the_owner(call: Run) -> None:
    outcome = call("prints")
    assert outcome.code == 0
    assert SECRET not in outcome.log
    assert outcome.detail.count(SECRET) == 7


def test_dropped_prints_are_reported(by_hand, misbehaving) -> None:
    outcome = by_hand.run(by_hand.environment(misbehaving, b'{"method": "prints"}'))
    assert outcome.code == 0
    assert SECRET not in outcome.log
    assert "ALGOTOOLS_DEBUG" in outcome.stderr


def test_the_owner_gets_the_traceback(call: Run) -> None:
    detail = call("raises").detail
    assert "Traceback" in detail
    assert SECRET in detail


def test_nan_becomes_null_and_a_line_names_its_position(call: Run, contract: str) -> None:
    outcome = call("returns_not_a_number")
    assert outcome.code == 0
    assert get_contract(contract).decode_output(outcome.output) == {"mean": None, "more": [1.0, None], SECRET: None}
    assert "result['mean'] is NaN" in outcome.log
    assert "result['more'][1]" in outcome.log
    assert "result[key 3]" in outcome.log
    assert SECRET not in outcome.log


def test_a_line_of_a_log_cannot_be_forged(call: Run) -> None:
    outcome = call("logs")
    assert outcome.code == 0
    assert r"info > half\nway\x1b[31m" in outcome.log
    assert "progress > 50% of the rows" in outcome.log


@in_processes
def test_a_function_may_replace_its_streams(call: Run) -> None:
    assert call("replaces_streams").code == 0


@pytest.mark.parametrize("way", ["process"], indirect=True)
def test_processes_that_a_function_starts_are_killed(call: Run, contract: str) -> None:
    pid = get_contract(contract).decode_output(call("leaves_a_child_behind").output)
    wait_until_dead([int(str(pid))])


@pytest.mark.parametrize(
    ("input_", "code", "text"),
    [
        ({"method": "wel"}, 13, "did you mean 'well'?"),
        ({"method": "secret"}, 13, "no method 'secret'"),
        ({"method": "os.getpid"}, 13, "has no method 'os.getpid'; methods: "),
        ({"method": "well", "master": True}, 14, "is an rpc, but the task requests a master"),
        ({"method": "gathers", "master": False}, 14, "is a master, but the task requests an rpc"),
        ({"method": "well", "kwargs": {"number": "9876543"}}, 15, "number: expected int, got str"),
        (
            {"method": "well", "kwargs": {"numbr": 1}, "args": [1, 2]},
            15,
            "2 positional arguments, but the function takes 1",
        ),
        ({"method": "options"}, 15, "missing: values"),
    ],
)
def test_an_invalid_task_is_refused(run: Run, contract: str, input_: dict, code: int, text: str) -> None:
    message = check_failed(run(get_contract(contract).make_request(input_)), code)
    assert text in message
    assert "9876543" not in message


@pytest.mark.parametrize(
    ("input_", "text"),
    [
        ({"method": "well", "kwargs": []}, "`kwargs` must be an object"),
        ({"kwargs": {}}, "`method` is missing"),
        ({"method": 3, "args": {}}, "`method` must be a text, `args` must be a list"),
    ],
)
def test_an_incomplete_input_is_refused(run: Run, contract: str, input_: dict, text: str) -> None:
    assert text in check_failed(run(get_contract(contract).encode_input(input_)), 11)


@pytest.mark.parametrize(
    ("data", "code", "text"),
    [
        (b"", 11, "empty"),
        (b"not json", 11, "not JSON"),
        (b"[1, 2]", 11, "array"),
        ("{}".encode("utf-16"), 11, "not UTF-8"),
        (b"\xef\xbb\xbf{}", 11, "not JSON"),
        (b'{"method": "caf\xe9"}', 11, "not UTF-8"),
        (b"\x80\x04\x95\x0f\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x06method\x94N\x73.", 12, "pickled"),
        (b"pickle.\x80\x04N.", 12, "pickled"),
        (b"[" * 1_000_000, 11, "nested too deeply"),
    ],
    ids=["empty", "text", "array", "utf-16", "bom", "latin-1", "pickle", "pickle with prefix", "nesting"],
)
def test_an_input_that_is_not_a_json_object_is_refused(run: Run, data: bytes, code: int, text: str) -> None:
    assert text in check_failed(run(Request(data, "well", "rpc")), code)


def test_an_input_of_null_has_no_arguments_on_v5(by_hand, misbehaving) -> None:
    outcome = by_hand.run(by_hand.environment(misbehaving, Request(b"null", "well"), "v5"))
    assert json.loads(outcome.output) == {"number": 1, "length": len(SECRET)}


def test_an_unknown_action_is_refused(by_hand, misbehaving) -> None:
    environment = by_hand.environment(misbehaving, Request(b"{}", "well"), "v5")
    action = base64.b32encode(b"postprocessing").decode().replace("=", "!")
    assert "choose from central_compute, " in check_failed(by_hand.run({**environment, "FUNCTION_ACTION": action}), 10)


@each_contract
def test_an_unknown_label_is_refused_with_the_known_labels(call: Run, contract: str) -> None:
    message = check_failed(call("well", database="nowhere"), 30)
    assert "this node has" in message or "it has" in message
    if contract == "v5":  # a container of v5 does not know the other labels
        assert message == "the function takes 1 database, the task requests none; this node has: none"
    else:
        assert "default" in message


@each_contract
def test_a_run_knows_its_ids(call: Run, contract: str) -> None:
    outcome = call("describes_its_run")
    assert outcome.code == 0, outcome.log
    answer = get_contract(contract).decode_output(outcome.output)
    assert isinstance(answer, dict)
    assert {"task": 7, "node": 5, "organization": 3}.items() <= answer.items()


def build_request(contract: str, method: str, master: bool = False) -> Request:
    """Return the request for a call without arguments."""
    return get_contract(contract).make_request({"method": method, "master": master})


with_encoding = pytest.mark.parametrize("contract", ["v4", "v5"])
"""The generations with encoded variables; they differ in the place of the token."""


@with_encoding
def test_the_nodes_variables_are_decoded_and_the_environment_is_unchanged(by_hand, misbehaving, contract) -> None:
    variables = {"PLAYER": "Alice", "FOO": "hello world"}
    request = build_request(contract, "describes_its_run")
    outcome = by_hand.run(by_hand.environment(misbehaving, request, contract, variables=variables))
    answer = json.loads(outcome.output)
    assert {**OFF, **answer["variables"]} == {**OFF, **variables}
    assert answer["raw"] == "IFWGSY3F"


@with_encoding
def test_a_missing_input_file_is_reported(by_hand, misbehaving, contract) -> None:
    environment = by_hand.environment(misbehaving, build_request(contract, "well"), contract)
    (by_hand.folder / "input").unlink()
    assert "does not exist" in check_failed(by_hand.run(environment), 11)


def test_deep_nesting_is_refused(by_hand, misbehaving) -> None:
    environment = by_hand.environment(misbehaving, b"[" * 100_000_000)
    check_failed(by_hand.run(environment), 11)


def test_a_start_without_a_node_is_explained(by_hand) -> None:
    outcome = by_hand.run({name: value for name, value in os.environ.items() if name in ("PATH", "HOME")})
    assert "on a laptop, use `algotools run`" in check_failed(outcome, 10)


@with_encoding
def test_a_missing_token_is_reported_if_needed(by_hand, misbehaving, contract) -> None:
    environment = by_hand.environment(misbehaving, build_request(contract, "gathers", master=True), contract)
    if contract == "v4":
        (by_hand.folder / "token").unlink()
    else:
        del environment["CONTAINER_TOKEN"]
    assert "no token" in check_failed(by_hand.run(environment), 50)


@with_encoding
def test_a_missing_token_is_ignored_if_not_needed(by_hand, misbehaving, contract) -> None:
    environment = by_hand.environment(misbehaving, build_request(contract, "well"), contract)
    (by_hand.folder / "token").unlink(missing_ok=True)
    assert "CONTAINER_TOKEN" not in environment
    assert by_hand.run(environment).code == 0


@with_encoding
def test_a_malformed_token_is_refused(by_hand, misbehaving, contract) -> None:
    environment = by_hand.environment(misbehaving, build_request(contract, "gathers", master=True), contract)
    if contract == "v4":
        (by_hand.folder / "token").write_text("not.a.token")
    else:
        environment["CONTAINER_TOKEN"] = "not.a.token"
    assert "token" in check_failed(by_hand.run(environment), 50)


def test_a_run_of_v5_knows_its_ids_without_a_token(by_hand, misbehaving) -> None:
    environment = by_hand.environment(misbehaving, build_request("v5", "describes_its_run"), "v5")
    assert "CONTAINER_TOKEN" not in environment
    answer = json.loads(by_hand.run(environment).output)
    assert {"task": 7, "node": 5, "organization": 3}.items() <= answer.items()
    assert (by_hand.session / "algotools" / "marker").exists()


def test_an_unwritable_output_is_reported(by_hand, misbehaving) -> None:
    environment = by_hand.environment(misbehaving, b'{"method": "well"}')
    (by_hand.folder / "output").unlink()
    (by_hand.folder / "output").mkdir()
    with by_hand.start(environment) as process:
        stdout, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode == 46
    assert "output file" in (failure.message if (failure := read_failure(stdout + stderr)) else "")


def test_a_run_stops_cleanly_on_sigterm(by_hand, misbehaving) -> None:
    environment = by_hand.environment(misbehaving, b'{"method": "never_returns"}')
    with by_hand.start(environment) as process:
        wait_until(lambda: is_handling(process.pid, signal.SIGTERM))
        process.terminate()
        stdout, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode == 47
    assert (by_hand.folder / "output").read_bytes() == b""
    assert "SIGTERM" in stdout + stderr


def test_a_missing_algorithm_is_reported(by_hand) -> None:
    environment = by_hand.environment(by_hand.folder, b'{"method": "well"}')
    environment["ALGOTOOLS_ALGORITHM"] = "nowhere_to_be_found"
    assert "nowhere_to_be_found" in check_failed(by_hand.run(environment), 20)


@pytest.mark.parametrize("way", ["by hand", "inline", "process"], indirect=True)
def test_a_time_limit_may_be_longer_than_the_system_can_wait(call: Run) -> None:
    assert call("well", number=3, timeout=1e300).code == 0
