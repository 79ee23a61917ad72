"""A mean and a standard deviation in the style of v4's tools. Only imports and decorators differ from v4 code."""

from v4_style.central import central, v5_style_call, use_every_call, ignore_results, two_at_once
from v4_style.partial import moments, partial

__all__ = ["central", "v5_style_call", "use_every_call", "moments", "ignore_results", "partial", "two_at_once"]
