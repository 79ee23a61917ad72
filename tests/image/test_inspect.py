"""Looking into an image: on this machine, in a registry, of our own making and of anybody's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import docker
import pytest

from algotools.errors import ImageNotFound, RegistryError
from algotools.image import labels
from algotools.image.inspect import Image, inspect, local
from algotools.image.push import push
from algotools.image.reference import is_loopback, parse
from algotools.image.registry import here

from .conftest import DESCRIPTION, LABELS, NO_ENGINE, USER, DockerUser, Images, Registry, TokenRegistry

Name = Callable[[Registry], str]

SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.fixture(autouse=True)
def _own_configuration(docker_user: DockerUser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(docker_user.folder))


@pytest.fixture
def pushed(images: Images, docker_user: DockerUser, name: Name) -> Callable[..., str]:
    """Makes an image, pushes it, removes it here, and gives its name."""

    def make(registry: Registry, image_labels: dict[str, str] | None = None) -> str:
        tag = images.make(name(registry), image_labels)
        if registry.guarded:
            docker_user.log_in(registry.address)
        push(tag, lambda _: None)
        images.remove(tag)
        return tag

    return make


@pytest.mark.docker
def test_a_local_image(images: Images, engine: docker.DockerClient, registry: Registry, name: Name) -> None:
    tag = images.make(name(registry), LABELS)
    image = local(engine, tag)
    assert image == Image(
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
        labels={},
        warnings=(),
    )
    assert image.base
    assert (image.base.name, image.base.digest) == ("registry.example.org/base:1", "sha256:" + "b" * 64)
    assert image.platform.startswith("linux/")
    assert image.created
    assert local(engine, image.id) == local(engine, tag).__class__(**{**_fields(image), "reference": image.id})


def _fields(image: Image) -> dict[str, object]:
    return {name: getattr(image, name) for name in image.__struct_fields__}


@pytest.mark.docker
def test_for_people(images: Images, registry: Registry, name: Name, docker_user: DockerUser) -> None:
    ended = docker_user.algotools("inspect", images.make(name(registry), LABELS), COLUMNS="100")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    for words in (
        "average 1.2.3", "algotools 0.1.0, Python 3.13.1", "registry.example.org/base:1", "numpy 2.4.6",
        f"revision {'c' * 40} clean", "0.0 MB unpacked, 1 layer", "root", "python -m algotools",
        "none yet; a registry gives one when it is pushed", "average_partial (rpc)", "Column", "default: 3",
        "what to add up", "the task's database", "sha256:" + "b" * 64,
    ):  # fmt: skip
        assert words in ended.stdout


@pytest.mark.docker
def test_in_a_registry_without_an_engine(pushed, registry: Registry, docker_user: DockerUser) -> None:
    tag = pushed(registry, LABELS)
    ended = docker_user.algotools("inspect", tag, "--json", **NO_ENGINE)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    told = json.loads(ended.stdout)
    repository = tag.removesuffix(":1")
    digest = registry.digest(repository.partition("/")[2], "1")
    manifest = json.loads(registry.request(f"{repository.partition('/')[2]}/manifests/1", accept=SCHEMA2)[1])
    assert set(told) == set(Image.__struct_fields__)
    assert told | {"created": "", "platform": ""} == {
        "reference": tag, "where": "registry", "kind": "algorithm", "id": manifest["config"]["digest"],
        "digests": [f"{repository}@{digest}"], "platform": "", "platforms": [], "created": "",
        "size": manifest["layers"][0]["size"], "layers": 1, "user": "", "entrypoint": [],
        "command": ["python", "-m", "algotools"], "title": "average", "details": "The average of a column",
        "licenses": None, "version": "1.2.3", "algotools": "0.1.0", "context": None,
        "base": {"name": "registry.example.org/base:1", "digest": "sha256:" + "b" * 64}, "revision": "c" * 40,
        "clean": True, "packages": {"python": "3.13.1", "numpy": "2.4.6"}, "description": DESCRIPTION, "labels": {},
        "warnings": [],
    }  # fmt: skip


@pytest.mark.docker
def test_after_it_was_removed_here_and_by_digest(pushed, registry: Registry) -> None:
    tag = pushed(registry, LABELS)
    image = inspect(tag)
    assert image.where == "registry"
    by_digest = inspect(image.digests[0])
    assert (by_digest.id, by_digest.digests, by_digest.reference) == (image.id, image.digests, image.digests[0])


@pytest.mark.docker
def test_what_is_here_comes_first_and_knows_its_digest(images: Images, registry: Registry, name: Name) -> None:
    tag = images.make(name(registry), LABELS)
    pushed = push(tag, lambda _: None)
    image = inspect(tag)
    assert (image.where, image.digests) == ("local", (pushed,))


@pytest.mark.docker
@pytest.mark.parametrize("kind", ["guarded_registry", "tls_registry", "token_registry"])
def test_a_login_is_used(
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
    netrc.write_text("default login somebody password else\n")
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
def test_an_identity_token_stands_for_user_and_password(
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
def test_of_an_index_the_image_for_this_machine(pushed, registry: Registry, kind: str, entry: str) -> None:
    mine, other = pushed(registry, LABELS), pushed(registry)
    repository = mine.partition("/")[2].removesuffix(":1")
    machine = here()
    entries = [
        _entry(registry, other, repository, entry, {"os": "linux", "architecture": "s390x"}),
        _entry(registry, mine, repository, entry, {"os": machine.os, "architecture": machine.architecture}),
    ]
    if kind == INDEX:  # as buildx attaches what it knows of a build
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
    assert image.warnings == (f"there is no image for this machine ({machine}); this is the one for linux/s390x",)


def _entry(registry: Registry, tag: str, target: str, kind: str, platform: dict[str, str]) -> dict[str, object]:
    """An image, brought into a repository in some form, as an index lists it."""
    source = tag.partition("/")[2].removesuffix(":1")
    manifest = json.loads(registry.request(f"{source}/manifests/1", accept=SCHEMA2)[1])
    for blob in (manifest["config"], *manifest["layers"]):
        registry.request(f"{target}/blobs/uploads/?mount={blob['digest']}&from={source}", "POST", b"")
    if kind == OCI:  # in which the media type may be left out
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
def test_a_chart_is_no_image(registry: Registry) -> None:
    blobs = []
    for content in (b'"no object"', b"a chart"):
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        where = registry.request("tests/chart/blobs/uploads/", "POST", b"")[0]["location"].partition("/v2/")[2]
        registry.request(f"{where}&digest={digest}", "PUT", content, "application/octet-stream")
        blobs.append({"mediaType": "application/vnd.example.chart", "digest": digest, "size": len(content)})
    manifest = {"schemaVersion": 2, "mediaType": OCI, "config": blobs[0], "layers": blobs[1:]}
    _put(registry, "tests/chart", "1", manifest, OCI)
    with pytest.raises(RegistryError, match="is no image; see whether it is a registry"):
        inspect(f"{registry.address}/tests/chart:1")


@pytest.mark.docker
@pytest.mark.parametrize(
    "written",
    [
        "", "{", "[]", "3", '{"algorithm": 3}', '{"algorithm": "a", "functions": [3]}', "[" * 5000,
        '{"algorithm": "a", "functions": [{"method": "m", "role": "rpc", "arguments": {"properties": [1]}}]}',
    ],
)  # fmt: skip
def test_labels_that_are_not_as_ours(
    images: Images, registry: Registry, name: Name, docker_user: DockerUser, written: str
) -> None:
    tag = images.make(name(registry), {**LABELS, labels.DESCRIPTION: written, labels.PACKAGES: written})
    image = inspect(tag)
    assert (image.description, image.packages, image.kind) == (None, None, "other")
    ended = docker_user.algotools("inspect", tag)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("is not as `algotools build` writes it") == 2


@pytest.mark.docker
def test_what_a_foreign_label_says_moves_no_cursor(
    images: Images, registry: Registry, name: Name, docker_user: DockerUser
) -> None:
    description = {
        "algorithm": "a\x1b[2J",
        "functions": [
            {
                "method": "m[bold]",
                "role": "\x9b2J",
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
    written = {**LABELS, labels.DESCRIPTION: json.dumps(description), labels.TITLE: "\x1b]0;title\x07"}
    ended = docker_user.algotools("inspect", images.make(name(registry), written), COLUMNS="100")
    assert ended.returncode == 0, ended.stderr
    assert "\x1b" not in ended.stdout
    assert "\x9b" not in ended.stdout
    assert "m[bold]" in ended.stdout
    assert "Any | str | None" in ended.stdout


@pytest.mark.docker
def test_an_image_of_somebody_elses_making(
    images: Images, registry: Registry, name: Name, docker_user: DockerUser
) -> None:
    tag = images.make(name(registry), {"maintainer": "somebody", labels.TITLE: "a title"})
    ended = docker_user.algotools("inspect", tag)
    assert "not made by `algotools build`; this is what there is" in ended.stdout
    assert "maintainer=somebody" in ended.stdout
    assert "a title" in ended.stdout
    image = inspect(tag)
    assert (image.kind, image.labels, image.algotools) == ("other", {"maintainer": "somebody"}, None)


@pytest.mark.docker
def test_a_base(images: Images, registry: Registry, name: Name, docker_user: DockerUser) -> None:
    tag = images.make(name(registry), {labels.VERSION: "0.1.0", labels.CONTEXT: "sha256:" + "d" * 64})
    ended = docker_user.algotools("inspect", tag)
    assert "a base for the images of algorithms; it holds none itself" in ended.stdout
    assert inspect(tag).context == "sha256:" + "d" * 64


@pytest.mark.docker
def test_an_image_that_is_nowhere(pushed, registry: Registry, docker_user: DockerUser) -> None:
    tag = pushed(registry)
    for wanted, says in (
        (f"{tag}.5", "its tags are 1"),
        (f"{registry.address}/tests/none:1", "it knows no repository tests/none"),
        ("tests/none", "as the name has no registry, none was asked (Docker's own: docker.io/tests/none)"),
        ("Not/A/Name", "is not a name of an image"),
    ):
        ended = docker_user.algotools("inspect", wanted)
        assert ended.returncode == 63, ended.stderr
        assert says in ended.stderr
        assert ended.stdout == ""


def test_without_engine_and_registry(docker_user: DockerUser) -> None:
    ended = docker_user.algotools("inspect", "demo/average:1", **NO_ENGINE)
    assert ended.returncode == 62
    assert "no container engine answers" in ended.stderr
    ended = docker_user.algotools("inspect", "no-such-host.invalid/average:1", **NO_ENGINE)
    assert ended.returncode == 65
    assert "no host goes by the name no-such-host.invalid" in ended.stderr
    assert "no container engine was asked" in ended.stderr


def test_a_registry_that_does_not_answer(closed_port: int, docker_user: DockerUser) -> None:
    ended = docker_user.algotools("inspect", f"127.0.0.1:{closed_port}/average:1", **NO_ENGINE)
    assert ended.returncode == 65
    assert f"nothing listens at 127.0.0.1:{closed_port}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_server_that_is_no_registry(web_server: str, docker_user: DockerUser) -> None:
    ended = docker_user.algotools("inspect", f"{web_server}/average:1", **NO_ENGINE)
    assert ended.returncode == 65
    assert "is no image; see whether it is a registry" in ended.stderr


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
def test_a_name_is_taken_apart(text: str, parts: tuple[str, str, str, str]) -> None:
    reference = parse(text)
    assert (reference.registry, reference.repository, reference.tag, reference.digest) == parts


@pytest.mark.parametrize(
    "text", ["", "/a", "a/", "a//b", "a:", "-a", "a..b", "a b", "A", "http://a/b", "a@b", "r.example.org/"]
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ImageNotFound, match="is not a name of an image"):
        parse(text)


def test_which_registries_are_on_this_machine() -> None:
    assert all(map(is_loopback, ("localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000")))
    assert not any(map(is_loopback, ("127.0.0.1.example.org", "localhost.example.org:80", "10.0.0.1", "registry:5000")))
