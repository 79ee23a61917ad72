"""What an algorithm's code can see and do in a container of a node: its own task, and nothing else."""

from __future__ import annotations

import json
import time

import pytest

from algotools.report import read_failure

from ..conftest import SECRET, Ended
from .conftest import CLOSED, DEFAULT, FOLDER, LONGER, MINE, OTHERS, OWNERS_LOG, SECOND, SESSION, TABLE, WORK, Node

pytestmark = pytest.mark.docker
on_all = pytest.mark.parametrize("contract", ["v3", "v4", "v5"], indirect=True)
on_both = pytest.mark.parametrize("contract", ["v3", "v4"], indirect=True)
"""The two that have one place for the data of all tasks."""
on_v5 = pytest.mark.parametrize("contract", ["v5"], indirect=True)
"""That has a folder for each session instead."""


def failed(ended: Ended, code: int) -> str:
    """The failure's message, after a look at what must hold of any failure."""
    failure = read_failure(ended.log)
    assert (ended.code, ended.output) == (code, b""), ended.log + ended.detail
    assert failure is not None
    assert failure.exit_code == code
    assert SECRET not in ended.log
    return failure.message


@on_all
def test_the_code_runs_as_a_user_without_privileges_from_its_import_on(node: Node) -> None:
    ended = node("who")
    told = node.answer_of(ended)
    uid = told["uids"][0]
    assert uid not in (0, 65534)
    assert told["uids"] == [uid] * 3
    assert told["gids"] == [told["gids"][0]] * 3
    assert 0 not in told["gids"]
    assert told["groups"] == []
    assert told["at_import"] == {"uid": uid, "groups": [], "home": told["home"]}
    del told["capabilities"]["CapBnd"]  # what a program could gain if it could gain anything
    assert set(told["capabilities"].values()) == {0}
    assert told["no_new_privileges"] == "1"
    assert told["home"] == "/tmp"
    assert told["home_is_writable"] == {"done": True}
    assert told["temporary"] == "/tmp"
    assert ended.log == ""


@on_both
def test_it_reads_its_own_input_and_what_the_task_asks_for_and_nothing_else_of_the_node(node: Node) -> None:
    hidden = [
        *(f"{OTHERS}/{name}" for name in ("input", "output", "token")),
        f"{MINE}/output",
        f"{MINE}/token",
        SECOND,
        CLOSED,
        f"{FOLDER}/one.csv",
        OWNERS_LOG,
        "/proc/1/environ",
        "/etc/shadow",
    ]
    open_ = [f"{MINE}/input", DEFAULT, "/app/pyproject.toml", "/etc/hosts", "/etc/resolv.conf", "/etc/passwd"]
    told = node.answer("read", paths=[*hidden, *open_])
    ways = ("through a subprocess", "through cat")
    for path in hidden:
        assert told[path] == {"read": {"done": False, "error": "PermissionError"}, **dict.fromkeys(ways, False)}, path
    for path in open_:
        assert told[path] == {"read": {"done": True}, **dict.fromkeys(ways, True)}, path


@on_both
def test_it_lists_no_folder_of_the_nodes(node: Node) -> None:
    hidden = ["/", "/mnt", "/mnt/data", MINE, OTHERS, FOLDER, "/mnt/owner", "/proc/1/root/mnt/data"]
    told = node.answer("list_folders", paths=[*hidden, "/mnt/tmp", "/app", "/tmp"])
    assert {path for path, done in told.items() if done["done"]} == {"/mnt/tmp", "/app", "/tmp"}
    assert {told[path]["error"] for path in hidden} == {"PermissionError"}


