"""The files of a task: the input, which every generation has as JSON, and the place of the proxy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import urlsplit

import msgspec

from algotools.errors import ContractError, InputError, PickleRefused
from algotools.payload import RICH
from algotools.task import Encoding, Proxy, Task

RICH_FORMAT = "algotools"
"""What ``output_format`` asks of our own rpc."""

OF_PLACES = ("INPUT_FILE", "OUTPUT_FILE", "TOKEN_FILE", "TEMPORARY_FOLDER", "HOST", "PORT", "API_PATH")
"""The variables by which every generation names a task's files, folder and proxy."""

WRAPPED = b'["' + RICH + b'","'
"""How the rich encoding begins as a JSON document; base64 follows."""


def wrap(data: bytes) -> bytes:
    """An encoded result as a JSON document, the rich encoding as a text in it.

    A v4 proxy that decrypts results takes nothing else, and v3's client fails on other formats.
    """
    return msgspec.json.encode([RICH.decode(), data]) if data.startswith(RICH) else data


def unwrap(output: bytes, start: int = 0) -> bytes:
    """What ``wrap`` was given; in ``output`` it stands from ``start`` on.

    Raises:
        ValueError: it is not whole.
    """
    if not output.startswith(WRAPPED, start):
        return output[start:]
    return msgspec.json.decode(memoryview(output)[start:], type=tuple[str, bytes])[1]


def input_content(task: Task) -> dict[str, object]:
    """What is asked of a task's function, as the input file of v3 and v4 has it."""
    content: dict[str, object] = {"method": task.method, "args": list(task.args), "kwargs": dict(task.kwargs)}
    if task.role is not None:
        content["master"] = task.role == "master"
    if task.encoding == "rich":
        content["output_format"] = RICH_FORMAT
    return content


def subtask_content(method: str, kwargs: Mapping[str, object]) -> dict[str, object]:
    """What our own master asks of our own rpc."""
    return {"method": method, "kwargs": kwargs, "master": False, "output_format": RICH_FORMAT}


def read_input(path: Path) -> bytes:
    """The bytes of the input file.

    Raises:
        InputError: it is missing, unreadable or empty.
        PickleRefused: it is pickled.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError("the task has no input: its file does not exist") from None
    except (OSError, ValueError) as error:  # a path with a null character is a ValueError
        raise InputError(f"the task's input cannot be read ({type(error).__name__})", detail=str(error)) from None
    if not data:
        raise InputError("the task's input is empty")
    if is_pickle(data):
        raise PickleRefused(
            "the task's input is pickled, which would let whoever posts a task run code at the node; "
            "create the task with data_format='json'"
        )
    return data


def is_pickle(data: bytes) -> bool:
    """Whether bytes look like a pickle, with or without v3's prefix."""
    oldest = data[:1] in (b"(", b"}") and data[-1:] == b"."
    return oldest or data[:1] == b"\x80" or data[:7].lower() == b"pickle."


def parse_object(data: bytes, what: str = "an object with method, args and kwargs") -> dict[str, Any]:
    """A JSON object in UTF-8, as Python's own json module reads it (so NaN and Infinity are taken).

    ``what`` says of which kind it should be.

    Raises:
        InputError: it is something else; quotes nothing of it.
    """
    try:
        content = json.loads(data.decode())
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
        raise InputError(f"the task's input is a JSON {_json_type(content)}, not {what}")
    return content


def parse_answer(output: bytes, text: bytes) -> object:
    """The value in an output; the output itself where it is not JSON.

    Read as the platform's own clients do: NaN and Infinity are taken, for images made with other tools write them.
    """
    try:
        return json.loads(text.decode())
    except (ValueError, RecursionError):
        return output


