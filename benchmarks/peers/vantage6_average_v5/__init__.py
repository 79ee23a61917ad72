"""The partial of ``vantage6_average`` with the decorators of v5, and the extraction functions of v5."""

import pandas as pd
from vantage6.algorithm.data_extraction import read_csv, read_parquet, read_sql_database
from vantage6.algorithm.decorator import dataframe, federated

__all__ = ["average_partial", "read_csv", "read_parquet", "read_sql_database"]


@federated
@dataframe(1)
def average_partial(df: pd.DataFrame, column_name: str) -> dict[str, float]:
    """Return sum and count of a numeric column. The output of vantage6 supports no numpy numbers."""
    values = df[column_name].dropna()
    return {"sum": float(values.sum()), "count": int(values.size)}
