"""Verbs that read: one object, a whole list, and the sources of informers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from kinformer.client import _requests as requests
from kinformer.client._decoding.lists import ObjectList
from kinformer.client._list_watch import HttpListerWatcher
from kinformer.client._tables import TableListerWatcher
from kinformer.client._typed import typed
from kinformer.client._verbs import Verbs, target_text
from kinformer.errors import ExpiredError
from kinformer.resources import Resource

if TYPE_CHECKING:
    from kinformer.client._requests import Target
    from kinformer.objects import KubeObject
    from kinformer.scope import ShardLike

__all__ = ["ReadVerbs"]

T = TypeVar("T")


class ReadVerbs(Verbs):
    """`get` and `list`, and the lister-watchers that informers read from."""

    _page_size: int
    """Objects that `list` asks for at a time; 0 for all at once."""

    def list_watch(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        shard: ShardLike | None = None,
    ) -> HttpListerWatcher:
        """Make the source of an informer: lists and watches of one resource in one scope.

        The call sends nothing, and is possible before the client is entered.

        Args:
            resource: the resource to list and watch.
            namespace: the namespace; `None` for all of them.
            label_selector: as kubectl takes it; the server selects.
            field_selector: as kubectl takes it; the server selects.
            metadata_only: ask for objects without spec and status; many controllers need no more.
            shard: the share of the objects to list and watch.

        Raises:
            ValueError: a namespace for a cluster-scoped resource.
        """
        return HttpListerWatcher(
            self._open,
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            metadata_only=metadata_only,
            shard=shard,
            writes=self._writes,
        )

    def table_watch(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        whole_objects: bool = False,
    ) -> TableListerWatcher:
        """As `list_watch`, for the rows of the server's own table: each object has its metadata and its `cells`.

        The result has the columns in `columns` after the first list.

        Args:
            resource: the resource.
            namespace: the namespace; `None` means all.
            label_selector: a selector as in kubectl.
            field_selector: a selector as in kubectl.
            whole_objects: whether each object has all its fields besides its `cells`.

        Raises:
            ValueError: a namespace for a cluster-scoped resource.
        """
        return TableListerWatcher(
            self._open,
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            writes=self._writes,
            whole_objects=whole_objects,
        )

    @overload
    async def get(
        self, resource: Resource, name: Target, *, namespace: str | None = None, subresource: str = ""
    ) -> KubeObject: ...

    @overload
    async def get(self, resource: type[T], name: Target, *, namespace: str | None = None) -> T: ...

    async def get(
        self, resource: Resource | type[Any], name: Target, *, namespace: str | None = None, subresource: str = ""
    ) -> Any:
        """Read one object, in its most recent state.

        Args:
            resource: its resource, or a class that `custom_resource` has decorated: then an object of it is returned.
            name: its name, or an object that has it (and its namespace).
            namespace: its namespace.
            subresource: such as "status" or "scale".

        Raises:
            NotFoundError: no such object exists.
            DecodeError: the object does not fit the class.
            TypeError: the class is not decorated.
        """
        if not isinstance(resource, Resource):
            from kinformer.custom_resources.definition import resource_of

            return typed(await self.get(resource_of(resource), name, namespace=namespace), resource)
        where, name = requests.target(resource, name, namespace)
        path = resource.path(where, name, subresource)
        return await self._object("GET", path, resource, f"get {target_text(resource, where, name, subresource)}")

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        shard: ShardLike | None = None,
        resource_version: str = "",
    ) -> ObjectList:
        """Read all objects of a scope, page by page; all pages have the same resource version.

        If that version expires between two pages, the list is read again in one page, as client-go's pager does.

        Args:
            resource: the resource to list.
            namespace: the namespace; `None` for all of them.
            label_selector: as kubectl takes it.
            field_selector: as kubectl takes it.
            metadata_only: ask for objects without spec and status.
            shard: the share of the objects to list and watch.
            resource_version: "" for the most recent state, "0" for any state that the server has cached, else "not
                older than this".

        Returns:
            The objects. Objects that cannot be decoded are in `failures` instead. `resource_version` is "" where the
            API sends none (metrics.k8s.io).
        """
        source = self.list_watch(
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            metadata_only=metadata_only,
            shard=shard,
        )
        try:
            return await _whole(source, resource_version, self._page_size)
        except ExpiredError:
            if not self._page_size:
                raise
            return await _whole(source, resource_version, 0)


async def _whole(source: HttpListerWatcher, resource_version: str, limit: int) -> ObjectList:
    objects: list[KubeObject] = []
    failures: list[Any] = []
    version = ""
    async for page in source.list(resource_version=resource_version, limit=limit, retry=True):
        objects += page.items
        failures += page.failures
        version = page.resource_version
    return ObjectList(objects, version, failures)
