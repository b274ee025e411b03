"""Requests as data, and the requests that are generated from the seeds."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kinformer.testing._apiserver.schemas.go_types import Types
from kinformer.testing._apiserver.store.catalog import Catalog
from tests.apiserver.body_changes import GONE, changed
from tests.apiserver.parity.seeds import SEEDS, seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.schemas.go_types import Field, Struct
    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = ["APPLY", "JSON", "MERGE", "NAMESPACE", "STRATEGIC", "TABLE", "Request", "collection", "generated", "kinds"]

JSON: Final = "application/json"
MERGE: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
APPLY: Final = "application/apply-patch+yaml"
TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
NAMESPACE: Final = "parity"

_QUOTA: Final = {"removed": 3, "enum": 3, "negative": 2, "type": 2, "doubled": 2, "emptied": 2, "odd": 3, "null": 1}
"""How many mutations of each class a kind gets."""

_KEPT: Final = {"v1 namespaces"}
"""The kinds whose seed is not deleted: a namespace ends only where its controller runs."""

_CONTROLLED: Final = {"APIService", "FlowSchema"}
"""The kinds of which a table shows a status that the API server itself writes a moment later."""

_UNTOUCHED: Final = {"metadata", "status", "kind", "apiVersion"}


class Request(NamedTuple):
    """One request.

    Attributes:
        title: its name, by which answers are compared.
        body: the body, to be sent as JSON; text is sent as it is.
    """

    title: str
    method: str
    path: str
    body: Any = None
    content_type: str = JSON
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed


def kinds() -> list[ResourceType]:
    """Return the built-in kinds that have a seed."""
    catalog = Catalog()
    found = []
    for api_version, plural in SEEDS:
        group, _, version = api_version.rpartition("/")
        kind = catalog.lookup(group, version, plural)
        assert kind is not None, plural
        found.append(kind)
    return found


def collection(kind: ResourceType) -> str:
    """Return the path of the objects of a kind, in the namespace of the requests."""
    root = f"/apis/{kind.api_version}" if kind.group else "/api/v1"
    return f"{root}/namespaces/{NAMESPACE}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"


def generated() -> list[Request]:
    """Return the requests that are made from the seeds and the table of types."""
    return [request for kind in kinds() for request in (*_judged(kind), *_mutated(kind), *_life(kind))]


def _life(kind: ResourceType) -> Iterator[Request]:
    """The requests of one object's life."""
    title, path = f"{kind.api_version} {kind.plural}", collection(kind)
    whole = seed(kind.api_version, kind.plural, kind.kind)
    at = f"{path}/{whole['metadata']['name']}"
    yield Request(f"{title}: created", "POST", path, whole)
    yield Request(f"{title}: read", "GET", at)
    if kind.kind not in _CONTROLLED:
        yield Request(f"{title}: as a table", "GET", at, headers={"Accept": TABLE})
    yield Request(f"{title}: created again", "POST", path, whole)
    labels = {"metadata": {"labels": {"more": "x"}}}
    yield Request(f"{title}: labelled", "PATCH", at, labels, MERGE)
    applied = {name: whole[name] for name in ("apiVersion", "kind")} | labels
    applied["metadata"] = {"labels": {"applied": "x"}}
    yield Request(f"{title}: applied", "PATCH", f"{at}?fieldManager=m", applied, APPLY)
    yield Request(
        f"{title}: applied with an unknown field", "PATCH", f"{at}?fieldManager=m", applied | {"nosuch": 1}, APPLY
    )
    yield Request(f"{title}: replaced by itself", "PUT", at, whole)
    yield Request(f"{title}: patched with a text for metadata", "PATCH", at, {"metadata": "x"}, MERGE)
    yield Request(
        f"{title}: annotations patched strategically", "PATCH", at, {"metadata": {"annotations": {"a": "b"}}}, STRATEGIC
    )
    if "status" in kind.subresources:
        yield Request(f"{title}: status patched", "PATCH", f"{at}/status", {"status": {}, **labels}, MERGE)
    if title not in _KEPT:
        yield Request(f"{title}: deleted", "DELETE", at)


