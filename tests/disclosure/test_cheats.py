"""Every cheat leaks: a reader of its results, or of its log, can make true claims about fewer than 3 persons."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from algotools import Federation
from algotools.payload import decode_rich, encode_rich

from .cases import Cheat, call, is_leak, load, make_federation
from .claims import are_true
from .corpus import CHEATS, MODULES
from .nodes import read_table

OF_RESULTS = [cheat for cheat in CHEATS if cheat.leak in {"result", "several tasks"}]
OF_CHANNELS = [cheat for cheat in CHEATS if cheat.leak not in {"result", "several tasks"}]

FEWEST_OF_GROUP = {
    "rows": 14,
    "texts": 12,
    "encoded": 12,
    "small groups": 14,
    "extremes": 12,
    "tables": 9,
    "survival": 5,
    "models": 16,
    "differencing": 8,
    "channels": 12,
}


NAMED = {
    "rows": "records frame head sorted_column values_as_keys counts_of_unique indices_of_old one_row",
    "texts": "joined_names csv_text top_texts means_by_name unique_postcodes hashes levels_with_singleton",
    "encoded": "two_values_in_a_float giant_integer zero_one_list booleans row_hashes power_sums three_max_plus_one",
    "small groups": "sum_where mean_of_one mean_of_two means_by_group share_of_two class_disclosure one_missing "
    "table_of_two_rows",
    "extremes": "minimum maximum median_of_5 quantiles_of_5 birthday percentiles_of_20 outliers",
    "tables": "singletons margins three_way_table table_of_means hundred_bins density",
    "survival": "kaplan_meier_per_event curve_alone event_times risk_set_sums last_at_risk",
    "models": "saturated_model dummy_coefficients forged_beta residuals pca_scores kmeans_of_one full_tree "
    "pickled_tree cross_product_of_5",
    "differencing": "limit_twice exclusion_twice random_halves all_and_without_one power_made_column",
    "channels": "log_text log_number log_index progress_percent user_error_field class_name own_error system_exit "
    "failing_line",
}
"""The kinds that the design of the gate names. All other cheats are the corpus's own."""


def names_of(cases: list[Cheat]) -> list[str]:
    return [case.name for case in cases]


@pytest.mark.parametrize("cheat", OF_RESULTS, ids=names_of(OF_RESULTS))
def test_a_result_discloses_fewer_than_three_persons(cheat: Cheat) -> None:
    claims = {table: cheat.list_claims(table) for table in cheat.tables}
    assert any(is_leak(claims[table], table) for table in cheat.tables)
    assert all(are_true(claims[table], read_table(table)) for table in cheat.tables)


@pytest.mark.parametrize("cheat", OF_RESULTS, ids=names_of(OF_RESULTS))
def test_a_result_also_travels_to_a_master(cheat: Cheat) -> None:
    table = cheat.tables[0]
    value = call(cheat.function, read_table(table), cheat.list_tasks(table)[0])
    assert decode_rich(encode_rich(value)) is not None


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    with make_federation(OF_CHANNELS) as federation:
        yield federation


@pytest.mark.parametrize("cheat", OF_CHANNELS, ids=names_of(OF_CHANNELS))
def test_a_log_discloses_fewer_than_three_persons(cheat: Cheat, federation: Federation) -> None:
    leaks = []
    for table in cheat.tables:
        log = cheat.read_log(federation, table)
        claims = list(cheat.reveals(log, cheat.list_tasks(table)[0]))
        leaks.append(is_leak(claims, table))
        assert cheat.closed or are_true(claims, read_table(table))
    assert any(leaks) is not bool(cheat.closed)


OPEN = {
    "failing_line", "failure_kind", "log_choice", "log_index", "log_lines", "path_of_null", "progress_percent",
    "progress_steps", "system_exit", "unserializable", "user_error_of_list",
}  # fmt: skip
"""The channels that the gate leaves open; docs/trust.md names them."""


def test_the_gate_withholds_messages_with_values_of_the_data() -> None:
    leaking = set()
    with make_federation(OF_CHANNELS, "standard") as federation:
        for cheat in OF_CHANNELS:
            for table in cheat.tables:
                log = cheat.read_log(federation, table)
                if is_leak(list(cheat.reveals(log, cheat.list_tasks(table)[0])), table):
                    leaking.add(cheat.name)
    assert leaking == OPEN


def test_a_task_through_the_federation_gives_the_same_result() -> None:
    cheat = next(cheat for cheat in CHEATS if cheat.name == "means_by_group")
    with Federation([read_table("patients_21")], algorithm=[cheat.function]) as federation:
        (result,) = federation.run(cheat.function, arguments=cheat.list_tasks("patients_21")[0])
    assert result == json.loads(json.dumps(cheat.read("patients_21")[0]))


def test_each_group_has_enough_cheats() -> None:
    counts = Counter(cheat.group for cheat in CHEATS)
    assert list(counts) == list(MODULES)
    assert all(counts[group] >= fewest for group, fewest in FEWEST_OF_GROUP.items())
    assert sum(cheat.leak == "result" for cheat in CHEATS) >= 105


def test_the_kinds_of_the_design_are_in_their_groups() -> None:
    for group, names in NAMED.items():
        assert set(names.split()) <= {cheat.name for cheat in CHEATS if cheat.group == group}


def test_every_function_is_a_case() -> None:
    assert {cheat.method or cheat.name for cheat in CHEATS} == load("cheats").functions.keys()
