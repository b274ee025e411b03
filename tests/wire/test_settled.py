"""`await settled()` returns when there is nothing left to do, and not before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import (
    Controller,
    Deleted,
    EventRecorder,
    NotStartedError,
    RateLimitingQueue,
    Requeue,
    SharedInformer,
    SharedInformerFactory,
    WaitTimeoutError,
    WorkQueue,
)
from kinformer.integrations.settling import Settled
from kinformer.resources import CONFIGMAPS, PODS
from kinformer.testing import build

if TYPE_CHECKING:
    from kinformer import Client, ObjectKey
    from kinformer.events import Event
    from kinformer.testing import ApiServer, Faults


async def test_a_narrow_informer_has_settled_though_no_event_was_for_it(
    kube_api: ApiServer, informer_factory: SharedInformerFactory, settled: Settled
) -> None:
    narrow = informer_factory.informer("configmaps", namespace="default", label_selector="app=none")
    names = informer_factory.informer("configmaps", metadata_only=True)
    await settled()
    for number in range(5):
        kube_api.create(build.config_map(f"c-{number}"))
    await settled()
    assert int(narrow.status.resource_version) == int(names.status.resource_version) == kube_api.resource_version
    assert (len(narrow.lister), len(names.lister)) == (0, 5)


async def test_what_came_and_went_has_been_told(
    kube_api: ApiServer, informer_factory: SharedInformerFactory, settled: Settled
) -> None:
    events: list[Event] = []
    informer_factory.core.v1.configmaps.add_event_handler(events.append)
    await settled()
    for number in range(300):
        kube_api.create(build.config_map(f"c-{number}"))
        kube_api.delete("v1", "ConfigMap", f"c-{number}")
    await settled()
    assert sum(isinstance(event, Deleted) for event in events) == 300


async def test_a_handler_that_is_still_being_called_is_waited_for(
    kube_api: ApiServer, informer_factory: SharedInformerFactory, settled: Settled
) -> None:
    finished: list[str] = []

    async def slow(obj: Any) -> None:
        await asyncio.sleep(0.05)
        finished.append(obj.name)

    informer_factory.core.v1.configmaps.add_event_handler(on_add=slow)
    kube_api.create(build.config_map("a"))
    kube_api.create(build.config_map("b"))
    await settled()
    assert finished == ["a", "b"]


async def test_a_controller_s_writes_are_waited_for_until_it_writes_no_more(
    kube_api: ApiServer, kube_client: Client, informer_factory: SharedInformerFactory, settled: Settled
) -> None:
    maps = informer_factory.core.v1.configmaps

    async def count_up(key: ObjectKey) -> Requeue | None:
        found = maps.lister.get(key)
        count = int(found["data"]["count"]) if found is not None else 5
        if count < 5:
            await kube_client.patch(CONFIGMAPS, key.name, {"data": {"count": str(count + 1)}}, namespace=key.namespace)
        return Requeue(after=300)

    kube_api.create(build.config_map("a", data={"count": "0"}))
    async with informer_factory, Controller("count", count_up).watches(maps):
        await settled()
        assert kube_api.get("v1", "ConfigMap", "a")["data"] == {"count": "5"}


async def test_the_retry_after_a_failure_is_waited_for(
    kube_api: ApiServer, informer_factory: SharedInformerFactory, settled: Settled
) -> None:
    tries: list[ObjectKey] = []

    async def fails_twice(key: ObjectKey) -> None:
        tries.append(key)
        if len(tries) < 3:
            raise RuntimeError("not yet")

    maps = informer_factory.core.v1.configmaps
    async with informer_factory, Controller("retry", fails_twice).watches(maps):
        kube_api.create(build.config_map("a"))
        await settled()
        assert len(tries) == 3


@pytest.mark.parametrize("fault", ["drop_watches", "end_watches", "cut_mid_line", "expire"])
async def test_it_waits_through_a_fault(
    fault: str,
    kube_api: ApiServer,
    kube_faults: Faults,
    informer_factory: SharedInformerFactory,
    settled: Settled,
) -> None:
    maps = informer_factory.core.v1.configmaps
    await settled()
    getattr(kube_faults, fault)()
    kube_api.create(build.config_map("during"))
    await settled()
    assert maps.lister.get("during", namespace="default") is not None


async def test_a_watch_that_is_silent_is_named_with_the_versions(
    kube_api: ApiServer, kube_faults: Faults, informer_factory: SharedInformerFactory, settled: Settled
) -> None:
    pods = informer_factory.core.v1.pods
    informer_factory.core.v1.configmaps  # noqa: B018 - asking for it makes it
    await settled()
    before = kube_api.resource_version
    kube_faults.freeze_watches("configmaps")
    kube_api.create(build.config_map("a"))
    await Settled(kube_api, pods)()
    with pytest.raises(WaitTimeoutError) as caught:
        await settled(timeout=0.2)
    text = str(caught.value)
    assert text.startswith(
        f"not settled after 0.2 s: informer configmaps.v1 has come to version {before} of {before + 1}"
    )
    assert "pods" not in text


async def test_a_handler_that_hangs_is_named_with_what_waits_for_it(
    kube_api: ApiServer, informer_factory: SharedInformerFactory, settled: Settled
) -> None:
    called = asyncio.Event()

    async def hangs(event: Event) -> None:
        called.set()
        await asyncio.Event().wait()

    maps = informer_factory.core.v1.configmaps
    maps.add_event_handler(hangs, name="hangs")
    await settled()
    kube_api.create(build.config_map("a"))
    await called.wait()
    with pytest.raises(WaitTimeoutError, match=r"handler hangs of configmaps\.v1 is at work; events that wait: 0$"):
        await settled(timeout=0.2)
    kube_api.create(build.config_map("b"))
    await maps.wait_for("b", namespace="default", timeout=60)
    with pytest.raises(WaitTimeoutError, match=r"handler hangs of configmaps\.v1 is at work; events that wait: 1$"):
        await settled(timeout=0.2)


async def test_a_reconcile_that_hangs_is_named_with_its_key(
    kube_api: ApiServer, informer_factory: SharedInformerFactory, settled: Settled
) -> None:
    called = asyncio.Event()

    async def hangs(key: ObjectKey) -> None:
        called.set()
        await asyncio.Event().wait()

    maps = informer_factory.core.v1.configmaps
    async with informer_factory, Controller("hangs", hangs, grace=0).watches(maps):
        kube_api.create(build.config_map("a"))
        await called.wait()
        with pytest.raises(WaitTimeoutError, match=r"controller hangs is at work on default/a; keys that wait: 0$"):
            await settled(timeout=0.2)


async def test_queues_and_informers_of_one_s_own_can_be_named(
    kube_api: ApiServer, kube_client: Client, informer_factory: SharedInformerFactory, settled: Settled
) -> None:
    queue = WorkQueue[str]()
    queue.add("a")
    with pytest.raises(WaitTimeoutError, match="a work queue has no worker at work; keys that wait: 1$"):
        await settled(queue, timeout=0.1)
    queue.done(queue.get_nowait())
    later = RateLimitingQueue[str]()
    later.add_after("b", 60)
    with pytest.raises(WaitTimeoutError, match=r"a work queue: keys that come due within 90 s: 1$"):
        await settled(later, timeout=0.05, within=90)
    await settled(queue, later)
    await later.shut_down()
    async with SharedInformer(kube_client.list_watch(PODS)) as pods:
        kube_api.create(build.pod("web-0"))
        await settled(pods)
        assert len(pods.lister) == 1
    await settled(pods)  # what has ended has nothing left to do


async def test_what_cannot_settle_is_refused(settled: Settled) -> None:
    with pytest.raises(TypeError, match="'pods' cannot settle"):
        await settled("pods")  # type: ignore[arg-type]


async def test_a_factory_that_was_stopped_is_not_started_again(
    informer_factory: SharedInformerFactory, settled: Settled
) -> None:
    async with informer_factory:
        await settled()
    await settled()
    assert informer_factory.stopped


async def test_events_of_a_recorder_of_the_factorys_client_are_written(
    kube_api: ApiServer, kube_client: Client, informer_factory: SharedInformerFactory, settled: Settled
) -> None:
    pod = kube_api.create(build.pod("web-0"))
    async with EventRecorder(kube_client, "a") as recorder:
        for number in range(20):
            recorder.normal(pod, f"Reason{number}", "it is so")
        assert recorder.pending == 20
        await settled()
        assert recorder.pending == 0
        assert len(kube_api.list("v1", "Event")) == 20


async def test_a_named_recorder_is_waited_for_and_named_if_it_does_not_settle(
    kube_api: ApiServer, kube_client: Client, kube_faults: Faults, settled: Settled
) -> None:
    pod = kube_api.create(build.pod("web-0"))
    kube_faults.fail_next(1000, status=500, resource="events")
    recorder = EventRecorder(kube_client, "shop", drain=0)
    async with recorder:
        recorder.normal(pod, "Created", "it is so")
        with pytest.raises(WaitTimeoutError, match="event recorder shop has Events to write: 1"):
            await settled(recorder, timeout=0.1)


async def test_flush_returns_when_the_events_are_written_and_refuses_a_recorder_that_writes_none(
    kube_api: ApiServer, kube_client: Client
) -> None:
    pod = kube_api.create(build.pod("web-0"))
    recorder = EventRecorder(kube_client, "shop")
    with pytest.raises(NotStartedError, match="writes nothing before"):
        await recorder.flush()
    async with recorder:
        recorder.normal(pod, "Created", "it is so")
        await recorder.flush()
        assert [each["reason"] for each in kube_api.list("v1", "Event")] == ["Created"]
