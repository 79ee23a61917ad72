"""The author's code in a container of a node can use the files of its own task, and no others."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pytest

from algotools.runtime.logs import read_failure
from algotools.runtime.sandbox import _kernel

from ...conftest import OFF_LINE, SECRET, CompletedRun
from .conftest import (
    CLOSED,
    DEFAULT,
    FOLDER,
    LONGER,
    MINE,
    OTHERS,
    OWNERS_LOG,
    SECOND,
    SESSION,
    TABLE,
    WORK,
    SandboxNode,
    open_node,
)

pytestmark = pytest.mark.docker
on_each = pytest.mark.parametrize("contract", ["v4", "v5"], indirect=True)
"""v3 and v4 have one folder for the data of all tasks; v5 has a folder for each session."""
on_v5 = pytest.mark.parametrize("contract", ["v5"], indirect=True)

VERSION = _kernel.read_version()
CONFINED = (
    "info > confinement is on: user {}, without privileges, "
    f"only the files of its task (Landlock {VERSION}), no signals to other processes, "
    "no changes of other files' modes and times\n"
)
"""The line of a run's log on a kernel like that of this machine, which must be 6.12 or newer."""


def encode_text(text: str) -> str:
    """Return a text as a node of v4 encodes it."""
    return base64.b32encode(text.encode()).decode().replace("=", "!")


def check_failed(outcome: CompletedRun, code: int) -> str:
    """Check the properties of every failure; return the failure's message."""
    failure = read_failure(outcome.log)
    assert (outcome.code, outcome.output) == (code, b""), outcome.log + outcome.detail
    assert failure is not None
    assert failure.exit_code == code
    assert SECRET not in outcome.log
    return failure.message


HIDDEN = {
    "v4": [
        *(f"{OTHERS}/{name}" for name in ("input", "output", "token")),
        f"{MINE}/output",
        f"{MINE}/token",
        SECOND,
        CLOSED,
        f"{FOLDER}/one.csv",
        OWNERS_LOG,
        "/proc/1/environ",
        "/etc/shadow",
    ],
    "v5": [
        *(f"{SESSION}/{name}" for name in ("second.parquet", "closed.parquet", "session_state.parquet")),
        f"{WORK}/output",
        OWNERS_LOG,
        "/proc/1/environ",
    ],
}
"""The files that the code cannot read."""

READABLE = {
    "v4": [f"{MINE}/input", DEFAULT, "/app/pyproject.toml", "/etc/hosts", "/etc/resolv.conf", "/etc/passwd"],
    "v5": [f"{WORK}/input", f"{SESSION}/default.parquet", "/app/pyproject.toml"],
}

HIDDEN_FOLDERS = {
    "v4": ["/", "/mnt", "/mnt/data", MINE, OTHERS, FOLDER, "/mnt/owner", "/proc/1/root/mnt/data"],
    # Not /app, which is listed for imports. So the names of mounts in it are visible.
    "v5": ["/", "/mnt", "/mnt/owner", f"/proc/1/root{SESSION}"],
}
LISTED_FOLDERS = {"v4": ["/mnt/tmp", "/app", "/tmp"], "v5": [f"{SESSION}/algotools"]}

CLOSED_TO_CHANGES = {
    "v4": [f"{MINE}/output", f"{MINE}/input", f"{OTHERS}/output", DEFAULT, "/app/pyproject.toml"],
    "v5": [f"{SESSION}/second.parquet", f"{SESSION}/default.parquet"],
}
"""The files that the code cannot change."""


class Probed(NamedTuple):
    """A run in which the code has attempted many actions."""

    outcome: CompletedRun
    answers: dict[str, Any]
    """The result of each function that the run has called."""
    leftovers: list[str] | None = None


@pytest.fixture(scope="module")
def probe(engine: Any, prying_image: str) -> Callable[[str], Probed]:
    """Return a function that returns a generation's run with all attempts on files, folders and the supervisor."""

    @cache
    def probe_once(contract: str) -> Probed:
        calls: dict[str, dict[str, object]] = {
            "identity": {},
            "read": {"paths": [*HIDDEN[contract], *READABLE[contract]]},
            "list_folders": {"paths": [*HIDDEN_FOLDERS[contract], *LISTED_FOLDERS[contract]]},
            "modify": {"paths": CLOSED_TO_CHANGES[contract]},
            "attack": {},
        }
        with open_node(engine, prying_image, contract) as node:
            node.lists_leftovers = True
            outcome = node("call_each", calls=calls)
            return Probed(outcome, node.decode(outcome), node.leftovers)

    return probe_once


