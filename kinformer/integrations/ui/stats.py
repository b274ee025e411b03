"""Each informer's figures, once a second."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from kinformer.errors import KinformerError
from kinformer.status import class_of, health_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.informer import SharedInformer

__all__ = ["HISTORY_SECONDS", "INTERVAL", "Stats"]

INTERVAL: Final = 1.0
"""Seconds between two looks."""

HISTORY_SECONDS: Final = 120
"""How far back the rates go."""


class _Series:
    """The rates of one informer."""

    def __init__(self) -> None:
        self.rates: deque[int] = deque(maxlen=HISTORY_SECONDS)
        self.events: int | None = None


class Stats:
    """The figures of all informers."""

    def __init__(self) -> None:
        self._series: dict[str, _Series] = {}
        self._looked_at = float("-inf")

    def look(self, informers: Mapping[str, SharedInformer]) -> None:
        """Take the figures, unless that was done within the last second; several pages may ask for it."""
        now = asyncio.get_running_loop().time()
        if now - self._looked_at < 0.9 * INTERVAL:
            return
        self._looked_at = now
        for gone in self._series.keys() - informers.keys():
            del self._series[gone]
        for name, informer in informers.items():
            series = self._series.get(name)
            if series is None:
                series = self._series[name] = _Series()
            status = informer.status
            if series.events is not None:
                series.rates.append(max(0, status.events - series.events))
            series.events = status.events

    def report(self, informers: Mapping[str, SharedInformer]) -> dict[str, Any]:
        """Return the data of the overview."""
        rows = [self._of(name, informer) for name, informer in informers.items()]
        return {"informers": rows, "historySeconds": HISTORY_SECONDS}

    def _of(self, name: str, informer: SharedInformer) -> dict[str, Any]:
        status = informer.status
        series = self._series.get(name) or _Series()
        error = status.last_error
        storage = informer.indexer.storage_status
        return {
            "name": name,
            "kind": informer.resource.kind,
            "plural": informer.resource.plural,
            "group": informer.resource.group,
            "namespaced": informer.resource.namespaced,
            "health": health_of(status),
            "state": str(status.state),
            "stateSeconds": _ago(status.taken_at, status.since) or 0,
            "synced": status.has_synced,
            "objects": status.objects,
            "listed": status.listed,
            "bytes": storage.stored_bytes,
            "jsonBytes": storage.json_bytes,
            "events": status.events,
            "rates": [*series.rates],
            "relists": status.relists,
            "lists": dict(status.lists),
            "watches": status.watches,
            "leftOut": status.left_out,
            "handlerFailures": status.handler_failures,
            "resourceVersion": status.resource_version,
            "silentSeconds": status.silent_for,
            "failures": status.failures,
            "retrySeconds": None if status.retry_at is None else max(0.0, status.retry_at - status.taken_at),
            "error": _said(error),
            "errorKind": None if error is None else class_of(error),
            "errorSeconds": _ago(status.taken_at, status.last_error_at),
            "streamingOff": status.streaming_off,
            "sharding": status.sharding,
            "foreignEvents": status.foreign_events,
        }


def _said(error: BaseException | None) -> str | None:
    """Return the text of an error of ours, which is not confidential; of others only the class."""
    if error is None:
        return None
    return str(error) if isinstance(error, KinformerError) else class_of(error)


def _ago(now: float, then: float | None) -> float | None:
    return None if then is None else max(0.0, now - then)
