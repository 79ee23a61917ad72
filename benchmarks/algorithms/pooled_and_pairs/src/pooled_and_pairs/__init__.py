"""Statistics in two forms: a pooled function, and a pair of an rpc and a master that an author wrote by hand."""

from . import by_hand, written_once  # noqa: F401 - the decorators register the functions
