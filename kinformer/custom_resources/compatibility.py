"""Compare a CRD with a new one: does it still accept everything that was valid?

`incompatibilities` is pure. It errs on the side of refusing: a change whose effect it cannot decide, such as another
pattern or a new rule, is reported. Without a report, each object that was valid and complete under the old schema is
valid under the new one, and no field of it is dropped; a property test holds that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from kinformer.custom_resources._schema import Schema

__all__ = ["Incompatibility", "incompatibilities"]

_KEEPS: Final = "x-kubernetes-preserve-unknown-fields"
_EITHER: Final = "x-kubernetes-int-or-string"
_LOWER: Final = ("minimum", "minLength", "minItems", "minProperties")
_UPPER: Final = ("maximum", "maxLength", "maxItems", "maxProperties")
_WHOLE: Final = ("pattern", "not", "allOf", "anyOf", "oneOf", "uniqueItems", "x-kubernetes-embedded-resource")
_ROOT: Final = frozenset({"apiVersion", "kind", "metadata"})


@dataclass(frozen=True, slots=True)
class Incompatibility:
    """One change by which stored objects or clients break.

    Attributes:
        path: the place: "v1: spec.replicas", or a part of the CRD such as "scope".
        reason: the change.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def incompatibilities(
    old: Mapping[str, Any], new: Mapping[str, Any], *, stored_versions: Collection[str] | None = None
) -> list[Incompatibility]:
    """Return the changes from one CRD to another that break stored objects or clients.

    These are: another scope or kind; a version that is gone, is not served any more, or is gone while objects are
    stored in it; a field that is gone; a type, an enumeration or a bound that is narrower; a field that is newly
    required without a default; a new rule, pattern or format; a subresource or a selectable field that is gone.

    Args:
        old: the CRD that is there.
        new: the CRD that is to be.
        stored_versions: the versions in which objects may be stored; by default those in the status of `old`.
    """
    before, after = old["spec"], new["spec"]
    found: list[Incompatibility] = []
    for place, now, then in (
        ("group", before["group"], after["group"]),
        ("scope", before["scope"], after["scope"]),
        ("names.plural", before["names"]["plural"], after["names"]["plural"]),
        ("names.kind", before["names"]["kind"], after["names"]["kind"]),
    ):
        if now != then:
            found.append(Incompatibility(place, f"changed from {now} to {then}; use another CRD"))
    if stored_versions is None:
        stored_versions = (old.get("status") or {}).get("storedVersions") or ()
    old_versions = {version["name"]: version for version in before["versions"]}
    new_versions = {version["name"]: version for version in after["versions"]}
    for name in dict.fromkeys([*old_versions, *stored_versions]):
        version = new_versions.get(name)
        if version is None:
            if name in stored_versions:
                reason = (
                    "the version is gone, and objects may be stored in it (status.storedVersions): "
                    "call migrate_storage() first"
                )
                found.append(Incompatibility(name, reason))
            elif old_versions[name].get("served"):
                found.append(Incompatibility(name, "the version is gone, and it was served"))
        elif name in old_versions:
            found += _of_version(name, old_versions[name], version)
    return found


def _of_version(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Incompatibility]:
    if old.get("served") and not new.get("served"):
        yield Incompatibility(name, "the version is not served any more")
    for subresource in old.get("subresources") or {}:
        if subresource not in (new.get("subresources") or {}):
            yield Incompatibility(name, f"the subresource {subresource} is gone")
    if "status" in (new.get("subresources") or {}) and "status" not in (old.get("subresources") or {}):
        yield Incompatibility(
            name, "the status becomes a subresource: clients that write it with the object do so in vain"
        )
    selectable = {field["jsonPath"] for field in new.get("selectableFields") or ()}
    for field in old.get("selectableFields") or ():
        if field["jsonPath"] not in selectable:
            yield Incompatibility(name, f"selectors cannot name the field {field['jsonPath']} any more")
    before, after = ((version.get("schema") or {}).get("openAPIV3Schema") or {} for version in (old, new))
    for path, reason in _narrower(before, after, "", root=True):
        yield Incompatibility(f"{name}: {path}" if path else name, reason)


