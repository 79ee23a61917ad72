"""Excel files (xlsx), through pandas and openpyxl."""

from __future__ import annotations

import os
from collections.abc import Collection

import pandas as pd

from algotools.data import Loaded
from algotools.data.reading import Unfit, loaded, local, reading
from algotools.task import Database


def read(database: Database, columns: Collection[str] | None) -> Loaded:
    """A sheet as ``pandas.read_excel`` gives it, or the asked columns of it: see ``Source.read``.

    It is the sheet that the task names, else the one that the owner does (``SHEET_NAME``), else the first.
    """
    with reading(database, "excel"), local(database.uri).open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise Unfit("it is empty")
        with pd.ExcelFile(file, engine="openpyxl") as book:
            sheet = database.options.get("SHEET_NAME") if database.sheet_name is None else database.sheet_name
            if sheet is not None and sheet not in book.sheet_names:
                raise Unfit(
                    f"it has no sheet {sheet[:60]!r}", detail=f"its sheets: {', '.join(map(str, book.sheet_names))}"
                )
            frame = pd.read_excel(book, sheet_name=0 if sheet is None else sheet)
    return loaded(frame, columns)
