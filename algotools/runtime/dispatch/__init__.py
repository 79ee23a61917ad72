"""Task -> result: ``perform`` does the work; ``worker`` and ``supervisor`` run it in a separate process."""
