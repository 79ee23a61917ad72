"""Survival analysis with the event times of single patients."""

import numpy as np
import pandas as pd
import polars as pl

from algotools import Column, rpc


def count_at_risk(data, time, event):
    """Return time, patients at risk and events for each distinct time."""
    table = data.groupby(time)[event].agg(["size", "sum"]).sort_index()
    at_risk = len(data) - table["size"].cumsum().shift(fill_value=0)
    return table.index.to_numpy(), at_risk.to_numpy(), table["sum"].to_numpy(), table["size"].to_numpy()


@rpc
def kaplan_meier(data: pd.DataFrame, time: Column, event: Column):
    """The table of a Kaplan-Meier estimate: one row for each distinct time."""
    times, at_risk, events, removed = count_at_risk(data, time, event)
    table = pd.DataFrame({"time": times, "at_risk": at_risk, "events": events, "censored": removed - events})
    return table.to_dict("records")


@rpc
def survival_curve(data: pd.DataFrame, time: Column, event: Column):
    """The curve alone, without counts."""
    times, at_risk, events, _ = count_at_risk(data, time, event)
    return {"time": times, "survival": np.cumprod(1 - events / at_risk)}


@rpc
def unique_event_times(data: pd.DataFrame, time: Column, event: Column):
    """Distinct event times, for the risk sets of a Cox model."""
    return sorted(data.loc[data[event] == 1, time].unique())


@rpc
def risk_set_sums(data: pd.DataFrame, time: Column, event: Column, covariate: Column, beta: float = 0.0):
    """Sums over the risk set of each event time, as WebDISCO sends them."""
    result = []
    for moment in sorted(data.loc[data[event] == 1, time].unique()):
        at_risk = data.loc[data[time] >= moment, covariate]
        weights = np.exp(beta * at_risk)
        result.append([weights.sum(), (weights * at_risk).sum()])
    return result


@rpc
def last_at_risk(data: pd.DataFrame, time: Column):
    """The longest follow-up, for the axis of the plot."""
    return {"until": data[time].max()}


@rpc
def cumulative_hazard(data: pd.DataFrame, time: Column, event: Column, covariate: Column):
    """Nelson-Aalen increments, with the covariate of the cases."""
    cases = data[data[event] == 1].sort_values(time)
    at_risk = [int((data[time] >= moment).sum()) for moment in cases[time]]
    return {"increments": [1 / n for n in at_risk], "covariate": cases[covariate].to_list()}


@rpc
def median_survival(data: pd.DataFrame, time: Column, event: Column):
    """The first time at which the curve is at most one half."""
    times, at_risk, events, _ = count_at_risk(data, time, event)
    curve = np.cumprod(1 - events / at_risk)
    below = times[curve <= 0.5]
    return {"median": below[0] if len(below) else None}


@rpc
def censoring_times(data: pl.DataFrame, time: Column, event: Column):
    """Marks for the curve."""
    return data.filter(pl.col(event) == 0)[time].sort().to_list()


@rpc
def life_table(data: pd.DataFrame, time: Column, event: Column, width: float = 30.0):
    """Patients at risk and events in short intervals."""
    intervals = (data[time] // width).astype(int)
    counts = data.groupby(intervals)[event].agg(["size", "sum"])
    return [[int(i) * width, int(n), int(events)] for i, n, events in counts.itertuples()]


@rpc
def schoenfeld_residuals(data: pd.DataFrame, time: Column, event: Column, covariate: Column):
    """Residuals of each case at a coefficient of 0, with the means of the risk sets."""
    cases = data[data[event] == 1].sort_values(time)
    means = [data.loc[data[time] >= moment, covariate].mean() for moment in cases[time]]
    return {"residuals": (cases[covariate] - means).to_list(), "means": means}


@rpc
def log_rank_terms(data: pd.DataFrame, time: Column, event: Column, group: Column):
    """Observed minus expected events at each event time."""
    terms = []
    for moment in np.sort(data.loc[data[event] == 1, time].unique()):
        at_risk = data[data[time] >= moment]
        terms.append(float(at_risk.loc[at_risk[time] == moment, group].sum() - at_risk[group].mean()))
    return terms


@rpc
def person_time(data: pd.DataFrame, time: Column, event: Column, by: Column):
    """Events and person-time of each group, for incidence rates."""
    groups = data.groupby(by)
    return {level: {"events": int(part[event].sum()), "time": int(part[time].sum())} for level, part in groups}
