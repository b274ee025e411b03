"""The pictures of the manual, taken anew: `make screenshots` writes docs/img/ui-*.png."""

from __future__ import annotations

import asyncio
import random
import re
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.async_api import ViewportSize, async_playwright

from kinformer.testing import ApiServer
from tests.browser.conftest import launched, showing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

IMAGES = Path("docs/img")
SIZE: ViewportSize = {"width": 1280, "height": 780}
SEEN_FOR = 75.0
"""Seconds of demo before the first picture: the sparklines have something to show, and there was an accident."""


@asynccontextmanager
async def demo() -> AsyncIterator[str]:
    """`kinformer ui --demo`, for long enough."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kinformer", "ui", "--demo", "--port", "0"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        found = re.search(r"http://\S+", (await process.stdout.readline()).decode())
        assert found is not None
        await asyncio.sleep(SEEN_FOR)
        yield found[0]
    finally:
        process.terminate()
        await process.wait()


def pods(count: int) -> list[dict[str, Any]]:
    """Pods of a large cluster at work, the same each time."""
    chance = random.Random(7)
    made = []
    names = ("api", "billing", "cart", "checkout", "frontend", "mailer", "orders", "recommend", "search", "worker")
    for number in range(count):
        app = names[number % len(names)]
        space = ("data", "platform", "shop")[number // len(names) % 3]
        suffix = "".join(chance.choices("bcdfghjklmnpqrstvwxz2456789", k=5))
        fate = chance.random()
        ready, restarts = fate > 0.03, chance.choice((0, 0, 0, 0, 0, 1, 2, 7))
        state: dict[str, Any] = {"running": {}}
        if fate < 0.012:
            state = {"waiting": {"reason": "CrashLoopBackOff"}}
        elif fate < 0.03:
            state = {"waiting": {"reason": "ContainerCreating"}}
        metadata = {
            "name": f"{app}-{chance.randrange(16**9):09x}-{suffix}",
            "namespace": space,
            "labels": {"app": app, "tier": "web" if app in {"frontend", "cart"} else "backend"},
        }
        status = {
            "phase": "Running" if ready or fate < 0.012 else "Pending",
            "containerStatuses": [
                {"name": app, "ready": ready, "restartCount": restarts if ready else 9, "state": state}
            ],
        }
        spec = {"nodeName": f"node-{number % 400:03}", "containers": [{"name": app, "image": f"{app}:v7"}]}
        made.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status})
    return made


async def opened(browser: Browser, url: str, scheme: Any) -> Page:
    page = await browser.new_page(viewport=SIZE, color_scheme=scheme, device_scale_factor=1.5)
    await page.goto(url)
    await page.locator("#informers tr").first.wait_for()
    await page.wait_for_timeout(2500)
    return page


async def picture(page: Page, name: str) -> None:
    path = IMAGES / f"ui-{name}.png"
    await page.screenshot(path=path)
    print(f"{path}: {path.stat().st_size // 1000} kB")


async def of_the_demo(browser: Browser) -> None:
    async with demo() as url:
        for scheme in ("light", "dark"):
            page = await opened(browser, url, scheme)
            await picture(page, f"overview-{scheme}")
            await page.get_by_role("navigation").get_by_role("link", name="deployments").click()
            await page.locator(".row").nth(1).click()
            await page.locator(".yl").first.wait_for()
            if scheme == "light":
                await page.get_by_role("tab", name="Changes").click()
                await page.locator(".plus").first.wait_for()
            await page.wait_for_timeout(1500)
            await picture(page, "changes" if scheme == "light" else "object")
            if scheme == "light":
                # Of few pods, so that its Events are in the picture.
                await page.locator(".row", has_text="notifier").click()
                await page.get_by_role("tab", name="Related").click()
                await page.get_by_role("tabpanel", name="Related").locator(".events li").first.wait_for()
                await page.wait_for_timeout(500)
                await picture(page, "related")
            await page.close()


async def of_twenty_thousand(browser: Browser) -> None:
    async with ApiServer() as api:
        for name in ("data", "platform", "shop"):
            api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for number, manifest in enumerate(pods(20_000)):
            api.create(manifest)
            metadata = manifest["metadata"]
            status = {"status": manifest["status"]}
            api.patch("v1", "Pod", metadata["name"], status, namespace=metadata["namespace"], subresource="status")
            if number % 100 == 0:
                await asyncio.sleep(0)
        async with showing(api, "pods", "namespaces", title="a large cluster") as site:
            await site.factory.wait_for_cache_sync(120)
            page = await opened(browser, site.url, "dark")
            await page.keyboard.press("1")
            await page.get_by_text("20,000 objects").wait_for(timeout=120_000)
            await page.locator("#grid").evaluate("grid => { grid.scrollTop = 12_345 * 28; }")
            await page.wait_for_timeout(1500)
            await picture(page, "table")
            await page.close()


async def main() -> None:
    """Take all pictures."""
    async with async_playwright() as playwright:
        browser = await launched(playwright)
        await of_twenty_thousand(browser)
        await of_the_demo(browser)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
