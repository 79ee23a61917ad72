"""Dask alone for ``engines.py``: the average of a column, with a task for each file."""

from timing import PARAMETERS, measure_task


def read_partial(path: str, column: str) -> tuple[int, int]:
    """Return sum and count of a column of a file."""
    import pandas as pd

    values = pd.read_csv(path, usecols=[column])[column].dropna()
    return values.sum().item(), values.size


def main() -> None:
    """Connect to the scheduler, and compute the average."""
    from distributed import Client

    with Client(PARAMETERS["scheduler"]) as client:

        def average() -> float:
            futures = client.map(read_partial, PARAMETERS["databases"], column=PARAMETERS["column"], pure=False)
            partials = client.gather(futures)
            return sum(part[0] for part in partials) / sum(part[1] for part in partials)

        measure_task(average)


main()
