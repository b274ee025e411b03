"""Spans of lists, watches and reconciles, over the whole way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from kinformer import Client, Controller, ObjectKey, Requeue, SharedInformerFactory
from kinformer.integrations.opentelemetry import Tracing
from kinformer.metrics import AllMetrics, NoMetrics
from kinformer.testing import build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from kinformer.integrations.settling import Settled
    from kinformer.testing import ApiServer, Faults


class Recorder:
    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing(self.provider)

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name == name]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.provider.shutdown()


@pytest.fixture
def informer_factory_options(recorder: Recorder) -> dict[str, Any]:
    return {"metrics": AllMetrics(NoMetrics(), recorder.tracing), "streaming_lists": False}


async def test_lists_watches_and_failures_are_spans(
    kube_api: ApiServer,
    kube_faults: Faults,
    informer_factory: SharedInformerFactory,
    settled: Settled,
    recorder: Recorder,
) -> None:
    informer_factory.core.v1.secrets  # noqa: B018 - asking for it makes it
    kube_api.create(build.secret("password", data={"password": "hunter2"}))
    kube_faults.delay(0.05)
    kube_faults.fail_next(1, status=503, verb="watch")
    await settled()
    kube_api.create(build.secret("later"))
    await settled()
    (listed,) = recorder.spans("list secrets.v1")
    assert listed.attributes == {
        "kinformer.informer": "secrets.v1",
        "kinformer.objects": 1,
        "kinformer.reason": "initial",
    }
    assert listed.start_time is not None
    assert listed.end_time is not None
    assert listed.end_time - listed.start_time >= 50_000_000
    (watched,) = recorder.spans("watch secrets.v1")
    assert watched.status.status_code is StatusCode.UNSET
    (failed,) = recorder.spans("failure secrets.v1")
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "ServiceUnavailableError"
    assert failed.status.status_code is StatusCode.ERROR


async def test_a_reconcile_is_the_parent_of_what_it_does(
    kube_api: ApiServer, informer_factory: SharedInformerFactory, settled: Settled, recorder: Recorder
) -> None:
    tracer = trace.get_tracer("test", tracer_provider=recorder.provider)
    tries: list[ObjectKey] = []

    async def reconcile(key: ObjectKey) -> Requeue | None:
        with tracer.start_as_current_span("inside"):
            tries.append(key)
        if len(tries) == 1:
            raise ValueError("hunter2")
        return Requeue(after=300)

    maps = informer_factory.core.v1.configmaps
    traced = recorder.tracing.reconcile(reconcile, name="example")
    async with informer_factory, Controller("example", traced).watches(maps):
        kube_api.create(build.config_map("a"))
        await settled()
    failed, succeeded = recorder.spans("reconcile example")
    assert failed.attributes == {
        "kinformer.controller": "example",
        "kinformer.key": "default/a",
        "error.type": "ValueError",
    }
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.events == ()  # an exception's text is not ours to send
    assert succeeded.attributes is not None
    assert succeeded.attributes["kinformer.requeue_after"] == 300
    assert [span.parent.span_id for span in recorder.spans("inside") if span.parent] == [
        failed.context.span_id,
        succeeded.context.span_id,
    ]


async def test_without_a_provider_nothing_happens(kube_client: Client) -> None:
    async def reconcile(key: str) -> None:
        """Reconcile."""

    assert await Tracing().reconcile(reconcile)("a") is None
