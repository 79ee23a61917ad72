"""Cheats that return parts of models."""

from __future__ import annotations

import base64
import pickle

import numpy as np

from ..cases import Cheat
from ..claims import Cells, Fact, Group, Statistic, cells
from ..nodes import DIABETES, MIDDLE, PATIENTS, SMALL, TINY, WITH_SINGLETON

TABLES = [*SMALL, *MIDDLE]


def forge_beta(frame):
    """Return a steep slope around one patient: the weight p(1 - p) of all other patients is then 0."""
    days = int(frame["days"].iloc[0])
    return {"outcome": "event", "predictors": ["days", "cost"], "beta": [-500.0 * days, 500.0, 0.0]}


def read_information(result, _):
    """The information matrix is a quarter of x x' for one patient."""
    information = np.array(result["information"])
    one, days, cost = information[0] / information[0, 0]
    return [Group({"days": round(days)}, one), Fact({"days": round(days)}, "cost", cost)]


def read_saturated(result, _):
    return [
        Statistic({"diagnosis": "G12", "sex": cell.split("/")[1]}, "cost", "mean", mean)
        for cell, mean in result.items()
        if cell.startswith("G12")
    ]


def read_product(result, _):
    """The dummy of a level with one row selects that row."""
    product, names = np.array(result["product"]), result["names"]
    ones = [i for i, name in enumerate(names) if name.isdigit() and product[i, i] == 1]
    return [Fact({"age": int(names[i])}, "height", product[i, 0]) for i in ones]


def read_leaves(result, _):
    values = [v for v, child in zip(result["value"], result["left"], strict=True) if child == -1]
    return [Cells("days", values)]


def read_pickle(result, _):
    tree = pickle.loads(base64.b64decode(result)).tree_
    return [Cells("days", tree.value.ravel()[tree.children_left == -1])]


def read_scores(result, _):
    intercept, slope = result["beta"]
    scores = np.array(result["scores"])
    values = (np.log(scores / (1 - scores)) - intercept) / slope * result["width"] + result["centre"]
    return [Cells("height", values, within=1e-6)]


def read_gradient(result, _):
    """With coefficients of 0, the gradient of one row is -y and -y x."""
    return [Group({"cost": lambda s: np.isclose(s, -result[0]), "age": round(result[1] / result[0])}, 1)]


