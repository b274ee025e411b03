"""Write all objects of a custom resource again, so that they are stored in its present version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from kinformer.errors import ConflictError, NotFoundError
from kinformer.resources import CUSTOMRESOURCEDEFINITIONS, Resource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.objects import KubeObject

__all__ = ["MigratingClient", "migrate_storage"]

_PAGE: Final = 500
"""Objects in memory at once."""


class MigratingClient(Protocol):
    """The client of a migration; `kinformer.Client` is one."""

    async def get(self, resource: Resource, name: str, /) -> KubeObject:
        """Read one object."""
        ...

    def list_watch(self, resource: Resource, /) -> Any:
        """Return the source of the objects of all namespaces."""
        ...

    async def replace(self, resource: Resource, obj: Mapping[str, Any], /) -> KubeObject:
        """Write an object that names its version."""
        ...

    async def patch_status(self, resource: Resource, name: str, patch: Mapping[str, Any], /) -> KubeObject:
        """Merge into the status of an object."""
        ...


async def migrate_storage(client: MigratingClient, resource: Resource) -> int:
    """Have all objects of a custom resource stored in its storage version, and no other.

    Objects stay stored in the version in which they were last written. A version can be removed from a CRD only when
    `status.storedVersions` does not name it any more. Install the CRD with the new storage version first, and call this
    when no API server of the cluster stores the old one any more (a minute later, where there are several).

    Each object is replaced by itself, in the version that was read. One that has changed or gone meanwhile needs no
    write, because its last writer has stored it in the new version. Cancelled or failed, it can be called again.

    Args:
        client: needs get and update of the CRD's status, and list and update of the objects.
        resource: the resource, in any served version.

    Returns:
        The number of objects that were written; 0 if there is nothing to do.

    Raises:
        NotFoundError: there is no such CRD.
        ConflictError: another program has changed the CRD meanwhile.
        ApiError: the server refused; an object that breaks its schema must be mended first.
        TransportError: no complete answer came.
    """
    name = resource.qualified
    found = await client.get(CUSTOMRESOURCEDEFINITIONS, name)
    (storage,) = (version["name"] for version in found["spec"]["versions"] if version.get("storage"))
    if found.at("status.storedVersions", default=[]) == [storage]:
        return 0
    stored = Resource(resource.group, storage, resource.plural, resource.kind, namespaced=resource.namespaced)
    written = 0
    async for page in client.list_watch(stored).list(limit=_PAGE):
        for obj in page.items:
            try:
                await client.replace(stored, obj)
            except (ConflictError, NotFoundError):
                continue
            written += 1
    change = {"metadata": {"resourceVersion": found.resource_version}, "status": {"storedVersions": [storage]}}
    await client.patch_status(CUSTOMRESOURCEDEFINITIONS, name, change)
    return written
