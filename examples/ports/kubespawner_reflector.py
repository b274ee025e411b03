"""JupyterHub's KubeSpawner keeps pods and Events in `ResourceReflector`; this is its interface on an informer.

    reflector = ResourceReflector(client, "pods", namespace="hub", labels={"component": "singleuser-server"})
    await reflector.start()                          # the first list, or its error
    reflector.resources.get("hub/jupyter-ada")       # a read of the cache
    await reflector.stop()

The original lists anew at each end of a watch (every 10 seconds without events, every 30 seconds at the latest),
because it does not trust watches, and gives up after about 50 seconds of errors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kinformer import Client, KubeObject, Lister, ObjectKey, SharedInformerFactory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kinformer import KinformerError, SharedInformer


class Resources(Mapping[str, KubeObject]):
    """The cached objects by "namespace/name"; any thread may read it."""

    def __init__(self, lister: Lister) -> None:
        self._lister = lister

    def __getitem__(self, key: str) -> KubeObject:
        """Return an object, which is a read-only mapping itself."""
        found = self._lister.get(ObjectKey.parse(key))
        if found is None:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[str]:
        return (str(each.key) for each in self._lister.list())

    def __len__(self) -> int:
        return len(self._lister)


class ResourceReflector:
    """A local copy of one kind of resource.

    Args:
        client: an entered client.
        kind: the plural name: "pods", "events".
        namespace: the namespace; `None` for all of them.
        labels: labels that the objects must have.
        fields: fields that they must have.
        on_failure: called when the copy could not be kept up for `patience` seconds.
        patience: seconds of failures on end.
    """

    def __init__(
        self,
        client: Client,
        kind: str,
        *,
        namespace: str | None,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        on_failure: Callable[[], object] = lambda: None,
        patience: float = 300,
    ) -> None:
        self._factory = SharedInformerFactory(client, give_up_after=patience, on_give_up=self._gave_up)
        self._informer = self._factory.informer(kind, namespace=namespace, label_selector=labels, field_selector=fields)
        self._on_failure = on_failure
        self.resources = Resources(self._informer.lister)
        self.first_load_future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self, timeout: float = 60) -> None:
        """Fill the copy, and keep it up to date from then on.

        Raises:
            CacheSyncError: the first list did not come in time; the error has the cause.
        """
        self._factory.start()
        try:
            await self._factory.wait_for_cache_sync(timeout=timeout, fail_fast=True)
        except BaseException as failure:
            await self._factory.stop()
            if isinstance(failure, Exception):
                self.first_load_future.set_exception(failure)
            raise
        self.first_load_future.set_result(None)

    async def stop(self) -> None:
        """End the watch."""
        await self._factory.stop()

    def _gave_up(self, _error: KinformerError | None, _informer: SharedInformer) -> bool:
        self._on_failure()
        return False
