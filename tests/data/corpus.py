"""Awkward files, of the kinds that people report to the projects of pandas, Polars, DuckDB and Arrow.

Every form must read a file to the same values, or refuse the file. ``DIFFERENCES`` lists the exceptions.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from algotools.task import Database


class AwkwardFile(NamedTuple):
    """A file with a peculiarity."""

    name: str
    kind: str
    write: Callable[[Path], object]
    """Writes the file, or the folder, at a path."""
    options: Mapping[str, str]

    def make_database(self, folder: Path, _servers: object) -> Database:
        """Write the file, and return the database."""
        path = folder / f"x.{_SUFFIXES[self.kind]}"
        self.write(path)
        return Database("clinic", str(path), self.kind, options=dict(self.options))


_SUFFIXES = {"csv": "csv", "parquet": "parquet", "excel": "xlsx"}


# --- CSV. ---

_PLAIN = "id,age\n1,50\n2,61\n"
_LONG = "".join(f"{number},{number % 90}\n" for number in range(3_000))

_TEXTS: dict[str, str | bytes] = {
    # Shape of the rows.
    "a separator at the end of each row": "age,weight\n50,80,\n61,70,\n",
    "two separators at the end of each row": "age,weight\n50,80,,\n61,70,,\n",
    "a separator at the end of each line": "age,weight,\n50,80,\n61,70,\n",
    "row names of R": '"age","weight"\n"1",50,80\n"2",61,70\n',
    "row names of R without quotes": "age,weight\n1,50,80\n2,61,70\n",
    "row names and a short row": "age,weight\n1,50,80\n2,61\n",
    "a first row that is too long": "age,weight\n50,80,9\n61,70\n",
    "a later row that is too long": "age,weight\n50,80\n61,70,9\n",
    "short rows": "a,b,c\n1,2,3\n4,5\n6\n",
    "a first row that is too short": "a,b,c\n1,2\n4,5,6\n",
    "short rows and a newline in quotes": 'a,b,c\n1,"x\ny",3\n4,5\n',
    "only separators": "a,b\n,\n,\n",
    "only a header": "a,b\n",
    "a header without a newline": "a,b",
    "a single row": "a,b\n1,2\n",
    "no newline at the end": "a,b\n1,2\n3,4",
    "an empty line at the end": "a,b\n1,2\n3,4\n\n",
    "empty lines in between": "a,b\n\n1,2\n\n\n3,4\n",
    "an empty line first": "\na,b\n1,2\n",
    "a line of blanks": "a,b\n1,2\n   \n3,4\n",
    "a line of tabs": "a,b\n1,2\n\t\n3,4\n",
    "a footer": "a,b\n1,2\n3,4\nTotal: 2 rows\n",
    "a title": "Export of 2024\na,b\n1,2\n",
    "one column": "age\n50\n61\n",
    "one column with an empty line": "age\n50\n\n61\n",
    "many columns": ",".join(f"c{i}" for i in range(300)) + "\n" + ",".join("1" for _ in range(300)) + "\n",
    # Line ends.
    "line ends of Windows": "a,b\r\n1,2\r\n3,4\r\n",
    "line ends of old Macs": "a,b\r1,2\r3,4\r",
    "mixed line ends": "a,b\n1,2\r\n3,4\r\n5,6\n",
    "one old line end": "a,b\n1,2\r3,4\n5,6\n",
    "a carriage return in quotes": 'a,b\n1,"x\ry"\n2,z\n',
    "a newline of Windows in quotes": 'a,b\r\n1,"x\r\ny"\r\n2,z\r\n',
    "the end-of-file mark of DOS": b"a,b\n1,2\n3,4\n\x1a",
    "the end-of-file mark of DOS in a line": b"a,b\r\n1,2\r\n\x1a\r\n",
    "a null byte": b"a,b\n1,x\0y\n2,z\n",
    "line separators of Unicode": "a,b\n1,x\u2028y\n2,z\u0085w\n",
    "form feeds": "a,b\n1,x\fy\n2,z\vw\n",
    # Quotes.
    "quotes": '"a","b"\n"1","x"\n"2","y"\n',
    "a separator in quotes": 'a,b\n1,"x,y"\n2,z\n',
    "doubled quotes": 'a,b\n1,"5"" tube"\n2,"""z"""\n',
    "an inch": 'id,item\n1,5" tube\n2,swab\n',
    "two inches": 'id,item\n1,5"x3" plate\n2,swab\n',
    "text after a quote": 'a,b\n1,"x"y\n2,z\n',
    "a blank before a quote": 'a,b\n1, "x"\n2,z\n',
    "a blank after a quote": 'a,b\n1,"x" \n2,z\n',
    "an open quote": 'a,b\n1,"x\n2,z\n',
    "an open quote at the end": 'a,b\n1,x\n2,"',
    "single quotes": "a,b\n1,'x,y'\n2,'z'\n",
    "quoted numbers": 'a,b\n"1",x\n"2",y\n',
    "quoted missing values": 'a,b\n1,"NA"\n2,""\n3,x\n',
    "quoted missing numbers": 'a,b\n"1",x\n"NA",y\n"",z\n',
    "a backslash before a quote": 'a,b\n1,"x\\"\n2,y\n',
    # Values that look like another type.
    "f and t": "sex,age\nf,50\nt,61\n",
    "only f": "sex,age\nf,50\nf,61\n",
    "yes and no": "smokes,age\nyes,50\nno,61\n",
    "Y and N": "smokes,age\nY,50\nN,61\n",
    "0 and 1": "smokes,age\n0,50\n1,61\n",
    "True and False": "smokes,age\nTrue,50\nFalse,61\n",
    "TRUE and false": "smokes,age\nTRUE,50\nfalse,61\n",
    "TRUE and missing": "smokes,age\nTRUE,50\n,61\nFALSE,3\n",
    "quoted booleans": 'smokes,age\n"TRUE",50\n"FALSE",61\n',
    "True and text": "smokes,age\nTrue,50\nunknown,61\n",
    "True and 1": "smokes,age\nTrue,50\n1,61\n",
    "leading zeros": "code,age\n007,50\n012,61\n",
    "leading zeros and text": "code,age\n007,50\nA12,61\n",
    "postal codes": "code,age\n01067,50\n80331,61\n",
    "ISO dates": "day,age\n2024-01-02,50\n2024-12-31,61\n",
    "ambiguous dates": "day,age\n01/02/2024,50\n03/04/2024,61\n",
    "times": "at,age\n12:30,50\n23:59:59,61\n",
    "timestamps": "at,age\n2024-01-02T03:04:05Z,50\n2024-01-02 03:04:05+01:00,61\n",
    "years": "year,age\n2023,50\n2024,61\n",
    "thousands": 'n,age\n"1,000",50\n"2,500",61\n',
    "thousands with points": "n,age\n1.000,50\n2.500,61\n",
    "underscores in numbers": "n,age\n1_000,50\n2_000,61\n",
    "hexadecimal numbers": "n,age\n0x10,50\n0xFF,61\n",
    "exponents": "n,age\n1e3,50\n1E-3,61\n",
    "exponents of D": "n,age\n1D3,50\n2D3,61\n",
    "plus signs": "n,age\n+5,50\n+6,61\n",
    "plus signs in floats": "n,age\n+5.5,50\n6.5,61\n",
    "points without digits": "n,age\n5.,50\n.5,61\n",
    "negative zero": "n,age\n-0,50\n-0.0,61\n",
    "infinity": "n,age\ninf,50\n-Infinity,61\n",
    "nan": "n,age\nnan,50\n1.5,61\n",
    "percentages": "n,age\n50%,50\n61%,61\n",
    "money": "n,age\n$5,50\n€6,61\n",
    "numbers with units": "n,age\n5 mg,50\n6 mg,61\n",
    "less-than signs": "n,age\n<5,50\n6,61\n",
    "blanks around numbers": "n,age\n 5 ,50\n6 ,61\n",
    "blanks around texts": "a,b\n x ,1\ny  ,2\n",
    "a tab before a number": "n,age\n\t5,50\n6,61\n",
    "Arabic digits": "n,age\n٣,50\n٤,61\n",
    "full-width digits": "n,age\n\uff13,50\n\uff14,61\n",
    "a minus of Unicode": "n,age\n\u22125,50\n6,61\n",
    "integers beyond 2**53": "n,age\n9007199254740993,50\n9007199254740995,61\n",
    "integers beyond 2**53 and missing": "n,age\n9007199254740993,50\n,61\n",
    "the smallest integer and missing": f"n,age\n,50\n{-(2**63)},61\n3,70\n",
    "integers beyond 2**63": "n,age\n9223372036854775808,50\n1,61\n",
    "integers beyond 2**64": "n,age\n99999999999999999999,50\n1,61\n",
    "integers beyond 2**64 and floats": "n,age\n99999999999999999999,50\n1.5,61\n",
    "floats beyond the range": "n,age\n1e400,50\n1.5,61\n",
    "long decimals": "n,age\n0.1234567890123456789,50\n1.5,61\n",
    "integers and floats": "n,age\n1,50\n2.5,61\n",
    "integers, then a text": "n,age\n1,50\nx,61\n",
    "numbers and blanks": "n,age\n1,50\n ,61\n",
    # Missing values.
    "all spellings of missing values": "a,b\nNA,1\nN/A,2\nnull,3\nNULL,4\nNone,5\nnan,6\n#N/A,7\n<NA>,8\nx,10\n",
    "other spellings of missing values": "a,b\nna,1\n.,2\n-,3\nmissing,4\n?,5\n",
    "a column without values": "a,b\n,1\n,2\n",
    "a column of NA": "a,b\nNA,1\nNA,2\n",
    "integers and missing": "a,b\n1,1\n,2\n",
    "blanks as missing": "a,b\n1,1\n  ,2\n",
    # Names.
    "names with blanks": "id, age\n1,50\n2,61\n",
    "a name with a no-break space": "id,\u00a0age\n1,50\n2,61\n",
    "a column called NA": "NA,b\n1,3\n2,4\n",
    "a column called nan": "nan,null\n1,3\n2,4\n",
    "an empty name": "id,\n1,50\n2,61\n",
    "an empty first name": ",age\n1,50\n2,61\n",
    "a repeated name": "age,age\n1,50\n2,61\n",
    "a repeated name with a number": "age,age,age.1\n1,50,3\n2,61,4\n",
    "names that differ in case": "age,Age\n1,50\n2,61\n",
    "names that are numbers": "2023,2024\n1,50\n2,61\n",
    "names that are dates": "2023-01-01,b\n1,50\n2,61\n",
    "a name with a quote": 'id,"a ""b"""\n1,50\n2,61\n',
    "a name with a separator": 'id,"a,b"\n1,50\n2,61\n',
    "a name with a newline": 'id,"a\nb"\n1,50\n2,61\n',
    "names in NFC and NFD": "\u00e9,b\n1,50\n2,61\n",
    "a name in NFD": "e\u0301,b\n1,50\n2,61\n",
    "a name of SQL": "select,from\n1,50\n2,61\n",
    "a name with a semicolon": "id,a;b\n1,50\n2,61\n",
    "a long name": f"id,{'x' * 300}\n1,50\n2,61\n",
    "names of columns that libraries invent": "column0,column_1\n1,50\n2,61\n",
    "a column called row": "row,index\n1,50\n2,61\n",
    # Another separator.
    "semicolons": "id;age\n1;50\n2;61\n",
    "tabs": "id\tage\n1\t50\n2\t61\n",
    "vertical bars": "id|age\n1|50\n2|61\n",
    "Excel's instruction": "sep=;\nid;age\n1;50\n2;61\n",
    "Excel's instruction with a comma": "sep=,\nid,age\n1,50\n2,61\n",
    # Encodings.
    "a byte order mark": b"\xef\xbb\xbfid,age\n1,50\n2,61\n",
    "a byte order mark and quotes": b'\xef\xbb\xbf"id","age"\n1,50\n2,61\n',
    "cp1252": "id,name\n1,J\u00fcrgen\n2,Zo\u00eb\n".encode("cp1252"),
    "one byte of latin-1": b"id,name\n1,abc\n2,J\xfcrgen\n",
    "UTF-16": "id,age\n1,50\n2,61\n".encode("utf-16"),
    "a character beyond the basic plane": "id,name\n1,\U0001f600\n2,\U0001d4b3\n",
    "combining characters": "id,name\n1,Zoe\u0308\n2,Zo\u00eb\n",
    # What is no CSV.
    "nothing": b"",
    "only newlines": b"\n\n\n",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "HTML": "<html>\n<body>Sign in</body>\n</html>\n",
    "JSON": '{"id": 1, "age": 50}\n{"id": 2, "age": 61}\n',
    # Larger than one block, with the peculiarity at the end.
    "a late short row": "id,age\n" + _LONG * 50 + "7\n",
    "a late long row": "id,age\n" + _LONG * 50 + "7,8,9\n",
    "a late quote": "id,name\n" + "1,x\n" * 280_000 + '2,5" tube\n',
    "a late empty line": "id,age\n" + _LONG * 50 + "\n7,8\n",
    "a late byte of latin-1": b"id,name\n" + b"1,x\n" * 280_000 + b"2,\xfc\n",
    "a late carriage return": "id,age\n" + _LONG * 50 + "7,8\r9,10\n",
    "a late missing value": "id,age\n" + _LONG * 50 + "7,NA\n",
    "a late text": "id,age\n" + _LONG * 50 + "7,unknown\n",
    "a late float": "id,age\n" + _LONG * 50 + "7,8.5\n",
    "a late underscore": "id,age\n" + _LONG * 50 + "7,1_000\n",
    "a late plus sign": "id,age\n" + _LONG * 50 + "7,+8\n",
    "a late hexadecimal number": "id,age\n" + _LONG * 50 + "7,0x1F\n",
    "a late infinity": "id,age\n" + _LONG * 50 + "7,inf\n",
    "a late number after a blank": "id,age\n" + _LONG * 50 + "7, 8\n",
    "a late f": "sex,age\n" + "f,50\n" * 230_000 + "m,61\n",
    "late digits of a text": "code,age\n" + "A1,50\n" * 200_000 + "007,61\n",
}

