"""Format the figures of ``data.py`` as tables, and write the page ``docs/performance.md``.

This module measures nothing. Its only numbers are the limits of the targets; all others come from the stored figures.
The text of the page is the template ``performance.md`` in this folder.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import results
from dispatch import Figures, Spread, Target

FORMS = {
    "pandas": "`pandas.DataFrame`",
    "polars": "`polars.DataFrame`",
    "lazy": "`polars.LazyFrame`",
    "arrow": "`pyarrow.Table`",
    "batches": "`pyarrow.RecordBatchReader`",
    "duckdb": "`duckdb.DuckDBPyRelation`",
    "ibis": "`ibis.Table`",
}
"""Form of the data -> annotation that the author writes."""

BARE = {
    "csv": tuple(FORMS),
    "parquet": tuple(FORMS),
    "postgresql": ("pandas", "polars", "arrow", "batches", "ibis", "psycopg"),
}
"""Source -> engines measured without algotools. Each engine except psycopg belongs to the form of the same name."""

ENGINES = {
    "pandas": "pandas",
    "polars": "Polars, read",
    "lazy": "Polars, scan",
    "arrow": "Arrow, table",
    "batches": "Arrow, stream",
    "duckdb": "DuckDB",
    "ibis": "Ibis",
    "psycopg": "`SELECT sum(…)`, psycopg",
}
"""Engine -> name in the tables."""

RESULTS = {"peer": "vantage6 4.15, lists", "json": "bare JSON, without a network"}
"""Contestants that send JSON lists -> name in the tables."""

SOURCES = {"csv": "CSV", "parquet": "Parquet", "postgresql": "PostgreSQL"}
USUAL = 1_000_000
LARGE = 10_000_000
FLAT = 1.25
"""Memory counts as flat if ten times the rows need at most a quarter more."""
AS_WIDE = 1.25
"""Time counts as independent of the width if it grows by at most a quarter, which is the spread of the times."""

INSIDE = ("ibis",)
"""Forms that compute inside a database."""
OF_WIDTH = ("pandas", "lazy", "arrow", "ibis")
"""Forms that are measured with more and more columns."""
INDEXED = {"width": "", "indexed": ", indexed"}
"""Part of the figures -> suffix in the tables: without an index on the column, and with an index."""
OUT_OF_CORE = ("lazy", "batches", "duckdb", "ibis")
"""Forms that do not need the whole file in memory."""
WITHOUT_PANDAS = ("polars", "lazy", "arrow", "batches", "duckdb", "ibis", "csv")

TO_VANTAGE6 = "relative to vantage6"
TO_ENGINE = "relative to the bare engine"


def key(part: str, rows: int, contestant: str, quantity: str | None = None) -> str:
    """Return the name of a figure."""
    return ", ".join((part, str(rows), contestant, *([quantity] if quantity else [])))


# --- The targets. ---


def targets(figures: Figures) -> list[Target]:
    """Compare the measured parts with the limits that were set before the first measurement.

    A form without a result has missed its target: its measured value is infinity.
    """
    measured_results = _figures_of_results(figures)
    arrays = results.make_targets(results.compute_ratios(measured_results)) if measured_results else []
    arrays = [replace(target, promise=f"Results, {target.promise}") for target in arrays]
    return [
        *_csv_targets(figures),
        *_parquet_targets(figures),
        *_postgresql_targets(figures),
        *_start_targets(figures),
        *arrays,
    ]


def ratio(figures: Figures, numerator: str, denominator: str) -> float | None:
    """Divide two medians: None if the denominator was not measured, infinity if the numerator is missing."""
    if denominator not in figures:
        return None
    return figures[numerator].median / figures[denominator].median if numerator in figures else math.inf


def _growth(figures: Figures, reference: str, larger: str, smaller: str) -> float | None:
    """Divide two figures of one contestant: None if the part was not measured, which a missing ``reference`` shows."""
    if reference not in figures:
        return None
    return figures[larger].median / figures[smaller].median if {larger, smaller} <= figures.keys() else math.inf


def _targets(rows: Iterable[tuple[str, float | None, float]]) -> list[Target]:
    return [Target(promise, measured, limit) for promise, measured, limit in rows if measured is not None]


def _ratio_of(figures: Figures, part: str, rows: int, ours: str, theirs: str, quantity: str = "time") -> float | None:
    return ratio(figures, key(part, rows, ours, quantity), key(part, rows, theirs, quantity))


def _csv_targets(figures: Figures) -> list[Target]:
    def relative(form: str, other: str, quantity: str = "time") -> float | None:
        return _ratio_of(figures, "csv", USUAL, f"ours {form}", other, quantity)

    quick = ("polars", "lazy", "arrow", "batches", "duckdb")
    return _targets([
        (f"CSV, `pandas.DataFrame`: time, {TO_VANTAGE6} 4.15", relative("pandas", "vantage6"), 0.40),
        (f"CSV, `pandas.DataFrame`: memory, {TO_VANTAGE6} 4.15", relative("pandas", "vantage6", "memory"), 0.35),
        *((f"CSV, {FORMS[form]}: time, {TO_VANTAGE6} 4.15", relative(form, "vantage6"), 0.30) for form in quick),
        *((f"CSV, {FORMS[form]}: time, {TO_ENGINE}", relative(form, f"bare {form}"), 1.3) for form in quick),
        *(
            (
                f"CSV, {FORMS[form]}: memory with {LARGE:,} rows, relative to {USUAL:,} rows",
                _growth(
                    figures,
                    key("csv", LARGE, "vantage6", "time"),
                    *(key("csv", rows, f"ours {form}", "memory") for rows in (LARGE, USUAL)),
                ),
                FLAT,
            )
            for form in OUT_OF_CORE
        ),
    ])  # fmt: skip


def _parquet_targets(figures: Figures) -> list[Target]:
    return _targets(
        (
            f"Parquet, {FORMS[form]}: time, {TO_VANTAGE6} 4.15",
            _ratio_of(figures, "parquet", USUAL, f"ours {form}", "vantage6"),
            0.25,
        )
        for form in FORMS
    )


def _postgresql_targets(figures: Figures) -> list[Target]:
    def sent_rows(form: str) -> float | None:
        if key("postgresql", USUAL, "vantage6", "sent") not in figures:
            return None
        spread = figures.get(key("postgresql", USUAL, f"ours {form}", "sent"))
        return spread.median if spread else math.inf

    return _targets([
        *((f"PostgreSQL, {FORMS[form]}: rows sent by the server, of {USUAL:,}", sent_rows(form), 10)
          for form in INSIDE),
        *(
            (
                f"PostgreSQL, {FORMS[form]}{suffix}: time with 80 columns, relative to 5 columns",
                _growth(
                    figures,
                    key(f"{part} 5", USUAL, "bare psycopg", "time"),
                    *(key(f"{part} {width}", USUAL, f"ours {form}", "time") for width in (80, 5)),
                ),
                AS_WIDE,
            )
            for form in INSIDE
            for part, suffix in INDEXED.items()
        ),
    ])  # fmt: skip


def _start_targets(figures: Figures) -> list[Target]:
    def relative(form: str) -> float | None:
        return _ratio_of(figures, "start", 100, f"ours {form}", "vantage6")

    return _targets([
        (f"100 rows, `pandas.DataFrame`: time, {TO_VANTAGE6} 4.15", relative("pandas"), 0.85),
        *((f"100 rows, {_form_name(form)}: time, {TO_VANTAGE6} 4.15", relative(form), 0.25) for form in WITHOUT_PANDAS),
    ])  # fmt: skip


def _figures_of_results(figures: Figures) -> Figures:
    """Select the figures that ``results.py`` measured, under the names that ``results.py`` uses."""
    return {name.removeprefix("results, "): spread for name, spread in figures.items() if name.startswith("results, ")}


def _form_name(form: str) -> str:
    return FORMS.get(form, "`Database`, and Python's `csv`")


# --- Tables. ---


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table. The columns are aligned for terminals: first the text, then the numbers."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]

    def format_line(cells: Sequence[str]) -> str:
        first, *numbers = cells
        return "| " + " | ".join([first.ljust(widths[0]), *map(str.rjust, numbers, widths[1:])]) + " |"

    rule = "| " + " | ".join(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]) + " |"
    return "\n".join([format_line(lines[0]), rule, *map(format_line, lines[1:])])


def seconds(spread: Spread | None, *, spreads: bool = True) -> str:
    """Format the median in seconds, by default with the minimum and the maximum."""
    if spread is None:
        return "-"
    median, least, most = (value / 1e3 for value in (spread.median, min(spread.samples), max(spread.samples)))
    return f"{median:.2f} ({least:.2f} to {most:.2f})" if spreads else f"{median:.2f}"


def whole(spread: Spread | None) -> str:
    """Format the median as a whole number."""
    return "-" if spread is None else f"{spread.median:,.0f}"


def relative(spread: Spread | None, other: Spread | None) -> str:
    """Format the ratio of two medians."""
    return f"{spread.median / other.median:.2f}" if spread and other else "-"


def contestants(part: str) -> dict[str, str]:
    """Return contestant -> name in the tables, in the order of the tables."""
    theirs = {"vantage6": "vantage6 4.15"}
    if part == "postgresql":
        theirs = {"vantage6": "vantage6 4.15, `SELECT *`", "vantage6 one column": "vantage6 4.15, `SELECT age`"}
    return {
        **theirs,
        **{f"ours {form}": text for form, text in FORMS.items()},
        **{f"bare {engine}": f"bare {ENGINES[engine]}" for engine in BARE[part]},
    }


class Tables:
    """The tables of a set of figures. The table of a part that was not measured is an empty text."""

    def __init__(self, figures: Figures) -> None:
        self.figures = figures

    def get(self, part: str, rows: int, contestant: str, quantity: str = "time") -> Spread | None:
        """Return a figure, or None if it was not measured."""
        return self.figures.get(key(part, rows, contestant, quantity))

    def sizes(self, part: str) -> list[int]:
        """Return the numbers of rows that were measured."""
        return sorted({int(name.split(", ")[1]) for name in self.figures if name.startswith(f"{part}, ")})

    def source(self, part: str, rows: int) -> str:
        """Format all contestants of one source at one size."""
        if rows not in self.sizes(part):
            return ""
        peer = next((name for name in ("vantage6", "vantage6 one column") if self.get(part, rows, name)), "vantage6")
        of_server = part == "postgresql"
        lines = []
        for contestant, text in contestants(part).items():
            if (time := self.get(part, rows, contestant)) is None:
                if contestant.startswith("ours"):
                    lines.append([text, "no result", *["-"] * (4 + of_server)])
                continue
            memory = self.get(part, rows, contestant, "memory")
            form = contestant.removeprefix("ours ")
            engine = self.get(part, rows, f"bare {form}") if contestant.startswith("ours") else None
            lines.append([
                text,
                seconds(time),
                relative(time, self.get(part, rows, peer)),
                relative(time, engine),
                whole(memory),
                relative(memory, self.get(part, rows, peer, "memory")),
                *([whole(self.get(part, rows, contestant, "sent"))] if of_server else []),
            ])  # fmt: skip
        head = [f"{SOURCES[part]}, {rows:,} rows", "time, s", TO_VANTAGE6, TO_ENGINE, "memory, MB", TO_VANTAGE6]
        return table([*head, *(["rows sent"] if of_server else [])], lines)

    def growth(self, part: str) -> str:
        """Format all contestants of one source at all sizes."""
        sizes = self.sizes(part)
        if len(sizes) < 2:
            return ""
        lines = [
            [
                text,
                *(seconds(self.get(part, rows, contestant), spreads=False) for rows in sizes),
                *(whole(self.get(part, rows, contestant, "memory")) for rows in sizes),
            ]
            for contestant, text in contestants(part).items()
            if any(self.get(part, rows, contestant) for rows in sizes)
        ]
        times = [f"{rows:,}: s" for rows in sizes]
        return table([f"{SOURCES[part]}, rows", *times, *(f"{rows:,}: MB" for rows in sizes)], lines)

    def width(self) -> str:
        """Format the times for tables with more and more columns."""
        widths = sorted({
            int(name.split(", ")[0].removeprefix("width ")) for name in self.figures if name.startswith("width ")
        })  # fmt: skip
        if not widths:
            return ""
        few, many = widths[0], widths[-1]
        names = {**{f"ours {form}": text for form, text in FORMS.items()}, "bare psycopg": f"bare {ENGINES['psycopg']}"}
        return table(
            [f"{USUAL:,} rows", *(f"{width} columns, s" for width in widths), f"{many} relative to {few}"],
            [
                [
                    f"{text}{suffix}",
                    *(seconds(self.get(f"{part} {width}", USUAL, contestant)) for width in widths),
                    relative(
                        self.get(f"{part} {many}", USUAL, contestant), self.get(f"{part} {few}", USUAL, contestant)
                    ),
                ]
                for part, suffix in INDEXED.items()
                for contestant, text in names.items()
                if self.get(f"{part} {few}", USUAL, contestant)
            ],
        )

    def sessions(self) -> str:
        """Format the two steps of v5's sessions: extraction and computation."""
        lines = []
        for source, name in {**SOURCES, "start": "CSV"}.items():
            part = f"sessions {source}"
            for rows in self.sizes(part):
                at = f"{name}, {rows:,} rows: "
                ours, theirs = (self.get(part, rows, f"{side} extraction") for side in ("ours", "vantage6"))
                memory = (self.get(part, rows, f"{side} extraction", "memory") for side in ("ours", "vantage6"))
                lines.append([
                    f"{at}extract", seconds(ours), seconds(theirs), relative(ours, theirs), relative(*memory)
                ])  # fmt: skip
                for form, text in FORMS.items():
                    if (time := self.get(part, rows, f"ours {form}")) is not None:
                        theirs = self.get(part, rows, "vantage6")
                        memory = (self.get(part, rows, side, "memory") for side in (f"ours {form}", "vantage6"))
                        ratios = [relative(time, theirs), relative(*memory)]
                        lines.append([f"{at}compute, {text}", seconds(time), seconds(theirs), *ratios])
        head = ["v5", "algotools, s", "vantage6 5.0, s", f"time, {TO_VANTAGE6}", f"memory, {TO_VANTAGE6}"]
        return table(head, lines) if lines else ""

    def start(self) -> str:
        """Format the cost of a start: a file with a hundred rows."""
        if not self.sizes("start"):
            return ""
        names = {"vantage6": "vantage6 4.15", **{f"ours {form}": _form_name(form) for form in (*FORMS, "csv")}}
        peer = self.get("start", 100, "vantage6")
        lines = []
        for contestant, text in names.items():
            time, memory = (self.get("start", 100, contestant, quantity) for quantity in ("time", "memory"))
            engine = self.get("start", 100, f"bare {contestant.removeprefix('ours ')}")
            lines.append([text, seconds(time), relative(time, peer), relative(time, engine), whole(memory)])
        return table(["CSV, 100 rows", "time, s", TO_VANTAGE6, TO_ENGINE, "memory, MB"], lines)

    def results(self) -> str:
        """Format the transfer of arrays from an rpc to its master."""
        figures = _figures_of_results(self.figures)
        if not figures:
            return ""
        shares = results.compute_ratios(figures)
        lines = [
            [
                RESULTS.get(name) or f"algotools: {name}",
                seconds(time),
                _share(shares.get(f"time, {name}, by peer")),
                whole(figures[f"bytes, {name}"]),
                _share(shares.get(f"bytes, {name}, by peer")),
            ]
            for name in (*RESULTS, *results.OURS)
            if (time := figures.get(f"time, {name}"))
        ]
        return table([f"{results.SIZE:,} float64", "time, s", TO_VANTAGE6, "MB", TO_VANTAGE6], lines)

    def images(self) -> str:
        """Format the disk space that each engine adds to an image."""
        sizes = {name.removeprefix("images, "): x for name, x in self.figures.items() if name.startswith("images, ")}
        if not sizes:
            return ""
        base, peer = sizes.pop("base"), sizes.pop("vantage6")
        lines = [
            ["libraries of every algotools image (pandas, Arrow, SQLAlchemy, …)", whole(base)],
            *([f"additionally for {name}", f"+ {whole(size)}"] for name, size in sizes.items()),
            ["vantage6 4.15's tools, for comparison", whole(peer)],
        ]
        return table(["on the disk", "MB"], lines)

    def targets(self) -> str:
        """Format the targets: the limit, the measured value, and whether the target is met."""
        compared = targets(self.figures)
        lines = [[target.promise, _number(target.measured), f"{target.limit:g}", _state(target)] for target in compared]
        return table(["target", "measured", "at most", ""], lines) if lines else ""


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _number(value: float) -> str:
    return "no result" if math.isinf(value) else f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def _state(target: Target) -> str:
    return "met" if target.met else "**missed**"


