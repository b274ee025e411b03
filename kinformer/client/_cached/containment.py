"""Scopes that contain questions, and the selection of an answer from a cache. Pure.

A question is a scope, too: the objects that it asks for. A get asks for the objects of one name.

A scope contains a question if each object that the question selects is in the scope, whatever the object. The rules are
conservative: an answer of `True` is right for all objects that there can be; `False` may also mean "not known".
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kinformer.labels import FieldSelector, LabelSelector
from kinformer.scope import Scope, ranges_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinformer.labels import Requirement
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource
    from kinformer.scope import ShardLike

__all__ = ["NAME", "NAMESPACE", "Selection", "contains", "overlaps", "selection_of"]

NAME: Final = "metadata.name"
NAMESPACE: Final = "metadata.namespace"

_TEXT_FIELDS: Final[dict[tuple[str, str], frozenset[str]]] = {
    ("", "pods"): frozenset(
        (
            *("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName"),
            *("status.phase", "status.nominatedNodeName"),
        )
    ),
    ("", "secrets"): frozenset(("type",)),
    ("", "namespaces"): frozenset(("status.phase",)),
}
"""Fields that the server compares as they are, and that are "" where there is none (pkg/registry/core/*/strategy.go).

Other fields are computed by the server: a boolean, a number, an address out of a list."""

_NO_LABELS: Final = LabelSelector()


def contains(scope: Scope, question: Scope) -> bool:
    """Return whether each object that a question selects is in a scope, in no less detail.

    Args:
        scope: the objects that there are.
        question: the objects that are asked for.
    """
    if type(scope) is not Scope or type(question) is not Scope or not scope.is_single or not question.is_single:
        return False
    if scope.metadata_only and not question.metadata_only:
        return False
    fields = _fields_of(question)
    if any(len(values) > 1 for values in fields.equal.values()):
        # No object has two values in one field. Whether the server takes such a question is for the server to say.
        return False
    return (
        (not scope.namespace or fields.equal[NAMESPACE] == {scope.namespace})
        and all(fields.imply(*requirement) for requirement in scope.field_selector.requirements)
        and _labels_imply(question.label_selector, scope.label_selector)
        and _shard_contains(scope.shard, question, fields)
    )


def overlaps(scope: Scope, question: Scope) -> bool:
    """Return whether a scope may have objects that a question selects, in no less detail; `True` may also mean "maybe".

    An object that such a scope has, and that the question selects, is an answer to a question for one object. Its
    absence is none.
    """
    if type(scope) is not Scope or not scope.is_single or (scope.metadata_only and not question.metadata_only):
        return False
    mine, theirs = _fields_of(scope), _fields_of(question)
    return all(
        not mine.equal[path] or not theirs.equal[path] or mine.equal[path] & theirs.equal[path]
        for path in (NAME, NAMESPACE)
    )


@dataclass(frozen=True, slots=True)
class Selection:
    """The way to select the answer to a question from a cache whose scope contains it.

    Attributes:
        namespace: the namespace to look into; "" for all.
        name: the only name; "" for all.
        labels: the labels to select.
        fields: (path, "=" or "!=", value) to compare, each with "" where an object has no such field.
        shard: the share to select.
        metadata_only: the answer has only the metadata of objects, and the cache has more.
    """

    namespace: str = ""
    name: str = ""
    labels: LabelSelector = _NO_LABELS
    fields: tuple[tuple[str, str, str], ...] = ()
    shard: ShardLike | None = None
    metadata_only: bool = False

    @property
    def reads_content(self) -> bool:
        """Report whether fields besides the metadata are compared."""
        return any(path not in {NAME, NAMESPACE} for path, _, _ in self.fields)

    def keeps(self, obj: KubeObject) -> bool:
        """Return whether an object is selected, whatever its namespace."""
        return self.labels.matches(obj.labels) and self._keeps_beside_labels(obj)

    def of(self, objects: Iterable[KubeObject]) -> list[KubeObject]:
        """Return the objects that are selected, of those whose namespace and labels are right."""
        if not self.name and not self.fields and self.shard is None:
            return objects if type(objects) is list else [*objects]
        return [obj for obj in objects if self._keeps_beside_labels(obj)]

    def _keeps_beside_labels(self, obj: KubeObject) -> bool:
        return (
            (not self.name or obj.name == self.name)
            and all((str(obj.at(path) or "") == value) is (sign == "=") for path, sign, value in self.fields)
            and (self.shard is None or self.shard.has(obj))
        )


def selection_of(resource: Resource, scope: Scope, question: Scope) -> Selection | None:
    """Return how the cache of a scope selects the answer to a question that the scope contains.

    Args:
        resource: the resource of both.
        scope: what the cache covers.
        question: the objects that are asked for.

    Returns:
        `None` if only the server can select: the question names fields that are not known here.
    """
    fields = _fields_of(question)
    if any(len(values) > 1 for values in fields.equal.values()):
        return None
    kept = set(scope.field_selector.requirements)
    text = _TEXT_FIELDS.get((resource.group, resource.plural), frozenset())
    rest = []
    for path, sign, value in question.field_selector.requirements:
        if (path, sign, value) in kept or (path in {NAME, NAMESPACE} and sign == "=" and resource.namespaced):
            continue
        if path == NAME or (path == NAMESPACE and resource.namespaced) or (path in text and not scope.metadata_only):
            rest.append((path, sign, value))
        else:
            return None
    return Selection(
        namespace=next(iter(fields.equal[NAMESPACE]), ""),
        name=next(iter(fields.equal[NAME]), ""),
        labels=_NO_LABELS if question.label_selector == scope.label_selector else question.label_selector,
        fields=tuple(rest),
        shard=None if question.shard == scope.shard else question.shard,
        metadata_only=question.metadata_only and not scope.metadata_only,
    )


class _Fields:
    """The requirements of a question on fields, its namespace among them, by path."""

    __slots__ = ("differ", "equal")

    def __init__(self) -> None:
        self.equal: defaultdict[str, set[str]] = defaultdict(set)
        self.differ: defaultdict[str, set[str]] = defaultdict(set)

    def imply(self, path: str, sign: str, value: str) -> bool:
        """Return whether each object that fulfils these requirements fulfils one more."""
        equal = self.equal[path]
        if sign == "=":
            return equal == {value}
        return value in self.differ[path] or (bool(equal) and value not in equal)


def _fields_of(question: Scope) -> _Fields:
    found = _Fields()
    if question.namespace:
        found.equal[NAMESPACE].add(question.namespace)
    for path, sign, value in question.field_selector.requirements:
        (found.equal if sign == "=" else found.differ)[path].add(value)
    return found


def _labels_imply(question: LabelSelector, scope: LabelSelector) -> bool:
    """Return whether labels that fulfil one selector always fulfil another."""
    by_key: defaultdict[str, list[Requirement]] = defaultdict(list)
    for requirement in question.requirements:
        by_key[requirement.key].append(requirement)
    return all(
        requirement in by_key[requirement.key] or _requirements_imply(by_key[requirement.key], requirement)
        for requirement in scope.requirements
    )


def _requirements_imply(given: list[Requirement], wanted: Requirement) -> bool:
    """Return whether each value of one label, or its absence, fulfils a requirement if it fulfils all given ones."""
    key = wanted.key
    absent_is_right = all(requirement.matches({}) for requirement in given)
    if absent_is_right and not wanted.matches({}):
        return False
    choices = [set(requirement.values) for requirement in given if requirement.operator in {"=", "in"}]
    if choices:
        # Few values are possible. Each of them is looked at.
        possible = [{key: value} for value in set.intersection(*choices)]
        return all(
            wanted.matches(labels) for labels in possible if all(requirement.matches(labels) for requirement in given)
        )
    if any(requirement.operator == "!" for requirement in given):
        return True  # only the absence is possible, and that is right
    match wanted.operator:
        case "exists":
            return not absent_is_right
        case "!=" | "notin":
            return not any(all(requirement.matches({key: value}) for requirement in given) for value in wanted.values)
        case ">" | "<":
            bound = int(wanted.values[0])
            bounds = [int(requirement.values[0]) for requirement in given if requirement.operator == wanted.operator]
            return any(other >= bound if wanted.operator == ">" else other <= bound for other in bounds)
    return False


def _shard_contains(shard: ShardLike | None, question: Scope, fields: _Fields) -> bool:
    if shard is None:
        return True
    if shard.by == "namespace" and fields.equal[NAMESPACE]:
        return all(shard.covers(namespace) for namespace in fields.equal[NAMESPACE])
    other = question.shard
    if other is None or other.by != shard.by:
        return False
    return ranges_of(other).is_within(ranges_of(shard))


def named(question: Scope, name: str) -> Scope:
    """Return the question for the objects of one name."""
    return Scope.of(namespace=question.namespace, field_selector=FieldSelector(((NAME, "=", name),)))
