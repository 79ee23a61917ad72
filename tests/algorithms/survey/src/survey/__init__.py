"""A realistic algorithm: several modules, postponed annotations, classes as arguments, helpers."""

from survey.functions import count, summary
from survey.helpers import tidy

__all__ = ["count", "summary", "tidy"]