def call(content: Mapping[str, Any]) -> tuple[str, tuple[object, ...], dict[str, object], Encoding]:
    """Method, args, kwargs and encoding of a parsed input.

    Raises:
        InputError: names everything that has the wrong shape.
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
    return str(method), tuple(args), kwargs, "rich" if content.get("output_format") == RICH_FORMAT else "plain"


def contents(task: Task, data: bytes, token: str) -> dict[Path, bytes]:
    """What a node puts where: the input, an empty output, and the token where there is a proxy.

    Raises:
        ContractError: a path is relative, or two files have the same one.
    """
    found = [(task.input_file, data), (task.output_file, b"")]
    if task.proxy is not None and task.proxy.token_file is not None:
        found.append((task.proxy.token_file, token.encode()))
    if relative := [path for path, _ in found if not path.is_absolute()]:
        raise ContractError(
            f"the path {str(relative[0])!r} must be absolute: a container has its own working directory"
        )
    if len(dict(found)) < len(found):
        raise ContractError("the files for input, output and token must be different ones")
    return dict(found)


def place_variables(task: Task) -> dict[str, str]:
    """The variables that name a task's files, folder and proxy; ``places`` reads them.

    Raises:
        ContractError: see ``proxy_variables``.
    """
    values = {"INPUT_FILE": str(task.input_file), "OUTPUT_FILE": str(task.output_file)}
    if task.temporary_folder is not None:
        values["TEMPORARY_FOLDER"] = str(task.temporary_folder)
    return values | proxy_variables(task.proxy)


class Places(TypedDict):
    """Where a task's files, folder and proxy are: fields of ``Task``."""

    input_file: Path
    output_file: Path
    temporary_folder: Path | None
    proxy: Proxy | None


def places(values: Mapping[str, str]) -> Places:
    """Where the variables say that files, folder and proxy are.

    Raises:
        ContractError: the input or the output is not named.
    """
    return {
        "input_file": required(values, "INPUT_FILE"),
        "output_file": required(values, "OUTPUT_FILE"),
        "temporary_folder": Path(values["TEMPORARY_FOLDER"]) if values.get("TEMPORARY_FOLDER") else None,
        "proxy": read_proxy(values),
    }


def proxy_variables(proxy: Proxy | None) -> dict[str, str]:
    """``HOST``, ``PORT``, ``API_PATH`` and ``TOKEN_FILE``.

    Raises:
        ContractError: the proxy's URL has no scheme, host or port, or more than these and a path.
    """
    if proxy is None:
        return {}
    if proxy.token_file is None or proxy.token:
        raise ContractError("the token must be in a file: only v5 has it in the environment")
    return {**address(proxy.url), "TOKEN_FILE": str(proxy.token_file)}


def read_proxy(values: Mapping[str, str]) -> Proxy | None:
    """Where the proxy is; None if the node names none."""
    url, token_file = read_address(values), values.get("TOKEN_FILE")
    return Proxy(url, Path(token_file)) if url and token_file else None


def address(url: str) -> dict[str, str]:
    """``HOST``, ``PORT`` and ``API_PATH`` of a proxy; ``read_address`` reads them.

    Raises:
        ContractError: the URL has no scheme, host or port, or more than these and a path.
    """
    try:
        parts = urlsplit(url)
        host, path = f"{parts.scheme}://{parts.netloc.rpartition(':')[0]}", parts.path
        values = {"HOST": host, "PORT": str(parts.port), "API_PATH": path}
        complete = bool(parts.scheme and parts.hostname) and parts.port is not None
    except ValueError:
        complete = False
    if not complete or read_address(values) != url:
        raise ContractError(f"the proxy's URL must be scheme://host:port/path, not {url!r}")
    return values


def read_address(values: Mapping[str, str]) -> str | None:
    """The proxy's URL; None if the node names none."""
    port = f":{values['PORT']}" if values.get("PORT") else ""
    return f"{values['HOST']}{port}{values.get('API_PATH', '')}" if values.get("HOST") else None


def required(values: Mapping[str, str], name: str) -> Path:
    """A path that the contract demands.

    Raises:
        ContractError: the variable is missing or empty.
    """
    if not values.get(name):
        raise ContractError(f"the variable {name} is missing")
    return Path(values[name])


def _json_type(value: object) -> str:
    return {list: "array", str: "text", bool: "boolean", type(None): "null"}.get(type(value), "number")
