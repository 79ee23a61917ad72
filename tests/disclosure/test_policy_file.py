"""The policy file of the node's owner: keys, sections, faults, and the file together with variables."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools.disclosure.policy import PREFIX, SETTINGS, Policy, parse_policy, read_file, read_policy
from algotools.errors import PolicyError

from .test_policy import names, refuse, set_variable, settings

EXAMPLE = """\
# policy.toml: the file database `algotools_rules` at v3 and v4 nodes, `policy: FILE` in federation.yaml
minimum_cell = 5

[columns.date_of_birth]
allow = false

[columns.diagnosis]
levels = true

[functions.fit_partial]
minimum_rows = 10

[databases.registry]
queries = "forbid"
persons = "patient_id"
"""


def read(file: str, **variables: str) -> Policy:
    return read_policy(
        {name: text for key, value in variables.items() for name, text in set_variable(key, value).items()}, file
    )


def test_the_example_of_the_design():
    policy = read(EXAMPLE)
    assert policy.minimum_cell == 5
    assert policy.public_levels == {"diagnosis"}
    assert [policy.allows_column(name) for name in ("date_of_birth", "diagnosis")] == [False, True]
    assert policy.find_person_column("registry") == "patient_id"
    assert policy.find_person_column("default") is None
    assert (policy.minimum_rows, policy.queries) == (3, "allow")

    fit = policy.select("fit_partial", ["default"])
    assert (fit.minimum_rows, fit.minimum_cell, fit.queries) == (10, 5, "allow")
    registry = policy.select("mean", ["registry"])
    assert (registry.minimum_rows, registry.minimum_cell, registry.queries) == (3, 5, "forbid")
    assert not fit.sections
    assert fit.public_levels == {"diagnosis"}


def test_a_section_may_loosen_the_top_level_because_the_owner_wrote_both():
    policy = read('minimum_cell = 5\n[functions."count_*"]\nminimum_cell = 1\n')
    assert policy.select("count_rows", ["default"]).minimum_cell == 1
    assert policy.select("count_rows", []).minimum_cell == 1
    assert policy.select("mean", ["default"]).minimum_cell == 5


def test_of_several_sections_the_strictest_holds():
    policy = read(
        'minimum_cell = 5\n[functions."fit_*"]\nminimum_cell = 2\n[functions.fit_all]\nminimum_cell = 4\n'
        "[databases.public]\nminimum_cell = 1\n[databases.registry]\nminimum_cell = 10\n"
    )
    assert policy.select("fit_all", ["default"]).minimum_cell == 4
    assert policy.select("fit_all", ["public"]).minimum_cell == 4
    assert policy.select("fit_all", ["public", "registry"]).minimum_cell == 10
    assert policy.select("mean", ["public"]).minimum_cell == 1


def test_the_section_of_one_database_does_not_loosen_the_policy_of_another_one():
    policy = read("minimum_cell = 5\n[databases.public]\nminimum_cell = 1\n")
    assert policy.select("mean", ["public", "default"]).minimum_cell == 5
    assert policy.select("mean", ["default", "public"]).minimum_cell == 5
    assert policy.select("mean", []).minimum_cell == 5


def test_forbidden_columns_add_up():
    policy = read(
        'forbidden_columns = ["name"]\n[functions.mean]\nforbidden_columns = ["zip"]\n[columns."*_id"]\nallow = false\n'
    )
    mean = policy.select("mean", ["default"])
    assert [mean.allows_column(name) for name in ("name", "zip", "patient_id", "age")] == [False, False, False, True]
    assert policy.select("sum", ["default"]).allows_column("zip")


def test_the_lists_of_two_sections_are_intersected():
    policy = read('[databases.a]\nfunctions = ["fit_*"]\n[databases.b]\nfunctions = ["*_partial"]\n')
    both = policy.select("fit_partial", ["a", "b"])
    assert [both.allows_function(name) for name in ("fit_partial", "fit_all", "sum_partial")] == [True, False, False]
    nothing = read('[databases.a]\nfunctions = ["x"]\n[databases.b]\nfunctions = ["y"]\n').select("x", ["a", "b"])
    assert not nothing.allows_function("x")


@pytest.mark.parametrize(
    ("file", "variables", "expected"),
    [
        ("minimum_cell = 5", {"minimum_cell": "10"}, {"minimum_cell": 10}),
        ("minimum_cell = 10", {"minimum_cell": "5"}, {"minimum_cell": 10}),
        ("minimum_cell = 2", {"minimum_rows": "2"}, {"minimum_cell": 2, "minimum_rows": 2}),
        ("numbers = 0.5", {"numbers": "0.4"}, {"numbers": 0.4}),
        ("levels = 50", {"levels": "60"}, {"levels": 50}),
        ('zeros = "refuse"', {"zeros": "allow"}, {"zeros": "refuse"}),
        ('texts = "any"', {"texts": "known"}, {"texts": "known"}),
        ('messages = "any"', {"messages": "any"}, {"messages": "any"}),
        ('unread = "allow"', {"unread": "refuse"}, {"unread": "refuse"}),
        ('queries = "allow"', {"queries": "forbid"}, {"queries": "forbid"}),
        ("digits = 0", {"digits": "10"}, {"digits": 10}),
        ("digits = 6", {"digits": "10"}, {"digits": 6}),
        ("bytes = 100", {"bytes": "1000"}, {"bytes": 100}),
        ('columns = ["a*", "b"]', {"columns": "ab,b,c"}, {"columns": ("b", "ab")}),
        ('forbidden_columns = ["a"]', {"forbidden_columns": "b,a"}, {"forbidden_columns": ("a", "b")}),
        ('persons = ["a=x"]', {"persons": "b=y"}, {"persons": (("a", "x"), ("b", "y"))}),
    ],
)
def test_of_a_file_and_variables_the_stricter_value_holds(file, variables, expected):
    policy = read(file, **variables)
    assert {name: getattr(policy, name) for name in expected} == expected


def test_a_variable_is_the_limit_for_a_section():
    policy = read("[functions.mean]\nminimum_cell = 1\nminimum_rows = 20\n", minimum_cell="10", minimum_rows="10")
    mean = policy.select("mean", ["default"])
    assert (mean.minimum_cell, mean.minimum_rows) == (10, 20)


def test_a_named_preset_sets_all_its_values():
    assert read_policy({PREFIX: "standard"}, "minimum_cell = 1\nnumbers = 0.2\n") == Policy(numbers=0.2)
    assert read_policy({PREFIX: "standard"}, "[functions.mean]\nminimum_cell = 1\n").select("mean", []) == Policy()
    assert read_policy({}, 'preset = "standard"\nminimum_cell = 1\n') == Policy(minimum_cell=1)


def test_off_holds_only_if_the_other_source_sets_nothing_else():
    assert read_policy({}, 'preset = "off"').is_off
    assert read_policy({PREFIX: "off"}, 'preset = "off"').is_off
    assert read_policy({PREFIX: "off"}, "minimum_cell = 5") == Policy(minimum_cell=5)
    assert read_policy(set_variable("minimum_cell", "5"), 'preset = "off"') == Policy(minimum_cell=5)
    assert read_policy({PREFIX: "standard"}, 'preset = "off"') == Policy()
    assert "exclude each other" in refuse({}, 'preset = "off"\nminimum_cell = 5').message
    assert "exclude each other" in refuse({}, 'preset = "off"\n[columns.a]\nlevels = true').message


@pytest.mark.parametrize(
    ("file", "variables", "part"),
    [
        ('columns = ["a"]', {"columns": "b"}, "have no columns in common"),
        ('[functions.mean]\ncolumns = ["a"]', {"columns": "b"}, "have no columns in common"),
        ('persons = ["a=x"]', {"persons": "a=y"}, "two values of persons cannot be combined"),
    ],
)
def test_contradictions_between_file_and_variables_are_refused(file, variables, part):
    values = {name: text for key, value in variables.items() for name, text in set_variable(key, value).items()}
    assert part in refuse(values, file).message


FAULTS = {
    "minimum_cel = 5": "the policy file: unknown key minimum_cel (did you mean minimum_cell?)",
    "MINIMUM_CELL = 5": "(did you mean minimum_cell?)",
    "x = 1": "unknown key x (keys: preset, minimum_rows,",
    "minimum_cell = 5.0": "minimum_cell must be an integer of at least 1",
    "minimum_cell = true": "minimum_cell must be an integer",
    'minimum_cell = "5"': "minimum_cell must be an integer",
    "minimum_cell = 0": "minimum_cell must be an integer",
    "numbers = nan": "numbers must be a number from 0 to 1",
    "numbers = inf": "numbers must be a number",
    'numbers = "0.3"': "numbers must be a number",
    "numbers = false": "numbers must be a number",
    'zeros = "deny"': "zeros must be one of allow, refuse",
    "zeros = 1": "zeros must be one of",
    'preset = "Off"': "preset must be one of off, standard, strict",
    'functions = "mean"': "functions must be a list of names;",
    "functions = []": "functions must be a list of names;",
    "functions = [1]": "functions must be a list of names;",
    'functions = [""]': "functions must be a list of names;",
    'persons = ["default"]': "persons must be a list of texts label=column",
    'persons = "default=id"': "persons must be a list of texts label=column",
    'secure = "require"': "ALGOTOOLS_POLICY_SECURE: only the default (allow) is available",
    '[functions.mean]\nsecure = "require"': "only the default (allow) is available",
    "[functions.mean]\nminimum_cel = 5": "[functions.mean]: unknown key minimum_cel (did you mean minimum_cell?)",
    "[functions.mean]\nminimum_cell = 0": "[functions.mean] minimum_cell must be an integer",
    '[functions.mean]\nfunctions = ["a"]': "[functions.mean]: unknown key functions",
    '[functions.mean]\npreset = "off"': "[functions.mean]: unknown key preset",
    '[functions.mean]\nkey = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"': "[functions.mean]: unknown key key",
    "[functions.mean]": "[functions.mean] sets nothing",
    '[functions.""]\nminimum_cell = 5': "[functions.] must be named by a name",
    "[functions]\nmean = 5": "[functions.mean] must be a section",
    "[functions.a.b]\nminimum_cell = 5": "[functions.a]: unknown key b",
    '[databases.a]\ndatabases = ["b"]': "[databases.a]: unknown key databases",
    '[databases.a]\npersons = ["a=id"]': "[databases.a] persons must be the name of a column",
    '[databases."a*"]\npersons = "id"': "persons needs the full label of one database",
    'persons = ["a=id"]\n[databases.a]\npersons = "other"': "[databases.a] persons has two values in the file",
    "[columns.a]\nallow = true": "[columns.a] allow must be false; ALGOTOOLS_POLICY_COLUMNS lists",
    '[columns.a]\nallow = "no"': "[columns.a] allow must be false",
    "[columns.a]\nlevels = false": "[columns.a] levels must be true",
    "[columns.a]\nlevels = 40": "[columns.a] levels must be true",
    '[columns."a*"]\nlevels = true': "levels needs the full name of one column",
    "[columns.a]\nalow = false": "[columns.a]: unknown key alow (did you mean allow?)",
    "[column.a]\nallow = false": "unknown key column (did you mean columns?)",
    "[columns.a]": "[columns.a] sets nothing",
    "minimum_cell = 5\nminimum_rows =\n": "the policy file is not TOML (line 2)",
    "minimum_cell = 5\nminimum_cell = 6\n": "the policy file is not TOML",
    'columns = ["a"]\n[columns.b]\nallow = false': "the policy file is not TOML",
    'functions = ["a"': "the policy file is not TOML",
    "name;age\nJane Doe;71\n": "the policy file is not TOML (line 1)",
    "x = " + "[" * 5000: "nested too deeply",
    f"bytes = {'9' * 5000}": "too many digits",
    "": "the policy file sets nothing",
    "# minimum_cell = 5\n": "the policy file sets nothing",
    "[functions]\n": "the policy file sets nothing",
}


@pytest.mark.parametrize(("file", "part"), FAULTS.items(), ids=[file[:40] for file in FAULTS])
def test_a_fault_in_the_file_is_named(file, part):
    error = refuse({}, file)
    assert part in error.message
    assert "Jane" not in error.message + error.detail


def test_values_of_the_file_are_only_in_the_detail():
    error = refuse({}, 'zeros = "Jane-Doe-4711"')
    assert "4711" not in error.message
    assert "4711" in error.detail


def test_the_text_of_a_file_is_read(tmp_path):
    path = tmp_path / "policy.toml"
    path.write_bytes(b"\xef\xbb\xbfminimum_cell = 5\r\n[columns.a]\r\nallow = false\r\n")
    assert read_policy({}, read_file(path)) == Policy(minimum_cell=5, forbidden_columns=("a",))


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin").write_bytes('minimum_cell = 5\n# "Größe"'.encode("latin-1"))
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2_000_000)
    for name, part in {
        "missing": "cannot be read (FileNotFoundError)",
        "": "is not a file",
        "pipe": "is not a file",
        "latin": "is not UTF-8 (line 2)",
        "large": "has more than 1,000,000 bytes",
        "a\0b": "cannot be read (ValueError)",
    }.items():
        with pytest.raises(PolicyError, match=re.escape(part)) as caught:
            read_file(Path(f"{tmp_path}/{name}"))
        assert str(tmp_path) not in caught.value.message
        assert str(tmp_path) in caught.value.detail or name == "latin"


section_settings = settings.map(lambda content: {name: value for name, value in content.items() if name != "preset"})


def without(content: dict, *keys: str) -> dict:
    return {name: value for name, value in content.items() if name not in keys}


sections = st.fixed_dictionaries(
    {},
    optional={
        "functions": st.dictionaries(
            names, section_settings.map(lambda c: without(c, "functions")).filter(bool), min_size=1, max_size=2
        ),
        "databases": st.dictionaries(
            names,
            section_settings.map(lambda c: without(c, "databases", "persons")).filter(bool),
            min_size=1,
            max_size=2,
        ),
        "columns": st.dictionaries(
            names.filter(lambda name: "*" not in name), st.just({"levels": True}), min_size=1, max_size=2
        ),
    },
)


@given(settings, sections)
def test_a_policy_with_sections_is_read_as_it_was_written(content, more):
    variables, file = parse_policy({**content, **more})
    policy = read_policy(variables, file)
    assert len(policy.sections) == len(more.get("functions", ())) + len(more.get("databases", ()))
    assert policy.public_levels == set(more.get("columns", ()))
    for name, value in without(content, *more).items():
        assert getattr(policy, name) == (SETTINGS[name].kind.convert(value) if name in SETTINGS else value)
    assert bool(more) <= (file is not None)
    assert read_policy(policy.to_variables(), policy.to_file()) == policy


@given(settings, sections, section_settings.map(lambda content: without(content, "persons")))
def test_the_policy_of_a_file_and_variables_is_at_least_as_strict_as_each(content, more, variables):
    texts = {
        SETTINGS[n].variable: SETTINGS[n].kind.format(SETTINGS[n].kind.convert(v)) for n, v in variables.items() if v
    }
    texts = {name: text for name, text in texts.items() if text is not None}
    _, file = parse_policy({**content, **more})
    try:
        both = read_policy(texts, file)
    except PolicyError:  # lists without a common name
        return
    only_variables = read_policy(texts)
    for name, setting in SETTINGS.items():
        if setting.variable in texts and name not in ("columns", "databases", "functions"):
            value, limit = getattr(both, name), getattr(only_variables, name)
            assert setting.get_stricter(value, limit) == value
    assert read_policy(both.to_variables(), both.to_file()) == both
