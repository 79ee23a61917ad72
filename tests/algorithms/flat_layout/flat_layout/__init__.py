"""An algorithm without a `src` folder."""

from algotools import rpc


@rpc
def where() -> str:
    return __file__
