"""A server that asks for patience gets it, for each key, wherever the reconcile has put the error."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import Controller, RateLimitingQueue
from kinformer.controller._retry_after import Patience, retry_after_of
from kinformer.errors import MAX_RETRY_AFTER, ApiError, ServerError, TooManyRequestsError
from kinformer.workqueue.rate_limiters import ItemExponential
from tests.sources import now

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.looptime


def refusal(seconds: float | None = 5.0) -> ApiError:
    return TooManyRequestsError("too many", status=429, retry_after=seconds)


def caused(error: BaseException) -> BaseException:
    wrapper = RuntimeError("it did not work")
    wrapper.__cause__ = error
    return wrapper


def in_context(error: BaseException) -> BaseException:
    try:
        try:
            raise error
        except BaseException:
            raise KeyError("clean-up failed")  # noqa: B904 - the context is the point
    except KeyError as wrapper:
        return wrapper


def suppressed(error: BaseException) -> BaseException:
    wrapper = in_context(error)
    wrapper.__suppress_context__ = True
    return wrapper


def grouped(error: BaseException) -> BaseException:
    return BaseExceptionGroup("several", [ValueError("other"), BaseExceptionGroup("more", [error, refusal(1)])])


WRAPPERS: tuple[Callable[[BaseException], BaseException], ...] = (
    lambda error: error,
    caused,
    in_context,
    suppressed,
    grouped,
    lambda error: caused(grouped(in_context(error))),
    lambda error: grouped(caused(caused(error))),
)


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_the_wait_is_found_wherever_the_error_is(wrap: Callable[[BaseException], BaseException]) -> None:
    assert retry_after_of(wrap(refusal(5))) == 5
    assert retry_after_of(wrap(ServerError("away", status=503, retry_after=7))) == 7


@pytest.mark.parametrize("error", [ValueError(), refusal(None), refusal(0), refusal(float("nan")), caused(KeyError())])
def test_an_error_that_asks_for_nothing_asks_for_nothing(error: BaseException) -> None:
    assert retry_after_of(error) == 0


def test_a_circle_of_causes_has_an_end_and_the_longest_wait_is_bounded() -> None:
    first, second = refusal(3), refusal(1e9)
    first.__cause__, second.__context__ = second, first
    assert retry_after_of(first) == MAX_RETRY_AFTER


@pytest.mark.parametrize("wrap", WRAPPERS)
async def test_a_failed_key_waits_for_the_longer_of_limiter_and_server(
    wrap: Callable[[BaseException], BaseException],
) -> None:
    times = []

    async def reconcile(key: str) -> None:
        times.append(now())
        raise wrap(refusal(5))

    queue: RateLimitingQueue[str] = RateLimitingQueue(ItemExponential(base=1, cap=60))
    async with Controller("test", reconcile, queue=queue) as controller:
        controller.queue.add("web")
        await asyncio.sleep(50)
    # 5, 5, 5 by the server; then 8, 16 by the limiter.
    assert times == pytest.approx([0, 5, 10, 15, 23, 39], abs=0.01)


async def test_no_event_brings_a_key_back_sooner_and_other_keys_go_on() -> None:
    times: dict[str, list[float]] = defaultdict(list)

    async def reconcile(key: str) -> None:
        times[key].append(now())
        if key == "web":
            raise refusal(5)

    async with Controller("test", reconcile, workers=1) as controller:
        for _ in range(95):
            controller.queue.add("web")
            controller.queue.add("other")
            await asyncio.sleep(0.1)
    assert times["web"] == pytest.approx([0, 5], abs=0.01)
    assert len(times["other"]) == 95


async def test_1000_failing_keys_make_at_most_one_request_each_in_the_time_that_the_server_asks_for() -> None:
    asked: dict[int, list[float]] = defaultdict(list)

    async def reconcile(key: int) -> None:
        await asyncio.sleep(0.01)
        asked[key].append(now())
        raise WRAPPERS[key % len(WRAPPERS)](refusal(5))

    async with Controller("test", reconcile, workers=20) as controller:
        for key in range(1000):
            controller.queue.add(key)
        for _ in range(60):
            await asyncio.sleep(1)
            # Events go on meanwhile.
            for key in range(0, 1000, 7):
                controller.queue.add(key)
        assert len(controller._workers.outcomes.patience) <= 1000
    assert len(asked) == 1000
    closest = min(later - earlier for times in asked.values() for earlier, later in pairwise(times))
    assert closest >= 5
    assert max(map(len, asked.values())) <= 60 / 5 + 1


async def test_a_controller_that_ends_waits_for_no_server() -> None:
    async def reconcile(key: str) -> None:
        raise refusal(50)

    began = now()
    async with Controller("test", reconcile) as controller:
        controller.queue.add("web")
        await asyncio.sleep(1)
        controller.queue.add("web")
        await asyncio.sleep(1)
        assert controller.status.aside == 1
    assert now() - began < 3


async def test_patience_releases_a_key_once_and_forgets_it() -> None:
    released: list[Any] = []
    patience: Patience[str] = Patience(released.append)
    assert not patience.must_wait("web")
    patience.postpone("web", 3)
    patience.postpone("web", 2)
    patience.postpone("never asked", 1)
    assert patience.must_wait("web")
    assert patience.must_wait("web")
    await asyncio.sleep(2.9)
    assert released == []
    await asyncio.sleep(0.2)
    assert released == ["web"]
    assert not patience.must_wait("web")
    assert not patience.must_wait("never asked")
    assert len(patience) == 0


@pytest.mark.parametrize("raises", ["__hash__", "__eq__"])
async def test_a_waiting_key_that_raises_by_now_holds_up_no_other_at_the_end(
    raises: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Key:
        broken = False

        def __hash__(self) -> int:
            if self.broken and raises == "__hash__":
                raise ZeroDivisionError
            return 1

        def __eq__(self, other: object) -> bool:
            if self.broken and raises == "__eq__":
                raise ZeroDivisionError
            return self is other

    released: list[object] = []
    patience: Patience[object] = Patience(released.append)
    bad, other = Key(), Key()
    for key in (bad, other, "far"):
        patience.postpone(key, 100)
        assert patience.must_wait(key)
    bad.broken = True
    patience.close()
    assert "far" in [key for key in released if isinstance(key, str)]
    assert ("its __hash__ or __eq__ raises" in caplog.text) == (raises == "__hash__")
    assert len(patience) == 0
    await asyncio.sleep(200)
    assert len(released) == len(set(map(id, released)))
