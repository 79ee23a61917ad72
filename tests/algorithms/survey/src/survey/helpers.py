"""Helpers of the functions; a task cannot call them."""


def tidy(values: list[str]) -> list[str]:
    """Strip and sort the values."""
    return sorted(value.strip() for value in values)
