"""Raises an exception with a value during its import."""


def look_up(name):
    return {}[name]


look_up("Jane-Doe-4711")
