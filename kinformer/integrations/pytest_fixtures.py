"""The fixtures of the pytest plugin; each test has its own, but for the last, of which a run has one.

    kube_api           an embedded API server              kube_api_options           its arguments, to be overridden
    kube_faults        what can be made to go wrong
    kube_client        a client of it
    informer_factory   a factory of that client            informer_factory_options   its arguments, to be overridden
    settled            await settled(): nothing left to do
    kube_replay        serves recordings: `replay = await kube_replay("out.kin")`
    control_plane      a real etcd and kube-apiserver       control_plane_options      its arguments, to be overridden

They are set up and torn down by whatever plugin runs the test: pytest-asyncio in both of its modes, or anyio (with its
asyncio backend).
"""

from __future__ import annotations

import asyncio
import functools
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from kinformer.client import Client
    from kinformer.informer.factory import SharedInformerFactory
    from kinformer.integrations.settling import Settled
    from kinformer.recordings import Replay
    from kinformer.testing import ApiServer, ControlPlane, Faults

__all__ = [
    "control_plane",
    "control_plane_options",
    "informer_factory",
    "informer_factory_options",
    "kube_api",
    "kube_api_options",
    "kube_client",
    "kube_faults",
    "kube_replay",
    "settled",
]

F = TypeVar("F", bound="Callable[..., Any]")


def _async_fixture(function: F) -> F:
    """A fixture that pytest-asyncio runs in strict mode, too; its plain form is there for the plugin's anyio hook.

    pytest-asyncio has been loaded by now if it is in use at all; it is not imported on its behalf.
    """
    pytest_asyncio = sys.modules.get("pytest_asyncio")
    if pytest_asyncio is None:
        return cast("F", pytest.fixture(function))
    # It marks the function it is given; the plain form must stay without that mark.
    marked = types.FunctionType(function.__code__, function.__globals__, function.__name__)
    functools.update_wrapper(marked, function)
    marked.kinformer_plain = function  # type: ignore[attr-defined]
    return cast("F", pytest_asyncio.fixture(marked))


@pytest.fixture
def kube_api_options() -> dict[str, Any]:
    """Arguments of `ApiServer(...)` for `kube_api`: override this fixture to give tokens, a history, TLS."""
    return {}


@pytest.fixture
def informer_factory_options() -> dict[str, Any]:
    """Arguments of `SharedInformerFactory(...)` for `informer_factory`, over those that make retries quick."""
    return {}


@_async_fixture
async def kube_api(kube_api_options: dict[str, Any], pytestconfig: pytest.Config) -> AsyncIterator[ApiServer]:
    """A Kubernetes API server of this test's own: `kube_api.url`, `.create(...)`, `.get(...)`, `.faults`.

    It shares the event loop with a test that is a coroutine function. For one that is a plain function it runs in a
    thread, and each call of its methods returns when it is done there.
    """
    from kinformer.integrations._pytest_rbac import collect

    async with _testing().ApiServer(**kube_api_options) as server:
        yield server
        collect(pytestconfig, server)


def kube_api_in_a_thread(kube_api_options: dict[str, Any], pytestconfig: pytest.Config) -> Iterator[ApiServer]:
    """Set up `kube_api` for a test that is a plain function; the plugin's hook takes it instead of the fixture."""
    from kinformer.integrations._pytest_rbac import collect
    from kinformer.integrations._server_thread import server_in_a_thread

    with server_in_a_thread(functools.partial(_testing().ApiServer, **kube_api_options)) as server:
        yield server
        collect(pytestconfig, server)


@pytest.fixture
def kube_faults(kube_api: ApiServer) -> Faults:
    """Faults of `kube_api` to inject: `kube_faults.drop_watches()`, ..."""
    return kube_api.faults


@_async_fixture
async def kube_client(kube_api: ApiServer) -> AsyncIterator[Client]:
    """A client of `kube_api`, open. Override it for another user: `ClusterConfig.for_server(url, token=...)`."""
    from kinformer.client import Client
    from kinformer.config import ClusterConfig

    async with Client(ClusterConfig.for_server(kube_api.url), field_validation="Strict") as client:
        yield client


@_async_fixture
async def informer_factory(
    kube_client: Client, informer_factory_options: dict[str, Any]
) -> AsyncIterator[SharedInformerFactory]:
    """A factory of informers that retry within milliseconds; `settled()` starts it, or `async with`, or `start()`.

    It is stopped at the end of the test, if it has not been.
    """
    from kinformer.backoff import Backoff
    from kinformer.informer.factory import SharedInformerFactory

    options = {"backoff": Backoff(initial=0.01, maximum=0.1)} | informer_factory_options
    factory = SharedInformerFactory(kube_client, **options)
    try:
        yield factory
    finally:
        await factory.stop()


@pytest.fixture
def settled(kube_api: ApiServer, informer_factory: SharedInformerFactory) -> Settled:
    """Waits until every write has come through each informer, its handlers and the queues they fill.

    Call it: `await settled()`. `await settled(controller, queue, other_factory)` waits for more; what exactly is said
    in `kinformer.integrations.settling`.
    """
    from kinformer.integrations.settling import Settled

    return Settled(kube_api, informer_factory)


@_async_fixture
async def kube_replay() -> AsyncIterator[Callable[..., Awaitable[Replay]]]:
    """A function that serves a recording until the end of the test.

    Call it: `replay = await kube_replay("out.kin")`. The replay has the first lists, and holds the events until
    `replay.play()`. Then they come without pauses; `await replay.finished()` waits for the last one. Keyword arguments
    are those of `Replay`.
    """
    import contextlib
    import math

    from kinformer.recordings import Replay

    async with contextlib.AsyncExitStack() as stack:

        async def serve(path: str | Path, **options: Any) -> Replay:
            return await stack.enter_async_context(Replay(path, **{"speed": math.inf, "hold": True} | options))

        yield serve


@pytest.fixture(scope="session")
def control_plane_options() -> dict[str, Any]:
    """Arguments of `ControlPlane(...)` for `control_plane`: override it to give users, feature gates, flags."""
    return {}


@pytest.fixture(scope="session")
def control_plane(control_plane_options: dict[str, Any]) -> Iterator[ControlPlane]:
    """A real etcd and kube-apiserver, started when the first test asks for it, for the whole run (of one worker).

    What tests make in it stays: work in a namespace of your own. It takes seconds to start, where `kube_api` takes a
    millisecond; and it has to be on the machine (see `kinformer.testing.Binaries.find`), or the test fails.
    """
    plane: ControlPlane = _testing().ControlPlane(**control_plane_options)
    # In a thread, with a loop that has ended when the tests' own begin.
    with ThreadPoolExecutor(1, "kinformer control plane") as thread:
        thread.submit(asyncio.run, plane.start()).result()
        try:
            yield plane
        finally:
            thread.submit(asyncio.run, plane.stop()).result()


def _testing() -> Any:
    try:
        import kinformer.testing
    except ModuleNotFoundError as missing:
        msg = f"an API server for tests needs {missing.name}: pip install 'kinformer[testing]'"
        raise pytest.UsageError(msg) from missing
    return kinformer.testing
