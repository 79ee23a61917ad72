"""The description of a federation in a file: both forms of databases, and the message for each fault."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from algotools import Federation
from algotools.errors import FederationError
from algotools.federation.yaml_file import read_file

from ..conftest import ALGORITHMS
from ..processes import LIMIT

DATABASES = "organizations:\n  - name: north\n    databases:\n"
"""Databases follow, in line 4."""


def option(text: str) -> str:
    return f"{DATABASES}      default: {{uri: x.csv, {text}}}\n"


def refuse(folder: Path, content: str | bytes) -> str:
    """Return the message with which a file is refused, without the file's path."""
    file = folder / "federation.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FederationError) as raised:
        Federation.from_file(file)
    assert raised.value.exit_code == 60
    assert raised.value.message.startswith(str(file))
    return raised.value.message.removeprefix(str(file))


DUPLICATES = {
    "top level": ("organizations: [{name: a}]\norganizations: [{name: b}]\n", "line 2: the key 'organizations'"),
    "an organization": ("organizations:\n- name: a\n  databases: {}\n  databases: {}\n", "line 4: organization 'a': "),
    "a label": (f"{DATABASES}      default: one.csv\n      default: two.csv\n",
                "line 5: organization 'north': the label 'default' occurs twice, first in line 4"),
    "a label in quotes": (f"{DATABASES}      default: one.csv\n      'default': two.csv\n", "label 'default'"),
    "an option": (option("sep: ';', sep: ','"),
                  "line 4: organization 'north', database 'default': the option 'sep' occurs twice"),
    "an option in another case": (option("sep: ';', SEP: ','"), "'sep' and 'SEP' are the same option"),
    "an option's own mapping": (option("dtype: {code: str, code: int}"), "database 'default': the key 'code'"),
    "a variable": ("organizations: [{name: a, algorithm_env: {A: 1, A: 2}}]", "the variable 'A' occurs twice"),
    "an image": ("organizations: [{name: a}]\nimages:\n  x: a\n  x: b\n", "line 4: images: the image name 'x'"),
    "a merge key": ("organizations:\n- &a {name: a}\n- <<: *a\n  <<: *a\n", "the key '<<' occurs twice"),
    "two organizations": ("organizations:\n- name: a\n- name: a\n",
                          "line 3: two organizations are called a, the first in line 2"),
    "labels of a list": (f"{DATABASES}      - {{label: x, uri: a}}\n      - {{label: x, uri: b}}\n",
                         "line 5: organization 'north', database 'x': the label 'x' occurs twice, first in line 4"),
    "keys in a list": (f"{DATABASES}      - label: x\n        uri: a\n        uri: b\n",
                       "line 6: organization 'north', database 'x': the key 'uri' occurs twice"),
}  # fmt: skip


@pytest.mark.parametrize("name", DUPLICATES)
def test_a_key_that_occurs_twice_is_refused_with_both_lines(tmp_path: Path, name: str) -> None:
    content, message = DUPLICATES[name]
    assert message in refuse(tmp_path, content)


NAMES = {
    "organization": "organizations:\n- name: @\n",
    "label": "organizations:\n- name: a\n  databases: {@ : x.csv}\n",
    "label of a list": "organizations:\n- name: a\n  databases: [{uri: x, label: @ }]\n",
    "variable": "organizations:\n- name: a\n  algorithm_env: {@ : 3}\n",
    "collaboration": "organizations: [{name: a}]\ncollaboration: @\n",
    "image": "organizations: [{name: a}]\nimages: {@ : .}\n",
    "algorithm": "organizations: [{name: a}]\nimages: {x: @ }\n",
    "type": option("type: @ "),
    "path": f"{DATABASES}      default: @\n",
    "option": option("@ : 3"),
}
"""A file with @ instead of a name or another text."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "text",
    ["no", "NO", "yes", "On", "1234", "0x1F", "1_000", "12:30", "1.5", "2024-01-01", "2024-13-45", "~", "null", "="],
)
def test_a_name_that_yaml_converts_must_be_in_quotes(tmp_path: Path, name: str, text: str) -> None:
    message = refuse(tmp_path, NAMES[name].replace("@", text))
    assert message.startswith(", line ")
    if name != "path" or text not in ("~", "null"):
        assert f'put it in quotes: "{text}"' in message
    file = tmp_path / "federation.yaml"
    file.write_text(NAMES[name].replace("@", f'"{text}"'))
    if (name, text) != ("path", "~"):  # the user's home
        assert text.lower() in str(read_file(file)).lower()


@pytest.mark.parametrize("form", ["na_values: @", "na_values: [-9, @ ]", "dtype: {a: @ }"])
@pytest.mark.parametrize(
    "text", ["no", "Off", "010", "0x1F", "1_000", "12:30", "2024-01-01", "2024-13-45", "0x_", "9" * 5000, "~"]
)
def test_an_option_that_yaml_converts_is_refused(tmp_path: Path, form: str, text: str) -> None:
    message = refuse(tmp_path, option(form.replace("@", text)))
    assert message.startswith(", line 4: organization 'north', database 'default': ")
    assert "in quotes" in message or "has no value" in message


@pytest.mark.parametrize("text", ["0123765", "2024-12-31", "[[s3cret]]"])
def test_the_value_of_an_option_is_in_no_message(tmp_path: Path, text: str) -> None:
    message = refuse(tmp_path, option(f"password: {text}"))
    assert "the option 'password'" in message
    assert text.strip("[]") not in message


def test_both_forms_of_databases_are_the_same(tmp_path: Path) -> None:
    file = tmp_path / "federation.yaml"
    file.write_text(
        """
