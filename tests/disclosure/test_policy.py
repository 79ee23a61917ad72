"""The settings of the node's owner: parsing of variables, presets, limits, and the policy of a function."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools.disclosure._patterns import intersect, is_match
from algotools.disclosure._settings import PRESETS
from algotools.disclosure.policy import (
    DEFAULTS,
    PREFIX,
    SETTINGS,
    Policy,
    is_policy_variable,
    parse_policy,
    read_policy,
)
from algotools.errors import PolicyError

NOT_AVAILABLE = {
    "secure": "require",
}
"""Settings that this version knows, and another value than the default."""

VALUES = {
    "minimum_rows": ("10", 10),
    "minimum_cell": ("1", 1),
    "zeros": ("refuse", "refuse"),
    "small_cells": ("round", "round"),
    "round_base": ("10", 10),
    "dominance": ("0.8", 0.8),
    "p_ratio": ("0.2", 0.2),
    "parameters": ("0.1", 0.1),
    "undeclared": ("refuse", "refuse"),
    "numbers": ("0.5", 0.5),
    "levels": ("0", 0),
    "levels_density": ("1", 1.0),
    "texts": ("any", "any"),
    "probe_groups": ("32", 32),
    "probe_cells": ("1000", 1000),
    "unread": ("allow", "allow"),
    "messages": ("any", "any"),
    "functions": ("fit_*,mean", ("fit_*", "mean")),
    "databases": ("default, other", ("default", "other")),
    "columns": ("age", ("age",)),
    "forbidden_columns": ("name,date of birth", ("name", "date of birth")),
    "queries": ("forbid", "forbid"),
    "persons": ("other=id,default=patient_id", (("default", "patient_id"), ("other", "id"))),
    "digits": ("10", 10),
    "bytes": ("1000000", 1_000_000),
    "ledger": ("/mnt/algotools_ledger", "/mnt/algotools_ledger"),
    "repeats": ("3", 3),
    "organizations": ("3", 3),
    "parent": ("require", "require"),
    "key": ("k" * 32, "k" * 32),
}
"""Settings that have an effect: text of the variable and value."""


def set_variable(name: str, text: str) -> dict[str, str]:
    return {f"{PREFIX}_{name.upper()}": text}


LEDGER = set_variable("ledger", "/mnt/algotools_ledger")
REQUIRED = {"repeats": LEDGER}
"""The variables without which a setting has no effect."""


def refuse(variables: dict[str, str], file: str | None = None) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        read_policy(variables, file)
    assert caught.value.exit_code == 55
    assert caught.value.message.endswith("; no data was read")
    return caught.value


def test_without_variables_the_defaults_hold():
    assert read_policy({}) == Policy() == read_policy({PREFIX: "standard"}) == read_policy({"PATH": "/", "FOO": "1"})


def test_each_field_of_the_policy_is_a_setting_with_a_valid_default():
    fields = {field.name for field in dataclasses.fields(Policy)} - {"preset", "sections", "public_levels"}
    assert fields == set(SETTINGS) == set(VALUES) | set(NOT_AVAILABLE)
    for name, default in DEFAULTS.items():
        if default not in (None, "", ()):
            assert SETTINGS[name].kind.parse(str(SETTINGS[name].kind.format(default))) == default


@pytest.mark.parametrize("name", VALUES)
def test_a_variable_sets_one_setting(name):
    text, value = VALUES[name]
    required = REQUIRED.get(name, {})
    assert read_policy({**required, **set_variable(name, text)}) == dataclasses.replace(
        read_policy(required), **{name: value}
    )


@pytest.mark.parametrize("name", [name for name, default in DEFAULTS.items() if default not in (None, "", ())])
def test_the_default_of_each_setting_may_be_set(name):
    assert read_policy(set_variable(name, str(SETTINGS[name].kind.format(DEFAULTS[name])))) == Policy()


@pytest.mark.parametrize("name", NOT_AVAILABLE)
def test_a_setting_of_a_later_version_is_refused_and_not_ignored(name):
    message = refuse(set_variable(name, NOT_AVAILABLE[name])).message
    assert message.startswith(f"{PREFIX}_{name.upper()}: only the default (")
    assert "is available in this version" in message


@pytest.mark.parametrize("file", [None, "repeats = 3\n", "[functions.fit]\nrepeats = 3\n"])
def test_repetitions_without_a_ledger_cannot_be_counted(file):
    variables = set_variable("repeats", "3") if file is None else {}
    message = refuse(variables, file).message
    assert "repetitions can only be counted in a ledger; set ALGOTOOLS_POLICY_LEDGER" in message
    assert read_policy({**variables, **LEDGER}, file).ledger == "/mnt/algotools_ledger"


@pytest.mark.parametrize("text", ["ledger", "./ledger", "~/ledger"])
def test_the_folder_of_the_ledger_is_an_absolute_path(text):
    assert "must be the absolute path of a folder" in refuse(set_variable("ledger", text)).message


def test_strict_has_the_values_of_its_preset():
    policy = read_policy({PREFIX: "strict"})
    assert {name: getattr(policy, name) for name in PRESETS["strict"]} == PRESETS["strict"]


def test_strict_is_stricter_than_standard_in_each_of_its_settings():
    for name, value in PRESETS["strict"].items():
        assert SETTINGS[name].get_stricter(DEFAULTS[name], value) == value != DEFAULTS[name]


@pytest.mark.parametrize(
    ("variable", "suggestion"),
    [
        ("ALGOTOOLS_POLICY_MINIMUM_CEL", "ALGOTOOLS_POLICY_MINIMUM_CELL"),
        ("ALGOTOOLS_POLICY_FORBIDEN_COLUMNS", "ALGOTOOLS_POLICY_FORBIDDEN_COLUMNS"),
        ("ALGOTOOLS_POLICYS", "ALGOTOOLS_POLICY"),
        ("algotools_policy_zeros", "ALGOTOOLS_POLICY_ZEROS"),
        ("Algotools_Policy", "ALGOTOOLS_POLICY"),
        ("ALGOTOOLS_POLICY_minimum_rows", "ALGOTOOLS_POLICY_MINIMUM_ROWS"),
    ],
)
def test_an_unknown_setting_names_the_nearest_one(variable, suggestion):
    message = refuse({variable: "3"}).message
    assert message == f"unknown setting {variable} (did you mean {suggestion}?); no data was read"


def test_an_unknown_name_cannot_write_into_the_log():
    message = refuse({"ALGOTOOLS_POLICY_\x1b[31m\n" + "x" * 500: "3"}).message
    assert message.isprintable()
    assert len(message) < 200


INTEGERS = ["3 ", " 3", "3.0", "", "0x3", "-3", "+3", "03", "0", "nan", "1e1", "3\n", "٣", "9" * 30, "true", "1_0"]


@pytest.mark.parametrize("text", INTEGERS)
def test_only_a_plain_integer_is_an_integer(text):
    error = refuse(set_variable("minimum_cell", text))
    assert error.message == f"{PREFIX}_MINIMUM_CELL must be an integer of at least 1; no data was read"
    assert ascii(text)[:200] in error.detail


@pytest.mark.parametrize("text", ["", "1.1", "-0.1", "nan", "inf", "1e-3", "0,5", ".5", "5.", " 0.5", "00.5"])
def test_only_a_plain_number_from_0_to_1_is_a_fraction(text):
    assert (
        f"{PREFIX}_LEVELS_DENSITY must be a number from 0 to 1" in refuse(set_variable("levels_density", text)).message
    )


@pytest.mark.parametrize("text", ["", "Refuse", "refuse ", "deny", "true"])
def test_a_choice_lists_its_values(text):
    assert f"{PREFIX}_ZEROS must be one of allow, refuse" in refuse(set_variable("zeros", text)).message


@pytest.mark.parametrize("text", ["", "Off", "STRICT", "none", "off "])
def test_a_preset_lists_its_values(text):
    assert f"{PREFIX} must be one of off, standard, strict" in refuse({PREFIX: text}).message


@pytest.mark.parametrize("name", ["functions", "databases", "columns", "forbidden_columns"])
@pytest.mark.parametrize("text", ["", ",", "a,,b", "a,", "*a*b*c*d*e*f*g*h*i*"])
def test_a_list_has_no_empty_names(name, text):
    assert f"{PREFIX}_{name.upper()} must be names" in refuse(set_variable(name, text)).message


@pytest.mark.parametrize("text", ["", "default", "=id", "default=", "default=a,default=b", "default=a,"])
def test_persons_are_pairs_with_different_labels(text):
    assert "must be pairs label=column" in refuse(set_variable("persons", text)).message


def test_a_secret_is_in_no_message_and_no_representation():
    error = refuse(set_variable("key", "too short"))
    assert error.message == f"{PREFIX}_KEY must be a text of at least 32 characters; no data was read"
    assert "too short" not in error.detail
    policy = Policy(key="k" * 40)
    assert "k" * 40 not in repr(policy)
    assert [state.value for state in policy.describe() if state.name == "key"] == ["set"]


def test_too_few_groups_of_probing_are_refused():
    assert "must be at least 5 times minimum_cell, which is 15" in refuse(set_variable("probe_groups", "10")).message
    variables = {**set_variable("probe_groups", "45"), **set_variable("minimum_cell", "10")}
    assert "which is 50" in refuse(variables).message


def test_off_allows_no_further_settings():
    assert read_policy({PREFIX: "off"}).is_off
    message = refuse({PREFIX: "off", **set_variable("minimum_cell", "10")}).message
    assert message.startswith("the variables: the preset off and other settings exclude each other")


def test_lists_match_whole_names_and_only_the_asterisk_is_special():
    policy = read_policy({**set_variable("functions", "fit_*,mean"), **set_variable("databases", "a.b,[x]?")})
    assert [policy.allows_function(name) for name in ("fit_partial", "fit_", "mean", "meanest", "Fit_a", "")] == [
        *(True, True, True, False, False, False)
    ]
    assert [policy.allows_database(label) for label in ("a.b", "axb", "[x]?", "x")] == [True, False, True, False]


def test_a_forbidden_column_is_forbidden_even_if_it_is_in_the_list_of_columns():
    policy = read_policy({**set_variable("columns", "a*"), **set_variable("forbidden_columns", "*_name")})
    assert [policy.allows_column(name) for name in ("age", "a_name", "a_name\n", "sex")] == [True, False, True, False]


def test_the_author_can_only_tighten():
    policy = Policy(minimum_rows=5)
    assert policy.tighten(10).minimum_rows == 10
    assert policy.tighten(3) == policy.tighten(None) == policy.tighten(0) == policy


@pytest.mark.parametrize(
    ("name", "yes"),
    {
        "ALGOTOOLS_POLICY": True,
        "ALGOTOOLS_POLICY_X": True,
        "algotools_policy": True,
        "ALGOTOOLS_TIMEOUT": False,
    }.items(),
)
def test_variables_of_the_policy_begin_with_its_prefix(name, yes):
    assert is_policy_variable(name) is yes


def test_a_description_has_each_setting_with_value_default_effect_and_source():
    states = {state.name: state for state in Policy(minimum_cell=10, forbidden_columns=("a", "b*")).describe()}
    assert list(states) == list(SETTINGS)
    assert (states["minimum_cell"].value, states["minimum_cell"].default) == ("10", "3")
    assert states["minimum_cell"].variable == "ALGOTOOLS_POLICY_MINIMUM_CELL"
    assert states["forbidden_columns"].value == "a, b*"
    assert states["bytes"].value == states["key"].value == states["persons"].value == "none"
    assert all(state.effect and state.source and state.allowed for state in states.values())


patterns = st.text("ab*", min_size=1, max_size=5).map(lambda text: re.sub(r"\*+", "*", text))
pattern_lists = st.lists(patterns, min_size=1, max_size=3, unique=True).map(tuple)


@given(pattern_lists, pattern_lists, st.text("ab", max_size=6))
def test_the_intersection_of_two_lists_matches_the_names_that_both_match(first, second, name):
    assert is_match(name, intersect(first, second)) == (is_match(name, first) and is_match(name, second))


def test_an_intersection_that_would_be_huge_is_refused():
    with pytest.raises(ValueError, match="more than 8"):
        intersect(("*a*b*c*d*e",), ("*f*g*h*i*j",))
    assert intersect(("*a*b*c*d*e*f*g*h",), ("*",)) == ("*a*b*c*d*e*f*g*h",)


def test_a_number_for_a_fraction_has_no_exponent_in_a_variable():
    policy = read_policy(set_variable("numbers", "0.00000001"))
    assert policy.to_variables() == set_variable("numbers", "0.00000001")


def test_only_changes_are_in_the_variables():
    assert Policy().to_variables() == {}
    assert read_policy({PREFIX: "off"}).to_variables() == {PREFIX: "off"}
    assert read_policy(set_variable("digits", "6")).to_variables() == set_variable("digits", "6")


names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=6).filter(lambda n: n.count("*") <= 8)
name_lists = st.lists(names, min_size=1, max_size=3)
settings = st.fixed_dictionaries(
    {},
    optional={
        "preset": st.just("standard"),
        "minimum_rows": st.integers(1, 10**18 - 1),
        "minimum_cell": st.integers(1, 100),
        "zeros": st.sampled_from(["allow", "refuse"]),
        "numbers": st.floats(1e-20, 1) | st.sampled_from([0, 1, -0.0]),
        "levels_density": st.floats(0, 1, allow_subnormal=False).map(lambda x: round(x, 12)),
        "texts": st.sampled_from(["known", "any"]),
        "functions": name_lists,
        "databases": name_lists,
        "columns": name_lists,
        "forbidden_columns": st.lists(names, max_size=3),
        "persons": st.dictionaries(names.filter(lambda n: "=" not in n), names, min_size=1, max_size=3).map(
            lambda pairs: [f"{label}={column}" for label, column in pairs.items()]
        ),
        "queries": st.sampled_from(["allow", "forbid"]),
        "digits": st.integers(0, 17),
        "bytes": st.integers(1, 10**15),
    },
)


@given(settings)
def test_a_policy_is_read_as_it_was_written(content):
    variables, file = parse_policy(content)
    policy = read_policy(variables, file)
    for name, value in content.items():
        expected = SETTINGS[name].kind.convert(value) if name in SETTINGS else value
        assert getattr(policy, name) == expected
    assert read_policy(policy.to_variables(), policy.to_file()) == policy
    assert (variables, file) == (policy.to_variables(), policy.to_file())


def test_a_preset_a_mapping_and_a_path_become_variables(tmp_path):
    path = tmp_path / "policy.toml"
    path.write_text("minimum_cell = 5\n", encoding="utf-8")
    five = (set_variable("minimum_cell", "5"), None)
    assert parse_policy("off") == ({PREFIX: "off"}, None)
    assert parse_policy("standard") == parse_policy({}) == ({}, None)
    assert parse_policy({"minimum_cell": 5}) == parse_policy(path) == parse_policy(str(path)) == five


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("strct", "unknown policy 'strct' (did you mean strict?)"),
        ("missing.toml", "the policy file cannot be read (FileNotFoundError)"),
        ({"minimum_cel": 5}, "the policy: unknown key minimum_cel (did you mean minimum_cell?)"),
        ({"minimum_cell": "5"}, "the policy: minimum_cell must be an integer"),
        ({"minimum_cell": True}, "the policy: minimum_cell must be an integer"),
        ({5: 5}, "the policy: unknown key 5 (keys: preset, minimum_rows"),
        ({"ALGOTOOLS_POLICY_ZEROS": "refuse"}, "(did you mean zeros?)"),
        ({"preset": "strct"}, "the policy: preset must be one of off, standard, strict"),
    ],
)
def test_a_policy_that_is_not_one_is_refused(value, part):
    with pytest.raises(PolicyError, match=re.escape(part)):
        parse_policy(value)


@pytest.mark.parametrize("value", [5, [], None, True])
def test_a_policy_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(PolicyError, match="must be a preset"):
        parse_policy(value)  # type: ignore[arg-type]  # the mistake under test
