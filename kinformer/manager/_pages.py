"""The answers of a manager's HTTP server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from kinformer.controller.status import ControllerState
from kinformer.integrations._web.answers import health_answer
from kinformer.integrations._web.local_server import Page
from kinformer.integrations.status_endpoint import status_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from kinformer.controller import Controller
    from kinformer.informer import SharedInformer

__all__ = ["liveness", "metrics", "readiness", "status"]


def liveness(
    informers: Mapping[str, SharedInformer],
    controllers: Sequence[Controller[Any]],
    failure: str,
    hung_after: float | None = None,
) -> Page:
    """Return 503 if only a new process helps: an informer has ended, a controller or another part has failed.

    It is 503, too, if a reconcile has run for more than `hung_after` seconds. That the loop answers at all shows that
    it is not blocked.
    """
    reasons = []
    for status in (each.status for each in controllers):
        if status.state is ControllerState.FAILED:
            reasons.append(f"controller {status.name} has failed")
        hung = sum(hung_after is not None and seconds > hung_after for seconds in status.in_progress.values())
        if hung:
            reasons.append(f"controller {status.name}: reconciles that run for more than {hung_after:g} s: {hung}")
    return _health(informers, ready=False, reasons=[*reasons, failure] if failure else reasons)


def readiness(informers: Mapping[str, SharedInformer], waiting: str) -> Page:
    """Return 503 until all caches have synced and all parts have started, and from the beginning of the end."""
    return _health(informers, ready=True, reasons=[waiting] if waiting else [])


def _health(informers: Mapping[str, SharedInformer], *, ready: bool, reasons: list[str]) -> Page:
    answer = health_answer(informers, ready=ready)
    body = msgspec.json.decode(b"".join(answer.pieces))
    body["reasons"] += reasons
    if body["reasons"]:
        body["status"] = "unavailable"
    return Page(503 if body["reasons"] else 200, msgspec.json.encode(body))


def status(*parts: Any) -> Page:
    """Return the status that `kinformer top` shows."""
    return Page(200, msgspec.json.encode(status_of(*parts)))


def metrics() -> Page:
    """Return the metrics of prometheus_client's own registry, or 404 with the remedy where it is not installed."""
    try:
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
    except ModuleNotFoundError:
        body = {"error": "metrics need the extra prometheus: pip install 'kinformer[prometheus]'"}
        return Page(404, msgspec.json.encode(body))
    return Page(200, generate_latest(), CONTENT_TYPE_LATEST)
