"""Task -> result: ``perform`` does the work, ``worker`` and ``supervisor`` do it in a process of its own."""

from algotools.dispatch.perform import Load, perform

__all__ = ["Load", "perform"]
