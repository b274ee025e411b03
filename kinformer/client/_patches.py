"""Verbs that change parts of an object: `patch`, and `apply`, a patch that owns its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from kinformer.client import _requests as requests
from kinformer.client import _written as written
from kinformer.client._typed import as_manifest, typed_as
from kinformer.client._verbs import Verbs, target_text

if TYPE_CHECKING:
    import builtins
    from collections.abc import Sequence

    from kinformer.client._requests import FieldValidation, PatchType, Target
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["PatchVerbs"]

T = TypeVar("T")


class PatchVerbs(Verbs):
    """`patch` and `apply`, and the request that all verbs send that write one object."""

    @overload
    async def patch(
        self,
        resource: Resource | str,
        name: Target,
        patch: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        type: PatchType = "merge",
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> KubeObject: ...

    @overload
    async def patch(
        self,
        resource: builtins.type[T],
        name: Target | T,
        patch: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        type: PatchType = "merge",
        subresource: Literal["", "status"] = "",
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> T: ...

    async def patch(
        self,
        resource: Resource | str | builtins.type[Any],
        name: Any,
        patch: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        type: PatchType = "merge",  # noqa: A002 - the API's own word
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> Any:
        """Change parts of an object.

        Args:
            resource: its resource, a name of it as `resolve` takes it, or a class that `custom_resource` has decorated:
                then the result is an object of it.
            name: its name, its key, or an object that has its name (and its namespace).
            patch: the changes, in the form that `type` names.
            namespace: its namespace.
            type: "merge" (RFC 7396), "json" (RFC 6902, a list of operations), "strategic" (built-in resources only) or
                "apply" (server-side apply: sets the named fields and owns them; creates a missing object).
            subresource: such as "status".
            field_manager: the name that the server records as the manager of the fields; apply needs one.
            force: apply only: take over fields that other managers own, instead of a `ConflictError`.
            dry_run: let the server check the request and store nothing.
            field_validation: the server's treatment of unknown and duplicate fields; by default that of the client.

        Raises:
            NotFoundError: no such object exists (never for apply).
            ConflictError: another manager owns fields of an apply, or the patch names an old version.
            InvalidError: the result is not valid, or a JSON patch's test failed.
        """
        if force and type != "apply":
            msg = f"force is for apply only, and this is a {type} patch"
            raise ValueError(msg)
        found = await self._resource_of(resource)
        body = requests.patch_body(found, patch, type, field_manager)
        where, name = requests.target(found, as_manifest(name), namespace)
        answer = await self._write(
            "PATCH",
            found.path(where, name, subresource),
            found,
            f"{'apply' if type == 'apply' else 'patch'} {target_text(found, where, name, subresource)}",
            params=requests.write_params(
                field_manager=field_manager,
                force=force,
                dry_run=dry_run,
                field_validation=field_validation or self._field_validation,
            ),
            body=body,
            content_type=requests.PATCH_TYPES[type],
            dry_run=dry_run,
        )
        return answer if subresource not in {"", "status"} else typed_as(resource, answer)

    @overload
    async def apply(
        self,
        resource: Resource | str,
        obj: Mapping[str, Any],
        *,
        field_manager: str,
        namespace: str | None = None,
        subresource: str = "",
        force: bool = False,
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> KubeObject: ...

    @overload
    async def apply(
        self,
        resource: builtins.type[T],
        obj: T | Mapping[str, Any],
        *,
        field_manager: str,
        namespace: str | None = None,
        subresource: Literal["", "status"] = "",
        force: bool = False,
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> T: ...

    async def apply(
        self,
        resource: Resource | str | builtins.type[Any],
        obj: Any,
        *,
        field_manager: str,
        namespace: str | None = None,
        subresource: str = "",
        force: bool = False,
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> Any:
        """Server-side apply: set the fields of `obj` and own them, beside other writers of the object.

            await client.apply(DEPLOYMENTS, manifest, field_manager="shop-operator", force=True)

        Apply creates an object that does not exist. The server records the manager of each field: it removes a field
        that this manager applied before and that `obj` does not have, and keeps the fields of other managers. So `obj`
        holds exactly the fields to own; build it anew each time, and do not take it from a read. Applying the same
        again changes nothing and causes no event. If the call is cancelled, the server may or may not have applied it.

        Args:
            resource: its resource, a name of it as `resolve` takes it, or a class that `custom_resource` has decorated:
                then `obj` and the result are objects of it.
            obj: the fields to own, with a name; `apiVersion` and `kind` are filled in.
            field_manager: the name that owns the fields; each controller has its own, the same at each apply.
            namespace: its namespace; the object's own by default.
            subresource: such as "status".
            force: take over fields that other managers own. Usual for controllers.
            dry_run: let the server check the request and store nothing.
            field_validation: the server's treatment of unknown and duplicate fields; by default that of the client.

        Raises:
            ApplyConflictError: other managers own some fields; `conflicts` lists the fields and the managers.
            ConflictError: `obj` names a version or UID that is not the present one.
            InvalidError: the result is not valid.
            ValueError: no field manager, no name, or an object that was read (it has `managedFields`).
        """
        fields = as_manifest(obj)
        head = fields.get("metadata") if isinstance(fields, Mapping) else None
        if isinstance(head, Mapping) and head.get("managedFields"):
            msg = (
                "this object was read from the server (it has managedFields): an apply would give every field "
                f"of it to {field_manager or 'this manager'}; apply only the fields to own"
            )
            raise ValueError(msg)
        options: Any = {"namespace": namespace, "subresource": subresource, "force": force, "dry_run": dry_run}
        options |= {"field_manager": field_manager, "field_validation": field_validation}
        return await self.patch(resource, fields, fields, type="apply", **options)

    @overload
    async def patch_status(
        self,
        resource: Resource | str,
        name: Target,
        patch: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        type: PatchType = "merge",
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> KubeObject: ...

    @overload
    async def patch_status(
        self,
        resource: builtins.type[T],
        name: Target | T,
        patch: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        type: PatchType = "merge",
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> T: ...

    async def patch_status(
        self,
        resource: Resource | str | builtins.type[Any],
        name: Any,
        patch: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        type: PatchType = "merge",  # noqa: A002 - the API's own word
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> Any:
        """Change parts of an object's status, as `patch` does."""
        options: Any = {"namespace": namespace, "field_manager": field_manager, "force": force, "dry_run": dry_run}
        return await self.patch(
            resource, name, patch, type=type, subresource="status", field_validation=field_validation, **options
        )

    async def scale(
        self,
        resource: Resource | str | builtins.type[Any],
        name: Any,
        replicas: int,
        *,
        namespace: str | None = None,
        dry_run: bool = False,
    ) -> KubeObject:
        """Set the number of replicas of an object that has the subresource "scale".

            await client.scale("deployments", "web", 3, namespace="shop")

        Args:
            resource: its resource, a name of it as `resolve` takes it, or a class that `custom_resource` has decorated.
            name: its name, its key, or an object that has its name (and its namespace).
            replicas: the wished number, 0 or more.
            namespace: its namespace.
            dry_run: let the server check the request and store nothing.

        Returns:
            The Scale, with `spec.replicas` and `status.replicas`.

        Raises:
            NotFoundError: no such object exists, or it has no subresource "scale".
            ValueError: a negative number.
        """
        if replicas < 0:
            msg = f"replicas={replicas}; expected 0 or more"
            raise ValueError(msg)
        found = await self._resource_of(resource)
        options: Any = {"namespace": namespace, "subresource": "scale", "dry_run": dry_run}
        scaled: KubeObject = await self.patch(found, as_manifest(name), {"spec": {"replicas": replicas}}, **options)
        return scaled

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
