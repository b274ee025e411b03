"""The pages of lists with a `limit`. Each list keeps the state that its first page had. Pure."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kinformer.proxy._bodies import Refusal

if TYPE_CHECKING:
    from kinformer.objects import KubeObject

__all__ = ["Page", "Pages"]

MOST_OPEN_LISTS: Final = 64
"""Lists whose next page is still there. The oldest is forgotten for one more: its next page gets 410."""

_TOKEN: Final = re.compile(r"([0-9]{1,15})-([0-9]{1,15})")


class Page(NamedTuple):
    """One page of a list.

    Attributes:
        version: the version of the whole list.
        objects: the objects.
        more: `continue` and `remainingItemCount`, as the metadata of the list has them; nothing for the last page.
    """

    version: int
    objects: list[KubeObject]
    more: dict[str, Any]


class Pages:
    """The lists that clients are reading page by page."""

    def __init__(self) -> None:
        self._made = 0
        self._open: OrderedDict[int, tuple[str, int, list[KubeObject]]] = OrderedDict()

    def first(self, path: str, version: int, objects: list[KubeObject], limit: int) -> Page:
        """Return the first page of a list; the whole list for a limit of 0."""
        if not limit or len(objects) <= limit:
            return Page(version, objects, {})
        self._made += 1
        self._open[self._made] = (path, version, objects)
        while len(self._open) > MOST_OPEN_LISTS:
            self._open.popitem(last=False)
        return self._page(self._made, 0, limit)

    def next(self, path: str, token: str, limit: int) -> Page:
        """Return the page behind a token. The same token gives the same page again.

        Raises:
            Refusal: 400 for a text that is no token of this list, 410 for a list that is no longer there.
        """
        found = _TOKEN.fullmatch(token)
        if found is None:
            raise Refusal(400, "BadRequest", "continue key is not valid: it is no token of this server")
        number, start = int(found[1]), int(found[2])
        if number not in self._open:
            msg = "The provided continue parameter is too old to display a consistent list result. Begin a new list."
            raise Refusal(410, "Expired", msg)
        if self._open[number][0] != path:
            raise Refusal(400, "BadRequest", "continue key is not valid: it belongs to another list")
        self._open.move_to_end(number)
        return self._page(number, start, limit)

    def _page(self, number: int, start: int, limit: int) -> Page:
        _, version, objects = self._open[number]
        end = start + limit if limit else len(objects)
        left = max(len(objects) - end, 0)
        more = {"continue": f"{number}-{end}", "remainingItemCount": left} if left else {}
        return Page(version, objects[start:end], more)
