"""A local federation: a server and its nodes on this machine, which run real tasks on real data.

>>> client = Federation.from_file("federation.yaml", algorithm="examples/average").client()  # doctest: +SKIP
"""

from algotools.federation._answers import Answers
from algotools.federation._completeness import Completeness
from algotools.federation._federation import Federation
from algotools.federation._grid import Cell, Grid
from algotools.federation.algorithms import RUNNERS, AlgorithmSource, RunnerName
from algotools.federation.client import Client
from algotools.federation.faults import Dead, Fault, Loses, Polls, Slow, Wrong
from algotools.federation.history import ContributorsChanged
from algotools.federation.mismatches import ResultMismatch

for _public in (
    Answers,
    Cell,
    Client,
    Completeness,
    ContributorsChanged,
    Dead,
    Federation,
    Grid,
    Loses,
    Polls,
    ResultMismatch,
    Slow,
    Wrong,
):
    _public.__module__ = __name__  # reprs, help and pickles show the documented name

__all__ = [
    "RUNNERS",
    "AlgorithmSource",
    "Answers",
    "Cell",
    "Client",
    "Completeness",
    "ContributorsChanged",
    "Dead",
    "Fault",
    "Federation",
    "Grid",
    "Loses",
    "Polls",
    "ResultMismatch",
    "RunnerName",
    "Slow",
    "Wrong",
]
