"""Waits until the caches of several informers have synced; one error names all that have not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kinformer.errors import CacheSyncError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer.informer._shared_informer import SharedInformer
    from kinformer.scope import ScopedResource

__all__ = ["wait_until_synced"]


async def wait_until_synced(
    informers: Sequence[tuple[ScopedResource, SharedInformer]], timeout: float | None, *, fail_fast: bool
) -> None:
    """Wait until the first list of each informer is completely in its cache.

    Args:
        informers: the informers, each with its resource and scope for messages.
        timeout: seconds to wait at most, for all together; `None` waits for ever.
        fail_fast: raise as soon as the server answers one informer with 401, 403 or 404.

    Raises:
        CacheSyncError: not in time, or refused; names each cache that has not synced, and its last error.
        StoppedError: an informer ended before that.
    """
    try:
        async with asyncio.timeout(timeout), asyncio.TaskGroup() as group:
            for covered, informer in informers:
                if not informer.has_synced:
                    group.create_task(informer.synced(fail_fast=fail_fast), name=f"kinformer waits for {covered}")
    except TimeoutError:
        raise _not_in_sync(informers, f"after {timeout} s") from _first_error(informers)
    except ExceptionGroup as failed:
        first = failed.exceptions[0]
        if not isinstance(first, CacheSyncError):
            raise first from None
        raise _not_in_sync(informers, "and cannot be") from first.__cause__


def _not_in_sync(informers: Sequence[tuple[ScopedResource, SharedInformer]], when: str) -> CacheSyncError:
    late = {informer.name: informer for _, informer in informers if not informer.has_synced}
    causes = {name: informer.status.last_error for name, informer in late.items()}
    listed = "; ".join(
        f"{name}: {cause if cause is not None else f'no error, {late[name].status.listed} objects so far'}"
        for name, cause in causes.items()
    )
    return CacheSyncError(f"{len(late)} of {len(informers)} caches are not in sync {when}: {listed}", causes)


def _first_error(informers: Sequence[tuple[ScopedResource, SharedInformer]]) -> BaseException | None:
    late = (informer.status.last_error for _, informer in informers if not informer.has_synced)
    return next((error for error in late if error is not None), None)
