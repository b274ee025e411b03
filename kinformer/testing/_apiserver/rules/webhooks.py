"""Admission webhooks: which of them a write concerns, their order, and the objects that they see and change.

Rules are plain calls, and webhooks are not. So a write is carried out until a rule needs an answer that is not there:
`Admission` then raises `UnansweredError`, before anything is stored. The caller gets the answer and carries out the
write anew. If the object has changed meanwhile, the webhooks are asked about its new state, as GuaranteedUpdate of a
real server does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kinformer.testing._apiserver.rules.selectors import selects_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.testing._apiserver.rules.rbac import User
    from kinformer.testing._apiserver.store.catalog import Catalog, ResourceType
    from kinformer.testing._apiserver.store.storage import Key, Store

__all__ = ["Admission", "Hook", "Review", "UnansweredError", "has_policies", "hooks_of", "matching"]

_GROUP: Final = "admissionregistration.k8s.io"
_CONFIGURATIONS: Final = {
    True: (_GROUP, "mutatingwebhookconfigurations"),
    False: (_GROUP, "validatingwebhookconfigurations"),
}
_NAMESPACES: Final = ("", "namespaces")


class Hook(NamedTuple):
    """One webhook of a configuration.

    Attributes:
        configuration: the name of the configuration.
        mutating: whether it may change objects.
        webhook: its entry in the configuration.
        version: the version that it wants objects in; "" for the one of the request.
    """

    configuration: str
    mutating: bool
    webhook: dict[str, Any]
    version: str = ""

    @property
    def name(self) -> str:
        """The name of the webhook."""
        return str(self.webhook["name"])


class Review(NamedTuple):
    """A question to all webhooks of one sort.

    Attributes:
        mutating: the sort.
        operation: "CREATE", "UPDATE" or "DELETE".
        kind: the resource, in the version of the request.
        subresource: the subresource, or "".
        namespace: the namespace, or "".
        name: the name; "" if it is still to be generated.
        new: the object as it would be stored; `None` for a deletion.
        old: the object before; `None` for a creation.
    """

    mutating: bool
    operation: str
    kind: ResourceType
    subresource: str
    namespace: str
    name: str
    new: dict[str, Any] | None
    old: dict[str, Any] | None


class UnansweredError(Exception):
    """The webhooks must be asked before the write can go on.

    Attributes:
        review: the question.
    """

    def __init__(self, review: Review) -> None:
        super().__init__(f"the webhooks have not been asked about {review.operation} of {review.kind.plural}")
        self.review = review


@dataclass
class Admission:
    """The answers of webhooks to one write, over all the times that it is carried out.

    Attributes:
        subresource: the subresource that is written, or "".
        user: the user that writes.
        dry_run: whether nothing is stored.
        options: the options of the request, as webhooks see them.
        warnings: the warnings of webhooks so far.
    """

    user: User
    dry_run: bool
    options: dict[str, Any]
    subresource: str = ""
    warnings: list[str] = field(default_factory=list)
    _answers: list[tuple[Review, dict[str, Any] | None]] = field(default_factory=list)

    def answered(self, review: Review, new: dict[str, Any] | None) -> None:
        """Note the object that has come of a question."""
        self._answers.append((review, new))

    def mutated(
        self, operation: str, kind: ResourceType, key: Key, old: dict[str, Any] | None, new: dict[str, Any] | None
    ) -> dict[str, Any] | None:
        """The object after all mutating webhooks.

        Raises:
            UnansweredError: they have not been asked about this.
        """
        return self._result(Review(True, operation, kind, self.subresource, *key, new, old))

    def validated(
        self, operation: str, kind: ResourceType, key: Key, old: dict[str, Any] | None, new: dict[str, Any] | None
    ) -> None:
        """Go on if all validating webhooks have admitted the write.

        Raises:
            UnansweredError: they have not been asked about this.
        """
        self._result(Review(False, operation, kind, self.subresource, *key, new, old))

    def _result(self, review: Review) -> dict[str, Any] | None:
        for asked, result in self._answers:
            if asked[:2] == review[:2] and asked.new == review.new and asked.old == review.old:
                return result
        raise UnansweredError(review)


def has_policies(store: Store) -> bool:
    """Report whether a policy in CEL that validates or changes objects is bound to anything."""
    return any(
        store.all((_GROUP, f"{sort}admissionpolicies")) and store.all((_GROUP, f"{sort}admissionpolicybindings"))
        for sort in ("validating", "mutating")
    )


def hooks_of(store: Store, *, mutating: bool) -> list[Hook]:
    """All webhooks of a sort, in the order in which a real server calls them: by the names of their configurations."""
    found = store.all(_CONFIGURATIONS[mutating])
    return [
        Hook(name, mutating, webhook)
        for (_, name), stored in sorted(found.items())
        for webhook in stored.manifest.get("webhooks") or ()
    ]


def matching(hook: Hook, review: Review, store: Store, catalog: Catalog) -> Hook | None:
    """The webhook, with the version that it wants, if the write concerns it (apiserver admission/plugin/webhook)."""
    kind = review.kind
    if kind.group == _GROUP and kind.storage in _CONFIGURATIONS.values():
        # They would lock each other out.
        return None
    version = _version(hook, review, catalog)
    if version is None:
        return None
    webhook = hook.webhook
    if not _selects_namespace(webhook.get("namespaceSelector") or {}, review, store):
        return None
    selector = webhook.get("objectSelector") or {}
    if selector and not any(_has_labels(selector, obj) for obj in (review.new, review.old) if obj is not None):
        return None
    return hook._replace(version="" if version == kind.version else version)


def _version(hook: Hook, review: Review, catalog: Catalog) -> str | None:
    """The version in which a rule names the resource; the one of the request, if a rule has it."""
    rules = hook.webhook.get("rules") or ()
    if any(_covers(rule, review, review.kind) for rule in rules):
        return review.kind.version
    if hook.webhook.get("matchPolicy") == "Exact":
        return None
    for other in catalog.versions_of(review.kind.storage):
        if other.served and any(_covers(rule, review, other) for rule in rules):
            return other.version
    return None


def _covers(rule: Mapping[str, Any], review: Review, kind: ResourceType) -> bool:
    resource = f"{kind.plural}/{review.subresource}" if review.subresource else kind.plural
    return (
        _has(rule, "operations", review.operation)
        and _has(rule, "apiGroups", kind.group)
        and _has(rule, "apiVersions", kind.version)
        and any(_names(each, resource, review.subresource) for each in rule.get("resources") or ())
        and rule.get("scope", "*") in {"*", "Namespaced" if kind.namespaced else "Cluster"}
    )


def _has(rule: Mapping[str, Any], field: str, value: str) -> bool:
    return not {"*", value}.isdisjoint(rule.get(field) or ())


def _names(pattern: str, resource: str, subresource: str) -> bool:
    """Report whether an entry of `resources` names a resource: "pods", "pods/status", "*", "pods/*", "*/status"."""
    if pattern == "*/*":
        return True
    plural, slash, sub = pattern.partition("/")
    wanted = resource.partition("/")[0]
    return plural in {"*", wanted} and (sub in {"*", subresource} if slash else not subresource)


def _selects_namespace(selector: Mapping[str, Any], review: Review, store: Store) -> bool:
    if not selector:
        return True
    if review.kind.storage == _NAMESPACES:
        obj = review.new or review.old or {}
        return _has_labels(selector, obj) if not review.subresource else True
    if not review.kind.namespaced:
        return True
    found = store.get(_NAMESPACES, ("", review.namespace))
    # A real server answers 404 for the namespace later.
    return found is None or _has_labels(selector, found.manifest)


def _has_labels(selector: Mapping[str, Any], obj: Mapping[str, Any]) -> bool:
    return selects_labels(selector, (obj.get("metadata") or {}).get("labels") or {})
