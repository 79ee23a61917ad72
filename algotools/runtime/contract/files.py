"""Read the input file of a task, which is JSON in every generation."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from algotools.errors import InputError, PickleRefused
from algotools.task import Encoding

RICH_FORMAT = "algotools"
"""The ``output_format`` that our own master requests of our own rpc."""


def read_input(path: Path, prefix: bytes = b"") -> bytes:
    """Return the bytes of the input file that follow the prefix.

    Raises:
        InputError: the file is missing, unreadable or empty, or does not begin with the prefix.
        PickleRefused: the file is a pickle.
    """
    if is_endless(path):
        raise InputError("the task's input is a pipe or a device, not a file")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError("the task has no input: its file does not exist") from None
    except (OSError, ValueError) as error:  # a path with a null character is a ValueError
        raise InputError(f"the task's input cannot be read ({type(error).__name__})", detail=str(error)) from None
    return remove_prefix(data, prefix)


def remove_prefix(data: bytes, prefix: bytes) -> bytes:
    """Return the bytes of an input that follow the prefix.

    Raises:
        InputError: the input is empty, or does not begin with the prefix.
        PickleRefused: the input is a pickle.
    """
    if not data:
        raise InputError("the task's input is empty")
    if is_pickle(data):
        raise PickleRefused(
            "the task's input is pickled, which would let the sender of a task run code at the node; "
            "create the task with data_format='json'"
        )
    if data[: len(prefix)].lower() != prefix:
        raise InputError(
            f"the task's input does not begin with '{prefix.decode()}', as a v3 input must; "
            "create the task with data_format='json'"
        )
    return data[len(prefix) :]


def is_endless(path: Path) -> bool:
    """Return whether reading a file could wait for ever, or never end: a pipe, a socket or a device."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # reading the file gives the better error
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def is_pickle(data: bytes) -> bool:
    """Return whether bytes look like a pickle, with or without v3's prefix."""
    # A pickle of protocol 2 or later begins with the byte 0x80. A dict pickled by protocol 0 or 1 has no such mark: it
    # begins with "(" or "}", and ends with ".".
    is_old_pickle = data[:1] in (b"(", b"}") and data[-1:] == b"."
    return is_old_pickle or data[:1] == b"\x80" or data[:7].lower() == b"pickle."


def parse_object(data: bytes, expected: str = "an object with method, args and kwargs") -> dict[str, Any]:
    """Return the JSON object in an input. NaN and Infinity are accepted, as by Python's own json module.

    Raises:
        InputError: the input is not a JSON object. The message contains no part of the input.
    """
    try:
        content = _parse_json(data)
    except UnicodeDecodeError:
        raise InputError("the task's input is not UTF-8; write it as JSON in UTF-8") from None
    except json.JSONDecodeError as error:
        raise InputError(
            f"the task's input is not JSON ({error.msg}, line {error.lineno}, column {error.colno})"
        ) from None
    except RecursionError:
        raise InputError("the task's input is nested too deeply") from None
    except ValueError:
        raise InputError("the task's input has a number with too many digits") from None
    if not isinstance(content, dict):
        kind = {list: "array", str: "text", bool: "boolean", type(None): "null"}.get(type(content), "number")
        raise InputError(f"the task's input is a JSON {kind}, not {expected}")
    return content


def _parse_json(data: bytes) -> object:
    try:
        return msgspec.json.decode(data)  # about three times as fast for numbers
    except (ValueError, RecursionError):
        return json.loads(data.decode())  # which accepts NaN, Infinity and lone surrogates


class OutputFormat(TypedDict):
    """The encoding of the result, and the signature of the input: fields of ``Task``."""

    encoding: Encoding
    signature: str
    input_hash: str


_END = b'"%s"}' % RICH_FORMAT.encode()
"""The end of an input that requests the rich encoding. A signature extends the text."""


def sign_input(data: bytes, sign: Callable[[str], str]) -> bytes:
    """Add a signature to an encoded input; *sign* returns the signature for a hash, or an empty text."""
    import hashlib  # here, because few processes need it

    signature = sign(hashlib.sha256(data).hexdigest())
    return data[:-2] + f':{signature}"}}'.encode() if signature and data.endswith(_END) else data


def read_output_format(text: object, data: bytes) -> OutputFormat | None:
    """Return the output format that an input requests; None if *text* is not that of algotools.

    *data* is the encoded input. Its hash is that of the bytes without the signature, so a change of any byte shows.
    """
    if not isinstance(text, str) or text.partition(":")[0] != RICH_FORMAT:
        return None
    signature = text.partition(":")[2]
    end = f':{signature}"}}'.encode(errors="replace")
    input_hash = ""
    if signature and data.endswith(end):
        import hashlib

        digest = hashlib.sha256(memoryview(data)[: -len(end)])
        digest.update(b'"}')
        input_hash = digest.hexdigest()
    return {"encoding": "rich", "signature": signature, "input_hash": input_hash}


PLAIN: OutputFormat = {"encoding": "plain", "signature": "", "input_hash": ""}


class Call(OutputFormat):
    """Method, arguments and output format in an input: fields of ``Task``."""

    method: str
    args: tuple[object, ...]
    kwargs: dict[str, object]


def read_call(content: Mapping[str, Any], data: bytes) -> Call:
    """Return the call that an input of v3 or v4 describes; *content* is the parsed input, and *data* the encoded one.

    Raises:
        InputError: the input has the wrong shape; the message lists all problems.
    """
    method, args, kwargs = content.get("method"), content.get("args", []), content.get("kwargs", {})
    problems = []
    if not isinstance(method, str):
        problems.append("`method` must be a text" if "method" in content else "`method` is missing")
    if not isinstance(args, list):
        problems.append("`args` must be a list")
    if not isinstance(kwargs, dict):
        problems.append("`kwargs` must be an object")
    if problems:
        raise InputError(f"the task's input has the wrong shape: {', '.join(problems)}")
    output_format = read_output_format(content.get("output_format"), data) or PLAIN
    return {"method": str(method), "args": tuple(args), "kwargs": kwargs, **output_format}
