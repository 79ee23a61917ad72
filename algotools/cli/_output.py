"""The file of ``--output``: the record of a task as JSON, or its results as a table in CSV or Parquet."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from algotools.cli._arguments import make_usage_error
from algotools.cli._console import show_note
from algotools.cli._grid import list_plain_rows, make_json_items, make_plain
from algotools.errors import OutputError
from algotools.federation import Grid
from algotools.federation.report import FORMAT
from algotools.federation.result_tables import ResultRecords, is_scalar, make_records

SUFFIXES = (".json", ".csv", ".parquet")

METADATA_KEY = b"algotools"
"""The key of the record, without the results, in the metadata of a Parquet file."""


def check_output(path: Path | None, *, overwrite: bool) -> Path | None:
    """Refuse a file that could not be written after the task. ``overwrite`` allows that the file exists."""
    if path is None:
        return None
    if path.suffix.lower() not in SUFFIXES:
        raise make_usage_error("--output", f"{str(path)!r} must end with {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise make_usage_error("--output", f"the folder {str(folder)!r} does not exist; create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise make_usage_error("--output", f"the folder {str(folder)!r} cannot be written to")
    files = list_files(path)
    existing: list[str] = []
    for file in files:
        try:
            is_folder, exists = file.is_dir(), _identify(file) is not None  # a dangling link exists, too
        except OSError as error:
            raise make_usage_error("--output", f"{str(file)!r} cannot be written ({error.strerror})") from None
        if is_folder:
            raise make_usage_error("--output", f"{str(file)!r} is a folder")
        if exists:
            existing.insert(0, repr(str(file)))
    if existing and not overwrite:
        verb = "exist" if len(existing) > 1 else "exists"
        text = f"{' and '.join(existing)} {verb}; choose another name, or add --overwrite"
        raise make_usage_error("--output", text)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise make_usage_error("--output", f"the folder {str(folder)!r} refuses a file ({error.strerror})") from None
    return path


def _identify(file: Path) -> tuple[int, int, int] | None:
    """Return a value that changes when a file is replaced; None if it does not exist."""
    try:
        status = file.lstat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns


@contextlib.contextmanager
def report_unchanged(path: Path | None) -> Iterator[None]:
    """Show a note if an error leaves an earlier file unchanged, which could be taken for the new results."""
    before = None if path is None else _identify(path)
    try:
        yield
    except BaseException:
        if path is not None and before is not None and _identify(path) == before:
            show_note(f"{path} is unchanged; it does not have the results of this command")
        raise


def list_files(path: Path) -> list[Path]:
    """Return the files of an output: a CSV file has its record in a second file, ``FILE.csv.json``."""
    return [path.with_name(f"{path.name}.json"), path] if path.suffix.lower() == ".csv" else [path]


def write_output(path: Path, record: Mapping[str, Any]) -> None:
    """Write the record of a task. Each file is complete, or unchanged.

    Raises:
        OutputError: a file cannot be written.
    """
    metadata = {key: value for key, value in record.items() if key != "results"}
    columns = [] if path.suffix.lower() == ".json" else _list_columns(*_make_records(record))
    _write_files(path, record, metadata, columns)


def write_grid(path: Path, grid: Grid, method: str) -> None:
    """Write the table of many tasks; in JSON the tasks, as ``algotools run --json`` prints them.

    Raises:
        OutputError: a file cannot be written.
    """
    metadata = {
        "format": FORMAT,
        "method": method,
        "tasks": [{"arguments": dict(cell.arguments), "task": cell.number} for cell in grid],
    }
    rows = list_plain_rows(grid)
    columns = [(name, [row[name] for row in rows]) for name in (rows[0] if rows else ())]
    _write_files(path, {**metadata, "tasks": make_json_items(grid)}, metadata, columns)


def _write_files(
    path: Path, content: Mapping[str, Any], metadata: Mapping[str, Any], columns: Sequence[tuple[str, list[Any]]]
) -> None:
    """Write the content as JSON, or the columns and the metadata. Each file is complete, or unchanged."""
    with contextlib.ExitStack() as stack:
        parts = []
        for number, file in enumerate(list_files(path)):
            match file.suffix.lower():
                case ".json":
                    data = _encode_json(content if file == path else metadata)
                case ".csv":
                    data = _encode_csv(columns).encode(errors="backslashreplace")
                case _:
                    data = _encode_parquet(columns, metadata)
            part = file.with_name(
                f".algotools-{os.getpid()}-{number}.part"
            )  # short, because the file's name may be long
            stack.callback(part.unlink, missing_ok=True)
            _write(part, data, file)
            parts.append((part, file))
        for part, file in parts:
            with _convert_errors(file):
                part.replace(file)


def _make_records(record: Mapping[str, Any]) -> tuple[ResultRecords, dict[int, str]]:
    """Return the results as records of one table, and the names of the organizations."""
    names = {item["organization"]["id"]: item["organization"]["name"] for item in record["results"]}
    values = [
        (item["organization"]["id"], item.get("result", item.get("result_base64")))
        for item in record["results"]
        if "error" not in item
    ]
    return make_records(values), names


def _list_columns(records: ResultRecords, organizations: Mapping[int, str]) -> list[tuple[str, list[Any]]]:
    """Return name and cells of each column of a file: the organization, the labels of the rows, and the values."""
    columns: list[tuple[str, list[Any]]] = [
        ("organization_id", list(records.organizations)),
        ("organization", [organizations[id_] for id_ in records.organizations]),
    ]
    return columns + records.list_columns([name for name, _ in columns])


def _encode_json(content: object, indent: int | None = 2) -> bytes:
    """Return strict JSON: NaN and infinity become null, and a lone surrogate becomes an escape sequence."""
    try:
        text = json.dumps(content, ensure_ascii=False, indent=indent, default=make_plain, allow_nan=False)
    except ValueError:
        text = json.dumps(_replace_nan(content), ensure_ascii=False, indent=indent, default=make_plain)
    return f"{text}\n".encode(errors="backslashreplace")


def _replace_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _replace_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return list(map(_replace_nan, value))
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _encode_csv(columns: Sequence[tuple[str, list[Any]]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(name for name, _ in columns)
    cells = [[_to_text(cell) for cell in column] for _, column in columns]
    writer.writerows(zip(*cells, strict=True))
    return stream.getvalue()


def _to_text(cell: object) -> object:
    """Return the cell of a CSV file: numbers and texts unchanged, nothing for null, other values as JSON."""
    return cell if isinstance(cell, str) or cell is None else _to_json(cell)


def _to_json(cell: object) -> str:
    return json.dumps(cell, ensure_ascii=False, default=make_plain)


def _encode_parquet(columns: Sequence[tuple[str, list[Any]]], metadata: Mapping[str, Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({_escape_surrogates(name): _make_array(cells) for name, cells in columns})
    table = table.replace_schema_metadata({METADATA_KEY: _encode_json(metadata, indent=None)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def _make_array(cells: Iterable[Any]) -> Any:
    """Return a column for Parquet. A column of mixed types, or with lists or mappings, contains JSON texts.

    So does a column in which a number would lose digits.
    """
    import pyarrow as pa

    values = [_escape_surrogates(value) if isinstance(value, str) else value for value in cells]
    kinds = {type(value) for value in values if value is not None}
    with contextlib.suppress(OverflowError, pa.ArrowInvalid):  # an integer of more than 64 bits
        if kinds == {int, float}:
            numbers = [None if value is None else float(value) for value in values]
            integers = [value for value in values if isinstance(value, int)]
            if all(float(value) == value for value in integers):
                return pa.array(numbers)
        elif all(map(is_scalar, values)) and len(kinds) <= 1:
            return pa.array(values)
    return pa.array([None if value is None else _escape_surrogates(_to_json(value)) for value in values])


def _escape_surrogates(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot encode, by escape sequences."""
    return text.encode(errors="backslashreplace").decode()


def _write(part: Path, content: bytes, file: Path) -> None:
    with _convert_errors(file), part.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


@contextlib.contextmanager
def _convert_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"the file {str(file)!r} cannot be written ({error.strerror})") from None
