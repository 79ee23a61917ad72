"""Judge the corpus, and print the matrix of the gate: ``python -m tests.disclosure``."""

from __future__ import annotations

import argparse
import sys
import warnings

from . import matrix
from .matrix import MINIMA, format_matrix, format_rules, write_page


def main() -> None:
    """Print the matrix, also the rules at the other minima; or write it into docs/trust.md."""
    parser = argparse.ArgumentParser(prog="python -m tests.disclosure", description=__doc__)
    parser.add_argument("--page", action="store_true", help="replace the tables in docs/trust.md")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    matrix.has_all_nodes = True
    sys.stdout.write("".join(f"{tables}\n\n" for tables in format_matrix().values()))
    sys.stdout.write("".join(f"\n{format_rules(k)}\n" for k in MINIMA[1:]))
    if options.page:
        write_page()


main()
