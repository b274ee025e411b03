"""The pytest plugin as its users have it: real pytest processes, with each plugin that runs coroutines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest import Pytester  # noqa: PT013 - for the annotation alone

    Run = Callable[..., pytest.RunResult]

BODY: Final = """
from kinformer.testing import build

async def test_a_write_comes_through(kube_api, kube_client, kube_faults, informer_factory, settled):
    pods = informer_factory.core.v1.pods
    kube_api.create(build.pod("web-0"))
    await settled()
    assert pods.lister.get("web-0", namespace="default") is not None
    kube_faults.drop_watches()
    kube_api.delete("v1", "Pod", "web-0")
    await settled()
    assert len(pods.lister) == 0
    assert kube_api.count("list", "pods") + kube_api.count("watch", "pods") >= 2

async def test_each_test_has_its_own_server(kube_api):
    assert kube_api.list("v1", "Pod") == []
    assert kube_api.open_watches == []
"""
ASYNCIO: Final = ("-o", "asyncio_default_fixture_loop_scope=function")
"""Without looptime, which is ours alone."""


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_it_works_with_pytest_asyncio(pytester: Pytester, run_pytest: Run, mode: str) -> None:
    marks = "import pytest\npytestmark = pytest.mark.asyncio\n" if mode == "strict" else ""
    pytester.makepyfile(marks + BODY)
    run = run_pytest("-p", "no:looptime_plugin", "-W", "error", *ASYNCIO, f"--asyncio-mode={mode}")
    run.assert_outcomes(passed=2)


ANYIO: Final = """
import pytest
pytestmark = pytest.mark.anyio

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


def test_it_works_with_anyio_alone(pytester: Pytester) -> None:
    pytester.makepyfile(ANYIO + BODY)
    pytester.runpytest_subprocess("-p", "no:looptime_plugin", "-p", "no:asyncio", "-W", "error").assert_outcomes(
        passed=2
    )


def test_it_works_with_anyio_beside_pytest_asyncio(pytester: Pytester, run_pytest: Run) -> None:
    pytester.makepyfile(
        test_with_anyio=ANYIO + BODY, test_with_asyncio="import pytest\npytestmark = pytest.mark.asyncio\n" + BODY
    )
    run_pytest("-p", "no:looptime_plugin", "-W", "error", *ASYNCIO).assert_outcomes(passed=4)


def test_the_options_of_server_and_factory_can_be_overridden(pytester: Pytester, run_pytest: Run) -> None:
    pytester.makepyfile("""
        import pytest
        from kinformer import Client, ClusterConfig
        from kinformer.testing import build

        @pytest.fixture
        def kube_api_options():
            return {"tokens": {"t": "alice"}}

        @pytest.fixture
        async def kube_client(kube_api):
            async with Client(ClusterConfig.for_server(kube_api.url, token="t")) as client:
                yield client

        @pytest.fixture
        def informer_factory_options():
            return {"namespace": "shop"}

        async def test_it(kube_api, informer_factory, settled):
            kube_api.create(build.namespace("shop"))
            kube_api.create(build.config_map("here", "shop"))
            kube_api.create(build.config_map("elsewhere"))
            maps = informer_factory.core.v1.configmaps
            await settled()
            assert [found.name for found in maps.lister.list()] == ["here"]
            assert {request.user for request in kube_api.requests} == {"alice"}
    """)
    run = run_pytest("-p", "no:looptime_plugin", "-W", "error", *ASYNCIO, "--asyncio-mode=auto")
    run.assert_outcomes(passed=1)


def test_what_has_not_settled_is_named_in_the_failure(pytester: Pytester, run_pytest: Run) -> None:
    pytester.makepyfile("""
        async def test_it(kube_faults, informer_factory, settled):
            informer_factory.core.v1.pods
            kube_faults.fail_next(None, status=403, verb="list")
            kube_faults.fail_next(None, status=403, verb="watch")
            await settled(timeout=0.3)
    """)
    run = run_pytest("-p", "no:looptime_plugin", *ASYNCIO, "--asyncio-mode=auto")
    run.assert_outcomes(failed=1)
    run.stdout.re_match_lines(
        [r"E .*WaitTimeoutError: not settled after 0\.3 s: informer pods\.v1 has come to version 0"]
    )


def test_loading_it_costs_no_heavy_import(pytester: Pytester) -> None:
    pytester.makepyfile("""
        import sys

        def test_it():
            loaded = {"aiohttp", "kinformer.client", "kinformer.testing", "kubernetes_asyncio"} & set(sys.modules)
            assert not loaded
    """)
    pytester.runpytest_subprocess("-p", "no:looptime_plugin", "-p", "no:asyncio").assert_outcomes(passed=1)


PLAIN: Final = """
import asyncio, threading, time, urllib.request
from fastapi import FastAPI
from fastapi.testclient import TestClient
from kinformer import Client, ClusterConfig
from kinformer.integrations.fastapi import Informers
from kinformer.testing import build

def names(http):
    answer = http.get("/pods")
    assert answer.status_code == 200, answer.text
    return {pod["metadata"]["name"] for pod in answer.json()["items"]}

def test_a_test_client_reads_a_cache(kube_api, kube_faults):
    kube_api.create(build.pod("web-0"))
    informers = Informers(client=lambda: Client(ClusterConfig.for_server(kube_api.url)))
    app = FastAPI(lifespan=informers.lifespan)
    app.include_router(informers.router("pods"))
    began = time.monotonic()
    with TestClient(app) as http:
        assert names(http) == {"web-0"}
        kube_faults.drop_watches()
        kube_api.create(build.pod("web-1"))
        while names(http) != {"web-0", "web-1"}:
            time.sleep(0.01)
    assert time.monotonic() - began < 8
    assert kube_api.count("list", "pods") + kube_api.count("watch", "pods") >= 2

def test_a_plain_function_uses_the_server_from_any_loop_of_its_own(kube_api):
    kube_api.create(build.pod("web-0"))
    async def count():
        async with Client(ClusterConfig.for_server(kube_api.url)) as client:
            from kinformer.resources import PODS
            return len((await client.list(PODS)).items)
    assert asyncio.run(count()) == 1
    url = kube_api.url
    with kube_api.faults.down():
        try:
            urllib.request.urlopen(url + "/version", timeout=2)
        except OSError:
            pass
        else:
            raise AssertionError("it is down")
    assert asyncio.run(count()) == 1
    assert isinstance(kube_api.resource_version, int)

class TestInAClass:
    def test_it_is_served_too(self, kube_api):
        urllib.request.urlopen(kube_api.url + "/version", timeout=5).read()

def test_no_thread_is_left():
    assert [t.name for t in threading.enumerate() if t is not threading.main_thread()] == []
"""


@pytest.mark.parametrize("mode", ["strict", "auto", "no plugin"])
def test_a_plain_function_has_a_server_that_answers_while_it_runs(
    pytester: Pytester, run_pytest: Run, mode: str
) -> None:
    pytester.makepyfile(PLAIN)
    plugin = ("-p", "no:asyncio") if mode == "no plugin" else (*ASYNCIO, f"--asyncio-mode={mode}")
    run = run_pytest("-p", "no:looptime_plugin", "-W", "error", *plugin)
    run.assert_outcomes(passed=4)
