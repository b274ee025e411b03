"""`CacheProxy`: listens, checks each request, and answers it from a cache or passes it on."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from aiohttp import web

from kinformer._local_runner import BoundedServer, LocalRunner, local_server
from kinformer._own_loop import OwnLoop
from kinformer._tasks import BackgroundTask, shielded
from kinformer.cache.storage import checked_storage
from kinformer.errors import AlreadyStartedError
from kinformer.proxy._bodies import Refusal, list_pieces
from kinformer.proxy._caches import Caches, CacheSettings, CachesOfResources, CachesOnDemand, Question, Served
from kinformer.proxy._downstream import OpenWatch, written
from kinformer.proxy._forward import Forwarder
from kinformer.proxy._guard import answered, check_host, refuse_websocket
from kinformer.proxy._kept_socket import inode_of, keep_socket
from kinformer.proxy._listen import BACKLOG, LoopbackAddress, UnixAddress, listen_address
from kinformer.proxy._process_lock import close_in_children
from kinformer.proxy._selection import asked_form
from kinformer.proxy._status import STATUS_PATH, is_in_sync, status_of_caches
from kinformer.proxy._tls import kubeconfig, own_tls
from kinformer.proxy._watch_cache import WINDOW_BYTES, WINDOW_EVENTS

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Sequence

    from kinformer.backoff import Backoff
    from kinformer.cache.storage import Storage
    from kinformer.client import Client
    from kinformer.proxy._forward import Others
    from kinformer.proxy._listen import Address
    from kinformer.proxy._selection import ListOptions
    from kinformer.resources import Resource

__all__ = ["CacheProxy"]

MAX_WATCHES: Final = 1000
"""Watches of one resource that are open at once; one more is refused with 429."""

_SHUTDOWN: Final = 0.5

_ACCEPTED_AT_ONCE: Final = 16
"""Connections that are accepted in one turn of the loop. asyncio logs each attempt when no file can be opened, so with
1,000 of them a client that opens too many connections would fill the disk with log lines."""


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
        resources: the resources to serve. Each costs one list, one watch, and the memory of its objects. `None` serves
            whatever readers ask for, with one list and one watch for each scope: resource, namespace, selectors, and
            whole objects or metadata only. They end a minute after the last reader.
        listen: the address, as text or object: "unix:PATH", "127.0.0.1:PORT" with TLS, or "http://127.0.0.1:PORT".
        namespace: serve this namespace only; requests for others go to the API server.
        others: requests that no cache answers. "read": reads of the proxied objects (tables, metadata only, single
            objects) and discovery go on with the identity of the proxy, and all else, such as writes and logs, gets
            403. "proxy": all go on with the identity of the proxy, so that readers have all its rights. "caller": all
            go on with that of the caller (its `Authorization`; on a Unix socket only). "refuse": all get 403.
        window_events: number of changes of a resource that are kept, for watches that come back.
        window_bytes: bytes of the objects of these changes that are kept.
        backoff: delays between attempts to list and watch after a failure; by default client-go's.
        storage: form of the objects in memory: "plain" or "compact"; see `SharedInformerFactory`.
        known: with `resources=None`, returns the resource whose lists have a path, such as a custom one; those that it
            does not know, and that are not built in, are discovered.

    Raises:
        ValueError: an address that cannot be used, no resources, a namespace without resources, or `others` that the
            address cannot have.
        MissingDependencyError: compact storage needs zstd, and there is none.

    Attributes:
        address: the address; after the start with the port that was chosen.
    """

    def __init__(
        self,
        client: Client,
        resources: Sequence[Resource] | None,
        *,
        listen: Address | str,
        namespace: str | None = None,
        others: Others = "read",
        window_events: int = WINDOW_EVENTS,
        window_bytes: int = WINDOW_BYTES,
        backoff: Backoff | None = None,
        storage: Storage = "plain",
        known: Callable[[str], Resource | None] = lambda _: None,
    ) -> None:
        self.address = listen_address(listen) if isinstance(listen, str) else listen
        if resources is not None and not resources:
            raise ValueError("a proxy needs at least one resource, such as PODS")
        if others not in {"read", "proxy", "caller", "refuse"}:
            msg = f'others is "read", "proxy", "caller" or "refuse", not {others!r}'
            raise ValueError(msg)
        if others == "caller" and isinstance(self.address, LoopbackAddress):
            msg = (
                'on loopback the Authorization of a request has the token of the proxy; others="caller" needs a socket'
            )
            raise ValueError(msg)
        if resources is None and namespace is not None:
            raise ValueError("a proxy of whatever is asked for has no namespace of its own; leave it out")
        self._client = client
        self._others: Others = others
        settings = CacheSettings(window_events, window_bytes, checked_storage(storage), backoff)
        self._caches: Caches = (
            CachesOnDemand(client, settings, known)
            if resources is None
            else CachesOfResources(client, resources, namespace or "", settings)
        )
        self._names = "whatever is asked for" if resources is None else ", ".join(each.qualified for each in resources)
        self._forwarder: Forwarder | None = None
        self._stack = contextlib.AsyncExitStack()
        self._tls: ssl.SSLContext | None = None
        self._trusted = b""
        self._own_loop = OwnLoop("this proxy was started")
        self._started = False

    def __repr__(self) -> str:
        return f"<CacheProxy of {self._names} at {self.address}>"

    async def __aenter__(self) -> Self:
        """Listen, and start the lists. Requests wait for the first list of their resource.

        Raises:
            AlreadyStartedError: it was started before.
            OSError: the address cannot be listened on.
            MissingDependencyError: TLS on loopback needs cryptography, and it is not installed.
        """
        if self._started:
            raise AlreadyStartedError("this proxy has been started before; make a new one")
        self._started = True
        self._own_loop.take()
        async with contextlib.AsyncExitStack() as stack:
            self._forwarder = await stack.enter_async_context(
                Forwarder(self._client.config, self._others, self._caches.has)
            )
            listening = self.address.open()
            stack.callback(self._closed, listening)
            if isinstance(self.address, LoopbackAddress):
                address = self.address
                self.address = replace(address, port=listening.getsockname()[1])
                if address.tls:
                    self._tls, self._trusted = await asyncio.to_thread(own_tls, address.host)
            stack.push_async_callback(self._caches.stop)
            self._caches.start()
            server = local_server(self._answer, handler_cancellation=True)
            sockets = [listening]
            stack.callback(close_in_children(lambda: _sockets_of(server, sockets)))
            runner = LocalRunner(server, handle_signals=False, shutdown_timeout=_SHUTDOWN)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.SockSite(runner, listening, ssl_context=self._tls, backlog=_ACCEPTED_AT_ONCE).start()
            # The line above has set the length of the queue, too.
            listening.listen(BACKLOG)
            if isinstance(self.address, UnixAddress) and not self.address.replaces:
                upkeep = BackgroundTask(f"the socket of a proxy at {self.address}")
                upkeep.start(
                    keep_socket(self.address, inode_of(self.address.path), partial(self._listen_again, runner, sockets))
                )
                stack.push_async_callback(upkeep.stop)
            stack.callback(self._end_watches)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._own_loop.check()
        with shielded():
            await self._stack.aclose()

    async def synced(self) -> None:
        """Wait until each resource has its first list.

        Raises:
            WrongLoopError: the proxy was started in another event loop.
        """
        if self._started:
            self._own_loop.check()
        for served in [*self._caches.served]:
            await served.upstream.synced.wait()

    @property
    def open_watches(self) -> int:
        """Return the number of watches of readers that are open."""
        return sum(len(served.fanout.watches) for served in self._caches.served)

    @property
    def url(self) -> str:
        """Return the URL for clients; on a Unix socket, `ClusterConfig.for_socket` is needed besides."""
        address = self.address
        if isinstance(address, UnixAddress):
            return "http://localhost"
        return f"{'https' if address.tls else 'http'}://{address}"

    def kubeconfig(self) -> dict[str, Any]:
        """Return a kubeconfig that leads to the proxy, with the token; for `ClusterConfig.from_dict`, or for a file.

        Raises:
            ValueError: the proxy listens on a Unix socket, which no kubeconfig can name.
        """
        if isinstance(self.address, UnixAddress):
            msg = f"a kubeconfig cannot name a Unix socket; use ClusterConfig.for_socket({str(self.address.path)!r})"
            raise ValueError(msg)  # noqa: TRY004 - an address that cannot do this
        return kubeconfig(self.url, self.address.token, self._trusted)

    def _closed(self, listening: socket.socket) -> None:
        listening.close()
        if isinstance(self.address, UnixAddress):
            self.address.remove()

    async def _listen_again(self, runner: LocalRunner, sockets: list[socket.socket]) -> int:
        assert isinstance(self.address, UnixAddress)
        listening = self.address.open()
        inode = inode_of(self.address.path)
        await web.SockSite(runner, listening, backlog=_ACCEPTED_AT_ONCE).start()
        listening.listen(BACKLOG)
        sockets.append(listening)
        return inode

    def _end_watches(self) -> None:
        for served in self._caches.served:
            served.fanout.end()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        return await answered(self._read(request))

    async def _read(self, request: web.BaseRequest) -> web.StreamResponse:
        self._check(request)
        if request.path == STATUS_PATH and request.method in {"GET", "HEAD"}:
            return self._status()
        found = await self._find(request)
        if found is None:
            assert self._forwarder is not None
            return await self._forwarder.answer(request)
        served, options = found
        self._caches.taken(served)
        try:
            return await (self._watch if options.watch else self._list)(request, served, options)
        finally:
            self._caches.left(served)

    def _check(self, request: web.BaseRequest) -> None:
        """Check that the request is meant for this server, and its token.

        Raises:
            Refusal: it is not, or the token is wrong.
        """
        address = self.address
        if isinstance(address, UnixAddress):
            return
        check_host(request, address.host)
        given = request.headers.getall("Authorization", [""])
        expected = f"Bearer {address.token}".encode()
        if len(given) != 1 or not hmac.compare_digest(given[0].encode("utf-8", "surrogateescape"), expected):
            raise Refusal(401, "Unauthorized", "Unauthorized")

    def status(self) -> dict[str, Any]:
        """Return numbers of each cache, with values that JSON has; the answer to a GET of `/kinformer/status`.

        It has names of resources and kinds of errors, never an object.
        """
        now = asyncio.get_running_loop().time()
        return {"ready": is_in_sync(self._caches.served), "resources": status_of_caches(self._caches.served, now)}

    def _status(self) -> web.Response:
        status = self.status()
        return web.json_response(status, status=200 if status["ready"] else 503, headers={"Cache-Control": "no-store"})

    async def _find(self, request: web.BaseRequest) -> tuple[Served, ListOptions] | None:
        """Return the cache that answers a request; `None` if none does.

        Raises:
            Refusal: a cache on demand cannot be made, or a WebSocket is asked for.
        """
        headers = request.headers
        if request.method != "GET":
            return None
        if any(name.lower().startswith("impersonate-") for name in headers):
            # The rights of another user have to be checked.
            return None
        path, _, _ = request.raw_path.partition("?")
        form = asked_form(", ".join(headers.getall("Accept", [])))
        found = await self._caches.find(Question(path, form, [*request.query.items()]))
        if found is not None:
            refuse_websocket(request)
        return found

    async def _list(self, request: web.BaseRequest, served: Served, options: ListOptions) -> web.StreamResponse:
        await served.upstream.until(options.version)
        cache = served.upstream.cache
        version, objects = cache.version, cache.selected(options.selection)
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        for piece in list_pieces(cache.form, objects, version):
            await written(request, response, piece)
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    async def _watch(self, request: web.BaseRequest, served: Served, options: ListOptions) -> web.StreamResponse:
        if len(served.fanout.watches) >= MAX_WATCHES:
            msg = f"this proxy has {MAX_WATCHES} watches of this resource already"
            raise Refusal(429, "TooManyRequests", msg, retry_after=1)
        await served.upstream.until(options.version)
        response = web.StreamResponse(headers=_HEADERS)
        await OpenWatch(served.fanout, options).serve(request, response)
        await response.write_eof()
        return response


def _sockets_of(server: BoundedServer, listening: Sequence[socket.socket]) -> list[int]:
    """Return the file descriptors of a server: children that keep them would keep its readers waiting."""
    transports = [each.transport for each in server.connections]
    sockets = [each.get_extra_info("socket") for each in transports if each is not None]
    return [each.fileno() for each in [*listening, *sockets] if each is not None and each.fileno() >= 0]


_HEADERS: Final = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