def _judged(kind: ResourceType) -> Iterator[Request]:
    """Objects that are judged, and not stored."""
    title, path = f"{kind.api_version} {kind.plural}", collection(kind)
    other = seed(kind.api_version, kind.plural, kind.kind)
    yield Request(
        f"{title}: an unknown field, strict", "POST", f"{path}?dryRun=All&fieldValidation=Strict", other | {"nosuch": 1}
    )
    yield Request(
        f"{title}: an unknown field, warned of",
        "POST",
        f"{path}?dryRun=All&fieldValidation=Warn",
        other | {"nosuch": 1},
    )
    for what, metadata in (
        ("a bad name", {"name": "No_Good!"}),
        ("a bad label", {"labels": {"a b": "c d"}}),
        ("no name", {"name": ""}),
        ("a number as a label", {"labels": {"a": 1}}),
    ):
        changed = other | {"metadata": other["metadata"] | metadata}
        yield Request(f"{title}: {what}", "POST", f"{path}?dryRun=All", changed)
    yield Request(f"{title}: another kind", "POST", f"{path}?dryRun=All", other | {"kind": "Nosuch"})
    yield Request(f"{title}: nothing but a name", "POST", f"{path}?dryRun=All", {"metadata": other["metadata"]})


def _mutated(kind: ResourceType) -> Iterator[Request]:
    """The seed with one change each, some of every class, always the same ones."""
    struct = Types.of().kind(kind.api_version, kind.kind)
    assert struct is not None
    whole = seed(kind.api_version, kind.plural, kind.kind)
    found = sorted(_mutations(struct, whole, ()), key=lambda one: _rank(kind, one[0], one[1]))
    left = dict(_QUOTA)
    path = f"{collection(kind)}?dryRun=All"
    for what, where, value in found:
        if left[what]:
            left[what] -= 1
            title = f"{kind.api_version} {kind.plural}: {'.'.join(map(str, where))} {what}"
            yield Request(title, "POST", path, changed(whole, where, value))


def _rank(kind: ResourceType, what: str, where: tuple[Any, ...]) -> str:
    return hashlib.sha256(f"{kind.api_version}/{kind.plural} {what} {where}".encode()).hexdigest()


def _mutations(
    struct: Struct, value: dict[str, Any], at: tuple[Any, ...]
) -> Iterator[tuple[str, tuple[Any, ...], Any]]:
    for name, field in struct.by_name.items():
        if not at and name in _UNTOUCHED:
            continue
        where = (*at, name)
        yield from _of_field(field, value, where)
        if name in value:
            yield from _below(field, value[name], where)


def _below(field: Field, value: Any, where: tuple[Any, ...]) -> Iterator[tuple[str, tuple[Any, ...], Any]]:
    target = field.type.target
    if target.form == "struct" and isinstance(value, dict) and target.struct is not None and not target.struct.custom:
        yield from _mutations(target.struct, value, where)
    if target.form == "slice" and isinstance(value, list):
        element = target.element.target
        for index, item in enumerate(value):
            if isinstance(item, dict) and element.struct is not None and not element.struct.custom:
                yield from _mutations(element.struct, item, (*where, index))


def _of_field(
    field: Field, value: dict[str, Any], where: tuple[Any, ...]
) -> Iterator[tuple[str, tuple[Any, ...], Any]]:
    target, given = field.type.target, value.get(where[-1])
    is_custom = target.form == "struct" and target.struct is not None and target.struct.custom
    yield "type", where, 7 if target.form in {"string", "bytes"} else "x" if not is_custom else {}
    if field.enum:
        yield "enum", where, "Bogus"
    if target.form == "int":
        yield "negative", where, -1
    if target.form == "string" and not field.enum:
        yield "odd", where, "Bad Value!"
    if where[-1] not in value:
        return
    yield "removed", where, GONE
    yield "null", where, None
    if isinstance(given, str):
        yield "emptied", where, ""
    elif isinstance(given, list):
        yield "emptied", where, []
        yield "doubled", where, [*given, deepcopy(given[0])]
    elif isinstance(given, dict):
        yield "emptied", where, {}
