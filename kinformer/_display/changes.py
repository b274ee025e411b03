"""Sentences about changes of an object: `Pending → Running`, `2/3 → 3/3 ready`, `spec.size 1 → 2`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer._display.columns import printable, summarize_pod
from kinformer._display.secrets import is_secret, shown_pair
from kinformer.events import Added, Deleted, Updated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.events import Event
    from kinformer.objects import KubeObject

__all__ = ["describe"]

ARROW: Final = "→"

# Fields that change with every write, and so are no information.
_NOISE: Final = {
    ("metadata", "resourceVersion"),
    ("metadata", "managedFields"),
    ("metadata", "generation"),
    ("status", "observedGeneration"),
}
_MOST: Final = 2
_LONGEST: Final = 40


def describe(event: Event) -> str:
    """Return the meaning of an event in a few words, without the values of a Secret."""
    match event:
        case Added(obj):
            return _state(obj) or "created"
        case Deleted(obj, final_state_known):
            return "gone" if final_state_known else "gone meanwhile"
        case Updated(old, new):
            return _difference(old, new)


def _state(obj: KubeObject) -> str:
    if obj.resource.plural == "pods" and not obj.resource.group:
        return summarize_pod(obj).status
    return printable(str(obj.at("status.phase") or ""))


def _difference(old: KubeObject, new: KubeObject) -> str:
    if old.deletion_timestamp != new.deletion_timestamp:
        return f"{_state(old)} {ARROW} Terminating".strip()
    if is_secret(new):
        return "changed"
    special = _SPECIAL.get((new.resource.group, new.resource.plural))
    sentence = special(old, new) if special is not None else ""
    if sentence:
        return printable(sentence)
    if _state(old) != _state(new):
        return f"{_state(old) or 'no phase'} {ARROW} {_state(new) or 'no phase'}"
    differences = [*_leaves((), *shown_pair(old, new))]
    shown = [f"{path} {before} {ARROW} {after}" for path, before, after in differences[:_MOST]]
    more = len(differences) - _MOST
    return printable(", ".join(shown) + (f" and {more} more" if more > 0 else "") or "unchanged")


def _pod(old: KubeObject, new: KubeObject) -> str:
    before, after = summarize_pod(old), summarize_pod(new)
    if before.status != after.status:
        return f"{before.status} {ARROW} {after.status}"
    if not old.at("spec.nodeName") and new.at("spec.nodeName"):
        return f"{ARROW} {new.at('spec.nodeName')}"
    if before.ready != after.ready:
        return f"{before.ready}/{before.containers} {ARROW} {after.ready}/{after.containers} ready"
    return _labels(old, new)


def _workload(old: KubeObject, new: KubeObject) -> str:
    image = "spec.template.spec.containers.0.image"
    if old.at(image) != new.at(image):
        return f"{_tag(old.at(image))} {ARROW} {_tag(new.at(image))}"
    for field, word in (("spec.replicas", "replicas"), ("status.readyReplicas", "ready"),
                        ("status.updatedReplicas", "updated"), ("status.replicas", "pods")):  # fmt: skip
        before, after = old.at(field) or 0, new.at(field) or 0
        if before != after:
            return f"{before} {ARROW} {after} {word}"
    return ""


def _node(old: KubeObject, new: KubeObject) -> str:
    before, after = bool(old.at("spec.unschedulable")), bool(new.at("spec.unschedulable"))
    if before != after:
        return "cordoned" if after else "uncordoned"
    if {c.get("type"): c.get("status") for c in old.at("status.conditions") or ()} == {
        c.get("type"): c.get("status") for c in new.at("status.conditions") or ()
    }:
        return "heartbeat"
    return ""


def _lease(old: KubeObject, new: KubeObject) -> str:
    return "renewed" if old.at("spec.holderIdentity") == new.at("spec.holderIdentity") else ""


def _labels(old: KubeObject, new: KubeObject) -> str:
    names = sorted({*old.labels, *new.labels}, reverse=True)
    changed = [name for name in names if old.labels.get(name) != new.labels.get(name)]
    if not changed:
        return ""
    name = changed[0]
    return f"{name}={old.labels.get(name, '')} {ARROW} {name}={new.labels.get(name, '')}"


def _tag(image: Any) -> str:
    return str(image or "").rpartition("/")[2]


_SPECIAL: Final = {
    ("", "pods"): _pod,
    ("", "nodes"): _node,
    ("apps", "deployments"): _workload,
    ("apps", "replicasets"): _workload,
    ("apps", "statefulsets"): _workload,
    ("coordination.k8s.io", "leases"): _lease,
}


def _leaves(path: tuple[str, ...], old: Any, new: Any) -> Iterator[tuple[str, str, str]]:
    """Yield the fields that differ, each with its old and its new value."""
    if old == new or path in _NOISE:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys((*old, *new)):
            yield from _leaves((*path, name), old.get(name), new.get(name))
        return
    yield ".".join(path), _short(old), _short(new)


def _short(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict() | list():
            return f"{len(value)} {'fields' if isinstance(value, dict) else 'items'}"
        case _:
            text = str(value)
            return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