on_each_probed = pytest.mark.parametrize("contract", ["v4", "v5"])


def list_possible(report: dict[str, dict[str, object]]) -> list[str]:
    """Return the actions that were possible."""
    return [action for action, done in report.items() if done["done"]]


@on_each_probed
def test_the_code_is_imported_and_run_as_an_unprivileged_user(probe: Callable[[str], Probed], contract: str) -> None:
    outcome, answers, leftovers = probe(contract)
    report = dict(answers["identity"])
    uid = report["uids"][0]
    assert uid not in (0, 65534)
    assert report["uids"] == [uid] * 3
    assert report["gids"] == [report["gids"][0]] * 3
    assert 0 not in report["gids"]
    assert report["groups"] == []
    assert report["at_import"] == {"uid": uid, "groups": [], "home": report["home"]}
    # The bounding set has no effect while new privileges are forbidden.
    assert {value for name, value in report["capabilities"].items() if name != "CapBnd"} == {0}
    assert report["no_new_privileges"] == "1"
    assert report["home"].startswith("/tmp/algotools-")
    assert report["home_is_writable"] == {"done": True}
    assert report["temporary"] == report["home"]
    assert outcome.log == f"{OFF_LINE}\n{CONFINED.format(uid)}"
    assert leftovers == []


@on_each_probed
def test_the_code_reads_only_its_input_and_the_requested_databases(
    probe: Callable[[str], Probed], contract: str
) -> None:
    report = probe(contract).answers["read"]
    ways = ("through a subprocess", "through cat")
    for path in HIDDEN[contract]:
        assert report[path] == {"read": {"done": False, "error": "PermissionError"}, **dict.fromkeys(ways, False)}, path
    for path in READABLE[contract]:
        assert report[path] == {"read": {"done": True}, **dict.fromkeys(ways, True)}, path


@on_each_probed
def test_the_code_cannot_list_folders_of_the_node(probe: Callable[[str], Probed], contract: str) -> None:
    report = probe(contract).answers["list_folders"]
    assert list_possible(report) == LISTED_FOLDERS[contract]
    assert {report[path]["error"] for path in HIDDEN_FOLDERS[contract]} == {"PermissionError"}


@on_each_probed
def test_the_code_cannot_change_files_of_the_node(probe: Callable[[str], Probed], contract: str) -> None:
    reports = probe(contract).answers["modify"]
    assert {path: list_possible(report) for path, report in reports.items()} == {
        path: [] for path in CLOSED_TO_CHANGES[contract]
    }


@on_each_probed
def test_the_supervisor_is_out_of_reach(probe: Callable[[str], Probed], contract: str) -> None:
    assert list_possible(probe(contract).answers["attack"]) == []


@on_v5
def test_a_table_of_a_session_that_only_root_may_read_is_copied(node: SandboxNode) -> None:
    node.lists_leftovers = True
    outcome = node("sizes", requested="closed", column="age")
    assert node.decode(outcome) == {"rows": 3, "sum": 165}
    assert "got a copy of" in outcome.detail
    assert node.leftovers == []


@on_v5
def test_the_runs_of_a_job_share_its_folder(node: SandboxNode) -> None:
    assert node.answer("append_text", text="first") == ""
    assert node.answer("append_text", text="second") == "first"


def test_images_with_other_users_can_write_to_the_jobs_folder(node: SandboxNode) -> None:
    environment = {"ALGOTOOLS_WORKER_USER": "4711:4712"}
    assert node.answer("append_text", text="first") == ""
    assert node.answer("identity", environment=environment)["uids"] == [4711] * 3
    assert node.answer("append_text", text="first") == "first"


def test_processes_threads_and_sockets_work(node: SandboxNode) -> None:
    outcome = node("use_processes")
    report = node.decode(outcome)
    uid = report.pop("thread")
    assert report == {
        "moved": "text",
        "fork": uid,
        "spawn": uid,
        "manager": [1, 2],
        "lock": True,
        "shell": [str(uid), "fds"],
        "random": 4,
        "resolved": True,
    }
    assert "printed by name" in outcome.detail


