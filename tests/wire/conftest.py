"""A server that answers as each test says: what a well-behaved API server never does has to come from somewhere."""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from kinformer.client import Client
from kinformer.config import ClusterConfig
from kinformer.informer.factory import SharedInformerFactory
from tests.forked_programs import CAN_FORK, ForkedPrograms

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterator

    from pytest import Pytester  # noqa: PT013 - for the annotation alone


class Scripted:
    """`answer` is called with each request; what it returns is sent. `seen` keeps the requests, bodies in `bodies`."""

    def __init__(self) -> None:
        self.answer: Callable[[web.Request], Any] = lambda request: web.Response(status=404, text="404 page not found")
        self.seen: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self, context: ssl.SSLContext | None = None) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        self.bodies.append(await request.read())
        answer = self.answer(request)
        if inspect.isawaitable(answer):
            answer = await answer
        assert isinstance(answer, web.StreamResponse)
        return answer

    def says(
        self, body: str | bytes, *, status: int = 200, content_type: str = "application/json", **headers: str
    ) -> None:
        """Answer every request with this."""
        data = body.encode() if isinstance(body, str) else body
        self.answer = lambda request: web.Response(
            body=data,
            status=status,
            headers={"Content-Type": content_type, **{k.replace("_", "-"): v for k, v in headers.items()}},
        )

    def streams(self, *pieces: bytes, content_type: str = "application/json", broken: bool = False) -> None:
        """Answer every request with these pieces, a write each; `broken` cuts the connection instead of ending."""

        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": content_type})
            await response.prepare(request)
            for piece in pieces:
                await response.write(piece)
            if broken:
                assert request.transport is not None
                request.transport.close()
            else:
                await response.write_eof()
            return response

        self.answer = answer


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    server = Scripted()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client(scripted: Scripted) -> AsyncIterator[Client]:
    async with Client(ClusterConfig.for_server(scripted.url)) as client:
        yield client


@pytest.fixture
async def factory(client: Client) -> AsyncIterator[SharedInformerFactory]:
    """A started factory over the client of the test: that of the module, if it has one."""
    async with SharedInformerFactory(client) as factory:
        yield factory


@pytest.fixture(scope="session")
def forked_pytest() -> Iterator[ForkedPrograms]:
    ours = ("client", "informer.factory", "testing")
    runners = ("pytest", "_pytest.doctest", "_pytest.pytester", "pytest_asyncio.plugin", "anyio.pytest_plugin")
    others = ("anyio._backends._asyncio", "fastapi.testclient", "hypothesis", "looptime", "pytest_timeout", "xdist")
    with ForkedPrograms(*(f"kinformer.{name}" for name in ours), *runners, *others) as programs:
        yield programs


@pytest.fixture
def run_pytest(pytester: Pytester, forked_pytest: ForkedPrograms) -> Callable[..., pytest.RunResult]:
    """Run pytest on the test files of `pytester`: in a fork of a process that has imported kinformer."""
    if not CAN_FORK:
        return pytester.runpytest_subprocess

    def run(*arguments: str) -> pytest.RunResult:
        # pytest rewrites the assertions of plugins; it warns that it cannot do so with imported packages.
        options = ("-W", "ignore::pytest.PytestAssertRewriteWarning", f"--basetemp={pytester.path / 'basetemp'}")
        ended = forked_pytest.run(["-m", "pytest", *arguments, *options], cwd=pytester.path, env=os.environ)
        return pytest.RunResult(ended.code, ended.out.splitlines(), ended.err.splitlines(), 0.0)

    return run