_WITH_OPTIONS: dict[str, tuple[str | bytes, dict[str, str]]] = {
    "codes as texts": ("code,age\n007,50\n012,61\n", {"DTYPE": '{"code": "str"}'}),
    "codes as texts, one missing": ('code,age\n"007",50\nNA,61\n', {"DTYPE": '{"code": "str"}'}),
    "integers as floats": ("n,age\n1,50\n2,61\n", {"DTYPE": '{"n": "float"}'}),
    "integers that may be missing": ("n,age\n1,50\n,61\n", {"DTYPE": '{"n": "int"}'}),
    "a text for an integer": ("n,age\n1,50\nx,61\n", {"DTYPE": '{"n": "int"}'}),
    "a type of a column that is not there": ("n,age\n1,50\n2,61\n", {"DTYPE": '{"m": "int"}'}),
    "-9 and -9.0 as missing": ("id,crp\n1,-9\n2,-9.0\n3,5.5\n", {"NA_VALUES": "-9"}),
    "-9 in a column of integers": ("id,crp\n1,-9\n2,4\n3,5\n", {"NA_VALUES": "-9"}),
    "-9.0 as missing": ("id,crp\n1,-9\n2,-9.00\n3,5.5\n", {"NA_VALUES": "-9.0"}),
    "-9 in a column of texts": ("id,crp\n1,-9\n2,-9.0\n3,high\n", {"NA_VALUES": "-9"}),
    "999 and a word as missing": ("id,crp\n1,999\n2,unknown\n3,5\n", {"NA_VALUES": "999,unknown"}),
    "a quoted -9 as missing": ('id,crp\n1,"-9"\n2,"5"\n', {"NA_VALUES": "-9"}),
    "f as missing": ("id,sex\n1,f\n2,m\n", {"NA_VALUES": "f"}),
    "decimal commas": ("id;crp\n1;5,5\n2;6,25\n", {"SEP": ";", "DECIMAL": ","}),
    "decimal commas and points": ("id;crp\n1;5,5\n2;6.25\n", {"SEP": ";", "DECIMAL": ","}),
    "decimal commas and quotes": ('id;crp\n1;"5,5"\n2;"6,25"\n', {"SEP": ";", "DECIMAL": ","}),
    "decimal commas and thousands": ("id;n\n1;1.000,5\n2;2.000\n", {"SEP": ";", "DECIMAL": ",", "THOUSANDS": "."}),
    "thousands with commas": ('id;n\n1;1,000\n2;"2,500"\n', {"SEP": ";", "THOUSANDS": ","}),
    "comments": ("# made in 2024\nid,age\n1,50 # checked\n2,61\n", {"COMMENT": "#"}),
    "a skipped title": ("Export\nid,age\n1,50\n2,61\n", {"SKIPROWS": "1"}),
    "a skipped title with a quote": ('5" export\nid,age\n1,50\n2,61\n', {"SKIPROWS": "1"}),
    "Excel's instruction, skipped": ("sep=;\nid;age\n1;50\n2;61\n", {"SEP": ";", "SKIPROWS": "1"}),
    "Excel's instruction, not skipped": ("sep=;\nid;age\n1;50\n2;61\n", {"SEP": ";"}),
    "tabs as configured": ("id\tage\n1\t50\n2\t61\n", {"SEP": "\\t"}),
    "tabs and a first column without values": ("a\tb\n\t50\n\t61\n", {"SEP": "\\t"}),
    "single quotes as configured": ("a,b\n1,'x,y'\n2,'z'\n", {"QUOTECHAR": "'"}),
    "no quotes": ('a,b\n1,"x"\n2,5" tube\n', {"QUOTECHAR": ""}),
    "escaped quotes": ('a,b\n1,"x\\"y"\n2,z\n', {"ESCAPECHAR": "\\"}),
    "latin-1 as configured": ("id,name\n1,J\u00fcrgen\n2,Zo\u00eb\n".encode("latin-1"), {"ENCODING": "latin-1"}),
    "cp1252 as configured": ("id,name\n1,\u20ac\n2,Zo\u00eb\n".encode("cp1252"), {"ENCODING": "cp1252"}),
    "an undefined byte of cp1252": (b"id,name\n1,\x81\n2,x\n", {"ENCODING": "cp1252"}),
    "UTF-16 as configured": ("id,age\n1,50\n2,61\n".encode("utf-16"), {"ENCODING": "utf-16"}),
    "dates": ("id,day\n1,2024-01-02\n2,2024-12-31\n", {"PARSE_DATES": "day"}),
    "dates with the day first": (
        "id,day\n1,31.01.2024\n2,02.12.2024\n",
        {"PARSE_DATES": "day", "DATE_FORMAT": "%d.%m.%Y"},
    ),
}  # fmt: skip

