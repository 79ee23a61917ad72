"""Minimum, maximum, and statistics that are the value of one record."""

import numpy as np
import pandas as pd
import polars as pl

from algotools import Column, rpc


@rpc
def minimum(data: pd.DataFrame, column: Column):
    return {"minimum": data[column].min()}


@rpc
def maximum(data: pd.DataFrame, column: Column):
    return {"maximum": data[column].max()}


@rpc
def range_of_columns(data: pd.DataFrame, columns: list[Column]):
    """The ranges of columns, for common bins."""
    return {column: [data[column].min(), data[column].max()] for column in columns}


@rpc
def median(data: pd.DataFrame, column: Column):
    return {"median": data[column].median(), "n": data[column].count()}


@rpc
def quantiles(data: pd.DataFrame, column: Column, q: list[float]):
    return data[column].quantile(q).tolist()


@rpc
def first_birthday(data: pd.DataFrame, column: Column):
    """The oldest and the youngest patient, for the inclusion criteria."""
    dates = pd.to_datetime(data[column])
    return {"from": dates.min(), "to": dates.max()}


@rpc
def percentiles(data: pd.DataFrame, column: Column):
    return np.percentile(data[column].dropna(), range(0, 101))


@rpc
def outliers(data: pd.DataFrame, column: Column, limit: float = 1.5):
    """Values outside of the whiskers of a box plot."""
    low, high = data[column].quantile([0.25, 0.75])
    reach = limit * (high - low)
    return data.loc[~data[column].between(low - reach, high + reach), column].tolist()


@rpc
def box_plot(data: pd.DataFrame, column: Column):
    values = data[column].dropna()
    return dict(zip(["low", "q1", "median", "q3", "high"], np.quantile(values, [0, 0.25, 0.5, 0.75, 1])))


@rpc
def describe_numbers(data: pd.DataFrame, column: Column):
    return data[column].describe().to_dict()


@rpc
def describe_with_polars(data: pl.DataFrame, column: Column):
    return data.select(column).describe().to_dicts()


@rpc
def three_largest(data: pd.DataFrame, column: Column):
    return data[column].nlargest(3).tolist()


@rpc
def extremes_by_group(data: pd.DataFrame, column: Column, by: Column):
    return data.groupby(by)[column].max().tolist()


@rpc
def edges_of_histogram(data: pd.DataFrame, column: Column, bins: int = 5):
    """A histogram with numpy's default edges."""
    counts, edges = np.histogram(data[column].dropna(), bins)
    return {"counts": np.where(counts < 3, 0, counts), "edges": edges}


@rpc
def scaling(data: pd.DataFrame, columns: list[Column]):
    """Parameters of a scaler, for a neural network."""
    from sklearn.preprocessing import MinMaxScaler

    scaler = MinMaxScaler().fit(data[columns].dropna())
    return {"scale": scaler.scale_, "offset": scaler.min_}


@rpc
def robust_scaling(data: pd.DataFrame, column: Column):
    """Median and median of the absolute deviations."""
    values = data[column].dropna()
    centre = values.median()
    return {"n": len(values), "centre": centre, "spread": (values - centre).abs().median()}


@rpc
def position_of_largest(data: pd.DataFrame, column: Column):
    return int(data[column].argmax())


@rpc
def clipped_sums(data: pd.DataFrame, column: Column, limits: list[float]):
    """Sums of the values above each limit, to choose a limit for winsorizing."""
    return [float((data[column] - limit).clip(lower=0).sum()) for limit in limits]


@rpc
def largest_share(data: pd.DataFrame, column: Column):
    """How much of the total the most expensive patient causes."""
    return {"total": data[column].sum(), "share": data[column].max() / data[column].sum()}


@rpc
def outer_norm(data: pd.DataFrame, column: Column, order: int = 200):
    """The p-norm of a column."""
    values = data[column].to_numpy(float) / 1000
    return float(np.sum(values**order) ** (1 / order))


@rpc
def smooth_maximum(data: pd.DataFrame, column: Column):
    """Log-sum-exp of a column, for a stable softmax."""
    values = data[column].to_numpy(float)
    return values.max() + np.log(np.exp(values - values.max()).sum())