CHEATS = [
    Cheat(
        name="saturated_model",
        tables=WITH_SINGLETON,
        arguments={"outcome": "cost", "by": ["diagnosis", "sex"]},
        reveals=read_saturated,
    ),
    Cheat(
        name="dummy_coefficients",
        tables=WITH_SINGLETON,
        arguments={"outcome": "height", "factor": "diagnosis"},
        reveals=lambda r, _: [
            Statistic(
                {"diagnosis": "G12"},
                "height",
                "mean",
                r["coefficients"][0] + r["coefficients"][r["names"].index("G12")],
            )
        ],
    ),
    Cheat(name="forged_beta", method="logistic_step", tables=PATIENTS, arguments=forge_beta, reveals=read_information),
    Cheat(
        name="residuals",
        tables=PATIENTS[1:],
        arguments={"outcome": "height", "predictor": "age"},
        reveals=cells("height", lambda r: np.add(r["fitted"], r["residual"])),
    ),
    Cheat(
        name="residuals_of_diabetes",
        method="residuals",
        tables=DIABETES,
        arguments={"outcome": "target", "predictor": "bmi"},
        reveals=cells("target", lambda r: np.add(r["fitted"], r["residual"])),
    ),
    Cheat(
        name="pca_scores",
        tables=PATIENTS[1:],
        arguments={"columns": ["height", "pressure", "cost"]},
        reveals=lambda r, _: [Cells("cost", (np.array(r["scores"]) @ r["axes"] + r["mean"])[:, 2], within=1e-6)],
    ),
    Cheat(
        name="singular_vectors",
        tables=PATIENTS[1:],
        arguments={"columns": ["height", "cost"]},
        reveals=lambda r, _: [Cells("cost", (np.array(r[0]) * r[1] @ np.array(r[2]))[:, 1], within=1e-6)],
    ),
    Cheat(
        name="kmeans_of_one",
        method="kmeans_step",
        tables=PATIENTS[1:],
        arguments={"columns": ["cost", "age"], "centres": [[500.0, 50.0], [1e6, 50.0]]},
        reveals=lambda r, _: [Group({"cost": c["sum"][0], "age": c["sum"][1]}, 1) for c in r if c["n"] == 1],
    ),
    Cheat(
        name="full_tree",
        tables=["patients_5", "patients_130"],
        arguments={"outcome": "days", "predictors": ["height", "cost"]},
        reveals=read_leaves,
    ),
    Cheat(
        name="pickled_tree",
        tables=["patients_5", "patients_130"],
        arguments={"outcome": "days", "predictors": ["height", "cost"]},
        reveals=read_pickle,
    ),
    Cheat(
        name="cross_product_of_5",
        method="cross_product",
        tables=TINY,
        arguments={"columns": ["height", "cost"], "factor": "age"},
        reveals=read_product,
    ),
    Cheat(
        name="support_vectors",
        tables=["patients_21", "patients_70"],
        arguments={"outcome": "sex", "predictors": ["height", "days"]},
        reveals=cells("days", lambda r: [point[1] for point in r]),
    ),
    Cheat(
        name="neighbours_model",
        tables=PATIENTS,
        arguments={"outcome": "event", "predictors": ["age", "cost"]},
        reveals=lambda r, _: [
            Group({"age": age, "cost": cost, "event": label}, 1)
            for (age, cost), label in zip(r["points"], r["labels"], strict=True)
        ],
    ),
    Cheat(
        name="propensity_scores",
        tables=TABLES[1:],
        arguments={"treatment": "treated", "predictor": "height"},
        reveals=read_scores,
    ),
    Cheat(
        name="worst_residual",
        tables=PATIENTS[1:],
        arguments={"outcome": "cost", "predictor": "height"},
        reveals=lambda r, _: [Group({"cost": r["y"], "height": r["x"]}, 1)],
    ),
    Cheat(
        name="naive_bayes_of_one",
        method="gaussian_naive_bayes",
        tables=WITH_SINGLETON,
        arguments={"label": "diagnosis", "columns": ["height", "cost"]},
        # A variance of 0 shows that the class is one patient.
        reveals=lambda r, _: [
            Fact({"diagnosis": d}, "cost", r["mean"][d]["cost"]) for d, v in r["variance"].items() if v["cost"] == 0
        ],
    ),
    Cheat(
        name="roc_points",
        tables=TABLES[1:],
        arguments={"score": "height", "outcome": "event"},
        reveals=cells("height", lambda r: [t for t in r["threshold"] if t is not None]),
    ),
    Cheat(
        name="isotonic_knots",
        tables=TABLES,
        arguments={"predictor": "height", "outcome": "pressure"},
        reveals=cells("height", lambda r: r["x"]),
    ),
    Cheat(
        name="gradient_of_batch",
        tables=PATIENTS,
        arguments={"outcome": "cost", "predictors": ["age"], "beta": [0.0, 0.0]},
        reveals=read_gradient,
    ),
    Cheat(
        name="medoids",
        tables=TABLES,
        arguments={"columns": ["height", "cost"]},
        reveals=lambda r, _: [Group({"height": height, "cost": cost}, 1) for height, cost in r],
    ),
    Cheat(
        name="matched_pairs",
        tables=TABLES,
        arguments={"treatment": "treated", "age": "age"},
        reveals=lambda r, _: [Fact({"row": pair[1 - flag]}, "treated", flag) for pair in r for flag in (0, 1)],
    ),
    Cheat(
        name="polynomial_trend",
        tables=TINY,
        arguments=lambda frame: {"column": "height", "degree": len(frame) - 1},
        reveals=lambda r, _: [Cells("height", np.polyval(r, np.arange(len(r)) / len(r)), within=1e-6)],
    ),
    Cheat(
        name="kernel_matrix",
        tables=TABLES,
        arguments={"columns": ["height"]},
        reveals=lambda r, _: [Cells("height", np.sqrt(np.diag(r)))],
    ),
]
