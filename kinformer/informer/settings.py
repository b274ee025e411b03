"""The settings of an informer that a factory makes, and the scope that they cover."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from kinformer._declared_paths import checked_paths
from kinformer.cache.storage import checked_storage
from kinformer.errors import UnknownResourceError
from kinformer.resources import Resource, builtin_resource
from kinformer.scope import Ranges, Scope, ScopedResource, ScopeSettings, SelectionSettings, Shard, checked_scope

if TYPE_CHECKING:
    import builtins
    from collections.abc import Sequence

    from kinformer.cache.storage import Storage
    from kinformer.operators.shard_group import GroupShare, ShardGroup
    from kinformer.reflector._ingest import Transform
    from kinformer.scope import ShardLike

__all__ = ["InformerSettings", "checked_settings", "requested", "scope_of"]


class InformerSettings(SelectionSettings, total=False):
    """The keyword arguments of `SharedInformerFactory.informer` besides `type`.

    Every function that returns an informer takes them.

    Attributes:
        shard: only a share of the objects: a fixed one, or the slices that a `ShardGroup` has at each moment.
        scope: scope to cover, instead of the arguments of `ScopeSettings`; it can change later.
        transform: function that returns the part of each object to keep.
        storage: "plain" or "compact"; by default the storage of the factory.
        paths: paths that are read often; see `SharedInformer.declare_paths`.
    """

    shard: ShardLike | ShardGroup | GroupShare | None
    scope: Scope | None
    transform: Transform | None
    storage: Storage | None
    paths: Sequence[str]


def checked_settings(resource: Resource | str, settings: InformerSettings) -> Resource:
    """Check the settings of an informer, without a factory.

    Returns:
        The resource.

    Raises:
        UnknownResourceError: no built-in resource of that name, or one that cannot be watched.
        SelectorError: a selector does not parse.
        ValueError: a namespace for a cluster-scoped resource, an unknown storage, a text that is no path.
        TypeError: an unknown setting, a path that is not a string.
    """
    unknown = settings.keys() - InformerSettings.__annotations__.keys()
    if unknown:
        known = ", ".join(sorted(InformerSettings.__annotations__))
        msg = f"an informer has no setting {', '.join(map(repr, sorted(unknown)))}; it has type, {known}"
        raise TypeError(msg)
    found = _watchable(resource)
    storage = settings.get("storage")
    if storage is not None:
        checked_storage(storage)
    checked_paths(settings.get("paths", ()))
    scope_of(found, settings)
    return found


def requested(
    resource: Resource | str | builtins.type[Any], into: builtins.type[Any] | None
) -> tuple[Resource, builtins.type[Any] | None]:
    """Return the requested resource, and the class of its objects."""
    if isinstance(resource, Resource | str):
        return _watchable(resource), into
    # Imported here, because most programs have no such class.
    from kinformer.custom_resources.definition import resource_of

    return _watchable(resource_of(resource)), into or resource


def scope_of(
    resource: Resource, settings: InformerSettings, default_namespace: str = ""
) -> tuple[ScopedResource, GroupShare | None]:
    """Return what the settings cover of a resource, and the share of a shard group that they name.

    Args:
        resource: the resource.
        settings: the settings; those that do not select are passed over.
        default_namespace: the namespace if the settings name none, and the resource has namespaces; "" for all.

    Raises:
        SelectorError: a selector does not parse.
        ValueError: a namespace for a cluster-scoped resource, or a shard group by namespace for one.
        TypeError: selectors beside a scope.
    """
    scope, namespace, shard = settings.get("scope"), settings.get("namespace"), settings.get("shard")
    if namespace is None and resource.namespaced:
        namespace = default_namespace
    share = _group_share(resource, shard)
    given = ScopeSettings(
        namespace=namespace,
        label_selector=settings.get("label_selector"),
        field_selector=settings.get("field_selector"),
        metadata_only=settings.get("metadata_only", False),
        shard=cast("ShardLike | None", shard) if share is None else Ranges(by=share.by),
    )
    return ScopedResource(
        resource, Scope.of(**given) if scope is None else _with_settings(checked_scope(scope), given)
    ), share


def _with_settings(scope: Scope, given: ScopeSettings) -> Scope:
    """Return a scope with the settings that keyword arguments add to it: metadata only and a shard.

    Raises:
        TypeError: selectors are given; they belong into the scope.
    """
    selectors = [name for name in ("label_selector", "field_selector") if given.get(name)]
    if selectors:
        msg = f"scope= and {', '.join(selectors)}= both select: put it into the scope, as scope & Labels(...)"
        raise TypeError(msg)
    return replace(
        scope,
        metadata_only=scope.metadata_only or given.get("metadata_only", False),
        shard=given.get("shard") if scope.shard is None else scope.shard,
    )


def _group_share(resource: Resource, shard: object) -> GroupShare | None:
    """Return the share of a shard group that is given as a shard; `None` for another shard.

    Raises:
        ValueError: the group goes by namespace, and the objects have none.
    """
    if shard is None or isinstance(shard, Shard | Ranges):
        return None
    # Imported here, because most programs have no shard group.
    from kinformer.operators.shard_group import GroupShare, ShardGroup

    share = GroupShare(shard) if isinstance(shard, ShardGroup) else shard
    if not isinstance(share, GroupShare):
        return None
    if share.kind == "object" and share.group.by == "namespace" and not resource.namespaced:
        msg = f"{resource.qualified} are cluster-scoped, and the shard group {share.group.name!r} goes by namespace"
        raise ValueError(msg)
    return share


def _watchable(resource: Resource | str) -> Resource:
    found = builtin_resource(resource, otherwise="await factory.discover({name!r})")
    if not found.watchable:
        msg = (
            f"{found.full_name} cannot be watched, so no informer can follow it: the server has no watch of it; call "
            "client.list or client.get where the server serves them, as often as you need the present state"
        )
        raise UnknownResourceError(msg)
    return found
