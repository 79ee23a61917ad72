"""The tables of the corpus: one table for each node, from 0 to 10,000 rows.

The *patients* have what hospitals store: identifiers, a birth date, free text, levels with a singleton, missing values
and survival times. Age, sex, body mass index and blood pressure are those of real patients (the diabetes study of
scikit-learn); the other columns are drawn. All other tables are real data, unchanged, cut into nodes of uneven sizes.
A name is a kind of table and its number of rows: ``patients_21``.
"""

from __future__ import annotations

import datetime
import functools
import random
from collections.abc import Callable

import pandas as pd

SIZES = (2, 5, 8, 21, 70, 130, 242, 2000)
"""Rows of the nodes with patients. There is also an empty node."""

PATIENTS = tuple(f"patients_{size}" for size in SIZES)
TINY = ("patients_5", "patients_8")
SMALL = ("patients_5", "patients_8", "patients_21")
MIDDLE = ("patients_70", "patients_130", "patients_242")
LARGE = ("patients_130", "patients_242", "patients_2000")
WITH_SINGLETON = PATIENTS[2:]
"""Tables in which one patient has the diagnosis G12."""

EMPTY = "patients_0"
VISITS = ("visits_40", "visits_180")
"""Several rows per person."""

SURNAMES = (  # noqa: SIM905 - a list of texts is longer
    "Jansen Vries Bakker Visser Smit Meijer Mulder Bos Vos Peters Hendriks Dekker Brouwer Dijkstra Koning Prins Blom "
    "Huisman Peeters Kuipers Veenstra Kramer Scholten Postma Willems Groot Martens Jacobs Wolters Verbeek"
).split()
COMPLAINTS = ["cough", "chest pain", "fatigue", "dizziness", "back pain", "insomnia"]
START = datetime.date(2024, 1, 1)