@on_v5
def test_of_a_session_it_reads_the_tables_that_the_task_asks_for_and_nothing_else(node: Node) -> None:
    others = [f"{SESSION}/{name}" for name in ("second.parquet", "closed.parquet", "session_state.parquet")]
    hidden = [*others, f"{WORK}/output", OWNERS_LOG, "/proc/1/environ"]
    open_ = [f"{WORK}/input", f"{SESSION}/default.parquet", "/app/pyproject.toml"]
    told = node.answer("read", paths=[*hidden, *open_])
    ways = ("through a subprocess", "through cat")
    for path in hidden:
        assert told[path] == {"read": {"done": False, "error": "PermissionError"}, **dict.fromkeys(ways, False)}, path
    for path in open_:
        assert told[path] == {"read": {"done": True}, **dict.fromkeys(ways, True)}, path


@on_v5
def test_of_a_session_it_lists_its_own_folder(node: Node) -> None:
    hidden = ["/", "/mnt", "/mnt/owner", f"/proc/1/root{SESSION}"]  # beside the code (/app) names can be seen
    told = node.answer("list_folders", paths=[*hidden, f"{SESSION}/algotools"])
    assert {path for path, done in told.items() if done["done"]} == {f"{SESSION}/algotools"}
    assert {told[path]["error"] for path in hidden} == {"PermissionError"}


@on_v5
def test_it_changes_nothing_of_a_session(node: Node) -> None:
    for name in ("second.parquet", "default.parquet"):
        told = node.answer("spoil", path=f"{SESSION}/{name}")
        assert {what: done["done"] for what, done in told.items()} == dict.fromkeys(told, False)


@on_v5
def test_a_sessions_table_that_only_root_may_read_is_read(node: Node) -> None:
    ended = node("sizes", requested="closed", column="age")
    assert node.answer_of(ended) == {"rows": 3, "sum": 165}
    assert "got a copy of" in ended.detail
    assert node.left == []


@pytest.mark.parametrize(
    "path", [f"{MINE}/output", f"{MINE}/input", f"{OTHERS}/output", DEFAULT, "/app/pyproject.toml"]
)
def test_it_changes_no_file_but_its_own(node: Node, path: str) -> None:
    told = node.answer("spoil", path=path)
    assert {what: done["done"] for what, done in told.items()} == dict.fromkeys(told, False)


@on_all
def test_the_jobs_folder_is_shared_by_the_runs_of_a_job(node: Node) -> None:
    assert node.answer("keep", text="first") == ""
    assert node.answer("keep", text="second") == "first"


def test_the_jobs_folder_is_open_to_images_with_other_users(node: Node) -> None:
    other = {"ALGOTOOLS_WORKER_USER": "4711:4712"}
    assert node.answer("keep", text="first") == ""
    assert node.answer("who", environment=other)["uids"] == [4711] * 3
    assert node.answer("keep", text="first") == "first"


def test_processes_threads_and_sockets_work(node: Node) -> None:
    ended = node("use_processes")
    told = node.answer_of(ended)
    uid = told.pop("thread")
    assert told == {
        "moved": "text",
        "fork": uid,
        "spawn": uid,
        "manager": [1, 2],
        "lock": True,
        "shell": [str(uid), "fds"],
        "random": 4,
        "resolved": True,
    }
    assert "printed by name" in ended.detail


@on_all
def test_the_supervisor_is_out_of_reach(node: Node) -> None:
    told = node.answer("attack")
    assert {what: done["done"] for what, done in told.items()} == dict.fromkeys(told, False)


@on_both
def test_a_table_that_only_root_may_read_is_read(node: Node) -> None:
    ended = node("sizes", requested="closed", column="age")
    assert node.answer_of(ended) == {"rows": 3, "sum": 165}
    assert ended.log == ""
    assert f"database 'closed': the function may not open {CLOSED} itself and got a copy of {len(LONGER)} bytes" in (
        ended.detail
    )
    assert node.left == []


def test_a_table_that_everybody_may_read_is_not_copied(node: Node) -> None:
    ended = node("sizes", column="age")
    assert node.answer_of(ended) == {"rows": 2, "sum": 129}
    assert "copy" not in ended.detail


