"""Every callback that the public API takes has a test that lets it raise each kind of exception.

`tests.callbacks` reads them off the signatures: a new callback without an entry here fails. An entry names a test, or
says why the callback cannot end anything. The tests of this file try the callbacks of parts that have no such test of
their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from fastapi.dependencies.utils import get_dependant

from kinformer import (
    Client,
    ClusterConfig,
    ConfigError,
    Controller,
    EventFilter,
    Finalizer,
    Fleet,
    Indexer,
    LeaderElector,
    Manager,
    ShardGroup,
    SharedInformer,
    SharedInformerFactory,
    WorkQueue,
    retry_on_conflict,
)
from kinformer.backoff import Backoff
from kinformer.config import Identity
from kinformer.custom_resources import Conversions
from kinformer.errors import ConversionError
from kinformer.filters import where
from kinformer.integrations._web.application import Application
from kinformer.integrations._web.controllers import ControllerRun
from kinformer.integrations._web.local_server import LocalServer, Page
from kinformer.integrations.fastapi import Informers
from kinformer.integrations.opentelemetry import Tracing
from kinformer.integrations.starlette import EventStreamResponse
from kinformer.integrations.ui import Dashboard
from kinformer.operators.evictions import evict
from kinformer.operators.shard_status import SliceState
from kinformer.operators.status_conditions import StatusCondition, write_conditions
from kinformer.resources import CONFIGMAPS, PODS
from kinformer.testing import ApiServer
from kinformer.webhooks import AdmissionRequest, Allow, Webhooks, WebhookServer
from kinformer.webhooks._certificates import KeyPair
from kinformer.workqueue import FairQueue
from tests.callbacks import callbacks
from tests.failures import KINDS, each_kind, foreign
from tests.paths import ROOT
from tests.sources import FakeSource, pod
from tests.unit.webhooks.test_webhooks import BOX, Box, OldBox, boxes, review

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kinformer.objects import KubeObject

INFORMER: Final = (
    "tests/unit/informer/test_nothing_ends_an_informer.py::test_whatever_a_callback_raises_the_informer_goes_on"
)
GIVES_UP: Final = "tests/unit/informer/test_nothing_ends_an_informer.py::test_on_give_up_that_raises_gives_up"
TYPED: Final = (
    "tests/unit/informer/test_typed_callbacks_that_raise.py::test_a_typed_handler_that_raises_gets_its_next_events"
)
_CONTROLLER: Final = "tests/unit/controller/test_callbacks_that_raise.py"
CONTROLLER: Final = f"{_CONTROLLER}::test_a_callback_that_raises_ends_no_worker_and_shows_in_the_log"
MAPS: Final = f"{_CONTROLLER}::test_a_filter_or_map_that_raises_stops_neither_the_informer_nor_the_controller"
HOLDS: Final = f"{_CONTROLLER}::test_the_function_that_holds_keys_back_may_raise_anything"
_OPERATORS: Final = "tests/unit/operators/test_operators_whose_callbacks_raise.py"
HERE: Final = "tests/test_callbacks.py"
CALLER: Final = f"{HERE}::test_what_a_function_raises_that_runs_for_its_caller_comes_out_there"
CREDENTIALS: Final = f"{HERE}::test_credentials_that_raise_are_an_error_that_says_so_and_shows_nothing"
WRITES: Final = f"{HERE}::test_a_listener_of_writes_that_raises_fails_no_write"
FILTERS: Final = f"{HERE}::test_a_filter_made_of_others_that_raises_counts_as_a_failure_of_its_handler"
WEB: Final = f"{HERE}::test_an_application_whose_parts_cannot_be_made_does_not_start_and_leaves_nothing_open"
SINKS: Final = "tests/unit/test_metrics.py::test_a_sink_that_raises_disturbs_neither_the_informer_nor_other_sinks"

FLEET: Final = f"{HERE}::test_a_part_of_a_cluster_that_raises_fails_that_cluster_until_it_works"

AT_CREATION: Final = "called while the object is created: the exception comes out of the call, before anything runs"
READ: Final = "an object of kinformer that is read"
OWN: Final = "kinformer itself gives this; the class is public for its methods"
A_CLASS: Final = "a class of kinformer, not a function"
A_TEST_SERVER: Final = "a part of the server for tests, whose failure fails the test"

TESTED: Final[dict[str, str]] = {
    "AllMetrics(all)": SINKS,
    "ApiServer(clock)": A_TEST_SERVER,
    "CachedClient(client)": READ,
    "CachedClient(factory)": READ,
    "CachedClient(metrics)": AT_CREATION,
    "CertificateSecret(client)": f"{HERE}::test_a_certificate_that_cannot_be_renewed_leaves_the_webhooks_as_they_are",
    "CertificateSecret(clock)": f"{HERE}::test_a_certificate_that_cannot_be_renewed_leaves_the_webhooks_as_they_are",
    "Client(metrics)": "tests/unit/test_metrics.py::test_a_sink_that_raises_disturbs_no_request",
    "Client(on_warning)": "tests/unit/client/http/test_server_warnings.py::test_a_function_that_raises_ends_no_request",
    "Client.cached(factory)": READ,
    "Client.cached(metrics)": AT_CREATION,
    "CacheProxy(known)": OWN,
    "Client.on_write(listener)": WRITES,
    "Client.watch_through(route)": OWN,
    "ClusterProfiles(access)": f"{HERE}::test_a_provider_that_raises_leaves_the_clusters_of_a_fleet_as_they_are",
    "ClusterConfig(credentials)": CREDENTIALS,
    "Column(cell)": "tests/integrations/test_ui.py::test_an_object_that_breaks_a_column_is_shown_without_it",
    "Condition(why_not)": "tests/unit/informer/test_typed_callbacks_that_raise.py::"
    "test_a_condition_that_cannot_explain_itself_hides_no_timeout",
    "Controller(metrics)": CONTROLLER,
    "Controller(reconcile)": CONTROLLER,
    "Controller.before_reconcile(hook)": CONTROLLER,
    "Controller.owns(filter)": MAPS,
    "Controller.owns(informer)": READ,
    "Controller.owns(owner)": READ,
    "Controller.unwatch(informer)": READ,
    "Controller.watches(filter)": MAPS,
    "Controller.watches(informer)": READ,
    "Controller.watches(map)": MAPS,
    "Conversions.add(return)": f"{HERE}::test_a_webhook_that_raises_is_an_answer_and_the_next_one_is_right",
    "Conversions.add_back(return)": f"{HERE}::test_a_webhook_that_raises_is_an_answer_and_the_next_one_is_right",
    "Dashboard(columns)": f"{HERE}::test_functions_of_the_page_that_raise_leave_the_page_to_its_defaults",
    "Dashboard(describe)": f"{HERE}::test_functions_of_the_page_that_raise_leave_the_page_to_its_defaults",
    "DeltaFIFO(known_objects)": OWN,
    "EventFilter(answer)": FILTERS,
    "EventRecorder(client)": f"{_OPERATORS}::test_a_client_that_raises_ends_no_recorder",
    "EventRecorder(wall_clock)": f"{_OPERATORS}::test_a_clock_or_correlator_that_raises_does_not_fail_the_controller",
    "EventStream(forget)": OWN,
    "EventStream(refuse_other_loop)": OWN,
    "EventStreamResponse(source)": f"{HERE}::test_a_stream_of_events_that_raises_ends_that_stream_and_shows_in_the_log",
    "FairQueue(group_of)": f"{HERE}::test_a_group_of_a_fair_queue_that_raises_refuses_that_key_alone",
    "FairQueue(limiter)": CONTROLLER,
    "FairQueue(metrics)": CONTROLLER,
    "FairQueue.hold_back(must_wait)": HOLDS,
    "Faults(open_watches)": OWN,
    "Faults(start)": OWN,
    "Faults(stop)": OWN,
    "Finalizer(client)": CALLER,
    "Finalizer.reconcile(apply)": CALLER,
    "Finalizer.reconcile(cleanup)": CALLER,
    "Fleet(client)": FLEET,
    "Fleet(factory)": FLEET,
    "Fleet(metrics)": AT_CREATION,
    "Fleet(provider)": f"{HERE}::test_a_provider_that_raises_leaves_the_clusters_of_a_fleet_as_they_are",
    "Fleet.add(setups)": FLEET,
    "Fleet.feed(filter)": MAPS,
    "Fleet.feed(map)": MAPS,
    "FleetInformer(find)": OWN,
    "FleetInformer(members)": OWN,
    "FleetInformer(names)": OWN,
    "HttpListerWatcher(transport)": OWN,
    "HttpListerWatcher.on_write(listener)": WRITES,
    "Indexer(indexers)": INFORMER,
    "Indexer(on_error)": f"{HERE}::test_an_error_handler_of_an_indexer_that_raises_stores_the_object_all_the_same",
    "Indexer.add_indexers(indexers)": INFORMER,
    "Informers(client)": WEB,
    "Informers(controllers)": f"{HERE}::test_a_controller_of_an_application_that_cannot_be_made_is_tried_again",
    "Informers(make)": WEB,
    "Informers.around(lifespan)": WEB,
    "Informers.around(return)": WEB,
    "Informers.use(scope_of)": CALLER,
    "Informers.use_informer(scope_of)": CALLER,
    "Jittered(limiter)": CONTROLLER,
    "LeaderElector(client)": f"{_OPERATORS}::test_a_renewal_that_raises_ends_the_term_and_cancels_the_body",
    "LeaderElector(metrics)": AT_CREATION,
    "LeaderElector(on_new_leader)": f"{_OPERATORS}::test_a_listener_for_new_leaders_that_raises_ends_nothing",
    "LeaderElector(wall_clock)": f"{HERE}::test_a_clock_for_people_that_raises_costs_no_leadership",
    "LeaderElector.run(lead)": CALLER,
    "Lister(synced)": OWN,
    "Losing(ended)": OWN,
    "Manager.add(parts)": f"{HERE}::test_a_part_of_a_manager_that_raises_anything_is_its_failure",
    "MaxOf(limiters)": CONTROLLER,
    "MaxWait(limiter)": CONTROLLER,
    "Membership(known)": OWN,
    "PartQueue(came_to)": OWN,
    "PartQueue(clock)": OWN,
    "PrometheusMetrics.cached_client(counts)": READ,
    "PrometheusMetrics.controller(gauges)": READ,
    "PrometheusMetrics.queue(gauges)": READ,
    "RateLimitingQueue(limiter)": CONTROLLER,
    "RateLimitingQueue(metrics)": CONTROLLER,
    "RateLimitingQueue.hold_back(must_wait)": HOLDS,
    "Relations(columns)": OWN,
    "Relations(informers)": OWN,
    "Settled(server)": A_TEST_SERVER,
    "ShardGroup(client)": f"{HERE}::test_a_client_that_raises_ends_no_shard_group",
    "ShardGroup(metrics)": AT_CREATION,
    "SharedInformer(metrics)": INFORMER,
    "SharedInformer(on_error)": INFORMER,
    "SharedInformer(on_give_up)": GIVES_UP,
    "SharedInformer(source)": f"{HERE}::test_a_source_that_raises_is_a_failure_that_passes",
    "SharedInformer(transform)": INFORMER,
    "SharedInformer.add_error_handler(on_error)": INFORMER,
    "SharedInformer.add_event_handler(on_add)": INFORMER,
    "SharedInformer.add_event_handler(on_delete)": TYPED,
    "SharedInformer.add_event_handler(on_event)": INFORMER,
    "SharedInformer.add_event_handler(on_update)": TYPED,
    "SharedInformer.add_indexers(indexers)": INFORMER,
    "SharedInformer.wait_for(predicate)": INFORMER,
    "SharedInformerFactory(client)": READ,
    "SharedInformerFactory(metrics)": INFORMER,
    "SharedInformerFactory(on_error)": INFORMER,
    "SharedInformerFactory(on_give_up)": GIVES_UP,
    "SharedInformerFactory.informer(transform)": INFORMER,
    "TableListerWatcher(transport)": OWN,
    "TableListerWatcher.on_write(listener)": WRITES,
    "Term(now)": OWN,
    "Term.on_loss(call)": OWN,
    "Tracing.reconcile(function)": f"{HERE}::test_a_traced_reconcile_raises_what_it_raised",
    "Tracing.reconcile(return)": f"{HERE}::test_a_traced_reconcile_raises_what_it_raised",
    "TypedInformer.add_event_handler(on_add)": TYPED,
    "TypedInformer.add_event_handler(on_delete)": TYPED,
    "TypedInformer.add_event_handler(on_event)": TYPED,
    "TypedInformer.add_event_handler(on_update)": TYPED,
    "TypedInformer.wait_for(predicate)": "tests/unit/informer/test_typed_callbacks_that_raise.py::"
    "test_a_typed_predicate_that_raises_fails_only_its_wait",
    "TypedLister(value_of)": OWN,
    "Webhooks.mutating(function)": f"{HERE}::test_a_webhook_that_raises_is_an_answer_and_the_next_one_is_right",
    "Webhooks.validating(function)": f"{HERE}::test_a_webhook_that_raises_is_an_answer_and_the_next_one_is_right",
    "WorkQueue(metrics)": CONTROLLER,
    "WorkQueue.hold_back(must_wait)": HOLDS,
    "custom_resource(rules)": A_CLASS,
    "decode_head(decode)": OWN,
    "event_response(render)": "tests/integrations/test_event_source.py::"
    "test_an_object_that_cannot_be_rendered_is_left_out_and_the_others_come",
    "evict(client)": CALLER,
    "failures_of(metrics)": READ,
    "guarded(metrics)": SINKS,
    "migrate_storage(client)": CALLER,
    "retry_on_conflict(client)": CALLER,
    "retry_on_conflict(write)": CALLER,
    "where(condition)": FILTERS,
    "write_conditions(client)": CALLER,
}

UNSEEN: Final = frozenset({"Manager.add(parts)", "Webhooks.mutating(function)", "Webhooks.validating(function)"})
"""Callbacks whose annotation is `Any`, or that a decorator takes which returns `Any`."""


def test_every_callback_has_a_test_or_a_reason() -> None:
    assert sorted({*callbacks(), *UNSEEN}) == sorted(TESTED)


@pytest.mark.parametrize("named", sorted({entry for entry in TESTED.values() if entry.startswith("tests/")}))
def test_the_test_of_a_callback_exists_and_tries_each_kind(named: str) -> None:
    path, _, name = named.partition("::")
    found = re.search(rf"((?:^[^\n]+\n)*)^(?:async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE)
    assert found is not None
    if name != "test_on_give_up_that_raises_gives_up":
        assert "@each_kind" in found[1] or '"raised", RAISED' in found[1]


class Sick:
    """Fails while it is armed."""

    def __init__(self, kind: str, *, times: int = 1_000_000) -> None:
        self.kind = kind
        self.times = times
        self.calls = 0

    def fail(self, *_: object, **__: object) -> None:
        self.calls += 1
        if self.calls <= self.times:
            raise foreign(self.kind)


# Clients


class SickCredentials:
    """Credentials of a user's own, with a defect in one of their methods."""

    def __init__(self, sick: Sick, method: str) -> None:
        self._sick = sick
        self._method = method

    def current(self) -> Identity | None:
        if self._method == "current":
            self._sick.fail()
        return None

    async def renew(self, *, refused: bool = False) -> Identity:
        await asyncio.sleep(0)
        self._sick.fail()
        return Identity("Bearer abc")


