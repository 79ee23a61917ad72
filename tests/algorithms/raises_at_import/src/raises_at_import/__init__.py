"""Trips over a value while it is imported."""


def look_up(name):
    return {}[name]


look_up("Jane-Doe-4711")
