"""An image must not set the policy of a node: wherever the setting is, it is found, and its value is not shown."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

import pytest

from algotools.image.inspect import _make_image_info
from algotools.image.names import Label
from algotools.image.policy import is_policy_variable, list_policy_variables
from algotools.project.check import RULES

from .conftest import LABELS, NO_ENGINE, DockerUser, Registry

FOUND: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a preset": ({"Env": ["PATH=/bin", "ALGOTOOLS_POLICY=off"]}, ["ALGOTOOLS_POLICY"]),
    "no value": ({"Env": ["ALGOTOOLS_POLICY="]}, ["ALGOTOOLS_POLICY"]),
    "no equals sign": ({"Env": ["ALGOTOOLS_POLICY"]}, ["ALGOTOOLS_POLICY"]),
    "two settings": (
        {"Env": ["ALGOTOOLS_POLICY_ZEROS=allow", "ALGOTOOLS_POLICY_DIGITS=3"]},
        ["ALGOTOOLS_POLICY_DIGITS", "ALGOTOOLS_POLICY_ZEROS"],
    ),
    "a setting that does not exist": ({"Env": ["ALGOTOOLS_POLICY_MINIMUM_CEL=1"]}, ["ALGOTOOLS_POLICY_MINIMUM_CEL"]),
    "a value that owners encode": ({"Env": ["ALGOTOOLS_POLICY=N5TGM!!!"]}, ["ALGOTOOLS_POLICY"]),
    "a policy file": ({"Env": ["ALGOTOOLS_RULES_DATABASE_URI=/app/p.toml"]}, ["ALGOTOOLS_RULES_DATABASE_URI"]),
    "a command": ({"Cmd": ["env", "ALGOTOOLS_POLICY=off", "python", "-m", "algotools"]}, ["ALGOTOOLS_POLICY"]),
    "a command in a shell": (
        {"Entrypoint": ["/bin/sh", "-c", "export ALGOTOOLS_POLICY=off; python -m algotools"]},
        ["ALGOTOOLS_POLICY"],
    ),
    "a trigger": ({"OnBuild": ["ENV A=1 ALGOTOOLS_POLICY_UNREAD=allow"]}, ["ALGOTOOLS_POLICY_UNREAD"]),
    "a command that is a text": ({"Cmd": "env ALGOTOOLS_POLICY=off python"}, ["ALGOTOOLS_POLICY"]),
}


@pytest.mark.parametrize(("configuration", "names"), FOUND.values(), ids=FOUND)
def test_a_setting_of_the_policy_is_found(configuration: dict[str, Any], names: list[str]) -> None:
    assert list_policy_variables(configuration) == names
    image = inspect_configuration(configuration)
    assert image.policy_variables == tuple(names)


HARMLESS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "variables of the base": {"Env": ["PATH=/opt/algotools/bin", "ALGOTOOLS_WORKER_USER=algotools"]},
    "other names": {"Env": ["algotools_policy=off", "MY_ALGOTOOLS_POLICY=off", "A=ALGOTOOLS_POLICY=off"]},
    "another command": {"Cmd": ["python", "-m", "algotools"], "Entrypoint": None, "OnBuild": ["ARG PIP_INDEX_URL"]},
    "a command with another name": {"Cmd": ["env", "MY_ALGOTOOLS_POLICY=off"]},
    "another type": {"Env": 3, "Cmd": [3, None], "Entrypoint": {"ALGOTOOLS_POLICY": 1}, "OnBuild": "x"},
}


@pytest.mark.parametrize("configuration", HARMLESS.values(), ids=HARMLESS)
def test_other_settings_are_allowed(configuration: dict[str, Any]) -> None:
    assert list_policy_variables(configuration) == []
    assert inspect_configuration(configuration).policy_variables == ()


def inspect_configuration(configuration: dict[str, Any], **labels: str) -> Any:
    """Interpret the configuration of an image as a registry returns it."""
    return _make_image_info(
        {"config": {**configuration, "Labels": labels}, "os": "linux", "architecture": "amd64"},
        reference="r.example.org/a:1",
        where="registry",
        id="sha256:" + "1" * 64,
        digests=(),
        size=1,
        layers=1,
    )


def test_the_label_of_the_gate_is_a_field() -> None:
    image = inspect_configuration({}, **{Label.GATE: "1"})
    assert (image.gate, image.labels) == ("1", {})
    assert inspect_configuration({}).gate is None


def test_the_values_that_left_in_a_trial_are_a_part_of_the_description() -> None:
    call = {"values": [{"path": "result['n']", "kind": "count", "evidence": "aggregate.count"}], "withheld": ""}
    description = {Label.DESCRIPTION: LABELS[Label.DESCRIPTION]}
    text = json.dumps({"average_partial": call, "of_an_older_version": call})
    image = inspect_configuration({}, **{**description, Label.LEFT_IN_TRIAL: text})
    assert image.description is not None
    assert (image.description["functions"][0]["left_in_trial"], image.labels) == (call, {})
    image = inspect_configuration({}, **{**description, Label.LEFT_IN_TRIAL: '{"average_partial": ["n"]}'})
    assert image.description is not None
    assert "left_in_trial" not in image.description["functions"][0]
    assert "the label algotools.left-in-trial is ignored" in image.warnings[0]


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "3", '{"algorithm": 3}', '{"algorithm": "a", "functions": [3]}', "[" * 5000,
        '{"algorithm": "a", "functions": [{"method": "m", "role": "rpc", "arguments": {"properties": [1]}}]}',
    ],
)  # fmt: skip
def test_malformed_labels_are_ignored_with_a_warning(text: str) -> None:
    image = inspect_configuration({}, **{**LABELS, Label.DESCRIPTION: text, Label.PACKAGES: text})
    assert (image.description, image.packages, image.kind) == (None, None, "other")
    assert [warning.count("because `algotools build` did not write it") for warning in image.warnings] == [1, 1]


def test_the_names_of_variables_are_case_sensitive() -> None:
    assert is_policy_variable("ALGOTOOLS_POLICY_KEY")
    assert not is_policy_variable("Algotools_Policy_Key")


def test_the_way_out_of_the_rule_of_check_is_an_option_that_exists() -> None:
    from algotools import rpc

    assert "@rpc(minimum_rows=…)" in RULES["policy-in-image"].way_out
    assert rpc(minimum_rows=5)


def store_image(registry: Registry, configuration: dict[str, Any]) -> str:
    """Store an image without layers in a registry, which needs no engine, and return its name."""
    repository = f"tests/{uuid.uuid4().hex[:12]}"
    content = json.dumps({"os": "linux", "architecture": "amd64", "config": configuration}).encode()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    location = registry.request(f"{repository}/blobs/uploads/", "POST", b"")[0]["location"].partition("/v2/")[2]
    registry.request(f"{location}&digest={digest}", "PUT", content, "application/octet-stream")
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    entry = {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": digest, "size": len(content)}
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": entry, "layers": []}
    registry.request(f"{repository}/manifests/1", "PUT", json.dumps(manifest).encode(), kind)
    return f"{registry.address}/{repository}:1"


@pytest.mark.parametrize("image_labels", [LABELS, {}], ids=["of algotools", "of another tool"])
def test_an_image_that_sets_the_policy_is_shown_and_refused(
    registry: Registry, docker_user: DockerUser, image_labels: dict[str, str]
) -> None:
    configuration = {"Env": ["A=1", "ALGOTOOLS_POLICY_KEY=secret"], "Labels": image_labels}
    name = store_image(registry, configuration)
    process = docker_user.algotools("inspect", name, **NO_ENGINE)
    assert process.returncode == 64
    assert name in process.stdout
    assert "the image sets ALGOTOOLS_POLICY_KEY, but only the owner of a node sets the policy" in process.stderr
    assert "secret" not in process.stdout + process.stderr
    process = docker_user.algotools("inspect", name, "--json", **NO_ENGINE)
    assert process.returncode == 64
    assert json.loads(process.stdout)["policy_variables"] == ["ALGOTOOLS_POLICY_KEY"]


def test_the_text_shows_what_the_labels_say_about_the_gate(registry: Registry, docker_user: DockerUser) -> None:
    old_labels = {label: text for label, text in LABELS.items() if label != Label.GATE}
    for image_labels, text in (
        (LABELS, "gate       version 1: a node judges each result with its owner's policy before the result leaves"),
        (old_labels, "gate       unknown: the image has no label algotools.gate"),
        ({"maintainer": "somebody"}, ""),
        ({Label.VERSION: "0.1.0", Label.CONTEXT: "sha256:0"}, ""),
    ):
        process = docker_user.algotools("inspect", store_image(registry, {"Labels": image_labels}), **NO_ENGINE)
        assert process.returncode == 0, process.stderr
        assert text in process.stdout
        assert ("gate  " in process.stdout) == bool(text)
