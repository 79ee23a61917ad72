"""Whatever goes wrong: one exit code, no traceback and no data for the researcher, nothing half-written."""

from __future__ import annotations

import base64
import json
import os
import time

import pytest

from algotools.contract import Request, by_name
from algotools.report import read_failure

from ..conftest import SECRET, Ended
from .conftest import Run


def check_failed(ended: Ended, code: int) -> str:
    """The failure's message, after a look at all that must hold of any failure."""
    assert ended.code == code, ended.log + ended.detail
    assert ended.output == b""
    assert ended.stdout == ""
    assert SECRET not in ended.log
    assert "Traceback" not in ended.log
    failure = read_failure(ended.log)
    assert failure is not None
    assert failure.exit_code == code
    return failure.message


def test_a_function_that_works_works_in_every_way(call: Run, contract: str) -> None:
    ended = call("well", number=3)
    assert ended.code == 0, ended.log
    assert by_name(contract).answer(ended.output) == {"number": 3, "length": len(SECRET)}


@pytest.mark.parametrize(
    ("method", "code", "says"),
    [
        ("raises", 40, "ValueError in raises at __init__.py, line 34"),
        ("raises_with_a_cause", 40, "KeyError in raises_with_a_cause at __init__.py"),
        ("recurses", 40, "RecursionError in recurses"),
        ("raises_one_of_ours", 40, "UnknownColumn in raises_one_of_ours at __init__.py"),
        ("raises_the_base_of_ours", 40, "AlgotoolsError in raises_the_base_of_ours"),
        ("tells_the_user", 41, "fewer than 10 rows have a value"),
        ("returns_a_set", 42, "result['names'][1]: a set has no JSON form"),
        ("returns_a_set_under_a_secret_key", 42, "result['names'][key 1]: a set has no JSON form"),
        ("returns_a_broken_text", 42, "not valid Unicode"),
        ("returns_itself", 42, "contains itself"),
        ("exits", 43, "exits ended the process (SystemExit)"),
        ("exits_well", 43, "exits_well ended the process (SystemExit)"),
    ],
)
def test_a_function_that_fails_is_named_and_not_quoted(call: Run, method: str, code: int, says: str) -> None:
    assert says in check_failed(call(method), code)


@pytest.mark.parametrize("way", ["by hand", "process"], indirect=True)
@pytest.mark.parametrize(
    ("method", "code", "says"),
    [
        ("ends_the_process", 43, "exit status 0"),
        ("is_killed", 44, "SIGKILL"),
        ("crashes", 44, "SIGSEGV"),
        ("closes_all_descriptors", 43, "instead of returning"),
        ("writes_into_all_descriptors", 43, "wrote into the channel"),
    ],
)
def test_what_would_take_the_process_along_is_survived(call: Run, method: str, code: int, says: str) -> None:
    assert says in check_failed(call(method), code)


@pytest.mark.parametrize(
    ("way", "method"),
    [  # inline, a thread that spins would go on for the rest of the tests
        ("by hand", "never_returns"),
        ("by hand", "spins"),
        ("process", "never_returns"),
        ("process", "spins"),
        ("inline", "never_returns"),
    ],
    indirect=["way"],
)
def test_a_function_that_never_returns_is_ended_at_its_limit(call: Run, method: str) -> None:
    began = time.monotonic()
    assert "did not end within its limit of 1 s" in check_failed(call(method, timeout=1.0), 45)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("way", ["by hand", "process"], indirect=True)
def test_what_a_function_prints_is_the_owners(call: Run) -> None:
    ended = call("prints")
    assert ended.code == 0
    assert SECRET not in ended.log
    assert ended.detail.count(SECRET) == 7


def test_output_that_nobody_keeps_is_dropped_with_a_line_that_says_so(by_hand, misbehaving) -> None:
    ended = by_hand.run(by_hand.environment(misbehaving, b'{"method": "prints"}'))
    assert ended.code == 0
    assert SECRET not in ended.log
    assert "ALGOTOOLS_DEBUG" in ended.stderr


def test_the_owner_gets_the_traceback(call: Run) -> None:
    detail = call("raises").detail
    assert "Traceback" in detail
    assert SECRET in detail


def test_nan_becomes_null_and_a_line_says_where_without_saying_what(call: Run, contract: str) -> None:
    ended = call("returns_not_a_number")
    assert ended.code == 0
    assert by_name(contract).answer(ended.output) == {"mean": None, "more": [1.0, None], SECRET: None}
    assert "result['mean'] is NaN" in ended.log
    assert "result['more'][1]" in ended.log
    assert "result[key 3]" in ended.log
    assert SECRET not in ended.log


