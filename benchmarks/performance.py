"""What ``data.py`` has measured, as a person reads it: its tables, and the page ``docs/performance.md`` around them.

Nothing is measured here, and no number stands here but the targets: the rest comes from the stored figures. The page's
words are in ``performance.md`` beside this.
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
"""How a function may be given its data -> what its author writes."""

BARE = {
    "csv": tuple(FORMS),
    "parquet": tuple(FORMS),
    "postgresql": ("pandas", "polars", "arrow", "batches", "ibis", "psycopg"),
}
"""The engines by themselves, by source; each but psycopg is the one that the form of its name has."""

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

RESULTS = {"peer": "vantage6 4.15, lists", "json": "bare JSON, with nothing between"}
"""Whose lists ours are compared with."""

SOURCES = {"csv": "CSV", "parquet": "Parquet", "postgresql": "PostgreSQL"}
USUAL = 1_000_000
LARGE = 10_000_000
FLAT = 1.25
"""What counts as flat: ten times the rows, and no more than a quarter more memory."""
AS_WIDE = 1.25
"""What counts as not growing with the width of rows: the spread of times is of this size."""

INSIDE = ("ibis",)
"""Forms that compute inside a database."""
OF_WIDTH = ("pandas", "lazy", "arrow", "ibis")
"""Forms that are asked of wider and wider rows."""
INDEXED = {"width": "", "indexed": ", indexed"}
"""Without an index on the asked column, and with one."""
OUT_OF_CORE = ("lazy", "batches", "duckdb", "ibis")
"""Forms that need not have a file in memory."""
WITHOUT_PANDAS = ("polars", "lazy", "arrow", "batches", "duckdb", "ibis", "csv")


def key(part: str, rows: int, who: str, what: str | None = None) -> str:
    """The name of a figure."""
    return ", ".join((part, str(rows), who, *([what] if what else [])))


# --- The targets. ---


def targets(figures: Figures) -> list[Target]:
    """What we promised before we began, and what came out: of the parts that were measured.

    A form that gave no answer has missed its target: it has measured infinity.
    """
    arrays = results.targets(results.ratios(found)) if (found := _of_results(figures)) else []
    arrays = [replace(target, promise=f"Results, {target.promise}") for target in arrays]
    return [*_of_csv(figures), *_of_parquet(figures), *_of_postgresql(figures), *_of_starts(figures), *arrays]


def ratio(figures: Figures, one: str, other: str) -> float | None:
    """Medians, one by the other; None if there is nothing to compare with, infinity if there is nothing to compare."""
    if other not in figures:
        return None
    return figures[one].median / figures[other].median if one in figures else math.inf


def _grown(figures: Figures, there: str, more: str, less: str) -> float | None:
    """One figure by another of the same contestant: None if that was not measured, of which ``there`` is a sign."""
    if there not in figures:
        return None
    return figures[more].median / figures[less].median if {more, less} <= figures.keys() else math.inf


def _targets(found: Iterable[tuple[str, float | None, float]]) -> list[Target]:
    return [Target(promise, measured, limit) for promise, measured, limit in found if measured is not None]


def _by(figures: Figures, part: str, rows: int, ours: str, theirs: str, what: str = "time") -> float | None:
    return ratio(figures, key(part, rows, ours, what), key(part, rows, theirs, what))


def _of_csv(figures: Figures) -> list[Target]:
    def by(form: str, other: str, what: str = "time") -> float | None:
        return _by(figures, "csv", USUAL, f"ours {form}", other, what)

    quick = ("polars", "lazy", "arrow", "batches", "duckdb")
    return _targets([
        ("CSV, `pandas.DataFrame`: time, by vantage6 4.15's", by("pandas", "vantage6"), 0.40),
        ("CSV, `pandas.DataFrame`: memory, by vantage6 4.15's", by("pandas", "vantage6", "memory"), 0.35),
        *((f"CSV, {FORMS[form]}: time, by vantage6 4.15's", by(form, "vantage6"), 0.30) for form in quick),
        *((f"CSV, {FORMS[form]}: time, by the bare engine's", by(form, f"bare {form}"), 1.3) for form in quick),
        *(
            (
                f"CSV, {FORMS[form]}: memory of {LARGE:,} rows, by that of {USUAL:,}",
                _grown(
                    figures,
                    key("csv", LARGE, "vantage6", "time"),
                    *(key("csv", rows, f"ours {form}", "memory") for rows in (LARGE, USUAL)),
                ),
                FLAT,
            )
            for form in OUT_OF_CORE
        ),
    ])  # fmt: skip


def _of_parquet(figures: Figures) -> list[Target]:
    return _targets(
        (
            f"Parquet, {FORMS[form]}: time, by vantage6 4.15's",
            _by(figures, "parquet", USUAL, f"ours {form}", "vantage6"),
            0.25,
        )
        for form in FORMS
    )


def _of_postgresql(figures: Figures) -> list[Target]:
    def sent(form: str) -> float | None:
        if key("postgresql", USUAL, "vantage6", "sent") not in figures:
            return None
        found = figures.get(key("postgresql", USUAL, f"ours {form}", "sent"))
        return found.median if found else math.inf

    return _targets([
        *((f"PostgreSQL, {FORMS[form]}: rows that leave the server, of {USUAL:,}", sent(form), 10) for form in INSIDE),
        *(
            (
                f"PostgreSQL, {FORMS[form]}{more}: time with 80 columns in a row, by that with 5",
                _grown(
                    figures,
                    key(f"{part} 5", USUAL, "bare psycopg", "time"),
                    *(key(f"{part} {width}", USUAL, f"ours {form}", "time") for width in (80, 5)),
                ),
                AS_WIDE,
            )
            for form in INSIDE
            for part, more in INDEXED.items()
        ),
    ])  # fmt: skip


def _of_starts(figures: Figures) -> list[Target]:
    def by(form: str) -> float | None:
        return _by(figures, "start", 100, f"ours {form}", "vantage6")

    return _targets([
        ("100 rows, `pandas.DataFrame`: time, by vantage6 4.15's", by("pandas"), 0.85),
        *((f"100 rows, {_form(form)}: time, by vantage6 4.15's", by(form), 0.25) for form in WITHOUT_PANDAS),
    ])  # fmt: skip


def _of_results(figures: Figures) -> Figures:
    """Those that ``results.py`` has measured."""
    return {name.removeprefix("results, "): spread for name, spread in figures.items() if name.startswith("results, ")}


def _form(form: str) -> str:
    return FORMS.get(form, "`Database`, and Python's `csv`")


# --- Tables. ---


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, aligned, so that a terminal shows it as well; the first column is text, the rest numbers."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *numbers = cells
        return "| " + " | ".join([first.ljust(widths[0]), *map(str.rjust, numbers, widths[1:])]) + " |"

    rule = "| " + " | ".join(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]) + " |"
    return "\n".join([line(lines[0]), rule, *map(line, lines[1:])])


def seconds(spread: Spread | None, *, spreads: bool = True) -> str:
    """The median, and the least and the most of it."""
    if spread is None:
        return "-"
    median, least, most = (value / 1e3 for value in (spread.median, min(spread.samples), max(spread.samples)))
    return f"{median:.2f} ({least:.2f} to {most:.2f})" if spreads else f"{median:.2f}"


def whole(spread: Spread | None) -> str:
    """The median, without its decimals."""
    return "-" if spread is None else f"{spread.median:,.0f}"


def by(spread: Spread | None, other: Spread | None) -> str:
    """How many times the other it is."""
    return f"{spread.median / other.median:.2f}" if spread and other else "-"


def contestants(part: str) -> dict[str, str]:
    """Who takes part, in the order of the tables -> how a table calls it."""
    theirs = {"vantage6": "vantage6 4.15"}
    if part == "postgresql":
        theirs = {"vantage6": "vantage6 4.15, `SELECT *`", "vantage6 one column": "vantage6 4.15, `SELECT age`"}
    return {
        **theirs,
        **{f"ours {form}": text for form, text in FORMS.items()},
        **{f"bare {engine}": f"bare {ENGINES[engine]}" for engine in BARE[part]},
    }


class Tables:
    """The tables of some figures; each is an empty text if its part was not measured."""

    def __init__(self, figures: Figures) -> None:
        self.figures = figures

    def get(self, part: str, rows: int, who: str, what: str = "time") -> Spread | None:
        """A figure, if it is there."""
        return self.figures.get(key(part, rows, who, what))

    def sizes(self, part: str) -> list[int]:
        """The numbers of rows that were measured."""
        return sorted({int(name.split(", ")[1]) for name in self.figures if name.startswith(f"{part}, ")})

    def source(self, part: str, rows: int) -> str:
        """One source at one size, everybody."""
        if rows not in self.sizes(part):
            return ""
        peer = next((x for x in ("vantage6", "vantage6 one column") if self.get(part, rows, x)), "vantage6")
        of_server = part == "postgresql"
        lines = []
        for who, text in contestants(part).items():
            if (time := self.get(part, rows, who)) is None:
                if who.startswith("ours"):
                    lines.append([text, "no answer", *["-"] * (4 + of_server)])
                continue
            memory = self.get(part, rows, who, "memory")
            engine = self.get(part, rows, f"bare {who.removeprefix('ours ')}") if who.startswith("ours") else None
            lines.append([
                text,
                seconds(time),
                by(time, self.get(part, rows, peer)),
                by(time, engine),
                whole(memory),
                by(memory, self.get(part, rows, peer, "memory")),
                *([whole(self.get(part, rows, who, "sent"))] if of_server else []),
            ])  # fmt: skip
        head = [f"{SOURCES[part]}, {rows:,} rows", "time, s", "by vantage6's", "by the bare engine's", "memory, MB",
                "by vantage6's", *(["rows sent"] if of_server else [])]  # fmt: skip
        return table(head, lines)

    def growth(self, part: str) -> str:
        """One source at all sizes."""
        sizes = self.sizes(part)
        if len(sizes) < 2:
            return ""
        lines = [
            [
                text,
                *(seconds(self.get(part, rows, who), spreads=False) for rows in sizes),
                *(whole(self.get(part, rows, who, "memory")) for rows in sizes),
            ]
            for who, text in contestants(part).items()
            if any(self.get(part, rows, who) for rows in sizes)
        ]
        times = [f"{rows:,}: s" for rows in sizes]
        return table([SOURCES[part], *times, *(f"{rows:,}: MB" for rows in sizes)], lines)

    def width(self) -> str:
        """Tables of more and more columns."""
        widths = sorted({
            int(name.split(", ")[0].removeprefix("width ")) for name in self.figures if name.startswith("width ")
        })  # fmt: skip
        if not widths:
            return ""
        few, many = widths[0], widths[-1]
        names = {**{f"ours {form}": text for form, text in FORMS.items()}, "bare psycopg": f"bare {ENGINES['psycopg']}"}
        return table(
            [f"{USUAL:,} rows", *(f"{width} columns, s" for width in widths), f"{many} by {few}"],
            [
                [
                    f"{text}{more}",
                    *(seconds(self.get(f"{part} {width}", USUAL, who)) for width in widths),
                    by(self.get(f"{part} {many}", USUAL, who), self.get(f"{part} {few}", USUAL, who)),
                ]
                for part, more in INDEXED.items()
                for who, text in names.items()
                if self.get(f"{part} {few}", USUAL, who)
            ],
        )

    def sessions(self) -> str:
        """v5's two steps."""
        lines = []
        for source, name in {**SOURCES, "start": "CSV"}.items():
            part = f"sessions {source}"
            for rows in self.sizes(part):
                at = f"{name}, {rows:,} rows: "
                extraction, theirs = (self.get(part, rows, f"{x} extraction") for x in ("ours", "vantage6"))
                memory = (self.get(part, rows, f"{x} extraction", "memory") for x in ("ours", "vantage6"))
                lines.append([
                    f"{at}extract", seconds(extraction), seconds(theirs), by(extraction, theirs), by(*memory)
                ])  # fmt: skip
                for form, text in FORMS.items():
                    if (time := self.get(part, rows, f"ours {form}")) is not None:
                        theirs = self.get(part, rows, "vantage6")
                        memory = (self.get(part, rows, x, "memory") for x in (f"ours {form}", "vantage6"))
                        cells = [f"{at}compute, {text}", seconds(time), seconds(theirs), by(time, theirs), by(*memory)]
                        lines.append(cells)
        head = ["v5", "algotools, s", "vantage6 5.0, s", "time by vantage6's", "memory by vantage6's"]
        return table(head, lines) if lines else ""

    def start(self) -> str:
        """A hundred rows."""
        if not self.sizes("start"):
            return ""
        who = {"vantage6": "vantage6 4.15", **{f"ours {form}": _form(form) for form in (*FORMS, "csv")}}
        peer = self.get("start", 100, "vantage6")
        lines = []
        for name, text in who.items():
            time, memory = (self.get("start", 100, name, what) for what in ("time", "memory"))
            engine = self.get("start", 100, f"bare {name.removeprefix('ours ')}")
            lines.append([text, seconds(time), by(time, peer), by(time, engine), whole(memory)])
        return table(["CSV, 100 rows", "time, s", "by vantage6's", "by the bare engine's", "memory, MB"], lines)

    def results(self) -> str:
        """Arrays between rpc and master."""
        found = _of_results(self.figures)
        if not found:
            return ""
        shares = results.ratios(found)
        lines = [
            [
                RESULTS.get(name) or f"ours: {name}",
                f"{time.median:.2f} ({min(time.samples):.2f} to {max(time.samples):.2f})",
                _share(shares.get(f"time, {name}, by peer")),
                whole(found[f"bytes, {name}"]),
                _share(shares.get(f"bytes, {name}, by peer")),
            ]
            for name in (*RESULTS, *results.OURS)
            if (time := found.get(f"time, {name}"))
        ]
        return table([f"{results.SIZE:,} float64", "time, s", "by vantage6's", "MB", "by vantage6's"], lines)

    def images(self) -> str:
        """What is added to an image."""
        found = {name.removeprefix("images, "): x for name, x in self.figures.items() if name.startswith("images, ")}
        if not found:
            return ""
        base, peer = found.pop("base"), found.pop("vantage6")
        lines = [
            ["libraries of every image of ours (pandas, Arrow, SQLAlchemy, …)", whole(base)],
            *([f"and for {name}", f"+ {whole(size)}"] for name, size in found.items()),
            ["vantage6 4.15's tools, to compare", whole(peer)],
        ]
        return table(["on the disk", "MB"], lines)

    def targets(self) -> str:
        """What was promised, met or missed."""
        found = targets(self.figures)
        lines = [[target.promise, _number(target.measured), f"{target.limit:g}", _state(target)] for target in found]
        return table(["target", "measured", "at most", ""], lines) if lines else ""


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _number(value: float) -> str:
    return "no answer" if math.isinf(value) else f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def _state(target: Target) -> str:
    return "met" if target.met else "**missed**"


