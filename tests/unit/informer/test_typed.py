"""TypedInformer on virtual time: a cache's objects as objects of a class of one's own."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import logging
import threading
import weakref
from typing import TYPE_CHECKING, Any

import msgspec
import pydantic
import pytest

from kinformer import SharedInformerFactory, TypedInformer, set_time_slice
from kinformer.events import Added, Deleted, Updated
from kinformer.informer import SharedInformer
from kinformer.resources import PODS, SECRETS, Resource
from tests.sources import FakeSource, pod, settled

if TYPE_CHECKING:
    from kinformer.errors import KinformerError
    from kinformer.informer.typed import TypedEvent
    from kinformer.listwatch import ListerWatcher
    from kinformer.objects import KubeObject

pytestmark = [pytest.mark.looptime, pytest.mark.usefixtures("storage")]

decoded: list[str] = []


class Meta(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    resource_version: str


class Pod(msgspec.Struct, frozen=True):
    metadata: Meta
    replicas: int = 0

    def __post_init__(self) -> None:
        decoded.append(f"{self.metadata.name}@{self.metadata.resource_version}")


@pytest.fixture(autouse=True)
def nothing_decoded() -> None:
    decoded.clear()


def told(events: list[TypedEvent[Pod]]) -> list[str]:
    texts = []
    for event in events:
        match event:
            case Added(obj, initial):
                texts.append(f"+{obj.metadata.name}={obj.replicas}{' initial' if initial else ''}")
            case Updated(old, new):
                texts.append(f"~{new.metadata.name}={old.replicas}>{new.replicas}")
            case Deleted(obj, final):
                texts.append(f"-{obj.metadata.name}={obj.replicas}{'' if final else ' unseen'}")
    return texts


async def test_handlers_and_listers_get_objects_of_the_class() -> None:
    source = FakeSource(pod("a", replicas=1), pod("b", 2, replicas=2))
    seen: list[TypedEvent[Pod]] = []
    async with SharedInformer(source) as informer:
        pods = TypedInformer(informer, Pod)
        pods.add_event_handler(seen.append)
        await pods.synced(timeout=1)
        stream = await source.watched()
        stream.modified(pod("a", 11, replicas=5))
        stream.deleted(pod("b", 12, replicas=3))
        await settled()
        assert told(seen) == ["+a=1 initial", "+b=2 initial", "~a=1>5", "-b=3"]
        assert pods.lister.get("a", "default") == Pod(Meta("a", "11"), 5)
        assert pods.lister.get("b", "default") is None
        assert [found.metadata.name for found in pods.lister] == ["a"]
        assert len(pods.lister) == 1
        assert [str(event.key) for event in seen] == ["default/a", "default/b", "default/a", "default/b"]
        assert seen[2].source.resource_version == "11"


async def test_each_state_is_decoded_once_however_many_handlers_and_readers_there_are() -> None:
    source = FakeSource(pod("a", replicas=1))
    async with SharedInformer(source) as informer:
        pods = TypedInformer(informer, Pod)
        stream_of_events = pods.events()
        for _ in range(3):
            pods.add_event_handler(on_update=lambda old, new: None)
        await pods.synced(timeout=1)
        stream = await source.watched()
        stream.modified(pod("a", 11, replicas=5))
        await settled()
        pods.add_event_handler(on_add=lambda obj: None)
        await settled()
        assert [(await anext(stream_of_events)).obj.replicas for _ in range(2)] == [1, 5]
        assert pods.lister.list() == pods.lister.list("default") == [pods.lister.get("a", "default")]
        stream.deleted(pod("a", 12, replicas=6))
        await settled()
        assert (await anext(stream_of_events)).obj.replicas == 6
        assert decoded == ["a@1", "a@11", "a@12"]


async def test_nothing_is_decoded_when_nobody_reads() -> None:
    source = FakeSource(pod("a"), pod("b"))
    async with SharedInformer(source) as informer:
        pods = TypedInformer(informer, Pod)
        await pods.synced(timeout=1)
        await settled()
        assert decoded == []
        pods.lister.get("b", "default")
        assert decoded == ["b@1"]


async def test_the_old_object_of_an_update_is_the_very_one_that_was_told() -> None:
    source = FakeSource(pod("a", replicas=1))
    seen: list[TypedEvent[Pod]] = []
    async with SharedInformer(source) as informer:
        pods = TypedInformer(informer, Pod)
        pods.add_event_handler(seen.append)
        stream = await source.watched()
        stream.modified(pod("a", 11, replicas=2))
        await settled()
        first, second = seen
        assert isinstance(second, Updated)
        assert second.old is first.obj
        assert second.new is pods.lister.get("a", "default")


async def test_an_object_that_does_not_fit_is_reported_and_left_out_alone_and_comes_back_when_it_fits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = FakeSource(pod("a", replicas=1), pod("b", replicas="many"))
    seen: list[TypedEvent[Pod]] = []
    errors: list[KinformerError] = []
    caplog.set_level(logging.WARNING)
    async with SharedInformer(source, on_error=lambda error, _: errors.append(error)) as informer:
        pods = TypedInformer(informer, Pod)
        pods.add_event_handler(seen.append)
        pods.add_event_handler(on_add=lambda obj: None)
        await pods.synced(timeout=1)
        await settled()
        assert told(seen) == ["+a=1 initial"]
        assert {str(key) for key in pods.misfits} == {"default/b"}
        assert [found.metadata.name for found in pods.lister.list()] == ["a"]
        assert pods.lister.get("b", "default") is None
        assert len(informer.lister) == 2
        (error,) = errors  # once, though two handlers and the lister came upon it
        assert str(error) == ("pods.v1 default/b: does not fit Pod: Expected `int`, got `str` - at `$.replicas`"), str(
            error
        )
        assert "default/b" in caplog.text
        stream = await source.watched()
        stream.modified(pod("b", 11, replicas=2))
        await settled()
        assert not pods.misfits
        stream.modified(pod("a", 12, replicas=[]))
        await settled()
        assert {str(key) for key in pods.misfits} == {"default/a"}
        stream.deleted(pod("a", 13, replicas=[]))
        stream.deleted(pod("b", 14, replicas={}))
        await settled()
        assert told(seen) == ["+a=1 initial", "+b=2", "-a=1 unseen", "-b=2 unseen"]
        assert not pods.misfits


@pytest.mark.parametrize("reader", ["handler", "stream"])
@pytest.mark.parametrize("delivery", ["every", "latest"])
async def test_a_row_of_misfits_does_not_hold_the_loop(reader: str, delivery: Any) -> None:
    set_time_slice(1e-300)  # used up by any step: on this loop, time stands still
    turns = 0
    decoded_in: list[int] = []

    class Refusing(msgspec.Struct):
        metadata: dict[str, Any]

        def __post_init__(self) -> None:
            decoded_in.append(turns)
            raise ValueError("does not fit")

    async with SharedInformer(FakeSource(*(pod(f"p{number}") for number in range(40)))) as informer:
        await informer.synced(timeout=1)
        await settled()
        pods = TypedInformer(informer, Refusing)

        async def read() -> None:
            async for event in pods.events(delivery=delivery):
                raise AssertionError(event)

        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read()) if reader == "stream" else None
            if reading is None:
                pods.add_event_handler(lambda event: None, delivery=delivery)
            for _ in range(400):
                turns += 1
                await asyncio.sleep(0)
            if reading is not None:
                reading.cancel()
    assert len(decoded_in) == 40
    assert len({*decoded_in}) == 40, "others had their turn after each"


@pytest.mark.parametrize("final", [3, "misfit"])
async def test_with_delivery_latest_a_state_that_was_passed_over_leaves_no_gap(final: Any) -> None:
    source = FakeSource(pod("a", replicas=1))
    seen: list[TypedEvent[Pod]] = []
    go_on = asyncio.Event()

    async def slow(event: TypedEvent[Pod]) -> None:
        seen.append(event)
        await go_on.wait()

    async with SharedInformer(source) as informer:
        pods = TypedInformer(informer, Pod)
        pods.add_event_handler(slow, delivery="latest")
        stream = await source.watched()
        await settled()
        stream.modified(pod("a", 11, replicas="misfit"))
        await settled()
        stream.modified(pod("a", 12, replicas=2))
        await settled()
        stream.deleted(pod("a", 13, replicas=final))
        await settled()
        go_on.set()
        await settled()
        assert told(seen) == ["+a=1 initial", "-a=3" if final == 3 else "-a=1 unseen"]
        assert "a@12" not in decoded


async def test_a_resync_is_known_as_one_and_decodes_nothing() -> None:
    source = FakeSource(pod("a", replicas=1))
    seen: list[TypedEvent[Pod]] = []
    async with SharedInformer(source) as informer:
        pods = TypedInformer(informer, Pod)
        pods.add_event_handler(seen.append, resync=60)
        await asyncio.sleep(61)
        first, again = seen
        assert isinstance(again, Updated)
        assert again.is_resync
        assert again.old is again.new is first.obj
        assert decoded == ["a@1"]


async def test_a_handler_that_raises_is_logged_with_the_key(caplog: pytest.LogCaptureFixture) -> None:
    source = FakeSource(pod("a"))

    def fails(obj: Pod) -> None:
        raise ZeroDivisionError

    async with SharedInformer(source) as informer:
        registration = TypedInformer(informer, Pod).add_event_handler(on_add=fails)
        await registration.synced()
        assert registration.failures == 1
    assert "failed for TypedAdded of pods.v1 default/a: ZeroDivisionError" in caplog.text


async def test_what_has_gone_is_not_remembered() -> None:
    class Kept(msgspec.Struct, weakref=True):
        metadata: Meta

    source = FakeSource(pod("a"), pod("b"))
    async with SharedInformer(source) as informer:
        pods = TypedInformer(informer, Kept)
        await pods.synced(timeout=1)
        kept = pods.lister.get("a", "default")
        assert kept is not None
        gone = weakref.ref(kept)
        del kept
        gc.collect()
        assert gone() is not None
        stream = await source.watched()
        stream.deleted(pod("a", 11))
        await settled()
        gc.collect()
        assert gone() is None


async def test_wait_for_sees_the_class_and_a_misfit_counts_as_absent() -> None:
    source = FakeSource(pod("a", replicas="many"))
    async with SharedInformer(source) as informer:
        pods = TypedInformer(informer, Pod)
        await pods.synced(timeout=1)
        stream = await source.watched()
        asyncio.get_running_loop().call_later(5, lambda: stream.modified(pod("a", 11, replicas=3)))
        found = await pods.wait_for(
            "a", lambda found: found is not None and found.replicas == 3, 10, namespace="default"
        )
        assert found is not None
        assert found.metadata.resource_version == "11"
        stream.modified(pod("a", 12, replicas="many"))
        assert await pods.wait_for("a", lambda found: found is None, 10, namespace="default") is None


@dataclasses.dataclass
class DataPod:
    metadata: dict[str, Any]
    replicas: int = 0


class PydanticPod(pydantic.BaseModel):
    metadata: dict[str, Any]
    replicas: int = 0


@pytest.mark.parametrize("into", [DataPod, PydanticPod])
async def test_dataclasses_and_pydantic_models_will_do(into: type[Any]) -> None:
    source = FakeSource(pod("a", replicas=1), pod("b", replicas="many"))
    async with SharedInformer(source) as informer:
        pods: TypedInformer[Any] = TypedInformer(informer, into)
        await pods.synced(timeout=1)
        (only,) = pods.lister.list()
        assert isinstance(only, into)
        assert only.replicas == 1
        (error,) = pods.misfits.values()
        assert "replicas" in str(error)


async def test_what_does_not_fit_is_reported_without_what_is_in_it(caplog: pytest.LogCaptureFixture) -> None:
    class Secret(pydantic.BaseModel):
        data: dict[str, int]

    source = FakeSource(pod("a", data={"password": "aHVudGVyMg=="}), resource=SECRETS)
    errors: list[KinformerError] = []
    async with SharedInformer(source, on_error=lambda error, _: errors.append(error)) as informer:
        secrets = TypedInformer(informer, Secret)
        await secrets.synced(timeout=1)
        assert secrets.lister.list() == []
        assert len(errors) == 1
        cause = errors[0].__cause__
        assert "aHVudGVyMg" not in f"{errors[0]} {errors[0]!r} {cause!r} {caplog.text}"


def test_a_class_that_cannot_be_decoded_into_is_refused_at_once() -> None:
    class Plain:
        def __init__(self, a: int) -> None: ...

    with pytest.raises(TypeError, match="must be a msgspec.Struct, dataclass, TypedDict or pydantic model"):
        TypedInformer(SharedInformer(FakeSource()), Plain)


async def test_other_threads_may_read() -> None:
    source = FakeSource(*(pod(f"p{number}", replicas=number) for number in range(200)))
    async with SharedInformer(source) as informer:
        pods = TypedInformer(informer, Pod)
        await pods.synced(timeout=1)
        sums: list[int] = []
        threads = [
            threading.Thread(target=lambda: sums.append(sum(found.replicas for found in pods.lister.list())))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sums == [sum(range(200))] * 8


class _Sources:
    def __init__(self) -> None:
        self.made = 0

    def list_watch(self, resource: Resource, **scope: Any) -> ListerWatcher:
        self.made += 1
        return FakeSource(pod("a", replicas=1))

    async def resolve(self, name: str) -> Resource:
        raise NotImplementedError


async def test_typed_and_untyped_share_one_informer_and_one_watch() -> None:
    sources = _Sources()
    factory = SharedInformerFactory(sources)
    plain = factory.informer(PODS)
    typed = factory.informer(PODS, type=Pod)
    assert typed.informer is plain
    assert factory.informer("pods", type=Pod) is typed
    assert factory.informer(PODS, type=DataPod).informer is plain
    names: list[str] = []
    plain.add_event_handler(on_add=lambda obj: names.append(obj.name))
    typed.add_event_handler(on_add=lambda obj: names.append(obj.metadata.name))
    async with factory:
        await factory.wait_for_cache_sync(timeout=1)
        await settled()
        assert names == ["a", "a"]
        assert sources.made == 1
        await plain.stop()
        assert factory.informer(PODS, type=Pod) is not typed


def test_its_events_are_events() -> None:
    def of_the_cache(obj: KubeObject) -> Added:
        return Added(obj)

    made = of_the_cache(pod("a"))
    assert made.key == made.source.key
    assert Updated(pod("a"), pod("a")).is_resync
