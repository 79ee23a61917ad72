"""Answers in JSON, as v4 and v5 have them."""

from __future__ import annotations

from algotools.contract import files


class JsonAnswers:
    """The part of ``Contract`` that v4 and v5 have in common."""

    def output(self, data: bytes) -> bytes:
        """See ``Contract.output``; a table (v5) stays as it is."""
        return files.wrap(data)

    def result(self, output: bytes) -> bytes:
        """See ``Contract.result``."""
        return files.unwrap(output)

    def answer(self, output: bytes) -> object:
        """See ``Contract.answer``."""
        return files.parse_answer(output, output) if output else None
