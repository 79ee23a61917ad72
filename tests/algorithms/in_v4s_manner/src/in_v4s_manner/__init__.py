"""A mean and a spread, written as authors of v4's tools write: but for the imports and the decorators, their code."""

from in_v4s_manner.central import central, in_v5s_form, looks_around, never_looks, two_at_once
from in_v4s_manner.partial import moments, partial

__all__ = ["central", "in_v5s_form", "looks_around", "moments", "never_looks", "partial", "two_at_once"]
