"""What runs at each node."""

import pandas as pd
from vantage6.algorithm.tools.decorators import data


@data(1)
def average_partial(df: pd.DataFrame, column_name: str) -> dict[str, float]:
    """Sum and count of one numeric column at one node; the peer's output takes no numpy numbers."""
    values = df[column_name].dropna()
    return {"sum": float(values.sum()), "count": int(values.size)}