_COMPRESSED: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def _csv_files() -> Iterator[AwkwardFile]:
    files = [(name, text, {}) for name, text in _TEXTS.items()] + [
        (name, text, options) for name, (text, options) in _WITH_OPTIONS.items()
    ]
    for name, text, options in files:
        content = text.encode() if isinstance(text, str) else text
        yield AwkwardFile(name, "csv", lambda path, content=content: path.write_bytes(content), options)
    for name, compress in _COMPRESSED.items():
        for peculiarity in ("a separator at the end of each row", "an inch", "f and t", "a late quote"):
            content = str(_TEXTS[peculiarity]).encode()
            yield AwkwardFile(
                f"{peculiarity}, {name}",
                "csv",
                lambda path, content=content, compress=compress: path.write_bytes(compress(content)),
                {},
            )


# --- Parquet. ---


def _write_parts(*tables: pa.Table, **others: bytes) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.mkdir()
        for number, table in enumerate(tables):
            pq.write_table(table, path / f"part-{number}.parquet")
        for name, content in others.items():
            path_of_other_file = path / name
            path_of_other_file.parent.mkdir(parents=True, exist_ok=True)
            path_of_other_file.write_bytes(content)

    return write


def _table(**columns: Any) -> pa.Table:
    return pa.table(columns)