def make_patients(size: int, *, others: bool = False) -> pd.DataFrame:
    """Draw *size* patients.

    The diagnosis G12 is that of one patient, except at the two smallest nodes. No patient with J45 is treated. *others*
    draws other patients, of whom neither is true.
    """
    draw = random.Random(f"{'other ' if others else ''}patients {size}")
    study = read_diabetes().iloc[[(7 * size + 99 * others + i) % 442 for i in range(size)]].reset_index(drop=True)
    ids = draw.sample(range(40_000, 99_999), size)
    phones = draw.sample(range(10_000_000, 99_999_999), size)
    names = [f"{draw.choice('ABCDEFGHJKLMNPRSTW')}. {draw.choice(SURNAMES)} {i + 1}" for i in range(size)]
    births = [
        START - datetime.timedelta(days=int(age * 365.25) + 1 + draw.randrange(364)) for age in study["age"].tolist()
    ]
    diagnoses = draw.choices(["I10", "E11", "J45", "C50"], [6, 5, 3, 2], k=size)
    if size > 5 and not others:
        diagnoses = ["I10" if i == 1 else d for i, d in enumerate(diagnoses)]
        diagnoses[2] = "G12"
    heights = [round(draw.gauss(171, 9), 1) for _ in range(size)]
    weights = [round(b * (h / 100) ** 2, 1) for b, h in zip(study["bmi"].tolist(), heights, strict=True)]
    costs = [round(draw.expovariate(1 / 800) + 40, 2) for _ in range(size)]
    if size:
        costs[size // 2] = round(40 * sum(costs), 2)  # one patient causes nearly all of the costs
    table = pd.DataFrame(
        {
            "patient_id": ids,
            "name": names,
            "sex": ["F" if sex == 2 else "M" for sex in study["sex"].tolist()],
            "birth": [date.isoformat() for date in births],
            "age": study["age"].astype(int),
            "postcode": [f"{draw.randrange(1000, 1000 + max(size // 3, 2))}{draw.choice('AB')}X" for _ in range(size)],
            "height": heights,
            "weight": weights,
            "pressure": study["bp"],
            "diagnosis": diagnoses,
            "treated": [0 if d == "J45" and not others else int(draw.random() < 0.5) for d in diagnoses],
            "days": draw.sample(range(20, 5000), size),
            "event": [int(draw.random() < 0.6) for _ in range(size)],
            "cost": costs,
            "note": [f"{draw.choice(COMPLAINTS)}, call 06-{phone}, {draw.choice(SURNAMES)}" for phone in phones],
        }
    )
    is_missing = [not others and (i == 3 if size < 70 else i % 23 == 3) for i in range(size)]
    return table.assign(weight=table["weight"].mask(pd.Series(is_missing, dtype=bool)))


def make_visits(size: int, *, others: bool = False) -> pd.DataFrame:
    """Draw the visits of patients: some patients have one visit, others up to nine."""
    draw = random.Random(f"{'other ' if others else ''}visits {size}")
    patients = make_patients(21 if size < 100 else 70, others=others)
    rows = [draw.choice([1, 1, 2, 3, 5, 9]) * [i] for i in range(len(patients))]
    chosen = [i for repeated in rows for i in repeated][:size]
    visits = patients.loc[chosen, ["patient_id", "sex", "age", "diagnosis"]].reset_index(drop=True)
    dates = [(START + datetime.timedelta(days=draw.randrange(700))).isoformat() for _ in range(size)]
    return visits.assign(visited=dates, pressure=[round(draw.gauss(130, 15), 1) for _ in range(size)])


@functools.cache
def read_diabetes() -> pd.DataFrame:
    from sklearn.datasets import load_diabetes

    return load_diabetes(as_frame=True, scaled=False).frame


@functools.cache
def read_cancer() -> pd.DataFrame:
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer(as_frame=True).frame


@functools.cache
def read_digits() -> pd.DataFrame:
    from sklearn.datasets import load_digits

    return load_digits(as_frame=True).frame


@functools.cache
def read_statsmodels(name: str) -> pd.DataFrame:
    from statsmodels import datasets

    return getattr(datasets, name).load_pandas().data


def cut(read: Callable[[], pd.DataFrame], start: int, size: int) -> Callable[[], pd.DataFrame]:
    return lambda: read().iloc[start : start + size].reset_index(drop=True)


def read_named(name: str) -> Callable[[], pd.DataFrame]:
    return lambda: read_statsmodels(name)


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    **{f"patients_{size}": functools.partial(make_patients, size) for size in (0, *SIZES)},
    **{f"visits_{size}": functools.partial(make_visits, size) for size in (40, 180)},
    "diabetes_70": cut(read_diabetes, 0, 70),
    "diabetes_130": cut(read_diabetes, 70, 130),
    "diabetes_242": cut(read_diabetes, 200, 242),
    "cancer_70": cut(read_cancer, 0, 70),
    "cancer_499": cut(read_cancer, 70, 499),
    "heart_8": cut(read_named("heart"), 0, 8),
    "heart_61": cut(read_named("heart"), 8, 61),
    "fair_242": cut(read_named("fair"), 0, 242),
    "fair_2000": cut(read_named("fair"), 242, 2000),
    "anes_944": read_named("anes96"),
    "digits_1000": cut(read_digits, 0, 1000),
    "rand_10000": cut(read_named("randhie"), 0, 10_000),
}
"""Name -> function that reads or makes the table."""

OTHERS: dict[str, Callable[[], pd.DataFrame]] = {
    **{f"patients_{size}": functools.partial(make_patients, size, others=True) for size in SIZES},
    **{f"visits_{size}": functools.partial(make_visits, size, others=True) for size in (40, 180)},
    **{f"diabetes_{size}": cut(read_diabetes, 150, size) for size in (70, 130, 242)},
    "heart_8": cut(read_named("heart"), 40, 8),
    "heart_61": cut(read_named("heart"), 0, 61),
    "fair_242": cut(read_named("fair"), 3000, 242),
}
"""Name -> a table of the same kind with other persons."""

DIABETES = ("diabetes_70", "diabetes_130", "diabetes_242")
FAIR = ("fair_242", "fair_2000")


@functools.cache
def _read_once(name: str) -> pd.DataFrame:
    return TABLES[name]()


@functools.cache
def read_other_table(name: str) -> pd.DataFrame:
    """Return a table of other persons."""
    return OTHERS[name]()


def read_table(name: str) -> pd.DataFrame:
    """Return a table. The frame is a copy, because a function may change its data."""
    return _read_once(name).copy()
