"""Server-side applies that would change nothing. Pure: no clock, no I/O.

An apply changes nothing in these cases, and in no other one is that assumed:

- "same version": the last apply of the same fields made the version that the cache has. Nothing was written since.
- "same state": the last apply had the same fields, and what `managedFields` says is ours, and the values there, are as
  they were after it. So values that the server writes in another way ("1000m" as "1"), and defaults, count as equal.
- "same fields": `managedFields` says that exactly the fields to be applied are ours, and each has exactly that value.
  This needs no earlier apply, so that a process that begins writes nothing either.

The rules for lists and maps are those of structured-merge-diff (fieldpath/serialize-pe.go, merge/update.go). Where
`managedFields` leaves open how a field is merged, the answer is "not known", and the apply is sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from kinformer._any_json import decode_any
from kinformer._recent import RecentCache

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer.objects import KubeObject

__all__ = ["Applied", "ApplyRecords", "Manager", "Unchanged", "has_exactly", "owned_state"]

MOST_RECORDS: Final = 10_000
"""Number of applied objects that are remembered, at least."""

Unchanged: TypeAlias = Literal["same version", "same state", "same fields"]
"""Why an apply would change nothing."""

_NEVER_OWNED: Final = frozenset(
    (*("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink", "managedFields"),)
)
"""Fields of the metadata that no manager owns (apimachinery util/managedfields/internal/stripmeta.go)."""

_ATOMIC: Final = frozenset(("f:selector", "f:nodeSelector", "f:command", "f:args", "f:accessModes", "f:rules"))
"""Fields of built-in resources that are always owned as a whole (`x-kubernetes-map-type`, `x-kubernetes-list-type`)."""

_encode = msgspec.json.Encoder(order="sorted").encode
_MISSING: Final = "\0missing"


class Manager(NamedTuple):
    """The owner of the fields of one apply.

    Attributes:
        name: the field manager.
        api_version: the version of the object that is applied.
        subresource: "" for the object itself.
    """

    name: str
    api_version: str
    subresource: str = ""


class Applied(NamedTuple):
    """The outcome of the last apply to one object by one manager.

    Attributes:
        body: a digest of the applied fields.
        uid: the object's UID.
        version: the object's version after it.
        state: a digest of our fields and their values after it; "" if it could not be made.
    """

    body: str
    uid: str
    version: str
    state: str


_UNCERTAIN: Final = Applied("", "", "", "")
"""An apply that may have been carried out although no answer came."""


class ApplyRecords:
    """The last applies, by a target: anything that identifies object, manager and subresource."""

    def __init__(self) -> None:
        self._applied: RecentCache[tuple[Any, ...], Applied] = RecentCache(MOST_RECORDS)

    def unchanged(
        self, target: tuple[Any, ...], manager: Manager, body: Mapping[str, Any], cached: KubeObject
    ) -> Unchanged | None:
        """Return why an apply would change nothing; `None` if it may change something.

        Args:
            target: the target.
            manager: the owner of the applied fields.
            body: the fields to be applied, as decoded JSON.
            cached: the object as a cache has it, with every write of this client.
        """
        record = self._applied.get(target)
        if record is _UNCERTAIN or not _preconditions_hold(body, cached):
            return None
        if record is not None and (record.uid != cached.uid or record.body != digest_of(body)):
            record = None
        if record is not None and record.version == cached.resource_version:
            return "same version"
        live = cached.to_dict()
        if record is not None and record.state and record.state == owned_state(live, manager):
            return "same state"
        return "same fields" if has_exactly(live, manager, body) else None

    def applied(self, target: tuple[Any, ...], manager: Manager, body: Mapping[str, Any], answer: KubeObject) -> None:
        """Take note of an apply and of the object that the server answered with."""
        state = owned_state(answer.to_dict(), manager)
        self._applied.put(target, Applied(digest_of(body), answer.uid, answer.resource_version, state))

    def lost(self, target: tuple[Any, ...]) -> None:
        """Take note of an apply without an answer: the next one is sent, whatever a cache shows."""
        self._applied.put(target, _UNCERTAIN)


def digest_of(value: object) -> str:
    """Return a digest of JSON, the same in whichever order its fields come."""
    return hashlib.blake2b(_encode(value), digest_size=16).hexdigest()


def _preconditions_hold(body: Mapping[str, Any], cached: KubeObject) -> bool:
    """Return whether the object is in the version, and has the UID, that the applied fields may name."""
    head = body.get("metadata")
    if not isinstance(head, Mapping):
        return True
    uid, version = head.get("uid") or cached.uid, head.get("resourceVersion") or cached.resource_version
    return bool(uid == cached.uid and version == cached.resource_version)


def _fields_of(live: Mapping[str, Any], manager: Manager) -> dict[str, Any] | None:
    """Return the `fieldsV1` of a manager's applies; `None` if the object does not say."""
    head = live.get("metadata")
    entries = head.get("managedFields") if isinstance(head, Mapping) else None
    if not isinstance(entries, list):
        return None
    for entry in entries:
        if (
            isinstance(entry, dict)
            and entry.get("operation") == "Apply"
            and entry.get("manager") == manager.name
            and (entry.get("subresource") or "") == manager.subresource
            and entry.get("apiVersion") == manager.api_version
            and isinstance(fields := entry.get("fieldsV1"), dict)
        ):
            return fields
    return None


