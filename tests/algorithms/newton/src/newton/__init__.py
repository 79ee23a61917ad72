"""Logistic regression over all nodes by Newton's method, each of which reads its data once.

``prepare`` checks a node's rows and keeps them as numbers in the job's temporary folder; ``derivatives`` answers for them,
round after round, without a database; ``forget`` removes them. (McCullagh and Nelder, Generalized Linear Models, 1989.)
"""

from newton.central import fit, likelihood_ratio
from newton.node import derivatives, forget, prepare

__all__ = ["derivatives", "fit", "forget", "likelihood_ratio", "prepare"]
