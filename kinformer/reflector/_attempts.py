"""The frame of each attempt at a list or a watch: the deadline of its opening, and its end as a failure."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from kinformer._survivable import is_survivable
from kinformer.errors import KinformerError, TransportTimeoutError, UnexpectedError, WrongLoopError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from kinformer.listwatch import WatchBatch

__all__ = ["OpenWatch", "as_failure"]

_log = logging.getLogger(__name__)

OPENING_DEADLINE: Final = 20.0
"""Seconds that the server may take to answer a watch. After that, a list is due: so the cache is also right behind a
gateway that holds the answer back until there is an event."""


class OpenWatch:
    """Opens and closes a watch, for `async with`; the opening has a deadline.

    Not an `AsyncExitStack`, which would be five objects for the collector as long as the watch is open.

    Args:
        watch: the watch.
        name: the name of the informer, for errors.
    """

    __slots__ = ("_name", "_watch")

    def __init__(self, watch: AbstractAsyncContextManager[AsyncIterator[WatchBatch]], name: str) -> None:
        self._watch = watch
        self._name = name

    async def __aenter__(self) -> AsyncIterator[WatchBatch]:
        """Open the watch.

        Raises:
            TransportTimeoutError: the server has not answered after `OPENING_DEADLINE`.
        """
        limit = asyncio.timeout(OPENING_DEADLINE)
        try:
            async with limit:
                return await self._watch.__aenter__()
        except TimeoutError:
            if not limit.expired():
                raise
            msg = f"the server has not answered the watch of {self._name} after {OPENING_DEADLINE:g} s"
            raise TransportTimeoutError(msg) from None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._watch.__aexit__(kind, error, traceback)


def as_failure(error: BaseException, name: str, doing: str) -> KinformerError | None:
    """Return an error of the server or the source as a failure; `None` if it must end the task.

    The failure and its causes have no traceback: it would keep the frames of the attempt, with their buffers, as long
    as the status has the failure.
    """
    if isinstance(error, WrongLoopError):
        return None  # a source that was opened in another loop never lists: the informer fails at once
    if isinstance(error, KinformerError):
        cause: BaseException | None = error
        while cause is not None and cause.__traceback__ is not None:
            cause.__traceback__ = None
            cause = cause.__cause__ or cause.__context__
        return error
    if not is_survivable(error):
        return None
    _log.error("%s: unexpected %s in a %s", name, type(error).__name__, doing, exc_info=error)
    failure = UnexpectedError(f"the {doing} of {name} failed with an unexpected {type(error).__name__}")
    failure.__cause__ = error
    return failure