def _to_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


_ROWS = _table(id=[1, 2], age=[50, 61])
_TEMPORARY = _to_bytes(_ROWS)


def _write_frame(frame: pd.DataFrame) -> Callable[[Path], object]:
    return frame.to_parquet


_PARQUET: dict[str, Callable[[Path], object]] = {
    "a temporary folder": _write_parts(_ROWS, **{"_temporary/0/part-9.parquet": _TEMPORARY}),
    "a log of Delta": _write_parts(_ROWS, **{"_delta_log/00.checkpoint.parquet": _TEMPORARY}),
    "checkpoints of Jupyter": _write_parts(_ROWS, **{".ipynb_checkpoints/part-0.parquet": _TEMPORARY}),
    "a hidden part": _write_parts(_ROWS, **{"._part-0.parquet": _TEMPORARY}),
    "a part with an underscore": _write_parts(_ROWS, **{"_part-9.parquet": _TEMPORARY}),
    "checksums": _write_parts(_ROWS, **{".part-0.parquet.crc": b"crc\0", "_SUCCESS": b""}),
    "another file": _write_parts(_ROWS, **{"README.txt": b"a note"}),
    "an empty part": _write_parts(_ROWS, **{"part-9.parquet": b""}),
    "a broken part": _write_parts(_ROWS, **{"part-9.parquet": _TEMPORARY[:-20]}),
    "a part in a folder": _write_parts(_ROWS, **{"more/part-9.parquet": _TEMPORARY}),
    "partitions": _write_parts(**{"year=2023/a.parquet": _TEMPORARY, "year=2024/b.parquet": _TEMPORARY}),
    "partitions of texts": _write_parts(**{"site=a/a.parquet": _TEMPORARY, "site=b/b.parquet": _TEMPORARY}),
    "parts with other orders": _write_parts(_ROWS, _table(age=[70], id=[3])),
    "parts with other types": _write_parts(_ROWS, _table(id=[3], age=[70.5])),
    "parts with 32 and 64 bits": _write_parts(_ROWS, _table(id=pa.array([3], "int32"), age=pa.array([70], "int32"))),
    "parts with numbers and texts": _write_parts(_ROWS, _table(id=[3], age=["70"])),
    "parts with another column": _write_parts(_ROWS, _table(id=[3], age=[70], weight=[80.5])),
    "parts without a column": _write_parts(_ROWS, _table(id=[3])),
    "parts with an empty column": _write_parts(_ROWS, _table(id=[3], age=pa.nulls(1))),
    "a part without rows": _write_parts(_ROWS, _ROWS.slice(0, 0)),
    "names that differ in case": lambda path: pq.write_table(_table(age=[1], Age=[2]), path),
    "a repeated name": lambda path: pq.write_table(pa.table([[1], [2]], names=["age", "age"]), path),
    "a named index": _write_frame(pd.DataFrame({"age": [50, 61]}, index=pd.Index([7, 8], name="id"))),
    "an unnamed index": _write_frame(pd.DataFrame({"age": [50, 61]}, index=[7, 8])),
    "several levels of an index": _write_frame(
        pd.DataFrame({"age": [50, 61]}, index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["site", "id"]))
    ),
    "decimals": lambda path: pq.write_table(_table(crp=pa.array([Decimal("1.25"), Decimal(2)])), path),
    "dates": lambda path: pq.write_table(_table(day=pa.array([1, 2], pa.date32())), path),
    "categories": _write_frame(pd.DataFrame({"sex": pd.Categorical(["f", "m", "f"])})),
    "missing integers": lambda path: pq.write_table(_table(age=pa.array([1, None], pa.int64())), path),
    "no rows": lambda path: pq.write_table(_ROWS.slice(0, 0), path),
    "nothing": lambda path: path.write_bytes(b""),
    "a text": lambda path: path.write_bytes(_PLAIN.encode()),
}


