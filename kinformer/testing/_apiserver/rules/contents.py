"""All objects of a server at once: removed, written as YAML, and read from it."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.condition_times import fill_in_condition_times
from kinformer.testing._apiserver.rules.validation import validate
from kinformer.testing._apiserver.rules.writing import Write
from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer.testing._apiserver.rules.registry import Registry
    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = ["clear", "read_snapshot", "restore", "snapshot"]

_CRDS: Final = ("apiextensions.k8s.io", "customresourcedefinitions")
_NAMESPACES: Final = ("", "namespaces")
_FIRST: Final = {_CRDS: 0, _NAMESPACES: 1}
MOST_OBJECTS: Final = 100_000


def snapshot(registry: Registry) -> str:
    """Return all objects as documents of YAML: definitions first, then namespaces, then the rest."""
    store = registry.store
    storages = sorted(store.storages(), key=lambda storage: (_FIRST.get(storage, 2), storage))
    documents = []
    for storage in storages:
        for _, stored in store.listed(storage):
            manifest = deepcopy(stored.manifest)
            manifest["metadata"].pop("resourceVersion", None)
            documents.append(manifest)
    # Imported here, as below: a server whose objects are neither saved nor loaded needs no PyYAML.
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump_all(documents, Dumper=dumper, sort_keys=False, explicit_start=True, allow_unicode=True)
    return text


def clear(registry: Registry) -> None:
    """Remove all objects at once, whatever finalizers they have; versions go on, and no change is kept."""
    store = registry.store
    for storage in store.storages():
        kinds = registry.catalog.versions_of(storage)
        is_custom = bool(kinds) and kinds[0].custom
        for key, stored in store.listed(storage):
            if storage == _CRDS:
                continue
            store.remove(storage, key, _with_own_metadata(stored.manifest), custom=is_custom)
    for key, stored in store.listed(_CRDS):
        if store.get(_CRDS, key) is not None:
            store.remove(_CRDS, key, _with_own_metadata(stored.manifest), custom=False)
        for gone in registry.catalog.remove_crd(key[1]):
            registry.on_gone(gone.storage)
    store.compact()


def read_snapshot(registry: Registry, text: str) -> list[dict[str, Any]]:
    """Return the objects in documents of YAML, definitions and namespaces first.

    Raises:
        Refusal: 400, it is no YAML, a document is no object of a kind that is known, or an object is there twice.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        given = [one for one in yaml.load_all(text, Loader=loader) if one is not None]
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise status.bad_request(f"the snapshot is no YAML: {' '.join(str(error).split())[:300]}") from None
    documents: list[Any] = []
    for one in given:
        documents += one["items"] if isinstance(one, dict) and isinstance(one.get("items"), list) else [one]
    if len(documents) > MOST_OBJECTS:
        raise status.bad_request(f"the snapshot has more than {MOST_OBJECTS} objects")
    seen: dict[tuple[str, str, str, str], int] = {}
    defined = {named for one in documents for named in _defined_by(one)}
    for number, one in enumerate(documents, 1):
        metadata = one.get("metadata") if isinstance(one, dict) else None
        if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
            raise status.bad_request(f"object {number} of the snapshot has no metadata.name")
        named = (str(one.get("apiVersion")), str(one.get("kind")))
        kind = registry.catalog.of_kind(*named)
        if (kind is None or kind.custom) and named not in defined:
            raise status.bad_request(
                f"object {number} of the snapshot: no resource has the kind {named[1]} of {named[0]}"
            )
        group = named[0].rpartition("/")[0]
        space = "" if kind is not None and not kind.namespaced else str(metadata.get("namespace") or "default")
        place = (group, named[1], space, metadata["name"])
        if seen.setdefault(place, number) != number:
            raise status.bad_request(
                f"object {number} of the snapshot: {named[1]} {metadata['name']} is object {seen[place]}, too"
            )
    return sorted(documents, key=_place)


def restore(registry: Registry, documents: Sequence[dict[str, Any]]) -> None:
    """Store objects. One with a uid is stored as it is; one without is created, as by a request.

    Raises:
        Refusal: an object is not valid, or has no namespace.
    """
    for one in documents:
        manifest = deepcopy(one)
        metadata = manifest["metadata"]
        kind = registry.catalog.of_kind(manifest["apiVersion"], manifest["kind"])
        if kind is None:
            raise status.bad_request(f"no resource has the kind {manifest['kind']} of {manifest['apiVersion']}")
        metadata.pop("resourceVersion", None)
        write = Write("kinformer", any_size=True)
        namespace = (metadata.get("namespace") or "default") if kind.namespaced else ""
        if not isinstance(metadata.get("uid"), str):
            if registry.store.get(kind.storage, (namespace, metadata["name"])) is None:
                registry.create(kind, namespace, manifest, write)
            continue
        manifest = write.checked(kind, manifest, namespace)
        validate(kind, manifest, any_size=True)
        fill_in_condition_times(kind, manifest)
        _put(registry, kind, namespace, manifest)


def _put(registry: Registry, kind: ResourceType, namespace: str, manifest: dict[str, Any]) -> None:
    if kind.namespaced:
        if registry.store.get(_NAMESPACES, ("", namespace)) is None:
            name = manifest["metadata"]["name"]
            raise status.bad_request(f"{kind.kind} {name!r} is in namespace {namespace!r}, which the snapshot has not")
        manifest["metadata"]["namespace"] = namespace
    registry.put(kind, namespace, manifest)
    if kind.storage == _CRDS:
        registry.catalog.add_crd(manifest)


def _with_own_metadata(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest | {"metadata": dict(manifest["metadata"])}


def _place(manifest: dict[str, Any]) -> int:
    return {"CustomResourceDefinition": 0, "Namespace": 1}.get(str(manifest.get("kind")), 2)


def _defined_by(document: Any) -> list[tuple[str, str]]:
    """Return apiVersion and kind of the resources that a CustomResourceDefinition defines; none for other documents."""
    try:
        if document["kind"] != "CustomResourceDefinition":
            return []
        spec = document["spec"]
        return [(f"{spec['group']}/{version['name']}", str(spec["names"]["kind"])) for version in spec["versions"]]
    except (TypeError, KeyError):
        return []
