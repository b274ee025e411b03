"""Whatever a class, a handler or a predicate of a typed informer raises, the informer and its other handlers go on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from kinformer.errors import WaitTimeoutError
from kinformer.informer import SharedInformer
from kinformer.informer.typed import TypedInformer
from kinformer.operators.wait_conditions import Condition, exists
from tests.failures import each_kind, foreign
from tests.sources import FakeSource, pod

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.looptime

RAISES: dict[str, str] = {"kind": ""}
"""The kind of exception that the classes below raise now; "" for none."""


def raise_if_armed(*_: object) -> None:
    if RAISES["kind"]:
        raise foreign(RAISES["kind"])


class AsStruct(msgspec.Struct):
    metadata: dict[str, Any]

    def __post_init__(self) -> None:
        raise_if_armed()


@dataclass
class AsDataclass:
    metadata: dict[str, Any]

    def __post_init__(self) -> None:
        raise_if_armed()


CLASSES: dict[str, type[Any]] = {"struct": AsStruct, "dataclass": AsDataclass}
HANDLERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "on_event": lambda call: {"on_event": call},
    "on_add": lambda call: {"on_add": call},
    "on_update": lambda call: {"on_update": call},
    "on_delete": lambda call: {"on_delete": call},
}


@pytest.fixture(autouse=True)
def _unarmed() -> None:
    RAISES["kind"] = ""


def name_of(obj: Any) -> str:
    return str(obj.metadata["name"])


@each_kind
@pytest.mark.parametrize("of", CLASSES)
async def test_a_class_that_raises_makes_a_misfit(kind: str, of: str) -> None:
    source = FakeSource(pod("a", 1))
    informer = SharedInformer(source)
    typed: TypedInformer[Any] = TypedInformer(informer, CLASSES[of])
    seen: list[str] = []
    typed.add_event_handler(on_add=lambda obj: seen.append(name_of(obj)))
    informer.add_event_handler(lambda event: seen.append(f"plain {event.obj.name}"))
    RAISES["kind"] = kind
    async with informer:
        await informer.synced(60)
        await asyncio.sleep(1)
        assert typed.lister.get("a", "default") is None
        RAISES["kind"] = ""
        stream = await source.watched()
        stream.added(pod("b", 20))
        await asyncio.sleep(1)
        assert informer.is_live
        assert seen == ["plain a", "b", "plain b"] or seen == ["plain a", "plain b", "b"]
        assert not any(handler.removed for handler in informer.handlers)


@each_kind
@pytest.mark.parametrize("which", HANDLERS)
@pytest.mark.parametrize("later", [False, True])
async def test_a_typed_handler_that_raises_gets_its_next_events(kind: str, which: str, later: bool) -> None:
    calls: list[int] = []

    def plain(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise foreign(kind)

    async def coroutine(*given: Any) -> None:
        await asyncio.sleep(0)
        plain(*given)

    source = FakeSource(pod("a", 1))
    async with SharedInformer(source) as informer:
        typed = TypedInformer(informer, AsStruct)
        registration = typed.add_event_handler(**HANDLERS[which](coroutine if later else plain))
        stream = await source.watched()
        for round in range(2):
            stream.added(pod(f"b{round}", 20 + 10 * round))
            stream.modified(pod(f"b{round}", 21 + 10 * round))
            stream.deleted(pod(f"b{round}", 22 + 10 * round))
            await asyncio.sleep(1)
        assert len(calls) >= 2
        assert registration.failures == 1
        assert informer.is_live


@each_kind
async def test_a_typed_predicate_that_raises_fails_only_its_wait(kind: str) -> None:
    source = FakeSource(pod("a", 1))
    async with SharedInformer(source) as informer:
        typed = TypedInformer(informer, AsStruct)
        await typed.synced(60)

        def predicate(obj: AsStruct | None) -> bool:
            raise foreign(kind)

        with pytest.raises(Exception) as caught:
            await typed.wait_for("a", predicate, 5, namespace="default")
        assert isinstance(caught.value, Exception)
        await asyncio.sleep(1)
        assert informer.is_live


@each_kind
async def test_a_condition_that_cannot_explain_itself_hides_no_timeout(kind: str) -> None:
    calls = 0

    def why_not(_: Any) -> str:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise foreign(kind)
        return "not yet"

    async with SharedInformer(FakeSource(pod("a", 1))) as informer:
        await informer.synced(60)
        with pytest.raises(WaitTimeoutError, match="a is in the cache, but not as wanted after 5 s"):
            await informer.wait_for("a", Condition("odd", why_not) & exists(), 5, namespace="default")
        assert informer.is_live
