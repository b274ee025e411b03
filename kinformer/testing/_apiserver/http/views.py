"""The forms an object is sent in: whole, its metadata alone, or as rows of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from kinformer.testing._apiserver.http.tables import to_table
from kinformer.testing._apiserver.rules.conversions import in_version
from kinformer.testing._apiserver.store.storage import encode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from kinformer.testing._apiserver.store.catalog import ResourceType
    from kinformer.testing._apiserver.store.storage import Stored

__all__ = ["bookmark_bytes", "list_bytes", "metadata_only", "object_bytes"]

_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


def object_bytes(
    kind: ResourceType, stored: Stored, view: str, *, now: datetime, first: bool = True, include: str = ""
) -> bytes:
    """One object.

    Args:
        kind: the resource in the version that was asked for.
        stored: the object.
        view: "", "Table" or "PartialObjectMetadata".
        now: for the ages in a table.
        first: whether a table names its columns: in a watch, only the first does.
        include: the parts of the objects that the rows of a table carry: "Metadata", "Object" or "None".
    """
    if view == "Table":
        # An object of a dry run has no version.
        version = stored.manifest["metadata"].get("resourceVersion")
        metadata = {"resourceVersion": version} if version else {}
        table = to_table(kind, [stored.manifest], metadata, now=now, include=include)
        return _encode(table if first else table | {"columnDefinitions": None})
    if view:
        return _encode(metadata_only(stored.manifest))
    return _whole(kind, stored)


def _whole(kind: ResourceType, stored: Stored) -> bytes:
    if kind.custom:
        if stored.manifest["apiVersion"] == kind.api_version and stored.raw:
            return stored.raw
        return _encode_sorted(in_version(kind, stored.manifest))
    if not stored.raw or stored.manifest["apiVersion"] != kind.api_version:
        return _encode(in_version(kind, stored.manifest))
    return kind.head + stored.raw[1:]


def _item(kind: ResourceType, stored: Stored) -> bytes:
    """An item of a list of a built-in resource, which carries neither kind nor version."""
    if stored.raw and stored.manifest["apiVersion"] == kind.api_version:
        return stored.raw
    return encode(in_version(kind, stored.manifest), custom=False)


def metadata_only(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata of an object, as an object of its own."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": manifest["metadata"]}


def list_bytes(
    kind: ResourceType,
    items: Iterable[Stored],
    metadata: dict[str, Any],
    view: str,
    *,
    now: datetime,
    include: str = "",
) -> bytes:
    """A list. Items of a built-in resource carry neither kind nor version; custom ones do."""
    if view == "Table":
        manifests = [stored.manifest for stored in items]
        return _encode(to_table(kind, manifests, metadata, now=now, include=include)) + b"\n"
    if view:
        head = b'{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":'
        body = b",".join(_encode(metadata_only(stored.manifest)) for stored in items)
        return head + _encode(metadata) + b',"items":' + (b"[" + body + b"]" if body else b"null") + b"}\n"
    list_kind, api_version = kind.list_of.encode(), kind.api_version.encode()
    if kind.custom:
        body = b",".join(_whole(kind, stored) for stored in items)
        meta = _encode_sorted({"continue": ""} | metadata)
        return b'{"apiVersion":"%s","items":[%s],"kind":"%s","metadata":%s}\n' % (api_version, body, list_kind, meta)
    body = b",".join(_item(kind, stored) for stored in items)
    return b'{"kind":"%s","apiVersion":"%s","metadata":%s,"items":[%s]}\n' % (
        *(list_kind, api_version),
        *(_encode(metadata), body),
    )


def bookmark_bytes(kind: ResourceType, revision: int, view: str, *, ends_initial: bool, now: datetime) -> bytes:
    """The object of a bookmark: its version alone, in the form that was asked for."""
    metadata: dict[str, Any] = {"resourceVersion": str(revision)}
    if ends_initial:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    empty: dict[str, Any] = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
    if view == "Table":
        table = to_table(kind, [empty], {"resourceVersion": str(revision)}, now=now)
        return _encode(table | {"columnDefinitions": None})
    if view:
        return _encode(metadata_only(empty))
    if kind.custom:
        return _encode_sorted(empty)
    if kind.storage == ("", "pods"):
        # Go writes fields that are neither pointers nor omitted when empty.
        empty |= {"spec": {"containers": None}, "status": {}}
    return _encode(empty)
