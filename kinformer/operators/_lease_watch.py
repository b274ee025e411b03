"""Watches the renewals of a Lease, for candidates.

It only makes them quicker: they go on reading by themselves, and decide by their reads. An event that is late, or old,
or never comes, costs time and nothing else: a renewal that is seen later only keeps its holder for longer.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from kinformer._survivable import is_survivable
from kinformer.errors import ForbiddenError, KinformerError, LifecycleError
from kinformer.objects import version_number
from kinformer.resources import LEASES

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.resources import Resource

__all__ = ["LeaseWatcher", "watch_lease"]

_log = logging.getLogger(__name__)

_WATCH_SECONDS = 300


@runtime_checkable
class LeaseWatcher(Protocol):
    """A client of an elector that can also watch; `kinformer.Client` is one."""

    def list_watch(self, resource: Resource, /, *, namespace: str, field_selector: str) -> Any:
        """A source (`kinformer.listwatch.ListerWatcher`) of the Lease."""
        ...


async def watch_lease(
    client: LeaseWatcher,
    name: str,
    namespace: str,
    *,
    known: Callable[[], dict[str, Any] | None],
    changed: Callable[[dict[str, Any] | None], None],
    pause: Callable[[], float],
) -> None:
    """Report each change of a Lease, until cancelled; end if watching is forbidden or impossible.

    Args:
        client: opens the watch.
        name: the Lease's name.
        namespace: the Lease's namespace.
        known: returns the Lease as known so far; later changes are reported. Without one, there is nothing to watch.
        changed: called with the Lease as it is now; `None` when it was deleted.
        pause: seconds between two beginnings of the watch, at least.
    """
    clock = asyncio.get_running_loop().time
    while True:
        lease = known()
        began = clock()
        try:
            if lease is not None:
                source = client.list_watch(LEASES, namespace=namespace, field_selector=f"metadata.name={name}")
                version = lease["metadata"]["resourceVersion"]
                async with source.watch(resource_version=version, timeout_seconds=_WATCH_SECONDS) as batches:
                    async for batch in batches:
                        for event in batch.events:
                            if _is_news(event.object.resource_version, known()):
                                gone = event.type.name == "DELETED"
                                changed(None if gone else event.object.to_dict())
                        if batch.error is not None:
                            raise batch.error  # noqa: TRY301 - answered like any other
        except ForbiddenError as error:
            text = "the lease %s/%s cannot be watched, so a change of leaders takes a little longer: %s"
            _log.info(text, namespace, name, error)
            return
        except LifecycleError:
            # The client is closed; the next read reports that.
            return
        except KinformerError as error:
            _log.debug("the watch of the lease %s/%s ended: %s", namespace, name, error)
        except BaseException as error:
            # A user's own client. Candidates go on reading.
            if not is_survivable(error):
                raise
            _log.error("the lease %s/%s cannot be watched", namespace, name, exc_info=error)
            return
        await asyncio.sleep(max(0.0, began + pause() - clock()))


def _is_news(version: str, known: dict[str, Any] | None) -> bool:
    """Return whether an event is newer than the last read."""
    return known is None or version_number(version) > version_number(known["metadata"]["resourceVersion"])