def owned_state(live: Mapping[str, Any], manager: Manager) -> str:
    """Return a digest of the fields that a manager owns by applies, and of their values; "" if that is not known.

    Args:
        live: the whole object, with its `managedFields`.
        manager: the manager.
    """
    fields = _fields_of(live, manager)
    if fields is None:
        return ""
    try:
        return digest_of([fields, _values_at(fields, live)])
    except (_UnknownError, RecursionError):
        return ""


class _UnknownError(Exception):
    """`managedFields` has a form that is not known here."""


def _values_at(fields: Mapping[str, Any], live: Any) -> Any:
    """Return the values of a set of fields, in its order."""
    steps = {step: below for step, below in fields.items() if step != "."}
    if not steps:
        return live
    # The order of the items of a list counts: an apply restores it.
    order = sorted(steps, key=lambda step: _place(step, live))
    return [[step, _values_at(steps[step], _at(step, live))] for step in order]


def _place(step: str, live: Any) -> tuple[int, str]:
    kind, _, text = step.partition(":")
    if kind == "f" or not isinstance(live, list):
        return (0, step)
    wanted = decode_any(text)
    places = (n for n, item in enumerate(live) if (_is_item(item, wanted) if kind == "k" else item == wanted))
    return (next(places, -1), step)


def _at(step: str, live: Any) -> Any:
    kind, _, text = step.partition(":")
    match kind:
        case "f":
            return live.get(text, _MISSING) if isinstance(live, dict) else _MISSING
        case "k" if isinstance(live, list):
            keys = decode_any(text)
            return next((item for item in live if _is_item(item, keys)), _MISSING)
        case "v" if isinstance(live, list):
            return decode_any(text) in live
        case "k" | "v":
            return _MISSING
    raise _UnknownError(step)


def _is_item(item: object, keys: Mapping[str, Any]) -> bool:
    return isinstance(item, dict) and all(item.get(key) == value for key, value in keys.items())


def has_exactly(live: Mapping[str, Any], manager: Manager, body: Mapping[str, Any]) -> bool:
    """Return whether a manager owns exactly the fields to be applied, and each has exactly that value.

    Args:
        live: the whole object, with its `managedFields`.
        manager: the manager.
        body: the fields to be applied, as decoded JSON.
    """
    fields = _fields_of(live, manager)
    if fields is None:
        return False
    wanted = {name: value for name, value in body.items() if name not in {"apiVersion", "kind"}}
    head = wanted.get("metadata")
    if isinstance(head, Mapping):
        wanted["metadata"] = {name: value for name, value in head.items() if name not in _NEVER_OWNED}
        if not wanted["metadata"]:
            del wanted["metadata"]
    builtin = "." not in manager.api_version.partition("/")[0] or manager.api_version.partition("/")[0].endswith(
        ".k8s.io"
    )
    try:
        return _is_exactly(fields, wanted, live, _ATOMIC if builtin else frozenset(), "")
    except RecursionError:
        return False


def _is_exactly(fields: Mapping[str, Any], wanted: Any, live: Any, atomic: frozenset[str], last: str) -> bool:
    """Compare the values at a path that ends with the step `last`; `atomic`: steps to values owned as a whole."""
    steps = {step: below for step, below in fields.items() if step != "."}
    if not steps:
        if isinstance(wanted, dict | list) and wanted and last not in atomic:
            # It is owned as a whole, or it was empty when it was applied last: `managedFields` does not say.
            return False
        return wanted is not None and _same(wanted, live)
    kinds = {step.partition(":")[0] for step in steps}
    if kinds == {"f"} and isinstance(wanted, dict) and isinstance(live, dict):
        return {f"f:{name}" for name in wanted} == steps.keys() and all(
            name in live and _is_exactly(steps[f"f:{name}"], value, live[name], atomic, f"f:{name}")
            for name, value in wanted.items()
        )
    if not isinstance(wanted, list) or not isinstance(live, list) or len(wanted) != len(steps):
        return False
    if kinds == {"k"}:
        return _items_are_exactly(steps, wanted, live, atomic)
    return kinds == {"v"} and _values_are_exactly(steps, wanted, live)


def _items_are_exactly(
    steps: Mapping[str, Any], wanted: Sequence[Any], live: Sequence[Any], atomic: frozenset[str]
) -> bool:
    """Compare a list that is merged by key: the same items, in the same order."""
    before = -1
    left = dict(steps)
    for item in wanted:
        found = [(step, keys) for step in left if _is_item(item, keys := decode_any(step[2:]))]
        # A key that the server gave a default is missing in the item: then the server decides.
        if len(found) != 1:
            return False
        step, keys = found[0]
        places = [place for place, other in enumerate(live) if _is_item(other, keys)]
        if len(places) != 1 or places[0] <= before:
            return False
        before = places[0]
        if not _is_exactly(left.pop(step), item, live[before], atomic, step):
            return False
    return True


def _values_are_exactly(steps: Mapping[str, Any], wanted: Sequence[Any], live: Sequence[Any]) -> bool:
    """Compare a set of values: the same ones, in the same order."""
    owned = [_encode(decode_any(step[2:])) for step in steps]
    there = [_encode(value) for value in live]
    values = [_encode(value) for value in wanted]
    if sorted(owned) != sorted(values) or any(value not in there for value in values):
        return False
    places = [there.index(value) for value in values]
    return places == sorted(set(places))


def _same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal, of the same types throughout."""
    return _encode(one) == _encode(other)
