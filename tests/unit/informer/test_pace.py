"""Events that wait for a listener that lags behind hold bytes only, also if others have read them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kinformer.informer import SharedInformer
from tests.sources import FakeSource, pod, settled

if TYPE_CHECKING:
    from kinformer.events import Event
    from kinformer.objects import KubeObject

pytestmark = [pytest.mark.looptime, pytest.mark.usefixtures("storage")]


def decoded(event: Event) -> bool:
    old: Any = getattr(event, "old", None)
    return event.source._sections is not None or (old is not None and old._sections is not None)


def by_node(obj: KubeObject) -> list[str]:
    return [obj["spec"]["nodeName"]]


async def test_a_backlog_holds_bytes_only() -> None:
    source = FakeSource(pod("a", spec={"nodeName": "n1"}))
    informer = SharedInformer(source)
    informer.add_indexers({"node": by_node})
    gate = asyncio.Event()
    slow: list[Event] = []
    read: list[str] = []

    async def slow_handler(event: Event) -> None:
        slow.append(event)
        await gate.wait()

    def fast_handler(event: Event) -> None:
        read.append(event.source["spec"]["nodeName"])
        if hasattr(event, "old"):
            assert event.old["spec"]["nodeName"]

    informer.add_event_handler(slow_handler)
    informer.add_event_handler(fast_handler)
    async with informer as pods:
        await source.watched()
        iterator = pods.events()
        for version in range(10, 30):
            source.streams[-1].modified(pod("a", version, spec={"nodeName": f"n{version}"}))
            await settled()
            if version % 3 == 0:
                event = await anext(iterator)
                assert event.source["spec"]["nodeName"]
        assert len(read) == 21
        gate.set()
        await settled()
        assert len(slow) == 21
        # The first two came before a listener lagged behind; the last one was read last.
        assert [event.key for event in slow[2:-1] if decoded(event)] == []
        assert [event.source["spec"]["nodeName"] for event in slow] == read


async def test_what_an_index_decoded_is_there_for_handlers_that_keep_up() -> None:
    source = FakeSource(pod("a", spec={"nodeName": "n1"}))
    informer = SharedInformer(source)
    seen: list[Any] = []

    def index(obj: KubeObject) -> list[str]:
        seen.append(obj["spec"])
        return by_node(obj)

    informer.add_indexers({"node": index})
    informer.add_event_handler(lambda event: seen.append(event.source["spec"]))
    informer.add_event_handler(lambda event: seen.append(event.source["spec"]))
    async with informer:
        await source.watched()
        await settled()
        assert seen[0] is seen[1] is seen[2]
