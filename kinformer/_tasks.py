"""The only place that creates bare tasks.

A task group must be left in the task that entered it. But users start and stop informers in any task (a pytest fixture,
a FastAPI lifespan, a signal handler). So one `BackgroundTask` carries the task group, and all other tasks start inside
it.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import sys
from typing import TYPE_CHECKING, TypeVar

from kinformer._own_loop import refuse_other_loop
from kinformer._survivable import is_survivable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

__all__ = ["BackgroundTask", "ended", "is_survivable", "shielded", "whole"]

T = TypeVar("T")

_log = logging.getLogger(__name__)


def shielded() -> contextlib.AbstractContextManager[object]:
    """Return a context in which a cancelled scope of anyio does not cancel the waits.

    Before anyio is imported, no such scope can exist. So a program without anyio does not import it here, which takes
    some 40 ms of CPU time.
    """
    if "anyio" not in sys.modules:
        return contextlib.nullcontext()
    import anyio

    return anyio.CancelScope(shield=True)


class BackgroundTask:
    """A coroutine that runs in the background, from `start` until it ends or `stop` cancels it.

    A failure is never lost: `failure` keeps it, `stop` raises it, and it is logged as critical when it happens, unless
    the owner reports it in an `on_end` of its own.
    """

    __slots__ = ("_name", "_on_end", "_task")

    def __init__(self, name: str) -> None:
        self._name = name
        self._on_end: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """True if the coroutine was started and has not ended."""
        return self._task is not None and not self._task.done()

    @property
    def is_current(self) -> bool:
        """True if the caller runs in this task."""
        return self._task is not None and self._task is asyncio.current_task()

    @property
    def failure(self) -> BaseException | None:
        """The exception that ended the coroutine, other than a cancellation; `None` if there is none."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()

    def start(self, coroutine: Coroutine[Any, Any, None], *, on_end: Callable[[], None] | None = None) -> None:
        """Start the coroutine in the next turn of the loop.

        `on_end` is called when it has ended, for any reason, and reports a failure. A `finally` in the coroutine is not
        enough: it does not run if the task is cancelled before its first step.
        """
        if self._task is not None:
            coroutine.close()
            msg = f"background task {self._name!r} has been started already"
            raise RuntimeError(msg)
        context = contextvars.copy_context()
        self._task = asyncio.get_running_loop().create_task(coroutine, name=self._name, context=context)
        self._on_end = on_end
        self._task.add_done_callback(self._ended, context=context)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._on_end is not None:
            self._on_end()
        elif not task.cancelled() and (failure := task.exception()) is not None:
            _log.critical("%s has failed by a defect, and has ended", self._name, exc_info=failure)

    def cancel(self) -> None:
        """Cancel the coroutine; do not wait for its end."""
        if self._task is not None:
            self._task.cancel()

    def refuse_other_loop(self) -> None:
        """Refuse a call from another loop than the one in which the coroutine runs.

        Raises:
            WrongLoopError: it runs in another loop.
        """
        if self._task is not None and not self._task.done():
            refuse_other_loop(self._task.get_loop(), f"{self._name} was started")

    async def join(self) -> None:
        """Wait until the coroutine has ended, for any reason. Its exception is not raised.

        If the caller is cancelled, the coroutine continues.

        Raises:
            WrongLoopError: the coroutine runs in another loop.
        """
        self.refuse_other_loop()
        if self._task is not None and not self.is_current:
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """Cancel the coroutine and wait until it has ended.

        If the caller is cancelled while it waits, the coroutine is still cancelled. The cancellation of an anyio scope
        around the caller is delivered after the end. Without that, anyio would cancel every wait in its scope, also
        those that clean up, and `with anyio.move_on_after(5): async with factory: ...` would leave tasks behind. Inside
        of the coroutine itself, this method only cancels, because a task cannot await itself.

        Raises:
            BaseException: the exception of the coroutine, if it failed.
            WrongLoopError: the coroutine runs in another loop; it goes on.
        """
        self.refuse_other_loop()
        self.cancel()
        if self._task is None or self.is_current:
            return
        if not self._task.done():  # the callbacks of an ended task of another loop may never run
            with shielded():
                await asyncio.wait([self._task])
        if self._task.cancelled():
            return
        failure = self._task.exception()
        if failure is not None:
            raise failure


async def whole(making: Coroutine[Any, Any, T], undo: Callable[[T], Awaitable[None]]) -> T:
    """Run a coroutine to its end; if the caller is cancelled meanwhile, undo the result.

    Use it for work that must not stop half way, such as the start of a process. However often the caller is cancelled,
    the result is undone before the cancellation is raised.

    Raises:
        BaseException: the exception of the coroutine; if the caller was cancelled, the cancellation, after `undo`.
    """
    task = asyncio.get_running_loop().create_task(making)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        # A second cancellation must not replace the first.
        with contextlib.suppress(asyncio.CancelledError):
            await _done(task)
        if not task.cancelled() and task.exception() is None:
            with contextlib.suppress(asyncio.CancelledError):
                await ended(_awaited(undo(task.result())))
        raise
    return task.result()


async def ended(work: Coroutine[Any, Any, object]) -> None:
    """Run a coroutine to its end, however often the caller is cancelled meanwhile.

    Use it for a short clean-up that must not stop half way.

    Raises:
        BaseException: the exception of the coroutine; if the caller was cancelled, the cancellation, after the end.
    """
    task = asyncio.get_running_loop().create_task(work)
    await _done(task)
    task.result()


async def _done(task: asyncio.Task[Any]) -> None:
    """Wait for the end of a task; a cancellation of the caller is raised only after it."""
    cancelled: asyncio.CancelledError | None = None
    with shielded():
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled


async def _awaited(work: Awaitable[object]) -> None:
    await work
