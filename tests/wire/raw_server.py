"""A server that keeps the bytes of each request and writes the bytes that a test wants: below HTTP, as a broken one."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import socket
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from types import TracebackType

LIST = json.dumps(
    {
        "kind": "PodList",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": "10"},
        "items": [{"metadata": {"name": "a", "namespace": "d", "uid": "u1", "resourceVersion": "5"}}],
    }
).encode()
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
REFUSE_STREAM = b'{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}'


def answer(body: bytes = LIST, status: str = "200 OK", *headers: str) -> bytes:
    """A response with a body of a known length."""
    head = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode("latin-1") + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(type: str, name: str, version: int) -> bytes:
    metadata = {"name": name, "namespace": "d", "uid": f"u-{name}", "resourceVersion": str(version)}
    thing = {"kind": "Pod", "apiVersion": "v1", "metadata": metadata}
    return json.dumps({"type": type, "object": thing}, separators=(",", ":")).encode() + b"\n"


def is_watch(head: bytes) -> bool:
    return b"watch=1" in head.split(b"\r\n", 1)[0]


class RawServer:
    """`respond` gets the head of each request and a writer; bytes that it returns are written, `None` closes.

    Attributes:
        heads: of each request, up to and with the empty line.
        names: which each TLS client asked for (SNI).
        url: the server's.
    """

    def __init__(self, respond: Callable[[bytes, asyncio.StreamWriter], Any], context: ssl.SSLContext | None = None):
        self.respond = respond
        self.heads: list[bytes] = []
        self.names: list[str | None] = []
        self.port = 0
        self._context = context
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        if context is not None:
            context.sni_callback = lambda sock, name, ctx: self.names.append(name)

    @property
    def url(self) -> str:
        return f"{'http' if self._context is None else 'https'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in list(self._writers):
            # Over TLS, `close` waits for the client.
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                said = self.respond(head, writer)
                if inspect.isawaitable(said):
                    said = await said
                if said is None:
                    break
                writer.write(said)
                await writer.drain()
        with contextlib.suppress(Exception):
            writer.close()
        self._tasks.discard(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()
            self._writers.discard(writer)


@contextlib.contextmanager
def resolving(names: dict[str, list[str]]) -> Iterator[None]:
    """Resolve these names to these addresses, in this order."""
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def getaddrinfo(host: Any, port: Any, **rest: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in names:
            return await real(host, port, **rest)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in names[name]]

    loop.getaddrinfo = getaddrinfo  # type: ignore[method-assign]
    try:
        yield
    finally:
        loop.getaddrinfo = real  # type: ignore[method-assign]