@pytest.mark.parametrize(
    ("label", "files"), [("closed", {"."}), ("folder", {"deep", "deep/two.csv", "one.csv"}), ("default", {"."})]
)
def test_a_function_reads_by_path_what_the_task_asks_for(node: Node, label: str, files: set[str]) -> None:
    told = node.answer("by_path", requested=label)
    assert told["name"] == {"closed": "closed.csv", "folder": "folder", "default": "default.csv"}[label]
    assert {name for name, done in told["bytes"].items() if done["done"] or name == "deep"} == files


def test_a_folder_that_only_root_may_read_is_copied_whole(node: Node) -> None:
    node.files = {**node.files, f"{FOLDER}/deep": (None, 0o700), f"{FOLDER}/deep/two.csv": (LONGER, 0o600)}
    told = node.answer("by_path", requested="folder")
    assert told["name"] == "folder"
    assert told["bytes"]["deep/two.csv"] == {"done": True}
    assert told["bytes"]["one.csv"] == {"done": True}
    assert told["private"] == "0o700"
    assert told["owner"] != 0


@on_both
def test_a_database_in_the_signature_that_the_task_did_not_ask_for_is_read_and_said(node: Node) -> None:
    ended = node("from_labels")
    assert node.answer_of(ended) == [2, 3]
    assert ended.log == "info > the function reads database 'second', which the task did not ask for\n"
    assert f"copy of {len(LONGER)} bytes" in ended.detail


def test_several_requested_databases(node: Node) -> None:
    assert node.answer("two_by_path", requested=("closed", "default")) == [len(LONGER), len(TABLE)]


def test_a_database_that_is_not_there_stays_the_error_that_it_is(node: Node) -> None:
    node.databases["default"] = "/mnt/data/not there.csv"
    assert failed(node("sizes", column="age"), 31) == "database 'default': its file does not exist"


def test_a_labelled_database_that_is_not_there_is_the_same_error(node: Node) -> None:
    node.databases["second"] = "/mnt/data/not there.csv"
    ended = node("from_labels")
    assert failed(ended, 31) == "database 'second': its file does not exist"
    assert "/mnt/data/not there.csv" in ended.detail
    assert "/mnt/data" not in ended.log


def test_a_copy_that_finds_no_room_is_an_error_of_the_database(node: Node) -> None:
    node.files = {**node.files, CLOSED: (b"age\n" + b"1\n" * (1 << 20), 0o600)}
    ended = node("sizes", requested="closed", column="age", settings={"tmpfs": {"/tmp": "size=1m,mode=1777"}})
    assert failed(ended, 31) == "database 'closed': it cannot be copied for the function (No space left on device)"
    assert CLOSED in ended.detail


def test_only_databases_of_the_node_are_copied_whoever_asks(node: Node) -> None:
    labels = ["second", f"{OTHERS}/token", "", "../task-000000002/token", "second"]
    ended = node("forge", labels=labels)
    told = node.answer_of(ended)
    assert [answer["uri"] for answer in told] == [True, False, False, False, True]
    assert {answer["code"] for answer in told if not answer["uri"]} == {30}
    assert ended.log.count("which the task did not ask for") == 1
    assert ended.detail.count("got a copy") == 1


def test_who_asks_for_ever_and_never_reads_does_not_keep_the_supervisor(node: Node) -> None:
    started = time.monotonic()
    ended = node("flood")
    assert "wrote into the channel" in failed(ended, 43)
    assert time.monotonic() - started < 30


def test_a_link_in_the_jobs_folder_opens_nothing(node: Node) -> None:
    node.answer("put_links", target=f"{OTHERS}/token")
    told = node.answer("read", paths=["/mnt/tmp/link"])
    assert told["/mnt/tmp/link"]["read"] == {"done": False, "error": "PermissionError"}