@each_kind
@pytest.mark.parametrize("method", ["current", "renew"])
async def test_credentials_that_raise_are_an_error_that_says_so_and_shows_nothing(method: str, kind: str) -> None:
    async with ApiServer() as server:
        at = ClusterConfig.for_server(server.url)
        sick = Sick(kind, times=1)
        async with Client(ClusterConfig(server=at.server, credentials=SickCredentials(sick, method))) as client:
            with pytest.raises(ConfigError, match="SickCredentials raised") as caught:
                await client.list(PODS)
            assert "foreign" not in str(caught.value)
            # The next request asks anew.
            assert len(await client.list(PODS)) == 0


@each_kind
async def test_a_listener_of_writes_that_raises_fails_no_write(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    sick = Sick(kind)
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        client.on_write(sick.fail)
        config_map = {"metadata": {"name": "a", "namespace": "default"}}
        assert (await client.create(CONFIGMAPS, config_map)).name == "a"
    assert sick.calls == 1
    assert "could not be announced" in caplog.text


# Caches


@each_kind
@pytest.mark.looptime
@pytest.mark.parametrize("place", ["list", "page", "watch", "batch"])
async def test_a_source_that_raises_is_a_failure_that_passes(place: str, kind: str) -> None:
    sick = Sick(kind, times=2)

    class Source(FakeSource):
        async def list(self, **options: Any) -> Any:
            if place == "list":
                sick.fail()
            async for page in super().list(**options):
                yield page
                if place == "page":
                    sick.fail()

        @contextlib.asynccontextmanager
        async def watch(self, **options: Any) -> Any:
            if place == "watch":
                sick.fail()
            async with super().watch(**options) as batches:
                yield self._sick(batches)

        async def _sick(self, batches: Any) -> Any:
            if place == "batch":
                sick.fail()
            async for batch in batches:
                yield batch

    source = Source(pod("a", 1))
    async with SharedInformer(source) as informer:
        await informer.synced(timeout=60)
        await asyncio.sleep(60)
        assert informer.is_live
        assert informer.status.failures == 0
        (await source.watched()).added(pod("b", 20))
        await asyncio.sleep(1)
        assert informer.lister.get("b", "default") is not None
    assert sick.calls > 2
    assert "UnexpectedError" in informer.status.errors


@each_kind
def test_an_error_handler_of_an_indexer_that_raises_stores_the_object_all_the_same(kind: str) -> None:
    if kind not in {"Exception", "ExceptionGroup", "StopIteration", "TimeoutError", "unspeakable"}:
        # Without a running loop it is not known whether an exception that is no Exception is meant for the thread.
        return

    def broken(_: KubeObject) -> list[str]:
        raise ZeroDivisionError

    indexer = Indexer({"first": broken, "name": lambda obj: [obj.name]}, on_error=Sick(kind).fail)
    indexer.add(pod("a", 1))
    assert [obj.name for obj in indexer.by_index("name", "a")] == ["a"]
    assert indexer.by_index("first", "a") == []


@each_kind
@pytest.mark.looptime
@pytest.mark.parametrize("made", ["EventFilter", "where", "and", "or", "not"])
async def test_a_filter_made_of_others_that_raises_counts_as_a_failure_of_its_handler(made: str, kind: str) -> None:
    def answer(event: Any) -> bool:
        if event.obj.name == "bad":
            raise foreign(kind)
        return True

    plain = EventFilter(answer)
    filters: dict[str, EventFilter] = {
        "EventFilter": plain,
        "where": where(lambda obj: answer(type("E", (), {"obj": obj}))),
        "and": plain & EventFilter(lambda _: True),
        "or": EventFilter(lambda _: False) | plain,
        "not": ~(~plain),
    }
    source = FakeSource(pod("bad", 1), pod("good", 2))
    informer = SharedInformer(source)
    seen: list[str] = []

    async def reconcile(key: Any) -> None:
        seen.append(key.name)

    controller: Controller[Any] = Controller("test", reconcile).watches(informer, filter=filters[made])
    async with informer, controller:
        await asyncio.sleep(1)
        assert seen == ["good"]
        assert informer.status.handler_failures == 1
        assert informer.is_live


# Functions that run for their caller


class _Raises:
    """A client each verb of which raises."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __getattr__(self, name: str) -> Any:
        async def verb(*_: object, **__: object) -> Any:
            await asyncio.sleep(0)
            raise foreign(self._kind)

        return verb


class _Stores(_Raises):
    """A client that patches, and holds a Lease for itself."""

    async def patch(self, resource: Any, name: str, change: Any, /, **_: object) -> KubeObject:
        return pod(name, 2)

    async def get(self, resource: Any, name: str, /, **_: object) -> KubeObject:
        return pod(name, 2)


def _calls(kind: str) -> dict[str, Callable[[], Any]]:
    async def raises(*_: object) -> Any:
        await asyncio.sleep(0)
        raise foreign(kind)

    async def scope_of() -> Any:
        await asyncio.sleep(0)
        raise foreign(kind)

    async def of_a_request() -> Any:
        # FastAPI calls the dependency with which that of `use` begins.
        first = get_dependant(path="/", call=Informers().use(PODS, scope_of)).dependencies[0].call
        assert first is not None
        return await first()

    client: Any = _Raises(kind)
    held = pod("a", 1)
    deleted = held.to_dict()
    deleted["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/f"]}
    going = type(held).from_dict(deleted, PODS)
    there = Finalizer(_Stores(kind), "example.com/f")
    condition = StatusCondition("Ready", "True", "Fine", "it is")
    return {
        "retry_on_conflict(write)": lambda: retry_on_conflict(client, held, raises),
        "Finalizer.reconcile(apply)": lambda: there.reconcile(held, raises, raises),
        "Finalizer.reconcile(cleanup)": lambda: there.reconcile(going, raises, raises),
        "Finalizer(client)": lambda: Finalizer(client, "example.com/f").reconcile(held, raises, raises),
        "Informers.use(scope_of)": of_a_request,
        "evict(client)": lambda: evict(client, held),
        "write_conditions(client)": lambda: write_conditions(client, held, condition),
    }


@each_kind
@pytest.mark.parametrize("call", _calls("Exception"))
async def test_what_a_function_raises_that_runs_for_its_caller_comes_out_there(call: str, kind: str) -> None:
    raised: BaseException | None = None
    try:
        await _calls(kind)[call]()
    except BaseException as error:
        raised = error
    # Python itself makes a RuntimeError of a StopIteration that leaves a coroutine.
    wanted = RuntimeError if kind == "StopIteration" else type(KINDS[kind]())
    assert type(raised) is wanted
    current = asyncio.current_task()
    assert current is not None
    assert not current.cancelling()


@each_kind
async def test_a_leader_that_raises_gives_its_lease_back(kind: str) -> None:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:

        async def lead(_: Any) -> None:
            await asyncio.sleep(0)
            raise foreign(kind)

        elector = LeaderElector(client, "op", namespace="default")
        with contextlib.suppress(BaseException):
            await elector.run(lead, recontest=False)
        lease = await client.get("leases.coordination.k8s.io", "op", namespace="default")
        assert not lease.at("spec.holderIdentity", default="")
        assert not elector.is_leader


@each_kind
@pytest.mark.looptime
async def test_a_traced_reconcile_raises_what_it_raised(kind: str) -> None:
    calls: list[str] = []

    async def reconcile(key: str) -> None:
        calls.append(key)
        if len(calls) == 1:
            raise foreign(kind)

    controller: Controller[str] = Controller("test", Tracing().reconcile(reconcile))
    controller.queue.add("a")
    async with controller:
        await asyncio.sleep(5)
        assert calls == ["a", "a"]
        assert controller.status.results["error"] == 1


# Operators


@each_kind
async def test_a_clock_for_people_that_raises_costs_no_leadership(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    sick = Sick(kind)

    def clock() -> datetime:
        sick.fail()
        return datetime.now(UTC)

    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        elector = LeaderElector(
            client, "op", namespace="default", wall_clock=clock, renew_deadline=1, retry_period=0.05, lease_duration=2
        )
        async with elector as leadership:
            await asyncio.sleep(0.2)
            assert leadership.is_leader
    assert sick.calls > 1
    assert "wall_clock raised" in caplog.text


@each_kind
@pytest.mark.looptime
async def test_a_client_that_raises_ends_no_shard_group(kind: str) -> None:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        sick = Sick(kind, times=12)

        class Sometimes:
            def __getattr__(self, name: str) -> Any:
                verb = getattr(client, name)
                if name == "list_watch":
                    sick.fail()
                    return verb

                async def tried(*given: Any, **named: Any) -> Any:
                    sick.fail()
                    return await verb(*given, **named)

                return tried

        sick.times = 3
        group = ShardGroup(Sometimes(), "sites", namespace="default", by="namespace", settle=0.1)
        async with group:
            sick.calls, sick.times = 0, 12
            async with asyncio.timeout(60):
                while not (group.status.slices.get(SliceState.OWNED) and sick.calls > 12):
                    await asyncio.sleep(0.1)
        assert group.status.state == "left"


@each_kind
@pytest.mark.parametrize("part", ["function", "led function", "context", "exit of a context"])
async def test_a_part_of_a_manager_that_raises_anything_is_its_failure(part: str, kind: str) -> None:
    if (part, kind) == ("exit of a context", "CancelledError"):
        return  # a part that the manager cancels to stop it ends like that
    sick = Sick(kind)
    stopped: list[str] = []

    class Neighbour(contextlib.AbstractAsyncContextManager[None]):
        async def __aexit__(self, *_: object) -> None:
            stopped.append("neighbour")

    class Context(contextlib.AbstractAsyncContextManager[None]):
        async def __aenter__(self) -> None:
            if part == "context":
                sick.fail()

        async def __aexit__(self, *_: object) -> None:
            sick.fail()

    async def function() -> None:
        await asyncio.sleep(0)
        sick.fail()

    manager = Manager(host="", blocked_after=None).add(Neighbour())
    raised: BaseException | None = None
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        if part == "led function":
            manager.add(LeaderElector(client, "op", namespace="default"))
            manager.add(function, led=True)
        else:
            manager.add(function if part == "function" else Context())
        try:
            async with asyncio.timeout(30), manager:
                if part == "exit of a context":
                    while not manager.is_ready:
                        await asyncio.sleep(0.001)
                else:
                    await asyncio.Event().wait()
        except BaseException as error:
            raised = error
    assert raised is not None
    assert stopped == ["neighbour"]
    assert any("foreign" in repr(one) or kind == "unspeakable" for one in (raised, raised.__cause__))
    current = asyncio.current_task()
    assert current is not None
    assert not current.cancelling()
    assert asyncio.all_tasks() == {current}


@each_kind
@pytest.mark.parametrize("part", ["client", "factory", "setup"])
async def test_a_part_of_a_cluster_that_raises_fails_that_cluster_until_it_works(part: str, kind: str) -> None:
    sick = Sick(kind, times=2)

    def client(name: str, config: ClusterConfig) -> Client:
        if (part, name) == ("client", "bad"):
            sick.fail()
        return Client(config, user_agent=name)

    def factory(of: Client) -> SharedInformerFactory:
        if part == "factory" and of in bad:
            sick.fail()
        return SharedInformerFactory(of)

    def setup(cluster: Any) -> None:
        if (part, cluster.name) == ("setup", "bad"):
            sick.fail()
        cluster.informer("configmaps")

    bad: list[Client] = []

    def opened(name: str, config: ClusterConfig) -> Client:
        made = client(name, config)
        if name == "bad":
            bad.append(made)
        return made

    async with ApiServer() as one, ApiServer() as two:
        clusters = {"good": ClusterConfig.for_server(one.url), "bad": ClusterConfig.for_server(two.url)}
        fleet = Fleet(clusters, client=opened, factory=factory, backoff=Backoff(initial=0.05, maximum=0.1)).add(setup)
        async with asyncio.timeout(60), fleet:
            while len(fleet.clusters) < 2:
                await asyncio.sleep(0.01)
    assert sick.calls == 3
    assert asyncio.all_tasks() == {asyncio.current_task()}


@each_kind
async def test_a_provider_that_raises_leaves_the_clusters_of_a_fleet_as_they_are(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    sick = Sick(kind, times=2)
    async with ApiServer() as server:

        class Provider:
            async def clusters(self) -> Any:
                if sick.calls:
                    await asyncio.sleep(0)
                yield {"one": ClusterConfig.for_server(server.url)}
                sick.fail()
                await asyncio.Event().wait()

        def setup(cluster: Any) -> None:
            cluster.informer("configmaps")

        fleet = Fleet(Provider(), backoff=Backoff(initial=0.01, maximum=0.02)).add(setup)
        async with asyncio.timeout(60), fleet:
            while sick.calls < 3 or not fleet.clusters:
                await asyncio.sleep(0.01)
    assert "the provider has failed" in caplog.text


# Webhooks


@each_kind
async def test_a_webhook_that_raises_is_an_answer_and_the_next_one_is_right(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    sick = Sick(kind, times=1)
    webhooks = Webhooks()

    @webhooks.validating(Box)
    async def check(request: AdmissionRequest[Box]) -> Allow:
        await asyncio.sleep(0)
        sick.fail()
        return Allow()

    @webhooks.mutating(Box)
    async def change(request: AdmissionRequest[Box]) -> Allow:
        await asyncio.sleep(0)
        sick.fail()
        return Allow()

    for path in webhooks.paths:
        sick.calls = 0
        status, body = await webhooks.answer(path, review())
        assert (status, b"foreign" in body) == (500, False)
        assert (await webhooks.answer(path, review()))[0] == 200
    assert "Traceback" in caplog.text
    broken = Conversions(Box)

    @broken.add(OldBox)
    def up(old: OldBox) -> Box:
        raise foreign(kind)

    @broken.add_back(OldBox)
    def down(new: Box) -> OldBox:
        raise foreign(kind)

    with pytest.raises(ConversionError, match="down raised") as caught:
        broken.convert(BOX, "v1beta1")
    assert "foreign" not in str(caught.value)
    assert boxes().convert(BOX, "v1beta1")["spec"]["size"] == "1"


@each_kind
async def test_a_certificate_that_cannot_be_renewed_leaves_the_webhooks_as_they_are(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import trustme

    leaf = trustme.CA().issue_cert("localhost")
    sick = Sick(kind)
    loads: list[int] = []

    class Certificate:
        look_every = 0.01

        async def load(self, webhooks: Webhooks) -> KeyPair:
            loads.append(1)
            if len(loads) > 1:
                sick.fail()
            return KeyPair(leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes())

    server = WebhookServer(Webhooks(), Certificate(), port=0)  # type: ignore[arg-type]
    async with server:
        async with asyncio.timeout(30):
            while not sick.calls:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.close()
    assert "the certificate of the webhooks cannot be renewed" in caplog.text


# Applications


@each_kind
async def test_an_application_whose_parts_cannot_be_made_does_not_start_and_leaves_nothing_open(kind: str) -> None:
    async with ApiServer() as server:
        opened: list[Client] = []

        def connect() -> Client:
            opened.append(Client(ClusterConfig.for_server(server.url)))
            return opened[-1]

        def make(client: Client) -> SharedInformerFactory:
            raise foreign(kind)

        @contextlib.asynccontextmanager
        async def lifespan(app: Any) -> Any:
            raise foreign(kind)
            yield

        for informers, wrapped in (
            (Application(make, client=connect), False),
            (Application(client=connect), True),
            (Application(client=Sick(kind).fail), False),  # type: ignore[arg-type]
        ):
            raised = False
            try:
                begun = informers.around(lifespan)(None) if wrapped else informers.lifespan(None)
                async with begun:
                    pass
            except BaseException:
                raised = True
            assert raised
            assert not informers.running
        assert len(opened) == 2
        assert all(client.closed for client in opened)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@each_kind
@pytest.mark.looptime
async def test_a_controller_of_an_application_that_cannot_be_made_is_tried_again(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    sick = Sick(kind, times=3)
    reconciled: list[str] = []

    async def reconcile(key: str) -> None:
        reconciled.append(key)

    class Ends(Controller[str]):
        async def run(self) -> None:
            raise foreign(kind)

    made: list[Controller[str]] = []

    def make() -> Controller[str]:
        if made:
            sick.fail()
        made.append(Controller("web", reconcile) if made else Ends("web", reconcile))
        made[-1].queue.add("a")
        return made[-1]

    run = ControllerRun(make, Backoff(initial=0.1))
    task = asyncio.get_running_loop().create_task(run.run())
    await asyncio.sleep(30)
    assert reconciled == ["a"]
    assert sick.calls == 4
    assert [record for record in caplog.records if record.levelno >= logging.WARNING]
    task.cancel()
    await asyncio.wait([task])


@each_kind
async def test_a_stream_of_events_that_raises_ends_that_stream_and_shows_in_the_log(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def source(_: Any) -> Any:
        yield b"data: 1\n\n"
        raise foreign(kind)

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    async with asyncio.timeout(10):
        await EventStreamResponse(source)(scope, receive, send)
    assert sent[1]["body"] == b"data: 1\n\n"
    # The end is sent, so that the reader comes back; a body that breaks off in silence may be waited for.
    assert sent[-1] == {"type": "http.response.body", "body": b""}
    assert "an event stream failed" in caplog.text
    assert "Traceback" in caplog.text


@each_kind
@pytest.mark.looptime
async def test_functions_of_the_page_that_raise_leave_the_page_to_its_defaults(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    sick = Sick(kind)
    factory: Any = type("Factory", (), {"informers": {}})()
    page = Dashboard(factory, columns=sick.fail, describe=sick.fail)  # type: ignore[arg-type]
    assert [column.title for column in page._columns_of(PODS)][:1] == ["NAME"]
    source = FakeSource()
    async with SharedInformer(source, name="pods") as informer:
        page._changes.listen_to(informer)
        (await source.watched()).added(pod("a", 20))
        await asyncio.sleep(1)
        assert [change["summary"] for change in page._recent()] == [""]
    assert sick.calls == 2
    assert "describe raised" in caplog.text
    assert "the columns of pods" in caplog.text


@each_kind
async def test_a_page_that_raises_is_an_answer_500_and_others_are_served(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    import aiohttp

    def bad() -> Page:
        raise foreign(kind)

    server = LocalServer(
        {"/bad": bad, "/good": lambda: Page(200, b"{}")}, host="127.0.0.1", port=0, hosts=(), owner="Test"
    )
    await server.start()
    async with aiohttp.ClientSession() as http:
        for path, status in (("/bad", 500), ("/good", 200)):
            async with http.get(server.url + path) as response:
                assert response.status == status
                assert b"foreign" not in await response.read()
    await server.stop()
    assert "the page /bad failed" in caplog.text


# Metrics


@each_kind
@pytest.mark.looptime
async def test_failures_of_the_metrics_of_work_are_in_the_status(kind: str) -> None:
    class Broken:
        def queue(self, name: str, gauges: Any) -> Any:
            return self

        def controller(self, name: str, gauges: Any) -> Any:
            return self

        def __getattr__(self, name: str) -> Any:
            return Sick(kind).fail

    async def reconcile(key: str) -> None: ...

    controller: Controller[str] = Controller("test", reconcile, metrics=Broken())
    async with controller:
        controller.queue.add("a")
        await asyncio.sleep(1)
        # The queue: added, taken, finished. The controller: reconciled.
        assert controller.queue.metrics_failures == 3
        assert controller.status.metrics_failures == 4
        assert controller.status.results["success"] == 1
    assert WorkQueue[str]().metrics_failures == 0


def test_failures_of_metrics_are_on_the_status_page() -> None:
    from kinformer.integrations.status_endpoint import status_of

    async def shown() -> bytes:
        async def reconcile(key: str) -> None: ...

        return msgspec.json.encode(status_of(Controller("test", reconcile)))

    assert b'"metrics_failures":0' in asyncio.run(shown())


@each_kind
async def test_a_group_of_a_fair_queue_that_raises_refuses_that_key_alone(kind: str) -> None:
    def group_of(key: str) -> str:
        if key == "bad":
            raise foreign(kind)
        return key

    queue: FairQueue[str] = FairQueue(group_of)
    queue.add("a")
    with pytest.raises(BaseException) as caught:
        queue.add("bad")
    assert type(caught.value) is type(foreign(kind))
    queue.add("b")
    assert len(queue) == 2
    assert [queue.get_nowait(), queue.get_nowait()] == ["a", "b"]
    queue.done("a")
    queue.done("b")
    assert queue.idle
