"""Cleaning up before an object goes: finalizers.

An object with a finalizer is not deleted but marked (`metadata.deletionTimestamp`), and goes when the last finalizer is
taken off. A controller that makes something outside because of an object puts its finalizer on it before, and takes it
off when that thing is gone:

    not deleted, without ours ──▶ put it on ──▶ apply
    not deleted, with ours    ──▶ apply
    deleted, with ours        ──▶ clean up ──▶ take it off
    deleted, without ours     ──▶ nothing

Each arrow can be where the process dies: the next reconcile finds one of the four states, and goes on from there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from kinformer.errors import NotFoundError
from kinformer.operators._class_objects import Obj, as_class_of, as_object
from kinformer.operators.conflicts import ReadingClient, retry_on_conflict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from kinformer.custom_resources.definition import CustomResource
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["Finalizer", "FinalizerClient"]

T = TypeVar("T")

# apimachinery/pkg/api/validation/objectmeta.go, ValidateFinalizerName: a qualified name; those without a domain are
# the API's own ("orphan", "foregroundDeletion", "kubernetes").
_NAME: Final = re.compile(
    r"(?=.{1,253}/)[a-z0-9]([-a-z0-9.]*[a-z0-9])?/(?=.{1,63}$)[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
)


class FinalizerClient(ReadingClient, Protocol):
    """The client of a finalizer; `kinformer.Client` is one."""

    async def patch(
        self, resource: Resource, name: str, patch: Mapping[str, Any], /, *, namespace: str | None
    ) -> KubeObject:
        """Merge into an object; `ConflictError` if it is not in the version that the patch names."""
        ...


class Finalizer:
    """One finalizer, of one controller.

        finalizer = Finalizer(client, "example.com/database")

        async def reconcile(key: ObjectKey) -> Requeue | None:
            shop = shops.lister.get(key)
            return await finalizer.reconcile(shop, apply=create, cleanup=drop) if shop else None

    Its writes name the version that was read. After a conflict it reads the object anew and decides anew, up to
    ten times with a growing pause; so another's finalizers are never lost, and none is put on an object that is being
    deleted (which the API refuses) or on another object of the same name.

    Guarantees:

    - `apply` is called only when the finalizer was stored.
    - The finalizer is taken off only after `cleanup` has returned `None`.
    - Cancelled or killed at any await, calling `reconcile` again completes the work.

    Requirements: `apply` and `cleanup` may be called again after they have succeeded, and `cleanup` where nothing had
    ever been made. The object may come from a cache; one that is far behind, and shows an object that is long gone, has
    `apply` called once more for it. It asks for the verbs get and patch.

    Args:
        client: speaks to the server.
        name: "domain/name", such as "example.com/database"; at most 63 characters after the slash.

    Raises:
        ValueError: the name is none that the API takes for a finalizer.

    Examples:
        >>> async def clean_up(pod):
        ...     print("cleaning up after", pod.name)
        >>> finalizer = Finalizer(client, "example.com/cleanup")
        >>> async def create(pod):
        ...     print("creating the database of", pod.name)
        >>> await finalizer.reconcile(pods.lister.get(ObjectKey("default", "web-0")), apply=create, cleanup=clean_up)
        creating the database of web-0
        >>> (await client.get("pods", "web-0", namespace="default")).finalizers
        ('example.com/cleanup',)
    """

    def __init__(self, client: FinalizerClient, name: str) -> None:
        if not _NAME.fullmatch(name):
            msg = f"{name!r} is no name for a finalizer: expected a domain and a name, such as 'example.com/database'"
            raise ValueError(msg)
        self.name = name
        self._client = client

    def __repr__(self) -> str:
        return f"<Finalizer {self.name}>"

    def is_on(self, obj: KubeObject | CustomResource) -> bool:
        """Return whether the object has it."""
        return self.name in as_object(obj).finalizers

    async def reconcile(
        self,
        obj: Obj,
        apply: Callable[[Obj], Awaitable[T]],
        cleanup: Callable[[Obj], Awaitable[T | None]],
    ) -> T | None:
        """Apply or clean up, as the state of an object demands.

        Args:
            obj: the object, as the cache or the server has it. Of a class with `custom_resource`, the functions get
                objects of that class.
            apply: makes the world as the object wants it. Called with the object that has the finalizer.
            cleanup: undoes it. A result other than `None`, such as a `Requeue`, means that it is not yet done,
                and the finalizer stays.

        Returns:
            The result of `apply` or `cleanup`; `None` when neither was called.

        Raises:
            ApiError: the server refused, as when conflicts would not end (`ConflictError`).
            TransportError: no whole answer came.
            DecodeError: the stored object does not fit its class.
            TypeError: the class of the object does not keep its metadata.
            Exception: an exception of `apply` or `cleanup`; the finalizer stays.
        """
        if not _is_deleted(obj):
            protected = await self.add(obj)
            if protected is None:
                return None
            if not _is_deleted(protected):
                return await apply(protected)
            obj = protected
        if not self.is_on(obj):
            return None
        outcome = await cleanup(obj)
        if outcome is None:
            await self.remove(obj)
        return outcome

    async def add(self, obj: Obj) -> Obj | None:
        """Add the finalizer, unless it is there or the object is being deleted. No request if it is there.

        Returns:
            The object as it is then, which may be without the finalizer if it is being deleted; `None` when it is gone.
        """

        def added(current: KubeObject) -> list[str] | None:
            if self.is_on(current) or _is_deleted(current):
                return None
            return [*current.finalizers, self.name]

        stored = await self._write(as_object(obj), added)
        return None if stored is None else as_class_of(obj, stored)

    async def remove(self, obj: KubeObject | CustomResource) -> None:
        """Remove the finalizer; do nothing if it, or the object, is gone already."""

        def removed(current: KubeObject) -> list[str] | None:
            return [name for name in current.finalizers if name != self.name] if self.is_on(current) else None

        await self._write(as_object(obj), removed)

    async def _write(self, obj: KubeObject, wanted: Callable[[KubeObject], list[str] | None]) -> KubeObject | None:
        async def write(current: KubeObject) -> KubeObject | None:
            finalizers = wanted(current)
            if finalizers is None:
                return current
            change = {"metadata": {"finalizers": finalizers, "resourceVersion": current.resource_version}}
            try:
                return await self._client.patch(obj.resource, obj.name, change, namespace=obj.namespace or None)
            except NotFoundError:
                return None

        return await retry_on_conflict(self._client, obj, write)


def _is_deleted(obj: KubeObject | CustomResource) -> bool:
    return as_object(obj).deletion_timestamp is not None
