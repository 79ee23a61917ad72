"""The placeholder for rows that the master does not have.

Everything that is computed from a ghost is a ghost. An operation that needs a number from it raises ``Absent``. If the
function returns without one, its result does not depend on rows, and the master needs no further round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn


class Absent(BaseException):
    """Ends an attempt of the master that needs rows. Not an ``Exception``; see ``Pause``."""


class Ghost:
    """Rows, or anything computed from rows, at the master.

    Args:
        on_need: called before ``Absent`` is raised. A library or the author may swallow the exception, so the attempt
            does not count after any call.
    """

    __slots__ = ("_on_need",)

    def __init__(self, on_need: Callable[[], object]) -> None:
        object.__setattr__(self, "_on_need", on_need)

    def __repr__(self) -> str:
        return "<rows of the nodes>"

    # `isinstance(data, pandas.DataFrame)` has no answer here. It must not be False, or the master would take another
    # branch than the nodes.
    __class__ = property(lambda self: _need(self))  # noqa: PLW0108 - `_need` is defined below

    def __getattr__(self, name: str) -> Ghost:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return self

    def __array_ufunc__(self, *_: object, **__: object) -> Ghost:
        return self

    def __array_function__(self, *_: object, **__: object) -> Ghost:
        return self


def _need(ghost: Ghost) -> NoReturn:
    object.__getattribute__(ghost, "_on_need")()
    raise Absent("the function needs rows")


_DERIVED = (
    "abs add and call eq floordiv ge getitem gt invert le lshift lt matmul mod mul ne neg or pos pow round rshift sub "
    "truediv xor"
)
_REFLECTED = "add and floordiv lshift matmul mod mul or pow rshift sub truediv xor"
_NEEDED = (
    "array bool bytes ceil complex contains copy deepcopy delattr delitem divmod enter exit float floor format fspath "
    "hash index int iter len next rdivmod reduce reduce_ex reversed setattr str trunc"
)


def _make_derived(name: str) -> Any:
    def method(self: Ghost, *_: object, **__: object) -> Ghost:
        return self

    method.__name__ = method.__qualname__ = name
    return method


def _make_needed(name: str) -> Any:
    def method(self: Ghost, *_: object, **__: object) -> NoReturn:
        _need(self)

    method.__name__ = method.__qualname__ = name
    return method


def _set_item(self: Ghost, key: object, value: object) -> None:
    """Accept ``frame["new"] = frame["old"] * 2``: the rows remain rows."""


def _add_methods() -> None:
    derived = [*_DERIVED.split(), *(prefix + name for name in _REFLECTED.split() for prefix in "ri")]
    methods = dict.fromkeys(derived, _make_derived) | dict.fromkeys(_NEEDED.split(), _make_needed)
    for name, make in methods.items():
        setattr(Ghost, f"__{name}__", make(f"__{name}__"))
    setattr(Ghost, "__setitem__", _set_item)  # noqa: B010 - mypy refuses an assignment


_add_methods()
