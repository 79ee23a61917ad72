"""No Python."""

def unfinished(
