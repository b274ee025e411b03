"""The page in a real browser: Debian's Chromium, in front of a real web server and the embedded API server."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from kinformer import Client, ClusterConfig, SharedInformerFactory
from kinformer.integrations.starlette import close_event_streams
from kinformer.integrations.ui import Dashboard
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, BrowserContext, Page, Playwright

CHROMIUM = os.environ.get("KINFORMER_CHROMIUM") or shutil.which("chromium")

# As root, without a GPU, and without a word to anybody on the internet.
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    "--disable-dev-shm-usage",
    *("--disable-component-update", "--disable-sync", "--force-color-profile=srgb", "--hide-scrollbars"),
]


def _missing() -> str:
    if CHROMIUM is None:
        return "there is no chromium: apt-get install chromium, or set KINFORMER_CHROMIUM"
    try:
        import playwright  # noqa: F401
    except ModuleNotFoundError:
        return "there is no playwright: pip install 'kinformer[browser]'"
    return ""


@pytest.fixture(autouse=True, scope="module")
def _there_is_a_browser() -> None:
    missing = _missing()
    if missing and os.environ.get("KINFORMER_REQUIRE_CHROMIUM"):
        pytest.fail(f"KINFORMER_REQUIRE_CHROMIUM is set, and {missing}")
    if missing:
        pytest.skip(missing)


async def launched(playwright: Playwright) -> Browser:
    return await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)


class Site:
    """The page's server, which can be stopped and started again at its address."""

    def __init__(self, factory: SharedInformerFactory, path: str, title: str) -> None:
        self.factory = factory
        self.dashboard = Dashboard(factory, title=title)
        self.path = path
        self.port = 0
        self._server: uvicorn.Server | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}/"

    async def start(self) -> None:
        app = Starlette(routes=[Mount(self.path, self.dashboard)]) if self.path else self.dashboard
        config = uvicorn.Config(
            app, port=self.port, log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=2
        )
        self._server = uvicorn.Server(config)
        self._running = asyncio.get_running_loop().create_task(self._server.serve())
        while not self._server.started:
            assert not self._running.done()
            await asyncio.sleep(0.005)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None and self._running is not None:
            self._server.should_exit = True
            close_event_streams()
            await self._running
            self._server = None


@pytest_asyncio.fixture(loop_scope="module")
async def api() -> AsyncIterator[ApiServer]:
    async with ApiServer() as running:
        yield running


@asynccontextmanager
async def showing(api: ApiServer, *resources: str, path: str = "", title: str = "test") -> AsyncIterator[Site]:
    async with Client(ClusterConfig.for_server(api.url)) as client:
        factory = SharedInformerFactory(client)
        for resource in resources:
            factory.informer(resource)
        async with factory:
            site = Site(factory, path, title)
            await site.start()
            try:
                yield site
            finally:
                await site.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def site(api: ApiServer) -> AsyncIterator[Site]:
    async with showing(api, "pods", "configmaps", "secrets", "nodes") as running:
        await running.factory.wait_for_cache_sync(30)
        yield running


class Complaints(list[str]):
    """What the browser's console has had to say, and every address that was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def listen_to(self, page: Page) -> None:
        page.on("console", lambda said: self.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: self.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests of a module, which therefore share a loop. Each test has a context of its own."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        running = await launched(playwright)
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    made = await browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    made.set_default_timeout(15_000)
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(context: BrowserContext, site: Site, complaints: Complaints) -> AsyncIterator[Page]:
    """The page, opened; in the end, nothing was complained of and nobody else was asked for anything."""
    page = await context.new_page()
    complaints.listen_to(page)
    await page.goto(site.url)
    await page.locator("#informers tr").first.wait_for()
    yield page
    assert complaints == []
    assert [url for url in complaints.asked if not url.startswith(site.url)] == []