def test_a_table_that_only_root_may_read_is_copied(node: SandboxNode) -> None:
    node.lists_leftovers = True
    outcome = node("sizes", requested="closed", column="age")
    assert node.decode(outcome) == {"rows": 3, "sum": 165}
    assert outcome.log.count("\n") == 2  # the policy and the confinement
    assert f"database 'closed': the function may not open {CLOSED} itself and got a copy of {len(LONGER)} bytes" in (
        outcome.detail
    )
    assert node.leftovers == []


def test_a_table_that_every_user_may_read_is_not_copied(node: SandboxNode) -> None:
    outcome = node("sizes", column="age")
    assert node.decode(outcome) == {"rows": 2, "sum": 129}
    assert "copy" not in outcome.detail


def test_a_function_reads_a_requested_folder_by_its_path(node: SandboxNode) -> None:
    report = node.answer("by_path", requested="folder")
    assert report["name"] == "folder"
    assert report["owner"] == 0  # not a copy
    files = {name for name, done in report["bytes"].items() if done["done"] or name == "deep"}
    assert files == {"deep", "deep/two.csv", "one.csv"}


def test_a_folder_that_only_root_may_read_is_copied_completely(node: SandboxNode) -> None:
    node.files = {**node.files, f"{FOLDER}/deep": (None, 0o700), f"{FOLDER}/deep/two.csv": (LONGER, 0o600)}
    report = node.answer("by_path", requested="folder")
    assert report["name"] == "folder"
    assert report["bytes"]["deep/two.csv"] == {"done": True}
    assert report["bytes"]["one.csv"] == {"done": True}
    assert report["private"] == "0o700"
    assert report["owner"] != 0


def test_a_database_that_only_the_signature_names_is_read_and_logged(node: SandboxNode) -> None:
    outcome = node("from_labels")
    assert node.decode(outcome) == [2, 3]
    assert outcome.log.endswith("\ninfo > the function reads database 'second', which the task did not request\n")
    assert outcome.log.count("\n") == 3
    assert f"copy of {len(LONGER)} bytes" in outcome.detail


def test_a_function_reads_several_requested_databases_by_their_paths(node: SandboxNode) -> None:
    answer = node.answer("two_by_path", requested=("closed", "default"))
    assert answer == [["closed.csv", len(LONGER)], ["default.csv", len(TABLE)]]


def test_a_missing_database_gives_the_usual_error(node: SandboxNode) -> None:
    node.databases["default"] = "/mnt/data/not there.csv"
    assert check_failed(node("sizes", column="age"), 31) == "database 'default': its file does not exist"


def test_a_missing_database_that_only_the_signature_names_gives_the_same_error(node: SandboxNode) -> None:
    node.databases["second"] = "/mnt/data/not there.csv"
    outcome = node("from_labels")
    assert check_failed(outcome, 31) == "database 'second': its file does not exist"
    assert "/mnt/data/not there.csv" in outcome.detail
    assert "/mnt/data" not in outcome.log


def test_a_full_disk_during_a_copy_is_reported(node: SandboxNode) -> None:
    node.files = {**node.files, CLOSED: (b"age\n" + b"1\n" * (1 << 20), 0o600)}
    outcome = node("sizes", requested="closed", column="age", settings={"tmpfs": {"/tmp": "size=1m,mode=1777"}})
    assert (
        check_failed(outcome, 31) == "database 'closed': it cannot be copied for the function (No space left on device)"
    )
    assert CLOSED in outcome.detail


@pytest.mark.parametrize(
    ("method", "uris"), [("forge", [False] * 5 + [True]), ("forge_with_label", [True] + [False] * 3 + [True, True])]
)
def test_forged_requests_get_only_databases_that_the_task_or_the_signature_names(
    node: SandboxNode, method: str, uris: list[bool]
) -> None:
    labels = ["second", f"{OTHERS}/token", "", "closed", "second", "default"]
    outcome = node(method, labels=labels)
    report = node.decode(outcome)
    assert [answer["uri"] for answer in report] == uris
    assert {answer["code"] for answer in report if not answer["uri"]} == {30}
    assert outcome.log.count("which the task did not request") == (method == "forge_with_label")
    assert outcome.detail.count("got a copy") == sum(set(uris)) + (method == "forge_with_label")


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"], indirect=True)
def test_no_secret_is_in_the_variables_and_in_the_memory_of_the_code(node: SandboxNode, contract: str) -> None:
    password, token = "Password-0815", "Container-token-1234"
    secrets = {
        "v3": {"SECOND_DATABASE_URI": f"postgresql://me:{password}@host/base"},
        "v4": {"SECOND_DB_PARAM_PASSWORD": encode_text(password)},
        "v5": {"DB_PARAM_PASSWORD": password, "CONTAINER_TOKEN": token},
    }
    words = [password, encode_text(password)[:-8], token, "/mnt/data/second", encode_text(SECOND)[:-8]]
    shifted_words = ["".join(chr(ord(c) + 1) for c in word) for word in words]
    report = node.answer("search", environment=secrets[contract], shifted_words=shifted_words)
    assert report["at import"] == report["memory"] == [0] * len(words)
    assert report["files"] == ["/dev/null", "pipe", "socket"]