def _narrower(old: Schema, new: Schema, path: str, *, root: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the ways in which a schema accepts less than another one, or keeps less of it."""
    if not _accepts_any(new):
        if _accepts_any(old):
            yield path, f"any value was allowed, and now it is of type {_type_of(new)}"
            return
        if not _type_fits(old, new):
            yield path, f"the type changed from {_type_of(old)} to {_type_of(new)}"
            return
    if old.get("nullable") and not new.get("nullable"):
        yield path, "null is not allowed any more"
    yield from _constraints(old, new, path)
    yield from _lists(old, new, path)
    yield from _fields(old, new, path, root=root)
    if isinstance(old.get("items"), dict) and isinstance(new.get("items"), dict):
        yield from _narrower(old["items"], new["items"], f"{path}[]")


def _accepts_any(schema: Schema) -> bool:
    return "type" not in schema and not schema.get(_EITHER)


def _type_of(schema: Schema) -> str:
    return "int-or-string" if schema.get(_EITHER) else schema.get("type", "any")


def _type_fits(old: Schema, new: Schema) -> bool:
    before, after = _type_of(old), _type_of(new)
    return before == after or (before, after) in {
        ("integer", "number"),
        ("integer", "int-or-string"),
        ("string", "int-or-string"),
    }


def _constraints(old: Schema, new: Schema, path: str) -> Iterator[tuple[str, str]]:
    for name in (*_LOWER, *_UPPER):
        yield from _bound(old, new, name, path, lower=name in _LOWER)
    if "multipleOf" in new and ("multipleOf" not in old or not _divides(new["multipleOf"], old["multipleOf"])):
        yield path, f"it must be a multiple of {new['multipleOf']}"
    if "enum" in new:
        if "enum" not in old:
            yield path, "only some values are allowed any more"
        elif gone := [value for value in old["enum"] if not _among(value, new["enum"])]:
            yield path, f"the values {', '.join(map(repr, gone))} are not allowed any more"
    # A format that the server does not know has no effect, and which ones it knows differs from server to server.
    if (
        "format" in new
        and new["format"] != old.get("format")
        # Without a format, a number is of 64 bits.
        and new["format"] != _WIDEST_FORMATS.get(str(new.get("type")))
    ):
        yield path, f"the format {new['format']} is new"
    for name in _WHOLE:
        if new.get(name) and new[name] != old.get(name):
            yield path, f"{name} is new or another one"
    known = [_essence(rule) for rule in old.get("x-kubernetes-validations", ())]
    for rule in new.get("x-kubernetes-validations", ()):
        if _essence(rule) not in known:
            yield path, f"the rule {rule['rule']!r} is new"


_WIDEST_FORMATS: Final = {"integer": "int64", "number": "double"}


def _essence(rule: Mapping[str, Any]) -> tuple[Any, Any]:
    return rule["rule"], rule.get("optionalOldSelf")


def _among(value: Any, values: list[Any]) -> bool:
    return any(value == other and type(value) is type(other) for other in values)


def _divides(small: float, large: float) -> bool:
    return large % small == 0


def _bound(old: Schema, new: Schema, name: str, path: str, *, lower: bool) -> Iterator[tuple[str, str]]:
    if name not in new:
        return
    exclusive = f"exclusive{name.capitalize()}"
    after, before = new[name], old.get(name)
    strictly = bool(new.get(exclusive)) and not old.get(exclusive)
    is_tighter = before is None or (after > before if lower else after < before) or (after == before and strictly)
    if before is None and lower and name != "minimum" and after == 0:
        return
    if is_tighter:
        yield path, f"{name} is {after}{' (excluded)' if new.get(exclusive) else ''}, and was {before}"


def _lists(old: Schema, new: Schema, path: str) -> Iterator[tuple[str, str]]:
    word, keys = "x-kubernetes-list-type", "x-kubernetes-list-map-keys"
    before, after = old.get(word, "atomic"), new.get(word, "atomic")
    # Another way to merge: the items must be unique now, or the owners of fields that are stored make no sense.
    if before != after:
        yield path, f"{word} changed from {before} to {after}"
    elif old.get(keys) != new.get(keys):
        yield path, f"{keys} changed from {old.get(keys)} to {new.get(keys)}"
    word = "x-kubernetes-map-type"
    if (before := old.get(word, "granular")) != (after := new.get(word, "granular")):
        yield path, f"{word} changed from {before} to {after}"


def _fields(old: Schema, new: Schema, path: str, *, root: bool) -> Iterator[tuple[str, str]]:
    if _accepts_any(new) and new.get(_KEEPS) and "properties" not in new:
        return
    old_fields, new_fields = old.get("properties") or {}, new.get("properties") or {}
    old_rest, new_rest = old.get("additionalProperties"), new.get("additionalProperties")
    keeps = bool(new.get(_KEEPS)) or new_rest is True
    for name, before in old_fields.items():
        place = f"{path}.{name}".lstrip(".")
        if root and name in _ROOT:
            continue
        after = new_fields.get(name, new_rest if isinstance(new_rest, dict) else None)
        if after is not None:
            yield from _narrower(before, after, place)
        elif not keeps:
            yield place, "the field is gone, and the server would drop it from stored objects"
    if isinstance(old_rest, dict):
        if isinstance(new_rest, dict):
            yield from _narrower(old_rest, new_rest, f"{path}.*")
        elif not keeps:
            yield path, "only the fields of the schema are kept any more"
        for name in new_fields.keys() - old_fields.keys():
            yield from _narrower(old_rest, new_fields[name], f"{path}.{name}".lstrip("."))
    elif old.get(_KEEPS) or old_rest is True:
        if not keeps:
            yield path, "unknown fields are not kept any more"
        for name in new_fields.keys() - old_fields.keys():
            yield f"{path}.{name}".lstrip("."), "the field is new, and stored objects may have it with another content"
    yield from _required(old, new, old_fields, new_fields, path)


def _required(
    old: Schema, new: Schema, old_fields: Mapping[str, Schema], new_fields: Mapping[str, Schema], path: str
) -> Iterator[tuple[str, str]]:
    for name in new.get("required") or ():
        has_default = new_fields.get(name, {}).get("default") is not None
        was_there = name in (old.get("required") or ()) or old_fields.get(name, {}).get("default") is not None
        if not has_default and name not in (old.get("required") or ()):
            place = f"{path}.{name}".lstrip(".")
            yield place, "the field is required and has no default" + (" any more" if was_there else "")
