"""Statistics of few records. Most functions are right for large groups, and have no minimum."""

import numpy as np
import pandas as pd
import polars as pl

from algotools import Column, rpc


@rpc
def sum_where(data: pd.DataFrame, column: Column, by: Column, level: str):
    values = data.loc[data[by] == level, column].dropna()
    return {"sum": values.sum(), "count": values.size}


@rpc
def sum_without_count(data: pd.DataFrame, column: Column, by: Column, level: str):
    return {"sum": data.loc[data[by] == level, column].sum()}


@rpc
def mean_where(data: pd.DataFrame, column: Column, by: Column, level: int):
    return data.loc[data[by] == level, column].mean()


@rpc
def mean_between(data: pd.DataFrame, column: Column, by: Column, low: float, high: float):
    return {"mean": data.loc[data[by].between(low, high), column].mean()}


@rpc
def means_by_group(data: pd.DataFrame, column: Column, by: Column):
    return data.groupby(by)[column].mean().to_dict()


@rpc
def summary_by_groups(data: pd.DataFrame, column: Column, by: list[Column]):
    """Count, mean and sd for each combination of levels."""
    groups = data.groupby(by)[column]
    return groups.agg(["count", "mean", "std"]).reset_index().to_dict("records")


@rpc
def summary_by_group_of_polars(data: pl.DataFrame, column: Column, by: Column):
    return data.group_by(by).agg(n=pl.len(), total=pl.col(column).sum()).to_dicts()


@rpc
def share_where(data: pd.DataFrame, column: Column, by: Column, level: str):
    """The share of patients with an event in one postcode."""
    return {"share": data.loc[data[by] == level, column].mean()}


@rpc
def events_by_group(data: pd.DataFrame, column: Column, by: Column):
    """Events and patients of each group."""
    groups = data.groupby(by)[column]
    return {level: {"events": int(part.sum()), "n": len(part)} for level, part in groups if len(part) >= 3}


@rpc
def means_of_missing(data: pd.DataFrame, column: Column, others: list[Column]):
    """Whether values are missing at random: means of the rows with and without a value."""
    missing = data[column].isna()
    return {
        name: {"missing": data.loc[missing, name].mean(), "present": data.loc[~missing, name].mean()} for name in others
    }


@rpc
def sums_of_table(data: pd.DataFrame, columns: list[Column]):
    """Sums and the number of rows, without a check of the number of rows."""
    return {"n": len(data), **{column: data[column].sum() for column in columns}}


@rpc
def sum_and_squares(data: pd.DataFrame, column: Column, by: Column, level: str):
    """Partial of mean and standard deviation."""
    values = data.loc[data[by] == level, column]
    return {"n": values.size, "sum": values.sum(), "squares": (values**2).sum()}


@rpc
def mean_of_cohort(data: pd.DataFrame, ids: list[int], id_column: Column, column: Column):
    """The mean of a cohort that the researcher names."""
    return data.loc[data[id_column].isin(ids), column].mean()


@rpc
def total_of_costs(data: pd.DataFrame, column: Column):
    return {"total": data[column].sum(), "n": len(data)}


@rpc
def means_of_equal_bins(data: pd.DataFrame, column: Column, bins: int):
    """Calibration: means of bins with equally many rows."""
    ranks = data[column].rank(method="first")
    return data[column].groupby(((ranks - 1) * bins // len(data)).astype(int)).mean().tolist()


@rpc
def nearest_patients(
    data: pd.DataFrame, outcome: Column, profile: dict[str, float], features: list[Column], k: int = 1
):
    """The prediction of the k nearest neighbours for a profile."""
    distances = ((data[features] - pd.Series(profile)) ** 2).sum(axis=1)
    return {"prediction": data.loc[distances.nsmallest(k).index, outcome].mean()}


@rpc
def weighted_mean(data: pd.DataFrame, column: Column, by: Column, weights: dict[str, float]):
    """A mean with weights of levels, for standardization."""
    w = data[by].map(weights).fillna(0)
    return (w * data[column]).sum() / w.sum()


@rpc
def rolling_means(data: pd.DataFrame, column: Column, window: int = 2):
    """A smoothed series."""
    return {"first": data[column].head(3).mean(), "smooth": data[column].rolling(window).mean().dropna().tolist()}


@rpc
def where_of_polars(data: pl.DataFrame, column: Column, by: Column, above: float):
    part = data.filter(pl.col(by) > above)
    return part.select(pl.col(column).mean().alias("mean"), pl.len().alias("n")).row(0, named=True)


@rpc
def means_of_persons(data: pd.DataFrame, person: Column, column: Column, minimum: int = 3):
    """Means of persons with enough visits."""
    groups = data.groupby(person)[column]
    return [[part.mean(), len(part)] for _, part in groups if len(part) >= minimum]


@rpc
def plain_python_groups(data: pd.DataFrame, column: Column, by: Column):
    groups = {}
    for key, value in zip(data[by].tolist(), data[column].tolist()):
        groups.setdefault(key, []).append(value)
    return {key: [len(values), sum(values) / len(values)] for key, values in groups.items()}


@rpc
def spread_by_group(data: pd.DataFrame, column: Column, by: Column):
    """Mean and half of the range of each group."""
    return {
        level: {"centre": (part.max() + part.min()) / 2, "spread": float(np.ptp(part)) / 2}
        for level, part in data.groupby(by)[column]
    }


@rpc
def rates_by_year(data: pd.DataFrame, birth: Column, event: Column):
    """Events by year of birth."""
    years = pd.to_datetime(data[birth]).dt.year
    return data.groupby(years)[event].agg(["sum", "size"]).T.to_dict()
