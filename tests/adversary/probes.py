"""Probes of the confinement in real containers: an action that works is a breach, unless a page documents it."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import docker

from algotools.federation.contract import get_contract
from algotools.image import base

from ..conftest import ALGORITHMS
from ..processes import LIMIT
from ..runtime.sandbox.conftest import (
    CLOSED,
    DEFAULT,
    MINE,
    OTHERS,
    OWNERS_LOG,
    SECOND,
    SESSION,
    WORK,
    archive,
    open_node,
)
from .scoreboard import AttackGroup

DOCKERFILE = "FROM {base}\nWORKDIR /app\nCOPY . /app\nENV ALGOTOOLS_ALGORITHM=/app\n"
URI = "postgresql://reader:Wurrzelpass9917@db.example.org/register"
USERS: dict[str, tuple[dict[str, Any], str]] = {
    "root": ({}, "0:0"),
    "root without capabilities": ({"cap_drop": ["ALL"]}, "0:0"),
    "the owner of the files": ({"user": "1000:1000"}, "1000:1000"),
}
"""First user of the container -> settings of the container, and the owner of the node's files."""
FILES = {
    "other_input": f"{OTHERS}/input", "other_output": f"{OTHERS}/output", "other_token": f"{OTHERS}/token",
    "own_input": f"{MINE}/input", "own_output": f"{MINE}/output", "own_token": f"{MINE}/token",
    "database": DEFAULT, "second": SECOND, "closed": CLOSED, "code": "/app/pyproject.toml", "owners_log": OWNERS_LOG,
}  # fmt: skip
SESSION_FILES = {
    **FILES, "other_input": f"{SESSION}/second.parquet", "other_output": f"{SESSION}/session_state.parquet",
    "other_token": f"{SESSION}/closed.parquet", "own_input": f"{WORK}/input", "own_output": f"{WORK}/output",
    "own_token": f"{WORK}/output", "database": f"{SESSION}/default.parquet", "second": f"{SESSION}/second.parquet",
    "closed": f"{SESSION}/closed.parquet",
}  # fmt: skip
UNCLEAR = frozenset(
    {"ENOENT", "ENOTDIR", "AttributeError", "TypeError", "NameError", "KeyError", "TimeoutExpired", "EINVAL"}
)
"""Outcomes that show a mistake of the probe rather than a refusal."""


class Place(NamedTuple):
    """A generation and the first user of the container."""

    contract: str
    user: str


DOCUMENTED = {
    "list the folder of other_input": {("v5", user) for user in USERS},
    "list the folder of own_input": {("v5", user) for user in USERS},
    "list the folder of database": {("v5", user) for user in USERS},
    "list the supervisor's fd": {(name, "root without capabilities") for name in ("v3", "v4", "v5")},
}
"""Probe -> generations and users for which docs/concepts/nodes.md says that the action is possible."""


PLACES = tuple(Place(contract, user) for contract in ("v3", "v4", "v5") for user in USERS)


def attack(group: AttackGroup, seed: int, share: float = 1.0, places: Sequence[Place] = PLACES) -> None:
    """Run all probes, or a random share of them, for each generation and user."""
    chance = random.Random(seed)
    engine = docker.from_env(timeout=int(LIMIT))
    try:
        with _build_image(engine) as image:
            for place in places:
                _probe(group, engine, image, place, chance, share)
    finally:
        engine.close()


def list_probes() -> list[str]:
    """Return the names of all probes. The module itself is imported only in containers."""
    source = (ALGORITHMS / "probes" / "src" / "probes" / "__init__.py").read_text("utf-8")
    start = source.index("LIBC = ")
    end = source.index("@rpc")
    header = source[source.index("import ctypes") : source.index("import pandas")]
    names: dict[str, Any] = {"__name__": "probes"}
    exec(compile(f"{header}\n{source[start:end]}", "probes", "exec"), names)
    return list(names["PROBES"])


@contextmanager
def _build_image(engine: docker.DockerClient) -> Iterator[str]:
    base_image = base.ensure_base(engine, lambda _line: None)
    project = ALGORITHMS / "probes"
    files = {
        str(path.relative_to(project)): (path.read_bytes(), 0o644)
        for path in sorted(project.rglob("*"))
        if path.suffix in (".py", ".toml")
    }
    dockerfile = DOCKERFILE.format(base=base_image).encode()
    context = io.BytesIO(archive({"Dockerfile": (dockerfile, 0o644), **files}))
    image, _ = engine.images.build(fileobj=context, custom_context=True, rm=True, forcerm=True)
    try:
        yield str(image.id)
    finally:
        engine.images.remove(str(image.id), force=True)


def _probe(
    group: AttackGroup, engine: docker.DockerClient, image: str, place: Place, chance: random.Random, share: float
) -> None:
    settings, owner = USERS[place.user]
    has_sessions = get_contract(place.contract).has_sessions
    names = [name for name in list_probes() if share == 1 or chance.random() < share]
    with open_node(engine, image, place.contract) as node:
        node.owner = owner
        if not has_sessions:
            node.databases["register"] = URI
        files = SESSION_FILES if has_sessions else FILES
        outcome = node("probe_all", settings=settings, files=files, names=names)
        if outcome.code:
            group.attempts += len(names)
            group.report("breach", f"{place}", f"the run ended with {outcome.code}: {outcome.log[-300:]}")
            return
        _judge(group, place, node.decode(outcome))
        secrets = {"the password of another database": "Wurrzelpass9917", "the token of another task": "another task's"}
        found = node.answer("probe_secrets", settings=settings, texts=[text[::-1] for text in secrets.values()])
        for name, text in secrets.items():
            group.attempts += 1
            if found[text[::-1]]:
                group.report("credential", f"{place}", name)
        if share < 1 and place.user != "root":
            return  # the network of a container does not depend on its user; a sample has one of them
        addresses = ["192.0.2.1", "2001:db8::1"]
        answers = node.answer(
            "probe_network", requested=(), settings={**settings, "network_mode": "none"}, addresses=addresses
        )
        group.attempts += len(answers)
        for address, answer in answers.items():
            if answer == "done":
                group.report("breach", f"{place}", f"connected to {address} without a network")


def _judge(group: AttackGroup, place: Place, answers: dict[str, str]) -> None:
    for name, answer in answers.items():
        group.attempts += 1
        if answer != "done":
            group.notes["unclear" if answer in UNCLEAR else "refused"] += 1
            if answer in UNCLEAR:
                group.notes[f"unclear: {re.sub(' .*', '', name)} {answer}"] += 1
        elif place in DOCUMENTED.get(name, ()):
            group.notes[f"documented: {name}"] += 1
        else:
            group.report("breach", f"{place.contract}, {place.user}", name)
