"""Administrator: the verbs of an administrator on the objects of the embedded API server, without HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from kinformer.testing._apiserver.http.pod_subresources import bind_pod
from kinformer.testing._apiserver.rules.life_cycle import DeleteOptions
from kinformer.testing._apiserver.rules.patches import apply_merge_patch
from kinformer.testing._apiserver.rules.writing import Write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.testing._apiserver.rules.registry import Registry
    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = ["Administrator", "copied"]

_OURS: Final = Write("kinformer", any_size=True)


class Administrator:
    """The verbs of an administrator as plain calls: the rules of a request hold, but webhooks are not called.

    Args:
        registry: the objects and their rules.
        ends_pods: whether a kubelet ends the pods that are deleted; without one, a deleted pod is gone at once.
    """

    def __init__(self, registry: Registry, *, ends_pods: bool) -> None:
        self._registry = registry
        self._ends_pods = ends_pods

    def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object; its namespace is "default" if it names none.

        Raises:
            Refusal: as the server would refuse a request.
        """
        kind, namespace = self._kind_of(manifest)
        return copied(self._registry.create(kind, namespace, dict(manifest), _OURS).manifest)

    def update(self, manifest: Mapping[str, Any], *, subresource: str = "") -> dict[str, Any]:
        """Replace an object; without a `metadata.resourceVersion`, whatever state it is in.

        Raises:
            Refusal: as the server would refuse a request.
        """
        kind, namespace = self._kind_of(manifest)
        name = manifest["metadata"]["name"]
        manifest = self._with_version(kind, namespace, name, dict(manifest))
        stored, _ = self._registry.update(
            kind, namespace, name, manifest, Write("kinformer", subresource, any_size=True)
        )
        return copied(stored.manifest)

    def patch(
        self,
        api_version: str,
        kind: str,
        name: str,
        patch: Mapping[str, Any],
        *,
        namespace: str = "default",
        subresource: str = "",
    ) -> dict[str, Any]:
        """Apply a JSON merge patch to an object.

        Raises:
            Refusal: as the server would refuse a request.
        """
        found, place = self._kind(api_version, kind, namespace)
        current = self._registry.get(found, place, name)
        merged = apply_merge_patch(current.manifest, dict(patch))
        stored, _ = self._registry.update(
            found, place, name, merged, Write("kinformer", subresource, patched=True, any_size=True)
        )
        return copied(stored.manifest)

    def delete(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str = "default",
        *,
        grace_period_seconds: int | None = None,
        propagation_policy: str = "",
    ) -> None:
        """Delete an object, unless it has finalizers.

        Args:
            api_version: its `apiVersion`.
            kind: its kind.
            name: its name.
            namespace: its namespace.
            grace_period_seconds: the seconds that a pod is given to end. By default none, unless a kubelet runs it.
            propagation_policy: what becomes of the dependents: "Background", "Foreground" or "Orphan"; "" for the
                default of the resource.

        Raises:
            Refusal: as the server would refuse a request.
        """
        found, place = self._kind(api_version, kind, namespace)
        grace = grace_period_seconds
        if grace is None and not self._ends_pods:
            grace = 0
        options = DeleteOptions(grace_period_seconds=grace, propagation_policy=propagation_policy)
        self._registry.delete(found, place, name, options)

    def bind(self, name: str, node: str, namespace: str = "default") -> None:
        """Give a pod its node, as a scheduler does; nothing else may.

        Raises:
            Refusal: as the server would refuse a request: 409 when the pod has a node.
        """
        pods, place = self._kind("v1", "Pod", namespace)
        bind_pod(self._registry, pods, place, name, node)

    def get(self, api_version: str, kind: str, name: str, namespace: str = "default") -> dict[str, Any]:
        """An object, as a copy.

        Raises:
            Refusal: 404.
        """
        found, place = self._kind(api_version, kind, namespace)
        return copied(self._registry.get(found, place, name).manifest)

    def _kind(self, api_version: str, kind: str, namespace: str) -> tuple[ResourceType, str]:
        found = self._registry.catalog.of_kind(api_version, kind)
        if found is None:
            msg = f"the server has no kind {kind!r} in {api_version!r}; post its CustomResourceDefinition first"
            raise ValueError(msg)
        return found, namespace if found.namespaced else ""

    def _kind_of(self, manifest: Mapping[str, Any]) -> tuple[ResourceType, str]:
        api_version, kind = manifest.get("apiVersion"), manifest.get("kind")
        if not isinstance(api_version, str) or not isinstance(kind, str):
            raise ValueError("the manifest needs its apiVersion and kind")  # noqa: TRY004
        return self._kind(api_version, kind, (manifest.get("metadata") or {}).get("namespace") or "default")

    def _with_version(self, kind: ResourceType, namespace: str, name: str, manifest: dict[str, Any]) -> dict[str, Any]:
        if manifest["metadata"].get("resourceVersion"):
            return manifest
        current = self._registry.get(kind, namespace, name)
        version = current.manifest["metadata"]["resourceVersion"]
        return manifest | {"metadata": manifest["metadata"] | {"resourceVersion": version}}

    # Last, because below it the annotation list[...] would mean this method.
    def list(self, api_version: str, kind: str, namespace: str | None = None) -> list[dict[str, Any]]:
        """The objects of a kind, of all namespaces or of one, as copies."""
        found, _ = self._kind(api_version, kind, "")
        objects = self._registry.store.listed(found.storage, namespace or "")
        return [copied(stored.manifest) for _, stored in objects]


def copied(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a manifest, down to its last field."""
    copy: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(manifest))
    return copy
