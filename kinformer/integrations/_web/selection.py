"""Which objects a request asks for: selectors of strangers, within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kinformer.errors import SelectorError
from kinformer.labels import FieldSelector, LabelSelector

if TYPE_CHECKING:
    from kinformer.informer import SharedInformer
    from kinformer.labels import SelectorInput
    from kinformer.objects import KubeObject, ObjectKey
    from kinformer.scope import FieldSelectorInput

__all__ = ["LONGEST_SELECTOR", "MOST_TERMS", "Selection", "bounded_fields", "bounded_selector", "selected"]

LONGEST_SELECTOR: Final = 4096
"""The longest selector in characters that is read from a request."""

MOST_TERMS: Final = 64
"""The most requirements and values that a selector of a request may have together.

Each of them is compared with each object of the cache, for each event also with each reader of a stream."""

_NAME: Final = "metadata.name"
_ALWAYS: Final = frozenset({_NAME, "metadata.namespace"})

_EVERYTHING: Final = LabelSelector()


def bounded_selector(selector: SelectorInput) -> LabelSelector:
    """Parse a selector; one that is text, and so may come from a request, within bounds.

    Raises:
        SelectorError: it does not parse, is longer than 4,096 characters, or has more than 64 requirements and values.
    """
    if isinstance(selector, str) and len(selector) > LONGEST_SELECTOR:
        msg = f"the label selector has {len(selector)} characters; at most {LONGEST_SELECTOR} are read"
        raise SelectorError(msg)
    parsed = LabelSelector.parse(selector)
    if isinstance(selector, str):
        terms = sum(max(len(requirement.values), 1) for requirement in parsed.requirements)
        if terms > MOST_TERMS:
            msg = f"the label selector has {terms} requirements and values; at most {MOST_TERMS} are compared"
            raise SelectorError(msg)
    return parsed


def bounded_fields(selector: FieldSelectorInput) -> FieldSelector:
    """Parse a field selector; one that is text within the bounds of `bounded_selector`.

    Raises:
        SelectorError: it does not parse, is longer than 4,096 characters, or has more than 64 requirements.
    """
    if isinstance(selector, str) and len(selector) > LONGEST_SELECTOR:
        msg = f"the field selector has {len(selector)} characters; at most {LONGEST_SELECTOR} are read"
        raise SelectorError(msg)
    parsed = FieldSelector.parse(selector)
    if isinstance(selector, str) and len(parsed.requirements) > MOST_TERMS:
        msg = f"the field selector has {len(parsed.requirements)} requirements; at most {MOST_TERMS} are compared"
        raise SelectorError(msg)
    return parsed


def selected(
    informer: SharedInformer, namespace: str | None, labels: LabelSelector, fields: FieldSelector
) -> list[KubeObject]:
    """Return the cached objects that are selected, in no particular order.

    A field can be selected if the informer has an index of that name, such as "spec.nodeName"; the names and namespaces
    of objects always can. (controller-runtime has the same rule for its cached client.)

    Raises:
        SelectorError: a field without an index.
    """
    if not fields:
        return informer.lister.list(namespace, labels)
    indexer = informer.indexer
    within: set[ObjectKey] | None = None
    without: set[ObjectKey] = set()
    tests: list[tuple[str, bool, str]] = []
    for path, operator, value in fields.requirements:
        if path in _ALWAYS:
            tests.append((path, operator == "=", value))
        elif path not in indexer.index_names:
            known = ", ".join(sorted({*_ALWAYS, *indexer.index_names}))
            msg = f"the field {path!r} cannot be selected, because it has no index; there are: {known}"
            raise SelectorError(msg)
        elif operator == "=":
            keys = {*indexer.index_keys(path, value)}
            within = keys if within is None else within & keys
        else:
            without |= {*indexer.index_keys(path, value)}
    if within is None:
        candidates = informer.lister.list(namespace, labels)
    else:
        there = (indexer.get_by_key(key) for key in within if not namespace or key.namespace == namespace)
        candidates = labels.filter(obj for obj in there if obj is not None)
    return [
        obj
        for obj in candidates
        if obj.key not in without
        and all((value == (obj.name if path == _NAME else obj.namespace)) is equal for path, equal, value in tests)
    ]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects a stream shows.

    Attributes:
        namespace: the only namespace; "" for all.
        selector: which labels; the empty selector selects all objects.
    """

    namespace: str = ""
    selector: LabelSelector = _EVERYTHING

    def has(self, obj: KubeObject) -> bool:
        """Return whether the object is one of them."""
        return self.has_key(obj.key) and (not self.selector or self.selector.matches(obj.labels))

    def has_key(self, key: ObjectKey) -> bool:
        """Return whether an object of this key could be one of them."""
        return not self.namespace or key.namespace == self.namespace
