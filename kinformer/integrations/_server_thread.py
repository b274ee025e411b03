"""An embedded API server on an event loop of its own, in a thread: for tests that are plain functions.

The loop of pytest stands still while such a test runs, and with it a server on that loop. FastAPI's `TestClient`, for
one, is used by plain functions.
"""

from __future__ import annotations

import functools
import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from anyio.from_thread import start_blocking_portal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anyio.from_thread import BlockingPortal

    from kinformer.testing import ApiServer

__all__ = ["server_in_a_thread"]


@contextmanager
def server_in_a_thread(make: Callable[[], ApiServer]) -> Iterator[ApiServer]:
    """Run a server in a thread.

    Yields:
        A stand-in for the server. Each use of an attribute and each call is run on the server's loop, one after the
        other, and returns when it is done. A coroutine function of the server is a plain function of the stand-in, and
        an async context manager a plain one.
    """
    with start_blocking_portal("asyncio") as portal, portal.wrap_async_context_manager(portal.call(make)) as server:
        yield cast("ApiServer", _OnItsLoop(portal, server))


class _OnItsLoop:
    """Stands in for an object that belongs to the event loop of another thread."""

    def __init__(self, portal: BlockingPortal, inner: Any) -> None:
        object.__setattr__(self, "_portal", portal)
        object.__setattr__(self, "_inner", inner)

    def __getattr__(self, name: str) -> Any:
        portal: BlockingPortal = self._portal
        value = portal.call(getattr, self._inner, name)
        if inspect.ismethod(value):

            @functools.wraps(value)
            def call(*args: Any, **options: Any) -> Any:
                # The portal awaits what a coroutine function returns.
                found = portal.call(functools.partial(value, *args, **options))
                return portal.wrap_async_context_manager(found) if hasattr(found, "__aenter__") else found

            return call
        # What lives on the loop is reached in the same way, data as it is.
        return _OnItsLoop(portal, value) if type(value).__module__.startswith("kinformer.testing.faults") else value

    def __setattr__(self, name: str, value: object) -> None:
        self._portal.call(setattr, self._inner, name, value)

    def __repr__(self) -> str:
        return f"{self._inner!r} in a thread"
