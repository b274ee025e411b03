"""Retry on conflict: read the object anew and decide anew, when another writer was faster.

    async def scale(current: KubeObject) -> KubeObject | None:
        if current.at("spec.replicas") == 3:
            return None                                            # nothing to do: no request
        manifest = current.to_dict()
        manifest["spec"]["replicas"] = 3
        return await client.replace(manifest, resource=DEPLOYMENTS)

    await retry_on_conflict(client, deployments.lister.get(key), scale)

A write that names the resource version it was read in is refused with 409 (`ConflictError`) when the object has changed
meanwhile. The remedy is always the same: read, decide, write once more (client-go util/retry, RetryOnConflict).
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from kinformer.backoff import Backoff
from kinformer.errors import ConflictError, NotFoundError
from kinformer.operators._class_objects import Obj, as_class_of, as_object

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["DEFAULT_ATTEMPTS", "DEFAULT_BACKOFF", "ReadingClient", "retry_on_conflict"]

T = TypeVar("T")

DEFAULT_ATTEMPTS: Final = 10
# client-go begins with 10 ms, too (util/retry, DefaultRetry); it grows faster there, and ends after 5 attempts.
DEFAULT_BACKOFF: Final = Backoff(initial=0.01, factor=2, maximum=1.0, jitter=0.5)


class ReadingClient(Protocol):
    """A client that reads one object; `kinformer.Client` is one."""

    async def get(self, resource: Resource, name: str, /, *, namespace: str | None) -> KubeObject:
        """Read an object in its most recent state; `NotFoundError` if there is none."""
        ...


async def retry_on_conflict(
    client: ReadingClient,
    obj: Obj,
    write: Callable[[Obj], Awaitable[T]],
    *,
    attempts: int = DEFAULT_ATTEMPTS,
    backoff: Backoff = DEFAULT_BACKOFF,
) -> T | None:
    """Call `write` with an object; after a conflict, read the object anew and call `write` again.

    The first retry comes at once, the later ones after a growing pause. Any other error of `write` ends the attempts.
    If cancelled, the last attempt may or may not have been stored.

    Args:
        client: reads the object; `kinformer.Client` does.
        obj: the object as a cache or the server has it: the first attempt needs no read. Of a class with
            `custom_resource`, `write` gets objects of that class.
        write: a coroutine function that takes the current object, decides, and writes with its `resourceVersion`, so
            that the server refuses a write that is based on an older state.
        attempts: maximum number of calls of `write`.
        backoff: the pauses between the attempts.

    Returns:
        The result of `write`; `None` if, after a conflict, the object is gone or another one has its name.

    Raises:
        ConflictError: the last attempt met a conflict, too.
        ValueError: `attempts` is less than 1.
        TypeError: `write` returned no awaitable, or the class of the object does not keep its metadata.
        DecodeError: the object that was read anew does not fit its class.
        ApiError: the server refused the write or the read.
        TransportError: no complete answer came.
    """
    if attempts < 1:
        msg = f"attempts={attempts}: expected 1 or more"
        raise ValueError(msg)
    first = as_object(obj)
    current = obj
    failures = 0
    while True:
        attempt = write(current)
        if not inspect.isawaitable(attempt):
            msg = f"write returned a {type(attempt).__name__}; expected a coroutine function, such as `async def`"
            raise TypeError(msg)
        try:
            return await attempt
        except ConflictError:
            failures += 1
            if failures == attempts:
                raise
        if failures > 1:
            await asyncio.sleep(backoff.delay(failures - 1))
        try:
            found = await client.get(first.resource, first.name, namespace=first.namespace or None)
        except NotFoundError:
            return None
        if found.uid != first.uid:
            return None
        current = as_class_of(obj, found)