def load_figures(content: Mapping[str, Any]) -> Figures:
    """Read the stored figures."""
    return {name: Spread(stored["unit"], stored["samples"]) for name, stored in content["figures"].items()}


def tables(content: Mapping[str, Any]) -> str:
    """Format all measured parts, without the text of the page."""
    formatter = Tables(load_figures(content))
    parts = [
        *(formatter.source(part, rows) for part in SOURCES for rows in formatter.sizes(part)),
        *(formatter.growth(part) for part in SOURCES),
        formatter.width(),
        formatter.sessions(),
        formatter.start(),
        formatter.results(),
        formatter.images(),
        formatter.targets(),
        *(f"NO RESULT: {name}: {reason}" for name, reason in content["failed"].items()),
        machine(content),
    ]
    return "\n\n".join(part for part in parts if part)


# --- The page. ---


def machine(content: Mapping[str, Any]) -> str:
    """Describe the machine and the versions of the measurement, as the items of a list."""
    about = content["about"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines = [
        f"{about['system']}, {about['processors']} processors, {about['memory']} of memory; Python {about['python']}.",
        f"algotools and the bare engines: {versions}.",
        f"vantage6: vantage6-algorithm-tools {about['peer']} with the same pandas.",
    ]
    if about["5"]:
        five = about["5"]
        lines.append(
            f"v5: vantage6-algorithm-tools {five['peer']} and algotools, both on Python {five['python']} with pandas "
            f"{five['pandas']}."
        )
    if about["postgresql"]:
        lines.append(f"PostgreSQL {about['postgresql']}, on the same machine.")
    load = " and ".join(str(value) for value in about["load before and after"])
    lines.append(f"The load of the machine before and after the measurement was {load}.")
    return "\n".join(f"* {line}" for line in lines)


def page(content: Mapping[str, Any]) -> str:
    """Return the whole page. The figures must contain all parts."""
    formatter = Tables(load_figures(content))
    compared = targets(formatter.figures)
    missed = sum(not target.met for target in compared)
    values = {
        "summary": summary(formatter),
        "targets": formatter.targets(),
        "met": len(compared) - missed,
        "all": len(compared),
        "machine": machine(content),
        **{name: formatter.source(name, USUAL) for name in SOURCES},
        **{f"{name}_growth": formatter.growth(name) for name in SOURCES},
        **{name: getattr(formatter, name)() for name in ("width", "sessions", "start", "images")},
        "results": formatter.results(),
        "large": f"{LARGE:,}",
        "failed": "".join(f"* No result from {name}.\n" for name in content["failed"]),
    }
    return (Path(__file__).parent / "performance.md").read_text(encoding="utf-8").format(**values).rstrip() + "\n"


def summary(formatter: Tables) -> str:
    """Return the first paragraph and table: the cost of one average."""
    peer, memory = (formatter.get("csv", USUAL, "vantage6", quantity) for quantity in ("time", "memory"))
    lines = [
        [
            FORMS[form],
            relative(formatter.get("csv", USUAL, f"ours {form}"), peer),
            relative(formatter.get("csv", USUAL, f"ours {form}", "memory"), memory),
        ]
        for form in ("pandas", "lazy", "batches")
    ]
    return (
        f"To average one column of a CSV file with {USUAL:,} rows and twenty columns, vantage6 4.15 takes "
        f"{seconds(peer, spreads=False)} s and\n{whole(memory)} MB, because it reads all twenty columns. A function of "
        "algotools names the column that it needs, and only that\ncolumn is read:\n\n"
        f"{table(['data parameter', f'time, {TO_VANTAGE6}', f'memory, {TO_VANTAGE6}'], lines)}"
    )
