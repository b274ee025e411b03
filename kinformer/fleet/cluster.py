"""`Cluster`: one cluster of a fleet, as the functions of a program see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack, overload

from kinformer.fleet.keys import ClusterKey

if TYPE_CHECKING:
    import builtins

    from kinformer.client import Client
    from kinformer.events import T
    from kinformer.informer import SharedInformer
    from kinformer.informer.factory import SharedInformerFactory
    from kinformer.informer.settings import InformerSettings
    from kinformer.informer.typed import TypedInformer
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["Cluster"]


@dataclass(frozen=True, slots=True, eq=False)
class Cluster:
    """One cluster: its name, its client, and the factory of its informers.

    A fleet makes one for each cluster that joins, and gives it to the functions of `Fleet.add`. A program for one
    cluster can make it itself: `Cluster("here", client, factory)`.

    Attributes:
        name: the name in the fleet.
        client: the client; it is closed when the cluster leaves.
        factory: the factory; its informers stop when the cluster leaves.
    """

    name: str
    client: Client
    factory: SharedInformerFactory

    @overload
    def informer(self, resource: builtins.type[T], **settings: Unpack[InformerSettings]) -> TypedInformer[T]: ...

    @overload
    def informer(
        self, resource: Resource | str, *, type: None = None, **settings: Unpack[InformerSettings]
    ) -> SharedInformer: ...

    @overload
    def informer(
        self, resource: Resource | str, *, type: builtins.type[T], **settings: Unpack[InformerSettings]
    ) -> TypedInformer[T]: ...

    def informer(
        self,
        resource: Resource | str | builtins.type[Any],
        *,
        type: builtins.type[Any] | None = None,  # noqa: A002 - the usual name
        **settings: Unpack[InformerSettings],
    ) -> SharedInformer | TypedInformer[Any]:
        """Return the informer of a resource in this cluster, as `SharedInformerFactory.informer` does.

        Raises:
            As `SharedInformerFactory.informer`.
        """
        ask: Any = self.factory.informer
        found: SharedInformer | TypedInformer[Any] = ask(resource, type=type, **settings)
        return found

    def key_of(self, obj: KubeObject) -> ClusterKey:
        """Return the key of an object of this cluster, with the name of the cluster."""
        return ClusterKey(self.name, obj.key)
