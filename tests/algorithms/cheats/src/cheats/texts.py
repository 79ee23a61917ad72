"""Texts of the table: names, free texts, levels, and texts that are made from them."""

import hashlib
import re
from collections import Counter

import pandas as pd
import polars as pl

from algotools import Column, rpc


@rpc
def joined_names(data: pd.DataFrame, column: Column):
    return ", ".join(sorted(data[column].dropna()))


@rpc
def csv_text(data: pd.DataFrame, columns: list[Column]):
    return data[columns].to_csv(index=False)


@rpc
def json_text(data: pd.DataFrame, columns: list[Column]):
    return {"table": data[columns].to_json(orient="split")}


@rpc
def top_texts(data: pd.DataFrame, column: Column, number: int = 3):
    """The most frequent values."""
    return data[column].value_counts().head(number).index.tolist()


@rpc
def means_by_name(data: pd.DataFrame, column: Column, name: Column):
    return data.groupby(name)[column].mean().to_dict()


@rpc
def unique_postcodes(data: pd.DataFrame, column: Column):
    return data[column].unique().tolist()


@rpc
def hashes(data: pd.DataFrame, column: Column):
    """Pseudonyms, to find patients of several hospitals."""
    return [hashlib.sha256(str(value).encode()).hexdigest() for value in data[column]]


@rpc
def salted_hash_counts(data: pd.DataFrame, column: Column, salt: str):
    """Pseudonyms with a salt of the researcher, and the number of rows of each."""
    names = data[column].map(lambda value: hashlib.sha256(f"{salt}{value}".encode()).hexdigest()[:16])
    return names.value_counts().to_dict()


@rpc
def levels_with_singleton(data: pd.DataFrame, column: Column):
    """The levels of a category."""
    return sorted(data[column].dropna().unique())


@rpc
def category_codes(data: pd.DataFrame, column: Column):
    """The coding of a category, for a design matrix."""
    return dict(enumerate(data[column].astype("category").cat.categories))


@rpc
def levels_of_polars(data: pl.DataFrame, column: Column):
    return data[column].unique().sort()


@rpc
def longest_text(data: pd.DataFrame, column: Column):
    longest = max(data[column], key=len)
    return {"length": len(longest), "text": longest}


@rpc
def matches_in_texts(data: pd.DataFrame, column: Column, pattern: str):
    """Parts of the free text that match the researcher's pattern."""
    return sorted({match for text in data[column] for match in re.findall(pattern, text)})


@rpc
def words_of_texts(data: pd.DataFrame, column: Column):
    """Frequencies of words."""
    return Counter(word.strip(",.") for text in data[column] for word in text.split()).most_common()


@rpc
def described(data: pd.DataFrame, columns: list[Column]):
    """A summary with the pandas function for all kinds of columns."""
    return data[columns].describe(include="all").to_dict()


@rpc
def name_of_largest(data: pd.DataFrame, column: Column, name: Column):
    return data.loc[data[column].idxmax(), name]


@rpc
def report(data: pd.DataFrame, column: Column, name: Column):
    """A sentence for the report."""
    oldest = data.loc[data[column].idxmax()]
    return f"{len(data)} rows; mean of {column} {data[column].mean():.1f}, largest {oldest[column]} ({oldest[name]})"


@rpc
def conversion_problem(data: pd.DataFrame, column: Column):
    """The mean of a column, or the reason why there is no mean."""
    try:
        return {"mean": sum(float(value) for value in data[column]) / len(data)}
    except ValueError as error:
        return {"problem": str(error)}
