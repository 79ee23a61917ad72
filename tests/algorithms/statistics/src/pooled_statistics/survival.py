"""Survival: times until an event, of which some are censored."""

import numpy as np
import pandas as pd

from algotools import Aggregator, Column, federated


@federated
def kaplan_meier(
    data: pd.DataFrame, total: Aggregator, time: Column, event: Column, grid: list[float]
) -> dict[str, np.ndarray]:
    """Survival after each time of a grid that contains all times with events."""
    times, died = data[time].to_numpy()[:, None], data[event].to_numpy()[:, None] == 1
    at_risk, deaths = total.sum(times >= np.array(grid)), total.sum((times == np.array(grid)) & died)
    return {"at_risk": at_risk, "survival": np.cumprod(1 - deaths / np.maximum(at_risk, 1))}


@federated
def cox(
    data: pd.DataFrame, total: Aggregator, time: Column, event: Column, covariates: list[Column], grid: list[float]
) -> np.ndarray:
    """Cox regression with Breslow's handling of ties; the grid contains all times with events."""
    times, died = data[time].to_numpy()[:, None], data[event].to_numpy()[:, None] == 1
    x = data[covariates].to_numpy(dtype=float)
    products = (x[:, :, None] * x[:, None, :]).reshape(-1, len(covariates) ** 2)
    at_risk, dies = times >= np.array(grid), (times == np.array(grid)) & died
    deaths, observed = total.sum(dies), total.cross_product(dies, x)
    coefficients = np.zeros(len(covariates))
    for _ in range(25):
        weights = np.exp(x @ coefficients)
        s0 = total.cross_product(at_risk, weights)
        s1 = total.cross_product(at_risk, x, weights)
        s2 = total.cross_product(at_risk, products, weights)
        s0 = np.maximum(s0, 1e-300)[:, None]
        mean = s1 / s0
        gradient = (observed - deaths[:, None] * mean).sum(axis=0)
        spread = (s2 / s0).reshape(-1, *2 * mean.shape[1:]) - mean[:, :, None] * mean[:, None, :]
        step = np.linalg.solve((deaths[:, None, None] * spread).sum(axis=0), gradient)
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-9:
            return coefficients
    raise RuntimeError("the fit does not converge")
