"""ControllerRevisions: the former templates of StatefulSets and DaemonSets (pkg/controller/history)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from kinformer.testing._apiserver.controllers.actions import Action, Create, Delete, Update
from kinformer.testing._apiserver.controllers.hashes import safe_hash
from kinformer.testing._apiserver.controllers.pods import reference_to

if TYPE_CHECKING:
    from kinformer.testing._apiserver.controllers.actions import Manifest

__all__ = ["REVISIONS", "Revisions", "revisions_of"]

REVISIONS: Final = ("apps", "controllerrevisions")
_HASHES: Final = {"StatefulSet": "controller.kubernetes.io/hash", "DaemonSet": "controller-revision-hash"}
"""The label of the hash, by the kind of the owner."""

_NOT_COPIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Revisions:
    """The revisions of an object.

    Attributes:
        newest: the revision of its present template.
        former: all others, the oldest first.
        actions: the writes that make `newest` so.
    """

    newest: Manifest
    former: list[Manifest]
    actions: list[Action] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of the newest revision."""
        name: str = self.newest["metadata"]["name"]
        return name

    @property
    def word(self) -> str:
        """The hash of the newest revision."""
        metadata = self.newest["metadata"]
        word: str = metadata["labels"][_HASHES[metadata["ownerReferences"][0]["kind"]]]
        return word

    def template(self, name: str) -> Manifest | None:
        """Return the template of a revision, or `None`."""
        for one in [*self.former, self.newest]:
            if one["metadata"]["name"] == name:
                template: Manifest = one["data"]["spec"]["template"]
                return {key: value for key, value in template.items() if key != "$patch"}
        return None

    def forget(self, limit: int, live: set[str]) -> list[Action]:
        """Return the deletions of the oldest revisions beyond a limit; those that are live do not count."""
        idle = [one for one in self.former if one["metadata"]["name"] not in live]
        return [Delete(REVISIONS, one) for one in idle[: max(0, len(idle) - limit)]]


def revisions_of(owner: Manifest, known: list[Manifest]) -> Revisions:
    """Find the revision of the present template of an object, or make it."""
    template = owner["spec"]["template"]
    # Go compares the bytes of this patch, whose names are sorted.
    data = msgspec.json.decode(_encoded({"spec": {"template": template | {"$patch": "replace"}}}))
    known = sorted(known, key=lambda one: (one["revision"], one["metadata"]["name"]))
    following = max((one["revision"] for one in known), default=0) + 1
    wanted = _encoded(data)
    for one in reversed(known):
        if _encoded(one["data"]) != wanted:
            continue
        former = [other for other in known if other is not one]
        if one is known[-1]:
            return Revisions(one, former)
        # The object goes back to it.
        again = one | {"revision": following}
        return Revisions(again, former, [Update(again)])
    word = safe_hash(template)
    taken = {one["metadata"]["name"] for one in known}
    collisions = 0
    while f"{owner['metadata']['name']}-{word}" in taken:
        collisions += 1
        word = safe_hash(template, collisions)
    annotations = {
        name: value for name, value in (owner["metadata"].get("annotations") or {}).items() if name != _NOT_COPIED
    }
    metadata = {
        "name": f"{owner['metadata']['name']}-{word}",
        "namespace": owner["metadata"]["namespace"],
        "labels": dict((template.get("metadata") or {}).get("labels") or {}) | {_HASHES[owner["kind"]]: word},
        "ownerReferences": [reference_to(owner)],
    } | ({"annotations": annotations} if annotations else {})
    made = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata,
        "data": data,
        "revision": following,
    }
    return Revisions(made, known, [Create(made)])


def _encoded(data: Manifest) -> bytes:
    return msgspec.json.encode(data, order="sorted")
