"""Exceptions of foreign code: the ones that the calling task must survive, and their text."""

from __future__ import annotations

import asyncio

__all__ = ["is_survivable", "text_of"]


def is_survivable(error: BaseException) -> bool:
    """Return whether an exception that foreign code raised must not end the task that called it.

    Foreign code is what users pass (handlers, transforms, predicates, sinks, sources of objects). It may raise
    anything, also exceptions that mean an end elsewhere: `CancelledError` out of the result of a cancelled future,
    `GeneratorExit`. Not survivable are `KeyboardInterrupt`, `SystemExit`, the cancellation of the running task, and the
    `GeneratorExit` of a coroutine that is closed because its loop has gone.
    """
    if isinstance(error, Exception):
        return True
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False  # no loop runs
    if isinstance(error, asyncio.CancelledError):
        return task is None or not task.cancelling()
    return True


def text_of(error: BaseException) -> str:
    """Return the text of an exception, also if its class cannot make one."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a user's exception class
        return "its text cannot be read"
