"""Verbs that read: one object, a whole list, and the sources of informers."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from kinformer._time_slice import TimeSlice
from kinformer.client import _requests as requests
from kinformer.client._decoding.lists import ObjectList
from kinformer.client._list_watch import HttpListerWatcher
from kinformer.client._tables import TableListerWatcher
from kinformer.client._typed import as_manifest, typed, typed_as
from kinformer.client._verbs import Verbs, target_text
from kinformer.errors import DecodeError, ExpiredError
from kinformer.resources import builtin_resource

if TYPE_CHECKING:
    from kinformer.client._http.transport import Transport
    from kinformer.client._requests import Target
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource
    from kinformer.scope import ShardLike

__all__ = ["ReadVerbs"]

T = TypeVar("T")


class ReadVerbs(Verbs):
    """`get` and `list`, and the lister-watchers that informers read from."""

    _page_size: int
    """Objects that `list` asks for at a time; 0 for all at once."""

    def list_watch(
        self,
        resource: Resource | str,
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
            resource: the resource to list and watch, or the name of a built-in one.
            namespace: the namespace; `None` for all of them.
            label_selector: as kubectl takes it; the server selects.
            field_selector: as kubectl takes it; the server selects.
            metadata_only: ask for objects without spec and status; many controllers need no more.
            shard: the share of the objects to list and watch.

        Raises:
            ValueError: a namespace for a cluster-scoped resource.
            UnknownResourceError: there is no built-in resource of that name.
        """
        found = builtin_resource(resource, otherwise="await client.resolve({name!r})")
        return HttpListerWatcher(
            partial(self._route_of, found) if shard is None else self._open,
            found,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            metadata_only=metadata_only,
            shard=shard,
            writes=self._writes,
        )

    @abstractmethod
    def _route_of(self, resource: Resource) -> Transport:
        """Return the open transport for lists and watches of informers; see `Client.watch_through`.

        Raises:
            LifecycleError: the client is not open.
        """

    def table_watch(
        self,
        resource: Resource | str,
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
            UnknownResourceError: there is no built-in resource of that name.
        """
        return TableListerWatcher(
            self._open,
            builtin_resource(resource, otherwise="await client.resolve({name!r})"),
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            writes=self._writes,
            whole_objects=whole_objects,
        )

    @overload
    async def get(
        self, resource: Resource | str, name: Target, *, namespace: str | None = None, subresource: str = ""
    ) -> KubeObject: ...

    @overload
    async def get(
        self, resource: type[T], name: Target | T, *, namespace: str | None = None, subresource: Literal[""] = ""
    ) -> T: ...

    async def get(
        self, resource: Resource | str | type[Any], name: Any, *, namespace: str | None = None, subresource: str = ""
    ) -> Any:
        """Read one object, in its most recent state.

        Args:
            resource: its resource, a name of it as `resolve` takes it, or a class that `custom_resource` has decorated:
                then an object of that class is returned.
            name: its name, its key, or an object that has its name (and its namespace).
            namespace: its namespace.
            subresource: such as "status" or "scale".

        Raises:
            NotFoundError: no such object exists.
            DecodeError: the object does not fit the class.
            TypeError: the class is not decorated.
            UnknownResourceError: there is no resource of that name.
        """
        found = await self._resource_of(resource)
        where, name = requests.target(found, as_manifest(name), namespace)
        path = found.path(where, name, subresource)
        answer = await self._object("GET", path, found, f"get {target_text(found, where, name, subresource)}")
        return answer if subresource else typed_as(resource, answer)

    @overload
    async def list(
        self,
        resource: Resource | str,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        shard: ShardLike | None = None,
        resource_version: str = "",
    ) -> ObjectList[KubeObject]: ...

    @overload
    async def list(
        self,
        resource: type[T],
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        shard: ShardLike | None = None,
        resource_version: str = "",
    ) -> ObjectList[T]: ...

    async def list(
        self,
        resource: Resource | str | type[Any],
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        shard: ShardLike | None = None,
        resource_version: str = "",
    ) -> ObjectList[Any]:
        """Read all objects of a scope, page by page; all pages have the same resource version.

        If that version expires between two pages, the list is read again in one page, as client-go's pager does.

        Args:
            resource: the resource to list, a name of it as `resolve` takes it, or a class that `custom_resource` has
                decorated: then the list has objects of that class.
            namespace: the namespace; `None` for all of them.
            label_selector: as kubectl takes it.
            field_selector: as kubectl takes it.
            metadata_only: ask for objects without spec and status; not with a class, which needs them.
            shard: the share of the objects to list and watch.
            resource_version: "" for the most recent state, "0" for any state that the server has cached, else "not
                older than this".

        Returns:
            The objects. Objects that cannot be decoded, or that do not fit the class, are in `failures` instead.
            `resource_version` is "" where the API sends none (metrics.k8s.io).

        Raises:
            TypeError: the class is not decorated, or `metadata_only` with a class.
            UnknownResourceError: there is no resource of that name.
        """
        if metadata_only and isinstance(resource, type):
            msg = f"metadata_only=True leaves out spec and status, which {resource.__name__} has; list by the resource"
            raise TypeError(msg)
        source = HttpListerWatcher(
            self._open,
            await self._resource_of(resource),
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            metadata_only=metadata_only,
            shard=shard,
            writes=self._writes,
        )
        try:
            listed = await _whole(source, resource_version, self._page_size)
        except ExpiredError:
            if not self._page_size:
                raise
            listed = await _whole(source, resource_version, 0)
        return await _typed_list(listed, resource) if isinstance(resource, type) else listed


async def _typed_list(listed: ObjectList[KubeObject], kind: type[T]) -> ObjectList[T]:
    """Return a list with objects of a class; objects that do not fit are in `failures`."""
    fitting: list[T] = []
    failures = [*listed.failures]
    time_slice = TimeSlice()
    for obj in listed:
        if time_slice.over:
            await time_slice.begin()
        try:
            fitting.append(typed(obj, kind))
        except DecodeError as error:
            failures.append(error)
    return ObjectList(fitting, listed.resource_version, failures)


async def _whole(source: HttpListerWatcher, resource_version: str, limit: int) -> ObjectList[KubeObject]:
    objects: list[KubeObject] = []
    failures: list[Any] = []
    version = ""
    async for page in source.list(resource_version=resource_version, limit=limit, retry=True):
        objects += page.items
        failures += page.failures
        version = page.resource_version
    return ObjectList(objects, version, failures)
