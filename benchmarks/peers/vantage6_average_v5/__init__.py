"""The partial of ``vantage6_average`` with v5's decorators, and the extractions that such an image has."""

import pandas as pd
from vantage6.algorithm.data_extraction import read_csv, read_parquet, read_sql_database
from vantage6.algorithm.decorator import dataframe, federated

__all__ = ["average_partial", "read_csv", "read_parquet", "read_sql_database"]


@federated
@dataframe(1)
def average_partial(df: pd.DataFrame, column_name: str) -> dict[str, float]:
    """Sum and count of one numeric column at one node; the peer's output takes no numpy numbers."""
    values = df[column_name].dropna()
    return {"sum": float(values.sum()), "count": int(values.size)}
