"""ClusterContents: all objects of the embedded API server at once, from those of a new cluster to a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.contents import clear, read_snapshot, restore, snapshot
from kinformer.testing._apiserver.rules.first_objects import first_objects, first_roles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kinformer.testing._apiserver.administrator import Administrator
    from kinformer.testing._apiserver.rules.registry import Registry

__all__ = ["ClusterContents"]

_SYSTEM_NAMESPACES: Final = ("default", "kube-node-lease", "kube-public", "kube-system")


class ClusterContents:
    """The objects of a cluster, stored, written down and replaced at once.

    Args:
        registry: the objects and their rules.
        administrator: creates the objects of a new cluster.
        rbac: whether a new cluster has the roles that each cluster has.
        nodes: the number of nodes of a new cluster.
        runs_pods: whether pods run.
        system_objects: whether a new cluster has the objects that an API server makes for itself, as the Service
            "kubernetes"; and DNS, if pods run.
        on_replaced: called when other objects have taken the place of all.
    """

    def __init__(
        self,
        registry: Registry,
        administrator: Administrator,
        *,
        rbac: bool,
        nodes: int,
        runs_pods: bool,
        system_objects: bool,
        on_replaced: Callable[[], None],
    ) -> None:
        self._registry = registry
        self._administrator = administrator
        self._rbac = rbac
        self._nodes = nodes
        self._runs_pods = runs_pods
        self._has_system_objects = system_objects
        self._on_replaced = on_replaced

    def add_first(self) -> None:
        """Store the namespaces and the roles that a new cluster has."""
        for namespace in _SYSTEM_NAMESPACES:
            self._administrator.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        for manifest in first_roles() if self._rbac else ():
            self._administrator.create(manifest)

    def add_nodes(self) -> None:
        """Store the nodes and the system objects of a new cluster; its controllers are there already."""
        if self._nodes:
            # Imported here: a server without controllers pays nothing for them.
            from kinformer.testing._apiserver.controllers.all_controllers import node_manifests

            for manifest in node_manifests(self._nodes, self._registry.now()):
                self._administrator.create(manifest)
        if self._has_system_objects:
            from kinformer.testing._apiserver.controllers.system_objects import api_service, dns

            for manifest in first_objects():
                self._add_with_status(manifest)
            for manifest in (*api_service(), *(dns() if self._runs_pods else ())):
                self._administrator.create(manifest)

    def _add_with_status(self, manifest: dict[str, Any]) -> None:
        """Store an object with its status, which a client cannot give at its creation."""
        self._administrator.create(manifest)
        if manifest.get("status"):
            for condition in manifest["status"].get("conditions") or ():
                condition["lastTransitionTime"] = self._registry.now()
            self._administrator.update(manifest, subresource="status")

    def snapshot(self) -> str:
        """Return all objects as documents of YAML."""
        return snapshot(self._registry)

    def reset(self) -> None:
        """Replace all objects by those of a new cluster."""
        self._replace([])

    def restore(self, documents: str) -> None:
        """Replace all objects by those in documents of YAML, beside the objects of a new cluster.

        Raises:
            Refusal: 400 or 422, a document is no object that the server can have. Nothing has changed then.
        """
        before = read_snapshot(self._registry, self.snapshot())
        wanted = read_snapshot(self._registry, documents)
        try:
            self._replace(wanted)
        except BaseException:
            self._replace(before)
            raise

    def _replace(self, documents: Sequence[dict[str, Any]]) -> None:
        clear(self._registry)
        self.add_first()
        self.add_nodes()
        restore(self._registry, documents)
        self._registry.store.compact()
        self._on_replaced()
