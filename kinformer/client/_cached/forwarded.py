"""The verbs of a cached client that the server alone can answer: they are passed on to the client as they are.

The signatures stand here again, as a type checker and an editor read them: `typing` has no way to give a method the
parameters of another class's method, without those for classes of custom resources. A cached client names resources,
in its reads and in its writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kinformer.client._cached.caches import Verbs
    from kinformer.client._decoding.lists import ObjectList
    from kinformer.client._requests import FieldValidation, PatchType, PropagationPolicy, Target
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["ForwardedVerbs"]


class ForwardedVerbs:
    """Writes and discovery, passed on.

    Args:
        client: sends the requests.
    """

    def __init__(self, client: Verbs) -> None:
        self._client = client

    async def create(
        self,
        resource: Resource | str,
        obj: Mapping[str, Any],
        *,
        namespace: str | None = None,
        subresource: str = "",
        field_manager: str = "",
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> KubeObject:
        """Create an object, as `Client.create`."""
        return await self._client.create(
            resource,
            obj,
            namespace=namespace,
            subresource=subresource,
            field_manager=field_manager,
            dry_run=dry_run,
            field_validation=field_validation,
        )

    async def replace(
        self,
        resource: Resource | str,
        obj: Mapping[str, Any],
        *,
        namespace: str | None = None,
        subresource: str = "",
        field_manager: str = "",
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> KubeObject:
        """Replace an object as a whole, as `Client.replace`."""
        return await self._client.replace(
            resource,
            obj,
            namespace=namespace,
            subresource=subresource,
            field_manager=field_manager,
            dry_run=dry_run,
            field_validation=field_validation,
        )

    async def replace_status(
        self,
        resource: Resource | str,
        obj: Mapping[str, Any],
        *,
        namespace: str | None = None,
        field_manager: str = "",
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> KubeObject:
        """Replace an object's status, as `Client.replace_status`."""
        return await self._client.replace_status(
            resource,
            obj,
            namespace=namespace,
            field_manager=field_manager,
            dry_run=dry_run,
            field_validation=field_validation,
        )

    async def patch(
        self,
        resource: Resource | str,
        name: Target,
        patch: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        type: PatchType = "merge",  # noqa: A002 - the API's own word
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> KubeObject:
        """Change parts of an object, as `Client.patch`. It is always sent, also with `type="apply"`."""
        return await self._client.patch(
            resource,
            name,
            patch,
            namespace=namespace,
            type=type,
            subresource=subresource,
            field_manager=field_manager,
            force=force,
            dry_run=dry_run,
            field_validation=field_validation,
        )

    async def patch_status(
        self,
        resource: Resource | str,
        name: Target,
        patch: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        type: PatchType = "merge",  # noqa: A002 - the API's own word
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> KubeObject:
        """Change parts of an object's status, as `Client.patch_status`."""
        return await self._client.patch_status(
            resource,
            name,
            patch,
            namespace=namespace,
            type=type,
            field_manager=field_manager,
            force=force,
            dry_run=dry_run,
            field_validation=field_validation,
        )

    async def scale(
        self,
        resource: Resource | str,
        name: Target,
        replicas: int,
        *,
        namespace: str | None = None,
        dry_run: bool = False,
    ) -> KubeObject:
        """Set the number of replicas, as `Client.scale`."""
        return await self._client.scale(resource, name, replicas, namespace=namespace, dry_run=dry_run)

    async def delete(
        self,
        resource: Resource | str,
        name: Target,
        *,
        namespace: str | None = None,
        propagation_policy: PropagationPolicy | None = None,
        grace_period_seconds: int | None = None,
        uid: str = "",
        resource_version: str = "",
        dry_run: bool = False,
    ) -> KubeObject | None:
        """Delete an object, as `Client.delete`."""
        return await self._client.delete(
            resource,
            name,
            namespace=namespace,
            propagation_policy=propagation_policy,
            grace_period_seconds=grace_period_seconds,
            uid=uid,
            resource_version=resource_version,
            dry_run=dry_run,
        )

    async def delete_collection(
        self,
        resource: Resource | str,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        propagation_policy: PropagationPolicy | None = None,
        grace_period_seconds: int | None = None,
        dry_run: bool = False,
    ) -> ObjectList[KubeObject]:
        """Delete all objects that are selected, as `Client.delete_collection`."""
        return await self._client.delete_collection(
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            propagation_policy=propagation_policy,
            grace_period_seconds=grace_period_seconds,
            dry_run=dry_run,
        )

    async def resolve(self, name: str) -> Resource:
        """Return the resource that a kubectl-style name means, as `Client.resolve`."""
        return await self._client.resolve(name)
