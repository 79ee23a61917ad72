"""Survival analysis with the event times of single patients."""

import numpy as np
import pandas as pd

from algotools import Column, aggregate, rpc


@rpc
def kaplan_meier(data: pd.DataFrame, time: Column, event: Column):
    """The table of a Kaplan-Meier estimate: one row for each distinct time."""
    table = []
    for moment, part in data.groupby(time)[event]:
        table.append(
            {
                "time": moment,
                "at_risk": aggregate.count(data.loc[data[time] >= moment, event]),
                "events": aggregate.sum(part),
                "censored": aggregate.sum(1 - part),
            }
        )
    return table


@rpc
def risk_set_sums(data: pd.DataFrame, time: Column, event: Column, covariate: Column, beta: float = 0.0):
    """Sums over the risk set of each event time, as WebDISCO sends them."""
    result = []
    for moment in sorted(data.loc[data[event] == 1, time].unique()):
        at_risk = data.loc[data[time] >= moment, covariate]
        weights = np.exp(beta * at_risk)
        result.append([aggregate.sum(weights), aggregate.sum(weights * at_risk)])
    return result


@rpc
def life_table(data: pd.DataFrame, time: Column, event: Column, width: float = 30.0):
    """Patients and events in short intervals."""
    intervals = (data[time] // width).astype(int)
    return [[int(i) * width, aggregate.count(part), aggregate.sum(part)] for i, part in data.groupby(intervals)[event]]


@rpc
def log_rank_terms(data: pd.DataFrame, time: Column, event: Column, group: Column):
    """Observed minus expected events at each event time."""
    terms = []
    for moment in np.sort(data.loc[data[event] == 1, time].unique()):
        at_risk = data[data[time] >= moment]
        observed = aggregate.sum(at_risk.loc[at_risk[time] == moment, group])
        expected = aggregate.mean(at_risk[group])
        terms.append(aggregate.derive(observed - expected, observed, expected))
    return terms


@rpc
def person_time(data: pd.DataFrame, time: Column, event: Column, by: Column):
    """Events and person-time of each group, for incidence rates."""
    events, times = (aggregate.by_group(data, column, by, "sum") for column in (event, time))
    return {level: {"events": events[level], "time": total} for level, total in times.items()}