@pytest.mark.parametrize(
    ("contract", "ends", "code"), [("v4", "killed", 44), ("v5", "sleeps", 45)], indirect=["contract"]
)
def test_no_temporary_file_is_left(node: SandboxNode, ends: str, code: int) -> None:
    node.lists_leftovers = True
    notes = f"{SESSION}/algotools" if node.home == WORK else "/mnt/tmp"
    check_failed(node("leaves_files", notes=notes, ends=ends, variables={"ALGOTOOLS_TIMEOUT": "10"}), code)
    assert node.leftovers == []


def test_endless_requests_do_not_block_the_supervisor(node: SandboxNode) -> None:
    assert "wrote into the channel" in check_failed(node("flood"), 43)


def test_a_link_in_the_jobs_folder_does_not_open_its_target(node: SandboxNode) -> None:
    node.answer("put_links", target=f"{OTHERS}/token")
    report = node.answer("read", paths=["/mnt/tmp/link"])
    assert report["/mnt/tmp/link"]["read"] == {"done": False, "error": "PermissionError"}


def test_a_container_that_cannot_change_its_user_is_still_confined(node: SandboxNode) -> None:
    settings = {"cap_drop": ["ALL"]}
    paths = [f"{OTHERS}/token", f"{MINE}/output", DEFAULT]
    outcome = node("call_each", settings=settings, calls={"identity": {}, "read": {"paths": paths}, "attack": {}})
    answers = node.decode(outcome)
    assert answers["identity"]["uids"] == [0] * 3
    assert "the algorithm's code runs as the container's own user" in outcome.log
    assert [answers["read"][path]["read"]["done"] for path in paths] == [False, False, True]
    assert len(answers["attack"]) == 13
    assert list_possible(answers["attack"]) == ["setuid"]  # root already has this id


WITHOUT_LANDLOCK = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["landlock_create_ruleset"], "action": "SCMP_ACT_ERRNO"}],
}
"""The system call filter of an older container engine."""


def test_without_landlock_file_permissions_apply_and_a_line_is_logged(node: SandboxNode) -> None:
    settings = {"security_opt": [f"seccomp={json.dumps(WITHOUT_LANDLOCK)}"]}
    path = f"{MINE}/output"
    calls: dict[str, Any] = {"identity": {}, "modify": {"paths": [path]}, "attack": {}}
    outcome = node("call_each", settings=settings, calls=calls)
    answers = node.decode(outcome)
    assert 0 not in answers["identity"]["uids"]
    assert outcome.log.startswith(f"{OFF_LINE}\ninfo > this node's kernel or container engine has no Landlock")
    assert outcome.log.count("\n") == 3
    assert "; not confined on this node: rules for files (Landlock), signals to processes of the same user" in (
        outcome.log
    )
    assert list_possible(answers["modify"][path]) == []
    assert list_possible(answers["attack"]) == []
    outcome = node("from_labels", settings=settings)
    assert node.decode(outcome) == [2, 3]
    assert outcome.log.endswith("the function reads database 'second', which the task did not request\n")
    assert "copy" not in outcome.detail
    assert node.answer("sizes", settings=settings, requested="closed", column="age")["rows"] == 3


SAME_USER = [
    pytest.param(({"user": "1000:1000"}, "1000:1000"), id="user"),
    pytest.param(({"cap_drop": ["ALL"]}, "0:0"), id="root without capabilities"),
]
"""Containers in which the author's code has the same user as the supervisor and as the files of the node."""

FILES_OF_THE_SAME_USER = [f"{OTHERS}/output", DEFAULT, f"{MINE}/input", f"{MINE}/output"]