organizations:
  - name: mapping
    databases:
      default: {uri: data/x.csv, type: csv, sep: ";", na_values: [-9, unknown], skiprows: 1}
      register: {uri: "postgresql://reader@db.example.org/r", type: sql}
      plain: {uri: y.csv}
  - name: list
    databases:
      - label: default
        uri: data/x.csv
        type: csv
        env:
          SEP: ";"
          na_values: [-9, unknown]
          SKIPROWS: 1
      - {label: register, uri: "postgresql://reader@db.example.org/r", type: sql}
      - {label: plain, uri: y.csv, env: {}}
"""
    )
    mapping, listed = read_file(file).members
    assert mapping.databases == listed.databases
    database = listed.databases["default"]
    assert database.uri == str(tmp_path / "data/x.csv")
    assert database.options == {"SEP": ";", "NA_VALUES": '[-9, "unknown"]', "SKIPROWS": "1"}


def test_lists_are_options_of_a_csv_file(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("age,born\n1,2024-01-01\n-9,2024-02-01\n3,2024-03-01\nunknown,2024-04-01\n")
    (tmp_path / "federation.yaml").write_text(option("na_values: [-9, unknown], parse_dates: [born]"))
    with Federation.from_file(
        tmp_path / "federation.yaml", algorithm=ALGORITHMS.parent.parent / "examples/average"
    ) as f:
        task = f.client().task.create(1, [2], input={"method": "average_partial", "kwargs": {"column_name": "age"}})
        assert f.wait(task["id"], LIMIT)
        assert f.answer(f.task(task["id"]).runs[0]) == {"sum": 4, "count": 2}


def test_options_keep_what_is_written(tmp_path: Path) -> None:
    file = tmp_path / "federation.yaml"
    file.write_text(option("a: true, b: 1.5, c: '010', d: \"no\", e: [x, '1', .inf], f: {x: 1}, g: []"))
    options = read_file(file).members[0].databases["default"].options
    assert options | {"E": json.loads(options["E"])} == {
        "A": "true", "B": "1.5", "C": "010", "D": "no", "E": ["x", "1", "inf"], "F": '{"x": 1}', "G": "[]",
    }  # fmt: skip


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    file = tmp_path / "federation.yaml"
    file.write_text(
        "organizations:\n- &a\n  name: a\n  databases: &d {default: x.csv, other: y.csv}\n"
        "- <<: *a\n  name: b\n- name: c\n  databases: {<<: *d, default: z.csv}\n"
    )
    a, b, c = read_file(file).members
    assert (a.databases, b.name) == (b.databases, "b")
    assert {label: Path(database.uri).name for label, database in c.databases.items()} == {
        "default": "z.csv", "other": "y.csv",
    }  # fmt: skip


INVALID = {
    "organizations: []": "line 1: `organizations` is empty; add at least one organization",
    "organisations: []": "unknown field `organisations`; did you mean 'organizations'?",
    "collaboration: x": "missing required field `organizations`",
    "organizations:\n- name: a\n  database: {}\n": (
        "line 3: organization 'a': unknown field `database`; did you mean 'databases'?"
    ),
    "organizations:\n- nmae: a\n": "line 2: organization 1: unknown field `nmae`; did you mean 'name'?",
    "organizations: {a: {}}": "begin each organization with `- name:`",
    "organizations: [a]": "organization 1: this must be a mapping, not a text",
    "organizations: [{}]": "missing required field `name`",
    "organizations: [{name: a, databases: x.csv}]": "organization 'a': `databases` must be a mapping",
    f"{DATABASES}      default:\n": "line 4: organization 'north', database 'default': a database must be a path",
    f"{DATABASES}      default: [x.csv]\n": "a database must be a path",
    f"{DATABASES}      default: {{type: csv}}\n": "database 'default': missing required field `uri`",
    f"{DATABASES}      default: {{url: x.csv}}\n": "did you mean `uri` instead of 'url'?",
    f"{DATABASES}      default: {{URI: x.csv}}\n": "did you mean 'uri'?",
    f"{DATABASES}      default: {{uri: x.csv, tpye: csv}}\n": "did you mean 'type'?",
    f"{DATABASES}      default: {{uri: x.csv, env: {{sep: x}}}}\n": "write its options beside `uri`",
    f"{DATABASES}      default: ~nobody-of-this-name/x.csv\n": "write the full path",
    f"{DATABASES}      - x.csv\n": "must be a mapping with `label` and `uri`",
    f"{DATABASES}      - {{lable: x, uri: y}}\n": (
        "line 4: organization 'north', database 1: unknown field `lable`; did you mean 'label'?"
    ),
    f"{DATABASES}      - {{label: x, uri: y, sep: z}}\n": "options of the database belong under `env`",
    f"{DATABASES}      - {{label: x}}\n": "database 'x': missing required field `uri`",
    f"{DATABASES}      - {{label: x, uri: y, env: [z]}}\n": "database 'x', env: this must be a mapping, not a list",
}  # fmt: skip


@pytest.mark.parametrize("content", INVALID)
def test_a_fault_has_its_line_place_and_advice(tmp_path: Path, content: str) -> None:
    assert INVALID[content] in refuse(tmp_path, content)


NOT_YAML: dict[str, tuple[str | bytes, str]] = {
    "open bracket": ("organizations: [", "line 1: not valid YAML"),
    "open quote": ("organizations:\n- 'a\n", "not valid YAML"),
    "tab": ("organizations:\n\t- name: a\n", "line 2: not valid YAML: "),
    "tab in the middle": ("organizations:\n- name: a\n\tdatabases: {}\n", "this is a tab; indent with spaces"),
    "backslashes": ('organizations: [{name: "C:\\data"}]', "write a text with backslashes in single quotes"),
    "surrogate": ('organizations: [{name: "\\ud800"}]', "line 1: organization '\\ud800': the text contains"),
    "beyond unicode": ('organizations:\n- name: "\\UFFFFFFFF"\n', "line 2: not valid YAML: an escape sequence"),
    "zero byte": (f'{DATABASES}      default: "a\\0"\n', "line 4: organization 'north', database 'default': the text"),
    "control character": ("organizations:\n- name: \x01\n", "line 2: not valid YAML: the control character #x0001"),
    "empty": ("", "is empty"),
    "comments": ("# nothing\n", "is empty"),
    "list": ("- name: a\n", "line 1: the file must be a mapping with the key `organizations`, not a list"),
    "text": ("hello", "not a text"),
    "number": ("3", "not a number"),
    "two documents": ("organizations: [{name: a}]\n---\na: b\n", "the file must contain one document"),
    "undefined alias": ("organizations: [*a]", "found undefined alias 'a'"),
    "tag of Python": ("organizations: [{name: !!python/object/apply:os.getcwd []}]", "a text, not a list"),
    "tag": ("organizations: [{name: !secret a}]", "has the unknown YAML tag '!secret'"),
    "set": ("organizations: [!!set {name: a}]", "is not supported; remove the tag"),
    "list as a key": ("organizations: [{? [a] : b}]", "the key must be a text, not a list"),
    "cycle": ("organizations: &a [*a]", "this must be a mapping, not a list"),
    "cycle of merges": ("organizations: [&a {<<: *a}]", "the merge keys (<<) form a cycle"),
    "merge of a number": ("organizations: [{<<: 3}]", "this must be a mapping, not a number"),
    "nested lists": ("organizations: " + "[" * 3000, "nested too deeply"),
    "nested items": ("- " * 3000, "nested too deeply"),
    "nested mappings": ("{a: " * 3000, "nested too deeply"),
    "long chain of merges": (
        "x: {0: &m0 {name: a}" + "".join(f", {n}: &m{n} {{<<: *m{n - 1}}}" for n in range(1, 5000))
        + "}\norganizations: [*m4999]", "line 1: unknown field `x`"),
    "byte order mark": (
        b"\xef\xbb\xbforganizations: [{name: a}]", "the file begins with a byte order mark; save it as UTF-8 without"),
    "utf-16": ("organizations: [{name: a}]".encode("utf-16"), "begins with a byte order mark of UTF-16"),
    "latin-1": ("organizations:\n- name: é\n".encode("latin-1"), "is not encoded as UTF-8 (at line 2)"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_YAML)
def test_a_file_that_is_not_one_plain_document_is_refused(tmp_path: Path, name: str) -> None:
    content, message = NOT_YAML[name]
    assert message in refuse(tmp_path, content)


def test_chained_aliases_cannot_use_up_time_and_memory(tmp_path: Path) -> None:
    width = 700
    options = ", ".join(f"o{n}: v" for n in range(width))
    databases = ", ".join(f"l{n}: *o" for n in range(1, width))
    merges = "".join(f"- &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 10)}], name: a{n}}}\n" for n in range(1, width))
    started = time.monotonic()
    message = refuse(
        tmp_path,
        f"organizations:\n- &m0 {{name: a0, databases: {{l0: &o {{uri: x, {options}}}, {databases}}}}}\n{merges}",
    )
    assert "the file and its aliases describe more than" in message
    assert time.monotonic() - started < 60


def test_a_folder_is_not_a_federation_file(tmp_path: Path) -> None:
    with pytest.raises(FederationError, match="cannot be read"):
        read_file(tmp_path)
