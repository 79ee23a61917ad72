"""Messages as a careful author writes them: constants, arguments, and numbers of many rows."""

from typing import Literal

import pandas as pd

from algotools import Column, UserError, log, progress, rpc

MINIMUM = 10


class FewRows(UserError):
    text = "fewer than {minimum} rows have a value in {column}"
    minimum: int
    column: Column


class WrongScale(UserError):
    text = "{column} is {scale}; choose a {wanted} column"
    column: Column
    scale: Literal["constant", "binary"]
    wanted: str


@rpc
def log_of_round(data: pd.DataFrame, column: Column, round_number: int) -> float:
    """Log the round of a master, and the column of the researcher."""
    log(f"round {round_number}: sum of {column}")
    return data[column].sum()


@rpc
def log_of_rows(data: pd.DataFrame, column: Column) -> int:
    """Log how many rows were used, if they are enough."""
    rows = data[column].count()
    if rows >= MINIMUM:
        log(f"used {rows} rows")
    return rows if rows >= MINIMUM else 0


@rpc
def log_of_fit(data: pd.DataFrame, column: Column) -> float:
    log("fit started")
    mean = data[column].mean()
    log("fit finished after 1 iteration")
    return mean


@rpc
def progress_of_steps(data: pd.DataFrame, column: Column, steps: int) -> float:
    for step in range(steps):
        progress((step + 1) / steps, f"step {step + 1} of {steps}")
    return data[column].sum()


@rpc
def error_of_few_rows(data: pd.DataFrame, column: Column) -> float:
    if data[column].count() < MINIMUM:
        raise FewRows(minimum=MINIMUM, column=column)
    return data[column].sum()


@rpc
def error_of_scale(data: pd.DataFrame, column: Column) -> float:
    if data[column].nunique() <= 2:
        raise WrongScale(column=column, scale="binary", wanted="numeric")
    return data[column].sum()
