"""An algorithm without a `src` folder."""

from algotools import rpc


@rpc
def module_file() -> str:
    return __file__
