"""Probes of queues: the time of the loop, turns of it, the arrivals of keys, and metrics that count."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from kinformer.metrics import ControllerGauges, ControllerMetrics, QueueGauges
    from kinformer.workqueue import WorkQueue

P = ParamSpec("P")
T = TypeVar("T")


def now() -> float:
    return asyncio.get_running_loop().time()


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def arrivals(queue: WorkQueue[str], number: int) -> list[tuple[float, str]]:
    """When which key comes, each done at once."""
    seen = []
    for _ in range(number):
        async with queue.item() as key:
            seen.append((now(), key))
    return seen


class Counts:
    """Metrics that note what they are told; `gauges` is what can be read."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float]] = []

    def kinds(self) -> Counter[str]:
        return Counter(what for what, _ in self.told)

    def queue(self, name: str, gauges: QueueGauges) -> Counts:
        self.name, self.gauges = name, gauges
        return self

    def controller(self, name: str, gauges: ControllerGauges) -> ControllerMetrics:
        raise AssertionError("a queue is no controller")

    def added(self) -> None:
        try:
            self.told.append(("added", now()))
        except RuntimeError:
            self.told.append(("added", math.nan))

    def taken(self, waited: float) -> None:
        self.told.append(("taken", waited))

    def finished(self, worked: float) -> None:
        self.told.append(("finished", worked))

    def retried(self) -> None:
        self.told.append(("retried", now()))
