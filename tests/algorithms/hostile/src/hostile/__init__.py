"""Exceptions, results and arguments whose own methods raise."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from algotools import rpc
from algotools.errors import InternalError


class BadText(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class BadConstructor(Exception):
    def __init__(self) -> None:
        raise ZeroDivisionError


class BadAttributes(Exception):
    @property
    def __notes__(self) -> list[str]:
        raise KeyError

    @property
    def __dict__(self) -> dict[str, object]:  # type: ignore[override]
        raise KeyError


class BadName(type):
    @property
    def __name__(cls) -> str:
        raise ValueError("no name")

    @property
    def __module__(cls) -> str:
        raise ValueError("no module")


class BadClass(Exception, metaclass=BadName):
    pass


EXCEPTIONS: dict[str, Any] = {
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "StopIteration": StopIteration,
    "StopAsyncIteration": StopAsyncIteration,
    "CancelledError": asyncio.CancelledError,
    "BaseException": BaseException,
    "BaseExceptionGroup": getattr(__builtins__, "BaseExceptionGroup", None) or BaseException,
    "InternalError": InternalError,
    "RecursionError": RecursionError,
    "OSError": lambda: OSError(28, "No space left on device"),
    "BrokenPipeError": BrokenPipeError,
    "EOFError": EOFError,
    "bad text": BadText,
    "bad constructor": BadConstructor,
    "bad attributes": BadAttributes,
    "bad class": BadClass,
    "not an exception": lambda: 3,
}


def make_error(kind: str) -> Any:
    if kind == "InternalError":
        return InternalError("a secret")
    return EXCEPTIONS[kind]()


@rpc
def raises(kind: str) -> None:
    raise make_error(kind)


class BadMapping(Mapping[str, int]):
    def __init__(self, method: str, kind: str) -> None:
        self._method = method
        self._kind = kind

    def _enter(self, method: str) -> None:
        if method == self._method:
            raise make_error(self._kind)

    def __getitem__(self, key: str) -> int:
        self._enter("getitem")
        return 1

    def __iter__(self) -> Iterator[str]:
        self._enter("iter")
        return iter(["a"])

    def __len__(self) -> int:
        self._enter("len")
        return 1


class BadSequence(Sequence[int]):
    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __getitem__(self, index: Any) -> Any:
        raise make_error(self._kind)

    def __len__(self) -> int:
        return 1


@dataclasses.dataclass
class BadRecord:
    kind: str

    def __getattribute__(self, name: str) -> Any:
        if name == "kind":
            raise make_error("KeyboardInterrupt")
        return super().__getattribute__(name)


class BadProtocol(Mapping[str, int]):
    """A mapping without working methods."""

    def __getitem__(self, key: str) -> int:
        return 1

    def __iter__(self) -> Any:
        return 3

    def __len__(self) -> int:
        return -1


class EndlessMapping(Mapping[str, object]):
    def __getitem__(self, key: str) -> object:
        return EndlessMapping()

    def __iter__(self) -> Iterator[str]:
        return iter("a")

    def __len__(self) -> int:
        return 1


class BadType:
    @property
    def __class__(self) -> Any:
        raise KeyboardInterrupt

    __array__ = __arrow_c_stream__ = __dataframe__ = property(lambda self: 1 / 0)


@rpc
def returns(form: str, kind: str) -> Any:
    forms: dict[str, Any] = {
        "getitem": lambda: BadMapping("getitem", kind),
        "iter": lambda: BadMapping("iter", kind),
        "len": lambda: BadMapping("len", kind),
        "sequence": lambda: BadSequence(kind),
        "record": lambda: BadRecord("x"),
        "protocol": BadProtocol,
        "endless": EndlessMapping,
        "type": BadType,
        "inner": lambda: {"a": [BadMapping("iter", kind)]},
    }
    return forms[form]()


class BadEnd:
    def __del__(self) -> None:
        raise KeyboardInterrupt


@rpc
def leaves_bad_objects() -> int:
    cycle: list[Any] = [BadEnd()]
    cycle.append(cycle)
    BadEnd()
    return 1


class BadStream:
    def write(self, text: str) -> int:
        raise KeyboardInterrupt

    def flush(self) -> None:
        raise KeyboardInterrupt


@rpc
def replaces_streams() -> int:
    sys.stdout = sys.stderr = BadStream()  # type: ignore[assignment]
    return 1


class BadChoice(enum.Enum):
    A = "a"

    @classmethod
    def _missing_(cls, value: object) -> Any:
        raise make_error(str(value))


@dataclasses.dataclass
class BadArgument:
    kind: str

    def __post_init__(self) -> None:
        raise make_error(self.kind)


@rpc
def takes(argument: BadArgument) -> None: ...


@rpc
def takes_choice(choice: BadChoice) -> None: ...


if "HOSTILE_IMPORT" in os.environ:
    raise make_error(os.environ["HOSTILE_IMPORT"])
