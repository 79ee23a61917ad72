"""A container reads the same task that a node prepared, in every generation that can express the task."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from algotools.errors import ContractError, NotSerializable
from algotools.federation.contract import NodeContract, PreparedRun, get_contract
from algotools.federation.contract.v3 import V3Node
from algotools.federation.contract.v4 import V4Node
from algotools.federation.contract.v5 import V5Node
from algotools.runtime.contract import detect
from algotools.runtime.contract.v5 import ACTIONS, JOB_FOLDER, OUTPUT_FORMAT, RESEND_OF, SOURCE
from algotools.task import Database, Identity, Proxy, Task

from ..conftest import examples

CONTRACTS = {"v3": V3Node(), "v4": V4Node(), "v4 plain": V4Node(encoded=False), "v5": V5Node()}
each_contract = pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
WITH_DATABASES = {name: contract for name, contract in CONTRACTS.items() if not contract.has_sessions}
each_with_databases = pytest.mark.parametrize("contract", WITH_DATABASES.values(), ids=WITH_DATABASES)
without_health_checks = settings(
    max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
"""Texts that an environment variable can contain."""
printable = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.sampled_from(" \t\n"))
look_alikes = st.sampled_from(
    ["", "ABCDEFGH", "ZZZZZZZZ", "MFRGG!!!", "MFRGGZDF", "!!!!!!!!", "None", "/mnt/data", "json.", "=", "[]", "a,b"]
)
"""Values that look like encoded values, or like a part of the contract."""
uris = st.sampled_from(["/mnt/data/default.csv", "postgresql://u:p@dbhost:5432/x", "/mnt/fold"]) | look_alikes
types = st.none() | st.sampled_from(["csv", "sql", "excel", "ABCDEFGH"])
letters = string.ascii_letters + "_"
identifiers = st.text(letters, min_size=1, max_size=8).filter(lambda name: "DB_PARAM" not in name.upper())
variable_names = st.text(string.ascii_lowercase, min_size=2, max_size=8) | st.sampled_from(
    ["HTTP_PROXY", "http_proxy", "NO_PROXY", "FOO", "MY_VAR", "ALGOTOOLS_TIMEOUT", "DEFAULT", "DATABASE"]
)
proxies = st.sampled_from(
    [
        "http://proxyserver:8080",
        "http://127.0.0.1:18031/api",
        "https://host.docker.internal:443/a/b/",
        "http://[::1]:80",
        "http://u:p@h:1",
    ]
)
BAD_URLS = [
    *(
        "http://h",
        "HTTP://h:80",
        "http://h:080",
        "http://h:99999",
        "http://[x:80",
        "http://h:1?a=b",
        "http://h:1/?",
    ),
    *("http://h:1#", "http://h:1/\n", " http://h:1", "//h:1", "http://:1", "http://h:-1", "http://h:٣"),
]
"""URLs that differ from the URL that a container would join from host, port and path."""
options = st.dictionaries(st.text(string.ascii_uppercase + "_", min_size=1, max_size=8), texts, max_size=3)


policy_names = st.sampled_from(
    [
        "ALGOTOOLS_POLICY",
        "ALGOTOOLS_POLICY_MINIMUM_CELL",
        "ALGOTOOLS_POLICY_COLUMNS",
        "ALGOTOOLS_POLICYX",
        "algotools_policy_x",
    ]
)
policies = st.dictionaries(policy_names, texts | look_alikes, max_size=3)
policy_files = st.none() | st.sampled_from(
    [Path("/mnt/data/algotools_rules.toml"), Path("/mnt/data/default.csv"), Path("/rules"), Path("/ABCDEFGH")]
)


def get_upper_label(database: Database) -> str:
    return database.label.upper()


def draw_call(draw: Any, folder: Path, roles: list[Any]) -> dict[str, Any]:
    """Draw the fields that every generation can express: the call, the files and the proxy."""
    return {
        "method": draw(st.text()),
        "role": draw(st.sampled_from(roles)),
        "args": tuple(draw(st.lists(json_values, max_size=3))),
        "kwargs": draw(st.dictionaries(st.text(), json_values, max_size=3)),
        "encoding": draw(st.sampled_from(["plain", "rich"])),
        "input_file": folder / draw(st.sampled_from(["input", "in put", "ïnput", "a=b", "%3A"])),
        "output_file": folder / "output",
        "temporary_folder": draw(st.none() | st.just(Path("/mnt/tmp")) | st.just(folder)),
        "proxy": draw(st.none() | st.builds(Proxy, proxies, st.just(folder / "token"))),
    }


def draw_v3_task(draw: Any, folder: Path) -> Task:
    databases = draw(
        st.lists(
            st.builds(
                Database,
                st.text(st.characters(codec="utf-8", exclude_characters="\0="), min_size=1, max_size=8),
                uris.filter(bool) | texts.filter(bool),
                types,
            ),
            max_size=4,
            unique_by=get_upper_label,
        )
    )
    requested = draw(st.integers(0, min(1, len(databases))))
    requested_databases = [
        Database(d.label, d.uri, d.type, query=draw(st.none() | st.text()), sheet_name=draw(st.none() | st.text()))
        for d in databases[:requested]
    ]
    return Task(
        databases=tuple(requested_databases),
        configured=tuple(databases[requested:]),
        variables=draw(st.dictionaries(variable_names, texts | look_alikes, max_size=4)),
        policy_variables=draw(policies),
        policy_file=draw(policy_files),
        **draw_call(draw, folder, ["master", "rpc"]),
    )


def draw_v4_task(draw: Any, folder: Path, values: st.SearchStrategy[str]) -> Task:
    databases = draw(
        st.lists(
            st.builds(Database, identifiers, uris | texts, types, options),
            max_size=4,
            unique_by=get_upper_label,
        )
    )
    requested = draw(st.integers(0, len(databases)))
    queries = st.none() | look_alikes | texts
    requested_databases = [
        Database(d.label, d.uri, d.type, d.options, draw(queries), draw(queries), draw(queries))
        for d in databases[:requested]
    ]
    return Task(
        databases=tuple(requested_databases),
        configured=tuple(databases[requested:]),
        variables=draw(st.dictionaries(variable_names, values | look_alikes, max_size=4)),
        policy_variables=draw(policies),
        policy_file=draw(policy_files),
        **draw_call(draw, folder, ["master", "rpc", None]),
    )


IDS = {"task_id": 7, "node_id": 1, "organization_id": 2, "collaboration_id": 1}
table_names = st.text(st.characters(codec="utf-8", exclude_characters="\0,;/"), min_size=1, max_size=8)


def draw_tables(draw: Any, session: Path) -> tuple[Database, ...]:
    """Draw the tables of several arguments, with one or several tables each."""
    groups = draw(st.lists(st.lists(table_names, min_size=1, max_size=3), max_size=4))
    return tuple(
        Database(name, str(session / f"{name}.parquet"), "parquet", group=number if len(group) > 1 else None)
        for number, group in enumerate(groups)
        for name in group
    )


def draw_v5_task(draw: Any, folder: Path) -> Task:
    role, step = draw(st.sampled_from(list(ACTIONS.values())))
    session = draw(st.sampled_from([folder, folder / "session", Path("/app/vantage6/task/session")]))
    source = st.builds(Database, st.just(SOURCE), uris.filter(bool) | texts.filter(bool), types, options)
    token = draw(texts) if role == "master" else ""
    return Task(
        **{
            **draw_call(draw, folder, [role]),
            "step": step,
            "resend_of": draw(st.none() | st.integers(1, 10**9)),
            "method": draw(texts),
            "args": (),
            "databases": (draw(source),) if step == "data_extraction" else draw_tables(draw, session),
            "temporary_folder": session / JOB_FOLDER,
            "proxy": draw(st.none() | st.builds(Proxy, proxies, st.none(), st.just(token))),
            "identity": draw(st.none() | st.just(Identity(**IDS))),
            "variables": draw(st.dictionaries(variable_names, printable | look_alikes, max_size=4)),
            "policy_variables": draw(policies),
        }
    )


def draw_task(draw: Any, contract: NodeContract, folder: Path) -> Task:
    """Draw a task that the generation can express."""
    if isinstance(contract, V3Node):
        return draw_v3_task(draw, folder)
    if isinstance(contract, V5Node):
        return draw_v5_task(draw, folder)
    return draw_v4_task(draw, folder, printable if contract.encoded else texts)


def draw_awkward_task(draw: Any, folder: Path) -> Task:
    """Draw a task in which every part may exceed the limits of a generation."""
    anything = st.text(max_size=6) | st.text(st.characters(), max_size=3) | look_alikes
    labels = (
        anything
        | identifiers
        | st.sampled_from(
            [
                "default",
                "DEFAULT",
                "DEFAULT_QUERY",
                "A_DB_PARAM_B",
                "ß",
                "algotools_rules",
                "ALGOTOOLS_RULES",
                "algotools_policy",
                "algotools_ledger",
            ]
        )
    )
    maybe = st.none() | anything
    databases = st.lists(
        st.builds(
            Database,
            labels,
            anything,
            maybe,
            st.dictionaries(anything | identifiers, anything, max_size=2),
            maybe,
            maybe,
            maybe,
            st.none() | st.integers(0, 2),
        ),
        max_size=3,
    )
    names = st.sampled_from(
        [
            *("PATH", "HOST", "PYTHONPATH", "DB_LABELS", "INPUT_FILE", "USER_REQUESTED_DATABASE_LABELS", "1A", "ü"),
            *("ALGOTOOLS_POLICY_DATABASE_URI", "ALGOTOOLS_RULES_DATABASE_URI", "ALGOTOOLS_RULES_DB_PARAM_X"),
            *("FUNCTION_ACTION", "ALGORITHM_METHOD", "DEFAULT_DATABASE_URI", "DEFAULT_DB_PARAM_X", "PKG_NAME"),
        ]
    )
    paths = st.sampled_from([folder / "input", folder / "output", folder / "token", folder / "a\0b", folder / "\udcff"])
    relative = st.sampled_from([Path("relative"), Path(), Path(JOB_FOLDER), folder / JOB_FOLDER])
    urls = proxies | anything | st.sampled_from(BAD_URLS)
    return Task(
        method=draw(st.text()),
        role=draw(st.sampled_from(["master", "rpc", None])),
        step=draw(st.sampled_from(["compute", "data_extraction", "preprocessing"])),
        args=draw(st.sampled_from([(), (1,)])),
        kwargs=draw(st.sampled_from([{}, {OUTPUT_FORMAT: "algotools"}, {RESEND_OF: 1}, {"": None}])),
        resend_of=draw(st.sampled_from([None, 0, 7])),
        encoding=draw(st.sampled_from(["plain", "rich"])),
        databases=tuple(draw(databases)),
        configured=tuple(draw(databases)),
        input_file=draw(paths | relative),
        output_file=draw(paths | relative),
        temporary_folder=draw(st.none() | paths | relative),
        proxy=draw(st.none() | st.builds(Proxy, urls, st.none() | paths | relative, st.just("") | anything)),
        variables=draw(st.dictionaries(names | policy_names | anything | identifiers, anything, max_size=3)),
        policy_variables=draw(st.dictionaries(names | policy_names | anything, anything, max_size=3)),
        ignored_policy_variables=draw(st.just(()) | st.just(("ALGOTOOLS_POLICY",))),
        policy_file=draw(policy_files | paths | relative),
        identity=draw(
            st.none() | st.just(Identity(**IDS)) | st.just(Identity(**IDS, image="i", databases="")) | st.just(BOTH)
        ),
    )


BOTH = Identity(**IDS, session_id=1)


def draw_task_with_an_awkward_part(draw: Any, contract: NodeContract, folder: Path) -> Task:
    """Draw a task that the generation can express, except for one part."""
    import msgspec

    task, awkward = draw_task(draw, contract, folder), draw_awkward_task(draw, folder)
    field = draw(st.sampled_from(Task.__struct_fields__))
    return msgspec.structs.replace(task, **{field: getattr(awkward, field)})


def check_prepared(contract: NodeContract, task: Task, prepared: PreparedRun) -> None:
    """Check that a process can have the environment, and that a container detects the generation and reads the task."""
    for name, value in prepared.environment.items():
        assert name
        assert not set("=\0") & set(name)
        assert "\0" not in value
        f"{name}={value}".encode()
    prepared.write()
    assert detect(prepared.environment).name == contract.name
    assert contract.read(prepared.environment) == task
    assert task.output_file.read_bytes() == b""
    if task.proxy is not None and task.proxy.token_file is not None:
        assert task.proxy.token_file.read_bytes() == b"token"


@each_contract
@given(data=st.data())
@without_health_checks
def test_a_task_within_the_limits_is_read_as_it_was_prepared(contract, data, tmp_path):
    task = draw_task(data.draw, contract, tmp_path)

    check_prepared(contract, task, contract.prepare(task, "token"))


@each_contract
@pytest.mark.parametrize("kind", ["in one part", "in every part"])
@given(data=st.data())
@without_health_checks
def test_any_task_is_refused_or_read_as_it_was_prepared(contract, kind, data, tmp_path):
    draw = data.draw
    task = (
        draw_awkward_task(draw, tmp_path)
        if kind == "in every part"
        else draw_task_with_an_awkward_part(draw, contract, tmp_path)
    )
    try:
        prepared = contract.prepare(task, "token")
    except ContractError:
        return
    check_prepared(contract, task, prepared)


@each_contract
@given(posted=st.binary(min_size=1))
@without_health_checks
def test_a_posted_input_is_passed_on_unread(contract, posted, tmp_path):
    task = make_task(tmp_path, method="", temporary_folder=tmp_path / JOB_FOLDER)

    assert contract.prepare(task, posted=posted).files[task.input_file] == posted


def make_task(folder: Path, **fields: Any) -> Task:
    return Task(
        **{
            "method": "average",
            "role": "rpc",
            "input_file": folder / "input",
            "output_file": folder / "output",
            **fields,
        }
    )


REFUSED_BY_ALL = {
    "'PATH'": {"variables": {"PATH": "/"}},
    "'HOST'": {"variables": {"HOST": "x"}},
    "'USER_REQUESTED_DATABASE_LABELS'": {"variables": {"USER_REQUESTED_DATABASE_LABELS": "x"}},
    "identifier": {"variables": {"1A": "x"}},
    "scheme://host:port": {"proxy": Proxy("http://proxyserver", Path("/token"))},
    "must be absolute": {"input_file": Path("input")},
    "must be different": {"input_file": Path("/same"), "output_file": Path("/same")},
    "'ALGOTOOLS_POLICY': the variables of the policy": {"variables": {"ALGOTOOLS_POLICY": "off"}},
    "'FOO': the variables of the policy": {"policy_variables": {"FOO": "off"}},
    "the policy variables of an image": {"ignored_policy_variables": ("ALGOTOOLS_POLICY",)},
}
REFUSED_BY_BOTH = {
    "identity": {"identity": Identity(**IDS, image="i", databases="")},
    "differ only in case": {"configured": (Database("a", "x"), Database("A", "y"))},
    "type 'None'": {"configured": (Database("a", "x", "None"),)},
    "query": {"configured": (Database("a", "x", query="select 1"),)},
    "'A_DATABASE_URI'": {"variables": {"A_DATABASE_URI": "x"}, "configured": (Database("a", "x"),)},
    "null character": {"configured": (Database("a", "x\0y"),)},
    "not valid Unicode": {"configured": (Database("a", "\udcff"),)},
    "sessions": {"step": "preprocessing"},
    "belongs to the ledger": {"configured": (Database("Algotools_Ledger", "/mnt/ledger"),)},
    "only nodes of v5 lose results": {"resend_of": 7},
    "belongs to the policy file": {"configured": (Database("Algotools_Rules", "/mnt/data/rules.toml"),)},
    "'ALGOTOOLS_RULES_DATABASE_TYPE'": {"variables": {"ALGOTOOLS_RULES_DATABASE_TYPE": "x"}},
    "relative path": {"policy_file": Path("rules.toml")},
    "groups of tables": {"databases": (Database("a", "x", group=0),)},
    "only v5 has it in the environment": {"proxy": Proxy("http://h:1", None, "token")},
}
EXTRACTION = {"step": "data_extraction"}
REFUSED_BY_V5 = {
    "without a role": {"role": None},
    "a policy file": {"policy_file": Path("/mnt/data/rules.toml")},
    "a master for the step preprocessing": {"role": "master", "step": "preprocessing"},
    "by position": {"args": (1,)},
    "the name is reserved": {"kwargs": {OUTPUT_FORMAT: "x"}},
    "'algotools:resend_of'": {"kwargs": {RESEND_OF: 1}},
    "without a valid id": {"resend_of": 0},
    "does not request": {"configured": (Database("a", "x"),)},
    "temporary folder": {"temporary_folder": None},
    "in a session's folder": {"temporary_folder": Path("/mnt/tmp")},
    "token in a file": {"proxy": Proxy("http://h:1", Path("/token"))},
    "rpc with a token": {"proxy": Proxy("http://h:1", None, "token")},
    "more of an `identity`": {"identity": Identity(**IDS, image="i")},
    "a query, sheet": {"databases": (Database("a", "x", "parquet", query="select 1"),)},
    "other than one database": {**EXTRACTION, "databases": ()},
    "'source'": {**EXTRACTION, "databases": (Database("default", "x", "csv"),)},
    "without URI": {**EXTRACTION, "databases": (Database(SOURCE),)},
    "option 'user'": {**EXTRACTION, "databases": (Database(SOURCE, "x", "csv", {"user": "me"}),)},
    "called 'a,b'": {"databases": (Database("a,b", "x", "parquet"),)},
    "outside its session": {"databases": (Database("a", "/elsewhere/a.parquet", "parquet"),)},
    "'CONTAINER_TOKEN'": {"variables": {"CONTAINER_TOKEN": "x"}},
    "'DB_PARAM_X'": {"variables": {"DB_PARAM_X": "x"}},
}


@each_with_databases
@pytest.mark.parametrize(
    ("name", "parts"), {**REFUSED_BY_ALL, **REFUSED_BY_BOTH}.items(), ids={**REFUSED_BY_ALL, **REFUSED_BY_BOTH}
)
def test_a_task_beyond_the_limits_of_v3_and_v4_is_refused(contract, name, parts, tmp_path):
    with pytest.raises(ContractError) as caught:
        contract.prepare(make_task(tmp_path, **parts))

    assert name in caught.value.message


@pytest.mark.parametrize(
    ("name", "parts"), {**REFUSED_BY_ALL, **REFUSED_BY_V5}.items(), ids={**REFUSED_BY_ALL, **REFUSED_BY_V5}
)
def test_a_task_beyond_the_limits_of_v5_is_refused(name, parts, tmp_path):
    if "proxy" in parts and parts["proxy"].token_file and name == "scheme://host:port":
        parts = {"proxy": Proxy(parts["proxy"].url)}
    with pytest.raises(ContractError) as caught:
        CONTRACTS["v5"].prepare(make_task(tmp_path, **{"temporary_folder": tmp_path / JOB_FOLDER, **parts}))

    assert name in caught.value.message


@each_contract
@pytest.mark.parametrize("url", BAD_URLS)
def test_a_url_that_its_parts_do_not_restore_is_refused(contract, url, tmp_path):
    token_file = None if contract.has_sessions else tmp_path / "token"
    with pytest.raises(ContractError, match="scheme://host:port"):
        contract.prepare(make_task(tmp_path, temporary_folder=tmp_path / JOB_FOLDER, proxy=Proxy(url, token_file)))


REFUSED_BY_V3 = {
    "role": {"role": None},
    "several requested databases": {"databases": (Database("a", "x"), Database("b", "y"))},
    "options": {"configured": (Database("a", "x", options={"USER": "me"}),)},
    "preprocessing": {"databases": (Database("a", "x", preprocessing=""),)},
    "that the node does not have": {"databases": (Database("a"),)},
    "are empty": {"configured": (Database("", "x"),)},
}
REFUSED_BY_V4 = {
    "'my database'": {"configured": (Database("my database", "x"),)},
    "'a_DB_PARAM_b'": {"configured": (Database("a_DB_PARAM_b", "x"),)},
    "'user'": {"configured": (Database("a", "x", options={"user": "me"}),)},
}


@pytest.mark.parametrize(
    ("contract", "name", "parts"),
    [(get_contract("v3"), *item) for item in REFUSED_BY_V3.items()]
    + [(get_contract("v4"), *item) for item in REFUSED_BY_V4.items()],
    ids=[*REFUSED_BY_V3, *REFUSED_BY_V4],
)
def test_a_task_beyond_the_limits_of_one_generation_is_refused(contract, name, parts, tmp_path):
    with pytest.raises(ContractError) as caught:
        contract.prepare(make_task(tmp_path, **parts))

    assert name in caught.value.message


def test_control_characters_in_an_encoded_variable_are_refused(tmp_path):
    task = make_task(tmp_path, variables={"FOO": "\x1b[31m"})

    with pytest.raises(ContractError, match="'FOO'"):
        CONTRACTS["v4"].prepare(task)
    check_prepared(CONTRACTS["v4 plain"], task, CONTRACTS["v4 plain"].prepare(task))


@each_contract
def test_the_researcher_gets_the_result_that_a_container_writes(contract):
    for encoded, value in [
        (b'{"average":1.5}', {"average": 1.5}),
        (b"null", None),
        (b"[1,null]", [1, None]),
        (b'"a"', "a"),
    ]:
        assert contract.decode_output(contract.wrap_result(encoded)) == value


@each_contract
def test_an_empty_output_is_none_and_an_output_that_is_not_json_stays_bytes(contract):
    assert contract.decode_output(b"") is None
    for output in [b"\x80\x04N.", b"json.{", b"json.\xff", b"json." + b"[" * 100_000, b"<html>"]:
        assert contract.decode_output(output) == output


@each_contract
def test_nan_and_infinity_of_other_tools_are_accepted(contract):
    prefix = b"json." if isinstance(contract, V3Node) else b""

    assert repr(contract.decode_output(prefix + b'{"a": NaN, "b": [-Infinity]}')) == "{'a': nan, 'b': [-inf]}"


@given(st.binary())
def test_a_rich_result_is_read_unchanged(content):
    for contract in CONTRACTS.values():
        assert contract.unwrap_result(contract.wrap_result(b"algotools." + content)) == b"algotools." + content


def test_a_plain_result_is_read_unchanged():
    for contract in CONTRACTS.values():
        assert contract.unwrap_result(contract.wrap_result(b'{"sum": 3}')) == b'{"sum": 3}'


@given(st.binary())
def test_an_output_is_json_after_its_prefix(content):
    for contract in CONTRACTS.values():
        document = contract.wrap_result(b"algotools." + content).removeprefix(b"json.")
        assert json.loads(document.decode())[0] == "algotools."


@pytest.mark.parametrize("name", ["v3", "v4", "v5"])
def test_an_argument_without_a_json_form_is_named(name):
    with pytest.raises(NotSerializable, match="the argument 'names' of 'count': a set has no JSON form; pass a sorted"):
        get_contract(name).encode_input({"method": "count", "kwargs": {"limit": 1, "names": {"a"}}})
