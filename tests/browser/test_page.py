"""The page of `kinformer ui` as somebody at it sees it."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from kinformer.testing import ApiServer, build
from tests.browser.conftest import showing

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Locator, Page

    from tests.browser.conftest import Complaints, Site

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

expect.set_options(timeout=15_000)

SHOWN = "rows => rows.map(row => [row.ariaRowIndex * 1, row.querySelector('.name').textContent])"
"""The place and the name of each row in the document."""

PASSWORD = "hunter2-never-to-be-seen"


def config_map(name: str, namespace: str = "default", **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name.partition("-")[0]}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def row(page: Page, name: str) -> Locator:
    return page.locator(".row").filter(has=page.locator(".name", has_text=re.compile(rf"^{re.escape(name)}$")))


async def open_table(page: Page, name: str) -> None:
    await page.get_by_role("navigation").get_by_role("link", name=name).first.click()
    await expect(page.locator("#browse-title")).to_contain_text(name)


async def test_a_phone_shows_each_informer_by_its_whole_name_without_scrolling_aside(
    site: Site, context: BrowserContext
) -> None:
    page = await context.new_page()
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.goto(site.url)
    await expect(page.locator("#informers tr")).to_have_count(4)
    assert await page.locator("main").evaluate("main => main.scrollWidth <= main.clientWidth")
    names = page.locator("#informers a")
    assert await names.evaluate_all("names => names.every(one => one.scrollWidth <= one.parentElement.clientWidth)")
    title, curve = await page.locator("#tile-spark").evaluate(
        "curve => [curve.parentElement.querySelector('dt'), curve].map(one => one.getBoundingClientRect())"
        ".map(box => [box.top, box.bottom])"
    )
    assert title[1] <= curve[0], "the curve stands under its title"
    await page.close()


async def test_titles_of_columns_stand_in_one_line_before_the_first_row(page: Page) -> None:
    await open_table(page, "configmaps")
    await page.locator("#grid").evaluate("grid => grid.style.removeProperty('--columns')")
    tops = await page.locator("#grid-head > *").evaluate_all("all => all.map(one => one.getBoundingClientRect().top)")
    assert len(tops) > 2
    assert len(set(tops)) == 1


async def test_the_overview_shows_each_informer_and_follows_it(api: ApiServer, site: Site, page: Page) -> None:
    assert await page.title() == "kinformer"
    await expect(page.locator("#informers tr")).to_have_count(4)
    await expect(page.locator("#link")).to_have_text("live")
    await expect(page.locator("#cluster")).to_have_text("test")
    await expect(page.locator("#tile-live")).to_have_text("4 / 4")
    maps = page.locator("#informers tr", has_text="configmaps")
    await expect(maps.locator(".state")).to_contain_text("watching")
    before = int(await maps.locator("td.num").first.inner_text())
    for number in range(30):
        api.create(config_map(f"web-{number}"))
    await expect(maps.locator("td.num").first).to_have_text(str(before + 30))
    await expect(maps.locator("svg .line")).to_have_attribute("d", re.compile(r"^M.*L"))
    await expect(maps.locator("td.num").nth(1)).not_to_have_text("0")
    await expect(page.locator("#recent li").first).to_contain_text("added")
    await expect(page.locator("#recent")).to_contain_text("default/web-29")


async def test_an_informer_that_fails_says_so(api: ApiServer, context: BrowserContext) -> None:
    api.faults.fail_next(None, status=403, resource="pods")
    async with showing(api, "pods", "nodes") as site:
        page = await context.new_page()
        await page.goto(site.url)
        failing = page.locator("#informers tr", has_text="pods")
        await expect(failing).to_have_attribute("data-health", "failing")
        await expect(failing.locator(".state")).to_contain_text("failed")
        await expect(failing.locator(".error")).to_contain_text("403 Forbidden")
        await expect(page.locator("#tile-live")).to_have_text("1 / 2")
        await page.locator("#side a").nth(1).click()
        await expect(page.locator("#browse-title")).to_contain_text("pods")
        api.faults.clear()
        site.factory.core.v1.pods.reconnect()
        api.create(build.pod("web-0"))
        await expect(row(page, "web-0")).to_be_visible()
        await page.locator("#side a").first.click()
        await expect(failing).to_have_attribute("data-health", "live")
        await expect(failing.locator(".error")).to_contain_text("ForbiddenError")


async def test_a_table_follows_its_cache(api: ApiServer, page: Page) -> None:
    api.create(build.pod("web-0", node="node-1"))
    await open_table(page, "pods")
    await expect(row(page, "web-0")).to_contain_text("node-1")
    api.create(build.pod("web-1"))
    await expect(row(page, "web-1")).to_be_visible()
    await expect(page.locator("#browse-count")).to_have_text("2 objects")
    api.patch("v1", "Pod", "web-1", {"status": {"phase": "Failed"}}, subresource="status")
    await expect(row(page, "web-1").locator(".status")).to_have_text("Failed")
    await expect(row(page, "web-1").locator(".status")).to_have_class(re.compile("bad"))
    api.delete("v1", "Pod", "web-0", "default", grace_period_seconds=0)
    await expect(row(page, "web-0")).to_have_count(0)
    await expect(page.locator("#browse-count")).to_have_text("1 object")


async def test_a_filter_takes_words_labels_and_what_is_not_wanted(api: ApiServer, page: Page) -> None:
    for name in ("web-1", "web-2", "db-1", "db-2"):
        api.create(config_map(name))
    await open_table(page, "configmaps")
    await expect(row(page, "db-2")).to_be_visible()
    rows, field, count = page.locator(".row"), page.get_by_role("searchbox"), page.locator("#browse-count")
    everything = await rows.count()
    for text, found in (("web", 2), ("app=db", 2), ("default -web -kube", 2), ("WEB-1", 1), ("web 2", 1), ("app=d", 0)):
        await field.fill(text)
        await expect(rows).to_have_count(found)
        await expect(count).to_contain_text(f"{found} of {everything}")
    await expect(page.locator("#empty")).to_be_visible()
    await field.fill("app=web")
    api.create(config_map("web-3"))
    await expect(rows).to_have_count(3)
    await field.press("Escape")
    await expect(rows).to_have_count(everything + 1)
    await expect(field).to_have_value("")


async def test_columns_sort(api: ApiServer, page: Page) -> None:
    for name, count in (("a", 1), ("b", 3), ("c", 2)):
        api.create(config_map(f"{name}-1", **{f"key{number}": "" for number in range(count)}))
    await open_table(page, "configmaps")
    await page.get_by_role("searchbox").fill("default -kube")

    async def names() -> list[str]:
        return [name for _, name in sorted(await page.locator(".row").evaluate_all(SHOWN))]

    await expect(page.locator(".row")).to_have_count(3)
    assert await names() == ["a-1", "b-1", "c-1"]
    heading = page.get_by_role("columnheader", name="DATA")
    await heading.get_by_role("button").click()
    await expect(heading).to_have_attribute("aria-sort", "ascending")
    assert await names() == ["a-1", "c-1", "b-1"]
    await heading.get_by_role("button").click()
    assert await names() == ["b-1", "c-1", "a-1"]


async def test_an_object_shows_its_yaml_and_its_changes(api: ApiServer, page: Page) -> None:
    api.create(config_map("web-1", color="red", size="9"))
    await open_table(page, "configmaps")
    await row(page, "web-1").click()
    yaml = page.get_by_role("tabpanel", name="YAML")
    await expect(yaml).to_contain_text("color: red")
    await expect(page.locator("#detail-kind")).to_have_text("ConfigMap · default")
    api.update(config_map("web-1", color="blue", size="9"))
    await expect(yaml).to_contain_text("color: blue")
    await page.get_by_role("tab", name="Changes").click()
    changes = page.get_by_role("tabpanel", name="Changes")
    await expect(changes.locator(".minus")).to_have_text("-   color: red")
    await expect(changes.locator(".plus")).to_have_text("+   color: blue")
    await expect(changes.locator(".plus mark")).to_have_text("blue")
    await expect(changes).not_to_contain_text("resourceVersion")
    await expect(page.locator("#changes-count")).to_have_text("2")  # it came while the page looked
    api.delete("v1", "ConfigMap", "web-1", "default")
    await expect(page.locator("#detail")).to_have_class(re.compile("deleted"))
    await expect(changes.locator(".kind").first).to_have_text("deleted")
    await page.get_by_role("button", name="Close").click()
    await expect(page.locator("#detail")).to_be_hidden()


async def test_what_is_stored_in_a_cluster_is_text_and_never_markup(api: ApiServer, page: Page) -> None:
    evil = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
    api.create(config_map("evil", text=evil))
    await open_table(page, "configmaps")
    await row(page, "evil").click()
    await expect(page.get_by_role("tabpanel", name="YAML")).to_contain_text(evil)
    api.update(config_map("evil", text=evil + "!"))
    await page.get_by_role("tab", name="Changes").click()
    await expect(page.locator(".plus")).to_contain_text(evil)
    assert await page.title() != "owned"
    assert await page.locator("img[src=x]").count() == 0


async def test_a_deployment_leads_to_its_pods_and_to_its_events(context: BrowserContext) -> None:
    async with (
        ApiServer(controllers="all", nodes=1) as api,
        showing(api, "deployments", "replicasets", "pods", "events") as site,
    ):
        api.create(build.deployment("web", replicas=2))
        page = await context.new_page()
        await page.goto(f"{site.url}#/deployments.v1.apps/default/web")
        await page.get_by_role("tab", name="YAML").focus()
        await page.keyboard.press("ArrowRight")
        related = page.get_by_role("tabpanel", name="Related")
        await expect(related.locator("a")).to_have_count(3)
        await expect(related.locator("li", has_text="Pod").first).to_contain_text("Running")
        await expect(related.locator(".events")).to_contain_text("ScalingReplicaSet")
        await expect(page.get_by_role("tab", name="Related")).to_contain_text("3")
        await related.locator("a", has_text="Pod").first.click()
        await expect(page.locator("#browse-title")).to_contain_text("pods")
        await page.locator("#grid").focus()
        await page.keyboard.press("y")
        await expect(page.get_by_role("tabpanel", name="YAML")).to_be_visible()
        await page.keyboard.press("r")
        owners = related.locator("ul").first
        await expect(owners.locator("li")).to_have_count(2)
        await owners.locator("a", has_text="Deployment").click()
        await expect(page.locator("#detail-name")).to_have_text("web")
        await page.close()


async def test_what_secrets_hold_is_not_on_the_page(api: ApiServer, page: Page) -> None:
    import base64

    encoded = base64.b64encode(PASSWORD.encode()).decode()
    applied = {"kubectl.kubernetes.io/last-applied-configuration": f'{{"stringData":{{"p":"{PASSWORD}"}}}}'}
    metadata = {"name": "login", "namespace": "default", "annotations": applied}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"password": encoded}}
    api.create(secret)
    await open_table(page, "secrets")
    await row(page, "login").click()
    yaml = page.get_by_role("tabpanel", name="YAML")
    await expect(yaml).to_contain_text(f"password: <{len(PASSWORD)} bytes, not shown>")
    api.update(secret | {"data": {"password": encoded, "other": encoded}})
    await expect(yaml).to_contain_text("other: <")
    await page.get_by_role("tab", name="Changes").click()
    await expect(page.locator(".plus")).to_have_text(f"+   other: <{len(PASSWORD)} bytes, not shown>")
    for confidential in (PASSWORD, encoded):
        assert confidential not in await page.content()


async def test_everything_can_be_done_with_the_keys(api: ApiServer, page: Page) -> None:
    for number in range(100):
        api.create(config_map(f"web-{number:03}"))
    await page.keyboard.press("ArrowDown")
    await expect(page.locator("#informers a").first).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await expect(page.locator("#informers a").nth(1)).to_be_focused()
    await page.keyboard.press("Enter")
    grid = page.get_by_role("grid")
    await expect(grid).to_be_focused()
    await expect(page.locator("#browse-title")).to_contain_text("configmaps")

    await page.keyboard.press("/")
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await page.keyboard.type("app=web")
    await expect(grid).to_have_attribute("aria-rowcount", "101")
    await page.keyboard.press("ArrowDown")
    await expect(grid).to_be_focused()
    active = page.locator("#active-row .name")
    await expect(active).to_have_text("web-000")
    await expect(grid).to_have_attribute("aria-activedescendant", "active-row")
    for key, name in (
        *(("ArrowDown", "web-001"), ("ArrowDown", "web-002"), ("ArrowUp", "web-001")),
        *(("End", "web-099"), ("ArrowDown", "web-099"), ("Home", "web-000"), ("ArrowUp", "web-000")),
    ):
        await page.keyboard.press(key)
        await expect(active).to_have_text(name)
        await expect(page.locator("#active-row")).to_be_in_viewport()
    await page.keyboard.press("PageDown")
    assert await active.inner_text() > "web-010"
    await page.keyboard.press("Home")

    await page.keyboard.press("Enter")
    await expect(page.locator("#detail-name")).to_have_text("web-000")
    await page.keyboard.press("ArrowDown")  # an open object follows
    await expect(page.locator("#detail-name")).to_have_text("web-001")
    await page.keyboard.press("Escape")
    await expect(page.locator("#detail")).to_be_hidden()
    await expect(grid).to_be_focused()
    await page.keyboard.press("Escape")  # the filter
    await expect(page.get_by_role("searchbox")).to_have_value("")
    await page.keyboard.press("Escape")  # back
    await expect(page.locator("#overview")).to_be_visible()
    await expect(page.locator("#informers a").nth(1)).to_be_focused()

    await page.keyboard.press("4")
    await expect(page.locator("#browse-title")).to_contain_text("nodes")
    await page.keyboard.press("0")
    await expect(page.locator("#overview")).to_be_visible()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()

    await page.keyboard.press("2")
    await expect(row(page, "web-000")).to_be_visible()
    await page.keyboard.press("Home")
    await page.keyboard.press("Enter")
    await page.get_by_role("tab", name="YAML").focus()
    await page.keyboard.press("ArrowLeft")
    await expect(page.get_by_role("tab", name="Changes")).to_be_focused()
    await expect(page.get_by_role("tab", name="Changes")).to_have_attribute("aria-selected", "true")


async def test_light_and_dark(page: Page, context: BrowserContext, site: Site) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light = await page.evaluate(background)
    await page.emulate_media(color_scheme="dark")
    dark = await page.evaluate(background)
    assert light != dark
    await page.get_by_role("button", name="Switch between light and dark").click()
    assert await page.evaluate(background) == light
    await page.reload()
    await page.locator("#informers tr").first.wait_for()
    assert await page.evaluate(background) == light, "what was chosen is remembered"
    await page.keyboard.press("t")
    assert await page.evaluate(background) == dark


async def test_an_address_leads_back_to_what_it_showed(api: ApiServer, page: Page, context: BrowserContext) -> None:
    api.create(config_map("web-1", color="red"))
    await open_table(page, "configmaps")
    await row(page, "web-1").click()
    await expect(page.get_by_role("tabpanel", name="YAML")).to_contain_text("color: red")
    other = await context.new_page()
    await other.goto(page.url)
    await expect(other.get_by_role("tabpanel", name="YAML")).to_contain_text("color: red")
    await expect(row(other, "web-1")).to_have_attribute("aria-selected", "true")
    await other.close()
    await page.go_back()
    await expect(page.locator("#detail")).to_be_hidden()


async def test_it_can_be_mounted_anywhere(api: ApiServer, context: BrowserContext, complaints: Complaints) -> None:
    api.create(config_map("web-1"))
    async with showing(api, "configmaps", path="/deep/down") as site:
        page = await context.new_page()
        complaints.listen_to(page)
        await page.goto(site.url.rstrip("/"))
        await page.locator("#informers a").first.click()
        await expect(row(page, "web-1")).to_be_visible()
        await page.close()
    assert complaints == []


async def test_it_comes_back_when_its_server_does(
    api: ApiServer, site: Site, context: BrowserContext, complaints: Complaints
) -> None:
    for name in ("kept", "deleted"):
        api.create(config_map(name, state="before"))
    page = await context.new_page()
    complaints.listen_to(page)
    await page.goto(site.url)
    await open_table(page, "configmaps")
    await row(page, "kept").click()
    await expect(page.get_by_role("tabpanel", name="YAML")).to_contain_text("state: before")
    await site.stop()
    await expect(page.locator("#link")).to_have_text("reconnecting")
    await expect(row(page, "deleted")).to_be_visible()  # what was known stays in view
    api.delete("v1", "ConfigMap", "deleted", "default")
    api.update(config_map("kept", state="after"))
    api.create(config_map("new"))
    await site.start()
    await expect(page.locator("#link")).to_have_text("live")
    await expect(row(page, "new")).to_be_visible()
    await expect(row(page, "deleted")).to_have_count(0)
    await expect(page.get_by_role("tabpanel", name="YAML")).to_contain_text("state: after")
    # The browser itself tells of the connections that failed; nothing else went wrong.
    assert [text for text in complaints if "ERR_CONNECTION_REFUSED" not in text and "ERR_INCOMPLETE" not in text] == []


async def test_twenty_thousand_rows(api: ApiServer, context: BrowserContext, complaints: Complaints) -> None:
    for number in range(20_000):
        api.create(config_map(f"web-{number:05}"))
        if number % 500 == 0:
            await asyncio.sleep(0)
    async with showing(api, "configmaps") as site:
        await site.factory.wait_for_cache_sync(60)
        others = len(site.factory.core.v1.configmaps.lister) - 20_000
        page = await context.new_page()
        complaints.listen_to(page)
        await page.goto(site.url)
        await page.locator("#informers a").first.click()
        grid, rows, count = page.get_by_role("grid"), page.locator(".row"), page.locator("#browse-count")
        await expect(count).to_have_text(f"{20_000 + others:,} objects", timeout=60_000)
        await expect(grid).to_have_attribute("aria-rowcount", str(20_001 + others))
        assert await rows.count() < 100, "only what is in view is in the document"
        await page.get_by_role("searchbox").fill("app=web")
        await expect(grid).to_have_attribute("aria-rowcount", "20001")
        await grid.focus()
        await page.keyboard.press("End")
        await expect(page.locator("#active-row .name")).to_have_text("web-19999")
        await expect(page.locator("#active-row")).to_be_in_viewport()
        await grid.evaluate("grid => { grid.scrollTop = 10_000 * 28; }")
        await expect(row(page, "web-10005")).to_be_in_viewport()
        shown = await rows.evaluate_all(SHOWN)
        assert all(name == f"web-{index - 2:05}" for index, name in shown)
        # Live, also there.
        api.delete("v1", "ConfigMap", "web-10005", "default")
        await expect(row(page, "web-10005")).to_have_count(0)
        api.update(config_map("web-10006", a="", b="", c=""))
        await expect(row(page, "web-10006").get_by_role("gridcell").nth(2)).to_have_text("3")
        await page.get_by_role("searchbox").fill("web-19998")
        await expect(rows).to_have_count(1)
        await rows.first.click()
        await expect(page.locator("#detail-name")).to_have_text("web-19998")
        await page.close()
    assert complaints == []
