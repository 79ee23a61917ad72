"""The placeholder for a total that is not known yet: any use of it ends this run of the function.

No arithmetic is imitated. ``Unknown`` decides only how many totals share a round: the run ends at the first use, and
requests all totals before it together. A library may replace or swallow the exception; the run does not count anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn


class Pause(BaseException):
    """Ends a run of the function that needs a total of the next round.

    Not an ``Exception``, so that an author's ``except Exception`` does not catch it.
    """


class Unknown:
    """A total that is known in the next round.

    ``isinstance`` and ``repr`` have an answer, which is another one for a number. So they count as a use, but raise no
    exception: numpy ignores an exception in ``__class__``, and the author would read ``SystemError: returned a result
    with an exception set``. For the same reason there is no ``__array_function__``.

    Args:
        line: the line of the request.
        on_use: called at each use. What the function computes afterwards has no meaning.
    """

    __slots__ = ("_line", "_on_use")

    def __init__(self, line: int | None, on_use: Callable[[], object]) -> None:
        object.__setattr__(self, "_line", line)
        object.__setattr__(self, "_on_use", on_use)

    def __repr__(self) -> str:
        _note_use(self)
        return f"<total of line {object.__getattribute__(self, '_line')}, known in the next round>"

    def __getattribute__(self, name: str) -> Any:
        _note_use(self)
        # Libraries look for optional protocols, such as `__arrow_array__`. Without them, they continue.
        if name.startswith("__") and name.endswith("__"):
            return object.__getattribute__(self, name)
        raise Pause(f"the total of line {object.__getattribute__(self, '_line')} is used")


def _note_use(unknown: Unknown) -> None:
    object.__getattribute__(unknown, "_on_use")()


def _pause(unknown: Unknown) -> NoReturn:
    raise Pause(f"{unknown!r} is used")


_UNARY = "abs bool bytes ceil complex float floor format hash index int invert len neg pos round str trunc"
_BINARY = "add and divmod eq floordiv ge gt le lshift lt matmul mod mul ne or pow rshift sub truediv xor"
_IN_PLACE = "add and floordiv lshift matmul mod mul or pow rshift sub truediv xor"
_ITEMS = "contains delitem getitem iter next reversed setitem setattr delattr enter exit"
_PROTOCOLS = "array array_ufunc copy deepcopy reduce reduce_ex fspath"


def _list_special_methods() -> list[str]:
    names = f"{_UNARY} {_BINARY} {_ITEMS} {_PROTOCOLS}".split()
    names += [f"r{name}" for name in _BINARY.split() if name not in ("eq", "ge", "gt", "le", "lt", "ne")]
    return [f"__{name}__" for name in (*names, *(f"i{name}" for name in _IN_PLACE.split()))]


def _make_method(name: str) -> Any:
    def method(self: Unknown, *_: object, **__: object) -> NoReturn:
        _pause(self)

    method.__name__ = method.__qualname__ = name
    return method


for _name in _list_special_methods():
    setattr(Unknown, _name, _make_method(_name))
