"""The histogram, and sinks that raise: they disturb neither informers nor requests nor each other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kinformer import Client, ClusterConfig, SharedInformer
from kinformer.errors import ConnectError
from kinformer.metrics import NO_METRICS, AllMetrics, Histogram, NoMetrics, SinkGuard, guarded
from kinformer.resources import NAMESPACES
from kinformer.status import InformerState
from kinformer.testing import ApiServer
from tests.failures import each_kind, foreign
from tests.sources import FakeSource, pod, settled


def test_a_value_is_counted_in_the_first_bucket_that_holds_it() -> None:
    times = Histogram((0.1, 1.0))
    for value in (0.0, 0.1, 0.2, 1.0, 1.1, 50):
        times.observe(value)
    assert times.counts == [2, 2, 2]
    assert times.total == pytest.approx(52.4)


class Broken(NoMetrics):
    """A sink of which one method raises."""

    def __init__(self, method: str, kind: str) -> None:
        self.raised = 0
        self._kind = kind
        setattr(self, method, self._fail)

    def _fail(self, *values: Any, **named: Any) -> None:
        self.raised += 1
        raise foreign(self._kind)


@each_kind
@pytest.mark.looptime
@pytest.mark.parametrize(
    "method", ["informer_started", "informer_stopped", "listed", "watch_opened", "failed", "handler_failed"]
)
async def test_a_sink_that_raises_disturbs_neither_the_informer_nor_other_sinks(method: str, kind: str) -> None:
    broken = Broken(method, kind)
    other = Notes()
    source = FakeSource(pod("a", 1))
    informer = SharedInformer(source, metrics=AllMetrics(broken, other))
    informer.add_event_handler(on_add=lambda _: 1 / 0)
    async with informer:
        await informer.synced(timeout=10)
        stream = await source.watched()
        stream.fail(ConnectError("refused"))
        await asyncio.sleep(60)
        stream = await source.watched()
        stream.added(pod("b", 20))
        await settled()
        assert [obj.name for obj in informer.lister.list()] == ["a", "b"]
        assert informer.status.state is InformerState.WATCHING
        assert informer.status.metrics_failures == broken.raised
    assert broken.raised >= 1
    assert other.calls == {"informer_started", "informer_stopped", "listed", "watch_opened", "failed", "handler_failed"}


class Notes(NoMetrics):
    """A sink that notes which of its methods were called."""

    def __init__(self) -> None:
        self.calls: set[str] = set()

    def __getattribute__(self, name: str) -> Any:
        if name in dir(NoMetrics) and not name.startswith("_"):
            self.calls.add(name)
        return super().__getattribute__(name)


@each_kind
async def test_a_sink_that_raises_disturbs_no_request(kind: str) -> None:
    class Sink:
        def requested(self, method: str, host: str, code: str, seconds: float) -> None:
            raise foreign(kind)

        def retried(self, method: str, host: str, code: str) -> None:
            raise foreign(kind)

    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url), metrics=Sink()) as client:
        assert (await client.get(NAMESPACES, "default")).name == "default"
        assert client.status.metrics_failures == 1


def test_failures_of_a_sink_are_counted_and_logged_once_with_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    guard = SinkGuard(object())
    for _ in range(100):
        guard.call("missing")
    assert guard.failures == 100
    assert [record.args[2] for record in caplog.records if isinstance(record.args, tuple)] == [1, 10, 100]
    assert all(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_program_is_not_kept_from_it(error: type[BaseException]) -> None:
    class Sink:
        def call(self) -> None:
            raise error

    with pytest.raises(error):
        SinkGuard(Sink()).call("call")


def test_metrics_that_never_raise_are_not_guarded_twice() -> None:
    several = AllMetrics(NO_METRICS)
    assert guarded(several) is several
    assert guarded(NO_METRICS) is NO_METRICS
    assert guarded(Broken("listed", "Exception")) is not None
