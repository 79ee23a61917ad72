"""Faulty pooled functions. The comments `# A` and `# B` mark the lines that a message names."""

# ruff: noqa: B007, C417, PERF401, RUF015 - the faults
from __future__ import annotations

import functools
import pickle
import threading
from typing import Any

import numpy as np
import pandas as pd

STORE: dict[str, Any] = {}
"""State outside the functions, which a test clears."""


def local_branch(data, total):
    if data["x"].mean() > 4:
        return total.sum(data["x"])  # A
    return total.sum(data["x"] * 2)  # B


def local_return(data, total):
    if len(data) < 12:
        return 0.0
    return total.sum(data["x"])  # A


def local_condition_in_one_line(data, total):
    return total.sum(data["x"]) if data["x"].mean() > 4 else total.sum(data["x"] * 2)  # A


def local_exception(data, total):
    try:
        first = 8 // int(data["code"].iloc[0])
        return total.sum(data["x"] * first)  # A
    except ZeroDivisionError:
        return total.count(data["x"])  # B


def local_loop(data, total):
    sums = []
    for level in data["g"].unique():
        sums.append(total.sum(data["x"][data["g"] == level]))  # A
    return sums[0]


def local_comprehension(data, total):
    return [total.sum(data["x"][data["g"] == level]) for level in data["g"].unique()][0]  # A


def local_generator(data, total):
    return next(iter(tuple(total.sum(data["x"][data["g"] == level]) for level in data["g"].unique())))  # A


def loop_over_groups(data, total):
    sums = []
    for level, rows in data.groupby("g", sort=False):
        sums.append(total.sum(rows["x"]))  # A
    return sums[0]


def loop_in_every_round(data, total):
    return loop_over_groups(data, total) + total.count(data["x"]) + len(data)


def loop_over_a_set(data, total):
    sums = []
    for level in set(data["code"].tolist()):
        sums.append(total.sum(data["x"][data["code"] == level]))  # A
    return sums[0]


def loop_over_numbered_levels(data, total):
    sums = [0.0, 0.0]
    for i, level in enumerate(data["g"].unique()):
        sums[i] = total.sum(data["x"][data["g"] == level])  # A
    return sums[0]


def loop_in_a_lambda(data, total):
    return list(map(lambda level: total.sum(data["x"][data["g"] == level]), data["g"].unique()))[0]  # A


def loop_in_a_helper(data, total):
    def add_up(level):
        return total.sum(data["x"][data["g"] == level])  # A

    return list(map(add_up, data["g"].unique()))[0]


def levels_that_are_used_up(data, total):
    levels, sums = list(data["g"].unique()), []
    while levels:
        level = levels.pop()
        sums.append(total.sum(data["x"][data["g"] == level]))  # A
    return sums[0]


def dummies_of_local_levels(data, total):
    return float(total.add(pd.get_dummies(data["lacking"], dtype=float).to_numpy().sum(axis=0))[0])  # A


def rows_in_add(data, total):
    return total.add(data["x"].to_numpy())[0]  # A


def labelled_rows_in_add(data, total):
    return total.add(data["x"]).iloc[0]  # A


def rows_in_a_dict(data, total):
    return total.add({"x": data["x"].to_numpy()})["x"][0]  # A


def length_in_the_result(data, total):
    return {"mean": total.mean(data["x"]), "n": len(data)}


def rows_in_the_result(data, total):
    return {"sum": total.sum(data["x"]), "rows": data[["x"]].head(2)}


def local_value_in_the_result(data, total):
    return {"sum": total.sum(data["x"]), "parts": [1, float(data["x"].max())]}


def local_keys_in_the_result(data, total):
    sums = total.sum(data["x"], by=data["lacking"])
    return {level: sums[level] for level in data["lacking"].unique()}


def unseeded_draws(data, total):
    noise = np.random.default_rng().normal(size=len(data))
    return total.sum(data["x"] + noise) / total.count(data["x"]) + len(data) * 0  # A


def unseeded_sample(data, total):
    part = data.sample(frac=0.5)
    mean = total.sum(part["x"]) / 10  # A
    return total.sum((data["x"] - mean) ** 2)


def unseeded_order(data, total):
    order = np.random.default_rng().permutation(len(data))
    weights = np.linspace(0, 1, len(data))
    mean = total.sum(data["x"].to_numpy()[order] * weights) / 10  # A
    return total.sum((data["x"] - mean) ** 2)


def rows_that_grow(data, total):
    STORE["rows"] = pd.concat([STORE.get("rows", data), data])
    mean = total.sum(STORE["rows"]["x"]) / 10  # A
    return total.sum((data["x"] - mean) ** 2)


def type_of_a_total(data, total):
    first = total.sum(data["x"])
    if isinstance(first, float):
        return first + total.sum(data["x"] * 2)  # A
    return total.sum(data["x"] * 3) + first  # B


def branch_by_the_exact_type(data, total):
    first = total.sum(data["x"])
    if type(first) is float:
        return first + total.sum(data["x"] * 2)  # A
    return total.sum(data["x"] * 3) + first  # B


def exact_type_of_a_total(data, total):
    first = total.sum(data["x"])
    factor = 2.0 if type(first) is float else 3.0
    return first + total.sum(data["x"] * factor)  # A


def factor_by_the_type_of_a_total(data, total):
    first = total.sum(data["x"])
    return first + total.sum(data["x"] * (2 if isinstance(first, float) else 3))  # A


def text_of_a_total(data, total):
    first = total.sum(data["x"])
    return {"first": first, "text": total.add({len(repr(first)): data["x"].sum()})[len(repr(first))]}


