"""The event loop that an object belongs to: a call in another one would wait for ever, and so is refused."""

from __future__ import annotations

import asyncio

from kinformer.errors import WrongLoopError

__all__ = ["OwnLoop", "refuse_other_loop", "refuse_other_loop_of"]


class OwnLoop:
    """The event loop that an object was started in; none before `take`.

    Args:
        beginning: the beginning of the error message: the object, and how it came to its loop.
    """

    __slots__ = ("_beginning", "_loop")

    def __init__(self, beginning: str) -> None:
        self._beginning = beginning
        self._loop: asyncio.AbstractEventLoop | None = None

    def take(self) -> asyncio.AbstractEventLoop:
        """Make the running loop the own one, and return it."""
        self._loop = asyncio.get_running_loop()
        return self._loop

    def take_once(self) -> None:
        """Make the running loop the own one if there is none yet.

        Raises:
            WrongLoopError: the running loop is another one.
        """
        if self._loop is None:
            self.take()
        else:
            refuse_other_loop(self._loop, self._beginning)

    def check(self) -> None:
        """Refuse a call from another loop. A thread without a loop may call: it cannot wait.

        Raises:
            WrongLoopError: the running loop is another one.
        """
        if self._loop is not None:
            refuse_other_loop(self._loop, self._beginning)


def refuse_other_loop(own: asyncio.AbstractEventLoop, beginning: str) -> None:
    """Raise an error if another loop than the given one runs.

    Raises:
        WrongLoopError: another loop runs.
    """
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return
    if running is not own:
        closed = ", which is closed," if own.is_closed() else ""
        msg = (
            f"{beginning} in another event loop{closed} and can only be used there: make and start it in the loop that "
            "uses it (in pytest, give the fixture and the test the same loop_scope)"
        )
        raise WrongLoopError(msg)


def refuse_other_loop_of(source: object) -> None:
    """Raise an error if a source of objects can be used in one event loop only, and another loop runs.

    Raises:
        WrongLoopError: another loop runs than the one that the source was opened in.
    """
    # Each informer asks at its start, and `isinstance` with a protocol takes 20 µs on Python 3.11.
    refuse = getattr(source, "refuse_other_loop", None)
    if refuse is not None:
        refuse()