# --- Excel. ---


def _write_sheet(*rows: list[object]) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        import openpyxl

        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        book.save(path)

    return write


_EXCEL: dict[str, Callable[[Path], object]] = {
    "a sheet": _write_sheet(["id", "age"], [1, 50], [2, 61]),
    "names that are numbers": _write_sheet(["id", 2023], [1, 50], [2, 61]),
    "a repeated name": _write_sheet(["age", "age"], [1, 50], [2, 61]),
    "an empty name": _write_sheet(["id", None], [1, 50], [2, 61]),
    "an empty row": _write_sheet(["id", "age"], [1, 50], [None, None], [2, 61]),
    "booleans": _write_sheet(["id", "smokes"], [1, True], [2, False]),
    "numbers and texts": _write_sheet(["id", "n"], [1, 5], [2, "x"]),
    "missing values": _write_sheet(["id", "n"], [1, "NA"], [2, None], [3, 5]),
    "no rows": _write_sheet(["id", "age"]),
    "nothing": _write_sheet(),
}

FILES = [
    *_csv_files(),
    *(AwkwardFile(name, "parquet", write, {}) for name, write in _PARQUET.items()),
    *(AwkwardFile(name, "excel", write, {}) for name, write in _EXCEL.items()),
]
"""All awkward files."""