def total_in_a_thread(data, total):
    result = []
    thread = threading.Thread(target=lambda: result.append(total.sum(data["x"])))  # A
    thread.start()
    thread.join()
    return 0.0


def total_in_another_process(data, total):
    try:
        return pickle.loads(pickle.dumps(total)).sum(data["x"])
    except Exception:
        return 0.0


def total_in_a_lambda(data, total):
    return total.add(lambda: data["x"].sum() / total.count(data["x"]))  # A


def hidden_total_in_a_lambda(data, total):
    def reduce():
        try:
            return data["x"].sum() / total.count(data["x"])  # A
        except Exception:
            return 0.0

    return total.add(reduce)


def total_of_another_run(data, total):
    first = STORE.setdefault("first", total.sum(data["x"]))
    return first * 2


def function_with_a_cache(data, total):
    @functools.cache
    def add_up(name):
        return total.sum(data[name])

    STORE.setdefault("add up", add_up)
    return STORE["add up"]("x") * 2


def number_in_sum(data, total):
    return total.sum(data["x"].sum())  # A


def text_in_sum(data, total):
    return total.sum(data["g"])  # A


def dates_in_sum(data, total):
    return total.sum(pd.to_datetime(data["x"], unit="D"))  # A


def list_in_add(data, total):
    return total.add([1.0, 2.0])  # A


def rows_of_another_table(data, total):
    return total.sum(data["x"].dropna(), by=data["g"].iloc[1:])  # A


def records_that_are_not_a_number(data, total):
    return total.add(1.0, records="many")  # A


# The totals of these look like any others.


def local_mean(data, total):
    return total.sum((data["x"] - data["x"].mean()) ** 2)


def local_fill(data, total):
    return total.sum(data["gaps"].fillna(data["gaps"].median()))


def local_scale(data, total):
    return total.sum(data["x"] / data["x"].max())


def local_rank(data, total):
    return total.sum(data["x"].rank())


def local_quantiles(data, total):
    return total.count(data["x"][data["x"] > data["x"].quantile(0.75)])


def local_duplicates(data, total):
    return total.count(data["code"].drop_duplicates())


def local_order(data, total):
    return total.sum(data["x"].diff().abs())


def local_mode(data, total):
    return total.count(data["code"][data["code"] == data["code"].mode().iloc[0]])


def same_branch_everywhere(data, total):
    factor = 1.0 if len(data) > 35 else 2.0
    return total.sum(data["x"] * factor)


def total_in_add(data, total):
    return total.add(total.count(data["x"]))


def constant_in_add(data, total):
    return total.sum(data["x"]) / total.add(1)


def local_means_in_add(data, total):
    return total.add(data["x"].mean()) / 3


def numbers_that_are_used_up(data, total):
    levels, sums = list(data["code"].unique()), []
    while levels:
        level = levels.pop()
        sums.append(total.sum(data["x"][data["code"] == level]))
    return sums[0]


def rows_in_add_at_small_nodes(data, total):
    return total.add(data["x"].to_numpy()[:9])[0]


def draw_for_each_row(data, total):
    return total.sum(data["x"] * total.rng.normal(size=len(data)))


def draw_in_the_result(data, total):
    return total.sum(data["x"]) * np.random.default_rng().normal()


def draw_in_a_lambda(data, total):
    return total.add(lambda: data["x"].sum() * np.random.default_rng().normal())


def kind_of_the_rows(data, total):
    return total.sum(data["x"]) * kind_of(data)


def kind_of(rows):
    return 1.0 if type(rows) is pd.DataFrame else 2.0


# These are not faults: the result is right.


def swallowed_length(data, total):
    try:
        n = len(data)
    except BaseException:
        n = 0
    return total.sum(data["x"] * (n > -1)) / (1 if n >= 0 else 2) * (2 if n == 0 else 1) ** 0


def missing_column(data, total):
    try:
        values, factor = data["height in feet"], 0.3
    except KeyError:
        values, factor = data["x"], 1.0
    return total.sum(values) * factor


def missing_attribute(data, total):
    factor = 2.0 if hasattr(data, "collect") else 1.0
    return total.sum(data["x"]) * factor * (3.0 if getattr(data, "lazy", None) is not None else 1.0)


def type_of_rows(data, total):
    return total.sum(data["x"]) * (1.0 if type(data) is pd.DataFrame else 2.0)


def text_of_rows(data, total):
    return total.sum(data["x"]) * (1.0 if "rows of" not in repr(data["x"]) else 2.0)


def array_that_is_filled(data, total):
    buffer = np.full(1, 5.0)
    np.multiply(data["x"].to_numpy()[:1], 0.0, out=buffer[: len(data["x"].to_numpy()[:1])])
    return total.sum(data["x"]) + buffer[0] * (len(data) > 0)


def array_that_is_filled_without_rows(data, total):
    buffer = np.full(2, 5.0)
    np.add.at(buffer, data["code"].to_numpy() * 0, -5.0 * (np.arange(data["code"].size) == 0))
    return total.sum(data["x"]) + buffer[1]


def same_object(data, total):
    x = data["x"]
    return total.sum(x) * (2.0 if (x + 1) is (x + 2) else 1.0)


def data_that_is_modified(data, total):
    data["x"] = data["x"] * 2
    mean = total.sum(data["x"]) / total.count(data["x"])
    data["x"] -= mean
    return total.sum(data["x"] ** 2)


def seeded_draws(data, total):
    start = total.rng.normal()
    mean = total.sum(data["x"] + start) / total.count(data["x"])
    return total.sum((data["x"] - mean) ** 2) * total.rng.normal()
