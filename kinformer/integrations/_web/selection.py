"""Which objects a request asks for: selectors of strangers, within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kinformer.errors import SelectorError
from kinformer.labels import LabelSelector

if TYPE_CHECKING:
    from kinformer.labels import SelectorInput
    from kinformer.objects import KubeObject, ObjectKey

__all__ = ["LONGEST_SELECTOR", "MOST_TERMS", "Selection", "bounded_selector"]

LONGEST_SELECTOR: Final = 4096
"""The longest selector in characters that is read from a request."""

MOST_TERMS: Final = 64
"""The most requirements and values that a selector of a request may have together.

Each of them is compared with each object of the cache, for each event also with each reader of a stream."""

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
