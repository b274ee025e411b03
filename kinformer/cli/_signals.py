"""Ctrl-C and SIGTERM: both cancel the command, which must end within a second.

The loop's own signal handling is not enough: it cannot run while a write to a full pipe blocks the process, and it
waits for threads that resolve a host name. So the handlers are Python's own, with an alarm behind them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from types import FrameType

__all__ = ["run"]

GRACE: Final = 0.8
"""Seconds for the clean-up of a cancelled command."""

_SHOW_CURSOR: Final = b"\x1b[?25h"


def run(command: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run a command until it ends or a signal arrives; return its exit code, or 128 + the number of the signal.

    A second signal, or 0.8 seconds after the first, ends the process immediately.
    """
    stopper = _Stopper()
    with stopper.listening(), asyncio.Runner() as runner:
        stopper.loop = runner.get_loop()
        try:
            code = runner.run(stopper.watched(command))
        except asyncio.CancelledError:
            if stopper.signal is None:
                raise
            code = 0
    return code if stopper.signal is None else 128 + stopper.signal


class _Stopper:
    def __init__(self) -> None:
        self.signal: int | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None

    async def watched(self, command: Callable[[], Coroutine[Any, Any, int]]) -> int:
        self._task = asyncio.current_task()
        if self.signal is not None:
            return 0
        return await command()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals inside of the context; only the main thread can do so."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handled = [signal.SIGINT, signal.SIGTERM]
        if hasattr(signal, "SIGALRM"):
            handled.append(signal.SIGALRM)
        before = {number: signal.signal(number, self._handle) for number in handled}
        try:
            yield
        finally:
            if hasattr(signal, "setitimer"):
                signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is not None:
            self._give_up()
        self.signal = number
        if self.loop is not None and not self.loop.is_closed():
            # This also wakes the loop: the handler runs between two bytecodes, outside of the loop.
            self.loop.call_soon_threadsafe(self._cancel)
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, GRACE)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _give_up(self) -> None:
        if os.isatty(1):
            with contextlib.suppress(OSError):
                os.write(1, _SHOW_CURSOR)
        os._exit(128 + (self.signal or signal.SIGTERM))
