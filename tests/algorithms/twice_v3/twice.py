"""The algorithm of all ``twice_*`` folders, written for v3's wrapper, which finds functions by a prefix."""

import os
import sys

from rows import make_unusual_value, to_rows


def RPC_echo(data, value="nothing"):  # noqa: N802 - the naming convention of v3
    return value


def RPC_arguments(data, first, second=2, third=3):  # noqa: N802
    return [first, second, third]


def RPC_odd(data, kind):  # noqa: N802
    return make_unusual_value(kind)


def RPC_table(data):  # noqa: N802
    return to_rows(data)


def RPC_total(data, column):  # noqa: N802
    return float(data[column].sum())


def RPC_variable(data, name):  # noqa: N802
    return os.environ.get(name)


def RPC_raises(data):  # noqa: N802
    raise ValueError("on purpose")


def RPC_exits(data, code):  # noqa: N802
    sys.exit(code)


def central(client, data, number=1):
    return {"number": number, "master": True}
