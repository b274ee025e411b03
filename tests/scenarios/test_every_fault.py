"""Each fault of a server or a network: the cache ends equal to the server, the handlers hear a legal history, and while
something is wrong, `status` and `on_error` say what."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any, Self

import pytest
import trustme

from kinformer import (
    Added,
    ApiError,
    Backoff,
    Client,
    ClusterConfig,
    ConnectError,
    DecodeError,
    Deleted,
    ExpiredError,
    ForbiddenError,
    InformerState,
    KinformerError,
    MalformedStreamError,
    NotFoundError,
    ObjectKey,
    ProtocolError,
    ResourceVersionTooLargeError,
    ServerError,
    SharedInformer,
    SharedInformerFactory,
    StreamBrokenError,
    TLSError,
    TooManyRequestsError,
    TransportTimeoutError,
    UnauthorizedError,
    Updated,
)
from kinformer.errors import TransportError
from kinformer.informer._shared_informer import core_of
from kinformer.reflector._reflector import Reflector
from kinformer.resources import CONFIGMAPS
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kinformer.events import Event

pytestmark = pytest.mark.usefixtures("storage")

QUICK = Backoff(initial=0.01, maximum=0.05)
PATIENCE = 60.0
"""Real seconds after which a recovery counts as hung, on a busy machine as well. A recovery takes milliseconds."""


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


class Scene:
    """A server with a few objects, and an informer of them in sync."""

    def __init__(self, **options: Any) -> None:
        self.server = ApiServer()
        self.errors: list[KinformerError] = []
        self.events: list[Event] = []
        self._options = {"backoff": QUICK, **options}
        self._stack = contextlib.AsyncExitStack()
        self._count = 0
        self.start_in_sync = True

    @property
    def faults(self) -> Any:
        return self.server.faults

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.server)
        for name in ("a", "b", "c"):
            self.server.create(config_map(name, v="0"))
        client = await self._stack.enter_async_context(Client(ClusterConfig.for_server(self.server.url)))
        self.factory = SharedInformerFactory(
            client, on_error=lambda error, _: self.errors.append(error), **self._options
        )
        self.informer: SharedInformer = self.factory.informer(CONFIGMAPS)
        self.informer.add_event_handler(self.events.append)
        return self

    async def started(self) -> None:
        await self._stack.enter_async_context(self.factory)

    async def synced(self) -> None:
        await self.started()
        await self.informer.synced(timeout=PATIENCE)

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    def write(self) -> None:
        """Everything a server does to objects: one created, one changed, one deleted."""
        self._count += 1
        count = self._count
        self.server.create(config_map(f"new-{count}"))
        self.server.patch("v1", "ConfigMap", "a", {"data": {"v": str(count)}})
        if count > 1:
            self.server.delete("v1", "ConfigMap", f"new-{count - 1}")
        else:
            self.server.delete("v1", "ConfigMap", "b")

    async def recovers(self, but: tuple[str, ...] = ()) -> None:
        """Wait until the cache is equal to the server (but for objects that cannot be used), and check the history."""
        wanted = {
            ObjectKey("default", manifest["metadata"]["name"]): manifest
            for manifest in self.server.list("v1", "ConfigMap")
            if manifest["metadata"]["name"] not in but
        }
        target = {key: manifest["metadata"]["resourceVersion"] for key, manifest in wanted.items()}

        def differs(key: ObjectKey) -> bool:
            cached = self.informer.indexer.get_by_key(key)  # perhaps before the first list
            return (cached.resource_version if cached else None) != target.get(key)

        async with asyncio.timeout(PATIENCE):
            async with self.informer.events() as events:
                # An event changes one key, so only that key is compared again: not the whole cache for each event.
                different = {key for key in {*target, *self.informer.indexer.list_keys()} if differs(key)}
                while different:
                    key = (await anext(events)).key
                    if differs(key):
                        different.add(key)
                    else:
                        different.discard(key)
            while not self.informer.is_live:
                await asyncio.sleep(0.005)
            # What the handler has yet to hear.
            registration = self.informer.add_event_handler(lambda event: None)
            await registration.synced()
        assert {obj.key: obj.to_dict() for obj in self.informer.lister.list()} == wanted
        check_history(self.events)

    async def failed_with(self, *kinds: type[KinformerError]) -> None:
        """Wait until an error of each kind has been told."""
        async with asyncio.timeout(PATIENCE):
            while not all(any(isinstance(error, kind) for error in self.errors) for kind in kinds):
                await asyncio.sleep(0.005)


def check_history(events: list[Event]) -> None:
    """Added, Updated from what was told last, Deleted, Added, ...; never backwards."""
    known: dict[ObjectKey, Any] = {}
    for event in events:
        match event:
            case Added(obj):
                assert event.key not in known, event
                known[event.key] = obj
            case Updated(old, new):
                assert known[event.key] == old, event
                assert int(new.resource_version) > int(old.resource_version), event
                known[event.key] = new
            case Deleted():
                assert event.key in known, event
                del known[event.key]


# While a watch is open

WHILE_WATCHING: dict[str, tuple[Callable[[Any], object], tuple[type[KinformerError], ...]]] = {
    "the connection is cut": (lambda faults: faults.drop_watches(), (TransportError,)),
    "the connection is cut in the middle of a line": (lambda faults: faults.cut_mid_line(), (StreamBrokenError,)),
    "the server ends the watch": (lambda faults: faults.end_watches(), ()),
    "the version has expired": (lambda faults: faults.expire(), (ExpiredError,)),
    "an error event 500": (lambda faults: faults.refuse_watches(500), (ServerError,)),
    "an error event 429": (lambda faults: faults.refuse_watches(429), (TooManyRequestsError,)),
    "an error event 403": (lambda faults: faults.refuse_watches(403), (ForbiddenError,)),
    "an error event without a known code": (lambda faults: faults.refuse_watches(599), (ServerError,)),
    "garbage bytes": (lambda faults: faults.send(b"\x00\xff garbage\n"), (MalformedStreamError,)),
    "an event of an unknown type": (
        lambda faults: faults.send(b'{"type":"RENAMED","object":{}}\n'),
        (MalformedStreamError,),
    ),
    "an object without metadata": (lambda faults: faults.send(b'{"type":"ADDED","object":{}}\n'), (DecodeError,)),
    "an empty line": (lambda faults: faults.send(b"\n\n"), ()),
    "a Table": (
        lambda faults: faults.send(b'{"type":"ADDED","object":{"kind":"Table","apiVersion":"meta.k8s.io/v1"}}\n'),
        (ProtocolError,),
    ),
    "a Status without an event around it": (
        lambda faults: faults.send(b'{"kind":"Status","code":500,"reason":"InternalError"}\n'),
        (ServerError,),
    ),
}


@pytest.mark.parametrize("fault", WHILE_WATCHING)
@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "paged"])
async def test_whatever_happens_to_a_watch_nothing_is_lost_or_invented(fault: str, streaming: bool) -> None:
    do, kinds = WHILE_WATCHING[fault]
    async with Scene(streaming_lists=streaming) as scene:
        await scene.synced()
        for _ in range(3):
            scene.write()
            do(scene.faults)
            scene.write()
            await scene.recovers()
        await scene.failed_with(*kinds)
        assert bool(scene.errors) == bool(kinds)


# When a watch or a list is asked for

REQUESTS: dict[str, tuple[Callable[[Any], object], tuple[type[KinformerError], ...]]] = {
    "watches are refused with 410": (lambda f: f.fail_next(3, status=410, verb="watch"), (ExpiredError,)),
    "watches are refused with 403": (lambda f: f.fail_next(3, status=403, verb="watch"), (ForbiddenError,)),
    "watches are refused with 404": (lambda f: f.fail_next(2, status=404, verb="watch"), (NotFoundError,)),
    "watches are refused with 401": (lambda f: f.fail_next(3, status=401, verb="watch"), (UnauthorizedError,)),
    "watches are refused with 429": (lambda f: f.fail_next(3, status=429, verb="watch"), (TooManyRequestsError,)),
    "watches are refused with 500": (lambda f: f.fail_next(8, status=500, verb="watch"), (ServerError,)),
    "watches are refused with 504": (lambda f: f.fail_next(3, status=504, verb="watch"), (ServerError,)),
    "everything is refused with 503": (lambda f: f.fail_next(9, status=503), (ServerError,)),
    "a proxy answers 502 in HTML": (
        lambda f: f.fail_next(5, status=502, body="<html>Bad Gateway</html>"),
        (ServerError,),
    ),
    "a proxy answers 200 in HTML": (
        lambda f: f.answer_next(b"<html>Login</html>", verb="watch", count=3, content_type="text/html"),
        (ProtocolError,),
    ),
    "watches end at once": (lambda f: f.close_watches_at_once(6), ()),
    "a watch answers a Status on a 200 stream": (
        lambda f: f.answer_next(b'{"kind":"Status","apiVersion":"v1","code":500}\n', verb="watch", count=3),
        (ServerError,),
    ),
    "a watch ends in the middle of a line": (
        lambda f: f.answer_next(b'{"type":"ADDED","object":{"meta', verb="watch", count=3),
        (StreamBrokenError,),
    ),
    "a watch breaks in the middle of a line": (
        lambda f: f.answer_next(b'{"type":"ADDED","object":{"meta', verb="watch", count=3, then="cut"),
        (StreamBrokenError,),
    ),
    "a watch brings garbage": (
        lambda f: f.answer_next(b"\x00\x01garbage\n", verb="watch", count=3),
        (MalformedStreamError,),
    ),
}


@pytest.mark.parametrize("fault", REQUESTS)
@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "paged"])
async def test_whatever_a_request_is_answered_with_the_cache_becomes_the_server(fault: str, streaming: bool) -> None:
    do, kinds = REQUESTS[fault]
    async with Scene(streaming_lists=streaming) as scene:
        await scene.synced()
        do(scene.faults)
        scene.faults.end_watches()
        scene.write()
        await scene.recovers()
        await scene.failed_with(*kinds)


LISTS: dict[str, tuple[Callable[[Any], object], tuple[type[KinformerError], ...]]] = {
    "410": (lambda f: f.fail_next(2, status=410, verb="list"), (ExpiredError,)),
    "403": (lambda f: f.fail_next(2, status=403, verb="list"), (ForbiddenError,)),
    "401": (lambda f: f.fail_next(2, status=401, verb="list"), (UnauthorizedError,)),
    "404": (lambda f: f.fail_next(1, status=404, verb="list"), (NotFoundError,)),
    "429 with Retry-After": (
        lambda f: f.fail_next(1, status=429, verb="list", retry_after=1),
        (TooManyRequestsError,),
    ),
    "500": (lambda f: f.fail_next(2, status=500, verb="list"), (ServerError,)),
    "504": (lambda f: f.fail_next(2, status=504, verb="list"), (ServerError,)),
    "an empty body": (lambda f: f.answer_next(b"", verb="list"), (ProtocolError,)),
    "half of a list": (
        lambda f: f.answer_next(b'{"kind":"ConfigMapList","items":[{"me', verb="list"),
        (ProtocolError,),
    ),
    "a list that breaks off": (
        lambda f: f.answer_next(b'{"kind":"ConfigMapList","items":[{"me', verb="list", then="cut"),
        (TransportError,),
    ),
    "a Table": (
        lambda f: f.answer_next(b'{"kind":"Table","apiVersion":"meta.k8s.io/v1","rows":[]}', verb="list"),
        (ProtocolError,),
    ),
    "a list without kind and version": (
        lambda f: f.answer_next(b'{"metadata":{},"items":[]}', verb="list"),
        (ProtocolError,),
    ),
    "HTML": (lambda f: f.answer_next(b"<html>", verb="list", content_type="text/html"), (ProtocolError,)),
}


async def test_a_list_that_has_lost_its_version_is_not_taken() -> None:
    async with Scene(streaming_lists=False) as scene:
        await scene.synced()
        scene.faults.answer_next(b'{"kind":"ConfigMapList","metadata":{},"items":[]}', verb="list")
        scene.write()
        scene.faults.expire()
        scene.write()
        await scene.recovers()
        await scene.failed_with(ProtocolError)


@pytest.mark.parametrize("answer", LISTS)
@pytest.mark.parametrize("when", ["first", "later"])
async def test_whatever_a_list_is_answered_with_the_cache_becomes_the_server(answer: str, when: str) -> None:
    do, kinds = LISTS[answer]
    async with Scene(streaming_lists=False) as scene:
        if when == "first":
            do(scene.faults)
            await scene.synced()
        else:
            await scene.synced()
            do(scene.faults)
            scene.write()
            scene.faults.expire()
            scene.write()
        await scene.recovers()
        await scene.failed_with(*kinds)


# The server as a whole


async def test_a_connection_that_died_without_a_word_is_ended_and_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinformer.client._list_watch.SILENCE_MARGIN", 0.1)
    async with Scene(watch_seconds=1) as scene:
        await scene.synced()
        assert scene.faults.freeze_watches() == 1
        scene.write()
        # The watch was to last 1 or 2 seconds, and is given a little more.
        await scene.recovers()
        await scene.failed_with(TransportTimeoutError)


async def test_a_server_that_is_gone_for_a_while() -> None:
    async with Scene() as scene:
        await scene.synced()
        async with scene.faults.down():
            await scene.failed_with(ConnectError)
            scene.write()
            assert not scene.informer.is_live
            assert scene.informer.status.state in {InformerState.WAITING, InformerState.WATCHING}
        await scene.recovers()


async def test_a_server_that_is_not_there_yet_when_the_informer_starts() -> None:
    async with Scene() as scene:
        async with scene.faults.down():
            await scene.started()
            await scene.failed_with(ConnectError)
        await scene.recovers()


async def test_a_server_that_forgot_everything_while_it_was_gone() -> None:
    async with Scene() as scene:
        await scene.synced()
        async with scene.faults.down():
            scene.write()
            scene.server.compact()
        await scene.recovers()
        gone = [event for event in scene.events if isinstance(event, Deleted)]
        assert [event.final_state_known for event in gone] == [False]


async def test_pages_whose_continue_token_expires() -> None:
    async with Scene(streaming_lists=False) as scene:
        for number in range(1200):
            scene.server.create(config_map(f"many-{number}"))
        scene.faults.answer_next(b"", verb="nothing")
        refused = 0

        async def expire_after_the_first_page() -> None:
            nonlocal refused
            while scene.server.count("list", "configmaps") < 1:
                await asyncio.sleep(0)
            scene.server.create(config_map("meanwhile"))
            scene.server.compact()
            refused = 1

        async with asyncio.TaskGroup() as group:
            group.create_task(expire_after_the_first_page())
            await scene.synced()
        await scene.recovers()
        assert refused
        limits = [request.query.get("limit") for request in scene.server.requests if request.verb == "list"]
        assert limits == ["500", "500", None]
        await scene.failed_with(ExpiredError)


async def test_a_server_without_streaming_lists_is_asked_once() -> None:
    async with Scene() as scene:
        scene.faults.without_streaming_lists()
        await scene.synced()
        assert "WatchList feature gate" in scene.informer.status.streaming_off
        scene.write()
        scene.faults.expire()
        await scene.recovers()
        streamed = [r for r in scene.server.requests if r.query.get("sendInitialEvents") and r.resource == "configmaps"]
        assert len(streamed) == 1


async def test_an_end_bookmark_that_never_comes_is_not_waited_for_for_ever() -> None:
    async with Scene() as scene:
        scene.faults.without_end_bookmark()
        await scene.started()
        reflector = core_of(scene.informer).reflector
        assert isinstance(reflector, Reflector)
        reflector._stream_deadline = 0.2
        scene.faults.drop_watches()
        await scene.informer.synced(timeout=PATIENCE)
        assert "no end bookmark" in scene.informer.status.streaming_off
        scene.write()
        await scene.recovers()


async def test_events_that_come_twice_are_told_once() -> None:
    async with Scene() as scene:
        scene.faults.repeat_events(3)
        await scene.synced()
        for _ in range(3):
            scene.write()
        await scene.recovers()
        assert len([event for event in scene.events if isinstance(event, Updated)]) == 3


@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "paged"])
async def test_a_server_that_lags_behind_never_takes_the_cache_back_in_time(streaming: bool) -> None:
    async with Scene(streaming_lists=streaming) as scene:
        await scene.synced()
        scene.write()
        await scene.recovers()
        scene.faults.lag(3)
        scene.faults.expire()
        await scene.recovers()
        if not streaming:
            await scene.failed_with(ResourceVersionTooLargeError)


@pytest.mark.parametrize("how", ["labels", "metadata"])
@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "paged"])
async def test_one_object_among_many_that_cannot_be_decoded_is_left_out_reported_and_healed(
    how: str, streaming: bool
) -> None:
    async with Scene(streaming_lists=streaming) as scene:
        for number in range(2000):
            scene.server.create(config_map(f"many-{number}"))
        scene.faults.corrupt("configmaps", "many-77", how=how)
        await scene.synced()
        await scene.recovers(but=("many-77",))
        *others, error = scene.errors
        # Without the brace of its metadata the object is no JSON: in a stream nobody knows where it ends.
        no_json = streaming and how == "metadata"
        assert [type(other) for other in others] == ([MalformedStreamError] if no_json else [])
        assert isinstance(error, DecodeError)
        assert error.key == ("default/many-77" if how == "labels" else None)
        assert scene.informer.status.left_out == 1
        scene.faults.clear()
        scene.server.patch("v1", "ConfigMap", "many-77", {"data": {"v": "healed"}})
        await scene.recovers()


async def test_an_object_that_becomes_undecodable_leaves_the_cache_until_it_is_healed() -> None:
    async with Scene() as scene:
        await scene.synced()
        scene.faults.corrupt("configmaps", "a")
        scene.write()
        await scene.recovers(but=("a",))
        scene.faults.clear()
        scene.write()
        await scene.recovers()


async def test_an_object_of_five_megabytes_passes() -> None:
    async with Scene() as scene:
        await scene.synced()
        scene.server.create(config_map("huge", blob="x" * 5_000_000))
        scene.write()
        await scene.recovers()
        assert scene.errors == []


async def test_a_request_that_is_never_answered_is_given_up_and_made_again() -> None:
    async with (
        ApiServer() as server,
        Client(ClusterConfig.for_server(server.url), timeout=0.2) as client,
    ):
        server.create(config_map("a"))
        server.faults.hang(2, verb="list")
        errors: list[KinformerError] = []
        factory = SharedInformerFactory(
            client, backoff=QUICK, streaming_lists=False, on_error=lambda error, _: errors.append(error)
        )
        informer = factory.informer(CONFIGMAPS)
        async with factory:
            await informer.synced(timeout=PATIENCE)
        assert len(errors) == 2
        assert all(isinstance(error, TimeoutError) for error in errors)


async def test_a_resource_that_comes_goes_and_comes_back(crd: dict[str, Any]) -> None:
    from kinformer import Resource

    widgets = Resource("example.com", "v1", "widgets", "Widget")
    async with Scene() as scene:
        informer = scene.factory.informer(widgets)
        await scene.started()
        await scene.failed_with(NotFoundError)
        assert not informer.has_synced
        scene.server.create(crd)
        widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "default"}}
        scene.server.create(widget)
        await informer.synced(timeout=PATIENCE)
        assert [obj.name for obj in informer.lister.list()] == ["w"]
        scene.errors.clear()
        scene.server.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", "widgets.example.com")
        await informer.wait_for("w", lambda obj: obj is None, PATIENCE, namespace="default")
        await scene.failed_with(NotFoundError)
        scene.server.create(crd)
        scene.server.create(widget)
        await informer.wait_for("w", timeout=PATIENCE, namespace="default")


@pytest.fixture
def crd() -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"kind": "Widget", "plural": "widgets"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


async def test_a_name_that_does_not_resolve_is_a_connect_error_that_names_it() -> None:
    async with Client(ClusterConfig.for_server("http://no-such-host.invalid:6443")) as client:
        factory = SharedInformerFactory(client, backoff=QUICK)
        informer = factory.informer(CONFIGMAPS)
        failed = asyncio.Event()
        informer.add_error_handler(lambda error, _: failed.set())
        async with factory:
            async with asyncio.timeout(PATIENCE):
                await failed.wait()
            error = informer.status.last_error
            assert isinstance(error, ConnectError)
            assert "no-such-host.invalid" in str(error)


async def test_a_server_that_cannot_be_trusted_is_a_tls_error_until_it_can(tmp_path: Path) -> None:
    right, wrong = trustme.CA(), trustme.CA()
    ca_file = tmp_path / "ca.pem"
    right.cert_pem.write_to_path(str(ca_file))
    contexts = []
    for authority in (wrong, right):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        contexts.append(context)
    async with ApiServer(ssl_context=contexts[0]) as server:
        server.create(config_map("a"))
        async with Client(ClusterConfig.for_server(server.url, ca_file=ca_file)) as client:
            informer = SharedInformerFactory(client, backoff=QUICK).informer(CONFIGMAPS)
            failed = asyncio.Event()
            informer.add_error_handler(lambda error, _: failed.set())
            async with informer:
                async with asyncio.timeout(PATIENCE):
                    await failed.wait()
                assert isinstance(informer.status.last_error, TLSError)
                assert server.url in str(informer.status.last_error)
                await server.stop()
                server._listener.ssl_context = contexts[1]
                await server.start()
                await informer.synced(timeout=PATIENCE)
                assert len(informer.lister) == 1


async def test_watches_that_close_at_once_for_ever_cost_less_than_two_requests_a_second() -> None:
    async with Scene(backoff=Backoff()) as scene:
        await scene.synced()
        scene.faults.close_watches_at_once()
        began = len(scene.server.requests)
        scene.faults.end_watches()
        async with asyncio.timeout(PATIENCE):
            # 0 s, 0 s, then after at least 0.4 s, 0.8 s, ...
            while len(scene.server.requests) - began < 4 or scene.informer.status.state is not InformerState.WAITING:
                await asyncio.sleep(0.01)
        scene.faults.clear()
        scene.write()
        scene.informer.reconnect()
        await scene.recovers()


def test_no_error_is_left_untested() -> None:
    # An ApiError of each status that a server sends for lists and watches is in one of the tables above.
    kinds = {kind for _, kinds in [*WHILE_WATCHING.values(), *REQUESTS.values(), *LISTS.values()] for kind in kinds}
    assert {kind for kind in kinds if issubclass(kind, ApiError)} == {
        ExpiredError,
        ForbiddenError,
        NotFoundError,
        ServerError,
        TooManyRequestsError,
        UnauthorizedError,
    }
