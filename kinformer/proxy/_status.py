"""The status of a proxy: numbers, names of resources and kinds of errors, never an object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinformer.proxy._caches import Served

__all__ = ["STATUS_PATH", "is_in_sync", "status_of_caches"]

STATUS_PATH: Final = "/kinformer/status"


def is_in_sync(caches: Iterable[Served]) -> bool:
    """Return whether each cache has its first list, and none has failed by a defect."""
    return all(served.synced.is_set() and not served.upstream.has_failed for served in caches)


def status_of_caches(caches: Iterable[Served], now: float) -> list[dict[str, Any]]:
    """Return the state of each cache, with values that JSON has.

    Args:
        caches: the caches.
        now: the time of the event loop.
    """
    return [_status(served, now) for served in caches]


def _status(served: Served, now: float) -> dict[str, Any]:
    upstream, cache = served.upstream, served.upstream.cache
    contact, error = upstream.last_contact, upstream.error
    return {
        "resource": cache.resource.qualified,
        "namespace": cache.namespace or None,
        "synced": served.synced.is_set(),
        "objects": len(cache.store),
        "resourceVersion": str(cache.version),
        "watches": len(served.fanout.watches),
        "upstream": {
            "state": upstream.state,
            "silentForSeconds": None if contact is None else round(now - contact, 3),
            "error": None if error is None else f"{type(error).__name__}{_code(error)}",
        },
    }


def _code(error: Exception) -> str:
    return f" {error.status}" if isinstance(error, ApiError) else ""