def test_a_line_of_a_log_cannot_be_forged(call: Run) -> None:
    ended = call("logs")
    assert ended.code == 0
    assert r"info > half\nway\x1b[31m" in ended.log
    assert "progress > 50% of the rows" in ended.log


@pytest.mark.parametrize("way", ["by hand", "process"], indirect=True)
def test_a_function_may_replace_its_streams(call: Run) -> None:
    assert call("replaces_streams").code == 0


@pytest.mark.parametrize("way", ["process"], indirect=True)
def test_nothing_that_a_function_starts_is_left_behind(call: Run, contract: str) -> None:
    pid = by_name(contract).answer(call("leaves_a_child_behind").output)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(int(str(pid)), 0)
        except ProcessLookupError:
            return
        with open(f"/proc/{pid}/stat") as stat:
            if stat.read().split()[2] == "Z":
                return
        time.sleep(0.05)
    pytest.fail("the child still runs")


@pytest.mark.parametrize(
    ("input_", "code", "says"),
    [
        ({"method": "wel"}, 13, "did you mean 'well'?"),
        ({"method": "secret"}, 13, "no method 'secret'"),
        ({"method": "os.getpid"}, 13, "it has: well (rpc)"),
        ({"method": "well", "master": True}, 14, "is an rpc, but the task asks for a master"),
        ({"method": "gathers", "master": False}, 14, "is a master, but the task asks for an rpc"),
        ({"method": "well", "kwargs": {"number": "9876543"}}, 15, "number: expected int, got str"),
        ({"method": "well", "kwargs": {"numbr": 1}, "args": [1, 2]}, 15, "2 positional arguments where 1 are taken"),
        ({"method": "options"}, 15, "missing: given"),
    ],
)
def test_a_task_that_cannot_be_right_is_refused(run: Run, contract: str, input_: dict, code: int, says: str) -> None:
    if contract == "v5" and "args" in input_:  # v5 has no arguments by position
        input_, says = {**input_, "args": []}, "unknown: numbr"
    message = check_failed(run(by_name(contract).request(input_)), code)
    assert says in message
    assert "9876543" not in message


@pytest.mark.parametrize("contract", ["v3", "v4"])  # all that v5's input has are the arguments by name
@pytest.mark.parametrize(
    ("input_", "says"),
    [
        ({"method": "well", "kwargs": []}, "`kwargs` must be an object"),
        ({"kwargs": {}}, "`method` is missing"),
        ({"method": 3, "args": {}}, "`method` must be a text, `args` must be a list"),
    ],
)
def test_an_input_without_its_parts_is_refused(run: Run, contract: str, input_: dict, says: str) -> None:
    assert says in check_failed(run(by_name(contract).input(input_)), 11)


