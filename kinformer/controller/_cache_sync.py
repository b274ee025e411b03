"""Waits until the caches that a controller reads are filled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kinformer.errors import CacheSyncError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer.controller._event_mapping import Source

__all__ = ["wait_for_caches"]


async def wait_for_caches(name: str, sources: Sequence[Source], timeout: float | None) -> None:
    """Wait until each cache has synced.

    Args:
        name: name of the controller, for messages.
        sources: the informers of the caches.
        timeout: seconds to wait at most; `None` waits for ever.

    Raises:
        CacheSyncError: not all were filled in time; names each of the others.
        StoppedError: an informer has been stopped; this ends the wait for the others.
    """

    async def late(source: Source) -> CacheSyncError | None:
        try:
            await source.synced(timeout=timeout)
        except CacheSyncError as error:
            return error
        return None

    task_name = f"kinformer controller {name} waits for caches"
    try:
        async with asyncio.TaskGroup() as group:
            waits = [group.create_task(late(source), name=task_name) for source in sources]
    except ExceptionGroup as group_error:
        raise group_error.exceptions[0] from None
    errors = [error for wait in waits if (error := wait.result()) is not None]
    if errors:
        msg = f"controller {name!r} cannot start: {'; '.join(map(str, errors))}"
        raise CacheSyncError(msg, {cache: cause for error in errors for cache, cause in error.causes.items()})
