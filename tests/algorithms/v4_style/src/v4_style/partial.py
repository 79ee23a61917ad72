import numpy as np
import pandas as pd

from algotools import Column, UserError, rpc


class NoValues(UserError):
    text = "no row has a value"


@rpc
def partial(df: pd.DataFrame, column: Column) -> dict[str, float]:
    values = df[column].dropna()
    if values.empty:
        raise NoValues
    return {"sum": float(values.sum()), "count": int(values.count())}


@rpc
def moments(df: pd.DataFrame, column: Column, mean: float) -> dict[str, np.ndarray]:
    return {"squares": np.square(df[column].dropna().to_numpy(dtype=float) - mean)}
