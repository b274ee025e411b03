"""The events of a handler, compared with the facts that must hold of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from kinformer import Added, Deleted, Updated

if TYPE_CHECKING:
    from kinformer import KubeObject, Resource, SharedInformer
    from kinformer.events import Event
    from tests.apiserver.clusters import Cluster

__all__ = ["Follower", "caught_up", "versions"]


def versions(informer: SharedInformer) -> dict[str, str]:
    """The versions that a cache has."""
    return {f"{o.namespace}/{o.name}": o.resource_version for o in informer.lister.list()}


async def caught_up(
    cluster: Cluster, resource: Resource, *informers: SharedInformer, namespace: str | None = None, **query: str
) -> dict[str, str]:
    """Wait until every cache has what the store has and every handler has returned; return what the store has.

    Nothing may be written meanwhile.

    Raises:
        TimeoutError: a minute has passed; names the difference.
    """
    truth = await cluster.truth(resource, namespace=namespace, **query)
    different: dict[str, Any] = {}
    try:
        async with asyncio.timeout(60):
            while True:
                different = {i.name: _difference(truth, versions(i)) for i in informers if versions(i) != truth}
                # A handler is called after its cache has changed, perhaps a turn of the loop later.
                if not different and all(handler.idle for informer in informers for handler in informer.handlers):
                    return truth
                await asyncio.sleep(0.01)
    except TimeoutError:
        states = [str(informer.status) for informer in informers]
        msg = f"caches differ from the store ({len(truth)} objects): {different}; {states}"
        raise TimeoutError(msg) from None


def _difference(truth: dict[str, str], cache: dict[str, str]) -> dict[str, tuple[str | None, str | None]]:
    keys = [key for key in truth.keys() | cache.keys() if truth.get(key) != cache.get(key)]
    return {key: (truth.get(key), cache.get(key)) for key in sorted(keys)[:10]}


class Follower:
    """A handler that keeps a picture of the world by its events, and refuses events that cannot be.

    Attributes:
        events_of: the events of each object, in order.
        objects: the picture: the present objects.
    """

    def __init__(self, informer: SharedInformer) -> None:
        self.events_of: dict[str, list[Event]] = defaultdict(list)
        self.objects: dict[str, KubeObject] = {}
        self._wrong: list[str] = []
        self._informer = informer
        informer.add_event_handler(self._on_event)

    def _on_event(self, event: Event) -> None:
        key = f"{event.obj.namespace}/{event.obj.name}"
        self.events_of[key].append(event)
        have = self.objects.get(key)
        match event:
            case Added(obj):
                if have is not None:
                    self._wrong.append(f"{key} was added while it was there")
                self.objects[key] = obj
            case Updated(old, new):
                if have is None or (have.uid, have.resource_version) != (old.uid, old.resource_version):
                    self._wrong.append(f"{key} was updated from a state that no event had")
                if int(new.resource_version) <= int(old.resource_version):
                    self._wrong.append(f"{key} went back from {old.resource_version} to {new.resource_version}")
                self.objects[key] = new
            case Deleted(obj):
                if have is None or have.uid != obj.uid:
                    self._wrong.append(f"{key} was deleted while it was not there")
                self.objects.pop(key, None)

    def check(self) -> None:
        """Assert that no event was impossible and none is missing: its picture is the cache."""
        assert self._wrong == []
        assert {key: obj.resource_version for key, obj in self.objects.items()} == versions(self._informer)

    def deletions(self) -> dict[str, Deleted]:
        """The last deletion of each object that was deleted."""
        found = {}
        for key, events in self.events_of.items():
            for event in events:
                if isinstance(event, Deleted):
                    found[key] = event
        return found
