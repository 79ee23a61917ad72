"""Logistic regression over all nodes by Newton's method. Each node reads its data only once.

``prepare`` checks a node's rows and stores them as numbers in the job's temporary folder. ``derivatives`` reads the stored
rows in each round, without a database. ``forget`` removes them. (McCullagh and Nelder, Generalized Linear Models, 1989.)
"""

from newton.central import fit, likelihood_ratio
from newton.node import derivatives, forget, prepare

__all__ = ["derivatives", "fit", "forget", "likelihood_ratio", "prepare"]
