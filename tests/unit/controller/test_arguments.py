"""Wrong arguments are refused where they are given, with the remedy; typed informers are taken."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from kinformer import Controller, EventRecorder, LeaderElector, RateLimitingQueue, SharedInformer
from kinformer.informer.typed import TypedInformer
from kinformer.objects import KubeObject, ObjectKey
from kinformer.resources import PODS
from tests.sources import FakeSource, pod, settled

if TYPE_CHECKING:
    from kinformer.events import Event


async def reconcile(key: ObjectKey) -> None: ...


class Reconciler:
    async def __call__(self, key: ObjectKey) -> None: ...

    async def method(self, key: ObjectKey) -> None: ...

    def plain(self, key: ObjectKey) -> None: ...


async def with_more(more: str, key: ObjectKey) -> None: ...


def decorated(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(key: ObjectKey) -> Any:
        return function(key)

    return wrapper


def plain(key: ObjectKey) -> None: ...


@pytest.mark.parametrize(
    "function",
    [
        reconcile,
        Reconciler(),
        Reconciler().method,
        functools.partial(with_more, "more"),
        functools.partial(functools.partial(with_more), "more"),
        decorated(reconcile),
    ],
)
def test_whatever_returns_a_coroutine_is_taken(function: Any) -> None:
    Controller("web", function)


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (plain, "plain is a plain one"),
        (lambda key: None, "<lambda> is a plain one"),
        (Reconciler().plain, "Reconciler.plain is a plain one"),
        (functools.partial(plain), "plain is a plain one"),
        (decorated(plain), "plain is a plain one"),
        (Reconciler, "not Reconciler"),
        ("reconcile", "not str"),
        (None, "not NoneType"),
    ],
)
def test_what_is_no_coroutine_function_is_refused(function: Any, named: str) -> None:
    with pytest.raises(TypeError, match="reconcile must be a coroutine function") as caught:
        Controller("web", function)
    assert named in str(caught.value)


@pytest.mark.looptime
async def test_an_object_that_hides_that_it_is_plain_fails_at_its_first_call_and_is_not_tried_again() -> None:
    class Plain:
        calls = 0

        def __call__(self, key: str) -> Any:
            self.calls += 1

    function = Plain()
    async with Controller("web", function, queue=RateLimitingQueue[str]()) as controller:
        controller.queue.add("a")
        await asyncio.sleep(100)
        assert "write `async def reconcile(key)`" in controller.status.last_error
    assert function.calls == 1


class Spec(msgspec.Struct):
    nodeName: str = ""  # noqa: N815 - the API's name


class TypedPod(msgspec.Struct):
    spec: Spec


@pytest.mark.looptime
async def test_a_typed_informer_brings_the_keys_of_its_objects() -> None:
    keys: list[ObjectKey] = []
    filtered: list[Event] = []

    async def note(key: ObjectKey) -> None:
        keys.append(key)

    def admit(event: Event) -> bool:
        filtered.append(event)
        return True

    source = FakeSource(pod("a", 1))
    informer = SharedInformer(source)
    typed = TypedInformer(informer, TypedPod)
    controller = Controller("web", note).watches(typed, filter=admit)
    async with informer, controller:
        stream = await source.watched()
        stream.added(pod("b", 20))
        await settled()
    assert [key.name for key in keys] == ["a", "b"]
    assert all(isinstance(event.obj, KubeObject) for event in filtered)


async def test_the_owner_may_be_a_typed_informer() -> None:
    typed = TypedInformer(SharedInformer(FakeSource(pod("a", 1))), TypedPod)
    Controller("web", reconcile).owns(typed, owner=typed)


@pytest.mark.parametrize("wrong", [PODS, "pods", None, SharedInformer, object()])
async def test_what_is_no_informer_is_refused(wrong: Any) -> None:
    controller = Controller("web", reconcile)
    with pytest.raises(TypeError, match=r"watches\(\) needs an informer, such as factory.informer\(PODS\), not"):
        controller.watches(wrong)
    with pytest.raises(TypeError, match=r"owns\(\) needs an informer"):
        controller.owns(wrong, owner=PODS)


async def test_a_filter_or_map_that_is_no_plain_function_is_refused() -> None:
    informer = SharedInformer(FakeSource())
    controller: Controller[Any] = Controller("web", reconcile)
    wrong: Any
    for wrong in ("name", 5):
        with pytest.raises(TypeError, match="filter= must be a function of"):
            controller.watches(informer, filter=wrong)
        with pytest.raises(TypeError, match="map= must be a function of"):
            controller.watches(informer, map=wrong)

    async def coroutine(_: Any) -> Any: ...

    wrong = coroutine
    with pytest.raises(TypeError, match="filter= must be a plain function"):
        controller.watches(informer, filter=wrong)
    with pytest.raises(TypeError, match="map= must be a plain function"):
        controller.watches(informer, map=wrong)


@pytest.mark.looptime
async def test_a_controller_that_watches_nothing_says_so_when_it_starts(caplog: pytest.LogCaptureFixture) -> None:
    async with Controller("web", reconcile):
        pass
    assert "controller web watches nothing" in caplog.text


@pytest.mark.looptime
@pytest.mark.parametrize("how", ["queue", "added", "watches"])
async def test_a_controller_that_gets_its_work_by_hand_says_nothing(how: str, caplog: pytest.LogCaptureFixture) -> None:
    informer = SharedInformer(FakeSource())
    controller: Controller[Any] = Controller("web", reconcile, queue=RateLimitingQueue() if how == "queue" else None)
    if how == "added":
        controller.queue.add(ObjectKey("default", "a"))
    if how == "watches":
        controller.watches(informer)
    async with informer, controller:
        await settled()
    assert "watches nothing" not in caplog.text


@pytest.mark.looptime
async def test_a_recorder_that_was_not_entered_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    class Client:
        async def create(self, *_: Any, **__: Any) -> Any: ...

        async def patch(self, *_: Any, **__: Any) -> Any: ...

    recorder = EventRecorder(Client(), "web")
    for number in range(10):
        recorder.normal(pod("a", 1), "Created", f"number {number}")
    warnings = [record.getMessage() for record in caplog.records]
    assert warnings == [
        "web: Events are recorded, but the recorder was not entered: none is written before `async with recorder:`"
    ]
    async with recorder:
        recorder.normal(pod("a", 1), "Created", "more")
    assert len(caplog.records) == 1


async def test_a_controller_gets_its_leader_once_and_before_the_start() -> None:
    async def reconcile(_: ObjectKey) -> None: ...

    client: Any = None  # it is not asked
    elector = LeaderElector(client, "web", namespace="default")
    controller = Controller("web", reconcile)
    assert not controller.is_led
    assert controller.led_by(elector) is controller
    assert controller.is_led
    with pytest.raises(ValueError, match="has a leader already"):
        controller.led_by(elector)


async def test_a_function_that_takes_other_arguments_is_refused_where_it_is_given() -> None:
    informer = SharedInformer(FakeSource())

    async def two(key: Any, obj: Any) -> None: ...

    with pytest.raises(
        TypeError, match=r"reconcile is called with \(key\), but .*two takes \(key: 'Any', obj: 'Any'\)"
    ):
        Controller("web", two)  # type: ignore[arg-type]  # that is the point
    controller: Controller[Any] = Controller("web", reconcile)
    wrong: Any = lambda: None  # noqa: E731
    with pytest.raises(TypeError, match=r"filter= is called with \(event\)"):
        controller.watches(informer, filter=wrong)
    with pytest.raises(TypeError, match=r"map= is called with \(obj\)"):
        controller.watches(informer, map=wrong)
