"""``algotools decode``: show results that our functions send to each other, as plain JSON.

A master receives the results of other nodes in the rich encoding (``algotools.payload``). A researcher who reads such a
partial result with the platform's own client sees ``["algotools.", "…"]``, where base64 follows: as a list of Python or
JSON, as a text within an item of the server, or in base64 once more.
"""

from __future__ import annotations

import ast
import base64
import codecs
import json
import sys
import warnings
from typing import Annotated, Any

import typer

from algotools.errors import InputError, PickleRefused, ProxyError
from algotools.payload import RICH, decode_rich, encode_plain, show_path
from algotools.runtime.contract.files import is_pickle

_NAME = RICH.decode()
_V3_PREFIX = b"json."
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""First bytes of a file -> the file's encoding. PowerShell redirects in UTF-16."""

DECODE_EXAMPLES = r"""
[bold]Examples[/bold]

algotools decode result.json

echo '\["algotools.", "…"]' | algotools decode -
"""


def decode(
    file: Annotated[
        typer.FileBinaryRead,
        typer.Argument(metavar="FILE|-", help="File with results; - for standard input.", show_default=False),
    ],
) -> None:
    r"""Show a partial result as plain JSON.

    The platform's own client shows a result that a function sent to its master as [bold]\["algotools.", "…"][/bold].
    The file contains this text, whole items with such results, or the bytes of a result. Everything else in the file is
    shown unchanged.
    """
    plain = encode_plain(decode_results(file.read()))
    for path in plain.nulls:
        typer.echo(f"NaN, infinity or a missing value became null: {show_path(path, None)}", err=True)
    text = plain.data.decode()
    if codecs.lookup(sys.stdout.encoding).name != "utf-8":
        text = json.dumps(json.loads(text))  # only ASCII
    sys.stdout.write(f"{text}\n")


def decode_results(data: bytes) -> object:
    """Return the value in the content of a file, with all results in the rich encoding decoded.

    Raises:
        InputError: the content is empty, is not JSON, or has a result that is not complete.
        PickleRefused: the content is a pickle.
    """
    if data.startswith(RICH):
        return _decode_rich(data)
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and is_pickle(data):
        raise PickleRefused("the content is a pickle, which could run code when it is read")
    try:
        text = data.decode(encoding).strip()
    except UnicodeDecodeError:
        raise InputError("the content is neither text nor a result of algotools") from None
    if not text:
        raise InputError('the content is empty; expected a result such as ["algotools.", "…"]')
    try:
        return _decode_value(_parse(text))
    except RecursionError:
        raise InputError("the content is nested too deeply") from None


def _parse(text: str) -> object:
    """Return the value of a text: JSON, a value that Python printed, one value in each line, or base64."""
    try:
        return _parse_one(text)
    except ValueError as error:
        problem = f"{error.msg}, line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "not a value"
    try:
        return [_parse_one(line) for line in text.splitlines() if line.strip()]
    except ValueError:
        raise InputError(
            f"the content is neither JSON nor a result of algotools ({problem}); copy the whole result, "
            'from [ to ], for example ["algotools.", "…"]'
        ) from None


def _parse_one(text: str) -> object:
    text = text.strip()
    if text[: len(_V3_PREFIX)].lower() == _V3_PREFIX.decode():
        text = text[len(_V3_PREFIX) :]
    try:
        return json.loads(text)
    except ValueError as error:
        if (decoded := _decode_base64(text)) is not None:
            return decoded
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about escapes in the text
                return ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError):
            raise error from None


def _decode_value(value: Any, *, is_result: bool = False) -> Any:
    """Return a value with its results decoded: lists with our mark, and texts and bytes that contain such a list.

    Args:
        value: a value of JSON or of Python.
        is_result: whether the value is the field ``result`` of an item, whose text is JSON at v4 and v5.
    """
    if isinstance(value, dict):
        return {key: _decode_value(item, is_result=key == "result") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        if len(value) == 2 and value[0] == _NAME and isinstance(value[1], str):
            try:
                data = base64.b64decode(value[1], validate=True)
            except ValueError:  # not base64, or not ASCII
                raise InputError("a result is not complete: its base64 is cut off or changed; copy all of it") from None
            return _decode_rich(data)
        return [_decode_value(item) for item in value]
    if isinstance(value, bytes):
        return decode_results(value)
    if isinstance(value, str):
        if value.lstrip().startswith(f'["{_NAME}"') or value[: len(_V3_PREFIX)].lower() == _V3_PREFIX.decode():
            return _decode_value(_parse(value))
        if (decoded := _decode_base64(value)) is not None:
            return _decode_value(decoded)
        if is_result:
            try:
                return json.loads(value)
            except ValueError:
                return value
    return value


def _decode_base64(text: str) -> bytes | None:
    """Return the bytes of a text in base64 if they are a result in one of our formats, otherwise None."""
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        return None
    begins = (RICH, b'["' + RICH, _V3_PREFIX + b"[", _V3_PREFIX + b"{")
    return data if data.startswith(begins) else None


def _decode_rich(data: bytes) -> object:
    try:
        return decode_rich(data)
    except ProxyError as error:
        raise InputError(
            "a result cannot be decoded: it is not complete, or it has a table of a library that is not installed here",
            detail=error.detail,
        ) from None
