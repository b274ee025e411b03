"""Filters (predicates) select the events that cause work. They distinguish the kinds of events.

    Controller("web", reconcile).watches(deployments, filter=generation_changed | labels_changed)
    Controller("dns", reconcile).watches(services, filter=matches("app=dns") & ~annotations_changed)

A filter answers yes, no, or "no opinion": `labels_changed`, for example, has an opinion on updates only. An event on
which no filter has an opinion passes. So a deletion passes every combination and negation of filters. The update with
which a deletion begins also always passes (an object with finalizers stays, with a `deletionTimestamp`, until they are
done): a controller that missed it would never clean up.

Combinations follow Kleene's logic, with "no opinion" for "unknown". `&` refuses an event that one side refuses. `|`
refuses an event that both sides refuse. `~` swaps yes and no, and keeps "no opinion".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from kinformer._callables import check_function
from kinformer.events import Added, Deleted, Event, Updated
from kinformer.labels import LabelSelector

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kinformer.labels import SelectorInput
    from kinformer.objects import KubeObject

__all__ = [
    "EventFilter",
    "annotations_changed",
    "field_changed",
    "finalizers_changed",
    "generation_changed",
    "is_initial",
    "labels_changed",
    "matches",
    "resource_version_changed",
    "where",
]

Answer: TypeAlias = bool | None
"""True if an event passes, false if it does not; `None` for no opinion."""


class EventFilter:
    """A filter that can be combined with others by `&`, `|` and `~`.

    A call with an event returns whether the event passes. A deletion always passes.

    Args:
        answer: takes an event and returns `True`, `False`, or `None` for no opinion. It is not called for deletions,
            nor for updates with which a deletion begins.
        name: the text of `repr`.
    """

    __slots__ = ("_answer", "_name")

    def __init__(self, answer: Callable[[Event], Answer], name: str = "") -> None:
        check_function("an event filter", answer, "event")
        self._answer = answer
        self._name = name or getattr(answer, "__name__", "filter")

    def __repr__(self) -> str:
        return self._name

    def __call__(self, event: Event) -> bool:
        """Return whether the event passes."""
        return self.answer(event) is not False

    def answer(self, event: Event) -> Answer:
        """Return yes, no, or no opinion (`None`)."""
        if isinstance(event, Deleted) or (isinstance(event, Updated) and _deletion_begins(event)):
            return None
        return self._answer(event)

    def __and__(self, other: EventFilter) -> EventFilter:
        def both(event: Event) -> Answer:
            first = self.answer(event)
            if first is False:
                return False
            second = other.answer(event)
            return second if first or second is False else None

        return EventFilter(both, f"({self} & {other})")

    def __or__(self, other: EventFilter) -> EventFilter:
        def either(event: Event) -> Answer:
            first = self.answer(event)
            if first:
                return True
            second = other.answer(event)
            return second if first is False or second else None

        return EventFilter(either, f"({self} | {other})")

    def __invert__(self) -> EventFilter:
        def inverted(event: Event) -> Answer:
            answer = self.answer(event)
            return None if answer is None else not answer

        return EventFilter(inverted, f"~{self}")


def _deletion_begins(event: Updated) -> bool:
    if event.old.resource_version == event.new.resource_version:
        return False
    return event.new.deletion_timestamp is not None and event.old.deletion_timestamp is None


def _of_updates(changed: Callable[[KubeObject, KubeObject], Answer], name: str) -> EventFilter:
    """Return a filter with an opinion on updates only."""
    return EventFilter(lambda event: changed(event.old, event.new) if isinstance(event, Updated) else None, name)


def _generation_changed(old: KubeObject, new: KubeObject) -> Answer:
    before, now = old.generation, new.generation
    # Resources without a generation (ConfigMaps, Secrets, Nodes, ...) do not say whether the desired state has changed.
    return None if before is None and now is None else before != now


def _same_version(old: KubeObject, new: KubeObject) -> bool:
    return old.resource_version == new.resource_version and old.resource_version != ""


def _part_changed(path: str | Sequence[str | int]) -> Callable[[KubeObject, KubeObject], bool]:
    def changed(old: KubeObject, new: KubeObject) -> bool:
        return not _same_version(old, new) and bool((old.at(path) or None) != (new.at(path) or None))

    return changed


generation_changed: Final = _of_updates(_generation_changed, "generation_changed")
"""Passes updates of the desired state (`metadata.generation`), not of the status. It has no opinion on resources
without a generation, so their updates pass (controller-runtime's GenerationChangedPredicate drops them)."""

resource_version_changed: Final = _of_updates(
    lambda old, new: old.resource_version != new.resource_version, "resource_version_changed"
)
"""Passes updates that changed something: not resyncs."""

labels_changed: Final = _of_updates(
    # Equal sets of labels are nearly always one object.
    lambda old, new: old.metadata.labels is not new.metadata.labels and old.labels != new.labels,
    "labels_changed",
)
"""Passes updates that changed `metadata.labels`."""

annotations_changed: Final = _of_updates(
    lambda old, new: not _same_version(old, new) and not new.has_annotations_of(old), "annotations_changed"
)
"""Passes updates that changed `metadata.annotations`."""

finalizers_changed: Final = _of_updates(
    lambda old, new: not _same_version(old, new) and old.finalizers != new.finalizers, "finalizers_changed"
)
"""Passes updates that changed `metadata.finalizers`."""

is_initial: Final = EventFilter(lambda event: event.initial if isinstance(event, Added) else None, "is_initial")
"""Passes additions of objects that existed already; `~is_initial` leaves these out."""


def field_changed(path: str | Sequence[str | int]) -> EventFilter:
    """Return a filter that passes updates that changed a part of the object. A missing part equals an empty one.

    Args:
        path: as for `KubeObject.at`: "spec.replicas", or a sequence if a name contains dots.
    """
    return _of_updates(_part_changed(path), f"field_changed({path!r})")


def where(condition: Callable[[KubeObject], bool]) -> EventFilter:
    """Return a filter that passes additions of objects that meet a condition, and updates from or to such a state.

    Args:
        condition: takes an object, and returns whether it meets the condition. Its exceptions count as failures of the
            informer's handler.
    """

    def answer(event: Event) -> Answer:
        if condition(event.obj):
            return True
        return isinstance(event, Updated) and bool(condition(event.old))

    return EventFilter(answer, f"where({getattr(condition, '__name__', 'condition')})")


def matches(selector: SelectorInput) -> EventFilter:
    """Return a filter like `where` for the objects that match a label selector.

    Unlike the selector of an informer, it saves neither memory nor requests.

    Args:
        selector: as for `Lister.list`: "app=web,tier!=cache", or a mapping of labels.

    Raises:
        SelectorError: the selector cannot be read.
    """
    parsed = LabelSelector.parse(selector)

    def selected(obj: KubeObject) -> bool:
        return parsed.matches(obj.labels)

    selected.__name__ = str(parsed) or "everything"
    return where(selected)
