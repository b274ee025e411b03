"""Does a list that comes in pages come to an end?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinformer.client._http.limits import LIST_OBJECT_LIMIT, REPEATED_PAGES_LIMIT
from kinformer.errors import ProtocolError

if TYPE_CHECKING:
    from kinformer.listwatch import ListPage
    from kinformer.objects import ObjectKey

__all__ = ["PageCheck"]


class PageCheck:
    """Refuses a list whose pages go round in a circle, or have no end.

    Args:
        doing: the request in words, for errors.
    """

    __slots__ = ("_doing", "_nothing_new", "_objects", "_start", "_starts", "_tokens")

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._objects = 0
        self._nothing_new = 0
        self._tokens: set[str] = set()
        self._starts: set[ObjectKey] = set()
        self._start: ObjectKey | None = None  # the first object of the present page

    def took(self, part: ListPage) -> None:
        """Take note of a part of a page."""
        self._objects += len(part.items)
        if self._start is None and part.items:
            self._start = part.items[0].key

    def ended(self, token: str) -> None:
        """Take note of the end of a page, and of the continue token that it gave.

        Raises:
            ProtocolError: another page would not bring the list to an end.
        """
        start, self._start = self._start, None
        if not token:
            return
        if token in self._tokens:
            raise self._endless("the server gives the same page again and again (its continue token repeats)")
        self._tokens.add(token)
        if start is None or start in self._starts:
            self._nothing_new += 1
        else:
            self._starts.add(start)
        if self._nothing_new > REPEATED_PAGES_LIMIT:
            raise self._endless(f"the list has no end; {self._nothing_new:,} of its pages brought nothing new")
        if self._objects > LIST_OBJECT_LIMIT:
            raise self._endless(f"the list has no end; {LIST_OBJECT_LIMIT:,} objects have come")

    def _endless(self, reason: str) -> ProtocolError:
        return ProtocolError(f"cannot {self._doing}: {reason}")
