"""Checks of the arguments of a controller: a wrong one is refused at once, with the remedy."""

from __future__ import annotations

import functools
import inspect
import math
from types import FunctionType, MethodType
from typing import Any, Protocol, runtime_checkable

from kinformer._callables import check_function

__all__ = ["check_callable", "check_figures", "check_hook", "check_reconcile", "untyped"]


_OF_AN_INFORMER = ("resource", "add_event_handler", "synced")


def check_reconcile(name: str, reconcile: object) -> None:
    """Refuse anything but a coroutine function.

    A callable object or a decorated function is taken, as only its call can show whether it returns an awaitable.

    Raises:
        ValueError: there is no name.
        TypeError: `reconcile` is no coroutine function.
    """
    if not name:
        raise ValueError("a controller needs a name; its logs and tasks are named after it")
    if not callable(reconcile) or inspect.isclass(reconcile):
        what = reconcile.__name__ if inspect.isclass(reconcile) else type(reconcile).__name__
        msg = f"controller {name!r}: reconcile must be a coroutine function, not {what}"
        raise TypeError(msg)
    function: Any = reconcile
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    if isinstance(function, FunctionType | MethodType) and not inspect.iscoroutinefunction(function):
        msg = (
            f"controller {name!r}: reconcile must be a coroutine function, and {function.__qualname__} is a plain one; "
            "write `async def`, and functools.partial instead of a lambda"
        )
        raise TypeError(msg)
    check_function(f"controller {name!r}: reconcile", reconcile, "key")


def check_figures(
    name: str,
    *,
    workers: int,
    timeout: float | None,
    sync_timeout: float | None,
    grace: float | None,
    own_writes: float,
) -> None:
    """Refuse figures that have no meaning.

    Raises:
        ValueError: there is no worker, or a time is out of its range.
    """
    if workers < 1:
        msg = f"controller {name!r}: workers={workers}; at least 1 is needed"
        raise ValueError(msg)
    for what, seconds in (("timeout", timeout), ("sync_timeout", sync_timeout)):
        if seconds is not None and not seconds > 0:
            msg = f"controller {name!r}: {what}={seconds}; expected seconds above 0, or None for no limit"
            raise ValueError(msg)
    if grace is not None and not grace >= 0:
        msg = f"controller {name!r}: grace={grace}; expected 0 seconds or more, or None for no limit"
        raise ValueError(msg)
    if not (own_writes >= 0 and math.isfinite(own_writes)):
        msg = f"controller {name!r}: own_writes={own_writes}; expected 0 seconds or more, 0 for no wait"
        raise ValueError(msg)


def check_hook(name: str, hook: object) -> None:
    """Refuse a hook that is a coroutine function.

    Raises:
        TypeError: it is one, or cannot be called.
    """
    if not callable(hook):
        msg = f"controller {name!r}: a hook must be a plain function, not {type(hook).__name__}"
        raise TypeError(msg)
    if inspect.iscoroutinefunction(hook):
        msg = (
            f"controller {name!r}: a hook is a plain function that returns None, or an awaitable when there "
            "is something to wait for; a coroutine function would be waited for again and again"
        )
        raise TypeError(msg)


@runtime_checkable
class Wraps(Protocol):
    """A typed informer, which is a view of an untyped one."""

    @property
    def informer(self) -> Any:
        """The untyped informer."""
        ...


def untyped(name: str, informer: object, *, call: str) -> Any:
    """Return the informer to listen to: that of a typed informer is the untyped one below it.

    Raises:
        TypeError: it is no informer.
    """
    source = informer.informer if isinstance(informer, Wraps) else informer
    if inspect.isclass(source) or not all(hasattr(source, part) for part in _OF_AN_INFORMER):
        kind = source.__name__ if inspect.isclass(source) else type(source).__name__
        msg = f"controller {name!r}: {call} needs an informer, such as factory.informer(PODS), not {kind}"
        raise TypeError(msg)
    return source


def check_callable(name: str, what: str, function: object, argument: str) -> None:
    """Refuse a filter or map that cannot be called with its one argument, or that is a coroutine function.

    Raises:
        TypeError: it is one of these.
    """
    if function is None:
        return
    check_function(f"controller {name!r}: {what}=", function, argument)
    if inspect.iscoroutinefunction(function):
        msg = f"controller {name!r}: {what}= must be a plain function; a coroutine is never awaited here"
        raise TypeError(msg)
