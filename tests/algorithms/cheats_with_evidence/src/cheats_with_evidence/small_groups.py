"""Statistics of few records."""

import pandas as pd
import polars as pl

from algotools import Column, aggregate, rpc


@rpc
def sum_where(data: pd.DataFrame, column: Column, by: Column, level: str):
    values = data.loc[data[by] == level, column].dropna()
    return {"sum": aggregate.sum(values), "count": aggregate.count(values)}


@rpc
def sum_without_count(data: pd.DataFrame, column: Column, by: Column, level: str):
    return {"sum": aggregate.sum(data.loc[data[by] == level, column])}


@rpc
def mean_where(data: pd.DataFrame, column: Column, by: Column, level: int):
    return aggregate.mean(data.loc[data[by] == level, column])


@rpc
def mean_between(data: pd.DataFrame, column: Column, by: Column, low: float, high: float):
    return {"mean": aggregate.mean(data.loc[data[by].between(low, high), column])}


@rpc
def means_by_group(data: pd.DataFrame, column: Column, by: Column):
    return aggregate.by_group(data, column, by, "mean")


@rpc
def summary_by_groups(data: pd.DataFrame, column: Column, by: list[Column]):
    """Count, mean and sd for each combination of levels."""
    groups = data.groupby(by)[column].agg(["count", "mean", "std"]).reset_index()
    return aggregate.suppress(groups, records="count").to_dict("records")


@rpc
def summary_by_group_of_polars(data: pl.DataFrame, column: Column, by: Column):
    groups = data.group_by(by).agg(n=pl.len(), total=pl.col(column).sum())
    return aggregate.suppress(groups, records="n").to_dicts()


@rpc
def share_where(data: pd.DataFrame, column: Column, by: Column, level: str):
    """The share of patients with an event in one postcode."""
    return {"share": aggregate.mean(data.loc[data[by] == level, column])}


@rpc
def events_by_group(data: pd.DataFrame, column: Column, by: Column):
    """Events and patients of each group."""
    return {
        level: {"events": aggregate.sum(part), "n": aggregate.count(part)}
        for level, part in data.groupby(by)[column]
        if len(part) >= 3
    }


@rpc
def means_of_missing(data: pd.DataFrame, column: Column, others: list[Column]):
    """Whether values are missing at random: means of the rows with and without a value."""
    missing = data[column].isna()
    return {
        name: {
            "missing": aggregate.mean(data.loc[missing, name]),
            "present": aggregate.mean(data.loc[~missing, name]),
        }
        for name in others
    }


@rpc
def sums_of_table(data: pd.DataFrame, columns: list[Column]):
    """Sums and the number of rows, without a check of the number of rows."""
    return {"n": aggregate.count(data[columns[0]]), **{column: aggregate.sum(data[column]) for column in columns}}


@rpc
def sum_and_squares(data: pd.DataFrame, column: Column, by: Column, level: str):
    """Partial of mean and standard deviation."""
    values = data.loc[data[by] == level, column]
    return {"n": aggregate.count(values), "sum": aggregate.sum(values), "squares": aggregate.sum(values**2)}


@rpc
def mean_of_cohort(data: pd.DataFrame, ids: list[int], id_column: Column, column: Column):
    """The mean of a cohort that the researcher names."""
    return aggregate.mean(data.loc[data[id_column].isin(ids), column])


@rpc
def total_of_costs(data: pd.DataFrame, column: Column):
    return {"total": aggregate.sum(data[column]), "n": aggregate.count(data[column])}


@rpc
def means_of_equal_bins(data: pd.DataFrame, column: Column, bins: int):
    """Calibration: means of bins with equally many rows."""
    ranks = data[column].rank(method="first")
    numbers = ((ranks - 1) * bins // len(data)).astype(int)
    return [aggregate.mean(part) for _, part in data[column].groupby(numbers)]


@rpc
def nearest_patients(
    data: pd.DataFrame, outcome: Column, profile: dict[str, float], features: list[Column], k: int = 1
):
    """The prediction of the k nearest neighbours for a profile."""
    distances = ((data[features] - pd.Series(profile)) ** 2).sum(axis=1)
    return {"prediction": aggregate.mean(data.loc[distances.nsmallest(k).index, outcome])}


@rpc
def weighted_mean(data: pd.DataFrame, column: Column, by: Column, weights: dict[str, float]):
    """A mean with weights of levels, for standardization."""
    w = data[by].map(weights).fillna(0)
    product, total = aggregate.sum(w * data[column]), aggregate.sum(w)
    return aggregate.derive(product / total, product, total)


@rpc
def rolling_means(data: pd.DataFrame, column: Column, window: int = 2):
    """A smoothed series."""
    parts = data[column].rolling(window)
    return {
        "first": aggregate.mean(data[column].head(3)),
        "smooth": [aggregate.mean(part) for part in parts if len(part) == window],
    }


@rpc
def where_of_polars(data: pl.DataFrame, column: Column, by: Column, above: float):
    part = data.filter(pl.col(by) > above)
    return {"mean": aggregate.mean(part[column]), "n": aggregate.count(part[column])}


@rpc
def means_of_persons(data: pd.DataFrame, person: Column, column: Column, minimum: int = 3):
    """Means of persons with enough visits."""
    groups = data.groupby(person)[column]
    return [[aggregate.mean(part), aggregate.count(part)] for _, part in groups if len(part) >= minimum]


@rpc
def plain_python_groups(data: pd.DataFrame, column: Column, by: Column):
    """Groups as lists, which have lost the index of their rows."""
    groups = {}
    for key, value in zip(data[by].tolist(), data[column].tolist()):
        groups.setdefault(key, []).append(value)
    return {
        key: [aggregate.count(pd.Series(values)), aggregate.mean(pd.Series(values))] for key, values in groups.items()
    }


@rpc
def rates_by_year(data: pd.DataFrame, birth: Column, event: Column):
    """Events by year of birth."""
    years = pd.to_datetime(data[birth]).dt.year
    return {
        year: {"sum": aggregate.sum(part), "size": aggregate.count(part)} for year, part in data.groupby(years)[event]
    }