def figures_of(content: Mapping[str, Any]) -> Figures:
    """The figures that were stored."""
    return {name: Spread(stored["unit"], stored["samples"]) for name, stored in content["figures"].items()}


def tables(content: Mapping[str, Any]) -> str:
    """All that was measured, without the page's words."""
    shown = Tables(figures_of(content))
    parts = [
        *(shown.source(part, rows) for part in SOURCES for rows in shown.sizes(part)),
        *(shown.growth(part) for part in SOURCES),
        shown.width(),
        shown.sessions(),
        shown.start(),
        shown.results(),
        shown.images(),
        shown.targets(),
        *(f"NO ANSWER: {name}: {told}" for name, told in content["failed"].items()),
        machine(content),
    ]
    return "\n\n".join(part for part in parts if part)


# --- The page. ---


def machine(content: Mapping[str, Any]) -> str:
    """Where the figures come from."""
    about = content["about"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines = [
        f"{about['system']}, {about['processors']} processors, {about['memory']} of memory; Python {about['python']}.",
        f"Ours and the bare engines: {versions}.",
        f"Beside them: vantage6-algorithm-tools {about['peer']} with the same pandas.",
    ]
    if about["5"]:
        five = about["5"]
        lines.append(
            f"For v5: vantage6-algorithm-tools {five['peer']} and ours, both on Python {five['python']} with pandas "
            f"{five['pandas']}."
        )
    if about["postgresql"]:
        lines.append(f"PostgreSQL {about['postgresql']}, on the same machine.")
    load = " and ".join(str(value) for value in about["load before and after"])
    lines.append(f"The machine's load before and after was {load}.")
    return "\n".join(lines)


def page(content: Mapping[str, Any]) -> str:
    """The whole page, of figures that have all parts."""
    shown = Tables(figures_of(content))
    found = targets(shown.figures)
    missed = sum(not target.met for target in found)
    values = {
        "beginning": beginning(shown),
        "targets": shown.targets(),
        "met": len(found) - missed,
        "all": len(found),
        "machine": machine(content),
        **{name: shown.source(name, USUAL) for name in SOURCES},
        **{f"{name}_growth": shown.growth(name) for name in SOURCES},
        **{name: getattr(shown, name)() for name in ("width", "sessions", "start", "images")},
        "results": shown.results(),
        "large": f"{LARGE:,}",
        "failed": "".join(f"No answer came from {name}.\n" for name in content["failed"]),
    }
    return (Path(__file__).parent / "performance.md").read_text(encoding="utf-8").format(**values).rstrip() + "\n"


def beginning(shown: Tables) -> str:
    """The first paragraph: what one average costs."""
    peer, memory = (shown.get("csv", USUAL, "vantage6", what) for what in ("time", "memory"))

    def share(form: str) -> str:
        time = by(shown.get("csv", USUAL, f"ours {form}"), peer)
        return f"{time} of the time and {by(shown.get('csv', USUAL, f'ours {form}', 'memory'), memory)} of the memory"

    return (
        f"To average one column of a CSV file with {USUAL:,} rows and twenty columns, vantage6 4.15 takes "
        f"{seconds(peer, spreads=False)} s and\n{whole(memory)} MB: it reads all twenty. A function here says which "
        f"column it wants, and only that one is read. With {FORMS['pandas']}\nthat takes {share('pandas')}, with "
        f"{FORMS['lazy']}\n{share('lazy')}, with {FORMS['batches']}\n{share('batches')}."
    )
