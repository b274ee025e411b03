"""dask-gateway follows clusters, pods and services with an `Informer` of its own; this is its interface on kinformer's.

    async def on_update(obj, old=None): ...
    informer = Informer(client, "pods", on_update=..., on_delete=..., labels={"app": "dask"})
    await informer.start()
    informer.get("default.scheduler-1")
    await informer.stop()

The original watches for 10 seconds at a time, repeats a failed list without any pause, and calls `on_update` for each
object after each relist, changed or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinformer import Added, Client, Deleted, KubeObject, Resource, SharedInformerFactory, Updated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kinformer.events import Event


class Informer:
    """Calls a function for each object that is new, has changed or is gone.

    Args:
        client: an entered client.
        resource: a name such as "pods", or a custom resource.
        on_update: called with the object and, as `old`, the one before it, or `None`.
        on_delete: called with the last state of the object.
        labels: labels that the objects must have.
    """

    def __init__(
        self,
        client: Client,
        resource: str | Resource,
        *,
        on_update: Callable[..., object],
        on_delete: Callable[[KubeObject], object],
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self._factory = SharedInformerFactory(client)
        self._informer = self._factory.informer(resource, label_selector=labels)
        self._informer.add_event_handler(self._handle)
        self._on_update = on_update
        self._on_delete = on_delete

    def get(self, name: str) -> KubeObject | None:
        """Return the object of "namespace.name" from the cache."""
        namespace, _, name = name.partition(".")
        return self._informer.lister.get(name, namespace=namespace)

    async def start(self, timeout: float | None = None) -> None:
        """Return when the cache has its first list."""
        self._factory.start()
        await self._factory.wait_for_cache_sync(timeout=timeout)

    async def stop(self) -> None:
        """End the watch."""
        await self._factory.stop()

    def _handle(self, event: Event) -> None:
        match event:
            case Added(obj):
                self._on_update(obj, old=None)
            case Updated(old, new):
                self._on_update(new, old=old)
            case Deleted(obj):
                self._on_delete(obj)
