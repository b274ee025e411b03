"""`HttpListerWatcher`: one resource in one scope, listed and watched over HTTP."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Final

from kinformer._clock import running_clock
from kinformer._declared_paths import DeclaredPaths
from kinformer._own_writes.feed import WriteFeed
from kinformer.client._decoding.lists import ListCutter, decode_page
from kinformer.client._decoding.watches import WatchDecoder
from kinformer.client._http.errors import too_large
from kinformer.client._page_check import PageCheck
from kinformer.client._shard_filter import ShardFilter
from kinformer.client._watch_stream import Decoder, WatchStream
from kinformer.errors import NotStartedError, ProtocolError, StoppedError
from kinformer.labels import FieldSelector, LabelSelector
from kinformer.objects import KubeObject
from kinformer.scope import Ranges

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from kinformer._own_writes.feed import Write
    from kinformer.client._http.transport import Transport
    from kinformer.client._shard_filter import Sharding
    from kinformer.client._watch_stream import TakeBatch
    from kinformer.errors import KinformerError
    from kinformer.listwatch import ListPage, WatchBatch
    from kinformer.objects import ObjectKey
    from kinformer.resources import Resource
    from kinformer.scope import ShardLike

__all__ = ["HttpListerWatcher", "accept", "place", "require_json", "selection"]

# The server ends a watch after timeoutSeconds. A watch that is silent for so many seconds more is dead: its connection
# is half-open, or a proxy has dropped it.
SILENCE_MARGIN: Final = 5.0

# Seconds for which a slow consumer, such as a transform, may delay the server in the middle of a response. API servers
# end a request after 60 (--request-timeout).
_SLOW_CONSUMER: Final = 20.0


class HttpListerWatcher:
    """Lists and watches one resource in one scope; fulfils `kinformer.listwatch.ListerWatcher`.

    Any number of lists and watches may run at the same time, each watch on a connection of its own.

    Args:
        transport: returns the open transport of a client; called for each request, so that it may open later.
        writes: the feed of writes made through the client.
        resource: the resource to list and watch.
        namespace: the namespace; `None` or "" for all of them.
        label_selector: as kubectl takes it; the server selects.
        field_selector: as kubectl takes it; the server selects.
        metadata_only: ask for PartialObjectMetadata (meta/v1), objects with `metadata` only.
        shard: the share of the objects; the server is asked for it, and the objects are checked here.

    Attributes:
        declared_paths: paths whose values are noted while objects are decoded; the informer shares them.

    Raises:
        ValueError: a namespace for a cluster-scoped resource, or a resource that cannot be listed.
    """

    __slots__ = ("_fields", "_filter", "_labels", "_params", "_path", "_resource", "_transport", "_writes",
                 "declared_paths", "field_selector", "label_selector", "metadata_only", "namespace",
                 "shard")  # fmt: skip

    def __init__(
        self,
        transport: Callable[[], Transport],
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        shard: ShardLike | None = None,
        writes: WriteFeed | None = None,
    ) -> None:
        self.declared_paths = DeclaredPaths()
        self._transport = transport
        self._writes = WriteFeed() if writes is None else writes
        self._resource = resource
        self.namespace = namespace or None
        self.label_selector = label_selector
        self.field_selector = field_selector
        self.metadata_only = metadata_only
        self.shard = shard
        self._filter = None if shard is None else ShardFilter(shard)
        self._path = resource.path(self.namespace)
        by_label = shard.label_selector if isinstance(shard, Ranges) else ""
        self._params = selection(",".join(filter(None, (label_selector, by_label))), field_selector)
        if shard is not None and str(shard):
            self._params.append(("shardSelector", str(shard)))
        self._labels: LabelSelector | None = None
        self._fields: FieldSelector | None = None

    @property
    def resource(self) -> Resource:
        """Return the resource that is listed and watched."""
        return self._resource

    @property
    def streams_lists(self) -> bool:
        """Return true: only a request shows whether the server streams lists."""
        return True

    def covers(self, obj: KubeObject) -> bool | None:
        """Return whether lists and watches have this object; `None` where only the server can decide.

        Of a field selector, only name and namespace are compared here.
        """
        if self.namespace is not None and obj.namespace != self.namespace:
            return False
        if self.shard is not None and not self.shard.has(obj):
            return False
        if self._labels is None or self._fields is None:
            # Parsed when first needed: the server refuses a selector that does not parse.
            self._labels = LabelSelector.parse(self.label_selector)
            self._fields = FieldSelector.parse(self.field_selector)
        if not self._labels.matches(obj.labels):
            return False
        known = {"metadata.name": obj.name, "metadata.namespace": obj.namespace}
        answers = {
            (known[field] == value) is (operator == "=") if field in known else None
            for field, operator, value in self._fields.requirements
        }
        return False if False in answers else None if None in answers else True

    def refuse_other_loop(self) -> None:
        """Refuse a call from another event loop than that in which the client was entered, if it was.

        Raises:
            WrongLoopError: the client was entered in another event loop.
        """
        with contextlib.suppress(NotStartedError, StoppedError):
            self._transport().refuse_other_loop()

    @property
    def sharding(self) -> Sharding:
        """Return the place that filters the shard: "server", "here", or "unknown" so far; "" without a shard."""
        return "" if self._filter is None else self._filter.sharding

    @property
    def foreign_events(self) -> int:
        """Return the number of objects and events of other shards that the server has sent."""
        return 0 if self._filter is None else self._filter.foreign

    async def find(self, key: ObjectKey) -> KubeObject | None:
        """Read the metadata of one object of any shard from the server; `None` if it does not exist.

        The request is a list of one name, so it needs no permission beyond `list`.

        Raises:
            ApiError: the server refused.
            TransportError: no complete answer came.
        """
        whole = HttpListerWatcher(
            self._transport,
            self._resource,
            namespace=key.namespace or None,
            field_selector=f"metadata.name={key.name}",
            metadata_only=True,
        )
        found = None
        async for page in whole.list():
            found = page.items[0] if page.items else found
        return found

    def as_listed(self, obj: KubeObject) -> KubeObject:
        """Return an object in the form of these lists and watches: metadata only, if they request no more."""
        if not self.metadata_only:
            return obj
        manifest = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
        return KubeObject.from_dict(manifest, self._resource)

    def on_write(self, listener: Callable[[Write], None]) -> Callable[[], None]:
        """Call a function with each write of the same client that the server accepts, of any resource.

        Returns:
            A function that ends this.
        """
        return self._writes.listen(listener)

    @property
    def scope(self) -> str:
        """Return resource, namespace and selectors as text: `pods in namespace web, labels app=web`."""
        parts = [place(self._resource, self.namespace)]
        if self.label_selector:
            parts.append(f"labels {self.label_selector}")
        if self.field_selector:
            parts.append(f"fields {self.field_selector}")
        if self.metadata_only:
            parts.append("metadata only")
        if self.shard is not None:
            parts.append(self.shard.name)
        return ", ".join(parts)

    def __repr__(self) -> str:
        return f"<HttpListerWatcher of {self.scope}>"

    async def list(
        self, *, resource_version: str = "", limit: int = 0, retry: bool = False
    ) -> AsyncGenerator[ListPage, None]:
        """List page by page; yield each page before the next request, and a large page in parts, as they arrive.

        Args:
            resource_version: "" for the most recent state, "0" for any state that the watch cache has, else "not older
                than this".
            limit: objects per page; 0 for all in one page. Old servers answer version "0" with all in one page.
            retry: whether the request of each page is repeated as the client's `RetryPolicy` says. Informers do not do
                this: each of their failures shows in their status.

        No connection is in use between two pages, and decoding a page does not block the loop. A slow consumer of the
        parts of a page delays the server; after 20 s, the rest of the page is read before it is yielded.

        Raises:
            ApiError: the server refused; `ExpiredError` when the continue token is too old.
            TransportError: a page is incomplete, is no list, has no resource version, repeats an earlier one, or has a
                part of more than the client's `max_answer_bytes` that cannot be cut into objects.
            ConfigError: no credentials could be obtained.
        """
        transport = self._transport()
        doing = f"list {place(self._resource, self.namespace)}"
        first = list(self._params)
        if resource_version:
            first.append(("resourceVersion", resource_version))
            if resource_version != "0":
                # Without it, a version and a limit would mean exactly that version (API concepts, "resourceVersion").
                first.append(("resourceVersionMatch", "NotOlderThan"))
        headers = {"Accept": self._accept(whole_list=True)}
        clock = running_clock()
        token = ""
        check = PageCheck(doing)
        while True:
            params = [*self._params, ("continue", token)] if token else first
            if limit:
                params = [*params, ("limit", str(limit))]
            asking = transport.incoming(self._path, doing=doing, params=params, headers=headers, retry=retry)
            async with asking as incoming:
                require_json(incoming.content_type, doing)
                cutter = self._cutter(doing)
                read_rest_at = clock() + _SLOW_CONSUMER
                async for piece in incoming.pieces:
                    if cutter.held + len(piece) > transport.max_answer_bytes:
                        raise too_large(transport.max_answer_bytes, doing)
                    if (part := await cutter.take(piece)) is not None:
                        check.took(part)
                        parts = [self._share_of_page(part)]
                        del part
                        yield parts.pop()
                        if clock() > read_rest_at:
                            cutter.cuts = False
            page = await cutter.finish()
            check.took(page)
            token = page.continue_token
            check.ended(token)
            pages = [self._share_of_page(page)]
            del page
            # This frame keeps no reference to a page while the consumer works.
            yield pages.pop()
            if not token:
                return

    @contextlib.asynccontextmanager
    async def watch(
        self, *, resource_version: str, timeout_seconds: int, send_initial_events: bool = False
    ) -> AsyncIterator[AsyncIterator[WatchBatch]]:
        """Open a watch with bookmarks; entering returns when the server has responded, or after half a second.

        Some gateways send the head of a response together with its first event. So a watch from a version counts as
        open when the server has not refused it within half a second; iterating then raises the errors of entering.
        The head must still arrive within the client's `timeout`.

        Args:
            resource_version: events after this version. "" begins with an ADDED event for each present object, as a
                watch after a list without a version does.
            timeout_seconds: seconds after which the server should end the stream. A stream that is silent for 5 seconds
                more fails.
            send_initial_events: ask for a streaming list (KEP-3157): the present state as ADDED events, then a
                bookmark.

        The iterator ends when the server closes the stream cleanly or after an ERROR event. Leaving the context closes
        the connection.

        Raises:
            ApiError: the server refused.
            ConnectError, TLSError: no connection.
            StreamBrokenError: the stream ended in the middle of something.
            TransportTimeoutError: the stream was silent for too long.
            ProtocolError: the response is no watch.
            ConfigError: no credentials could be obtained.
        """
        transport = self._transport()
        doing = f"watch {place(self._resource, self.namespace)}"
        params = [
            *self._params,
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(timeout_seconds)),
        ]
        if resource_version:
            params.append(("resourceVersion", resource_version))
        if send_initial_events:
            params += [("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan")]
        headers = {"Accept": self._accept(whole_list=False)}
        streaming = transport.stream(
            self._path,
            doing=doing,
            params=params,
            headers=headers,
            silence=timeout_seconds + SILENCE_MARGIN,
            check=partial(require_json, doing=doing),
            late_head=not send_initial_events,
            may_be_compressed=send_initial_events,
        )
        async with streaming as body:
            stream = WatchStream(body, self._decoder(doing), silence=timeout_seconds + SILENCE_MARGIN)
            yield stream if self._filter is None else _ShardStream(stream, self._filter)

    # The form of the objects and their decoders; `_tables` overrides these.

    def _accept(self, *, whole_list: bool) -> str:
        if not self.metadata_only:
            return accept()
        return accept("PartialObjectMetadataList" if whole_list else "PartialObjectMetadata")

    def _cutter(self, doing: str) -> ListCutter:
        return ListCutter(
            partial(self._decode_page, doing=doing),
            self._resource,
            doing=doing,
            metadata_only=self.metadata_only,
            paths=self.declared_paths,
        )

    def _share_of_page(self, page: ListPage) -> ListPage:
        return page if self._filter is None else page._replace(items=[*filter(self._filter.keeps, page.items)])

    async def _decode_page(self, body: bytes, doing: str) -> ListPage:
        return await decode_page(
            body, self._resource, doing=doing, metadata_only=self.metadata_only, paths=self.declared_paths
        )

    def _decoder(self, doing: str) -> Decoder:
        return WatchDecoder(self._resource, doing=doing, metadata_only=self.metadata_only, paths=self.declared_paths)


class _ShardStream:
    """The events of a shard: a server without the feature gate sends all events."""

    __slots__ = ("_filter", "_stream")

    def __init__(self, stream: WatchStream, kept: ShardFilter) -> None:
        self._stream = stream
        self._filter = kept

    def __aiter__(self) -> _ShardStream:
        return self

    async def __anext__(self) -> WatchBatch:
        return self._share_of(await self._stream.__anext__())

    async def deliver(self, take: TakeBatch) -> KinformerError | None:
        """Pass each batch to a function; see `WatchStream.deliver`."""
        return await self._stream.deliver(lambda batch, pushed: take(self._share_of(batch), pushed))

    def _share_of(self, batch: WatchBatch) -> WatchBatch:
        return batch._replace(events=self._filter.kept(batch.events))


def place(resource: Resource, namespace: str | None, name: str = "") -> str:
    """Name the target of a request for errors: `pods "web-0" in namespace web`."""
    where = f" in namespace {namespace}" if namespace else ""
    if not where and resource.namespaced and not name:
        where = " in all namespaces"
    return f'{resource.qualified} "{name}"{where}' if name else f"{resource.qualified}{where}"


def selection(label_selector: str, field_selector: str) -> list[tuple[str, str]]:
    """Return the query of two selectors."""
    pairs = [("labelSelector", label_selector), ("fieldSelector", field_selector)]
    return [(name, value) for name, value in pairs if value]


def accept(transformed: str = "") -> str:
    """Return the `Accept` header for JSON; with a kind of meta/v1, the server transforms the objects into it."""
    return f"application/json;as={transformed};g=meta.k8s.io;v=v1" if transformed else "application/json"


def require_json(content_type: str, doing: str) -> None:
    """Refuse a response whose media type is not JSON.

    Raises:
        ProtocolError: it is HTML, for example. A response without a media type (octet-stream) passes.
    """
    if "json" not in content_type and content_type != "application/octet-stream":
        msg = f"cannot {doing}: the answer is {content_type}, not JSON; is this the address of an API server?"
        raise ProtocolError(msg)
