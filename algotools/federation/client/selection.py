"""What every list and every single item of the client can be narrowed down to: pages, items, keys."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar, cast

from algotools.contract import rest
from algotools.errors import FederationError

Item = dict[str, Any]

Listed = Any
"""A page, ``{"data": [...], "links": {...}}``; or a plain list of items, where something of it was left out."""

Record = TypeVar("Record")


class Keys(TypedDict, total=False):
    """Which keys of an item are kept: one, or several."""

    field: str | None
    fields: Sequence[str] | None


class Selection(Keys, total=False):
    """Which items of a list are shown, and how.

    ``filter_`` is a key and the value that an item has there, ``filters`` are several of such; ``page`` is counted from
    1, with ``per_page`` items; without ``include_metadata`` the list comes without its links.
    """

    filter_: tuple[str, object] | None
    filters: Sequence[tuple[str, object]] | None
    page: int | None
    per_page: int | None
    include_metadata: bool


PAGES_OF_TWENTY: Selection = {"page": 1, "per_page": 20}
"""What most of the platform's lists do if nothing is said; the others give everything."""


def one(item: Item, keys: Keys, method: Callable[..., object]) -> Item:
    """A single item, with the keys that are asked for."""
    _check(keys, Keys, method)
    return _kept([item], keys)[0]


def several(
    records: Sequence[Record],
    show: Callable[[Record], Item],
    path: str,
    selection: Selection,
    method: Callable[..., object],
) -> Listed:
    """The page of a list that is asked for: only its records are shown.

    Args:
        records: all of the list, in its order.
        show: makes an item of a record.
        path: where the platform has the list, for the links.
        selection: the caller's.
        method: the caller, for errors.
    """
    _check(selection, Selection, method)
    query = {key: str(value) for key, value in selection.items() if key in ("page", "per_page") and value is not None}
    try:
        page = rest.page(records, path, query)
    except ValueError:
        raise FederationError("pages are counted from 1, and have an item at least") from None
    items = [show(record) for record in cast("list[Record]", page["data"])]
    single = selection.get("filter_")
    filters = [*([] if single is None else [single]), *(selection.get("filters") or ())]
    for key, value in filters:
        _check_keys([key], items)
        items = [item for item in items if item[key] == value]
    plain = filters or _wanted(selection) is not None or not selection.get("include_metadata", True)
    items = _kept(items, selection)
    return items if plain else {**page, "data": items}


def like(pattern: str | None, text: str) -> bool:
    """Whether a text is like a pattern, as SQL understands it: ``%`` is any text, ``_`` one character."""
    if pattern is None:
        return True
    expression = re.escape(pattern).replace("%", ".*").replace("_", ".")
    return re.fullmatch(expression, text, re.DOTALL) is not None


def one_of(value: str | None, known: Sequence[str], what: str) -> None:
    """Refuse a value that nothing can have.

    Raises:
        FederationError: it is none of those that there are.
    """
    if value is not None and value not in known:
        raise FederationError(f"there is no {what} {value!r}; there are: {', '.join(known)}")


def _wanted(keys: Keys) -> Sequence[str] | None:
    single = keys.get("field")
    return keys.get("fields") if single is None else [single]


def _kept(items: list[Item], keys: Keys) -> list[Item]:
    wanted = _wanted(keys)
    if wanted is None:
        return items
    if isinstance(wanted, str):
        raise FederationError(f"fields is a list of keys: fields=[{wanted!r}], or field={wanted!r}")
    _check_keys(wanted, items)
    return [{key: item[key] for key in wanted} for item in items]


def _check_keys(keys: Sequence[str], items: list[Item]) -> None:
    if items and (unknown := [str(key) for key in keys if key not in items[0]]):
        raise FederationError(f"no field {', '.join(unknown)}; there are: {', '.join(items[0])}")


def _check(given: Mapping[str, object], kind: type, method: Callable[..., object]) -> None:
    known = sorted(getattr(kind, "__optional_keys__"))  # noqa: B009 - which mypy does not know of a class of that kind
    if unknown := [key for key in given if key not in known]:
        own = [p.name for p in inspect.signature(method).parameters.values() if p.kind is not p.VAR_KEYWORD]
        raise FederationError(
            f"{method.__name__} has no argument {', '.join(unknown)}; there are: {', '.join([*own, *known])}"
        )
