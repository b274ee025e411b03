"""Hooks before a reconcile: each may return an awaitable for which the key must wait first."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from kinformer._survivable import is_survivable

if TYPE_CHECKING:
    import asyncio

    from kinformer.controller._outcomes import Outcomes
    from kinformer.workqueue import RateLimitingQueue

__all__ = ["BeforeReconcile", "Hook"]

K = TypeVar("K", bound=Hashable)

Hook: TypeAlias = Callable[[K], Awaitable[object] | None]


class BeforeReconcile(Generic[K]):
    """Asks the hooks of a controller, and awaits their awaitables, outside of the workers.

    Args:
        name: name of the controller, for tasks.
        queue: where a key goes when its wait is over.
        outcomes: gets the failures of hooks.

    Attributes:
        hooks: asked in this order.
        waits: the tasks that await something for a key.
    """

    def __init__(self, name: str, queue: RateLimitingQueue[K], outcomes: Outcomes[K]) -> None:
        self.hooks: list[Hook[K]] = []
        self.waits: set[asyncio.Task[BaseException | None]] = set()
        self._name = name
        self._queue = queue
        self._outcomes = outcomes

    def cancel(self) -> None:
        """Cancel all waits."""
        for wait in self.waits:
            wait.cancel()

    def put_aside(self, key: K, group: asyncio.TaskGroup) -> bool:
        """Call the hooks; return whether the worker must drop the key, because it has to wait or has failed."""
        for hook in self.hooks:
            try:
                waiting = hook(key)
            except BaseException as error:
                if not is_survivable(error):
                    raise
                self._outcomes.failed(key, "failed before it began", error)
                self._queue.done(key)
                return True
            if waiting is not None:
                name = f"kinformer controller {self._name} waits before a reconcile"
                wait = group.create_task(_error_of(waiting), name=name)
                self.waits.add(wait)
                # Not at the end of the coroutine: a task that is cancelled before its first step does not reach it.
                wait.add_done_callback(functools.partial(self._come_back, key, waiting))
                return True
        return False

    def _come_back(self, key: K, waiting: Awaitable[object], wait: asyncio.Task[BaseException | None]) -> None:
        self.waits.discard(wait)
        if wait.cancelled():
            if inspect.iscoroutine(waiting):
                waiting.close()
            self._queue.done(key)
            return
        error = wait.result()
        if error is None:
            self._queue.give_back(key)
            return
        self._outcomes.failed(key, "failed before it began", error)
        self._queue.done(key)


async def _error_of(waiting: Awaitable[object]) -> BaseException | None:
    """Await something; return its exception, except for the cancellation of this task."""
    try:
        await waiting
    except BaseException as error:
        if not is_survivable(error):
            raise
        return error
    return None