@on_both
def test_a_container_that_may_not_change_its_user_says_so_and_is_confined_all_the_same(node: Node) -> None:
    settings = {"cap_drop": ["ALL"]}
    ended = node("who", settings=settings)
    told = node.answer_of(ended)
    assert told["uids"] == [0] * 3
    assert "the algorithm's code keeps the one it was started with" in ended.log
    told = node.answer("read", settings=settings, paths=[f"{OTHERS}/token", f"{MINE}/output", DEFAULT])
    assert [told[path]["read"]["done"] for path in told] == [False, False, True]
    assert {what: done["done"] for what, done in node.answer("attack", settings=settings).items()} == dict.fromkeys(
        ("kill", "stop", "ptrace", "environ", "memory", "descriptors", "root", "su", "kernel"), False
    ) | {"setuid": True}  # which is what it is already


WITHOUT_LANDLOCK = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["landlock_create_ruleset"], "action": "SCMP_ACT_ERRNO"}],
}
"""An engine's filter of system calls, as older ones have it."""


def test_where_there_is_no_landlock_the_rights_of_files_count_and_the_log_says_so(node: Node) -> None:
    settings = {"security_opt": [f"seccomp={json.dumps(WITHOUT_LANDLOCK)}"]}
    ended = node("who", settings=settings)
    assert 0 not in node.answer_of(ended)["uids"]
    assert ended.log.startswith("info > this node's kernel or container engine has no Landlock")
    assert ended.log.count("\n") == 1
    told = node.answer("spoil", settings=settings, path=f"{MINE}/output")
    assert not any(done["done"] for done in told.values())
    told = node.answer("attack", settings=settings)
    assert not any(done["done"] for done in told.values())
    ended = node("from_labels", settings=settings)
    assert node.answer_of(ended) == [2, 3]
    assert ended.log.endswith("the function reads database 'second', which the task did not ask for\n")
    assert "copy" not in ended.detail
    assert node.answer("sizes", settings=settings, requested="closed", column="age")["rows"] == 3


def test_a_container_started_as_another_user_is_confined_without_a_change(node: Node) -> None:
    settings = {"user": "1000:1000"}
    ended = node("read", settings=settings, paths=[f"{OTHERS}/token", DEFAULT])
    # Its output file belongs to root, so the answer cannot be written: but the code ran, and said nothing else.
    assert failed(ended, 46)
    assert "keeps the one" not in ended.log


def test_what_is_mounted_beside_the_code_is_the_nodes(node: Node) -> None:
    mounted = "/flat/vantage6/task"  # as v5 does it
    secret = "/run/secrets/kubernetes.io/token"
    node.volumes |= {mounted: node.volumes[FOLDER], "/run/secrets/kubernetes.io": node.volumes["/mnt/owner"]}
    node.files |= {secret: (b"the cluster's", 0o644)}
    told = node.answer(
        "read",
        environment={"ALGOTOOLS_ALGORITHM": "/flat"},
        paths=[f"{mounted}/one.csv", secret, "/flat/pyproject.toml"],
    )
    assert [told[path]["read"]["done"] for path in told] == [False, False, True]


def test_a_read_only_container_works(node: Node) -> None:
    settings = {"read_only": True, "tmpfs": {"/tmp": "mode=1777"}}
    assert node.answer("sizes", requested="closed", column="age", settings=settings)["rows"] == 3


def test_a_worker_that_the_supervisor_may_not_kill_ends_with_the_container(node: Node) -> None:
    settings = {"cap_drop": ["ALL"], "cap_add": ["SETUID", "SETGID"]}
    ended = node("sleep", settings=settings, variables={"ALGOTOOLS_TIMEOUT": "1"})
    assert "its limit of 1 s" in failed(ended, 45)


@pytest.mark.parametrize(
    ("user", "says"), [("nobody-of-that-name", "a user that the image does not have"), ("0:0", "not root")]
)
def test_a_user_that_cannot_be_ends_the_run(node: Node, user: str, says: str) -> None:
    ended = node("who", environment={"ALGOTOOLS_WORKER_USER": user})
    assert says in failed(ended, 48)


def test_an_image_that_does_not_ask_is_not_confined(node: Node) -> None:
    told = node.answer("who", environment={"ALGOTOOLS_WORKER_USER": ""})
    assert told["uids"] == [0] * 3
    assert told["no_new_privileges"] == "0"
