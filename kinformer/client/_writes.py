"""Verbs that write. Each write that the server accepts is announced to the caches before the verb returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from kinformer.client import _requests as requests
from kinformer.client import _written as written
from kinformer.client._decoding.lists import ObjectList, decode_page
from kinformer.client._list_watch import accept, place, require_json, selection
from kinformer.client._patches import PatchVerbs
from kinformer.client._typed import as_manifest, typed_as
from kinformer.client._verbs import answer_head, target_text
from kinformer.objects import ObjectKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.client._requests import FieldValidation, PropagationPolicy, Target
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["WriteVerbs"]

T = TypeVar("T")


class WriteVerbs(PatchVerbs):
    """`create`, `replace`, `delete` and `delete_collection`; the other verbs that write are in `_patches`."""

    @overload
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
    ) -> KubeObject: ...

    @overload
    async def create(
        self,
        resource: type[T],
        obj: T | Mapping[str, Any],
        *,
        namespace: str | None = None,
        subresource: Literal[""] = "",
        field_manager: str = "",
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> T: ...

    async def create(
        self,
        resource: Resource | str | type[Any],
        obj: Any,
        *,
        namespace: str | None = None,
        subresource: str = "",
        field_manager: str = "",
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> Any:
        """Create an object.

        Args:
            resource: its resource, a name of it as `resolve` takes it, or a class that `custom_resource` has decorated:
                then `obj` and the result are objects of it.
            obj: the object; `apiVersion` and `kind` are filled in.
            namespace: the namespace in which to create it; the object's own by default.
            subresource: such as "eviction" or "binding", of the object that `obj` names.
            field_manager: the name that the server records as the manager of the fields.
            dry_run: let the server check the request and store nothing.
            field_validation: the server's treatment of unknown and duplicate fields; by default that of the client.

        Returns:
            The object as the server stored it; for a review or a subresource, the response.

        Raises:
            AlreadyExistsError: an object of that name exists.
            InvalidError: the server's validation refused the object.
        """
        found = await self._resource_of(resource)
        made = requests.manifest(found, as_manifest(obj), subresource=subresource)
        where, name = requests.created_in(found, made, namespace, subresource)
        path = found.path(where, name, subresource) if subresource else found.path(where)
        answer = await self._write(
            "POST",
            path,
            found,
            f"create {target_text(found, where, name, subresource)}",
            params=requests.write_params(
                field_manager=field_manager,
                dry_run=dry_run,
                field_validation=field_validation or self._field_validation,
            ),
            body=requests.body_of(made),
            dry_run=dry_run,
        )
        return answer if subresource else typed_as(resource, answer)

    @overload
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
    ) -> KubeObject: ...

    @overload
    async def replace(
        self,
        resource: type[T],
        obj: T | Mapping[str, Any],
        *,
        namespace: str | None = None,
        subresource: Literal["", "status"] = "",
        field_manager: str = "",
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> T: ...

    async def replace(
        self,
        resource: Resource | str | type[Any],
        obj: Any,
        *,
        namespace: str | None = None,
        subresource: str = "",
        field_manager: str = "",
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> Any:
        """Replace an object as a whole (kubectl's `replace`, an HTTP PUT).

        If `obj` has a `metadata.resourceVersion`, only that version is replaced.

        Args:
            resource: its resource, a name of it as `resolve` takes it, or a class that `custom_resource` has decorated:
                then `obj` and the result are objects of it.
            obj: the whole object, with its name.
            namespace: its namespace; the object's own by default.
            subresource: such as "status"; then only that part is replaced.
            field_manager: the name that the server records as the manager of the fields.
            dry_run: let the server check the request and store nothing.
            field_validation: the server's treatment of unknown and duplicate fields; by default that of the client.

        Raises:
            ConflictError: another client has changed the object since.
            NotFoundError: no such object exists.
        """
        found = await self._resource_of(resource)
        made = requests.manifest(found, as_manifest(obj), subresource=subresource)
        where, name = requests.target(found, made, namespace)
        answer = await self._write(
            "PUT",
            found.path(where, name, subresource),
            found,
            f"update {target_text(found, where, name, subresource)}",
            params=requests.write_params(
                field_manager=field_manager,
                dry_run=dry_run,
                field_validation=field_validation or self._field_validation,
            ),
            body=requests.body_of(made),
            dry_run=dry_run,
        )
        return answer if subresource not in {"", "status"} else typed_as(resource, answer)

    @overload
    async def replace_status(
        self,
        resource: Resource | str,
        obj: Mapping[str, Any],
        *,
        namespace: str | None = None,
        field_manager: str = "",
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> KubeObject: ...

    @overload
    async def replace_status(
        self,
        resource: type[T],
        obj: T | Mapping[str, Any],
        *,
        namespace: str | None = None,
        field_manager: str = "",
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> T: ...

    async def replace_status(
        self,
        resource: Resource | str | type[Any],
        obj: Any,
        *,
        namespace: str | None = None,
        field_manager: str = "",
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> Any:
        """Replace an object's status, as `replace` does. Of `obj`, only status, name and version count."""
        options: Any = {"namespace": namespace, "field_manager": field_manager, "dry_run": dry_run}
        return await self.replace(resource, obj, subresource="status", field_validation=field_validation, **options)

    @overload
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
    ) -> KubeObject | None: ...

    @overload
    async def delete(
        self,
        resource: type[T],
        name: Target | T,
        *,
        namespace: str | None = None,
        propagation_policy: PropagationPolicy | None = None,
        grace_period_seconds: int | None = None,
        uid: str = "",
        resource_version: str = "",
        dry_run: bool = False,
    ) -> T | None: ...

    async def delete(
        self,
        resource: Resource | str | type[Any],
        name: Any,
        *,
        namespace: str | None = None,
        propagation_policy: PropagationPolicy | None = None,
        grace_period_seconds: int | None = None,
        uid: str = "",
        resource_version: str = "",
        dry_run: bool = False,
    ) -> Any:
        """Delete an object.

        Args:
            resource: its resource, a name of it as `resolve` takes it, or a class that `custom_resource` has decorated:
                then the result is an object of it.
            name: its name, its key, or an object that has its name (and its namespace).
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
        found = await self._resource_of(resource)
        where, name = requests.target(found, as_manifest(name), namespace)
        doing = f"delete {place(found, where, name)}"
        body = requests.delete_options(
            propagation_policy=propagation_policy,
            grace_period_seconds=grace_period_seconds,
            uid=uid,
            resource_version=resource_version,
            dry_run=dry_run,
        )
        answer = await self._object("DELETE", found.path(where, name), found, doing, body=body)
        if not dry_run:
            self._writes.accepted(written.deleted(found, ObjectKey(where or "", name), answer))
        return None if answer["kind"] == "Status" else typed_as(resource, answer)

    async def delete_collection(
        self,
        resource: Resource | str | type[Any],
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        propagation_policy: PropagationPolicy | None = None,
        grace_period_seconds: int | None = None,
        dry_run: bool = False,
    ) -> ObjectList[KubeObject]:
        """Delete all selected objects; without a selector, all objects of the namespace.

        Args:
            resource: their resource, a name of it as `resolve` takes it, or a class that `custom_resource` decorated.
            namespace: their namespace; needed for a namespaced resource, as the API deletes in one at a time.
            label_selector: as kubectl takes it.
            field_selector: as kubectl takes it.
            propagation_policy: the treatment of their dependents.
            grace_period_seconds: seconds that pods have to end.
            dry_run: let the server check the request and delete nothing.

        Returns:
            The deleted objects, as they were.
        """
        found = await self._resource_of(resource)
        if found.namespaced and not namespace:
            msg = f"{found.qualified} live in namespaces; name the one to delete them in"
            raise ValueError(msg)
        doing = f"delete {place(found, namespace)}"
        answer = await self._open().request(
            "DELETE",
            found.path(namespace),
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
        page = await decode_page(answer.body, found, doing=doing)
        if not dry_run:
            for obj in page.items:
                self._writes.accepted(written.collected(obj))
        return ObjectList(page.items, page.resource_version, page.failures)
