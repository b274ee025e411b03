"""Grants: single rights of RBAC, the union of several sources of them, and Roles made of them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Grant", "grants_in", "rules_of", "without_covered"]

_ORDER: Final = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")


class Grant(NamedTuple):
    """One right.

    Attributes:
        verb: as in RBAC.
        group: the API group; "" for the core group.
        resource: the plural, with its subresource: "sites/status".
        namespace: the namespace; "" for all of them, or for a cluster-scoped resource.
        names: the only objects that it is for; empty for all.
    """

    verb: str
    group: str
    resource: str
    namespace: str = ""
    names: tuple[str, ...] = ()


def grants_in(manifests: Iterable[Mapping[str, Any]], *, default_to: str) -> set[Grant]:
    """Return the rights of Roles and ClusterRoles; other objects are passed over.

    Args:
        manifests: the objects, such as those of a recorded file.
        default_to: the namespace to put in place of "default", where tests have their objects.

    Raises:
        ValueError: a rule is for paths that are no resources, which no grant can express.
    """
    found: set[Grant] = set()
    for manifest in manifests:
        if manifest.get("kind") not in {"Role", "ClusterRole"}:
            continue
        namespace = (manifest.get("metadata") or {}).get("namespace", "")
        place = default_to if namespace == "default" else namespace
        for rule in manifest.get("rules") or ():
            if rule.get("nonResourceURLs"):
                msg = f"the {manifest['kind']} has a rule for nonResourceURLs: keep that in a ClusterRole of your own"
                raise ValueError(msg)
            found |= {
                Grant(verb, group, resource, place, tuple(rule.get("resourceNames") or ()))
                for verb in rule.get("verbs") or ()
                for group in rule.get("apiGroups") or ()
                for resource in rule.get("resources") or ()
            }
    return found


def without_covered(grants: Iterable[Grant]) -> set[Grant]:
    """Leave out each right that another one includes: of all namespaces, or of all names."""
    given = set(grants)
    return {
        grant
        for grant in given
        if not any(
            wider in given
            for wider in (
                grant._replace(namespace=""),
                grant._replace(names=()),
                grant._replace(namespace="", names=()),
            )
            if wider != grant
        )
    }


def rules_of(grants: Iterable[Grant]) -> list[dict[str, Any]]:
    """Return the rules of one Role; resources of one group with the same verbs share a rule."""
    verbs: dict[tuple[str, str, tuple[str, ...]], set[str]] = defaultdict(set)
    for grant in grants:
        verbs[grant.group, grant.resource, grant.names].add(grant.verb)
    rules: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = defaultdict(list)
    for (group, resource, names), allowed in sorted(verbs.items()):
        rules[group, tuple(sorted(allowed, key=_place)), names].append(resource)
    return [
        {"apiGroups": [group], "resources": resources, "verbs": list(allowed)}
        | ({"resourceNames": list(names)} if names else {})
        for (group, allowed, names), resources in rules.items()
    ]


def _place(verb: str) -> tuple[int, str]:
    return (_ORDER.index(verb) if verb in _ORDER else len(_ORDER)), verb