@pytest.fixture(scope="module", params=SAME_USER)
def probed_as_same_user(request: pytest.FixtureRequest, engine: Any, prying_image: str) -> tuple[Probed, Probed]:
    """A run as the user of the supervisor with many attempts, and one without Landlock that attacks the supervisor."""
    settings, owner = request.param
    attack: dict[str, Any] = {"attack": {}}
    calls = {"modify": {"paths": FILES_OF_THE_SAME_USER}, "manage_own_files": {}, **attack}
    without_landlock = {**settings, "security_opt": [f"seccomp={json.dumps(WITHOUT_LANDLOCK)}"]}
    runs = []
    with open_node(engine, prying_image, "v4") as node:
        node.owner = owner
        for options, attempts in ((settings, calls), (without_landlock, attack)):
            outcome = node("call_each", settings=options, calls=attempts)
            runs.append(Probed(outcome, node.decode(outcome)))
    return runs[0], runs[1]


def test_files_of_the_containers_own_user_cannot_be_changed(probed_as_same_user: tuple[Probed, Probed]) -> None:
    outcome, answers, _ = probed_as_same_user[0]
    reports = answers["modify"]
    assert {path: list_possible(report) for path, report in reports.items()} == {
        path: [] for path in FILES_OF_THE_SAME_USER
    }
    assert "no changes of other files' modes and times" in outcome.log


def test_modes_and_times_of_own_files_can_be_changed(probed_as_same_user: tuple[Probed, Probed]) -> None:
    missing, closed = {"done": False, "error": "FileNotFoundError"}, {"done": False, "error": "OSError"}
    assert probed_as_same_user[0].answers["manage_own_files"]["reports"] == [
        {
            "file": "0o751", "time": 2000, "copy": "0o600", "is new": True, "new": "0o750",
            "missing": missing, "empty": missing, "closed": closed,
        }
    ] * 2  # fmt: skip


def test_the_supervisor_with_the_same_user_is_out_of_reach(probed_as_same_user: tuple[Probed, Probed]) -> None:
    for probed in probed_as_same_user:
        report = probed.answers["attack"]
        hidden = ("ptrace", "environ", "memory", "descriptors", "root")
        assert {action: report[action]["done"] for action in hidden} == dict.fromkeys(hidden, False)


def test_a_container_started_as_another_user_than_the_outputs_owner_reports_it(node: SandboxNode) -> None:
    outcome = node("read", settings={"user": "1000:1000"}, paths=[f"{OTHERS}/token", DEFAULT])
    # The output file belongs to root, so the result cannot be written. But the code ran, confined.
    assert check_failed(outcome, 46)
    assert "info > confinement is on: user 1000 (that of the container), without privileges" in outcome.log


def test_a_mount_inside_the_codes_folder_belongs_to_the_node(node: SandboxNode) -> None:
    mount = "/flat/vantage6/task"  # as on v5
    secret = "/run/secrets/kubernetes.io/token"
    node.volumes |= {mount: node.volumes[FOLDER], "/run/secrets/kubernetes.io": node.volumes["/mnt/owner"]}
    node.files |= {secret: (b"the cluster's", 0o644)}
    report = node.answer(
        "read",
        environment={"ALGOTOOLS_ALGORITHM": "/flat"},
        paths=[f"{mount}/one.csv", secret, "/flat/pyproject.toml"],
    )
    assert [report[path]["read"]["done"] for path in report] == [False, False, True]


def test_a_read_only_container_works(node: SandboxNode) -> None:
    settings = {"read_only": True, "tmpfs": {"/tmp": "mode=1777"}}
    assert node.answer("sizes", requested="closed", column="age", settings=settings)["rows"] == 3


def test_a_worker_that_the_supervisor_cannot_kill_stops_with_the_container(node: SandboxNode) -> None:
    settings = {"cap_drop": ["ALL"], "cap_add": ["SETUID", "SETGID"]}
    outcome = node("sleep", settings=settings, variables={"ALGOTOOLS_TIMEOUT": "1"})
    assert "its limit of 1 s" in check_failed(outcome, 45)


@pytest.mark.parametrize(
    ("user", "text"), [("nobody-of-that-name", "a user that the image does not have"), ("0:0", "not root")]
)
def test_an_invalid_user_fails_the_run(node: SandboxNode, user: str, text: str) -> None:
    outcome = node("identity", environment={"ALGOTOOLS_WORKER_USER": user})
    assert text in check_failed(outcome, 48)


def test_an_image_without_the_variable_is_not_confined(node: SandboxNode) -> None:
    report = node.answer("identity", environment={"ALGOTOOLS_WORKER_USER": ""})
    assert report["uids"] == [0] * 3
    assert report["no_new_privileges"] == "0"
