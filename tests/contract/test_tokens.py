"""The token of a run is read like real tokens, and refused if it is malformed."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from algotools.errors import TokenError
from algotools.federation.contract.rest import make_token
from algotools.runtime.contract.environment import read_token, read_token_file
from algotools.task import Identity

numbers = st.integers(0, 2**63 - 1)
items = st.dictionaries(st.text(), st.none() | st.text(), max_size=3)
databases = st.none() | st.text() | st.lists(items | st.lists(items, max_size=2), max_size=3)
identities = st.builds(
    Identity,
    task_id=numbers,
    node_id=numbers,
    organization_id=numbers,
    collaboration_id=numbers,
    image=st.text(),
    databases=databases,
    study_id=st.none() | numbers,
    store_id=st.none() | numbers,
    session_id=st.none() | numbers,
)


def sign(claims: object, encode=base64.urlsafe_b64encode) -> str:
    """Return a token with these claims, as the platform writes it."""
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return f"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.{encode(body).rstrip(b'=').decode()}.c2lnbmF0dXJl"


V4_SUBJECT = {
    "client_type": "container",
    "node_id": 4,
    "organization_id": 2,
    "collaboration_id": 1,
    "study_id": None,
    "store_id": None,
    "task_id": 2,
    "image": "v4probe:1",
    "databases": [
        {
            "query": "select 1",
            "sheet_name": "S",
            "preprocessing": [{"function": "dummy_preprocess", "parameters": {}}],
            "arguments": {"z": 1},
            "label": "default",
        }
    ],
}
V3_SUBJECT = {
    "client_type": "container",
    "node_id": 4,
    "organization_id": 2,
    "collaboration_id": 1,
    "task_id": 2,
    "image": "v3probe:1",
    "database": "default",
}
CLAIMS = {"fresh": False, "iat": 1795364090, "jti": "5c6bd9a5", "type": "access", "nbf": 1795364090}
OTHER_CLAIMS = {"csrf": "e0589e2a", "client_type": "container", "roles": []}


@given(identities)
def test_a_token_of_ours_is_read(identity):
    text = make_token(identity, b"k" * 32)

    assert read_token(text) == identity
    assert text.isascii()


def test_the_recorded_token_of_v4_is_read():
    identity = read_token(sign({**CLAIMS, "sub": V4_SUBJECT, **OTHER_CLAIMS}))

    assert identity == Identity(
        task_id=2,
        node_id=4,
        organization_id=2,
        collaboration_id=1,
        image="v4probe:1",
        databases=V4_SUBJECT["databases"],
    )


@pytest.mark.parametrize("claim", ["sub", "identity"])
def test_a_token_of_v3_is_read_with_the_claims_of_all_versions(claim):
    identity = read_token(sign({**CLAIMS, claim: V3_SUBJECT, **OTHER_CLAIMS}))

    assert (identity.task_id, identity.databases, identity.study_id) == (2, "default", None)


def test_the_signature_is_not_checked():
    text = make_token(Identity(task_id=1, node_id=2, organization_id=3, collaboration_id=4, image="i"), b"k" * 32)
    changed = text[:-4] + "AAAA"

    assert read_token(changed) == read_token(text)


def test_a_token_of_ours_is_a_jwt_with_an_object_as_subject():
    text = make_token(
        Identity(task_id=1, node_id=2, organization_id=3, collaboration_id=4, image="i", databases="default"), b"k"
    )
    head, body, _ = (
        json.loads(base64.urlsafe_b64decode(p + "==")) if i < 2 else p for i, p in enumerate(text.split("."))
    )

    assert head == {"alg": "HS256", "typ": "JWT"}
    assert (body["type"], body["client_type"], body["roles"]) == ("access", "container", [])
    assert body["sub"] == {
        "client_type": "container",
        "task_id": 1,
        "node_id": 2,
        "organization_id": 3,
        "collaboration_id": 4,
        "image": "i",
        "database": "default",
    }


@pytest.mark.parametrize(
    "claims",
    [
        None,
        1,
        "sub",
        ["sub"],
        {},
        {"sub": None},
        {"sub": "4"},
        {"sub": "database"},
        {"sub": ["database"]},
        {"sub": {}},
        {"sub": {**V4_SUBJECT, "task_id": "2"}},
        {"sub": {**V4_SUBJECT, "task_id": True}},
        {"sub": {**V4_SUBJECT, "image": None}},
        {"sub": {**V4_SUBJECT, "databases": [1]}},
        {"sub": {name: value for name, value in V4_SUBJECT.items() if name != "node_id"}},
        b"\xff",
        b"{",
        b"[" * 100_000,
    ],
    ids=lambda claims: repr(claims)[:30],
)
def test_claims_of_another_shape_are_refused(claims):
    with pytest.raises(TokenError):
        read_token(sign(claims))


@pytest.mark.parametrize("text", ["", ".", "..", "a.b", "a.b.c.d", "ü.ü.ü"])
def test_a_malformed_token_is_refused(text):
    with pytest.raises(TokenError):
        read_token(text)


def test_a_token_that_does_not_fit_into_a_header_is_refused():
    good = make_token(Identity(task_id=1, node_id=2, organization_id=3, collaboration_id=4, image="i"), b"k")

    for character in "\n\r\0ü":
        with pytest.raises(TokenError):
            read_token(f"{good}{character}a")


def check_read_or_refused(text: str) -> None:
    try:
        identity = read_token(text)
    except TokenError:
        return
    assert isinstance(identity, Identity)


@given(st.text() | st.lists(st.text(), min_size=3, max_size=3).map(".".join))
@example("a.é.b")
def test_arbitrary_text_raises_only_token_errors(text):
    check_read_or_refused(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.binary() | st.dictionaries(st.sampled_from(["sub", "identity"]), json_values))
def test_arbitrary_claims_raise_only_token_errors(claims):
    check_read_or_refused(sign(claims))


@given(st.dictionaries(st.sampled_from([*V4_SUBJECT, "database"]), json_values, min_size=1))
def test_claims_with_replaced_parts_raise_only_token_errors(parts):
    check_read_or_refused(sign({"sub": {**V4_SUBJECT, **parts}}))


def test_the_token_is_read_from_its_file(tmp_path):
    (tmp_path / "token").write_bytes(b"a.b.c\n")

    assert read_token_file(tmp_path / "token") == "a.b.c"


def test_missing_and_unreadable_token_files_have_different_messages(tmp_path):
    with pytest.raises(TokenError, match="gave this run no token"):
        read_token_file(tmp_path / "token")
    with pytest.raises(TokenError, match="IsADirectoryError"):
        read_token_file(tmp_path)
    (tmp_path / "token").write_bytes(b"\xff")
    with pytest.raises(TokenError, match="UnicodeDecodeError"):
        read_token_file(tmp_path / "token")
