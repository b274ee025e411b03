"""Declared paths of informers, over real sockets: lists, watches, scopes of several parts, shared informers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import Client, ClusterConfig, Namespaces, SharedInformerFactory
from kinformer.resources import PODS
from kinformer.testing import ApiServer, build

if TYPE_CHECKING:
    from kinformer import KubeObject


def noted(obj: KubeObject) -> set[str]:
    """The paths that the pass over an object has noted."""
    return set() if obj.places is None else {*obj.places.declared}


@pytest.mark.parametrize("settings", [{}, {"namespace": "a"}, {"scope": Namespaces("a", "b")}])
async def test_lists_and_watches_note_the_declared_paths(settings: dict[str, Any]) -> None:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        server.create(build.namespace("a"))
        server.create(build.pod("one", namespace="a"))
        factory = SharedInformerFactory(client)
        pods = factory.informer(PODS, paths=["status.phase"], **settings)
        assert factory.informer(PODS, paths=["spec.nodeName"], **settings) is pods
        found: dict[str, set[str]] = {}
        pods.add_event_handler(
            on_add=lambda pod: found.update({pod.name: noted(pod)}),
            on_update=lambda _, pod: found.update({pod.name: noted(pod)}),
        )
        async with factory:
            await factory.wait_for_cache_sync(timeout=60)
            pods.declare_paths("status.hostIP")
            server.create(build.pod("two", namespace="a"))
            async with asyncio.timeout(60):
                while len(found) < 2:
                    await asyncio.sleep(0.01)
    assert found == {
        "one": {"status.phase", "spec.nodeName"},
        "two": {"status.phase", "spec.nodeName", "status.hostIP"},
    }


async def test_what_is_no_path_makes_no_informer() -> None:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        factory = SharedInformerFactory(client)
        with pytest.raises(ValueError, match="no path"):
            factory.informer(PODS, paths=["spec..x"])
        with pytest.raises(TypeError, match="one string"):
            factory.informer(PODS, paths="spec.nodeName")
        assert not factory.informers
