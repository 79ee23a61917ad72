"""Functions that get an answer about a placeholder without an operation of it. They need a module of their own."""

from __future__ import annotations

from . import broken_helpers


def match_of_a_total(data, total):
    match total.add({"x": data["x"].sum()}):
        case {"x": _}:
            factor = 2.0
        case _:
            factor = 3.0
    return total.sum(data["x"] * factor)


def match_of_rows(data, total):
    match data.shape:
        case (_, _):
            factor = 2.0
        case _:
            factor = 3.0
    return total.sum(data["x"]) * factor


def helper_that_asks_about_a_total(data, total):
    first = total.sum(data["x"])
    return first + total.sum(data["x"] * broken_helpers.weigh(first))


def helper_that_asks_about_rows(data, total):
    return total.sum(data["x"]) * broken_helpers.weigh_rows(data)
