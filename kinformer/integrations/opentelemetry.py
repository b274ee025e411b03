"""Traces for OpenTelemetry: a span for each list, each watch that is opened, each failure and each reconcile.

    tracing = Tracing()                                            # of the global tracer provider
    factory = SharedInformerFactory(client, metrics=AllMetrics(prometheus, tracing))
    controller = Controller("web", tracing.reconcile(reconcile, name="web"))

Only `opentelemetry-api` is needed; what becomes of the spans is up to the SDK you configure. Spans carry names of
informers and controllers, keys, counts and classes of errors; never an object, nor any part of one.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from kinformer._extras import from_extra

with from_extra("opentelemetry", __name__):
    from opentelemetry import trace
    from opentelemetry.trace import Status, StatusCode

from kinformer._version import __version__
from kinformer.controller import Requeue
from kinformer.metrics import NoMetrics
from kinformer.status import class_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from opentelemetry.trace import TracerProvider

__all__ = ["Tracing"]

K = TypeVar("K")

_NANOSECONDS: Final = 1_000_000_000


class Tracing(NoMetrics):
    """Makes spans; give it as `metrics=`, and wrap reconciles.

    Spans of lists and watches are made when they have ended, with the times at which they began: they are roots of
    their own. The span of a reconcile is the current span while it runs, and so the parent of those of its calls.

    Args:
        provider: the tracer provider; the global one by default.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("kinformer", __version__, provider)

    def reconcile(
        self, function: Callable[[K], Awaitable[Requeue | None]], *, name: str = ""
    ) -> Callable[[K], Awaitable[Requeue | None]]:
        """The same reconcile, with a span around each call.

        Args:
            function: the coroutine function.
            name: the controller's; the function's own when left out.
        """
        name = name or getattr(function, "__qualname__", type(function).__qualname__)

        @functools.wraps(function)
        async def traced(key: K) -> Requeue | None:
            attributes = {"kinformer.controller": name, "kinformer.key": str(key)}
            with self._tracer.start_as_current_span(
                f"reconcile {name}", attributes=attributes, record_exception=False, set_status_on_exception=False
            ) as span:
                try:
                    outcome = await function(key)
                except BaseException as error:
                    # The text of an error of yours may say anything; here its class is enough, and logs have the rest.
                    span.set_attribute("error.type", class_of(error))
                    span.set_status(Status(StatusCode.ERROR))
                    raise
                if isinstance(outcome, Requeue):
                    span.set_attribute("kinformer.requeue_after", outcome.after)
                return outcome

        return traced

    def listed(self, informer: str, *, objects: int, reason: str, seconds: float) -> None:
        """A list was finished."""
        attributes = {"kinformer.informer": informer, "kinformer.objects": objects, "kinformer.reason": reason}
        self._past(f"list {informer}", seconds, attributes)

    def watch_opened(self, informer: str, *, seconds: float) -> None:
        """A watch was answered."""
        self._past(f"watch {informer}", seconds, {"kinformer.informer": informer})

    def failed(self, informer: str, error: BaseException) -> None:
        """Something went wrong, and will be tried again."""
        attributes = {"kinformer.informer": informer, "error.type": class_of(error)}
        self._past(f"failure {informer}", 0.0, attributes, failed=True)

    def _past(
        self,
        name: str,
        seconds: float,
        attributes: dict[str, Any],
        *,
        failed: bool = False,
    ) -> None:
        now = time.time_ns()
        began = now - int(seconds * _NANOSECONDS)
        span = self._tracer.start_span(name, start_time=began, attributes=attributes)
        if failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(now)
