"""The author's process gets what the task and the function's signature name, and nothing else of the node."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from algotools.federation.contract import Request, get_contract
from algotools.runtime.contract import get_contract as get_container_contract

from ...conftest import ALGORITHMS, OFF_LINE, CompletedRun, ManualNode
from .test_failures import check_failed, each_contract

PASSWORD, KEY, TOKEN = "Password-0815", "Private-key-4711", "Container-token-1234"
PRYING = ALGORITHMS / "prying"


@pytest.fixture
def node(tmp_path: Path, by_hand: ManualNode) -> ManualNode:
    """A node with a second database, whose path contains a password."""
    second = tmp_path / f"{PASSWORD}.csv"
    second.write_text("age\n1\n")
    return ManualNode(by_hand.folder, {**by_hand.databases, "second": second})


def encode(text: str) -> str:
    return base64.b32encode(text.encode()).decode().replace("=", "!")


def shift(*secrets: str) -> list[str]:
    """Return the words as the algorithm expects them."""
    return ["".join(chr(ord(c) + 1) for c in word) for word in secrets]


def run(node: ManualNode, contract: str, method: str, *, has_secrets: bool = True, **kwargs: object) -> CompletedRun:
    """Run a method of the prying algorithm, at a node that also sets secrets."""
    request = get_contract(contract).make_request({"method": method, "kwargs": kwargs, "master": False})
    environment = node.environment(PRYING, request, contract)
    secrets = {
        "v3": {"SECOND_DATABASE_URI": f"postgresql://me:{PASSWORD}@host/base"},
        "v4": {"SECOND_DB_PARAM_KEY": encode(KEY)},
        "v5": {"DB_PARAM_KEY": KEY, "CONTAINER_TOKEN": TOKEN},
    }
    outcome = node.run({**environment, **(secrets[contract] if has_secrets else {})})
    assert PASSWORD not in outcome.log
    return outcome


def decode(contract: str, outcome: CompletedRun) -> dict[str, object]:
    assert outcome.code == 0, outcome.log
    return json.loads(get_container_contract(contract).unwrap_result(outcome.output))


@each_contract
def test_no_secret_is_in_the_variables_and_in_the_memory_of_the_authors_process(node, contract: str) -> None:
    secrets = [PASSWORD, KEY, TOKEN]
    run(node, contract, "search", shifted_words=[])  # writes the token (v3, v4)
    token = (node.folder / "token").read_text() if (node.folder / "token").exists() else ""
    secrets += [encode(word)[:-8] for word in secrets] + ([token] if token else [])
    report = decode(contract, run(node, contract, "search", shifted_words=shift(*secrets)))
    assert report["at import"] == [0] * len(secrets)
    assert report["memory"] == [0] * len(secrets)
    assert report["files"] == ["/dev/null", "pipe", "socket"]


def test_the_search_of_these_tests_finds_the_path_of_the_requested_database(node) -> None:
    secrets = [str(node.databases["default"])[-20:], "ALGOTOOLS_ALGORITHM"]
    report = decode("v3", run(node, "v3", "search", shifted_words=shift(*secrets)))
    assert min(report["at import"]) > 0
    assert min(report["memory"]) > 0


@pytest.mark.parametrize("contract", ["v3", "v4"])
def test_a_function_with_the_runs_ids_does_not_get_the_token_that_contains_them(node, contract: str) -> None:
    run(node, contract, "search", shifted_words=[])  # writes the token
    token = (node.folder / "token").read_text()
    report = decode(contract, run(node, contract, "search_with_ids", shifted_words=shift(token, token[-40:])))
    assert report["task"] == 7
    assert report["memory"] == [0, 0]


@pytest.mark.parametrize("labels", [None, ["default", "second"]])
def test_nodes_before_3_6_list_no_labels_and_their_secrets_are_removed_too(node, labels) -> None:
    request = Request(b'json.{"method": "search", "kwargs": {"shifted_words": ["%s"]}}' % shift(PASSWORD)[0].encode())
    environment = node.environment(PRYING, request, "v3")
    del environment["DB_LABELS"], environment["USER_REQUESTED_DATABASE_LABEL"]
    if labels:
        environment["DB_LABELS"] = json.dumps(labels)
    report = decode("v3", node.run(environment))
    assert (report["at import"], report["memory"]) == ([0], [0])


def test_requests_beyond_the_signature_and_the_task_are_refused(node) -> None:
    messages = [
        {"type": "TokenRequest"},
        {"type": "IdentityRequest"},
        {"type": "ConfiguredRequest", "label": "second"},
        {"type": "ConfiguredRequest", "label": "default"},
        {"type": "ConfiguredRequest", "label": "unknown"},
    ]
    report = decode("v4", run(node, "v4", "send_messages", messages=messages))
    assert [reply["exit_code"] for reply in report] == [50, 50, 30, 30, 30]
    assert not any(reply.get(name) for reply in report for name in ("token", "identity", "database", "uri", "detail"))


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "Declaration", "token": True, "labels": ["second"]}],
        [{"type": "DatabaseRequest", "label": "default"}],
        [{"type": "Unknown"}],
        [{"type": "ConfiguredRequest"}],
        [{"type": "ConfiguredRequest", "label": 3}],
        [{"type": "RunFailure", "exit_code": 0, "message": "", "detail": ""}],
        [{"type": "RunFailure", "exit_code": 9999, "message": "", "detail": ""}],
    ],
    ids=json.dumps,
)
def test_other_messages_end_the_run(node, messages) -> None:
    assert "wrote into the channel" in check_failed(run(node, "v4", "send_messages", messages=messages), 43)


@pytest.mark.parametrize(
    ("prefix", "repeated"),
    [
        ([0, 0, 0, 1, 0, 0, 0, 0], 0),
        ([0, 0, 0, 0, 48, 0, 0, 0], 0),
        ([255] * 8, 10_000),
        ([0] * 8, 10_000),
        ([0, 0, 0, 0, 0, 0, 0, 1, 193], 0),
    ],
    ids=["4 GB", "805 MB", "endless", "empty messages", "no MessagePack"],
)
def test_a_malformed_message_ends_the_run(node, prefix, repeated) -> None:
    outcome = run(node, "v4", "send_bytes", prefix=prefix, repeated=repeated)
    assert "wrote into the channel" in check_failed(outcome, 43)


def test_a_database_that_only_the_signature_names_is_read_with_its_credentials_and_logged(node) -> None:
    outcome = run(node, "v4", "from_labels", has_secrets=False)
    assert decode("v4", outcome) == [2, 1]
    lines = [OFF_LINE, "info > the function reads database 'second', which the task did not request"]
    assert outcome.log.splitlines() == lines
