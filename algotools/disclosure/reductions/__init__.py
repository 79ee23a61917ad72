"""Reductions of the rows of one node: for ``aggregate``, and for the totals of pooled functions."""
