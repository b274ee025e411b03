"""Verbs that write. Each write that the server accepts is announced to the caches before the verb returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

from kinformer.client import _requests as requests
from kinformer.client import _written as written
from kinformer.client._decoding.lists import ObjectList, decode_page
from kinformer.client._list_watch import accept, place, require_json, selection
from kinformer.client._typed import typed
from kinformer.client._verbs import Verbs, answer_head, target_text
from kinformer.objects import KubeObject, ObjectKey
from kinformer.resources import Resource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer.client._requests import PatchType, PropagationPolicy, Target

__all__ = ["WriteVerbs"]

T = TypeVar("T")


class WriteVerbs(Verbs):
    """`create`, `replace`, `patch`, `apply`, `delete` and `delete_collection`."""

    @overload
    async def create(
        self,
        resource: Resource,
        obj: Mapping[str, Any],
        *,
        namespace: str | None = None,
        subresource: str = "",
        field_manager: str = "",
        dry_run: bool = False,
    ) -> KubeObject: ...

    @overload
    async def create(
        self,
        resource: type[T],
        obj: T,
        *,
        namespace: str | None = None,
        field_manager: str = "",
        dry_run: bool = False,
    ) -> T: ...

    async def create(
        self,
        resource: Resource | type[Any],
        obj: Any,
        *,
        namespace: str | None = None,
        subresource: str = "",
        field_manager: str = "",
        dry_run: bool = False,
    ) -> Any:
        """Create an object.

        Args:
            resource: its resource, or a class that `custom_resource` has decorated: then `obj` and the result are
                objects of it.
            obj: the object; `apiVersion` and `kind` are filled in.
            namespace: the namespace in which to create it; the object's own by default.
            subresource: such as "eviction" or "binding", of the object that `obj` names.
            field_manager: the name that the server records as the manager of the fields.
            dry_run: let the server check the request and store nothing.

        Returns:
            The object as the server stored it; for a review or a subresource, the response.

        Raises:
            AlreadyExistsError: an object of that name exists.
            InvalidError: the server's validation refused the object.
        """
        if not isinstance(resource, Resource):
            options: Any = {"namespace": namespace, "field_manager": field_manager, "dry_run": dry_run}
            from kinformer.custom_resources.definition import manifest_of, resource_of

            return typed(await self.create(resource_of(resource), manifest_of(obj), **options), resource)
        made = requests.manifest(resource, obj, subresource=subresource)
        where, name = requests.created_in(resource, made, namespace, subresource)
        path = resource.path(where, name, subresource) if subresource else resource.path(where)
        return await self._write(
            "POST",
            path,
            resource,
            f"create {target_text(resource, where, name, subresource)}",
            params=requests.write_params(field_manager=field_manager, dry_run=dry_run),
            body=requests.body_of(made),
            dry_run=dry_run,
        )

    async def replace(
        self,
        resource: Resource,
        obj: Mapping[str, Any],
        *,
        namespace: str | None = None,
        subresource: str = "",
        field_manager: str = "",
        dry_run: bool = False,
    ) -> KubeObject:
        """Replace an object as a whole (kubectl's `replace`, an HTTP PUT).

        If `obj` has a `metadata.resourceVersion`, only that version is replaced.

        Args:
            resource: its resource.
            obj: the whole object, with its name.
            namespace: its namespace; the object's own by default.
            subresource: such as "status"; then only that part is replaced.
            field_manager: the name that the server records as the manager of the fields.
            dry_run: let the server check the request and store nothing.

        Raises:
            ConflictError: another client has changed the object since.
            NotFoundError: no such object exists.
        """
        made = requests.manifest(resource, obj, subresource=subresource)
        where, name = requests.target(resource, made, namespace)
        return await self._write(
            "PUT",
            resource.path(where, name, subresource),
            resource,
            f"update {target_text(resource, where, name, subresource)}",
            params=requests.write_params(field_manager=field_manager, dry_run=dry_run),
            body=requests.body_of(made),
            dry_run=dry_run,
        )

    async def replace_status(
        self,
        resource: Resource,
        obj: Mapping[str, Any],
        *,
        namespace: str | None = None,
        field_manager: str = "",
        dry_run: bool = False,
    ) -> KubeObject:
        """Replace an object's status, as `replace` does. Of `obj`, only status, name and version count."""
        return await self.replace(
            resource, obj, namespace=namespace, subresource="status", field_manager=field_manager, dry_run=dry_run
        )

    async def patch(
        self,
        resource: Resource,
        name: Target,
        patch: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        type: PatchType = "merge",  # noqa: A002 - the API's own word
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> KubeObject:
        """Change parts of an object.

        Args:
            resource: its resource.
            name: its name, or an object that has it (and its namespace).
            patch: the changes, in the form that `type` names.
            namespace: its namespace.
            type: "merge" (RFC 7396), "json" (RFC 6902, a list of operations), "strategic" (built-in resources only) or
                "apply" (server-side apply: sets the named fields and owns them; creates a missing object).
            subresource: such as "status".
            field_manager: the name that the server records as the manager of the fields; apply needs one.
            force: apply only: take over fields that other managers own, instead of a `ConflictError`.
            dry_run: let the server check the request and store nothing.

        Raises:
            NotFoundError: no such object exists (never for apply).
            ConflictError: another manager owns fields of an apply, or the patch names an old version.
            InvalidError: the result is not valid, or a JSON patch's test failed.
        """
        if force and type != "apply":
            msg = f"force is for apply only, and this is a {type} patch"
            raise ValueError(msg)
        body = requests.patch_body(resource, patch, type, field_manager)
        where, name = requests.target(resource, name, namespace)
        return await self._write(
            "PATCH",
            resource.path(where, name, subresource),
            resource,
            f"{'apply' if type == 'apply' else 'patch'} {target_text(resource, where, name, subresource)}",
            params=requests.write_params(field_manager=field_manager, force=force, dry_run=dry_run),
            body=body,
            content_type=requests.PATCH_TYPES[type],
            dry_run=dry_run,
        )

    async def apply(
        self,
        resource: Resource,
        obj: Mapping[str, Any],
        *,
        field_manager: str,
        namespace: str | None = None,
        subresource: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> KubeObject:
        """Server-side apply: set the fields of `obj` and own them, beside other writers of the object.

            await client.apply(DEPLOYMENTS, manifest, field_manager="shop-operator", force=True)

        Apply creates an object that does not exist. The server records the manager of each field: it removes a field
        that this manager applied before and that `obj` does not have, and keeps the fields of other managers. So `obj`
        holds exactly the fields to own; build it anew each time, and do not take it from a read. Applying the same
        again changes nothing and causes no event. If the call is cancelled, the server may or may not have applied it.

        Args:
            resource: its resource.
            obj: the fields to own, with a name; `apiVersion` and `kind` are filled in.
            field_manager: the name that owns the fields; each controller has its own, the same at each apply.
            namespace: its namespace; the object's own by default.
            subresource: such as "status".
            force: take over fields that other managers own. Usual for controllers.
            dry_run: let the server check the request and store nothing.

        Raises:
            ApplyConflictError: other managers own some fields; `conflicts` lists the fields and the managers.
            ConflictError: `obj` names a version or UID that is not the present one.
            InvalidError: the result is not valid.
            ValueError: no field manager, no name, or an object that was read (it has `managedFields`).
        """
        head = obj.get("metadata")
        if isinstance(head, Mapping) and head.get("managedFields"):
            msg = (
                "this object was read from the server (it has managedFields): an apply would give every field "
                f"of it to {field_manager or 'this manager'}; apply only the fields to own"
            )
            raise ValueError(msg)
        return await self.patch(
            resource,
            obj,
            obj,
            namespace=namespace,
            type="apply",
            subresource=subresource,
            field_manager=field_manager,
            force=force,
            dry_run=dry_run,
        )

    async def patch_status(
        self,
        resource: Resource,
        name: Target,
        patch: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        type: PatchType = "merge",  # noqa: A002 - the API's own word
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> KubeObject:
        """Change parts of an object's status, as `patch` does."""
        return await self.patch(
            resource,
            name,
            patch,
            namespace=namespace,
            type=type,
            subresource="status",
            field_manager=field_manager,
            force=force,
            dry_run=dry_run,
        )

    async def delete(
        self,
        resource: Resource,
        name: Target,
        *,
        namespace: str | None = None,
        propagation_policy: PropagationPolicy | None = None,
        grace_period_seconds: int | None = None,
        uid: str = "",
        resource_version: str = "",
        dry_run: bool = False,
    ) -> KubeObject | None:
        """Delete an object.

        Args:
            resource: its resource.
            name: its name, or an object that has it (and its namespace).
            namespace: its namespace.
            propagation_policy: the treatment of its dependents; the server decides by default.
            grace_period_seconds: seconds that a pod has to end; 0 removes it at once.
            uid: delete it only if it has this UID.
            resource_version: delete it only in this version.
            dry_run: let the server check the request and delete nothing.

        Returns:
            The object in its present state, with a `deletionTimestamp` if it waits for finalizers or its grace period;
            `None` where the server's response is only a status.

        Raises:
            NotFoundError: no such object exists.
            ConflictError: the object has another UID or version.
        """
        where, name = requests.target(resource, name, namespace)
        doing = f"delete {place(resource, where, name)}"
        body = requests.delete_options(
            propagation_policy=propagation_policy,
            grace_period_seconds=grace_period_seconds,
            uid=uid,
            resource_version=resource_version,
            dry_run=dry_run,
        )
        answer = await self._object("DELETE", resource.path(where, name), resource, doing, body=body)
        if not dry_run:
            self._writes.accepted(written.deleted(resource, ObjectKey(where or "", name), answer))
        return None if answer["kind"] == "Status" else answer

    async def delete_collection(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        propagation_policy: PropagationPolicy | None = None,
        grace_period_seconds: int | None = None,
        dry_run: bool = False,
    ) -> ObjectList:
        """Delete all selected objects; without a selector, all objects of the namespace.

        Args:
            resource: their resource.
            namespace: their namespace; needed for a namespaced resource, as the API deletes in one at a time.
            label_selector: as kubectl takes it.
            field_selector: as kubectl takes it.
            propagation_policy: the treatment of their dependents.
            grace_period_seconds: seconds that pods have to end.
            dry_run: let the server check the request and delete nothing.

        Returns:
            The deleted objects, as they were.
        """
        if resource.namespaced and not namespace:
            msg = f"{resource.qualified} live in namespaces; name the one to delete them in"
            raise ValueError(msg)
        doing = f"delete {place(resource, namespace)}"
        answer = await self._open().request(
            "DELETE",
            resource.path(namespace),
            doing=doing,
            params=selection(label_selector, field_selector),
            headers={"Accept": accept(), "Content-Type": "application/json"},
            body=requests.delete_options(
                propagation_policy=propagation_policy, grace_period_seconds=grace_period_seconds, dry_run=dry_run
            ),
            may_be_long=True,
        )
        require_json(answer.content_type, doing)
        if answer_head(answer.body, doing).kind == "Status":
            return ObjectList((), "")
        page = await decode_page(answer.body, resource, doing=doing)
        if not dry_run:
            for obj in page.items:
                self._writes.accepted(written.collected(obj))
        return ObjectList(page.items, page.resource_version, page.failures)

    async def _write(
        self,
        method: str,
        path: str,
        resource: Resource,
        doing: str,
        *,
        params: Sequence[tuple[str, str]],
        body: bytes,
        dry_run: bool,
        content_type: str = "application/json",
    ) -> KubeObject:
        """Send a request that writes and returns the stored object; report the write to the caches."""
        answer = await self._object(method, path, resource, doing, params=params, body=body, content_type=content_type)
        write = None if dry_run else written.stored(answer)
        if write is not None:
            self._writes.accepted(write)
        return answer
