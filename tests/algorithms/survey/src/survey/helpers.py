"""What the functions need; no endpoint."""


def tidy(values: list[str]) -> list[str]:
    """Stripped and in order."""
    return sorted(value.strip() for value in values)
