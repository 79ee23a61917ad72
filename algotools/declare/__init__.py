"""Declaring functions: the decorators, signatures, the lookup of an algorithm and its description."""