@pytest.mark.parametrize(
    ("data", "code", "says"),
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
def test_an_input_that_is_no_json_object_is_refused(run: Run, contract: str, data: bytes, code: int, says: str) -> None:
    prefix = b"json." if contract == "v3" and code == 11 and data else b""
    assert says in check_failed(run(Request(prefix + data, "well", "rpc")), code)


def test_no_arguments_are_no_input_on_v5(by_hand, misbehaving) -> None:
    ended = by_hand.run(by_hand.environment(misbehaving, Request(b"null", "well"), "v5"))
    assert json.loads(ended.output) == {"number": 1, "length": len(SECRET)}


def test_an_action_that_is_none_is_refused(by_hand, misbehaving) -> None:
    given = by_hand.environment(misbehaving, Request(b"{}", "well"), "v5")
    action = base64.b32encode(b"postprocessing").decode().replace("=", "!")
    assert "actions are central_compute, " in check_failed(by_hand.run({**given, "FUNCTION_ACTION": action}), 10)


def test_an_unknown_label_is_refused_and_those_there_are_listed(call: Run, contract: str, way: str) -> None:
    message = check_failed(call("well", database="nowhere"), 30)
    assert "this node has" in message or "it has" in message
    if contract == "v5" and way == "by hand":  # a container of v5 sees no others
        assert message == "the function takes 1 database(s), the task asks for none; this node has: none"
    else:
        assert "default" in message


def test_a_run_knows_who_it_is(call: Run, contract: str, way: str) -> None:
    ended = call("knows_its_run")
    assert ended.code == 0, ended.log
    answer = by_name(contract).answer(ended.output)
    assert isinstance(answer, dict)
    expected = {"task": 7, "node": 5, "organization": 3} if way == "by hand" else {"node": 1, "organization": 2}
    assert expected.items() <= answer.items()


def called(contract: str, method: str, master: bool = False) -> Request:
    """A call without arguments."""
    return by_name(contract).request({"method": method, "master": master})


BOTH = pytest.mark.parametrize("contract", ["v4", "v5"])
"""The generations whose variables are encoded; they differ in where the token is."""


@BOTH
def test_the_nodes_variables_arrive_decoded_and_the_environment_is_untouched(by_hand, misbehaving, contract) -> None:
    variables = {"PLAYER": "Alice", "FOO": "hello world"}
    request = called(contract, "knows_its_run")
    ended = by_hand.run(by_hand.environment(misbehaving, request, contract, variables=variables))
    answer = json.loads(ended.output)
    assert answer["variables"] == variables
    assert answer["raw"] == "IFWGSY3F"


@BOTH
def test_no_input_file(by_hand, misbehaving, contract) -> None:
    environment = by_hand.environment(misbehaving, called(contract, "well"), contract)
    (by_hand.folder / "input").unlink()
    assert "does not exist" in check_failed(by_hand.run(environment), 11)


def test_a_hundred_megabytes_of_nesting_end_quickly(by_hand, misbehaving) -> None:
    environment = by_hand.environment(misbehaving, b"[" * 100_000_000)
    began = time.monotonic()
    check_failed(by_hand.run(environment), 11)
    assert time.monotonic() - began < 20


def test_no_environment_of_a_node_at_all(by_hand) -> None:
    ended = by_hand.run({name: value for name, value in os.environ.items() if name in ("PATH", "HOME")})
    assert "on a laptop, use `algotools run`" in check_failed(ended, 10)


@BOTH
def test_no_token_where_one_is_needed(by_hand, misbehaving, contract) -> None:
    environment = by_hand.environment(misbehaving, called(contract, "gathers", master=True), contract)
    if contract == "v4":
        (by_hand.folder / "token").unlink()
    else:
        del environment["CONTAINER_TOKEN"]
    assert "no token" in check_failed(by_hand.run(environment), 50)


@BOTH
def test_no_token_where_none_is_needed(by_hand, misbehaving, contract) -> None:
    environment = by_hand.environment(misbehaving, called(contract, "well"), contract)
    (by_hand.folder / "token").unlink(missing_ok=True)
    assert "CONTAINER_TOKEN" not in environment
    assert by_hand.run(environment).code == 0


@BOTH
def test_a_token_of_somebody_elses_making(by_hand, misbehaving, contract) -> None:
    environment = by_hand.environment(misbehaving, called(contract, "gathers", master=True), contract)
    if contract == "v4":
        (by_hand.folder / "token").write_text("not.a.token")
    else:
        environment["CONTAINER_TOKEN"] = "not.a.token"
    assert "token" in check_failed(by_hand.run(environment), 50)


def test_a_run_of_v5_knows_itself_without_a_token(by_hand, misbehaving) -> None:
    environment = by_hand.environment(misbehaving, called("v5", "knows_its_run"), "v5")
    assert "CONTAINER_TOKEN" not in environment
    answer = json.loads(by_hand.run(environment).output)
    assert {"task": 7, "node": 5, "organization": 3}.items() <= answer.items()
    assert (by_hand.session / "algotools" / "marker").exists()


def test_an_output_that_cannot_be_written(by_hand, misbehaving) -> None:
    environment = by_hand.environment(misbehaving, b'{"method": "well"}')
    (by_hand.folder / "output").unlink()
    (by_hand.folder / "output").mkdir()
    with by_hand.start(environment) as process:
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 46
    assert "output file" in (failure.message if (failure := read_failure(stdout + stderr)) else "")


def test_a_run_that_is_asked_to_stop_stops_in_an_orderly_way(by_hand, misbehaving) -> None:
    environment = by_hand.environment(misbehaving, b'{"method": "never_returns"}')
    with by_hand.start(environment) as process:
        time.sleep(1.0)
        process.terminate()
        stdout, stderr = process.communicate(timeout=10)
    assert process.returncode == 47
    assert (by_hand.folder / "output").read_bytes() == b""
    assert "SIGTERM" in stdout + stderr


def test_an_algorithm_that_is_not_there(by_hand) -> None:
    environment = by_hand.environment(by_hand.folder, b'{"method": "well"}')
    environment["ALGOTOOLS_ALGORITHM"] = "nowhere_to_be_found"
    assert "nowhere_to_be_found" in check_failed(by_hand.run(environment), 20)
