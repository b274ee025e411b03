"""Filters know what kind of event they see, and no combination of them swallows a deletion."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinformer.errors import SelectorError
from kinformer.events import Added, Deleted, Updated
from kinformer.filters import (
    EventFilter,
    annotations_changed,
    field_changed,
    finalizers_changed,
    generation_changed,
    is_initial,
    labels_changed,
    matches,
    resource_version_changed,
    where,
)
from kinformer.objects import KubeObject
from kinformer.resources import DEPLOYMENTS

if TYPE_CHECKING:
    from kinformer.events import Event

versions = itertools.count(1)


def deployment(*, spec: dict[str, Any] | None = None, **metadata: Any) -> KubeObject:
    head = {"name": "web", "namespace": "default", "uid": "u", "resourceVersion": str(next(versions))}
    return KubeObject.from_dict({"metadata": head | metadata, "spec": spec or {}}, DEPLOYMENTS)


PLAIN = deployment()
CHANGES: dict[str, tuple[EventFilter, dict[str, Any], dict[str, Any]]] = {
    "generation": (generation_changed, {"generation": 1}, {"generation": 2}),
    "labels": (labels_changed, {"labels": {"app": "web"}}, {"labels": {"app": "db"}}),
    "first label": (labels_changed, {}, {"labels": {"app": "db"}}),
    "annotations": (annotations_changed, {"annotations": {"a": "1"}}, {"annotations": {"a": "2"}}),
    "last annotation": (annotations_changed, {"annotations": {"a": "1"}}, {}),
    "finalizers": (finalizers_changed, {}, {"finalizers": ["example.com/x"]}),
    "a field": (field_changed("spec.replicas"), {"spec": {"replicas": 1}}, {"spec": {"replicas": 2}}),
    "a field with dots": (
        field_changed(("metadata", "annotations", "example.com/x")),
        {"annotations": {"example.com/x": "1"}},
        {"annotations": {"example.com/x": "2"}},
    ),
    "anything": (resource_version_changed, {}, {}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_passes_and_its_negation_refuses_it(what: str) -> None:
    changed, old, new = CHANGES[what]
    event = Updated(deployment(**old), deployment(**new))
    assert changed(event)
    assert not (~changed)(event)


@pytest.mark.parametrize("what", [what for what in CHANGES if what != "anything"])
def test_an_update_of_something_else_is_refused_and_its_negation_lets_it_pass(what: str) -> None:
    changed, old, _ = CHANGES[what]
    event = Updated(deployment(**old, managedFields=[]), deployment(**old, managedFields=[{}]))
    assert not changed(event)
    assert (~changed)(event)


@pytest.mark.parametrize("what", CHANGES)
def test_a_resync_is_no_change_of_anything(what: str) -> None:
    changed, _, new = CHANGES[what]
    obj = deployment(**new)
    assert not changed(Updated(obj, obj))


@pytest.mark.parametrize("what", CHANGES)
def test_changes_are_about_updates_so_additions_and_deletions_pass_negated_or_not(what: str) -> None:
    changed = CHANGES[what][0]
    events: list[Event] = [Added(PLAIN), Added(PLAIN, initial=True), Deleted(PLAIN), Deleted(PLAIN, False)]
    for event in events:
        assert changed(event)
        assert (~changed)(event)


def test_an_update_of_a_resource_without_generation_passes() -> None:
    """controller-runtime's predicate compares 0 with 0 and swallows every update of a ConfigMap."""
    event = Updated(deployment(), deployment())
    assert generation_changed(event)
    assert (~generation_changed)(event)
    assert not (generation_changed & labels_changed)(event)


def test_what_is_missing_equals_what_is_empty() -> None:
    assert not annotations_changed(Updated(deployment(), deployment(annotations={})))
    assert not labels_changed(Updated(deployment(), deployment(labels={})))


def test_an_update_with_which_a_deletion_begins_passes_every_filter() -> None:
    old = deployment(generation=1, finalizers=["example.com/x"])
    new = deployment(generation=1, finalizers=["example.com/x"], deletionTimestamp="2026-01-01T00:00:00Z")
    for chosen in (labels_changed, ~resource_version_changed, matches("app=other"), labels_changed & matches("a=b")):
        assert chosen(Updated(old, new))
    # It begins once; what follows is filtered as ever.
    later = deployment(generation=1, deletionTimestamp="2026-01-01T00:00:00Z")
    assert not labels_changed(Updated(new, later))


def test_initial_additions_can_be_left_out() -> None:
    assert (~is_initial)(Added(PLAIN))
    assert not (~is_initial)(Added(PLAIN, initial=True))
    assert is_initial(Added(PLAIN, initial=True))
    assert (~is_initial)(Updated(PLAIN, PLAIN))


def test_a_selector_lets_pass_what_it_selects_what_it_did_and_every_deletion() -> None:
    web, db = deployment(labels={"app": "web"}), deployment(labels={"app": "db"})
    for chosen in (matches("app=web"), matches({"app": "web"}), where(lambda obj: obj.labels["app"] == "web")):
        assert chosen(Added(web))
        assert not chosen(Added(db))
        assert chosen(Updated(db, web))
        assert chosen(Updated(web, db))
        assert not chosen(Updated(db, db))
        # Its last state may not be the one it was deleted in.
        assert chosen(Deleted(db, final_state_known=False))
    with pytest.raises(SelectorError):
        matches("=web")


def test_a_filter_of_ones_own_is_not_asked_about_deletions() -> None:
    def never(event: Event) -> bool:
        assert not isinstance(event, Deleted)
        return False

    mine = EventFilter(never)
    assert not mine(Added(PLAIN))
    assert mine(Deleted(PLAIN))
    assert (mine & ~mine)(Deleted(PLAIN))


def test_repr_shows_what_was_combined() -> None:
    chosen = (generation_changed | ~matches("app=web")) & field_changed("spec.replicas")
    assert repr(chosen) == "((generation_changed | ~where(app=web)) & field_changed('spec.replicas'))"


ANSWERS = st.sampled_from([True, False, None])


def fixed(answer: bool | None) -> EventFilter:
    return EventFilter(lambda event: answer)


@pytest.mark.parametrize("a", [True, False, None])
@pytest.mark.parametrize("b", [True, False, None])
def test_combining_refuses_what_one_side_or_both_refuse(a: bool | None, b: bool | None) -> None:
    event = Added(PLAIN)
    one, other = fixed(a), fixed(b)
    assert (one & other)(event) is (one(event) and other(event))
    assert (one | other)(event) is (one(event) or other(event))
    # De Morgan: negating the whole is negating the parts.
    assert (~(one & other)).answer(event) is (~one | ~other).answer(event)
    assert (~(one | other)).answer(event) is (~one & ~other).answer(event)
    assert (~~one).answer(event) is a


LEAVES = st.sampled_from([changed for changed, _, _ in CHANGES.values()] + [is_initial, matches("app=x"), fixed(False)])
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda a: ~a, inner),
        st.builds(lambda a, b: a & b, inner, inner),
        st.builds(lambda a, b: a | b, inner, inner),
    ),
    max_leaves=8,
)


@given(FILTERS, st.booleans())
def test_no_combination_swallows_a_deletion_or_its_beginning(chosen: EventFilter, known: bool) -> None:
    assert chosen(Deleted(PLAIN, known))
    assert chosen(Updated(PLAIN, deployment(deletionTimestamp="2026-01-01T00:00:00Z")))
