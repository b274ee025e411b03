"""`CacheProxy`: listens, checks each request, and answers it from a cache or passes it on."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from aiohttp import web

from kinformer._hosts import is_allowed
from kinformer._own_loop import OwnLoop
from kinformer._tasks import BackgroundTask, shielded
from kinformer.errors import AlreadyStartedError
from kinformer.proxy._bodies import Refusal, list_pieces
from kinformer.proxy._downstream import Fanout, OpenWatch
from kinformer.proxy._forward import Forwarder
from kinformer.proxy._listen import LoopbackAddress, UnixAddress, listen_address
from kinformer.proxy._selection import accepts_json, place_of, read_options
from kinformer.proxy._upstream import Upstream
from kinformer.proxy._watch_cache import WINDOW_BYTES, WINDOW_EVENTS, WatchCache

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from kinformer.backoff import Backoff
    from kinformer.client import Client
    from kinformer.proxy._forward import Others
    from kinformer.proxy._listen import Address
    from kinformer.proxy._selection import ListOptions
    from kinformer.resources import Resource

__all__ = ["CacheProxy"]

MAX_WATCHES: Final = 1000
"""Watches of one resource that are open at once; one more is refused with 429."""

_SHUTDOWN: Final = 0.5


class _Served(NamedTuple):
    upstream: Upstream
    fanout: Fanout


class CacheProxy:
    """Lists and watches resources once, and serves any number of readers on this machine.

        async with Client() as client, CacheProxy(client, [PODS], listen="unix:/run/app/kinformer.sock"):
            await asyncio.Event().wait()

    Lists and watches of the resources are answered from a cache: with resource versions, bookmarks, label selectors,
    field selectors of names and of common fields of pods, and streaming lists. The objects are sent as the API server
    sent them. A watch that is older than the kept changes gets 410. Everything else goes to the API server, or is
    refused: see `others`.

    All programs that may connect read these resources with the rights of the proxy. So it listens only on a Unix
    socket, which its owner alone can use, or on loopback with a token.

    Args:
        client: the client of the API server. It must be open as long as the proxy runs.
        resources: the resources to serve. Each costs one list, one watch, and the memory of its objects.
        listen: the address, as text or object: "unix:PATH", or "127.0.0.1:PORT".
        namespace: serve this namespace only; requests for others go to the API server.
        others: requests that no cache answers, such as writes and discovery, go on with the identity of the "proxy", go
            on with that of the "caller" (its `Authorization`; on a Unix socket only), or get 403 ("refuse").
        window_events: number of changes of a resource that are kept, for watches that come back.
        window_bytes: bytes of the objects of these changes that are kept.
        backoff: delays between attempts to list and watch after a failure; by default client-go's.

    Raises:
        ValueError: an address that cannot be used, no resources, or `others` that the address cannot have.

    Attributes:
        address: the address; after the start with the port that was chosen.
    """

    def __init__(
        self,
        client: Client,
        resources: Sequence[Resource],
        *,
        listen: Address | str,
        namespace: str | None = None,
        others: Others = "proxy",
        window_events: int = WINDOW_EVENTS,
        window_bytes: int = WINDOW_BYTES,
        backoff: Backoff | None = None,
    ) -> None:
        self.address = listen_address(listen) if isinstance(listen, str) else listen
        if not resources:
            raise ValueError("a proxy needs at least one resource, such as PODS")
        if others not in {"proxy", "caller", "refuse"}:
            msg = f'others is "proxy", "caller" or "refuse", not {others!r}'
            raise ValueError(msg)
        if others == "caller" and isinstance(self.address, LoopbackAddress):
            msg = (
                'on loopback the Authorization of a request has the token of the proxy; others="caller" needs a socket'
            )
            raise ValueError(msg)
        self._client = client
        self._namespace = namespace or ""
        self._others: Others = others
        self._served: dict[Resource, _Served] = {}
        for resource in resources:
            scope = self._namespace if resource.namespaced else ""
            cache = WatchCache(resource, scope, window_events=window_events, window_bytes=window_bytes)
            source = client.list_watch(resource, namespace=scope or None)
            self._served[resource] = _Served(Upstream(source, cache, backoff=backoff), Fanout(cache))
        self._forwarder: Forwarder | None = None
        self._stack = contextlib.AsyncExitStack()
        self._own_loop = OwnLoop("this proxy was started")
        self._started = False

    def __repr__(self) -> str:
        return f"<CacheProxy of {', '.join(resource.qualified for resource in self._served)} at {self.address}>"

    async def __aenter__(self) -> Self:
        """Listen, and start the lists. Requests wait for the first list of their resource.

        Raises:
            AlreadyStartedError: it was started before.
            OSError: the address cannot be listened on.
        """
        if self._started:
            raise AlreadyStartedError("this proxy has been started before; make a new one")
        self._started = True
        self._own_loop.take()
        async with contextlib.AsyncExitStack() as stack:
            self._forwarder = await stack.enter_async_context(Forwarder(self._client.config, self._others))
            listening = self.address.open()
            stack.callback(self._closed, listening)
            if isinstance(self.address, LoopbackAddress):
                address = self.address
                self.address = LoopbackAddress(address.host, listening.getsockname()[1], address.token)
            for resource, served in self._served.items():
                task = BackgroundTask(f"kinformer proxy of {resource}")
                stack.push_async_callback(task.stop)
                task.start(served.upstream.run())
            server = web.Server(self._answer, access_log=None, handler_cancellation=True)
            runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=_SHUTDOWN)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.SockSite(runner, listening).start()
            stack.callback(self._end_watches)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._own_loop.check()
        with shielded():
            await self._stack.aclose()

    async def synced(self) -> None:
        """Wait until each resource has its first list."""
        for served in self._served.values():
            await served.upstream.synced.wait()

    @property
    def open_watches(self) -> int:
        """Return the number of watches of readers that are open."""
        return sum(len(served.fanout.watches) for served in self._served.values())

    @property
    def url(self) -> str:
        """Return the URL for clients; on a Unix socket, `ClusterConfig.for_socket` is needed besides."""
        return f"http://{self.address}" if isinstance(self.address, LoopbackAddress) else "http://localhost"

    def _closed(self, listening: socket.socket) -> None:
        listening.close()
        if isinstance(self.address, UnixAddress):
            self.address.remove()

    def _end_watches(self) -> None:
        for served in self._served.values():
            served.fanout.end()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            self._check(request)
            found = self._find(request)
            if found is None:
                assert self._forwarder is not None
                return await self._forwarder.answer(request)
            served, options = found
            return await (self._watch if options.watch else self._list)(request, served, options)
        except Refusal as refusal:
            headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
            return web.Response(
                status=refusal.code, body=refusal.body, content_type="application/json", headers=headers
            )
        except ConnectionError:
            # The reader has gone.
            return web.Response(status=499)

    def _check(self, request: web.BaseRequest) -> None:
        """Check that the request is meant for this server, and its token.

        Raises:
            Refusal: it is not, or the token is wrong.
        """
        address = self.address
        if isinstance(address, UnixAddress):
            return
        named = request.headers.getall("Host", [""])
        if len(named) != 1 or not is_allowed(named[0], (), listening_on=address.host):
            raise Refusal(403, "Forbidden", "this server is reached by loopback names and addresses only")
        given = request.headers.getall("Authorization", [""])
        expected = f"Bearer {address.token}".encode()
        if len(given) != 1 or not hmac.compare_digest(given[0].encode("utf-8", "surrogateescape"), expected):
            raise Refusal(401, "Unauthorized", "Unauthorized")

    def _find(self, request: web.BaseRequest) -> tuple[_Served, ListOptions] | None:
        """Return the cache that answers a request; `None` if none does."""
        headers = request.headers
        if request.method != "GET" or not accepts_json(", ".join(headers.getall("Accept", []))):
            return None
        if any(name.lower().startswith("impersonate-") for name in headers):
            # The rights of another user have to be checked.
            return None
        path, _, _ = request.raw_path.partition("?")
        for resource, served in self._served.items():
            namespace = place_of(path, resource)
            if namespace is None:
                continue
            scope = served.upstream.cache.namespace
            if scope and namespace != scope:
                return None
            options = read_options(resource, namespace, [*request.query.items()])
            return None if options is None else (served, options)
        return None

    async def _list(self, request: web.BaseRequest, served: _Served, options: ListOptions) -> web.StreamResponse:
        await served.upstream.until(options.version)
        cache = served.upstream.cache
        version, objects = cache.version, cache.selected(options.selection)
        response = web.StreamResponse(headers=_HEADERS)
        response.enable_chunked_encoding()
        await response.prepare(request)
        for piece in list_pieces(cache.resource, objects, version):
            await response.write(piece)
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    async def _watch(self, request: web.BaseRequest, served: _Served, options: ListOptions) -> web.StreamResponse:
        if len(served.fanout.watches) >= MAX_WATCHES:
            msg = f"this proxy has {MAX_WATCHES} watches of this resource already"
            raise Refusal(429, "TooManyRequests", msg, retry_after=1)
        await served.upstream.until(options.version)
        response = web.StreamResponse(headers=_HEADERS)
        response.enable_chunked_encoding()
        await OpenWatch(served.fanout, options).serve(request, response)
        await response.write_eof()
        return response


_HEADERS: Final = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
