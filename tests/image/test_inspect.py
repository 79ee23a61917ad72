"""Inspecting images: on this machine and in a registry, made with algotools and with other tools."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import docker
import pytest
import requests

from algotools.errors import ImageNotFound, RegistryError
from algotools.image._platforms import get_local_platform
from algotools.image._registry import _make_not_found_error
from algotools.image.inspect import ImageInfo, inspect, inspect_local
from algotools.image.names import Label, is_loopback, parse_reference
from algotools.image.push import push

from .conftest import DESCRIPTION, LABELS, NO_ENGINE, USER, DockerUser, Images, Registry, TokenRegistry

Name = Callable[[Registry], str]

SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.fixture(autouse=True)
def _docker_configuration(docker_user: DockerUser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(docker_user.folder))


@pytest.fixture
def pushed(images: Images, docker_user: DockerUser, name: Name) -> Callable[..., str]:
    """Makes an image, pushes it, removes it from this machine, and returns its name."""

    def make(registry: Registry, image_labels: dict[str, str] | None = None) -> str:
        tag = images.make(name(registry), image_labels)
        if registry.needs_login:
            docker_user.log_in(registry.address)
        push(tag, lambda _: None)
        images.remove(tag)
        return tag

    return make


@pytest.mark.docker
def test_a_local_image_has_all_fields(
    images: Images, engine: docker.DockerClient, registry: Registry, name: Name
) -> None:
    tag = images.make(name(registry), LABELS)
    image = inspect_local(engine, tag)
    assert image == ImageInfo(
        reference=tag,
        where="local",
        kind="algorithm",
        id=engine.images.get(tag).id or "",
        digests=(),
        platform=image.platform,
        created=image.created,
        size=32,
        layers=1,
        user="",
        entrypoint=(),
        command=("python", "-m", "algotools"),
        title="average",
        details="The average of a column",
        licenses=None,
        version="1.2.3",
        algotools="0.1.0",
        context=None,
        base=image.base,
        revision="c" * 40,
        clean=True,
        packages={"python": "3.13.1", "numpy": "2.4.6"},
        description=DESCRIPTION,
        gate="1",
        labels={},
        warnings=(),
    )
    assert image.base
    assert (image.base.name, image.base.digest) == ("registry.example.org/base:1", "sha256:" + "b" * 64)
    assert image.platform.startswith("linux/")
    assert image.created
    assert inspect_local(engine, image.id) == inspect_local(engine, tag).__class__(
        **{**_fields(image), "reference": image.id}
    )


def _fields(image: ImageInfo) -> dict[str, object]:
    return {name: getattr(image, name) for name in image.__struct_fields__}


@pytest.mark.docker
def test_the_text_shows_all_fields(images: Images, registry: Registry, name: Name, docker_user: DockerUser) -> None:
    process = docker_user.algotools("inspect", images.make(name(registry), LABELS), COLUMNS="100")
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    for text in (
        "average 1.2.3", "algotools 0.1.0, Python 3.13.1", "registry.example.org/base:1", "numpy 2.4.6",
        f"revision {'c' * 40} clean", "0.0 MB unpacked, 1 layer", "root", "python -m algotools",
        "none; the registry assigns a digest when the image is pushed", "average_partial (rpc)", "Column", "default: 3",
        "the column to add up", "the task's database", "sha256:" + "b" * 64, "gate       version 1: a node judges",
    ):  # fmt: skip
        assert text in process.stdout


@pytest.mark.docker
def test_an_image_in_a_registry_is_read_without_an_engine(pushed, registry: Registry, docker_user: DockerUser) -> None:
    tag = pushed(registry, LABELS)
    process = docker_user.algotools("inspect", tag, "--json", **NO_ENGINE)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    output = json.loads(process.stdout)
    repository = tag.removesuffix(":1")
    digest = registry.fetch_digest(repository.partition("/")[2], "1")
    manifest = json.loads(registry.request(f"{repository.partition('/')[2]}/manifests/1", accept=SCHEMA2)[1])
    assert set(output) == set(ImageInfo.__struct_fields__)
    assert output | {"created": "", "platform": ""} == {
        "reference": tag, "where": "registry", "kind": "algorithm", "id": manifest["config"]["digest"],
        "digests": [f"{repository}@{digest}"], "platform": "", "platforms": [], "created": "",
        "size": manifest["layers"][0]["size"], "layers": 1, "user": "", "entrypoint": [],
        "command": ["python", "-m", "algotools"], "title": "average", "details": "The average of a column",
        "licenses": None, "version": "1.2.3", "algotools": "0.1.0", "context": None,
        "base": {"name": "registry.example.org/base:1", "digest": "sha256:" + "b" * 64}, "revision": "c" * 40,
        "clean": True, "packages": {"python": "3.13.1", "numpy": "2.4.6"}, "description": DESCRIPTION, "gate": "1",
        "policy_variables": [], "labels": {}, "warnings": [],
    }  # fmt: skip


@pytest.mark.docker
def test_a_removed_image_is_read_in_its_registry_by_tag_and_by_digest(pushed, registry: Registry) -> None:
    tag = pushed(registry, LABELS)
    image = inspect(tag)
    assert image.where == "registry"
    by_digest = inspect(image.digests[0])
    assert (by_digest.id, by_digest.digests, by_digest.reference) == (image.id, image.digests, image.digests[0])


@pytest.mark.docker
def test_a_local_image_is_preferred_and_has_its_digest(images: Images, registry: Registry, name: Name) -> None:
    tag = images.make(name(registry), LABELS)
    pushed_name = push(tag, lambda _: None)
    image = inspect(tag)
    assert (image.where, image.digests) == ("local", (pushed_name,))


@pytest.mark.docker
@pytest.mark.parametrize("kind", ["guarded_registry", "tls_registry", "token_registry"])
def test_only_a_login_of_docker_is_used(
    pushed,
    docker_user: DockerUser,
    kind: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path,
) -> None:
    registry: Registry = request.getfixturevalue(kind)
    tag = pushed(registry, LABELS)
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert inspect(tag).where == "registry"
    docker_user.log_in(registry.address, password="wrong")
    with pytest.raises(RegistryError, match=f"refuses the login of user '{USER}'"):
        inspect(tag)
    docker_user.configure({})
    with pytest.raises(RegistryError, match=f"you are not logged in.* run `docker login {registry.address}`"):
        inspect(tag)


@pytest.mark.docker
def test_an_identity_token_replaces_user_and_password(
    pushed, docker_user: DockerUser, token_registry: TokenRegistry
) -> None:
    tag = pushed(token_registry, LABELS)
    docker_user.configure({"auths": {token_registry.address: {"identitytoken": token_registry.identity}}})
    assert inspect(tag).version == "1.2.3"
    docker_user.configure({"auths": {token_registry.address: {"identitytoken": "expired"}}})
    with pytest.raises(RegistryError, match="refuses the login of the token of your login"):
        inspect(tag)


@pytest.mark.docker
@pytest.mark.parametrize(("kind", "entry"), [(LIST, SCHEMA2), (INDEX, OCI), (INDEX, SCHEMA2)])
def test_from_an_index_the_image_for_this_machine_is_chosen(pushed, registry: Registry, kind: str, entry: str) -> None:
    own_tag, other_tag = pushed(registry, LABELS), pushed(registry)
    repository = own_tag.partition("/")[2].removesuffix(":1")
    machine = get_local_platform()
    entries = [
        _entry(registry, other_tag, repository, entry, {"os": "linux", "architecture": "s390x"}),
        _entry(registry, own_tag, repository, entry, {"os": machine.os, "architecture": machine.architecture}),
    ]
    if kind == INDEX:  # buildx attaches records of the build
        entries.append({**entries[0], "platform": {"os": "unknown", "architecture": "unknown"}})
    index = _put(registry, repository, "many", {"schemaVersion": 2, "mediaType": kind, "manifests": entries}, kind)
    image = inspect(f"{registry.address}/{repository}:many")
    assert image.version == "1.2.3"
    assert image.platforms == ("linux/s390x", str(machine))
    assert image.digests == tuple(f"{registry.address}/{repository}@{d}" for d in (index, entries[1]["digest"]))
    assert image.warnings == ()

    _put(registry, repository, "few", {"schemaVersion": 2, "mediaType": kind, "manifests": entries[:1]}, kind)
    image = inspect(f"{registry.address}/{repository}:few")
    assert image.kind == "other"
    assert image.warnings == (f"no image is for this machine ({machine}); this image is for linux/s390x",)


def _entry(registry: Registry, tag: str, target: str, kind: str, platform: dict[str, str]) -> dict[str, object]:
    """Copy an image to a repository with a media type, and return its entry for an index."""
    source = tag.partition("/")[2].removesuffix(":1")
    manifest = json.loads(registry.request(f"{source}/manifests/1", accept=SCHEMA2)[1])
    for blob in (manifest["config"], *manifest["layers"]):
        registry.request(f"{target}/blobs/uploads/?mount={blob['digest']}&from={source}", "POST", b"")
    if kind == OCI:  # in which the media type is optional
        del manifest["mediaType"]
        manifest["config"]["mediaType"] = "application/vnd.oci.image.config.v1+json"
        manifest["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip"
    digest = _put(registry, target, f"for-{platform['architecture']}", manifest, kind)
    return {"mediaType": kind, "digest": digest, "size": len(json.dumps(manifest)), "platform": platform}


def _put(registry: Registry, repository: str, tag: str, manifest: dict[str, object], kind: str) -> str:
    body = json.dumps(manifest).encode()
    registry.request(f"{repository}/manifests/{tag}", "PUT", body, kind)
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


@pytest.mark.docker
@pytest.mark.usefixtures("engine")
def test_a_chart_is_not_an_image(registry: Registry) -> None:
    blobs = []
    for content in (b'"no object"', b"a chart"):
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        location = registry.request("tests/chart/blobs/uploads/", "POST", b"")[0]["location"].partition("/v2/")[2]
        registry.request(f"{location}&digest={digest}", "PUT", content, "application/octet-stream")
        blobs.append({"mediaType": "application/vnd.example.chart", "digest": digest, "size": len(content)})
    manifest = {"schemaVersion": 2, "mediaType": OCI, "config": blobs[0], "layers": blobs[1:]}
    _put(registry, "tests/chart", "1", manifest, OCI)
    with pytest.raises(RegistryError, match=r"is not an image; check that .* is a registry"):
        inspect(f"{registry.address}/tests/chart:1")


@pytest.mark.docker
def test_malformed_labels_are_reported_as_warnings(
    images: Images, registry: Registry, name: Name, docker_user: DockerUser
) -> None:
    tag = images.make(name(registry), {**LABELS, Label.DESCRIPTION: "[" * 5000, Label.PACKAGES: "{"})
    process = docker_user.algotools("inspect", tag)
    assert process.returncode == 0, process.stderr
    assert " ".join(process.stdout.split()).count("because `algotools build` did not write it") == 2


@pytest.mark.docker
def test_control_characters_in_a_label_are_not_printed(
    images: Images, registry: Registry, name: Name, docker_user: DockerUser
) -> None:
    description = {
        "algorithm": "a\x1b[2J",
        "functions": [
            {
                "method": "m[bold]",
                "role": "\x9b2J",
                "variables": [
                    {
                        "name": "V[bold]",
                        "parameter": "v",
                        "type": "\x1b[2J",
                        "required": False,
                        "schema": {"default": "\x1b", "description": ["\x9b"]},
                    }
                ],
                "arguments": {
                    "properties": {
                        "a": {"$ref": "#/$defs/a", "default": "\x1b"},
                        "b": {"anyOf": [3, {"type": ["string", "null"]}]},
                        "c": {"type": "array", "items": {"type": {}}, "description": ["x"]},
                    },
                    "required": ["c"],
                    "$defs": {"a": {"enum": [{"x": 1}], "title": 3}},
                },
            }
        ],
    }
    labels = {**LABELS, Label.DESCRIPTION: json.dumps(description), Label.TITLE: "\x1b]0;title\x07"}
    process = docker_user.algotools("inspect", images.make(name(registry), labels), COLUMNS="100")
    assert process.returncode == 0, process.stderr
    assert "\x1b" not in process.stdout
    assert "\x9b" not in process.stdout
    assert "m[bold]" in process.stdout
    assert "node variable V[bold]" in process.stdout
    assert "Any | str | None" in process.stdout


@pytest.mark.docker
def test_an_image_made_with_another_tool_is_shown(
    images: Images, registry: Registry, name: Name, docker_user: DockerUser
) -> None:
    tag = images.make(name(registry), {"maintainer": "somebody", Label.TITLE: "a title"})
    process = docker_user.algotools("inspect", tag)
    assert "not built by `algotools build`; some information is not available" in process.stdout
    assert "maintainer=somebody" in process.stdout
    assert "a title" in process.stdout
    image = inspect(tag)
    assert (image.kind, image.labels, image.algotools) == ("other", {"maintainer": "somebody"}, None)


@pytest.mark.docker
@pytest.mark.parametrize("image_labels", [LABELS, {}], ids=["of algotools", "of another tool"])
def test_an_image_that_sets_the_policy_of_a_node_is_refused(
    images: Images, registry: Registry, name: Name, docker_user: DockerUser, image_labels: dict[str, str]
) -> None:
    tag = images.make(name(registry), image_labels, steps=("ENV A=1 ALGOTOOLS_POLICY=off",))
    process = docker_user.algotools("inspect", tag)
    assert process.returncode == 64
    assert tag in process.stdout
    assert "the image sets ALGOTOOLS_POLICY, but only the owner of a node sets the policy" in process.stderr
    process = docker_user.algotools("inspect", tag, "--json")
    assert process.returncode == 64
    assert json.loads(process.stdout)["policy_variables"] == ["ALGOTOOLS_POLICY"]


@pytest.mark.docker
def test_an_image_without_the_label_of_the_gate_is_shown(
    images: Images, registry: Registry, name: Name, docker_user: DockerUser
) -> None:
    old_labels = {label: text for label, text in LABELS.items() if label != Label.GATE}
    process = docker_user.algotools("inspect", images.make(name(registry), old_labels))
    assert process.returncode == 0
    assert "gate       unknown: the image has no label algotools.gate" in process.stdout


@pytest.mark.docker
def test_a_base_is_recognized(images: Images, registry: Registry, name: Name, docker_user: DockerUser) -> None:
    tag = images.make(name(registry), {Label.VERSION: "0.1.0", Label.CONTEXT: "sha256:" + "d" * 64})
    process = docker_user.algotools("inspect", tag)
    assert "base image for algorithms; the image itself contains no algorithm" in process.stdout
    assert inspect(tag).context == "sha256:" + "d" * 64


@pytest.mark.docker
def test_an_image_that_does_not_exist_is_reported(pushed, registry: Registry, docker_user: DockerUser) -> None:
    tag = pushed(registry)
    for unknown_name, text in (
        (f"{tag}.5", "its tags are 1"),
        (f"{registry.address}/tests/none:1", "it has no repository tests/none"),
        ("tests/none", "the name has no registry, so no registry was searched (Docker's own: docker.io/tests/none)"),
        ("Not/A/Name", "is not the name of an image"),
    ):
        process = docker_user.algotools("inspect", unknown_name)
        assert process.returncode == 63, process.stderr
        assert text in process.stderr
        assert process.stdout == ""


@pytest.mark.parametrize(
    ("status", "tags", "hint"),
    [
        (404, None, "; it has no repository demo/average"),
        (401, None, ""),
        (503, None, ""),
        (200, [], ""),
        (200, ["1", "2"], "; its tags are 1, 2"),
        (200, [f"{n:02}" for n in range(31)], "; tags (last 8 of 31): 23, 24, 25, 26, 27, 28, 29, 30"),
    ],
)
def test_a_repository_is_called_missing_only_if_its_registry_reports_that(
    status: int, tags: list[str] | None, hint: str
) -> None:
    class Repository:
        def list_tags(self) -> list[str]:
            if tags is None:
                response = requests.Response()
                response.status_code = status
                response.raise_for_status()
            return tags or []

    error = _make_not_found_error(Repository(), parse_reference("registry.example.org/demo/average:9"))  # type: ignore[arg-type]
    assert error.message == f"registry.example.org has no image registry.example.org/demo/average:9{hint}"


def test_a_missing_engine_is_reported_if_no_registry_helps(docker_user: DockerUser) -> None:
    process = docker_user.algotools("inspect", "demo/average:1", **NO_ENGINE)
    assert process.returncode == 62
    assert "no container engine answers" in process.stderr
    process = docker_user.algotools("inspect", "no-such-host.invalid/average:1", **NO_ENGINE)
    assert process.returncode == 65
    assert "the host name no-such-host.invalid is unknown" in process.stderr
    assert "HTTPSConnectionPool" not in process.stderr
    assert "the image was not searched on this machine" in process.stderr


def test_a_registry_that_does_not_run_is_reported(closed_port: int, docker_user: DockerUser) -> None:
    process = docker_user.algotools("inspect", f"127.0.0.1:{closed_port}/average:1", **NO_ENGINE)
    assert process.returncode == 65
    assert f"nothing listens at 127.0.0.1:{closed_port}" in process.stderr
    assert "Traceback" not in process.stderr


def test_a_server_that_is_not_a_registry_is_reported(web_server: str, docker_user: DockerUser) -> None:
    process = docker_user.algotools("inspect", f"{web_server}/average:1", **NO_ENGINE)
    assert process.returncode == 65
    assert "is not an image; check that" in process.stderr


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("average", ("", "average", "", "")),
        ("demo/average:1.0", ("", "demo/average", "1.0", "")),
        ("localhost/average", ("localhost", "average", "", "")),
        ("localhost:5000/a/b:1", ("localhost:5000", "a/b", "1", "")),
        ("[::1]:5000/a", ("[::1]:5000", "a", "", "")),
        ("r.example.org/a@sha256:" + "0" * 64, ("r.example.org", "a", "", "sha256:" + "0" * 64)),
        ("r.example.org/a:1@sha256:" + "0" * 64, ("r.example.org", "a", "1", "sha256:" + "0" * 64)),
    ],
)
def test_a_name_is_split_into_its_parts(text: str, parts: tuple[str, str, str, str]) -> None:
    reference = parse_reference(text)
    assert (reference.registry, reference.repository, reference.tag, reference.digest) == parts


@pytest.mark.parametrize(
    "text", ["", "/a", "a/", "a//b", "a:", "-a", "a..b", "a b", "A", "http://a/b", "a@b", "r.example.org/"]
)
def test_a_malformed_name_is_refused(text: str) -> None:
    with pytest.raises(ImageNotFound, match="is not the name of an image"):
        parse_reference(text)


def test_loopback_addresses_are_recognized() -> None:
    assert all(map(is_loopback, ("localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000")))
    assert not any(map(is_loopback, ("127.0.0.1.example.org", "localhost.example.org:80", "10.0.0.1", "registry:5000")))
