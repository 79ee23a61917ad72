from algotools import rpc


@rpc
def count(*columns: str) -> int:
    return len(columns)
