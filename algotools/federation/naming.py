"""What a task names to work on: databases by their labels, tables by their ids."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from algotools.errors import FederationError
from algotools.federation.posting import Asked
from algotools.task import Database


def asked(databases: object) -> list[Asked]:
    """What ``databases`` names: databases by label, or tables by id, a list for each argument.

    Raises:
        FederationError: it has another shape.
    """
    if isinstance(databases, (str, int, Mapping, Database)):
        return [_asked(databases)]
    if not isinstance(databases, Sequence):
        raise FederationError(f"`databases` is a label, or a list of {_SHAPE}")
    return [_asked(item) for item in databases]


_SHAPE = 'items {"label": "default"} or {"dataframe_id": 1}, or lists of these'


def _asked(item: object) -> Asked:
    if isinstance(item, Database):
        return item
    if isinstance(item, str):
        return Database(item)
    if isinstance(item, Mapping) and "dataframe_id" not in item:
        return _database(item)
    several = item if isinstance(item, list) else [item]
    ids = [one.get("dataframe_id") if isinstance(one, Mapping) else one for one in several]
    found = [id_ for id_ in ids if isinstance(id_, int)]
    if not ids or len(found) < len(ids):
        raise FederationError(f"`databases` has {_SHAPE}")
    return found


def _database(item: Mapping[str, object]) -> Database:
    known = {"label", "query", "sheet_name", "preprocessing"}
    if not isinstance(item.get("label"), str) or item.keys() - known:
        raise FederationError(f"a database is a mapping with `label` and maybe {', '.join(sorted(known - {'label'}))}")
    steps = item.get("preprocessing")
    query, sheet = (None if item.get(key) is None else str(item[key]) for key in ("query", "sheet_name"))
    steps = None if steps is None else json.dumps(steps)
    return Database(str(item["label"]), query=query, sheet_name=sheet, preprocessing=steps)
